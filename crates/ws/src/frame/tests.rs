//! Frames: vectors of RFC 6455, laws, hostile shapes, and an independent implementation.

use proptest::prelude::*;

use super::*;

/// Everything a reader makes of the pieces.
fn read<'a>(
    role: Role,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(role, limit);
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.decode(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(piece.is_empty(), "everything is taken");
    }
    (events, None)
}

fn server(bytes: &[u8]) -> (Vec<Event>, Option<Error>) {
    read(Role::Server, VIEWER_MESSAGE, [bytes])
}

fn client(bytes: &[u8]) -> (Vec<Event>, Option<Error>) {
    read(Role::Client, VIEWER_MESSAGE, [bytes])
}

fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    write_masked_frame(&mut out, opcode, fin, [0x37, 0xfa, 0x21, 0x3d], payload);
    out
}

fn text(s: &str) -> Event {
    Event::Text(s.to_owned())
}

#[test]
fn rfc_6455_section_5_7_examples() {
    assert_eq!(client(b"\x81\x05Hello"), (vec![text("Hello")], None));
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(server(hello), (vec![text("Hello")], None));
    assert_eq!(&masked(Opcode::Text, true, b"Hello")[..], hello);
    assert_eq!(client(b"\x01\x03Hel\x80\x02lo"), (vec![text("Hello")], None));
    assert_eq!(client(b"\x89\x05Hello"), (vec![Event::Ping(Bytes::from("Hello"))], None));
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(server(pong), (vec![Event::Pong(Bytes::from("Hello"))], None));
    assert_eq!(&pong_frame(b"Hello")[..], b"\x8a\x05Hello");

    let mut out = Vec::new();
    write_frame_header(&mut out, Opcode::Binary, true, 256);
    write_frame_header(&mut out, Opcode::Binary, true, 65_536);
    assert_eq!(out, b"\x82\x7e\x01\x00\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
}

#[test]
fn lengths_take_their_shortest_form() {
    for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut out = BytesMut::new();
        write_frame_header(&mut out, Opcode::Binary, true, len);
        assert_eq!(out.len(), header, "{len}");
        out.resize(header + len, 7);
        let (events, error) = read(Role::Client, 1 << 17, [&out[..]]);
        assert_eq!((events, error), (vec![Event::Binary(vec![7; len].into())], None));
    }
}

#[test]
fn control_frames_may_come_between_fragments() {
    let bytes = [
        masked(Opcode::Text, false, "gr".as_bytes()),
        masked(Opcode::Ping, true, b"?"),
        masked(Opcode::Continuation, false, b""),
        masked(Opcode::Pong, true, b""),
        masked(Opcode::Continuation, true, "üß".as_bytes()),
    ]
    .concat();
    let expected = vec![Event::Ping(Bytes::from("?")), Event::Pong(Bytes::new()), text("grüß")];
    assert_eq!(server(&bytes), (expected, None));
}

#[test]
fn nothing_follows_a_close() {
    let mut bytes = BytesMut::from(&close_frame(1000, "bye")[..]);
    bytes.extend_from_slice(b"\xff\xff\xff");
    let close = Event::Close { code: Some(1000), reason: "bye".to_owned() };
    assert_eq!(client(&bytes), (vec![close], None));
    let silent = Event::Close { code: None, reason: String::new() };
    assert_eq!(client(b"\x88\x00"), (vec![silent], None));
}

#[test]
fn long_close_reasons_are_cut_at_a_character() {
    let frame = close_frame(1011, &"é".repeat(100));
    let (events, error) = client(&frame);
    assert_eq!(error, None);
    assert_eq!(events, [Event::Close { code: Some(1011), reason: "é".repeat(61) }]);
    assert_eq!(ping_frame(&[0; 300]).len(), 2 + MAX_CONTROL);
}

