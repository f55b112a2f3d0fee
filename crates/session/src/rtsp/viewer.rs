//! The RTSP side of a viewer that has joined: keep-alives, pause, and leaving.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use ::rtp::packet::{HEADER_SIZE, is_rtcp};
use ::rtp::{Packet as RtpPacket, rtcp};
use ::rtsp::message::{INTERLEAVED_HEADER, Status, write_interleaved};
use ::rtsp::server::Event;
use bytes::{Bytes, BytesMut};
use hub::{Channel, EndReason, Framing, Packet, RtpSource, Stream};
use media::{Ticks, TimeBase, TrackId, TrackSet};
use net::{Action, Conn, Pair, Peer, Room, Shard};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::setup::{is_of_track, still_fits};
use super::{State, protocol_reason};
use crate::context::Tenure;

/// Packets that are looked at for what comes first of each track.
const MAX_LOOKED_AT: usize = 64;

/// A track of a viewer.
pub(super) struct Part {
    pub(super) channel: Channel,
    pub(super) source: RtpSource,
}

/// What a viewer knows of a track.
pub(super) struct Known {
    pub(super) url: String,
    pub(super) clock: TimeBase,
}

/// A playing connection.
pub(super) struct Viewer {
    state: State,
    tenure: Tenure,
    stream: Arc<Mutex<Stream>>,
    /// What the viewer was told of the stream, and what is known to fit that.
    told: Arc<TrackSet>,
    seen: Arc<TrackSet>,
    parts: Vec<Part>,
    /// One for each of the parts.
    known: Vec<Known>,
    framing: Framing,
    pairs: Vec<Pair>,
    /// When a datagram of the viewer came last.
    heard: Rc<Cell<Option<Instant>>>,
    /// Dropped, it ends the task that listens to datagrams.
    _listening: Option<oneshot::Sender<()>>,
    actions: VecDeque<Action>,
}

impl Viewer {
    pub(super) fn new(
        shard: &Shard,
        state: State,
        tenure: Tenure,
        (stream, told): (Arc<Mutex<Stream>>, Arc<TrackSet>),
        (parts, known): (Vec<Part>, Vec<Known>),
        framing: Framing,
        pairs: Vec<Pair>,
    ) -> Self {
        let heard = Rc::new(Cell::new(None));
        let listening = (!pairs.is_empty()).then(|| {
            let (stop, stopped) = oneshot::channel();
            shard.spawn(listen(pairs.clone(), heard.clone(), stopped));
            stop
        });
        Self {
            state,
            tenure,
            stream,
            seen: told.clone(),
            told,
            parts,
            known,
            framing,
            pairs,
            heard,
            _listening: listening,
            actions: VecDeque::new(),
        }
    }

    fn work_off_events(&mut self) {
        let machine = &mut self.state.machine;
        while let Some(event) = machine.poll_event() {
            let after = match event {
                Event::Play => {
                    let answer = machine.accept_play(None);
                    self.actions.push_back(Action::Send(answer));
                    Some(Action::Resume)
                }
                Event::Pause => {
                    machine.accept();
                    Some(Action::Pause)
                }
                // The others would go with it.
                Event::Teardown { uri } if self.parts.len() > 1 && is_of_track(&uri) => {
                    machine.reject(Status::ONLY_AGGREGATE_ALLOWED, "");
                    None
                }
                Event::Teardown { .. } => {
                    machine.accept();
                    Some(Action::Leave)
                }
                // Reports of the viewer: that they come is all that matters.
                Event::Data { .. } | Event::Tunnel { .. } => None,
                Event::Announce { .. }
                | Event::Describe { .. }
                | Event::Setup { .. }
                | Event::Record => {
                    machine.reject(Status::NOT_VALID_IN_STATE, "");
                    None
                }
            };
            let answers = std::iter::from_fn(|| machine.poll_transmit()).map(Action::Send);
            self.actions.extend(answers);
            self.actions.extend(after);
        }
        let answers = std::iter::from_fn(|| machine.poll_transmit()).map(Action::Send);
        self.actions.extend(answers);
    }
}

/// `RTP-Info` (RFC 2326 §12.33): the first packet of each track, where that is known, and one
/// moment for all tracks, not later than anything that comes: what receivers are told of it
/// brings the tracks together before the first report does.
pub(super) fn info(
    parts: &[Part],
    known: &[Known],
    coming: &mut dyn Iterator<Item = &Packet>,
    newest: i64,
) -> String {
    let mut first: Vec<Option<u16>> = vec![None; parts.len()];
    let mut begin = newest;
    for packet in coming.take(MAX_LOOKED_AT) {
        begin = begin.min(packet.dts_ms);
        for (channel, bytes) in rtp_packets(packet) {
            let part = parts.iter().position(|part| part.channel.rtp == channel);
            let slot = part.and_then(|part| first.get_mut(part));
            if let (Some(slot @ None), Ok(rtp)) = (slot, RtpPacket::parse(&bytes)) {
                *slot = Some(rtp.sequence);
            }
        }
    }
    // Milliseconds are rounded: the packet itself may be a little earlier.
    let begin = Ticks::new(begin - 1, TimeBase::MILLIS);
    let all = parts.iter().zip(known).zip(&first);
    let told = all.map(|((part, known), first)| {
        let sequence = first.map_or_else(String::new, |number| format!("seq={number};"));
        let time = part.source.timestamp(begin, known.clock);
        format!("url={};{sequence}rtptime={time}", known.url)
    });
    told.collect::<Vec<_>>().join(",")
}

