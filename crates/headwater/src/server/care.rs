//! What is looked after while a server runs: streams without publishers, bit rates, limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::history::History;
use hub::{EndReason, SessionId, StreamName};
use session::gb28181::Devices;
use session::relay::Relay;
use session::{Context, Hls};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

/// How often the registry looks after streams without publishers.
const TICK: Duration = Duration::from_secs(1);

/// So many samples in a row a publisher may send too much.
const GREEDY: u32 = 2;

/// Over how long bit rates are worked out, in ticks: [`control::history::INTERVAL`].
const RATE_INTERVAL: u32 = 5;

/// Ends streams whose publishers stay away, and works out bit rates.
pub(super) async fn look_after(
    context: Arc<Context>,
    hls: Arc<Hls>,
    (relay, devices): (Arc<Relay>, Option<Arc<Devices>>),
    history: Arc<History>,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sampled = Instant::now();
    let mut greedy = HashMap::new();
    for count in 1u32.. {
        ticks.tick().await;
        let now = Instant::now();
        hls.tick(now);
        let holds = |name: &StreamName| {
            relay.holds(name) || devices.as_ref().is_some_and(|devices| devices.holds(name))
        };
        for name in context.registry.tick(now, holds) {
            info!(stream = %name, "stream ended: its publisher did not return");
            context.stream_ended(&name);
        }
        if count % RATE_INTERVAL == 0 {
            greedy = sample(&context, now.saturating_duration_since(sampled), &greedy);
            sampled = now;
            let summaries = context.registry.summaries(now);
            history.sample(&summaries, &context.sessions.all(), now);
        }
    }
}

/// Works out the bit rates of an interval, and ends publishers that send too much. `greedy` says in
/// how many samples in a row they have; the answer is the next one's.
fn sample(
    context: &Context,
    interval: Duration,
    greedy: &HashMap<SessionId, u32>,
) -> HashMap<SessionId, u32> {
    let most = context.settings.load().max_input;
    let (mut output, mut over) = (0, HashMap::new());
    for session in context.sessions.all() {
        session.update(interval);
        let moved = session.statistics();
        output += moved.written_kbits;
        if most == 0 || moved.read_kbits <= most || session.kind().role.is_output() {
            continue;
        }
        let times = greedy.get(session.id()).copied().unwrap_or_default() + 1;
        if times >= GREEDY {
            let text = "it sends more than limits.publisher_bitrate allows";
            session.dispose(EndReason::Refused(text.to_owned()));
        }
        over.insert(session.id().clone(), times);
    }
    context.set_output(output);
    over
}
