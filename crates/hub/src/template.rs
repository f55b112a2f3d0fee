//! Names of files with places for what is known of a stream and the time.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::StreamName;

/// A path such as `record/{path}-{unix}.flv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no such place.
    #[error("{{{0}}} is not one of {{path}}, {{app}}, {{name}}, {{unix}}, {{unix_ms}}")]
    Unknown(String),
    /// A brace that nothing belongs to.
    #[error("a brace is not closed, or was not opened")]
    Brace,
    /// All streams would be written into one file.
    #[error("the name of the stream is missing: use {{path}} or {{name}}")]
    NoName,
}

/// What may stand between braces.
const PLACES: [&str; 5] = ["path", "app", "name", "unix", "unix_ms"];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what cannot be used.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut named = false;
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) if text.contains(['{', '}']) => return Err(TemplateError::Brace),
                Piece::Text(_) => {}
                Piece::Place(place) if !PLACES.contains(&place) => {
                    return Err(TemplateError::Unknown(place.to_owned()));
                }
                Piece::Place(place) => named |= matches!(place, "path" | "name"),
            }
        }
        if named { Ok(Self(text.to_owned())) } else { Err(TemplateError::NoName) }
    }

    /// A template that is known to be one.
    #[must_use]
    pub fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The folder that all its files are in.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        let fixed = self.0.split('{').next().unwrap_or_default();
        let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
        match (folder, fixed.starts_with('/')) {
            ("", true) => PathBuf::from("/"),
            ("", false) => PathBuf::from("."),
            (folder, _) => PathBuf::from(folder),
        }
    }

    /// The path for a stream at a time. Names of streams have no `..`, so that it stays below
    /// [`Template::root`].
    #[must_use]
    pub fn path(&self, name: &StreamName, now: SystemTime) -> PathBuf {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = name.as_str();
        let (app, last) = path.rsplit_once('/').unwrap_or(("", path));
        let mut out = String::with_capacity(self.0.len() + path.len());
        for piece in pieces(&self.0) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place("path") => out.push_str(path),
                Piece::Place("app") => out.push_str(app),
                Piece::Place("name") => out.push_str(last),
                Piece::Place("unix") => out.push_str(&since.as_secs().to_string()),
                Piece::Place(_) => out.push_str(&since.as_millis().to_string()),
            }
        }
        PathBuf::from(out)
    }
}

impl AsRef<str> for Template {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

fn pieces(mut text: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        if let Some((place, after)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            text = after;
            return Some(Piece::Place(place));
        }
        // A brace that is never closed is text, which is refused.
        let end =
            text.char_indices().skip(1).find(|(_, c)| *c == '{').map_or(text.len(), |(i, _)| i);
        let (now, later) = text.split_at(end);
        text = later;
        Some(Piece::Text(now))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Identity;

    use super::*;

    #[test]
    fn places_are_filled_in() {
        let name = StreamName::new("a/b", "cam", Identity::AppAndName).unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        for (template, expected, root) in [
            ("./rec/{name}-{unix}.flv", "./rec/cam-1700000000.flv", "./rec"),
            ("rec/{path}.ts", "rec/a/b/cam.ts", "rec"),
            ("/x/{app}/y{unix_ms}{name}", "/x/a/b/y1700000000123cam", "/x"),
            ("{path}", "a/b/cam", "."),
            ("/{path}", "/a/b/cam", "/"),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.path(&name, now), PathBuf::from(expected));
            assert_eq!(template.root(), PathBuf::from(root));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, expected) in [
            ("all.flv", TemplateError::NoName),
            ("{unix}.flv", TemplateError::NoName),
            ("{nam}.flv", TemplateError::Unknown("nam".into())),
            ("{name.flv", TemplateError::Brace),
            ("{path}}.flv", TemplateError::Brace),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }
}
