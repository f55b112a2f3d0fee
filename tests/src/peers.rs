//! Programs that others wrote.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{root, wait_until};

/// A program that runs beside the test, and is ended with it.
pub struct Program {
    name: String,
    child: Child,
    folder: TempDir,
}

/// Starts a program.
///
/// # Panics
/// When it is not there: `scripts/setup` installs it.
pub fn program<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Program {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| File::create(folder.path().join(name)).expect("a file");
    let child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start ({error}): run scripts/setup"));
    Program { name: name.to_owned(), child, folder }
}

/// Debian's ffmpeg, the old one: it knows no Enhanced RTMP. Arguments are separated by blanks.
///
/// # Panics
/// As [`program`].
pub fn ffmpeg(arguments: &str) -> Program {
    program("ffmpeg", "-nostdin -v error".split(' ').chain(arguments.split_whitespace()))
}

/// A current ffmpeg. Arguments are separated by blanks.
///
/// # Panics
/// As [`program`].
pub fn modern_ffmpeg(arguments: &str) -> Program {
    let path = root().join(".cache/ffmpeg-modern");
    let all = "-nostdin -v error".split(' ').chain(arguments.split_whitespace());
    program(&path.to_string_lossy(), all)
}

/// Python of the tests' own environment, running a script of `tests/peers`.
///
/// # Panics
/// As [`program`].
pub fn python(script: &str, arguments: &[&str]) -> Program {
    let python = root().join(".cache/venv/bin/python");
    let script = root().join("tests/peers").join(script).to_string_lossy().into_owned();
    let all = std::iter::once(script.as_str()).chain(arguments.iter().copied());
    program(&python.to_string_lossy(), all)
}

impl Program {
    /// What it printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap_or_default()
    }

    /// What it complained of so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// What there is to be read of a failure: some programs complain where others answer.
    fn words(&self) -> String {
        let complaints = self.stderr();
        if complaints.is_empty() { self.stdout() } else { complaints }
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the system cannot tell.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Tells it to stop, as somebody at its terminal would.
    ///
    /// # Panics
    /// When there is no program `kill`.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill");
        assert!(status.success());
    }

    /// Waits until it has printed a line that begins with `words`; what follows them.
    ///
    /// # Panics
    /// When it does not print one in time.
    #[must_use]
    pub fn line(&self, words: &str) -> String {
        let mut found = None;
        wait_until(&format!("{} prints {words:?}", self.name), || {
            let stdout = self.stdout();
            // The last line may be half a one.
            let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
            found = whole.lines().find_map(|line| line.strip_prefix(words)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by its name.
    ///
    /// # Panics
    /// When there is no program `kill`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // Both only fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes more than 100 seconds: a test has two minutes.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            if start.elapsed() > Duration::from_secs(100) {
                self.kill();
                panic!("{} does not end; it said:\n{}", self.name, self.words());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Waits for its end, which must be a success; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn finish(mut self) -> String {
        let status = self.wait();
        assert!(status.success(), "{} failed ({status}); it said:\n{}", self.name, self.words());
        self.stdout()
    }

    /// Waits for its end, which must be a failure, and returns what it complained of.
    ///
    /// # Panics
    /// When it succeeds, or does not end.
    #[must_use]
    pub fn fail(mut self) -> String {
        let status = self.wait();
        assert!(!status.success(), "{} succeeded", self.name);
        self.stderr()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} said ---\n{}", self.name, self.words());
        }
    }
}

/// Sends a signal by its name to a process that the test has started.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill");
    assert!(status.success());
}
