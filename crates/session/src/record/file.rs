//! Files that grow: made without overwriting, written by whole pieces.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use hub::{StreamName, Template};
use tokio::task::spawn_blocking;

use super::Format;

/// Why a recording ends early, or does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file, or a folder that it is in, cannot be made.
    #[error("cannot make {path}: {error}")]
    Create {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write to {path}: {error}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The format has no place for any of the tracks.
    #[error("the stream has nothing that {0} can carry")]
    Nothing(Format),
    /// What writes is no more.
    #[error("the program that writes has failed")]
    Failed,
    /// It was stopped, or the stream ended, before there was anything to record.
    #[error("it ended before there was anything to record")]
    Ended,
}

impl Error {
    /// What whoever runs the server can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Create { error, .. } | Self::Write { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "let the server write there"
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    "something else has the name of a folder there: move it away"
                }
                _ => "make room or let the server write there",
            },
            Self::Nothing(_) => "record it in another format",
            Self::Failed => "see what the log says before",
            Self::Ended => "record it while it is published",
        }
    }

    /// Whether there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let (Self::Create { error, .. } | Self::Write { error, .. }) = self else { return false };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Files of one name and second that are tried before giving up.
const ATTEMPTS: u32 = 1000;

/// A file in progress.
#[derive(Debug)]
pub(super) struct File {
    file: Arc<fs::File>,
    path: String,
    size: u64,
}

impl File {
    /// Makes a new file that begins with `head`, and the folders that it is in. What cannot even
    /// hold its head leaves no file behind.
    pub(super) async fn create(
        template: &Template,
        name: &StreamName,
        head: Bytes,
    ) -> Result<Self, Error> {
        let path = template.path(name, SystemTime::now());
        let create = move || {
            let mut made = Self::create_new(&path)?;
            if let Err(error) = (&*made.file).write_all(&head) {
                let _ = fs::remove_file(&made.path);
                return Err(Error::Write { path: made.path, error });
            }
            made.size = head.len() as u64;
            Ok(made)
        };
        spawn_blocking(create).await.map_err(|_| Error::Failed)?
    }

    fn create_new(wanted: &Path) -> Result<Self, Error> {
        let told = |path: &Path| path.display().to_string();
        let failed = |error| Error::Create { path: told(wanted), error };
        if let Some(folder) = wanted.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut path = PathBuf::from(wanted);
        let mut number = 1;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self { file: Arc::new(file), path: told(&path), size: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < ATTEMPTS => {
                    number += 1;
                    path = numbered(wanted, number);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Bytes written so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends `bytes`.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let (file, length) = (self.file.clone(), bytes.len() as u64);
        let write = move || (&*file).write_all(&bytes);
        let written = spawn_blocking(write).await.map_err(|_| Error::Failed)?;
        written.map_err(|error| Error::Write { path: self.path.clone(), error })?;
        self.size += length;
        Ok(())
    }

    /// Hands it over to the disk.
    pub(super) async fn close(self) -> Result<(), Error> {
        let Self { file, path, .. } = self;
        let synced = spawn_blocking(move || file.sync_all()).await.map_err(|_| Error::Failed)?;
        synced.map_err(|error| Error::Write { path, error })
    }
}

/// The same path with a number, where a file of that name is there already.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy()));
    path.with_file_name(format!("{stem}-{number}{}", extension.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_file_of_the_same_second_has_a_number() {
        assert_eq!(numbered(Path::new("a/b-1.flv"), 2), PathBuf::from("a/b-1-2.flv"));
        assert_eq!(numbered(Path::new("a/b"), 2), PathBuf::from("a/b-2"));
    }

    #[test]
    fn what_to_do_depends_on_what_is_wrong() {
        let failed = |kind: io::ErrorKind| {
            let (path, error) = ("a/b".to_owned(), io::Error::from(kind));
            Error::Create { path, error }
        };
        assert!(failed(io::ErrorKind::StorageFull).is_full());
        assert_eq!(failed(io::ErrorKind::StorageFull).remedy(), "make room there");
        assert!(!failed(io::ErrorKind::PermissionDenied).is_full());
        let denied = failed(io::ErrorKind::PermissionDenied);
        assert_eq!(denied.remedy(), "let the server write there");
        assert!(failed(io::ErrorKind::NotADirectory).remedy().contains("move it away"));
    }
}
