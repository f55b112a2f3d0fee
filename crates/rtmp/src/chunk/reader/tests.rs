//! Every header form, both ways of extended times, interruptions, limits, and the law that the
//! way the input is cut changes nothing.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use testkit::split;

use super::*;
use crate::chunk::{Header, write_message};

/// What a reader makes of these bytes, whole.
fn read(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    read_pieces(&[bytes], Limits::MEDIA)
}

fn read_pieces(pieces: &[&[u8]], limits: Limits) -> Result<Vec<Message>, Error> {
    let mut reader = Reader::new(limits);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty(), "input is left without a message");
    }
    Ok(messages)
}

fn times(bytes: &[u8]) -> Vec<u32> {
    read(bytes).unwrap().iter().map(|message| message.timestamp).collect()
}

/// A header on chunk stream 7 of type 0, 1 or 2 for a message of `length` video bytes.
fn header(format: u8, time: u32, length: u8) -> Vec<u8> {
    let short = time.min(0x00FF_FFFF).to_be_bytes();
    let mut bytes = vec![(format << 6) | 7, short[1], short[2], short[3]];
    if format < 2 {
        bytes.extend([0, 0, length, 9]);
    }
    if format == 0 {
        bytes.extend([1, 0, 0, 0]);
    }
    if time >= 0x00FF_FFFF {
        bytes.extend(time.to_be_bytes());
    }
    bytes
}

/// Set Chunk Size, as the first message of a connection.
fn set_chunk_size(size: u32) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0], size.to_be_bytes().as_slice()].concat()
}

#[test]
fn basic_headers_of_all_lengths() {
    for id in [2, 63, 64, 65, 319, 320, 65_599] {
        let mut bytes = BytesMut::new();
        let header = Header { chunk_stream: id, kind: Kind::Audio, stream_id: 1, timestamp: 9 };
        write_message(&mut bytes, header, &[b"abc"], Size::INITIAL).unwrap();
        let messages = read(&bytes).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].chunk_stream, id);
    }
    // The three-byte form may name a chunk stream that the two-byte form could, too.
    let long_form = [1, 6, 0, 0, 0, 5, 0, 0, 1, 8, 1, 0, 0, 0, 0xAA];
    assert_eq!(read(&long_form).unwrap()[0].chunk_stream, 70);
}

#[test]
fn shorter_headers_take_the_rest_from_before() {
    let bytes = [
        header(0, 1000, 1),
        vec![b'a'],
        header(1, 20, 2),
        vec![b'b', b'b'],
        header(2, 30, 0),
        vec![b'c', b'c'],
        vec![0xC7, b'd', b'd'],
    ]
    .concat();
    let messages = read(&bytes).unwrap();
    let summary: Vec<_> = messages.iter().map(|m| (m.timestamp, &m.payload[..])).collect();
    let expected: [(u32, &[u8]); 4] = [(1000, b"a"), (1020, b"bb"), (1050, b"cc"), (1080, b"dd")];
    assert_eq!(summary, expected);
    assert!(messages.iter().all(|m| m.stream_id == 1 && m.kind == Kind::Video));
}

#[test]
fn a_type_3_header_after_type_0_repeats_its_time_as_delta() {
    // §5.3.1.2.4; ffmpeg writes the second message so, if its distance is the first one's time.
    let bytes = [header(0, 40, 1), vec![b'a', 0xC7, b'b']].concat();
    assert_eq!(times(&bytes), [40, 80]);
    let extended = 0x0200_0000_u32.to_be_bytes();
    let bytes = [&header(0, 0x0200_0000, 1)[..], b"a\xC7", &extended, b"b"].concat();
    assert_eq!(times(&bytes), [0x0200_0000, 0x0200_0000], "not by nine hours");
}

#[test]
fn deltas_wrap_at_32_bits() {
    let bytes = [header(0, u32::MAX - 10, 1), vec![1], header(2, 30, 0), vec![1]].concat();
    assert_eq!(times(&bytes), [u32::MAX - 10, 19]);
}

#[test]
fn an_extended_delta_is_a_delta() {
    let bytes = [header(0, 100, 1), vec![1], header(1, 0x0100_0000, 1), vec![1]].concat();
    assert_eq!(times(&bytes), [100, 0x0100_0064]);
}

/// A message with an extended time in chunks of two bytes, whose continuations repeat the time
/// or do not.
fn extended(time: u32, payload: &[u8], repeats: bool) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut bytes = [set_chunk_size(2), header(0, time, length)].concat();
    for (index, chunk) in payload.chunks(2).enumerate() {
        if index > 0 {
            bytes.push(0xC7);
            if repeats {
                bytes.extend(time.to_be_bytes());
            }
        }
        bytes.extend(chunk);
    }
    bytes
}

