//! Streams from and to other servers.

use crate::schema::section;
use crate::units::Span;
use crate::values::{FilePath, PullRule, PushRule, RtspTransport};

section! {
    /// Streams that come from other servers, and streams that go there. Addresses are
    /// rtmp://HOST/APP/NAME and rtsp://HOST/PATH, with TLS rtmps:// and rtsps://; streams also come
    /// from http://, https://, ws:// and wss:// (FLV, MPEG-TS and HLS). Behind the host, they may
    /// have places: {path} is the stream's whole path here, {app} and {name} are its two halves,
    /// {query} is what follows the ? in the address that the viewer, or the publisher, has used.
    pub struct Relay {
        /// What is pulled: a list of tables [[relay.pull]] with stream (a path, or a pattern such
        /// as "cameras/*"), from (a list of addresses: the next one is tried where one fails),
        /// start ("always" or "on_demand"; a pattern is pulled on demand), stop_after,
        /// rtsp_transport and standby (true keeps the next address connected beside the one that
        /// is played, to take over without a pause). The first whose pattern fits counts.
        Live pull: Vec<PullRule> = Vec::new(),
        /// What is pushed: a list of tables [[relay.push]] with stream (a path or a pattern), to (a
        /// list of addresses: all at once), rtsp_transport and pulled (true for streams that are
        /// pulled from other servers, too; never back to where they come from).
        Live push: Vec<PushRule> = Vec::new(),
        /// Servers that are asked for every stream that nobody publishes here, such as
        /// "rtmp://origin.example": this one is an edge then. The next one is asked where one fails.
        Live origins: Vec<String> = Vec::new(),
        /// How long pulls on demand go on without viewers, where nothing else is said.
        Live stop_after: Span = Span::from_secs(10); Span::default()..=Span::from_secs(86_400),
        /// How long viewers are kept while the source of their stream is away.
        Live hold: Span = Span::from_secs(60); Span::default()..=Span::from_secs(3600),
        /// How long is waited after a first failure; each further one doubles it.
        Live retry_min: Span = Span::from_secs(1); Span::from_millis(100)..=Span::from_secs(300),
        /// The longest wait between two tries.
        Live retry_max: Span = Span::from_secs(30); Span::from_millis(100)..=Span::from_secs(3600),
        /// How long connecting may take, and each answer of the other server.
        Live connect_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// How long a source may send nothing before the next one is tried.
        Live source_idle: Span = Span::from_secs(10); Span::from_secs(1)..=Span::from_secs(3600),
        /// What RTP travels over where nothing else is said: "tcp", "udp" or "auto" (UDP, and TCP
        /// where that is refused or nothing arrives).
        Live rtsp_transport: RtspTransport = RtspTransport::Tcp,
        /// Whether the certificates of other servers are checked.
        Live tls_verify: bool = true,
        /// A file with certificates of authorities (PEM) to trust instead of the system's.
        Live tls_ca: FilePath = FilePath::default(),
        /// Whether streams may come from and go to addresses of this host and of private networks,
        /// which cameras usually have. Where others than the operator choose addresses, or what
        /// is called may send us on, they should not. Devices of GB/T 28181 that are connected to
        /// (tcp_active) count, but for those that have registered from that address.
        Live private_targets: bool = true,
        /// The API of a server that is told how many watch here what is pulled, such as
        /// "http://HOST:8083"; empty for none.
        Live report_to: String = String::new(),
        /// What lets us in there: its api.token.
        Live report_token: String = String::new(),
    }
}
