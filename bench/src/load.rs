//! The load generator: many viewers, one thread, a sweep every few milliseconds.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::crowd::Crowd;
use crate::histogram::Histogram;
use crate::outcome::{Cost, Outcome, float};
use crate::process;
use crate::target::Target;

/// Frames of the window may arrive this much after its end before they count as lost.
const GRACE: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to play.
    pub target: Target,
    /// How many streams there are; viewers are spread over them.
    pub streams: usize,
    /// Bits per second of each stream; 0 if that isn't known.
    pub bitrate: u32,
    /// How many viewers.
    pub viewers: usize,
    /// How many of them read slowly once they have a key frame.
    pub slow: usize,
    /// Bytes per second that those read.
    pub slow_rate: f64,
    /// How many more there are that read nothing once they have a key frame.
    pub stalled: usize,
    /// Viewers that join per second.
    pub join_rate: f64,
    /// Between the last join and the window.
    pub settle: Duration,
    /// How long to measure.
    pub window: Duration,
    /// How often each socket is read.
    pub sweep: Duration,
    /// Silence that counts as a stall.
    pub stall: Duration,
    /// The server's process.
    pub server: Option<u32>,
    /// The processes that feed the server, so that they aren't taken for a disturbance.
    pub feeding: Vec<u32>,
}

/// Carries out the plan; takes about as long as joining, settling and the window together.
///
/// # Errors
/// When the server's process is not there, or no viewer could join.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let resident_before = plan.server.map(process::resident).transpose()?;
    let mut crowd = Crowd::new(plan)?;
    crowd.join_all();
    measure(plan, &mut crowd, resident_before)
}

/// Measures what a crowd gets whose members have all joined. `resident_before` is the server's memory
/// before the first of them came.
///
/// # Errors
/// When the server's process is not there, or the crowd is empty.
pub(crate) fn measure(
    plan: &Plan,
    crowd: &mut Crowd<'_>,
    resident_before: Option<u64>,
) -> Result<Outcome> {
    crowd.sweep_for(plan.settle);
    if crowd.viewers.is_empty() {
        let why = crowd.first_failure.as_deref().unwrap_or("there are none");
        bail!("no viewer could join: {why}");
    }

    let me = std::process::id();
    let read_cpu = || -> Result<_> {
        let server = plan.server.map(process::cpu).transpose()?;
        let feeding = plan.feeding.iter().map(|&pid| process::cpu(pid)).sum::<Result<_>>()?;
        let all = process::busy()?;
        Ok(Reading { at: Instant::now(), me: process::cpu(me)?, server, feeding, all })
    };
    crowd.tally.open(&crowd.viewers, plan.window);
    let before = read_cpu()?;
    crowd.sweep_for(plan.window);
    let after = read_cpu()?;
    crowd.close_window();
    let resident_after = plan.server.map(process::resident).transpose()?;
    crowd.sweep_for(GRACE);

    let seconds = (after.at - before.at).as_secs_f64();
    let bytes = crowd.tally.bytes;
    let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / seconds;
    let server = match (before.server, after.server, resident_before, resident_after) {
        (Some(from), Some(to), Some(resident_before), Some(resident_after)) => {
            let load = share(from, to);
            let micros_per_mb = load * seconds * 1e6 / (float(bytes) / 1e6);
            Some(Cost { load, micros_per_mb, resident_before, resident_after })
        }
        _ => None,
    };
    let generator_load = share(before.me, after.me);
    let feeding_load = share(before.feeding, after.feeding);
    let accounted = generator_load + feeding_load + server.map_or(0.0, |server| server.load);
    let other_load = (share(before.all, after.all) - accounted).max(0.0);
    let mut first_key = Histogram::new();
    let playing = || crowd.viewers.iter().filter(|viewer| viewer.counts());
    playing().filter_map(|viewer| viewer.first_key).for_each(|duration| first_key.add(duration));
    let viewers = plan.viewers.saturating_sub(plan.slow);
    let due = u128::from(plan.bitrate) * plan.window.as_millis() / 8000;
    Ok(Outcome {
        viewers,
        playing: playing().filter(|viewer| viewer.first_key.is_some()).count(),
        disconnected: viewers.saturating_sub(playing().count()),
        first_failure: crowd.first_failure.clone(),
        slow: plan.slow + plan.stalled,
        slow_disconnected: crowd.slow_lost,
        seconds,
        bytes,
        bytes_in_full: crowd.tally.bytes_in_full,
        bytes_due: u64::try_from(due)?.saturating_mul(u64::try_from(viewers)?),
        frames: crowd.tally.frames,
        packets: Some(crowd.tally.packets).filter(|packets| packets.received > 0),
        due: crowd.tally.due(),
        disordered: crowd.tally.disordered,
        stalls: crowd.tally.stalls,
        latency: crowd.tally.latency.percentiles(),
        first_key: first_key.percentiles(),
        generator_load,
        feeding_load,
        other_load,
        server,
    })
}

/// CPU times at one end of the window.
struct Reading {
    at: Instant,
    me: Duration,
    server: Option<Duration>,
    /// All that feeds the server.
    feeding: Duration,
    all: Duration,
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use testkit::{Programme, Video, stamp};

    use super::*;
    use crate::mark::{Mark, wall_clock};

    /// Writes ten key frames per second to each connection but leaves every third one out.
    fn lossy_server(listener: &TcpListener) -> std::io::Result<()> {
        let video = Some(Video { gop: 1, ..Video::default() });
        let mut items = Programme { video, ..Programme::default() }.items();
        let mut viewers = Vec::new();
        for number in 0..25 {
            while let Ok((mut viewer, _)) = listener.accept() {
                viewer.write_all(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")?;
                viewers.push(viewer);
            }
            let stamp = stamp::encode(Mark { sent: wall_clock(), number }.pack());
            let mut tag = items.next().map(|item| item.flv_tag().to_vec()).unwrap_or_default();
            let at = tag.windows(16).position(|window| window == stamp::UUID).unwrap_or(0);
            tag[at..at + stamp::LEN].copy_from_slice(&stamp);
            if number % 3 != 2 {
                viewers.iter_mut().try_for_each(|viewer| viewer.write_all(&tag))?;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    #[test]
    fn losses_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || lossy_server(&listener));
        let plan = Plan {
            target: format!("tcp://{address}").parse().unwrap(),
            streams: 1,
            bitrate: 0,
            viewers: 4,
            slow: 1,
            slow_rate: 100.0,
            stalled: 1,
            join_rate: 1000.0,
            settle: Duration::from_millis(150),
            window: Duration::from_millis(600),
            sweep: Duration::from_millis(4),
            stall: Duration::from_secs(1),
            server: Some(std::process::id()),
            feeding: Vec::new(),
        };
        let outcome = run(&plan).unwrap();
        assert_eq!((outcome.playing, outcome.disconnected, outcome.stalls), (3, 0, 0));
        assert_eq!((outcome.viewers, outcome.slow), (3, 2));
        assert!(outcome.bytes_in_full <= outcome.bytes);
        // However late this machine is: every third frame was left out, for each of three viewers,
        // and one of them may lie at an end of the window.
        let (due, lost) = (outcome.due, outcome.lost());
        assert!(due > 0 && lost > 0 && due % 3 == 0 && lost % 3 == 0, "{outcome:?}");
        assert!((3 * lost).abs_diff(due) <= 2 * 3, "{outcome:?}");
        assert!(outcome.latency.unwrap().p99 < 2_000.0, "{outcome:?}");
    }
}
