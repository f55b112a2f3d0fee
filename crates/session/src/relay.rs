//! Relays: streams that are pulled from other servers and pushed to them, again and again.
//!
//! A [`Relay`] keeps the orders: those of the configuration ([`Rules`]), and those that operators
//! give while the server runs. Each pull and each push is a task that starts one
//! [`Client`] after the other; it holds nothing that a stream's publisher or
//! viewers wait for, so that a server that does not answer harms nobody.
//!
//! A stream has one pull, however many watch it. It stands back while somebody publishes the
//! stream here.

mod address;
mod backoff;
mod pull;
mod push;
mod rules;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use ::rtsp::client::TransportChoice;
use arc_swap::ArcSwap;
use hub::{
    Address, EndReason, Event, Observer, Registry, Role, Session, SessionId, StreamName,
    StreamSettings, StreamState, pattern,
};
use net::Shards;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::warn;

pub use self::address::{TemplateError, UrlTemplate};
pub use self::backoff::Retry;
use self::pull::Pull;
pub use self::pull::{Order, PullState, PullStatus};
use self::push::{Ordered, Push};
pub use self::push::{PushState, PushStatus};
pub use self::rules::{PullRule, PushRule, Rules, Start};
use crate::context::{Context, Settings};
use crate::remote::{Client, RemoteUrl};
use crate::rtsp::Rtsp;
use crate::supplier::Supplier;

/// Orders that there may be: each is a task.
const MAX_ORDERS: usize = 10_000;

/// Pulls and pushes of a server.
pub struct Relay {
    context: Arc<Context>,
    rtsp: Arc<Rtsp>,
    shards: Weak<Shards>,
    runtime: Handle,
    rules: ArcSwap<Rules>,
    pulls: Mutex<HashMap<StreamName, Arc<Pull>>>,
    /// Operators' orders that are done whenever somebody watches, until they are taken back.
    kept: Mutex<HashMap<StreamName, Order>>,
    pushes: Mutex<HashMap<(StreamName, String), Arc<Push>>>,
    apart: OnceLock<Apart>,
}

/// Where sources stand by: a server within the server, of which nobody sees anything.
struct Apart {
    context: Arc<Context>,
    rtsp: Arc<Rtsp>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("pulls", &self.pulls.lock().len())
            .field("pushes", &self.pushes.lock().len())
            .finish_non_exhaustive()
    }
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The stream is published or pulled.
    #[error("the stream {0} has a publisher already, or is being pulled")]
    Occupied(StreamName),
    /// It would end as soon as it began.
    #[error("nobody watches the stream {0}, and the order says to stop then")]
    Unwatched(StreamName),
    /// It is being pushed there.
    #[error("the stream {0} is being pushed there already")]
    Pushed(StreamName),
    /// There are several pushes that look alike without their keys.
    #[error("the stream {0} is pushed to several places that look like this: write the whole one")]
    Ambiguous(StreamName),
    /// There is nothing to pull from.
    #[error("the order names no address to pull {0} from")]
    NoSource(StreamName),
    /// Nothing can be pushed there.
    #[error("streams are pushed over RTMP or RTSP: write rtmp[s]://HOST/APP/NAME or rtsp[s]://…")]
    NoTarget,
    /// Too many.
    #[error("there are {MAX_ORDERS} relays already, the most that a server keeps")]
    TooMany,
}

impl Relay {
    /// Relays by these rules; pulls that are always wanted begin at once. Must be called inside a
    /// tokio runtime, which runs its tasks; sessions run on the shards.
    #[must_use]
    pub fn start(
        context: Arc<Context>,
        rtsp: Arc<Rtsp>,
        shards: &Arc<Shards>,
        rules: Rules,
    ) -> Arc<Self> {
        let relay = Arc::new(Self {
            context: context.clone(),
            rtsp,
            shards: Arc::downgrade(shards),
            runtime: Handle::current(),
            rules: ArcSwap::from_pointee(Rules::default()),
            pulls: Mutex::default(),
            kept: Mutex::default(),
            pushes: Mutex::default(),
            apart: OnceLock::new(),
        });
        let supplier: Weak<dyn Supplier> = Arc::<Self>::downgrade(&relay);
        context.add_supplier(supplier);
        context.events.add(Arc::new(Ear(Arc::downgrade(&relay))));
        relay.set_rules(rules);
        relay
    }

