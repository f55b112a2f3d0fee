//! RTMP client sessions.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtmp::auth;
use ::rtmp::client::{Config, Event, Session as Machine};
use ::rtmp::url::Target;
use bytes::{Bytes, BytesMut};
use hub::{Dialect, EndReason, Form, Packaging, Role, Session, StreamName};
use media::Codec;
use net::{Action, Begin, Conn, Joining, Peer, Shard};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{MAX_REDIRECTIONS, Remote};
use crate::context::{Context, Tenure};
use crate::ingest::Ingest;
use crate::rtmp::protocol_reason;
use crate::via;

/// How long a server may take to read what we say before media flows.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that it takes to be let in: the "adobe" authentication needs three.
const MAX_CONNECTIONS: usize = 4;

/// Pulls a stream. Why it ended.
pub(super) async fn pull(
    shard: &Rc<Shard>,
    context: &Arc<Context>,
    tenure: &Tenure,
    name: &StreamName,
    remote: &Remote,
    target: Target,
) -> EndReason {
    let mut pulling =
        match Call::establish(shard, context, tenure, remote, target, Role::Pull).await {
            Ok((call, _)) => Pulling { call, context, name, ingest: None, heard: Instant::now() },
            Err(reason) => return reason,
        };
    let reason = match pulling.run(remote).await {
        Ok(never) => match never {},
        Err(reason) => reason,
    };
    pulling.call.hang_up().await;
    reason
}

/// Pushes a stream. Why it ended.
pub(super) async fn push(
    shard: &Rc<Shard>,
    context: &Arc<Context>,
    tenure: &Tenure,
    name: &StreamName,
    remote: &Remote,
    target: Target,
) -> EndReason {
    let settings = context.settings.load_full();
    let session = tenure.session();
    let waiting = match super::await_stream(context, session, name).await {
        Ok(waiting) => waiting,
        Err(reason) => return reason,
    };
    let established = Call::establish(shard, context, tenure, remote, target, Role::Push).await;
    let (call, stream_id) = match established {
        Ok(established) => established,
        Err(reason) => return reason,
    };
    let stream = waiting.stream().clone();
    let dialect = Dialect { form: Form::AsPublished, multitrack: false, color_info: true };
    let chunk_size = settings.rtmp.protocol.chunk_size.get();
    let packaging = Packaging::Rtmp { chunk_size, stream_id, dialect, publishes: true };
    let left_out = packaging.left_out(&stream.lock().tracks().clone());
    if !left_out.is_empty() {
        let codecs = Codec::list(&left_out);
        warn!(session = %session.id(), stream = %name, "RTMP has no place for {codecs}: left out");
    }
    info!(session = %session.id(), stream = %name, to = %remote.url.authority(), "pushes");
    let (done, ended) = oneshot::channel();
    session.set_totals(call.machine.received(), call.written);
    tenure.carry(name);
    let pusher = Pusher { machine: call.machine, actions: VecDeque::new(), done: Some(done) };
    shard.join(Joining {
        conn: call.conn,
        stream,
        packaging,
        flush_after: settings.rtmp.flush_after,
        begin: Begin::Cached,
        own: Vec::new(),
        outlets: Vec::new(),
        peer: Box::new(pusher),
        session: session.clone(),
    });
    // Only its failure would drop it without a word.
    ended.await.unwrap_or(EndReason::Panicked)
}

/// A connection to a server.
struct Call<'a> {
    shard: &'a Rc<Shard>,
    conn: Conn,
    machine: Machine,
    session: &'a Arc<Session>,
    written: u64,
}

impl<'a> Call<'a> {
    /// Connects until the server lets us play or publish; on which message stream.
    async fn establish(
        shard: &'a Rc<Shard>,
        context: &Context,
        tenure: &'a Tenure,
        remote: &Remote,
        target: Target,
        role: Role,
    ) -> Result<(Self, u32), EndReason> {
        let session = tenure.session();
        let protocol = &context.settings.load().rtmp.protocol;
        let config = Config {
            chunk_size: protocol.chunk_size,
            capabilities: Some(protocol.capabilities.clone()),
            setup_timeout: remote.patience,
            idle_timeout: remote.silence,
            property: (!remote.via.is_empty()).then(|| (via::FIELD, remote.via.clone())),
            ..Config::default()
        };
        let (mut target, mut current) = (target.clone(), target);
        let (mut connections, mut redirections) = (0, 0);
        while connections < MAX_CONNECTIONS {
            let Target { host, port, secure, .. } = &current;
            let conn = super::connect(session, remote, host, *port, *secure).await?;
            let make = match role {
                Role::Push => Machine::push,
                _ => Machine::pull,
            };
            let machine = make(current.clone(), config.clone(), context.seed(), Instant::now());
            let mut call = Self { shard, conn, machine, session, written: 0 };
            connections += 1;
            match call.set_up().await? {
                Event::Ready { stream } => return Ok((call, stream)),
                Event::Redirected { to } => {
                    call.conn.close(Bytes::new()).await;
                    redirections += 1;
                    if redirections > MAX_REDIRECTIONS {
                        let text = "the server sent us elsewhere more than";
                        return Err(EndReason::Refused(format!("{text} {MAX_REDIRECTIONS} times")));
                    }
                    target = target
                        .redirected(&to)
                        .map_err(|error| EndReason::Refused(format!("sent elsewhere: {error}")))?;
                    info!(session = %session.id(), to = target.host, "the server sends us elsewhere");
                    current = target.clone();
                    connections = 0;
                }
                Event::Refused { code, description } => {
                    let [a, b, c, d, ..] = context.seed().to_be_bytes();
                    let nonce = u32::from_be_bytes([a, b, c, d]);
                    call.conn.close(Bytes::new()).await;
                    current = auth::answer(&target, &description, nonce)
                        .ok_or_else(|| EndReason::Refused(format!("{code}: {description}")))?;
                }
                _ => {}
            }
        }
        let text = "the server asks for name and password again and again: are they right?";
        Err(EndReason::Refused(text.to_owned()))
    }

