//! A running server and its peers, for the tests in `tests/tests`.
//!
//! A test starts a [`Server`] on ports of its own, lets programs that others wrote publish and
//! play, and compares what came out with what went in. A program that is missing fails the test.

pub mod clip;
pub mod device;
mod frames;
pub mod hls;
pub mod lossy;
mod peers;
pub mod raw;
mod receiver;
pub mod rtsp_raw;
mod server;

pub use frames::{Frames, Times, Track, assert_alike, assert_piece, assert_same};
pub use peers::{Program, ffmpeg, modern_ffmpeg, program, python};
pub use receiver::{Received, Receiver};
pub use server::{Server, binary, example, headwater};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds, and fails with `what` if it does not in time.
///
/// # Panics
/// When the condition does not hold within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A file made by `scripts/material`.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn material(name: &str) -> PathBuf {
    let path = root().join(".cache/material").join(name);
    assert!(path.exists(), "{} is missing: run scripts/material", path.display());
    path
}

/// A port that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The project's folder.
///
/// # Panics
/// Never: the tests are in a folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project").to_owned()
}
