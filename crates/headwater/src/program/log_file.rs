//! The file that is logged to.
//!
//! It has the name that was set, for tools that follow it. When a new day or hour begins (UTC, as
//! the lines have it), what is in it moves to a file with the date in its name, `server.log` to
//! `server.2026-11-28.log`, and the oldest of those are removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use config::values::Rotation;
use control::logs::rfc3339;

/// So many files of one day or hour there are at most, as after moves back and forth of the clock;
/// what comes then stays where it is.
const MAX_OF_ONE: u32 = 1_000;

/// Where lines go.
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    /// How many files there are at most, the current one included.
    keep: usize,
    file: File,
    /// The day or hour that it is of, counted from the epoch.
    period: u64,
}

impl LogFile {
    /// Opens a file; what is in it of a day or hour that has ended moves away.
    pub(super) fn open(
        path: &Path,
        rotation: Rotation,
        keep: usize,
        now: SystemTime,
    ) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let metadata = file.metadata()?;
        let written = if metadata.len() > 0 { metadata.modified()? } else { now };
        let period = period(rotation, written);
        let mut log = Self { path: path.to_owned(), rotation, keep, file, period };
        log.rotate(now);
        log.remove_old();
        Ok(log)
    }

    /// Begins anew if it is time.
    fn rotate(&mut self, now: SystemTime) {
        let current = period(self.rotation, now);
        // Not when the clock is set back.
        if current <= self.period {
            return;
        }
        let ended = std::mem::replace(&mut self.period, current);
        // There is no other place to say it: lines go on where they went.
        if let Err(error) = self.begin_anew(ended) {
            eprintln!("headwater: the log {} goes on: {error}", self.path.display());
        }
        self.remove_old();
    }

    fn begin_anew(&mut self, ended: u64) -> io::Result<()> {
        let date = date(self.rotation, ended);
        let names = (0..MAX_OF_ONE).map(|number| match number {
            0 => self.old(&date),
            number => self.old(&format!("{date}.{number}")),
        });
        let free = names.into_iter().find(|path| fs::symlink_metadata(path).is_err());
        let free = free.ok_or(io::ErrorKind::AlreadyExists)?;
        match fs::rename(&self.path, free) {
            // Somebody else has moved it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
        self.file = append_to(&self.path)?;
        Ok(())
    }

    /// What stands before and after the date.
    fn parts(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let ending = self.path.extension().map(|ending| format!(".{}", part(Some(ending))));
        (format!("{}.", part(self.path.file_stem())), ending.unwrap_or_default())
    }

    /// The path of a file of another day or hour.
    fn old(&self, date: &str) -> PathBuf {
        let (before, after) = self.parts();
        self.path.with_file_name(format!("{before}{date}{after}"))
    }

    /// Removes the oldest files until there are no more than are kept.
    fn remove_old(&self) {
        if self.rotation == Rotation::Never {
            return;
        }
        let (before, after) = self.parts();
        let of_ours = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok().filter(|entry| entry.file_type().is_ok_and(|t| t.is_file()))?;
            let name = entry.file_name().into_string().ok()?;
            let date = name.strip_prefix(&before)?.strip_suffix(&after)?;
            is_date(date).then(|| (date.to_owned(), entry.path()))
        };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(folder.unwrap_or_else(|| Path::new("."))) else { return };
        let mut all: Vec<_> = entries.filter_map(of_ours).collect();
        all.sort();
        let kept = self.keep.saturating_sub(1);
        let surplus = all.len().saturating_sub(kept);
        for (_, path) in all.into_iter().take(surplus) {
            if let Err(error) = fs::remove_file(&path) {
                eprintln!("headwater: the old log {} stays: {error}", path.display());
            }
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rotate(SystemTime::now());
        self.file.write(bytes)
    }

    /// A line is never torn.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.rotate(SystemTime::now());
        self.file.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// How long lines go to one file, in seconds.
fn length(rotation: Rotation) -> Option<u64> {
    match rotation {
        Rotation::Daily => Some(24 * 60 * 60),
        Rotation::Hourly => Some(60 * 60),
        Rotation::Never => None,
    }
}

fn period(rotation: Rotation, at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    length(rotation).map_or(0, |length| since.as_secs() / length)
}

/// `2026-11-29`, or `2026-11-29-13`.
fn date(rotation: Rotation, period: u64) -> String {
    let seconds = length(rotation).unwrap_or(0).saturating_mul(period);
    let begin = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let text = rfc3339(begin.unwrap_or(SystemTime::UNIX_EPOCH)).replace('T', "-");
    let digits = if rotation == Rotation::Hourly { 13 } else { 10 };
    text.chars().take(digits).collect()
}

/// Whether a text begins as [`date`] writes it, and has nothing but digits, dashes and dots.
fn is_date(text: &str) -> bool {
    let mut parts = text.split(['-', '.']);
    let mut is_number = |digits: usize| {
        parts.next().is_some_and(|part| {
            part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    is_number(4)
        && is_number(2)
        && is_number(2)
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// 2026-11-29, 12:00.
    const NOON: u64 = 1_795_953_600;
    const DAY: u64 = 24 * 60 * 60;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn all(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        entries.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
    }

    fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_named_file_is_the_current_one_and_old_ones_have_their_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/server.log");
        let mut log = LogFile::open(&path, Rotation::Daily, 3, at(NOON)).unwrap();
        let folder = path.parent().unwrap();
        // Files of others stay, and what was there of that day.
        fs::write(folder.join("server.old.log"), "other").unwrap();
        fs::write(folder.join("server.2026-11-29.log"), "before").unwrap();
        for (day, text) in [(0, "a"), (0, "b"), (1, "c"), (0, "d"), (2, "e")] {
            log.rotate(at(NOON + day * DAY));
            log.file.write_all(text.as_bytes()).unwrap();
        }
        let expected = [
            ("server.log", "e"),
            ("server.2026-11-30.log", "cd"),
            ("server.2026-11-29.1.log", "ab"),
            ("server.old.log", "other"),
        ];
        assert_eq!(all(folder), files(&expected));
    }

    #[test]
    fn what_was_there_at_start_is_added_to_or_moves_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        fs::write(&path, "a").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(at(NOON)).unwrap();
        let mut log = LogFile::open(&path, Rotation::Hourly, 9, at(NOON + 60)).unwrap();
        log.file.write_all(b"b").unwrap();
        assert_eq!(all(folder.path()), files(&[("server", "ab")]));
        file.set_modified(at(NOON)).unwrap();
        let _log = LogFile::open(&path, Rotation::Hourly, 9, at(NOON + 3600)).unwrap();
        let expected = [("server", ""), ("server.2026-11-29-12", "ab")];
        assert_eq!(all(folder.path()), files(&expected));
        // Where nothing is to be moved, nothing is.
        let _log = LogFile::open(&path, Rotation::Never, 1, at(NOON + 99 * DAY)).unwrap();
        assert_eq!(all(folder.path()), files(&expected));
    }
}
