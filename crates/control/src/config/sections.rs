//! The sections of the configuration and their keys: this is the place to look a setting up, and
//! to add one.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::schema::{Effect, Key, Report, section, section_with_overrides};
#[cfg(test)]
use super::tests::{Sample, TestRng};
use super::units::{Size, Span};
use super::values::{
    Addresses, CallbackFor, Device, DeviceTransport, Download, Egress, FilePath, FlushAfter,
    Guarded, HevcOut, HlsCleanup, HlsContainer, Identity, LalGuard, Level, LogFormat, Networks,
    Pattern, PullRule, PushRule, RecordFormats, Rotation, RtspAuth, RtspStart, RtspTransport,
    SecondPublisher, TornFrames, User, Words,
};

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
        /// A file to log to; empty for none.
        Restart file: FilePath = FilePath::default(),
        /// When a new file is begun: "daily", "hourly" or "never".
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
        /// Only addresses that begin with this are served; it remains part of the stream's path.
        Live url_prefix: String = "/".to_owned(),
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
        /// Only addresses that begin with this are served; it remains part of the stream's path.
        Live url_prefix: String = "/".to_owned(),
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
        /// Only addresses that begin with this are served; it remains part of the stream's path.
        Live url_prefix: String = "/".to_owned(),
        /// How long packets may wait for others on their way to these viewers, up to "350ms";
        /// "stream" for what stream.flush_after says.
        Live flush_after: FlushAfter = FlushAfter::AsStream,
    }
}

