//! Packets on a connection, which the device makes or which we make.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use ::rtp::framing::{self, Reader};
use hub::{EndReason, Targets};
use net::{Conn, Connecting, Listener, Listening};
use tokio::io::AsyncReadExt;
use tracing::{debug, info, warn};

use super::reception::Reception;

/// Bytes that are read at once: a few frames.
pub(super) const READ_BUFFER: usize = 16 << 10;

/// There is no handshake that could take time.
const NO_TIME: Duration = Duration::ZERO;

/// Waits for the device to connect, and takes its packets, until the session ends. A new connection
/// takes the place of the one before: devices connect again without having closed. Why it ended.
pub(super) async fn listen(reception: &mut Reception, listening: Listening) -> EndReason {
    let listener = match listening.start() {
        Ok(listener) => listener,
        Err(error) => return EndReason::Io(error.to_string()),
    };
    let mut conn = None;
    loop {
        let outcome = match conn.take() {
            None => wait(reception, &listener).await,
            Some(conn) => take(reception, conn, Some(&listener)).await,
        };
        match outcome {
            Ok(next) => conn = next,
            Err(reason) => return reason,
        }
    }
}

/// Waits for a connection from somebody who may connect.
async fn wait(reception: &mut Reception, listener: &Listener) -> Result<Option<Conn>, EndReason> {
    let session = reception.session().clone();
    loop {
        tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
            connecting = listener.accept() => {
                if let Some(conn) = admit(reception, connecting).await {
                    return Ok(Some(conn));
                }
            }
            outcome = reception.tick() => outcome?,
        }
    }
}

/// Takes a connection, if the peer may connect.
async fn admit(reception: &mut Reception, connecting: Connecting) -> Option<Conn> {
    let peer = connecting.peer();
    reception.forget_sender();
    if !reception.adopt(peer) {
        return None;
    }
    connecting.establish(NO_TIME).await.ok()
}

/// Connects to the device, and takes its packets until the session ends. Why it ended.
pub(super) async fn connect(reception: &mut Reception, host: &str, port: u16) -> EndReason {
    let session = reception.session().clone();
    let limit = reception.context().settings.load().ps.connect_timeout;
    let connected = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
        connected = net::connect(host, port, None, Targets::Any, limit) => connected,
    };
    let conn = match connected {
        Ok(conn) => conn,
        Err(error) => {
            return EndReason::Io(format!("cannot connect to {host}:{port}: {error}"));
        }
    };
    if let Ok(peer) = conn.peer_addr()
        && !reception.adopt(peer)
    {
        return EndReason::Refused("this address is blocked, or has too many connections".into());
    }
    take(reception, conn, None).await.err().unwrap_or(EndReason::PeerClosed)
}

/// Takes the packets of a connection. Returns when it has ended and another may come: with that one,
/// if it is there already.
///
/// # Errors
/// Why the session is over.
async fn take(
    reception: &mut Reception,
    mut conn: Conn,
    listener: Option<&Listener>,
) -> Result<Option<Conn>, EndReason> {
    let session = reception.session().clone();
    let (mut reader, mut buffer) = (Reader::new(), vec![0; READ_BUFFER]);
    loop {
        let next = async {
            match listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
            read = conn.read(&mut buffer) => read,
            connecting = next => {
                if let Some(conn) = admit(reception, connecting).await {
                    info!(session = %session.id(), "another connection takes the place of the last");
                    return Ok(Some(conn));
                }
                continue;
            }
            outcome = reception.tick() => match outcome {
                Ok(()) => continue,
                Err(reason) => return Err(reason),
            },
        };
        let ended = match read {
            Ok(0) => EndReason::PeerClosed,
            Ok(length) => {
                reader.push(buffer.get(..length).unwrap_or_default());
                match packets(reception, &mut reader)? {
                    Ok(()) => continue,
                    Err(error) => {
                        warn!(session = %session.id(), %error, "the connection carries no RTP");
                        EndReason::Protocol(error.to_string())
                    }
                }
            }
            Err(error) => error.into(),
        };
        reception.forget_sender();
        if listener.is_none() {
            return Err(ended);
        }
        debug!(session = %session.id(), reason = %ended, "waits for another connection");
        return Ok(None);
    }
}

/// Takes the packets that are whole. The connection is of no use after an error of its framing.
pub(super) fn packets(
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
