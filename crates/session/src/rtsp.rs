//! RTSP server sessions: a connection negotiates as a task on its shard; a publisher stays one, a
//! viewer becomes an entry of the shard's engine. A viewer of groups stays a task, too: it is sent
//! nothing itself.

mod attending;
mod carried;
mod multicast;
mod publisher;
mod receive;
mod remote;
mod setup;
mod state;
mod viewer;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtsp::message::Status;
use ::rtsp::server::{Event, Session as Machine};
use hub::EndReason;
use net::{Begin, Conn, Connecting, Ports, Shard};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::admission::Admitted;
use crate::context::Context;
use attending::Attending;
use multicast::Groups;
use publisher::Publisher;
use receive::{Receiving, offer};
pub(crate) use remote::{pull, push};
use setup::Playing;
use state::{Pending, State};

/// How long a peer may take to read what we answer while it negotiates or publishes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Rules of RTSP sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtspSettings {
    /// Limits and time-outs of the protocol, and who may play and publish.
    pub protocol: ::rtsp::server::Config,
    /// Whether packets may go as datagrams.
    pub udp: bool,
    /// Whether packets may go to groups, if there are any.
    pub multicast: bool,
    /// Bytes of a packet at most that we make, its RTP header included.
    pub packet_size: u16,
    /// How long a packet that came as a datagram waits for those before it.
    pub reorder_window: Duration,
    /// Whether frames are passed on of which a part was lost.
    pub pass_torn: bool,
    /// How long a publisher may send nothing before it is taken for dead.
    pub publisher_idle: Duration,
    /// Where viewers over the connection begin; those of datagrams begin at the next key frame
    /// instead of with a burst of cached ones.
    pub begin: Begin,
    /// How long packets may wait for others, if not as long as the stream says.
    pub flush_after: Option<Duration>,
}

impl Default for RtspSettings {
    fn default() -> Self {
        Self {
            protocol: ::rtsp::server::Config::default(),
            udp: true,
            multicast: false,
            packet_size: 1_200,
            reorder_window: Duration::from_millis(100),
            pass_torn: false,
            publisher_idle: Duration::from_secs(30),
            begin: Begin::Cached,
            flush_after: None,
        }
    }
}

/// What all RTSP connections of a server share.
#[derive(Debug)]
pub struct Rtsp {
    pub(crate) context: Arc<Context>,
    ports: Arc<Ports>,
    groups: Option<Arc<Groups>>,
    tunnels: Mutex<carried::Tunnels>,
}

impl Rtsp {
    /// RTSP over the streams of `context`, with datagrams on `ports` and to `groups`.
    #[must_use]
    pub fn new(context: Arc<Context>, ports: Ports, groups: Option<net::Groups>) -> Arc<Self> {
        Self::sharing(context, Arc::new(ports), groups.map(Groups::new))
    }

    fn sharing(context: Arc<Context>, ports: Arc<Ports>, groups: Option<Arc<Groups>>) -> Arc<Self> {
        Arc::new(Self { context, ports, groups, tunnels: Mutex::default() })
    }

    /// The same ports for the sessions of another context.
    pub(crate) fn beside(&self, context: Arc<Context>) -> Arc<Self> {
        Self::sharing(context, self.ports.clone(), self.groups.clone())
    }
}

/// Leads one connection from its first byte to its end.
pub async fn serve(shard: Rc<Shard>, rtsp: Arc<Rtsp>, connecting: Connecting) {
    let Some((conn, admitted)) = accept(&rtsp, connecting).await else { return };
    let local = conn.local_addr().ok();
    Connection::new(shard, rtsp, conn, Rc::new(admitted), local).run().await;
}

/// Leads one connection of RTSP in a WebSocket.
pub async fn serve_websocket(shard: Rc<Shard>, rtsp: Arc<Rtsp>, connecting: Connecting) {
    let Some((conn, admitted)) = accept(&rtsp, connecting).await else { return };
    carried::websocket(shard, rtsp, conn, admitted).await;
}

async fn accept(rtsp: &Rtsp, connecting: Connecting) -> Option<(Conn, Admitted)> {
    let peer = connecting.peer();
    let admitted = match rtsp.context.admission.admit(peer) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            warn!(%peer, proto = "RTSP", %refusal, "connection refused");
            return None;
        }
    };
    let limit = rtsp.context.settings.load().rtsp.protocol.setup_timeout;
    match connecting.establish(limit).await {
        Ok(conn) => Some((conn, admitted)),
        Err(error) => {
            debug!(%peer, proto = "RTSP", %error, "connection failed");
            None
        }
    }
}

/// A connection that negotiates.
struct Connection {
    shard: Rc<Shard>,
    conn: Conn,
    state: State,
}

