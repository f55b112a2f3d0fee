//! What was found wrong, and where.

use std::fmt;

/// More faults than this say no more than the first ones.
const MAX_FAULTS: usize = 200;

/// A list of faults with the place that is being looked at.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<String>,
    packet: usize,
    pid: Option<u16>,
    left_out: usize,
}

impl Faults {
    /// What is added from now on is about this packet.
    pub(super) fn at(&mut self, packet: usize, pid: u16) {
        (self.packet, self.pid) = (packet, Some(pid));
    }

    /// What is added from now on is about the stream as a whole.
    pub(super) fn at_end(&mut self) {
        self.pid = None;
    }

    pub(super) fn add(&mut self, what: impl fmt::Display) {
        if self.found.len() >= MAX_FAULTS {
            self.left_out += 1;
            return;
        }
        self.found.push(match self.pid {
            Some(pid) => format!("packet {}, PID {pid:#06x}: {what}", self.packet),
            None => what.to_string(),
        });
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.found.push(format!("and {} more", self.left_out));
        }
        self.found
    }
}
