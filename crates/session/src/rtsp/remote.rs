//! RTSP client sessions: a stream is pulled from another server, or pushed to one.
//!
//! A server that refuses datagrams, or whose datagrams do not arrive, is asked again for packets
//! on the connection; redirections are followed, up to a limit.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtp::format::Format;
use ::rtp::packet::Header;
use ::rtsp::client::{Config, Event, Purpose, Session as Machine, TransportChoice};
use ::rtsp::message::Status;
use ::rtsp::transport::{Lower, Transport};
use ::rtsp::url::Url;
use bytes::{Bytes, BytesMut};
use hub::{
    Channel, Channels, EndReason, Framing, Packaging, PublishError, RtpSource, SecondPublisher,
    Session, StreamName, Targets, Told,
};
use media::{TrackKind, TrackSet};
use net::{Action, Conn, Datagrams, Joining, Outlet, Pair, Peer, Shard};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::receive::{Publish, Receiving, Way, offer as offer_report};
use super::setup::{connect, description, offer, seed, still_fits};
use super::viewer::{Part, goodbyes};
use super::{Rtsp, WRITE_TIMEOUT, protocol_reason};
use crate::context::{Context, Tenure};
use crate::remote::{MAX_REDIRECTIONS, Remote, await_stream, connect as connect_to, publish};

/// How long datagrams are waited for before the connection is used instead.
const DATAGRAM_SILENCE: Duration = Duration::from_secs(5);

/// Packets, and their bytes, that are kept until all tracks are agreed on: what a server sends in a
/// few round trips.
const MAX_EARLY: usize = 1_024;
const MAX_EARLY_BYTES: usize = 1 << 20;

/// Pulls a stream from another server and publishes it here, until either ends. Why it ended.
pub(crate) async fn pull(
    shard: &Rc<Shard>,
    rtsp: &Arc<Rtsp>,
    tenure: &Tenure,
    name: &StreamName,
    remote: &Remote,
    url: Url,
) -> EndReason {
    follow(tenure, remote, url, async |remote, url| {
        let mut pulling = Pulling {
            call: Call::connect(shard, rtsp, remote, url, Purpose::Play, tenure).await?,
            name,
            silence: remote.silence,
            targets: remote.targets,
            formats: Vec::new(),
            tracks: Vec::new(),
            receiving: None,
            early: Vec::new(),
            early_bytes: 0,
            silent_at: None,
        };
        let outcome = pulling.run().await;
        drop(pulling.receiving.take());
        pulling.call.hang_up().await;
        outcome
    })
    .await
}

/// Pushes a stream of this server to another one, until either ends. Why it ended.
pub(crate) async fn push(
    shard: &Rc<Shard>,
    rtsp: &Arc<Rtsp>,
    tenure: &Tenure,
    name: &StreamName,
    remote: &Remote,
    url: Url,
) -> EndReason {
    let settings = rtsp.context.settings.load_full();
    let session = tenure.session();
    let waiting = match await_stream(&rtsp.context, session, name).await {
        Ok(waiting) => waiting,
        Err(reason) => return reason,
    };
    let tracks = waiting.stream().lock().tracks().clone();
    let offered = match offer(name, &tracks, Some(session.id())) {
        Ok(offered) => offered,
        Err(text) => return EndReason::Refused(text),
    };
    let said = description(name, &tracks, &offered, "IN IP4 0.0.0.0");
    follow(tenure, remote, url, async |remote, url| {
        let purpose = Purpose::Publish(said.clone());
        let mut call = Call::connect(shard, rtsp, remote, url, purpose, tenure).await?;
        let mut parts = Vec::new();
        let mut pairs = Vec::new();
        loop {
            while let Some(event) = call.machine.poll_event() {
                match event {
                    Event::PortsWanted { media } => call.offer_ports(media)?,
                    Event::TrackReady { media, transport } => {
                        let Some(track) = offered.get(media).copied() else { continue };
                        let told = tracks.get(track).and_then(|track| Told::of(track));
                        let Some(told) = told else { continue };
                        let source = RtpSource::of(track, seed(name));
                        let own = u8::try_from(media * 2).unwrap_or(u8::MAX - 1);
                        let (rtp, rtcp) = transport.interleaved.unwrap_or((own, own + 1));
                        let channel = Channel { track, rtp, rtcp, told };
                        parts.push(Part { channel, source });
                        if let Some(pair) = call.take_pair(media, &transport) {
                            let Some(ports) = transport.server_port else {
                                return Err(Failure::Refused("the server names no ports".into()));
                            };
                            let size = settings.rtsp.packet_size;
                            connect(&pair, ports, call.peer, size).map_err(EndReason::from)?;
                            pairs.push(pair);
                        }
                    }
                    Event::Started { .. } => {
                        let stream = waiting.stream().clone();
                        let to = Joined { stream, tracks: tracks.clone(), seed: seed(name) };
                        tenure.carry(name);
                        return Ok(call.send(to, parts, pairs).await);
                    }
                    other => call.unexpected(other)?,
                }
            }
            call.step(None).await?;
        }
    })
    .await
}

