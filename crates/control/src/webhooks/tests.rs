//! Receivers that take, fail, hang, flood and close.

mod receiver;

use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use bytes::Bytes;
use hub::{Identity, StreamName};
use tokio::sync::Semaphore;

use self::receiver::{LIMIT, Reaction, Receiver, until};
use super::*;

fn told(number: u64, name: &'static str, stream: &str) -> Arc<Notification> {
    let body = Bytes::from(format!("{{\"stream_name\":\"{stream}\"}}"));
    let stream = StreamName::new("live", stream, Identity::AppAndName).unwrap();
    let time = SystemTime::UNIX_EPOCH;
    Arc::new(Notification {
        number,
        name,
        stream: Some(stream),
        session: None,
        device: None,
        time,
        shown: body.clone(),
        body,
    })
}

fn rules(change: impl FnOnce(&mut sections::Webhooks)) -> Rules {
    let mut rules = Rules::from_config(&Config::default());
    rules.0.timeout = config::units::Span::from_secs(30);
    change(&mut rules.0);
    rules
}

/// Webhooks, and their worker, which ends when it is dropped.
fn started(rules: Rules) -> (Arc<Webhooks>, JoinSet<()>) {
    let webhooks = Webhooks::with_pause(rules, Duration::from_millis(5));
    let mut worker = JoinSet::new();
    worker.spawn(webhooks.clone().work(Client::new().unwrap()));
    (webhooks, worker)
}

