//! A viewer's socket, with or without TLS, that never waits once it is connected.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::Result;
use net::{ClientTls, Conn, Targets, Trust};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// A non-blocking connection.
#[derive(Debug)]
pub enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS; it learns what came in when its [`Connector`] turns.
    Tls(Conn),
}

/// Makes connections, and drives those with TLS.
#[derive(Debug)]
pub struct Connector {
    secure: Option<(Runtime, ClientTls)>,
}

impl Connector {
    /// One for plain connections or for TLS.
    ///
    /// # Errors
    /// When the system gives no event queue.
    pub fn new(tls: bool) -> Result<Self> {
        if !tls {
            return Ok(Self { secure: None });
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // The servers under test have certificates of their own making.
        Ok(Self { secure: Some((runtime, ClientTls::new(&Trust::Anyone)?)) })
    }

    /// Connects; with TLS, the handshake is done when this returns.
    ///
    /// # Errors
    /// When nobody answers within `limit`.
    pub fn connect(&self, address: SocketAddr, limit: Duration) -> Result<Socket> {
        if let Some((runtime, tls)) = &self.secure {
            let host = address.ip().to_string();
            let connecting = net::connect(&host, address.port(), Some(tls), Targets::Any, limit);
            return Ok(Socket::Tls(runtime.block_on(connecting)?));
        }
        let socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Socket::Plain(socket))
    }

    /// Asks the kernel once which sockets with TLS have something to read.
    pub fn turn(&self) {
        if let Some((runtime, _)) = &self.secure {
            runtime.block_on(tokio::task::yield_now());
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(conn) => {
                let mut buffer = ReadBuf::new(buffer);
                let read = Pin::new(conn).poll_read(&mut unwoken(), &mut buffer);
                now(read)?;
                Ok(buffer.filled().len())
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(conn) => now(Pin::new(conn).poll_write(&mut unwoken(), bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(conn) => now(Pin::new(conn).poll_flush(&mut unwoken())),
        }
    }
}

/// Writes everything to a socket that never waits.
///
/// # Errors
/// When the peer closed the connection or takes nothing for ten seconds.
pub(crate) fn write_patiently(socket: &mut TcpStream, mut bytes: &[u8]) -> Result<()> {
    // Ten seconds in steps of a millisecond.
    let mut patience = 10_000;
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sockets are asked at every sweep, so nobody has to be woken.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use net::{Listening, Tls};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Sends back ten bytes; its address.
    fn echo() -> SocketAddr {
        let tls = Tls::self_signed(&["127.0.0.1".to_owned()]).unwrap();
        let listening = Listening::bind("127.0.0.1:0", Some(tls)).unwrap();
        let address = listening.address();
        std::thread::spawn(move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let mut conn = listening.start().unwrap().accept().await.establish(LIMIT).await?;
                let mut bytes = [0; 10];
                conn.read_exact(&mut bytes).await?;
                conn.write_all(&bytes).await?;
                conn.flush().await?;
                conn.read(&mut bytes).await
            })
        });
        address
    }

    #[test]
    fn tls_is_read_without_waiting() {
        let connector = Connector::new(true).unwrap();
        let mut socket = connector.connect(echo(), LIMIT).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(socket.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.write_all(b"0123456789").unwrap();
        socket.flush().unwrap();
        let begun = Instant::now();
        let mut received: Vec<u8> = Vec::new();
        while received.len() < 10 && begun.elapsed() < LIMIT {
            connector.turn();
            match socket.read(&mut buffer) {
                Ok(length) => received.extend(&buffer[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(received, b"0123456789");
    }
}
