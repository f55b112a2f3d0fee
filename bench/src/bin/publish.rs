//! Publishes synthetic programmes over RTMP in real time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use headwater_bench::mark::{self, Mark, wall_clock};
use headwater_bench::rtmp::Publisher;
use headwater_bench::target::Target;
use testkit::{Items, Programme, TagKind};

/// Publish synthetic programmes, every frame stamped with the wall clock.
#[derive(Debug, Parser)]
struct Arguments {
    /// rtmp://host:port/app/name; {} is the stream's number.
    target: Target,
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Bits per second of picture and sound together.
    #[arg(long, default_value_t = 1_000_000)]
    bitrate: u32,
    /// Frames per second.
    #[arg(long, default_value_t = 25)]
    fps: u32,
    /// Frames from one key frame to the next.
    #[arg(long, default_value_t = 50)]
    gop: u32,
    #[arg(long, default_value_t = 0)]
    b_frames: u32,
    /// Publish the picture alone.
    #[arg(long)]
    silent: bool,
    /// Publish the sound alone, at the whole bitrate.
    #[arg(long, conflicts_with = "silent")]
    sound_only: bool,
    /// Seconds after which to stop.
    #[arg(long)]
    seconds: Option<f64>,
}

/// One stream on its way.
struct Running {
    publisher: Publisher,
    items: Items,
    /// Whether there is no picture, so that sound carries the marks.
    marks_sound: bool,
    number: u16,
    /// Streams begin at different phases of a frame, as they do in life.
    begun: Instant,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let programme = programme(&arguments);
    let end = arguments.seconds.map(Duration::try_from_secs_f64).transpose()?;
    let end = end.map(|length| Instant::now() + length);
    let frame = Duration::from_secs(1) / arguments.fps.max(1);
    let streams = u32::try_from(arguments.streams.max(1))?;
    let mut running = Vec::new();
    let mut due = BinaryHeap::new();
    for number in 0..arguments.streams {
        let stream = open(&arguments.target.numbered(number), &programme)
            .with_context(|| format!("stream {number}"))?;
        running.push(stream);
    }
    println!("publishing {} streams", running.len());
    let begun = Instant::now();
    for (number, stream) in running.iter_mut().enumerate() {
        stream.begun = begun + frame * u32::try_from(number)? / streams;
        due.push(Reverse((stream.begun, number)));
    }
    while let Some(Reverse((time, number))) = due.pop() {
        if end.is_some_and(|end| time >= end) {
            break;
        }
        std::thread::sleep(time.saturating_duration_since(Instant::now()));
        let Some(stream) = running.get_mut(number) else { break };
        let next = stream.send().with_context(|| format!("stream {number}"))?;
        due.push(Reverse((next, number)));
    }
    Ok(())
}

fn programme(arguments: &Arguments) -> Programme {
    let mut programme = Programme::live(arguments.bitrate);
    if arguments.sound_only {
        programme.video = None;
        if let Some(audio) = &mut programme.audio {
            // Bytes of one AAC frame of 1024 samples.
            let bytes = u64::from(arguments.bitrate) / 8 * 1024 / u64::from(audio.sample_rate);
            audio.frame_bytes = usize::try_from(bytes).unwrap_or(0);
        }
        return programme;
    }
    let sound = if arguments.silent { 0 } else { 64_000 };
    if arguments.silent {
        programme.audio = None;
    }
    if let Some(video) = &mut programme.video {
        video.rate = (arguments.fps.max(1), 1);
        video.gop = arguments.gop.max(1);
        video.b_frames = arguments.b_frames;
        *video = video.clone().with_bitrate(arguments.bitrate.saturating_sub(sound));
    }
    programme
}

fn open(target: &Target, programme: &Programme) -> Result<Running> {
    let Target::Rtmp { address, app, name, .. } = target else {
        bail!("only RTMP can be published")
    };
    let mut publisher = Publisher::open(address, app, name)?;
    for item in programme.config() {
        if item.kind == TagKind::Script {
            publisher.send_metadata(&item)?;
        } else {
            publisher.send(&item)?;
        }
    }
    let (items, marks_sound) = (programme.items(), programme.video.is_none());
    Ok(Running { publisher, items, marks_sound, number: 0, begun: Instant::now() })
}

impl Running {
    /// Sends what is due; returns when the next item is.
    fn send(&mut self) -> Result<Instant> {
        let mark = Mark { sent: wall_clock(), number: self.number };
        let mut item = self.items.next_marked(mark.pack()).context("an empty programme")?;
        if self.marks_sound {
            item.body = mark::put_in_sound(&item.body, mark.pack());
        }
        if self.marks_sound || item.kind == TagKind::Video {
            self.number = self.number.wrapping_add(1);
        }
        self.publisher.send(&item)?;
        let next = self.items.next_time().context("an empty programme")?;
        Ok(self.begun + Duration::from_millis(next))
    }
}
