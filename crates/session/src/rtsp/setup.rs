//! A viewer before it plays: which tracks there are, and how each is to be sent.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::rtp::format::Outgoing;
use ::rtp::sdp::{self, Attribute};
use ::rtsp::message::Status;
use ::rtsp::transport::{Lower, Mode, Transport};
use ::rtsp::url;
use hub::{
    Channel, Channels, Framing, MAX_TRACKS, Packaging, RtpSource, SessionId, StreamName, Told,
    Waiting,
};
use media::{TimeBase, TrackId, TrackSet};
use net::{Begin, Datagrams, Joining, Outlet, Pair, Room};
use tracing::{info, warn};

use super::attending::Attending;
use super::multicast::{self, Manner, Seat};
use super::viewer::{Known, Part, Viewer};
use super::{Connection, RtspSettings, State};
use crate::context::Tenure;

/// What stands before a track's number in its address.
const CONTROL: &str = "trackID=";

/// Choices of channels that the viewers of a stream may have among them: each costs a packaging. Those
/// who come with yet another get the usual channels instead.
const MAX_CHOICES: usize = 16;

/// A viewer that chooses its tracks.
pub(super) struct Playing {
    waiting: Waiting,
    tracks: Arc<TrackSet>,
    /// What is offered; a track's number is its place.
    offered: Vec<TrackId>,
    chosen: Vec<Chosen>,
    /// The address that the tracks' are relative to.
    base: String,
    seed: u32,
}

/// Why an alternative cannot be.
enum Unfit {
    /// It is not offered, or does not fit what was chosen.
    Never,
    /// All groups are in use.
    NoRoom,
}

/// A track that was set up.
struct Chosen {
    number: usize,
    channel: Channel,
    way: Way,
}

/// How a track goes to a viewer.
enum Way {
    /// On the connection.
    Interleaved,
    /// From and to these sockets, and the client's ports as it has told them.
    Datagrams(Pair, (u16, u16)),
    /// To a group.
    Group(Seat),
}

impl Way {
    /// Whether it is what an alternative asks for.
    fn is_as(&self, offer: &Transport) -> bool {
        match self {
            Self::Interleaved => offer.lower == Lower::Tcp,
            Self::Datagrams(..) => offer.lower == Lower::Udp && !offer.multicast,
            Self::Group(_) => offer.lower == Lower::Udp && offer.multicast,
        }
    }
}

impl Playing {
    /// Offers what RTP can carry of a stream that is ready; the text says why there is nothing.
    pub(super) fn new(waiting: Waiting, tenure: Option<&Tenure>) -> Result<Self, String> {
        let tracks = waiting.stream().lock().tracks().clone();
        let session = tenure.map(|tenure| tenure.session().id());
        let offered = offer(waiting.name(), &tracks, session)?;
        let seed = seed(waiting.name());
        let (chosen, base) = (Vec::new(), String::new());
        Ok(Self { waiting, tracks, offered, chosen, base, seed })
    }

    /// Which stream it is.
    pub(super) fn name(&self) -> &StreamName {
        self.waiting.name()
    }

    /// Whether anything was set up.
    pub(super) fn has_tracks(&self) -> bool {
        !self.chosen.is_empty()
    }

    /// Whether an address is that of a track, and others were set up.
    pub(super) fn has_more_than(&self, uri: &str) -> bool {
        self.chosen.len() > 1 && is_of_track(uri)
    }

    /// Answers `DESCRIBE`.
    pub(super) fn describe(&mut self, state: &mut State, uri: &str) {
        self.base = base(uri);
        let address = match state.local {
            Some(SocketAddr::V6(local)) if local.ip().to_ipv4_mapped().is_none() => "IN IP6 ::",
            _ => "IN IP4 0.0.0.0",
        };
        let name = self.waiting.name();
        let description = description(name, &self.tracks, &self.offered, address);
        state.machine.describe(&description, &self.base);
    }

    /// Answers `SETUP`.
    pub(super) fn setup(&mut self, state: &mut State, uri: &str, transports: &[Transport]) {
        if self.base.is_empty() {
            self.base = base(without_track(uri));
        }
        let Some((number, track)) = self.find(uri) else {
            let text = format!("No Such Track; There Are {}", self.offered.len());
            return state.machine.reject(Status::NOT_FOUND, &text);
        };
        self.chosen.retain(|chosen| chosen.number != number);
        let mut no_room = false;
        let accepted = transports.iter().find_map(|offer| {
            let accepted = self.accept(state, number, track, offer);
            no_room |= matches!(accepted, Err(Unfit::NoRoom));
            accepted.ok()
        });
        let Some((chosen, mut answer)) = accepted else {
            return match no_room {
                true => state.machine.reject(Status::NOT_ENOUGH_BANDWIDTH, "No Group Is Free"),
                false => state.machine.reject(Status::UNSUPPORTED_TRANSPORT, ""),
            };
        };
        answer.ssrc = Some(RtpSource::of(track, self.seed).ssrc);
        answer.mode = Some(Mode::Play);
        self.chosen.push(chosen);
        state.machine.accept_setup(&answer);
    }

