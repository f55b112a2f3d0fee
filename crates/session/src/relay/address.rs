//! Addresses with places for what is known of a stream: `rtmp://origin/{path}?{query}`.

use std::fmt;

use hub::{Address, StreamName, mask};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::remote::{RemoteUrl, UrlError};

/// What would end a path, or be taken for something else, in a name.
const IN_PATH: AsciiSet =
    CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'?').add(b'#').add(b'%');

/// What may stand between braces.
const PLACES: [&str; 4] = ["path", "app", "name", "query"];

/// An address of other servers' streams, with places.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate(String);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no such place.
    #[error("{{{0}}} is not one of {{path}}, {{app}}, {{name}}, {{query}}")]
    Unknown(String),
    /// A brace that nothing belongs to.
    #[error("a brace is not closed, or was not opened")]
    Brace,
    /// A viewer could choose the host.
    #[error("the host must be written out: a place may only stand behind it")]
    Host,
    /// It is no address of a stream.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl UrlTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what cannot be used.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut rest = text;
        while let Some((before, place)) = rest.split_once('{') {
            let (place, after) = place.split_once('}').ok_or(TemplateError::Brace)?;
            if before.contains('}') {
                return Err(TemplateError::Brace);
            }
            if !PLACES.contains(&place) {
                return Err(TemplateError::Unknown(place.to_owned()));
            }
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError::Brace);
        }
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('{') {
            return Err(TemplateError::Host);
        }
        let template = Self(text.to_owned());
        template.fill("app", "name", "")?;
        Ok(template)
    }

    /// Whether it is the same address for every stream.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        !self.0.contains('{')
    }

    /// The address for a stream that somebody has asked for at `asked`.
    ///
    /// # Errors
    /// [`UrlError`] when the stream's name makes it unusable.
    pub fn url(&self, stream: &StreamName, asked: &Address) -> Result<RemoteUrl, UrlError> {
        // Where streams are found by name alone, only who asks knows the application.
        let (app, name) =
            stream.as_str().rsplit_once('/').unwrap_or((&asked.app_name, stream.as_str()));
        self.fill(app, name, &asked.raw_query)
    }

    fn fill(&self, app: &str, name: &str, query: &str) -> Result<RemoteUrl, UrlError> {
        let escape = |text: &str| utf8_percent_encode(text, &IN_PATH).to_string();
        let mut out = String::with_capacity(self.0.len() + name.len() + query.len());
        let mut rest = self.0.as_str();
        while let Some((before, (place, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            out.push_str(before);
            match place {
                "app" => out.push_str(&escape(app)),
                "name" => out.push_str(&escape(name)),
                "path" if app.is_empty() => out.push_str(&escape(name)),
                "path" => out.push_str(&escape(&format!("{app}/{name}"))),
                // It came in an address, and goes on in one.
                _ => out.push_str(query),
            }
            rest = after;
        }
        out.push_str(rest);
        out.trim_end_matches(['?', '&']).parse()
    }
}

/// As where a stream goes to, since it may be that; places as they are.
impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask::target(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use hub::Identity;

    use super::*;

    fn filled(template: &str, path: &str, query: &str) -> String {
        let template = UrlTemplate::parse(template).expect("a template");
        let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stream = StreamName::new(app, name, Identity::AppAndName).expect("a name");
        let asked = Address { raw_query: query.to_owned(), ..Address::default() };
        template.url(&stream, &asked).expect("an address").exact()
    }

    #[test]
    fn places_are_filled() {
        for (template, path, query, expected) in [
            ("rtmp://o/{app}/{name}?{query}", "live/a", "k=v", "rtmp://o/live/a?k=v"),
            ("rtmp://o/{path}?{query}", "live/a", "", "rtmp://o/live/a"),
            ("rtsp://u:p@o/x?c={name}&{query}", "live/a", "", "rtsp://o/x?c=a"),
            ("http://o/{path}.flv", "a/b/c d", "", "http://o/a/b/c%20d.flv"),
        ] {
            assert_eq!(filled(template, path, query), expected);
        }
    }

    #[test]
    fn faults_are_named() {
        for (template, fault) in [
            ("rtmp://o/{nmae}", TemplateError::Unknown("nmae".to_owned())),
            ("rtmp://o/{name", TemplateError::Brace),
            ("rtmp://o/name}", TemplateError::Brace),
            ("rtmp://{name}/live/a", TemplateError::Host),
        ] {
            assert_eq!(UrlTemplate::parse(template), Err(fault));
        }
        assert!(UrlTemplate::parse("ftp://o/{name}").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let template = UrlTemplate::parse("rtsp://u:p@cam:554/key?{query}").expect("a template");
        assert_eq!(format!("{template:?}"), "rtsp://cam:554/***");
    }
}
