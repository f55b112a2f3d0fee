//! What a device sends into the frames of a stream.

use std::time::{Duration, Instant};

use ::rtp::format::Format;
use ::rtp::sdp;
use bytes::Bytes;
use hub::{Publication, SessionId, Superseded};
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
    /// own source.
    pub(super) fn new(
        publication: Publication,
        session: SessionId,
        payload: Payload,
        patience: Duration,
        ssrc: u32,
        now: Instant,
    ) -> Result<Self, Superseded> {
        let Some(format) = elementary(payload) else {
            return Ok(Self::Ps(Box::new(PsIngest {
                session,
                reader: Reader::new(patience, ssrc),
                frames: FrameIngest::new(publication),
                tracks: Vec::new(),
                left_out: Vec::new(),
                has_said_malformed: false,
            })));
        };
        let rules = Rules { patience, pass_torn: false };
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
fn elementary(payload: Payload) -> Option<Format> {
    let name = match payload {
        Payload::Ps => return None,
        Payload::H264 => "H264",
        Payload::H265 => "H265",
    };
    let text = format!("v=0\r\nm=video 0 RTP/AVP 98\r\na=rtpmap:98 {name}/90000\r\n");
    let description = sdp::Session::parse(text.as_bytes()).ok()?;
    Format::of(description.media.first()?).ok()
}

#[cfg(test)]
mod tests {
    use media::Codec;

    use super::*;

    #[test]
    fn bare_video_has_a_format() {
        let codec = |payload| elementary(payload).map(|format| format.codec);
        assert_eq!(codec(Payload::Ps), None);
        assert_eq!(codec(Payload::H264), Some(Codec::H264));
        assert_eq!(codec(Payload::H265), Some(Codec::H265));
    }
}
