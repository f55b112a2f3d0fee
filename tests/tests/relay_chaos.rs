//! Sources, relays and targets come and go at any time: streams come back, viewers stay, and
//! nothing is left behind.
//!
//! `CHAOS_SECONDS` says how long it goes on (20 without), `CHAOS_SEED` in which order things fail.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_e2e::{Server, clip, wait_until};
use serde_json::Value;

/// How long a stream may take to be back: three servers that follow each other, each of which
/// waits for so long at most.
const RETRY_MAX: Duration = Duration::from_secs(1);
const BACK_WITHIN: Duration = Duration::from_secs(15);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// xorshift64*: the same failures for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    /// Lets some time go by, at the end of which `limit` has passed at most.
    fn pass(&mut self, limit: Duration) {
        let millis = self.below(u64::try_from(limit.as_millis()).expect("short"));
        std::thread::park_timeout(Duration::from_millis(millis));
    }
}

/// A server that returns on the same port.
struct Standing {
    settings: Vec<String>,
    port: u16,
    server: Option<Server>,
}

impl Standing {
    fn new(settings: Vec<String>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut standing = Self { settings, port, server: None };
        standing.rise();
        standing
    }

    fn rise(&mut self) {
        let listen = format!("rtmp.listen=127.0.0.1:{}", self.port);
        let mut all: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        all.push(&listen);
        self.server = Some(Server::start(&all));
    }

    /// Falls at once, as in a crash.
    fn fall(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.assert_healthy();
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it stands")
    }

    fn url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{stream}", self.port)
    }
}

/// Reads a stream for as long as it comes.
struct Viewer {
    read: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    fn new(server: &Server, path: &str) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port("http"))).expect("a server");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        write!(socket, "GET {path} HTTP/1.0\r\n\r\n").expect("a request");
        let (read, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, stopped) = (read.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                match socket.read(&mut room) {
                    Ok(0) => return,
                    Ok(count) => {
                        counter.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        });
        Self { read, stop, thread: Some(thread) }
    }

    fn is_connected(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Descriptors and threads of a server.
fn holdings(server: &Server) -> (usize, usize) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{}/{what}", server.pid())).map_or(0, Iterator::count)
    };
    (count("fd"), count("task"))
}

fn total(server: &Server, what: &str) -> Value {
    let (_, body) = server.v1("GET", what, &Value::Null);
    match &body["total"] {
        Value::Null => body["items"].as_array().map_or(0, Vec::len).into(),
        total => total.clone(),
    }
}

#[test]
fn streams_return_viewers_stay_and_nothing_is_left() {
    let seed = number("CHAOS_SEED", 20_260_101);
    let mut random = Random(seed.max(1));
    let until = Instant::now() + Duration::from_secs(number("CHAOS_SECONDS", 20));
    eprintln!("seed {seed}");
    let common = || {
        let most = format!("relay.retry_max={}s", RETRY_MAX.as_secs());
        vec!["stream.grace=1s".to_owned(), "relay.retry_min=200ms".to_owned(), most]
    };

    // A publisher → a source → a relay → a target, and an edge of the relay.
    let mut source = Standing::new(common());
    let mut target = Standing::new(common());
    let pull =
        format!("relay.pull=[{{stream=\"live/clip\",from=[\"{}\"]}}]", source.url("live/clip"));
    let push = format!(
        "relay.push=[{{stream=\"live/*\",to=[\"{}\"],pulled=true}}]",
        target.url("out/{name}")
    );
    // Its viewers are not people: those are kept at the edge.
    let hold = "relay.hold=3s".to_owned();
    let mut relay = Standing::new([common(), vec![pull, push, hold]].concat());
    let origins = format!("relay.origins=[\"rtmp://127.0.0.1:{}\"]", relay.port);
    let edge = {
        let all = [common(), vec![origins, "relay.stop_after=1s".to_owned()]].concat();
        Server::start(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Whatever is made once is made now.
    let mut publisher = clip::publish(&source.url("live/clip"));
    {
        let viewer = Viewer::new(&edge, "/live/clip.flv");
        wait_until("the stream comes through", || viewer.bytes() > 10_000);
    }
    wait_until("the edge lets go", || total(&edge, "pulls") == 0 && total(&edge, "sessions") == 0);
    let before = holdings(&edge);

    let viewers = [
        Viewer::new(&edge, "/live/clip.flv"),
        Viewer::new(&edge, "/live/clip.ts"),
        Viewer::new(&edge, "/live/clip.mp4"),
    ];
    let (mut falls, mut longest) = (0, Duration::ZERO);
    while Instant::now() < until {
        let which = random.below(5);
        match which {
            0 => source.fall(),
            1 => relay.fall(),
            2 => target.fall(),
            3 => publisher.kill(),
            // A session is sent away.
            _ => {
                let kick = serde_json::json!({ "stream": "live/clip", "who": "all" });
                let _ = relay.server().v1("POST", "streams/kick", &kick);
            }
        }
        random.pass(Duration::from_secs(2));
        match which {
            0 => source.rise(),
            1 => relay.rise(),
            2 => target.rise(),
            _ => {}
        }
        if publisher.has_ended() {
            publisher = clip::publish(&source.url("live/clip"));
        }
        falls += 1;
        let (start, had) = (Instant::now(), viewers.each_ref().map(Viewer::bytes));
        // A publisher may hear of its server's end late.
        wait_until(
            &format!("the stream is back after fall {falls} ({which}, seed {seed})"),
            || {
                if publisher.has_ended() {
                    publisher = clip::publish(&source.url("live/clip"));
                }
                for viewer in &viewers {
                    assert!(viewer.is_connected(), "a viewer was lost ({which}, seed {seed})");
                }
                let comes =
                    viewers.iter().zip(had).all(|(viewer, had)| viewer.bytes() > had + 20_000);
                comes && target.server().is_live("out/clip")
            },
        );
        longest = longest.max(start.elapsed());
        assert!(start.elapsed() < BACK_WITHIN, "{:?} ({which}, seed {seed})", start.elapsed());
        random.pass(Duration::from_secs(1));
    }
    eprintln!("{falls} falls, {longest:?} at most until all was back");

    // All is over: nobody holds anything any more.
    drop(viewers);
    publisher.kill();
    source.fall();
    wait_until("the edge lets go", || total(&edge, "pulls") == 0 && total(&edge, "sessions") == 0);
    wait_until("the edge holds what it held before", || {
        let now = holdings(&edge);
        now.0 <= before.0 && now.1 <= before.1
    });
    wait_until("the edge has forgotten the stream", || total(&edge, "streams") == 0);
    // The relay has its order, and no session but the call that it makes now and then.
    wait_until("the relay lets go", || total(relay.server(), "sessions") == 0);
    assert_eq!(total(relay.server(), "pulls"), 1);
    wait_until("its push is over", || total(relay.server(), "pushes") == 0);
    wait_until("the target has nothing", || total(target.server(), "sessions") == 0);
    for standing in [&mut relay, &mut target] {
        standing.fall();
    }
}
