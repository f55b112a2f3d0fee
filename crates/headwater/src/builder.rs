//! A server that is yet to be started.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use config::Sources;
use hub::{StreamName, StreamSettings};
use tracing::warn;

use crate::access::{Asked, Denial, Grant, Request};
use crate::events::Event;
use crate::options::{Options, Own};
use crate::server::{Server, StartError};
use crate::subscribe::Subscriber;

/// Changes the rules of a stream by its name.
type Change = dyn Fn(&StreamName, &mut StreamSettings) + Send + Sync;

/// The keys that say where to listen.
const LISTENERS: [&str; 10] = [
    "rtmp.listen",
    "rtmp.tls_listen",
    "rtsp.listen",
    "rtsp.tls_listen",
    "rtsp.ws_listen",
    "rtsp.wss_listen",
    "http.listen",
    "http.tls_listen",
    "api.listen",
    "api.tls_listen",
];

/// A server that is yet to be started; made by [`Server::builder`].
///
/// Without a configuration it listens nowhere but where the program says; with one, where that
/// says, with the defaults of the program `headwater`. What the program sets itself takes
/// precedence. Neither the environment nor the places where the program `headwater` looks for a
/// file are looked at.
///
/// ```no_run
/// # async fn run() -> Result<(), headwater::StartError> {
/// let server = headwater::Server::builder()
///     .rtmp("0.0.0.0:1935")
///     .http("0.0.0.0:8080")
///     .set("stream.grace", "5s")
///     .start()?;
/// # server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Builder {
    file: Option<PathBuf>,
    text: Option<String>,
    settings: Vec<(String, String)>,
    changes: Vec<Arc<Change>>,
    own: Own,
}

impl Builder {
    /// Reads this file: TOML, or JSON of lal's.
    #[must_use]
    pub fn config_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), text: None, ..self }
    }

    /// Takes this text in the place of a file: TOML, or JSON of lal's.
    #[must_use]
    pub fn config_text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), file: None, ..self }
    }

    /// Sets one key of the configuration, such as `stream.grace` to `5s`. A list has commas between
    /// its items, or is written as in TOML.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Speaks RTMP at this address, such as `127.0.0.1:1935`; with port 0 the system chooses one,
    /// which [`Handle::addresses`](crate::Handle::addresses) tells.
    #[must_use]
    pub fn rtmp(self, address: impl fmt::Display) -> Self {
        self.set("rtmp.listen", address)
    }

    /// Speaks RTSP at this address.
    #[must_use]
    pub fn rtsp(self, address: impl fmt::Display) -> Self {
        self.set("rtsp.listen", address)
    }

    /// Serves viewers of HTTP and WebSocket at this address: FLV, MPEG-TS, MP4, HLS.
    #[must_use]
    pub fn http(self, address: impl fmt::Display) -> Self {
        self.set("http.listen", address)
    }

    /// Serves the operator's API and page at this address.
    #[must_use]
    pub fn api(self, address: impl fmt::Display) -> Self {
        self.set("api.listen", address)
    }

    /// Asks this function who may connect, publish and play, and the configured rules after it: both
    /// have to agree. The answer may take its time, which `auth.callback_timeout` limits (7 s more
    /// than it).
    ///
    /// ```no_run
    /// use headwater::access::{Denial, Grant};
    ///
    /// # fn run() -> Result<headwater::Server, headwater::StartError> {
    /// let server = headwater::Server::builder().rtmp("0.0.0.0:1935").gate(async |request| {
    ///     match request.parameter("key").as_deref() {
    ///         Some("secret") => Ok(Grant::default()),
    ///         _ => Err(Denial::Forbidden("the key is wrong".to_owned())),
    ///     }
    /// });
    /// # server.start()
    /// # }
    /// ```
    #[must_use]
    pub fn gate<F, A>(self, gate: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Grant, Denial>> + Send + 'static,
    {
        self.asks(gate, true)
    }

    /// Asks this function, and the configured rules no more.
    #[must_use]
    pub fn only_gate<F, A>(self, gate: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Grant, Denial>> + Send + 'static,
    {
        self.asks(gate, false)
    }

    fn asks<F, A>(mut self, gate: F, and_rules: bool) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Grant, Denial>> + Send + 'static,
    {
        self.own.gate = Some((Arc::new(Asked(gate)), and_rules));
        self
    }

    /// Tells this function what happens. It is called where things happen, on any thread, so it
    /// must not block; [`Handle::events`](crate::Handle::events) is for those who may.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.own.listeners.push(Arc::new(listener));
        self
    }

    /// Gives this function every stream that begins, whoever publishes it, from its first frame on.
    /// What it returns runs as a task, which is to end when the stream does: a server that stops
    /// waits for it, and then ends it.
    ///
    /// ```no_run
    /// # fn run() -> Result<headwater::Server, headwater::StartError> {
    /// let server = headwater::Server::builder().rtmp("0.0.0.0:1935").on_stream(
    ///     |mut frames| async move {
    ///         while let Some(event) = frames.next().await {
    ///             println!("{}: {event:?}", frames.stream());
    ///         }
    ///     },
    /// );
    /// # server.start()
    /// # }
    /// ```
    #[must_use]
    pub fn on_stream<F, A>(mut self, hook: F) -> Self
    where
        F: Fn(Subscriber) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.own.hooks.push(Arc::new(move |subscriber| Box::pin(hook(subscriber))));
        self
    }

    /// Has this function change the rules of every stream that begins: what is cached and recorded,
    /// how long it waits for its publisher. It gets those of the configuration, must not block, and
    /// must not ask the server anything.
    ///
    /// ```no_run
    /// # fn run() -> Result<headwater::Server, headwater::StartError> {
    /// let server = headwater::Server::builder().rtmp("0.0.0.0:1935").stream_settings(
    ///     |stream, settings| settings.record.mp4 = stream.as_str().starts_with("lessons/"),
    /// );
    /// # server.start()
    /// # }
    /// ```
    #[must_use]
    pub fn stream_settings(
        mut self,
        change: impl Fn(&StreamName, &mut StreamSettings) + Send + Sync + 'static,
    ) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Starts it. Must be called inside a tokio runtime with time and I/O, which runs what is not on
    /// threads of the server's own. Nothing of the process is touched: no logging is set up, no
    /// signal is taken, and several servers can run beside each other.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing is left running then.
    pub fn start(self) -> Result<Server, StartError> {
        let Self { file, text, settings, changes, own } = self;
        let nowhere = file.is_none() && text.is_none();
        let closed = LISTENERS.iter().filter(|_| nowhere);
        let closed = closed.map(|key| ((*key).to_owned(), "[]".to_owned()));
        let sources = Sources {
            file,
            text: Some(text.unwrap_or_default()),
            settings: closed.chain(settings).collect(),
            ..Sources::default()
        };
        let loaded = sources.load()?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let mut options = Options::from_config(&loaded.config);
        if !changes.is_empty() {
            let configured = options.streams.clone();
            options.streams = Arc::new(move |name: &StreamName| {
                let mut settings = StreamSettings::clone(&configured(name));
                changes.iter().for_each(|change| change(name, &mut settings));
                Arc::new(settings)
            });
        }
        options.own = own;
        Server::start(&options)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("file", &self.file).finish_non_exhaustive()
    }
}
