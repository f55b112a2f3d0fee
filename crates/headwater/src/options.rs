//! What a server is started with, and how that follows from a configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::{Algorithm, Scheme};
use config::sections::Stream;
use config::units::Span;
use config::values::{
    Addresses, DeviceTransport, Download, Egress, HevcOut, HlsCleanup, HlsContainer, Identity,
    Prefixes, PullStart, RecordFormat, RtspAuth, RtspStart, SecondPublisher, TornFrames,
    groups as network_of_groups,
};
use config::{Config, sections};
use control::api::Answers;
use control::edges;
use control::logs::Logs;
use control::webhooks;
use hub::gate::Gate;
use hub::{Form, Recorded, SettingsFor, StreamName, StreamSettings, Targets, Template};
use net::{Begin, GroupRules, Trust};
use rtmp::chunk;
use session::gb28181::{DeviceSettings, Id, PlatformSettings, Transport};
use session::hls::{Cleanup, FileSettings};
use session::relay::{self, PullRule, PushRule, Retry, Start, UrlTemplate};
use session::remote::Tls;
use session::{
    HlsSettings, HttpSettings, Limits, LiveSettings, Networks, PsSettings, RecordSettings,
    RtmpSettings, RtspSettings, Settings,
};
use tracing::error;

use tokio::sync::mpsc;

use crate::events::Listener;
use crate::hooks::Hook;
use crate::operations::ReloadRequest;
use crate::relays::transport;

/// What a server is started with.
#[derive(Clone)]
pub struct Options {
    /// Where RTMP is spoken; empty for nowhere.
    pub rtmp: Vec<String>,
    /// Where RTMP is spoken over TLS.
    pub rtmps: Vec<String>,
    /// Where RTSP is spoken.
    pub rtsp: Vec<String>,
    /// Where RTSP is spoken over TLS.
    pub rtsps: Vec<String>,
    /// Where RTSP is spoken in WebSockets.
    pub rtsp_ws: Vec<String>,
    /// Where RTSP is spoken in WebSockets with TLS.
    pub rtsp_wss: Vec<String>,
    /// Ports for the datagrams of RTP; from 0 the system chooses.
    pub udp_ports: RangeInclusive<u16>,
    /// The groups that tracks may go to over RTSP.
    pub groups: GroupRules,
    /// The port that all devices may send program streams to; nothing for none.
    pub ps_shared: Option<String>,
    /// Who devices register with; nobody where there is none.
    pub sip: Option<Sip>,
    /// The rules of devices.
    pub devices: DeviceSettings,
    /// Where HTTP is spoken.
    pub http: Vec<String>,
    /// Where HTTP is spoken over TLS.
    pub https: Vec<String>,
    /// Where the operator's API is served.
    pub api: Vec<String>,
    /// Where the operator's API is served over TLS.
    pub api_tls: Vec<String>,
    /// What the operator's API asks for.
    pub api_key: ApiKey,
    /// What it answers.
    pub api_answers: Answers,
    /// Whether viewers have a page with a player.
    pub player_page: bool,
    /// The settings, as the API shows them.
    pub config: Arc<Config>,
    /// Who reads the configuration again when the API is asked to.
    pub reloads: Option<mpsc::Sender<ReloadRequest>>,
    /// The log, as the API shows it.
    pub logs: Arc<Logs>,
    /// What the server calls itself in the API's answers.
    pub server_id: String,
    /// The certificate for TLS; without one a self-signed one is made.
    pub tls: Option<TlsFiles>,
    /// Threads that serve peers; 0 for as many as there are cores.
    pub shards: usize,
    /// How viewers are written to.
    pub egress: net::Egress,
    /// The rules of sessions.
    pub settings: Settings,
    /// The rules of streams, by name.
    pub streams: Arc<SettingsFor>,
    /// Most streams that may have a publisher at once.
    pub max_publishers: usize,
    /// Most bytes that the caches of all streams may hold.
    pub max_cached: usize,
    /// Who may download recordings.
    pub download: Download,
    /// Streams from and to other servers.
    pub relay: relay::Rules,
    /// Where viewers of pulled streams are reported.
    pub reports: edges::Rules,
    /// Who may publish and play.
    pub access: access::Rules,
    /// Which addresses may connect.
    pub networks: Networks,
    /// Who is told what happens.
    pub webhooks: webhooks::Rules,
    /// What the program that has the server in it does itself.
    pub(crate) own: Own,
}

