//! A receiver of webhooks that behaves as it is told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a test may wait at most.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// What was posted.
#[derive(Debug, Clone)]
pub(super) struct Request {
    head: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub(super) fn number(&self) -> u64 {
        self.header("headwater-delivery").unwrap().parse().unwrap()
    }

    pub(super) fn stream(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["stream_name"].as_str().unwrap_or_default().to_owned()
    }
}

/// How to answer.
#[derive(Debug, Clone)]
pub(super) enum Reaction {
    Status(u16),
    /// Never.
    Hang,
    /// With a body that never ends.
    Flood,
    /// By closing the connection.
    Close,
    /// With status 200, when there is a permit.
    Wait(Arc<Semaphore>),
}

type React = dyn Fn(&Request) -> Reaction + Send + Sync;

/// A receiver; it ends when it is dropped.
pub(super) struct Receiver {
    port: u16,
    state: Arc<State>,
    _task: JoinSet<()>,
}

struct State {
    react: Box<React>,
    requests: Mutex<Vec<Request>>,
    open: Mutex<Open>,
}

/// Connections.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    pub(super) now: usize,
    pub(super) peak: usize,
}

impl Receiver {
    pub(super) async fn start(
        react: impl Fn(&Request) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, open) = (Mutex::default(), Mutex::default());
        let state = Arc::new(State { react: Box::new(react), requests, open });
        let mut task = JoinSet::new();
        let serving = state.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let state = serving.clone();
                connections.spawn(async move { state.serve(connection).await });
            }
        });
        Self { port, state, _task: task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().clone()
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.requests().iter().map(Request::number).collect()
    }

    pub(super) fn open(&self) -> Open {
        *self.state.open.lock()
    }
}

impl State {
    async fn serve(&self, mut connection: TcpStream) {
        {
            let mut open = self.open.lock();
            open.now += 1;
            open.peak = open.peak.max(open.now);
        }
        // However the client leaves is fine.
        let _ = self.answer(&mut connection).await;
        self.open.lock().now -= 1;
    }

    async fn answer(&self, connection: &mut TcpStream) -> Option<()> {
        let request = read(connection).await?;
        let reaction = (self.react)(&request);
        self.requests.lock().push(request);
        let status = match reaction {
            Reaction::Status(status) => status,
            Reaction::Close => return None,
            Reaction::Hang => {
                // Ends when the client gives up.
                let _ = connection.read(&mut [0; 64]).await;
                return None;
            }
            Reaction::Wait(permits) => {
                permits.acquire().await.ok()?.forget();
                200
            }
            Reaction::Flood => {
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                loop {
                    connection.write_all(&[b'x'; 16384]).await.ok()?;
                }
            }
        };
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        connection.write_all(answer.as_bytes()).await.ok()
    }
}

async fn read(connection: &mut TcpStream) -> Option<Request> {
    let mut text = Vec::new();
    loop {
        if connection.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&text);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let request = Request { head: head.to_owned(), body: body.to_owned() };
        if request.header("content-length")?.parse() == Ok(body.len()) {
            return Some(request);
        }
    }
}

/// Waits for a condition.
pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "{what}");
}
