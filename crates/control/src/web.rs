//! HTTP for people and operators: a connection of any kind, served by a router.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tower::ServiceExt;

/// How long a request head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a request may take until its answer begins, its body included. A blocking reload of a
/// playlist takes long.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// How long a peer may take nothing of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// Serves a connection of which `beyond` was read already, until the peer closes it, is silent for
/// too long, or an answer says `Connection: close`.
pub async fn serve<Io>(io: Io, peer: SocketAddr, beyond: Bytes, router: Router)
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(Guarded { beyond, io, stalled: None });
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = tokio::time::timeout(REQUEST_LIMIT, router.clone().oneshot(request));
        async move {
            answer.await.unwrap_or_else(|_| {
                let text = "the request took too long\n";
                Ok((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(io, service);
    // A peer that goes away in the middle of an answer is nobody's fault.
    let _ = connection.await;
}

/// A connection whose first bytes were read by somebody else, and whose peer must take what it is
/// sent.
struct Guarded<Io> {
    beyond: Bytes,
    io: Io,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<Io> Guarded<Io> {
    /// What became of a write, unless that is nothing for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.stalled = None;
            return moved;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Guarded<Io> {
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

impl<Io: AsyncWrite + Unpin> AsyncWrite for Guarded<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(cx, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, moved)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(cx, moved)
    }
}
