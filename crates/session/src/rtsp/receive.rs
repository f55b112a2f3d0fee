//! The packets of a publisher, or of a server that we pull from: as datagrams, or between the
//! messages of the connection.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use ::rtp::format::Format;
use ::rtsp::message::write_interleaved;
use bytes::{Bytes, BytesMut};
use hub::{EndReason, Publication, Session};
use net::{Conn, Pair, Room};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{Rtsp, WRITE_TIMEOUT};
use crate::ingest::rtp::{Reception, RtpIngest};

/// Datagrams that are taken of each socket in one turn; the other sockets, the connection and the
/// timers get theirs then.
const DATAGRAMS_PER_TURN: usize = 32;

/// Turns in which datagrams are taken that have come before the end.
const LAST_TURNS: usize = 32;

/// Reports that are kept until the first media comes: those of all tracks that anybody has.
const MAX_EARLY: usize = 32;

/// How a track comes.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// On these channels of the connection.
    Interleaved { rtp: u8, rtcp: u8 },
    /// To these sockets, from this host, or from the one that it names as the source.
    Datagrams { pair: Pair, peer: IpAddr, source: Option<IpAddr> },
}

/// The reception of a session.
pub(super) struct Receiving {
    session: Arc<Session>,
    ways: Vec<Way>,
    stage: Stage,
    /// Only media are a sign of life.
    needs_media: bool,
    /// When a sign of life came last, and whether any media have come.
    heard: Instant,
    any: bool,
    idle: Duration,
    /// The track whose sockets are first in the next turn: the runtime may end a turn early.
    first: usize,
    room: Room,
    /// Bytes that came as datagrams, and went as such.
    read: u64,
    written: u64,
}

/// Makes the session a publisher.
pub(super) type Publish = Box<dyn FnOnce() -> Result<Publication, EndReason>>;

/// Whether media have come.
enum Stage {
    Awaiting(Box<Awaiting>),
    Running(Box<RtpIngest>),
    /// The stream is somebody else's.
    Failed,
}

/// What is known before any media have come.
struct Awaiting {
    publish: Publish,
    formats: Vec<Format>,
    reception: Reception,
    ssrc: u32,
    /// Reports of tracks.
    reports: Vec<(usize, Bytes)>,
    /// Where the timestamps of tracks begin.
    starts: Vec<(usize, u32)>,
}

impl Receiving {
    /// Begins to take packets of a publisher, which may stay away for `idle`.
    pub(super) fn new(
        publication: Publication,
        session: Arc<Session>,
        tracks: Vec<(Format, Way)>,
        rtsp: &Rtsp,
        idle: Duration,
        now: Instant,
    ) -> Result<Self, EndReason> {
        let publish: Publish = Box::new(|| Ok(publication));
        let mut this = Self::awaiting(publish, session, tracks, rtsp, idle, now);
        this.run(now)?;
        this.needs_media = false;
        Ok(this)
    }

    /// Begins to take packets of a server, with the first of which its stream is published here.
    /// Media may stay away for `idle`.
    pub(super) fn awaiting(
        publish: Publish,
        session: Arc<Session>,
        tracks: Vec<(Format, Way)>,
        rtsp: &Rtsp,
        idle: Duration,
        now: Instant,
    ) -> Self {
        let settings = rtsp.context.settings.load();
        let rules = &settings.rtsp;
        let (formats, ways): (Vec<_>, Vec<_>) = tracks.into_iter().unzip();
        let by_datagram = ways.iter().any(|way| matches!(way, Way::Datagrams { .. }));
        // Nothing comes late on a connection.
        let patience = if by_datagram { rules.reorder_window } else { Duration::ZERO };
        let reception = Reception { patience, pass_torn: rules.pass_torn };
        // Any number that nobody else is likely to have.
        let ssrc = u32::try_from(rtsp.context.seed() >> 32).unwrap_or_default();
        let (reports, starts) = (Vec::new(), Vec::new());
        let awaiting = Awaiting { publish, formats, reception, ssrc, reports, starts };
        Self {
            session,
            ways,
            stage: Stage::Awaiting(Box::new(awaiting)),
            needs_media: true,
            heard: now,
            any: false,
            idle,
            first: 0,
            room: Room::default(),
            read: 0,
            written: 0,
        }
    }

