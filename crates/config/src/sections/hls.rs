//! HLS.

use crate::schema::section;
use crate::units::Span;
use crate::values::HlsContainer;

section! {
    /// HLS: http://HOST/hls/APP/NAME.m3u8, or /hls/NAME.m3u8 in the default application.
    pub struct Hls {
        /// Whether HLS is served.
        Live enable: bool = true,
        /// What addresses of HLS begin with.
        Live url_prefix: String = "/hls/".to_owned(),
        /// What segments are made of: "ts" (MPEG-TS: H.264 with AAC, every player), "fmp4"
        /// (fragmented MP4: every codec) or "auto" (fmp4 with low_latency and for codecs that need
        /// it, else ts; ts for MP3).
        Live container: HlsContainer = HlsContainer::Auto,
        /// A segment ends with the first key frame after this time.
        Live segment_duration: Span = Span::from_secs(2);
            Span::from_millis(500)..=Span::from_secs(60),
        /// The longest that a segment may become (EXT-X-TARGETDURATION): where no key frame comes
        /// in time, it ends without one. "0s" takes what the first segment needs.
        Live target_duration: Span = Span::default(); Span::default()..=Span::from_secs(60),
        /// Whether playlists list parts of segments, for players with a delay below 2 s. Segments
        /// of MPEG-TS have no parts.
        Live low_latency: bool = true,
        /// About how long a part is.
        Live part_duration: Span = Span::from_millis(200);
            Span::from_millis(50)..=Span::from_secs(2),
        /// How many segments a playlist lists; more if three of the longest would not fit.
        Live segments: u32 = 7; 1..=10_000,
        /// How many segments that have left the playlist are kept at least.
        Live kept_segments: u32 = 3; 0..=10_000,
        /// Whether streams are segmented only while somebody watches.
        Live on_demand: bool = true,
        /// With on_demand: how long nobody asks before a stream is segmented no more.
        Live idle_timeout: Span = Span::from_secs(30); Span::from_secs(5)..=Span::from_secs(3600),
        /// How long the last segments of a stream that ended can be fetched.
        Live linger: Span = Span::from_secs(60); Span::default()..=Span::from_secs(3600),
        /// With a key, each viewer is a session with an id in its addresses; empty for none.
        Live session_key: String = String::new(),
        /// How long such a viewer may ask for nothing before its session ends.
        Live session_timeout: Span = Span::from_secs(30);
            Span::from_secs(1)..=Span::from_secs(3600),
    }
}
