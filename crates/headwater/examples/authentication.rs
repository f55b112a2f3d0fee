//! Decides in the program who may publish and play.
//!
//! ```sh
//! cargo run -p headwater --example authentication
//! ffmpeg -re -i me.mp4 -c copy -f flv 'rtmp://127.0.0.1/live/alice?key=wonder'
//! ffplay 'http://127.0.0.1:8080/live/alice.flv?guest=bob'
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use headwater::Server;
use headwater::access::{Action, Denial, Grant, Request};
use headwater::events::Event;

/// Keys by stream. A real program would ask a data base, which may take its time.
type Keys = HashMap<String, String>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rtmp = arguments.next().unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    let http = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let keys: Keys = HashMap::from([("live/alice".to_owned(), "wonder".to_owned())]);
    let keys = Arc::new(keys);

    let server = Server::builder()
        .rtmp(rtmp)
        .http(http)
        .set("stream.grace", "2s")
        .gate(move |request| decide(keys.clone(), request))
        .start()?;
    let addresses = server.handle().addresses();
    for (protocol, at) in [("rtmp", &addresses.rtmp), ("http", &addresses.http)] {
        println!("{protocol} {}", at.first().map(ToString::to_string).unwrap_or_default());
    }
    let mut events = server.handle().events();
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            event = events.next() => match event {
                Some(Event::Joined { session, stream, .. }) => {
                    let user = session.user.as_deref().unwrap_or("nobody");
                    println!("{user} joined {stream} by {}", session.protocol);
                }
                Some(Event::Left { session, stream, reason, .. }) => {
                    println!("{} left {stream}: {reason}", session.id);
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    server.drain(Duration::from_secs(2)).await;
    Ok(())
}

/// Publishers need the key of their stream; viewers have to say who they are.
async fn decide(keys: Arc<Keys>, request: Request) -> Result<Grant, Denial> {
    let forbidden = |text: &str| Err(Denial::Forbidden(text.to_owned()));
    match request.action {
        // A client of RTMP says later what it wants.
        Action::Connect => Ok(Grant::default()),
        Action::Publish => {
            let stream = request.stream.as_ref().map(ToString::to_string).unwrap_or_default();
            match (keys.get(&stream), request.parameter("key")) {
                (Some(key), Some(told)) if *key == told => {
                    let name = stream.rsplit('/').next().unwrap_or_default();
                    Ok(Grant { user: Some(name.into()) })
                }
                (None, _) => forbidden("there is no such stream"),
                _ => forbidden("the key is wrong: publish to rtmp://HOST/live/NAME?key=KEY"),
            }
        }
        Action::Play => match request.parameter("guest") {
            Some(guest) => Ok(Grant { user: Some(guest.into()) }),
            None => Err(Denial::Unknown("who are you? add ?guest=NAME".to_owned())),
        },
    }
}
