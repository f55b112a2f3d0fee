//! Packets as datagrams, to a port of their own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hub::EndReason;
use net::{BoundPair, Datagrams, Room};

use super::reception::Reception;

/// Datagrams that are taken in one turn; other sessions of the shard get theirs then.
const DATAGRAMS_PER_TURN: usize = 64;

/// Takes datagrams until the session ends. Why it ended.
pub(super) async fn run(reception: &mut Reception, pair: BoundPair) -> EndReason {
    let (rtp, rtcp) = match pair.watch_each() {
        Ok(sockets) => sockets,
        Err(error) => return EndReason::Io(error.to_string()),
    };
    let (session, mut room) = (reception.session().clone(), Room::default());
    loop {
        let came = tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
            came = receive(&rtp, rtcp.as_ref(), &mut room) => came,
            outcome = reception.tick() => match outcome {
                Ok(()) => continue,
                Err(reason) => return reason,
            },
        };
        let now = Instant::now();
        for Came { datagram, from, control } in came {
            if !reception.hears(&datagram, from, now) {
                continue;
            }
            match reception.take(&datagram, now) {
                Ok(Some(answer)) => {
                    let socket = rtcp.as_ref().filter(|_| control).unwrap_or(&rtp);
                    // It may be lost like any other datagram.
                    let _ = socket.send_to(&answer, from);
                }
                Ok(None) => {}
                Err(reason) => return reason,
            }
        }
    }
}

/// A datagram, and which socket it came to.
pub(super) struct Came {
    pub(super) datagram: Bytes,
    pub(super) from: SocketAddr,
    control: bool,
}

/// Waits for datagrams, and takes those that are there. What comes to the port for RTCP is dropped
/// unless it is RTCP.
pub(super) async fn receive(
    rtp: &Rc<Datagrams>,
    rtcp: Option<&Rc<Datagrams>>,
    room: &mut Room,
) -> Vec<Came> {
    poll_fn(|cx| poll_receive(cx, rtp, rtcp, room)).await
}

fn poll_receive(
    cx: &mut Context<'_>,
    rtp: &Rc<Datagrams>,
    rtcp: Option<&Rc<Datagrams>>,
    room: &mut Room,
) -> Poll<Vec<Came>> {
    let (mut came, mut taken) = (Vec::new(), 0);
    for (socket, control) in [(Some(rtp), false), (rtcp, true)] {
        let Some(socket) = socket else { continue };
        while taken < DATAGRAMS_PER_TURN {
            let Poll::Ready(received) = socket.poll_receive(cx, room) else { break };
            taken += 1;
            // An error tells of a report that did not arrive.
            let Ok((datagram, from)) = received else { continue };
            if !control || ::rtp::packet::is_rtcp(&datagram) {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                came.push(Came { datagram, from, control });
            }
        }
    }
    if taken == 0 { Poll::Pending } else { Poll::Ready(came) }
}
