//! FLV tags: headers to write, and an incremental reader of whole streams.
//!
//! FLV 10.1 E.2 (header), E.3 (body), E.4.1 (tag). Tolerated: a header longer than nine bytes,
//! previous-tag sizes that are wrong (counted).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use media::Reader as Fields;

use crate::Error;

/// Bytes of a tag's header.
pub const HEADER_LEN: usize = 11;

/// Bytes of the size that follows each tag.
pub const TRAILER_LEN: usize = 4;

/// The longest tag body: its length is a 24-bit field.
pub const MAX_BODY: usize = 0x00FF_FFFF;

/// Bytes of the file header that are skipped at most; files have nine.
const MAX_FILE_HEADER: u32 = 4096;

/// What a tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An audio payload.
    Audio,
    /// A video payload.
    Video,
    /// Script data.
    Script,
    /// A type that the specification does not name.
    Other(u8),
}

impl From<u8> for Kind {
    fn from(id: u8) -> Self {
        match id {
            8 => Self::Audio,
            9 => Self::Video,
            18 => Self::Script,
            other => Self::Other(other),
        }
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => 8,
            Kind::Video => 9,
            Kind::Script => 18,
            Kind::Other(id) => id,
        }
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it holds.
    pub kind: Kind,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The body.
    pub body: Bytes,
}

/// Which tracks a file says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// There are audio tags.
    pub audio: bool,
    /// There are video tags.
    pub video: bool,
}

impl FileHeader {
    /// The header and the size of the tag that does not precede the first.
    #[must_use]
    pub fn bytes(self) -> [u8; 13] {
        let flags = u8::from(self.audio) << 2 | u8::from(self.video);
        [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
    }
}

/// Appends the header of a tag whose body has `len` bytes, [`MAX_BODY`] at most.
pub fn write_header(out: &mut BytesMut, kind: Kind, timestamp: u32, len: usize) {
    let [_, len @ ..] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let [extension, time @ ..] = timestamp.to_be_bytes();
    out.put_u8(kind.into());
    out.put_slice(&len);
    out.put_slice(&time);
    out.put_slice(&[extension, 0, 0, 0]);
}

/// Appends the size of the tag before, whose body has `len` bytes.
pub fn write_trailer(out: &mut BytesMut, len: usize) {
    out.put_u32(u32::try_from(len + HEADER_LEN).unwrap_or(u32::MAX));
}

/// Appends a whole tag, with the size after it.
pub fn write(out: &mut BytesMut, tag: &Tag) {
    out.reserve(HEADER_LEN + tag.body.len() + TRAILER_LEN);
    write_header(out, tag.kind, tag.timestamp, tag.body.len());
    out.put_slice(&tag.body);
    write_trailer(out, tag.body.len());
}

/// Reads an FLV stream however it is cut: [`Reader::push`] bytes, then [`Reader::poll`] tags.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    state: State,
    header: Option<FileHeader>,
    max_body: usize,
    wrong_sizes: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    FileHeader,
    /// Bytes of the file header that are still to be skipped.
    Skip(usize),
    /// The size of the tag before, and then a tag.
    Tag {
        previous: usize,
    },
}

