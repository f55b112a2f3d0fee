//! RTSP and RTSPS.

use crate::schema::section;
use crate::units::Span;
use crate::values::{Addresses, FlushAfter, RtspAuth, RtspStart, TornFrames};

section! {
    /// RTSP and RTSPS: cameras, VMS and players.
    pub struct Rtsp {
        /// Whether RTSP is served.
        Restart enable: bool = true,
        /// Where to listen: ":PORT" for all addresses of both families, or "IP:PORT".
        Restart listen: Addresses = Addresses::one(":5544"),
        /// Where to listen with TLS.
        Restart tls_listen: Addresses = Addresses::one(":5322"),
        /// Where to listen for RTSP in WebSockets.
        Restart ws_listen: Addresses = Addresses::one(":5566"),
        /// Where to listen for RTSP in WebSockets with TLS.
        Restart wss_listen: Addresses = Addresses::none(),
        /// Whether packets may go as datagrams; if not, clients are told to use the connection.
        Live udp: bool = true,
        /// The first port for datagrams; 0 leaves the choice to the system. Each track of a
        /// session takes two.
        Restart udp_port_min: u32 = 30_000; 0..=65_534,
        /// The last port for datagrams.
        Restart udp_port_max: u32 = 60_000; 0..=65_535,
        /// Whether tracks may go to groups, which are sent to once however many viewers listen; if
        /// not, clients that ask for it are told to ask for something else. It needs rtsp.udp.
        Live multicast: bool = false,
        /// The addresses of groups: a network within 224.0.0.0/4. Each track that is watched so
        /// takes one, and two ports.
        Restart multicast_groups: String = "239.255.0.0/16".to_owned(),
        /// The first port of groups.
        Restart multicast_port_min: u32 = 20_000; 1_024..=65_534,
        /// The last port of groups.
        Restart multicast_port_max: u32 = 29_999; 1_025..=65_535,
        /// How many routers may pass on what is sent to groups, and one: 1 keeps it in the local
        /// network.
        Restart multicast_ttl: u32 = 1; 1..=255,
        /// The address of the interface that groups are sent from; empty leaves the choice to the
        /// system, which goes by its routes.
        Restart multicast_interface: String = String::new(),
        /// Bytes of an RTP packet that this server makes, its header included.
        Live packet_size: u32 = 1_200; 256..=8_192,
        /// How long a datagram that came early waits for those before it.
        Live reorder_window: Span = Span::from_millis(100);
            Span::default()..=Span::from_secs(5),
        /// What becomes of frames of which a part was lost: "drop" or "pass".
        Live torn_frames: TornFrames = TornFrames::Drop,
        /// Where viewers begin: "cached" (with what is cached, so that they start at once; viewers
        /// of datagrams at the next key frame), "key_frame" (at the next) or "now".
        Live start: RtspStart = RtspStart::Cached,
        /// How long packets may wait for others on their way to RTSP viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
        /// How long each step of a client may take until it plays or publishes; all steps together
        /// may take three times that.
        Live setup_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// How long a viewer of datagrams, or one that pauses, may be silent; it is told so, and
        /// gets a quarter more.
        Live session_timeout: Span = Span::from_secs(60);
            Span::from_secs(4)..=Span::from_secs(3600),
        /// How long a publisher may send nothing before it is taken for dead.
        Live publisher_idle: Span = Span::from_secs(30);
            Span::from_secs(2)..=Span::from_secs(3600),
        /// How clients prove who they are: "off", "digest" (SHA-256 or MD5), "digest_md5" or
        /// "basic" (only over TLS).
        Live auth: RtspAuth = RtspAuth::Off,
        /// The name that clients must know.
        Live username: String = String::new(),
        /// The password that clients must know.
        Live password: String = String::new(),
        /// Whether viewers are asked for name and password.
        Live auth_play: bool = true,
        /// Whether publishers are asked for name and password.
        Live auth_publish: bool = true,
    }
}
