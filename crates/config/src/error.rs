//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A place in a file, or the whole of it.
    File {
        /// The file's path.
        file: Arc<str>,
        /// Line and column, counted from 1.
        at: Option<(usize, usize)>,
    },
    /// A key of a lal configuration, which means a key of ours.
    Lal {
        /// The file's path.
        file: Arc<str>,
        /// lal's key.
        key: &'static str,
    },
    /// An environment variable.
    Environment(Arc<str>),
    /// A `--set` argument.
    Argument(Arc<str>),
    /// A key that the program that has the server in it sets.
    Program(Arc<str>),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, at: Some((line, column)) } => write!(f, "{file}:{line}:{column}"),
            Self::File { file, at: None } => f.write_str(file),
            Self::Lal { file, key } => write!(f, "{file}, lal's key {key}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Argument(text) => write!(f, "--set {text}"),
            Self::Program(key) => write!(f, "the program's setting {key}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The dotted key that it is about; empty if it is not about one.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(place: Place, key: &str, what: impl Into<String>) -> Self {
        Self { place, key: key.to_owned(), what: what.into(), remedy: String::new() }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// A configuration is refused: everything that is wrong with it, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// All that is wrong; at least one thing.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// An error, if there is a problem: from the beginning of the file to its end, then the rest.
    pub(super) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| match &problem.place {
            Place::File { at: Some(at), .. } => *at,
            _ => (usize::MAX, usize::MAX),
        });
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Who has more than these to mend begins with these.
const MAX_SHOWN: usize = 20;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(MAX_SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.problems.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Error {}
