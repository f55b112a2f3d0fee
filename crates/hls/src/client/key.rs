//! Segments that are encrypted as a whole: AES-128 in CBC mode (RFC 8216 §4.3.2.4, §5.2).

use aes::Aes128;
use bytes::Bytes;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};

/// Bytes of a key, and of an initialisation vector.
pub const KEY_LENGTH: usize = 16;

/// How a segment, or an initialisation section, is decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's address, relative to that of the playlist.
    pub uri: String,
    /// The initialisation vector, if it is not the segment's number.
    pub iv: Option<[u8; KEY_LENGTH]>,
}

/// Why something is not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file at the key's address is none.
    #[error("the key of the segments has {0} bytes; those of AES-128 have {KEY_LENGTH}")]
    Length(usize),
    /// It is not whole, or was encrypted with another key.
    #[error("a segment cannot be decrypted: it is damaged, or the key is another one")]
    Damaged,
}

impl Key {
    /// Decrypts a segment, or the part of a file that is one, of this number in its playlist, with
    /// what was found at the key's address.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it.
    pub fn decrypt(&self, key: &[u8], number: u64, segment: Bytes) -> Result<Bytes, KeyError> {
        let length = KeyError::Length(key.len());
        let key: [u8; KEY_LENGTH] = key.try_into().map_err(|_| length)?;
        let iv = self.iv.unwrap_or_else(|| u128::from(number).to_be_bytes());
        let mut bytes = Vec::from(segment);
        let cipher = Decryptor::<Aes128>::new(&key.into(), &iv.into());
        let plain = cipher.decrypt_padded::<Pkcs7>(&mut bytes).map_err(|_| KeyError::Damaged)?;
        let length = plain.len();
        bytes.truncate(length);
        Ok(bytes.into())
    }
}

/// Reads `0x` and up to 32 hexadecimal digits.
pub(super) fn vector(text: &str) -> Option<[u8; KEY_LENGTH]> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use cbc::Encryptor;
    use cbc::cipher::BlockModeEncrypt;
    use proptest::prelude::*;

    use super::*;

    fn encrypt(key: [u8; KEY_LENGTH], iv: [u8; KEY_LENGTH], plain: &[u8]) -> Bytes {
        let mut room = plain.to_vec();
        room.resize(plain.len() + KEY_LENGTH, 0);
        let cipher = Encryptor::<Aes128>::new(&key.into(), &iv.into());
        let encrypted = cipher.encrypt_padded::<Pkcs7>(&mut room, plain.len()).expect("room");
        Bytes::copy_from_slice(encrypted)
    }

    #[test]
    fn vectors_are_numbers() {
        assert_eq!(vector("0x0A"), Some(10u128.to_be_bytes()));
        let longest = format!("0X{}", "f".repeat(32));
        assert_eq!(vector(&longest), Some([0xFF; KEY_LENGTH]));
        for text in ["", "0x", "12", "0xg", &format!("{longest}0")] {
            assert_eq!(vector(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_decrypted_is_refused() {
        let tag = Key { uri: String::new(), iv: None };
        let segment = encrypt([1; KEY_LENGTH], [0; KEY_LENGTH], b"plain");
        assert_eq!(tag.decrypt(b"short", 0, segment.clone()), Err(KeyError::Length(5)));
        assert_eq!(tag.decrypt(&[2; KEY_LENGTH], 0, segment.clone()), Err(KeyError::Damaged));
        let cut = segment.slice(..segment.len() - 1);
        assert_eq!(tag.decrypt(&[1; KEY_LENGTH], 0, cut), Err(KeyError::Damaged));
        assert_eq!(tag.decrypt(&[1; KEY_LENGTH], 0, Bytes::new()), Err(KeyError::Damaged));
    }

    proptest! {
        #[test]
        fn what_was_encrypted_is_read(
            key: [u8; KEY_LENGTH],
            iv: Option<[u8; KEY_LENGTH]>,
            number: u64,
            plain in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let used = iv.unwrap_or_else(|| u128::from(number).to_be_bytes());
            let tag = Key { uri: String::new(), iv };
            let read = tag.decrypt(&key, number, encrypt(key, used, &plain));
            prop_assert_eq!(read.expect("it is whole"), plain);
        }
    }
}
