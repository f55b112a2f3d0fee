//! A small stream without faults, and every way of damaging it that the checker knows.

mod script;

use self::script::*;
use super::tables::crc32;
use super::*;

fn check_parts(parts: &[Part]) -> Report {
    check(write(parts).as_flattened(), &Rules::default())
}

/// The packet of this PID that has the number among those that begin something.
fn begin(packets: &[[u8; 188]], pid: u16, number: usize) -> usize {
    let is_begin =
        |packet: &[u8; 188]| u16::from_be_bytes([packet[1], packet[2]]) & 0x5FFF == 0x4000 | pid;
    let mut found = packets.iter().enumerate().filter(|(_, packet)| is_begin(packet));
    found.nth(number).unwrap().0
}

#[track_caller]
fn assert_fault(report: &Report, what: &str) {
    assert!(
        report.faults.iter().any(|fault| fault.contains(what)),
        "{what:?} is not among {:#?}",
        report.faults
    );
}

/// Damages the packets and expects this fault.
#[track_caller]
fn damage(what: &str, change: impl FnOnce(&mut Vec<[u8; 188]>)) {
    let mut packets = write(&parts(0));
    change(&mut packets);
    assert_fault(&check(packets.as_flattened(), &Rules::default()), what);
}

/// Changes the PES packet of a PID with the number and expects this fault.
#[track_caller]
fn mistake(what: &str, pid: u16, number: usize, change: impl FnOnce(&mut Packet)) {
    let mut parts = parts(0);
    let mut packets = parts.iter_mut().filter_map(|part| match part {
        Part::Pes(packet) if packet.pid == pid => Some(packet),
        _ => None,
    });
    change(packets.nth(number).unwrap());
    assert_fault(&check_parts(&parts), what);
}

#[test]
fn a_stream_without_faults_has_none() {
    let report = check_parts(&parts(0));
    report.assert_clean();
    assert_eq!(
        report.programs,
        [Program { number: 1, pmt_pid: PMT, pcr_pid: Some(VIDEO), maps: 1 }]
    );
    assert_eq!(report.streams.len(), 2);
    assert_eq!(report.pes(VIDEO).count(), 25);
    assert_eq!(report.pcr_gap, Duration::from_millis(40));
    assert!(report.pat_pmt_gap.abs_diff(Duration::from_millis(80)) < Duration::from_millis(40));
    let keys: Vec<bool> = report.pes(VIDEO).map(|pes| pes.random_access).collect();
    assert_eq!(keys.iter().filter(|key| **key).count(), 3);
    let first = report.pes(VIDEO).next().unwrap();
    assert_eq!((first.pts, first.dts), (Some(LEAD + FRAME), Some(LEAD)));
    assert_eq!(first.payload, picture(true));
}

#[test]
fn times_go_on_through_the_wrap() {
    let start = (1 << 33) - 40_000;
    let report = check_parts(&parts(start));
    report.assert_clean();
    let last = report.pes(VIDEO).last().unwrap();
    assert_eq!(last.dts, Some(start + 24 * FRAME + LEAD));
}

#[test]
fn nothing_and_garbage_are_faulty_and_no_panic() {
    assert_fault(&check(&[], &Rules::default()), "there is no PAT");
    let mut random = crate::Random::new(7);
    let clean = write(&parts(0)).concat();
    for _ in 0..200 {
        let mut bytes = clean.clone();
        for _ in 0..4 {
            let at = random.below(bytes.len());
            bytes[at] = random.bits().to_le_bytes()[0];
        }
        bytes.truncate(random.below(clean.len()));
        let _ = check(&bytes, &Rules::default());
    }
}

#[test]
fn packets() {
    let clean = write(&parts(0)).concat();
    let cut = check(&clean[..clean.len() - 1], &Rules::default());
    assert_fault(&cut, "not whole packets");
    damage("sync byte", |packets| packets[3][0] = 0x48);
    damage("transport_error_indicator", |packets| packets[3][1] |= 0x80);
    damage("scrambled", |packets| packets[3][3] |= 0x80);
    damage("reserved value 00", |packets| packets[3][3] &= 0x0F);
    damage("is in no map", |packets| packets[3][1] |= 0x02);
    damage("comes before PAT and PMT", |packets| packets.swap(1, 2));
    damage("comes before PAT and PMT", |packets| packets.swap(0, 1));
    damage("adaptation_field_length", |packets| packets[2][4] = 183);
    damage("shorter than its contents", |packets| {
        let at = begin(packets, VIDEO, 0);
        packets[at][4] = 3;
    });
    damage("stuffed with something else", |packets| {
        let at = begin(packets, VIDEO, 1);
        packets[at][13] = 0;
    });
    damage("reserved bits of the clock", |packets| packets[2][10] &= 0x81);
    damage("extension of the clock", |packets| packets[2][10..12].copy_from_slice(&[0x7F, 0xFF]));
}

