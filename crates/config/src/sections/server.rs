//! The server as a whole: threads, the log, the certificate, limits.

use crate::schema::section;
use crate::units::{Size, Span};
use crate::values::{Egress, FilePath, Identity, Level, LogFormat, Rotation};

section! {
    /// The server as a whole.
    pub struct Server {
        /// What the server calls itself in the API's answers.
        Restart id: String = "1".to_owned(),
        /// How many threads serve connections; 0 for as many as there are cores.
        Restart shards: u32 = 0; 0..=1024,
        /// How viewers are written to: "io_uring" serves many by one system call and costs less;
        /// containers often forbid it. "epoll" is always there; "auto" takes what there is.
        Restart egress: Egress = Egress::Auto,
        /// How long sessions may go on after the server was told to stop.
        Live drain_timeout: Span = Span::from_secs(10); Span::default()..=Span::from_secs(3600),
        /// What makes two stream names the same: "app_and_name" (live/a and other/a are two
        /// streams) or "name" (they are one; only the last item of the path counts).
        Restart identity: Identity = Identity::AppAndName,
        /// The application of streams that are asked for by an address without one, such as
        /// /camera1.flv.
        Restart default_app: String = "live".to_owned(),
        /// How long a viewer waits for a stream that nobody publishes, before it is told that
        /// there is none.
        Live wait_for_stream: Span = Span::from_secs(10);
            Span::default()..=Span::from_secs(3600),
    }
}

section! {
    /// What is logged, and where to.
    pub struct Log {
        /// "trace", "debug", "info", "warn", "error" or "off".
        Live level: Level = Level::Info,
        /// A file to log to; empty for none. It is always the current one: earlier ones have a
        /// date in their names, such as server.2026-11-28.log for server.log.
        Restart file: FilePath = FilePath::default(),
        /// When a new file is begun: "daily", "hourly" (in UTC) or "never".
        Restart rotation: Rotation = Rotation::Daily,
        /// How many files are kept, the current one included.
        Restart keep_files: u32 = 7; 1..=10_000,
        /// "text" for people or "json" for collectors.
        Restart format: LogFormat = LogFormat::Text,
        /// Whether to log to the terminal as well.
        Restart to_terminal: bool = true,
    }
}

section! {
    /// The certificate of all listeners with TLS. Without one, the server makes one at start that
    /// players do not trust.
    pub struct Tls {
        /// The certificate chain, PEM; empty for none. Read again at every reload.
        Live cert: FilePath = FilePath::default(),
        /// The private key, PEM; empty for none.
        Live key: FilePath = FilePath::default(),
    }
}

section! {
    /// How much of anything there may be.
    pub struct Limits {
        /// Connections in all.
        Live connections: u32 = 100_000; 1..=10_000_000,
        /// Connections from one address; this host's own are not counted. A company or a mobile
        /// network may be many viewers behind one address.
        Live connections_per_address: u32 = 2000; 1..=10_000_000,
        /// Streams that are published at the same time.
        Live publishers: u32 = 1000; 1..=1_000_000,
        /// Viewers of one stream; 0 for no limit.
        Live viewers_per_stream: u32 = 0; 0..=10_000_000,
        /// What a publisher may send, in kbit/s, over ten seconds; it is sent away if it sends more.
        /// 0 for no limit.
        Live publisher_bitrate: u32 = 0; 0..=10_000_000,
        /// What all viewers together may be sent, in kbit/s; newcomers are turned away while it is
        /// more. 0 for no limit.
        Live output_bitrate: u32 = 0; 0..=1_000_000_000,
        /// What the caches of all streams may hold. Beyond it, streams keep less than
        /// stream.max_cache, the largest give up most.
        Live cache: Size = Size::from_bytes(4 << 30);
            Size::from_bytes(16 << 20)..=Size::from_bytes(1 << 40),
    }
}