    /// The track that an address means: by its number; else, as clients of streams with one track
    /// ask for the stream itself, the first that was not set up.
    fn find(&self, uri: &str) -> Option<(usize, TrackId)> {
        let mut all = self.offered.iter().copied().enumerate();
        if is_of_track(uri) {
            return all.find(|(number, _)| url::is_of_track(uri, &format!("{CONTROL}{number}")));
        }
        all.find(|(number, _)| self.chosen.iter().all(|chosen| chosen.number != *number))
    }

    /// What an alternative comes to.
    fn accept(
        &self,
        state: &State,
        number: usize,
        track: TrackId,
        offer: &Transport,
    ) -> Result<(Chosen, Transport), Unfit> {
        if offer.secure || !self.chosen.iter().all(|chosen| chosen.way.is_as(offer)) {
            return Err(Unfit::Never);
        }
        let own = u8::try_from(number * 2).ok().map(|channel| (channel, channel + 1));
        let own = own.ok_or(Unfit::Never)?;
        let told = self.tracks.get(track).and_then(|track| Told::of(track)).ok_or(Unfit::Never)?;
        let channel = Channel { track, rtp: own.0, rtcp: own.1, told };
        match offer.lower {
            Lower::Tcp if offer.multicast => Err(Unfit::Never),
            Lower::Tcp => {
                let wanted = offer.interleaved.filter(|wanted| *wanted == own || self.may_choose());
                let (rtp, rtcp) = wanted.unwrap_or(own);
                let channel = Channel { rtp, rtcp, ..channel };
                let mut channels = self.channels();
                if rtp == rtcp || !channels.set(channel) {
                    return Err(Unfit::Never);
                }
                let chosen = Chosen { number, channel, way: Way::Interleaved };
                Ok((chosen, Transport::interleaved((rtp, rtcp))))
            }
            Lower::Udp if offer.multicast => {
                let seat = self.seat(state, channel)?;
                let answer = seat.transport();
                Ok((Chosen { number, channel, way: Way::Group(seat) }, answer))
            }
            Lower::Udp => {
                let ports = offer.client_port.filter(|(rtp, rtcp)| *rtp > 0 && *rtcp > 0);
                let ports = ports.ok_or(Unfit::Never)?;
                let local = state.local.filter(|_| state.settings.rtsp.udp).ok_or(Unfit::Never)?;
                let peer = state.admitted.peer().ip();
                let pair = state.rtsp.ports.pair_for(peer, local.ip()).map_err(|error| {
                    warn!(peer = %state.admitted.peer(), %error, "no ports are free for RTP");
                    Unfit::Never
                })?;
                let own = (pair.rtp.port(), pair.rtcp.port());
                let (Ok(rtp), Ok(rtcp)) = own else { return Err(Unfit::Never) };
                let answer =
                    Transport { server_port: Some((rtp, rtcp)), ..Transport::datagrams(ports) };
                Ok((Chosen { number, channel, way: Way::Datagrams(pair, ports) }, answer))
            }
        }
    }

    /// A seat in the group of a track. Where the client would like packets to go is not asked.
    fn seat(&self, state: &State, channel: Channel) -> Result<Seat, Unfit> {
        let rules = &state.settings.rtsp;
        let groups = state.rtsp.groups.as_ref().filter(|_| rules.udp && rules.multicast);
        // Groups are of IPv4, and nobody joins them through a tunnel.
        let local = state.local.filter(SocketAddr::is_ipv4);
        let (Some(groups), Some(_), Some(tenure)) = (groups, local, &state.tenure) else {
            return Err(Unfit::Never);
        };
        let manner = Manner {
            size: rules.packet_size,
            seed: self.seed,
            begin: begin(Framing::Datagrams, rules),
            flush_after: rules.flush_after,
        };
        let session = tenure.session().clone();
        let peer = state.admitted.peer().ip().to_canonical();
        let seat = groups.seat(self.waiting.stream(), channel, manner, session, peer);
        seat.map_err(|error| {
            warn!(peer = %state.admitted.peer(), %error, "there is no group for a track");
            match error.kind() {
                ErrorKind::AddrInUse => Unfit::NoRoom,
                _ => Unfit::Never,
            }
        })
    }

