//! Response heads, and the chunked bodies that may follow them.
//!
//! Laws: no prefix of a good head is refused; reads of a body may end anywhere.

#![no_main]

use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use ws::client::{Key, Response, chunked};
use ws::head::Limits;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    splits_change_nothing(data, body);
    let Ok(Some((response, consumed))) = Response::parse(data, &limits) else { return };
    for end in [consumed - 1, consumed / 2, consumed / 3] {
        assert_eq!(Response::parse(&data[..end], &limits), Ok(None));
    }
    let _ = response.redirect();
    let _ = Key::new([0; 16]).verify(&response, &["flv"]);
    splits_change_nothing(&data[consumed..], body);
});

/// The data, whether the body was good so far, and whether it ended.
fn body(pieces: &[&[u8]]) -> (Vec<u8>, bool, bool) {
    let mut reader = chunked::Reader::new();
    let mut data = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.decode(&mut piece) {
                Ok(Some(part)) => data.extend_from_slice(part),
                Ok(None) => break,
                Err(_) => return (data, false, false),
            }
        }
    }
    (data, true, reader.is_done())
}
