//! The cases of the full bench, and how one of them is carried out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::outcome::Outcome;
use crate::server::{self, CLIENT_CORE, Guard, Kind, Programs, Server};

/// How viewers get the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The floor's bare FLV.
    Raw,
    /// RTMP.
    Rtmp,
    /// FLV over HTTP.
    HttpFlv,
    /// FLV over WebSocket.
    WsFlv,
}

/// The cases that are compared with each other.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they have in common.
    pub title: String,
    /// The first one is the floor, if there is one.
    pub cases: Vec<Case>,
}

/// One server with one kind of viewers.
#[derive(Debug, Clone)]
pub struct Case {
    /// What the table calls it.
    pub name: &'static str,
    /// Who is measured.
    pub kind: Kind,
    /// How it delivers.
    pub protocol: Protocol,
    /// How many viewers.
    pub viewers: usize,
    /// How many more there are that read nothing once they have a key frame.
    pub stalled: usize,
    /// How many streams they are spread over.
    pub streams: usize,
    /// Bits per second of each stream.
    pub bitrate: u32,
    /// Seconds between two reads of a socket, where the case needs its own.
    pub sweep: Option<f64>,
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

const MEGABIT: u32 = 1_000_000;

/// The cases for these numbers of viewers; the greatest is used for what is measured once.
#[must_use]
pub fn groups(viewers: &[usize], publishers: usize) -> Vec<Group> {
    let default = Kind::Headwater { flush: None };
    let merged = Kind::Headwater { flush: Some(350) };
    let immediate = Kind::Headwater { flush: Some(0) };
    let most = viewers.iter().copied().max().unwrap_or(0);
    let mut groups = Vec::new();
    for &viewers in viewers {
        let case = |name, kind, protocol| Case::of_one_stream(name, kind, protocol, viewers);
        let mut cases = vec![
            case("floor, 40 ms", Kind::Floor { cadence: 40 }, Protocol::Raw),
            case("headwater, RTMP", default, Protocol::Rtmp),
            case("headwater, HTTP-FLV", default, Protocol::HttpFlv),
            case("headwater, WS-FLV", default, Protocol::WsFlv),
            case("nginx-rtmp, RTMP", Kind::Nginx, Protocol::Rtmp),
        ];
        if viewers == most {
            let disturbed = case("headwater, RTMP, 10 stalled", default, Protocol::Rtmp);
            cases.push(Case { stalled: 10, ..disturbed });
        }
        let title = format!("Low latency, {viewers} viewers of 1 Mbit/s");
        groups.push(Group { title, cases });
    }
    let case = |name, kind, protocol| Case::of_one_stream(name, kind, protocol, most);
    groups.push(Group {
        title: format!("Merged over 350 ms, {most} viewers of 1 Mbit/s"),
        cases: vec![
            case("floor, 350 ms", Kind::Floor { cadence: 350 }, Protocol::Raw),
            case("headwater, RTMP", merged, Protocol::Rtmp),
            case("headwater, HTTP-FLV", merged, Protocol::HttpFlv),
        ],
    });
    let case = |name, kind| Case {
        sweep: Some(0.001),
        ..Case::of_one_stream(name, kind, Protocol::Rtmp, 100)
    };
    groups.push(Group {
        title: "Lowest latency, 100 viewers of 1 Mbit/s, read every millisecond".to_owned(),
        cases: vec![case("headwater, RTMP", immediate), case("nginx-rtmp, RTMP", Kind::Nginx)],
    });
    if publishers > 0 {
        let case = |name, kind| Case {
            streams: publishers,
            bitrate: MEGABIT / 5,
            ..Case::of_one_stream(name, kind, Protocol::Rtmp, publishers)
        };
        groups.push(Group {
            title: format!("{publishers} publishers of 200 kbit/s with one viewer each"),
            cases: vec![case("headwater, RTMP", default), case("nginx-rtmp, RTMP", Kind::Nginx)],
        });
    }
    groups
}

impl Case {
    fn of_one_stream(name: &'static str, kind: Kind, protocol: Protocol, viewers: usize) -> Self {
        let (stalled, streams, bitrate) = (0, 1, MEGABIT);
        Self { name, kind, protocol, viewers, stalled, streams, bitrate, sweep: None }
    }

