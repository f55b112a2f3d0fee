//! Writes the streams of the tests, part by part.

use super::crc32;

pub(super) const PMT: u16 = 0x20;
pub(super) const VIDEO: u16 = 0x100;
pub(super) const AUDIO: u16 = 0x101;

/// A frame of 25 per second, in ticks of 90 kHz.
pub(super) const FRAME: i64 = 3600;
/// How far decoding times are ahead of the clock.
pub(super) const LEAD: i64 = 45_000;
/// An AAC frame of 48 kHz.
pub(super) const SOUND: i64 = 1920;

/// A part of a stream.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Section(u16, Vec<u8>),
    Pes(Packet),
}

#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) pid: u16,
    pub(super) stream_id: u8,
    pub(super) pts: Option<i64>,
    pub(super) dts: Option<i64>,
    pub(super) length: Option<u16>,
    pub(super) payload: Vec<u8>,
    pub(super) pcr: Option<i64>,
    pub(super) random_access: bool,
    pub(super) discontinuity: bool,
}

pub(super) fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![table];
    out.extend(u16::try_from(0xB000 + body.len() + 9).unwrap().to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend([0xC1 | version << 1, 0, 0]);
    out.extend(body);
    out.extend(crc32(&out).to_be_bytes());
    out
}

pub(super) fn pat() -> Part {
    Part::Section(0, section(0, 7, 0, &[0, 1, 0xE0, 0x20]))
}

/// Video of one type, sound of another with these descriptors.
pub(super) fn pmt(version: u8, types: [u8; 2], descriptors: &[u8]) -> Part {
    let mut body = vec![0xE1, 0, 0xF0, 0, types[0], 0xE1, 0, 0xF0, 0, types[1], 0xE1, 1, 0xF0];
    body.push(u8::try_from(descriptors.len()).unwrap());
    body.extend(descriptors);
    Part::Section(PMT, section(2, 1, version, &body))
}

pub(super) fn picture(key: bool) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 1, 9, 0xF0];
    if key {
        out.extend([0, 0, 0, 1, 0x67, 77, 0x40, 40, 0xFE, 0, 0, 0, 1, 0x68, 0xEE]);
        out.extend([0, 0, 1, 0x65, 0x88]);
        out.extend([0xAB; 700]);
    } else {
        out.extend([0, 0, 1, 0x41, 0x9A, 0, 0, 3, 1, 0x80]);
    }
    out
}

pub(super) fn adts(bytes: u8) -> Vec<u8> {
    // MPEG-4, LC, 48 kHz, stereo; the length is the frame's with its header.
    let length = u16::from(bytes) + 7;
    let mut out = vec![0xFF, 0xF1, 0x4C, 0x80];
    out.extend((length << 5 | 0x1F).to_be_bytes());
    out.push(0xFC);
    out.extend(vec![0x21; bytes.into()]);
    out
}

pub(super) fn video_packet(n: i64, start: i64) -> Packet {
    let key = n % 10 == 0;
    let time = start + n * FRAME;
    Packet {
        pid: VIDEO,
        stream_id: 0xE0,
        pts: Some(time + LEAD + FRAME),
        dts: Some(time + LEAD),
        length: None,
        payload: picture(key),
        pcr: Some(time),
        random_access: key,
        discontinuity: false,
    }
}

pub(super) fn sound_packet(n: i64, start: i64) -> Packet {
    Packet {
        pid: AUDIO,
        stream_id: 0xC0,
        pts: Some(start + LEAD + 2 * n * SOUND),
        dts: None,
        length: None,
        payload: [adts(60), adts(61)].concat(),
        pcr: None,
        random_access: false,
        discontinuity: false,
    }
}

