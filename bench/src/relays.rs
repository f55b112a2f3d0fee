//! Relays: a server that pulls streams from another one, and pushes each of them on to a third.
//!
//! The other one is a second process of the same server that is published to, on the clients' core;
//! the third is a [`Sink`], which costs as little as a viewer.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::api;
use crate::crowd::Crowd;
use crate::load::{self, Plan};
use crate::outcome::Outcome;
use crate::process;
use crate::sink::Sink;
use crate::viewer::Viewer;

/// What relays speak, in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// RTMP.
    Rtmp,
    /// RTSP, packets on the connection.
    Rtsp,
    /// Streams with even numbers RTMP, those with odd ones RTSP.
    Both,
}

/// Where the streams come from, and who relays them.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The API of the server under test.
    pub api: SocketAddr,
    /// Where the source gives RTMP.
    pub rtmp: SocketAddr,
    /// Where it gives RTSP.
    pub rtsp: SocketAddr,
    /// What is spoken.
    pub over: Over,
}

/// How long it may take, after the last order, until all streams arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Between two looks whether they do.
const STEP: Duration = Duration::from_millis(20);

impl Over {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "RTMP",
            Self::Rtsp => "RTSP over TCP",
            Self::Both => "RTMP and RTSP",
        }
    }

    fn is_rtsp(self, number: usize) -> bool {
        match self {
            Self::Rtmp => false,
            Self::Rtsp => true,
            Self::Both => number % 2 == 1,
        }
    }
}

/// Orders a pull and a push of each stream at the plan's rate, and measures what arrives; as many
/// arrive as the plan has viewers.
///
/// # Errors
/// When the server refuses, or nothing arrives.
pub fn run(ends: &Ends, plan: &Plan) -> Result<Outcome> {
    let resident_before = plan.server.map(process::resident).transpose()?;
    let (rtmp, rtsp) = (Listener::bind(Sink::of_rtmp)?, Listener::bind(Sink::of_rtsp)?);
    let mut crowd = Crowd::new(plan)?;
    let begun = Instant::now();
    for number in 0..plan.viewers {
        let (scheme, from, to) = if ends.over.is_rtsp(number) {
            ("rtsp", ends.rtsp, rtsp.address)
        } else {
            ("rtmp", ends.rtmp, rtmp.address)
        };
        let path = format!("live/s{number}");
        let from = format!("{scheme}://{from}/{path}");
        let to = format!("{scheme}://{to}/{path}");
        api::order(ends.api, "/api/v1/pulls", &json!({ "stream": path, "from": [from] }))?;
        api::order(ends.api, "/api/v1/pushes", &json!({ "stream": path, "to": to }))?;
        rtmp.accept(&mut crowd)?;
        rtsp.accept(&mut crowd)?;
        let due = Duration::from_secs_f64(1.0 / plan.join_rate) * u32::try_from(number + 1)?;
        crowd.sweep_for(due.saturating_sub(begun.elapsed()));
    }
    let ordered = Instant::now();
    while arrived(&crowd) < plan.viewers {
        if ordered.elapsed() > ARRIVAL {
            bail!("only {} of {} streams arrive", arrived(&crowd), plan.viewers);
        }
        rtmp.accept(&mut crowd)?;
        rtsp.accept(&mut crowd)?;
        crowd.sweep_for(STEP);
    }
    let mut outcome = load::measure(plan, &mut crowd, resident_before)?;
    // A pull that began anew may have lost frames at the end of the window, which nobody numbers.
    let lists = ["/api/v1/pulls", "/api/v1/pushes"].map(|path| api::items(ends.api, path));
    for list in lists {
        outcome.disconnected = outcome.disconnected.max(broken(&list?));
    }
    Ok(outcome)
}

/// Streams that arrive.
fn arrived(crowd: &Crowd<'_>) -> usize {
    crowd.viewers.iter().filter(|viewer| viewer.first_key.is_some()).count()
}

/// Relays that were called more than once, or do not run.
fn broken(relays: &[Value]) -> usize {
    let runs = |relay: &&Value| {
        let attempts = relay.get("attempts").and_then(Value::as_u64);
        let state = relay.get("state").and_then(Value::as_str);
        (attempts, state) == (Some(1), Some("running"))
    };
    relays.len() - relays.iter().filter(runs).count()
}

/// Where the server pushes to.
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    sink: fn() -> Sink,
}

impl Listener {
    fn bind(sink: fn() -> Sink) -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket, sink })
    }

    /// Lets in whoever has connected.
    fn accept(&self, crowd: &mut Crowd<'_>) -> Result<()> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => crowd.viewers.push(Viewer::accepted(socket, (self.sink)())?),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_that_were_called_again_are_broken() {
        let relay = |attempts: u64, state: &str| json!({ "attempts": attempts, "state": state });
        let all = [relay(1, "running"), relay(2, "running"), relay(1, "waiting")];
        assert_eq!(broken(&all), 2);
    }

    #[test]
    fn both_take_turns() {
        let rtsp: Vec<_> = (0..3).map(|number| Over::Both.is_rtsp(number)).collect();
        assert_eq!(rtsp, [false, true, false]);
    }
}