    /// Publishes, if that was not done before.
    fn run(&mut self, now: Instant) -> Result<(), EndReason> {
        let awaiting = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Awaiting(awaiting) => awaiting,
            other => {
                self.stage = other;
                return Ok(());
            }
        };
        let Awaiting { publish, formats, reception, ssrc, reports, starts } = *awaiting;
        let (publication, id) = (publish()?, self.session.id().clone());
        let mut ingest = RtpIngest::new(publication, id, formats, reception, ssrc, now)
            .map_err(|_| EndReason::TakenOver)?;
        starts.into_iter().for_each(|(index, timestamp)| ingest.starts_at(index, timestamp));
        reports.into_iter().for_each(|(index, report)| ingest.control(index, &report, now));
        self.stage = Stage::Running(Box::new(ingest));
        Ok(())
    }

    /// Where the timestamps of a track begin, as the answer to `PLAY` says.
    pub(super) fn starts_at(&mut self, index: usize, timestamp: u32) {
        match &mut self.stage {
            Stage::Awaiting(awaiting) => awaiting.starts.push((index, timestamp)),
            Stage::Running(ingest) => ingest.starts_at(index, timestamp),
            Stage::Failed => {}
        }
    }

    /// Whether any packet has come.
    pub(super) fn has_heard(&self) -> bool {
        self.any
    }

    /// Whether all senders have said goodbye.
    pub(super) fn has_left(&self) -> bool {
        matches!(&self.stage, Stage::Running(ingest) if ingest.has_left())
    }

    /// Takes a packet that came on the connection.
    pub(super) fn interleaved(
        &mut self,
        channel: u8,
        payload: &Bytes,
        now: Instant,
    ) -> Result<(), EndReason> {
        let found = self.ways.iter().enumerate().find_map(|(index, way)| match way {
            Way::Interleaved { rtp, .. } if *rtp == channel => Some((index, false)),
            Way::Interleaved { rtcp, .. } if *rtcp == channel => Some((index, true)),
            _ => None,
        });
        match found {
            Some((index, control)) => self.take(index, control, payload, now),
            None => Ok(()),
        }
    }

    fn take(
        &mut self,
        index: usize,
        control: bool,
        payload: &Bytes,
        now: Instant,
    ) -> Result<(), EndReason> {
        if control || ::rtp::packet::is_rtcp(payload) {
            if !self.needs_media {
                self.heard = now;
            }
            match &mut self.stage {
                Stage::Awaiting(awaiting) if awaiting.reports.len() < MAX_EARLY => {
                    // A copy: what it is cut from may be large.
                    awaiting.reports.push((index, Bytes::copy_from_slice(payload)));
                }
                Stage::Running(ingest) => ingest.control(index, payload, now),
                Stage::Awaiting(_) | Stage::Failed => {}
            }
            return Ok(());
        }
        self.heard = now;
        self.any = true;
        self.run(now)?;
        match &mut self.stage {
            Stage::Running(ingest) => {
                ingest.packet(index, payload, now).map_err(|_| EndReason::TakenOver)
            }
            Stage::Awaiting(_) | Stage::Failed => Ok(()),
        }
    }

    /// Waits for datagrams, and takes those that are there.
    pub(super) async fn receive(&mut self) -> Result<(), EndReason> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EndReason>> {
        let received = ready!(poll_ways(cx, &self.ways, self.first, &mut self.room));
        self.first = (self.first + 1) % self.ways.len();
        let now = Instant::now();
        let result = received.into_iter().try_for_each(|(index, control, datagram)| {
            self.read += datagram.len() as u64;
            self.take(index, control, &datagram, now)
        });
        Poll::Ready(result)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), EndReason> {
        if let Stage::Running(ingest) = &mut self.stage {
            ingest.handle_timeout(now).map_err(|_| EndReason::TakenOver)?;
        }
        if now.saturating_duration_since(self.heard) >= self.idle {
            return Err(EndReason::Timeout("the publisher sent nothing"));
        }
        Ok(())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.heard.checked_add(self.idle);
        let ingest = match &self.stage {
            Stage::Running(ingest) => ingest.poll_timeout(),
            Stage::Awaiting(_) | Stage::Failed => None,
        };
        ingest.into_iter().chain(idle).min()
    }

    /// Reports that are due. Those that go on the connection are returned, the others are sent.
    pub(super) fn reports(&mut self, now: Instant) -> Vec<Bytes> {
        let mut interleaved = Vec::new();
        let Stage::Running(ingest) = &mut self.stage else { return interleaved };
        for (index, report) in ingest.reports(now) {
            let size = u16::try_from(report.len()).unwrap_or(u16::MAX);
            match self.ways.get(index) {
                Some(Way::Interleaved { rtcp, .. }) => {
                    let mut out = BytesMut::new();
                    write_interleaved(*rtcp, size, &mut out);
                    out.extend_from_slice(&report);
                    interleaved.push(out.freeze());
                }
                Some(Way::Datagrams { pair, .. }) if pair.rtcp.peer().is_some() => {
                    // It may be lost like any other datagram.
                    self.written += pair.rtcp.send(&report, size).unwrap_or_default() as u64;
                }
                _ => {}
            }
        }
        interleaved
    }

    /// Makes the totals known to those who ask the session; those of the connection are added.
    pub(super) fn publish_totals(&self, read: u64, written: u64) {
        self.session.set_totals(read + self.read, written + self.written);
    }
}

