//! Publishes an FLV file in real time: `push FILE rtmp://host/app/name`.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flv::tag::{self, Kind};
use headwater_rtmp::client::Config;
use headwater_rtmp::tokio_client::connect_push;
use headwater_rtmp::url::Target;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: push FILE rtmp://host/app/name".into());
    };
    let target = Target::parse(&url)?;
    let io = TcpStream::connect((target.host.as_str(), target.port)).await?;
    io.set_nodelay(true)?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut pusher = connect_push(io, target, Config::default(), seed).await?;

    let mut reader = tag::Reader::new(tag::MAX_BODY);
    reader.push(&std::fs::read(file)?);
    let (begin, mut first) = (Instant::now(), None);
    while let Some(tag) = reader.poll()? {
        let first = *first.get_or_insert(tag.timestamp);
        let due = Duration::from_millis(u64::from(tag.timestamp.saturating_sub(first)));
        sleep_until(begin + due).await;
        match tag.kind {
            Kind::Audio => pusher.send_audio(tag.timestamp, &tag.body).await?,
            Kind::Video => pusher.send_video(tag.timestamp, &tag.body).await?,
            Kind::Script => {
                let metadata = flv::script::with_set_data_frame(&tag.body);
                pusher.send_data(tag.timestamp, &metadata).await?;
            }
            _ => {}
        }
    }
    pusher.finish().await?;
    Ok(())
}