#[test]
fn continuity() {
    damage("continuity counter", |packets| _ = packets.remove(3));
    damage("continuity counter", |packets| {
        let at = begin(packets, VIDEO, 1);
        packets.insert(at, packets[at]);
        packets.insert(at, packets[at]);
    });
    damage("without a payload", |packets| {
        let at = begin(packets, VIDEO, 1);
        let mut empty = [0xFF; 188];
        empty[..6].copy_from_slice(&[0x47, 1, 0, 0x20 | packets[at][3] & 0x0F, 183, 0]);
        packets.insert(at, empty);
    });
}

#[test]
fn one_repetition_and_packets_without_a_payload_are_no_faults() {
    let mut packets = write(&parts(0));
    let at = begin(&packets, VIDEO, 1);
    let mut twin = packets[at];
    twin[8] ^= 1; // the clock of a repetition is its own
    packets.insert(at + 1, twin);
    let before = packets[at - 1][3];
    assert_eq!(packets[at - 1][1] & 0x1F, 1);
    let pid = packets[at - 1][2];
    let mut empty = [0xFF; 188];
    empty[..6].copy_from_slice(&[0x47, 1, pid, 0x20 | before & 0x0F, 183, 0]);
    packets.insert(at, empty);
    let report = check(packets.as_flattened(), &Rules::default());
    let clocks_only = report.faults.iter().all(|fault| fault.contains("clock"));
    assert!(clocks_only, "{:#?}", report.faults);
    assert_eq!(report.pes(VIDEO).count(), 25);
}

#[test]
fn tables() {
    damage("CRC-32", |packets| packets[0][12] ^= 1);
    damage("CRC-32", |packets| packets[1][20] ^= 1);
    damage("section_length", |packets| packets[0][6] |= 0x0F);
    damage("section_syntax_indicator", |packets| packets[0][6] &= 0x7F);
    damage("table_id", |packets| packets[1][5] = 3);
    damage("pointer_field", |packets| packets[1][4] = 200);
    damage("something else than 0xFF", |packets| packets[1][187] = 0);
    let replaced = |at: usize, part: Part| {
        let mut parts = parts(0);
        parts[at] = part;
        check_parts(&parts)
    };
    let map = |version, body: &[u8]| Part::Section(PMT, section(2, 1, version, body));
    let wrong_program = Part::Section(PMT, section(2, 9, 0, &[0xE1, 0, 0xF0, 0]));
    assert_fault(&replaced(1, wrong_program), "that of program 9");
    assert_fault(&replaced(1, map(0, &[0xE1, 0, 0xF0, 9])), "shorter than its contents");
    assert_fault(&replaced(1, map(0, &[0x01, 0, 0xF0, 0])), "reserved bits of the PMT");
    let reserved_pid = map(0, &[0xE1, 0, 0xF0, 0, 0x1B, 0xE0, 1, 0xF0, 0]);
    assert_fault(&replaced(1, reserved_pid), "reserved PID 0x0001");
    let twice = [0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0];
    assert_fault(&replaced(1, map(0, &twice)), "twice");
    assert_fault(&replaced(1, pmt(0, [0x1B, 0x0F], &[5, 9, 1])), "do not fill");
    let mut later = section(2, 1, 0, &[]);
    later[5] &= 0xFE;
    let length = later.len() - 4;
    let crc = crc32(&later[..length]).to_be_bytes();
    later[length..].copy_from_slice(&crc);
    assert_fault(&replaced(1, Part::Section(PMT, later)), "current_next_indicator");
    let second = parts(0).iter().rposition(|part| matches!(part, Part::Section(PMT, _))).unwrap();
    assert_fault(&replaced(second, pmt(1, [0x1B, 0x0F], &[])), "the table does not");
    assert_fault(&replaced(second, pmt(0, [0x24, 0x0F], &[])), "from 0 to 0");
    assert_fault(&replaced(second, pmt(2, [0x24, 0x0F], &[])), "from 0 to 2");
}

