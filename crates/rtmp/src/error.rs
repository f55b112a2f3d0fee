//! What a peer, or the caller, did wrong.

/// Why a session cannot go on.
///
/// Every variant but the last group is the peer's doing; the session that returned it is over and
/// its connection is to be closed after what [`poll_transmit`] still yields.
///
/// [`poll_transmit`]: crate::server::Session::poll_transmit
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first byte is not version 3: RTMPE (6), another protocol, or noise.
    #[error("handshake version {0:#04x} is not supported")]
    UnsupportedVersion(u8),
    /// Set Chunk Size with zero or with the reserved bit set.
    #[error("chunk size {0:#x} is out of range")]
    ChunkSize(u32),
    /// A chunk stream began with a header that leaves the message's length open.
    #[error("chunk stream {chunk_stream} begins with a type {format} header")]
    NoHeader {
        /// The chunk stream id.
        chunk_stream: u32,
        /// The header's `fmt` field.
        format: u8,
    },
    /// A new message began while another was incomplete on the same chunk stream.
    #[error("a message on chunk stream {chunk_stream} is interrupted, {missing} bytes missing")]
    Interrupted {
        /// The chunk stream id.
        chunk_stream: u32,
        /// How much of the first message was still to come.
        missing: u32,
    },
    /// A message announces more than the limit.
    #[error("a message of {length} bytes exceeds the limit of {limit}")]
    MessageTooLong {
        /// The announced length.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
    /// More chunk streams than the limit.
    #[error("more than {limit} chunk streams")]
    TooManyChunkStreams {
        /// The limit in force.
        limit: usize,
    },
    /// Incomplete messages of all chunk streams together exceed the limit.
    #[error("incomplete messages hold more than {limit} bytes")]
    TooMuchPartial {
        /// The limit in force.
        limit: usize,
    },
    /// Messages that wait for the owner's decision exceed the limit.
    #[error("more than {limit} bytes sent before the answer to a request")]
    TooMuchDeferred {
        /// The limit in force.
        limit: usize,
    },
    /// The peer makes the session answer, but does not take the answers.
    #[error("more than {limit} bytes of answers are not taken")]
    TooMuchOutput {
        /// The limit in force.
        limit: usize,
    },
    /// A message's body does not have the form its type demands.
    #[error("malformed {what}")]
    Malformed {
        /// The message or field.
        what: &'static str,
    },
    /// A field is truncated or invalid.
    #[error(transparent)]
    Field(#[from] media::Error),
    /// A command, or something else, came in a state that does not allow it.
    #[error("{what} is not allowed {state}")]
    OutOfOrder {
        /// What came.
        what: String,
        /// The state, as an adverbial: "before connect".
        state: &'static str,
    },
    /// Audio or video on a message stream that does not publish.
    #[error("media on message stream {stream}, which does not publish")]
    UnexpectedMedia {
        /// The message stream id.
        stream: u32,
    },
    /// A phase took too long.
    #[error("timed out {0}")]
    TimedOut(&'static str),
    /// The server refused the connection, the publication or the play request.
    #[error("refused: {code} ({description})")]
    Refused {
        /// The status code, such as `NetStream.Publish.BadName`.
        code: String,
        /// What the server says to people.
        description: String,
    },

    /// The caller named a message stream that is not in the state the call is for.
    #[error("message stream {0} awaits no such decision")]
    NotPending(u32),
    /// The caller wants to send before the session is ready, or after its end.
    #[error("the session cannot send media {0}")]
    NotReady(&'static str),
}
