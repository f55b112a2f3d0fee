//! Recordings.

use crate::schema::section;
use crate::units::{Size, Span};
use crate::values::{Download, HlsCleanup};

section! {
    /// How streams are recorded; stream.record says which, and as what. Names of files have places:
    /// {path} is the stream's whole path, {app} and {name} are its two halves, {unix} the seconds
    /// since 1970, {unix_ms} the milliseconds.
    pub struct Record {
        /// What FLV files are called.
        Live flv: String = "record/flv/{path}-{unix}.flv".to_owned(),
        /// What MPEG-TS files are called.
        Live ts: String = "record/ts/{path}-{unix}.ts".to_owned(),
        /// What MP4 files are called.
        Live mp4: String = "record/mp4/{path}-{unix}.mp4".to_owned(),
        /// The folder of a stream's HLS files: playlist.m3u8 with the newest segments, and
        /// record.m3u8 with all of them.
        Live hls: String = "record/hls/{path}".to_owned(),
        /// What becomes of HLS files: "never" removed, "after_end" of the stream, or "rolling"
        /// (segments go when they have left the playlist; there is no record.m3u8).
        Live hls_cleanup: HlsCleanup = HlsCleanup::Never,
        /// A new file is begun with the first key frame after this time; "0s" for never.
        Live max_duration: Span = Span::default(); Span::default()..=Span::from_secs(7 * 86_400),
        /// A new file is begun with the first key frame after this size; "0B" for never.
        Live max_size: Size = Size::from_bytes(0);
            Size::from_bytes(0)..=Size::from_bytes(1 << 40),
        /// Who may download recordings at /record/: those who reach the operator's API ("api"),
        /// viewers as well ("public"), or nobody ("off").
        Restart download: Download = Download::Api,
    }
}
