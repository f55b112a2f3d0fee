//! The walk over the packets: continuity, tables, clocks, PES packets and their times.

use std::collections::BTreeMap;
use std::mem;

use super::clock::{Clock, FINE, unwrap_near};
use super::faults::Faults;
use super::packet::Packet;
use super::tables::{Map, Section, Sections, Version, read_pat, read_pmt};
use super::{PACKET, Pes, Program, Report, Rules, Stream, audio, pes, video};

const PAT_PID: u16 = 0;
const NULL_PID: u16 = 0x1FFF;

/// The PIDs of other tables, which are not read (table 2-3, ETSI EN 300 468 §5.1.3).
const OTHER_TABLES: [std::ops::RangeInclusive<u16>; 2] = [0x0001..=0x0003, 0x0010..=0x001F];

pub(super) struct Checker<'a> {
    rules: &'a Rules,
    report: Report,
    faults: Faults,
    /// By PID.
    counters: BTreeMap<u16, Counter<'a>>,
    pat: Table,
    programs: Vec<Mapped>,
    /// By PID.
    carriers: BTreeMap<u16, Carrier>,
    /// PAT and PMT since the last packet of media.
    fresh: (bool, bool),
}

/// The last packet of a PID.
struct Counter<'a> {
    last: u8,
    /// The packet that may be repeated once.
    repeatable: Option<&'a [u8]>,
}

/// A table that is repeated.
#[derive(Default)]
struct Table {
    sections: Sections,
    version: Version,
    /// The transport packets in which it ended.
    seen: Vec<usize>,
}

/// A program, with the index of the report's.
struct Mapped {
    table: Table,
    clock: Clock,
}

/// An elementary stream.
struct Carrier {
    /// The index of the report's.
    stream: usize,
    program: usize,
    syntax: Syntax,
    hand: Option<InHand>,
    last: Option<Last>,
}

/// How the payload of PES packets is checked.
#[derive(Clone, Copy)]
enum Syntax {
    Video(video::Syntax),
    Sound(audio::Syntax),
    /// Only the PES headers.
    Opaque,
    /// Not even these.
    Sections,
}

/// A PES packet that is being put together.
struct InHand {
    packet: usize,
    random_access: bool,
    bytes: Vec<u8>,
    epoch: u32,
    /// The clock where it began and where it ends so far.
    clock: (Option<i64>, Option<i64>),
}

