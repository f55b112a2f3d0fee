//! Analyses every stream that is published: bit rate, GOPs, NAL units.
//!
//! ```sh
//! cargo run -p headwater --example analyse
//! ffmpeg -re -i me.mp4 -c copy -f flv rtmp://127.0.0.1/live/me
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use headwater::Server;
use headwater::media::{Codec, Frame, TrackKind, h264, h265, nal};
use headwater::subscribe::{Event, Subscriber};

#[tokio::main]
async fn main() -> Result<()> {
    let rtmp = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    let server =
        Server::builder().rtmp(rtmp).set("stream.grace", "1s").on_stream(analyse).start()?;
    for at in &server.handle().addresses().rtmp {
        println!("publish to rtmp://{at}/live/me");
    }
    tokio::signal::ctrl_c().await?;
    server.drain(Duration::from_secs(2)).await;
    Ok(())
}

/// What is known of the pictures of a stream.
#[derive(Default)]
struct Analysis {
    codec: Option<Codec>,
    pictures: u64,
    bytes: u64,
    /// Decoding times of the first and the last picture, in milliseconds.
    span: Option<(i64, i64)>,
    /// Pictures of the GOP that is not complete.
    gop: u64,
    /// How many GOPs had so many pictures.
    gops: BTreeMap<u64, u64>,
    /// How many NAL units there were of each type.
    units: BTreeMap<String, u64>,
}

async fn analyse(mut frames: Subscriber) {
    let stream = frames.stream().clone();
    let mut analysis = Analysis::default();
    while let Some(event) = frames.next().await {
        match event {
            Event::Tracks(tracks) => {
                let names =
                    tracks.tracks.iter().map(|track| format!("{} {}", track.id, track.codec));
                println!("{stream}: {}", names.collect::<Vec<_>>().join(", "));
                let video = tracks.tracks.iter().find(|track| track.id.kind == TrackKind::Video);
                analysis.codec = video.map(|track| track.codec);
            }
            Event::Frame(frame) if frame.track.kind == TrackKind::Video => analysis.add(&frame),
            Event::Lost(frames) => println!("{stream}: {frames} frames came too fast"),
            Event::PublisherChanged => println!("{stream}: another publisher goes on"),
            Event::Ended(reason) => println!("{stream}: {reason}: {}", analysis.report()),
            _ => {}
        }
    }
}

impl Analysis {
    fn add(&mut self, frame: &Frame) {
        let now = frame.dts.millis();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
        if frame.is_key() && self.pictures > 0 {
            *self.gops.entry(std::mem::take(&mut self.gop)).or_default() += 1;
        }
        self.gop += 1;
        self.pictures += 1;
        self.bytes += frame.data.len() as u64;
        for unit in nal::iter(&frame.data, &frame.units) {
            let kind = match self.codec {
                Some(Codec::H264) => h264::NalType::of(unit).map(|kind| format!("{kind:?}")),
                Some(Codec::H265) => h265::NalType::of(unit).map(|kind| format!("{kind:?}")),
                _ => None,
            };
            *self.units.entry(kind.unwrap_or_default()).or_default() += 1;
        }
    }

    fn report(&self) -> String {
        let (first, last) = self.span.unwrap_or_default();
        let millis = u64::try_from(last - first).unwrap_or(0).max(1);
        format!(
            "{} pictures, {} bytes, {} kbit/s, pictures per GOP {:?}, NAL units {:?}",
            self.pictures,
            self.bytes,
            self.bytes * 8 / millis,
            self.gops,
            self.units,
        )
    }
}
