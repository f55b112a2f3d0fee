//! RTMP and RTMPS.

use crate::schema::section;
use crate::units::{Size, Span};
use crate::values::{Addresses, FlushAfter, HevcOut};

section! {
    /// RTMP and RTMPS: publishers and viewers.
    pub struct Rtmp {
        /// Whether RTMP is served.
        Restart enable: bool = true,
        /// Where to listen: ":PORT" for all addresses of both families, or "IP:PORT".
        Restart listen: Addresses = Addresses::one(":1935"),
        /// Where to listen with TLS.
        Restart tls_listen: Addresses = Addresses::one(":4935"),
        /// The chunk size that is announced and written with. At 60000 nearly every frame is one
        /// chunk; some players fail above 65535.
        Live chunk_size: u32 = 60_000; 128..=65_535,
        /// How HEVC and Opus are sent to viewers that do not say what they understand: "auto" (as
        /// the publisher did), "enhanced" (FourCC) or "legacy" (codec id 12 and sound format 13).
        Live hevc_out: HevcOut = HevcOut::Auto,
        /// How long packets may wait for others on their way to RTMP viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
        /// How long the handshake may take.
        Live handshake_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// How long each step from the handshake to publish or play may take.
        Live setup_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// How long a publisher may send nothing before it is taken for dead. Mobile encoders are
        /// silent for 10 to 20 s when they change networks; until a publisher is given up, another
        /// one is refused unless stream.second_publisher is "takeover".
        Live publisher_idle: Span = Span::from_secs(30);
            Span::from_secs(2)..=Span::from_secs(3600),
        /// How often a silent viewer is pinged.
        Live player_ping: Span = Span::from_secs(30);
            Span::from_secs(1)..=Span::from_secs(3600),
        /// The longest message that a publisher may send: the largest key frame.
        Live max_message_size: Size = Size::from_bytes(8 << 20);
            Size::from_bytes(64 << 10)..=Size::from_bytes((16 << 20) - 1),
        /// How many chunk streams a publisher may use.
        Live max_chunk_streams: u32 = 64; 8..=1024,
    }
}