/// The PES packet before.
struct Last {
    epoch: u32,
    pts: i64,
    dts: i64,
    run: Option<audio::Run>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            report: Report::default(),
            faults: Faults::default(),
            counters: BTreeMap::new(),
            pat: Table::default(),
            programs: Vec::new(),
            carriers: BTreeMap::new(),
            fresh: (false, false),
        }
    }

    pub(super) fn check(mut self, bytes: &'a [u8]) -> Report {
        for (number, packet) in bytes.chunks_exact(PACKET).enumerate() {
            self.report.packets = number + 1;
            if let Some(packet) = Packet::read(packet, number, &mut self.faults) {
                self.packet(number, &packet);
            }
        }
        if !bytes.len().is_multiple_of(PACKET) {
            self.faults.at_end();
            self.faults.add(format_args!("{} bytes are not whole packets", bytes.len()));
        }
        self.finish();
        self.report.faults = self.faults.finish();
        self.report
    }

    fn packet(&mut self, number: usize, packet: &Packet<'a>) {
        let pid = packet.pid;
        if pid == NULL_PID || !self.count(packet) {
            return;
        }
        let mut is_known = pid == PAT_PID || OTHER_TABLES.iter().any(|pids| pids.contains(&pid));
        let mut is_clock = false;
        for (program, mapped) in self.report.programs.iter().zip(&mut self.programs) {
            is_known |= program.pmt_pid == pid;
            if program.pcr_pid != Some(pid) {
                continue;
            }
            is_clock = true;
            if packet.discontinuity {
                mapped.clock.discontinuity();
            }
            if let Some(pcr) = packet.pcr {
                mapped.clock.reference(number, pcr, self.rules, &mut self.faults);
            }
        }
        if packet.pcr.is_some() && !is_clock {
            self.faults.add("a clock reference that is no program's");
        }
        if !is_known && !is_clock && !self.carriers.contains_key(&pid) {
            let mapped = self.report.programs.iter().any(|program| program.maps > 0);
            let what = if mapped { "is in no map" } else { "comes before PAT and PMT" };
            self.faults.add(format_args!("the packet {what}"));
            return;
        }
        let Some(payload) = packet.payload else { return };
        if pid == PAT_PID {
            self.pat(number, packet, payload);
        } else if let Some(program) = self.report.programs.iter().position(|p| p.pmt_pid == pid) {
            self.pmt(program, number, packet, payload);
        } else {
            self.media(number, packet, payload);
        }
    }

    /// Checks the continuity counter (§2.4.3.3); whether the packet is not a repetition.
    fn count(&mut self, packet: &Packet<'a>) -> bool {
        let pays = packet.payload.is_some();
        let counter = packet.counter;
        let repeatable = pays.then_some(packet.bytes);
        let Some(known) = self.counters.get_mut(&packet.pid) else {
            self.counters.insert(packet.pid, Counter { last: counter, repeatable });
            return true;
        };
        let last = mem::replace(&mut known.last, counter);
        if packet.discontinuity {
            known.repeatable = repeatable;
            return true;
        }
        if !pays {
            // Packets without a payload do not count, and part a packet from its repetition.
            known.repeatable = None;
            if counter != last {
                self.faults.add(format_args!(
                    "the continuity counter goes from {last} to {counter} without a payload"
                ));
            }
            return true;
        }
        if counter == last && known.repeatable.is_some_and(|twin| are_twins(twin, packet.bytes)) {
            known.repeatable = None;
            return false;
        }
        known.repeatable = repeatable;
        if counter != (last + 1) & 0x0F {
            self.faults.add(format_args!("the continuity counter goes from {last} to {counter}"));
        }
        true
    }

    fn pat(&mut self, number: usize, packet: &Packet<'_>, payload: &[u8]) {
        for section in self.pat.sections.push(payload, packet.start, &mut self.faults) {
            let Some(section) = Section::read(&section, 0x00, &mut self.faults) else { continue };
            self.pat.seen.push(number);
            self.fresh.0 = true;
            if !self.pat.version.accept(&section, &mut self.faults) {
                continue;
            }
            let programs = read_pat(section.body, &mut self.faults);
            if programs.is_empty() {
                self.faults.add("the PAT has no program");
            }
            for (number, pmt_pid) in programs {
                let known = self.report.programs.iter_mut().find(|known| known.number == number);
                if let Some(known) = known {
                    known.pmt_pid = pmt_pid;
                    continue;
                }
                self.report.programs.push(Program { number, pmt_pid, pcr_pid: None, maps: 0 });
                self.programs.push(Mapped { table: Table::default(), clock: Clock::default() });
            }
        }
    }

    fn pmt(&mut self, program: usize, number: usize, packet: &Packet<'_>, payload: &[u8]) {
        let Some(mapped) = self.programs.get_mut(program) else { return };
        let mut maps = Vec::new();
        for section in mapped.table.sections.push(payload, packet.start, &mut self.faults) {
            let Some(section) = Section::read(&section, 0x02, &mut self.faults) else { continue };
            mapped.table.seen.push(number);
            self.fresh.1 = true;
            let listed = self.report.programs.get(program).map(|program| program.number);
            if listed != Some(section.id) {
                self.faults.add(format_args!("the PMT is that of program {}", section.id));
            }
            if mapped.table.version.accept(&section, &mut self.faults) {
                maps.extend(read_pmt(section.body, &mut self.faults));
            }
        }
        for map in maps {
            self.map(program, map);
        }
    }

    /// The program consists of these streams from now on.
    fn map(&mut self, program: usize, map: Map) {
        if let Some(listed) = self.report.programs.get_mut(program) {
            listed.pcr_pid = Some(map.pcr_pid).filter(|pid| *pid != NULL_PID);
            listed.maps += 1;
        }
        let gone: Vec<u16> = self
            .carriers
            .iter()
            .filter(|(pid, carrier)| {
                carrier.program == program && !map.streams.iter().any(|entry| entry.pid == **pid)
            })
            .map(|(pid, _)| *pid)
            .collect();
        for pid in gone {
            self.end_pes(pid);
            self.carriers.remove(&pid);
        }
        for entry in map.streams {
            let same = self.carriers.get(&entry.pid).is_some_and(|carrier| {
                self.report.streams.get(carrier.stream).is_some_and(|stream| {
                    stream.stream_type == entry.stream_type
                        && stream.descriptors == entry.descriptors
                })
            });
            if same {
                continue;
            }
            self.end_pes(entry.pid);
            let syntax = match entry.stream_type {
                0x1B => Syntax::Video(video::Syntax::H264),
                0x24 => Syntax::Video(video::Syntax::H265),
                0x03 => Syntax::Sound(audio::Syntax::Mpeg1),
                0x04 => Syntax::Sound(audio::Syntax::Mpeg2),
                0x0F => Syntax::Sound(audio::Syntax::Adts),
                0x81 => Syntax::Sound(audio::Syntax::Ac3),
                0x87 => Syntax::Sound(audio::Syntax::Eac3),
                0x06 if audio::describes_opus(&entry.descriptors, &mut self.faults) => {
                    Syntax::Sound(audio::Syntax::Opus)
                }
                0x05 | 0x86 => Syntax::Sections,
                _ => Syntax::Opaque,
            };
            let stream = self.report.streams.len();
            self.report.streams.push(Stream {
                pid: entry.pid,
                stream_type: entry.stream_type,
                descriptors: entry.descriptors,
                pes: Vec::new(),
            });
            let last = self.carriers.remove(&entry.pid).and_then(|carrier| carrier.last);
            let last = last.map(|last| Last { run: None, ..last });
            let carrier = Carrier { stream, program, syntax, hand: None, last };
            self.carriers.insert(entry.pid, carrier);
        }
    }

    fn media(&mut self, number: usize, packet: &Packet<'_>, payload: &[u8]) {
        let Some(carrier) = self.carriers.get(&packet.pid) else { return };
        if matches!(carrier.syntax, Syntax::Sections) {
            return;
        }
        let is_key = packet.random_access && matches!(carrier.syntax, Syntax::Video(_));
        let fresh = mem::take(&mut self.fresh);
        if is_key && self.rules.tables_at_keys && fresh != (true, true) {
            self.faults.add("a key picture without PAT and PMT before it");
        }
        if packet.random_access && !packet.start {
            self.faults.add("random_access_indicator is set where no PES packet begins");
        }
        if packet.start {
            self.end_pes(packet.pid);
            self.faults.at(number, packet.pid);
        }
        let Some(carrier) = self.carriers.get_mut(&packet.pid) else { return };
        let Some(clock) = self.programs.get(carrier.program).map(|mapped| &mapped.clock) else {
            return;
        };
        if packet.start {
            carrier.hand = Some(InHand {
                packet: number,
                random_access: packet.random_access,
                bytes: payload.to_vec(),
                epoch: clock.epoch,
                clock: (clock.pcr, clock.pcr),
            });
        } else if let Some(hand) = &mut carrier.hand {
            let length = match *hand.bytes.as_slice() {
                [_, _, _, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
                _ => 0,
            };
            if length > 0 && hand.bytes.len() >= pes::HEAD + length {
                self.faults.add("the payload comes after the end of the PES packet");
            }
            hand.bytes.extend_from_slice(payload);
            hand.clock.1 = clock.pcr;
        } else {
            self.faults.add("the payload belongs to no PES packet");
        }
    }

    /// The PES packet in hand is complete.
    fn end_pes(&mut self, pid: u16) {
        let Some(carrier) = self.carriers.get_mut(&pid) else { return };
        let Some(hand) = carrier.hand.take() else { return };
        let Some(mapped) = self.programs.get_mut(carrier.program) else { return };
        let Some(stream) = self.report.streams.get_mut(carrier.stream) else { return };
        let faults = &mut self.faults;
        faults.at(hand.packet, pid);
        let Some(header) = pes::Header::read(&hand.bytes, faults) else { return };
        check_length(&header, hand.bytes.len(), faults);
        check_stream_id(stream.stream_type, header.stream_id, faults);
        let payload = hand.bytes.get(header.payload..).unwrap_or_default();
        if payload.is_empty() {
            faults.add("the PES packet is empty");
        }
        let run = check_payload(carrier.syntax, payload, hand.random_access, faults);
        let near = hand.clock.0.map(|pcr| pcr / FINE);
        let time = |clock: &mut Clock, time: i64| match near {
            Some(near) => unwrap_near(time, near),
            None => clock.unwrap(time),
        };
        let dts = header.dts.or(header.pts).map(|dts| time(&mut mapped.clock, dts));
        let pts = header.pts.zip(dts).map(|(pts, dts)| unwrap_near(pts, dts));
        if let (Some(pts), Some(dts)) = (pts, dts) {
            if header.dts.is_some() && pts == dts {
                faults.add("the decoding time is told though it is the presentation time");
            }
            if pts < dts {
                faults.add(format_args!(
                    "the presentation time {pts} is before {dts}, the decoding time"
                ));
            }
            check_lead(&hand, dts, self.rules, faults);
            if let Some(last) = carrier.last.as_ref().filter(|last| last.epoch == hand.epoch) {
                check_step(last, pts, dts, self.rules, faults);
            }
            carrier.last = Some(Last { epoch: hand.epoch, pts, dts, run });
        } else {
            faults.add("the PES packet has no presentation time");
        }
        stream.pes.push(Pes {
            pts,
            dts: header.dts.and(dts),
            packet: hand.packet,
            random_access: hand.random_access,
            payload: payload.to_vec(),
        });
    }

    fn finish(&mut self) {
        let pids: Vec<u16> = self.carriers.keys().copied().collect();
        for pid in pids {
            self.end_pes(pid);
        }
        self.faults.at_end();
        if self.programs.is_empty() {
            self.faults.add("there is no PAT");
        }
        if self.pat.sections.unfinished() {
            self.faults.add("the last section of the PAT is cut short");
        }
        for (program, mapped) in self.report.programs.iter().zip(&self.programs) {
            let number = program.number;
            if program.maps == 0 {
                self.faults.add(format_args!("program {number} has no PMT"));
            }
            if mapped.table.sections.unfinished() {
                self.faults.add(format_args!("the last PMT of program {number} is cut short"));
            }
            if !mapped.clock.runs() && self.report.streams.iter().any(|s| !s.pes.is_empty()) {
                self.faults.add(format_args!("program {number} has no clock reference"));
            }
            for (name, seen) in [("PAT", &self.pat.seen), ("PMT", &mapped.table.seen)] {
                let gap = mapped.clock.longest_without(seen);
                if gap > self.rules.pat_pmt_every {
                    self.faults.add(format_args!("no {name} for {gap:?}"));
                }
                self.report.pat_pmt_gap = self.report.pat_pmt_gap.max(gap);
            }
            self.report.discontinuities += mapped.clock.epoch;
            self.report.pcr_gap = self.report.pcr_gap.max(mapped.clock.largest_gap());
        }
    }
}

