//! Chunked bodies ([RFC 9112, 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1)), decoded
//! in place: data comes out as slices of the input. Extensions and trailers are skipped.

use super::Error;

/// The longest chunk header line, with extensions; senders of media use none.
const MAX_LINE: usize = 256;

/// All trailers together; as much as a head.
const MAX_TRAILERS: usize = 8 * 1024;

/// Decodes one chunked body.
#[derive(Debug)]
pub struct Reader {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a chunk's header line: the length so far, and what may come next.
    Line {
        len: u64,
        seen: usize,
        part: Part,
    },
    /// In a chunk's data.
    Data {
        remaining: u64,
    },
    /// In the line end after the data.
    DataEnd {
        cr: bool,
    },
    /// In the trailers: how long they are, and how long the line is without its end.
    Trailers {
        seen: usize,
        line: usize,
        cr: bool,
    },
    /// After the last trailer.
    Done,
    Failed(Error),
}

/// A part of a chunk's header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Digits,
    Extension,
    LineFeed,
}

const START: State = State::Line { len: 0, seen: 0, part: Part::Digits };

impl Default for Reader {
    fn default() -> Self {
        Self { state: START }
    }
}

impl Reader {
    /// A reader at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the body is at its end; what follows belongs to the next response.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes off the front of `input` until there is data. `None` means that all of `input`
    /// was taken, or that the body is done.
    ///
    /// # Errors
    /// [`Error::Chunk`]; the reader stays in that state.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
        loop {
            match &mut self.state {
                State::Data { remaining } if !input.is_empty() => {
                    let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                    let (data, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
                    *input = rest;
                    *remaining = remaining.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
                    if *remaining == 0 {
                        self.state = State::DataEnd { cr: false };
                    }
                    return Ok(Some(data));
                }
                State::Data { .. } | State::Done => return Ok(None),
                State::Failed(error) => return Err(*error),
                state => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    self.state = step(*state, byte).unwrap_or_else(State::Failed);
                }
            }
        }
    }
}

/// Everything but data goes byte by byte: it is a few bytes per chunk.
fn step(state: State, byte: u8) -> Result<State, Error> {
    Ok(match state {
        State::Line { len, seen, part } => {
            if seen >= MAX_LINE {
                return Err(Error::Chunk("the chunk header has no end"));
            }
            line(len, seen, part, byte)?
        }
        State::DataEnd { cr: false } if byte == b'\r' => State::DataEnd { cr: true },
        State::DataEnd { cr: true } if byte == b'\n' => START,
        State::DataEnd { .. } => return Err(Error::Chunk("the chunk is longer than its length")),
        State::Trailers { seen, line, cr } => {
            if seen >= MAX_TRAILERS {
                return Err(Error::Chunk("the trailers have no end"));
            }
            let seen = seen + 1;
            match (byte, cr) {
                (b'\r', false) => State::Trailers { seen, line, cr: true },
                (b'\n', true) if line == 0 => State::Done,
                (b'\n', true) => State::Trailers { seen, line: 0, cr: false },
                (b'\n', false) | (_, true) => {
                    return Err(Error::Chunk("a trailer has a bare line end"));
                }
                _ => State::Trailers { seen, line: line + 1, cr: false },
            }
        }
        other => other,
    })
}

/// One byte of a chunk's header line.
fn line(len: u64, seen: usize, part: Part, byte: u8) -> Result<State, Error> {
    let next = |len, part| Ok(State::Line { len, seen: seen + 1, part });
    let digit = char::from(byte).to_digit(16).map(u64::from);
    match (part, byte, digit) {
        (Part::Digits, _, Some(digit)) => {
            let len = len.checked_mul(16).and_then(|len| len.checked_add(digit));
            next(len.ok_or(Error::Chunk("the chunk length is out of range"))?, part)
        }
        (Part::Digits | Part::Extension, b'\r', _) if seen > 0 => next(len, Part::LineFeed),
        // Some servers pad the length with blanks.
        (Part::Digits, b';' | b' ' | b'\t', _) if seen > 0 => next(len, Part::Extension),
        (Part::Extension, 0x20.. | b'\t', _) => next(len, part),
        (Part::LineFeed, b'\n', _) if len == 0 => {
            Ok(State::Trailers { seen: 0, line: 0, cr: false })
        }
        (Part::LineFeed, b'\n', _) => Ok(State::Data { remaining: len }),
        _ => Err(Error::Chunk("the chunk header is not a hexadecimal length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `pieces`; the data and whether the body ended.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, bool), Error> {
        let mut reader = Reader::new();
        let mut data = Vec::new();
        for mut piece in pieces {
            while let Some(part) = reader.decode(&mut piece)? {
                data.extend_from_slice(part);
            }
        }
        Ok((data, reader.is_done()))
    }

    #[test]
    fn extensions_trailers_and_what_follows() {
        let body = b"4\r\nWiki\r\n06;a=\"b\"\r\npedia \r\nE \r\nin \r\n\r\nchunks.\r\n0\r\nX: y\r\n\r\nnext";
        let mut reader = Reader::new();
        let mut input = &body[..];
        let mut data = Vec::new();
        while let Some(part) = reader.decode(&mut input).unwrap() {
            data.extend_from_slice(part);
        }
        assert_eq!(data, b"Wikipedia in \r\n\r\nchunks.");
        assert!(reader.is_done());
        assert_eq!(input, b"next");
    }

    #[test]
    fn hostile_shapes_are_refused() {
        let endless_line = [b"1;", &[b'a'; MAX_LINE][..]].concat();
        let endless_trailer = [b"0\r\n", &[b'a'; MAX_TRAILERS + 1][..]].concat();
        let rows: [&[u8]; 14] = [
            b"\r\n",
            b";\r\n",
            b" 1\r\n",
            b"+1\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b"g\r\n",
            b"1\n",
            b"1\r\r",
            b"1\r\nab",
            b"1\r\na\n",
            b"11111111111111111\r\n",
            &endless_line,
            &endless_trailer,
        ];
        for bad in rows {
            assert!(decode([bad]).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(decode([&b"0\r\n\n"[..]]), Err(Error::Chunk("a trailer has a bare line end")));
    }

    proptest! {
        #[test]
        fn written_chunks_read_back_at_any_split(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            size in 1_usize..9,
        ) {
            let mut body = bytes::BytesMut::new();
            for chunk in &chunks {
                crate::response::write_chunk_header(&mut body, chunk.len());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let expected = Ok((chunks.concat(), true));
            prop_assert_eq!(&decode([&body[..]]), &expected);
            prop_assert_eq!(&decode(body.chunks(size)), &expected);
        }

        #[test]
        fn splits_change_nothing_for_any_bytes(
            body in prop::collection::vec(prop::sample::select(&b"0123456789aA;\r\n x"[..]), 0..60),
        ) {
            prop_assert_eq!(decode([&body[..]]).is_ok(), decode(body.chunks(1)).is_ok());
        }
    }
}