    /// Other rules hold. Relays of the old ones that the new ones do not have end.
    pub fn set_rules(self: &Arc<Self>, rules: Rules) {
        self.rules.store(Arc::new(rules));
        let rules = self.rules.load_full();
        let pulls: Vec<_> = self.pulls.lock().values().cloned().collect();
        for pull in pulls.into_iter().filter(|pull| !pull.is_wanted_by(&rules)) {
            self.end_pull(pull.stream());
        }
        let pushes: Vec<_> = self.pushes.lock().values().cloned().collect();
        for push in pushes.into_iter().filter(|push| !push.is_wanted_by(&rules)) {
            self.pushes.lock().remove(&push.key());
            push.stop();
        }
        for rule in rules.pulls.iter().filter(|rule| rule.start == Start::Always) {
            let settings = self.context.settings.load();
            let (app, name) = rule.pattern.rsplit_once('/').unwrap_or(("", &rule.pattern));
            match settings.stream_name(app, name) {
                Ok(stream) => {
                    if let Some(order) = self.order(rule, &stream, &Address::default()) {
                        // What is pulled already goes on.
                        let _ = self.begin_pull(stream, order);
                    }
                }
                Err(error) => warn!(stream = rule.pattern, %error, "cannot be pulled"),
            }
        }
        for summary in self.context.registry.summaries(Instant::now()) {
            if summary.state == StreamState::Live {
                self.push_by_rules(&summary.name);
            }
        }
    }

    /// Somebody wants a stream, and has asked for it at this address. Whether it is pulled, or will
    /// be.
    fn wanted(self: &Arc<Self>, stream: &StreamName, asked: &Address) -> bool {
        if let Some(pull) = self.pulls.lock().get(stream) {
            pull.want();
            return true;
        }
        let kept = self.kept.lock().get(stream).cloned();
        if let Some(order) = kept {
            let order = Order { via: asked.via.clone(), ..order };
            return !self.has_publisher(stream) && self.begin_pull(stream.clone(), order).is_ok();
        }
        let rules = self.rules.load();
        let fits = |rule: &&PullRule| {
            rule.start == Start::OnDemand && pattern::matches(&rule.pattern, stream.as_str())
        };
        let Some(rule) = rules.pulls.iter().find(fits) else { return false };
        if self.has_publisher(stream) {
            return false;
        }
        let order = self.order(rule, stream, asked);
        order.is_some_and(|order| self.begin_pull(stream.clone(), order).is_ok())
    }

    /// What a rule orders for a stream; nothing if its name fits into no address.
    fn order(&self, rule: &PullRule, stream: &StreamName, asked: &Address) -> Option<Order> {
        let asked = Address {
            app_name: match asked.app_name.as_str() {
                "" => self.context.settings.load().default_app.clone(),
                app => app.to_owned(),
            },
            ..asked.clone()
        };
        let urls = rule.sources.iter().map(|source| source.url(stream, &asked));
        let sources = match urls.collect::<Result<Vec<_>, _>>() {
            Ok(sources) => sources,
            Err(error) => {
                warn!(%stream, %error, "cannot be pulled");
                return None;
            }
        };
        let rules = self.rules.load();
        let stop_after =
            (rule.start == Start::OnDemand).then(|| rule.stop_after.unwrap_or(rules.stop_after));
        Some(Order {
            sources,
            attempts: None,
            stop_after,
            transport: rule.transport,
            patience: None,
            via: asked.via,
            rule: Some(rule.clone()),
            standby: rule.standby,
            keep: false,
        })
    }

