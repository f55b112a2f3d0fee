//! Aggregate messages: RTMP 1.0 §7.1.6.
//!
//! Their body is a sequence of FLV tags, each followed by a back pointer, whose time stamps count
//! from any origin: the first tag has the message's own time, the others follow at their distance
//! from it.

use media::Reader;

use crate::Error;
use crate::message::{Kind, Message};

/// How many tags an aggregate may have. Servers gather a quarter of a second, some twenty tags;
/// a message full of tags of one byte each would be half a million.
const MAX_TAGS: usize = 1024;

/// The messages within an aggregate, zero-copy and in order.
///
/// Tags that are not audio, video or script data are left out, aggregates within aggregates too.
/// The last back pointer may be missing.
///
/// # Errors
/// The iterator yields an error once, as its last item: [`Error::Field`] if a tag exceeds the
/// message, [`Error::Malformed`] if there are too many.
pub fn split(message: &Message) -> impl Iterator<Item = Result<Message, Error>> + '_ {
    let mut r = Reader::new(&message.payload);
    let (mut first, mut tags) = (None, 0);
    std::iter::from_fn(move || {
        while !r.is_empty() {
            tags += 1;
            if tags > MAX_TAGS {
                r = Reader::new(&[]);
                return Some(Err(Error::Malformed { what: "aggregate: too many tags" }));
            }
            match tag(&mut r, message, &mut first) {
                Ok(sub) if is_media(sub.kind) => return Some(Ok(sub)),
                Ok(_) => {}
                Err(error) => {
                    r = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
        None
    })
}

fn is_media(kind: Kind) -> bool {
    matches!(kind, Kind::Audio | Kind::Video | Kind::DataAmf0 | Kind::DataAmf3)
}

/// Reads one tag and its back pointer; `first` is the first tag's time.
fn tag(r: &mut Reader<'_>, of: &Message, first: &mut Option<u32>) -> Result<Message, Error> {
    let kind = Kind::from(r.u8()?);
    let length = r.u24()?;
    let low = r.u24()?;
    let time = (u32::from(r.u8()?) << 24) | low;
    r.u24()?; // the message stream; the aggregate's own counts
    let begin = r.offset();
    r.take(length as usize)?;
    let payload = of.payload.slice(begin..r.offset());
    r.take(r.remaining().min(4))?; // the back pointer, or what there is of it
    let origin = *first.get_or_insert(time);
    let timestamp = of.timestamp.wrapping_add(time.wrapping_sub(origin));
    let &Message { chunk_stream, stream_id, .. } = of;
    Ok(Message { chunk_stream, kind, stream_id, timestamp, payload })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};

    use super::*;

    fn aggregate(timestamp: u32, tags: &[(u8, u32, &[u8])]) -> Message {
        let mut payload = BytesMut::new();
        for &(kind, time, body) in tags {
            payload.put_u8(kind);
            payload.put_uint(body.len() as u64, 3);
            payload.put_uint(u64::from(time & 0x00FF_FFFF), 3);
            payload.put_u8((time >> 24).try_into().unwrap());
            payload.put_uint(0, 3);
            payload.put_slice(body);
            payload.put_u32(u32::try_from(body.len()).unwrap() + 11);
        }
        let payload = payload.freeze();
        Message { chunk_stream: 4, kind: Kind::Aggregate, stream_id: 1, timestamp, payload }
    }

    fn times(message: &Message) -> Vec<(Kind, u32, Bytes)> {
        split(message).map(Result::unwrap).map(|m| (m.kind, m.timestamp, m.payload)).collect()
    }

    #[test]
    fn times_follow_the_message_and_not_the_tags() {
        let message = aggregate(500, &[(9, 7000, b"v"), (8, 7010, b"aa"), (9, 7040, b"")]);
        let expected = [
            (Kind::Video, 500, Bytes::from_static(b"v")),
            (Kind::Audio, 510, Bytes::from_static(b"aa")),
            (Kind::Video, 540, Bytes::new()),
        ];
        assert_eq!(times(&message), expected);
    }

    #[test]
    fn times_wrap() {
        let message = aggregate(u32::MAX, &[(8, u32::MAX - 1, b"a"), (8, 3, b"b")]);
        let [(_, a, _), (_, b, _)] = &times(&message)[..] else { panic!("two messages") };
        assert_eq!((*a, *b), (u32::MAX, 4));
    }

    #[test]
    fn nested_aggregates_and_commands_are_left_out() {
        let message = aggregate(0, &[(22, 0, b"x"), (20, 0, b"y"), (18, 5, b"z")]);
        assert_eq!(times(&message), [(Kind::DataAmf0, 5, Bytes::from_static(b"z"))]);
    }

    #[test]
    fn limit_of_tags() {
        let tags = [(8, 0, b"a".as_slice()); MAX_TAGS + 1];
        assert!(split(&aggregate(0, &tags[1..])).all(|part| part.is_ok()));
        assert!(matches!(split(&aggregate(0, &tags)).last(), Some(Err(Error::Malformed { .. }))));
    }

    #[test]
    fn every_truncation_is_an_error_or_shorter() {
        let whole = aggregate(0, &[(8, 0, b"abc"), (9, 9, b"defg")]);
        for len in 0..whole.payload.len() {
            let cut = Message { payload: whole.payload.slice(..len), ..whole.clone() };
            let parts: Vec<_> = split(&cut).collect();
            assert!(parts.len() <= 2);
            assert!(parts.iter().rev().skip(1).all(Result::is_ok), "an error is the last item");
        }
    }
}
