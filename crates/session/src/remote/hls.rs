//! Pulls of HLS: playlists are read again and again, segments are fetched ahead of their time, and
//! their frames go into the stream at the speed of their times.
//!
//! Of several variants, the one with the most bits per second is pulled; sound that has a playlist
//! of its own comes with it. A segment that cannot be had is left out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::hls::client::{self, KEY_LENGTH, Key, Map, Media, Pacer, Playlist, Schedule, Segment};
use bytes::Bytes;
use hub::{EndReason, StreamName};
use media::{TrackId, TrackKind};
use mp4::read::{Item, Reader};
use mpeg::ts::{self, Demuxed, Demuxer};
use net::Shard;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, info};

use super::fetch::Fetcher;
use super::requests::Failure;
use super::{HttpUrl, Remote};
use crate::context::{Context, Tenure};
use crate::ingest::frames::FrameIngest;

/// The largest segment that is fetched: half a minute at 30 Mbit/s.
const MAX_SEGMENT: usize = 128 << 20;

/// The largest initialisation section.
const MAX_INIT: usize = 1 << 20;

/// The largest file that is read for a key: one that says too much is named as such.
const MAX_KEY: usize = 64 * KEY_LENGTH;

/// Segments that wait to be played; another one is being fetched, and another one played.
const AHEAD: usize = 1;

/// How often a segment is asked for where the connection fails.
const ATTEMPTS: usize = 2;

/// How long after a failure the next request is made.
const PAUSE: Duration = Duration::from_millis(200);

/// A server may list nothing new for so many target durations.
const PATIENCE_TARGETS: u32 = 3;

/// Beyond so many target durations that wait, frames go a little faster than their times.
const BACKLOG_TARGETS: u32 = 4;

/// What a pull of HLS needs.
#[derive(Clone, Copy)]
pub(super) struct Pulling<'a> {
    pub(super) shard: &'a Rc<Shard>,
    pub(super) context: &'a Arc<Context>,
    pub(super) tenure: &'a Tenure,
    pub(super) name: &'a StreamName,
    pub(super) remote: &'a Remote,
}

/// Pulls the stream of a playlist that was asked for at this time. Why it ended.
pub(super) async fn pull(
    pulling: Pulling<'_>,
    url: HttpUrl,
    text: &[u8],
    asked: Instant,
) -> EndReason {
    let session = pulling.tenure.session();
    let outcome = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => Err(reason),
        outcome = pulling.run(url, text, asked) => outcome,
    };
    match outcome {
        // Every segment of a playlist that ended was played.
        Ok(()) => EndReason::PeerClosed,
        Err(reason) => reason,
    }
}

fn parse(text: &[u8]) -> Result<Playlist, EndReason> {
    let text = String::from_utf8_lossy(text);
    Playlist::parse(&text).map_err(|error| EndReason::Refused(error.to_string()))
}

impl<'a> Pulling<'a> {
    async fn run(self, url: HttpUrl, text: &[u8], asked: Instant) -> Result<(), EndReason> {
        let fetcher = || Fetcher::new(self.shard, self.tenure.session(), self.remote, &url);
        let variants = match parse(text)? {
            Playlist::Media(media) => {
                let mut all = Download::new(fetcher(), url.clone(), Wanted::All);
                all.schedule.playlist(media, asked);
                return self.play_on(all, None).await;
            }
            Playlist::Multivariant(variants) => variants,
        };
        let Some(best) = variants.best() else {
            return Err(EndReason::Refused(client::Error::NoVariant.to_string()));
        };
        let sound = variants.sound(best);
        info!(
            session = %self.tenure.session().id(),
            variants = variants.variants.len(),
            bandwidth = best.bandwidth,
            own_sound = sound.is_some(),
            "pulls the best variant"
        );
        let resolve = |uri: &str| resolve(&url, uri);
        let wanted = if sound.is_some() { Wanted::Pictures } else { Wanted::All };
        let pictures = Download::new(fetcher(), resolve(&best.uri)?, wanted);
        let sound = match sound {
            Some(uri) => Some(Download::new(fetcher(), resolve(uri)?, Wanted::Sound)),
            None => None,
        };
        self.play_on(pictures, sound).await
    }

