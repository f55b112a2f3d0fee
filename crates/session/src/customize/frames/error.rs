//! Why tracks and frames of the program are not taken.

use std::time::Duration;

use hub::EndReason;
use media::{Codec, Error, TrackId};

use super::track::{MAX_FRAME, MAX_OFFSET};
use crate::ingest::{MAX_CONFIG, MAX_TRACKS};

/// Why a track cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// There are as many as may be.
    #[error("the publisher already has {MAX_TRACKS} tracks of this kind, the most there may be")]
    TooMany,
    /// It is not known whether this is sound or pictures.
    #[error("frames of {0} cannot be published")]
    Codec(Codec),
    /// The configuration cannot be read.
    #[error("the configuration is no configuration of {codec}: {error}")]
    Configuration {
        /// The codec of the track.
        codec: Codec,
        /// What is wrong with it.
        error: Error,
    },
    /// The configuration is longer than any.
    #[error("the configuration has {0} bytes; at most {MAX_CONFIG} are taken")]
    TooLong(usize),
    /// There is no such track.
    #[error("the track {0} was not added")]
    Absent(TrackId),
    /// The session has ended.
    #[error("this session no longer publishes the stream: {0}")]
    Ended(EndReason),
}

/// Why a frame is not taken. Only [`FrameError::Ended`] is the publisher's end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Its track was not added.
    #[error("the track {0} was not added")]
    Track(TrackId),
    /// It has no bytes.
    #[error("a frame of {0} is empty")]
    Empty(TrackId),
    /// It is larger than any.
    #[error("a frame of {track} has {bytes} bytes; at most {MAX_FRAME} are taken")]
    TooLong {
        /// Its track.
        track: TrackId,
        /// Its bytes.
        bytes: usize,
    },
    /// It is decoded before the one before it. (A step back by more than 5 s is another clock, and
    /// taken.)
    #[error(
        "a frame of {track} is decoded {by:?} before the one before it: send frames in the order \
         of decoding"
    )]
    Backwards {
        /// Its track.
        track: TrackId,
        /// By how much.
        by: Duration,
    },
    /// It is presented long before or after it is decoded.
    #[error(
        "a frame of {track} is presented {by:?} away from its decoding, and at most {MAX_OFFSET:?} \
         make sense: are both times of the same clock?"
    )]
    Offset {
        /// Its track.
        track: TrackId,
        /// How far.
        by: Duration,
    },
    /// Its payload is not what the track's framing promises.
    #[error("a frame of {track} is malformed: {error}; {expected}")]
    Malformed {
        /// Its track.
        track: TrackId,
        /// What is wrong.
        error: Error,
        /// What the payload should be.
        expected: &'static str,
    },
    /// A decoder would not know what to do with it.
    #[error("the configuration of {track} is not known yet: {expected}")]
    Configuration {
        /// Its track.
        track: TrackId,
        /// Where it should come from.
        expected: &'static str,
    },
    /// The session has ended.
    #[error("this session no longer publishes the stream: {0}")]
    Ended(EndReason),
}