    /// Pulls a stream by an operator's order; answers with the id of its first session.
    ///
    /// # Errors
    /// [`OrderError`] says why not. An order that is to be kept is kept when it is
    /// [`OrderError::Unwatched`].
    pub fn pull(
        self: &Arc<Self>,
        stream: StreamName,
        order: Order,
    ) -> Result<SessionId, OrderError> {
        if self.has_publisher(&stream) {
            return Err(OrderError::Occupied(stream));
        }
        if order.sources.is_empty() {
            return Err(OrderError::NoSource(stream));
        }
        if order.keep {
            self.keep(&stream, &order)?;
        }
        let watched = self.context.is_watched(&stream);
        if order.stop_after == Some(Duration::ZERO) && !watched {
            return Err(OrderError::Unwatched(stream));
        }
        let replaces = !order.keep;
        let begun = self.begin_pull(stream.clone(), order)?;
        if replaces {
            self.kept.lock().remove(&stream);
        }
        Ok(begun)
    }

    /// Keeps an order, in the place of an earlier one for the stream.
    fn keep(&self, stream: &StreamName, order: &Order) -> Result<(), OrderError> {
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_ORDERS && !kept.contains_key(stream) {
            return Err(OrderError::TooMany);
        }
        kept.insert(stream.clone(), order.clone());
        Ok(())
    }

    fn begin_pull(
        self: &Arc<Self>,
        stream: StreamName,
        order: Order,
    ) -> Result<SessionId, OrderError> {
        if order.sources.is_empty() {
            return Err(OrderError::NoSource(stream));
        }
        let mut pulls = self.pulls.lock();
        if pulls.contains_key(&stream) {
            return Err(OrderError::Occupied(stream));
        }
        if pulls.len() >= MAX_ORDERS {
            return Err(OrderError::TooMany);
        }
        let pull = Arc::new(Pull::new(stream.clone(), order));
        pulls.insert(stream, pull.clone());
        drop(pulls);
        let first = pull.client(self);
        let id = first.session().id().clone();
        self.runtime.spawn(pull.run(self.clone(), first));
        Ok(id)
    }

    /// Pulls a stream no more, and forgets an order that was kept. The id of the session that
    /// carries it, if there is one; `None` if nothing was ordered.
    pub fn stop_pull(&self, stream: &StreamName) -> Option<Option<SessionId>> {
        // First, so that nobody who watches begins again.
        let kept = self.kept.lock().remove(stream).is_some();
        match self.end_pull(stream) {
            None => kept.then_some(None),
            ended => ended,
        }
    }

    fn end_pull(&self, stream: &StreamName) -> Option<Option<SessionId>> {
        // Another order may come at once.
        let pull = self.pulls.lock().remove(stream)?;
        Some(pull.stop())
    }

    /// Pushes a stream to a server from now on, whenever it is there, by an operator's order. RTP
    /// travels over `transport`, or as the rules say.
    ///
    /// # Errors
    /// [`OrderError`] says why not.
    pub fn push(
        self: &Arc<Self>,
        stream: StreamName,
        to: RemoteUrl,
        transport: Option<TransportChoice>,
    ) -> Result<(), OrderError> {
        self.begin_push(stream, to, transport, None)
    }

    fn begin_push(
        self: &Arc<Self>,
        stream: StreamName,
        to: RemoteUrl,
        transport: Option<TransportChoice>,
        ordered: Option<Ordered>,
    ) -> Result<(), OrderError> {
        if !to.takes_streams() {
            return Err(OrderError::NoTarget);
        }
        let mut pushes = self.pushes.lock();
        if pushes.contains_key(&(stream.clone(), to.exact())) {
            return Err(OrderError::Pushed(stream));
        }
        if pushes.len() >= MAX_ORDERS {
            return Err(OrderError::TooMany);
        }
        let push = Arc::new(Push::new(stream, to, transport, ordered));
        pushes.insert(push.key(), push.clone());
        drop(pushes);
        self.runtime.spawn(push.run(self.clone()));
        Ok(())
    }

