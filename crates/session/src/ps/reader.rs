//! Program streams in RTP into tracks and frames, at the device's own times.
//!
//! A packet goes through the reception (order, loss) and the demuxer (access units with the times
//! of one 90 kHz clock). Decoding times are derived where the device tells none, and sound is put on
//! its sample grid.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::rtp::Packet;
use ::rtp::dts::Reorderer;
use ::rtp::receiver::{Ordered, Receiver, Statistics};
use ::rtp::rtcp::{self, Message};
use bytes::{Bytes, BytesMut};
use media::{Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind};
use mpeg::ps::{self, Demuxer, Unit};
use mpeg::ts::Demuxed;

use crate::ingest::TrackIngest;

/// A step of time that no device makes: its clock has begun anew.
const MAX_STEP_MS: i64 = 5_000;

/// How far sound may be from its sample grid and still be put on it: devices round its times to the
/// picture's, or to milliseconds.
const GRID_MS: i64 = 60;

/// The clock of program streams and of their RTP timestamps.
const CLOCK: u32 = 90_000;

/// How reports call us.
const CANONICAL_NAME: &str = "headwater";

/// Packets wait for others for less than this, whatever is set.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

/// Reads a program stream.
#[derive(Debug)]
pub struct Reader {
    receiver: Receiver,
    demuxer: Demuxer,
    /// The newest RTP timestamp, unwrapped.
    timestamp: Option<i64>,
    tracks: Vec<Inbound>,
    /// The newest presentation time.
    newest: Option<i64>,
    out: VecDeque<Demuxed>,
    /// Packets that were none.
    malformed: u64,
    /// How often the source has begun anew, as far as the demuxer knows.
    restarts: u64,
    /// Our own synchronisation source, for reports.
    ssrc: u32,
}

/// One track on its way in.
#[derive(Debug)]
struct Inbound {
    id: TrackId,
    track: TrackIngest,
    reorderer: Option<Reorderer>,
    /// The device tells decoding times where they are not the presentation times.
    tells_decoding: bool,
    /// Where the next frame of sound is by the count of samples.
    predicted: Option<i64>,
    /// The device's time of the last unit.
    told: Option<i64>,
    /// What is added to the device's times: some have a clock of its own for sound.
    shift: i64,
}

impl Reader {
    /// A reader of packets, one of which waits for those before it for `patience`. `ssrc` is our own
    /// source.
    #[must_use]
    pub fn new(patience: Duration, ssrc: u32) -> Self {
        Self {
            // Devices use other payload types than those that were agreed on.
            receiver: Receiver::new(Vec::new(), CLOCK, patience),
            demuxer: Demuxer::new(),
            timestamp: None,
            tracks: Vec::new(),
            newest: None,
            out: VecDeque::new(),
            malformed: 0,
            restarts: 0,
            ssrc,
        }
    }

    /// Takes a packet of RTP or RTCP; what goes back to the sender.
    pub fn packet(&mut self, bytes: &Bytes, now: Instant) -> Option<Bytes> {
        if ::rtp::packet::is_rtcp(bytes) {
            return self.control(bytes, now);
        }
        match Packet::parse(bytes) {
            Ok(packet) => self.receiver.receive(packet, now),
            Err(_) => self.malformed += 1,
        }
        self.drain(now);
        None
    }

    /// Takes bytes of a program stream that came without packets.
    pub fn stream(&mut self, bytes: &[u8], now: Instant) {
        self.demuxer.push(bytes, None);
        self.take_units(now);
    }

    /// Reports of the sender; the answer, if it is due.
    fn control(&mut self, bytes: &[u8], now: Instant) -> Option<Bytes> {
        let mut answer = None;
        for message in rtcp::parse(bytes) {
            match message {
                Ok(Message::SenderReport(info, _)) if self.receiver.sender_report(&info, now) => {
                    let block = self.receiver.report(now)?;
                    let mut out = BytesMut::new();
                    rtcp::write_receiver_report(self.ssrc, &[block], CANONICAL_NAME, &mut out);
                    answer = Some(out.freeze());
                }
                Ok(_) => {}
                Err(_) => self.malformed += 1,
            }
        }
        answer
    }