#[test]
fn extended_times_are_repeated_or_not() {
    for time in [0x00FF_FFFF, 0x0100_0000, 0x0102_0304, u32::MAX] {
        for payload in [
            b"abcdefg".as_slice(),
            b"ab",
            b"abc",
            // Looks more and more like the time 0x01020304, but is not.
            &[9, 9, 1, 9, 9, 9],
            &[9, 9, 1, 2, 9, 9],
            &[9, 9, 1, 2, 1, 2, 1],
        ] {
            for repeats in [true, false] {
                // Something must follow, for a time that is almost repeated to be told apart.
                let bytes = [extended(time, payload, repeats), header(0, 5, 1), vec![0]].concat();
                split::everywhere(&bytes, |pieces| {
                    let messages = read_pieces(pieces, Limits::MEDIA).unwrap();
                    assert_eq!(messages.len(), 3);
                    assert_eq!(messages[1].timestamp, time);
                    assert_eq!(messages[1].payload, payload, "repeats: {repeats}");
                    messages
                });
            }
        }
    }
}

#[test]
fn bytes_peeked_across_a_chunk_end_are_the_next_header() {
    // One payload byte in the last chunk; its value and the next header's begin like the time.
    let time = 0x0107_0008;
    let next = [&[0x07, 0x00, 0x00, 0x09, 0, 0, 1, 9, 1, 0, 0, 0][..], b"z"].concat();
    let bytes = [extended(time, &[9, 9, 1], false), next].concat();
    split::everywhere(&bytes, |pieces| {
        let messages = read_pieces(pieces, Limits::MEDIA).unwrap();
        assert_eq!(messages[1].payload, [9, 9, 1].as_slice());
        assert_eq!((messages[2].timestamp, &messages[2].payload[..]), (9, b"z".as_slice()));
        messages
    });
}

#[test]
fn chunk_streams_interleave() {
    let mut bytes = set_chunk_size(2);
    bytes.extend([7, 0, 0, 1, 0, 0, 4, 9, 1, 0, 0, 0, b'v', b'v']);
    bytes.extend([6, 0, 0, 2, 0, 0, 3, 8, 1, 0, 0, 0, b'a', b'a']);
    bytes.extend([0xC7, b'V', b'V']);
    bytes.extend([0xC6, b'A']);
    split::everywhere(&bytes, |pieces| {
        let messages = read_pieces(pieces, Limits::MEDIA).unwrap();
        assert_eq!(messages[1].payload, "vvVV");
        assert_eq!(messages[2].payload, "aaA");
        messages
    });
}

#[test]
fn a_first_header_may_be_of_type_1_and_no_less() {
    assert_eq!(read(&[header(1, 0, 1), vec![1]].concat()).unwrap()[0].stream_id, 0);
    let error = |format| Err(Error::NoHeader { chunk_stream: 7, format });
    assert_eq!(read(&header(2, 0, 0)), error(2));
    assert_eq!(read(&[0xC7]), error(3));
}

#[test]
fn within_a_message_headers_must_agree() {
    let begin = [set_chunk_size(2), header(0, 0, 4), vec![1, 2]].concat();
    let same = [&begin[..], &header(1, 0, 4), &[3, 4]].concat();
    assert_eq!(read(&same).unwrap()[1].payload, [1, 2, 3, 4].as_slice());
    let interrupted = Err(Error::Interrupted { chunk_stream: 7, missing: 2 });
    assert_eq!(read(&[&begin[..], &header(1, 0, 5)].concat()), interrupted);
    assert_eq!(read(&[&begin[..], &header(0, 0, 4)].concat()), interrupted);
}

#[test]
fn abort_drops_what_has_come() {
    let abort = |id: u8| [&[2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0][..], &[0, 0, 0, id]].concat();
    let begin = [set_chunk_size(4), header(0, 0, 6), vec![1, 2, 3, 4]].concat();
    let bytes = [begin, abort(99), abort(7), header(0, 9, 1), vec![5]].concat();
    let messages = read(&bytes).unwrap();
    assert_eq!(messages.last().unwrap().payload, [5].as_slice());
    assert_eq!(messages.len(), 4, "chunk size, two aborts, one message");
}

#[test]
fn chunk_sizes_of_all_values() {
    for size in [1, 127, 0x00FF_FFFF, 0x0100_0000, 0x0800_0000, 0x7FFF_FFFF] {
        let mut reader = Reader::new(Limits::MEDIA);
        reader.read(&mut set_chunk_size(size).as_slice()).unwrap().unwrap();
        assert_eq!(reader.chunk_size().get(), size.min(0x00FF_FFFF));
    }
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&set_chunk_size(size)), Err(Error::ChunkSize(size)));
    }
}