    async fn play_on(
        self,
        mut main: Download<'a>,
        sound: Option<Download<'a>>,
    ) -> Result<(), EndReason> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let mut feeds = vec![Feed::new(receiver)];
        let sound = sound.map(|download| {
            let (sender, receiver) = mpsc::channel(AHEAD);
            feeds.push(Feed::new(receiver));
            (download, sender)
        });
        let sounding = async {
            match sound {
                Some((mut download, sender)) => download.run(sender).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(main.run(sender), sounding, self.play(feeds)).map(|_| ())
    }

    /// Hands frames on when they are due.
    async fn play(self, mut feeds: Vec<Feed>) -> Result<(), EndReason> {
        let session = self.tenure.session();
        let mut ingest: Option<FrameIngest> = None;
        let mut pacer = Pacer::default();
        let mut line = None;
        loop {
            for feed in &mut feeds {
                feed.fill(&mut pacer).await;
            }
            // Of several, the one that comes first.
            let ready = feeds.iter_mut().filter_map(|feed| Some((feed.front()?, feed)));
            let Some((at, feed)) = ready.min_by_key(|(at, _)| *at) else { return Ok(()) };
            let Some(item) = feed.items.pop_front() else { continue };
            if ingest.is_none() {
                let publication = super::publish(self.context, session, self.name)?;
                ingest = Some(FrameIngest::new(publication));
            }
            let Some(ingest) = &mut ingest else { continue };
            if line.replace(at.0).is_some_and(|line| line != at.0) {
                ingest.join();
                pacer.join();
            }
            let taken = match item.1 {
                Item::Track(track) => ingest.track(track, Instant::now()),
                Item::Frame(mut frame) => {
                    let due = pacer.due(frame.dts.millis(), Instant::now());
                    if due > Instant::now() {
                        sleep_until(due.into()).await;
                    }
                    frame.arrival = Instant::now();
                    ingest.frame(frame)
                }
            };
            taken.map_err(|_| EndReason::TakenOver)?;
        }
    }
}

/// Where an address in a playlist leads. Blanks, which have no place in it, are escaped.
fn resolve(base: &HttpUrl, uri: &str) -> Result<HttpUrl, EndReason> {
    let joined = base.join(&uri.replace(' ', "%20"));
    joined.map_err(|error| EndReason::Refused(error.to_string()))
}

/// A place on the source's time lines: the number of the line, and milliseconds. Tracks come before
/// all frames.
type Place = (u64, i64);

/// What a segment brings.
struct Batch {
    /// Counts the discontinuities.
    line: u64,
    items: Vec<Item>,
    hurries: bool,
}

/// Segments of one playlist on their way into the stream.
struct Feed {
    receiver: mpsc::Receiver<Batch>,
    items: VecDeque<(u64, Item)>,
    over: bool,
}

impl Feed {
    fn new(receiver: mpsc::Receiver<Batch>) -> Self {
        Self { receiver, items: VecDeque::new(), over: false }
    }

    /// Waits until there is something, unless nothing more comes.
    async fn fill(&mut self, pacer: &mut Pacer) {
        while self.items.is_empty() && !self.over {
            match self.receiver.recv().await {
                Some(batch) => {
                    pacer.hurry(batch.hurries);
                    self.items.extend(batch.items.into_iter().map(|item| (batch.line, item)));
                }
                None => self.over = true,
            }
        }
    }

    fn front(&self) -> Option<Place> {
        self.items.front().map(|(line, item)| match item {
            Item::Track(_) => (*line, i64::MIN),
            Item::Frame(frame) => (*line, frame.dts.millis()),
        })
    }
}

/// Which tracks of a playlist are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    Pictures,
    Sound,
}

impl Wanted {
    fn takes(self, item: &Item) -> bool {
        let TrackId { kind, .. } = match item {
            Item::Track(track) => track.id,
            Item::Frame(frame) => frame.track,
        };
        match self {
            Self::All => true,
            Self::Pictures => kind != TrackKind::Audio,
            Self::Sound => kind == TrackKind::Audio,
        }
    }
}

/// Fetches one media playlist and its segments.
struct Download<'a> {
    fetcher: Fetcher<'a>,
    /// Where the playlist is, after redirections.
    url: HttpUrl,
    schedule: Schedule,
    wanted: Wanted,
    container: Container,
    /// The last key that was fetched, and where it is from.
    key: Option<(String, Bytes)>,
    /// Counts the discontinuities, from that on at which the first segment lies.
    line: Option<u64>,
}

