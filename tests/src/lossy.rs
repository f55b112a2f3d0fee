//! A bad network between a client and an RTSP server: a relay that passes the conversation on, and
//! loses, delays and reorders the datagrams.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::Random;

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Of a thousand datagrams, so many are lost.
    pub lost: usize,
    /// Of a thousand datagrams, so many overtake those before them.
    pub reordered: usize,
    /// Datagrams take up to so long.
    pub jitter: Duration,
    /// What makes it the same every time.
    pub seed: u64,
}

/// What became of datagrams.
#[derive(Debug, Default)]
pub struct Fate {
    /// Those that came.
    pub seen: AtomicU64,
    /// Those that were lost.
    pub lost: AtomicU64,
}

/// The relay; ends when it is dropped.
pub struct Lossy {
    port: u16,
    fate: Arc<Fate>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Lossy {
    /// Relays to a server on this host. RTP is treated badly, RTCP well.
    ///
    /// # Panics
    /// When there are no sockets.
    #[must_use]
    pub fn start(server: u16, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("an option");
        let (fate, stop) = (Arc::new(Fate::default()), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (fate, stop) = (fate.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok((client, _)) = listener.accept() else {
                        std::thread::park_timeout(Duration::from_millis(5));
                        continue;
                    };
                    client.set_nonblocking(false).expect("an option");
                    let server = TcpStream::connect(("127.0.0.1", server)).expect("the server");
                    converse(&client, &server, weather, &fate, &stop);
                }
            }
        });
        Self { port, fate, stop, acceptor: Some(acceptor) }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What became of datagrams so far: those that came, and those that were lost.
    #[must_use]
    pub fn fate(&self) -> (u64, u64) {
        (self.fate.seen.load(Ordering::Relaxed), self.fate.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Passes messages on in both directions. The ports that the server names are replaced by ours, and
/// so are those that a player names.
fn converse(
    client: &TcpStream,
    server: &TcpStream,
    weather: Weather,
    fate: &Arc<Fate>,
    stop: &Arc<AtomicBool>,
) {
    let clone = |socket: &TcpStream| socket.try_clone().expect("a socket");
    let (from_client, mut to_server) = (clone(client), clone(server));
    let (from_server, mut to_client) = (clone(server), clone(client));
    let (fate, stop) = (fate.clone(), stop.clone());
    // The ports that the client has named, until the server's answer is here.
    let (named, answers) = std::sync::mpsc::channel::<Option<(u16, u16)>>();
    std::thread::spawn({
        let (fate, stop) = (fate.clone(), stop.clone());
        move || {
            let mut players = 0;
            pass(from_client, &mut to_server, |line, publishes| {
                let theirs = ports(line, "client_port")?;
                if publishes {
                    let _ = named.send(None);
                    return None;
                }
                players += 1;
                let ours = pair();
                let numbers = (port(&ours.0), port(&ours.1));
                let seed = Weather { seed: weather.seed + players, ..weather };
                forward(ours.0, local(theirs.0), seed, &fate, &stop);
                let calm = Weather { lost: 0, reordered: 0, jitter: Duration::ZERO, seed: 0 };
                forward(ours.1, local(theirs.1), calm, &Arc::default(), &stop);
                let _ = named.send(Some(theirs));
                Some(replace(line, "client_port", numbers))
            });
        }
    });
    std::thread::spawn(move || {
        let mut publishers = 0;
        let mut held = Vec::new();
        pass(from_server, &mut to_client, |line, _| {
            let theirs = ports(line, "server_port")?;
            // A player gets its own ports back. What it sends to open the way ends here: the server
            // would learn by it where the player really is.
            if let Some(players) = answers.recv().ok().flatten() {
                let ours = pair();
                let numbers = (port(&ours.0), port(&ours.1));
                held.push(ours);
                let line = replace(line, "server_port", numbers);
                return Some(replace(&line, "client_port", players));
            }
            publishers += 1;
            let ours = pair();
            let numbers = (port(&ours.0), port(&ours.1));
            let seed = Weather { seed: weather.seed + publishers, ..weather };
            forward(ours.0, local(theirs.0), seed, &fate, &stop);
            let calm = Weather { lost: 0, reordered: 0, jitter: Duration::ZERO, seed: 0 };
            forward(ours.1, local(theirs.1), calm, &Arc::default(), &stop);
            Some(replace(line, "server_port", numbers))
        });
    });
}

/// Passes messages on; `edit` may replace a `Transport` line, and is told whether the session
/// publishes.
fn pass(from: TcpStream, to: &mut TcpStream, mut edit: impl FnMut(&str, bool) -> Option<String>) {
    let mut reader = BufReader::new(from);
    let mut publishes = false;
    let mut length = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let _ = to.shutdown(std::net::Shutdown::Write);
            return;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        publishes |= text.starts_with("ANNOUNCE ");
        let lower = text.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        let edited = if lower.starts_with("transport:") { edit(&text, publishes) } else { None };
        // Packets between the messages are no text.
        if to.write_all(edited.as_ref().map_or(&line[..], |edited| edited.as_bytes())).is_err() {
            return;
        }
        if text.trim().is_empty() && length > 0 {
            let mut body = vec![0; std::mem::take(&mut length)];
            if reader.read_exact(&mut body).is_err() || to.write_all(&body).is_err() {
                return;
            }
        }
    }
}

fn ports(line: &str, name: &str) -> Option<(u16, u16)> {
    let (_, rest) = line.split_once(&format!("{name}="))?;
    let text: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    let (first, second) = text.split_once('-')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

fn replace(line: &str, name: &str, (first, second): (u16, u16)) -> String {
    let Some((old_first, old_second)) = ports(line, name) else { return line.to_owned() };
    line.replace(&format!("{name}={old_first}-{old_second}"), &format!("{name}={first}-{second}"))
}

fn pair() -> (UdpSocket, UdpSocket) {
    let bind = || UdpSocket::bind("127.0.0.1:0").expect("a port");
    (bind(), bind())
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("an address").port()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Passes datagrams on as the weather lets them; what comes back goes to whoever sent last.
fn forward(
    socket: UdpSocket,
    to: SocketAddr,
    weather: Weather,
    fate: &Arc<Fate>,
    stop: &Arc<AtomicBool>,
) {
    let (fate, stop) = (fate.clone(), stop.clone());
    std::thread::spawn(move || {
        let mut random = Random::new(weather.seed);
        let mut waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
        let mut last_due = Instant::now();
        let mut peer = None;
        let mut buffer = vec![0; 65_536];
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("an option");
        for number in 0u64.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if from == to {
                    if let Some(peer) = peer {
                        let _ = socket.send_to(&buffer[..length], peer);
                    }
                    continue;
                }
                peer = Some(from);
                fate.seen.fetch_add(1, Ordering::Relaxed);
                if random.below(1000) < weather.lost {
                    fate.lost.fetch_add(1, Ordering::Relaxed);
                } else {
                    let micros = usize::try_from(weather.jitter.as_micros()).expect("a number");
                    let delay = Duration::from_micros(random.below(micros + 1) as u64);
                    let overtakes = random.below(1000) < weather.reordered;
                    let now = Instant::now();
                    // Order is kept, but for those that overtake.
                    let due = if overtakes { now } else { last_due.max(now + delay) };
                    last_due = last_due.max(due);
                    waiting.push(Reverse((due, number, buffer[..length].to_vec())));
                }
            }
            while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
                if let Some(Reverse((_, _, datagram))) = waiting.pop() {
                    let _ = socket.send_to(&datagram, to);
                }
            }
        }
    });
}
