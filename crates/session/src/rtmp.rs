//! RTMP server sessions: a connection negotiates as a task on its shard; a publisher stays one, a
//! viewer becomes an entry of the shard's engine.

mod publisher;
mod viewer;

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtmp::server::{ConnectRequest, Event, PlayRequest, Session as Machine, StreamId};
use bytes::BytesMut;
use flv::amf0::Value;
use hub::gate::{Action, Credentials};
use hub::{
    Address, Dialect, EndReason, Form, Kind, Packaging, Protocol, Role, StreamName, Waiting,
};
use media::Codec;
use net::{Begin, Conn, Connecting, Joining, Shard};
use tokio::io::AsyncWriteExt;
use tokio::time::{Sleep, timeout};
use tracing::{debug, info, warn};

use crate::admission::Admitted;
use crate::context::{Context, Tenure};
use crate::via;
use publisher::Publishers;
use viewer::Viewer;

/// How long a peer may take to read what we answer while it negotiates or publishes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Leads one connection from its handshake to its end.
pub async fn serve(shard: Rc<Shard>, context: Arc<Context>, connecting: Connecting) {
    let peer = connecting.peer();
    let admitted = match context.admission.admit(peer) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            warn!(%peer, proto = "RTMP", %refusal, "connection refused");
            return;
        }
    };
    let settings = context.settings.load_full();
    let kind = Kind { protocol: Protocol::Rtmp, role: Role::PubSub };
    let mut tenure = context.open(kind, Some(peer));
    let conn = match connecting.establish(settings.rtmp.protocol.handshake_timeout).await {
        Ok(conn) => conn,
        Err(error) => {
            tenure.end(&EndReason::Io(error.to_string()));
            return;
        }
    };
    let seed = context.seed();
    let machine = Machine::new(Arc::new(settings.rtmp.protocol.clone()), seed, Instant::now());
    let state =
        State { context, machine, tenure, _admitted: admitted, connected: Connected::default() };
    Connection { shard, conn, state }.run().await;
}

/// A connection that negotiates or publishes.
struct Connection {
    shard: Rc<Shard>,
    conn: Conn,
    state: State,
}

/// What a connection keeps when it becomes a viewer and back.
struct State {
    context: Arc<Context>,
    machine: Machine,
    tenure: Tenure,
    _admitted: Admitted,
    connected: Connected,
}

/// What of a connect command is asked for later; the rest would only fill memory.
#[derive(Default)]
struct Connected {
    app: String,
    tc_url: String,
    /// The client announced that it decodes Enhanced RTMP's codecs.
    enhanced: bool,
    multitrack: bool,
    /// The servers that the request has come through.
    via: String,
}

/// A player whose stream is waited for.
struct Pending {
    stream: StreamId,
    waiting: Waiting,
    until: Instant,
}

/// What the connection's loop woke up for.
enum Wake {
    Input(Result<(), ::rtmp::Error>),
    Closed,
    Failed(std::io::Error),
    Disposed(EndReason),
    Timer,
    StreamReady,
    StreamAbsent,
}

impl Connection {
    /// Runs until the connection ends or becomes a viewer.
    async fn run(mut self) {
        let mut publishers = Publishers::default();
        match self.negotiate(&mut publishers).await {
            Ok(ready) => self.become_viewer(&ready),
            Err(reason) => {
                drop(publishers);
                self.finish(&reason).await;
            }
        }
    }