impl<'a> Download<'a> {
    fn new(fetcher: Fetcher<'a>, url: HttpUrl, wanted: Wanted) -> Self {
        let schedule = Schedule::new(Instant::now());
        let container = Container::Unknown;
        Self { fetcher, url, schedule, wanted, container, key: None, line: None }
    }

    /// Fetches until there is nothing more.
    async fn run(&mut self, sender: mpsc::Sender<Batch>) -> Result<(), EndReason> {
        // When there was something new, or there was no room for it.
        let mut fresh = Instant::now();
        let mut failure = None;
        loop {
            while let Some(segment) = self.schedule.poll_segment() {
                if segment.discontinuity && self.line.is_some() {
                    // The last frames before it.
                    let items = self.container.finish();
                    self.container = Container::Unknown;
                    if !items.is_empty() && !self.hand_on(&sender, items).await {
                        return Ok(());
                    }
                    self.line = self.line.map(|line| line.saturating_add(1));
                }
                self.line.get_or_insert(segment.discontinuities);
                match self.segment(&segment).await {
                    Ok(items) => {
                        fresh = Instant::now();
                        failure = None;
                        if !self.hand_on(&sender, items).await {
                            return Ok(());
                        }
                        fresh = fresh.max(Instant::now());
                    }
                    Err(reason) => {
                        failure = Some(self.tolerate(reason, "segment")?);
                        if self.has_failed(fresh) {
                            break;
                        }
                        // A server that has none of them is not asked for all in one breath.
                        sleep(PAUSE).await;
                    }
                }
            }
            if self.has_failed(fresh) {
                let silent = EndReason::Timeout("the server lists no new segments");
                return Err(failure.unwrap_or(silent));
            }
            let Some(reload) = self.schedule.poll_timeout() else {
                let items = self.container.finish();
                self.hand_on(&sender, items).await;
                return Ok(());
            };
            sleep_until(reload.into()).await;
            let asked = Instant::now();
            match self.reload().await {
                Ok(media) => self.schedule.playlist(media, asked),
                // Without a playlist there is nothing to be patient for.
                Err(reason) if self.schedule.target().is_zero() => return Err(reason),
                Err(reason) => {
                    failure = Some(self.tolerate(reason, "playlist")?);
                    self.schedule.failed(asked);
                }
            }
        }
    }

    /// Whether there was nothing new for too long.
    fn has_failed(&self, fresh: Instant) -> bool {
        let patience = self.schedule.target() * PATIENCE_TARGETS;
        fresh.elapsed() > patience.max(self.fetcher.remote.silence)
    }

    /// What could not be had may be there later, unless the session is over.
    fn tolerate(&self, reason: EndReason, what: &str) -> Result<EndReason, EndReason> {
        if let Some(reason) = self.fetcher.session.ending() {
            return Err(reason);
        }
        debug!(session = %self.fetcher.session.id(), what, %reason, "could not be fetched");
        Ok(reason)
    }

    async fn reload(&mut self) -> Result<Media, EndReason> {
        let fetched = self.fetcher.fetch(self.url.clone(), None, client::MAX_PLAYLIST).await;
        let (url, text) = fetched.map_err(EndReason::from)?;
        self.url = url;
        match parse(&text)? {
            Playlist::Media(media) => Ok(media),
            Playlist::Multivariant(_) => {
                let text = "a playlist of segments has become one of playlists";
                Err(EndReason::Refused(text.to_owned()))
            }
        }
    }

    /// `false` if nobody takes it any more.
    async fn hand_on(&self, sender: &mpsc::Sender<Batch>, mut items: Vec<Item>) -> bool {
        items.retain(|item| self.wanted.takes(item));
        let most = self.schedule.target() * BACKLOG_TARGETS;
        let hurries = !self.schedule.is_ended() && self.schedule.backlog() > most;
        sender.send(Batch { line: self.line.unwrap_or(0), items, hurries }).await.is_ok()
    }

