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
use crate::remote::{Client, Remote, RemoteUrl, StandBy};
use crate::via;

/// How often it is looked whether a pull is still wanted.
const LOOK: Duration = Duration::from_millis(500);

/// A source that has carried the stream for so long did not fail.
const STABLE: Duration = Duration::from_secs(10);

/// What each of several sources gets at least of the time that viewers wait.
const LEAST_SHARE: Duration = Duration::from_secs(1);

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
    /// Whether the next source is kept connected, to take over without a pause.
    pub standby: bool,
    /// Whether it stays when it has ended for want of viewers, and is done again when some come,
    /// until it is taken back.
    pub keep: bool,
}

/// How a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    /// Nobody watches; it begins when somebody does.
    Idle,
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
    /// Which of the sources is ready to take over, if one is.
    pub standby: Option<usize>,
}

/// A stream that is pulled.
pub(super) struct Pull {
    stream: StreamName,
    order: Order,
    state: Mutex<State>,
    stopped: Notify,
    /// The source that stands by.
    beside: Mutex<Beside>,
}

/// The source that stands by, which is the only one.
#[derive(Default)]
struct Beside {
    standby: Option<(usize, StandBy)>,
    /// How many in a row came to nothing.
    failures: u32,
    /// When the next one is called.
    next: Option<Instant>,
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
        let (state, stopped) = (Mutex::new(state), Notify::new());
        Self { stream, order, state, stopped, beside: Mutex::default() }
    }

    /// What there is to say about an order that waits for viewers.
    pub(super) fn kept(stream: StreamName, order: Order) -> Self {
        let pull = Self::new(stream, order);
        pull.state.lock().doing = PullState::Idle;
        pull
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
        let current = self.state.lock().session.clone();
        let beside = self.beside.lock().standby.as_ref().map(|(_, s)| s.session().clone());
        current.into_iter().chain(beside).filter_map(|session| session.local()).any(|local| {
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
        self.beside.lock().standby = None;
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
            standby: self.beside.lock().ready(),
        }
    }

    /// The next session, at the source whose turn it is.
    pub(super) fn client(&self, relay: &Relay) -> Client {
        let mut state = self.state.lock();
        // An order without sources is not taken, and the number stays below how many there are.
        let url = self.order.sources.get(state.source).expect("a source").clone();
        let mut remote = self.remote(relay, url);
        if let Some(share) = self.share_of_wait(relay, state.failures) {
            remote.patience = remote.patience.min(share);
        }
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
            if let Some(ready) = self.take_over(&relay) {
                client = ready;
                continue;
            }
            if !self.pause(wait).await || !self.stand_back(&relay).await || !self.is_watched(&relay)
            {
                break;
            }
            client = self.client(&relay);
        }
        self.beside.lock().standby = None;
        let mut pulls = relay.pulls.lock();
        if pulls.get(&self.stream).is_some_and(|known| Arc::ptr_eq(known, &self)) {
            pulls.remove(&self.stream);
        }
        drop(pulls);
        // Who watches it is kept as long as by any publisher that leaves.
        if !relay.context.is_watched(&self.stream) {
            relay.context.end_stream(&self.stream);
        }
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
                    let runs = {
                        let mut state = self.state.lock();
                        if state.ran {
                            state.carried = Some(Instant::now());
                        }
                        state.ran
                    };
                    if runs && self.order.standby {
                        self.keep_standby(relay).await;
                    }
                }
            }
        }
    }

    /// Sees to it that a source stands by, if there is another one.
    async fn keep_standby(&self, relay: &Relay) {
        let (sources, now) = (self.order.sources.len(), Instant::now());
        if sources < 2 {
            return;
        }
        let current = self.state.lock().source;
        let source = {
            let mut beside = self.beside.lock();
            if let Some((source, standby)) = &mut beside.standby {
                let Some(reason) = standby.ended() else { return };
                debug!(stream = %self.stream, source, %reason, "stands by no more");
                beside.standby = None;
                beside.failures = beside.failures.saturating_add(1);
                let wait = relay.rules.load().retry.wait(beside.failures, relay.random());
                beside.next = Some(now + wait);
            }
            if beside.next.is_some_and(|next| now < next) {
                return;
            }
            // Where one fails, the one after it is called.
            let skipped = usize::try_from(beside.failures).unwrap_or_default() % (sources - 1);
            (current + 1 + skipped) % sources
        };
        let Some(url) = self.order.sources.get(source) else { return };
        let apart = relay.apart();
        let remote = self.remote(relay, url.clone());
        let client = Client::pull(&apart.context, self.stream.clone(), remote);
        let session = client.session().clone();
        let ended = relay.run_client_with(client, apart.rtsp.clone()).await;
        let standby = StandBy::new(&apart.context, &self.stream, session, ended);
        let stopped = self.state.lock().stopped;
        if !stopped {
            self.beside.lock().standby = Some((source, standby));
        }
    }

    /// A session that goes on with the source that stands by, if one is ready.
    fn take_over(&self, relay: &Relay) -> Option<Client> {
        if relay.has_publisher(&self.stream) {
            return None;
        }
        let (source, standby) = {
            let mut beside = self.beside.lock();
            let is_ready = beside.ready().is_some();
            (beside.failures, beside.next) = (0, None);
            // One that is not ready is called anew when it is its turn.
            beside.standby.take().filter(|_| is_ready)?
        };
        let url = self.order.sources.get(source)?.clone();
        let remote = self.remote(relay, url);
        let client = Client::take_over(&relay.context, self.stream.clone(), remote, standby);
        let mut state = self.state.lock();
        state.session = Some(client.session().clone());
        (state.ran, state.doing, state.source) = (false, PullState::Calls, source);
        state.attempts += 1;
        drop(state);
        info!(stream = %self.stream, source, "the source that stood by takes over");
        Some(client)
    }

    /// How a source is called.
    fn remote(&self, relay: &Relay, url: RemoteUrl) -> Remote {
        let mut remote = relay.rules.load().remote(url, self.order.transport);
        remote.patience = self.order.patience.unwrap_or(remote.patience);
        remote.via = via::onward(&self.order.via, &relay.context.id);
        remote
    }

    /// How long each of several sources may take where viewers wait for the first that has the
    /// stream: all are to be asked before the viewers have waited in vain. Later each may take as
    /// long as any.
    fn share_of_wait(&self, relay: &Relay, failures: u32) -> Option<Duration> {
        let sources = u32::try_from(self.order.sources.len()).unwrap_or(u32::MAX);
        let wait = relay.context.settings.load().wait_for_stream;
        let asked_first = self.order.stop_after.is_some() && sources > 1 && failures < sources;
        asked_first.then(|| (wait / (sources + 1)).max(LEAST_SHARE))
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
        // Those who are no sessions say again and again that they want it.
        state.wanted.elapsed() <= limit.max(LOOK)
    }
}

impl Beside {
    /// The source that can take over at once.
    fn ready(&self) -> Option<usize> {
        let (source, standby) = self.standby.as_ref()?;
        standby.is_ready().then_some(*source)
    }
}
