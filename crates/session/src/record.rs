//! Recording: streams as files, cut by time and size, complete but for the last moment whenever
//! the server is killed.
//!
//! A recording taps its stream like any other reader: it may be slow or fail, the stream does not
//! notice. `file` names and writes files, `muxer` makes their contents.

mod file;
mod muxer;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use hub::{
    Dialect, Event, Form, Packaging, Stream, StreamName, Tap, TapEnd, Tapped, Template, events,
};
use media::{Codec, Frame, FrameKind, TrackKind, TrackSet};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

pub use self::file::Error;
use self::file::File;
pub use self::muxer::Muxer;
use crate::context::Context;
use crate::hls::Spawner;

/// What a recording is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Format {
    Flv,
    Ts,
    Mp4,
}

impl Format {
    /// Its name in the API and in notifications.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flv => "flv",
            Self::Ts => "ts",
            Self::Mp4 => "mp4",
        }
    }

    /// How viewers get it.
    fn packaging(self) -> Packaging {
        match self {
            Self::Flv => {
                let form = Form::AsPublished;
                let dialect = Dialect { form, multitrack: true, color_info: true };
                Packaging::Flv { websocket: false, dialect }
            }
            Self::Ts => Packaging::Ts { websocket: false },
            Self::Mp4 => Packaging::Mp4 { websocket: false },
        }
    }

    /// The codecs of a stream's first tracks that it has no place for.
    #[must_use]
    pub fn left_out(self, tracks: &TrackSet) -> Vec<Codec> {
        self.packaging().left_out(tracks)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flv => "FLV",
            Self::Ts => "MPEG-TS",
            Self::Mp4 => "MP4",
        })
    }
}

/// Rules of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSettings {
    /// What FLV files are called.
    pub flv: Template,
    /// What transport streams are called.
    pub ts: Template,
    /// What MP4 files are called.
    pub mp4: Template,
    /// A new file is begun with the first key frame after so long; zero for never.
    pub max_duration: Duration,
    /// A new file is begun with the first key frame after so many bytes; zero for never.
    pub max_size: u64,
    /// Most bytes that wait to be written, per recording.
    pub max_queue: usize,
    /// Viewers may download recordings at `/record/`.
    pub public: bool,
}

impl Default for RecordSettings {
    fn default() -> Self {
        Self {
            flv: Template::fixed("record/flv/{path}-{unix}.flv"),
            ts: Template::fixed("record/ts/{path}-{unix}.ts"),
            mp4: Template::fixed("record/mp4/{path}-{unix}.mp4"),
            max_duration: Duration::ZERO,
            max_size: 0,
            max_queue: 64 << 20,
            public: false,
        }
    }
}

/// A recording that was not written yet is lost if the server is killed: this much, at most.
const WRITE_AFTER: Duration = Duration::from_millis(500);

/// Or as much as this.
const WRITE_BYTES: usize = 256 << 10;

/// Key frames come a little early or late by the milliseconds of their time stamps.
const TOLERANCE_MS: i64 = 50;

