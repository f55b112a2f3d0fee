//! A connection over which a device speaks SIP.

use std::sync::Arc;
use std::time::Duration;

use ::gb28181::Peer;
use bytes::Bytes;
use net::Connecting;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::signalling::Arrival;
use crate::context::Context;

/// Bytes that are read at once: a message and more.
const READ_BUFFER: usize = 8 << 10;

/// Messages that wait to be written. A device that does not read them is gone.
const OUTGOING: usize = 64;

/// How long it may take until a device says something: it connects to register.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a device may take to read a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// There is no handshake that could take longer.
const SETUP: Duration = Duration::from_secs(1);

/// Carries messages both ways until either side has enough, or the device says nothing for `idle`.
pub(super) async fn serve(
    context: Arc<Context>,
    number: u64,
    connecting: Connecting,
    input: mpsc::Sender<Arrival>,
    idle: Duration,
) {
    let address = connecting.peer();
    let _admitted = match context.admission.admit(address) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return warn!(peer = %address, proto = "SIP", %refusal, "connection refused");
        }
    };
    let Ok(mut conn) = connecting.establish(SETUP).await else { return };
    let peer = Peer::tcp(number, address);
    let (out, mut outgoing) = mpsc::channel::<Bytes>(OUTGOING);
    if input.send(Arrival::Opened { number, out }).await.is_err() {
        return;
    }
    let mut buffer = vec![0; READ_BUFFER];
    let mut limit = PATIENCE.min(idle);
    let why = loop {
        let came = tokio::select! {
            came = timeout(limit, conn.read(&mut buffer)) => came,
            message = outgoing.recv() => {
                let Some(message) = message else { break "closed" };
                match timeout(WRITE_TIMEOUT, conn.write_all(&message)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => break "closed by the peer",
                    Err(_) => break "the device does not read",
                }
            }
        };
        match came {
            Ok(Ok(length)) if length > 0 => {
                limit = idle;
                let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                if input.send(Arrival::Bytes { peer, bytes }).await.is_err() {
                    return;
                }
            }
            Ok(_) => break "closed by the peer",
            Err(_) => break "the device said nothing",
        }
    };
    // What was answered last is worth the try: a refusal says why.
    while let Ok(message) = outgoing.try_recv() {
        if !matches!(timeout(WRITE_TIMEOUT, conn.write_all(&message)).await, Ok(Ok(()))) {
            break;
        }
    }
    debug!(peer = %address, proto = "SIP", why, "connection ended");
    // Fails when the server stops.
    let _ = input.send(Arrival::Closed { number }).await;
}