    /// Fetches a segment, and reads it.
    async fn segment(&mut self, segment: &Segment) -> Result<Vec<Item>, EndReason> {
        if let Some(map) = &segment.map
            && !self.container.knows(map)
        {
            let url = resolve(&self.url, &map.uri)?;
            let (_, section) = self.fetcher.fetch(url, map.span, MAX_INIT).await?;
            let section = self.decrypt(map.key.as_deref(), segment.number, section).await?;
            self.container.init(map, &section)?;
        }
        let url = resolve(&self.url, &segment.uri)?;
        let mut attempt = 1;
        let bytes = loop {
            match self.fetcher.fetch(url.clone(), segment.span, MAX_SEGMENT).await {
                Ok((_, bytes)) => break bytes,
                Err(Failure::Ended(reason)) if attempt < ATTEMPTS => {
                    self.tolerate(reason, "segment")?;
                    attempt += 1;
                    sleep(PAUSE).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        };
        let bytes = self.decrypt(segment.key.as_deref(), segment.number, bytes).await?;
        self.container.read(&bytes)
    }

    /// What is read of a file, if it is encrypted; the key is fetched where it is another one.
    async fn decrypt(
        &mut self,
        key: Option<&Key>,
        number: u64,
        bytes: Bytes,
    ) -> Result<Bytes, EndReason> {
        let Some(key) = key else { return Ok(bytes) };
        let known = self.key.as_ref().filter(|(uri, _)| *uri == key.uri);
        let fetched = match known {
            Some((_, fetched)) => fetched.clone(),
            None => {
                let url = resolve(&self.url, &key.uri)?;
                let (_, fetched) = self.fetcher.fetch(url, None, MAX_KEY).await?;
                self.key = Some((key.uri.clone(), fetched.clone()));
                fetched
            }
        };
        let plain = key.decrypt(&fetched, number, bytes);
        // It may be another one the next time.
        plain.map_err(|error| {
            self.key = None;
            EndReason::Protocol(error.to_string())
        })
    }
}

/// How segments are written.
enum Container {
    Unknown,
    Ts(Box<Demuxer>),
    Mp4(Reader, Option<Arc<Map>>),
}

impl Container {
    fn knows(&self, map: &Arc<Map>) -> bool {
        matches!(self, Self::Mp4(_, Some(known)) if known == map)
    }

    fn init(&mut self, map: &Arc<Map>, section: &Bytes) -> Result<(), EndReason> {
        // Transport streams may have a section, too: their tables.
        if section.first() == Some(&ts::SYNC) {
            return Ok(());
        }
        if !matches!(self, Self::Mp4(..)) {
            *self = Self::Mp4(Reader::new(), None);
        }
        if let Self::Mp4(reader, known) = self {
            reader.init(section).map_err(|error| EndReason::Protocol(error.to_string()))?;
            *known = Some(map.clone());
        }
        Ok(())
    }

    fn read(&mut self, bytes: &Bytes) -> Result<Vec<Item>, EndReason> {
        let now = Instant::now();
        if matches!(self, Self::Unknown) {
            let is_box =
                |name: &[u8]| [b"styp", b"moof", b"ftyp", b"sidx"].iter().any(|b| *b == name);
            *self = match bytes.first() {
                Some(&ts::SYNC) => Self::Ts(Box::default()),
                _ if bytes.get(4..8).is_some_and(is_box) => Self::Mp4(Reader::new(), None),
                _ => {
                    let text = "the segments are neither MPEG-TS nor fragmented MP4";
                    return Err(EndReason::Refused(text.to_owned()));
                }
            };
        }
        match self {
            Self::Unknown => Ok(Vec::new()),
            Self::Ts(demuxer) => {
                demuxer.push(bytes, now);
                Ok(demuxed(demuxer))
            }
            Self::Mp4(reader, _) => {
                let read = reader.segment(bytes, now);
                read.map_err(|error| EndReason::Protocol(error.to_string()))
            }
        }
    }

    /// Nothing follows: what is in hand.
    fn finish(&mut self) -> Vec<Item> {
        match self {
            Self::Ts(demuxer) => {
                demuxer.finish(Instant::now());
                demuxed(demuxer)
            }
            Self::Unknown | Self::Mp4(..) => Vec::new(),
        }
    }
}

fn demuxed(demuxer: &mut Demuxer) -> Vec<Item> {
    let items = std::iter::from_fn(|| demuxer.poll());
    items
        .map(|item| match item {
            Demuxed::Track(track) => Item::Track(track),
            Demuxed::Frame(frame) => Item::Frame(frame),
        })
        .collect()
}
