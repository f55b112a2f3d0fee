//! One server with one kind of viewers, and how that is carried out.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::de::DeserializeOwned;

use crate::child::{self, CLIENT_CORE, Guard};
use crate::devices;
use crate::hls;
use crate::operators::Operators;
use crate::outcome::Outcome;
use crate::process;
use crate::record::Found;
use crate::relays;
use crate::server::{Kind, Programs, Server};
use crate::startup;

/// How viewers get the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The floor's bare FLV.
    Raw,
    /// RTMP.
    Rtmp,
    /// FLV over HTTP.
    HttpFlv,
    /// FLV over HTTP with TLS.
    HttpsFlv,
    /// FLV over WebSocket.
    WsFlv,
    /// MPEG-TS over HTTP.
    HttpTs,
    /// RTSP, packets on the connection.
    RtspTcp,
    /// RTSP, packets as datagrams.
    RtspUdp,
    /// HLS.
    Hls,
}

/// What is done with the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Viewers join, and what they get is counted within a window.
    Load,
    /// It is started, and left alone.
    Start,
    /// Viewers come and go for so many seconds.
    Churn(f64),
    /// Playlists and segments are asked for, as fast as answers come.
    Requests,
    /// All wait for the same part of a playlist.
    Blocked,
    /// It pulls streams from another server, and pushes each of them on.
    Relays(relays::Over),
}

/// One server with one kind of viewers.
#[derive(Debug, Clone)]
pub struct Case {
    /// What the table calls it.
    pub name: String,
    /// Who is measured.
    pub kind: Kind,
    /// How it delivers.
    pub protocol: Protocol,
    /// What is done with it.
    pub work: Work,
    /// How many viewers.
    pub viewers: usize,
    /// How many of them read at a fifth of the rate.
    pub slow: usize,
    /// How many more there are that read nothing once they have a key frame.
    pub stalled: usize,
    /// How many streams they are spread over.
    pub streams: usize,
    /// Bits per second of each stream.
    pub bitrate: u32,
    /// Whether there is no picture.
    pub sound_only: bool,
    /// Viewers that join per second.
    pub join_rate: u32,
    /// Seconds between two reads of a socket, where the case needs its own.
    pub sweep: Option<f64>,
    /// How many operators ask the server for all it can tell, each once a second.
    pub operators: usize,
    /// What devices send over who publish instead of encoders.
    pub devices: Option<devices::Over>,
    /// Whether the server's memory is that for publishers as well, and not for viewers alone.
    pub counts_publishers: bool,
}

/// How long the parts of a case take, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between the last join and the window.
    pub settle: f64,
    /// The window.
    pub window: f64,
    /// Between two reads of a socket.
    pub sweep: f64,
}

/// What a publisher sends before the first viewer joins: one key frame interval and a bit, so
/// that there is a GOP to begin with.
const LEAD: Duration = Duration::from_millis(2500);
/// Between two reads of a socket there is at least this much time per socket, in seconds: with
/// thousands of them, reading more often would take the generator's whole core.
const SWEEP_PER_SOCKET: f64 = 4e-6;
/// How long viewers of a churn stay on average, in seconds.
const LIFETIME: f64 = 5.0;
/// What starting five times and watching takes, in seconds.
const START_SECONDS: f64 = 8.0;
/// What starting, ending and waiting for quiet takes beside all else, in seconds.
const AROUND: f64 = 2.5;

impl Protocol {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "FLV",
            Self::Rtmp => "RTMP",
            Self::HttpFlv => "HTTP-FLV",
            Self::HttpsFlv => "HTTPS-FLV",
            Self::WsFlv => "WS-FLV",
            Self::HttpTs => "HTTP-TS",
            Self::RtspTcp => "RTSP over TCP",
            Self::RtspUdp => "RTSP over UDP",
            Self::Hls => "HLS",
        }
    }
}

