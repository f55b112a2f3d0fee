//! RTP packets of a publisher, as RTSP, relays and devices bring them, into the frames of a stream.
//!
//! A packet goes through the reception of its track (order, loss), the payload format (frames), the
//! clock of the session (one time line for all tracks), and joins the stream. What is malformed is
//! dropped and said once; it never ends a session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::rtp::Packet;
use ::rtp::clock::Clock;
use ::rtp::dts::Reorderer;
use ::rtp::format::Format;
use ::rtp::payload::{Depacketizer, Unit};
use ::rtp::receiver::{Ordered, Receiver, Statistics};
use ::rtp::rtcp::{self, Message};
use bytes::{Bytes, BytesMut};
use hub::{Publication, SessionId, Superseded};
use media::{Codec, Frame, FrameKind, Ticks, TimeBase, TrackId, TrackKind, Units, inspect};
use tracing::{info, warn};

use super::MAX_TRACKS;
use super::track::TrackIngest;

#[cfg(test)]
mod tests;

/// Where on a stream's time line a publisher begins: room before it for decoding times, which lie
/// before the first presentation.
const LEAD_MS: i64 = 500;

/// How often a sender is told what has arrived (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How reports call us.
const CANONICAL_NAME: &str = "headwater";

/// How packets are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reception {
    /// How long a packet waits for those before it.
    pub(crate) patience: Duration,
    /// Whether frames are passed on of which a part is missing.
    pub(crate) pass_torn: bool,
}

/// Takes the packets of one publication.
pub(crate) struct RtpIngest {
    publication: Publication,
    session: SessionId,
    reception: Reception,
    tracks: Vec<Inbound>,
    clock: Clock,
    /// Where the clock's zero lies on the stream's time line, in milliseconds.
    origin_ms: i64,
    /// Our own synchronisation source, for reports.
    ssrc: u32,
    torn: u64,
    report_at: Option<Instant>,
    said: Vec<&'static str>,
}

/// One track on its way in.
struct Inbound {
    /// What it is in the stream; nothing for what no output carries (metadata of cameras).
    id: Option<TrackId>,
    format: Format,
    clock: TimeBase,
    receiver: Receiver,
    arrivals: Arrivals,
    depacketizer: Box<dyn Depacketizer>,
    track: TrackIngest,
    reorderer: Option<Reorderer>,
    /// A configuration has been shown to the stream.
    shown: bool,
    /// Its sender has said goodbye, and sent nothing since.
    left: bool,
}

/// When the first packets of the last timestamps came: a picture is often complete only when the
/// next one begins.
#[derive(Default)]
struct Arrivals(VecDeque<(u32, Instant)>);

impl Arrivals {
    /// More frames than a payload format holds back.
    const MAX: usize = 16;

    fn remember(&mut self, timestamp: u32, arrival: Instant) {
        if self.0.iter().any(|(known, _)| *known == timestamp) {
            return;
        }
        if self.0.len() >= Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back((timestamp, arrival));
    }

    /// When a frame began to arrive; the last packet where frames have timestamps of their own.
    fn of(&self, timestamp: u32) -> Option<Instant> {
        let known = self.0.iter().find(|(known, _)| *known == timestamp);
        known.or_else(|| self.0.back()).map(|(_, arrival)| *arrival)
    }
}

impl RtpIngest {
    /// Begins to take packets. `formats` are the media that were agreed on, in the order of their
    /// index. `ssrc` is our own source.
    pub(crate) fn new(
        mut publication: Publication,
        session: SessionId,
        formats: Vec<Format>,
        reception: Reception,
        ssrc: u32,
        now: Instant,
    ) -> Result<Self, Superseded> {
        let leader = formats.iter().position(|format| format.kind == TrackKind::Audio);
        let clock = Clock::new(formats.iter().map(|f| f.clock_rate), leader.unwrap_or_default());
        let origin_ms = publication.timeline().start() + LEAD_MS;
        let has = |kind| formats.iter().any(|format| format.kind == kind);
        publication.announce(has(TrackKind::Video), has(TrackKind::Audio), now)?;
        let mut this = Self {
            publication,
            session,
            reception,
            tracks: Vec::new(),
            clock,
            origin_ms,
            ssrc,
            torn: 0,
            report_at: None,
            said: Vec::new(),
        };
        for format in formats {
            this.add(format, now)?;
        }
        Ok(this)
    }

