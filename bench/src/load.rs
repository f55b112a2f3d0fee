//! The load generator: many viewers, one thread, a sweep every few milliseconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::histogram::{Histogram, Percentiles};
use crate::mark::{Mark, wall_clock};
use crate::process;
use crate::target::Target;
use crate::viewer::{Seen, Viewer};

/// One read takes this much at most: what a viewer of 8 Mbit/s gets in a quarter of a second.
const BUFFER: usize = 256 * 1024;
/// Viewers that are still joining are looked at this often, so that the time to the first frame
/// is the server's and not the sweep's.
const JOINING_SWEEP: Duration = Duration::from_micros(100);
/// A server that doesn't accept within this time has refused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames of the window may arrive this much after its end before they count as lost.
const GRACE: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to play.
    pub target: Target,
    /// How many streams there are; viewers are spread over them.
    pub streams: usize,
    /// How many viewers.
    pub viewers: usize,
    /// How many more there are that read nothing once they have a key frame.
    pub stalled: usize,
    /// Viewers that join per second.
    pub join_rate: f64,
    /// Between the last join and the window.
    pub settle: Duration,
    /// How long to measure.
    pub window: Duration,
    /// How often each socket is read.
    pub sweep: Duration,
    /// Silence that counts as a stall.
    pub stall: Duration,
    /// The server's process.
    pub server: Option<u32>,
    /// The publisher's process, so that it isn't taken for a disturbance.
    pub publisher: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Viewers that were to join.
    pub viewers: usize,
    /// Viewers that got at least a key frame.
    pub playing: usize,
    /// Viewers that the server refused or dropped, at any time.
    pub disconnected: usize,
    /// Why the first of those was.
    pub first_failure: Option<String>,
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Bytes that were read within the window.
    pub bytes: u64,
    /// Frames sent within the window that arrived.
    pub frames: u64,
    /// Frames that should have.
    pub due: u64,
    /// Frames that came twice or in the wrong order.
    pub disordered: u64,
    /// Silences of a viewer within the window.
    pub stalls: u64,
    /// From the publisher's write to the viewer's read, in milliseconds.
    pub latency: Option<Percentiles>,
    /// From connecting to the first whole key frame, in milliseconds.
    pub first_key: Option<Percentiles>,
    /// How much of a core the generator took.
    pub generator_load: f64,
    /// How much of a core everything else took: whatever disturbs.
    pub other_load: f64,
    /// What it cost the server.
    pub server: Option<Cost>,
}

/// What a server paid.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    /// How much of a core it took.
    pub load: f64,
    /// CPU time per million bytes delivered, in microseconds.
    pub micros_per_mb: f64,
    /// Resident memory before the first viewer, in bytes.
    pub resident_before: u64,
    /// Resident memory at the window's end, in bytes.
    pub resident_after: u64,
}

impl Outcome {
    /// Frames that arrived ÷ frames due.
    #[must_use]
    pub fn delivered(&self) -> f64 {
        ratio(self.frames, self.due)
    }

    /// Resident memory of the server per viewer, in kilobytes.
    #[must_use]
    pub fn kilobytes_per_viewer(&self) -> Option<f64> {
        let server = self.server?;
        let grown = server.resident_after.saturating_sub(server.resident_before);
        Some(ratio(grown, u64::try_from(self.viewers).ok()?) / 1024.0)
    }
}

/// Carries out the plan; takes about as long as joining, settling and the window together.
///
/// # Errors
/// When the server's process is not there, or no viewer could join.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let resident_before = plan.server.map(process::resident).transpose()?;
    let mut crowd = Crowd::new(plan);
    crowd.join_all();
    crowd.sweep_for(plan.settle);
    if crowd.viewers.is_empty() {
        let why = crowd.first_failure.as_deref().unwrap_or("there are none");
        bail!("no viewer could join: {why}");
    }

    let me = std::process::id();
    let read_cpu = || -> Result<_> {
        let server = plan.server.map(process::cpu).transpose()?;
        let ours = process::cpu(me)? + plan.publisher.map_or(Ok(Duration::ZERO), process::cpu)?;
        let all = process::busy()?;
        Ok(Reading { at: Instant::now(), me: process::cpu(me)?, server, ours, all })
    };
    crowd.tally.open(&crowd.viewers, plan.window);
    let before = read_cpu()?;
    crowd.sweep_for(plan.window);
    let after = read_cpu()?;
    crowd.close_window();
    let resident_after = plan.server.map(process::resident).transpose()?;
    crowd.sweep_for(GRACE);

    let seconds = (after.at - before.at).as_secs_f64();
    let bytes = crowd.tally.bytes;
    let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / seconds;
    let server = match (before.server, after.server, resident_before, resident_after) {
        (Some(from), Some(to), Some(resident_before), Some(resident_after)) => {
            let load = share(from, to);
            let micros_per_mb = load * seconds * 1e6 / (float(bytes) / 1e6);
            Some(Cost { load, micros_per_mb, resident_before, resident_after })
        }
        _ => None,
    };
    let generator_load = share(before.me, after.me);
    let accounted = share(before.ours, after.ours) + server.map_or(0.0, |server| server.load);
    let other_load = (share(before.all, after.all) - accounted).max(0.0);
    let mut first_key = Histogram::new();
    let playing = || crowd.viewers.iter().filter(|viewer| !viewer.stalls);
    playing().filter_map(|viewer| viewer.first_key).for_each(|duration| first_key.add(duration));
    Ok(Outcome {
        viewers: plan.viewers,
        playing: playing().filter(|viewer| viewer.first_key.is_some()).count(),
        disconnected: plan.viewers.saturating_sub(playing().count()),
        first_failure: crowd.first_failure.clone(),
        seconds,
        bytes,
        frames: crowd.tally.frames,
        due: crowd.tally.due(),
        disordered: crowd.tally.disordered,
        stalls: crowd.tally.stalls,
        latency: crowd.tally.latency.percentiles(),
        first_key: first_key.percentiles(),
        generator_load,
        other_load,
        server,
    })
}