/// What the peer is doing.
enum Purpose {
    Unknown,
    Playing(Box<Playing>),
    /// It plays what is sent to groups.
    Attending(Box<Attending>),
    Publishing(Box<Publisher>),
}

impl Purpose {
    /// Whether an address is that of a track, and there are others.
    fn has_more_than(&self, uri: &str) -> bool {
        match self {
            Self::Unknown => false,
            Self::Playing(playing) => playing.has_more_than(uri),
            Self::Attending(attending) => attending.has_more_than(uri),
            Self::Publishing(publisher) => publisher.has_more_than(uri),
        }
    }

    /// What is received, if the peer publishes and has said that it begins.
    fn receiving(&mut self) -> Option<&mut Receiving> {
        match self {
            Self::Publishing(publisher) => publisher.receiving(),
            _ => None,
        }
    }
}

/// What the connection's loop woke up for.
enum Wake {
    Input(Result<(), ::rtsp::Error>),
    Closed,
    Failed(std::io::Error),
    Disposed(EndReason),
    Timer,
    StreamReady,
    StreamAbsent,
    Datagrams(Result<(), EndReason>),
}

/// What follows from an event.
enum Next {
    GoOn,
    /// The viewer joins its stream; the answer to `PLAY` is still to be given.
    Play(Box<Playing>),
    /// The connection becomes half a tunnel.
    Tunnel {
        post: bool,
        cookie: String,
    },
}

impl Connection {
    fn new(
        shard: Rc<Shard>,
        rtsp: Arc<Rtsp>,
        conn: Conn,
        admitted: Rc<Admitted>,
        local: Option<SocketAddr>,
    ) -> Self {
        let settings = rtsp.context.settings.load_full();
        let seed = rtsp.context.seed();
        let machine = Machine::new(settings.rtsp.protocol.clone(), seed, Instant::now());
        let (tenure, read, written) = (None, 0, 0);
        let state = State { rtsp, settings, machine, admitted, local, tenure, read, written };
        Self { shard, conn, state }
    }

    /// Runs until the connection ends, becomes a viewer, or half a tunnel.
    async fn run(mut self) {
        match self.negotiate().await {
            Ok(Next::Play(playing)) => playing.join(self),
            Ok(Next::Tunnel { post, cookie }) => {
                Box::pin(carried::tunnel(self, post, cookie)).await;
            }
            Ok(Next::GoOn) => self.finish(&EndReason::PeerClosed).await,
            Err(reason) => self.finish(&reason).await,
        }
    }

    async fn negotiate(&mut self) -> Result<Next, EndReason> {
        let mut purpose = Purpose::Unknown;
        let mut pending: Option<Pending> = None;
        loop {
            while let Some(event) = self.state.machine.poll_event() {
                match self.answer(event, &mut purpose, &mut pending).await? {
                    Next::GoOn => {}
                    next => return Ok(next),
                }
            }
            if purpose.receiving().is_some_and(|receiving| receiving.has_left()) {
                // It may still ask for TEARDOWN, or announce something else.
                purpose = Purpose::Unknown;
                self.state.end(&EndReason::PeerClosed);
                self.state.machine.begin_anew(Instant::now());
            }
            self.transmit(&mut purpose).await?;
            if self.state.machine.has_ended() {
                return Ok(Next::GoOn);
            }
            match self.wake(&mut purpose, pending.as_ref()).await {
                Wake::Input(result) => {
                    if let Err(error) = result {
                        // What arrived before the fault still counts.
                        while let Some(event) = self.state.machine.poll_event() {
                            self.answer(event, &mut purpose, &mut pending).await?;
                        }
                        return Err(protocol_reason(&error));
                    }
                }
                Wake::Closed => return Err(EndReason::PeerClosed),
                Wake::Failed(error) => return Err(error.into()),
                Wake::Disposed(reason) => return Err(reason),
                Wake::Datagrams(result) => result?,
                Wake::Timer => {
                    let now = Instant::now();
                    if let Purpose::Attending(attending) = &mut purpose {
                        attending.handle_timeout(&mut self.state, now);
                    }
                    let timeout = self.state.machine.handle_timeout(now);
                    timeout.map_err(|error| protocol_reason(&error))?;
                    if let Some(receiving) = purpose.receiving() {
                        receiving.handle_timeout(now)?;
                    }
                }
                Wake::StreamReady => {
                    if let Some(ready) = pending.take() {
                        self.state.machine.excuse(ready.since.elapsed());
                        self.state.stream_is_ready(ready, &mut purpose);
                    }
                }
                Wake::StreamAbsent => {
                    if let Some(absent) = pending.take() {
                        self.state.machine.excuse(absent.since.elapsed());
                        let name = absent.waiting.name();
                        let text = format!("Stream {name} Not Found");
                        self.state.machine.reject(Status::NOT_FOUND, &text);
                        let text = format!("stream {name} is not published here");
                        self.state.end(&EndReason::Refused(text));
                    }
                }
            }
        }
    }

