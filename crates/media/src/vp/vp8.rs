//! VP8 frame headers (RFC 6386 §9.1).

use crate::{Error, Reader};

/// What a frame says before its first partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the frame is shown.
    pub show: bool,
    /// Width and height in pixels; key frames have them, and only they.
    pub size: Option<(u16, u16)>,
}

impl Header {
    /// Parses the header that `frame` begins with.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or a key frame has no start code.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        const START_CODE: u32 = 0x9D_01_2A;
        let mut r = Reader::new(frame);
        let [tag, _, _] = r.array()?;
        let show = tag & 0x10 != 0;
        if tag & 1 != 0 {
            return Ok(Self { show, size: None });
        }
        let code = r.u24()?;
        if code != START_CODE {
            return Err(Error::Invalid { what: "VP8 start code", value: code.into() });
        }
        // The two upper bits are for upscaling.
        let side = |bytes| u16::from_le_bytes(bytes) & 0x3FFF;
        let size = (side(r.array()?), side(r.array()?));
        Ok(Self { show, size: Some(size) })
    }

    /// Whether it is a key frame.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.size.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_have_their_size() {
        let key = [0x50, 0x42, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x41];
        let header = Header::parse(&key).unwrap();
        assert_eq!((header.is_key(), header.size, header.show), (true, Some((640, 360)), true));
        assert!(Header::parse(&key[..9]).is_err());
        assert!(Header::parse(&[0x50, 0x42, 0, 0x9D, 0x01, 0x2B, 0, 0, 0, 0]).is_err());
        assert!(!Header::parse(&[0x51, 0x42, 0]).unwrap().is_key());
    }
}
