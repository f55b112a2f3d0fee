//! Pulls a stream from one server and pushes it to another, whatever they speak, until either ends.
//!
//! ```sh
//! cargo run -p headwater --example relay -- rtmp://127.0.0.1/live/me rtsp://192.0.2.1/live/me
//! cargo run -p headwater --example relay -- rtsp://192.0.2.7/ch1 rtmp://127.0.0.1/live/ch1
//! cargo run -p headwater --example relay -- http://127.0.0.1:8080/live/me.flv rtmp://192.0.2.1/a/b
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result};
use headwater::Server;
use headwater::events::Event;
use headwater::relay::PullOrder;

/// What the stream is called between the two.
const STREAM: &str = "relay/stream";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let from = arguments.next().context("say where from, such as rtmp://127.0.0.1/live/me")?;
    let to = arguments.next().context("say where to, such as rtsp://192.0.2.1/live/me")?;

    // It listens nowhere.
    let server = Server::builder().start()?;
    let handle = server.handle();
    let mut events = handle.events();
    handle.push(STREAM, &to)?;
    // One call; without a number it would be called again and again.
    let order = PullOrder { from: vec![from], attempts: Some(1), ..PullOrder::default() };
    let pull = handle.pull(STREAM, &order)?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            event = events.next() => match event {
                Some(Event::Joined { session, .. }) => println!("{} runs", session.id),
                Some(Event::Left { session, reason, .. }) => {
                    println!("{} has ended: {reason}", session.id);
                    if session.id == pull {
                        break;
                    }
                }
                Some(_) => {}
                None => break,
            },
        }
    }
    server.drain(Duration::from_secs(2)).await;
    Ok(())
}
