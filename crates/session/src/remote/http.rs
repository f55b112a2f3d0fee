//! Pulls over HTTP and WebSocket: what comes says itself whether it is FLV, MPEG-TS or a playlist of
//! HLS.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::hls::client::MAX_PLAYLIST;
use bytes::BytesMut;
use flv::tag;
use hub::{EndReason, StreamName};
use mpeg::ts::{self, Demuxer};
use net::Shard;
use tracing::info;

use super::requests::{Answer, request};
use super::{HttpUrl, Remote, hls};
use crate::context::{Context, Tenure};
use crate::ingest::Ingest;
use crate::ingest::frames::FrameIngest;

/// What playlists begin with, maybe behind a byte order mark.
const PLAYLIST: &[u8] = b"#EXTM3U";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// So much tells what a body is.
const SNIFFED: usize = 8;

/// Pulls a stream. Why it ended.
pub(super) async fn pull(
    shard: &Rc<Shard>,
    context: &Arc<Context>,
    tenure: &Tenure,
    name: &StreamName,
    remote: &Remote,
    url: HttpUrl,
) -> EndReason {
    let session = tenure.session();
    let asked = Instant::now();
    let Answer { url, mut body } = match request(shard, session, remote, url, &[]).await {
        Ok(answer) => answer,
        Err(failure) => return failure.into(),
    };
    let mut intake = Intake { context, tenure, name, reading: Reading::Unknown(BytesMut::new()) };
    let reason = loop {
        let until = Instant::now() + remote.silence;
        let mut outcome = Ok(());
        let next = body
            .next(shard, session, until, &mut |bytes| {
                if outcome.is_ok() {
                    outcome = intake.take(bytes);
                }
            })
            .await;
        match next.and_then(|more| outcome.map(|()| more)) {
            Ok(true) => {}
            Ok(false) => break EndReason::PeerClosed,
            Err(reason) => break reason,
        }
    };
    let playlist = match intake.reading {
        Reading::Playlist(text) if reason == EndReason::PeerClosed => Some(text),
        _ => None,
    };
    body.close().await;
    if let Some(text) = playlist {
        let pulling = hls::Pulling { shard, context, tenure, name, remote };
        return hls::pull(pulling, url, &text, asked).await;
    }
    info!(session = %session.id(), ?url, "the answer is over");
    reason
}

/// What comes, on its way into the stream.
struct Intake<'a> {
    context: &'a Arc<Context>,
    tenure: &'a Tenure,
    name: &'a StreamName,
    reading: Reading,
}

enum Reading {
    /// Too little to tell.
    Unknown(BytesMut),
    Flv(tag::Reader, Option<Ingest>),
    Ts(Box<Demuxer>, Option<FrameIngest>),
    Playlist(BytesMut),
}

impl Reading {
    fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"FLV") {
            return Some(Self::Flv(tag::Reader::new(tag::MAX_BODY), None));
        }
        let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
        if PLAYLIST.starts_with(text.get(..PLAYLIST.len()).unwrap_or(text)) {
            return Some(Self::Playlist(BytesMut::new()));
        }
        (start.first() == Some(&ts::SYNC)).then(|| Self::Ts(Box::default(), None))
    }
}

impl Intake<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), EndReason> {
        let now = Instant::now();
        let Self { context, tenure, name, reading } = self;
        let session = tenure.session();
        match reading {
            Reading::Unknown(start) => {
                start.extend_from_slice(bytes);
                if start.len() < SNIFFED {
                    return Ok(());
                }
                let start = start.split().freeze();
                self.reading = Reading::of(&start).ok_or_else(|| {
                    let text = "what the server sends is neither FLV nor MPEG-TS nor HLS";
                    EndReason::Refused(text.to_owned())
                })?;
                return self.take(&start);
            }
            Reading::Flv(reader, ingest) => {
                reader.push(bytes);
                let malformed = |error: flv::Error| EndReason::Protocol(error.to_string());
                while let Some(tag) = reader.poll().map_err(malformed)? {
                    if ingest.is_none() {
                        let publication = super::publish(context, session, name)?;
                        *ingest = Some(Ingest::new(publication, session.id().clone()));
                    }
                    let taken = ingest.as_mut().map_or(Ok(()), |ingest| ingest.tag(&tag, now));
                    taken.map_err(|_| EndReason::TakenOver)?;
                }
            }
            Reading::Ts(demuxer, ingest) => {
                demuxer.push(bytes, now);
                while let Some(item) = demuxer.poll() {
                    if ingest.is_none() {
                        let publication = super::publish(context, session, name)?;
                        *ingest = Some(FrameIngest::new(publication));
                    }
                    let taken = match (ingest.as_mut(), item) {
                        (None, _) => Ok(()),
                        (Some(ingest), ts::Demuxed::Track(track)) => ingest.track(track, now),
                        (Some(ingest), ts::Demuxed::Frame(frame)) => ingest.frame(frame),
                    };
                    taken.map_err(|_| EndReason::TakenOver)?;
                }
            }
            Reading::Playlist(text) => {
                text.extend_from_slice(bytes);
                if text.len() > MAX_PLAYLIST {
                    return Err(EndReason::Refused(::hls::client::Error::TooLong.to_string()));
                }
            }
        }
        Ok(())
    }
}
