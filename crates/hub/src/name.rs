//! Stream names: what a peer may call a stream, and when two names mean the same stream.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest accepted name in bytes, application and slashes included. Names become log fields,
/// map keys and (sanitised) file names, whose common limit is 255.
pub const MAX_NAME_BYTES: usize = 255;

/// Whether the application is part of a stream's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// `live/a` and `other/a` are two streams.
    #[default]
    AppAndName,
    /// Only the last path item counts, as in lal: `live/a` and `other/a` are one stream.
    NameOnly,
}

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is left after slashes were removed.
    #[error("the stream name is empty; use a path such as live/camera1")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the stream name has {0} bytes; at most {MAX_NAME_BYTES} are allowed")]
    TooLong(usize),
    /// A control character, a backslash or a wildcard.
    #[error("the stream name contains the forbidden character {0:?}")]
    Character(char),
    /// An item is `.` or `..`.
    #[error("the stream name contains the path item {0:?}")]
    Traversal(&'static str),
}

/// A validated stream path such as `live/camera1`: the key of a stream.
///
/// How a client divides the path between application and name makes no difference: `a/b` + `c/d`
/// and `a` + `b/c/d` are the same stream.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Joins application and name into the key under which the stream is found.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn new(app: &str, name: &str, identity: Identity) -> Result<Self, NameError> {
        let length = app.len() + name.len() + 1;
        if length > MAX_NAME_BYTES {
            return Err(NameError::TooLong(length));
        }
        let mut path = String::with_capacity(length);
        for item in app.split('/').chain(name.split('/')).filter(|item| !item.is_empty()) {
            if let Some(bad) = item.chars().find(|c| is_forbidden(*c)) {
                return Err(NameError::Character(bad));
            }
            match item {
                "." => return Err(NameError::Traversal(".")),
                ".." => return Err(NameError::Traversal("..")),
                _ => {}
            }
            if identity == Identity::NameOnly {
                path.clear();
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(item);
        }
        if path.is_empty() { Err(NameError::Empty) } else { Ok(Self(path.into())) }
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters forge log lines; backslash is a separator elsewhere; `*` and `?` are
/// patterns in settings.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\\' | '*' | '?')
}

/// Text and name are the same key.
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(app: &str, name: &str) -> Result<String, NameError> {
        StreamName::new(app, name, Identity::AppAndName).map(|n| n.to_string())
    }

    #[test]
    fn the_division_of_the_path_makes_no_difference() {
        assert_eq!(key("a/b", "c/d/test").as_deref(), Ok("a/b/c/d/test"));
        assert_eq!(key("a/b/c/d", "test").as_deref(), Ok("a/b/c/d/test"));
        assert_eq!(key("/live/", "//test").as_deref(), Ok("live/test"));
        assert_eq!(key("", "test").as_deref(), Ok("test"));
    }

    #[test]
    fn name_only_identity_keeps_the_last_item() {
        let name = StreamName::new("a/b", "c/test", Identity::NameOnly);
        assert_eq!(name.map(|n| n.to_string()).as_deref(), Ok("test"));
    }

    #[test]
    fn hostile_names_are_refused() {
        assert_eq!(key("", ""), Err(NameError::Empty));
        assert_eq!(key("live", "../../etc/passwd"), Err(NameError::Traversal("..")));
        assert_eq!(key("live", "a\nb"), Err(NameError::Character('\n')));
        assert_eq!(key("live", "a\\b"), Err(NameError::Character('\\')));
        assert_eq!(key("live", &"x".repeat(300)), Err(NameError::TooLong(305)));
    }
}
