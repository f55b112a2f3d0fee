//! HLS: playlists and segments over HTTP, made while somebody asks for them or all the time.
//!
//! [`Hls::answer`] answers requests of any HTTP library; `live` turns one stream into segments,
//! `request` understands addresses, `viewers` counts those who watch.

mod files;
mod live;
mod request;
mod respond;
mod viewers;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::hls::{Answer, Directives, Resource, Resume, multivariant};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use hub::{Address, Stream, StreamName, Tap};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use self::files::{Cleanup, FileSettings};
use self::live::{Before, Live, Published};
use self::request::{List, Wanted};
use self::respond::{cacheable, media, not_found, playlist, refusal};
use self::viewers::{Admission, Viewers};
use crate::context::Context;
use crate::via;

/// An answer: its head, and its body in pieces.
pub type Response = http::Response<Vec<Bytes>>;

/// Runs a task somewhere until it ends.
pub type Spawner = dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync;

/// Rules of HLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HlsSettings {
    /// Whether it is served.
    pub enable: bool,
    /// What paths of HLS begin with, from slash to slash.
    pub prefix: String,
    /// How streams are cut.
    pub rendition: ::hls::Settings,
    /// Streams are cut only while somebody asks.
    pub on_demand: bool,
    /// How long nobody asks before a stream is cut no more.
    pub idle: Duration,
    /// How long the last segments of a stream that ended are kept.
    pub linger: Duration,
    /// With a key, viewers are sessions.
    pub session_key: Option<String>,
    /// How long such a viewer may be silent.
    pub session_timeout: Duration,
    /// Most bytes that wait to be cut, per stream.
    pub max_queue: usize,
    /// How streams that are recorded as HLS are written to files.
    pub files: FileSettings,
}

impl Default for HlsSettings {
    fn default() -> Self {
        Self {
            enable: true,
            prefix: "/hls/".to_owned(),
            rendition: ::hls::Settings::default(),
            on_demand: true,
            idle: Duration::from_secs(30),
            linger: Duration::from_secs(60),
            session_key: None,
            session_timeout: Duration::from_secs(30),
            max_queue: 64 << 20,
            files: FileSettings::default(),
        }
    }
}

/// How long a segment that is not there yet is waited for, before the first playlist.
const FIRST_SEGMENT: Duration = Duration::from_secs(20);

/// Playlists are waited for up to so many target durations (HLS §6.2.5.2).
const PATIENCE_TARGETS: u32 = 3;

/// How often it is said that a request waits, so that what it waits for is not ended as unwanted.
const STILL_WANTED: Duration = Duration::from_millis(250);

/// But never longer than connections bear.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

/// Segments that wait to be written to files.
const FILE_QUEUE: usize = 4;

/// The largest file that is read into memory to be sent.
const MAX_FILE: u64 = 256 << 20;

/// All streams that are segmented.
pub struct Hls {
    context: Arc<Context>,
    spawner: Box<Spawner>,
    live: Mutex<HashMap<StreamName, Arc<Live>>>,
    /// Where streams go on whose segments are forgotten, while the registry has them: what a player
    /// knows of a live stream never goes back. Taken after `live`.
    resumes: Mutex<HashMap<StreamName, Resume>>,
    viewers: Viewers,
    /// Streams that are written to files.
    writing: Arc<AtomicUsize>,
}

impl fmt::Debug for Hls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hls").field("streams", &self.live.lock().len()).finish_non_exhaustive()
    }
}

impl Hls {
    /// Nothing is segmented yet; `spawner` runs what makes segments.
    #[must_use]
    pub fn new(context: Arc<Context>, spawner: Box<Spawner>) -> Arc<Self> {
        let viewers = Viewers::new(context.clone());
        Arc::new(Self {
            context,
            spawner,
            live: Mutex::default(),
            resumes: Mutex::default(),
            viewers,
            writing: Arc::default(),
        })
    }