impl Reader {
    /// A reader that refuses tags with bodies above `max_body` bytes. It holds no more memory than
    /// came in.
    #[must_use]
    pub fn new(max_body: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::FileHeader,
            header: None,
            max_body,
            wrong_sizes: 0,
        }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tag, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When the bytes are no FLV stream; the reader is of no more use then.
    pub fn poll(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            match self.state {
                State::FileHeader => {
                    let Some(bytes) = self.buffer.get(..9) else { return Ok(None) };
                    let mut fields = Fields::new(bytes);
                    let signature = fields.array()?;
                    if signature != *b"FLV" {
                        return Err(Error::Signature(signature));
                    }
                    let _version = fields.u8()?;
                    let flags = fields.u8()?;
                    let offset = fields.u32()?;
                    if !(9..=MAX_FILE_HEADER).contains(&offset) {
                        let value = u64::from(offset);
                        return Err(media::Error::Invalid { what: "DataOffset", value }.into());
                    }
                    self.header = Some(FileHeader { audio: flags & 4 != 0, video: flags & 1 != 0 });
                    self.state = State::Skip(usize::try_from(offset).unwrap_or(9));
                }
                State::Skip(count) if self.buffer.len() >= count => {
                    self.buffer.advance(count);
                    self.state = State::Tag { previous: 0 };
                }
                State::Skip(_) => return Ok(None),
                State::Tag { previous } => return self.poll_tag(previous),
            }
        }
    }

    /// The file header, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<FileHeader> {
        self.header
    }

    /// How many previous-tag sizes were wrong.
    #[must_use]
    pub fn wrong_sizes(&self) -> u64 {
        self.wrong_sizes
    }

    fn poll_tag(&mut self, previous: usize) -> Result<Option<Tag>, Error> {
        let Some(bytes) = self.buffer.get(..TRAILER_LEN + HEADER_LEN) else { return Ok(None) };
        let mut fields = Fields::new(bytes);
        let size_before = fields.u32()?;
        let kind = fields.u8()?;
        if kind & 0x20 != 0 {
            return Err(Error::Encrypted);
        }
        let length = usize::try_from(fields.u24()?).unwrap_or(usize::MAX);
        if length > self.max_body {
            return Err(Error::TagTooLong { length, limit: self.max_body });
        }
        let [a, b, c, extension] = fields.array()?;
        if self.buffer.len() < TRAILER_LEN + HEADER_LEN + length {
            return Ok(None);
        }
        if usize::try_from(size_before) != Ok(previous) {
            self.wrong_sizes += 1;
        }
        self.buffer.advance(TRAILER_LEN + HEADER_LEN);
        let body = self.buffer.split_to(length).freeze();
        self.state = State::Tag { previous: length + HEADER_LEN };
        let timestamp = u32::from_be_bytes([extension, a, b, c]);
        Ok(Some(Tag { kind: Kind::from(kind & 0x1F), timestamp, body }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Tag>, Error> {
        let (mut reader, mut tags) = (Reader::new(MAX_BODY), Vec::new());
        for piece in pieces {
            reader.push(piece);
            while let Some(tag) = reader.poll()? {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    #[test]
    fn golden_bytes() {
        let mut out = BytesMut::from(&FileHeader { audio: true, video: true }.bytes()[..]);
        let body = Bytes::from_static(b"ab");
        write(&mut out, &Tag { kind: Kind::Video, timestamp: 0x0102_0304, body });
        let expected = b"FLV\x01\x05\0\0\0\x09\0\0\0\0\
            \x09\0\0\x02\x02\x03\x04\x01\0\0\0ab\0\0\0\x0d";
        assert_eq!(&out[..], expected);
    }

    #[test]
    fn limits_and_lies() {
        assert_eq!(read(&[b"RIFF\0\0\0\0\0"]), Err(Error::Signature(*b"RIF")));
        assert!(read(&[b"FLV\x01\x05\xFF\xFF\xFF\xFF"]).is_err());
        let mut reader = Reader::new(10);
        reader.push(b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\0\0\x0b\0\0\0\0\0\0\0");
        assert_eq!(reader.poll(), Err(Error::TagTooLong { length: 11, limit: 10 }));
        assert_eq!(
            read(&[b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x29\0\0\0\0\0\0\0\0\0\0"]),
            Err(Error::Encrypted)
        );
        let mut reader = Reader::new(10);
        reader.push(b"FLV\x01\x05\0\0\0\x0A!\0\0\0\x63\x09\0\0\x00\0\0\0\0\0\0\0");
        assert!(reader.poll().unwrap().is_some());
        assert_eq!(reader.wrong_sizes(), 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            tags in prop::collection::vec((0u8..32, any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let tags: Vec<Tag> = tags
                .into_iter()
                .map(|(kind, timestamp, body)| Tag { kind: kind.into(), timestamp, body: body.into() })
                .collect();
            let mut out = BytesMut::from(&FileHeader { audio: true, video: false }.bytes()[..]);
            tags.iter().for_each(|tag| write(&mut out, tag));
            let (head, tail) = out.split_at(cut.index(out.len()));
            prop_assert_eq!(read(&[head, tail]).unwrap(), tags);
        }

        #[test]
        fn noise_is_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = FileHeader { audio: true, video: true }.bytes().to_vec();
            bytes.extend(body);
            let _ = read(&[&bytes]);
        }
    }
}
