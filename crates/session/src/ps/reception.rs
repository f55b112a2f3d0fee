//! One stream that is received, whatever its packets travel on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtp::Packet;
use ::rtp::packet::is_rtcp;
use bytes::Bytes;
use hub::{EndReason, Publication, Session};
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::ingest::Ingest;
use super::{Dump, Entry, Listed, Order, Way};
use crate::admission::Admitted;
use crate::context::{Context, Tenure};

/// How often it is made known what has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a device must be silent before another one, or the same from another address, may take
/// its place.
const REBIND_AFTER: Duration = Duration::from_secs(2);

/// What has come of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The source of the packets, once there was one.
    pub ssrc: Option<u32>,
    /// Packets of RTP.
    pub packets: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets of somebody else.
    pub foreign: u64,
    /// Codecs that the device sends and that are not understood.
    pub left_out: Vec<String>,
}

/// A stream that is received.
pub(super) struct Reception {
    context: Arc<Context>,
    tenure: Tenure,
    entry: Arc<Entry>,
    ingest: Option<Ingest>,
    idle: Option<Duration>,
    dump: Option<Dump>,
    /// When RTP last came.
    heard: Instant,
    /// Who sends, and counts as a connection.
    sender: Option<Admitted>,
    read: u64,
    written: u64,
    foreign: u64,
    has_said_refused: bool,
    report_at: Instant,
    _listed: Listed,
}

