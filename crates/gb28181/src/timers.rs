//! What is due when.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// One time per key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    order: BTreeSet<(Instant, K)>,
    times: HashMap<K, Instant>,
}

impl<K: Clone + Ord + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { order: BTreeSet::new(), times: HashMap::new() }
    }

    /// Sets a time, in place of the one before.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.clear(&key);
        self.order.insert((at, key.clone()));
        self.times.insert(key, at);
    }

    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.times.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// When something is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.order.first()?;
        if *at > now {
            return None;
        }
        let key = key.clone();
        self.clear(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_is_due_first_and_once() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::new();
        timers.set("a", now);
        timers.set("b", now);
        timers.set("c", later);
        timers.set("a", later);
        timers.clear(&"c");
        assert_eq!((timers.due(now), timers.due(now)), (Some("b"), None));
        assert_eq!(timers.next(), Some(later));
        assert_eq!((timers.due(later), timers.next()), (Some("a"), None));
    }
}
