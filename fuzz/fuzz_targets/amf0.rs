//! AMF0 values, with AMF3 ones among them, script data and the capabilities in connect objects.
//!
//! Laws: what was read is within the budget of a message; what was read and written reads the
//! same again. Written bytes are compared, since a number may be NaN.

#![no_main]

#[path = "amf3_size.rs"]
mod size;

use bytes::{Bytes, BytesMut};
use flv::amf0::{Object, Value};
use flv::caps::Capabilities;
use flv::script;
use libfuzzer_sys::fuzz_target;

use size::Size;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let _ = script::name(&body);
    let _ = script::properties(&body);
    let framed = script::with_set_data_frame(&body);
    assert_eq!(script::without_set_data_frame(&framed), script::without_set_data_frame(&body));

    let Ok(values) = Value::decode_all(data) else { return };
    values.iter().map(size).fold(Size::default(), Size::plus).check(data.len());
    for object in values.iter().filter_map(Value::as_object) {
        let _ = Capabilities::from_connect(object);
    }
    let once = encode(&values);
    let again = Value::decode_all(&once).expect("what was written is well-formed");
    assert_eq!(encode(&again), once);
});

fn size(value: &Value) -> Size {
    let properties = |object: &Object| -> Vec<Size> {
        let named = |(key, value): (&str, _)| {
            let size = size(value);
            Size { bytes: size.bytes + key.len(), ..size }
        };
        object.iter().map(named).collect()
    };
    match value {
        Value::String(text) | Value::Xml(text) => Size::of_parts(text.len(), []),
        Value::Object(object) | Value::EcmaArray(object) => Size::of_parts(0, properties(object)),
        Value::TypedObject { class, object } => Size::of_parts(class.len(), properties(object)),
        Value::StrictArray(values) => Size::of_parts(0, values.iter().map(size)),
        Value::Amf3(value) => Size::of_parts(0, [Size::of_amf3(value)]),
        _ => Size::of_parts(0, []),
    }
}

fn encode(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    for value in values {
        value.encode(&mut out);
    }
    out
}