#[test]
fn tables_are_repeated() {
    let without = |wanted: u16| {
        let keep = |part: &Part| !matches!(part, Part::Section(pid, _) if *pid == wanted);
        let (first, rest) = (parts(0), parts(0));
        let parts: Vec<Part> =
            first[..2].iter().chain(rest[2..].iter().filter(|part| keep(part))).cloned().collect();
        check_parts(&parts)
    };
    assert_fault(&without(0), "no PAT for");
    assert_fault(&without(PMT), "no PMT for");
    assert!(without(PMT).pat_pmt_gap > Duration::from_millis(900));
    let rules = Rules { tables_at_keys: true, ..Rules::default() };
    check(write(&parts(0)).as_flattened(), &rules).assert_clean();
    let mut late = parts(0);
    let key = |part: &Part| matches!(part, Part::Pes(packet) if packet.random_access);
    let last = late.iter().rposition(key).unwrap();
    late.swap(last - 1, last);
    let report = check(write(&late).as_flattened(), &rules);
    assert_fault(&report, "a key picture without PAT and PMT");
}

#[test]
fn a_changed_map_makes_another_stream() {
    let mut parts = parts(0);
    let at = parts.iter().rposition(|part| matches!(part, Part::Section(PMT, _))).unwrap();
    parts[at] = pmt(1, [0x1B, 0x06], &[]);
    for part in &mut parts[at..] {
        if let Part::Pes(packet) = part
            && packet.pid == AUDIO
        {
            packet.stream_id = 0xBD;
        }
    }
    let report = check_parts(&parts);
    report.assert_clean();
    let types: Vec<u8> = report.streams.iter().map(|stream| stream.stream_type).collect();
    assert_eq!(types, [0x1B, 0x0F, 0x06]);
    assert_eq!(report.programs[0].maps, 2);
}

#[test]
fn pes_headers() {
    damage("a PES packet begins with", |packets| {
        let at = begin(packets, VIDEO, 0);
        packets[at][12] = 1;
    });
    damage("the bits 10", |packets| packets[2][18] = 0x40);
    damage("marker bit", |packets| packets[2][21] &= 0xFE);
    damage("has the prefix", |packets| packets[2][21] ^= 0x20);
    damage("forbidden value 01", |packets| packets[2][19] = 0x40);
    damage("PES_header_data_length is too small", |packets| packets[2][20] = 4);
    damage("32 bytes of 0xFF", |packets| packets[2][20] = 12);
    damage("belongs to no PES packet", |packets| packets[2][1] &= 0xBF);
    mistake("stream_id 0xc0", VIDEO, 3, |packet| packet.stream_id = 0xC0);
    mistake("stream_id 0xe0", AUDIO, 3, |packet| packet.stream_id = 0xE0);
    mistake("which only video may have", AUDIO, 3, |packet| packet.length = Some(0));
    mistake("PES_packet_length is 20", VIDEO, 3, |packet| packet.length = Some(20));
    mistake("after the end", VIDEO, 0, |packet| packet.length = Some(20));
    mistake("is empty", VIDEO, 3, |packet| packet.payload.clear());
}

#[test]
fn times() {
    mistake("no presentation time", VIDEO, 3, |packet| (packet.pts, packet.dts) = (None, None));
    mistake("is the presentation time", VIDEO, 3, |packet| packet.pts = packet.dts);
    mistake("is before", VIDEO, 3, |packet| packet.pts = packet.dts.map(|dts| dts - 1));
    mistake("the decoding time goes from", VIDEO, 3, |packet| {
        packet.dts = packet.dts.map(|dts| dts - FRAME);
    });
    mistake("far ahead", VIDEO, 3, |packet| {
        (packet.dts, packet.pts) = (packet.dts.map(|dts| dts + 200_000), Some(400_000));
    });
    mistake("before the clock", AUDIO, 3, |packet| packet.pts = packet.pts.map(|pts| pts - LEAD));
}

#[test]
fn clocks() {
    mistake("no clock reference for 80ms", VIDEO, 3, |packet| packet.pcr = None);
    mistake("without a discontinuity", VIDEO, 3, |packet| packet.pcr = Some(0));
    mistake("no program's", AUDIO, 3, |packet| packet.pcr = Some(0));
    let without: Vec<Part> = parts(0)
        .into_iter()
        .map(|part| match part {
            Part::Pes(packet) => Part::Pes(Packet { pcr: None, ..packet }),
            other => other,
        })
        .collect();
    assert_fault(&check_parts(&without), "has no clock reference");
}

