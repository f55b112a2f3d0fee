//! Script data bodies: a name and its values.
//!
//! FLV 10.1 E.4.4 `SCRIPTDATA`. Publishers send `onMetaData` wrapped in `@setDataFrame` (RTMP
//! 1.0 does not mention it, encoders do it); files and viewers get it bare.

use bytes::{Bytes, BytesMut};
use media::Reader;

use crate::Error;
use crate::amf0::{Decoder, Object, Value};

const SET_DATA_FRAME: &str = "@setDataFrame";

/// What a body begins with: its name, after `@setDataFrame` if that is there.
///
/// # Errors
/// When the body does not begin with a string.
pub fn name(body: &Bytes) -> Result<String, Error> {
    match Value::decode(&mut Reader::new(&without_set_data_frame(body)))? {
        Value::String(name) => Ok(name),
        _ => Err(media::Error::Invalid { what: "script data name", value: 0 }.into()),
    }
}

/// The body without a leading `@setDataFrame`; a slice of it.
#[must_use]
pub fn without_set_data_frame(body: &Bytes) -> Bytes {
    let mut reader = Reader::new(body);
    match Value::decode(&mut reader) {
        Ok(Value::String(name)) if name == SET_DATA_FRAME => body.slice(reader.offset()..),
        _ => body.clone(),
    }
}

/// The body with `@setDataFrame` before it, as servers expect it of a publisher.
#[must_use]
pub fn with_set_data_frame(body: &Bytes) -> Bytes {
    let bare = without_set_data_frame(body);
    let mut out = BytesMut::with_capacity(bare.len() + SET_DATA_FRAME.len() + 3);
    Value::from(SET_DATA_FRAME).encode(&mut out);
    out.extend_from_slice(&bare);
    out.freeze()
}

/// The properties of a body's first object.
///
/// # Errors
/// When the body is malformed before it.
pub fn properties(body: &Bytes) -> Result<Object, Error> {
    for value in Decoder::new(body) {
        if let Value::Object(object)
        | Value::EcmaArray(object)
        | Value::TypedObject { object, .. } = value?
        {
            return Ok(object);
        }
    }
    Ok(Object::new())
}

/// A body of `name` and one object, as `onMetaData` is one.
#[must_use]
pub fn build(name: &str, properties: Object) -> Bytes {
    let mut out = BytesMut::new();
    Value::from(name).encode(&mut out);
    Value::EcmaArray(properties).encode(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_data_frame_comes_and_goes() {
        let bare = build("onMetaData", Object::new().with("width", 640.0));
        let wrapped = with_set_data_frame(&bare);
        assert!(wrapped.starts_with(b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData"));
        assert_eq!(with_set_data_frame(&wrapped), wrapped);
        assert_eq!(without_set_data_frame(&wrapped), bare);
        assert_eq!(without_set_data_frame(&bare), bare);
        assert_eq!(name(&wrapped).as_deref(), Ok("onMetaData"));
        let width = properties(&wrapped).unwrap().get("width").and_then(Value::as_number);
        assert_eq!(width, Some(640.0));
    }

    #[test]
    fn a_body_without_a_name_is_refused() {
        assert!(name(&Bytes::from_static(b"\x05")).is_err());
        assert!(name(&Bytes::new()).is_err());
    }
}
