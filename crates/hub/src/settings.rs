//! What can be set per stream.

use std::time::Duration;

/// What happens when somebody publishes to a stream that has a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecondPublisher {
    /// The newcomer is refused.
    #[default]
    Refuse,
    /// The newcomer replaces the old publisher, whose session ends.
    Takeover,
}

/// What a stream is recorded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// FLV files.
    pub flv: bool,
    /// Transport streams.
    pub ts: bool,
    /// Fragmented MP4.
    pub mp4: bool,
    /// Segments and playlists.
    pub hls: bool,
}

/// The rules of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// GOPs that a new viewer gets at once, the unfinished one included; 0 lets it wait for the
    /// next key frame.
    pub gops: usize,
    /// Frames kept of one GOP; when it grows longer its beginning is dropped, and viewers wait.
    pub max_gop_frames: usize,
    /// Bytes kept per stream and wire format.
    pub max_cache_bytes: usize,
    /// What a second publisher meets.
    pub second_publisher: SecondPublisher,
    /// How long a stream waits for its publisher to return before the viewers are sent away.
    pub grace: Duration,
    /// How long those who make something of all frames (recordings, HLS, readers of the program)
    /// go on for a publisher that left; as long as viewers, if it is not less.
    pub record_grace: Duration,
    /// How long a new publisher's second track is waited for before viewers are told which tracks
    /// there are.
    pub track_wait: Duration,
    /// How long a publisher's pictures come without sound, by their own times, before silence is
    /// put in its place; nothing for never.
    pub silent_audio_after: Option<Duration>,
    /// How old the oldest unsent byte may get before it is sent. Up to 40 ms a video frame is
    /// sent at once and takes the audio with it; above, frames are merged.
    pub flush_after: Duration,
    /// How far behind a viewer may fall (and 1.5 GOPs) before it skips to the newest key frame.
    pub skip_after: Duration,
    /// How long a viewer may take no byte at all before it is closed.
    pub stall_timeout: Duration,
    /// Skips in one minute after which a viewer is closed.
    pub max_skips: u32,
    /// How long a viewer waits for a key frame before it gets the stream as it is (streams with
    /// intra refresh have none).
    pub key_frame_wait: Duration,
    /// What it is recorded as.
    pub record: Recorded,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            gops: 1,
            // 60 s at 60 fps with audio: longer GOPs are surveillance settings whose start-up
            // burst would hurt more than the wait.
            max_gop_frames: 8192,
            // 10 s at 50 Mbit/s.
            max_cache_bytes: 64 << 20,
            second_publisher: SecondPublisher::Refuse,
            grace: Duration::from_secs(10),
            record_grace: Duration::MAX,
            track_wait: Duration::from_secs(1),
            silent_audio_after: None,
            flush_after: Duration::from_millis(20),
            skip_after: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(10),
            max_skips: 20,
            key_frame_wait: Duration::from_secs(3),
            record: Recorded::default(),
        }
    }
}
