//! AMF3 values.
//!
//! Law: what was read and written reads the same again, unless a member of a class has an empty
//! name, for which dynamic objects have no form, or references nest deeper than values may. Written
//! bytes are compared, since a number may be NaN.

#![no_main]

use bytes::BytesMut;
use flv::Error;
use flv::amf3::Value;
use libfuzzer_sys::fuzz_target;
use media::Reader;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = Value::decode(&mut Reader::new(data)) else { return };
    if has_empty_name(&value) {
        return;
    }
    let once = encode(&value);
    let again = match Value::decode(&mut Reader::new(&once)) {
        Err(Error::TooDeep(_)) => return,
        again => again.expect("what was written is well-formed"),
    };
    assert_eq!(encode(&again), once);
});

fn has_empty_name(value: &Value) -> bool {
    let pairs = |pairs: &[(String, Value)]| {
        pairs.iter().any(|(name, value)| name.is_empty() || has_empty_name(value))
    };
    match value {
        Value::Array { named, dense } => pairs(named) || dense.iter().any(has_empty_name),
        Value::Object { properties, .. } => pairs(properties),
        _ => false,
    }
}

fn encode(value: &Value) -> BytesMut {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out
}
