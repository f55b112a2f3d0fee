//! The WebSocket key and its answer ([RFC 6455, 4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2)).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest as _, Sha1};

/// The GUID every server appends to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Hand-written clients send 22 random letters and `==`, whose last letter then has stray bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Whether `key` is the base64 form of 16 bytes.
pub(crate) fn is_key(key: &str) -> bool {
    // 16 bytes are 24 letters; the length is checked first so that nothing longer is decoded.
    key.len() == 24 && LENIENT.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// The key a client sends for its nonce.
pub(crate) fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// The value of `Sec-WebSocket-Accept` for the client's `key`.
pub(crate) fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6455_section_1_3_example() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn keys_are_sixteen_bytes_of_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_key("abcdefghijklmnopqrstuv=="), "stray bits in the last letter");
        for bad in
            ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "!!!!!!!!!!!!!!!!!!!!!!=="]
        {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