    /// Pushes a stream there no more; to nowhere any more without an address, which may be the
    /// whole one or what [`PushStatus::to`] has of it. How many pushes end.
    ///
    /// # Errors
    /// [`OrderError::Ambiguous`] when there are several that look like this.
    pub fn stop_push(
        &self,
        stream: &StreamName,
        to: Option<&RemoteUrl>,
    ) -> Result<usize, OrderError> {
        let mut pushes = self.pushes.lock();
        let mut meant: Vec<_> =
            pushes.values().filter(|push| push.is_of(stream)).cloned().collect();
        if let Some(to) = to {
            let to = to.exact();
            match meant.iter().any(|push| push.key().1 == to) {
                true => meant.retain(|push| push.key().1 == to),
                false => meant.retain(|push| push.shown() == to),
            }
            if meant.len() > 1 {
                return Err(OrderError::Ambiguous(stream.clone()));
            }
        }
        // Another order may come at once.
        meant.iter().for_each(|push| drop(pushes.remove(&push.key())));
        drop(pushes);
        meant.iter().for_each(|push| push.stop());
        Ok(meant.len())
    }

    fn push_by_rules(self: &Arc<Self>, stream: &StreamName) {
        let rules = self.rules.load_full();
        let publisher = self.publisher(stream);
        let asked = match &publisher {
            // Its query is for the server that it comes from.
            Some(session) if session.kind().role == Role::Pull => {
                Address { raw_query: String::new(), ..session.address() }
            }
            Some(session) => session.address(),
            None => Address::default(),
        };
        for rule in rules.pushes.iter().filter(|r| pattern::matches(&r.pattern, stream.as_str())) {
            for target in &rule.targets {
                let url = match target.url(stream, &asked) {
                    Ok(url) => url,
                    Err(error) => {
                        warn!(%stream, %error, "cannot be pushed");
                        continue;
                    }
                };
                if self.may_push(rule, stream, &url) {
                    let origin = Ordered { rule: rule.clone(), target: target.clone() };
                    // What is pushed already goes on.
                    let _ = self.begin_push(stream.clone(), url, rule.transport, Some(origin));
                }
            }
        }
    }

    /// A pull goes on with a stream: pushes end that are not meant for it.
    fn recheck_pushes(&self, stream: &StreamName) {
        let pushes: Vec<_> = self.pushes.lock().values().cloned().collect();
        for push in pushes.into_iter().filter(|push| push.is_of(stream) && !push.may_go_on(self)) {
            self.pushes.lock().remove(&push.key());
            push.stop();
        }
    }

    /// Whether a rule's push is meant for whoever publishes the stream now. What comes from another
    /// server is not, unless the rule says so, and never goes back there.
    fn may_push(&self, rule: &PushRule, stream: &StreamName, to: &RemoteUrl) -> bool {
        let publisher = self.publisher(stream);
        if publisher.is_none_or(|session| session.kind().role != Role::Pull) {
            return true;
        }
        let pull = self.pulls.lock().get(stream).cloned();
        rule.pulled && pull.is_none_or(|pull| !pull.has_source_at(&to.authority()))
    }

    fn publisher(&self, stream: &StreamName) -> Option<Arc<Session>> {
        let found = self.context.registry.find(stream)?;
        found.lock().publisher().cloned()
    }

    /// All pulls, by stream, and orders that are kept for when somebody watches.
    #[must_use]
    pub fn pulls(&self) -> Vec<PullStatus> {
        let mut pulls = self.pulls.lock().clone();
        for (stream, order) in self.kept.lock().iter() {
            let waiting = || Arc::new(Pull::kept(stream.clone(), order.clone()));
            pulls.entry(stream.clone()).or_insert_with(waiting);
        }
        let mut all: Vec<_> = pulls.values().map(|pull| pull.status()).collect();
        all.sort_by(|a, b| a.stream.cmp(&b.stream));
        all
    }

