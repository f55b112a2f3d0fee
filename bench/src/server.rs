//! The servers under test, each started fresh on its own ports and ended with its case.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::child::{CLIENT_CORE, Guard, SERVER_CORE};
use crate::peer;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bin/floor`, writing every so many milliseconds.
    Floor {
        /// Milliseconds between two writes.
        cadence: u32,
    },
    /// nginx with its RTMP module, as Debian packages it.
    Nginx,
    /// The server of the `xiu` crate.
    Xiu,
    /// The server of the npm package `node-media-server`.
    Node,
    /// This server.
    Headwater {
        /// Milliseconds after which the oldest unsent byte is sent, if not the default.
        flush: Option<u32>,
    },
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The directory of the bench's own programs.
    pub bench: PathBuf,
    /// The server's program.
    pub headwater: PathBuf,
    /// The directory into which peers from registries were installed.
    pub peers: PathBuf,
}

/// Ports that nobody uses. They are fixed before the start, because not every server can say
/// which ones the system gave it.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// RTMP.
    pub rtmp: u16,
    /// HTTP.
    pub http: u16,
    /// RTSP.
    pub rtsp: u16,
    /// Either one with TLS, or a port for whatever else a server insists on opening.
    pub other: u16,
    /// Our API.
    pub api: u16,
}

/// A server that was started.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Guard,
    /// Where it takes and gives RTMP; for the floor, where it writes.
    pub rtmp: u16,
    /// Where it gives FLV over HTTP and WebSocket.
    pub http: u16,
    /// Where it takes and gives RTSP.
    pub rtsp: u16,
    /// Where it gives FLV over HTTP with TLS, if it was told to.
    pub https: u16,
    /// Where operators ask it.
    pub api: u16,
}

impl Kind {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor { .. } => "floor",
            Self::Nginx => "nginx-rtmp",
            Self::Xiu => "xiu",
            Self::Node => "node-media-server",
            Self::Headwater { .. } => "headwater",
        }
    }
}

impl Ports {
    pub(crate) fn free() -> Result<Self> {
        // All are held at once, so that they differ.
        let bind = || TcpListener::bind("127.0.0.1:0");
        let held = [bind()?, bind()?, bind()?, bind()?, bind()?];
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let [rtmp, http, rtsp, other, api] = &held;
        let (rtmp, http, rtsp) = (port(rtmp)?, port(http)?, port(rtsp)?);
        Ok(Self { rtmp, http, rtsp, other: port(other)?, api: port(api)? })
    }
}

impl Server {
    /// Starts a server with its files in `directory` and returns at once.
    ///
    /// # Errors
    /// When it is not installed, or `tls` is wanted and it has none.
    pub fn spawn(
        kind: Kind,
        bitrate: u32,
        tls: bool,
        programs: &Programs,
        directory: &Path,
    ) -> Result<Self> {
        Self::spawn_on(SERVER_CORE, kind, bitrate, tls, programs, directory)
    }

    fn spawn_on(
        core: u32,
        kind: Kind,
        bitrate: u32,
        tls: bool,
        programs: &Programs,
        directory: &Path,
    ) -> Result<Self> {
        let ports = Ports::free()?;
        let (program, arguments) = match kind {
            Kind::Floor { cadence } => return floor(cadence, bitrate, programs),
            Kind::Nginx => peer::nginx(ports, directory)?,
            Kind::Xiu => peer::xiu(ports, programs, directory)?,
            Kind::Node => peer::node(ports, tls, programs, directory)?,
            Kind::Headwater { flush } => {
                (programs.headwater.clone(), headwater(ports, flush, tls, directory)?)
            }
        };
        let process = Guard::start(core, &program, &arguments)?;
        let Ports { rtmp, http, rtsp, other: https, api } = ports;
        Ok(Self { process, rtmp, http, rtsp, https, api })
    }

    /// As [`Server::spawn`], and waits until it accepts.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(
        kind: Kind,
        bitrate: u32,
        tls: bool,
        programs: &Programs,
        directory: &Path,
    ) -> Result<Self> {
        let server = Self::spawn(kind, bitrate, tls, programs, directory)?;
        server.accepting(kind, tls)
    }

    /// A server of ours on the clients' core, which is not measured but feeds the one that is: it
    /// sends everything at once.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn source(programs: &Programs, directory: &Path) -> Result<Self> {
        let kind = Kind::Headwater { flush: Some(0) };
        let server = Self::spawn_on(CLIENT_CORE, kind, 0, false, programs, directory)?;
        server.accepting(kind, false)
    }

    /// Waits until it accepts at all its ports.
    fn accepting(mut self, kind: Kind, tls: bool) -> Result<Self> {
        let http = !matches!(kind, Kind::Floor { .. } | Kind::Nginx);
        let mut ports = vec![self.rtmp];
        ports.extend(http.then_some(self.http));
        let ours = matches!(kind, Kind::Headwater { .. });
        ports.extend(ours.then_some([self.rtsp, self.api]).into_iter().flatten());
        ports.extend(tls.then_some(self.https));
        for port in ports {
            self.process.wait(|| TcpStream::connect(("127.0.0.1", port)).ok())?;
        }
        Ok(self)
    }
}

fn floor(cadence: u32, bitrate: u32, programs: &Programs) -> Result<Server> {
    let arguments = ["--cadence", &cadence.to_string(), "--bitrate", &bitrate.to_string()];
    let arguments = arguments.map(str::to_owned);
    let program = programs.bench.join("floor");
    let (process, line) = Guard::start_and_read(SERVER_CORE, &program, &arguments)?;
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    let rtmp = port.context("the floor names no port")?;
    Ok(Server { process, rtmp, http: 0, rtsp: 0, https: 0, api: 0 })
}

/// Defaults, but for listeners: none that the case does not use. An empty configuration stands
/// in the way of any that lies about.
fn headwater(ports: Ports, flush: Option<u32>, tls: bool, directory: &Path) -> Result<Vec<String>> {
    let empty = directory.join("headwater.toml");
    fs::write(&empty, "")?;
    let Ports { rtmp, http, rtsp, other, api } = ports;
    let mut settings = vec![
        format!("rtmp.listen=127.0.0.1:{rtmp}"),
        "rtmp.tls_listen=[]".to_owned(),
        format!("http.listen=127.0.0.1:{http}"),
        if tls {
            format!("http.tls_listen=127.0.0.1:{other}")
        } else {
            "http.tls_listen=[]".to_owned()
        },
        format!("rtsp.listen=127.0.0.1:{rtsp}"),
        "rtsp.tls_listen=[]".to_owned(),
        "rtsp.ws_listen=[]".to_owned(),
        // The range may have ports that others use.
        "rtsp.udp_port_min=0".to_owned(),
        format!("api.listen=127.0.0.1:{api}"),
    ];
    settings.extend(flush.map(|millis| format!("stream.flush_after={millis}ms")));
    let set = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    let serve = ["serve".to_owned(), "-c".to_owned(), empty.display().to_string()];
    Ok(serve.into_iter().chain(set).collect())
}
