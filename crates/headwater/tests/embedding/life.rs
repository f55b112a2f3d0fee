//! Servers that start and stop inside a program.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use headwater::media::TrackKind;
use headwater::publish::PublishError;
use headwater::subscribe::{Event, Options, SubscribeError};
use headwater::{EndReason, Server, StartError};

use super::{frames, next, publish, send, server, soon, subscribe, until};

/// Threads of servers in this process.
fn shards() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").expect("threads");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    let names = threads.filter_map(|task| name(task.ok()?));
    names.filter(|name| name.starts_with("shard-")).count()
}

#[tokio::test]
async fn several_servers_run_beside_each_other() {
    let servers = [server(), server(), server()];
    for server in &servers {
        let (publisher, track) = publish(server.handle(), "live/same");
        send(&publisher, track, 0..1);
        assert_eq!(publisher.session_id(), "CUSTOMIZEPUB1");
        assert_eq!(server.handle().sessions().len(), 1);
        assert!(server.handle().addresses().rtmp.is_empty());
    }
    for server in servers {
        soon("it stops", server.shutdown()).await;
    }
    until("all threads have ended", || shards() == 0).await;
}

#[tokio::test]
async fn configurations_are_taken_as_text_and_as_files() {
    let toml = "[rtmp]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    let listeners = [
        "rtmp.tls_listen",
        "rtsp.listen",
        "rtsp.tls_listen",
        "rtsp.ws_listen",
        "http.tls_listen",
        "api.listen",
    ];
    let closed = |builder: headwater::Builder| {
        listeners.iter().fold(builder, |builder, key| builder.set(key, "[]"))
    };
    let from_text = closed(Server::builder().config_text(toml)).start().expect("a server");
    assert_eq!(from_text.handle().addresses().http.len(), 1);

    let lal = r#"{"conf_version": "v0.4.1", "rtmp": {"enable": true, "addr": "127.0.0.1:0"}}"#;
    let from_lal = closed(Server::builder().config_text(lal)).start().expect("a server");
    assert_eq!(from_lal.handle().addresses().rtmp.len(), 1);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.toml");
    std::fs::write(&file, toml).expect("a file");
    let from_file = closed(Server::builder().config_file(&file)).rtmp("[]").start();
    let from_file = from_file.expect("a server");
    // What the program says takes precedence.
    assert!(from_file.handle().addresses().rtmp.is_empty());
    assert_eq!(from_file.handle().addresses().http.len(), 1);
}

#[tokio::test]
async fn what_is_in_the_way_of_a_start_is_said() {
    let wrong = Server::builder().config_text("[stream]\ngrace = \"soon\"\n").start();
    let Err(StartError::Config(error)) = wrong else { panic!("{wrong:?}") };
    assert!(error.to_string().starts_with("configuration:2:9: stream.grace: "), "{error}");
    let wrong = Server::builder().set("stream.grasp", "5s").start();
    let Err(StartError::Config(error)) = wrong else { panic!("{wrong:?}") };
    let text = error.to_string();
    assert!(text.starts_with("the program's setting stream.grasp: "), "{text}");
    assert!(text.contains("there is no such key"), "{text}");

    let first = Server::builder().rtmp("127.0.0.1:0").start().expect("a server");
    let at = first.handle().addresses().rtmp[0];
    let second = Server::builder().rtmp(at).start();
    assert!(matches!(second, Err(StartError::Listen { .. })), "{second:?}");
    drop(first);
}

#[test]
fn a_server_needs_a_runtime() {
    assert!(matches!(Server::builder().start(), Err(StartError::Runtime)));
}

/// Nothing goes on, although the program holds on to everything that it got.
async fn assert_stopped(stop: impl AsyncFnOnce(Server)) {
    let server = Server::builder().http("127.0.0.1:0").start().expect("a server");
    let handle = server.handle().clone();
    let (publisher, track) = publish(&handle, "live/me");
    send(&publisher, track, 0..2);
    let mut subscriber = subscribe(&handle, "live/me").await;
    frames(&mut subscriber, TrackKind::Video, 2).await;
    let mut events = handle.events();
    let mut viewer = TcpStream::connect(handle.addresses().http[0]).expect("a viewer");
    viewer.write_all(b"GET /live/me.flv HTTP/1.1\r\nHost: me\r\n\r\n").expect("a request");
    until("the viewer watches", || handle.stream("live/me").is_some_and(|s| s.viewers == 2)).await;
    assert_ne!(shards(), 0);

    let begun = Instant::now();
    soon("it stops", stop(server)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "somebody was waited for");
    until("all threads have ended", || shards() == 0).await;
    viewer.set_read_timeout(Some(super::PATIENCE)).expect("a time-out");
    let mut rest = Vec::new();
    // A connection that is reset has ended, too.
    let _ = viewer.read_to_end(&mut rest);

    assert_eq!(soon("its end", publisher.ended()).await, EndReason::Shutdown);
    let ended = next(&mut subscriber).await;
    assert!(matches!(ended, Event::Ended(EndReason::Shutdown)), "{ended:?}");
    while soon("the end of events", events.next()).await.is_some() {}
    assert!(!handle.is_running());
    assert!(matches!(handle.publish("live/other"), Err(PublishError::Stopped)));
    let nothing = handle.subscribe("live/other", Options::default()).await;
    assert!(matches!(nothing, Err(SubscribeError::Ended(EndReason::Shutdown))));
    until("no session is left", || handle.sessions().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_shut_down_leaves_nothing_running() {
    assert_stopped(async |server| server.shutdown().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_leaves_nothing_running() {
    assert_stopped(async |server| drop(server)).await;
}

#[tokio::test]
async fn a_server_is_dropped_on_a_runtime_of_one_thread() {
    assert_stopped(async |server| drop(server)).await;
}

#[test]
fn a_server_outlives_its_runtime_without_harm() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (server, publisher) = runtime.block_on(async {
        let server = server();
        let (publisher, _) = publish(server.handle(), "live/me");
        (server, publisher)
    });
    drop(runtime);
    let reason = {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        drop(server);
        runtime.block_on(async { soon("its end", publisher.ended()).await })
    };
    assert_eq!(reason, EndReason::Shutdown);
    assert_eq!(shards(), 0);
}