/// Whether the second packet repeats the first; only the clock may differ.
fn are_twins(first: &[u8], second: &[u8]) -> bool {
    let has_clock = matches!(first, [_, _, _, control, length, flags, ..]
        if control & 0x20 != 0 && *length >= 7 && flags & 0x10 != 0);
    let clock = if has_clock { 6..12 } else { 0..0 };
    first.len() == second.len()
        && first
            .iter()
            .zip(second)
            .enumerate()
            .all(|(at, (first, second))| first == second || clock.contains(&at))
}

fn check_length(header: &pes::Header, bytes: usize, faults: &mut Faults) {
    if header.length == 0 {
        if !(0xE0..=0xEF).contains(&header.stream_id) {
            faults.add("PES_packet_length is zero, which only video may have");
        }
    } else if header.length != bytes - pes::HEAD {
        faults.add(format_args!(
            "PES_packet_length is {}, and {} bytes follow",
            header.length,
            bytes - pes::HEAD
        ));
    }
}

fn check_stream_id(stream_type: u8, stream_id: u8, faults: &mut Faults) {
    let fits = match stream_type {
        0x01 | 0x02 | 0x10 | 0x1B | 0x24 | 0x33 => (0xE0..=0xEF).contains(&stream_id),
        0x03 | 0x04 | 0x0F | 0x11 => (0xC0..=0xDF).contains(&stream_id),
        0x06 | 0x81 | 0x87 => stream_id == 0xBD,
        _ => true,
    };
    if !fits {
        faults.add(format_args!("stream_id {stream_id:#04x} in stream_type {stream_type:#04x}"));
    }
}