impl Reception {
    pub(super) fn new(
        context: &Arc<Context>,
        tenure: Tenure,
        publication: Publication,
        entry: Arc<Entry>,
        order: Order,
        listed: Listed,
    ) -> Self {
        let now = Instant::now();
        let settings = context.settings.load();
        // Nothing comes late on a connection. A shared port may have either.
        let patience = match order.way {
            Way::Datagrams(_) | Way::Shared => settings.ps.reorder_window,
            Way::Listen(_) | Way::Connect { .. } => Duration::ZERO,
        };
        // Any number that nobody else is likely to have.
        let ssrc = u32::try_from(context.seed() >> 32).unwrap_or_default();
        let id = tenure.session().id().clone();
        let ingest = Some(Ingest::new(publication, id, order.payload, patience, ssrc));
        Self {
            context: context.clone(),
            tenure,
            entry,
            ingest,
            idle: order.idle,
            dump: order.dump,
            heard: now,
            sender: None,
            read: 0,
            written: 0,
            foreign: 0,
            has_said_refused: false,
            report_at: now,
            _listed: listed,
        }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        self.tenure.session()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Whether a datagram from there is taken. The first who sends RTP is heard, and nobody else
    /// until it has been silent for a while; but what comes from where the device is goes before
    /// what comes from elsewhere. Reports are taken from the host alone that sends the packets.
    pub(super) fn hears(&mut self, datagram: &Bytes, from: SocketAddr, now: Instant) -> bool {
        let sender = self.sender.as_ref().map(Admitted::peer);
        if sender == Some(from) {
            return true;
        }
        let is_report = is_rtcp(datagram);
        if is_report && sender.is_some_and(|sender| sender.ip() == from.ip()) {
            return true;
        }
        // Scanners of ports send anything.
        let is_rtp = !is_report && Packet::parse(datagram).is_ok();
        if !is_rtp || !self.yields_to(from.ip(), now) {
            self.foreign += 1;
            return false;
        }
        self.admit(from).is_some_and(|admitted| {
            self.adopt(admitted);
            true
        })
    }

    /// Whether the one who sends, if any, gives way to somebody from there who has sent RTP.
    pub(super) fn yields_to(&self, from: IpAddr, now: Instant) -> bool {
        let Some(sender) = &self.sender else { return true };
        now.saturating_duration_since(self.heard) >= REBIND_AFTER
            || self.is_home(from) && !self.is_home(sender.peer().ip())
    }

    /// Whether the one who sends does so from this host.
    pub(super) fn is_heard_from(&self, host: IpAddr) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.peer().ip() == host)
    }

    /// A place for somebody there; `None` if nobody may connect from there.
    pub(super) fn admit(&mut self, from: SocketAddr) -> Option<Admitted> {
        match self.context.admission.admit(from) {
            Ok(admitted) => Some(admitted),
            Err(refusal) => {
                if !std::mem::replace(&mut self.has_said_refused, true) {
                    warn!(session = %self.session().id(), peer = %from, %refusal, "is not heard");
                }
                self.foreign += 1;
                None
            }
        }
    }

    /// From now on packets come from there.
    pub(super) fn adopt(&mut self, sender: Admitted) {
        let peer = sender.peer();
        info!(session = %self.session().id(), %peer, "is received");
        // A session is known by the first one.
        self.session().connected(peer, peer);
        *self.entry.peer.lock() = Some(peer);
        self.sender = Some(sender);
    }

    /// Whether the device is there, as far as that is known.
    pub(super) fn is_home(&self, host: IpAddr) -> bool {
        self.entry.homes.lock().contains(&Some(host))
    }

    /// Somebody was not heard.
    pub(super) fn count_foreign(&mut self) {
        self.foreign += 1;
    }

    /// Nobody sends any more; whoever comes next is heard.
    pub(super) fn forget_sender(&mut self) {
        self.sender = None;
    }

    /// Takes a packet of RTP or RTCP; what is to be answered.
    pub(super) fn take(
        &mut self,
        packet: &Bytes,
        now: Instant,
    ) -> Result<Option<Bytes>, EndReason> {
        // Reports go on where a device has stopped to send.
        if !is_rtcp(packet) {
            self.heard = now;
        }
        self.read += packet.len() as u64;
        if let Some(dump) = &mut self.dump {
            dump.write(packet, self.sender.as_ref().map(Admitted::peer), self.entry.port);
        }
        let ingest = self.ingest.take().ok_or(EndReason::TakenOver)?;
        let ingest = ingest.decided(packet, now).map_err(|_| EndReason::TakenOver)?;
        let answer = self.ingest.insert(ingest).packet(packet, now);
        let answer = answer.map_err(|_| EndReason::TakenOver)?;
        self.written += answer.as_ref().map_or(0, |answer| answer.len() as u64);
        self.session().set_totals(self.read, self.written);
        self.tell(now);
        Ok(answer)
    }

    /// Waits until time has something to do, and does it.
    pub(super) async fn tick(&mut self) -> Result<(), EndReason> {
        match self.poll_timeout() {
            Some(at) => sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
        let now = Instant::now();
        let ingest = self.ingest.as_mut().ok_or(EndReason::TakenOver)?;
        ingest.handle_timeout(now).map_err(|_| EndReason::TakenOver)?;
        self.tell(now);
        match self.idle {
            Some(idle) if now.saturating_duration_since(self.heard) >= idle => {
                Err(EndReason::Timeout("the device sent nothing"))
            }
            _ => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.ingest.as_ref().and_then(Ingest::poll_timeout);
        let idle = self.idle.and_then(|idle| self.heard.checked_add(idle));
        waiting.into_iter().chain(idle).min()
    }

    /// Makes known what has come, now and then.
    fn tell(&mut self, now: Instant) {
        if now >= self.report_at {
            self.report_at = now + REPORT_INTERVAL;
            *self.entry.report.lock() = self.report();
        }
    }

    fn report(&self) -> Report {
        let report = self.ingest.as_ref().map(Ingest::report).unwrap_or_default();
        Report { foreign: report.foreign + self.foreign, ..report }
    }

    /// The session is over.
    pub(super) fn end(mut self, reason: &EndReason, now: Instant) {
        if let Some(ingest) = &mut self.ingest {
            ingest.finish(now);
        }
        // The stream is given back before its session ends.
        self.ingest = None;
        if *reason == EndReason::StreamEnded {
            // Nobody is expected to go on with it.
            self.context.end_stream(&self.entry.stream);
        }
        self.tenure.end(reason);
    }
}
