//! Requests to HTTP servers: the head of the answer, then its body as it comes.

use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use hub::{EndReason, Session};
use net::{Conn, Shard};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use ws::client::{Key, Response, chunked, get, get_and_keep};
use ws::frame::{self, Opcode, write_masked_frame};
use ws::head::Limits;

use super::{HttpUrl, MAX_REDIRECTIONS, Remote};
use crate::via;

/// The longest WebSocket message that a server may send: a large frame.
const MAX_MESSAGE: usize = 16 << 20;

/// How much of the text of a refusal is told.
const MAX_TEXT: usize = 200;

/// How long a server may take to read what we say.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer of which the body is still to come.
pub(super) struct Answer {
    /// Who has answered, after redirections.
    pub(super) url: HttpUrl,
    /// 200, 206, or 101 for a WebSocket.
    pub(super) body: Body,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The session or the connection has ended.
    Ended(EndReason),
    /// The server has answered with another status, and this text.
    Status(u16, String),
}

impl From<EndReason> for Failure {
    fn from(reason: EndReason) -> Self {
        Self::Ended(reason)
    }
}

impl From<Failure> for EndReason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Ended(reason) => reason,
            Failure::Status(status, text) => {
                Self::Refused(format!("the server answers {status}: {text}"))
            }
        }
    }
}

fn malformed(error: &ws::client::Error) -> EndReason {
    EndReason::Protocol(error.to_string())
}

/// Asks for something; follows redirections.
pub(super) async fn request(
    shard: &Rc<Shard>,
    session: &Session,
    remote: &Remote,
    mut url: HttpUrl,
    extra: &[(&str, &str)],
) -> Result<Answer, Failure> {
    for _ in 0..=MAX_REDIRECTIONS {
        let mut conn = super::connect(session, remote, &url.host, url.port, url.secure).await?;
        let key = Key::new(nonce());
        let ask = if url.websocket { Ask::Upgrade(&key) } else { Ask::Once };
        let (response, rest) = ask.of(shard, session, remote, &mut conn, &url, extra).await?;
        if let Some(location) = response.redirect() {
            url = url.join(location).map_err(|error| EndReason::Refused(error.to_string()))?;
            continue;
        }
        let mut body = Body::of(&response, conn, url.websocket, rest);
        let status = response.status().code();
        if url.websocket && status == 101 {
            key.verify(&response, &[]).map_err(|error| malformed(&error))?;
        } else if url.websocket || !matches!(status, 200 | 206) {
            return Err(body.refusal(shard, session, remote, status).await);
        }
        return Ok(Answer { url, body });
    }
    let text = format!("the server sent us elsewhere more than {MAX_REDIRECTIONS} times");
    Err(EndReason::Refused(text).into())
}

/// How something is asked for.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// The connection is for this answer alone.
    Once,
    /// The connection is for other requests as well.
    More,
    /// It becomes a WebSocket.
    Upgrade(&'a Key),
}

impl Ask<'_> {
    /// Sends the request, and reads the head of the answer; what came behind it.
    pub(super) async fn of(
        self,
        shard: &Rc<Shard>,
        session: &Session,
        remote: &Remote,
        conn: &mut Conn,
        url: &HttpUrl,
        extra: &[(&str, &str)],
    ) -> Result<(Response, Bytes), EndReason> {
        let login = url.credentials.as_ref().map(|(user, password)| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let mut extra = extra.to_vec();
        if !remote.via.is_empty() {
            extra.push((via::FIELD, &remote.via));
        }
        extra.extend(login.as_deref().map(|login| ("Authorization", login)));
        let host = url.host_field();
        let head = match self {
            Self::Once => get(&host, &url.target, &extra),
            Self::More => get_and_keep(&host, &url.target, &extra),
            Self::Upgrade(key) => key.upgrade(&host, &url.target, &[], &extra),
        };
        send(conn, &head.map_err(|error| malformed(&error))?).await?;
        head_of(shard, session, conn, Instant::now() + remote.patience).await
    }
}

async fn send(conn: &mut Conn, bytes: &[u8]) -> Result<(), EndReason> {
    let sending = async {
        conn.write_all(bytes).await?;
        conn.flush().await
    };
    match timeout(WRITE_TIMEOUT, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(EndReason::Timeout("the server reads nothing")),
    }
}

/// The head of an answer, and what came behind it.
async fn head_of(
    shard: &Rc<Shard>,
    session: &Session,
    conn: &mut Conn,
    until: Instant,
) -> Result<(Response, Bytes), EndReason> {
    let limits = Limits::default();
    let mut bytes = BytesMut::new();
    loop {
        let more = read(shard, session, conn, until, |read| bytes.extend_from_slice(read)).await?;
        let parsed = Response::parse(&bytes, &limits).map_err(|error| malformed(&error))?;
        if let Some((response, consumed)) = parsed {
            bytes.advance(consumed);
            return Ok((response, bytes.freeze()));
        }
        if !more {
            return Err(EndReason::PeerClosed);
        }
    }
}

/// Reads once. `false` at the end.
async fn read(
    shard: &Rc<Shard>,
    session: &Session,
    conn: &mut Conn,
    until: Instant,
    mut take: impl FnMut(&[u8]),
) -> Result<bool, EndReason> {
    let mut count = 0;
    let read = shard.read(conn, |bytes| {
        count = bytes.len();
        take(bytes);
    });
    let more = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
        read = read => read?.is_some(),
        () = tokio::time::sleep_until(until.into()) => {
            return Err(EndReason::Timeout("the server sends nothing"));
        }
    };
    let totals = session.statistics();
    session.set_totals(totals.read_bytes + count as u64, totals.written_bytes);
    Ok(more)
}