#[test]
fn a_discontinuity_begins_another_time_line() {
    let mut parts = parts(1_000_000);
    let mut second = self::parts(90_000);
    if let Some(Part::Pes(packet)) = second.get_mut(2) {
        packet.discontinuity = true;
    }
    parts.extend(second);
    let report = check_parts(&parts);
    report.assert_clean();
    assert_eq!(report.discontinuities, 1);
    if let Some(Part::Pes(packet)) =
        parts.iter_mut().rfind(|part| matches!(part, Part::Pes(packet) if packet.discontinuity))
    {
        packet.discontinuity = false;
    }
    assert_fault(&check_parts(&parts), "without a discontinuity");
}

#[test]
fn pictures() {
    mistake("without random_access_indicator", VIDEO, 0, |packet| packet.random_access = false);
    mistake("refers to others", VIDEO, 1, |packet| packet.random_access = true);
    damage("where no PES packet begins", |packets| {
        let at = begin(packets, VIDEO, 0) + 4;
        assert_eq!(packets[at][3] & 0x20, 0x20);
        packets[at][5] |= 0x40;
    });
    let video = |what: &str, number, change: fn(&mut Vec<u8>)| {
        mistake(what, VIDEO, number, |packet| change(&mut packet.payload));
    };
    video("does not begin with a delimiter", 1, |payload| drop(payload.drain(..6)));
    video("second access unit delimiter", 1, |payload| payload.extend([0, 0, 0, 1, 9, 0xF0]));
    video("delimiter is malformed", 1, |payload| payload[5] = 0xE0);
    video("needs four bytes", 1, |payload| _ = payload.remove(0));
    video("needs four bytes", 0, |payload| _ = payload.remove(6));
    video("2 pictures", 1, |payload| payload.extend([0, 0, 1, 0x41, 0x9A, 0x80]));
    video("0 pictures", 1, |payload| payload.truncate(6));
    video("parameter sets are missing", 0, |payload| drop(payload.drain(6..15)));
    video("parameter sets are missing", 0, |payload| drop(payload.drain(15..21)));
    video("begins a second access unit", 1, |payload| payload.extend([0, 0, 0, 1, 0x68, 0xEE]));
    video("before the slices", 1, |payload| {
        payload.splice(6..6, [0, 0, 1, 12, 0xFF, 0x80]);
    });
    video("does not begin with a start code", 1, |payload| payload[0] = 1);
    video("there is no start code", 1, |payload| {
        *payload = vec![0, 0, 0, 6, 0x41, 0x9A, 0x22, 0x11, 0x11, 0x80];
    });
    video("emulation prevention", 1, |payload| payload.extend([0, 0, 2]));
    video("emulation prevention", 1, |payload| payload.extend([0, 0, 0, 7]));
    video("forbidden_zero_bit", 1, |payload| payload[4] |= 0x80);
    video("a NAL unit is empty", 1, |payload| payload.extend([0, 0, 1, 0, 0, 1, 12, 0x80]));
    video("nal_unit_type is 0", 1, |payload| payload.extend([0, 0, 1, 0x60, 0x80]));
}

#[test]
fn h264_may_start_at_a_recovery_point() {
    let mut parts = parts(0);
    let number = parts.iter().position(
        |part| matches!(part, Part::Pes(packet) if packet.pid == VIDEO && !packet.random_access),
    );
    if let Some(Part::Pes(packet)) = parts.get_mut(number.unwrap()) {
        packet.random_access = true;
        packet.payload.splice(6..6, [0, 0, 1, 6, 5, 1, 0xAA, 6, 1, 0xC4, 0x80]);
    }
    check_parts(&parts).assert_clean();
}

#[test]
fn h265() {
    let h265 = |key: bool, sets: &[u8]| {
        let mut out = vec![0, 0, 0, 1, 35 << 1, 1, 0x50];
        for set in sets {
            out.extend([0, 0, 0, 1, set << 1, 1, 0x22]);
        }
        out.extend([0, 0, 1, if key { 19 << 1 } else { 1 << 1 }, 1, 0x80, 0xAB]);
        out
    };
    let stream = |sets: &[u8]| {
        let mut parts = parts(0);
        for part in &mut parts {
            match part {
                Part::Section(PMT, _) => *part = pmt(0, [0x24, 0x0F], &[]),
                Part::Pes(packet) if packet.pid == VIDEO && packet.random_access => {
                    packet.payload = h265(true, sets);
                }
                Part::Pes(packet) if packet.pid == VIDEO => packet.payload = h265(false, &[]),
                _ => {}
            }
        }
        check_parts(&parts)
    };
    stream(&[32, 33, 34]).assert_clean();
    assert_fault(&stream(&[33, 34]), "parameter sets are missing");
}

