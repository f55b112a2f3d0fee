//! RTSP client sessions: a stream is pulled from another server, or pushed to one.
//!
//! A server that refuses datagrams, or whose datagrams do not arrive, is asked again for packets
//! on the connection; redirections are followed, up to a limit.

mod pull;
mod push;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::rtsp::client::{Config, Event, Purpose, Session as Machine, TransportChoice};
use ::rtsp::message::Status;
use ::rtsp::transport::{Lower, Transport};
use ::rtsp::url::Url;
use bytes::BytesMut;
use hub::{EndReason, Session};
use net::{Conn, Datagrams, Pair, Shard};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{info, warn};

use super::receive::{Receiving, offer as offer_report};
use super::{Rtsp, WRITE_TIMEOUT, protocol_reason};
use crate::context::Tenure;
use crate::remote::{MAX_REDIRECTIONS, Remote, connect as connect_to};
pub(crate) use pull::pull;
pub(crate) use push::push;

/// Why a call to a server did not come to its end.
enum Failure {
    /// It is over.
    Ended(EndReason),
    /// The server does not do what is asked for.
    Refused(String),
    /// It is to be called elsewhere.
    Elsewhere(Url),
    /// Datagrams do not come, or are refused when some were agreed on already.
    NoDatagrams,
}

impl From<EndReason> for Failure {
    fn from(reason: EndReason) -> Self {
        Self::Ended(reason)
    }
}

/// Calls a server, and where it sends us.
async fn follow(
    tenure: &Tenure,
    remote: &Remote,
    mut url: Url,
    call: impl AsyncFn(&Remote, &Url) -> Result<EndReason, Failure>,
) -> EndReason {
    let (mut remote, mut redirections) = (remote.clone(), 0);
    let session = tenure.session().id();
    loop {
        match call(&remote, &url).await {
            Ok(reason) | Err(Failure::Ended(reason)) => return reason,
            Err(Failure::Refused(text)) => return EndReason::Refused(text),
            Err(Failure::Elsewhere(next)) if redirections < MAX_REDIRECTIONS => {
                info!(%session, to = next.host, "the server sends us elsewhere");
                redirections += 1;
                url = next;
            }
            Err(Failure::Elsewhere(_)) => {
                let text = format!("the server sent us elsewhere more than {redirections} times");
                return EndReason::Refused(text);
            }
            Err(Failure::NoDatagrams) => {
                warn!(%session, "no datagrams come: packets are asked for over TCP");
                remote.transport = TransportChoice::Tcp;
            }
        }
    }
}

/// A connection to a server.
struct Call<'a> {
    shard: &'a Rc<Shard>,
    rtsp: &'a Arc<Rtsp>,
    conn: Conn,
    machine: Machine,
    session: Arc<Session>,
    /// The server's address, and ours towards it.
    peer: SocketAddr,
    local: SocketAddr,
    /// Whether datagrams may be given up.
    may_fall_back: bool,
    /// Sockets by the number of the medium.
    pairs: Vec<(usize, Pair)>,
    read: u64,
    written: u64,
}

impl<'a> Call<'a> {
    async fn connect(
        shard: &'a Rc<Shard>,
        rtsp: &'a Arc<Rtsp>,
        remote: &Remote,
        url: &Url,
        purpose: Purpose,
        tenure: &Tenure,
    ) -> Result<Self, Failure> {
        let session = tenure.session().clone();
        let conn = connect_to(&session, remote, &url.host, url.port, url.tls);
        let conn = conn.await?;
        let config = Config {
            transport: remote.transport,
            answer_timeout: remote.patience,
            via: Some(remote.via.clone()).filter(|via| !via.is_empty()),
            ..Config::new(url.clone(), purpose)
        };
        let peer = conn.peer_addr().map_err(EndReason::from)?;
        let local = conn.local_addr().map_err(EndReason::from)?;
        Ok(Self {
            shard,
            rtsp,
            conn,
            machine: Machine::new(config, Instant::now()),
            session,
            peer,
            local,
            may_fall_back: remote.transport == TransportChoice::UdpThenTcp,
            pairs: Vec::new(),
            read: 0,
            written: 0,
        })
    }

