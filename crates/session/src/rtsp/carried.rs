//! RTSP in something else: in a WebSocket, where each message is a message or a packet of RTSP; and
//! in two requests of HTTP, as QuickTime and VMS do it to get through proxies: a `GET` whose answer
//! never ends, and a `POST` whose body, in Base64, never ends.
//!
//! What is carried runs through a pair of sockets, so that the session at its other end is like any
//! other. That costs a copy more. The carrier counts as the connection that it is until it ends,
//! and does not outlive its session for longer than a peer may take to read.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ::rtsp::message::{Decoder, INTERLEAVED_HEADER, Incoming, write_interleaved};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use net::{Conn, Shard};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};
use ws::frame::{self, Event, Opcode, Reader, close_frame, pong_frame, write_frame_header};
use ws::response::switching_protocols;
use ws::{Cors, Responder, Status};

use super::{Connection, Rtsp, WRITE_TIMEOUT};
use crate::admission::Admitted;
use crate::http::read_head;

/// What a client may send in one message of a WebSocket: a request with a description.
const MAX_MESSAGE: usize = 128 << 10;

/// Pieces of the second half of a tunnel that wait for the first.
const QUEUE: usize = 16;

/// Bytes that are copied at once: a client that reads slowly gets them within the time that
/// it has.
const COPIED: usize = 8 << 10;

/// Tunnels that wait for their second half. Those that have it count as what they are: connections.
const MAX_WAITING: usize = 1_024;

/// The tunnels of a server, by cookie.
#[derive(Debug, Default)]
pub(super) struct Tunnels(HashMap<String, Tunnel>);

#[derive(Debug)]
struct Tunnel {
    /// Takes what the second half brings, and is closed when the first one ends.
    queue: mpsc::Sender<Bytes>,
    /// A second half has come.
    is_whole: bool,
}

impl Tunnels {
    /// A first half has come.
    ///
    /// # Errors
    /// What it is told, if it cannot be taken.
    fn open(&mut self, cookie: String, queue: mpsc::Sender<Bytes>) -> Result<(), Status> {
        self.0.retain(|_, tunnel| !tunnel.queue.is_closed());
        if self.0.contains_key(&cookie) {
            return Err(Status::CONFLICT);
        }
        if self.0.values().filter(|tunnel| !tunnel.is_whole).count() >= MAX_WAITING {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        self.0.insert(cookie, Tunnel { queue, is_whole: false });
        Ok(())
    }

    /// A second half has come, the first of its tunnel or another one. Where it leads to.
    fn join(&mut self, cookie: &str) -> Option<mpsc::Sender<Bytes>> {
        let tunnel = self.0.get_mut(cookie)?;
        tunnel.is_whole = true;
        Some(tunnel.queue.clone())
    }
}

/// Leads a connection whose RTSP comes in a WebSocket.
pub(super) async fn websocket(
    shard: Rc<Shard>,
    rtsp: Arc<Rtsp>,
    mut conn: Conn,
    admitted: Admitted,
) {
    let peer = admitted.peer();
    let limit = rtsp.context.settings.load().rtsp.protocol.setup_timeout;
    let head = timeout(limit, read_head(&shard, &mut conn)).await;
    let (request, bytes, consumed) = match head {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            warn!(%peer, proto = "RTSP", %error, "request refused");
            conn.close(Responder::unparsed().error(&error)).await;
            return;
        }
    };
    let responder = Responder::new(&request, Cors::Any).closing();
    let accepted = match request.upgrade() {
        Ok(Some(upgrade)) => switching_protocols(&upgrade, &["rtsp"]),
        Ok(None) => {
            let text = "this port carries RTSP in a WebSocket: connect to it with ws://";
            conn.close(responder.text(Status::UPGRADE_REQUIRED, text)).await;
            return;
        }
        Err(error) => {
            conn.close(responder.error(&error)).await;
            return;
        }
    };
    let (inner, outer) = match net::pair() {
        Ok(pair) => pair,
        Err(error) => {
            warn!(%peer, proto = "RTSP", %error, "no sockets are left");
            return;
        }
    };
    let (read, mut write) = split(conn);
    if say(&mut write, &accepted).await.is_none() {
        return;
    }
    let beyond = bytes.slice(consumed..);
    let admitted = Rc::new(admitted);
    shard.spawn(carry_messages(outer, read, write, beyond, admitted.clone()));
    Connection::new(shard, rtsp, inner, admitted, None).run().await;
}