/// Why a call to a server did not come to its end.
enum Failure {
    /// It is over.
    Ended(EndReason),
    /// The server does not do what is asked for.
    Refused(String),
    /// It is to be called elsewhere.
    Elsewhere(Url),
    /// Datagrams do not come, or are refused when some were agreed on already.
    NoDatagrams,
}

impl From<EndReason> for Failure {
    fn from(reason: EndReason) -> Self {
        Self::Ended(reason)
    }
}

/// Calls a server, and where it sends us.
async fn follow(
    tenure: &Tenure,
    remote: &Remote,
    mut url: Url,
    call: impl AsyncFn(&Remote, &Url) -> Result<EndReason, Failure>,
) -> EndReason {
    let (mut remote, mut redirections) = (remote.clone(), 0);
    let session = tenure.session().id();
    loop {
        match call(&remote, &url).await {
            Ok(reason) | Err(Failure::Ended(reason)) => return reason,
            Err(Failure::Refused(text)) => return EndReason::Refused(text),
            Err(Failure::Elsewhere(next)) if redirections < MAX_REDIRECTIONS => {
                info!(%session, to = next.host, "the server sends us elsewhere");
                redirections += 1;
                url = next;
            }
            Err(Failure::Elsewhere(_)) => {
                let text = format!("the server sent us elsewhere more than {redirections} times");
                return EndReason::Refused(text);
            }
            Err(Failure::NoDatagrams) => {
                warn!(%session, "no datagrams come: packets are asked for over TCP");
                remote.transport = TransportChoice::Tcp;
            }
        }
    }
}

/// A connection to a server.
struct Call<'a> {
    shard: &'a Rc<Shard>,
    rtsp: &'a Arc<Rtsp>,
    conn: Conn,
    machine: Machine,
    session: Arc<Session>,
    /// The server's address, and ours towards it.
    peer: SocketAddr,
    local: SocketAddr,
    /// Whether datagrams may be given up.
    may_fall_back: bool,
    /// Sockets by the number of the medium.
    pairs: Vec<(usize, Pair)>,
    read: u64,
    written: u64,
}

impl<'a> Call<'a> {
    async fn connect(
        shard: &'a Rc<Shard>,
        rtsp: &'a Arc<Rtsp>,
        remote: &Remote,
        url: &Url,
        purpose: Purpose,
        tenure: &Tenure,
    ) -> Result<Self, Failure> {
        let session = tenure.session().clone();
        let conn = connect_to(&session, remote, &url.host, url.port, url.tls);
        let conn = conn.await?;
        let config = Config {
            transport: remote.transport,
            answer_timeout: remote.patience,
            via: Some(remote.via.clone()).filter(|via| !via.is_empty()),
            ..Config::new(url.clone(), purpose)
        };
        let peer = conn.peer_addr().map_err(EndReason::from)?;
        let local = conn.local_addr().map_err(EndReason::from)?;
        Ok(Self {
            shard,
            rtsp,
            conn,
            machine: Machine::new(config, Instant::now()),
            session,
            peer,
            local,
            may_fall_back: remote.transport == TransportChoice::UdpThenTcp,
            pairs: Vec::new(),
            read: 0,
            written: 0,
        })
    }