    fn add(&mut self, format: Format, now: Instant) -> Result<(), Superseded> {
        let same = self.tracks.iter().filter(|track| track.format.kind == format.kind).count();
        let index = u8::try_from(same).unwrap_or(u8::MAX);
        let mut id = match format.kind {
            TrackKind::Video => Some(TrackId::video(index)),
            TrackKind::Audio => Some(TrackId::audio(index)),
            TrackKind::Data => None,
        };
        if index >= MAX_TRACKS {
            self.say("there are too many tracks; one was left out", &index);
            id = None;
        }
        let depacketizer = match format.depacketizer() {
            Ok(depacketizer) => depacketizer,
            Err(error) => {
                self.say("a track cannot be read and was left out", &error);
                id = None;
                ::rtp::format::discard()
            }
        };
        let codec = format.codec;
        let place = id.unwrap_or_else(TrackId::data);
        let mut track = TrackIngest::new(place, codec, is_enhanced(codec));
        let config = format.config();
        if !config.is_empty()
            && let Err(error) = track.configure(&config)
        {
            self.say("a decoder configuration is malformed; it may come with the media", &error);
        }
        // After the configuration, which may say nothing of a rate.
        if format.kind == TrackKind::Audio && says_all(codec) {
            track.set_details(format.details());
        }
        if let Some(id) = id {
            let known = codec.is_known();
            info!(session = %self.session, track = %id, %codec, known, "track begins");
        }
        let patience = self.reception.patience;
        let receiver = Receiver::new(vec![format.payload_type], format.clock_rate, patience);
        let clock = TimeBase::new(format.clock_rate).unwrap_or(TimeBase::VIDEO);
        let inbound = Inbound {
            id,
            format,
            clock,
            receiver,
            arrivals: Arrivals::default(),
            depacketizer,
            track,
            reorderer: None,
            shown: false,
            left: false,
        };
        self.tracks.push(inbound);
        self.show(self.tracks.len() - 1, self.origin_ms, now)
    }

    /// Takes an RTP packet of a track.
    pub(crate) fn packet(
        &mut self,
        index: usize,
        bytes: &Bytes,
        now: Instant,
    ) -> Result<(), Superseded> {
        match Packet::parse(bytes) {
            Ok(packet) => {
                if let Some(track) = self.tracks.get_mut(index) {
                    track.left = false;
                    track.receiver.receive(packet, now);
                }
                self.drain(index, now)
            }
            Err(error) => {
                self.say("a packet is malformed and was dropped", &error);
                Ok(())
            }
        }
    }

    /// Takes RTCP of a track's sender.
    pub(crate) fn control(&mut self, index: usize, bytes: &[u8], now: Instant) {
        for message in rtcp::parse(bytes) {
            match message {
                Ok(Message::SenderReport(info, _)) => {
                    let Some(track) = self.tracks.get_mut(index) else { return };
                    if track.receiver.sender_report(&info, now) {
                        self.clock.sender_report(index, info.ntp, info.rtp);
                    }
                }
                // Nobody else can say it for the source.
                Ok(Message::Goodbye(sources)) => {
                    let Some(track) = self.tracks.get_mut(index) else { return };
                    track.left |= track.receiver.ssrc().is_some_and(|own| sources.contains(&own));
                }
                Ok(_) => {}
                Err(error) => self.say("a report is malformed and was dropped", &error),
            }
        }
    }

    /// Whether every sender that was heard has said goodbye (RFC 3550 §6.6).
    pub(crate) fn has_left(&self) -> bool {
        let mut heard = self.tracks.iter().filter(|track| track.receiver.ssrc().is_some());
        self.tracks.iter().any(|track| track.left) && heard.all(|track| track.left)
    }

    /// Where a track's timestamps begin, as the answer to `PLAY` says.
    pub(crate) fn starts_at(&mut self, index: usize, timestamp: u32) {
        self.clock.starts_at(index, timestamp);
    }

