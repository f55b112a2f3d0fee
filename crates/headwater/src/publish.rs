//! Publishing from inside the program: frames of any codec, or FLV tags.
//!
//! [`Handle::publish`](crate::Handle::publish) begins to publish frames,
//! [`Handle::publish_flv`](crate::Handle::publish_flv) tags. Both are sessions of kind `CUSTOMIZE`,
//! visible and ended like all others; the program is not asked for credentials. They can be used
//! from any thread and any task, also from several at once, and never wait. Dropped, they leave the
//! stream, whose viewers stay for the grace time of the stream.

use std::time::Instant;

use flv::tag::Tag;
use hub::{EndReason, NameError};
use media::TrackId;
use session::customize;
use tokio::runtime::Handle;

use crate::held::Held;

#[doc(inline)]
pub use hub::PublishError as Refusal;
#[doc(inline)]
pub use session::customize::{AccessUnit, FrameError, Framing, TrackDescription, TrackError};

/// Why a stream cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It cannot have this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It has a publisher, or there are too many.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server is stopping, or has stopped.
    #[error("the server has stopped")]
    Stopped,
}

/// The session has ended: another publisher took the stream over, an operator kicked it, or the
/// server has stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this session no longer publishes the stream: {0}")]
pub struct Ended(pub EndReason);

/// Publishes frames.
///
/// ```no_run
/// use headwater::media::{Codec, Ticks, TimeBase};
/// use headwater::publish::{AccessUnit, TrackDescription};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let handle: headwater::Handle = unimplemented!();
/// # let annex_b_access_unit: Vec<u8> = Vec::new();
/// let publisher = handle.publish("live/camera")?;
/// let video = publisher.add_track(TrackDescription::new(Codec::H264))?;
/// let pts = Ticks::new(90_000, TimeBase::VIDEO);
/// publisher.send(AccessUnit::new(video, pts, annex_b_access_unit))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FramePublisher(Held<customize::FramePublisher>);

impl FramePublisher {
    pub(crate) fn new(runtime: &Handle, inner: customize::FramePublisher) -> Self {
        Self(Held::new(runtime, inner.session().clone(), inner))
    }

    /// Adds a track, whose frames may come from now on. The first of its kind is the one that
    /// viewers get who know of one alone. All tracks that are there from the beginning are best
    /// added before the first frame: viewers are told of them at once then.
    ///
    /// # Errors
    /// [`TrackError`] says why it cannot be.
    pub fn add_track(&self, description: TrackDescription) -> Result<TrackId, TrackError> {
        let added = self.0.with(|inner| inner.add_track(description, Instant::now()));
        added.unwrap_or_else(|| Err(TrackError::Ended(self.0.reason())))
    }

    /// Gives a track another configuration, in the form of [`TrackDescription::config`]. Frames
    /// that follow belong to it.
    ///
    /// # Errors
    /// [`TrackError`]; the old configuration stays then.
    pub fn set_config(
        &self,
        track: TrackId,
        config: impl Into<bytes::Bytes>,
    ) -> Result<(), TrackError> {
        let set = self.0.with(|inner| inner.set_config(track, config, Instant::now()));
        set.unwrap_or_else(|| Err(TrackError::Ended(self.0.reason())))
    }

    /// Publishes a frame. Frames of a track come in the order of decoding; those of several are
    /// best mixed by time. A payload of nothing but parameter sets is no frame, and changes the
    /// configuration.
    ///
    /// The times of all tracks are on one clock, wherever it begins. A clock that jumps by more
    /// than 5 s, either way, is joined to what was, as that of any publisher; forward, time that
    /// has really passed is no jump.
    ///
    /// # Errors
    /// [`FrameError`] says why the frame is not taken. The publisher goes on, but after
    /// [`FrameError::Ended`].
    pub fn send(&self, unit: AccessUnit) -> Result<(), FrameError> {
        let sent = self.0.with(|inner| inner.send(&unit, Instant::now()));
        sent.unwrap_or_else(|| Err(FrameError::Ended(self.0.reason())))
    }

    /// The id of the session, such as `CUSTOMIZEPUB1`.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.0.session().id()
    }

    /// Why it no longer publishes; `None` while it does.
    #[must_use]
    pub fn ending(&self) -> Option<EndReason> {
        self.0.ending()
    }

    /// Waits until it no longer publishes.
    pub async fn ended(&self) -> EndReason {
        self.0.ended().await
    }
}

/// Publishes FLV tags. The payloads of RTMP messages are the bodies of such tags; legacy and
/// Enhanced RTMP forms are understood.
///
/// ```no_run
/// use headwater::flv::tag::{Kind, Tag};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let handle: headwater::Handle = unimplemented!();
/// # let payload = bytes::Bytes::new();
/// let publisher = handle.publish_flv("live/camera")?;
/// publisher.send(&Tag { kind: Kind::Video, timestamp: 40, body: payload })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FlvPublisher(Held<customize::Publisher>);

impl FlvPublisher {
    pub(crate) fn new(runtime: &Handle, inner: customize::Publisher) -> Self {
        Self(Held::new(runtime, inner.session().clone(), inner))
    }

    /// Publishes a tag. One that is malformed is left out and named in the log once, as those of
    /// peers are.
    ///
    /// # Errors
    /// [`Ended`] when it no longer publishes.
    pub fn send(&self, tag: &Tag) -> Result<(), Ended> {
        let sent = self.0.with(|inner| inner.feed(tag));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(Ended(self.ending().unwrap_or(EndReason::TakenOver))),
            None => Err(Ended(self.0.reason())),
        }
    }

    /// The id of the session, such as `CUSTOMIZEPUB1`.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.0.session().id()
    }

    /// Why it no longer publishes; `None` while it does.
    #[must_use]
    pub fn ending(&self) -> Option<EndReason> {
        self.0.ending()
    }

    /// Waits until it no longer publishes.
    pub async fn ended(&self) -> EndReason {
        self.0.ended().await
    }
}