/// All recordings of a server.
pub struct Recorder {
    context: Arc<Context>,
    spawner: Box<Spawner>,
    /// Which streams are tapped for which format.
    tapped: Mutex<HashMap<(StreamName, Format), TapEnd>>,
    /// Recordings whose file is not complete; a stream that comes back at once has two.
    running: AtomicUsize,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.load(Ordering::Relaxed);
        f.debug_struct("Recorder").field("running", &running).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Nothing is recorded yet; `spawner` runs what records.
    #[must_use]
    pub fn new(context: Arc<Context>, spawner: Box<Spawner>) -> Arc<Self> {
        let (tapped, running) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { context, spawner, tapped, running })
    }

    /// A publisher has come: its stream is recorded as its rules say, unless it is already.
    pub fn published(self: &Arc<Self>, name: &StreamName, stream: &Arc<Mutex<Stream>>) {
        let rules = stream.lock().settings().record;
        let wanted = [(rules.flv, Format::Flv), (rules.ts, Format::Ts), (rules.mp4, Format::Mp4)];
        for (_, format) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            self.begin(name, stream, format);
        }
    }

    /// Begins to record a stream, whatever its rules say. `None` if it is being recorded already.
    pub fn begin(
        self: &Arc<Self>,
        name: &StreamName,
        stream: &Arc<Mutex<Stream>>,
        format: Format,
    ) -> Option<Beginning> {
        let key = (name.clone(), format);
        let mut tapped = self.tapped.lock();
        // One whose stream is over may still be completing its file.
        if tapped.get(&key).is_some_and(|end| !end.has_come()) {
            return None;
        }
        let tap = Tap::open(stream, self.context.settings.load().record.max_queue);
        let end = tap.end();
        tapped.insert(key.clone(), end.clone());
        drop(tapped);
        self.running.fetch_add(1, Ordering::Relaxed);
        let recorder = self.clone();
        let (sender, beginning) = oneshot::channel();
        (self.spawner)(Box::pin(async move {
            let failed = recorder.record(&key.0, key.1, tap, sender).await;
            let mut tapped = recorder.tapped.lock();
            if tapped.get(&key).is_some_and(|newest| newest.is_of(&end)) {
                tapped.remove(&key);
            }
            drop(tapped);
            recorder.running.fetch_sub(1, Ordering::Relaxed);
            // Whoever hears of it finds it among those that are recorded no more.
            if let Some((sender, error)) = failed {
                let _ = sender.send(Err(error));
            }
        }));
        Some(Beginning(beginning))
    }

    /// Records a stream no more: its file is completed with what has come so far. `false` if it was
    /// not being recorded.
    pub fn end(&self, name: &StreamName, format: Format) -> bool {
        let tapped = self.tapped.lock();
        let end = tapped.get(&(name.clone(), format)).filter(|end| !end.has_come());
        end.map(TapEnd::close).is_some()
    }

    /// What a stream is being recorded as.
    #[must_use]
    pub fn formats(&self, name: &StreamName) -> Vec<Format> {
        let tapped = self.tapped.lock();
        let is_running = |format: &Format| {
            tapped.get(&(name.clone(), *format)).is_some_and(|end| !end.has_come())
        };
        [Format::Flv, Format::Ts, Format::Mp4].into_iter().filter(is_running).collect()
    }

    /// Whether nothing is being recorded, and all files are complete.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// Returns why it did not begin, and who waits to be told.
    async fn record(
        &self,
        name: &StreamName,
        format: Format,
        mut tap: Tap,
        begun: oneshot::Sender<Result<(), Error>>,
    ) -> Option<(oneshot::Sender<Result<(), Error>>, Error)> {
        let settings = self.context.settings.load_full();
        let mut recording = Recording {
            context: self.context.clone(),
            name: name.clone(),
            format,
            settings: settings.record.clone(),
            tracks: Arc::default(),
            pending: None,
            publisher: None,
            open: None,
            out: BytesMut::new(),
            write_at: None,
            begun: Some(begun),
        };
        let result = match recording.run(&mut tap).await {
            Ok(()) => recording.close().await,
            failed => failed,
        };
        if let Err(error) = &result {
            let remedy = error.remedy();
            error!(
                stream = %name, %format, %error,
                "recording ended: {remedy}; the stream goes on, and is recorded again from its \
                 next publisher on"
            );
        }
        Some((recording.begun?, result.err().unwrap_or(Error::Ended)))
    }
}

/// A recording that is about to begin.
#[derive(Debug)]
pub struct Beginning(oneshot::Receiver<Result<(), Error>>);

impl Beginning {
    /// Waits until its first file is there and holds what files of its format begin with, which
    /// takes a key frame. A recording that still waits for one after `limit` goes on.
    ///
    /// # Errors
    /// [`Error`] says why it ended instead.
    pub async fn wait(self, limit: Duration) -> Result<(), Error> {
        match timeout(limit, self.0).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(_)) => Err(Error::Failed),
            Err(_) => Ok(()),
        }
    }
}

/// One stream in one format.
struct Recording {
    context: Arc<Context>,
    name: StreamName,
    format: Format,
    settings: RecordSettings,
    tracks: Arc<TrackSet>,
    /// For the next file, which begins with the next key frame.
    pending: Option<Arc<TrackSet>>,
    publisher: Option<u64>,
    open: Option<Open>,
    /// What was not written yet, and when it has to be.
    out: BytesMut,
    write_at: Option<Instant>,
    /// Who is told that the first file is there, until that is so.
    begun: Option<oneshot::Sender<Result<(), Error>>>,
}

/// The file in hand.
struct Open {
    file: File,
    muxer: Muxer,
}