/// How a body is wrapped.
enum Framing {
    Bare,
    Length(u64),
    Chunked(chunked::Reader),
    WebSocket(frame::Reader),
    Over,
}

/// A body that is coming.
pub(super) struct Body {
    conn: Conn,
    framing: Framing,
    /// What came with the head.
    rest: Bytes,
}

impl Body {
    /// What follows the head of an answer on a connection; `rest` has come already.
    pub(super) fn of(response: &Response, conn: Conn, websocket: bool, rest: Bytes) -> Self {
        let framing = match response.body() {
            _ if websocket => {
                Framing::WebSocket(frame::Reader::new(frame::Role::Client, MAX_MESSAGE))
            }
            ws::Body::Chunked => Framing::Chunked(chunked::Reader::default()),
            ws::Body::Length(0) | ws::Body::Empty => Framing::Over,
            ws::Body::Length(length) => Framing::Length(length),
            ws::Body::UntilClose => Framing::Bare,
        };
        Self { conn, framing, rest }
    }

    /// The connection, if the body was read to an end that the server has marked.
    pub(super) fn into_conn(self) -> Option<Conn> {
        self.is_over().then_some(self.conn)
    }

    /// What a server says beside a status that is no success.
    pub(super) async fn refusal(
        &mut self,
        shard: &Rc<Shard>,
        session: &Session,
        remote: &Remote,
        status: u16,
    ) -> Failure {
        let mut text = BytesMut::new();
        let until = Instant::now() + remote.patience;
        let read = self.whole(shard, session, until, MAX_TEXT, &mut text).await;
        let text = String::from_utf8_lossy(&text);
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
        // It is a courtesy.
        drop(read);
        Failure::Status(status, text)
    }

    /// Waits for more, and hands it over. `false` at the end.
    pub(super) async fn next(
        &mut self,
        shard: &Rc<Shard>,
        session: &Session,
        until: Instant,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, EndReason> {
        let mut answer = BytesMut::new();
        let mut outcome = Ok(());
        let framing = &mut self.framing;
        let more = if self.rest.is_empty() {
            if matches!(framing, Framing::Over) {
                return Ok(false);
            }
            let conn = &mut self.conn;
            read(shard, session, conn, until, |bytes| {
                outcome = framing.decode(bytes, take, &mut answer);
            })
            .await?
        } else {
            outcome = framing.decode(&std::mem::take(&mut self.rest), take, &mut answer);
            true
        };
        outcome.map_err(EndReason::Protocol)?;
        if !answer.is_empty() {
            send(&mut self.conn, &answer).await?;
        }
        Ok(more)
    }

    /// Reads it to its end, or until there are more than `most` bytes. `false` if there are.
    pub(super) async fn whole(
        &mut self,
        shard: &Rc<Shard>,
        session: &Session,
        until: Instant,
        most: usize,
        out: &mut BytesMut,
    ) -> Result<bool, EndReason> {
        while self.next(shard, session, until, &mut |bytes| out.extend_from_slice(bytes)).await? {
            if out.len() > most {
                return Ok(false);
            }
        }
        if self.is_cut() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(true)
    }

    /// Whether it was read to an end that the server has marked.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.framing, Framing::Over) && self.rest.is_empty()
    }

    /// Whether more was promised than has come, once nothing more comes.
    pub(super) fn is_cut(&self) -> bool {
        !matches!(self.framing, Framing::Bare | Framing::Over)
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        self.conn.close(Bytes::new()).await;
    }
}

impl Framing {
    /// Unwraps bytes; `answer` is what a WebSocket must reply.
    fn decode(
        &mut self,
        mut input: &[u8],
        take: &mut dyn FnMut(&[u8]),
        answer: &mut BytesMut,
    ) -> Result<(), String> {
        let mut over = false;
        match self {
            Self::Bare => take(input),
            Self::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let ours = input.get(..most).unwrap_or(input);
                take(ours);
                *left -= ours.len() as u64;
                over = *left == 0;
            }
            Self::Chunked(chunks) => {
                while let Some(data) = chunks.decode(&mut input).map_err(|e| e.to_string())? {
                    take(data);
                }
                over = chunks.is_done();
            }
            Self::WebSocket(frames) => {
                while let Some(event) = frames.decode(&mut input).map_err(|e| e.to_string())? {
                    match event {
                        frame::Event::Binary(data) => take(&data),
                        frame::Event::Ping(payload) => {
                            let [a, b, c, d, ..] = nonce();
                            let mask = [a, b, c, d];
                            write_masked_frame(answer, Opcode::Pong, true, mask, &payload);
                        }
                        frame::Event::Close { .. } => over = true,
                        frame::Event::Text(_) | frame::Event::Pong(_) => {}
                    }
                }
            }
            Self::Over => {}
        }
        if over {
            *self = Self::Over;
        }
        Ok(())
    }
}

/// Numbers that nobody can foresee.
fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    for (half, number) in nonce.chunks_exact_mut(8).zip(0u8..) {
        half.copy_from_slice(&RandomState::new().hash_one(number).to_be_bytes());
    }
    nonce
}
