//! Packets on a connection, which the device makes or which we make.
//!
//! Whoever connects is a caller at first: it carries the stream from its first packet on, so that
//! scanners of ports and the like disturb nobody.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ::rtp::framing::{self, Reader};
use ::rtp::packet::is_rtcp;
use bytes::Bytes;
use hub::{EndReason, Targets};
use net::{Conn, Connecting, Listener, Listening};
use tokio::io::AsyncReadExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::reception::Reception;
use crate::admission::Admitted;

/// Bytes that are read at once: a few frames.
pub(super) const READ_BUFFER: usize = 16 << 10;

/// There is no handshake that could take time.
const NO_TIME: Duration = Duration::ZERO;

/// Connections that have sent no packet yet. Of more, the oldest is closed.
const MAX_CALLERS: usize = 8;

/// How long a connection may carry nothing until its first packet: some devices connect before they
/// have anything to send.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that carries the stream.
struct Carrier {
    conn: Conn,
    reader: Reader,
}

/// A connection whose first packet has come.
struct Caller {
    carrier: Carrier,
    admitted: Admitted,
    first: Bytes,
}

/// Connections whose first packet has not come.
#[derive(Default)]
struct Callers {
    tasks: JoinSet<Option<Caller>>,
    handles: VecDeque<(IpAddr, AbortHandle)>,
}

/// Waits for the device to connect, and takes its packets, until the session ends. A new connection
/// may take the place of the one before: devices connect again without having closed. Why it ended.
pub(super) async fn listen(reception: &mut Reception, listening: Listening) -> EndReason {
    let listener = match listening.start() {
        Ok(listener) => listener,
        Err(error) => return EndReason::Io(error.to_string()),
    };
    carry(reception, Some(&listener), None).await
}

/// Connects to the device, and takes its packets until the session ends. Why it ended.
pub(super) async fn connect(
    reception: &mut Reception,
    host: &str,
    port: u16,
    targets: Targets,
) -> EndReason {
    let session = reception.session().clone();
    let limit = reception.context().settings.load().ps.connect_timeout;
    let connected = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
        connected = net::connect(host, port, None, targets, limit) => connected,
    };
    let peer = connected.and_then(|conn| Ok((conn.peer_addr()?, conn)));
    let (peer, conn) = match peer {
        Ok(connected) => connected,
        Err(error) => {
            return EndReason::Io(format!("cannot connect to {host}:{port}: {error}"));
        }
    };
    let Some(admitted) = reception.admit(peer) else {
        return EndReason::Refused("this address is blocked, or has too many connections".into());
    };
    reception.adopt(admitted);
    carry(reception, None, Some(Carrier { conn, reader: Reader::new() })).await
}

/// Takes the packets of a connection until the session ends. Why it ended: without a listener, the
/// end of the connection is that of the session; with one, others may follow it, or take its place.
async fn carry(
    reception: &mut Reception,
    listener: Option<&Listener>,
    mut carrier: Option<Carrier>,
) -> EndReason {
    let session = reception.session().clone();
    let (mut callers, mut buffer) = (Callers::default(), vec![0; READ_BUFFER]);
    loop {
        let outcome = tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
            read = read(&mut carrier, &mut buffer) => {
                match received(reception, &mut carrier, read, &buffer) {
                    Ok(Some(reason)) if listener.is_some() => {
                        debug!(session = %session.id(), %reason, "waits for another connection");
                        Ok(())
                    }
                    Ok(Some(reason)) => Err(reason),
                    Ok(None) => Ok(()),
                    Err(reason) => Err(reason),
                }
            }
            connecting = accept(listener) => {
                if let Some(admitted) = reception.admit(connecting.peer()) {
                    callers.hear(connecting, admitted, |host| reception.is_home(host));
                }
                Ok(())
            }
            Some(caller) = callers.tasks.join_next() => match caller {
                Ok(Some(caller)) => replace(reception, &mut carrier, caller),
                // It had nothing to say, or was one too many.
                Ok(None) | Err(_) => Ok(()),
            },
            outcome = reception.tick() => outcome,
        };
        if let Err(reason) = outcome {
            return reason;
        }
    }
}