    /// Starts the server and a publisher, lets the viewers in, measures, and ends everything.
    ///
    /// # Errors
    /// When a program does not start or ends early, or no viewer could join.
    pub fn run(&self, programs: &Programs, timing: Timing) -> Result<Outcome> {
        let directory = tempfile::tempdir()?;
        let mut server = Server::start(self.kind, self.bitrate, programs, directory.path())?;
        let mut publisher = None;
        if self.protocol != Protocol::Raw {
            let arguments = self.publish_arguments(server.rtmp);
            let program = programs.bench.join("publish");
            let (process, _) = Guard::start_and_read(CLIENT_CORE, &program, &arguments)?;
            publisher = Some(process);
            // One key frame interval and a bit, so that there is a GOP to begin with.
            std::thread::sleep(Duration::from_millis(2500));
        }
        let publishing = publisher.as_ref().map(Guard::pid);
        let outcome = self.load(&server, publishing, programs, timing)?;
        if server.process.has_ended() {
            bail!("the server ended during the run");
        }
        if publisher.as_mut().is_some_and(Guard::has_ended) {
            bail!("the publisher ended during the run");
        }
        Ok(outcome)
    }

    /// The address that the viewers play from a server with these ports.
    #[must_use]
    pub fn url(&self, rtmp: u16, http: u16) -> String {
        match self.protocol {
            Protocol::Raw => format!("tcp://127.0.0.1:{rtmp}"),
            Protocol::Rtmp => format!("rtmp://127.0.0.1:{rtmp}/live/s{{}}"),
            Protocol::HttpFlv => format!("http://127.0.0.1:{http}/live/s{{}}.flv"),
            Protocol::WsFlv => format!("ws://127.0.0.1:{http}/live/s{{}}.flv"),
        }
    }

    fn load(
        &self,
        server: &Server,
        publisher: Option<u32>,
        programs: &Programs,
        timing: Timing,
    ) -> Result<Outcome> {
        let http = match self.protocol {
            Protocol::Raw | Protocol::Rtmp => server.http.unwrap_or(0),
            Protocol::HttpFlv | Protocol::WsFlv => server.http.context("no HTTP port")?,
        };
        let options = [
            ("--viewers", self.viewers.to_string()),
            ("--streams", self.streams.to_string()),
            ("--settle", timing.settle.to_string()),
            ("--window", timing.window.to_string()),
            ("--sweep", (self.sweep.unwrap_or(timing.sweep) * 1000.0).to_string()),
            ("--stalled", self.stalled.to_string()),
            ("--pid", server.process.pid().to_string()),
        ];
        let mut arguments = vec![self.url(server.rtmp, http), "--json".to_owned()];
        let publisher = publisher.map(|pid| ("--publisher", pid.to_string()));
        for (option, value) in options.into_iter().chain(publisher) {
            arguments.extend([option.to_owned(), value]);
        }
        let program: PathBuf = programs.bench.join("load");
        let mut command = server::pinned(CLIENT_CORE, &program, &arguments);
        let output = command.stdout(std::process::Stdio::piped());
        let output = output.stderr(std::process::Stdio::piped()).output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "));
        }
        serde_json::from_slice(&output.stdout).context("reading what the generator found")
    }

    fn publish_arguments(&self, port: u16) -> Vec<String> {
        let url = format!("rtmp://127.0.0.1:{port}/live/s{{}}");
        let numbers = [self.streams.to_string(), self.bitrate.to_string()];
        let [streams, bitrate] = numbers;
        vec![url, "--streams".to_owned(), streams, "--bitrate".to_owned(), bitrate]
    }
}
