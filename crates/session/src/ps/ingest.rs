//! What a device sends into the frames of a stream.

use std::time::{Duration, Instant};

use ::rtp::Packet;
use ::rtp::format::Format;
use ::rtp::sdp;
use bytes::Bytes;
use hub::{Publication, SessionId, Superseded};
use media::{h264, h265};
use mpeg::ts::Demuxed;
use tracing::{info, warn};

use super::{Payload, Reader, Report};
use crate::ingest::frames::FrameIngest;
use crate::ingest::rtp::{Reception as Rules, RtpIngest};

/// Takes the packets of one publication.
pub(super) enum Ingest {
    /// A program stream.
    Ps(Box<PsIngest>),
    /// Bare video.
    Elementary(Box<RtpIngest>),
}

impl Ingest {
    /// Begins to take packets, one of which waits for those before it for `patience`. `ssrc` is our
    /// own source. Which payload it is, and of which type, the packets tell where `payload` does not.
    pub(super) fn new(
        publication: Publication,
        session: SessionId,
        payload: Payload,
        patience: Duration,
        ssrc: u32,
    ) -> Self {
        Self::Ps(Box::new(PsIngest {
            session,
            reader: Reader::new(patience, ssrc),
            frames: FrameIngest::new(publication),
            tracks: Vec::new(),
            left_out: Vec::new(),
            has_said_malformed: false,
            undecided: Some(Undecided { payload, patience, ssrc }),
        }))
    }

    /// What takes this packet and those that follow: it may be the first that tells what they carry.
    pub(super) fn decided(mut self, packet: &Bytes, now: Instant) -> Result<Self, Superseded> {
        let Self::Ps(ingest) = &mut self else { return Ok(self) };
        let Some(undecided) = &ingest.undecided else { return Ok(self) };
        let Some((payload, payload_type)) = undecided.decide(packet) else { return Ok(self) };
        let Undecided { patience, ssrc, .. } = *undecided;
        ingest.undecided = None;
        let Some(format) = elementary(payload, payload_type) else { return Ok(self) };
        let Self::Ps(ingest) = self else { return Ok(self) };
        let PsIngest { session, frames, .. } = *ingest;
        info!(%session, codec = %format.codec, payload_type, "bare video comes");
        let rules = Rules { patience, pass_torn: false };
        let publication = frames.into_publication();
        let ingest = RtpIngest::new(publication, session, vec![format], rules, ssrc, now)?;
        Ok(Self::Elementary(Box::new(ingest)))
    }

    /// Takes a packet of RTP or RTCP; what goes back to the sender.
    pub(super) fn packet(
        &mut self,
        packet: &Bytes,
        now: Instant,
    ) -> Result<Option<Bytes>, Superseded> {
        match self {
            Self::Ps(ingest) => {
                let answer = ingest.reader.packet(packet, now);
                ingest.take()?;
                Ok(answer)
            }
            Self::Elementary(ingest) if ::rtp::packet::is_rtcp(packet) => {
                ingest.control(0, packet, now);
                Ok(None)
            }
            Self::Elementary(ingest) => ingest.packet(0, packet, now).map(|()| None),
        }
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Superseded> {
        match self {
            Self::Ps(ingest) => {
                ingest.reader.handle_timeout(now);
                ingest.take()
            }
            Self::Elementary(ingest) => ingest.handle_timeout(now),
        }
    }

    /// When [`Ingest::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Ps(ingest) => ingest.reader.poll_timeout(),
            Self::Elementary(ingest) => ingest.poll_timeout(),
        }
    }

    /// No packet follows.
    pub(super) fn finish(&mut self, now: Instant) {
        match self {
            Self::Ps(ingest) => ingest.finish(now),
            Self::Elementary(ingest) => ingest.finish(now),
        }
    }

    /// What has come.
    pub(super) fn report(&self) -> Report {
        match self {
            Self::Ps(ingest) => {
                let came = ingest.reader.packets();
                Report {
                    ssrc: ingest.reader.source(),
                    packets: came.received,
                    lost: came.lost,
                    foreign: came.foreign,
                    left_out: ingest.left_out.clone(),
                }
            }
            Self::Elementary(ingest) => {
                let came = ingest.statistics();
                Report {
                    ssrc: None,
                    packets: came.received,
                    lost: came.lost,
                    foreign: came.foreign,
                    left_out: Vec::new(),
                }
            }
        }
    }
}

