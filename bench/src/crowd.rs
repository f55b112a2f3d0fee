//! The viewers that are connected: how they join, and the sweep over their sockets.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::load::Plan;
use crate::pace::Pace;
use crate::socket::Connector;
use crate::tally::Tally;
use crate::viewer::Viewer;

/// One read takes this much at most: what a viewer of 8 Mbit/s gets in a quarter of a second.
pub const BUFFER: usize = 256 * 1024;
/// Viewers that are still joining are looked at this often, so that the time to the first frame
/// is the server's and not the sweep's.
pub const JOINING_SWEEP: Duration = Duration::from_micros(100);
/// A server that doesn't accept within this time has refused.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than planned all joins together may take; a server that is overwhelmed would
/// hold the bench up for hours otherwise.
const JOINING_PATIENCE: Duration = Duration::from_secs(30);

/// The viewers that are connected, and what they saw.
pub struct Crowd<'a> {
    plan: &'a Plan,
    connector: Connector,
    /// Who is connected.
    pub viewers: Vec<Viewer>,
    /// Slow viewers that were dropped.
    pub slow_lost: usize,
    /// Why the first viewer was lost.
    pub first_failure: Option<String>,
    /// What was counted.
    pub tally: Tally,
    buffer: Vec<u8>,
}

impl<'a> Crowd<'a> {
    /// Nobody yet.
    ///
    /// # Errors
    /// When TLS is wanted and cannot be had.
    pub fn new(plan: &'a Plan) -> Result<Self> {
        Ok(Self {
            plan,
            connector: Connector::new(plan.target.is_tls())?,
            viewers: Vec::with_capacity(plan.stalled + plan.viewers),
            slow_lost: 0,
            first_failure: None,
            tally: Tally::new(plan.stall),
            buffer: vec![0; BUFFER],
        })
    }

    /// Lets viewers join at the set rate.
    pub fn join_all(&mut self) {
        let Plan { stalled, viewers, slow, slow_rate, .. } = *self.plan;
        let begun = Instant::now();
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        let count = u32::try_from(stalled + viewers).unwrap_or(u32::MAX);
        let end = begun + interval * count + JOINING_PATIENCE;
        let mut next_sweep = begun;
        for number in 0..stalled + viewers {
            let due = begun + interval * u32::try_from(number).unwrap_or(u32::MAX);
            while Instant::now() < due {
                self.step(&mut next_sweep);
            }
            if Instant::now() > end {
                let text = format!("no more than {number} could join within {:?}", end - begun);
                self.first_failure.get_or_insert(text);
                break;
            }
            let stream = number % self.plan.streams.max(1);
            let target = self.plan.target.numbered(stream);
            let pace = Pace::of(number, stalled, viewers, slow, slow_rate);
            match Viewer::open(&self.connector, &target, stream, CONNECT_TIMEOUT) {
                Ok(mut viewer) => {
                    viewer.pace = pace;
                    self.viewers.push(viewer);
                }
                Err(error) => self.failed(pace, &error),
            }
        }
    }

    /// Reads for so long.
    pub fn sweep_for(&mut self, duration: Duration) {
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
        self.connector.turn();
        while let Some(viewer) = self.viewers.get_mut(index) {
            if viewer.first_key.is_none() || full {
                let (before, counts) = (viewer.last_bytes, viewer.counts());
                let stream = viewer.stream;
                let tally = &mut self.tally;
                let outcome = viewer.poll(&mut self.buffer, &mut |seen| {
                    tally.see(index, counts.then_some(stream), seen);
                });
                if let Err(error) = outcome {
                    let lost = self.viewers.swap_remove(index);
                    self.tally.forget(index);
                    self.failed(lost.pace, &error);
                    continue;
                }
                if counts {
                    self.tally.silence(viewer.last_bytes - before);
                }
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
    pub fn close_window(&mut self) {
        let now = Instant::now();
        for viewer in self.viewers.iter().filter(|viewer| viewer.counts()) {
            self.tally.silence(now.saturating_duration_since(viewer.last_bytes));
        }
        self.tally.close();
    }

    fn failed(&mut self, pace: Pace, error: &anyhow::Error) {
        if pace == Pace::Full {
            self.first_failure.get_or_insert_with(|| format!("{error:#}"));
        } else {
            self.slow_lost += 1;
        }
    }
}