section! {
    /// HLS: http://HOST/hls/APP/NAME.m3u8, or /hls/NAME.m3u8 in the default application.
    pub struct Hls {
        /// Whether HLS is served.
        Live enable: bool = true,
        /// What addresses of HLS begin with.
        Live url_prefix: String = "/hls/".to_owned(),
        /// What segments are made of: "ts" (MPEG-TS: H.264 with AAC, every player), "fmp4"
        /// (fragmented MP4: every codec) or "auto" (fmp4 with low_latency and for codecs that need
        /// it, else ts).
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

section! {
    /// How streams are recorded; stream.record says which, and as what. Names of files have places:
    /// {path} is the stream's whole path, {app} and {name} are its two halves, {unix} the seconds
    /// since 1970, {unix_ms} the milliseconds.
    pub struct Record {
        /// What FLV files are called.
        Live flv: String = "record/flv/{path}-{unix}.flv".to_owned(),
        /// What MPEG-TS files are called.
        Live ts: String = "record/ts/{path}-{unix}.ts".to_owned(),
        /// What MP4 files are called.
        Live mp4: String = "record/mp4/{path}-{unix}.mp4".to_owned(),
        /// The folder of a stream's HLS files: playlist.m3u8 with the newest segments, and
        /// record.m3u8 with all of them.
        Live hls: String = "record/hls/{path}".to_owned(),
        /// What becomes of HLS files: "never" removed, "after_end" of the stream, or "rolling"
        /// (segments go when they have left the playlist; there is no record.m3u8).
        Live hls_cleanup: HlsCleanup = HlsCleanup::Never,
        /// A new file is begun with the first key frame after this time; "0s" for never.
        Live max_duration: Span = Span::default(); Span::default()..=Span::from_secs(7 * 86_400),
        /// A new file is begun with the first key frame after this size; "0B" for never.
        Live max_size: Size = Size::from_bytes(0);
            Size::from_bytes(0)..=Size::from_bytes(1 << 40),
        /// Who may download recordings at /record/: those who reach the operator's API ("api"),
        /// viewers as well ("public"), or nobody ("off").
        Restart download: Download = Download::Api,
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
    /// The operator's API and page. On this host they ask for nothing; from elsewhere, for a token.
    pub struct Api {
        /// Whether the API is served.
        Restart enable: bool = true,
        /// Where to listen: ":PORT" for all addresses of both families, or "IP:PORT".
        Restart listen: Addresses = Addresses::one("127.0.0.1:8083"),
        /// Where to listen with TLS.
        Restart tls_listen: Addresses = Addresses::none(),
        /// What requests must have in Authorization: Bearer TOKEN, from this host, too. Without
        /// one, requests from elsewhere must have a token that the server makes at its first start
        /// and keeps in token_file.
        Live token: String = String::new(),
        /// Where the token is kept that the server has made.
        Restart token_file: FilePath = FilePath::from("headwater.token"),
        /// Whether the API is open to everybody who can reach it.
        Live open: bool = false,
        /// Whether lal's endpoints answer faults with statuses such as 404. lal, and so the API by
        /// default, says 200 always.
        Live status_codes: bool = false,
        /// Sites whose pages may read what lal's endpoints say without a token, such as
        /// "https://HOST"; "*" for all, as in lal. They may change nothing.
        Live origins: Vec<String> = Vec::new(),
        /// Names by which the API may be asked without a token, such as "media.example", beside
        /// addresses, names without a dot and this host's own: others may lead here without
        /// anybody's knowledge. "*" for all, by programs that are no browser.
        Live hosts: Vec<String> = Vec::new(),
    }
}

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

section! {
    /// Program streams in RTP (GB/T 28181): what devices send to ports that they were told, by
    /// requests of the API or by section gb28181. Ports are those of rtsp.udp_port_min and
    /// rtsp.udp_port_max.
    pub struct Ps {
        /// A port that all devices may send to, as datagrams and on connections; streams are told
        /// apart by their SSRC. ":PORT" for all addresses, or "IP:PORT".
        Restart shared_listen: Addresses = Addresses::none(),
        /// How long a datagram that came early waits for those before it.
        Live reorder_window: Span = Span::from_millis(100);
            Span::default()..=Span::from_secs(5),
        /// How long a device may send nothing before its session ends, where the request does not
        /// say; "0s" for ever.
        Live idle_timeout: Span = Span::from_secs(60); Span::default()..=Span::from_secs(86_400),
        /// How long it may take to connect to a device.
        Live connect_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// Where files with packets are written that requests of the API ask for; empty for nowhere.
        Live dump_dir: FilePath = FilePath::default(),
    }
}

section! {
    /// Cameras and recorders that register here by SIP (GB/T 28181). A viewer of gb/DEVICE/CHANNEL has
    /// the device send; their media is in section ps.
    pub struct Gb28181 {
        /// Where SIP is spoken, over UDP and TCP, such as ":5060"; nowhere if there is none.
        Restart listen: Addresses = Addresses::none(),
        /// This server's id: 20 digits.
        Restart id: String = "34020000002000000001".to_owned(),
        /// The SIP domain (the realm of passwords); the first ten digits of the id if it is empty.
        Restart domain: String = String::new(),
        /// What devices must know that have no password of their own; empty to let only those in
        /// that are in devices.
        Restart password: String = String::new(),
        /// Devices with a password of their own: a list of tables [[gb28181.devices]] with id and
        /// password.
        Restart devices: Vec<Device> = Vec::new(),
        /// Whether all others may register without a password.
        Restart open: bool = false,
        /// How often a device that registers is to do so again, at the latest.
        Restart register_expiry: Span = Span::from_secs(3600);
            Span::from_secs(60)..=Span::from_secs(86_400),
        /// How often devices are expected to say that they are there; three times missed, they are
        /// taken for gone.
        Restart keep_alive: Span = Span::from_secs(60); Span::from_secs(1)..=Span::from_secs(3600),
        /// How packets come where nothing else is said: "udp", "tcp" (the device connects) or
        /// "tcp_active" (the server does).
        Live transport: DeviceTransport = DeviceTransport::Udp,
        /// Whether devices send to the port of ps.shared_listen, instead of one each.
        Live shared_port: bool = false,
        /// The address that devices are told to send to; the one at which they have reached this
        /// server if it is empty.
        Live media_address: String = String::new(),
        /// The application of devices' streams.
        Restart app: String = "gb".to_owned(),
        /// How long a device goes on sending that nobody watches.
        Live stop_after: Span = Span::from_secs(30); Span::default()..=Span::from_secs(86_400),
    }
}

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

section! {
    /// Who may publish and play. There are several ways to show that one may; any of them will do.
    /// Credentials are a user's name and password (RTSP and HTTP: as their protocols have it; RTMP,
    /// and all others as well: ?user=NAME&pass=PASSWORD behind the stream's name), or a token
    /// (?token=TOKEN, or Authorization: Bearer TOKEN over HTTP).
    pub struct Auth {
        /// What needs credentials: any of "publish" and "play".
        Live required: Words<Guarded> = Words::default(),
        /// Who has a password, and for which streams: a list of tables [[auth.users]] with name,
        /// password, publish and play (patterns of paths such as "live/*"), and api (true lets the
        /// user use the API).
        Live users: Vec<User> = Vec::new(),
        /// A secret of tokens (JWT) that are signed with HS256, of 16 bytes at least; empty for none.
        Live jwt_secret: String = String::new(),
        /// The public keys of tokens that are signed with RS256 or ES256: a file or a URL of a JSON
        /// Web Key Set; empty for none.
        Live jwt_keys: String = String::new(),
        /// Who must have issued tokens (iss); empty for anybody.
        Live jwt_issuer: String = String::new(),
        /// Whom tokens must be meant for (aud); empty for anybody.
        Live jwt_audience: String = String::new(),
        /// A URL that is asked, by POST, whether somebody may do something: an answer of 200 to 299
        /// says yes. Empty for none.
        Live callback: String = String::new(),
        /// What it is asked about: any of "connect" (RTMP), "publish", "play" and "api". What it
        /// refuses stays refused whatever the credentials.
        Live callback_for: Words<CallbackFor> =
            [CallbackFor::Publish, CallbackFor::Play].into_iter().collect(),
        /// How long it may take to answer; without an answer in time, it is no.
        Live callback_timeout: Span = Span::from_secs(3);
            Span::from_millis(100)..=Span::from_secs(30),
        /// The key of lal's simple authentication: ?lal_secret= with the MD5 of the key and the
        /// stream's name.
        Live lal_key: String = String::new(),
        /// A lal_secret that always fits; empty for none.
        Live lal_override: String = String::new(),
        /// Where lal's simple authentication holds: any of "pub_rtmp", "sub_rtmp", "sub_httpflv",
        /// "sub_httpts", "pub_rtsp", "sub_rtsp" and "hls_m3u8". Where rtsp.auth asks, too, both are
        /// needed.
        Live lal_for: Words<LalGuard> = Words::default(),
    }
}

impl Auth {
    /// Whether what a client knows must be told as it is, not as a proof of it.
    #[must_use]
    pub fn takes_secrets(&self) -> bool {
        !(self.jwt_secret.is_empty() && self.jwt_keys.is_empty() && self.callback.is_empty())
    }
}

section! {
    /// Which addresses may connect, by whatever protocol. The operator's API is not concerned.
    pub struct Access {
        /// Only these addresses and networks, such as ["192.0.2.0/24"]; all if there is none.
        Live allow: Networks = Networks::default(),
        /// None of these.
        Live deny: Networks = Networks::default(),
    }
}

section! {
    /// Notifications by POST with a JSON body: each event has a URL; without one it is not told.
    pub struct Webhooks {
        /// The URL of all events that have none of their own; empty for none.
        Live url: String = String::new(),
        /// The server has started.
        Live on_server_start: String = String::new(),
        /// All streams and sessions, now and then.
        Live on_update: String = String::new(),
        /// A client of RTMP has connected.
        Live on_rtmp_connect: String = String::new(),
        /// A publisher has come.
        Live on_pub_start: String = String::new(),
        /// A publisher has gone.
        Live on_pub_stop: String = String::new(),
        /// A viewer has come.
        Live on_sub_start: String = String::new(),
        /// A viewer has gone.
        Live on_sub_stop: String = String::new(),
        /// A stream is pulled from another server.
        Live on_relay_pull_start: String = String::new(),
        /// It is pulled no more.
        Live on_relay_pull_stop: String = String::new(),
        /// A stream is pushed to another server.
        Live on_relay_push_start: String = String::new(),
        /// It is pushed no more.
        Live on_relay_push_stop: String = String::new(),
        /// A segment of HLS was begun or completed on disk.
        Live on_hls_make_ts: String = String::new(),
        /// A stream has begun.
        Live on_stream_start: String = String::new(),
        /// A stream has ended.
        Live on_stream_stop: String = String::new(),
        /// A recording has begun.
        Live on_record_start: String = String::new(),
        /// A recording is complete.
        Live on_record_stop: String = String::new(),
        /// A device of GB/T 28181 has registered that was not here.
        Live on_device_online: String = String::new(),
        /// A device has left, or says nothing any more.
        Live on_device_offline: String = String::new(),
        /// A device raises an alarm.
        Live on_device_alarm: String = String::new(),
        /// A device has said that it sends what it was asked for.
        Live on_device_call_start: String = String::new(),
        /// It sends no more.
        Live on_device_call_stop: String = String::new(),
        /// How often on_update is told; "0s" for once, at the start.
        Live update_interval: Span = Span::from_secs(5); Span::default()..=Span::from_secs(3600),
        /// How long a receiver may take to answer.
        Live timeout: Span = Span::from_secs(3); Span::from_millis(100)..=Span::from_secs(60),
        /// How often an event is told again that was not taken (no answer, or one of 500 to 599).
        Live retries: u32 = 2; 0..=10,
        /// How many events may wait; further ones are dropped, and counted.
        Live queue: u32 = 16_384; 1..=100_000,
        /// With a secret, requests have a header Headwater-Signature: sha256=HEX, the HMAC of
        /// the body; empty for none.
        Live secret: String = String::new(),
        /// Whether receivers and callbacks may have addresses of this host and of private networks.
        /// Where others than the operator choose URLs, they should not.
        Live private_targets: bool = true,
    }
}

impl Webhooks {
    /// All URLs with their keys; the first is that of events that have none of their own.
    pub(crate) fn urls(&self) -> [(&'static str, &String); 22] {
        [
            ("url", &self.url),
            ("on_server_start", &self.on_server_start),
            ("on_update", &self.on_update),
            ("on_rtmp_connect", &self.on_rtmp_connect),
            ("on_pub_start", &self.on_pub_start),
            ("on_pub_stop", &self.on_pub_stop),
            ("on_sub_start", &self.on_sub_start),
            ("on_sub_stop", &self.on_sub_stop),
            ("on_relay_pull_start", &self.on_relay_pull_start),
            ("on_relay_pull_stop", &self.on_relay_pull_stop),
            ("on_relay_push_start", &self.on_relay_push_start),
            ("on_relay_push_stop", &self.on_relay_push_stop),
            ("on_hls_make_ts", &self.on_hls_make_ts),
            ("on_stream_start", &self.on_stream_start),
            ("on_stream_stop", &self.on_stream_stop),
            ("on_record_start", &self.on_record_start),
            ("on_record_stop", &self.on_record_stop),
            ("on_device_online", &self.on_device_online),
            ("on_device_offline", &self.on_device_offline),
            ("on_device_alarm", &self.on_device_alarm),
            ("on_device_call_start", &self.on_device_call_start),
            ("on_device_call_stop", &self.on_device_call_stop),
        ]
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
