//! RTSP for the tools: a small server without listeners inside the program, which pulls a stream
//! from a server or pushes one to it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use flv::tag::{self, Tag};
use hub::{EndReason, Registry, StreamName, StreamSettings, Tap, Tapped};
use media::{FrameKind, TrackKind, TrackSet};
use net::{Egress, Ports, Shards};
use rtsp::client::TransportChoice;
use session::customize::Publisher;
use session::record::{Format, Muxer};
use session::remote::{Client, Remote, RemoteUrl, Tls};
use session::{Context, Rtsp, Settings};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::source::Access;

/// How long a server may take to connect, and for each answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the first frames may take once the server plays.
const FIRST_FRAMES: Duration = Duration::from_secs(30);

/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Frames that wait to be taken.
const MAX_QUEUE: usize = 256 << 20;

/// Groups of pictures that wait for a server to be ready.
const MAX_GOPS: usize = 64;

/// What RTP packets travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Transport {
    #[default]
    Tcp,
    Udp,
    Auto,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "auto" => Ok(Self::Auto),
            other => Err(format!("{other:?} is neither \"tcp\", \"udp\" nor \"auto\"")),
        }
    }
}

/// Whether an address is one of RTSP.
pub(super) fn is_rtsp(url: &str) -> bool {
    matches!(url.split_once("://"), Some(("rtsp" | "rtsps", _)))
}

/// The server inside.
struct House {
    context: Arc<Context>,
    rtsp: Arc<Rtsp>,
    shards: Shards,
    name: StreamName,
}

impl House {
    fn build(settings: StreamSettings) -> Result<Self> {
        let settings = Arc::new(settings);
        let registry = Registry::new(Arc::new(move |_| settings.clone()), 1);
        let context = Context::new(registry, Settings::default());
        let name = context.settings.load().stream_name("tool", "stream")?;
        let rtsp = Rtsp::new(context.clone(), Ports::new(0..=0), None);
        let shards = Shards::start(1, Egress::Epoll).context("cannot start a thread")?;
        Ok(Self { context, rtsp, shards, name })
    }

    /// Ends all sessions.
    fn end(&self) {
        let sessions = self.context.sessions.all();
        for session in sessions {
            session.dispose(EndReason::Shutdown);
        }
    }
}

fn remote(url: &str, access: &Access) -> Result<Remote> {
    let url: RemoteUrl = url.parse()?;
    if url.is_secure() {
        // What is wrong with the certificates is said at once.
        access.client()?;
    }
    let transport = match access.rtsp_transport {
        Transport::Tcp => TransportChoice::Tcp,
        Transport::Udp => TransportChoice::Udp,
        Transport::Auto => TransportChoice::UdpThenTcp,
    };
    Ok(Remote { transport, patience: PATIENCE, ..Remote::new(url, Tls::new(access.trust())) })
}

/// A stream of a server as FLV tags, by way of the sessions of a server inside: RTSP, and what comes
/// over HTTP and is not FLV.
pub(super) struct Pulled {
    tap: Tap,
    tracks: Arc<TrackSet>,
    muxer: Option<Muxer>,
    reader: tag::Reader,
    ended: oneshot::Receiver<EndReason>,
    /// Last: its threads end with it.
    house: House,
}

impl Pulled {
    /// Calls the server, and waits until it plays.
    pub(super) async fn open(url: &str, access: &Access) -> Result<Self> {
        let house = House::build(StreamSettings::default())?;
        let remote = remote(url, access)?;
        // Without the password.
        let url = remote.url.to_string();
        let waiting = house.context.registry.watch(&house.name);
        let tap = Tap::open(waiting.stream(), MAX_QUEUE);
        let (tell, mut ended) = oneshot::channel();
        let client = Client::pull(&house.context, house.name.clone(), remote);
        let rtsp = house.rtsp.clone();
        house
            .shards
            .place(move |shard| async move {
                // Nobody listens any more if the tool has gone.
                let _ = tell.send(client.run(shard, rtsp).await);
            })
            .await;
        tokio::select! {
            ready = timeout(FIRST_FRAMES, waiting.ready()) => {
                ensure!(ready.is_ok(), "{url} sends nothing that can be shown");
            }
            reason = &mut ended => bail!("{url} does not play: {}", told(reason.ok())),
        }
        let reader = tag::Reader::new(tag::MAX_BODY);
        Ok(Self { tap, tracks: Arc::default(), muxer: None, reader, ended, house })
    }