/// What the packets carry is not known yet.
struct Undecided {
    /// What was ordered: bare video, or a program stream, which some devices do not keep to.
    payload: Payload,
    patience: Duration,
    ssrc: u32,
}

impl Undecided {
    /// What is carried, and by which payload type, if this packet tells.
    fn decide(&self, packet: &Bytes) -> Option<(Payload, u8)> {
        if ::rtp::packet::is_rtcp(packet) {
            return None;
        }
        let packet = Packet::parse(packet).ok()?;
        let payload = match self.payload {
            // Sound beside it has a fixed type.
            Payload::H264 | Payload::H265 if packet.payload_type < 35 => return None,
            payload @ (Payload::H264 | Payload::H265) => payload,
            Payload::Ps if packet.payload.starts_with(&[0, 0, 1]) => Payload::Ps,
            Payload::Ps => codec_of_sets(&packet.payload)?,
        };
        Some((payload, packet.payload_type))
    }
}

/// The longest packet that is taken for a parameter set: inside of a picture, which reading may begin
/// in, packets are longer.
const MAX_SET: usize = 400;

/// The codec of which a packet has a sequence parameter set, by itself or in an aggregate (RFC 6184
/// §5.7.1, RFC 7798 §4.4.2) whose lengths are right.
fn codec_of_sets(payload: &[u8]) -> Option<Payload> {
    let (codec, mut units) = match *payload {
        [header, ..] if header & 0x9F == 24 => (Payload::H264, payload.get(1..)?),
        [header, second, ..] if header & 0xFE == 48 << 1 && second >> 3 == 0 => {
            (Payload::H265, payload.get(2..)?)
        }
        _ if payload.len() <= MAX_SET => return codec_of_set(payload),
        _ => return None,
    };
    let mut found = None;
    while let Some((length, rest)) = units.split_first_chunk() {
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        found = found.or_else(|| codec_of_set(unit).filter(|of_set| *of_set == codec));
        units = rest;
    }
    found.filter(|_| units.is_empty())
}

/// The codec of which this is a sequence parameter set.
fn codec_of_set(unit: &[u8]) -> Option<Payload> {
    if h264::Sps::parse(unit).is_ok() {
        return Some(Payload::H264);
    }
    (unit.starts_with(&[0x42]) && h265::Sps::parse(unit).is_ok()).then_some(Payload::H265)
}

/// Takes a program stream.
pub(super) struct PsIngest {
    session: SessionId,
    reader: Reader,
    frames: FrameIngest,
    /// Tracks that were told of.
    tracks: Vec<media::TrackId>,
    /// Names of what is not understood.
    left_out: Vec<String>,
    has_said_malformed: bool,
    undecided: Option<Undecided>,
}

impl PsIngest {
    /// Takes what has been read.
    fn take(&mut self) -> Result<(), Superseded> {
        let lost = self.reader.packets().lost;
        let torn = self.reader.demuxer().statistics().torn;
        self.frames.set_losses(lost, torn);
        while let Some(demuxed) = self.reader.poll() {
            match demuxed {
                Demuxed::Track(track) => {
                    if !self.tracks.contains(&track.id) {
                        self.tracks.push(track.id);
                        info!(session = %self.session, track = %track.id, codec = %track.codec, "track begins");
                    }
                    self.frames.track(track, Instant::now())?;
                }
                Demuxed::Frame(frame) => self.frames.frame(frame)?,
            }
        }
        for stream in self.reader.demuxer().left_out() {
            let name = stream.to_string();
            if !self.left_out.contains(&name) {
                warn!(session = %self.session, codec = name, "is not understood and left out");
                self.left_out.push(name);
            }
        }
        if self.reader.malformed() > 0 && !self.has_said_malformed {
            self.has_said_malformed = true;
            warn!(session = %self.session, "a packet is malformed and was dropped");
        }
        Ok(())
    }

