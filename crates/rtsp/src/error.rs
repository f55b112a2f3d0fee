//! What ends a connection.

/// Why a conversation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message's head is longer than any real one.
    #[error("a message head has more than {0} bytes")]
    HeadTooLong(usize),
    /// A message has more header fields than any real one.
    #[error("a message has more than {0} header fields")]
    TooManyFields(usize),
    /// `Content-Length` is no number.
    #[error("the Content-Length {0:?} is no number")]
    ContentLength(String),
    /// A body is longer than any real one.
    #[error("a message body of {0} bytes is announced")]
    BodyTooLong(u64),
    /// What arrives is no RTSP.
    #[error("{0} bytes in a row are neither a message nor a packet")]
    Garbage(usize),
    /// More requests wait for an answer than any real client sends at once.
    #[error("more than {0} requests wait for an answer")]
    TooManyRequests(usize),
    /// The peer took too long.
    #[error("{0}")]
    TimedOut(&'static str),
    /// The server refuses.
    #[error("the server answers {method} with {status} {reason}")]
    Refused {
        /// What was asked for.
        method: &'static str,
        /// The status code.
        status: u16,
        /// What the server says to it.
        reason: String,
    },
    /// The server's answer makes no sense.
    #[error("the server's answer to {method} {what}")]
    Answer {
        /// What was asked for.
        method: &'static str,
        /// What is wrong with the answer.
        what: String,
    },
    /// The address is no RTSP URL.
    #[error("{0}")]
    Url(String),
}