/// What the program that has the server in it does itself.
#[derive(Clone, Default)]
pub(crate) struct Own {
    /// Who is asked first who may do what, and whether the configured rules are asked then.
    pub(crate) gate: Option<(Arc<dyn Gate>, bool)>,
    /// Who is told what happens.
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// Who gets every stream that begins.
    pub(crate) hooks: Vec<Arc<Hook>>,
}

/// Who cameras and recorders of GB/T 28181 register with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// Where SIP is spoken.
    pub listen: String,
    /// The application of devices' streams.
    pub app: String,
    /// The rules of registration; the address is worked out when the server listens.
    pub platform: PlatformSettings,
}

/// What the operator's API asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKey {
    /// Nothing.
    Open,
    /// A token, of everybody.
    Token(String),
    /// Of those who are not on this host, a token that is kept in this file, and made if there is
    /// none.
    File(PathBuf),
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Options {
    /// What a configuration asks for.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let list = |wanted: bool, addresses: &Addresses| -> Vec<String> {
            let all = addresses.iter().map(|address| address.as_str().to_owned());
            if wanted { all.collect() } else { Vec::new() }
        };
        let files = config.tls.cert.get().zip(config.tls.key.get());
        Self {
            rtmp: list(config.rtmp.enable, &config.rtmp.listen),
            rtmps: list(config.rtmp.enable, &config.rtmp.tls_listen),
            rtsp: list(config.rtsp.enable, &config.rtsp.listen),
            rtsps: list(config.rtsp.enable, &config.rtsp.tls_listen),
            rtsp_ws: list(config.rtsp.enable, &config.rtsp.ws_listen),
            rtsp_wss: list(config.rtsp.enable, &config.rtsp.wss_listen),
            udp_ports: port(config.rtsp.udp_port_min)..=port(config.rtsp.udp_port_max),
            groups: groups(&config.rtsp),
            ps_shared: config.ps.shared_listen.iter().next().map(ToString::to_string),
            sip: sip(&config.gb28181),
            devices: devices(&config.gb28181),
            http: list(true, &config.http.listen),
            https: list(true, &config.http.tls_listen),
            api: list(config.api.enable, &config.api.listen),
            api_tls: list(config.api.enable, &config.api.tls_listen),
            api_key: match (&config.api.token, config.api.token_file.get()) {
                (token, _) if !token.is_empty() => ApiKey::Token(token.clone()),
                _ if config.api.open => ApiKey::Open,
                (_, Some(file)) => ApiKey::File(file.to_owned()),
                // Refused with the configuration; nobody has an empty token.
                (_, None) => ApiKey::Token(String::new()),
            },
            api_answers: Answers {
                status_codes: config.api.status_codes,
                origins: config.api.origins.clone(),
                hosts: config.api.hosts.clone(),
            },
            player_page: config.http.player_page,
            config: Arc::new(config.clone()),
            reloads: None,
            logs: Arc::default(),
            server_id: config.server.id.clone(),
            tls: files.map(|(cert, key)| TlsFiles { cert: cert.to_owned(), key: key.to_owned() }),
            shards: size(config.server.shards),
            egress: match config.server.egress {
                Egress::Auto => net::Egress::Auto,
                Egress::Epoll => net::Egress::Epoll,
                Egress::Uring => net::Egress::Uring,
            },
            settings: settings(config),
            streams: Arc::new({
                let config = config.clone();
                move |name: &StreamName| Arc::new(stream(&config.stream(name.as_str())))
            }),
            max_publishers: size(config.limits.publishers),
            max_cached: config.limits.cache.get(),
            download: config.record.download,
            relay: relays(&config.relay),
            reports: edges::Rules {
                to: config.relay.report_to.clone(),
                token: config.relay.report_token.clone(),
            },
            access: access::Rules::from_config(config),
            webhooks: webhooks::Rules::from_config(config),
            own: Own::default(),
            networks: Networks {
                allow: config.access.allow.iter().collect(),
                deny: config.access.deny.iter().collect(),
            },
        }
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        identity: match config.server.identity {
            Identity::AppAndName => hub::Identity::AppAndName,
            Identity::Name => hub::Identity::NameOnly,
        },
        default_app: config.server.default_app.clone(),
        limits: Limits {
            connections: size(config.limits.connections),
            per_address: size(config.limits.connections_per_address),
        },
        max_viewers: match size(config.limits.viewers_per_stream) {
            0 => usize::MAX,
            most => most,
        },
        max_output: in_1024(config.limits.output_bitrate),
        max_input: in_1024(config.limits.publisher_bitrate),
        gate_timeout: config.auth.callback_timeout.get() + Duration::from_secs(7),
        wait_for_stream: config.server.wait_for_stream.get(),
        rtmp: RtmpSettings {
            protocol: rtmp(&config.rtmp),
            form: form(config.rtmp.hevc_out),
            flush_after: config.rtmp.flush_after.get(),
        },
        rtsp: rtsp(&config.rtsp, &config.auth),
        ps: PsSettings {
            idle: config.ps.idle_timeout.get(),
            reorder_window: config.ps.reorder_window.get(),
            connect_timeout: config.ps.connect_timeout.get(),
            dumps: config.ps.dump_dir.get().map(ToOwned::to_owned),
            targets: targets(config.relay.private_targets),
        },
        http: HttpSettings {
            head_timeout: config.http.head_timeout.get(),
            flv: LiveSettings {
                enable: config.flv.enable,
                prefixes: prefixes(&config.flv.url_prefix),
                flush_after: config.flv.flush_after.get(),
            },
            ts: LiveSettings {
                enable: config.ts.enable,
                prefixes: prefixes(&config.ts.url_prefix),
                flush_after: config.ts.flush_after.get(),
            },
            mp4: LiveSettings {
                enable: config.mp4.enable,
                prefixes: prefixes(&config.mp4.url_prefix),
                flush_after: config.mp4.flush_after.get(),
            },
            form: form(config.flv.hevc_out),
            multitrack: config.flv.multitrack,
        },
        hls: hls(&config.hls, &config.record, config.stream.max_cache.get()),
        record: record(&config.record, config.stream.max_cache.get()),
    }
}