    /// All pushes, by stream.
    #[must_use]
    pub fn pushes(&self) -> Vec<PushStatus> {
        let pushes: Vec<_> = self.pushes.lock().values().cloned().collect();
        let mut all: Vec<_> = pushes.iter().map(|push| push.status()).collect();
        all.sort_by(|a, b| (&a.stream, &a.to).cmp(&(&b.stream, &b.to)));
        all
    }

    /// Whether the viewers of a stream are to be kept although nobody publishes it: its source is
    /// being called again.
    #[must_use]
    pub fn holds(&self, stream: &StreamName) -> bool {
        let hold = self.rules.load().hold;
        self.pulls.lock().get(stream).is_some_and(|pull| pull.holds(hold))
    }

    /// Ends all relays; none begins any more.
    pub fn shut_down(&self) {
        self.rules.store(Arc::new(Rules::default()));
        self.kept.lock().clear();
        let pulls: Vec<_> = self.pulls.lock().values().cloned().collect();
        pulls.iter().for_each(|pull| drop(pull.stop()));
        let pushes: Vec<_> = self.pushes.lock().values().cloned().collect();
        pushes.iter().for_each(|push| push.stop());
    }

    fn has_publisher(&self, stream: &StreamName) -> bool {
        self.publisher(stream).is_some()
    }

    fn apart(&self) -> &Apart {
        self.apart.get_or_init(|| {
            // A source that goes is forgotten at once.
            let settings = StreamSettings { grace: Duration::ZERO, ..StreamSettings::default() };
            let settings = Arc::new(settings);
            let registry = Registry::new(Arc::new(move |_| settings.clone()), usize::MAX);
            let context = Context::new(registry, Settings::clone(&self.context.settings.load()));
            let rtsp = self.rtsp.beside(context.clone());
            Apart { context, rtsp }
        })
    }

    /// Runs a client on a shard; why it ended.
    async fn run_client(&self, client: Client) -> oneshot::Receiver<EndReason> {
        self.run_client_with(client, self.rtsp.clone()).await
    }

    async fn run_client_with(
        &self,
        client: Client,
        rtsp: Arc<Rtsp>,
    ) -> oneshot::Receiver<EndReason> {
        let (tell, ended) = oneshot::channel();
        if let Some(shards) = self.shards.upgrade() {
            shards
                .place(move |shard| async move {
                    // Nobody listens any more when the server stops.
                    let _ = tell.send(client.run(shard, rtsp).await);
                })
                .await;
        }
        ended
    }

    fn random(&self) -> u64 {
        RandomState::new().hash_one(self.pulls.lock().len())
    }
}

impl Supplier for Relay {
    fn want(self: Arc<Self>, stream: &StreamName, asked: &Address) -> bool {
        self.wanted(stream, asked)
    }

    fn calls_from(&self, stream: &StreamName, viewer: SocketAddr) -> bool {
        self.pulls.lock().get(stream).is_some_and(|pull| pull.calls_from(viewer))
    }
}

/// Hears what happens.
struct Ear(Weak<Relay>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        let Some(relay) = self.0.upgrade() else { return };
        let Event::Joined { session, stream, .. } = event else { return };
        match session.kind().role {
            // Not only when a stream starts: another kind of publisher may go on with one.
            Role::Pub => relay.push_by_rules(stream),
            Role::Pull => {
                let pull = relay.pulls.lock().get(stream).cloned();
                if let Some(pull) = pull {
                    pull.runs(session.id());
                }
                relay.recheck_pushes(stream);
                relay.push_by_rules(stream);
            }
            Role::Push => {
                let pushes = relay.pushes.lock();
                let of_stream = pushes.values().filter(|push| push.is_of(stream));
                of_stream.for_each(|push| push.runs(session.id()));
            }
            _ => {}
        }
    }
}
