//! What streams and the server have moved in the last minutes, for plots.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hub::{Role, Session, StreamName, StreamState, Summary};
use parking_lot::Mutex;

/// Samples that are kept of a stream: ten minutes.
const OF_STREAM: usize = 120;

/// Samples that are kept of the server: half an hour.
const OF_SERVER: usize = 360;

/// How often samples are taken.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// A moment of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OfStream {
    /// What comes in, in kbit/s of 1000 bits.
    pub in_kbps: u64,
    /// What goes out.
    pub out_kbps: u64,
    /// Pictures per second.
    pub fps: u32,
    /// Who reads.
    pub viewers: u32,
}

/// A moment of the server.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OfServer {
    /// What comes in, in kbit/s of 1000 bits.
    pub in_kbps: u64,
    /// What goes out.
    pub out_kbps: u64,
    /// Who publishes.
    pub publishers: u32,
    /// Who reads.
    pub viewers: u32,
    /// Of one core.
    pub cpu_percent: f64,
    /// Resident.
    pub memory_mb: f64,
}

/// The last minutes.
#[derive(Debug, Default)]
pub struct History {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: HashMap<StreamName, VecDeque<OfStream>>,
    server: VecDeque<OfServer>,
    /// When the last samples were taken.
    taken: Option<SystemTime>,
    /// Processor time used so far, and when that was read.
    processor: Option<(Duration, Instant)>,
}

impl History {
    /// Takes a sample of everything; to be called once every [`INTERVAL`], after bit rates were
    /// worked out.
    pub fn sample(&self, summaries: &[Summary], sessions: &[Arc<Session>], now: Instant) {
        let mut streams: HashMap<StreamName, OfStream> = HashMap::new();
        let mut server = OfServer::default();
        for session in sessions {
            let (role, moved) = (session.kind().role, session.statistics());
            let (came, went) = (kbps(moved.read_kbits), kbps(moved.written_kbits));
            server.in_kbps += came;
            server.out_kbps += went;
            let (publishes, reads) =
                (matches!(role, Role::Pub | Role::Pull), matches!(role, Role::Sub | Role::Push));
            server.publishers += u32::from(publishes);
            server.viewers += u32::from(reads);
            if let Some(name) = session.stream() {
                let stream = streams.entry(name).or_default();
                stream.viewers += u32::from(reads);
                stream.in_kbps += if publishes { came } else { 0 };
                stream.out_kbps += if reads { went } else { 0 };
            }
        }
        let mut state = self.state.lock();
        let processor = processor_time();
        if let (Some(used), Some((before, at))) = (processor, state.processor) {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            server.cpu_percent =
                used.saturating_sub(before).as_secs_f64() / passed.max(0.001) * 100.0;
        }
        state.processor = processor.map(|used| (used, now));
        server.memory_mb = resident_bytes().unwrap_or_default() / 1_000_000.0;
        state.taken = Some(SystemTime::now());
        push(&mut state.server, server, OF_SERVER);
        let known = |name: &StreamName| summaries.iter().any(|summary| summary.name == *name);
        state.streams.retain(|name, _| known(name));
        for summary in summaries.iter().filter(|summary| summary.state != StreamState::Idle) {
            let mut sample = streams.remove(&summary.name).unwrap_or_default();
            sample.fps = summary.video_fps.first().copied().unwrap_or_default();
            push(state.streams.entry(summary.name.clone()).or_default(), sample, OF_STREAM);
        }
    }

    /// Of the server: the oldest first, and when the newest was taken.
    #[must_use]
    pub fn server(&self) -> (Vec<OfServer>, SystemTime) {
        let state = self.state.lock();
        (state.server.iter().copied().collect(), state.taken.unwrap_or_else(SystemTime::now))
    }

    /// Of a stream: the oldest first, and when the newest was taken.
    #[must_use]
    pub fn stream(&self, name: &StreamName) -> (Vec<OfStream>, SystemTime) {
        let state = self.state.lock();
        let samples = state.streams.get(name).map(|all| all.iter().copied().collect());
        (samples.unwrap_or_default(), state.taken.unwrap_or_else(SystemTime::now))
    }
}

/// A rate of 1024 bits, as sessions have it, in one of 1000.
#[must_use]
pub fn kbps(kbits: u64) -> u64 {
    kbits.saturating_mul(1024) / 1000
}

fn push<T>(samples: &mut VecDeque<T>, sample: T, most: usize) {
    if samples.len() >= most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

/// What this process has used of processors (proc(5): fields 14 and 15 of `stat`).
#[must_use]
pub fn processor_time() -> Option<Duration> {
    /// The kernel's unit, which has been this for decades on every architecture.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold blanks.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// What of this process is in memory.
#[must_use]
pub fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use hub::{Kind, Protocol, Registry, Sessions, StreamSettings};

    use super::*;

    #[test]
    fn what_sessions_move_is_summed_by_stream_and_in_all() {
        let settings = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| settings.clone()), 9);
        let sessions = Sessions::default();
        let name = StreamName::new("live", "a", hub::Identity::AppAndName).unwrap();
        let open = |role| {
            let kind = Kind { protocol: Protocol::Rtmp, role };
            sessions.open(kind, None, SystemTime::UNIX_EPOCH)
        };
        let (publisher, viewer) = (open(Role::Pub), open(Role::Sub));
        let now = Instant::now();
        let _publication = registry.publish(&name, &publisher, now, SystemTime::UNIX_EPOCH);
        for session in [&publisher, &viewer] {
            sessions.join(session, &name, 9);
        }
        publisher.set_totals(1_250_000, 0);
        viewer.set_totals(0, 625_000);
        publisher.update(Duration::from_secs(10));
        viewer.update(Duration::from_secs(10));
        let history = History::default();
        for _ in 0..OF_STREAM + 5 {
            history.sample(&registry.summaries(now), &sessions.all(), now);
        }
        let (samples, _) = history.stream(&name);
        assert_eq!(samples.len(), OF_STREAM);
        let last = samples.last().unwrap();
        assert!(
            (998..=1000).contains(&last.in_kbps) && (498..=500).contains(&last.out_kbps),
            "{last:?}"
        );
        assert_eq!(last.viewers, 1);
        let (server, _) = history.server();
        let last = server.last().unwrap();
        assert_eq!((last.publishers, last.viewers), (1, 1));
        assert!(last.memory_mb > 1.0);
        history.sample(&[], &[], now);
        assert!(history.stream(&name).0.is_empty(), "a stream that is gone is forgotten");
    }

    #[test]
    fn the_process_is_measured() {
        assert!(processor_time().is_some() && resident_bytes().is_some());
    }
}