    /// What all sessions share.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Whether a path is one of HLS.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        let settings = self.context.settings.load();
        settings.hls.enable && path.starts_with(&settings.hls.prefix)
    }

    /// To be called about once a second: ends viewers that are silent, and forgets streams that
    /// ended long ago.
    pub fn tick(&self, now: Instant) {
        let settings = self.context.settings.load();
        self.viewers.tick(now, settings.hls.session_timeout);
        let (mut live, mut resumes) = (self.live.lock(), self.resumes.lock());
        resumes.retain(|name, _| self.context.registry.find(name).is_some());
        live.retain(|name, live| {
            let is_over = live.is_over(now, settings.hls.linger);
            if is_over && self.context.registry.find(name).is_some() {
                resumes.insert(name.clone(), live.resume());
            }
            !is_over
        });
    }

    /// Whether a stream's segments are being written to files: not any more after a failure.
    #[must_use]
    pub fn is_recorded(&self, name: &StreamName) -> bool {
        self.live.lock().get(name).is_some_and(|live| live.is_written())
    }

    /// Whether nothing is being written to files.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writing.load(Ordering::Relaxed) == 0
    }

    /// A publisher has come: if its stream is recorded, or segments are not made on demand, they
    /// are made from now on.
    pub fn published(self: &Arc<Self>, name: &StreamName, stream: &Arc<Mutex<Stream>>) {
        let recorded = stream.lock().settings().record.hls;
        let settings = self.context.settings.load();
        if recorded || (settings.hls.enable && !settings.hls.on_demand) {
            self.live(name, stream, recorded);
        }
    }

    /// Answers a request; may take as long as a blocking reload does.
    pub async fn answer(self: &Arc<Self>, request: &Parts, peer: SocketAddr) -> Response {
        match request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return respond::preflight(request),
            _ => {
                let text = "playlists and segments are read with GET";
                let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, text);
                let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
                response.headers_mut().insert(header::ALLOW, allowed);
                return response;
            }
        }
        if self.context.admission.is_blocked(peer.ip()) {
            return not_found("this address is blocked");
        }
        let settings = self.context.settings.load_full();
        let path = request.uri.path();
        let path = path.strip_prefix(settings.hls.prefix.as_str()).unwrap_or(path);
        let wanted = match Wanted::parse(path, &settings) {
            Ok(wanted) => wanted,
            Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let mut response = match wanted {
            Wanted::Playlist { name, list } => self.list(request, peer, &name, list).await,
            Wanted::File { names, file } => self.file(request, names, &file).await,
            Wanted::Nothing => {
                not_found("HLS has .m3u8, .ts, .m4s and .mp4 files only: ask for NAME.m3u8")
            }
        };
        if request.method == Method::HEAD {
            // The length is that of the answer to GET.
            let length = response.body().iter().map(Bytes::len).sum::<usize>();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response.body_mut().clear();
        }
        response
    }

    async fn list(
        self: &Arc<Self>,
        request: &Parts,
        peer: SocketAddr,
        name: &StreamName,
        list: List,
    ) -> Response {
        let query = request.uri.query().unwrap_or_default();
        let suffix = match self.viewers.admit(request, name) {
            Admission::Open => String::new(),
            Admission::Known { query } => query,
            Admission::New => return self.viewers.begin(request, peer, name).await,
            Admission::Refused(response) => return response,
        };
        let directives = match Directives::parse(query) {
            Ok(directives) => directives,
            Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        if list == List::Record {
            let response = self.read(request, name, files::RECORD, &suffix).await;
            let text = "the stream is not recorded as HLS: see stream.record";
            let response = response.unwrap_or_else(|| not_found(text));
            self.count(query, &response);
            return response;
        }
        if self.context.is_circle(name, Some(peer)) {
            let text = format!("{name} is pulled from this server itself: it has no source");
            return not_found(&text);
        }
        let comes = request.method != Method::HEAD && {
            let app = name.as_str().rsplit_once('/').map_or("", |(app, _)| app);
            let (app_name, raw_query) = (app.to_owned(), query.to_owned());
            let via = viewers::via_of(request);
            via::check(&via, &self.context.id).is_ok()
                && self
                    .context
                    .want(name, &Address { app_name, raw_query, via, ..Address::default() })
        };
        let answering = self.current(request, name, list, comes, &directives, &suffix);
        let response = if comes {
            // A request is no session, but whoever waits is a viewer all the same.
            let mut answering = pin!(answering);
            loop {
                self.context.still_wanted(name);
                if let Ok(response) = timeout(STILL_WANTED, answering.as_mut()).await {
                    break response;
                }
            }
        } else {
            answering.await
        };
        self.count(query, &response);
        response
    }

    /// The playlist of a stream, once it is there.
    async fn current(
        self: &Arc<Self>,
        request: &Parts,
        name: &StreamName,
        list: List,
        comes: bool,
        directives: &Directives,
        suffix: &str,
    ) -> Response {
        let Some(live) = self.find(name, comes).await else {
            let text = format!(
                "stream {name} is not published here; publish it, or check application and name"
            );
            return not_found(&text);
        };
        live.asked();
        let Some(first) = live.wait(FIRST_SEGMENT, |now| now.window.has_playlist()).await else {
            return respond::later("the stream has no complete segment yet: ask again");
        };
        if first.tracks.tracks.is_empty() {
            let text = format!("HLS has no place for what {name} consists of: play it over RTSP");
            return refusal(StatusCode::NOT_ACCEPTABLE, &text);
        }
        let patience = patience(&first);
        let current = match directives.answer(&first.window) {
            Answer::Now => first,
            Answer::TooFar => {
                let text = "_HLS_msn is more than two segments ahead of the playlist";
                return refusal(StatusCode::BAD_REQUEST, text);
            }
            Answer::Later => {
                let is_there = |now: &Published| directives.answer(&now.window) != Answer::Later;
                match live.wait(patience, is_there).await {
                    Some(current) => current,
                    None => return respond::later("no media came in time: ask again"),
                }
            }
        };
        match list {
            List::Media | List::Record => {
                let text = current.playlist(directives.skip, suffix);
                playlist(request, &text, directives.segment.map(|_| current.window.target()))
            }
            List::Multivariant => {
                let (window, tracks) = (&current.window, &current.tracks);
                let text = multivariant::playlist(window, tracks, "playlist.m3u8", suffix);
                playlist(request, &live::Rendered::new(text), None)
            }
        }
    }

    /// What was sent to a viewer is counted, if viewers are.
    fn count(&self, query: &str, response: &Response) {
        let sent = response.body().iter().map(Bytes::len).sum::<usize>();
        self.viewers.count(query, sent as u64);
    }

    async fn file(&self, request: &Parts, names: Vec<StreamName>, file: &str) -> Response {
        let names = self.viewers.may_fetch(request.uri.query().unwrap_or_default(), names);
        if names.is_empty() {
            let text = "segments are for those who watch: ask for the playlist first";
            return refusal(StatusCode::FORBIDDEN, text);
        }
        let find = || {
            let table = self.live.lock();
            let mut candidates = names.iter().filter_map(|name| table.get(name));
            candidates.find(|live| live.now().window.find(file).is_some()).cloned()
        };
        let gone = "no such segment: it has left the window, or never was";
        let Some(live) = find() else {
            for name in &names {
                if let Some(response) = self.read(request, name, file, "").await {
                    // Who plays a recording asks for its playlist once.
                    self.count(request.uri.query().unwrap_or_default(), &response);
                    return response;
                }
            }
            return not_found(gone);
        };
        live.asked();
        let mut found = live.now().window.find(file);
        if let Some(Resource::Hinted) = found {
            let is_there = |now: &Published| {
                !matches!(now.window.find(file), Some(Resource::Hinted)) || now.window.has_ended()
            };
            found = match live.wait(patience(&live.now()), is_there).await {
                Some(now) => now.window.find(file),
                None => return respond::later("no media came in time: ask again"),
            };
        }
        let (pieces, content_type) = match found {
            Some(Resource::Segment(segment)) => {
                let pieces = segment.parts.iter().map(|part| part.bytes.clone()).collect();
                (pieces, respond::media_type(segment.extension))
            }
            Some(Resource::Part(bytes)) => (vec![bytes], respond::media_type(extension(file))),
            Some(Resource::Init(init)) => (vec![init.bytes.clone()], "video/mp4"),
            Some(Resource::Hinted) | None => return not_found(gone),
        };
        let response = media(request, pieces, content_type, &cacheable(file));
        self.count(request.uri.query().unwrap_or_default(), &response);
        response
    }

    /// A file that was written of a stream, if it is recorded as HLS; `suffix` is added to the
    /// addresses in a playlist.
    async fn read(
        &self,
        request: &Parts,
        name: &StreamName,
        file: &str,
        suffix: &str,
    ) -> Option<Response> {
        let settings = self.context.settings.load_full();
        let path = settings.hls.files.folder(name).join(file);
        let metadata = tokio::fs::metadata(&path).await.ok()?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return None;
        }
        let bytes = Bytes::from(tokio::fs::read(&path).await.ok()?);
        if file == files::RECORD {
            let text = ::hls::playlist::with_query(&String::from_utf8_lossy(&bytes), suffix);
            return Some(playlist(request, &live::Rendered::new(text), None));
        }
        let content_type = respond::media_type(extension(file));
        Some(media(request, vec![bytes], content_type, &cacheable(file)))
    }

    /// The segments of a stream, once it is live; `None` if it is not in time. `comes` says that it
    /// will be, although it is not.
    async fn find(self: &Arc<Self>, name: &StreamName, comes: bool) -> Option<Arc<Live>> {
        let known = self.live.lock().get(name).cloned();
        if let Some(live) = known {
            if !live.now().window.has_ended() {
                return Some(live);
            }
            // It ended; is there a new publisher?
            if !self.is_live(name) && !comes {
                return Some(live);
            }
        }
        let waiting = self.context.registry.watch(name);
        let limit = waiting.patience(self.context.settings.load().wait_for_stream);
        timeout(limit, waiting.ready()).await.ok()?;
        Some(self.live(name, waiting.stream(), false))
    }

    fn is_live(&self, name: &StreamName) -> bool {
        let stream = self.context.registry.find(name);
        stream.is_some_and(|stream| stream.lock().state() == hub::StreamState::Live)
    }

    /// The segments of a stream, made from now on if they were not.
    fn live(
        self: &Arc<Self>,
        name: &StreamName,
        stream: &Arc<Mutex<Stream>>,
        recorded: bool,
    ) -> Arc<Live> {
        let mut table = self.live.lock();
        let old = table.get(name).cloned();
        if let Some(old) = &old
            && !old.is_done()
        {
            return old.clone();
        }
        let tap = Tap::open(stream, self.context.settings.load().hls.max_queue);
        let (sender, receiver) = mpsc::channel(FILE_QUEUE);
        let files = recorded.then_some(sender);
        let resume = self.resumes.lock().remove(name).unwrap_or_default();
        let before = old.map_or(Before::Forgotten(resume), Before::Run);
        let (live, task) = Live::start(&self.context, name, tap, before, files);
        table.insert(name.clone(), live.clone());
        drop(table);
        (self.spawner)(Box::pin(task));
        if recorded {
            let hls = self.context.settings.load_full().hls.clone();
            let files = files::write(self.context.clone(), name.clone(), hls.files, receiver);
            let (writing, linger) = (self.writing.clone(), hls.linger);
            writing.fetch_add(1, Ordering::Relaxed);
            let segments = live.clone();
            (self.spawner)(Box::pin(async move {
                let written = files.await;
                segments.written();
                writing.fetch_sub(1, Ordering::Relaxed);
                if let Some(written) = written {
                    written.clean_up(linger).await;
                }
            }));
        }
        live
    }
}

/// How long media that is about to come is waited for.
fn patience(now: &Published) -> Duration {
    let target = Duration::from_secs(now.window.target().unsigned_abs());
    target.saturating_mul(PATIENCE_TARGETS).min(MAX_PATIENCE)
}

fn extension(file: &str) -> &str {
    file.rsplit('.').next().unwrap_or_default()
}
