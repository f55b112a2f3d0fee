//! One stream as segments: a task takes its frames and publishes what can be fetched.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::hls::playlist::Form;
use ::hls::{Outcome, Rendition, Resume, Window};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hub::{EndReason, StreamName, Tap, TapEnd, Tapped};
use media::{Codec, TrackSet};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::files;
use crate::context::Context;

/// How often a task looks whether anybody asks.
const LOOK: Duration = Duration::from_millis(250);

/// Who has asked for nothing for so many target durations watches no more: players ask for the
/// playlist once in one of them (RFC 8216 §6.3.4).
const WATCHES_TARGETS: u32 = 3;

/// How long the end of the run before is waited for.
const LAST_RUN: Duration = Duration::from_secs(5);

/// How long a segment may wait for those who write files.
const FILE_PATIENCE: Duration = Duration::from_secs(2);

/// A stream's segments, for those who ask for them.
#[derive(Debug)]
pub(super) struct Live {
    published: watch::Receiver<Arc<Published>>,
    tap: TapEnd,
    asked: Mutex<Instant>,
    ended: Mutex<Option<Instant>>,
    resume: Mutex<Resume>,
    /// It is written to files.
    recorded: AtomicBool,
}

/// What there was of a stream before.
pub(super) enum Before {
    /// A run whose segments are still there.
    Run(Arc<Live>),
    /// Where the next run goes on.
    Forgotten(Resume),
}

/// What can be fetched at one moment.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) window: Window,
    pub(super) tracks: Arc<TrackSet>,
    /// The playlist, whole and as a delta update, once somebody has asked.
    rendered: [OnceLock<Rendered>; 2],
}

/// A playlist as text, and compressed.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    pub(super) plain: Bytes,
    gzip: Arc<OnceLock<Bytes>>,
}

impl Rendered {
    pub(super) fn new(text: String) -> Self {
        Self { plain: Bytes::from(text), gzip: Arc::default() }
    }

    /// Compressed, once for all who ask.
    pub(super) fn gzip(&self) -> Bytes {
        let compress = || {
            use std::io::Write as _;
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing to memory cannot fail.
            let _ = encoder.write_all(&self.plain);
            Bytes::from(encoder.finish().unwrap_or_default())
        };
        self.gzip.get_or_init(compress).clone()
    }
}

impl Published {
    /// The Media Playlist; rendered once for all whose addresses are the same.
    pub(super) fn playlist(&self, skip: bool, query: &str) -> Rendered {
        let form = if skip { Form::Delta } else { Form::Full };
        let render = || Rendered::new(self.window.playlist(form, query));
        if !query.is_empty() {
            return render();
        }
        let [whole, delta] = &self.rendered;
        if skip { delta } else { whole }.get_or_init(render).clone()
    }
}

impl Live {
    /// A stream that will be segmented by the task that is returned: as long as it lives, if it is
    /// `kept`.
    pub(super) fn start(
        context: &Arc<Context>,
        name: &StreamName,
        tap: Tap,
        before: Before,
        files: Option<mpsc::Sender<Arc<Published>>>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (sender, published) = watch::channel(Arc::default());
        let live = Arc::new(Self {
            published,
            tap: tap.end(),
            asked: Mutex::new(Instant::now()),
            ended: Mutex::new(None),
            resume: Mutex::default(),
            recorded: AtomicBool::new(files.is_some()),
        });
        let task = run(context.clone(), name.clone(), tap, before, live.clone(), sender, files);
        (live, task)
    }

    /// Somebody asked for something.
    pub(super) fn asked(&self) {
        *self.asked.lock() = Instant::now();
    }