/// Who connects, if anybody may.
async fn accept(listener: Option<&Listener>) -> Connecting {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

impl Callers {
    /// Waits for the first packet of a connection. Those from where the device is are not closed for
    /// those of others.
    fn hear(
        &mut self,
        connecting: Connecting,
        admitted: Admitted,
        is_home: impl Fn(IpAddr) -> bool,
    ) {
        self.handles.retain(|(_, handle)| !handle.is_finished());
        if self.handles.len() >= MAX_CALLERS {
            let stranger = self.handles.iter().position(|(host, _)| !is_home(*host));
            if let Some((_, handle)) = self.handles.remove(stranger.unwrap_or(0)) {
                handle.abort();
            }
        }
        let host = admitted.peer().ip();
        let first = async { timeout(PATIENCE, introduce(connecting, admitted)).await.ok()? };
        self.handles.push_back((host, self.tasks.spawn_local(first)));
    }
}

/// Waits for the first packet.
async fn introduce(connecting: Connecting, admitted: Admitted) -> Option<Caller> {
    let mut conn = connecting.establish(NO_TIME).await.ok()?;
    let (mut reader, mut buffer) = (Reader::new(), vec![0; READ_BUFFER]);
    loop {
        match reader.poll() {
            Ok(Some(first)) if !is_rtcp(&first) => {
                return Some(Caller { carrier: Carrier { conn, reader }, admitted, first });
            }
            Ok(Some(_)) => {}
            Ok(None) => match conn.read(&mut buffer).await {
                Ok(length) if length > 0 => reader.push(buffer.get(..length).unwrap_or_default()),
                _ => return None,
            },
            Err(error) => {
                debug!(peer = %admitted.peer(), proto = "PS", %error, "carries no RTP");
                return None;
            }
        }
    }
}

/// Takes a connection in the place of the one there is, if that one gives way: to another of the
/// same host at once, to others when it is silent.
fn replace(
    reception: &mut Reception,
    carrier: &mut Option<Carrier>,
    caller: Caller,
) -> Result<(), EndReason> {
    let (now, peer) = (Instant::now(), caller.admitted.peer());
    let id = reception.session().id().clone();
    if carrier.is_some() {
        if !reception.is_heard_from(peer.ip()) && !reception.yields_to(peer.ip(), now) {
            debug!(session = %id, %peer, "is not heard: another one sends");
            reception.count_foreign();
            return Ok(());
        }
        info!(session = %id, %peer, "another connection takes the place of the last");
    }
    reception.adopt(caller.admitted);
    *carrier = Some(caller.carrier);
    // Reports on connections are rare, and nobody waits for an answer.
    drop(reception.take(&caller.first, now)?);
    // What had come with the first packet.
    received(reception, carrier, Ok(None), &[]).map(drop)
}

/// What comes on the connection, if there is one.
async fn read(carrier: &mut Option<Carrier>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match carrier {
        Some(carrier) => carrier.conn.read(buffer).await.map(Some),
        None => std::future::pending().await,
    }
}

/// Takes what was read. When that was the end of the connection, why it ended.
///
/// # Errors
/// Why the session is over.
fn received(
    reception: &mut Reception,
    carrier: &mut Option<Carrier>,
    read: io::Result<Option<usize>>,
    buffer: &[u8],
) -> Result<Option<EndReason>, EndReason> {
    let Some(Carrier { reader, .. }) = carrier else { return Ok(None) };
    let ended = match read {
        Ok(Some(0)) => EndReason::PeerClosed,
        Ok(length) => {
            reader.push(buffer.get(..length.unwrap_or(0)).unwrap_or_default());
            match packets(reception, reader)? {
                Ok(()) => return Ok(None),
                Err(error) => {
                    let session = reception.session();
                    warn!(session = %session.id(), %error, "the connection carries no RTP");
                    EndReason::Protocol(error.to_string())
                }
            }
        }
        Err(error) => error.into(),
    };
    reception.forget_sender();
    *carrier = None;
    Ok(Some(ended))
}

/// Takes the packets that are whole. The connection is of no use after an error of its framing.
fn packets(
    reception: &mut Reception,
    reader: &mut Reader,
) -> Result<Result<(), framing::Error>, EndReason> {
    loop {
        match reader.poll() {
            // Reports on connections are rare, and nobody waits for an answer.
            Ok(Some(packet)) => drop(reception.take(&packet, Instant::now())?),
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}
