//! The side of RTSP that is published to (RFC 2326 §10.3, §10.4, §10.11), packets on the connection.

use anyhow::Result;

use super::number;
use crate::rtsp::{Frame, Medium, Message, Messages, field, media};

/// One connection.
#[derive(Debug, Default)]
pub struct Taker {
    messages: Messages,
    /// The stream's number, once it has been announced.
    pub(super) stream: Option<usize>,
    /// What was announced, in the order of the channels.
    pub(super) media: Vec<Medium>,
}

impl Taker {
    /// Takes what came; returns what has to be sent.
    ///
    /// # Errors
    /// When it is no RTSP.
    pub(super) fn take(&mut self, bytes: &[u8], frames: &mut dyn FnMut(Frame)) -> Result<Vec<u8>> {
        let mut messages = std::mem::take(&mut self.messages);
        let mut out = Vec::new();
        let taken = messages.feed(bytes, &mut |message| {
            match message {
                Message::Packet { channel, bytes } if channel % 2 == 0 => {
                    let medium = self.media.get_mut(usize::from(channel / 2));
                    medium
                        .and_then(|medium| medium.track.take(bytes))
                        .into_iter()
                        .for_each(&mut *frames);
                }
                Message::Packet { .. } => {}
                Message::Text { head, body } => out.extend(self.answer(head, body).bytes()),
            }
            Ok(())
        });
        self.messages = messages;
        taken.map(|()| out)
    }

    /// What a request is answered.
    fn answer(&mut self, head: &str, body: &str) -> String {
        let mut line = head.split(' ');
        let (method, uri) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        if method.starts_with("RTSP/") {
            return String::new();
        }
        let mut fields = String::from("Session: 1\r\n");
        match method {
            "OPTIONS" => fields = "Public: OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN\r\n".into(),
            "ANNOUNCE" => {
                self.stream = number(uri);
                self.media = media(body);
            }
            "SETUP" => {
                let transport = field(head, "Transport").unwrap_or_default();
                fields.push_str(&format!("Transport: {transport}\r\n"));
            }
            _ => {}
        }
        let sequence = field(head, "CSeq").unwrap_or_default();
        format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{fields}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_is_let_in_step_by_step() {
        let mut taker = Taker::default();
        let mut frames = 0;
        let mut say = |bytes: &[u8]| {
            let out = taker.take(bytes, &mut |frame| frames += usize::from(frame.key)).unwrap();
            String::from_utf8(out).unwrap()
        };
        let options = say(b"OPTIONS rtsp://h/live/s7 RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert!(options.starts_with("RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: "), "{options}");
        let sdp = "v=0\r\nm=audio 0 RTP/AVP 97\r\nm=video 0 RTP/AVP 96\r\n";
        let length = sdp.len();
        let announce = format!(
            "ANNOUNCE rtsp://h/live/s7 RTSP/1.0\r\nCSeq: 2\r\nContent-Length: {length}\r\n\r\n{sdp}"
        );
        assert!(say(announce.as_bytes()).contains("CSeq: 2\r\nSession: 1\r\n"));
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=2-3;mode=record\r\n";
        let setup = format!("SETUP rtsp://h/live/s7/1 RTSP/1.0\r\nCSeq: 3\r\n{transport}\r\n");
        assert!(say(setup.as_bytes()).contains(transport));
        assert_eq!(say(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"), "");
        // A key frame in one packet, on the channel of the picture; then a gap.
        let key = [0x80, 0xE0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 0x65, 1, 2, 3];
        let mut later = key;
        (later[3], later[7]) = (3, 2);
        for packet in [key, later] {
            assert_eq!(say(&[&[b'$', 2, 0, 16][..], &packet].concat()), "");
        }
        assert_eq!((frames, taker.stream), (2, Some(7)));
        let packets = crate::rtsp::take_packets(&mut taker.media);
        assert_eq!((packets.received, packets.lost), (2, 1));
    }
}
