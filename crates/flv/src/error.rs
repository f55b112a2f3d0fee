//! What can be wrong with FLV and AMF bytes.

/// A parser's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field is truncated or has a forbidden value.
    #[error(transparent)]
    Field(#[from] media::Error),
    /// Values are nested deeper than any real peer nests them.
    #[error("values are nested more than {0} deep")]
    TooDeep(usize),
    /// A message holds more values than any real peer sends.
    #[error("more than {0} values in one message")]
    TooManyValues(usize),
    /// References stand for more bytes than any real peer repeats.
    #[error("references repeat more than {0} bytes")]
    TooMuchRepeated(usize),
    /// A type marker that the format does not have.
    #[error("unknown type marker {0:#04x}")]
    Marker(u8),
    /// A reference to an object that was not sent.
    #[error("reference {0} to nothing")]
    Reference(u32),
    /// An object in a form that only its class can read.
    #[error("externalizable objects are not supported")]
    Externalizable,
    /// The bytes are no FLV file.
    #[error("not an FLV file: it begins with {0:02x?}")]
    Signature([u8; 3]),
    /// A tag is longer than the reader's limit.
    #[error("a tag of {length} bytes exceeds the limit of {limit}")]
    TagTooLong {
        /// The announced length.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The tag's payload is encrypted.
    #[error("encrypted tags are not supported")]
    Encrypted,
    /// The codec has no code point in this form.
    #[error("{0} has no {1} form")]
    NoSuchForm(media::Codec, &'static str),
}