    /// Time has passed: packets that wait in vain for others are let through.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drain(now);
    }

    /// When [`Reader::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.receiver.poll_timeout()
    }

    /// No packet follows: what only waited for others is let through.
    pub fn finish(&mut self, now: Instant) {
        self.drain(now + MAX_PATIENCE);
        self.demuxer.finish();
        self.take_units(now);
    }

    /// The next track or frame.
    pub fn poll(&mut self) -> Option<Demuxed> {
        self.out.pop_front()
    }

    /// The source whose packets are taken.
    #[must_use]
    pub fn source(&self) -> Option<u32> {
        self.receiver.ssrc()
    }

    /// Which packets came, and which did not.
    #[must_use]
    pub fn packets(&self) -> Statistics {
        self.receiver.statistics()
    }

    /// Packets that were none.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// What the demuxer has read.
    #[must_use]
    pub fn demuxer(&self) -> &Demuxer {
        &self.demuxer
    }

    /// Works off what is in order.
    fn drain(&mut self, now: Instant) {
        while let Some(Ordered { packet, lost, .. }) = self.receiver.poll(now) {
            let restarts = self.receiver.statistics().restarts;
            // What a source that begins anew sends does not go on with what it sent before.
            if lost || restarts != self.restarts {
                self.restarts = restarts;
                self.demuxer.lost();
            }
            let near = self.timestamp.unwrap_or_else(|| i64::from(packet.timestamp));
            let at = unwrap(packet.timestamp, near);
            self.timestamp = Some(at);
            self.demuxer.push(&packet.payload, Some(at));
            if packet.marker {
                self.demuxer.frame_ends();
            }
            self.take_units(now);
        }
    }

    fn take_units(&mut self, now: Instant) {
        while let Some(demuxed) = self.demuxer.poll() {
            match demuxed {
                ps::Demuxed::Track(track) => self.track(track),
                ps::Demuxed::Unit(unit) => self.unit(unit, now),
            }
        }
    }

    /// Takes a track, or another configuration of it.
    fn track(&mut self, track: Track) {
        let (id, codec) = (track.id, track.codec);
        self.tracks.retain(|known| known.id != id || known.track.codec() == codec);
        if !self.tracks.iter().any(|known| known.id == id) {
            let ingest = TrackIngest::new(id, codec, track.enhanced);
            self.tracks.push(Inbound {
                id,
                track: ingest,
                reorderer: None,
                tells_decoding: false,
                predicted: None,
                told: None,
                shift: 0,
            });
        }
        if let Some(known) = self.tracks.iter_mut().find(|known| known.id == id) {
            // The demuxer has read it before: it can be read.
            let _ = known.track.configure(&track.config);
            if id.kind == TrackKind::Audio {
                known.track.set_details(track.details.clone());
            }
            known.reorderer = None;
        }
        self.out.push_back(Demuxed::Track(track));
    }

    /// Takes an access unit.
    fn unit(&mut self, mut unit: Unit, now: Instant) {
        let most = Ticks::from_millis(MAX_STEP_MS, TimeBase::VIDEO).value;
        if let Some(inbound) = self.tracks.iter_mut().find(|track| track.id == unit.track) {
            let shift = inbound.shift_of(&unit, self.newest, most);
            unit.pts += shift;
            unit.dts = unit.dts.map(|dts| dts + shift);
        }
        if self.newest.is_some_and(|newest| (unit.pts - newest).abs() > most) {
            for track in &mut self.tracks {
                (track.reorderer, track.predicted) = (None, None);
            }
        }
        self.newest = Some(unit.pts);
        let Some(inbound) = self.tracks.iter_mut().find(|track| track.id == unit.track) else {
            return;
        };
        let dts = match unit.track.kind {
            TrackKind::Video => Ticks::new(inbound.decoding_time(&unit), TimeBase::VIDEO),
            TrackKind::Audio | TrackKind::Data => inbound.on_grid(unit.pts, &unit.data),
        };
        let cts = match unit.kind {
            FrameKind::Key | FrameKind::Delta | FrameKind::Leading => unit.pts - dts.value,
            _ => 0,
        };
        let Unit { track, kind, data, units, .. } = unit;
        let cts = i32::try_from(cts).unwrap_or_default();
        self.out.push_back(Demuxed::Frame(Frame {
            track,
            kind,
            dts,
            cts,
            arrival: now,
            data,
            units,
        }));
    }
}

impl Inbound {
    /// What is to be added to the times of a unit. Sound that goes on by its own clock, far from the
    /// `newest` time of all tracks, is on another one: it is put where it came.
    fn shift_of(&mut self, unit: &Unit, newest: Option<i64>, most: i64) -> i64 {
        let goes_on = self.told.is_none_or(|told| (unit.pts - told).abs() <= most);
        self.told = Some(unit.pts);
        if !goes_on {
            self.shift = 0;
        } else if let Some(newest) = newest.filter(|_| unit.track.kind == TrackKind::Audio)
            && (unit.pts + self.shift - newest).abs() > most
        {
            self.shift = newest - unit.pts;
        }
        self.shift
    }

    /// The decoding time of a picture: what the device says, else what follows from the order.
    fn decoding_time(&mut self, unit: &Unit) -> i64 {
        if let Some(dts) = unit.dts {
            self.tells_decoding = true;
            return dts;
        }
        if self.tells_decoding {
            return unit.pts;
        }
        let track = &self.track;
        let reorderer = self
            .reorderer
            .get_or_insert_with(|| Reorderer::new(track.reorder_depth(), track.picture_ticks()));
        reorderer.push(unit.pts)
    }

    /// The time of a frame of sound in samples: where the one before it ends, unless the device
    /// says something quite different.
    fn on_grid(&mut self, pts: i64, data: &[u8]) -> Ticks {
        let base = self.track.time_base();
        let told = Ticks::new(pts, TimeBase::VIDEO).rescale(base).value;
        let tolerance = Ticks::from_millis(GRID_MS, base).value;
        let at = match self.predicted {
            Some(predicted) if (told - predicted).abs() <= tolerance => predicted,
            _ => told,
        };
        self.predicted = self.track.duration(data).map(|duration| at.saturating_add(duration));
        Ticks::new(at, base)
    }
}

