//! Addresses of HLS: `NAME.m3u8`, `NAME/playlist.m3u8`, `NAME/index.m3u8`, and the files that
//! playlists name, each also behind an application.

use hub::{NameError, StreamName};
use percent_encoding::percent_decode_str;

use crate::context::Settings;

/// What an address asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A playlist of a stream.
    Playlist { name: StreamName, list: List },
    /// A file of one of these streams.
    File { names: Vec<StreamName>, file: String },
    /// Nothing that there could be.
    Nothing,
}

/// Which playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Media,
    Multivariant,
    /// That of all segments, from a file.
    Record,
}

/// Why an address means nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("the address is not UTF-8 behind its percent signs")]
    Encoding,
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Wanted {
    /// Reads what follows the prefix.
    pub(super) fn parse(path: &str, settings: &Settings) -> Result<Self, PathError> {
        let path = percent_decode_str(path).decode_utf8().map_err(|_| PathError::Encoding)?;
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let folder = folder.trim_matches('/');
        let (app, inner) = folder.rsplit_once('/').unwrap_or(("", folder));
        let in_folder = |list| -> Result<Self, PathError> {
            Ok(Self::Playlist { name: settings.stream_name(app, inner)?, list })
        };
        match file.rsplit_once('.') {
            Some(("playlist", "m3u8")) if !folder.is_empty() => in_folder(List::Media),
            Some(("index", "m3u8")) if !folder.is_empty() => in_folder(List::Multivariant),
            Some(("record", "m3u8")) if !folder.is_empty() => in_folder(List::Record),
            Some((name, "m3u8")) => {
                let name = settings.stream_name(folder, name)?;
                Ok(Self::Playlist { name, list: List::Media })
            }
            Some((_, "ts" | "m4s" | "mp4")) => {
                let Some(stem) = ::hls::name::stem(file) else { return Ok(Self::Nothing) };
                let mut names = Vec::new();
                if inner == stem {
                    names.push(settings.stream_name(app, inner)?);
                }
                names.push(settings.stream_name(folder, stem)?);
                Ok(Self::File { names, file: file.to_owned() })
            }
            _ => Ok(Self::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Wanted {
        Wanted::parse(path, &Settings::default()).unwrap()
    }

    fn name(path: &str) -> StreamName {
        let (app, name) = path.rsplit_once('/').unwrap();
        Settings::default().stream_name(app, name).unwrap()
    }

    #[test]
    fn playlists_are_found_by_name_and_by_folder() {
        let media = |path| Wanted::Playlist { name: name(path), list: List::Media };
        assert_eq!(parse("cam.m3u8"), media("live/cam"));
        assert_eq!(parse("cam/playlist.m3u8"), media("live/cam"));
        assert_eq!(parse("app/cam.m3u8"), media("app/cam"));
        assert_eq!(parse("app/cam/playlist.m3u8"), media("app/cam"));
        assert_eq!(parse("a/b/cam/playlist.m3u8"), media("a/b/cam"));
        assert_eq!(parse("playlist.m3u8"), media("live/playlist"));
        assert_eq!(parse("k%C3%A4fer%201.m3u8"), media("live/käfer 1"));
        let list = List::Multivariant;
        assert_eq!(parse("cam/index.m3u8"), Wanted::Playlist { name: name("live/cam"), list });
    }

    #[test]
    fn files_are_found_beside_both_kinds_of_playlist() {
        let file = "cam-1700000000000-5.ts";
        let names = |path: &str| match parse(path) {
            Wanted::File { names, .. } => names,
            other => panic!("{other:?}"),
        };
        assert_eq!(names(file), [name("live/cam")]);
        assert_eq!(names(&format!("cam/{file}")), [name("live/cam"), name("cam/cam")]);
        assert_eq!(names(&format!("app/{file}")), [name("app/cam")]);
        assert_eq!(names(&format!("app/cam/{file}")), [name("app/cam"), name("app/cam/cam")]);
        assert_eq!(parse("cam.ts"), Wanted::Nothing);
        assert_eq!(parse("cam"), Wanted::Nothing);
        assert_eq!(parse(""), Wanted::Nothing);
    }

    #[test]
    fn addresses_that_lead_out_are_refused() {
        for path in ["../x.m3u8", "a/../x.m3u8", "%2e%2e/%2e%2e/x.m3u8", "..%2fx.m3u8", "%ff.m3u8"]
        {
            assert!(Wanted::parse(path, &Settings::default()).is_err(), "{path}");
        }
    }
}
