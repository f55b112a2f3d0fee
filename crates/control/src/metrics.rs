//! Metrics as Prometheus reads them (OpenMetrics); `docs/metrics.md` has their names.
//!
//! Nothing is counted for them on the way of the media: what there is to say is summed when somebody
//! asks.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::time::{Instant, UNIX_EPOCH};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hub::{Ended, Kind, StreamName, StreamState, Summary};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::api::Api;
use crate::history::{processor_time, resident_bytes};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a scrape.
pub(crate) fn answer(api: &Api) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot::of(api)));
    let mut page = String::new();
    // Writing into memory does not fail.
    let _ = text::encode(&mut page, &registry);
    ([(CONTENT_TYPE, OPEN_METRICS)], page).into_response()
}

/// A kind of session, in words, in the order of the page.
type KindName = (String, String);

fn words(kind: Kind) -> KindName {
    (kind.protocol.to_string().to_lowercase(), kind.role.to_string().to_lowercase())
}

/// What sessions of a kind have moved.
#[derive(Debug, Default)]
struct OfKind {
    open: u64,
    ended: u64,
    read: u64,
    written: u64,
    skips: u64,
}

/// What the viewers of a stream get.
#[derive(Debug, Default)]
struct OfViewers {
    count: u64,
    bits_per_second: u64,
}