/// CPU times at one end of the window.
struct Reading {
    at: Instant,
    me: Duration,
    server: Option<Duration>,
    /// Generator and publisher.
    ours: Duration,
    all: Duration,
}

/// The viewers that are connected, and what they saw.
struct Crowd<'a> {
    plan: &'a Plan,
    viewers: Vec<Viewer>,
    first_failure: Option<String>,
    tally: Tally,
    buffer: Vec<u8>,
}

impl<'a> Crowd<'a> {
    fn new(plan: &'a Plan) -> Self {
        let viewers = Vec::with_capacity(plan.viewers);
        let tally = Tally::new(plan.stall);
        Self { plan, viewers, first_failure: None, tally, buffer: vec![0; BUFFER] }
    }

    /// Lets viewers join at the set rate, and waits a moment for the last ones.
    fn join_all(&mut self) {
        let begun = Instant::now();
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        let mut next_sweep = begun;
        for number in 0..self.plan.stalled + self.plan.viewers {
            let due = begun + interval * u32::try_from(number).unwrap_or(u32::MAX);
            while Instant::now() < due {
                self.step(&mut next_sweep);
            }
            let stream = number % self.plan.streams.max(1);
            match Viewer::open(&self.plan.target.numbered(stream), stream, CONNECT_TIMEOUT) {
                Ok(mut viewer) => {
                    viewer.stalls = number < self.plan.stalled;
                    self.viewers.push(viewer);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn sweep_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        let mut next_sweep = Instant::now();
        while Instant::now() < end {
            self.step(&mut next_sweep);
        }
    }

    /// One sweep over all sockets when it is due, else one over those that still join; then
    /// sleeps.
    fn step(&mut self, next_sweep: &mut Instant) {
        let now = Instant::now();
        let full = now >= *next_sweep;
        let mut joining = false;
        let mut index = 0;
        while let Some(viewer) = self.viewers.get_mut(index) {
            let joins = viewer.first_key.is_none();
            if joins || (full && !viewer.stalls) {
                let before = viewer.last_bytes;
                let stream = viewer.stream;
                let tally = &mut self.tally;
                let outcome = viewer.poll(&mut self.buffer, &mut |seen| {
                    tally.see(index, stream, seen);
                });
                if let Err(error) = outcome {
                    self.viewers.swap_remove(index);
                    self.tally.forget(index);
                    self.failed(&error);
                    continue;
                }
                self.tally.silence(viewer.last_bytes - before);
                joining |= viewer.first_key.is_none();
            }
            index += 1;
        }
        if full {
            *next_sweep = now + self.plan.sweep;
        }
        let rest = next_sweep.saturating_duration_since(Instant::now());
        std::thread::sleep(if joining { rest.min(JOINING_SWEEP) } else { rest });
    }

    /// Stops to count bytes, and counts silences that still last.
    fn close_window(&mut self) {
        let now = Instant::now();
        for viewer in self.viewers.iter().filter(|viewer| !viewer.stalls) {
            self.tally.silence(now.saturating_duration_since(viewer.last_bytes));
        }
        self.tally.counts_bytes = false;
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.first_failure.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// What is counted within the window.
struct Tally {
    stall: Duration,
    /// The wall clock at its ends, in microseconds.
    window: Option<(u64, u64)>,
    counts_bytes: bool,
    bytes: u64,
    frames: u64,
    disordered: u64,
    stalls: u64,
    latency: Histogram,
    streams: BTreeMap<usize, Span>,
    /// The last frame of each viewer, in the order of the viewers.
    last: Vec<Option<Mark>>,
}

/// The frames of one stream that were sent within the window.
#[derive(Debug, Default)]
struct Span {
    viewers: u64,
    latest: Option<Mark>,
    /// The lowest and the highest number, relative to the first one that was seen.
    low: i64,
    high: i64,
}

impl Tally {
    fn new(stall: Duration) -> Self {
        Self {
            stall,
            window: None,
            counts_bytes: false,
            bytes: 0,
            frames: 0,
            disordered: 0,
            stalls: 0,
            latency: Histogram::new(),
            streams: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    /// Begins to count; whoever is connected now has to get every frame of the window.
    fn open(&mut self, viewers: &[Viewer], length: Duration) {
        let now = wall_clock();
        self.window = Some((now, now + u64::try_from(length.as_micros()).unwrap_or(0)));
        self.counts_bytes = true;
        self.last = vec![None; viewers.len()];
        for viewer in viewers.iter().filter(|viewer| !viewer.stalls) {
            self.streams.entry(viewer.stream).or_default().viewers += 1;
        }
    }

    fn see(&mut self, viewer: usize, stream: usize, seen: Seen) {
        let Some((from, to)) = self.window else { return };
        match seen {
            Seen::Bytes(length) => self.bytes += if self.counts_bytes { length } else { 0 },
            Seen::Frame(mark) if (from..to).contains(&mark.sent) => {
                let last = self.last.get_mut(viewer).and_then(|last| last.replace(mark));
                if last.is_some_and(|last| last.distance_to(mark) <= 0) {
                    self.disordered += 1;
                    return;
                }
                self.frames += 1;
                self.latency.add(mark.age(wall_clock()));
                if let Some(span) = self.streams.get_mut(&stream) {
                    span.extend(mark);
                }
            }
            Seen::Frame(_) => {}
        }
    }

    fn silence(&mut self, duration: Duration) {
        self.stalls += u64::from(self.counts_bytes && duration >= self.stall);
    }

    fn forget(&mut self, viewer: usize) {
        if viewer < self.last.len() {
            self.last.swap_remove(viewer);
        }
    }

    fn due(&self) -> u64 {
        self.streams.values().map(|span| span.viewers * span.frames()).sum()
    }
}

impl Span {
    fn extend(&mut self, mark: Mark) {
        let latest = *self.latest.get_or_insert(mark);
        let position = self.high + latest.distance_to(mark);
        self.low = self.low.min(position);
        if position > self.high {
            self.high = position;
            self.latest = Some(mark);
        }
    }

    /// How many frames the publisher numbered, whether anybody got them or not.
    fn frames(&self) -> u64 {
        self.latest.map_or(0, |_| u64::try_from(self.high - self.low + 1).unwrap_or(0))
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// Counts of a bench are far below 2⁵³, where a float is exact.
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use testkit::{Programme, Video, stamp};

    use super::*;

    #[test]
    fn frames_that_nobody_got_are_due() {
        let mut span = Span::default();
        for number in [4094, 4095, 1, 2, 4093] {
            span.extend(Mark { sent: 0, number });
        }
        assert_eq!(span.frames(), 6); // 4093 to 4095 and 0 to 2, of which 0 was lost
    }

    /// Writes ten key frames per second to each connection but leaves one out.
    fn lossy_server(listener: &TcpListener) -> std::io::Result<()> {
        let video = Some(Video { gop: 1, ..Video::default() });
        let mut items = Programme { video, ..Programme::default() }.items();
        let mut viewers = Vec::new();
        for number in 0..25 {
            while let Ok((mut viewer, _)) = listener.accept() {
                viewer.write_all(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")?;
                viewers.push(viewer);
            }
            let stamp = stamp::encode(Mark { sent: wall_clock(), number }.pack());
            let mut tag = items.next().map(|item| item.flv_tag().to_vec()).unwrap_or_default();
            let at = tag.windows(16).position(|window| window == stamp::UUID).unwrap_or(0);
            tag[at..at + stamp::LEN].copy_from_slice(&stamp);
            if number != 5 {
                viewers.iter_mut().try_for_each(|viewer| viewer.write_all(&tag))?;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    #[test]
    fn losses_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || lossy_server(&listener));
        let plan = Plan {
            target: format!("tcp://{address}").parse().unwrap(),
            streams: 1,
            viewers: 3,
            stalled: 1,
            join_rate: 1000.0,
            settle: Duration::from_millis(150),
            window: Duration::from_millis(600),
            sweep: Duration::from_millis(4),
            stall: Duration::from_secs(1),
            server: Some(std::process::id()),
            publisher: None,
        };
        let outcome = run(&plan).unwrap();
        assert_eq!((outcome.playing, outcome.disconnected, outcome.stalls), (3, 0, 0));
        // Six frames were sent to each viewer, give or take one at the ends, and one left out.
        assert!((15..=21).contains(&outcome.due), "{outcome:?}");
        assert_eq!(outcome.due - outcome.frames, 3, "{outcome:?}");
        assert!(outcome.latency.unwrap().p99 < 80.0, "{outcome:?}");
    }
}
