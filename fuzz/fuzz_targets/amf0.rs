//! AMF0 values, script data and the capabilities in connect objects.
//!
//! Law: what was read and written reads the same again, with AMF3 values left to their own target.
//! Written bytes are compared, since a
//! number may be NaN.

#![no_main]

use bytes::{Bytes, BytesMut};
use flv::amf0::{Object, Value};
use flv::caps::Capabilities;
use flv::script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let _ = script::name(&body);
    let _ = script::properties(&body);
    let framed = script::with_set_data_frame(&body);
    assert_eq!(script::without_set_data_frame(&framed), script::without_set_data_frame(&body));

    let Ok(values) = Value::decode_all(data) else { return };
    for object in values.iter().filter_map(Value::as_object) {
        let _ = Capabilities::from_connect(object);
    }
    if values.iter().any(has_amf3) {
        return;
    }
    let once = encode(&values);
    let again = Value::decode_all(&once).expect("what was written is well-formed");
    assert_eq!(encode(&again), once);
});

fn has_amf3(value: &Value) -> bool {
    let object = |object: &Object| object.iter().any(|(_, value)| has_amf3(value));
    match value {
        Value::Amf3(_) => true,
        Value::Object(inner) | Value::EcmaArray(inner) => object(inner),
        Value::TypedObject { object: inner, .. } => object(inner),
        Value::StrictArray(values) => values.iter().any(has_amf3),
        _ => false,
    }
}

fn encode(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    for value in values {
        value.encode(&mut out);
    }
    out
}
