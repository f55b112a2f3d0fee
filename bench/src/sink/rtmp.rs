//! The side of RTMP that is published to (RTMP 1.0 §5, §7.2).

use bytes::{BufMut, BytesMut};
use testkit::stamp;

use super::number;
use crate::mark::Mark;
use crate::rtmp::{
    self, HANDSHAKE, INITIAL_CHUNK, command, kind, message, put_key, put_number, put_string,
};
use crate::rtsp::Frame;
use crate::scan::{Message, RtmpScanner};

/// Received bytes after which they are acknowledged without being asked.
const ACKNOWLEDGE_EVERY: u64 = 2_500_000;
/// The message stream that is given out.
const STREAM: u8 = 1;

/// One connection.
#[derive(Debug, Default)]
pub struct Taker {
    step: Step,
    scanner: RtmpScanner,
    /// The stream's number, once it has been published.
    pub(super) stream: Option<usize>,
    received: u64,
    acknowledged: u64,
}

/// What the peer says next, and what has come of it.
#[derive(Debug)]
enum Step {
    /// C0 and C1.
    Hello(Vec<u8>),
    /// C2, of which so many bytes are to come.
    Echo(usize),
    /// Messages.
    Messages,
}

impl Default for Step {
    fn default() -> Self {
        Self::Hello(Vec::new())
    }
}

impl Taker {
    /// Takes what came; returns what has to be sent.
    pub(super) fn take(&mut self, mut bytes: &[u8], frames: &mut dyn FnMut(Frame)) -> Vec<u8> {
        let mut out = Vec::new();
        self.received += u64::try_from(bytes.len()).unwrap_or(0);
        if let Step::Hello(kept) = &mut self.step {
            let missing = (1 + HANDSHAKE - kept.len()).min(bytes.len());
            let (taken, rest) = bytes.split_at(missing);
            kept.extend_from_slice(taken);
            bytes = rest;
            if kept.len() < 1 + HANDSHAKE {
                return out;
            }
            out.extend_from_slice(&rtmp::hello());
            out.extend_from_slice(kept.get(1..).unwrap_or_default());
            self.step = Step::Echo(HANDSHAKE);
        }
        if let Step::Echo(left) = &mut self.step {
            let (taken, rest) = bytes.split_at((*left).min(bytes.len()));
            *left -= taken.len();
            bytes = rest;
            if *left > 0 {
                return out;
            }
            self.step = Step::Messages;
        }
        let stream = &mut self.stream;
        self.scanner.feed(bytes, &mut |message: Message<'_>| match message.kind {
            kind::VIDEO => {
                let mark = stamp::find(message.head).map(Mark::unpack);
                // A key frame whose body is a picture and not a sequence header.
                frames(Frame { mark, key: message.head.starts_with(&[0x17, 1]) });
            }
            kind::COMMAND => out.extend(answer(message.head, stream)),
            kind::USER_CONTROL => out.extend(rtmp::pong(message.head).unwrap_or_default()),
            _ => {}
        });
        if self.received - self.acknowledged >= ACKNOWLEDGE_EVERY {
            self.acknowledged = self.received;
            out.extend_from_slice(&rtmp::acknowledgement(self.received));
        }
        out
    }
}

/// What a command is answered; a stream that is published has its number taken down.
fn answer(head: &[u8], stream: &mut Option<usize>) -> Vec<u8> {
    let Some((name, transaction, rest)) = invoked(head) else { return Vec::new() };
    let (mut body, on) = match name {
        "connect" => {
            let mut body = command("_result", transaction);
            body.put_u8(5);
            (body, 0)
        }
        "createStream" => {
            let mut body = command("_result", transaction);
            body.put_u8(5);
            put_number(&mut body, f64::from(STREAM));
            return message(3, kind::COMMAND, 0, 0, &body, INITIAL_CHUNK).into();
        }
        "publish" => {
            let named = rest.strip_prefix(&[5]).and_then(text);
            *stream = named.and_then(|(name, _)| number(name)).or(*stream);
            let mut body = command("onStatus", 0.0);
            body.put_u8(5);
            (body, STREAM)
        }
        _ => return Vec::new(),
    };
    let code = if on == 0 { "NetConnection.Connect.Success" } else { "NetStream.Publish.Start" };
    put_status(&mut body, code);
    message(3, kind::COMMAND, 0, u32::from(on), &body, INITIAL_CHUNK).into()
}

/// Name, transaction, and what follows.
fn invoked(head: &[u8]) -> Option<(&str, f64, &[u8])> {
    let (name, rest) = text(head)?;
    let (transaction, rest) = rest.strip_prefix(&[0])?.split_first_chunk()?;
    Some((name, f64::from_be_bytes(*transaction), rest))
}

/// A string, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.strip_prefix(&[2])?.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn put_status(body: &mut BytesMut, code: &str) {
    body.put_u8(3);
    for (key, value) in [("level", "status"), ("code", code)] {
        put_key(body, key);
        put_string(body, value);
    }
    body.put_slice(&[0, 0, 9]);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use std::io::{ErrorKind, Read, Write};
    use testkit::Programme;

    use super::*;
    use crate::rtmp::Publisher;

    #[test]
    fn a_publisher_is_let_in_however_its_bytes_are_cut() {
        for piece in [1, 7, 4096] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let publishing = std::thread::spawn(move || {
                let mut publisher = Publisher::open(&address, "live", "s17").unwrap();
                let programme = Programme::live(300_000);
                programme.config().iter().for_each(|item| publisher.send(item).unwrap());
                programme.items().take(10).for_each(|item| publisher.send(&item).unwrap());
            });
            let (mut socket, _) = listener.accept().unwrap();
            let (mut taker, mut frames) = (Taker::default(), Vec::new());
            let mut buffer = vec![0; piece];
            loop {
                let length = match socket.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    // It closes although answers are on their way.
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("{error}"),
                };
                let answer = taker.take(&buffer[..length], &mut |frame| frames.push(frame));
                socket.write_all(&answer).unwrap();
            }
            publishing.join().unwrap();
            assert_eq!(taker.stream, Some(17));
            // The sequence header has no mark; the first picture is a key frame.
            let marked: Vec<_> = frames.iter().filter(|frame| frame.mark.is_some()).collect();
            assert!((3..=5).contains(&marked.len()), "{frames:?}");
            assert!(marked[0].key && marked[1..].iter().all(|frame| !frame.key), "{frames:?}");
        }
    }
}