fn prefixes(setting: &Prefixes) -> Vec<String> {
    setting.iter().map(ToOwned::to_owned).collect()
}

fn rtsp(section: &sections::Rtsp, auth: &sections::Auth) -> RtspSettings {
    let (md5, sha256) = (Scheme::Digest(Algorithm::Md5), Scheme::Digest(Algorithm::Sha256));
    let schemes = match section.auth {
        // A callback and tokens need what was typed; clients that are offered Digest as well take
        // that.
        RtspAuth::Off if auth.takes_secrets() => vec![Scheme::Basic],
        RtspAuth::Off | RtspAuth::Digest => vec![sha256, md5],
        RtspAuth::DigestMd5 => vec![md5],
        RtspAuth::Basic => vec![Scheme::Basic],
    };
    RtspSettings {
        protocol: rtsp::server::Config {
            setup_timeout: section.setup_timeout.get(),
            setup_limit: section.setup_timeout.get() * 3,
            session_timeout: section.session_timeout.get(),
            schemes,
            ..rtsp::server::Config::default()
        },
        udp: section.udp,
        multicast: section.multicast,
        packet_size: port(section.packet_size),
        reorder_window: section.reorder_window.get(),
        pass_torn: section.torn_frames == TornFrames::Pass,
        publisher_idle: section.publisher_idle.get(),
        begin: match section.start {
            RtspStart::Cached => Begin::Cached,
            RtspStart::KeyFrame => Begin::NextKey,
            RtspStart::Now => Begin::Now,
        },
        flush_after: section.flush_after.get(),
    }
}

/// The groups that tracks may go to.
fn groups(section: &sections::Rtsp) -> GroupRules {
    // It was checked with the configuration.
    let (first, last) = network_of_groups(&section.multicast_groups)
        .unwrap_or((Ipv4Addr::new(239, 255, 0, 0), Ipv4Addr::new(239, 255, 255, 255)));
    GroupRules {
        addresses: first..=last,
        ports: port(section.multicast_port_min)..=port(section.multicast_port_max),
        ttl: u8::try_from(section.multicast_ttl).unwrap_or(1),
        interface: section.multicast_interface.parse().ok(),
    }
}