    /// Waits for the server's decision.
    async fn set_up(&mut self) -> Result<Event, EndReason> {
        loop {
            while let Some(event) = self.machine.poll_event() {
                match event {
                    Event::Ready { .. } | Event::Redirected { .. } | Event::Refused { .. } => {
                        return Ok(event);
                    }
                    Event::Ended { .. } => return Err(EndReason::PeerClosed),
                    _ => {}
                }
            }
            self.step(None).await?;
        }
    }

    /// Sends what there is to say, then waits for something to happen, and takes it; at `until`
    /// there is nothing to wait for any more.
    async fn step(&mut self, until: Option<Instant>) -> Result<(), EndReason> {
        let mut said = false;
        while let Some(bytes) = self.machine.poll_transmit() {
            self.written += bytes.len() as u64;
            said = true;
            timely(self.conn.write_all(&bytes)).await?;
        }
        if said && self.conn.is_tls() {
            timely(self.conn.flush()).await?;
        }
        let deadline = self.machine.poll_timeout().into_iter().chain(until).min();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let (machine, session) = (&mut self.machine, self.session);
        tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
            input = self.shard.read(&mut self.conn, |bytes| {
                machine.handle_input(bytes, Instant::now())
            }) => match input? {
                Some(result) => result.map_err(|error| protocol_reason(&error))?,
                None => return Err(EndReason::PeerClosed),
            },
            () = timer => {
                machine.handle_timeout(Instant::now()).map_err(|error| protocol_reason(&error))?;
            }
        }
        self.session.set_totals(self.machine.received(), self.written);
        Ok(())
    }

    /// Takes leave.
    async fn hang_up(mut self) {
        // Its messages are short.
        let _ = self.machine.finish();
        self.conn.close(words(&mut self.machine)).await;
    }
}

async fn timely(write: impl Future<Output = std::io::Result<()>>) -> Result<(), EndReason> {
    match timeout(WRITE_TIMEOUT, write).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(EndReason::Timeout("the server reads nothing")),
    }
}

fn words(machine: &mut Machine) -> Bytes {
    let mut words = BytesMut::new();
    while let Some(bytes) = machine.poll_transmit() {
        words.extend_from_slice(&bytes);
    }
    words.freeze()
}

/// A stream on its way in.
struct Pulling<'a> {
    call: Call<'a>,
    context: &'a Arc<Context>,
    name: &'a StreamName,
    /// From the first media on: servers say that they play what nobody publishes, too.
    ingest: Option<Ingest>,
    /// When there was media last.
    heard: Instant,
}

impl Pulling<'_> {
    async fn run(&mut self, remote: &Remote) -> Result<std::convert::Infallible, EndReason> {
        loop {
            while let Some(event) = self.call.machine.poll_event() {
                self.handle(event)?;
            }
            let silent_at = self.heard + remote.silence;
            if Instant::now() >= silent_at {
                return Err(EndReason::Timeout("the server sends no media"));
            }
            self.call.step(Some(silent_at)).await?;
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), EndReason> {
        let now = Instant::now();
        match event {
            Event::Audio { timestamp, payload } => {
                self.ingest(now)?.audio(timestamp, &payload, now)
            }
            Event::Video { timestamp, payload } => {
                self.ingest(now)?.video(timestamp, &payload, now)
            }
            Event::Data { timestamp, payload } => {
                self.ingest(now)?.script(timestamp, &payload, now)
            }
            Event::Ended { .. } => return Err(EndReason::PeerClosed),
            Event::Refused { code, description } => {
                return Err(EndReason::Refused(format!("{code}: {description}")));
            }
            Event::Ready { .. } | Event::Status { .. } | Event::Redirected { .. } => Ok(()),
        }
        .map_err(|_| EndReason::TakenOver)
    }

    fn ingest(&mut self, now: Instant) -> Result<&mut Ingest, EndReason> {
        self.heard = now;
        let ingest = match self.ingest.take() {
            Some(ingest) => ingest,
            None => {
                let session = self.call.session;
                let publication = super::publish(self.context, session, self.name)?;
                Ingest::new(publication, session.id().clone())
            }
        };
        Ok(self.ingest.insert(ingest))
    }
}

/// A server that we push to, in the engine.
struct Pusher {
    machine: Machine,
    actions: VecDeque<Action>,
    done: Option<oneshot::Sender<EndReason>>,
}

impl Peer for Pusher {
    fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), EndReason> {
        self.machine.handle_input(bytes, now).map_err(|error| protocol_reason(&error))?;
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Refused { code, description } => {
                    return Err(EndReason::Refused(format!("{code}: {description}")));
                }
                Event::Ended { .. } => return Err(EndReason::PeerClosed),
                _ => {}
            }
        }
        let words = std::iter::from_fn(|| self.machine.poll_transmit()).map(Action::Send);
        self.actions.extend(words);
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), EndReason> {
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn farewell(&mut self, _reason: &EndReason) -> Bytes {
        // Its messages are short.
        let _ = self.machine.finish();
        words(&mut self.machine)
    }

    fn released(self: Box<Self>, _conn: Conn, _remains: Bytes, _shard: &Rc<Shard>) {
        // It never asks to leave.
    }

    fn ended(&mut self, reason: &EndReason) {
        if let Some(done) = self.done.take() {
            // Whoever waited for it may be gone.
            let _ = done.send(reason.clone());
        }
    }
}
