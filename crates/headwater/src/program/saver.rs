//! Tags into a file: FLV as they are, MPEG-TS and MP4 by the way that a server takes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::BytesMut;
use flv::tag::{self, FileHeader, Tag};
use hub::{Registry, StreamSettings, Tap, Tapped};
use media::{Frame, FrameKind, TrackId, TrackKind, TrackSet};
use session::customize::Publisher;
use session::record::{Format, Muxer};
use session::{Context as Sessions, Settings};

/// Frames that wait between the two ends of the way: far more than one tag makes.
const MAX_QUEUE: usize = 256 << 20;

/// A file that a stream is saved in.
pub(super) struct Saver {
    file: BufWriter<File>,
    way: Way,
}

enum Way {
    Flv,
    Muxed(Box<Muxed>),
}

/// A stream of its own, that publishes what comes and taps what goes.
struct Muxed {
    /// Until the end.
    publisher: Option<Publisher>,
    tap: Tap,
    format: Format,
    tracks: Arc<TrackSet>,
    muxer: Option<Muxer>,
    out: BytesMut,
    /// Tracks that came too late for the file.
    left_out: Vec<TrackId>,
    /// The file cannot follow the stream any more.
    is_over: bool,
}

impl Saver {
    /// Makes a file; its name says the format.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let format = match extension.as_deref() {
            Some("ts" | "m2ts") => Some(Format::Ts),
            Some("mp4" | "m4v" | "m4a") => Some(Format::Mp4),
            Some("flv") | None => None,
            Some(other) => bail!(
                "{}: files end with .flv, .ts or .mp4, which says what they are; .{other} is neither",
                path.display()
            ),
        };
        let way = match format {
            None => Way::Flv,
            Some(format) => Way::Muxed(Box::new(Muxed::new(format)?)),
        };
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        if let Way::Flv = way {
            file.write_all(&FileHeader { audio: true, video: true }.bytes())?;
        }
        Ok(Self { file, way })
    }

    /// Takes a tag.
    pub(super) fn save(&mut self, tag: &Tag) -> Result<()> {
        let mut bytes = BytesMut::new();
        match &mut self.way {
            Way::Flv => tag::write(&mut bytes, tag),
            Way::Muxed(muxed) => bytes = muxed.push(tag)?,
        }
        self.file.write_all(&bytes).context("cannot write the file")
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Way::Muxed(muxed) = &mut self.way {
            let rest = muxed.finish()?;
            self.file.write_all(&rest).context("cannot write the file")?;
        }
        self.file.flush().context("cannot write the file")
    }
}

impl Muxed {
    fn new(format: Format) -> Result<Self> {
        let settings = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| settings.clone()), 1);
        let context = Sessions::new(registry, Settings::default());
        let name = context.settings.load().stream_name("pull", "file")?;
        let publisher = Publisher::new(&context, &name).map_err(|error| anyhow!("{error}"))?;
        let stream = context.registry.find(&name).context("the stream that is published")?;
        let tap = Tap::open(&stream, MAX_QUEUE);
        let (publisher, tracks, out) = (Some(publisher), Arc::default(), BytesMut::new());
        Ok(Self {
            publisher,
            tap,
            format,
            tracks,
            muxer: None,
            out,
            left_out: Vec::new(),
            is_over: false,
        })
    }

    /// Takes a tag; what the file goes on with.
    fn push(&mut self, tag: &Tag) -> Result<BytesMut> {
        if let Some(publisher) = &mut self.publisher {
            publisher.feed(tag).map_err(|error| anyhow!("the stream: {error}"))?;
        }
        self.drain()?;
        Ok(self.out.split())
    }

    /// Takes what the tap has.
    fn drain(&mut self) -> Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(tapped) = self.tap.poll_next(&mut context) {
            match tapped {
                Tapped::Tracks { tracks, .. } => self.set_tracks(tracks)?,
                Tapped::Frame(frame) => self.frame(&frame)?,
                Tapped::Lost | Tapped::End(_) => {}
            }
        }
        Ok(())
    }

    /// The tracks have changed. What is added leaves the file as it is, but for a warning.
    fn set_tracks(&mut self, tracks: Arc<TrackSet>) -> Result<()> {
        let Some(muxer) = &mut self.muxer else {
            self.tracks = tracks;
            return Ok(());
        };
        if muxer.fits(&tracks) {
            muxer.set_tracks(&tracks, &mut self.out);
            self.tracks = tracks;
            return Ok(());
        }
        if !self.tracks.tracks.iter().all(|known| tracks.tracks.contains(known)) {
            self.is_over = true;
            return Err(anyhow!(
                "the stream changed in a way that an MP4 file cannot follow, and the file ends \
                 there; save it as .ts or .flv"
            ));
        }
        for added in tracks.tracks.iter().filter(|track| self.tracks.get(track.id).is_none()) {
            if !self.left_out.contains(&added.id) {
                self.left_out.push(added.id);
                eprintln!(
                    "warning: {} came after the file had begun, and is left out; save the stream \
                     as .ts or .flv",
                    added.codec
                );
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        if self.is_over || self.tracks.get(frame.track).is_none() {
            return Ok(());
        }
        if self.muxer.is_none() {
            let sound_alone = !self.tracks.has(TrackKind::Video) && frame.kind == FrameKind::Audio;
            if !(frame.is_key() || sound_alone) {
                return Ok(());
            }
            let muxer = Muxer::begin(self.format, &self.tracks, frame, &mut self.out);
            let none = || anyhow!("{} has no place for the stream; save it as .flv", self.format);
            self.muxer = Some(muxer.ok_or_else(none)?);
            for codec in self.format.left_out(&self.tracks) {
                eprintln!(
                    "warning: {} has no place for {codec}, which is left out; save the stream as \
                     .flv",
                    self.format
                );
            }
        }
        if let Some(muxer) = &mut self.muxer {
            muxer.push(frame, &mut self.out);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<BytesMut> {
        // What waited for tracks waits no more.
        self.publisher = None;
        self.drain()?;
        if let Some(muxer) = &mut self.muxer {
            muxer.finish(&mut self.out);
        }
        Ok(self.out.split())
    }
}