    /// Time has passed: packets that wait in vain for others are let through.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Superseded> {
        (0..self.tracks.len()).try_for_each(|index| self.drain(index, now))
    }

    /// When [`RtpIngest::handle_timeout`] and [`RtpIngest::reports`] have something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.tracks.iter().filter_map(|track| track.receiver.poll_timeout());
        waiting.chain(self.report_at).min()
    }

    /// Reports that are due: for which track, and the bytes.
    pub(crate) fn reports(&mut self, now: Instant) -> Vec<(usize, Bytes)> {
        let due = *self.report_at.get_or_insert(now + REPORT_INTERVAL);
        if now < due {
            return Vec::new();
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        let ssrc = self.ssrc;
        let blocks = self.tracks.iter_mut().enumerate();
        let blocks = blocks.filter_map(|(index, t)| Some((index, t.receiver.report(now)?)));
        let written = blocks.map(|(index, block)| {
            let mut out = BytesMut::new();
            rtcp::write_receiver_report(ssrc, &[block], CANONICAL_NAME, &mut out);
            (index, out.freeze())
        });
        written.collect()
    }

    /// What came of the first track and what did not.
    pub(crate) fn statistics(&self) -> Statistics {
        self.tracks.first().map(|track| track.receiver.statistics()).unwrap_or_default()
    }

    /// No packet follows: what only waited for others is let through.
    pub(crate) fn finish(&mut self, now: Instant) {
        let patience = self.reception.patience;
        for index in 0..self.tracks.len() {
            if self.drain(index, now + patience).is_err() {
                return;
            }
            if let Some(track) = self.tracks.get_mut(index) {
                track.depacketizer.flush();
            }
            if self.take_units(index, now).is_err() {
                return;
            }
        }
        let statistics = || self.tracks.iter().map(|track| track.receiver.statistics());
        let sum = |of: fn(&::rtp::receiver::Statistics) -> u64| -> u64 {
            statistics().map(|statistics| of(&statistics)).sum()
        };
        info!(
            session = %self.session,
            packets = sum(|s| s.received),
            lost = sum(|s| s.lost),
            reordered = sum(|s| s.reordered),
            late = sum(|s| s.late),
            duplicates = sum(|s| s.duplicates),
            foreign = sum(|s| s.foreign),
            restarts = sum(|s| s.restarts),
            torn = self.torn,
            jumps = self.clock.jumps(),
            "reception ended"
        );
    }

    /// Works off what is in order.
    fn drain(&mut self, index: usize, now: Instant) -> Result<(), Superseded> {
        loop {
            let Some(track) = self.tracks.get_mut(index) else { return Ok(()) };
            let Some(Ordered { packet, arrival, lost }) = track.receiver.poll(now) else {
                return Ok(());
            };
            if track.id.is_none() {
                continue;
            }
            self.clock.begin_at(arrival);
            track.arrivals.remember(packet.timestamp, arrival);
            if let Err(error) = track.depacketizer.push(&packet, lost) {
                self.say("a payload is malformed and was dropped", &error);
            }
            self.take_units(index, now)?;
        }
    }

    fn take_units(&mut self, index: usize, now: Instant) -> Result<(), Superseded> {
        loop {
            let Some(track) = self.tracks.get_mut(index) else { return Ok(()) };
            if let Some(config) = track.depacketizer.take_config()
                && track.track.configure(&config).is_err()
            {
                self.say("a decoder configuration is malformed", &"ignored");
            }
            let Some(track) = self.tracks.get_mut(index) else { return Ok(()) };
            let Some(unit) = track.depacketizer.poll() else { return Ok(()) };
            self.unit(index, unit, now)?;
        }
    }

    /// Takes an access unit.
    fn unit(&mut self, index: usize, unit: Unit, now: Instant) -> Result<(), Superseded> {
        if unit.torn {
            self.torn += 1;
        }
        let lost = self.tracks.iter().map(|track| track.receiver.statistics().lost).sum();
        self.publication.timeline().set_reception(self.clock.jumps(), lost, self.torn);
        if unit.torn && !self.reception.pass_torn {
            return Ok(());
        }
        let Some(track) = self.tracks.get(index) else { return Ok(()) };
        let arrival = track.arrivals.of(unit.timestamp).unwrap_or(now);
        let placed = self.clock.place(index, unit.timestamp, arrival);
        let origin = Ticks::from_millis(self.origin_ms, track.clock).value;
        let pts = Ticks::new(origin.saturating_add(placed), track.clock);
        match track.format.kind {
            TrackKind::Video => self.picture(index, &unit.data, pts, now),
            TrackKind::Audio => self.sound(index, &unit.data, pts, now),
            TrackKind::Data => Ok(()),
        }
    }

    fn picture(
        &mut self,
        index: usize,
        data: &Bytes,
        pts: Ticks,
        now: Instant,
    ) -> Result<(), Superseded> {
        let Some(inbound) = self.tracks.get_mut(index) else { return Ok(()) };
        let Some(id) = inbound.id else { return Ok(()) };
        let codec = inbound.format.codec;
        let (data, units) = match inbound.track.canonical(data) {
            Ok(canonical) => canonical,
            Err(error) => {
                self.say("a picture is malformed and was dropped", &error);
                return Ok(());
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        let kind = match codec {
            // Nobody knows which are: whoever wants them begins anywhere.
            Codec::Rtp(_) => FrameKind::Key,
            _ if inspect::is_random_access(codec, &data, &units) == Some(true) => FrameKind::Key,
            _ => FrameKind::Delta,
        };
        if kind == FrameKind::Key {
            inbound.track.learn(&data);
        }
        self.show(index, pts.millis(), now)?;
        let Some(inbound) = self.tracks.get_mut(index).filter(|inbound| inbound.shown) else {
            // Without its configuration, nobody could decode it.
            return Ok(());
        };
        let track = &inbound.track;
        let reorderer = inbound
            .reorderer
            .get_or_insert_with(|| Reorderer::new(track.reorder_depth(), track.picture_ticks()));
        let pts = pts.rescale(TimeBase::VIDEO);
        let dts = Ticks::new(reorderer.push(pts.value), TimeBase::VIDEO);
        let dts = self.publication.timeline().exact(id, dts);
        let cts = i32::try_from(pts.value - dts.value).unwrap_or_default();
        self.publication.push(Frame { track: id, kind, dts, cts, arrival: now, data, units })
    }

    fn sound(
        &mut self,
        index: usize,
        data: &Bytes,
        pts: Ticks,
        now: Instant,
    ) -> Result<(), Superseded> {
        let Some(inbound) = self.tracks.get_mut(index) else { return Ok(()) };
        let Some(id) = inbound.id else { return Ok(()) };
        let Some(data) = inbound.track.sound(data, None).filter(|data| !data.is_empty()) else {
            return Ok(());
        };
        self.show(index, pts.millis(), now)?;
        let Some(inbound) = self.tracks.get(index).filter(|inbound| inbound.shown) else {
            return Ok(());
        };
        // It may be a small piece of a large buffer, which it would hold for as long as it is kept.
        let data = Bytes::copy_from_slice(&data);
        let dts = pts.rescale(inbound.track.time_base());
        let dts = self.publication.timeline().exact(id, dts);
        let (kind, units) = (FrameKind::Audio, Units::new());
        self.publication.push(Frame { track: id, kind, dts, cts: 0, arrival: now, data, units })
    }

    /// Shows the stream a track that is new or has changed, once decoders know enough.
    fn show(&mut self, index: usize, at_ms: i64, now: Instant) -> Result<(), Superseded> {
        let Some(inbound) = self.tracks.get_mut(index) else { return Ok(()) };
        if inbound.id.is_none() || !inbound.track.is_described() {
            return Ok(());
        }
        inbound.shown = true;
        match inbound.track.take_change() {
            Some(track) => self.publication.set_track(track, at_ms, now),
            None => Ok(()),
        }
    }

    fn say(&mut self, what: &'static str, detail: &dyn std::fmt::Display) {
        if !self.said.contains(&what) {
            self.said.push(what);
            warn!(session = %self.session, %detail, "{what}");
        }
    }
}

/// Which of the payload forms of FLV and RTMP a codec gets, where viewers do not say what they
/// understand: the legacy one where every player knows it.
pub(crate) fn is_enhanced(codec: Codec) -> bool {
    !matches!(codec, Codec::H264 | Codec::Aac | Codec::Mp3 | Codec::PcmA | Codec::PcmU)
}

/// Whether rate and channels are told by the description alone.
fn says_all(codec: Codec) -> bool {
    matches!(codec, Codec::PcmA | Codec::PcmU | Codec::Rtp(_))
}
