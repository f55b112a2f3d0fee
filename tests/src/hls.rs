//! An independent checker of HLS playlists: it shares no code with the server, and holds what comes
//! out of it against [RFC 8216bis](https://datatracker.ietf.org/doc/draft-pantos-hls-rfc8216bis/).
//!
//! Rules that the standard only recommends count as well where players depend on them. Keys, byte
//! ranges, date ranges and alternative renditions are not known, and so count as mistakes.

mod checker;
mod multivariant;
mod playlist;
mod rules;
mod syntax;

#[cfg(test)]
mod tests;

pub use checker::Checker;
pub use multivariant::{Multivariant, Variant};
pub use playlist::{Head, Part, Playlist, PlaylistType, RenditionReport, Segment, ServerControl};