    /// Whether there is room for another choice of channels.
    fn may_choose(&self) -> bool {
        let is_choice = |packaging: &Packaging| {
            matches!(packaging, Packaging::Rtp { framing: Framing::Interleaved, .. })
        };
        self.waiting.stream().lock().packagings().filter(is_choice).count() < MAX_CHOICES
    }

    /// Whether the channels that were agreed on have become a choice too many since.
    pub(super) fn is_one_too_many(&self, size: u16) -> bool {
        let usual = |chosen: &Chosen| {
            let Channel { rtp, rtcp, .. } = chosen.channel;
            (rtp.into(), rtcp.into()) == (2 * chosen.number, 2 * chosen.number + 1)
        };
        let on_connection = |chosen: &&Chosen| matches!(chosen.way, Way::Interleaved);
        if self.chosen.iter().filter(on_connection).all(usual) {
            return false;
        }
        let packaging = self.packaging(size);
        let known = self.waiting.stream().lock().packagings().any(|known| known == packaging);
        !known && !self.may_choose()
    }

    fn framing(&self) -> Framing {
        let on_connection = self.chosen.iter().all(|chosen| matches!(chosen.way, Way::Interleaved));
        if on_connection { Framing::Interleaved } else { Framing::Datagrams }
    }

    fn packaging(&self, size: u16) -> Packaging {
        let (channels, framing) = (self.channels(), self.framing());
        Packaging::Rtp { channels, framing, seed: self.seed, size }
    }

    /// The clock of a track that was offered.
    fn clock(&self, track: TrackId) -> TimeBase {
        let outgoing = self.tracks.get(track).and_then(|track| Outgoing::of(track));
        outgoing.and_then(|format| TimeBase::new(format.clock_rate)).unwrap_or(TimeBase::MILLIS)
    }

    fn channels(&self) -> Channels {
        let mut channels = Channels::default();
        for chosen in &self.chosen {
            // Each was checked when it was chosen.
            let _ = channels.set(chosen.channel);
        }
        channels
    }

    /// The tracks that were chosen, and what the viewer knows of each.
    fn parts(&self) -> (Vec<Part>, Vec<Known>) {
        let parts = self.chosen.iter().map(|chosen| {
            let source = RtpSource::of(chosen.channel.track, self.seed);
            let known = Known {
                url: format!("{}{CONTROL}{}", self.base, chosen.number),
                clock: self.clock(chosen.channel.track),
            };
            (Part { channel: chosen.channel, source }, known)
        });
        parts.unzip()
    }

    /// Whether its tracks go to groups.
    pub(super) fn has_seats(&self) -> bool {
        self.chosen.iter().any(|chosen| matches!(chosen.way, Way::Group(_)))
    }

    /// `PLAY` of a viewer of groups.
    pub(super) fn attend(self, state: &State) -> Attending {
        let (stream, parts) = (self.waiting.stream().clone(), self.parts());
        let seats = self.chosen.into_iter().filter_map(|chosen| match chosen.way {
            Way::Group(seat) => Some(seat),
            _ => None,
        });
        let seats: Vec<_> = seats.collect();
        if let Some(tenure) = &state.tenure {
            let (session, name) = (tenure.session().id(), self.waiting.name());
            info!(%session, stream = %name, group = multicast::names(&seats), "plays");
        }
        Attending::new(stream, parts, seats, Instant::now())
    }

    /// `PLAY`: the connection becomes a viewer of the shard's engine.
    pub(super) fn join(self, connection: Connection) {
        let Connection { shard, conn, mut state } = connection;
        let Some(tenure) = state.tenure.take() else { return };
        let session = tenure.session().clone();
        let rules = &state.settings.rtsp;
        let framing = self.framing();
        let size = rules.packet_size;
        let packaging = self.packaging(size);
        let begin = begin(framing, rules);
        let mut outlets = Vec::new();
        let mut pairs = Vec::new();
        for chosen in &self.chosen {
            let Way::Datagrams(pair, ports) = &chosen.way else { continue };
            let peer = state.admitted.peer();
            if let Err(error) = connect(pair, *ports, peer, size) {
                warn!(session = %session.id(), %error, "datagrams cannot be sent");
            }
            let outlet =
                |channel, socket: &Rc<Datagrams>| Outlet { channel, socket: socket.clone() };
            outlets.push(outlet(chosen.channel.rtp, &pair.rtp));
            outlets.push(outlet(chosen.channel.rtcp, &pair.rtcp));
            pairs.push(pair.clone());
        }
        session.set_totals(state.read, state.written);
        let own: Vec<_> = std::iter::from_fn(|| state.machine.poll_transmit()).collect();
        let transport = if framing == Framing::Datagrams { "UDP" } else { "TCP" };
        info!(session = %session.id(), stream = %self.waiting.name(), transport, "plays");
        let stream = self.waiting.stream().clone();
        let flush_after = rules.flush_after;
        let viewer = Viewer::new(
            &shard,
            state,
            tenure,
            (stream.clone(), self.tracks.clone()),
            self.parts(),
            framing,
            pairs,
        );
        shard.join(Joining {
            conn,
            stream,
            packaging,
            flush_after,
            begin,
            own,
            outlets,
            peer: Box::new(viewer),
            session,
        });
    }
}