/// Everything at one time.
#[derive(Debug)]
struct Snapshot {
    started: f64,
    connections: u64,
    kinds: BTreeMap<KindName, OfKind>,
    viewers: HashMap<StreamName, OfViewers>,
    streams: Vec<Summary>,
    /// Notifications by what has become of them, and how many wait.
    notifications: [(&'static str, u64); 3],
    waiting: u64,
}

impl Snapshot {
    fn of(api: &Api) -> Self {
        let mut kinds: HashMap<Kind, OfKind> = HashMap::new();
        let mut viewers: HashMap<StreamName, OfViewers> = HashMap::new();
        for (kind, Ended { sessions, read_bytes, written_bytes }) in api.sessions.ended() {
            let sum = kinds.entry(kind).or_default();
            sum.ended += sessions;
            sum.read += read_bytes;
            sum.written += written_bytes;
        }
        for session in api.sessions.all() {
            let (kind, moved) = (session.kind(), session.statistics());
            let sum = kinds.entry(kind).or_default();
            sum.open += 1;
            sum.read += moved.read_bytes;
            sum.written += moved.written_bytes;
            sum.skips += session.skips();
            if let (true, Some(stream)) = (kind.role.is_output(), session.stream()) {
                let of = viewers.entry(stream).or_default();
                of.count += 1;
                of.bits_per_second += moved.written_kbits * 1024;
            }
        }
        Self {
            started: api.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            connections: api.operations.connections() as u64,
            kinds: kinds.into_iter().map(|(kind, sum)| (words(kind), sum)).collect(),
            viewers,
            streams: api.registry.summaries(Instant::now()),
            notifications: [
                ("delivered", api.webhooks.counters().delivered()),
                ("failed", api.webhooks.counters().failed()),
                ("dropped", api.webhooks.counters().dropped()),
            ],
            waiting: api.webhooks.counters().queued(),
        }
    }

    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges("headwater_build", "Which version runs; always 1", [(version, 1.0)])?;
        let none: [(&str, &str); 0] = [];
        let started = [(none, self.started)];
        page.gauges("headwater_start_time_seconds", "When it started, Unix time", started)?;
        let connections = [(none, float(self.connections))];
        page.gauges("headwater_connections", "Connections to the media listeners", connections)?;
        if let Some(used) = processor_time() {
            let help = "Processor time used";
            page.counter("process_cpu_seconds", help, [(none, used.as_secs_f64())])?;
        }
        if let Some(bytes) = resident_bytes() {
            page.gauges("process_resident_memory_bytes", "Memory in use", [(none, bytes)])?;
        }
        if let Some(count) = open_files() {
            let help = "Open file descriptors";
            page.gauges("process_open_fds", help, [(none, float(count))])?;
        }
        Ok(())
    }

    fn sessions(&self, page: &mut Page<'_>) -> fmt::Result {
        let each = |value: fn(&OfKind) -> u64| {
            let of = move |((protocol, role), sum): (&'_ KindName, &OfKind)| {
                ([("protocol", protocol.clone()), ("role", role.clone())], float(value(sum)))
            };
            self.kinds.iter().map(of).collect::<Vec<_>>()
        };
        page.gauges("headwater_sessions", "Sessions there are", each(|k| k.open))?;
        page.counter("headwater_sessions_ended", "Sessions that have ended", each(|k| k.ended))?;
        page.counter("headwater_read_bytes", "Bytes read from peers", each(|k| k.read))?;
        page.counter("headwater_written_bytes", "Bytes written to peers", each(|k| k.written))?;
        let help = "Skips of present viewers that were too slow";
        page.gauges("headwater_viewer_skips", help, each(|k| k.skips))
    }

    fn webhooks(&self, page: &mut Page<'_>) -> fmt::Result {
        let outcomes = self.notifications.map(|(name, n)| ([("outcome", name)], float(n)));
        page.counter("headwater_webhooks", "Notifications by what became of them", outcomes)?;
        let none: [(&str, &str); 0] = [];
        let waiting = [(none, float(self.waiting))];
        page.gauges("headwater_webhooks_queued", "Notifications that wait", waiting)
    }

    fn streams(&self, page: &mut Page<'_>) -> fmt::Result {
        let in_state = |state: fn(&StreamState) -> bool| {
            float(self.streams.iter().filter(|stream| state(&stream.state)).count() as u64)
        };
        let states = [
            ("live", in_state(|state| matches!(state, StreamState::Live))),
            ("away", in_state(|state| matches!(state, StreamState::Grace { .. }))),
            ("waiting", in_state(|state| matches!(state, StreamState::Idle))),
        ];
        let help = "Streams: live, publisher away, or waited for";
        page.gauges("headwater_streams", help, states.map(|(name, n)| ([("state", name)], n)))?;
        let live: Vec<_> = self.streams.iter().filter(|s| s.state != StreamState::Idle).collect();
        let each = |value: &dyn Fn(&Summary) -> f64| {
            let of = |s: &&Summary| ([("stream", s.name.to_string())], value(s));
            live.iter().map(of).collect::<Vec<_>>()
        };
        let viewers = |s: &Summary| self.viewers.get(&s.name);
        let count = each(&|s| float(viewers(s).map_or(0, |of| of.count)));
        page.gauges("headwater_stream_viewers", "Viewers of the stream", count)?;
        let input = each(&|s| {
            let publisher = s.publisher.as_ref();
            float(publisher.map_or(0, |session| session.statistics().read_kbits * 1024))
        });
        page.gauges("headwater_stream_input_bits_per_second", "What comes in", input)?;
        let output = each(&|s| float(viewers(s).map_or(0, |of| of.bits_per_second)));
        page.gauges("headwater_stream_output_bits_per_second", "What goes out", output)?;
        let fps = each(&|s| f64::from(s.video_fps.first().copied().unwrap_or_default()));
        page.gauges("headwater_stream_video_fps", "Pictures in the last second", fps)?;
        let cached = each(&|s| float(s.cached_bytes as u64));
        page.gauges("headwater_stream_cached_bytes", "Bytes that are kept of it", cached)?;
        let frames = each(&|s| float(s.frames));
        page.counter("headwater_stream_frames", "Frames taken in", frames)?;
        let mended = each(&|s| float(s.repairs.jumps + s.repairs.regressions));
        page.counter("headwater_stream_timestamp_repairs", "Time stamps that were mended", mended)?;
        let lost = each(&|s| float(s.repairs.lost_packets));
        page.counter("headwater_stream_lost_packets", "Packets of RTP that did not come", lost)?;
        let torn = each(&|s| float(s.repairs.torn_frames));
        page.counter("headwater_stream_torn_frames", "Frames with a part missing", torn)
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        self.server(&mut page)?;
        self.sessions(&mut page)?;
        self.webhooks(&mut page)?;
        self.streams(&mut page)
    }
}

/// Writes families of metrics.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn gauges<L, S>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result
    where
        L: IntoIterator<Item = (&'static str, S)>,
        S: Into<String>,
    {
        self.family(name, help, MetricType::Gauge, values)
    }

    /// The name is completed by `_total`.
    fn counter<L, S>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result
    where
        L: IntoIterator<Item = (&'static str, S)>,
        S: Into<String>,
    {
        self.family(name, help, MetricType::Counter, values)
    }

    fn family<L, S>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result
    where
        L: IntoIterator<Item = (&'static str, S)>,
        S: Into<String>,
    {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let labels: Vec<(String, String)> =
                labels.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect();
            if labels.is_empty() {
                return encode(kind, value, family);
            }
            encode(kind, value, family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Open file descriptors. Linux says how many they are since 6.2; before, they are counted.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => fs::read_dir(FOLDER).ok().map(|files| files.count() as u64),
        count => Some(count),
    }
}

fn encode(kind: MetricType, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(value).encode(encoder),
    }
}

/// Counts are exact up to 2⁵³.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}