/// What devices register with; nothing where nobody listens.
fn sip(section: &sections::Gb28181) -> Option<Sip> {
    let listen = section.listen.iter().next()?.to_string();
    // It was checked with the configuration.
    let id = section.id.parse::<Id>().ok()?;
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let usual = PlatformSettings::new(id, SocketAddr::from(([0, 0, 0, 0], 0)));
    let domain = text(&section.domain).unwrap_or_else(|| usual.domain.clone());
    let passwords = section.devices.iter();
    let passwords = passwords.filter_map(|own| Some((own.id.parse().ok()?, own.password.clone())));
    let platform = PlatformSettings {
        realm: domain.clone(),
        domain,
        password: text(&section.password),
        passwords: passwords.collect(),
        open: section.open,
        keepalive: section.keep_alive.get(),
        max_expires: section.register_expiry.get(),
        ..usual
    };
    Some(Sip { listen, app: section.app.clone(), platform })
}

fn devices(section: &sections::Gb28181) -> DeviceSettings {
    DeviceSettings {
        transport: match section.transport {
            DeviceTransport::Udp => Transport::Udp,
            DeviceTransport::Tcp => Transport::TcpPassive,
            DeviceTransport::TcpActive => Transport::TcpActive,
        },
        shared: section.shared_port,
        media_address: section.media_address.parse().ok(),
        stop_after: section.stop_after.get(),
    }
}

fn relays(section: &sections::Relay) -> relay::Rules {
    // They were checked with the configuration; what is odd about one is said then.
    let templates = |urls: &[String]| -> Vec<UrlTemplate> {
        let parsed = urls.iter().map(|url| UrlTemplate::parse(url));
        let said = parsed.map(|url| url.inspect_err(|error| error!(%error, "not relayed")));
        said.filter_map(Result::ok).collect()
    };
    let pulls = section.pull.iter().map(|rule| PullRule {
        pattern: rule.stream.as_str().to_owned(),
        sources: templates(&rule.from),
        start: match rule.start() {
            PullStart::Always => Start::Always,
            PullStart::OnDemand => Start::OnDemand,
        },
        stop_after: rule.stop_after.map(Span::get),
        transport: rule.rtsp_transport.map(transport),
        standby: rule.standby,
    });
    let origins: Vec<_> = section.origins.iter().map(|origin| origin_url(origin)).collect();
    let of_origins = PullRule {
        pattern: "*".to_owned(),
        sources: templates(&origins),
        start: Start::OnDemand,
        stop_after: None,
        transport: None,
        standby: false,
    };
    let pushes = section.push.iter().map(|rule| PushRule {
        pattern: rule.stream.as_str().to_owned(),
        targets: templates(&rule.to),
        pulled: rule.pulled,
        transport: rule.rtsp_transport.map(transport),
    });
    let trust = match section.tls_ca.get() {
        _ if !section.tls_verify => Trust::Anyone,
        Some(file) => Trust::File(file.to_owned()),
        None => Trust::System,
    };
    relay::Rules {
        pulls: pulls.chain([of_origins]).filter(|rule| !rule.sources.is_empty()).collect(),
        pushes: pushes.collect(),
        retry: Retry { min: section.retry_min.get(), max: section.retry_max.get() },
        patience: section.connect_timeout.get(),
        silence: section.source_idle.get(),
        hold: section.hold.get(),
        stop_after: section.stop_after.get(),
        transport: transport(section.rtsp_transport),
        tls: Tls::new(trust),
        reach: targets(section.private_targets),
    }
}

fn targets(private: bool) -> Targets {
    if private { Targets::Any } else { Targets::Public }
}

/// Where an origin has a stream.
fn origin_url(origin: &str) -> String {
    let over_http = ["http:", "https:", "ws:", "wss:"].iter().any(|s| origin.starts_with(s));
    let suffix = if over_http { ".flv" } else { "" };
    format!("{}/{{path}}{suffix}?{{query}}", origin.trim_end_matches('/'))
}

/// A bit rate of 1000 bits in the unit of sessions; the smallest for one that rounds to none.
fn in_1024(kbps: u32) -> u64 {
    match u64::from(kbps) {
        0 => 0,
        kbps => (kbps * 1000 / 1024).max(1),
    }
}