    /// Answers [`Event::PortsWanted`].
    fn offer_ports(&mut self, media: usize) -> Result<(), Failure> {
        let pair = self.rtsp.ports.pair(self.local.ip()).map_err(EndReason::from)?;
        let port = |socket: &Datagrams| socket.port().map_err(EndReason::from);
        let ports = (port(&pair.rtp)?, port(&pair.rtcp)?);
        self.pairs.retain(|(known, _)| *known != media);
        self.pairs.push((media, pair));
        self.machine.offer_ports(media, ports, Instant::now());
        Ok(())
    }

    /// The sockets of a medium, if datagrams were agreed on.
    fn take_pair(&mut self, media: usize, transport: &Transport) -> Option<Pair> {
        let at = self.pairs.iter().position(|(known, _)| *known == media)?;
        let (_, pair) = self.pairs.swap_remove(at);
        (transport.lower == Lower::Udp).then_some(pair)
    }

    /// What an event means that the caller has no use for.
    fn unexpected(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Redirect(url) => Err(Failure::Elsewhere(url)),
            Event::Ended(text) => {
                info!(session = %self.session.id(), %text, "the server has ended the session");
                Err(EndReason::PeerClosed.into())
            }
            _ => Ok(()),
        }
    }

    /// Sends what there is to say, then waits for something to happen, and takes it.
    async fn step(&mut self, mut receiving: Option<&mut Receiving>) -> Result<(), Failure> {
        let words: Vec<_> = std::iter::from_fn(|| self.machine.poll_transmit()).collect();
        if let Some(receiving) = &mut receiving {
            for report in receiving.reports(Instant::now()) {
                self.written += offer_report(&mut self.conn, &report).await? as u64;
            }
            receiving.publish_totals(self.read, self.written);
        }
        for bytes in words {
            self.written += bytes.len() as u64;
            match timeout(WRITE_TIMEOUT, self.conn.write_all(&bytes)).await {
                Ok(sent) => sent.map_err(EndReason::from)?,
                Err(_) => return Err(EndReason::Timeout("the server reads no requests").into()),
            }
        }
        let waiting = receiving.as_ref().and_then(|receiving| receiving.poll_timeout());
        let deadline = self.machine.poll_timeout().into_iter().chain(waiting).min();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let datagrams = async {
            match &mut receiving {
                Some(receiving) => receiving.receive().await,
                None => std::future::pending().await,
            }
        };
        let (machine, read, session) = (&mut self.machine, &mut self.read, &self.session);
        let input = self.shard.read(&mut self.conn, |bytes| {
            *read += bytes.len() as u64;
            machine.handle_input(bytes, Instant::now())
        });
        // Chance says which comes first of what a server may send without end.
        let may_fall_back = self.may_fall_back;
        let traffic = async {
            tokio::select! {
                result = datagrams => result.map_err(Failure::from),
                input = input => match input.map_err(EndReason::from)? {
                    // The first refusal of datagrams is dealt with on this connection.
                    Some(Err(::rtsp::Error::Refused { status, .. }))
                        if may_fall_back && status == Status::UNSUPPORTED_TRANSPORT.0 =>
                    {
                        Err(Failure::NoDatagrams)
                    }
                    Some(result) => result.map_err(|error| client_reason(&error).into()),
                    None => Err(EndReason::PeerClosed.into()),
                },
            }
        };
        tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason.into()),
            () = timer => {}
            result = traffic => return result,
        }
        let now = Instant::now();
        self.machine.handle_timeout(now).map_err(|error| client_reason(&error))?;
        match receiving {
            Some(receiving) => Ok(receiving.handle_timeout(now)?),
            None => Ok(()),
        }
    }

    /// Takes leave.
    async fn hang_up(mut self) {
        self.machine.teardown();
        let mut words = BytesMut::new();
        while let Some(bytes) = self.machine.poll_transmit() {
            words.extend_from_slice(&bytes);
        }
        self.conn.close(words.freeze()).await;
    }
}

fn client_reason(error: &::rtsp::Error) -> EndReason {
    match error {
        ::rtsp::Error::Refused { .. } => EndReason::Refused(error.to_string()),
        other => protocol_reason(other),
    }
}