impl Case {
    /// `viewers` of one stream of 1 Mbit/s, joining at 200 per second; more than 1000 at 500.
    #[must_use]
    pub fn new(kind: Kind, protocol: Protocol, viewers: usize) -> Self {
        let name = match kind {
            Kind::Floor { cadence } => format!("floor, {cadence} ms"),
            _ => format!("{}, {}", kind.name(), protocol.name()),
        };
        Self {
            name,
            kind,
            protocol,
            work: Work::Load,
            viewers,
            slow: 0,
            stalled: 0,
            streams: 1,
            bitrate: 1_000_000,
            sound_only: false,
            join_rate: if viewers > 1000 { 500 } else { 200 },
            sweep: None,
            operators: 0,
            devices: None,
            counts_publishers: false,
        }
    }

    /// As [`Case::new`], with `streams` that devices send.
    #[must_use]
    pub fn of_devices(kind: Kind, over: devices::Over, streams: usize) -> Self {
        Self {
            name: format!("{}, {}", kind.name(), over.name()),
            streams,
            devices: Some(over),
            ..Self::new(kind, Protocol::Rtmp, streams)
        }
    }

    /// As [`Case::new`], with `streams` that are pulled and pushed on.
    #[must_use]
    pub fn of_relays(kind: Kind, over: relays::Over, streams: usize) -> Self {
        Self {
            name: format!("{}, {}", kind.name(), over.name()),
            streams,
            work: Work::Relays(over),
            ..Self::new(kind, Protocol::Rtmp, streams)
        }
    }

    /// About how long it takes, in seconds.
    #[must_use]
    pub fn estimate(&self, timing: Timing) -> f64 {
        let whole = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        AROUND
            + match self.work {
                Work::Start => START_SECONDS,
                Work::Requests | Work::Blocked => timing.window + hls::BEFORE.as_secs_f64(),
                Work::Churn(seconds) => LEAD.as_secs_f64() + seconds + 3.0,
                Work::Load | Work::Relays(_) => {
                    let joining =
                        whole(self.viewers + self.stalled) / f64::from(self.join_rate.max(1));
                    // Opening a stream takes about 10 ms, and frames may be a second late.
                    let publishing = LEAD.as_secs_f64() + 0.01 * whole(self.streams);
                    publishing + joining + self.settle(timing) + timing.window + 1.0
                }
            }
    }

    /// Starts the server and a publisher, lets the viewers in, measures, and ends everything.
    ///
    /// # Errors
    /// When a program does not start or ends early, or no viewer could join.
    pub fn run(&self, programs: &Programs, timing: Timing) -> Result<Found> {
        if self.work == Work::Start {
            return startup::measure(self.kind, programs).map(Found::Start);
        }
        match self.work {
            Work::Requests => {
                return hls::requests(self.kind, self.viewers, programs, timing.window)
                    .map(Found::Requests);
            }
            Work::Blocked => {
                return hls::blocked(self.viewers, programs, timing.window).map(Found::Requests);
            }
            Work::Load | Work::Start | Work::Churn(_) | Work::Relays(_) => {}
        }
        let directory = tempfile::tempdir()?;
        let tls = self.protocol == Protocol::HttpsFlv;
        let mut server = Server::start(self.kind, self.bitrate, tls, programs, directory.path())?;
        let pid = server.process.pid();
        let api = SocketAddr::from(([127, 0, 0, 1], server.api));
        let resident_before_all = process::resident(pid)?;
        let mut feeding = Feeding::default();
        if let Work::Relays(_) = self.work {
            feeding.source = Some(Server::source(programs, directory.path())?);
        }
        if self.protocol != Protocol::Raw {
            let rtmp = feeding.source.as_ref().unwrap_or(&server).rtmp;
            let (program, arguments) = match self.devices {
                Some(over) => ("devices", self.device_arguments(api, over)),
                None => ("publish", self.publish_arguments(rtmp)),
            };
            let program = programs.bench.join(program);
            let (process, _) = Guard::start_and_read(CLIENT_CORE, &program, &arguments)
                .context("the publisher was not let in")?;
            feeding.publisher = Some(process);
            std::thread::sleep(LEAD);
        }
        let url = self.url(&server);
        let found = match self.work {
            Work::Churn(seconds) => {
                let arguments = self.churn_arguments(url, pid, seconds);
                Found::Churn(report(&programs.bench.join("churn"), &arguments)?)
            }
            Work::Relays(over) => {
                let arguments = self.relay_arguments(&server, &feeding, over, timing);
                Found::Load(report(&programs.bench.join("relays"), &arguments)?)
            }
            Work::Load | Work::Start | Work::Requests | Work::Blocked => {
                let arguments = self.load_arguments(url, pid, &feeding, timing);
                let operators = Operators::start(self.operators, api);
                let found = report::<Outcome>(&programs.bench.join("load"), &arguments);
                operators.finish()?;
                let mut found = found?;
                if let (true, Some(cost)) = (self.counts_publishers, &mut found.server) {
                    cost.resident_before = resident_before_all;
                }
                if self.devices.is_some() {
                    found.packets = Some(devices::received(api)?);
                }
                Found::Load(found)
            }
        };
        if server.process.has_ended() {
            bail!("the server ended during the run");
        }
        if feeding.has_ended() {
            bail!("the publisher ended during the run");
        }
        Ok(found)
    }

