//! What can be wrong with media bytes.

/// A parser's refusal: what was being read and what about it was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the syntax element does.
    #[error("truncated at byte {offset}: {wanted} more bytes needed")]
    Truncated {
        /// Where the reader stood.
        offset: usize,
        /// How many bytes the element still needs.
        wanted: usize,
    },
    /// A syntax element has a value that the specification forbids or that this server does not
    /// accept.
    #[error("{what} has the invalid value {value}")]
    Invalid {
        /// The syntax element's name in its specification.
        what: &'static str,
        /// Its value.
        value: u64,
    },
}
