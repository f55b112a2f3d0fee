//! `onMetaData` in AMF0, just as much as an encoder announces (FLV 10.1 §E.5).

use bytes::{BufMut, Bytes, BytesMut};

/// A script tag body: the name, then an ECMA array of numbers.
pub(crate) fn on_meta_data(values: &[(&str, f64)]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(2);
    put_string(&mut out, "onMetaData");
    out.put_u8(8);
    out.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
    for &(name, value) in values {
        put_string(&mut out, name);
        out.put_u8(0);
        out.put_f64(value);
    }
    out.put_slice(&[0, 0, 9]);
    out.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}
