//! One stream that is pushed to one server: from the first call to the last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtsp::client::TransportChoice;
use hub::{EndReason, Session, SessionId, StreamName, pattern};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::Relay;
use super::address::UrlTemplate;
use super::rules::{PushRule, Rules};
use crate::remote::{Client, RemoteUrl};
use crate::via;

/// How often it is looked whether the stream of an operator's order is there.
const LOOK: Duration = Duration::from_millis(500);

/// A server that has taken the stream for so long did not fail.
const STABLE: Duration = Duration::from_secs(10);

/// How a push is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushState {
    /// Nobody publishes the stream.
    Idle,
    /// The server is being called.
    Calls,
    /// The server takes the stream.
    Runs,
    /// The next call is some time away.
    Waits,
}

/// What there is to say about a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushStatus {
    /// What is pushed.
    pub stream: StreamName,
    /// Where to, without its key: [`RemoteUrl::as_target`].
    pub to: String,
    /// How it is doing.
    pub state: PushState,
    /// Its current session.
    pub session: Option<SessionId>,
    /// How often the server was called.
    pub attempts: u32,
    /// How many calls in a row it did not take.
    pub failures: u32,
    /// Why the last session ended.
    pub last_error: Option<String>,
    /// The pattern of the rule that it comes from; nothing for an operator's order.
    pub rule: Option<String>,
}

/// Where an order of the rules comes from.
pub(super) struct Ordered {
    pub(super) rule: PushRule,
    /// Which of the rule's targets it is.
    pub(super) target: UrlTemplate,
}

/// A stream that is pushed.
pub(super) struct Push {
    stream: StreamName,
    to: RemoteUrl,
    /// What RTP travels over, if not as the rules say.
    transport: Option<TransportChoice>,
    /// Nothing for an operator's order.
    ordered: Option<Ordered>,
    state: Mutex<State>,
    stopped: Notify,
}

struct State {
    stopped: bool,
    waits: bool,
    session: Option<Arc<Session>>,
    /// Since when the current session's server takes the stream.
    taken: Option<Instant>,
    attempts: u32,
    failures: u32,
    last_error: Option<String>,
}

impl Push {
    pub(super) fn new(
        stream: StreamName,
        to: RemoteUrl,
        transport: Option<TransportChoice>,
        ordered: Option<Ordered>,
    ) -> Self {
        let state = State {
            stopped: false,
            waits: false,
            session: None,
            taken: None,
            attempts: 0,
            failures: 0,
            last_error: None,
        };
        Self { stream, to, transport, ordered, state: Mutex::new(state), stopped: Notify::new() }
    }

    /// What it is found by.
    pub(super) fn key(&self) -> (StreamName, String) {
        (self.stream.clone(), self.to.exact())
    }

    pub(super) fn is_of(&self, stream: &StreamName) -> bool {
        self.stream == *stream
    }

    /// Whether it is meant for whoever publishes the stream now: an operator's order always is.
    pub(super) fn may_go_on(&self, relay: &Relay) -> bool {
        let ordered = self.ordered.as_ref();
        ordered.is_none_or(|ordered| relay.may_push(&ordered.rule, &self.stream, &self.to))
    }

    /// The server of a session has taken the stream.
    pub(super) fn runs(&self, id: &SessionId) {
        let mut state = self.state.lock();
        if state.session.as_ref().is_some_and(|session| session.id() == id) {
            state.taken = Some(Instant::now());
        }
    }

    /// Where it goes, as operators see it.
    pub(super) fn shown(&self) -> String {
        self.to.as_target()
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        self.stopped.notify_one();
        let session = state.session.clone();
        drop(state);
        if let Some(session) = session {
            session.dispose(EndReason::StreamEnded);
        }
    }

    /// Whether these rules order it as it is.
    pub(super) fn is_wanted_by(&self, rules: &Rules) -> bool {
        self.ordered.as_ref().is_none_or(|ordered| {
            rules.pushes.iter().any(|rule| {
                pattern::matches(&rule.pattern, self.stream.as_str())
                    && rule.transport == ordered.rule.transport
                    && rule.pulled == ordered.rule.pulled
                    && rule.targets.contains(&ordered.target)
            })
        })
    }