    /// The address that the viewers play.
    #[must_use]
    pub fn url(&self, server: &Server) -> String {
        let Server { rtmp, http, rtsp, https, .. } = server;
        match self.protocol {
            Protocol::Raw => format!("tcp://127.0.0.1:{rtmp}"),
            Protocol::Rtmp => format!("rtmp://127.0.0.1:{rtmp}/live/s{{}}"),
            Protocol::HttpFlv => format!("http://127.0.0.1:{http}/live/s{{}}.flv"),
            Protocol::HttpsFlv => format!("https://127.0.0.1:{https}/live/s{{}}.flv"),
            Protocol::WsFlv => format!("ws://127.0.0.1:{http}/live/s{{}}.flv"),
            Protocol::HttpTs => format!("http://127.0.0.1:{http}/live/s{{}}.ts"),
            Protocol::RtspTcp => format!("rtsp://127.0.0.1:{rtsp}/live/s{{}}"),
            Protocol::RtspUdp => format!("rtspu://127.0.0.1:{rtsp}/live/s{{}}"),
            Protocol::Hls => format!("http://127.0.0.1:{http}/hls/s0.m3u8"),
        }
    }

    /// Seconds between two reads of a viewer's socket.
    #[must_use]
    pub fn sweep(&self, timing: Timing) -> f64 {
        let viewers = f64::from(u32::try_from(self.viewers).unwrap_or(u32::MAX));
        // Picture and sound come at sockets of their own as datagrams.
        let sockets = if self.protocol == Protocol::RtspUdp { 2.0 * viewers } else { viewers };
        self.sweep.unwrap_or(timing.sweep).max(SWEEP_PER_SOCKET * sockets)
    }

    /// Seconds between the last join and the window.
    fn settle(&self, timing: Timing) -> f64 {
        // Viewers of datagrams are given no burst: they begin at the next key frame.
        let least = if self.protocol == Protocol::RtspUdp { LEAD.as_secs_f64() } else { 0.0 };
        timing.settle.max(least)
    }

    fn load_arguments(
        &self,
        url: String,
        server: u32,
        feeding: &Feeding,
        timing: Timing,
    ) -> Vec<String> {
        let options = [
            ("--viewers", self.viewers.to_string()),
            ("--streams", self.streams.to_string()),
            ("--bitrate", self.bitrate.to_string()),
            ("--slow", self.slow.to_string()),
            ("--slow-rate", (self.bitrate / 8 / 5).to_string()),
            ("--stalled", self.stalled.to_string()),
            ("--join-rate", self.join_rate.to_string()),
            ("--settle", self.settle(timing).to_string()),
            ("--window", timing.window.to_string()),
            ("--sweep", (self.sweep(timing) * 1000.0).to_string()),
            ("--pid", server.to_string()),
        ];
        let mut arguments = vec![url, "--json".to_owned()];
        for (option, value) in options.into_iter().chain(feeding.options()) {
            arguments.extend([option.to_owned(), value]);
        }
        arguments
    }