#[tokio::test]
async fn requests_say_what_they_are_and_who_sent_them() {
    let receiver = Receiver::start(|_| Reaction::Status(204)).await;
    let (webhooks, _worker) = started(rules(|rules| {
        rules.on_pub_start = format!("{}/pub", receiver.url());
        rules.url = receiver.url();
        rules.secret = "key".to_owned();
    }));
    webhooks.push(&told(7, "on_pub_start", "a"));
    webhooks.push(&told(8, "on_pub_stop", "a"));
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    let requests = receiver.requests();
    let [first, second] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((first.path(), second.path()), ("/hook/pub", "/hook"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("headwater-event"), Some("on_pub_start"));
    assert_eq!(first.number(), 7);
    assert_eq!(first.body, r#"{"stream_name":"a"}"#);
    let signature = "sha256=ef0afd77d27585918679401587fea3a66be631e1d148a074ee9e1b9cdb1454cd";
    assert_eq!(first.header("headwater-signature"), Some(signature));
    let counters = webhooks.counters();
    assert_eq!((counters.delivered(), counters.failed(), counters.queued()), (2, 0, 0));
}

#[tokio::test]
async fn what_fails_is_told_again_and_later_events_of_the_stream_wait() {
    let failures = AtomicUsize::new(0);
    let receiver = Receiver::start(move |request| {
        let is_first = request.number() == 1 && failures.fetch_add(1, Ordering::Relaxed) < 2;
        Reaction::Status(if is_first { 500 } else { 200 })
    })
    .await;
    let (webhooks, _worker) = started(rules(|rules| rules.url = receiver.url()));
    (1..=3).for_each(|number| webhooks.push(&told(number, "on_pub_start", "a")));
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    assert_eq!(receiver.numbers(), [1, 1, 1, 2, 3]);
    assert_eq!(webhooks.counters().delivered(), 3);
}

#[tokio::test]
async fn only_failures_that_may_pass_are_tried_again() {
    for (reaction, attempts) in [
        (Reaction::Close, 3),
        (Reaction::Status(503), 3),
        (Reaction::Status(404), 1),
        (Reaction::Status(302), 1),
        (Reaction::Flood, 1),
    ] {
        let react = reaction.clone();
        let receiver = Receiver::start(move |_| react.clone()).await;
        let (webhooks, _worker) = started(rules(|rules| rules.url = receiver.url()));
        webhooks.push(&told(1, "on_pub_start", "a"));
        assert_eq!(webhooks.finish(LIMIT).await, 0);
        assert_eq!(receiver.numbers().len(), attempts, "{reaction:?}");
        let counters = webhooks.counters();
        assert_eq!((counters.delivered(), counters.failed()), (0, 1), "{reaction:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up() {
    let receiver = Receiver::start(|_| Reaction::Hang).await;
    let (webhooks, _worker) = started(rules(|rules| {
        rules.url = receiver.url();
        rules.timeout = config::units::Span::from_millis(100);
        rules.retries = 1;
    }));
    webhooks.push(&told(1, "on_pub_start", "a"));
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    assert_eq!(receiver.numbers(), [1, 1]);
    assert_eq!(webhooks.counters().failed(), 1);
}

#[tokio::test]
async fn a_stream_whose_receiver_hangs_holds_nobody_up_and_is_dropped_when_there_is_no_room() {
    let receiver = Receiver::start(|request| match request.stream().as_str() {
        "hangs" => Reaction::Hang,
        _ => Reaction::Status(200),
    })
    .await;
    let (webhooks, mut worker) = started(rules(|rules| {
        rules.url = receiver.url();
        rules.queue = 256;
    }));
    (0..1000).for_each(|number| webhooks.push(&told(number, "on_sub_start", "hangs")));
    (1000..1010).for_each(|number| webhooks.push(&told(number, "on_sub_start", "b")));
    until("the other stream's events", || receiver.numbers().len() == 11).await;
    let numbers = receiver.numbers();
    let others: Vec<_> = numbers.into_iter().filter(|number| *number >= 1000).collect();
    assert!(others.is_sorted() && others.len() == 10, "{others:?}");
    let counters = webhooks.counters();
    until("the answers", || counters.delivered() == 10).await;
    assert!(counters.queued() <= 225, "{counters:?}");
    assert_eq!(counters.queued() + counters.dropped(), 1000);
    // It waits for ever, so that something is left.
    assert!(webhooks.finish(Duration::from_millis(50)).await > 0);
    worker.shutdown().await;
    until("the end of the hanging request", || receiver.open().now == 0).await;
    assert_eq!(Arc::strong_count(&webhooks), 1, "nothing goes on");
}

#[tokio::test]
async fn requests_at_the_same_time_are_bounded() {
    let permits = Arc::new(Semaphore::new(0));
    let (gate, count) = (permits.clone(), 40);
    let receiver = Receiver::start(move |_| Reaction::Wait(gate.clone())).await;
    let (webhooks, _worker) = started(rules(|rules| rules.url = receiver.url()));
    (0..count).for_each(|n| webhooks.push(&told(n, "on_pub_start", &n.to_string())));
    until("as many as there may be", || receiver.open().now == PARALLEL).await;
    permits.add_permits(usize::try_from(count).unwrap());
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    assert_eq!(webhooks.counters().delivered(), count);
    // The client may open the next connection before the receiver has seen the end of the last.
    assert!(receiver.open().peak <= 2 * PARALLEL, "{:?}", receiver.open());
}

#[tokio::test]
async fn updates_do_not_pile_up() {
    let permits = Arc::new(Semaphore::new(0));
    let gate = permits.clone();
    let receiver = Receiver::start(move |_| Reaction::Wait(gate.clone())).await;
    let (webhooks, _worker) = started(rules(|rules| rules.on_update = receiver.url()));
    let update = |number| {
        let told = told(number, "on_update", "a");
        Arc::new(Notification { stream: None, ..(*told).clone() })
    };
    webhooks.push(&update(1));
    until("the first", || receiver.numbers().len() == 1).await;
    (2..=100).for_each(|number| webhooks.push(&update(number)));
    assert_eq!(webhooks.counters().queued(), 2);
    permits.add_permits(2);
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    assert_eq!(receiver.numbers(), [1, 100]);
    assert_eq!(webhooks.counters().dropped(), 0);
}

#[tokio::test]
async fn rules_change_for_what_waits_already() {
    let hanging = Receiver::start(|_| Reaction::Hang).await;
    let receiver = Receiver::start(|_| Reaction::Status(200)).await;
    let url = hanging.url();
    let (webhooks, _worker) = started(rules(|rules| {
        rules.url = url;
        rules.timeout = config::units::Span::from_millis(300);
    }));
    (1..=2).for_each(|number| webhooks.push(&told(number, "on_pub_start", "a")));
    until("the first attempt", || hanging.numbers() == [1]).await;
    assert!(webhooks.wants("on_pub_stop"));
    webhooks.set_rules(rules(|rules| rules.on_pub_start = receiver.url()));
    assert_eq!(webhooks.finish(LIMIT).await, 0);
    assert_eq!((hanging.numbers().len(), receiver.numbers()), (1, vec![1, 2]));
    assert!(!webhooks.wants("on_pub_stop"));
    webhooks.push(&told(3, "on_pub_stop", "a"));
    assert_eq!(webhooks.counters().queued(), 0, "nobody is to be told");
}

#[tokio::test]
async fn reasons_name_no_secrets_and_private_receivers_may_be_refused() {
    let client = Client::new().unwrap();
    let closed = Receiver::start(|_| Reaction::Close).await;
    for (url, private, expected) in [
        (format!("{}?token=secret", closed.url()), true, "127.0.0.1 does not answer"),
        (format!("{}?token=secret", closed.url()), false, "127.0.0.1 is on this host"),
        ("http://user:secret@[::1]:1/secret".to_owned(), true, "[::1] does not answer"),
        ("secret".to_owned(), true, "the URL is not one of http"),
    ] {
        let rules = Arc::new(rules(|rules| {
            (rules.url, rules.private_targets, rules.retries) = (url, private, 0);
        }));
        assert!(!format!("{rules:?}").contains("secret"));
        let rules = move || rules.clone();
        let told = told(1, "on_pub_start", "a");
        let outcome = delivery::deliver(&client, &rules, &told, Duration::ZERO).await;
        let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.starts_with(expected) && !why.contains("secret"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_is_told_once_a_second_at_most_and_of_everything() {
    let mut complaints = Complaints::default();
    complaints.failed("why".to_owned());
    complaints.log(3);
    assert!(!complaints.is_any(), "the first is logged at once");
    complaints.log(10);
    assert!(complaints.is_any(), "this one waits");
    let begun = Instant::now();
    complaints.due().await;
    assert_eq!(begun.elapsed(), LOG_INTERVAL);
    complaints.log(10);
    assert!(!complaints.is_any());
}

#[tokio::test(start_paused = true)]
async fn updates_follow_the_interval_of_the_rules() {
    let webhooks = Webhooks::new(rules(|_| {}));
    let begun = Instant::now();
    webhooks.until_update().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    webhooks.set_rules(rules(|rules| rules.update_interval = Default::default()));
    let never = timeout(Duration::from_secs(86_400), webhooks.until_update());
    let change = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        webhooks.set_rules(rules(|_| {}));
    };
    let begun = Instant::now();
    let (waited, ()) = tokio::join!(never, change);
    assert!(waited.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(62), "the new rules hold at once");
}
