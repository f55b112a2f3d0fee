//! RTP timestamps of several tracks on one time line.
//!
//! Each track counts on a clock of its own from a number of its own (RFC 3550 §5.1). What brings
//! them together is, in this order of trust:
//!
//! 1. sender reports, which tell one time on the track's clock and on a clock that all tracks share
//!    (§6.4.1);
//! 2. the `rtptime` of each track at the beginning of a `PLAY` (RFC 2326 §12.33);
//! 3. when their packets arrive.
//!
//! Reports often come seconds after the first packets. What they correct then is not put right by
//! a jump: the time of every track but the leading one moves a little faster or slower until it
//! agrees. Sound should lead, since its times follow from its samples.
//!
//! Tolerated: timestamps that jump by hours, step back by less or begin anew (the time line goes on,
//! by the time of arrival), a few wrong ones, after which the clock is what it was before, clocks of
//! reports that disagree with reality (they are not believed), `rtptime=0`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtcp::Ntp;

#[cfg(test)]
mod tests;

/// Steps of a timestamp beyond this (and the time that has passed) are jumps: interleaving and
/// pauses of real senders stay below.
const MAX_STEP: Duration = Duration::from_secs(5);

/// A step of a timestamp that is larger by this than the time that has passed may be a wrong one:
/// the clock before it is remembered.
const LEAP: Duration = Duration::from_millis(200);

/// Steps forward after which a clock is what it is.
const CONFIRMED: u8 = 3;

/// How far a timestamp of the clock before may be from what that says at its arrival.
const MAX_LATE: Duration = Duration::from_secs(1);

/// Units that one may follow and precede in presentation: more than encoders reorder. A timestamp
/// that lies before more of them is that of a clock that was set back.
const MAX_REORDERED: usize = 8;

/// Units in a row that may lie before the newest one. At low rates a clock that was set back is
/// noticed by this.
const MAX_BEHIND: usize = 16;

/// Reports that put what arrives at once further apart are not believed: nobody sends one track so
/// much later than the other.
const MAX_OFFSET: Duration = Duration::from_secs(5);

/// Disagreements below this are left alone: the rounding of reports, and their jitter.
const TOLERANCE: Duration = Duration::from_millis(2);

/// A correction takes twenty times as long as it is large: nobody hears or sees that.
const SLEW: i64 = 20;

/// The time line of a session.
#[derive(Debug)]
pub struct Clock {
    tracks: Vec<Track>,
    /// The track that the others follow.
    leader: usize,
    started: Option<Instant>,
    jumps: u64,
}

#[derive(Debug)]
struct Track {
    rate: i64,
    /// The newest timestamp, unwrapped, and when it came.
    newest: Option<(i64, Instant)>,
    /// Timestamps of the last units, unwrapped: [`MAX_BEHIND`] at most.
    recent: VecDeque<i64>,
    /// Units in a row that lay before the newest one.
    behind: usize,
    /// What is added to an unwrapped timestamp to get the time on the line, in ticks.
    offset: i64,
    /// What `offset` should be.
    wanted: Option<i64>,
    /// Where sender reports say that a timestamp lies: unwrapped if packets came before.
    report: Option<(Ntp, u32)>,
    /// Where the answer to `PLAY` says that time zero lies.
    start: Option<u32>,
    /// The clock as it was before a step that may be wrong.
    before: Option<Before>,
}

/// The clock of a track before a step that may be wrong.
#[derive(Debug)]
struct Before {
    newest: (i64, Instant),
    /// By how much jumps have changed the offset since.
    shift: i64,
    report: Option<(Ntp, u32)>,
    start: Option<u32>,
    /// Steps forward since.
    steps: u8,
}

impl Clock {
    /// A time line of tracks with these clock rates. The one with the index `leader` keeps its
    /// pace; the others follow it.
    #[must_use]
    pub fn new(rates: impl IntoIterator<Item = u32>, leader: usize) -> Self {
        let track = |rate: u32| Track {
            rate: i64::from(rate.max(1)),
            newest: None,
            recent: VecDeque::new(),
            behind: 0,
            offset: 0,
            wanted: None,
            report: None,
            start: None,
            before: None,
        };
        Self { tracks: rates.into_iter().map(track).collect(), leader, started: None, jumps: 0 }
    }

    /// How often a timestamp jumped.
    #[must_use]
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The first packet of any track arrives: there, the line begins at zero.
    pub fn begin_at(&mut self, arrival: Instant) {
        self.started.get_or_insert(arrival);
    }

