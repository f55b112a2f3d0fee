//! The newest lines of the log, and those to come, for the page.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use config::values::Level;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

/// Lines that are kept.
const KEPT: usize = 500;

/// Lines that a reader may be behind.
const BEHIND: usize = 1_000;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, in RFC 3339.
    pub time: String,
    /// How grave: `ERROR` to `TRACE`.
    pub level: &'static str,
    /// What happened.
    pub message: String,
    /// To whom and to what.
    pub fields: BTreeMap<&'static str, String>,
}

/// The log, as far as it can be looked at and changed while the server runs.
pub struct Logs {
    /// Its lines.
    pub feed: Arc<LogFeed>,
    level: Mutex<Level>,
    apply: Box<dyn Fn(Level) + Send + Sync>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("level", &self.level).finish_non_exhaustive()
    }
}

/// A log that is not ours: it cannot be looked at.
impl Default for Logs {
    fn default() -> Self {
        Self::new(Arc::default(), Level::Info, Box::new(|_| {}))
    }
}

impl Logs {
    /// A log of which `level` is told; `apply` changes that.
    #[must_use]
    pub fn new(feed: Arc<LogFeed>, level: Level, apply: Box<dyn Fn(Level) + Send + Sync>) -> Self {
        Self { feed, level: Mutex::new(level), apply }
    }

    /// How much is logged.
    #[must_use]
    pub fn level(&self) -> Level {
        *self.level.lock()
    }

    /// Changes how much is logged.
    pub fn set_level(&self, level: Level) {
        let mut current = self.level.lock();
        (self.apply)(level);
        *current = level;
    }
}

/// Keeps the newest lines.
#[derive(Debug)]
pub struct LogFeed {
    recent: Mutex<VecDeque<Arc<Line>>>,
    live: broadcast::Sender<Arc<Line>>,
}

impl Default for LogFeed {
    fn default() -> Self {
        Self { recent: Mutex::default(), live: broadcast::Sender::new(BEHIND) }
    }
}

impl LogFeed {
    /// Adds a line. Never waits for readers.
    pub fn push(&self, line: Line) {
        let line = Arc::new(line);
        let mut recent = self.recent.lock();
        if recent.len() >= KEPT {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        // Nobody may be listening.
        let _ = self.live.send(line);
    }

    /// The newest lines, and all that follow them.
    #[must_use]
    pub fn subscribe(&self) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        // Locked, so that no line is told twice or left out.
        let recent = self.recent.lock();
        (recent.iter().cloned().collect(), self.live.subscribe())
    }
}

/// A time as the API writes it: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn readers_get_the_newest_lines_and_those_to_come() {
        let feed = LogFeed::default();
        let line = |n: usize| Line {
            time: rfc3339(SystemTime::UNIX_EPOCH),
            level: "INFO",
            message: n.to_string(),
            fields: BTreeMap::new(),
        };
        (0..KEPT + 3).for_each(|n| feed.push(line(n)));
        let (recent, mut live) = feed.subscribe();
        assert_eq!((recent.len(), &*recent[0].message), (KEPT, "3"));
        feed.push(line(9));
        assert_eq!(live.recv().await.unwrap().message, "9");
    }

    #[test]
    fn times_have_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:01.500Z");
    }
}
