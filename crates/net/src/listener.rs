//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;

use crate::conn::Connecting;
use crate::tls::Tls;

/// Connections that the kernel may hold before they are accepted: a burst of viewers.
const BACKLOG: i32 = 4096;

/// How many ports of the system's choice are tried.
const BESIDE_TRIES: u32 = 32;

/// How long to wait when the process has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listening {
    socket: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// Accepts connections; runs inside a tokio runtime.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
}

impl Listening {
    /// Binds `address`: `:1935` listens on every address of both families, `HOST:PORT` on one.
    ///
    /// # Errors
    /// When the address does not parse or cannot be bound.
    pub fn bind(address: &str, tls: Option<Tls>) -> io::Result<Self> {
        let socket = match address.strip_prefix(':') {
            Some(port) => {
                let port = port.parse().map_err(|_| invalid(address))?;
                open(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).or_else(|error| {
                    // A kernel without IPv6 still has the other half.
                    match error.kind() {
                        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                        _ => open(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
                    }
                })?
            }
            None => open(address.parse().map_err(|_| invalid(address))?)?,
        };
        let socket = std::net::TcpListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address, tls })
    }

    /// As [`Listening::bind`] without TLS, together with what `beside` binds to the same port for
    /// datagrams. A port that the system chooses may be taken there: then another one is tried.
    ///
    /// # Errors
    /// As [`Listening::bind`]'s, and those of `beside`.
    pub fn bind_with<T>(
        address: &str,
        beside: impl Fn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let any = address.rsplit_once(':').is_some_and(|(_, port)| port == "0");
        let mut tries = if any { BESIDE_TRIES } else { 1 };
        loop {
            let listening = Self::bind(address, None)?;
            tries -= 1;
            match beside(listening.address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                bound => return Ok((listening, bound?)),
            }
        }
    }

    /// The address that it is bound to, with the port that the system chose for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept on the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn start(self) -> io::Result<Listener> {
        Ok(Listener { socket: TcpListener::from_std(self.socket)?, tls: self.tls })
    }
}

impl Listener {
    /// The next connection. Errors of single connections are passed over; when the process is out
    /// of descriptors it is said once, and accepting goes on when there are some again.
    pub async fn accept(&self) -> Connecting {
        let mut said = false;
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => match socket.into_std() {
                    Ok(socket) => {
                        return Connecting::new(socket, canonical(peer), self.tls.clone());
                    }
                    Err(error) => warn!(%error, "an accepted connection is unusable"),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !said {
                        warn!(%error, "cannot accept connections; raise the limit of open files");
                        said = true;
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn invalid(address: &str) -> io::Error {
    let text = format!("{address:?} is no listen address; write :PORT, IPV4:PORT or [IPV6]:PORT");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// IPv4 peers of a dual-stack socket are shown as IPv4.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_port_that_datagrams_have_is_passed_over_where_the_system_chooses() {
        let calls = Cell::new(0);
        let taken = |address: SocketAddr| {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(address) }
        };
        let (listening, beside) = Listening::bind_with("127.0.0.1:0", taken).unwrap();
        assert_eq!((listening.address(), calls.get()), (beside, 3));

        let port = listening.address().port();
        drop(listening);
        calls.set(0);
        let error = Listening::bind_with(&format!("127.0.0.1:{port}"), taken).unwrap_err();
        assert_eq!((error.kind(), calls.get()), (io::ErrorKind::AddrInUse, 1));
    }
}
