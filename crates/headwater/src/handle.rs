//! What a program does with a running server.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::operations::Operations;
use control::receivers::Receivers;
use control::relays::Relays;
use hub::{EndReason, NameError, Repairs, StreamName, StreamState, Summary};
use media::TrackSet;
use session::customize::{self, Reader};
use tokio::runtime::Handle as Runtime;

use crate::events::{Receiver, SessionInfo, Teller};
use crate::held::Held;
use crate::operations::House;
use crate::publish::{FlvPublisher, FramePublisher, PublishError};
use crate::receive::{Opened, ReceiveError, ReceiveOrder, Received};
use crate::record::{RecordError, RecordFormat, Recording};
use crate::relay::{PullOrder, RelayError, Relayed};
use crate::server::Addresses;
use crate::subscribe::{Options, SubscribeError, Subscriber};

/// A stream, as it was at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// Whether somebody publishes it.
    pub state: StreamState,
    /// Who does.
    pub publisher: Option<SessionInfo>,
    /// Its tracks.
    pub tracks: Arc<TrackSet>,
    /// Those who watch it, pushes to other servers not counted.
    pub viewers: usize,
    /// Frames taken in since it began.
    pub frames: u64,
    /// Pictures of the last seconds, the newest second first.
    pub video_fps: Vec<u32>,
    /// Pictures in the last whole GOP.
    pub gop_frames: u32,
    /// Bytes held in its caches.
    pub cached_bytes: usize,
    /// What was mended of its publisher's time stamps.
    pub repairs: Repairs,
}