    /// Answers [`Event::PortsWanted`].
    fn offer_ports(&mut self, media: usize) -> Result<(), Failure> {
        let pair = self.rtsp.ports.pair(self.local.ip()).map_err(EndReason::from)?;
        let port = |socket: &Datagrams| socket.port().map_err(EndReason::from);
        let ports = (port(&pair.rtp)?, port(&pair.rtcp)?);
        self.pairs.retain(|(known, _)| *known != media);
        self.pairs.push((media, pair));
        self.machine.offer_ports(media, ports, Instant::now());
        Ok(())
    }

    /// The sockets of a medium, if datagrams were agreed on.
    fn take_pair(&mut self, media: usize, transport: &Transport) -> Option<Pair> {
        let at = self.pairs.iter().position(|(known, _)| *known == media)?;
        let (_, pair) = self.pairs.swap_remove(at);
        (transport.lower == Lower::Udp).then_some(pair)
    }

    /// What an event means that the caller has no use for.
    fn unexpected(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Redirect(url) => Err(Failure::Elsewhere(url)),
            Event::Ended(text) => {
                info!(session = %self.session.id(), %text, "the server has ended the session");
                Err(EndReason::PeerClosed.into())
            }
            _ => Ok(()),
        }
    }

    /// Sends what there is to say, then waits for something to happen, and takes it.
    async fn step(&mut self, mut receiving: Option<&mut Receiving>) -> Result<(), Failure> {
        let words: Vec<_> = std::iter::from_fn(|| self.machine.poll_transmit()).collect();
        if let Some(receiving) = &mut receiving {
            for report in receiving.reports(Instant::now()) {
                self.written += offer_report(&mut self.conn, &report).await? as u64;
            }
            receiving.publish_totals(self.read, self.written);
        }
        for bytes in words {
            self.written += bytes.len() as u64;
            match timeout(WRITE_TIMEOUT, self.conn.write_all(&bytes)).await {
                Ok(sent) => sent.map_err(EndReason::from)?,
                Err(_) => return Err(EndReason::Timeout("the server reads no requests").into()),
            }
        }
        let waiting = receiving.as_ref().and_then(|receiving| receiving.poll_timeout());
        let deadline = self.machine.poll_timeout().into_iter().chain(waiting).min();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let datagrams = async {
            match &mut receiving {
                Some(receiving) => receiving.receive().await,
                None => std::future::pending().await,
            }
        };
        let (machine, read, session) = (&mut self.machine, &mut self.read, &self.session);
        let input = self.shard.read(&mut self.conn, |bytes| {
            *read += bytes.len() as u64;
            machine.handle_input(bytes, Instant::now())
        });
        // Chance says which comes first of what a server may send without end.
        let may_fall_back = self.may_fall_back;
        let traffic = async {
            tokio::select! {
                result = datagrams => result.map_err(Failure::from),
                input = input => match input.map_err(EndReason::from)? {
                    // The first refusal of datagrams is dealt with on this connection.
                    Some(Err(::rtsp::Error::Refused { status, .. }))
                        if may_fall_back && status == Status::UNSUPPORTED_TRANSPORT.0 =>
                    {
                        Err(Failure::NoDatagrams)
                    }
                    Some(result) => result.map_err(|error| client_reason(&error).into()),
                    None => Err(EndReason::PeerClosed.into()),
                },
            }
        };
        tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason.into()),
            () = timer => {}
            result = traffic => return result,
        }
        let now = Instant::now();
        self.machine.handle_timeout(now).map_err(|error| client_reason(&error))?;
        match receiving {
            Some(receiving) => Ok(receiving.handle_timeout(now)?),
            None => Ok(()),
        }
    }

    /// Takes leave.
    async fn hang_up(mut self) {
        self.machine.teardown();
        let mut words = BytesMut::new();
        while let Some(bytes) = self.machine.poll_transmit() {
            words.extend_from_slice(&bytes);
        }
        self.conn.close(words.freeze()).await;
    }

    /// Becomes a viewer of the shard's engine, whose packets go to the server. Why it ended.
    async fn send(self, to: Joined, parts: Vec<Part>, pairs: Vec<Pair>) -> EndReason {
        let settings = self.rtsp.context.settings.load();
        let rules = &settings.rtsp;
        let framing = if pairs.is_empty() { Framing::Interleaved } else { Framing::Datagrams };
        let mut channels = Channels::default();
        let mut outlets = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if !channels.set(part.channel) {
                return EndReason::Protocol("the server gives a channel to two tracks".into());
            }
            if let Some(pair) = pairs.get(index) {
                outlets.push(Outlet { channel: part.channel.rtp, socket: pair.rtp.clone() });
                outlets.push(Outlet { channel: part.channel.rtcp, socket: pair.rtcp.clone() });
            }
        }
        let size = rules.packet_size;
        let packaging = Packaging::Rtp { channels, framing, seed: to.seed, size };
        let transport = if pairs.is_empty() { "TCP" } else { "UDP" };
        info!(session = %self.session.id(), transport, "pushes");
        let (done, ended) = oneshot::channel();
        self.session.set_totals(self.read, self.written);
        let stream = to.stream.clone();
        let pusher = Pusher {
            machine: self.machine,
            to,
            parts,
            framing,
            pairs,
            actions: VecDeque::new(),
            done: Some(done),
        };
        self.shard.join(Joining {
            conn: self.conn,
            stream,
            packaging,
            flush_after: rules.flush_after,
            begin: rules.begin,
            own: Vec::new(),
            outlets,
            peer: Box::new(pusher),
            session: self.session,
        });
        // Only its failure would drop it without a word.
        ended.await.unwrap_or(EndReason::Panicked)
    }
}

