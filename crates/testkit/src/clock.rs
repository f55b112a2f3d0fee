//! A clock that only moves when told to.

use std::time::{Duration, Instant};

/// Virtual time for state machines, which take their [`Instant`]s as arguments.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    base: Instant,
    elapsed: Duration,
}

impl VirtualClock {
    /// A clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { base: Instant::now(), elapsed: Duration::ZERO }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.base + self.elapsed
    }

    /// How far it went since it was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Moves on by `step`; returns the new time.
    pub fn advance(&mut self, step: Duration) -> Instant {
        self.elapsed += step;
        self.now()
    }

    /// Moves on to `elapsed` after zero; never back.
    pub fn advance_to(&mut self, elapsed: Duration) -> Instant {
        self.elapsed = self.elapsed.max(elapsed);
        self.now()
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}
