//! The canonical payload of frames with NAL units. The first byte says how long lengths are.
//!
//! Laws: the canonical form has the same units as the original, its spans are its units, and it
//! is its own canonical form; a byte stream survives the way there and back.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use media::{Units, h264, nal};

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let size = 1 + first % 4;
    let data = Bytes::copy_from_slice(data);

    if let Ok((payload, units)) = nal::rewrite(&data, size, |_| false) {
        check(&payload, &units);
        if let Ok(original) = nal::split(&data, size) {
            assert!(nal::iter(&data, &original).eq(nal::iter(&payload, &units)));
        }
    }
    if let Ok((payload, units)) = nal::rewrite(&data, size, h264::is_parameter_set) {
        check(&payload, &units);
        assert!(!nal::iter(&payload, &units).any(h264::is_parameter_set));
        let _ = h264::is_key(&payload, &units);
        let _ = h264::recovery_point(&payload, &units);
    }
    if let Ok((payload, units)) = nal::from_annex_b(&data, |_| false) {
        check(&payload, &units);
        let mut stream = BytesMut::new();
        nal::to_annex_b(nal::iter(&payload, &units), &mut stream);
        assert_eq!(nal::from_annex_b(&stream, |_| false), Ok((payload, units)));
    }
    assert!(nal::unescape(&data).len() <= data.len());
});

fn check(payload: &Bytes, units: &Units) {
    assert_eq!(nal::split(payload, 4).as_ref(), Ok(units));
    assert_eq!(nal::rewrite(payload, 4, |_| false), Ok((payload.clone(), units.clone())));
}
