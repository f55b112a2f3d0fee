//! What the program decides, hears and controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater::access::{Action, Denial, Grant, Request};
use headwater::events::Event;
use headwater::receive::{ReceiveError, ReceiveOrder, Transport};
use headwater::record::{RecordError, RecordFormat};
use headwater::relay::{PullOrder, RelayError};
use headwater::{Builder, EndReason, Server, StreamState};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{publish, send, server, soon, subscribe, until};

#[tokio::test]
async fn settings_differ_by_stream_as_the_program_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::builder()
        .set("record.flv", folder.path().join("{path}.flv").display())
        .stream_settings(|stream, settings| {
            settings.record.flv = stream.as_str().starts_with("lessons/");
        })
        .start()
        .expect("a server");
    let (lesson, track) = publish(server.handle(), "lessons/one");
    send(&lesson, track, 0..30);
    let (other, track) = publish(server.handle(), "live/one");
    send(&other, track, 0..30);
    until("it is recorded", || server.handle().recorded("lessons/one") == [RecordFormat::Flv])
        .await;
    assert!(server.handle().recorded("live/one").is_empty());
    soon("it stops", server.shutdown()).await;
    assert!(folder.path().join("lessons/one.flv").metadata().expect("a file").len() > 500);
    assert!(!folder.path().join("live").exists());
}

#[tokio::test]
async fn recordings_begin_and_end_when_the_program_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let template = folder.path().join("{path}.mp4");
    let server = Server::builder().set("record.mp4", template.display()).start().expect("a server");
    let handle = server.handle();
    let mut events = handle.events();
    let begin = || handle.record("live/me", RecordFormat::Mp4);
    assert_eq!(begin().await, Err(RecordError::Absent));
    let (publisher, track) = publish(handle, "live/me");
    send(&publisher, track, 0..30);
    soon("a recording begins", begin()).await.expect("a recording");
    assert_eq!(begin().await, Err(RecordError::Already));
    send(&publisher, track, 30..60);
    let mut file = None;
    while file.is_none() {
        if let Some(Event::FileBegun(begun)) = soon("an event", events.next()).await {
            file = Some(begun.path);
        }
    }
    handle.stop_recording("live/me", RecordFormat::Mp4).expect("a recording");
    let completed = soon("the file is complete", async {
        loop {
            if let Some(Event::FileCompleted(file)) = events.next().await {
                return file;
            }
        }
    })
    .await;
    assert_eq!(Some(completed.path), file);
    let listed = handle.recordings().await;
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn ports_are_opened_for_devices() {
    let server = Server::builder().rtmp("127.0.0.1:0").start().expect("a server");
    let handle = server.handle();
    let order = ReceiveOrder { ssrc: Some(7), ..ReceiveOrder::default() };
    let opened = handle.receive("gb/camera", &order).expect("a port");
    assert!(opened.port > 0 && opened.session.starts_with("PSPUB"), "{opened:?}");
    let again = handle.receive("gb/camera", &order);
    assert!(matches!(again, Err(ReceiveError::Occupied(_))), "{again:?}");
    assert_eq!(handle.set_ssrc("gb/camera", 8), Ok(()));
    let received = handle.received();
    assert_eq!((received.len(), received[0].ssrc), (1, Some(8)));
    let odd = ReceiveOrder { transport: Transport::TcpActive, ..ReceiveOrder::default() };
    assert!(matches!(handle.receive("gb/other", &odd), Err(ReceiveError::Order(_))));
    assert_eq!(handle.stop_receiving("gb/camera"), Ok(()));
    until("its port is free", || std::net::UdpSocket::bind(("0.0.0.0", opened.port)).is_ok()).await;
    assert_eq!(handle.stop_receiving("gb/camera"), Err(ReceiveError::Absent));
    soon("it stops", server.shutdown()).await;
}

#[tokio::test]
async fn streams_are_pulled_and_pushed_between_servers_of_one_program() {
    let origin = Server::builder().rtmp("127.0.0.1:0").start().expect("a server");
    let edge = Server::builder().rtmp("127.0.0.1:0").start().expect("a server");
    let (publisher, track) = publish(origin.handle(), "live/me");
    let publishing = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(40));
        for number in 0.. {
            ticks.tick().await;
            send(&publisher, track, [number]);
        }
    });
    let url = |server: &Server| format!("rtmp://{}/live/me", server.handle().addresses().rtmp[0]);

    let order = PullOrder { from: vec![url(&origin)], ..PullOrder::default() };
    let session = edge.handle().pull("live/me", &order).expect("an order");
    assert_eq!(session, "RTMPPULL1");
    let mut frames = subscribe(edge.handle(), "live/me").await;
    assert!(super::next_frame(&mut frames).await.is_key());
    assert_eq!(edge.handle().pulls()[0].state, "running");
    let again = edge.handle().pull("live/me", &order);
    assert!(matches!(again, Err(RelayError::Occupied(_))), "{again:?}");
    edge.handle().stop_pull("live/me").expect("a pull");
    assert!(edge.handle().pulls().is_empty());
    until("the pull has ended", || {
        edge.handle().stream("live/me").is_some_and(|stream| stream.publisher.is_none())
    })
    .await;

    origin.handle().push("live/me", &url(&edge)).expect("an order");
    until("the push has come", || {
        edge.handle().stream("live/me").is_some_and(|stream| stream.state == StreamState::Live)
    })
    .await;
    assert_eq!(origin.handle().pushes().len(), 1);
    assert_eq!(origin.handle().stop_push("live/me", None), Ok(1));
    publishing.abort();
    soon("it stops", origin.shutdown()).await;
    soon("it stops", edge.shutdown()).await;
}