/// What a program does with a running server: publish, read, look and control. From
/// [`Server::handle`](crate::Server::handle); may be cloned, and used from any thread.
///
/// Streams are named by paths such as `live/camera`; a name without an application gets that of
/// `server.default_app`. Once the server has stopped, there is nothing to see any more, and nothing
/// begins.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    house: Arc<House>,
    runtime: Runtime,
    teller: Arc<Teller>,
    addresses: Addresses,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("addresses", &self.0.addresses).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(
        house: Arc<House>,
        runtime: Runtime,
        teller: Arc<Teller>,
        addresses: Addresses,
    ) -> Self {
        Self(Arc::new(Inner { house, runtime, teller, addresses }))
    }

    /// The server has stopped.
    pub(crate) fn close(&self) {
        self.0.teller.close();
    }

    /// Where the server listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// Whether the server takes publishers and viewers: it is not stopping.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.house.is_ready()
    }

    /// The stream that a path means.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn stream_name(&self, path: &str) -> Result<StreamName, NameError> {
        self.0.house.name(path)
    }

    /// Publishes frames as a stream, until what is returned is dropped.
    ///
    /// # Errors
    /// [`PublishError`] says why it cannot be.
    pub fn publish(&self, stream: &str) -> Result<FramePublisher, PublishError> {
        let name = self.free(stream)?;
        let inner = customize::FramePublisher::new(&self.0.house.context, &name)?;
        Ok(FramePublisher::new(&self.0.runtime, inner))
    }

    /// Publishes FLV tags, or payloads of RTMP messages, as a stream, until what is returned is
    /// dropped.
    ///
    /// # Errors
    /// [`PublishError`] says why it cannot be.
    pub fn publish_flv(&self, stream: &str) -> Result<FlvPublisher, PublishError> {
        let name = self.free(stream)?;
        let inner = customize::Publisher::new(&self.0.house.context, &name)?;
        Ok(FlvPublisher::new(&self.0.runtime, inner))
    }

    fn free(&self, stream: &str) -> Result<StreamName, PublishError> {
        if !self.is_running() {
            return Err(PublishError::Stopped);
        }
        Ok(self.stream_name(stream)?)
    }

    /// Reads the frames of a stream from its newest key frame on; waits for the stream if there is
    /// none yet.
    ///
    /// # Errors
    /// [`SubscribeError`] says why there is nothing to read.
    pub async fn subscribe(
        &self,
        stream: &str,
        options: Options,
    ) -> Result<Subscriber, SubscribeError> {
        if !self.is_running() {
            return Err(SubscribeError::Ended(EndReason::Shutdown));
        }
        let name = self.stream_name(stream)?;
        let Options { wait, max_bytes } = options;
        let (seat, reader) = Reader::join(&self.0.house.context, &name, wait, max_bytes).await?;
        let seat = Held::new(&self.0.runtime, seat.session().clone(), seat);
        Ok(Subscriber::new(name, reader, Some(seat)))
    }

    /// A queue of what happens from now on.
    #[must_use]
    pub fn events(&self) -> Receiver {
        self.0.teller.receiver()
    }

    /// All streams, by name; those included that are only waited for.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamInfo> {
        let summaries = self.0.house.context.registry.summaries(Instant::now());
        summaries.into_iter().map(|summary| self.info(summary)).collect()
    }

    /// One stream, if there is one of that name.
    #[must_use]
    pub fn stream(&self, stream: &str) -> Option<StreamInfo> {
        let found = self.0.house.context.registry.find(&self.stream_name(stream).ok()?)?;
        let summary = found.lock().summary(Instant::now());
        Some(self.info(summary))
    }

    fn info(&self, summary: Summary) -> StreamInfo {
        StreamInfo {
            viewers: self.0.house.context.sessions.group(&summary.name).viewers(),
            publisher: summary.publisher.as_deref().map(SessionInfo::of),
            name: summary.name,
            state: summary.state,
            tracks: summary.tracks,
            frames: summary.frames,
            video_fps: summary.video_fps,
            gop_frames: summary.gop_frames,
            cached_bytes: summary.cached_bytes,
            repairs: summary.repairs,
        }
    }

    /// All sessions: publishers, viewers, relays, and those that have not said what they want.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let all = self.0.house.context.sessions.all();
        all.iter().map(|session| SessionInfo::of(session)).collect()
    }

    /// Ends a session by its id, such as `RTMPPUBSUB1`. `false` if there is none.
    pub fn kick(&self, session: &str) -> bool {
        let found = self.0.house.context.sessions.find(session);
        let Some(session) = found else { return false };
        session.dispose(EndReason::Kicked);
        true
    }

    /// Pulls a stream from another server; answers with the id of the first session.
    ///
    /// # Errors
    /// [`RelayError`] says why not.
    pub fn pull(&self, stream: &str, order: &PullOrder) -> Result<String, RelayError> {
        let name = self.0.house.stream(stream)?;
        self.0.house.pull(name, order).map(|session| session.to_string())
    }

    /// Pulls a stream no more. The id of the session that carries it, if there is one.
    ///
    /// # Errors
    /// [`RelayError::Absent`] if it was not pulled.
    pub fn stop_pull(&self, stream: &str) -> Result<Option<String>, RelayError> {
        let name = self.0.house.stream(stream)?;
        Ok(self.0.house.stop_pull(&name)?.map(|session| session.to_string()))
    }

    /// All pulls, by stream: those of the configuration, too.
    #[must_use]
    pub fn pulls(&self) -> Vec<Relayed> {
        self.0.house.pulls()
    }

    /// Pushes a stream to another server (`rtmp[s]://`, `rtsp[s]://`), whenever it is there.
    ///
    /// # Errors
    /// [`RelayError`] says why not.
    pub fn push(&self, stream: &str, to: &str) -> Result<(), RelayError> {
        self.0.house.push(self.0.house.stream(stream)?, to, None)
    }

    /// Pushes a stream there no more, or nowhere. How many pushes end.
    ///
    /// # Errors
    /// [`RelayError::Absent`] if there was none.
    pub fn stop_push(&self, stream: &str, to: Option<&str>) -> Result<usize, RelayError> {
        self.0.house.stop_push(&self.0.house.stream(stream)?, to)
    }

    /// All pushes, by stream: those of the configuration, too.
    #[must_use]
    pub fn pushes(&self) -> Vec<Relayed> {
        self.0.house.pushes()
    }

    /// Opens a port for a stream that a device of GB/T 28181 is to send (PS over RTP), or connects to
    /// it: for programs with a signalling of their own.
    ///
    /// # Errors
    /// [`ReceiveError`] says why not.
    pub fn receive(&self, stream: &str, order: &ReceiveOrder) -> Result<Opened, ReceiveError> {
        let name = self.stream_name(stream);
        let name = name.map_err(|error| ReceiveError::Order(error.to_string()))?;
        self.0.house.receive(name, order)
    }

    /// The device has said that its packets have another SSRC than the one it was told.
    ///
    /// # Errors
    /// [`ReceiveError::Absent`] if the stream is not received, [`ReceiveError::Taken`] if another one
    /// has the SSRC.
    pub fn set_ssrc(&self, stream: &str, ssrc: u32) -> Result<(), ReceiveError> {
        let name = self.stream_name(stream).map_err(|_| ReceiveError::Absent)?;
        self.0.house.set_ssrc(&name, ssrc)
    }

    /// Ends the reception of a stream: its port is free then.
    ///
    /// # Errors
    /// [`ReceiveError::Absent`] if it is not received.
    pub fn stop_receiving(&self, stream: &str) -> Result<(), ReceiveError> {
        let name = self.stream_name(stream).map_err(|_| ReceiveError::Absent)?;
        self.0.house.stop_receiving(&name)
    }

    /// What is received, by stream.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.0.house.receivers()
    }

    /// Begins to record a stream that is published, to where the configuration says. Waits until
    /// the first file is there, which takes a key frame; a stream that brings none in five seconds
    /// is recorded from its next one on. It is begun by the call; to wait is for its outcome.
    ///
    /// # Errors
    /// [`RecordError`] says why it cannot be.
    pub fn record(
        &self,
        stream: &str,
        format: RecordFormat,
    ) -> impl Future<Output = Result<(), RecordError>> + Send + use<> {
        let begun = self.stream_name(stream).map(|name| self.0.house.record(&name, format));
        async move { begun.map_err(|_| RecordError::Absent)?.await }
    }

    /// Records it no more: the file is completed.
    ///
    /// # Errors
    /// [`RecordError::Not`] when it was not recorded.
    pub fn stop_recording(&self, stream: &str, format: RecordFormat) -> Result<(), RecordError> {
        let name = self.stream_name(stream).map_err(|_| RecordError::Not)?;
        self.0.house.stop_recording(&name, format)
    }

    /// What a stream is being recorded as.
    #[must_use]
    pub fn recorded(&self, stream: &str) -> Vec<RecordFormat> {
        let name = self.stream_name(stream).ok();
        name.map_or_else(Vec::new, |name| self.0.house.recorded(&name))
    }

    /// The files of recordings, the newest first.
    pub async fn recordings(&self) -> Vec<Recording> {
        self.0.house.recordings().await
    }

    /// Takes no connections from an address any more, for ever without a duration; sessions from
    /// there end. `false` if too many are blocked already.
    pub fn block(&self, address: IpAddr, duration: Option<Duration>) -> bool {
        self.0.house.block(address.to_canonical().into(), duration)
    }

    /// Takes connections from there again; `false` if it was not blocked.
    pub fn unblock(&self, address: IpAddr) -> bool {
        self.0.house.unblock(address.to_canonical().into())
    }
}
