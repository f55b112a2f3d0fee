//! The other end of a push: takes what a server publishes, counts it, and throws it away.
//!
//! One side of RTMP and of RTSP each, just enough to be published to by the server under test:
//! whatever it asks for is granted. The stream's number is what its name ends with.

mod rtmp;
mod rtsp;

use anyhow::Result;

use crate::rtsp::{Frame, Packets};

/// What is pushed on one connection.
#[derive(Debug)]
pub enum Sink {
    /// Over RTMP.
    Rtmp(Box<rtmp::Taker>),
    /// Over RTSP, packets on the connection.
    Rtsp(Box<rtsp::Taker>),
}

impl Sink {
    /// One for RTMP.
    #[must_use]
    pub fn of_rtmp() -> Self {
        Self::Rtmp(Box::default())
    }

    /// One for RTSP.
    #[must_use]
    pub fn of_rtsp() -> Self {
        Self::Rtsp(Box::default())
    }

    /// Takes what came; returns what has to be sent.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(crate) fn take(&mut self, bytes: &[u8], frames: &mut dyn FnMut(Frame)) -> Result<Vec<u8>> {
        match self {
            Self::Rtmp(taker) => Ok(taker.take(bytes, frames)),
            Self::Rtsp(taker) => taker.take(bytes, frames),
        }
    }

    /// The stream's number, once the peer has named it.
    pub(crate) fn stream(&self) -> Option<usize> {
        match self {
            Self::Rtmp(taker) => taker.stream,
            Self::Rtsp(taker) => taker.stream,
        }
    }

    /// The packets that were counted since the last call.
    pub(crate) fn take_packets(&mut self) -> Packets {
        match self {
            Self::Rtmp(_) => Packets::default(),
            Self::Rtsp(taker) => crate::rtsp::take_packets(&mut taker.media),
        }
    }
}

/// The number that a stream's name ends with, what follows a `?` left aside.
fn number(name: &str) -> Option<usize> {
    let name = name.split('?').next().unwrap_or(name).trim_end_matches('/');
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name.get(digits..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_with_numbers() {
        assert_eq!(number("s17?token=5"), Some(17));
        assert_eq!(number("rtsp://127.0.0.1:554/live/s0/"), Some(0));
        assert_eq!(number("live"), None);
    }
}