/// Where a viewer begins, or a server that we push to.
pub(super) fn begin(framing: Framing, rules: &RtspSettings) -> Begin {
    match (framing, rules.begin) {
        // A burst of a whole GOP would overrun the buffers on its way.
        (Framing::Datagrams, Begin::Cached) => Begin::NextKey,
        (_, begin) => begin,
    }
}

/// Sends to the ports that the client has told; but where packets have come from its address
/// already (it opens the way through a NAT by them), to where they came from.
pub(super) fn connect(
    pair: &Pair,
    ports: (u16, u16),
    peer: SocketAddr,
    size: u16,
) -> std::io::Result<()> {
    for (socket, port) in [(&pair.rtp, ports.0), (&pair.rtcp, ports.1)] {
        let mut target = SocketAddr::new(peer.ip(), port);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut room = Room::default();
        for _ in 0..MAX_OPENERS {
            match socket.poll_receive(&mut context, &mut room) {
                std::task::Poll::Ready(Ok((_, from))) if from.ip() == peer.ip() => target = from,
                std::task::Poll::Ready(_) => {}
                std::task::Poll::Pending => break,
            }
        }
        socket.connect(target)?;
        socket.set_segment(size);
    }
    Ok(())
}

/// Packets that are looked at for where they come from: clients send one or two.
const MAX_OPENERS: usize = 16;

/// What is said of a stream's tracks.
pub(super) fn description(
    name: &StreamName,
    tracks: &TrackSet,
    offered: &[TrackId],
    address: &str,
) -> sdp::Session {
    let media = offered.iter().enumerate().filter_map(|(number, id)| {
        let outgoing = Outgoing::of(tracks.get(*id)?)?;
        Some(outgoing.media(id.kind, &format!("{CONTROL}{number}")))
    });
    sdp::Session {
        origin: format!("- {} 1 {address}", seed(name)),
        name: name.to_string(),
        connection: Some(address.to_owned()),
        attributes: vec![
            Attribute::new("tool", "headwater"),
            Attribute::new("range", "npt=now-"),
            Attribute::new("control", "*"),
        ],
        media: media.collect(),
    }
}

/// The tracks that RTP can carry; the text says why there is none.
pub(super) fn offer(
    name: &StreamName,
    tracks: &TrackSet,
    session: Option<&SessionId>,
) -> Result<Vec<TrackId>, String> {
    let all = tracks.tracks.iter();
    let (fit, unfit): (Vec<_>, Vec<_>) = all.partition(|track| Outgoing::of(track).is_some());
    let codecs: Vec<_> = unfit.iter().map(|track| track.codec.to_string()).collect();
    let codecs = codecs.join(" and ");
    if fit.is_empty() {
        return Err(format!("RTP has no place for {codecs}: play the stream over HTTP or RTMP"));
    }
    if let Some(session) = session.filter(|_| !codecs.is_empty()) {
        warn!(%session, stream = %name, "RTP has no place for {codecs}: left out");
    }
    Ok(fit.iter().take(MAX_TRACKS).map(|track| track.id).collect())
}

/// The address of the stream that a track's address belongs to.
pub(super) fn without_track(uri: &str) -> &str {
    let uri = uri.trim_end_matches('/');
    match uri.rsplit_once('/') {
        Some((stream, last)) if last.starts_with(CONTROL) => stream,
        _ => uri,
    }
}

/// Whether an address is that of a track.
pub(super) fn is_of_track(uri: &str) -> bool {
    without_track(uri).len() < uri.trim_end_matches('/').len()
}

fn base(uri: &str) -> String {
    format!("{}/", uri.trim_end_matches('/'))
}

/// Tells the sources of one stream from those of another: FNV-1a of its name.
pub(super) fn seed(name: &StreamName) -> u32 {
    let bytes = name.as_str().bytes();
    bytes.fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether a viewer who was told of `before` can still read what there is `now`.
pub(super) fn still_fits(before: &TrackSet, now: &TrackSet, tracks: &[TrackId]) -> bool {
    tracks.iter().all(|id| match (before.get(*id), now.get(*id)) {
        (Some(before), Some(now)) => Told::of(before) == Told::of(now),
        // A track that is missing may come back.
        _ => true,
    })
}
