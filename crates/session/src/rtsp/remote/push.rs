//! A stream is pushed to another server: what a viewer is to a server, it is to us.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::rtsp::client::{Event, Purpose, Session as Machine};
use ::rtsp::url::Url;
use bytes::Bytes;
use hub::{Channel, Channels, EndReason, Framing, Packaging, RtpSource, StreamName, Told};
use media::TrackSet;
use net::{Action, Begin, Conn, Joining, Outlet, Pair, Peer, Shard};
use tokio::sync::oneshot;
use tracing::info;

use super::{Call, Failure, client_reason, follow};
use crate::context::Tenure;
use crate::remote::{Remote, await_stream};
use crate::rtsp::Rtsp;
use crate::rtsp::setup::{begin, connect, description, offer, seed, still_fits};
use crate::rtsp::viewer::{Part, goodbyes};

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
                        let framing = if pairs.is_empty() {
                            Framing::Interleaved
                        } else {
                            Framing::Datagrams
                        };
                        let begin = match remote.from_start {
                            true => Begin::Cached,
                            false => begin(framing, &settings.rtsp),
                        };
                        tenure.carry(name);
                        return Ok(call.send(to, parts, pairs, begin).await);
                    }
                    other => call.unexpected(other)?,
                }
            }
            call.step(None).await?;
        }
    })
    .await
}

impl Call<'_> {
    /// Becomes a viewer of the shard's engine, whose packets go to the server. Why it ended.
    async fn send(self, to: Joined, parts: Vec<Part>, pairs: Vec<Pair>, begin: Begin) -> EndReason {
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
            begin,
            own: Vec::new(),
            outlets,
            peer: Box::new(pusher),
            session: self.session,
        });
        // Only its failure would drop it without a word.
        ended.await.unwrap_or(EndReason::Panicked)
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
