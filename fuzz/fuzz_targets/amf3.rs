//! AMF3 values.
//!
//! Laws: what was read is within the budget of a message; what was read and written reads the
//! same again. Written bytes are compared, since a number may be NaN.

#![no_main]

#[path = "amf3_size.rs"]
mod size;

use bytes::BytesMut;
use flv::amf3::Value;
use libfuzzer_sys::fuzz_target;
use media::Reader;

use size::Size;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = Value::decode(&mut Reader::new(data)) else { return };
    Size::of_amf3(&value).check(data.len());
    let once = encode(&value);
    let again = Value::decode(&mut Reader::new(&once)).expect("what was written is well-formed");
    assert_eq!(encode(&again), once);
});

fn encode(value: &Value) -> BytesMut {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out
}