    pub(super) fn status(&self) -> PushStatus {
        let state = self.state.lock();
        let doing = match &state.session {
            Some(session) if session.stream().is_some() => PushState::Runs,
            Some(_) => PushState::Calls,
            None if state.waits => PushState::Waits,
            None => PushState::Idle,
        };
        PushStatus {
            stream: self.stream.clone(),
            to: self.shown(),
            state: doing,
            session: state.session.as_ref().map(|session| session.id().clone()),
            attempts: state.attempts,
            failures: state.failures,
            last_error: state.last_error.clone(),
            rule: self.ordered.as_ref().map(|ordered| ordered.rule.pattern.clone()),
        }
    }

    /// Calls the server until the order is done.
    pub(super) async fn run(self: Arc<Self>, relay: Arc<Relay>) {
        while self.await_publisher(&relay).await {
            let mut remote = relay.rules.load().remote(self.to.clone(), self.transport);
            remote.via = via::onward(&self.way(&relay), &relay.context.id);
            let client = Client::push(&relay.context, self.stream.clone(), remote);
            let session = client.session().clone();
            {
                let mut state = self.state.lock();
                (state.session, state.taken) = (Some(session.clone()), None);
                state.attempts += 1;
                state.waits = false;
                if state.stopped {
                    session.dispose(EndReason::StreamEnded);
                }
            }
            let ended = relay.run_client(client).await.await;
            let reason = ended.unwrap_or(EndReason::Shutdown);
            let Some(wait) = self.judge(&relay, &reason) else { break };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stopped.notified() => {}
            }
        }
        let mut pushes = relay.pushes.lock();
        let key = self.key();
        if pushes.get(&key).is_some_and(|known| Arc::ptr_eq(known, &self)) {
            pushes.remove(&key);
        }
        drop(pushes);
        info!(stream = %self.stream, to = self.to.authority(), "is pushed no more");
    }

    /// The servers that the stream has come through.
    fn way(&self, relay: &Relay) -> String {
        let stream = relay.context.registry.find(&self.stream);
        let publisher = stream.and_then(|stream| stream.lock().publisher().cloned());
        publisher.map(|publisher| publisher.address().via.clone()).unwrap_or_default()
    }

    /// Waits for somebody who publishes the stream. A rule's order ends where nobody does: the
    /// stream's next beginning is another one. `false` when the order is done.
    async fn await_publisher(&self, relay: &Relay) -> bool {
        loop {
            if self.state.lock().stopped {
                return false;
            }
            let found = relay.context.registry.find(&self.stream);
            if found.is_some_and(|found| found.lock().state() != hub::StreamState::Idle) {
                return true;
            }
            if self.ordered.is_some() {
                return false;
            }
            self.state.lock().waits = false;
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.stopped.notified() => {}
            }
        }
    }

    /// What follows from a session's end: how long to wait for the next call, if there is one.
    fn judge(&self, relay: &Relay, reason: &EndReason) -> Option<Duration> {
        let mut state = self.state.lock();
        state.session = None;
        state.last_error = Some(reason.to_string());
        let kicked = *reason == EndReason::Kicked && self.ordered.is_none();
        if state.stopped || kicked || *reason == EndReason::Shutdown {
            return None;
        }
        let taken = state.taken.take();
        let stable = taken.is_some_and(|taken| taken.elapsed() >= STABLE)
            || *reason == EndReason::StreamEnded;
        state.failures = if stable { 0 } else { state.failures.saturating_add(1) };
        state.waits = true;
        let failures = state.failures;
        drop(state);
        let wait = relay.rules.load().retry.wait(failures.max(1), relay.random());
        let to = self.to.authority();
        if failures <= 1 && *reason != EndReason::StreamEnded {
            warn!(stream = %self.stream, to, %reason, ?wait, "the push has ended: it is tried again");
        } else {
            debug!(stream = %self.stream, to, %reason, ?wait, failures, "the push has ended");
        }
        Some(wait)
    }
}