    fn finish(&mut self, now: Instant) {
        self.reader.finish(now);
        // If somebody has taken the stream over, nothing is left to be done.
        let _ = self.take();
        let (came, read) = (self.reader.packets(), self.reader.demuxer().statistics());
        info!(
            session = %self.session,
            packets = came.received,
            lost = came.lost,
            reordered = came.reordered,
            late = came.late,
            duplicates = came.duplicates,
            foreign = came.foreign,
            restarts = came.restarts,
            malformed = self.reader.malformed(),
            torn = read.torn,
            skipped = read.skipped,
            "reception ended"
        );
    }
}

/// The format of packets that carry no program stream; nothing for those that do.
fn elementary(payload: Payload, payload_type: u8) -> Option<Format> {
    let name = match payload {
        Payload::Ps => return None,
        Payload::H264 => "H264",
        Payload::H265 => "H265",
    };
    let text = format!(
        "v=0\r\nm=video 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {name}/90000\r\n"
    );
    let description = sdp::Session::parse(text.as_bytes()).ok()?;
    Format::of(description.media.first()?).ok()
}

#[cfg(test)]
mod tests {
    use media::Codec;
    use testkit::h264::Sequence;

    use super::*;

    #[test]
    fn bare_video_has_a_format() {
        let codec = |payload| elementary(payload, 98).map(|format| format.codec);
        assert_eq!(codec(Payload::Ps), None);
        assert_eq!(codec(Payload::H264), Some(Codec::H264));
        assert_eq!(codec(Payload::H265), Some(Codec::H265));
        assert_eq!(elementary(Payload::H264, 100).unwrap().payload_type, 100);
    }

    #[test]
    fn what_packets_carry_is_seen() {
        let decide = |ordered, payload_type, payload: &[u8]| {
            let mut out = bytes::BytesMut::new();
            let (marker, sequence, timestamp, ssrc) = (false, 1, 0, 7);
            ::rtp::packet::Header { marker, payload_type, sequence, timestamp, ssrc }
                .write(&mut out);
            out.extend_from_slice(payload);
            let (patience, ssrc) = (Duration::ZERO, 1);
            Undecided { payload: ordered, patience, ssrc }.decide(&out.freeze())
        };
        let sequence = Sequence { width: 1280, height: 720, rate: (25, 1), reorders: false };
        let (sps, pps) = (sequence.sps(), sequence.pps());
        let unit = |unit: &[u8]| [&u16::try_from(unit.len()).unwrap().to_be_bytes(), unit].concat();
        let message = unit(&[&[6][..], &[0xAB; 700]].concat());
        let aggregate = [&[24][..], &unit(&pps), &unit(&sps), &message].concat();
        let bare = Some((Payload::H264, 98));
        assert_eq!(decide(Payload::Ps, 98, &sps), bare);
        assert_eq!(decide(Payload::Ps, 98, &aggregate), bare);
        assert_eq!(decide(Payload::Ps, 98, &aggregate[..aggregate.len() - 1]), None);
        assert_eq!(decide(Payload::Ps, 98, &[0, 0, 1, 0xBA]), Some((Payload::Ps, 98)));
        // The inside of a picture, and sound.
        assert_eq!(decide(Payload::Ps, 96, &[&sps[..], &[0xAB; 1300]].concat()), None);
        assert_eq!(decide(Payload::Ps, 8, &[0xD5; 320]), None);
        assert_eq!(decide(Payload::H264, 8, &[0xD5; 320]), None);
        assert_eq!(decide(Payload::H265, 100, &[2, 1]), Some((Payload::H265, 100)));
    }
}