impl Drop for Receiving {
    /// No packet follows but those that are there already.
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Running(_)) {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..LAST_TURNS {
            if !matches!(self.poll_receive(&mut context), Poll::Ready(Ok(()))) {
                break;
            }
        }
        if let Stage::Running(ingest) = &mut self.stage {
            ingest.finish(Instant::now());
        }
    }
}

/// Writes a report, unless the peer has not even read those before: some never read, and do no harm
/// otherwise. How many bytes went out.
pub(super) async fn offer(conn: &mut Conn, report: &[u8]) -> Result<usize, EndReason> {
    let written = poll_fn(|cx| match Pin::new(&mut *conn).poll_write(cx, report) {
        Poll::Ready(written) => Poll::Ready(written),
        Poll::Pending => Poll::Ready(Ok(0)),
    });
    let written = written.await?;
    match report.get(written..) {
        // What has begun must come to its end.
        Some(rest) if written > 0 && !rest.is_empty() => {
            match timeout(WRITE_TIMEOUT, conn.write_all(rest)).await {
                Ok(sent) => sent?,
                Err(_) => return Err(EndReason::Timeout("the peer reads nothing")),
            }
            Ok(report.len())
        }
        _ => Ok(written),
    }
}

/// Takes datagrams of all sockets, those of the `first` track first: track, whether RTCP, and what
/// came. Ready also when all that came is not the peer's.
fn poll_ways(
    cx: &mut Context<'_>,
    ways: &[Way],
    first: usize,
    room: &mut Room,
) -> Poll<Vec<(usize, bool, Bytes)>> {
    let mut received = Vec::new();
    let mut any = false;
    let all = ways.iter().enumerate();
    for (index, way) in all.clone().skip(first).chain(all.take(first)) {
        let Way::Datagrams { pair, peer, source } = way else { continue };
        for (socket, control) in [(&pair.rtp, false), (&pair.rtcp, true)] {
            for _ in 0..DATAGRAMS_PER_TURN {
                let Poll::Ready(came) = socket.poll_receive(cx, room) else { break };
                any = true;
                // An error tells of a report that did not arrive.
                let Ok((datagram, from)) = came else { continue };
                let is_its = is_from(from, *peer, socket.peer())
                    || source.is_some_and(|source| is_from(from, source, socket.peer()));
                if is_its
                    // The first packet tells the way back, whatever NAT is between.
                    && (socket.peer().is_some() || socket.connect(from).is_ok())
                {
                    received.push((index, control, datagram));
                }
            }
        }
    }
    if any { Poll::Ready(received) } else { Poll::Pending }
}

fn is_from(from: SocketAddr, host: IpAddr, known: Option<SocketAddr>) -> bool {
    from.ip() == host && known.is_none_or(|known| known == from)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use net::Ports;

    use super::*;

    #[tokio::test]
    async fn a_track_that_floods_leaves_its_turn_to_the_others() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = Ports::new(0..=0);
        let pairs = [ports.pair(host).unwrap(), ports.pair(host).unwrap()];
        let sender = ports.pair(host).unwrap();
        let send = |pair: &Pair, count: usize| {
            let to = SocketAddr::new(host, pair.rtp.port().unwrap());
            for _ in 0..count {
                sender.rtp.send_to(&[0x80; 12], to).unwrap();
            }
        };
        send(&pairs[0], 3 * DATAGRAMS_PER_TURN);
        send(&pairs[1], 1);
        let ways = pairs.map(|pair| Way::Datagrams { pair, peer: host, source: None });
        let mut room = Room::default();
        let received = poll_fn(|cx| poll_ways(cx, &ways, 0, &mut room)).await;
        let of = |track| received.iter().filter(|(index, ..)| *index == track).count();
        assert_eq!((of(0), of(1)), (DATAGRAMS_PER_TURN, 1));
    }

    #[tokio::test]
    async fn whoever_never_reads_reports_gets_none_and_is_not_waited_for() {
        let (mut ours, theirs) = net::pair().unwrap();
        let report = [7; 1_000];
        let mut refused = 0;
        for _ in 0..10_000 {
            refused += usize::from(offer(&mut ours, &report).await.unwrap() == 0);
            if refused == 10 {
                break;
            }
        }
        assert_eq!(refused, 10);
        // What went out is whole.
        let (mut theirs, mut got) = (theirs, BytesMut::new());
        drop(ours);
        while tokio::io::AsyncReadExt::read_buf(&mut theirs, &mut got).await.unwrap() > 0 {}
        assert_eq!(got.len() % report.len(), 0);
    }
}