fn check_payload(
    syntax: Syntax,
    payload: &[u8],
    random_access: bool,
    faults: &mut Faults,
) -> Option<audio::Run> {
    match syntax {
        Syntax::Video(syntax) => {
            let picture = video::check(syntax, payload, faults);
            if picture.key && !random_access {
                faults.add("a key picture without random_access_indicator");
            } else if random_access && !picture.recovers {
                faults.add("random_access_indicator is set on a picture that refers to others");
            }
            None
        }
        Syntax::Sound(syntax) => audio::check(syntax, payload, faults),
        Syntax::Opaque | Syntax::Sections => None,
    }
}

/// The packet arrives before it is decoded, and not too early (§2.4.2.7).
fn check_lead(hand: &InHand, dts: i64, rules: &Rules, faults: &mut Faults) {
    let (Some(begin), Some(end)) = hand.clock else { return };
    let most = i64::try_from(rules.max_lead.as_millis()).unwrap_or(i64::MAX).saturating_mul(90);
    if dts - begin / FINE > most {
        faults.add(format_args!(
            "the decoding time {dts} is far ahead of the clock, {}",
            begin / FINE
        ));
    }
    // A clock that broke in between says nothing.
    if end >= begin && dts < end / FINE {
        faults.add(format_args!("the decoding time {dts} is before the clock, {}", end / FINE));
    }
}

fn check_step(last: &Last, pts: i64, dts: i64, rules: &Rules, faults: &mut Faults) {
    if dts <= last.dts {
        faults.add(format_args!("the decoding time goes from {} to {dts}", last.dts));
    }
    if let Some(run) = last.run {
        let exact = i128::from(run.samples) * 90_000;
        let off = (i128::from(pts - last.pts) * i128::from(run.rate) - exact)
            .div_euclid(i128::from(run.rate));
        let limit = i128::from(run.frames);
        if off < -limit || off > limit && !rules.sound_gaps {
            faults.add(format_args!("the sound is {off} ticks away from the end of that before"));
        }
    }
}
