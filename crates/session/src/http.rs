//! HTTP connections: one request head decides whether a viewer of a stream is meant, or the page.
//!
//! Media requests never reach an HTTP library: the connection becomes an entry of the shard's
//! engine, and the packets of all viewers are the same bytes.

mod container;
mod live;
pub(crate) mod login;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hub::gate::Denial;
use hub::{EndReason, Kind, Protocol, Role};
use net::{Conn, Connecting, Shard};
use tokio::time::timeout;
use tracing::{debug, warn};
use ws::head::Limits;
use ws::{Cors, Method, Request, Responder, Status};

use self::container::Container;
use crate::admission::{Admitted, Refusal};
use crate::context::{Context, Settings, Tenure};

/// Serves what is no stream: a connection of which these bytes were read already.
pub type Fallback =
    dyn Fn(Conn, SocketAddr, Bytes) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync + 'static;

/// A request for a stream, and everything that is needed to answer it.
struct Exchange {
    shard: Rc<Shard>,
    context: Arc<Context>,
    conn: Conn,
    request: Request,
    responder: Responder,
    /// What came after the request.
    beyond: Bytes,
    admitted: Admitted,
    read: u64,
}

/// Leads one connection from its request to its end.
pub async fn serve(
    shard: Rc<Shard>,
    context: Arc<Context>,
    fallback: Arc<Fallback>,
    connecting: Connecting,
) {
    let peer = connecting.peer();
    let settings = context.settings.load_full();
    let admitted = context.admission.admit(peer);
    if let Err(refusal) = &admitted
        && connecting.is_tls()
    {
        // To say it takes a handshake, for which there is no room.
        warn!(%peer, proto = "HTTP", %refusal, "connection refused");
        return;
    }
    let mut conn = match connecting.establish(settings.http.head_timeout).await {
        Ok(conn) => conn,
        Err(error) => {
            debug!(%peer, proto = "HTTP", %error, "connection failed");
            return;
        }
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            warn!(%peer, proto = "HTTP", %refusal, "connection refused");
            let status = match refusal {
                Refusal::Blocked => Status::FORBIDDEN,
                _ => Status::SERVICE_UNAVAILABLE,
            };
            conn.close(Responder::unparsed().text(status, &refusal.to_string())).await;
            return;
        }
    };
    let head = timeout(settings.http.head_timeout, read_head(&shard, &mut conn)).await;
    let (request, bytes, consumed) = match head {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            warn!(%peer, proto = "HTTP", %error, "request refused");
            conn.close(Responder::unparsed().error(&error)).await;
            return;
        }
        Err(_) => {
            debug!(%peer, proto = "HTTP", "no request in time");
            let text = "the request did not arrive in time";
            conn.close(Responder::unparsed().text(Status::REQUEST_TIMEOUT, text)).await;
            return;
        }
    };
    let Some(container) = container(request.path(), &settings) else {
        fallback(conn, peer, bytes).await;
        return;
    };
    let responder = Responder::new(&request, Cors::Any).closing();
    let read = bytes.len() as u64;
    let beyond = bytes.slice(consumed..);
    let exchange = Exchange { shard, context, conn, request, responder, beyond, admitted, read };
    exchange.answer(container).await;
}

/// Whether a path is that of endless media, which only [`serve`] serves.
#[must_use]
pub fn is_live(path: &str, context: &Context) -> bool {
    container(path, &context.settings.load()).is_some()
}

/// The container that a path asks for: segments of HLS and recordings have the same endings.
fn container(path: &str, settings: &Settings) -> Option<Container> {
    let is_hls = settings.hls.enable && path.starts_with(&settings.hls.prefix);
    let is_recording = settings.record.public && path.starts_with("/record/");
    Container::of(path, &settings.http).filter(|_| !(is_hls || is_recording))
}

/// Reads until there is a request: it, all that was read, and where the request ends. `None` when
/// the peer closes before.
pub(crate) async fn read_head(
    shard: &Shard,
    conn: &mut Conn,
) -> Result<Option<(Request, Bytes, usize)>, ws::head::Error> {
    let limits = Limits::default();
    let mut bytes = BytesMut::new();
    loop {
        let more = shard.read(conn, |read| bytes.extend_from_slice(read)).await;
        if !matches!(more, Ok(Some(()))) {
            return Ok(None);
        }
        if let Some((request, consumed)) = Request::parse(&bytes, &limits)? {
            return Ok(Some((request, bytes.freeze(), consumed)));
        }
    }
}

impl Exchange {
    async fn answer(self, container: Container) {
        match self.request.method() {
            Method::Options => {
                let preflight = self.responder.preflight(&self.request);
                self.conn.close(preflight).await;
            }
            Method::Get | Method::Head => live::answer(self, container).await,
            Method::Post | Method::Other => {
                let text = "streams are read with GET; publish over RTMP";
                let refusal = self.responder.text(Status::METHOD_NOT_ALLOWED, text);
                self.conn.close(refusal).await;
            }
        }
    }

    /// The peer asks for a stream: its session begins.
    fn open(&self, protocol: Protocol) -> Tenure {
        let kind = Kind { protocol, role: Role::Sub };
        self.context.open(kind, Some(self.admitted.peer()))
    }

    /// Refuses the request to somebody who may not do it.
    async fn deny(self, mut tenure: Tenure, denial: &Denial) {
        let text = denial.to_string();
        tenure.end(&EndReason::Refused(text.clone()));
        let refusal = match denial {
            Denial::Unknown(_) => self.responder.unauthorized(login::CHALLENGE, &text),
            _ => self.responder.text(login::status(denial), &text),
        };
        self.conn.close(refusal).await;
    }

    /// Refuses the request with a text that says what to do.
    async fn refuse(self, mut tenure: Tenure, status: Status, text: &str) {
        tenure.end(&EndReason::Refused(text.to_owned()));
        let refusal = self.responder.text(status, text);
        self.conn.close(refusal).await;
    }
}

/// Bytes that a viewer may send while its stream is waited for, and that nobody reads.
const MAX_IGNORED: usize = 64 << 10;

/// What became of waiting.
enum Waited<T> {
    Ready(T),
    TooLong,
    Gone(EndReason),
}

/// Waits for `ready`, for `limit` at most, while the peer stays and nobody ends its session.
async fn wait<T>(
    shard: &Shard,
    conn: &mut Conn,
    tenure: &Tenure,
    limit: Duration,
    ready: impl Future<Output = T>,
) -> Waited<T> {
    let mut ignored = 0;
    let gone = async {
        loop {
            match shard.read(conn, |bytes| ignored += bytes.len()).await {
                Ok(Some(())) if ignored <= MAX_IGNORED => {}
                Ok(Some(())) => return EndReason::Protocol("bytes after the request".into()),
                Ok(None) | Err(_) => return EndReason::PeerClosed,
            }
        }
    };
    let session = tenure.session();
    tokio::select! {
        biased;
        reason = std::future::poll_fn(|cx| session.poll_disposed(cx)) => Waited::Gone(reason),
        ready = timeout(limit, ready) => match ready {
            Ok(ready) => Waited::Ready(ready),
            Err(_) => Waited::TooLong,
        },
        reason = gone => Waited::Gone(reason),
    }
}