/// The unwrapped timestamp that is nearest to `near`.
fn unwrap(timestamp: u32, near: i64) -> i64 {
    let [a, b, c, d, ..] = near.to_le_bytes();
    let low = u32::from_le_bytes([a, b, c, d]);
    near + i64::from(timestamp.wrapping_sub(low).cast_signed())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use testkit::h264::{Picture, Sequence};
    use testkit::ps::{Muxer, Traits};

    use super::*;

    const SEQUENCE: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

    /// Pictures as a device sends them: a key picture every five.
    fn pictures(count: u32) -> Vec<Vec<u8>> {
        let mut muxer = Muxer::new(Traits::hikvision());
        let picture = |n: u32| {
            let number = u64::from(n % 5);
            let kind = match number {
                0 => Picture::Key { gop: u64::from(n / 5) },
                _ => Picture::P { number, display: number },
            };
            let unit = SEQUENCE.access_unit(kind, Some(n.into()), 400).freeze();
            let spans = media::nal::split(&unit, 4).unwrap();
            let slices: Vec<_> = media::nal::iter(&unit, &spans).collect();
            let (sps, pps) = (SEQUENCE.sps(), SEQUENCE.pps());
            let sets: &[&[u8]] = if number == 0 { &[&sps, &pps] } else { &[] };
            let units = [sets, &slices].concat();
            muxer.picture(&units, number == 0, i64::from(n) * 3600)
        };
        (0..count).map(picture).collect()
    }

    /// A packet of RTP.
    fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        let (marker, payload_type, timestamp) = (false, 96, 0);
        ::rtp::packet::Header { marker, payload_type, sequence, timestamp, ssrc }.write(&mut out);
        out.extend_from_slice(payload);
        out.freeze()
    }

    fn frames(reader: &mut Reader) -> Vec<Bytes> {
        let frames = std::iter::from_fn(|| reader.poll()).filter_map(|demuxed| match demuxed {
            Demuxed::Frame(frame) => Some(frame.data),
            Demuxed::Track(_) => None,
        });
        frames.collect()
    }

    #[test]
    fn a_source_that_begins_anew_leaves_no_torn_picture() {
        let sent = pictures(10);
        let now = Instant::now();
        let mut whole = Reader::new(Duration::ZERO, 1);
        whole.stream(&sent.concat(), now);
        whole.finish(now);
        let whole: HashSet<_> = frames(&mut whole).into_iter().collect();
        assert_eq!(whole.len(), 10);

        let mut reader = Reader::new(Duration::ZERO, 1);
        let before = sent[..4].concat();
        let cut = before.len() - 150;
        for (n, payload) in before[..cut].chunks(100).enumerate() {
            reader.packet(&packet(u16::try_from(n).unwrap(), 7, payload), now);
        }
        // It has restarted, with another source.
        let later = now + Duration::from_secs(1);
        for (n, payload) in sent[5..].concat().chunks(100).enumerate() {
            reader.packet(&packet(u16::try_from(n).unwrap(), 8, payload), later);
        }
        reader.finish(later);
        let got = frames(&mut reader);
        assert!(got.iter().all(|frame| whole.contains(frame)), "a picture is torn");
        assert_eq!((got.len(), reader.demuxer().statistics().torn), (8, 1));
    }

    #[test]
    fn sound_with_a_clock_of_its_own_goes_beside_the_pictures() {
        let mut muxer = Muxer::new(Traits::hikvision());
        let (mut reader, now) = (Reader::new(Duration::ZERO, 1), Instant::now());
        for (n, picture) in (0_i64..).zip(pictures(50)) {
            reader.stream(&picture, now);
            // 40 ms of G.711, a day later.
            let sound = muxer.sound(&[0xD5; 320], Some(90_000 * 86_400 + n * 3600));
            reader.stream(&sound, now);
        }
        reader.finish(now);
        let mut times = [Vec::new(), Vec::new()];
        while let Some(demuxed) = reader.poll() {
            let Demuxed::Frame(frame) = demuxed else { continue };
            times[usize::from(frame.track.kind == TrackKind::Audio)].push(frame.dts.millis());
        }
        let [pictures, sound] = times;
        let even = |times: &[i64]| times.windows(2).all(|pair| pair[1] - pair[0] == 40);
        // The first one came before any picture was complete.
        assert!(even(&pictures) && even(&sound[1..]), "{pictures:?} {sound:?}");
        assert_eq!((pictures.len(), sound.len()), (50, 50));
        assert!((pictures[49] - sound[49]).abs() <= 80, "{pictures:?} {sound:?}");
    }

    #[test]
    fn timestamps_are_unwrapped_both_ways() {
        assert_eq!(unwrap(5, 0xFFFF_FFF0), 0x1_0000_0005);
        assert_eq!(unwrap(0xFFFF_FFF0, 0x1_0000_0005), 0xFFFF_FFF0);
    }
}