#[test]
fn hostile_shapes_are_refused_with_their_close_code() {
    let long = VIEWER_MESSAGE + 1;
    let rows: &[(&[u8], Error, u16)] = &[
        (b"\x81\x05Hello", Error::Unmasked, 1002),
        (b"\xc1\x80\0\0\0\0", Error::Reserved(0xC1), 1002),
        (b"\xa1", Error::Reserved(0xA1), 1002),
        (b"\x91", Error::Reserved(0x91), 1002),
        (b"\x83", Error::Opcode(3), 1002),
        (b"\x8f", Error::Opcode(15), 1002),
        (b"\x09\x80\0\0\0\0", Error::Control, 1002),
        (b"\x89\xfe\x00\x7e\0\0\0\0", Error::Control, 1002),
        (b"\x82\xfe\x00\x7d\0\0\0\0", Error::Length(125), 1002),
        (b"\x82\xff\0\0\0\0\0\0\xff\xff", Error::Length(65_535), 1002),
        (b"\x82\xff\x80\0\0\0\0\0\0\0", Error::Length(1 << 63), 1002),
        (b"\x80\x80\0\0\0\0", Error::Continuation, 1002),
        (b"\x02\x80\0\0\0\0\x82\x80\0\0\0\0", Error::Interleaved, 1002),
        (b"\x88\x81\0\0\0\0\x03", Error::Close, 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", Error::Close, 1002),
        (b"\x88\x82\0\0\0\0\x03\xee", Error::Close, 1002),
        (b"\x88\x82\0\0\0\0\0\0", Error::Close, 1002),
        (b"\x88\x82\0\0\0\0\xff\xff", Error::Close, 1002),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", Error::Utf8, 1007),
        (b"\x81\x81\0\0\0\0\xff", Error::Utf8, 1007),
        (b"\x81\x83\0\0\0\0\xed\xa0\x80", Error::Utf8, 1007),
        (
            b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
            Error::TooBig { len: u64::MAX >> 1, limit: VIEWER_MESSAGE },
            1009,
        ),
        (
            b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0",
            Error::TooBig { len: long as u64, limit: VIEWER_MESSAGE },
            1009,
        ),
    ];
    for (bytes, error, code) in rows {
        assert_eq!(server(bytes).1, Some(*error), "{bytes:02x?}");
        assert_eq!(read(Role::Server, VIEWER_MESSAGE, bytes.chunks(1)).1, Some(*error));
        assert_eq!(error.close_code(), *code);
    }
    assert_eq!(client(b"\x81\x80\0\0\0\0").1, Some(Error::Masked));
}

#[test]
fn fragments_together_obey_the_limit() {
    let half = vec![0; VIEWER_MESSAGE / 2 + 1];
    let mut bytes = masked(Opcode::Binary, false, &half);
    bytes.extend_from_slice(&masked(Opcode::Continuation, true, &half));
    let len = u64::try_from(half.len() * 2).unwrap();
    assert_eq!(server(&bytes), (vec![], Some(Error::TooBig { len, limit: VIEWER_MESSAGE })));
}

#[test]
fn a_failed_reader_stays_failed() {
    let mut reader = Reader::new(Role::Server, VIEWER_MESSAGE);
    assert_eq!(reader.decode(&mut &b"\x83"[..]), Err(Error::Opcode(3)));
    let good = masked(Opcode::Ping, true, b"");
    assert_eq!(reader.decode(&mut &good[..]), Err(Error::Opcode(3)));
}

#[test]
fn an_idle_reader_is_small() {
    // Ten thousand viewers hold one each.
    assert!(size_of::<Reader>() <= 160, "{}", size_of::<Reader>());
}

/// A message a peer might send, in fragments, and what a reader should make of it.
fn message() -> impl Strategy<Value = (Opcode, Vec<Vec<u8>>)> {
    let binary = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)
        .prop_map(|fragments| (Opcode::Binary, fragments));
    let text = "\\PC{0,40}".prop_map(|s| (Opcode::Text, vec![s.into_bytes()]));
    let ping = prop::collection::vec(any::<u8>(), 0..=MAX_CONTROL)
        .prop_map(|payload| (Opcode::Ping, vec![payload]));
    prop_oneof![binary, text, ping]
}

fn write(messages: &[(Opcode, Vec<Vec<u8>>)], key: Option<[u8; 4]>) -> (BytesMut, Vec<Event>) {
    let mut out = BytesMut::new();
    let mut events = Vec::new();
    for (opcode, fragments) in messages {
        for (i, fragment) in fragments.iter().enumerate() {
            let opcode = if i == 0 { *opcode } else { Opcode::Continuation };
            let fin = i + 1 == fragments.len();
            if let Some(key) = key {
                write_masked_frame(&mut out, opcode, fin, key, fragment);
            } else {
                write_frame_header(&mut out, opcode, fin, fragment.len());
                out.extend_from_slice(fragment);
            }
        }
        let whole = fragments.concat();
        events.push(match opcode {
            Opcode::Text => Event::Text(String::from_utf8(whole).unwrap()),
            Opcode::Ping => Event::Ping(whole.into()),
            _ => Event::Binary(whole.into()),
        });
    }
    (out, events)
}

proptest! {
    #[test]
    fn written_messages_read_back_at_any_split(
        messages in prop::collection::vec(message(), 0..4),
        key in any::<Option<[u8; 4]>>(),
        size in 1_usize..70,
    ) {
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let (bytes, events) = write(&messages, key);
        prop_assert_eq!(read(role, VIEWER_MESSAGE, [&bytes[..]]), (events.clone(), None));
        prop_assert_eq!(read(role, VIEWER_MESSAGE, bytes.chunks(size)), (events, None));
    }

    #[test]
    fn splits_change_nothing_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for role in [Role::Server, Role::Client] {
            let whole = read(role, 64, [&bytes[..]]);
            prop_assert_eq!(&whole, &read(role, 64, bytes.chunks(1)));
            prop_assert_eq!(&whole, &read(role, 64, bytes.chunks(7)));
        }
    }

    #[test]
    fn masking_is_its_own_inverse_at_any_phase(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40),
        key: [u8; 4],
        cut in 0_usize..40,
    ) {
        let plain = bytes.clone();
        mask(&mut bytes, key, 0);
        for (i, (a, b)) in plain.iter().zip(&bytes).enumerate() {
            prop_assert_eq!(a ^ key[i % 4], *b);
        }
        let cut = cut.min(bytes.len());
        let (head, tail) = bytes.split_at_mut(cut);
        mask(head, key, 0);
        mask(tail, key, cut);
        prop_assert_eq!(bytes, plain);
    }
}
