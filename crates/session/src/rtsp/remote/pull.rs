//! A stream is pulled from another server.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtp::format::Format;
use ::rtp::packet::Header;
use ::rtsp::client::{Event, Purpose};
use ::rtsp::transport::Transport;
use ::rtsp::url::Url;
use bytes::{Bytes, BytesMut};
use hub::{EndReason, PublishError, SecondPublisher, StreamName, Targets};
use media::TrackKind;
use net::{Pair, Shard};
use tracing::{info, warn};

use super::{Call, Failure, client_reason, follow};
use crate::context::{Context, Tenure};
use crate::remote::{Remote, publish};
use crate::rtsp::Rtsp;
use crate::rtsp::receive::{Publish, Receiving, Way};

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
