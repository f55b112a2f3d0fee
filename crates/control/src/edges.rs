//! Viewers on edges: an edge says from time to time how many watch what it has from its origin, and
//! the origin shows them beside its own.
//!
//! An edge says it to the origin's API, with a token. What an edge has said holds for a while, so
//! that the viewers of an edge that has gone are forgotten. An edge of an edge counts: each adds to
//! its own viewers those that were told to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Sessions, StreamName};
use outgoing::{Client, Targets};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tracing::{debug, warn};

use crate::operations::Operations;

/// How often an edge says what it has.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long it holds: two reports may be lost.
pub const VALID: Duration = Duration::from_secs(15);

/// How long an origin may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Edges that are listened to: more than an origin could feed.
const MAX_EDGES: usize = 1_000;

/// Streams of an edge that are counted: as many as there may be pulls.
pub const MAX_STREAMS: usize = 10_000;

/// The longest name of an edge, in characters.
pub const MAX_NAME: usize = 256;

/// Where an edge reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The origin's API, such as `http://origin.example:8083`; empty for nowhere.
    pub to: String,
    /// What lets us in there; empty for nothing.
    pub token: String,
}

/// What edges have said, and where this server says what it has.
#[derive(Debug)]
pub struct Edges {
    /// What this server is called as an edge: no other one has the same name.
    name: String,
    rules: RwLock<Rules>,
    told: Mutex<HashMap<String, Told>>,
}

#[derive(Debug)]
struct Told {
    viewers: HashMap<StreamName, u64>,
    until: Instant,
}

impl Edges {
    /// Nobody has said anything yet.
    #[must_use]
    pub fn new(name: String, rules: Rules) -> Arc<Self> {
        Arc::new(Self { name, rules: RwLock::new(rules), told: Mutex::default() })
    }

    /// Other rules hold from the next report on.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write() = rules;
    }

    /// An edge says how many watch there; that replaces what it has said before. `false` if there
    /// are too many edges.
    pub fn told(&self, edge: &str, viewers: HashMap<StreamName, u64>, now: Instant) -> bool {
        let mut told = self.told.lock();
        told.retain(|_, told| told.until > now);
        if told.len() >= MAX_EDGES && !told.contains_key(edge) {
            return false;
        }
        told.insert(edge.to_owned(), Told { viewers, until: now + VALID });
        true
    }

    /// How many watch a stream on edges.
    #[must_use]
    pub fn viewers(&self, stream: &StreamName, now: Instant) -> u64 {
        let told = self.told.lock();
        let valid = told.values().filter(|told| told.until > now);
        let viewers = valid.filter_map(|told| told.viewers.get(stream));
        viewers.fold(0, |sum, viewers| sum.saturating_add(*viewers))
    }

    /// Tells the origin from time to time, as long as the rules name one. Never ends.
    pub async fn report(
        self: Arc<Self>,
        client: Client,
        operations: Arc<dyn Operations>,
        sessions: Arc<Sessions>,
    ) {
        let (mut said, mut failed) = (false, false);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let rules = self.rules.read().clone();
            if rules.to.is_empty() {
                continue;
            }
            let now = Instant::now();
            let streams: HashMap<String, u64> = operations
                .pulls()
                .iter()
                .map(|pull| {
                    let here = sessions.group(&pull.stream).viewers() as u64;
                    let further = self.viewers(&pull.stream, now);
                    (pull.stream.to_string(), here.saturating_add(further))
                })
                .take(MAX_STREAMS)
                .collect();
            // That nobody watches any more is said once.
            if streams.is_empty() && !said {
                continue;
            }
            said = !streams.is_empty();
            let outcome = self.send(&client, &rules, &streams).await;
            let origin = hub::mask::source(&rules.to);
            let failed_before = std::mem::replace(&mut failed, outcome.is_err());
            match outcome {
                Err(why) if !failed_before => {
                    warn!(origin, why, "cannot be told of viewers; it is tried again");
                }
                Err(why) => debug!(origin, why, "cannot be told of viewers"),
                Ok(()) if failed_before => debug!(origin, "takes reports again"),
                Ok(()) => {}
            }
        }
    }

    async fn send(
        &self,
        client: &Client,
        rules: &Rules,
        streams: &HashMap<String, u64>,
    ) -> Result<(), String> {
        let url = format!("{}/api/v1/edge_viewers", rules.to.trim_end_matches('/'));
        let login = format!("Bearer {}", rules.token);
        let headers = [("authorization", login.as_str())];
        let headers = if rules.token.is_empty() { &[][..] } else { &headers[..] };
        let body = json!({ "edge": self.name, "streams": streams }).to_string();
        let answer = client.post(Targets::Any, &url, headers, Bytes::from(body), TIMEOUT).await;
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hub::Identity;

    use super::*;

    fn stream(name: &str) -> StreamName {
        StreamName::new("live", name, Identity::AppAndName).unwrap()
    }

    fn told(edges: &Edges, edge: &str, viewers: u64, now: Instant) -> bool {
        edges.told(edge, HashMap::from([(stream("a"), viewers)]), now)
    }

    #[test]
    fn edges_add_up_and_are_forgotten() {
        let edges = Edges::new("me".to_owned(), Rules::default());
        let now = Instant::now();
        assert!(told(&edges, "one", 3, now));
        assert!(told(&edges, "two", 4, now + VALID / 2));
        assert_eq!(edges.viewers(&stream("a"), now + VALID / 2), 7);
        assert_eq!(edges.viewers(&stream("b"), now), 0);
        assert!(told(&edges, "two", 5, now + VALID / 2));
        assert_eq!(edges.viewers(&stream("a"), now + VALID), 5);
        assert_eq!(edges.viewers(&stream("a"), now + VALID * 2), 0);
        assert!(told(&edges, "one", u64::MAX, now));
        assert_eq!(edges.viewers(&stream("a"), now), u64::MAX);
    }

    #[test]
    fn there_is_room_for_so_many_edges() {
        let edges = Edges::new("me".to_owned(), Rules::default());
        let now = Instant::now();
        for number in 0..MAX_EDGES {
            assert!(told(&edges, &number.to_string(), 1, now));
        }
        assert!(!told(&edges, "more", 1, now));
        assert!(told(&edges, "7", 2, now), "it is known");
        assert!(told(&edges, "more", 1, now + VALID));
    }
}