fn client_reason(error: &::rtsp::Error) -> EndReason {
    match error {
        ::rtsp::Error::Refused { .. } => EndReason::Refused(error.to_string()),
        other => protocol_reason(other),
    }
}

/// A stream on its way in.
struct Pulling<'a> {
    call: Call<'a>,
    name: &'a StreamName,
    /// How long packets may stay away.
    silence: Duration,
    targets: Targets,
    /// What is wanted of the description: the number of the medium, and what it is.
    formats: Vec<(usize, Format)>,
    tracks: Vec<(usize, Way)>,
    receiving: Option<Receiving>,
    /// Packets that came before all tracks were agreed on, with their channels.
    early: Vec<(u8, Bytes)>,
    early_bytes: usize,
    /// When the silence of datagrams is not believed any more.
    silent_at: Option<Instant>,
}

impl Pulling<'_> {
    async fn run(&mut self) -> Result<EndReason, Failure> {
        loop {
            while let Some(event) = self.call.machine.poll_event() {
                self.handle(event)?;
            }
            if self.receiving.as_ref().is_some_and(Receiving::has_left) {
                return Ok(EndReason::PeerClosed);
            }
            let step = self.call.step(self.receiving.as_mut());
            match self.silent_at {
                Some(at) => {
                    let stepped = tokio::time::timeout_at(at.into(), step).await;
                    if self.receiving.as_ref().is_some_and(Receiving::has_heard) {
                        self.silent_at = None;
                    } else if stepped.is_err() {
                        return Err(Failure::NoDatagrams);
                    }
                    stepped.unwrap_or(Ok(()))?;
                }
                None => step.await?,
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        let now = Instant::now();
        match event {
            Event::Described(description) => self.choose(&description.media, now),
            Event::PortsWanted { media } => self.call.offer_ports(media),
            Event::TrackReady { media, transport } => {
                let way = match self.call.take_pair(media, &transport) {
                    Some(pair) => {
                        let source = transport.source.as_ref().and_then(|at| at.parse().ok());
                        // Some name an address of their own network.
                        let source = source.filter(|source| self.targets.admit(*source));
                        let peer = self.call.peer.ip();
                        for host in [Some(peer), source].into_iter().flatten() {
                            open_the_way(&pair, host, &transport);
                        }
                        Way::Datagrams { pair, peer, source }
                    }
                    None => {
                        let (rtp, rtcp) = transport.interleaved.unwrap_or_default();
                        Way::Interleaved { rtp, rtcp }
                    }
                };
                self.tracks.push((media, way));
                Ok(())
            }
            Event::Started { starts } => {
                self.begin(now)?;
                let by_datagram =
                    self.tracks.iter().any(|(_, way)| matches!(way, Way::Datagrams { .. }));
                if by_datagram && self.call.may_fall_back {
                    self.silent_at = Some(now + DATAGRAM_SILENCE);
                }
                for start in starts {
                    let index = self.tracks.iter().position(|(media, _)| *media == start.media);
                    if let (Some(index), Some(timestamp), Some(receiving)) =
                        (index, start.timestamp, &mut self.receiving)
                    {
                        receiving.starts_at(index, timestamp);
                    }
                }
                Ok(())
            }
            // Packets may come before the answer to `PLAY`.
            Event::Data { channel, payload } => {
                if self.tracks.len() >= self.formats.len() {
                    self.begin(now)?;
                }
                match &mut self.receiving {
                    Some(receiving) => Ok(receiving.interleaved(channel, &payload, now)?),
                    None => {
                        self.keep(channel, payload);
                        Ok(())
                    }
                }
            }
            other => self.call.unexpected(other),
        }
    }

    /// Chooses what can be taken in of what the server has, if the stream's name is free.
    fn choose(&mut self, media: &[::rtp::sdp::Media], now: Instant) -> Result<(), Failure> {
        // What only goes to a camera (its loudspeaker) is marked so.
        let is_ours = |m: &&::rtp::sdp::Media| m.attributes.iter().all(|a| a.name != "sendonly");
        for (number, medium) in media.iter().enumerate().filter(|(_, medium)| is_ours(medium)) {
            match Format::of(medium) {
                Ok(format) if format.kind != TrackKind::Data => self.formats.push((number, format)),
                Ok(_) => {}
                Err(error) => {
                    let session = self.call.session.id();
                    warn!(%session, number, %error, "a medium cannot be read and is left out");
                }
            }
        }
        if self.formats.is_empty() {
            let text = "the server describes nothing that can be read";
            return Err(Failure::Refused(text.to_owned()));
        }
        // It becomes its publisher when media come.
        if is_occupied(&self.call.rtsp.context, self.name) {
            let error = PublishError::Occupied(self.name.clone());
            return Err(Failure::Refused(error.to_string()));
        }
        let wanted: Vec<_> = self.formats.iter().map(|(number, _)| *number).collect();
        let set_up = self.call.machine.setup(&wanted, now);
        set_up.map_err(|error| client_reason(&error).into())
    }

    /// Keeps a packet that nobody can take yet.
    fn keep(&mut self, channel: u8, payload: Bytes) {
        let size = self.early_bytes + payload.len();
        if size <= MAX_EARLY_BYTES && self.early.len() < MAX_EARLY {
            self.early_bytes = size;
            self.early.push((channel, payload));
        }
    }

    /// Takes packets from now on.
    fn begin(&mut self, now: Instant) -> Result<(), Failure> {
        if self.receiving.is_some() {
            return Ok(());
        }
        let tracks = self.tracks.iter().filter_map(|(media, way)| {
            let (_, format) = self.formats.iter().find(|(number, _)| number == media)?;
            Some((format.clone(), way.clone()))
        });
        let (tracks, session) = (tracks.collect(), self.call.session.clone());
        let (context, name) = (self.call.rtsp.context.clone(), self.name.clone());
        let publisher = session.clone();
        let publishes: Publish = Box::new(move || {
            info!(session = %publisher.id(), stream = %name, "pulls");
            publish(&context, &publisher, &name)
        });
        let (rtsp, silence) = (self.call.rtsp, self.silence);
        let receiving = Receiving::awaiting(publishes, session, tracks, rtsp, silence, now);
        let receiving = self.receiving.insert(receiving);
        for (channel, payload) in std::mem::take(&mut self.early) {
            receiving.interleaved(channel, &payload, now)?;
        }
        Ok(())
    }
}

/// Whether somebody publishes a stream and cannot be replaced.
fn is_occupied(context: &Context, name: &StreamName) -> bool {
    context.registry.find(name).is_some_and(|stream| {
        let stream = stream.lock();
        let may_replace = stream.settings().second_publisher != SecondPublisher::Refuse;
        stream.publisher().is_some() && !may_replace
    })
}

/// Sends a packet without content to the server's ports, so that a NAT on our side lets packets in.
fn open_the_way(pair: &Pair, host: IpAddr, transport: &Transport) {
    let Some((rtp, rtcp)) = transport.server_port else { return };
    let mut packet = BytesMut::new();
    Header { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 0 }
        .write(&mut packet);
    for (socket, port) in [(&pair.rtp, rtp), (&pair.rtcp, rtcp)] {
        // It may be lost, and most servers do not wait for it.
        let _ = socket.send_to(&packet, SocketAddr::new(host, port));
    }
}

/// What is pushed.
struct Joined {
    stream: Arc<parking_lot::Mutex<hub::Stream>>,
    tracks: Arc<TrackSet>,
    seed: u32,
}

/// A server that we push to, in the engine.
struct Pusher {
    machine: Machine,
    to: Joined,
    parts: Vec<Part>,
    framing: Framing,
    pairs: Vec<Pair>,
    actions: VecDeque<Action>,
    done: Option<oneshot::Sender<EndReason>>,
}

impl Pusher {
    fn work_off_events(&mut self) -> Result<(), EndReason> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Ended(_) | Event::Redirect(_) => return Err(EndReason::PeerClosed),
                // Reports of what arrives there.
                _ => {}
            }
        }
        let words = std::iter::from_fn(|| self.machine.poll_transmit()).map(Action::Send);
        self.actions.extend(words);
        Ok(())
    }
}

impl Peer for Pusher {
    fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), EndReason> {
        self.machine.handle_input(bytes, now).map_err(|error| client_reason(&error))?;
        self.work_off_events()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), EndReason> {
        self.machine.handle_timeout(now).map_err(|error| client_reason(&error))?;
        self.work_off_events()?;
        let tracks = self.to.stream.lock().tracks().clone();
        let ids: Vec<_> = self.parts.iter().map(|part| part.channel.track).collect();
        if !Arc::ptr_eq(&tracks, &self.to.tracks) && !still_fits(&self.to.tracks, &tracks, &ids) {
            let text = "the stream has other codecs now: push it again";
            return Err(EndReason::Refused(text.to_owned()));
        }
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn farewell(&mut self, _reason: &EndReason) -> Bytes {
        let mut words = goodbyes(&self.parts, self.framing, &self.pairs);
        self.machine.teardown();
        while let Some(bytes) = self.machine.poll_transmit() {
            words.extend_from_slice(&bytes);
        }
        words.freeze()
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
