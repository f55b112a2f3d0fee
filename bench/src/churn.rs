//! Viewers that come and go at random: what the server keeps of them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use testkit::Random;

use crate::crowd::{BUFFER, CONNECT_TIMEOUT, JOINING_SWEEP};
use crate::histogram::{Histogram, Percentiles};
use crate::mark::{Mark, wall_clock};
use crate::process;
use crate::socket::Connector;
use crate::target::Target;
use crate::viewer::{Seen, Viewer};

/// How often each socket is read.
const SWEEP: Duration = Duration::from_millis(4);
/// Viewers that join per second at most.
const JOIN_INTERVAL: Duration = Duration::from_millis(5);
/// After the last viewer has left, before the server is looked at.
const SETTLE: Duration = Duration::from_secs(3);
/// Points of the curve of memory: as many as a plot can show.
const POINTS: u32 = 200;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to play.
    pub target: Target,
    /// How many viewers there are at a time.
    pub viewers: usize,
    /// How long they stay on average.
    pub lifetime: Duration,
    /// How long viewers come and go.
    pub length: Duration,
    /// The server's process.
    pub server: u32,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Footprint {
    /// Seconds since the first viewer.
    pub at: f64,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open files, sockets included.
    pub descriptors: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Churn {
    /// How many viewers there were at a time.
    pub viewers: usize,
    /// Viewers that came.
    pub joins: u64,
    /// Viewers that were refused or dropped.
    pub disconnected: u64,
    /// Why the first of those was.
    pub first_failure: Option<String>,
    /// Frames that arrived.
    pub frames: u64,
    /// Frames missing between the first and the last of each viewer.
    pub missing: u64,
    /// Frames that came twice or in the wrong order.
    pub disordered: u64,
    /// From connecting to the first whole key frame, in milliseconds.
    pub first_key: Option<Percentiles>,
    /// Of frames that were sent while the viewer was there, in milliseconds.
    pub latency: Option<Percentiles>,
    /// How much of a core the server took.
    pub load: f64,
    /// Before the first viewer.
    pub before: Footprint,
    /// When all places were taken for the first time.
    pub full: Footprint,
    /// At the end, all places taken.
    pub end: Footprint,
    /// After the last viewer has left.
    pub after: Footprint,
    /// The time between, evenly.
    pub curve: Vec<Footprint>,
}

/// A viewer and when it leaves.
struct Guest {
    viewer: Viewer,
    leaves: Instant,
    joined: u64,
    last: Option<Mark>,
}

/// The guests and what they saw.
struct House<'a> {
    plan: &'a Plan,
    connector: Connector,
    random: Random,
    guests: Vec<Guest>,
    next_join: Instant,
    joins: u64,
    seen: Record,
    disconnected: u64,
    first_failure: Option<String>,
    first_key: Histogram,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Record {
    frames: u64,
    missing: u64,
    disordered: u64,
    latency: Histogram,
}

/// Carries out the plan.
///
/// # Errors
/// When the server's process is not there, or nobody could join.
pub fn run(plan: &Plan) -> Result<Churn> {
    let begun = Instant::now();
    let look = || footprint(plan.server, begun);
    let before = look()?;
    let cpu = process::cpu(plan.server)?;
    let mut house = House::new(plan)?;
    let (mut full, mut curve) = (None, Vec::new());
    let step = plan.length / POINTS;
    let mut next_sweep = begun;
    while begun.elapsed() < plan.length {
        let whole = Instant::now() >= next_sweep;
        if whole {
            next_sweep += SWEEP;
        }
        house.sweep(whole);
        house.admit();
        if full.is_none() && house.guests.len() == plan.viewers {
            full = Some(look()?);
        }
        if begun.elapsed() >= step * u32::try_from(curve.len()).unwrap_or(POINTS) {
            curve.push(look()?);
        }
        std::thread::sleep(JOINING_SWEEP);
    }
    let end = look()?;
    let load = (process::cpu(plan.server)? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    house.guests.clear();
    std::thread::sleep(SETTLE);
    let after = look()?;
    curve.push(after);
    if house.seen.frames == 0 {
        bail!("nobody saw anything: {}", house.first_failure.unwrap_or_default());
    }
    Ok(Churn {
        viewers: plan.viewers,
        joins: house.joins,
        disconnected: house.disconnected,
        first_failure: house.first_failure,
        frames: house.seen.frames,
        missing: house.seen.missing,
        disordered: house.seen.disordered,
        first_key: house.first_key.percentiles(),
        latency: house.seen.latency.percentiles(),
        load,
        before,
        full: full.unwrap_or(end),
        end,
        after,
        curve,
    })
}

fn footprint(pid: u32, begun: Instant) -> Result<Footprint> {
    let (resident, descriptors) = (process::resident(pid)?, process::descriptors(pid)?);
    Ok(Footprint { at: begun.elapsed().as_secs_f64(), resident, descriptors })
}

impl<'a> House<'a> {
    fn new(plan: &'a Plan) -> Result<Self> {
        Ok(Self {
            plan,
            connector: Connector::new(plan.target.is_tls())?,
            random: Random::new(1),
            guests: Vec::new(),
            next_join: Instant::now(),
            joins: 0,
            seen: Record::default(),
            disconnected: 0,
            first_failure: None,
            first_key: Histogram::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Lets somebody into a free place, if it is time.
    fn admit(&mut self) {
        let now = Instant::now();
        if self.guests.len() >= self.plan.viewers || now < self.next_join {
            return;
        }
        self.next_join = now + JOIN_INTERVAL;
        self.joins += 1;
        match Viewer::open(&self.connector, &self.plan.target, 0, CONNECT_TIMEOUT) {
            Ok(viewer) => {
                // Uniform from nothing to twice the average: some leave before the first frame.
                let millis = u64::try_from(self.plan.lifetime.as_millis()).unwrap_or(u64::MAX);
                let stay = self.random.bits() % millis.saturating_mul(2).max(1);
                let leaves = now + Duration::from_millis(stay);
                self.guests.push(Guest { viewer, leaves, joined: wall_clock(), last: None });
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Reads the sockets, of all or of those that still join, and sees off whose time has come.
    fn sweep(&mut self, whole: bool) {
        self.connector.turn();
        let now = Instant::now();
        let mut index = 0;
        while let Some(guest) = self.guests.get_mut(index) {
            if !whole && guest.viewer.first_key.is_some() {
                index += 1;
                continue;
            }
            let outcome = guest.poll(&mut self.buffer, &mut self.seen);
            if outcome.is_ok() && guest.leaves > now {
                index += 1;
                continue;
            }
            let guest = self.guests.swap_remove(index);
            guest.viewer.first_key.into_iter().for_each(|time| self.first_key.add(time));
            if let Err(error) = outcome {
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.disconnected += 1;
        self.first_failure.get_or_insert_with(|| format!("{error:#}"));
    }
}

impl Guest {
    fn poll(&mut self, buffer: &mut [u8], record: &mut Record) -> Result<()> {
        let Self { viewer, joined, last, .. } = self;
        viewer.poll(buffer, &mut |seen| {
            let Seen::Frame(mark) = seen else { return };
            record.see(last.replace(mark), mark);
            // What was sent before is the cache's, whose age says nothing.
            if mark.sent >= *joined {
                record.latency.add(mark.age(wall_clock()));
            }
        })
    }
}

impl Record {
    fn see(&mut self, last: Option<Mark>, mark: Mark) {
        self.frames += 1;
        let ahead = last.map_or(1, |last| last.distance_to(mark));
        match u64::try_from(ahead) {
            Ok(ahead) if ahead > 0 => self.missing += ahead - 1,
            _ => self.disordered += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_disorder_are_counted() {
        let mut record = Record::default();
        let mut last = None;
        for number in [4094, 4095, 0, 3, 2, 3] {
            let mark = Mark { sent: 0, number };
            record.see(last.replace(mark), mark);
        }
        assert_eq!((record.frames, record.missing, record.disordered), (6, 2, 1));
    }
}