#[test]
fn messages_without_payload() {
    let bytes = [header(0, 7, 0), vec![0xC7, 0xC7]].concat();
    split::everywhere(&bytes, |pieces| {
        let messages = read_pieces(pieces, Limits::MEDIA).unwrap();
        assert_eq!(messages.len(), 3);
        messages
    });
}

#[test]
fn limit_of_message_size() {
    let limits = Limits { max_message_size: 3, ..Limits::MEDIA };
    let fits = [header(0, 0, 3), vec![1, 2, 3]].concat();
    assert!(read_pieces(&[&fits], limits).is_ok());
    let refused = Err(Error::MessageTooLong { length: 4, limit: 3 });
    assert_eq!(read_pieces(&[&header(0, 0, 4)], limits), refused);
}

#[test]
fn limit_of_chunk_streams() {
    let limits = Limits { max_chunk_streams: 2, ..Limits::MEDIA };
    let on = |id: u8| vec![id, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
    assert!(read_pieces(&[&[on(3), on(4), on(3)].concat()], limits).is_ok());
    let refused = Err(Error::TooManyChunkStreams { limit: 2 });
    assert_eq!(read_pieces(&[&[on(3), on(4), on(5)].concat()], limits), refused);
}

#[test]
fn limit_of_partial_bytes() {
    let limits = Limits { max_partial_bytes: 250, ..Limits::MEDIA };
    let part = |id: u8| [&[id, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0][..], &[0; 128]].concat();
    assert!(read_pieces(&[&part(3)], limits).is_ok());
    let refused = Err(Error::TooMuchPartial { limit: 250 });
    assert_eq!(read_pieces(&[&[part(3), part(4)].concat()], limits), refused);
}

#[test]
fn memory_grows_with_bytes_and_not_with_announcements() {
    let mut reader = Reader::new(Limits::MEDIA);
    for id in 3..60 {
        let announced = [id, 0, 0, 0, 0x7F, 0xFF, 0xFF, 9, 1, 0, 0, 0, 0xAA];
        // One payload byte each, of eight megabytes announced.
        let mut input = announced.as_slice();
        let begun = reader.read(&mut input);
        assert!(matches!(begun, Ok(None)), "{begun:?}");
        let rest = [0; 127];
        assert!(matches!(reader.read(&mut rest.as_slice()), Ok(None)));
    }
    let held = reader.heap();
    assert!(
        held <= 57 * (MIN_PARTIAL + size_of::<Stream>()),
        "{held} bytes for {} received",
        57 * 128
    );
}

#[test]
fn an_idle_reader_is_small() {
    let mut reader = Reader::new(Limits::COMMANDS);
    for id in [2, 3, 8] {
        let bytes = [id, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 0];
        assert!(reader.read(&mut bytes.as_slice()).unwrap().is_some());
    }
    let (inline, heap) = (size_of::<Reader>(), reader.heap());
    assert!(inline + heap < 512, "{inline} + {heap} bytes");
}

prop_compose! {
    fn message()(
        chunk_stream in prop_oneof![2_u32..64, 64_u32..320, 320_u32..65_600],
        kind in prop_oneof![Just(Kind::Audio), Just(Kind::Video), Just(Kind::DataAmf0)],
        stream_id in any::<u32>(),
        timestamp in prop_oneof![any::<u32>(), 0x00FF_FFF0_u32..0x0100_0010],
        payload in vec(any::<u8>(), 0..600),
    ) -> Message {
        Message { chunk_stream, kind, stream_id, timestamp, payload: payload.into() }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in vec(message(), 0..12),
        size in 1_u32..300,
        seed: u64,
    ) {
        let mut bytes = BytesMut::from(set_chunk_size(size).as_slice());
        for message in &messages {
            let &Message { chunk_stream, kind, stream_id, timestamp, .. } = message;
            let header = Header { chunk_stream, kind, stream_id, timestamp };
            let size = Size::new(size).unwrap();
            write_message(&mut bytes, header, &[&message.payload], size).unwrap();
        }
        split::randomly(&bytes, seed, 4, |pieces| {
            let read = read_pieces(pieces, Limits::MEDIA).unwrap();
            assert_eq!(&read[1..], &messages[..]);
        });
    }

    #[test]
    fn noise_is_read_alike_however_it_is_cut(
        bytes in vec(prop_oneof![any::<u8>(), 0_u8..8, Just(0xC3), Just(0xFF)], 0..400),
        seed: u64,
    ) {
        split::randomly(&bytes, seed, 4, |pieces| {
            let mut reader = Reader::new(Limits::COMMANDS);
            let mut outcome = Vec::new();
            for piece in pieces {
                let mut input = *piece;
                loop {
                    match reader.read(&mut input) {
                        Ok(Some(message)) => outcome.push(Ok(message)),
                        Ok(None) => break,
                        Err(error) => {
                            outcome.push(Err(error));
                            return outcome;
                        }
                    }
                }
            }
            outcome
        });
    }
}