    /// Where on the time line the timestamp of a packet lies, in ticks of its track's clock. The
    /// line begins at zero where the first packet arrives. `arrival` is that of the first packet
    /// with this timestamp, however late a frame is complete.
    pub fn place(&mut self, index: usize, timestamp: u32, arrival: Instant) -> i64 {
        let started = *self.started.get_or_insert(arrival);
        let Some(track) = self.tracks.get(index) else { return 0 };
        let by_arrival = ticks(arrival.saturating_duration_since(started), track.rate);
        let Some((newest, seen)) = track.newest else {
            return self.begin(index, timestamp, by_arrival, arrival);
        };
        let step = i64::from(timestamp.wrapping_sub(low_word(newest)).cast_signed());
        let elapsed = ticks(arrival.saturating_duration_since(seen), track.rate);
        let most = ticks(MAX_STEP, track.rate);
        let now = newest + step;
        let jumps = step < -most || step > most + elapsed || track.was_set_back(step, now);
        let leaps = step > elapsed + ticks(LEAP, track.rate);
        // A leap within a clock changes nothing that could be taken back.
        if (jumps || leaps && track.before.as_ref().is_some_and(|before| before.shift != 0))
            && let Some(now) = track.as_before(timestamp, (step - elapsed).abs(), arrival)
        {
            return self.fall_back(index, now, arrival);
        }
        if jumps {
            return self.jump(index, timestamp, arrival);
        }
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        if leaps {
            track.doubt();
        }
        track.remember(now);
        if step > 0 {
            track.newest = Some((now, arrival));
            track.behind = 0;
            track.slew(step);
            track.confirm();
        } else if step < 0 {
            track.behind += 1;
        }
        now + track.offset
    }

    /// A sender report of a track: `rtp` on its clock is `ntp` on that of all tracks.
    pub fn sender_report(&mut self, index: usize, ntp: Ntp, rtp: u32) {
        if ntp == Ntp::default() {
            // Senders without a clock say zero.
            return;
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.report = Some((ntp, rtp));
        }
        self.agree();
    }

    /// The timestamp of a track at the time that all tracks begin with. Zero says nothing: many
    /// servers put it where they do not know.
    pub fn starts_at(&mut self, index: usize, timestamp: u32) {
        if let Some(track) = self.tracks.get_mut(index)
            && timestamp != 0
        {
            track.start = Some(timestamp);
        }
    }

    /// The first packet of a track.
    fn begin(&mut self, index: usize, timestamp: u32, by_arrival: i64, arrival: Instant) -> i64 {
        let unwrapped = i64::from(timestamp);
        if let Some(track) = self.tracks.get_mut(index) {
            track.newest = Some((unwrapped, arrival));
            track.remember(unwrapped);
            track.offset = by_arrival - unwrapped;
        }
        let others = (0..self.tracks.len()).filter(|other| *other != index);
        let told = others.filter_map(|other| self.told_offset(index, other)).next();
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        if let Some(told) = told {
            track.offset = told;
        }
        unwrapped + track.offset
    }

    /// A timestamp that has nothing to do with the one before: time goes on as it really did since
    /// the last one that was not in doubt.
    fn jump(&mut self, index: usize, timestamp: u32, arrival: Instant) -> i64 {
        self.jumps += 1;
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        track.doubt();
        let Some(before) = &mut track.before else { return 0 };
        let (newest, seen) = before.newest;
        let elapsed = ticks(arrival.saturating_duration_since(seen), track.rate);
        // A picture's time has passed at least.
        let now = newest + track.offset - before.shift + elapsed.max(track.rate / 100);
        let unwrapped = i64::from(timestamp);
        before.shift += now - unwrapped - track.offset;
        before.steps = 1;
        track.newest = Some((unwrapped, arrival));
        track.recent.clear();
        track.remember(unwrapped);
        track.behind = 0;
        track.offset = now - unwrapped;
        (track.report, track.start) = (None, None);
        if index == self.leader {
            // What the others were to agree with is gone.
            self.tracks.iter_mut().for_each(|track| track.wanted = None);
        } else {
            track.wanted = None;
        }
        now
    }

    /// The steps since were wrong ones: goes on with the clock before them, on which the timestamp
    /// is `now`.
    fn fall_back(&mut self, index: usize, now: i64, arrival: Instant) -> i64 {
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        if let Some(before) = track.before.take() {
            // A jump is counted already.
            self.jumps += u64::from(before.shift == 0);
            track.offset -= before.shift;
            track.report = track.report.or(before.report);
            track.start = track.start.or(before.start);
        }
        track.newest = Some((now, arrival));
        track.recent.clear();
        track.remember(now);
        track.behind = 0;
        let placed = now + track.offset;
        self.agree();
        placed
    }

