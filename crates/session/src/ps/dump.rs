//! Packets written to a file as they come. The disk may be slow or full: the stream does not notice.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ::rtp::dump::Format;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// Packets that wait to be written: a second at 10 Mbit/s.
const QUEUE: usize = 1024;

/// The largest file: half an hour at 4 Mbit/s. Dumps are for problems, not for archives.
const MAX_BYTES: usize = 1 << 30;

/// Where the packets of a reception are written to.
#[derive(Debug)]
pub struct Dump {
    format: Format,
    packets: mpsc::Sender<Bytes>,
    written: usize,
    lost: u64,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// Operators have not said where.
    #[error("packets are not written down: set ps.dump_dir to the directory for such files")]
    Off,
    /// The name would lead elsewhere.
    #[error("{0:?} is no name for a file: write letters, digits, '-', '_' and '.', without '/'")]
    Name(String),
    /// The system does not let us.
    #[error("cannot write {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Dump {
    /// Begins a file of this name in `directory`: what Wireshark reads if it ends in `.pcap`, lal's
    /// records otherwise. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`DumpError`] says why not. A file of that name is not overwritten.
    pub fn begin(directory: Option<&Path>, name: &str) -> Result<Self, DumpError> {
        let directory = directory.ok_or(DumpError::Off)?;
        // lal takes a path; what counts is its last item.
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if last.is_empty() || last.starts_with('.') || last.len() > 200 || !last.chars().all(fits) {
            return Err(DumpError::Name(name.to_owned()));
        }
        let path = directory.join(last);
        let failed = |error| DumpError::File { path: path.clone(), error };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file = File::create_new(&path).map_err(failed)?;
        let format = match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("pcap") => Format::Pcap,
            _ => Format::Records,
        };
        let (packets, queue) = mpsc::channel(QUEUE);
        let begin = format.begin(concat!("headwater/", env!("CARGO_PKG_VERSION")), now());
        let written = begin.len();
        info!(path = %path.display(), "packets are written down");
        spawn_blocking(move || {
            if let Err(error) = write(file, &begin, queue) {
                warn!(path = %path.display(), %error, "packets are written down no more");
            }
        });
        Ok(Self { format, packets, written, lost: 0 })
    }

    /// Writes a packet down that has come from `from`.
    pub(super) fn write(&mut self, packet: &[u8], from: Option<SocketAddr>, port: u16) {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let to = SocketAddr::from(([0, 0, 0, 0], port));
        let record = self.format.packet(packet, now(), from.unwrap_or(nobody), to);
        if self.written + record.len() > MAX_BYTES {
            self.lost += 1;
            return;
        }
        self.written += record.len();
        if self.packets.try_send(record).is_err() {
            self.lost += 1;
        }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        if self.lost > 0 {
            warn!(packets = self.lost, "were not written down: the disk is slow, or the file full");
        }
    }
}

fn write(file: File, begin: &[u8], mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    file.write_all(begin)?;
    while let Some(record) = queue.blocking_recv() {
        file.write_all(&record)?;
        if queue.is_empty() {
            file.flush()?;
        }
    }
    file.flush()
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ::rtp::dump::{Kind, Records};

    use super::*;

    #[tokio::test]
    async fn names_stay_in_their_directory() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Dump::begin(None, "a.pcap"), Err(DumpError::Off)));
        for name in ["", "..", "a/", ".hidden", "a b", "nul\0"] {
            let dump = Dump::begin(Some(folder.path()), name);
            assert!(matches!(dump, Err(DumpError::Name(_))), "{name}");
        }
        drop(Dump::begin(Some(folder.path()), "../../up.dump").unwrap());
        assert!(folder.path().join("up.dump").exists());
        let again = Dump::begin(Some(folder.path()), "up.dump");
        assert!(matches!(again, Err(DumpError::File { .. })));
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.pcap", "a.dump"] {
            let mut dump = Dump::begin(Some(folder.path()), name).unwrap();
            dump.write(b"packet", None, 9000);
            drop(dump);
            let path = folder.path().join(name);
            let begun = Instant::now();
            loop {
                let file = std::fs::read(&path).unwrap();
                let found = Records::new(file.into())
                    .ok()
                    .and_then(|mut records| records.find(|record| record.kind == Kind::Ps));
                if let Some(found) = found {
                    assert_eq!(&found.body[..], b"packet");
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(10), "nothing was written");
                tokio::task::yield_now().await;
            }
        }
    }
}