#[tokio::test]
async fn events_that_nobody_takes_are_counted() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = Server::builder()
        .on_event(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .expect("a server");
    let mut events = server.handle().events();
    for _ in 0..600 {
        // It joins and leaves.
        drop(publish(server.handle(), "live/me"));
    }
    until("all is told", || calls.load(Ordering::Relaxed) == 1201).await;
    soon("an event", events.next()).await;
    assert_eq!(events.lost(), 1201 - 1024);
}

#[tokio::test]
async fn addresses_are_blocked() {
    let server = server();
    let address = "192.0.2.1".parse().expect("an address");
    assert!(server.handle().block(address, None));
    assert!(server.handle().unblock(address));
    assert!(!server.handle().unblock(address));
}

/// Viewers need to know a word, and the rules of a configuration a password.
fn guarded() -> Builder {
    let text = "[auth]\nrequired = ['play']\n[[auth.users]]\nname = 'bob'\npassword = 'b'\n\
                play = ['*']\n";
    let closed = ["rtmp", "rtsp"]
        .iter()
        .flat_map(|name| ["listen", "tls_listen"].map(|key| format!("{name}.{key}")));
    let others = ["rtsp.ws_listen", "http.tls_listen", "api.listen"].map(str::to_owned);
    let builder = closed.chain(others).fold(Server::builder(), |b, key| b.set(&key, "[]"));
    builder.config_text(text).http("127.0.0.1:0")
}

async fn decide(request: Request) -> Result<Grant, Denial> {
    assert_eq!(request.action, Action::Play);
    assert_eq!(request.stream.as_ref().map(ToString::to_string).as_deref(), Some("live/me"));
    assert!(request.session.peer.is_some());
    // The answer may take its time.
    tokio::task::yield_now().await;
    match request.parameter("word").as_deref() {
        Some("open sesame") => Ok(Grant { user: Some("ali".into()) }),
        _ => Err(Denial::Forbidden("that is not the word".to_owned())),
    }
}

/// The status of an answer.
async fn status(server: &Server, query: &str) -> u16 {
    let mut socket = TcpStream::connect(server.handle().addresses().http[0]).await.expect("HTTP");
    let request = format!("GET /live/me.flv?{query} HTTP/1.1\r\nHost: me\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("a request");
    let mut head = [0; 12];
    soon("an answer", socket.read_exact(&mut head)).await.expect("an answer");
    std::str::from_utf8(&head[9..]).expect("text").parse().expect("a status")
}

#[tokio::test]
async fn the_program_is_asked_before_the_configured_rules_or_in_their_place() {
    let both = guarded().gate(decide).start().expect("a server");
    let alone = guarded().only_gate(decide).start().expect("a server");
    let publishers = [&both, &alone].map(|server| publish(server.handle(), "live/me"));
    publishers.iter().for_each(|(publisher, track)| send(publisher, *track, 0..1));
    let right = "word=open%20sesame";
    for (query, of_both, of_one) in [
        ("", 403, 403),
        ("user=bob&pass=b", 403, 403),
        (right, 401, 200),
        (&format!("user=bob&pass=b&{right}"), 200, 200),
    ] {
        assert_eq!(status(&both, query).await, of_both, "{query}");
        assert_eq!(status(&alone, query).await, of_one, "{query}");
    }
}

/// What the operator's API answers.
async fn api(server: &Server, request: &str) -> Value {
    let mut socket = TcpStream::connect(server.handle().addresses().api[0]).await.expect("HTTP");
    socket.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    soon("an answer", socket.read_to_string(&mut answer)).await.expect("text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn operators_see_and_end_what_the_program_publishes_and_reads() {
    let server = Server::builder().api("127.0.0.1:0").start().expect("a server");
    let (publisher, track) = publish(server.handle(), "live/me");
    send(&publisher, track, 0..1);
    let mut reader = subscribe(server.handle(), "live/me").await;
    let get = "GET /api/stat/group?stream_name=live/me HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let group = api(&server, get).await["data"].clone();
    assert_eq!(group["pub"]["session_id"], "CUSTOMIZEPUB1", "{group}");
    assert_eq!(group["pub"]["protocol"], "CUSTOMIZE", "{group}");
    assert_eq!(group["subs"][0]["session_id"], "CUSTOMIZESUB1", "{group}");
    let kick = |session: &str| {
        let body = json!({ "stream_name": "live/me", "session_id": session }).to_string();
        let length = body.len();
        format!(
            "POST /api/ctrl/kick_session HTTP/1.0\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    for session in ["CUSTOMIZESUB1", "CUSTOMIZEPUB1"] {
        let answer = api(&server, &kick(session)).await;
        assert_eq!(answer["error_code"], 0, "{answer}");
    }
    assert_eq!(soon("its end", publisher.ended()).await, EndReason::Kicked);
    while soon("the end", reader.next()).await.is_some() {}
}
