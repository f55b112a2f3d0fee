//! Publishers and readers inside the program: what the embedding code feeds and takes, and the
//! built-in clip.
//!
//! [`Publisher`] takes FLV tags, [`FramePublisher`] frames; a [`Reader`] gets frames. All are
//! sessions like any other.

mod frames;
mod reader;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flv::tag::{self, Kind as TagKind, Tag};
use hub::{
    Address, EndReason, Kind, Protocol, Publication, PublishError, Role, Session, StreamName,
    Superseded,
};
use tokio::time::sleep_until;

pub use self::frames::{
    AccessUnit, FrameError, FramePublisher, Framing, TrackDescription, TrackError,
};
pub use self::reader::{Read, ReadError, Reader, Seat};
use crate::context::{Context, Tenure};
use crate::ingest::Ingest;

/// A publisher that the program itself feeds with FLV tags.
///
/// Dropped, it leaves the stream, as a peer that closes its connection does.
#[derive(Debug)]
pub struct Publisher {
    tenure: Tenure,
    ingest: Ingest,
    read: u64,
}

/// Why a clip stopped playing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The bytes are no FLV file.
    #[error("the clip is unusable: {0}")]
    Flv(#[from] flv::Error),
    /// The file has no frames.
    #[error("the clip is empty")]
    Empty,
    /// The stream has another publisher.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Publisher {
    /// Begins to publish.
    ///
    /// # Errors
    /// [`PublishError`] when the stream is taken.
    pub fn new(context: &Arc<Context>, name: &StreamName) -> Result<Self, PublishError> {
        let (tenure, publication) = publish(context, name)?;
        let ingest = Ingest::new(publication, tenure.session().id().clone());
        Ok(Self { tenure, ingest, read: 0 })
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        self.tenure.session()
    }

    /// Feeds one FLV tag.
    ///
    /// # Errors
    /// [`Superseded`] when another publisher took over, or an operator ended this one.
    pub fn feed(&mut self, tag: &Tag) -> Result<(), Superseded> {
        if self.tenure.session().ending().is_some() {
            return Err(Superseded);
        }
        self.read += tag.body.len() as u64;
        self.tenure.session().set_totals(self.read, 0);
        self.ingest.tag(tag, Instant::now())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        close(&mut self.tenure);
    }
}

/// Begins a session of the program itself.
fn open(context: &Arc<Context>, name: &StreamName, role: Role) -> Tenure {
    let tenure = context.open(Kind { protocol: Protocol::Customize, role }, None);
    let (app, stream) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
    let address = Address {
        url: format!("customize:{name}"),
        app_name: app.to_owned(),
        stream_name: stream.to_owned(),
        ..Address::default()
    };
    tenure.session().assume(role, address);
    tenure
}

/// Begins to publish.
fn publish(
    context: &Arc<Context>,
    name: &StreamName,
) -> Result<(Tenure, Publication), PublishError> {
    let mut tenure = open(context, name, Role::Pub);
    match context.publish(tenure.session(), name) {
        Ok(publication) => Ok((tenure, publication)),
        Err(error) => {
            tenure.end(&EndReason::Refused(error.to_string()));
            Err(error)
        }
    }
}

/// The program has dropped what the session was for.
fn close(tenure: &mut Tenure) {
    let reason = tenure.session().ending().unwrap_or(EndReason::PeerClosed);
    tenure.end(&reason);
}

/// Publishes an FLV file over and over, in real time, until somebody ends it.
///
/// # Errors
/// [`ClipError`] when the clip cannot be played, or the stream is taken.
pub async fn play_clip(
    context: &Arc<Context>,
    name: &StreamName,
    clip: &'static [u8],
) -> Result<(), ClipError> {
    let clip = Clip::read(clip)?;
    let mut publisher = Publisher::new(context, name)?;
    let start = tokio::time::Instant::now();
    for lap in 0.. {
        let lap_start = clip.length.saturating_mul(lap);
        for tag in &clip.tags {
            if lap > 0 && tag.kind == TagKind::Script {
                continue;
            }
            let at = lap_start.saturating_add(u64::from(tag.timestamp));
            sleep_until(start + Duration::from_millis(at)).await;
            // The wire's 32 bits wrap; ingest unwraps them.
            let timestamp = u32::try_from(at & 0xFFFF_FFFF).unwrap_or_default();
            if publisher.feed(&Tag { timestamp, ..tag.clone() }).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A clip in memory.
struct Clip {
    tags: Vec<Tag>,
    /// After how many milliseconds it begins anew.
    length: u64,
}

impl Clip {
    fn read(bytes: &'static [u8]) -> Result<Self, ClipError> {
        let mut reader = tag::Reader::new(tag::MAX_BODY);
        reader.push(&Bytes::from_static(bytes));
        let mut tags = Vec::new();
        while let Some(tag) = reader.poll()? {
            tags.push(tag);
        }
        let length = [TagKind::Video, TagKind::Audio]
            .into_iter()
            .filter_map(|kind| end_of(&tags, kind))
            .max()
            .ok_or(ClipError::Empty)?;
        Ok(Self { tags, length })
    }
}

/// When the last frame of a kind ends: it lasts as long as the one before it.
fn end_of(tags: &[Tag], kind: TagKind) -> Option<u64> {
    let mut times: Vec<u32> =
        tags.iter().filter(|tag| tag.kind == kind).map(|tag| tag.timestamp).collect();
    times.dedup();
    let (last, before) = (*times.last()?, times.iter().rev().nth(1).copied().unwrap_or(0));
    Some(u64::from(last) + u64::from(last.saturating_sub(before).max(1)))
}