    /// Compares every track with the leading one.
    fn agree(&mut self) {
        for index in (0..self.tracks.len()).filter(|index| *index != self.leader) {
            let told = self.told_offset(index, self.leader);
            if let (Some(told), Some(track)) = (told, self.tracks.get_mut(index)) {
                let differs = (told - track.offset).abs() > ticks(TOLERANCE, track.rate);
                track.wanted = differs.then_some(told);
            }
        }
    }

    /// The offset that sender reports, or the answer to `PLAY`, give a track relative to another;
    /// `None` if they say nothing, or nothing that can be believed.
    fn told_offset(&self, index: usize, other: usize) -> Option<i64> {
        let (track, other) = (self.tracks.get(index)?, self.tracks.get(other)?);
        let ((newest, _), (other_newest, _)) = (track.newest?, other.newest?);
        let told = match (track.report, other.report) {
            (Some((ntp, rtp)), Some((other_ntp, other_rtp))) => {
                Some((rtp, other_rtp, ntp.nanos_since(other_ntp)))
            }
            _ => None,
        };
        let (timestamp, other_timestamp, later) =
            told.or_else(|| Some((track.start?, other.start?, 0)))?;
        let at = unwrap(other_timestamp, other_newest) + other.offset;
        let nanos = i128::from(at) * 1_000_000_000 / i128::from(other.rate) + i128::from(later);
        let at = i64::try_from(nanos * i128::from(track.rate) / 1_000_000_000).ok()?;
        let offset = at.checked_sub(unwrap(timestamp, newest))?;
        // How late each track is on the time line, seen from where its packets arrive.
        let lateness = track.lateness(offset, self.started?)?;
        let other_lateness = other.lateness(other.offset, self.started?)?;
        let apart = (lateness - other_lateness).unsigned_abs();
        (apart <= MAX_OFFSET.as_nanos()).then_some(offset)
    }
}

impl Track {
    /// Whether no reordering explains this timestamp.
    fn was_set_back(&self, step: i64, timestamp: i64) -> bool {
        let overtaken_by = || self.recent.iter().filter(|recent| **recent > timestamp).count();
        step < 0 && (self.behind >= MAX_BEHIND || overtaken_by() > MAX_REORDERED)
    }

    /// The timestamp as the clock before a step that may be wrong has it, if it fits there, and
    /// better than where it is `off` ticks from what is expected.
    fn as_before(&self, timestamp: u32, off: i64, arrival: Instant) -> Option<i64> {
        let (newest, seen) = self.before.as_ref()?.newest;
        let now = unwrap(timestamp, newest);
        let elapsed = ticks(arrival.saturating_duration_since(seen), self.rate);
        let off_before = (now - newest - elapsed).abs();
        (off_before <= ticks(MAX_LATE, self.rate).min(off - 1)).then_some(now)
    }

    /// A step is taken that may be wrong: remembers the clock as it is, unless that is in doubt.
    fn doubt(&mut self) {
        let Some(newest) = self.newest else { return };
        let (report, start) = (self.report, self.start);
        self.before.get_or_insert(Before { newest, shift: 0, report, start, steps: 0 });
    }

    /// A step forward was taken.
    fn confirm(&mut self) {
        if let Some(before) = &mut self.before {
            before.steps += 1;
        }
        self.before.take_if(|before| before.steps > CONFIRMED);
    }

    /// Nanoseconds by which `offset` puts the newest packet behind its arrival.
    fn lateness(&self, offset: i64, started: Instant) -> Option<i128> {
        let (newest, seen) = self.newest?;
        let at = i128::from(newest) + i128::from(offset);
        let arrived = i128::try_from(seen.saturating_duration_since(started).as_nanos()).ok()?;
        Some(at * 1_000_000_000 / i128::from(self.rate) - arrived)
    }

    fn remember(&mut self, timestamp: i64) {
        if self.recent.len() >= MAX_BEHIND {
            self.recent.pop_front();
        }
        self.recent.push_back(timestamp);
    }

    /// Moves the offset towards what it should be, while `step` ticks pass.
    fn slew(&mut self, step: i64) {
        let Some(wanted) = self.wanted else { return };
        let most = (step / SLEW).max(1);
        self.offset += (wanted - self.offset).clamp(-most, most);
        if self.offset == wanted {
            self.wanted = None;
        }
    }
}

/// The unwrapped timestamp that is nearest to `near`.
fn unwrap(timestamp: u32, near: i64) -> i64 {
    near + i64::from(timestamp.wrapping_sub(low_word(near)).cast_signed())
}

fn ticks(duration: Duration, rate: i64) -> i64 {
    let ticks = i128::try_from(duration.as_nanos()).unwrap_or_default() * i128::from(rate);
    i64::try_from(ticks / 1_000_000_000).unwrap_or(i64::MAX)
}

/// The low 32 bits, as the wire carries them.
fn low_word(number: i64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
