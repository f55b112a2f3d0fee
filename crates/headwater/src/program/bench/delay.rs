//! How old pictures get on their way: each carries the time at which it was sent.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use flv::tag::{Kind, Tag};
use flv::video;
use media::Codec;
use rtmp::client::Config;
use rtmp::tokio_client::connect_push;
use rtmp::url::Target;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::histogram;
use crate::program::crowd::seconds;
use crate::program::media_file;
use crate::program::push::{length, send_tag};
use crate::program::source::{Access, Source, seed};
use crate::program::stats::Times;

/// Names our user data in an SEI message (H.264 D.1.7).
const MARK: &[u8; 16] = b"headwater--delay";

/// The bytes of a tag body in which the mark must be.
const NEAR: usize = 128;

/// Publish a stream with the time in its pictures, play it, and say how old they get.
#[derive(Args)]
pub(in crate::program) struct Delay {
    /// Where to publish: rtmp[s]://HOST[:PORT]/APP/NAME.
    url: String,
    /// Where to play it, by any protocol; may be given several times. Without it, the URL that it
    /// is published to.
    #[arg(long, value_name = "URL")]
    play: Vec<String>,
    /// An FLV file with H.264 to publish; the clip of `headwater demo` by default.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many seconds to measure.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    duration: f64,
    /// Draw how often each delay came into an SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

/// The clock of a measurement.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Delay {
    pub(super) async fn run(&self) -> Result<()> {
        let duration = seconds(self.duration)?;
        let tags = match &self.file {
            Some(file) => media_file::read(file)?,
            None => super::clip()?,
        };
        ensure!(
            tags.iter().any(|tag| stamped(tag, 0).is_some()),
            "there is no H.264 with four-byte lengths to put the time into"
        );
        let urls = if self.play.is_empty() { vec![self.url.clone()] } else { self.play.clone() };
        let clock = Clock(Instant::now());
        let until = Instant::now() + duration + Duration::from_secs(1);
        let local = LocalSet::new();
        let delays = local.run_until(async {
            let publishing = self.publish(tags.into(), clock, until);
            let mut viewers = JoinSet::new();
            for (index, url) in urls.iter().enumerate() {
                let (url, access) = (url.clone(), self.access.clone());
                viewers
                    .spawn_local(async move { (index, watch(&url, &access, clock, until).await) });
            }
            let (published, mut watched) = tokio::join!(publishing, viewers.join_all());
            published?;
            watched.sort_by_key(|(index, _)| *index);
            watched.into_iter().map(|(_, delays)| delays).collect::<Result<Vec<Times>>>()
        });
        let delays = delays.await?;
        let width = urls.iter().map(String::len).max().unwrap_or(0);
        for (url, delays) in urls.iter().zip(&delays) {
            println!("{url:<width$}  {} pictures  {delays}", delays.len());
        }
        if let Some(file) = &self.plot {
            std::fs::write(file, histogram::svg(&urls, &delays))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    async fn publish(&self, tags: Rc<[Tag]>, clock: Clock, until: Instant) -> Result<()> {
        let target = Target::parse(&self.url).context("the URL to publish to")?;
        let conn = self.access.connect(&target.host, target.port, target.secure).await?;
        let mut pusher = connect_push(conn, target, Config::default(), seed())
            .await
            .with_context(|| format!("{} does not take the stream", self.url))?;
        let (start, length) = (Instant::now(), length(&tags));
        for lap in 0u64.. {
            for tag in &*tags {
                let at = lap * length + u64::from(tag.timestamp);
                sleep_until(start + Duration::from_millis(at)).await;
                if Instant::now() >= until {
                    return pusher.finish().await.context("the server went away at the end");
                }
                let timestamp = u32::try_from(at & 0xFFFF_FFFF).unwrap_or_default();
                let body = stamped(tag, clock.micros()).unwrap_or_else(|| tag.body.clone());
                send_tag(&mut pusher, tag.kind, timestamp, &body).await?;
            }
        }
        Ok(())
    }
}

/// The delays of the pictures that were sent after the viewer had joined.
async fn watch(url: &str, access: &Access, clock: Clock, until: Instant) -> Result<Times> {
    let mut source = Source::open(url, access).await?;
    let mut joined = None;
    let mut delays = Vec::new();
    while let Ok(next) = timeout_at(until, source.next()).await {
        let Some(tag) = next? else { bail!("{url}: the stream ended before its time") };
        let now = clock.micros();
        let joined = *joined.get_or_insert(now);
        if let Some(sent) = stamp_of(&tag).filter(|sent| *sent >= joined) {
            delays.push(Duration::from_micros(now.saturating_sub(sent)));
        }
    }
    ensure!(!delays.is_empty(), "{url}: no picture came with its time");
    // What was measured counts, whether the server likes the goodbye or not.
    let _ = source.finish().await;
    Ok(delays.into_iter().collect())
}

/// A picture with the time before its slices; `None` if the tag is no H.264 picture.
fn stamped(tag: &Tag, micros: u64) -> Option<Bytes> {
    let message = (tag.kind == Kind::Video).then(|| video::Message::parse(&tag.body).ok())??;
    let packet = message.packets.first()?;
    let video::Packet::Frame { data, .. } = &packet.packet else { return None };
    if packet.codec != Codec::H264 || message.enhanced {
        return None;
    }
    let head = tag.body.get(..tag.body.len() - data.len())?;
    // In digits: no start code can arise.
    let digits = format!("{micros:016x}");
    let size = u8::try_from(MARK.len() + digits.len()).ok()?;
    let mut body = BytesMut::with_capacity(tag.body.len() + 64);
    body.put_slice(head);
    body.put_u32(u32::from(size) + 4);
    // SEI, user_data_unregistered, its size; rbsp_trailing_bits at the end.
    body.put_slice(&[6, 5, size]);
    body.put_slice(MARK);
    body.put_slice(digits.as_bytes());
    body.put_u8(0x80);
    body.put_slice(data);
    Some(body.freeze())
}

/// When a picture was sent.
fn stamp_of(tag: &Tag) -> Option<u64> {
    if tag.kind != Kind::Video {
        return None;
    }
    let near = tag.body.get(..NEAR).unwrap_or(&tag.body);
    let at = near.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = tag.body.get(at..at + 16)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_and_leaves_the_picture_alone() {
        let tags = super::super::clip().expect("the clip");
        let picture = tags.iter().find(|tag| stamped(tag, 0).is_some()).expect("a picture");
        let body = stamped(picture, 0x0123_4567_89AB).expect("a picture");
        let tag = Tag { body: body.clone(), ..picture.clone() };
        assert_eq!(stamp_of(&tag), Some(0x0123_4567_89AB));
        assert_eq!(stamp_of(picture), None);
        let (head, rest) = body.split_at(5);
        assert_eq!(head, &picture.body[..5]);
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
        let after = &rest[4 + usize::try_from(length).expect("short")..];
        assert_eq!(after, &picture.body[5..]);
    }
}