#[test]
fn sound() {
    let sound = |what: &str, change: fn(&mut Vec<u8>)| {
        mistake(what, AUDIO, 2, |packet| change(&mut packet.payload));
    };
    sound("no frame of sound begins at byte 0", |payload| payload[0] = 0xFE);
    sound("no frame of sound begins at byte 67", |payload| payload[67] = 0);
    sound("bytes of its 68", |payload| _ = payload.pop());
    sound("within its header", |payload| payload.truncate(69));
    sound("sample rate changes", |payload| payload[69] = 0x50);
    mistake("away from the end", AUDIO, 2, |packet| packet.pts = packet.pts.map(|pts| pts + 3));
    mistake("away from the end", AUDIO, 2, |packet| packet.pts = packet.pts.map(|pts| pts - 3));
    let mut gap = parts(0);
    if let Some(Part::Pes(packet)) = gap.last_mut() {
        packet.pts = packet.pts.map(|pts| pts + 5000);
    }
    let rules = Rules { sound_gaps: true, ..Rules::default() };
    check(write(&gap).as_flattened(), &rules).assert_clean();
}

/// A stream whose sound is so many ticks a packet, of another kind.
#[track_caller]
fn check_sound(
    stream_type: u8,
    descriptors: &[u8],
    stream_id: u8,
    payload: &[u8],
    ticks: i64,
) -> Report {
    let mut parts = parts(0);
    let mut sounds = 0;
    for part in &mut parts {
        match part {
            Part::Section(PMT, _) => *part = pmt(0, [0x1B, stream_type], descriptors),
            Part::Pes(packet) if packet.pid == AUDIO => {
                packet.stream_id = stream_id;
                packet.payload = payload.to_vec();
                packet.pts = Some(LEAD + sounds * ticks);
                sounds += 1;
            }
            _ => {}
        }
    }
    check_parts(&parts)
}

#[test]
fn sound_of_other_kinds() {
    // MPEG-1 layer III at 128 kbit/s and 44.1 kHz, without padding: 417 bytes.
    let frame = |head: &[u8], length: usize| {
        let mut out = head.to_vec();
        out.resize(length, 0x55);
        out
    };
    let mp3 = frame(&[0xFF, 0xFB, 0x90, 0x64], 417);
    check_sound(0x03, &[], 0xC0, &mp3, 2351).assert_clean();
    assert_fault(&check_sound(0x04, &[], 0xC0, &mp3, 2351), "no frame of sound");
    // MPEG-2 layer III at 64 kbit/s and 24 kHz: 192 bytes.
    let low = frame(&[0xFF, 0xF3, 0x84, 0x64], 192);
    check_sound(0x04, &[], 0xC0, &low, 2160).assert_clean();
    // AC-3 at 192 kbit/s and 48 kHz: 768 bytes.
    let ac3 = frame(&[0x0B, 0x77, 0, 0, 20, 0x40], 768);
    check_sound(0x81, &[], 0xBD, &ac3, 2880).assert_clean();
    assert_fault(&check_sound(0x81, &[], 0xC0, &ac3, 2880), "stream_id");
    // E-AC-3, 200 words, 48 kHz, six blocks.
    let eac3 = frame(&[0x0B, 0x77, 0, 199, 0x30, 0x80], 400);
    check_sound(0x87, &[], 0xBD, &eac3, 2880).assert_clean();
}

#[test]
fn opus_has_control_headers_and_descriptors() {
    let registration = [5, 4, b'O', b'p', b'u', b's'];
    let descriptors = [&registration[..], &[0x7F, 2, 0x80, 2]].concat();
    // Two packets of CELT, 20 ms each, of 300 and 3 bytes.
    let mut payload = vec![0x7F, 0xE0, 255, 45, 0xFC];
    payload.resize(304, 0x11);
    payload.extend([0x7F, 0xE0, 3, 0xFC, 1, 2]);
    check_sound(0x06, &descriptors, 0xBD, &payload, 3600).assert_clean();
    assert_fault(&check_sound(0x06, &registration, 0xBD, &payload, 3600), "extension descriptor");
    assert_fault(&check_sound(0x06, &descriptors, 0xBD, &payload[2..], 3600), "no frame of sound");
    payload.pop();
    assert_fault(&check_sound(0x06, &descriptors, 0xBD, &payload, 3600), "bytes of its");
}
