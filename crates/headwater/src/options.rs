//! The configuration as the options of a server.

use std::sync::Arc;

use control::config::sections::Stream;
use control::config::values::{
    Addresses, Download, Egress, HevcOut, HlsCleanup, HlsContainer, Identity, RecordFormat,
    SecondPublisher,
};
use control::config::{Config, sections};
use hub::{Form, Recorded, StreamName, StreamSettings, Template};
use rtmp::chunk;
use session::hls::{Cleanup, FileSettings};
use session::{
    HlsSettings, HttpSettings, Limits, LiveSettings, RecordSettings, RtmpSettings, Settings,
};

use crate::server::{Options, TlsFiles};

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
            http: list(true, &config.http.listen),
            https: list(true, &config.http.tls_listen),
            api: list(config.api.enable, &config.api.listen),
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
        wait_for_stream: config.server.wait_for_stream.get(),
        rtmp: RtmpSettings {
            protocol: rtmp(&config.rtmp),
            form: form(config.rtmp.hevc_out),
            flush_after: config.rtmp.flush_after.get(),
        },
        http: HttpSettings {
            head_timeout: config.http.head_timeout.get(),
            flv: LiveSettings {
                enable: config.flv.enable,
                prefix: config.flv.url_prefix.clone(),
                flush_after: config.flv.flush_after.get(),
            },
            ts: LiveSettings {
                enable: config.ts.enable,
                prefix: config.ts.url_prefix.clone(),
                flush_after: config.ts.flush_after.get(),
            },
            mp4: LiveSettings {
                enable: config.mp4.enable,
                prefix: config.mp4.url_prefix.clone(),
                flush_after: config.mp4.flush_after.get(),
            },
            form: form(config.flv.hevc_out),
            multitrack: config.flv.multitrack,
        },
        hls: hls(&config.hls, &config.record, config.stream.max_cache.get()),
        record: record(&config.record, config.stream.max_cache.get()),
    }
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
        track_wait: section.track_wait.get(),
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