/// The RTP packets in a packet of the ring, with their channels.
fn rtp_packets(packet: &Packet) -> Vec<(u8, Bytes)> {
    if let Some(datagrams) = packet.datagrams {
        return vec![(datagrams.channel, packet.bytes.clone())];
    }
    let mut found = Vec::new();
    let mut rest = packet.bytes.clone();
    while let [b'$', channel, high, low, ..] = rest[..] {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if rest.len() < INTERLEAVED_HEADER + length {
            break;
        }
        let body = rest.slice(INTERLEAVED_HEADER..INTERLEAVED_HEADER + length);
        rest = rest.slice(INTERLEAVED_HEADER + length..);
        if body.len() >= HEADER_SIZE && !is_rtcp(&body) {
            found.push((channel, body));
        }
    }
    found
}

/// Hears a viewer's datagrams, until it is told to stop: reports, and what keeps a NAT open.
async fn listen(
    pairs: Vec<Pair>,
    heard: Rc<Cell<Option<Instant>>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut room = Room::default();
    loop {
        let datagram = poll_fn(|cx| {
            let sockets = pairs.iter().flat_map(|pair| [&pair.rtp, &pair.rtcp]);
            for socket in sockets {
                // What is heard of datagrams that did not arrive is no sign of life.
                if let Poll::Ready(received) = socket.poll_receive(cx, &mut room) {
                    return Poll::Ready(received.is_ok());
                }
            }
            Poll::Pending
        });
        tokio::select! {
            alive = datagram => if alive { heard.set(Some(Instant::now())) },
            _ = &mut stopped => return,
        }
    }
}

/// A goodbye of each source: what goes on the connection; the others are sent.
pub(super) fn goodbyes(parts: &[Part], framing: Framing, pairs: &[Pair]) -> BytesMut {
    let mut words = BytesMut::new();
    for (index, part) in parts.iter().enumerate() {
        let goodbye = goodbye(part.source);
        let size = u16::try_from(goodbye.len()).unwrap_or(u16::MAX);
        match (framing, pairs.get(index)) {
            (Framing::Interleaved, _) => {
                write_interleaved(part.channel.rtcp, size, &mut words);
                words.extend_from_slice(&goodbye);
            }
            (Framing::Datagrams, Some(pair)) => {
                // It may be lost like any other datagram.
                let _ = pair.rtcp.send(&goodbye, size);
            }
            (Framing::Datagrams, None) => {}
        }
    }
    words
}

/// The goodbye of a source.
pub(super) fn goodbye(source: RtpSource) -> BytesMut {
    let mut goodbye = BytesMut::new();
    rtcp::write_receiver_report(source.ssrc, &[], "headwater", &mut goodbye);
    rtcp::write_goodbye(source.ssrc, &mut goodbye);
    goodbye
}

impl Peer for Viewer {
    fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), EndReason> {
        let read = self.state.machine.handle_input(bytes, now);
        self.work_off_events();
        read.map_err(|error| protocol_reason(&error))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), EndReason> {
        if let Some(heard) = self.heard.take() {
            self.state.machine.keep_alive(heard);
        }
        self.state.machine.handle_timeout(now).map_err(|error| protocol_reason(&error))?;
        let tracks = self.stream.lock().tracks().clone();
        if !Arc::ptr_eq(&tracks, &self.seen) {
            let ids: Vec<TrackId> = self.parts.iter().map(|part| part.channel.track).collect();
            if !still_fits(&self.told, &tracks, &ids) {
                let text = "the stream has other codecs now: play it again";
                return Err(EndReason::Refused(text.to_owned()));
            }
            self.seen = tracks;
        }
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn greeting(&mut self, coming: &mut dyn Iterator<Item = &Packet>, newest: i64) -> Bytes {
        let info = info(&self.parts, &self.known, coming, newest);
        let answer = self.state.machine.accept_play(Some(&info));
        // Requests that came right behind.
        self.work_off_events();
        answer
    }

    /// A goodbye of each source.
    fn farewell(&mut self, _reason: &EndReason) -> Bytes {
        goodbyes(&self.parts, self.framing, &self.pairs).freeze()
    }

    fn released(self: Box<Self>, conn: Conn, remains: Bytes, shard: &Rc<Shard>) {
        let mut viewer = *self;
        shard.spawn(async move {
            viewer.tenure.end(&EndReason::PeerClosed);
            conn.close(remains).await;
        });
    }

    fn ended(&mut self, reason: &EndReason) {
        self.tenure.end(reason);
    }
}
