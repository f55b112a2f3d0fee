//! The other side: playlists that others wrote are read, and their segments are played on.
//!
//! | module | subject | clause |
//! |---|---|---|
//! | [`Playlist`] | what a playlist says | RFC 8216 §4 |
//! | [`Schedule`] | which segment is next, and when to look for new ones | RFC 8216 §6.3 |
//! | [`Key`] | how segments are decrypted | RFC 8216 §4.3.2.4 |
//! | [`Pacer`] | when each frame is due | |
//!
//! Playlists are read leniently: tags that are unknown, misplaced or damaged are passed over, as
//! long as it stays clear what is to be played. Not read: samples that are encrypted one by one
//! (SAMPLE-AES), partial segments of low-latency playlists (whole ones follow), subtitles.

mod key;
mod pace;
mod playlist;
mod schedule;

pub use key::{KEY_LENGTH, Key, KeyError};
pub use pace::Pacer;
pub use playlist::{
    Error, MAX_PLAYLIST, Map, Media, Multivariant, Playlist, Segment, Span, Variant,
};
pub use schedule::Schedule;
