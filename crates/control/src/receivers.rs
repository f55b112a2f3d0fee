//! Streams that devices send to ports that they were told, by orders of operators.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hub::{SessionId, StreamName};

/// Receiving by request, as far as the API has to do with it.
pub trait Receivers: Send + Sync {
    /// Receives a stream from now on.
    ///
    /// # Errors
    /// [`ReceiveError`] says why not.
    fn receive(&self, stream: StreamName, order: &ReceiveOrder) -> Result<Opened, ReceiveError>;

    /// What is received, by stream.
    fn receivers(&self) -> Vec<Receiver>;

    /// The device has said that its packets have another SSRC.
    ///
    /// # Errors
    /// [`ReceiveError::Absent`] if the stream is not received, [`ReceiveError::Taken`] if another
    /// one has the SSRC.
    fn set_ssrc(&self, stream: &StreamName, ssrc: u32) -> Result<(), ReceiveError>;

    /// Ends the reception of a stream.
    ///
    /// # Errors
    /// [`ReceiveError::Absent`] if it is not received.
    fn stop_receiving(&self, stream: &StreamName) -> Result<(), ReceiveError>;
}

/// What packets travel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection that the device makes.
    Tcp,
    /// A connection that the server makes.
    TcpActive,
}

/// What packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// A program stream.
    #[default]
    Ps,
    /// H.264 alone.
    H264,
    /// H.265 alone.
    H265,
}

/// What is to be received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiveOrder {
    /// What packets travel on.
    pub transport: Transport,
    /// The port to listen on; any that is free without one.
    pub port: Option<u16>,
    /// Whether they come to the port that all devices share.
    pub shared: bool,
    /// The SSRC that was agreed on.
    pub ssrc: Option<u32>,
    /// `HOST:PORT` to connect to.
    pub connect_to: Option<String>,
    /// Where the device is: its packets go before those of others. On the shared port, they are taken
    /// with another SSRC as well.
    pub from: Option<IpAddr>,
    /// How long nothing may come, if not as the settings say; zero for ever.
    pub idle: Option<Duration>,
    /// What packets carry.
    pub payload: Payload,
    /// The name of a file that packets are written to.
    pub dump: Option<String>,
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session.
    pub session: SessionId,
    /// The port that the device is to send to; 0 where the server connects to it.
    pub port: u16,
}

/// A stream that is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What it is called.
    pub stream: StreamName,
    /// Its session.
    pub session: SessionId,
    /// `udp`, `tcp`, `tcp_active` or `shared`.
    pub transport: &'static str,
    /// The port; 0 where the server connects.
    pub port: u16,
    /// The SSRC that was agreed on.
    pub ssrc: Option<u32>,
    /// The SSRC that the packets have.
    pub received_ssrc: Option<u32>,
    /// Where they come from.
    pub peer: Option<SocketAddr>,
    /// Packets that came.
    pub packets: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets of somebody else.
    pub foreign: u64,
    /// Codecs that the device sends and that are not understood.
    pub left_out: Vec<String>,
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The order makes no sense.
    #[error("{0}")]
    Order(String),
    /// The stream has a publisher.
    #[error("{0}")]
    Occupied(String),
    /// Another stream has the SSRC.
    #[error("{0}")]
    Taken(String),
    /// There is no port, or no file.
    #[error("{0}")]
    System(String),
    /// There are too many.
    #[error("{0}")]
    TooMany(String),
    /// It is not received.
    #[error("the stream is not being received")]
    Absent,
}