    /// Negotiates and publishes, until the stream of a player is there.
    async fn negotiate(&mut self, publishers: &mut Publishers) -> Result<Pending, EndReason> {
        let mut pending: Option<Pending> = None;
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            self.work_off_events(publishers, &mut pending).await?;
            self.transmit().await?;
            match self.wake(pending.as_ref(), timer.as_mut()).await {
                Wake::Input(result) => {
                    if let Err(error) = result {
                        // What arrived before the fault still counts.
                        self.work_off_events(publishers, &mut pending).await?;
                        return Err(protocol_reason(&error));
                    }
                }
                Wake::Closed => return Err(EndReason::PeerClosed),
                Wake::Failed(error) => return Err(error.into()),
                Wake::Disposed(reason) => {
                    publishers.say_goodbye(&mut self.state.machine, &reason);
                    return Err(reason);
                }
                Wake::Timer => {
                    let now = Instant::now();
                    self.state.machine.handle_timeout(now).map_err(|e| protocol_reason(&e))?;
                }
                Wake::StreamReady => {
                    if let Some(ready) = pending.take() {
                        return match self.check_codecs(&ready) {
                            Ok(()) => Ok(ready),
                            Err(text) => {
                                Err(self.refuse(&ready, "NetStream.Play.Failed", text).await?)
                            }
                        };
                    }
                }
                Wake::StreamAbsent => {
                    if let Some(absent) = pending.take() {
                        let name = absent.waiting.name();
                        let text = format!("stream {name} is not published here");
                        let code = "NetStream.Play.StreamNotFound";
                        return Err(self.refuse(&absent, code, text).await?);
                    }
                }
            }
        }
    }

    /// Tells a player why it gets nothing; what its session ends with.
    async fn refuse(
        &mut self,
        pending: &Pending,
        code: &str,
        text: String,
    ) -> Result<EndReason, EndReason> {
        let rejected = self.state.machine.reject_play(pending.stream, code, &text, Instant::now());
        rejected.map_err(|e| protocol_reason(&e))?;
        self.transmit().await?;
        Ok(EndReason::Refused(text))
    }

    /// Whether RTMP has a place for anything that a stream consists of; why not.
    fn check_codecs(&self, ready: &Pending) -> Result<(), String> {
        let (name, tracks) = (ready.waiting.name(), ready.waiting.stream().lock().tracks().clone());
        let left_out = self.packaging(ready.stream).left_out(&tracks);
        let codecs = Codec::list(&left_out);
        if !left_out.is_empty() && left_out.len() == tracks.tracks.len() {
            return Err(format!(
                "RTMP has no place for {codecs}, which {name} consists of; play it over RTSP"
            ));
        }
        if !left_out.is_empty() {
            let session = self.state.tenure.session().id();
            warn!(%session, stream = %name, "RTMP has no place for {codecs}: left out");
        }
        Ok(())
    }

    fn packaging(&self, stream: StreamId) -> Packaging {
        let chunk_size = self.state.context.settings.load().rtmp.protocol.chunk_size.get();
        let (stream_id, dialect) = (stream.0, self.state.dialect());
        Packaging::Rtmp { chunk_size, stream_id, dialect, publishes: false }
    }

    async fn wake(&mut self, pending: Option<&Pending>, mut timer: Pin<&mut Sleep>) -> Wake {
        let machine = &mut self.state.machine;
        // Every message puts the time-out off. The timer is left as it is then, and finds out when
        // it goes off too early: that is cheaper than to set it for every message.
        let deadline = machine.poll_timeout().map(tokio::time::Instant::from);
        if let Some(deadline) = deadline
            && (timer.is_elapsed() || deadline < timer.deadline())
        {
            timer.as_mut().reset(deadline);
        }
        let session = self.state.tenure.session();
        let ready = async {
            match pending {
                Some(pending) => {
                    let until = pending.until.into();
                    tokio::time::timeout_at(until, pending.waiting.ready()).await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = std::future::poll_fn(|cx| session.poll_disposed(cx)) => Wake::Disposed(reason),
            ready = ready => if ready.is_ok() { Wake::StreamReady } else { Wake::StreamAbsent },
            read = self.shard.read(&mut self.conn, |bytes| {
                machine.handle_input(bytes, Instant::now())
            }) => match read {
                Ok(Some(result)) => Wake::Input(result),
                Ok(None) => Wake::Closed,
                Err(error) => Wake::Failed(error),
            },
            () = timer, if deadline.is_some() => Wake::Timer,
        }
    }

    async fn work_off_events(
        &mut self,
        publishers: &mut Publishers,
        pending: &mut Option<Pending>,
    ) -> Result<(), EndReason> {
        while let Some(event) = self.state.machine.poll_event() {
            match event {
                Event::Connect(request) => self.state.connect(*request).await?,
                Event::Publish { stream, name, .. } => {
                    publishers.begin(&mut self.state, stream, &name).await?;
                }
                Event::Play { stream, request } => {
                    let publishes = !publishers.is_empty();
                    self.state.play(stream, &request, publishes, pending).await?;
                }
                Event::StreamEnded { stream } => {
                    publishers.end(stream, &self.state.tenure);
                    if let Some(gone) = pending.take_if(|pending| pending.stream == stream) {
                        self.state.tenure.leave(gone.waiting.name(), &EndReason::PeerClosed);
                    }
                }
                Event::Audio { .. } | Event::Video { .. } | Event::Data { .. } => {
                    publishers.media(event, Instant::now())?;
                }
                // A player that still waits for its stream has nothing to control.
                Event::Pause { .. }
                | Event::Seek { .. }
                | Event::ReceiveAudio { .. }
                | Event::ReceiveVideo { .. }
                | Event::SetBufferLength { .. } => {}
            }
        }
        Ok(())
    }

    /// Sends what the machine wants sent.
    async fn transmit(&mut self) -> Result<(), EndReason> {
        let mut written = 0;
        while let Some(bytes) = self.state.machine.poll_transmit() {
            written += bytes.len() as u64;
            match timeout(WRITE_TIMEOUT, self.conn.write_all(&bytes)).await {
                Ok(result) => result.map_err(EndReason::from)?,
                Err(_) => return Err(EndReason::Timeout("the peer reads no answers")),
            }
        }
        if written > 0 && self.conn.is_tls() {
            match timeout(WRITE_TIMEOUT, self.conn.flush()).await {
                Ok(result) => result.map_err(EndReason::from)?,
                Err(_) => return Err(EndReason::Timeout("the peer reads no answers")),
            }
        }
        self.state.count(written);
        Ok(())
    }

    fn become_viewer(mut self, pending: &Pending) {
        let (settings, packaging) =
            (self.state.context.settings.load(), self.packaging(pending.stream));
        if let Err(error) = self.state.machine.accept_play(pending.stream, Instant::now()) {
            self.state.tenure.end(&protocol_reason(&error));
            return;
        }
        let mut own = Vec::new();
        while let Some(bytes) = self.state.machine.poll_transmit() {
            own.push(bytes);
        }
        let session = self.state.tenure.session().clone();
        info!(session = %session.id(), stream = %pending.waiting.name(), "plays");
        self.shard.join(Joining {
            conn: self.conn,
            stream: pending.waiting.stream().clone(),
            packaging,
            flush_after: settings.rtmp.flush_after,
            begin: Begin::Cached,
            own,
            outlets: Vec::new(),
            peer: Box::new(Viewer::new(self.state, pending.stream)),
            session,
        });
    }

    /// The connection is over: its last words go out, then it is closed.
    async fn finish(mut self, reason: &EndReason) {
        let mut last_words = BytesMut::new();
        while let Some(bytes) = self.state.machine.poll_transmit() {
            last_words.extend_from_slice(&bytes);
        }
        self.state.count(last_words.len() as u64);
        self.state.tenure.end(reason);
        self.conn.close(last_words.freeze()).await;
    }
}

impl State {
    async fn connect(&mut self, request: ConnectRequest) -> Result<(), EndReason> {
        debug!(
            session = %self.tenure.session().id(),
            app = without_query(&request.app),
            tc_url = without_query(&request.tc_url),
            software = request.flash_ver,
            "connects"
        );
        let session = self.tenure.session();
        let address = Address {
            url: request.tc_url.clone(),
            app_name: request.app.clone(),
            ..Address::default()
        };
        session.assume(Role::PubSub, address);
        self.context.events.emit(&hub::Event::Connected {
            session: session.clone(),
            app: request.app.clone(),
            flash_ver: request.flash_ver.clone(),
            tc_url: request.tc_url.clone(),
        });
        let asked = self.tenure.ask(Action::Connect, None, Credentials::default());
        if let Err(denial) = asked.await {
            let text = denial.to_string();
            // A machine that cannot say it has nobody to say it to.
            let _ = self.machine.reject_connect("NetConnection.Connect.Rejected", &text);
            return Err(EndReason::Refused(text));
        }
        self.connected = Connected {
            enhanced: request.capabilities.can_decode(Codec::H265),
            multitrack: request.capabilities.multitrack(),
            via: via::read(request.object.get(via::FIELD).and_then(Value::as_str)),
            app: request.app,
            tc_url: request.tc_url,
        };
        self.machine.accept_connect(Instant::now()).map_err(|e| protocol_reason(&e))
    }

    /// A player asks for a stream: it is accepted when the stream is there.
    async fn play(
        &mut self,
        stream: StreamId,
        request: &PlayRequest,
        publishes: bool,
        pending: &mut Option<Pending>,
    ) -> Result<(), EndReason> {
        let refused = if pending.is_some() || publishes {
            Err("one connection plays one stream, and does not publish beside it".to_owned())
        } else {
            match self.resolve(&request.name, Role::Sub) {
                Ok(name) => {
                    let asked = self.tenure.ask(Action::Play, Some(&name), Credentials::default());
                    let joined = asked.await.and_then(|()| self.tenure.join(&name));
                    match joined {
                        Ok(()) => Ok(name),
                        Err(denial) => {
                            let (text, now) = (denial.to_string(), Instant::now());
                            let code = "NetStream.Play.Failed";
                            // A machine that cannot say it has nobody to say it to.
                            let _ = self.machine.reject_play(stream, code, &text, now);
                            return Err(EndReason::Refused(text));
                        }
                    }
                }
                Err(text) => Err(text),
            }
        };
        match refused {
            Ok(name) => {
                let wait = self.context.settings.load().wait_for_stream;
                let waiting = self.context.registry.watch(&name);
                let until = Instant::now() + waiting.patience(wait);
                *pending = Some(Pending { stream, waiting, until });
                Ok(())
            }
            Err(text) => {
                let rejected = self.machine.reject_play(
                    stream,
                    "NetStream.Play.Failed",
                    &text,
                    Instant::now(),
                );
                rejected.map_err(|e| protocol_reason(&e))
            }
        }
    }

    /// What the peer calls the stream, as a key; the session now has an address and a role.
    fn resolve(&mut self, name: &str, role: Role) -> Result<StreamName, String> {
        let Connected { app, tc_url, .. } = &self.connected;
        let address = ::rtmp::url::normalise(app, name).map_err(|e| e.to_string())?;
        let settings = self.context.settings.load();
        let key = settings.stream_name(&address.app, &address.name).map_err(|e| e.to_string())?;
        let address = Address {
            url: format!("{}/{name}", tc_url.trim_end_matches('/')),
            app_name: address.app,
            stream_name: address.name,
            raw_query: address.query,
            via: self.connected.via.clone(),
        };
        self.tenure.session().assume(role, address);
        Ok(key)
    }

    /// What the viewer said it understands, or what the settings assume.
    fn dialect(&self) -> Dialect {
        let settings = self.context.settings.load();
        let Connected { enhanced, multitrack, .. } = self.connected;
        Dialect {
            form: if enhanced { Form::Enhanced } else { settings.rtmp.form },
            multitrack,
            color_info: enhanced,
        }
    }

    fn count(&self, written: u64) {
        let session = self.tenure.session();
        let totals = session.statistics();
        session.set_totals(self.machine.received(), totals.written_bytes + written);
    }
}

/// Queries may hold secrets, which no log should.
fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

/// What the protocol machine found wrong, as the reason of a session's end.
pub(crate) fn protocol_reason(error: &::rtmp::Error) -> EndReason {
    match error {
        ::rtmp::Error::TimedOut(what) => EndReason::Timeout(what),
        ::rtmp::Error::Refused { code, description } => {
            EndReason::Refused(format!("{code}: {description}"))
        }
        other => EndReason::Protocol(other.to_string()),
    }
}
