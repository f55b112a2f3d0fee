//! Requests that end: playlists and segments as fast as they come, and many players that wait for
//! the same part.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::case::report;
use crate::child::{CLIENT_CORE, Guard, SERVER_CORE};
use crate::histogram::{Histogram, Percentiles};
use crate::outcome::float;
use crate::process;
use crate::server::{Kind, Ports, Programs, Server};

/// How long a stream is published before it is asked for.
pub(crate) const BEFORE: Duration = Duration::from_secs(16);

/// Playlists that are asked for, for each segment.
const PLAYLISTS: usize = 3;

/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of requests.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Requests {
    /// Answers per second.
    pub per_second: f64,
    /// Their bodies.
    pub megabytes_per_second: f64,
    /// The server's CPU time for each.
    pub micros_per_answer: f64,
    /// How much of a core the server took.
    pub load: f64,
    /// How long answers took, in milliseconds; where many wait for the same, since the first one.
    pub latency: Percentiles,
    /// Answers other than 200.
    pub bad: u64,
    /// The server's memory.
    pub resident: u64,
}

/// Measures a server that is asked as fast as it answers, over `connections`.
///
/// # Errors
/// When a program does not start, or the server does not answer.
pub fn requests(
    kind: Kind,
    connections: usize,
    programs: &Programs,
    window: f64,
) -> Result<Requests> {
    let directory = tempfile::tempdir()?;
    let (live, _publisher) = publish(programs, directory.path())?;
    let origin = SocketAddr::from(([127, 0, 0, 1], live.http));
    let paths = paths(origin)?;
    if kind != Kind::Nginx {
        return generate(
            "requests",
            live.http,
            live.process.pid(),
            connections,
            window,
            &paths,
            programs,
        );
    }
    let root = directory.path().join("root");
    for path in &paths {
        let file = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(file, fetch(origin, path)?)?;
    }
    drop(live);
    let (arguments, port) = nginx(&root, directory.path())?;
    let mut server = Guard::start(SERVER_CORE, Path::new("nginx"), &arguments)?;
    server.wait(|| TcpStream::connect(("127.0.0.1", port)).ok())?;
    generate("requests", port, server.pid(), connections, window, &paths, programs)
}

/// Measures how long it takes until many have their answer who wait for the same part.
///
/// # Errors
/// When a program does not start, or the server does not answer.
pub fn blocked(viewers: usize, programs: &Programs, window: f64) -> Result<Requests> {
    let directory = tempfile::tempdir()?;
    let (live, _publisher) = publish(programs, directory.path())?;
    let paths = ["/hls/s0.m3u8".to_owned()];
    generate("blocked", live.http, live.process.pid(), viewers, window, &paths, programs)
}

/// A server with a stream of 1 Mbit/s that is segmented already.
fn publish(programs: &Programs, directory: &Path) -> Result<(Server, Guard)> {
    let kind = Kind::Headwater { flush: None };
    let live = Server::start(kind, 1_000_000, false, programs, directory)?;
    let url = format!("rtmp://127.0.0.1:{}/live/s{{}}", live.rtmp);
    let arguments = [&url, "--streams", "1", "--bitrate", "1000000"].map(str::to_owned);
    let program = programs.bench.join("publish");
    let (publisher, _) = Guard::start_and_read(CLIENT_CORE, &program, &arguments)?;
    let origin = SocketAddr::from(([127, 0, 0, 1], live.http));
    let begun = Instant::now();
    while begun.elapsed() < BEFORE {
        // Somebody has to ask, for segments are made on demand.
        let _ = fetch(origin, "/hls/s0.m3u8");
        sleep(Duration::from_millis(500));
    }
    Ok((live, publisher))
}

/// The playlist and the newest segments that it lists.
fn paths(origin: SocketAddr) -> Result<Vec<String>> {
    let playlist = String::from_utf8(fetch(origin, "/hls/s0.m3u8")?)?;
    let mut paths = vec!["/hls/s0.m3u8".to_owned()];
    // The oldest may leave the window while they are asked for.
    let newest: VecDeque<_> = playlist.lines().filter(|line| line.ends_with(".m4s")).collect();
    paths.extend(newest.iter().rev().take(3).map(|file| format!("/hls/{file}")));
    if paths.len() < 2 {
        bail!("the playlist has no segments:\n{playlist}");
    }
    Ok(paths)
}