    /// Does what the peer wants. What is sent to groups is led from here; the rest by the state.
    async fn answer(
        &mut self,
        event: Event,
        purpose: &mut Purpose,
        pending: &mut Option<Pending>,
    ) -> Result<Next, EndReason> {
        let begins = matches!(event, Event::Play)
            && matches!(purpose, Purpose::Playing(playing) if playing.has_seats());
        if begins && let Purpose::Playing(playing) = std::mem::replace(purpose, Purpose::Unknown) {
            *purpose = Purpose::Attending(Box::new(playing.attend(&self.state)));
        }
        match (purpose, event) {
            (Purpose::Attending(attending), Event::Play) => {
                attending.play(&mut self.state, &self.shard)?;
            }
            (Purpose::Attending(attending), event) if !matches!(event, Event::Teardown { .. }) => {
                attending.answer(&mut self.state, &event);
            }
            (purpose, event) => return self.state.answer(event, purpose, pending).await,
        }
        Ok(Next::GoOn)
    }

    async fn wake(&mut self, purpose: &mut Purpose, pending: Option<&Pending>) -> Wake {
        let machine = &mut self.state.machine;
        let deadline = match purpose {
            Purpose::Publishing(publisher) => {
                let receiving =
                    publisher.receiving().and_then(|receiving| receiving.poll_timeout());
                machine.poll_timeout().into_iter().chain(receiving).min()
            }
            Purpose::Attending(attending) => {
                machine.poll_timeout().into_iter().chain([attending.poll_timeout()]).min()
            }
            _ => machine.poll_timeout(),
        };
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let ready = async {
            match pending {
                Some(pending) => {
                    let until = pending.until.into();
                    tokio::time::timeout_at(until, pending.waiting.ready()).await
                }
                None => std::future::pending().await,
            }
        };
        let disposed = async {
            match &self.state.tenure {
                Some(tenure) => poll_fn(|cx| tenure.session().poll_disposed(cx)).await,
                None => std::future::pending().await,
            }
        };
        let datagrams = async {
            match purpose.receiving() {
                Some(receiving) => receiving.receive().await,
                None => std::future::pending().await,
            }
        };
        let read = &mut self.state.read;
        let input = self.shard.read(&mut self.conn, |bytes| {
            *read += bytes.len() as u64;
            machine.handle_input(bytes, Instant::now())
        });
        // Chance says which comes first of what a peer may send without end: neither its requests
        // nor its datagrams wait for the end of the others.
        let traffic = async {
            tokio::select! {
                input = input => match input {
                    Ok(Some(result)) => Wake::Input(result),
                    Ok(None) => Wake::Closed,
                    Err(error) => Wake::Failed(error),
                },
                result = datagrams => Wake::Datagrams(result),
            }
        };
        tokio::select! {
            biased;
            reason = disposed => Wake::Disposed(reason),
            ready = ready => if ready.is_ok() { Wake::StreamReady } else { Wake::StreamAbsent },
            () = timer => Wake::Timer,
            wake = traffic => wake,
        }
    }

    /// Sends what the machine and a publisher's reception have to say.
    async fn transmit(&mut self, purpose: &mut Purpose) -> Result<(), EndReason> {
        let words: Vec<_> = std::iter::from_fn(|| self.state.machine.poll_transmit()).collect();
        if let Some(receiving) = purpose.receiving() {
            for report in receiving.reports(Instant::now()) {
                self.state.written += offer(&mut self.conn, &report).await? as u64;
            }
            receiving.publish_totals(self.state.read, self.state.written);
        }
        for bytes in words {
            self.state.written += bytes.len() as u64;
            match timeout(WRITE_TIMEOUT, self.conn.write_all(&bytes)).await {
                Ok(sent) => sent?,
                Err(_) => return Err(EndReason::Timeout("the peer reads no answers")),
            }
        }
        Ok(())
    }

    /// The connection is over: its last words go out, then it is closed.
    async fn finish(mut self, reason: &EndReason) {
        let mut words = bytes::BytesMut::new();
        while let Some(bytes) = self.state.machine.poll_transmit() {
            words.extend_from_slice(&bytes);
        }
        self.state.end(reason);
        if !matches!(reason, EndReason::Io(_)) {
            self.conn.close(words.freeze()).await;
        }
    }
}

fn protocol_reason(error: &::rtsp::Error) -> EndReason {
    match error {
        ::rtsp::Error::TimedOut(what) => EndReason::Timeout(what),
        other => EndReason::Protocol(other.to_string()),
    }
}
