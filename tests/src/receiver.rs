//! A receiver of webhooks and callbacks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its head, in lower case.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// A field of the head.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(start.as_str()))
    }
}

/// Receives requests, and answers as it was told: a status, or none for silence.
pub struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Begins to receive. It does so until the test's process ends.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(answer: impl Fn(&Received) -> Option<u16> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (all, answer) = (received.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for conn in listener.incoming().flatten() {
                let (all, answer) = (all.clone(), answer.clone());
                std::thread::spawn(move || serve(conn, &all, &*answer));
            }
        });
        Self { port, received }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was received so far.
    ///
    /// # Panics
    /// When the receiver has.
    #[must_use]
    pub fn all(&self) -> Vec<Received> {
        self.received.lock().expect("a receiver").clone()
    }
}

fn serve(
    conn: TcpStream,
    all: &Mutex<Vec<Received>>,
    answer: &dyn Fn(&Received) -> Option<u16>,
) -> Option<()> {
    conn.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut reader = BufReader::new(conn.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let path = head.split(' ').nth(1)?.to_owned();
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|text| text.trim().parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let received = Received { path, head, body };
        let status = answer(&received);
        all.lock().ok()?.push(received);
        match status {
            Some(status) => {
                write!(&conn, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").ok()?
            }
            None => std::thread::park_timeout(Duration::from_secs(60)),
        }
    }
}
