//! One stream that is pulled: from the first call to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtsp::client::TransportChoice;
use hub::{EndReason, Event, Session, SessionId, StreamName};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::Relay;
use super::rules::{PullRule, Rules};
use crate::remote::{Client, RemoteUrl};
use crate::via;

/// How often it is looked whether a pull is still wanted.
const LOOK: Duration = Duration::from_millis(500);

/// A source that has carried the stream for so long did not fail.
const STABLE: Duration = Duration::from_secs(10);

/// What is to be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Where from, at least one: the next one is tried where one fails.
    pub sources: Vec<RemoteUrl>,
    /// How often sources are called in all; for ever without a number.
    pub attempts: Option<u32>,
    /// How long it goes on without viewers; for ever without a time.
    pub stop_after: Option<Duration>,
    /// What RTP travels over, if not as the rules say.
    pub transport: Option<TransportChoice>,
    /// How long connecting and each answer may take, if not as the rules say.
    pub patience: Option<Duration>,
    /// The servers that the request has come through which it is for.
    pub via: String,
    /// The rule that it comes from; nothing for an operator's order.
    pub rule: Option<PullRule>,
}

/// How a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    /// Somebody else publishes the stream; it stands back.
    StandsBack,
    /// A source is being called.
    Calls,
    /// The stream comes.
    Runs,
    /// The next call is some time away.
    Waits,
}

/// What there is to say about a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullStatus {
    /// What it is called here.
    pub stream: StreamName,
    /// Its sources, without what may be secret.
    pub sources: Vec<String>,
    /// Which of them it is at.
    pub source: usize,
    /// How it is doing.
    pub state: PullState,
    /// Its current session.
    pub session: Option<SessionId>,
    /// How often sources were called.
    pub attempts: u32,
    /// How many calls in a row did not bring the stream.
    pub failures: u32,
    /// Why the last session ended.
    pub last_error: Option<String>,
    /// The pattern of the rule that it comes from; nothing for an operator's order.
    pub rule: Option<String>,
    /// Whether it ends when nobody watches.
    pub on_demand: bool,
}

/// A stream that is pulled.
pub(super) struct Pull {
    stream: StreamName,
    order: Order,
    state: Mutex<State>,
    stopped: Notify,
}

struct State {
    stopped: bool,
    doing: PullState,
    session: Option<Arc<Session>>,
    /// The current session has carried the stream.
    ran: bool,
    source: usize,
    attempts: u32,
    failures: u32,
    last_error: Option<String>,
    /// When somebody last watched, or asked.
    wanted: Instant,
    /// When the stream was last there.
    carried: Option<Instant>,
}

impl Pull {
    pub(super) fn new(stream: StreamName, order: Order) -> Self {
        let state = State {
            stopped: false,
            doing: PullState::Calls,
            session: None,
            ran: false,
            source: 0,
            attempts: 0,
            failures: 0,
            last_error: None,
            wanted: Instant::now(),
            carried: None,
        };
        Self { stream, order, state: Mutex::new(state), stopped: Notify::new() }
    }

    pub(super) fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Somebody asks for the stream.
    pub(super) fn want(&self) {
        self.state.lock().wanted = Instant::now();
    }

    /// Whether this is our end of the current session's connection.
    pub(super) fn calls_from(&self, address: SocketAddr) -> bool {
        let local = self.state.lock().session.as_ref().and_then(|session| session.local());
        local.is_some_and(|local| {
            (local.ip().to_canonical(), local.port())
                == (address.ip().to_canonical(), address.port())
        })
    }

    /// Whether one of the servers that it comes from is this one.
    pub(super) fn has_source_at(&self, authority: &str) -> bool {
        self.order.sources.iter().any(|source| source.authority() == authority)
    }

    /// A session has become the stream's publisher.
    pub(super) fn runs(&self, id: &SessionId) {
        let mut state = self.state.lock();
        if state.session.as_ref().is_some_and(|session| session.id() == id) {
            state.ran = true;
            state.doing = PullState::Runs;
        }
    }

    /// Ends it; the session that carries the stream.
    pub(super) fn stop(&self) -> Option<SessionId> {
        let mut state = self.state.lock();
        state.stopped = true;
        self.stopped.notify_one();
        let session = state.session.clone()?;
        let ran = state.ran;
        drop(state);
        session.dispose(EndReason::StreamEnded);
        ran.then(|| session.id().clone())
    }

    /// Whether viewers are kept: the stream is away, but not for longer than `hold`.
    pub(super) fn holds(&self, hold: Duration) -> bool {
        let state = self.state.lock();
        !state.stopped && state.carried.is_some_and(|carried| carried.elapsed() <= hold)
    }

    /// Whether these rules order it as it is.
    pub(super) fn is_wanted_by(&self, rules: &Rules) -> bool {
        self.order.rule.as_ref().is_none_or(|rule| rules.pulls.contains(rule))
    }

    pub(super) fn status(&self) -> PullStatus {
        let state = self.state.lock();
        PullStatus {
            stream: self.stream.clone(),
            sources: self.order.sources.iter().map(ToString::to_string).collect(),
            source: state.source,
            state: state.doing,
            session: state.session.as_ref().map(|session| session.id().clone()),
            attempts: state.attempts,
            failures: state.failures,
            last_error: state.last_error.clone(),
            rule: self.order.rule.as_ref().map(|rule| rule.pattern.clone()),
            on_demand: self.order.stop_after.is_some(),
        }
    }