fn nginx(root: &Path, directory: &Path) -> Result<(Vec<String>, u16)> {
    let port = Ports::free()?.http;
    let (shown, root) = (directory.display(), root.display());
    let config = format!(
        "daemon off; master_process off; pid {shown}/nginx.pid; error_log {shown}/error.log warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         open_file_cache max=1000;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    );
    let path = directory.join("static.conf");
    fs::write(&path, config)?;
    let arguments = ["-p", &shown.to_string(), "-c", &path.display().to_string()];
    Ok((arguments.map(str::to_owned).to_vec(), port))
}

fn generate(
    mode: &str,
    port: u16,
    pid: u32,
    connections: usize,
    window: f64,
    paths: &[String],
    programs: &Programs,
) -> Result<Requests> {
    let mut arguments = vec![
        mode.to_owned(),
        format!("127.0.0.1:{port}"),
        pid.to_string(),
        connections.to_string(),
        window.to_string(),
    ];
    arguments.extend_from_slice(paths);
    report(&PathBuf::from(&programs.bench).join("requests"), &arguments)
}

/// The body of one answer.
pub(crate) fn fetch(origin: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(origin)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no head")? + 4;
    Ok(bytes.split_off(end))
}

/// Counts what answers bring.
struct Count {
    answers: u64,
    bytes: u64,
    bad: u64,
    latency: Histogram,
}

impl Count {
    fn new() -> Self {
        Self { answers: 0, bytes: 0, bad: 0, latency: Histogram::new() }
    }

    fn finish(self, pid: u32, used: Duration, passed: Duration) -> Result<Requests> {
        let (answers, seconds) = (float(self.answers).max(1.0), passed.as_secs_f64());
        Ok(Requests {
            per_second: float(self.answers) / seconds,
            megabytes_per_second: float(self.bytes) / 1e6 / seconds,
            micros_per_answer: used.as_secs_f64() * 1e6 / answers,
            load: used.as_secs_f64() / seconds,
            latency: self.latency.percentiles().context("no answer at all")?,
            bad: self.bad,
            resident: process::resident(pid)?,
        })
    }
}

/// Asks for the paths over and over: more often for the first, which is the playlist.
///
/// # Errors
/// When the server does not answer.
pub fn ask_on(
    server: SocketAddr,
    pid: u32,
    connections: usize,
    window: Duration,
    paths: &[String],
) -> Result<Requests> {
    let mut order = Vec::new();
    for segment in paths.iter().skip(1) {
        order.extend(std::iter::repeat_n(paths[0].clone(), PLAYLISTS));
        order.push(segment.clone());
    }
    let mut asking = (0..connections)
        .map(|number| Asking::open(server).map(|asking| (asking, number)))
        .collect::<Result<Vec<_>>>()?;
    for (asking, next) in &mut asking {
        asking.ask(&order[*next % order.len()])?;
    }
    let mut count = Count::new();
    let (begun, before) = (Instant::now(), process::cpu(pid)?);
    while begun.elapsed() < window {
        for (asking, next) in &mut asking {
            if let Some(answer) = asking.poll()? {
                count.answers += 1;
                count.bytes += answer.bytes;
                count.bad += u64::from(answer.status != 200);
                count.latency.add(asking.asked.elapsed());
                *next += 1;
                asking.ask(&order[*next % order.len()])?;
            }
        }
    }
    let (used, passed) = (process::cpu(pid)?.saturating_sub(before), begun.elapsed());
    count.finish(pid, used, passed)
}

/// Lets all connections wait for the part that the playlist promises, again and again.
///
/// # Errors
/// When the server does not answer.
pub fn wait_on(
    server: SocketAddr,
    pid: u32,
    connections: usize,
    window: Duration,
    playlist: &str,
) -> Result<Requests> {
    let mut asking = (0..connections).map(|_| Asking::open(server)).collect::<Result<Vec<_>>>()?;
    let mut count = Count::new();
    let (begun, before) = (Instant::now(), process::cpu(pid)?);
    while begun.elapsed() < window {
        let text = String::from_utf8(fetch(server, playlist)?)?;
        let (segment, part) = hint(&text).with_context(|| format!("no hint in\n{text}"))?;
        // The next but one, so that all have asked before it is there.
        let path = format!("{playlist}?_HLS_msn={segment}&_HLS_part={}", part + 1);
        asking.iter_mut().try_for_each(|asking| asking.ask(&path))?;
        let (mut left, mut first) = (asking.len(), None);
        while left > 0 {
            for asking in &mut asking {
                let Some(answer) = asking.poll()? else { continue };
                count.answers += 1;
                count.bytes += answer.bytes;
                count.bad += u64::from(answer.status != 200);
                count.latency.add(first.get_or_insert_with(Instant::now).elapsed());
                left -= 1;
            }
        }
    }
    let (used, passed) = (process::cpu(pid)?.saturating_sub(before), begun.elapsed());
    count.finish(pid, used, passed)
}

/// Segment and part that a playlist promises.
fn hint(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"")?;
    let (file, _) = rest.split_once('"')?;
    let mut numbers = file.rsplit('-').next()?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A kept connection.
struct Asking {
    socket: TcpStream,
    asked: Instant,
    waiting: bool,
    head: Vec<u8>,
    answer: Option<(Answer, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    bytes: u64,
}

impl Asking {
    fn open(server: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, asked: Instant::now(), waiting: false, head: Vec::new(), answer: None })
    }

    fn ask(&mut self, path: &str) -> Result<()> {
        // A request always fits into the socket's buffer.
        write!(self.socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        (self.asked, self.waiting) = (Instant::now(), true);
        Ok(())
    }

    /// The answer, once all of it has come.
    fn poll(&mut self) -> Result<Option<Answer>> {
        let mut buffer = [0; 64 << 10];
        while self.waiting {
            let length = match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server closed a kept connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.asked.elapsed() > PATIENCE {
                        bail!("no answer in time");
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(answer) = self.take(buffer.get(..length).unwrap_or_default())? {
                self.waiting = false;
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<Option<Answer>> {
        if self.answer.is_none() {
            let old = self.head.len();
            self.head.extend_from_slice(bytes);
            let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end.map(|end| end + 4) else { return Ok(None) };
            let head = String::from_utf8_lossy(self.head.get(..end).unwrap_or_default());
            let head = head.to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: u64 = length.context("no length")?.trim().parse()?;
            let answer = Answer { status: status.context("no status")?, bytes: length };
            self.answer = Some((answer, length));
            bytes = bytes.get(end - old..).unwrap_or_default();
            self.head.clear();
        }
        let Some((answer, left)) = &mut self.answer else { return Ok(None) };
        *left = left.saturating_sub(bytes.len() as u64);
        if *left > 0 {
            return Ok(None);
        }
        let answer = *answer;
        self.answer = None;
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_segment_and_part() {
        let text = "#EXTM3U\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s-0-1700-12.3.m4s\"\n";
        assert_eq!(hint(text), Some((12, 3)));
        assert_eq!(hint("#EXTM3U\n"), None);
    }
}
