//! Streams that come from other servers and go there, by orders of operators.

use std::time::Duration;

use config::values::RtspTransport;
use hub::{SessionId, StreamName};

/// Relays, as far as the API has to do with them.
pub trait Relays: Send + Sync {
    /// The stream that a path means; an application is put before a name without one.
    ///
    /// # Errors
    /// [`RelayError::Name`].
    fn stream(&self, path: &str) -> Result<StreamName, RelayError>;

    /// Pulls a stream; answers with the id of the first session.
    ///
    /// # Errors
    /// [`RelayError`] says why not.
    fn pull(&self, stream: StreamName, order: &PullOrder) -> Result<SessionId, RelayError>;

    /// Pulls a stream no more. The id of the session that carries it, if there is one.
    ///
    /// # Errors
    /// [`RelayError::Absent`] if it was not pulled.
    fn stop_pull(&self, stream: &StreamName) -> Result<Option<SessionId>, RelayError>;

    /// All pulls, by stream.
    fn pulls(&self) -> Vec<Relayed>;

    /// Pushes a stream whenever it is there. RTP travels over `transport`, or as the settings say.
    ///
    /// # Errors
    /// [`RelayError`] says why not.
    fn push(
        &self,
        stream: StreamName,
        to: &str,
        transport: Option<RtspTransport>,
    ) -> Result<(), RelayError>;

    /// Pushes a stream there no more, or nowhere. How many pushes end. The address may be the whole
    /// one, or as the list has it.
    ///
    /// # Errors
    /// [`RelayError::Absent`] if there was none, [`RelayError::Ambiguous`] if there are several.
    fn stop_push(&self, stream: &StreamName, to: Option<&str>) -> Result<usize, RelayError>;

    /// All pushes, by stream.
    fn pushes(&self) -> Vec<Relayed>;
}

/// What is to be pulled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullOrder {
    /// Where from: the next one is tried where one fails.
    pub from: Vec<String>,
    /// How often sources are called in all; for ever without a number.
    pub attempts: Option<u32>,
    /// How long it goes on without viewers; for ever without a time.
    pub stop_after: Option<Duration>,
    /// What RTP travels over, if not as the settings say.
    pub rtsp_transport: Option<RtspTransport>,
    /// How long connecting and each answer may take, if not as the settings say.
    pub timeout: Option<Duration>,
    /// Whether the next source is kept connected.
    pub standby: bool,
    /// Whether the order stays when it has ended for want of viewers, or was refused for it, and is
    /// done again when some come, until it is taken back.
    pub keep: bool,
}

/// A pull, or a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// What the stream is called here.
    pub stream: StreamName,
    /// Where it comes from, in the order of tries, or where it goes; without what is
    /// secret: [`hub::mask`].
    pub addresses: Vec<String>,
    /// Which of them it is at, from 0.
    pub current: usize,
    /// `running`, `calling`, `waiting`, or `idle`: somebody else publishes a stream that is to be
    /// pulled, nobody watches it, or nobody publishes one that is to be pushed.
    pub state: &'static str,
    /// Its session.
    pub session: Option<SessionId>,
    /// How often other servers were called.
    pub attempts: u32,
    /// How many calls in a row failed.
    pub failures: u32,
    /// Why the last session ended.
    pub last_error: Option<String>,
    /// The pattern of the setting that it comes from; nothing for an operator's order.
    pub rule: Option<String>,
    /// Whether it ends when nobody watches.
    pub on_demand: bool,
    /// Which of the addresses stands by, if one does.
    pub standby: Option<usize>,
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The name cannot be one.
    #[error("{0}")]
    Name(String),
    /// The address cannot be used.
    #[error("{0}")]
    Address(String),
    /// The stream is published, or pulled.
    #[error("{0}")]
    Occupied(String),
    /// Nobody watches, and it would end then.
    #[error("{0}")]
    Unwatched(String),
    /// Several are meant.
    #[error("{0}")]
    Ambiguous(String),
    /// There are too many.
    #[error("{0}")]
    TooMany(String),
    /// There is no such order.
    #[error("there is no such relay")]
    Absent,
}
