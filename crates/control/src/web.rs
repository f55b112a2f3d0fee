//! HTTP for people and operators: a connection of any kind, served by a router.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub use axum::Router;
use axum::extract::{ConnectInfo, Request};
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::ServiceExt;

/// How long a request head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a request may take in all, its body and the answer's included.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

/// Serves one request of a connection of which `beyond` was read already. The connection is closed
/// after it: where streams are served too, the next request may be for one.
pub async fn serve<Io>(io: Io, peer: SocketAddr, beyond: Bytes, router: Router)
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(Rewound { beyond, io });
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(io, service);
    // A peer that goes away in the middle of an answer is nobody's fault.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
}

/// A connection whose first bytes were read by somebody else.
struct Rewound<Io> {
    beyond: Bytes,
    io: Io,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Rewound<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.beyond.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.beyond.len().min(buf.remaining());
        buf.put_slice(&self.beyond.copy_to_bytes(count));
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Rewound<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
