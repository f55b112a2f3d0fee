//! A connection, with or without TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::tls::Tls;

/// What the kernel may hold unsent for one connection: about 50 ms at 20 Mbit/s. The rest of a
/// slow viewer's backlog stays in the shared ring.
const NOTSENT_LOWAT: u32 = 128 << 10;

/// How long a connection that we close may take to read what we still have to say.
const LINGER: Duration = Duration::from_secs(2);

/// An accepted socket that has not said anything yet.
#[derive(Debug)]
pub struct Connecting {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
}

impl Connecting {
    pub(crate) fn new(socket: std::net::TcpStream, peer: SocketAddr, tls: Option<Tls>) -> Self {
        Self { socket, peer, tls }
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether TLS will be spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Brings the connection up on the current shard; the TLS handshake may take `limit`.
    ///
    /// # Errors
    /// The socket's, TLS's, or [`io::ErrorKind::TimedOut`].
    pub async fn establish(self, limit: Duration) -> io::Result<Conn> {
        let socket = TcpStream::from_std(self.socket)?;
        prepare(&socket)?;
        let Some(tls) = self.tls else { return Ok(Conn::Plain(socket)) };
        let handshake = tls.acceptor().accept(socket);
        match timeout(limit, handshake).await {
            Ok(stream) => Ok(Conn::Tls(Box::new(TlsStream::Server(stream?)))),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time")),
        }
    }
}

/// Sets what every connection wants, whichever side began it.
pub(crate) fn prepare(socket: &TcpStream) -> io::Result<()> {
    let options = socket2::SockRef::from(socket);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    options.set_keepalive(true)
}

/// Two connected ends inside the program, for what is carried in something else (a WebSocket, a
/// tunnel through HTTP): the session has one, and does not notice.
///
/// # Errors
/// When the system gives no sockets.
pub fn pair() -> io::Result<(Conn, Conn)> {
    let (ours, theirs) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    let conn = |socket: socket2::Socket| {
        socket.set_nonblocking(true)?;
        TcpStream::from_std(socket.into()).map(Conn::Plain)
    };
    Ok((conn(ours)?, conn(theirs)?))
}

/// A connection on its shard.
#[derive(Debug)]
pub enum Conn {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// The address that the peer has connected to; that of IPv4 where it came by IPv4 to a listener
    /// of both.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = match self {
            Self::Plain(socket) => socket.local_addr(),
            Self::Tls(stream) => stream.get_ref().0.local_addr(),
        }?;
        Ok(SocketAddr::new(local.ip().to_canonical(), local.port()))
    }

    /// The address of whom it is connected with.
    ///
    /// # Errors
    /// The socket's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.peer_addr(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Ready when bytes that were taken earlier are with the kernel and more would be taken.
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_write_ready(cx),
            Self::Tls(stream) => {
                ready!(Pin::new(&mut **stream).poll_flush(cx))?;
                stream.get_ref().0.poll_write_ready(cx)
            }
        }
    }

    /// Says the last words and closes. A close with unread input would make the kernel discard
    /// what was just written, so the peer gets a moment to read and to close itself.
    pub async fn close(mut self, last_words: Bytes) {
        let say_goodbye = async {
            self.write_all(&last_words).await?;
            self.shutdown().await?;
            let mut ignored = [0; 1024];
            while self.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        // The peer is going away: there is nobody left to tell of an error.
        let _ = timeout(LINGER, say_goodbye).await;
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
