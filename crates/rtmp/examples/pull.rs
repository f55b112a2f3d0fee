//! Writes a stream to standard output as FLV: `pull rtmp://host/app/name > FILE`.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use flv::tag::{self, FileHeader, Kind, Tag};
use headwater_rtmp::client::{Config, Event};
use headwater_rtmp::tokio_client::connect_pull;
use headwater_rtmp::url::Target;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: pull rtmp://host/app/name")?;
    let target = Target::parse(&url)?;
    let io = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut puller = connect_pull(io, target, Config::default(), seed).await?;

    let mut file = tokio::io::stdout();
    file.write_all(&FileHeader { audio: true, video: true }.bytes()).await?;
    while let Some(event) = puller.next().await? {
        let (kind, timestamp, body) = match event {
            Event::Audio { timestamp, payload } => (Kind::Audio, timestamp, payload),
            Event::Video { timestamp, payload } => (Kind::Video, timestamp, payload),
            Event::Data { timestamp, payload } => (Kind::Script, timestamp, payload),
            Event::Ended { .. } => break,
            _ => continue,
        };
        let mut bytes = BytesMut::new();
        tag::write(&mut bytes, &Tag { kind, timestamp, body });
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok(())
}