/// A number of a section whose range fits.
fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn hls(section: &sections::Hls, record: &sections::Record, max_queue: usize) -> HlsSettings {
    let target = section.target_duration.get();
    HlsSettings {
        enable: section.enable,
        prefix: section.url_prefix.clone(),
        rendition: ::hls::Settings {
            container: match section.container {
                HlsContainer::Auto => ::hls::Container::Auto,
                HlsContainer::Ts => ::hls::Container::Ts,
                HlsContainer::Fmp4 => ::hls::Container::Fmp4,
            },
            segment: section.segment_duration.get(),
            target: Some(target).filter(|target| !target.is_zero()),
            part: section.low_latency.then(|| section.part_duration.get()),
            listed: size(section.segments),
            kept: size(section.kept_segments),
        },
        on_demand: section.on_demand,
        idle: section.idle_timeout.get(),
        linger: section.linger.get(),
        session_key: Some(section.session_key.clone()).filter(|key| !key.is_empty()),
        session_timeout: section.session_timeout.get(),
        max_queue,
        files: FileSettings {
            folder: template(&record.hls),
            cleanup: match record.hls_cleanup {
                HlsCleanup::Never => Cleanup::Never,
                HlsCleanup::AfterEnd => Cleanup::AfterEnd,
                HlsCleanup::Rolling => Cleanup::Rolling,
            },
        },
    }
}

fn record(section: &sections::Record, max_queue: usize) -> RecordSettings {
    RecordSettings {
        flv: template(&section.flv),
        ts: template(&section.ts),
        mp4: template(&section.mp4),
        max_duration: section.max_duration.get(),
        max_size: section.max_size.get() as u64,
        max_queue,
        public: section.download == Download::Public,
    }
}

/// A template that was checked with the configuration.
fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|_| Template::fixed("record/{path}-{unix}"))
}

fn rtmp(section: &sections::Rtmp) -> ::rtmp::server::Config {
    let default = RtmpSettings::default().protocol;
    let max_message_size = section.max_message_size.get();
    ::rtmp::server::Config {
        chunk_size: chunk::Size::new(section.chunk_size).unwrap_or(chunk::Size::DEFAULT),
        limits: chunk::Limits {
            max_message_size,
            max_chunk_streams: size(section.max_chunk_streams),
            // Encoders interleave audio and video: one message of each.
            max_partial_bytes: max_message_size.saturating_mul(2),
        },
        handshake_timeout: section.handshake_timeout.get(),
        setup_timeout: section.setup_timeout.get(),
        setup_limit: section.setup_timeout.get() * 3,
        publisher_idle: section.publisher_idle.get(),
        player_ping: section.player_ping.get(),
        ..default
    }
}

fn stream(section: &Stream) -> StreamSettings {
    StreamSettings {
        gops: size(section.gops),
        max_gop_frames: size(section.max_gop_frames),
        max_cache_bytes: section.max_cache.get(),
        second_publisher: match section.second_publisher {
            SecondPublisher::Refuse => hub::SecondPublisher::Refuse,
            SecondPublisher::Takeover => hub::SecondPublisher::Takeover,
        },
        grace: section.grace.get(),
        record_grace: section.record_grace.get(),
        track_wait: section.track_wait.get(),
        silent_audio_after: section.silent_audio.then(|| section.silent_audio_after.get()),
        flush_after: section.flush_after.get(),
        skip_after: section.skip_after.get(),
        stall_timeout: section.stall_timeout.get(),
        max_skips: section.max_skips,
        key_frame_wait: section.key_frame_wait.get(),
        record: Recorded {
            flv: section.record.has(RecordFormat::Flv),
            ts: section.record.has(RecordFormat::Ts),
            mp4: section.record.has(RecordFormat::Mp4),
            hls: section.record.has(RecordFormat::Hls),
        },
    }
}

fn form(choice: HevcOut) -> Form {
    match choice {
        HevcOut::Auto => Form::AsPublished,
        HevcOut::Enhanced => Form::Enhanced,
        HevcOut::Legacy => Form::Legacy,
    }
}

/// A count; on a machine with less than 32 bits it would be as many as there can be.
fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