/// A second of video and sound, with tables every 80 ms, whose clock begins at `start`.
pub(super) fn parts(start: i64) -> Vec<Part> {
    let mut out = Vec::new();
    let mut sounds = 0;
    for n in 0..25 {
        if n % 2 == 0 {
            out.extend([pat(), pmt(0, [0x1B, 0x0F], &[])]);
        }
        out.push(Part::Pes(video_packet(n, start)));
        while 2 * sounds * SOUND < n * FRAME {
            out.push(Part::Pes(sound_packet(sounds, start)));
            sounds += 1;
        }
    }
    out
}

pub(super) fn time(prefix: u8, time: i64) -> [u8; 5] {
    let time = u64::try_from(time.rem_euclid(1 << 33)).unwrap();
    let bits = u64::from(prefix) << 36
        | (time >> 30) << 33
        | (time >> 15 & 0x7FFF) << 17
        | (time & 0x7FFF) << 1
        | 0x1_0001_0001;
    let [_, _, _, bytes @ ..] = bits.to_be_bytes();
    bytes
}

/// The transport packets of these parts.
pub(super) fn write(parts: &[Part]) -> Vec<[u8; 188]> {
    let mut out = Vec::new();
    let mut counters = [0u8; 0x2000];
    for part in parts {
        match part {
            Part::Section(pid, section) => {
                let payload = [&[0], section.as_slice()].concat();
                let padding = vec![0xFF; 184 - payload.len()];
                put(&mut out, &mut counters, *pid, &[payload, padding].concat(), None);
            }
            Part::Pes(packet) => {
                let payload = pes(packet);
                put(&mut out, &mut counters, packet.pid, &payload, Some(packet));
            }
        }
    }
    out
}

pub(super) fn pes(packet: &Packet) -> Vec<u8> {
    let mut times = Vec::new();
    let flags = match (packet.pts, packet.dts) {
        (Some(pts), Some(dts)) => {
            times.extend(time(3, pts));
            times.extend(time(1, dts));
            0xC0
        }
        (Some(pts), None) => {
            times.extend(time(2, pts));
            0x80
        }
        _ => 0,
    };
    let length = u16::try_from(3 + times.len() + packet.payload.len()).unwrap();
    let mut out = vec![0, 0, 1, packet.stream_id];
    out.extend(packet.length.unwrap_or(length).to_be_bytes());
    out.extend([0x80, flags, u8::try_from(times.len()).unwrap()]);
    out.extend(times);
    out.extend(&packet.payload);
    out
}

pub(super) fn put(
    out: &mut Vec<[u8; 188]>,
    counters: &mut [u8],
    pid: u16,
    mut payload: &[u8],
    packet: Option<&Packet>,
) {
    let mut first = true;
    while !payload.is_empty() {
        let mut field = Vec::new();
        if let Some(packet) = packet.filter(|_| first) {
            field = vec![
                u8::from(packet.discontinuity) << 7
                    | u8::from(packet.random_access) << 6
                    | u8::from(packet.pcr.is_some()) << 4,
            ];
            if let Some(pcr) = packet.pcr {
                let base = u64::try_from(pcr.rem_euclid(1 << 33)).unwrap();
                field.extend(&(base << 15 | 0x7E00).to_be_bytes()[2..]);
            }
        }
        let head = if field.is_empty() { 4 } else { 5 };
        let taken = payload.len().min(188 - head - field.len());
        let missing = 188 - head - field.len() - taken;
        let adapts = head == 5 || missing > 0;
        let counter = &mut counters[usize::from(pid)];
        let mut bytes =
            vec![0x47, u8::from(first) << 6 | pid.to_be_bytes()[0], pid.to_be_bytes()[1]];
        bytes.push(if adapts { 0x30 } else { 0x10 } | *counter);
        *counter = (*counter + 1) & 0x0F;
        if adapts {
            if head == 4 && missing > 1 {
                field.push(0);
            }
            let length = 188 - bytes.len() - 1 - taken;
            bytes.push(u8::try_from(length).unwrap());
            field.resize(length, 0xFF);
            bytes.extend(&field);
        }
        bytes.extend(&payload[..taken]);
        out.push(bytes.try_into().unwrap());
        payload = &payload[taken..];
        first = false;
    }
}
