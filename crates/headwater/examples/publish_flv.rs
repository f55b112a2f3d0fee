//! Publishes an FLV file in real time, from inside the program.
//!
//! ```sh
//! cargo run -p headwater --example publish_flv -- me.flv
//! ffplay http://127.0.0.1:8080/live/file.flv
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result};
use headwater::events::{Event, Receiver};
use headwater::flv::tag;
use headwater::{Handle, Role, Server};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("usage: publish_flv FILE [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    // Viewers are sent away when the file ends: nobody will return.
    let server = Server::builder().http(address).set("stream.grace", "0s").start()?;
    for at in &server.handle().addresses().http {
        println!("watch http://{at}/live/file.flv");
    }
    let mut events = server.handle().events();
    wait_for_viewer(&mut events).await;
    publish(server.handle(), &file).await?;
    while let Some(event) = events.next().await {
        if let Event::StreamEnded(stream) = event {
            println!("{stream} has ended");
            break;
        }
    }
    server.shutdown().await;
    Ok(())
}

/// Waits until somebody watches, so that nothing is missed.
async fn wait_for_viewer(events: &mut Receiver) {
    while let Some(event) = events.next().await {
        if matches!(event, Event::Joined { session, .. } if session.role == Role::Sub) {
            return;
        }
    }
}

/// Publishes the tags of a file when they are due.
async fn publish(handle: &Handle, path: &str) -> Result<()> {
    let mut file = File::open(path).await.with_context(|| format!("cannot open {path}"))?;
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    let mut bytes = vec![0; 64 << 10];
    let publisher = handle.publish_flv("live/file")?;
    let start = Instant::now();
    loop {
        while let Some(tag) = reader.poll()? {
            sleep_until(start + Duration::from_millis(tag.timestamp.into())).await;
            publisher.send(&tag)?;
        }
        match file.read(&mut bytes).await? {
            0 => return Ok(()),
            length => reader.push(&bytes[..length]),
        }
    }
}