    /// The next tag; `None` at the end. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Tag>> {
        loop {
            if let Some(tag) = self.reader.poll()? {
                return Ok(Some(tag));
            }
            let tapped = tokio::select! {
                biased;
                tapped = self.tap.next() => tapped,
                reason = &mut self.ended => {
                    return match reason {
                        Ok(EndReason::PeerClosed | EndReason::StreamEnded) => Ok(None),
                        other => bail!("the stream broke off: {}", told(other.ok())),
                    };
                }
            };
            self.take(tapped);
        }
    }

    fn take(&mut self, tapped: Tapped) {
        let mut out = BytesMut::new();
        match tapped {
            Tapped::Tracks { tracks, .. } => {
                if let Some(muxer) = &mut self.muxer {
                    muxer.set_tracks(&tracks, &mut out);
                }
                self.tracks = tracks;
            }
            Tapped::Frame(frame) => {
                let begins = frame.is_key() || !self.tracks.has(TrackKind::Video);
                if self.muxer.is_none() && begins && frame.kind != FrameKind::Config {
                    self.muxer = Muxer::begin(Format::Flv, &self.tracks, &frame, &mut out);
                }
                if let Some(muxer) = &mut self.muxer {
                    muxer.push(&frame, &mut out);
                }
            }
            Tapped::Lost | Tapped::End(_) => {}
        }
        self.reader.push(&out.freeze());
    }

    /// Takes leave of the server.
    pub(super) async fn finish(self) {
        self.house.end();
        // A server that does not hear us go will notice.
        let _ = timeout(LEAVE, self.ended).await;
    }
}

/// A stream on its way to an RTSP server.
pub(super) struct Pushing {
    publisher: Publisher,
    ended: oneshot::Receiver<EndReason>,
    /// Last: its threads end with it.
    house: House,
}

impl Pushing {
    /// Begins to call the server; tags may be sent at once.
    pub(super) async fn open(url: &str, access: &Access) -> Result<Self> {
        // The server gets all that comes until it is ready.
        let house = House::build(StreamSettings { gops: MAX_GOPS, ..StreamSettings::default() })?;
        let remote = Remote { from_start: true, ..remote(url, access)? };
        let publisher = Publisher::new(&house.context, &house.name)?;
        let (tell, ended) = oneshot::channel();
        let client = Client::push(&house.context, house.name.clone(), remote);
        let rtsp = house.rtsp.clone();
        house
            .shards
            .place(move |shard| async move {
                // Nobody listens any more if the tool has gone.
                let _ = tell.send(client.run(shard, rtsp).await);
            })
            .await;
        Ok(Self { publisher, ended, house })
    }

    /// Sends a tag.
    pub(super) fn send(&mut self, tag: &Tag) -> Result<()> {
        if let Ok(reason) = self.ended.try_recv() {
            bail!("the server does not take the stream: {reason}");
        }
        self.publisher.feed(tag)?;
        Ok(())
    }

    /// Sends what is left, and takes leave.
    pub(super) async fn finish(self) -> Result<()> {
        drop(self.publisher);
        self.house.context.registry.end_all(&EndReason::StreamEnded);
        match timeout(LEAVE, self.ended).await {
            Ok(Ok(EndReason::StreamEnded | EndReason::PeerClosed)) | Err(_) => Ok(()),
            Ok(reason) => bail!("the server does not take the stream: {}", told(reason.ok())),
        }
    }
}

fn told(reason: Option<EndReason>) -> String {
    reason.unwrap_or(EndReason::Panicked).to_string()
}