async fn carry_messages(
    inner: Conn,
    mut read: ReadHalf<Conn>,
    mut write: WriteHalf<Conn>,
    beyond: Bytes,
    _admitted: Rc<Admitted>,
) {
    let (mut from_session, mut to_session) = split(inner);
    let (answers, mut waiting) = mpsc::channel::<Bytes>(QUEUE);
    let incoming = async move {
        let mut reader = Reader::new(frame::Role::Server, MAX_MESSAGE);
        let mut buffer = BytesMut::from(&beyond[..]);
        loop {
            let mut bytes = &buffer[..];
            while let Some(event) = reader.decode(&mut bytes).ok()? {
                match event {
                    Event::Binary(payload) => to_session.write_all(&payload).await.ok()?,
                    Event::Text(text) => to_session.write_all(text.as_bytes()).await.ok()?,
                    // A client that pings faster than it reads gets no answer.
                    Event::Ping(payload) => drop(answers.try_send(pong_frame(&payload))),
                    Event::Pong(_) => {}
                    Event::Close { .. } => return None::<()>,
                }
            }
            buffer.clear();
            buffer.reserve(COPIED);
            if read.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
    };
    let outgoing = async move {
        let mut decoder = Decoder::new();
        let mut buffer = BytesMut::new();
        loop {
            let mut out = BytesMut::new();
            while let Ok(Some(incoming)) = decoder.poll() {
                message(&incoming, &mut out);
            }
            while let Ok(answer) = waiting.try_recv() {
                out.put_slice(&answer);
            }
            say(&mut write, &out).await?;
            buffer.clear();
            buffer.reserve(COPIED);
            tokio::select! {
                read = from_session.read_buf(&mut buffer) => if read.ok()? == 0 {
                    say(&mut write, &close_frame(1000, "")).await?;
                    return None::<()>;
                },
                answer = waiting.recv() => match answer {
                    Some(answer) => say(&mut write, &answer).await?,
                    None => return None,
                },
            }
            decoder.push(&buffer);
        }
    };
    // Whichever ends first ends the other.
    tokio::select! {
        _ = incoming => {}
        _ = outgoing => {}
    }
}

/// Writes to the client, which may take so long to read it; `None` when it has gone or does not.
async fn say(write: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Option<()> {
    timeout(WRITE_TIMEOUT, write.write_all(bytes)).await.ok()?.ok()
}

/// What the session says, as a message of a WebSocket.
fn message(incoming: &Incoming, out: &mut BytesMut) {
    match incoming {
        Incoming::Data { channel, payload } => {
            write_frame_header(out, Opcode::Binary, true, INTERLEAVED_HEADER + payload.len());
            write_interleaved(*channel, u16::try_from(payload.len()).unwrap_or(u16::MAX), out);
            out.put_slice(payload);
        }
        Incoming::Response(response) => {
            let bytes = response.to_bytes();
            write_frame_header(out, Opcode::Binary, true, bytes.len());
            out.put_slice(&bytes);
        }
        // Sessions do not ask.
        Incoming::Request(_) => {}
    }
}

/// Leads one half of a tunnel. The connection has said nothing but the head of its request.
pub(super) async fn tunnel(connection: Connection, post: bool, cookie: String) {
    if post { second_half(connection, &cookie).await } else { first_half(connection, cookie).await }
}

async fn first_half(connection: Connection, cookie: String) {
    let Connection { shard, mut conn, state } = connection;
    let rtsp = state.rtsp.clone();
    let (queue, mut coming) = mpsc::channel(QUEUE);
    let opened = rtsp.tunnels.lock().open(cookie, queue);
    if let Err(status) = opened {
        let peer = state.admitted.peer();
        debug!(%peer, status = status.code(), "tunnel refused");
        let text = "this tunnel cannot be opened now: try again with another x-sessioncookie";
        conn.close(Responder::unparsed().text(status, text)).await;
        return;
    }
    let head = b"HTTP/1.0 200 OK\r\nServer: Headwater\r\nConnection: close\r\n\
                 Cache-Control: no-store\r\nPragma: no-cache\r\n\
                 Content-Type: application/x-rtsp-tunnelled\r\n\r\n";
    let Ok((inner, outer)) = net::pair() else { return };
    if say(&mut conn, head).await.is_none() {
        return;
    }
    let admitted = state.admitted.clone();
    let relay = async move {
        let _admitted = admitted;
        let (mut from_session, mut to_session) = split(outer);
        let (mut read, mut write) = split(conn);
        let incoming = async {
            let mut digits = Vec::new();
            while let Some(bytes) = coming.recv().await {
                let decoded = decode(&mut digits, &bytes)?;
                to_session.write_all(&decoded).await.ok()?;
            }
            None::<()>
        };
        // The client has no more to say here: this hears it go.
        let gone = async {
            let mut ignored = [0; 256];
            while read.read(&mut ignored).await.ok()? > 0 {}
            None::<()>
        };
        let outgoing = async {
            let mut room = vec![0; COPIED];
            loop {
                match from_session.read(&mut room).await.ok()? {
                    0 => return None::<()>,
                    length => say(&mut write, room.get(..length)?).await?,
                }
            }
        };
        tokio::select! {
            _ = incoming => {}
            _ = gone => {}
            _ = outgoing => {}
        }
    };
    shard.spawn(relay);
    Connection::new(shard, rtsp, inner, state.admitted, None).run().await;
}

async fn second_half(connection: Connection, cookie: &str) {
    let Connection { shard, mut conn, state } = connection;
    let Some(queue) = state.rtsp.tunnels.lock().join(cookie) else {
        debug!(peer = %state.admitted.peer(), "a tunnel has no first half");
        return;
    };
    let rest = state.machine.into_rest();
    if !rest.is_empty() && queue.send(rest).await.is_err() {
        return;
    }
    loop {
        let read = tokio::select! {
            read = shard.read(&mut conn, Bytes::copy_from_slice) => read,
            () = queue.closed() => return,
        };
        match read {
            // The client may close this half and open another.
            Ok(None) | Err(_) => return,
            Ok(Some(bytes)) => {
                if queue.send(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Decodes Base64 that comes in pieces; `digits` keeps what is less than a quantum. `None` for what
/// is no Base64.
fn decode(digits: &mut Vec<u8>, bytes: &[u8]) -> Option<Vec<u8>> {
    digits.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut decoded = Vec::new();
    // Each request is padded by itself.
    for quantum in digits.chunks_exact(4) {
        decoded.extend(STANDARD.decode(quantum).ok()?);
    }
    digits.drain(..digits.len() / 4 * 4);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_that_wait_count() {
        let mut tunnels = Tunnels::default();
        let (queue, coming) = mpsc::channel(1);
        let open = |tunnels: &mut Tunnels, n: usize| tunnels.open(n.to_string(), queue.clone());
        for n in 0..MAX_WAITING {
            open(&mut tunnels, n).unwrap();
            tunnels.join(&n.to_string()).unwrap();
        }
        assert_eq!(open(&mut tunnels, 0), Err(Status::CONFLICT));
        for n in MAX_WAITING..2 * MAX_WAITING {
            open(&mut tunnels, n).unwrap();
        }
        assert_eq!(open(&mut tunnels, 5_000), Err(Status::SERVICE_UNAVAILABLE));
        // Clients may bring one second half after the other.
        assert!(tunnels.join("0").is_some() && tunnels.join("1024").is_some());
        open(&mut tunnels, 5_000).unwrap();
        drop(coming);
        assert!(tunnels.open("new".to_owned(), mpsc::channel(1).0).is_ok());
        assert_eq!(tunnels.0.len(), 1);
    }

    #[test]
    fn base64_comes_in_any_pieces() {
        let text = format!("{}{}", STANDARD.encode("OPTIONS *"), STANDARD.encode("PLAY x y\r\n"));
        for size in 1..text.len() {
            let mut digits = Vec::new();
            let mut all = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                all.extend(decode(&mut digits, piece).unwrap());
            }
            assert_eq!(all, b"OPTIONS *PLAY x y\r\n");
        }
        assert_eq!(decode(&mut Vec::new(), b"!!!!"), None);
    }
}
