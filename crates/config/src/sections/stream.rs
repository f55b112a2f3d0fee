//! The rules of streams, and what changes them for some.

use crate::schema::section_with_overrides;
use crate::units::{Size, Span};
use crate::values::{RecordFormats, SecondPublisher};

section_with_overrides! {
    /// The rules of every stream, unless a stream_override says otherwise.
    pub struct Stream;
    /// Rules for the streams whose path matches a pattern. Of several that match, the later one
    /// wins, key by key.
    pub struct StreamOverride;
    /// How many groups of pictures a new viewer gets at once, the unfinished one included; 0 lets
    /// it wait for the next key frame.
    Live gops: u32 = 1; 0..=64,
    /// How many frames of one group of pictures are kept; when it grows longer its beginning is
    /// dropped, and new viewers wait for the next key frame.
    Live max_gop_frames: u32 = 8192; 1..=1_000_000,
    /// How many bytes are kept per stream and wire format.
    Live max_cache: Size = Size::from_bytes(64 << 20);
        Size::from_bytes(1 << 20)..=Size::from_bytes(1 << 30),
    /// What somebody meets who publishes to a stream that has a publisher: "refuse" (the newcomer
    /// goes) or "takeover" (the old publisher goes).
    Live second_publisher: SecondPublisher = SecondPublisher::Refuse,
    /// How long viewers are kept for a publisher that left and may return.
    Live grace: Span = Span::from_secs(10); Span::default()..=Span::from_secs(3600),
    /// How long recordings and HLS go on for a publisher that left and may return; no longer than
    /// grace.
    Live record_grace: Span = Span::from_secs(3600); Span::default()..=Span::from_secs(3600),
    /// How long a new publisher's second track is waited for, before viewers are told which
    /// tracks there are.
    Live track_wait: Span = Span::from_secs(1); Span::default()..=Span::from_secs(10),
    /// Whether silence is added where a publisher sends pictures alone, as a track of AAC that gives
    /// way to its own sound.
    Live silent_audio: bool = false,
    /// How long pictures come without sound, by their own times, before silence is added; viewers
    /// that come meanwhile wait. Sound that is announced is given track_wait in addition.
    Live silent_audio_after: Span = Span::from_millis(150); Span::default()..=Span::from_secs(10),
    /// How old the oldest unsent byte may get before it is sent. Up to 40ms a video frame is sent
    /// at once; above, frames are merged into larger writes, which serves more viewers per core
    /// and costs this much delay.
    Live flush_after: Span = Span::from_millis(20); Span::default()..=Span::from_millis(350),
    /// How far behind a viewer may fall before it skips to the newest key frame.
    Live skip_after: Span = Span::from_secs(2); Span::from_millis(500)..=Span::from_secs(60),
    /// How long a viewer may take no byte at all before it is closed.
    Live stall_timeout: Span = Span::from_secs(10); Span::from_secs(1)..=Span::from_secs(300),
    /// How often a viewer may skip in one minute before it is closed.
    Live max_skips: u32 = 20; 1..=1000,
    /// What the stream is recorded as: any of "flv", "ts", "mp4" and "hls"; see section record.
    Live record: RecordFormats = RecordFormats::default(),
    /// How long a new viewer waits for a key frame before it gets the stream as it is: streams
    /// with intra refresh have none.
    Live key_frame_wait: Span = Span::from_secs(3); Span::default()..=Span::from_secs(60),
}
