//! Acknowledgements: RTMP 1.0 §5.4.3 and §5.4.4.
//!
//! Encoders stop after some time, or some gigabytes, without an acknowledgement, even if they
//! never announced a window: so there is always one.

use std::time::{Duration, Instant};

use crate::message::Control;

/// Acknowledge at least this often: what ten seconds of a 2 Mbit/s stream make.
const MAX_WINDOW: u64 = 2_500_000;

/// Acknowledge at least this often while bytes come, for encoders that count seconds.
const MAX_INTERVAL: Duration = Duration::from_secs(5);

/// Counts what came, and when to say so.
#[derive(Debug)]
pub(crate) struct Acks {
    received: u64,
    acknowledged: u64,
    at: Instant,
    window: u64,
    by_peer: u32,
}

impl Acks {
    pub(crate) fn new(now: Instant) -> Self {
        Self { received: 0, acknowledged: 0, at: now, window: MAX_WINDOW, by_peer: 0 }
    }

    /// All bytes that came, the handshake's included.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// What the peer acknowledged last.
    pub(crate) fn by_peer(&self) -> u32 {
        self.by_peer
    }

    pub(crate) fn count(&mut self, len: usize) {
        self.received += len as u64;
    }

    /// Takes note of the peer's own control messages.
    pub(crate) fn handle(&mut self, control: &Control) {
        match *control {
            Control::WindowAckSize(window) => self.window = u64::from(window).min(MAX_WINDOW),
            Control::Acknowledgement(sequence) => self.by_peer = sequence,
            _ => {}
        }
    }

    /// The acknowledgement to send now, if one is due; one at most per call, so that a tiny
    /// window costs no more than the reads it comes with.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Control> {
        let unacknowledged = self.received - self.acknowledged;
        let late = now.saturating_duration_since(self.at) >= MAX_INTERVAL;
        if unacknowledged == 0 || (unacknowledged < self.window && !late) {
            return None;
        }
        self.acknowledged = self.received;
        self.at = now;
        let [.., a, b, c, d] = self.received.to_be_bytes();
        Some(Control::Acknowledgement(u32::from_be_bytes([a, b, c, d])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledges_without_an_announced_window() {
        let now = Instant::now();
        let mut acks = Acks::new(now);
        acks.count(2_499_999);
        assert_eq!(acks.due(now), None);
        acks.count(1);
        assert_eq!(acks.due(now), Some(Control::Acknowledgement(2_500_000)));
        assert_eq!(acks.due(now), None, "once");
    }

    #[test]
    fn a_smaller_window_is_obeyed_and_a_larger_one_is_not() {
        let now = Instant::now();
        let mut acks = Acks::new(now);
        acks.handle(&Control::WindowAckSize(1000));
        acks.count(1000);
        assert!(acks.due(now).is_some());
        acks.handle(&Control::WindowAckSize(u32::MAX));
        acks.count(2_500_000);
        assert!(acks.due(now).is_some());
    }

    #[test]
    fn slow_streams_are_acknowledged_by_time() {
        let now = Instant::now();
        let mut acks = Acks::new(now);
        acks.count(100);
        assert_eq!(acks.due(now + Duration::from_secs(4)), None);
        let later = now + Duration::from_secs(5);
        assert_eq!(acks.due(later), Some(Control::Acknowledgement(100)));
        assert_eq!(acks.due(later + Duration::from_secs(60)), None, "nothing new came");
    }

    #[test]
    fn the_sequence_number_wraps() {
        let now = Instant::now();
        let mut acks = Acks::new(now);
        acks.received = u64::from(u32::MAX);
        acks.count(6);
        assert_eq!(acks.due(now), Some(Control::Acknowledgement(5)));
    }
}
