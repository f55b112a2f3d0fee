//! HTTP for viewers, and what is sent without end over it: FLV, MPEG-TS, MP4.

use crate::schema::section;
use crate::units::Span;
use crate::values::{Addresses, FlushAfter, HevcOut, Prefixes};

section! {
    /// HTTP and HTTPS for viewers. The operator's API listens elsewhere: see section api.
    pub struct Http {
        /// Where to listen: ":PORT" for all addresses of both families, or "IP:PORT".
        Restart listen: Addresses = Addresses::one(":8080"),
        /// Where to listen with TLS.
        Restart tls_listen: Addresses = Addresses::one(":4433"),
        /// Whether there is a page with a player for each stream: http://HOST/play/APP/NAME.
        Restart player_page: bool = false,
        /// How long a request's head may take to arrive.
        Live head_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
    }
}

section! {
    /// HTTP-FLV and WebSocket-FLV: http://HOST/APP/NAME.flv.
    pub struct Flv {
        /// Whether FLV is served.
        Live enable: bool = true,
        /// Only addresses that begin with this are served, or with one of a list; it remains part
        /// of the stream's path.
        Live url_prefix: Prefixes = Prefixes::one("/"),
        /// How HEVC and Opus are sent to viewers that do not ask for either form: "auto" (as the
        /// publisher did), "enhanced" (FourCC) or "legacy" (codec id 12 and sound format 13).
        Live hevc_out: HevcOut = HevcOut::Auto,
        /// Whether viewers that do not ask are sent tracks beyond the first video and audio.
        Live multitrack: bool = false,
        /// How long packets may wait for others on their way to FLV viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
    }
}

section! {
    /// MPEG-TS over HTTP and WebSocket: http://HOST/APP/NAME.ts.
    pub struct Ts {
        /// Whether MPEG-TS is served.
        Live enable: bool = true,
        /// Only addresses that begin with this are served, or with one of a list; it remains part
        /// of the stream's path.
        Live url_prefix: Prefixes = Prefixes::one("/"),
        /// How long packets may wait for others on their way to these viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
    }
}

section! {
    /// Fragmented MP4 over HTTP and WebSocket, for pages with Media Source Extensions:
    /// http://HOST/APP/NAME.mp4.
    pub struct Mp4 {
        /// Whether MP4 is served.
        Live enable: bool = true,
        /// Only addresses that begin with this are served, or with one of a list; it remains part
        /// of the stream's path.
        Live url_prefix: Prefixes = Prefixes::one("/"),
        /// How long packets may wait for others on their way to these viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
    }
}