impl Recording {
    async fn run(&mut self, tap: &mut Tap) -> Result<(), Error> {
        loop {
            let next = match self.write_at {
                Some(at) => match timeout_at(at, tap.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.write().await?;
                        continue;
                    }
                },
                None => tap.next().await,
            };
            match next {
                Tapped::Tracks { tracks, publisher } => self.adopt(tracks, publisher).await?,
                Tapped::Frame(frame) => self.push(&frame).await?,
                Tapped::Lost => {
                    warn!(
                        stream = %self.name, format = %self.format,
                        "the disk is too slow: frames are missing in the recording"
                    );
                }
                Tapped::End(_) => return Ok(()),
            }
            if self.out.len() >= WRITE_BYTES {
                self.write().await?;
            }
        }
    }

    async fn adopt(&mut self, tracks: Arc<TrackSet>, publisher: u64) -> Result<(), Error> {
        let another = self.publisher.replace(publisher).is_some_and(|known| known != publisher);
        self.pending = None;
        if another {
            self.close().await?;
        }
        match &mut self.open {
            Some(open) if !open.muxer.fits(&tracks) => {
                // The file goes on, without what is new, so that nothing is missing before that.
                self.pending = Some(tracks);
                return Ok(());
            }
            Some(open) => {
                open.muxer.set_tracks(&tracks, &mut self.out);
            }
            None => {}
        }
        self.tracks = tracks;
        Ok(())
    }

    async fn push(&mut self, frame: &Frame) -> Result<(), Error> {
        let next = self.pending.as_ref().unwrap_or(&self.tracks);
        let may_begin =
            frame.is_key() || (frame.kind == FrameKind::Audio && !next.has(TrackKind::Video));
        if next.get(frame.track) != self.tracks.get(frame.track) && !may_begin {
            return Ok(());
        }
        if may_begin && let Some(tracks) = self.pending.take() {
            self.close().await?;
            self.tracks = tracks;
        }
        if may_begin && self.is_full(frame) {
            self.close().await?;
        }
        match &mut self.open {
            Some(open) => open.muxer.push(frame, &mut self.out),
            None if may_begin => self.begin(frame).await?,
            None => return Ok(()),
        }
        if !self.out.is_empty() {
            self.write_at.get_or_insert_with(|| Instant::now() + WRITE_AFTER);
        }
        Ok(())
    }

    /// Whether the file in hand ends before `frame`.
    fn is_full(&self, frame: &Frame) -> bool {
        let Some(open) = &self.open else { return false };
        let length = open.muxer.since(frame).millis();
        let limit = i64::try_from(self.settings.max_duration.as_millis()).unwrap_or(i64::MAX);
        let size = open.file.size() + self.out.len() as u64;
        (limit > 0 && length + TOLERANCE_MS >= limit)
            || (self.settings.max_size > 0 && size >= self.settings.max_size)
    }

    /// Begins a file with `frame`.
    async fn begin(&mut self, frame: &Frame) -> Result<(), Error> {
        let mut muxer = Muxer::begin(self.format, &self.tracks, frame, &mut self.out)
            .ok_or(Error::Nothing(self.format))?;
        // Transport streams have no head but for their first packets.
        muxer.push(frame, &mut self.out);
        let template = match self.format {
            Format::Flv => &self.settings.flv,
            Format::Ts => &self.settings.ts,
            Format::Mp4 => &self.settings.mp4,
        };
        let file = File::create(template, &self.name, self.out.split().freeze()).await?;
        info!(stream = %self.name, format = %self.format, file = %file.path(), "records");
        let left_out = self.format.left_out(&self.tracks);
        if !left_out.is_empty() {
            let codecs = Codec::list(&left_out);
            warn!(stream = %self.name, "{} has no place for {codecs}: left out", self.format);
        }
        self.context.events.emit(&Event::FileBegun(self.told(file.path(), 0, Duration::ZERO)));
        self.open = Some(Open { file, muxer });
        if let Some(begun) = self.begun.take() {
            // Nobody needs to wait for it.
            let _ = begun.send(Ok(()));
        }
        Ok(())
    }

    fn told(&self, path: &str, bytes: u64, duration: Duration) -> events::File {
        let (stream, format) = (self.name.clone(), self.format.as_str());
        events::File { stream, format, path: path.to_owned(), bytes, duration }
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.write_at = None;
        let bytes = self.out.split().freeze();
        match &mut self.open {
            Some(open) if !bytes.is_empty() => open.file.write(bytes).await,
            _ => Ok(()),
        }
    }

    /// Completes the file in hand.
    async fn close(&mut self) -> Result<(), Error> {
        if let Some(open) = &mut self.open {
            open.muxer.finish(&mut self.out);
        }
        self.write().await?;
        if let Some(open) = self.open.take() {
            let (path, bytes) = (open.file.path().to_owned(), open.file.size());
            let length = Duration::from_millis(open.muxer.length_ms().unsigned_abs());
            let seconds = length.as_secs_f64();
            open.file.close().await?;
            self.context.events.emit(&Event::FileCompleted(self.told(&path, bytes, length)));
            info!(
                stream = %self.name, format = %self.format, file = %path, bytes, seconds,
                "recorded"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use hub::{EndReason, Recorded, Registry, StreamSettings};
    use media::{Ticks, Track, TrackId, inspect};
    use mp4::read::{Item, Reader};
    use testkit::{aac, h264};

    use super::*;
    use crate::Settings;
    use crate::customize::Publisher;

    #[test]
    fn a_stream_that_comes_back_while_its_file_is_completed_is_tapped_again() {
        let record = Recorded { flv: true, ..Recorded::default() };
        let settings = Arc::new(StreamSettings { record, ..StreamSettings::default() });
        let context = Context::new(
            Registry::new(Arc::new(move |_| settings.clone()), 9),
            Settings::default(),
        );
        // Nothing is run: the first recording never comes to complete its file.
        let spawned = Arc::new(Mutex::new(Vec::new()));
        let tasks = spawned.clone();
        let recorder =
            Recorder::new(context.clone(), Box::new(move |task| tasks.lock().push(task)));
        let watching = recorder.clone();
        let watcher = move |name: &StreamName, stream: &Arc<Mutex<Stream>>| {
            watching.published(name, stream);
        };
        context.registry.watch_publishers(Arc::new(watcher));
        let name = context.settings.load().stream_name("live", "again").unwrap();
        let publish = || drop(Publisher::new(&context, &name).unwrap());
        publish();
        publish();
        assert_eq!(spawned.lock().len(), 1, "a publisher that returns in time is the same stream");
        context.registry.end_all(&EndReason::StreamEnded);
        publish();
        assert_eq!(spawned.lock().len(), 2);
        assert!(!recorder.is_idle());
    }

    fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
        let details = inspect::details(codec, &config).expect("a configuration");
        let time_base = inspect::time_base(codec, &details);
        Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
    }

    /// The times of the pictures in each file of a folder, and whether there is sound; those
    /// without first.
    fn contents(folder: &Path) -> Vec<(Vec<i64>, bool)> {
        let paths = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("a file").path());
        let read = |path| {
            let bytes = Bytes::from(std::fs::read(path).expect("a file"));
            let items =
                Reader::new().segment(&bytes, std::time::Instant::now()).expect("fragments");
            let (mut times, mut has_sound) = (Vec::new(), false);
            for item in items {
                match item {
                    Item::Frame(frame) if frame.track.kind == TrackKind::Video => {
                        times.push(frame.dts.millis());
                    }
                    Item::Frame(_) => has_sound = true,
                    Item::Track(_) => {}
                }
            }
            (times, has_sound)
        };
        let mut contents: Vec<_> = paths.map(read).collect();
        contents.sort_by_key(|(_, has_sound)| *has_sound);
        contents
    }

    #[test]
    fn a_track_that_comes_later_costs_no_pictures() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| settings.clone()), 9);
        let context = Context::new(registry, Settings::default());
        let mut recording = Recording {
            name: context.settings.load().stream_name("live", "late").unwrap(),
            context,
            format: Format::Mp4,
            settings: RecordSettings {
                mp4: Template::fixed(&folder.path().join("a.mp4").display().to_string()),
                ..RecordSettings::default()
            },
            tracks: Arc::default(),
            pending: None,
            publisher: None,
            open: None,
            out: BytesMut::new(),
            write_at: None,
            begun: None,
        };
        let sequence = h264::Sequence { width: 64, height: 64, rate: (25, 1), reorders: false };
        let picture = track(TrackId::video(0), Codec::H264, sequence.avcc());
        let sound = track(TrackId::audio(0), Codec::Aac, aac::config(48_000, 2));
        let set = |list: &[&Arc<Track>]| {
            let tracks = list.iter().map(|track| Arc::clone(track)).collect();
            Arc::new(TrackSet { tracks, ..TrackSet::default() })
        };
        let frame = |track: &Track, kind, ms, data| Frame {
            track: track.id,
            kind,
            dts: Ticks::from_millis(ms, track.time_base),
            cts: 0,
            arrival: std::time::Instant::now(),
            data,
            units: std::iter::once(4..6).collect(),
        };
        runtime.block_on(async {
            recording.adopt(set(&[&picture]), 1).await.unwrap();
            for n in 0..200 {
                if n == 60 {
                    recording.adopt(set(&[&picture, &sound]), 1).await.unwrap();
                }
                let kind = if n % 50 == 0 { FrameKind::Key } else { FrameKind::Delta };
                let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
                recording.push(&frame(&picture, kind, n * 40, data)).await.unwrap();
                if n > 60 {
                    let heard = frame(&sound, FrameKind::Audio, n * 40, aac::silence(2, 100));
                    recording.push(&heard).await.unwrap();
                }
            }
            recording.close().await.unwrap();
        });
        let every = |count: i64| (0..count).map(|n| n * 40).collect::<Vec<_>>();
        assert_eq!(contents(folder.path()), [(every(100), false), (every(100), true)]);
    }
}