    fn relay_arguments(
        &self,
        server: &Server,
        feeding: &Feeding,
        over: relays::Over,
        timing: Timing,
    ) -> Vec<String> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let ports = feeding.source.as_ref().map(|source| (source.rtmp, source.rtsp));
        let (rtmp, rtsp) = ports.unwrap_or_default();
        let options = [
            ("--over", value_name(over)),
            ("--streams", self.streams.to_string()),
            ("--bitrate", self.bitrate.to_string()),
            ("--rate", self.join_rate.to_string()),
            ("--settle", self.settle(timing).to_string()),
            ("--window", timing.window.to_string()),
            ("--sweep", (self.sweep(timing) * 1000.0).to_string()),
            ("--pid", server.process.pid().to_string()),
        ];
        let mut arguments = [server.api, rtmp, rtsp].map(address).to_vec();
        for (option, value) in options.into_iter().chain(feeding.options()) {
            arguments.extend([option.to_owned(), value]);
        }
        arguments
    }

    fn device_arguments(&self, api: SocketAddr, over: devices::Over) -> Vec<String> {
        let options = [
            ("--devices", self.streams.to_string()),
            ("--bitrate", self.bitrate.to_string()),
            ("--over", value_name(over)),
        ];
        let options = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
        std::iter::once(api.to_string()).chain(options).collect()
    }

    fn churn_arguments(&self, url: String, server: u32, seconds: f64) -> Vec<String> {
        let options = [
            ("--viewers", self.viewers.to_string()),
            ("--lifetime", LIFETIME.to_string()),
            ("--seconds", seconds.to_string()),
            ("--pid", server.to_string()),
        ];
        let options = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
        std::iter::once(url).chain(options).collect()
    }

    fn publish_arguments(&self, port: u16) -> Vec<String> {
        let url = format!("rtmp://127.0.0.1:{port}/live/s{{}}");
        let [streams, bitrate] = [self.streams.to_string(), self.bitrate.to_string()];
        let mut arguments =
            vec![url, "--streams".to_owned(), streams, "--bitrate".to_owned(), bitrate];
        arguments.extend(self.sound_only.then(|| "--sound-only".to_owned()));
        arguments
    }
}

/// What feeds the server; it ends when its owner is done with it.
#[derive(Debug, Default)]
struct Feeding {
    publisher: Option<Guard>,
    /// Where relays pull from.
    source: Option<Server>,
}

impl Feeding {
    fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        let source = self.source.as_ref().map(|source| &source.process);
        let all = self.publisher.iter().chain(source);
        all.map(|process| ("--feeding", process.pid().to_string()))
    }

    fn has_ended(&mut self) -> bool {
        let source = self.source.as_mut().map(|source| &mut source.process);
        self.publisher.iter_mut().chain(source).any(Guard::has_ended)
    }
}

/// What an option's value is called on the command line.
fn value_name(value: impl ValueEnum) -> String {
    let named = value.to_possible_value();
    named.map(|named| named.get_name().to_owned()).unwrap_or_default()
}

/// Runs one of the bench's programs on the clients' core and reads what it found.
pub(crate) fn report<T: DeserializeOwned>(program: &Path, arguments: &[String]) -> Result<T> {
    let mut command = child::pinned(CLIENT_CORE, program, arguments);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).replace("\n\nCaused by:\n", ": ");
        // What follows is a backtrace, where one was asked for.
        bail!("{}", why.trim().lines().next().unwrap_or_default().trim_start_matches("Error: "));
    }
    serde_json::from_slice(&output.stdout).context("reading what the generator found")
}
