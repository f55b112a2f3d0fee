//! The token of the operator's API, made once and kept in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::info;

/// Tokens that people write themselves are rarely longer.
const MAX_LENGTH: usize = 1024;

/// The token in a file; made of `random` where there is no file.
///
/// # Errors
/// What the system says, or that the file holds no token.
pub(crate) fn kept_in(path: &Path, random: impl FnOnce() -> [u8; 32]) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let token = text.trim();
            if token.is_empty() || token.len() > MAX_LENGTH {
                let text = "it holds no token: remove it, and one is made";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token: String = random().iter().map(|byte| format!("{byte:02x}")).collect();
            // Nobody else may read it, not even for a moment.
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{token}")?;
            info!(file = %path.display(), "a token for the API was made");
            Ok(token)
        }
        Err(error) => Err(error),
    }
}
