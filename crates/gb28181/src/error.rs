//! What is wrong with what a device says.

/// Why a message or a part of it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message's head is longer than any real one.
    #[error("a message head has more than {0} bytes")]
    HeadTooLong(usize),
    /// A message has more header fields than any real one.
    #[error("a message has more than {0} header fields")]
    TooManyFields(usize),
    /// The head of a message does not end.
    #[error("the head of the message does not end")]
    HeadCut,
    /// The first line is neither that of a request nor that of a response.
    #[error("the first line {0:?} is no request and no status")]
    FirstLine(String),
    /// A header field that every message has is missing, or cannot be read.
    #[error("the header field {name} {problem}")]
    Field {
        /// The field.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `Content-Length` is no number.
    #[error("the Content-Length {0:?} is no number")]
    ContentLength(String),
    /// A body is longer than any real one.
    #[error("a message body of {0} bytes is announced")]
    BodyTooLong(u64),
    /// There are more of something than a platform can have.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// The body is no XML, or more of it than any device sends.
    #[error("the MANSCDP body {0}")]
    Xml(String),
    /// An element of the XML is missing, or makes no sense.
    #[error("the MANSCDP element {name} {problem}")]
    Element {
        /// The element.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A session description cannot be used.
    #[error("the session description {0}")]
    Sdp(&'static str),
    /// An identifier has another form than 20 digits.
    #[error("the identifier {0:?} is not 20 digits")]
    Id(String),
}
