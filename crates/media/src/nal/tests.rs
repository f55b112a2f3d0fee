use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn keep(_: &[u8]) -> bool {
    false
}

fn pairs(units: &Units) -> Vec<(u32, u32)> {
    units.iter().map(|span| (span.start, span.end)).collect()
}

fn bytes_of(data: &[u8], units: &Units) -> Vec<Vec<u8>> {
    iter(data, units).map(<[u8]>::to_vec).collect()
}

#[test]
fn lengths_of_every_size() {
    for (size, data) in [
        (1, &[1, 9, 2, 8, 7][..]),
        (2, &[0, 1, 9, 0, 2, 8, 7]),
        (3, &[0, 0, 1, 9, 0, 0, 2, 8, 7]),
        (4, &[0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 2, 8, 7]),
    ] {
        let units = split(data, size).unwrap();
        assert_eq!(bytes_of(data, &units), [vec![9], vec![8, 7]]);
    }
    assert!(split(&[1, 9], 0).is_err());
    assert!(split(&[1, 9], 5).is_err());
}

#[test]
fn lengths_beyond_the_data_are_refused() {
    assert_eq!(split(&[0, 0, 0, 3, 1, 2], 4), Err(Error::Truncated { offset: 4, wanted: 1 }));
    assert_eq!(split(&[0, 0, 0, 1, 1, 0], 4), Err(Error::Truncated { offset: 5, wanted: 3 }));
    assert!(split(&[0xFF, 0xFF, 0xFF, 0xFF, 1], 4).is_err());
}

#[test]
fn units_are_limited() {
    let data = [1, 0x41].repeat(MAX_UNITS);
    assert_eq!(split(&data, 1).unwrap().len(), MAX_UNITS);
    assert!(split(&[&data[..], &[1, 0x41]].concat(), 1).is_err());
    let stream = [0, 0, 1, 0x41].repeat(MAX_UNITS + 1);
    assert!(from_annex_b(&stream, keep).is_err());
}

#[test]
fn nothing_is_copied_where_nothing_changes() {
    let data = Bytes::from_static(&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x68, 0, 0, 0, 2, 0x65, 5]);
    let (same, units) = rewrite(&data, 4, keep).unwrap();
    assert_eq!((same.as_ptr(), same.len()), (data.as_ptr(), data.len()));
    assert_eq!(pairs(&units), [(4, 6), (10, 11), (15, 17)]);

    let (tail, units) = rewrite(&data, 4, |unit| unit[0] != 0x65).unwrap();
    assert_eq!(tail.as_ptr(), data[11..].as_ptr());
    assert_eq!((tail.len(), pairs(&units)), (6, vec![(4, 6)]));

    let (holed, units) = rewrite(&data, 4, |unit| unit[0] == 0x68).unwrap();
    assert_eq!(&holed[..], [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x65, 5]);
    assert_eq!(pairs(&units), [(4, 6), (10, 12)]);

    let (none, units) = rewrite(&data, 4, |_| true).unwrap();
    assert!(none.is_empty() && units.is_empty());
}

#[test]
fn empty_units_disappear() {
    let data = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1, 8]);
    let (clean, units) = rewrite(&data, 4, keep).unwrap();
    assert_eq!(&clean[..], [0, 0, 0, 1, 9, 0, 0, 0, 1, 8]);
    assert_eq!(pairs(&units), [(4, 5), (9, 10)]);
}

#[test]
fn a_byte_stream_in_place_of_lengths_is_understood() {
    let data = Bytes::from_static(&[0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x65, 1, 2]);
    let (payload, units) = rewrite(&data, 4, |unit| unit[0] == 9).unwrap();
    assert_eq!(&payload[..], [0, 0, 0, 3, 0x65, 1, 2]);
    assert_eq!(pairs(&units), [(4, 7)]);
    // What begins like a three-byte start code may be a length, too.
    let data = Bytes::from([&[0, 0, 1, 0][..], &[0x41; 256]].concat());
    assert_eq!(pairs(&rewrite(&data, 4, keep).unwrap().1), [(4, 260)]);
}

#[test]
fn start_codes_of_any_length_and_zeros_around_them() {
    let spans = |data: &[u8]| annex_b(data).map(|span| (span.start, span.end)).collect::<Vec<_>>();
    assert_eq!(spans(&[0, 0, 1, 9, 0, 0, 0, 1, 8, 7]), [(3, 4), (8, 10)]);
    assert_eq!(spans(&[7, 0, 0, 0, 0, 1, 9, 0, 0]), [(6, 7)]);
    assert_eq!(spans(&[0, 0, 1, 0, 0, 1, 9, 0, 0, 1]), [(6, 7)]);
    assert!(spans(&[]).is_empty() && spans(&[0, 0]).is_empty() && spans(&[1, 2, 3]).is_empty());
}

#[test]
fn emulation_prevention_is_taken_out() {
    assert!(matches!(unescape(&[0x67, 0, 0, 1, 3]), Cow::Borrowed(_)));
    assert_eq!(&*unescape(&[7, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [7, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(&*unescape(&[0, 0, 3, 0, 3, 0, 0, 3, 3]), [0, 0, 0, 3, 0, 0, 3]);
}

#[test]
fn sei_messages_are_walked_through() {
    let rbsp = [6, 1, 0xAA, 0xFF, 1, 2, 1, 2, 4, 9, 1];
    let found: Vec<_> = sei_messages(&rbsp).collect();
    assert_eq!(found, [(6, &[0xAA][..]), (256, &[1, 2])]);
}

proptest! {
    /// Units as they occur: not empty, no start code inside, no zero at the end.
    #[test]
    fn byte_stream_and_lengths_are_the_same(
        units in vec(vec(any::<u8>(), 1..40).prop_map(|mut unit| {
            for byte in &mut unit {
                *byte |= 0x10;
            }
            unit
        }), 0..12),
    ) {
        let slices = || units.iter().map(Vec::as_slice);
        let (payload, spans) = pack(slices(), 0).unwrap();
        prop_assert_eq!(&split(&payload, 4).unwrap(), &spans);
        prop_assert_eq!(&bytes_of(&payload, &spans), &units);
        let mut stream = BytesMut::new();
        to_annex_b(iter(&payload, &spans), &mut stream);
        prop_assert_eq!(from_annex_b(&stream, keep).unwrap(), (payload, spans));
    }

    #[test]
    fn whatever_comes_is_canonical_or_refused(data: Vec<u8>, size in 0u8..6, odd: bool) {
        let data = Bytes::from(data);
        let drop = |unit: &[u8]| odd && unit[0] % 2 == 1;
        if let Ok((payload, units)) = rewrite(&data, size, drop) {
            prop_assert_eq!(&split(&payload, 4).unwrap(), &units);
            prop_assert!(!iter(&payload, &units).any(drop));
            prop_assert_eq!(rewrite(&payload, 4, drop).unwrap(), (payload, units));
        }
    }

    #[test]
    fn damaged_data_never_panics(
        data in vec(prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()], 0..64),
    ) {
        for span in annex_b(&data) {
            prop_assert!(!data[span].ends_with(&[0]));
        }
        prop_assert!(unescape(&data).len() <= data.len());
        for (_, payload) in sei_messages(&data) {
            prop_assert!(payload.len() < data.len());
        }
        let _ = from_annex_b(&data, keep);
    }
}