    /// The next session, at the source whose turn it is.
    pub(super) fn client(&self, relay: &Relay) -> Client {
        let rules = relay.rules.load();
        let mut state = self.state.lock();
        // An order without sources is not taken, and the number stays below how many there are.
        let url = self.order.sources.get(state.source).expect("a source").clone();
        let mut remote = rules.remote(url, self.order.transport);
        remote.patience = self.order.patience.unwrap_or(remote.patience);
        remote.via = via::onward(&self.order.via, &relay.context.id);
        let client = Client::pull(&relay.context, self.stream.clone(), remote);
        state.session = Some(client.session().clone());
        (state.ran, state.doing) = (false, PullState::Calls);
        state.attempts += 1;
        client
    }

    /// Calls sources until the order is done.
    pub(super) async fn run(self: Arc<Self>, relay: Arc<Relay>, first: Client) {
        let mut client = first;
        loop {
            let began = Instant::now();
            let session = client.session().clone();
            let reason = self.carry(&relay, client).await;
            let Some(wait) = self.judge(&relay, &session, began, reason) else { break };
            if !self.pause(wait).await || !self.stand_back(&relay).await || !self.is_watched(&relay)
            {
                break;
            }
            client = self.client(&relay);
        }
        let mut pulls = relay.pulls.lock();
        if pulls.get(&self.stream).is_some_and(|known| Arc::ptr_eq(known, &self)) {
            pulls.remove(&self.stream);
        }
        drop(pulls);
        relay.context.end_stream(&self.stream);
        info!(stream = %self.stream, "is pulled no more");
    }

    /// Runs a session to its end, which comes when nobody watches. Why it ended.
    async fn carry(&self, relay: &Relay, client: Client) -> EndReason {
        let session = client.session().clone();
        let mut ended = relay.run_client(client).await;
        loop {
            match timeout(LOOK, &mut ended).await {
                Ok(reason) => return reason.unwrap_or(EndReason::Shutdown),
                Err(_) if self.state.lock().stopped || !self.is_watched(relay) => {
                    session.dispose(EndReason::StreamEnded);
                }
                Err(_) => {
                    let mut state = self.state.lock();
                    if state.ran {
                        state.carried = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// What follows from a session's end: how long to wait for the next call, if there is one.
    fn judge(
        &self,
        relay: &Relay,
        session: &Arc<Session>,
        began: Instant,
        reason: EndReason,
    ) -> Option<Duration> {
        let group = relay.context.sessions.group(&self.stream);
        let mut state = self.state.lock();
        let ran = state.ran;
        state.session = None;
        state.last_error = Some(reason.to_string());
        if ran {
            state.carried = Some(Instant::now());
        }
        let is_done = state.stopped
            || reason == EndReason::Shutdown
            || (reason == EndReason::Kicked && self.order.rule.is_none())
            || self.order.attempts.is_some_and(|most| state.attempts >= most);
        let stable = ran && began.elapsed() >= STABLE;
        state.failures = if stable { 0 } else { state.failures.saturating_add(1) };
        let (failures, sources) = (state.failures, self.order.sources.len());
        state.source = (state.source + 1) % sources;
        state.doing = PullState::Waits;
        drop(state);
        if !ran {
            // Nobody was told that it began; that it came to nothing is worth knowing.
            let (session, stream) = (session.clone(), self.stream.clone());
            relay.context.events.emit(&Event::Left {
                session,
                stream,
                group,
                reason: reason.clone(),
            });
        }
        if is_done || !self.is_watched(relay) {
            return None;
        }
        // All sources are called once before there is a wait.
        let rounds = failures / u32::try_from(sources).unwrap_or(u32::MAX).max(1);
        let wait = match rounds {
            0 if sources > 1 => Duration::ZERO,
            0 => relay.rules.load().retry.wait(1, relay.random()),
            rounds => relay.rules.load().retry.wait(rounds, relay.random()),
        };
        if failures <= 1 {
            warn!(stream = %self.stream, %reason, ?wait, "the source is away: it is called again");
        } else {
            debug!(stream = %self.stream, %reason, ?wait, failures, "the source is away");
        }
        Some(wait)
    }

    /// Waits; `false` if the order is taken back meanwhile.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => {}
            () = self.stopped.notified() => {}
        }
        !self.state.lock().stopped
    }

    /// Waits as long as somebody else publishes the stream; `false` if the order is taken back
    /// meanwhile.
    async fn stand_back(&self, relay: &Relay) -> bool {
        while relay.has_publisher(&self.stream) {
            self.state.lock().doing = PullState::StandsBack;
            if !self.pause(LOOK).await {
                return false;
            }
        }
        true
    }

    /// Whether it is to go on as far as viewers are concerned.
    fn is_watched(&self, relay: &Relay) -> bool {
        let Some(limit) = self.order.stop_after else { return true };
        let mut state = self.state.lock();
        if relay.context.is_watched(&self.stream) {
            state.wanted = Instant::now();
        }
        state.wanted.elapsed() <= limit
    }
}