    /// What can be fetched now.
    pub(super) fn now(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    /// Waits until `is_there`, for `limit` at most. Whoever waits asks.
    pub(super) async fn wait(
        &self,
        limit: Duration,
        is_there: impl Fn(&Published) -> bool,
    ) -> Option<Arc<Published>> {
        let mut published = self.published.clone();
        let found = timeout(limit, async {
            loop {
                self.asked();
                if let Ok(found) = timeout(LOOK, published.wait_for(|now| is_there(now))).await {
                    // Not to be held any longer than it takes.
                    break found.map(|now| now.clone());
                }
            }
        })
        .await;
        // When the task has gone, what it left is all that there will be.
        found.ok()?.ok()
    }

    /// Whether it takes no more frames.
    pub(super) fn is_done(&self) -> bool {
        self.tap.has_come() || self.now().window.has_ended()
    }

    /// Whether it is being written to files.
    pub(super) fn is_written(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Its files are complete, or have failed.
    pub(super) fn written(&self) {
        self.recorded.store(false, Ordering::Relaxed);
    }

    /// Where the next run goes on.
    pub(super) fn resume(&self) -> Resume {
        *self.resume.lock()
    }

    /// Whether it ended so long ago that nobody needs its segments.
    pub(super) fn is_over(&self, now: Instant, linger: Duration) -> bool {
        self.ended.lock().is_some_and(|ended| now.saturating_duration_since(ended) > linger)
    }
}

/// Segments one stream until it ends, or nobody asks.
async fn run(
    context: Arc<Context>,
    name: StreamName,
    tap: Tap,
    before: Before,
    live: Arc<Live>,
    sender: watch::Sender<Arc<Published>>,
    files: Option<mpsc::Sender<Arc<Published>>>,
) {
    let settings = context.settings.load_full().hls.clone();
    let mut resume = match before {
        Before::Run(before) => {
            // It may still be on its way to its end, where the numbers go on.
            before.wait(LAST_RUN, |last| last.window.has_ended()).await;
            before.resume()
        }
        Before::Forgotten(resume) => resume,
    };
    resume.fmp4 |= files.is_some() && files::has_fmp4(&settings.files, &name).await;
    *live.resume.lock() = resume;
    let stem = name.as_str().rsplit('/').next().unwrap_or_default();
    let rendition = Rendition::resuming(stem, settings.rendition.clone(), live.resume());
    info!(stream = %name, "makes HLS segments");
    let mut segmenting = Segmenting {
        context,
        name,
        idle: Some(settings.idle).filter(|_| settings.on_demand && files.is_none()),
        files,
        rendition,
        begun: None,
        warned: false,
        sender,
        live: live.clone(),
    };
    segmenting.run(tap).await;
    *live.ended.lock() = Some(Instant::now());
}

struct Segmenting {
    context: Arc<Context>,
    name: StreamName,
    /// How long nobody asks before it ends.
    idle: Option<Duration>,
    rendition: Rendition,
    /// The segment that those who write files know to have begun.
    begun: Option<u64>,
    warned: bool,
    sender: watch::Sender<Arc<Published>>,
    /// Those who write files take every segment.
    files: Option<mpsc::Sender<Arc<Published>>>,
    live: Arc<Live>,
}

impl Segmenting {
    async fn run(&mut self, mut tap: Tap) {
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.is_watched() {
                    self.context.still_wanted(&self.name);
                }
            }
            let Ok(tapped) = timeout(LOOK, tap.next()).await else {
                if self.is_idle() {
                    return self.end("nobody asks for it").await;
                }
                continue;
            };
            let outcome = match tapped {
                Tapped::Tracks { tracks, publisher } => {
                    let outcome = self.rendition.set_tracks(&tracks, publisher);
                    let left_out = Codec::list(&self.rendition.left_out());
                    if !left_out.is_empty() {
                        warn!(stream = %self.name, "HLS has no place for {left_out}: left out");
                    }
                    outcome
                }
                Tapped::Frame(frame) => {
                    let outcome = self.rendition.push(&frame, unix_ms(frame.arrival));
                    if outcome == Outcome::Segment && self.is_idle() {
                        return self.end("nobody asks for it").await;
                    }
                    outcome
                }
                Tapped::Lost => {
                    warn!(stream = %self.name, "HLS is too slow: frames were left out");
                    self.rendition.gap()
                }
                Tapped::End(EndReason::StreamEnded) => return self.end("the stream ended").await,
                Tapped::End(reason) => return self.end(&reason.to_string()).await,
            };
            let begun = self.rendition.window().open().map(|open| open.number);
            let begins = begun.is_some() && begun != self.begun && self.files.is_some();
            if outcome != Outcome::Nothing || begins {
                self.begun = begun;
                self.publish(outcome == Outcome::Segment || begins).await;
            }
            if self.rendition.was_forced() && !std::mem::replace(&mut self.warned, true) {
                warn!(
                    stream = %self.name,
                    target = self.rendition.window().target(),
                    "key frames are too far apart: a segment had to end without one; let the \
                     encoder send them more often, or set hls.target_duration"
                );
            }
        }
    }

    /// Whether somebody watches, as far as can be told of those who only ask now and then.
    fn is_watched(&self) -> bool {
        let target = Duration::from_secs(self.rendition.window().target().unsigned_abs());
        self.live.asked.lock().elapsed() <= target * WATCHES_TARGETS
    }

    fn is_idle(&self) -> bool {
        self.idle.is_some_and(|limit| self.live.asked.lock().elapsed() > limit)
    }

    async fn end(&mut self, why: &str) {
        info!(stream = %self.name, why, "makes no more HLS segments");
        self.rendition.end();
        *self.live.resume.lock() = self.rendition.resume();
        self.publish(true).await;
    }

    /// Lets everybody see what there is now; those who write files as well, if a segment is
    /// complete or has begun.
    async fn publish(&mut self, segment: bool) {
        let window = self.rendition.window().clone();
        let tracks = Arc::new(self.rendition.carried());
        let published = Published { window, tracks, rendered: Default::default() };
        let published = Arc::new(published);
        self.sender.send_replace(published.clone());
        if let Some(files) = self.files.as_ref().filter(|_| segment) {
            // A disk that is slow is waited for, but not for ever: the frames wait meanwhile.
            match timeout(FILE_PATIENCE, files.send(published)).await {
                Ok(Ok(())) => {}
                // Whoever writes has said what is wrong, and has gone.
                Ok(Err(_)) => self.files = None,
                Err(_) => warn!(stream = %self.name, "the disk is too slow for HLS files"),
            }
        }
    }
}

/// When something arrived, in milliseconds of Unix time.
fn unix_ms(arrival: Instant) -> i64 {
    let when = SystemTime::now().checked_sub(arrival.elapsed());
    let since = when.and_then(|when| when.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
