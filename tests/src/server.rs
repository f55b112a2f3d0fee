//! The server under test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::peers::signal;
use crate::{PATIENCE, Program, program, root, wait_until};

/// `headwater serve` on ports of its own, in a folder of its own.
pub struct Server {
    child: Child,
    folder: TempDir,
    ports: Value,
}

impl Server {
    /// Starts a server with settings such as `stream.grace=0s`.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::command(&["serve"], settings)
    }

    /// Starts a server with more arguments, such as a configuration file; the settings of
    /// [`Server::start`] come after them.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(arguments: &[&str], settings: &[&str]) -> Self {
        Self::command(&[&["serve"], arguments].concat(), settings)
    }

    /// Starts `headwater demo`.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn demo(settings: &[&str]) -> Self {
        Self::command(&["demo"], settings)
    }

    fn command(command: &[&str], settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let mut server = Command::new(binary());
        server.args(command).arg("--quiet").arg("--ready-file").arg(&ready);
        for listener in [
            "rtmp.listen",
            "rtmp.tls_listen",
            "rtsp.listen",
            "rtsp.tls_listen",
            "rtsp.ws_listen",
            "http.listen",
            "http.tls_listen",
        ] {
            server.args(["--set", &format!("{listener}=127.0.0.1:0")]);
        }
        server.args([
            "--set",
            "api.listen=127.0.0.1:0",
            "--set",
            "log.level=debug",
            "--set",
            "rtsp.udp_port_min=0",
        ]);
        settings.iter().for_each(|setting| {
            server.args(["--set", setting]);
        });
        let child = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env_remove("RUST_BACKTRACE")
            .spawn()
            .expect("the server's program");
        let mut server = Self { child, folder, ports: Value::Null };
        wait_until("the server is up", || {
            let ended = server.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the server ended at once:\n{}", server.log());
            ready.exists()
        });
        let text = fs::read_to_string(&ready).expect("the ready file");
        server.ports = serde_json::from_str(&text).expect("JSON in the ready file");
        server
    }

    /// The port of a listener: `rtmp`, `rtmps`, `http`, `https` or `api`.
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn port(&self, listener: &str) -> u16 {
        let port = self.ports[listener].as_u64().expect("a listener");
        u16::try_from(port).expect("a port")
    }

    /// A URL of a stream. Schemes of HTTP and WebSocket stand for FLV; `http+ts`, `wss+mp4` and the
    /// like for other containers, `http+hls` for a playlist.
    #[must_use]
    pub fn url(&self, scheme: &str, stream: &str) -> String {
        let (scheme, container) = scheme.split_once('+').unwrap_or((scheme, "flv"));
        let listener = match scheme {
            "ws" => "http",
            "wss" => "https",
            other => other,
        };
        let path = match (listener, container) {
            ("http" | "https", "hls") => format!("hls/{stream}.m3u8"),
            ("http" | "https", container) => format!("{stream}.{container}"),
            _ => stream.to_owned(),
        };
        format!("{scheme}://127.0.0.1:{}/{path}", self.port(listener))
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for a line of the log that has all of `words`, and returns the first one.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        let mut found = None;
        wait_until(&format!("the log says {words:?}"), || {
            let log = self.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            found = line.map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// A folder for the test's files, removed at its end.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What an endpoint of the operator's API answers.
    ///
    /// # Panics
    /// When it does not answer with JSON.
    #[must_use]
    pub fn api(&self, path: &str) -> Value {
        self.request(&format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
    }

    /// As [`Server::api`], with a body.
    ///
    /// # Panics
    /// When it does not answer with JSON.
    #[must_use]
    pub fn api_post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let length = body.len();
        self.request(&format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn request(&self, request: &str) -> Value {
        let answer = self.exchange("api", request);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).expect("JSON")
    }

    fn exchange(&self, listener: &str, request: &str) -> String {
        let mut socket =
            TcpStream::connect(("127.0.0.1", self.port(listener))).expect("a listener");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.write_all(request.as_bytes()).expect("a request");
        let mut answer = Vec::new();
        // A connection that is reset has said what it had to.
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What a listener (`api`, `http`) answers: the status, the head and the body. A `body` is JSON.
    ///
    /// # Panics
    /// When there is no answer of HTTP.
    #[must_use]
    pub fn ask(
        &self,
        listener: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, String) {
        let mut request = format!("{method} {path} HTTP/1.0\r\n");
        if headers.iter().all(|(name, _)| *name != "Host") {
            request.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            let length = body.len();
            request.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            ));
        }
        let answer = self.exchange(listener, &format!("{request}\r\n{body}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }

    /// What one of our own endpoints answers: the status and the JSON.
    ///
    /// # Panics
    /// When it does not answer with JSON.
    #[must_use]
    pub fn v1(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, answer) = self.ask("api", method, &format!("/api/v1/{path}"), &[], &body);
        let json = if answer.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&answer).expect("JSON")
        };
        (status, json)
    }

    /// The stream's group, as the API shows it; `null` while there is none.
    #[must_use]
    pub fn group(&self, stream: &str) -> Value {
        self.api(&format!("/api/stat/group?stream_name={stream}"))["data"].clone()
    }

    /// How many viewers the stream has.
    #[must_use]
    pub fn viewers(&self, stream: &str) -> usize {
        self.group(stream)["subs"].as_array().map_or(0, Vec::len)
    }

    /// Whether the stream is published, or pulled.
    #[must_use]
    pub fn is_live(&self, stream: &str) -> bool {
        let group = self.group(stream);
        let has =
            |input: &str| group[input]["session_id"].as_str().is_some_and(|id| !id.is_empty());
        // What is pulled is there before anything of it has come.
        let has_come = group["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty());
        has("pub") || (has("pull") && has_come)
    }

    /// Fails if the server has ended or anything in it has panicked.
    ///
    /// # Panics
    /// When it has.
    pub fn assert_healthy(&mut self) {
        let log = self.log();
        assert!(self.child.try_wait().expect("a child").is_none(), "the server ended:\n{log}");
        assert!(!log.contains("panicked"), "something panicked:\n{log}");
        assert!(!log.contains("internal error"), "a session failed:\n{log}");
    }

    /// Sends a signal by its name.
    ///
    /// # Panics
    /// When there is no program `kill`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the server's end after it was told to stop; its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        wait_until("the server has ended", || match self.child.try_wait().expect("a child") {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
    }
}

/// Starts the program with any arguments.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn headwater(arguments: &[&str]) -> Program {
    program(&binary().to_string_lossy(), arguments)
}

/// Starts an example of the embedding library with any arguments.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn example(name: &str, arguments: &[&str]) -> Program {
    let path = built(&format!("examples/{name}"), "cargo build -p headwater --examples");
    program(&path.to_string_lossy(), arguments)
}

/// The program, built beside the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    built("headwater", "cargo build -p headwater")
}

/// What was built beside the tests.
fn built(name: &str, how: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // The tests are at target/PROFILE/deps/NAME.
    let profile = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.parent()?.file_name()?.to_owned()))
        .unwrap_or_else(|| "debug".into());
    let path = target.join(profile).join(name);
    assert!(path.exists(), "{} is missing: run {how}", path.display());
    path
}
