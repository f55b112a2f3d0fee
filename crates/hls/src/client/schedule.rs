//! Which segment is next, and when to look for new ones (RFC 8216 §6.3.3, §6.3.4).

use std::time::{Duration, Instant};

use super::playlist::{Media, Segment};

/// Target durations from the end of a live playlist where playing begins (§6.3.3).
const START_FROM_END: u32 = 3;

/// Playlists are not asked for more often, whatever they say of their segments.
const MIN_RELOAD: Duration = Duration::from_millis(500);

/// Nor less often: a longer target duration is an author's mistake, and media would wait for it.
const MAX_RELOAD: Duration = Duration::from_secs(60);

/// So many playlists in a row that end before the next segment: the server has begun anew. Fewer
/// come from caches.
const STALE: u32 = 3;

/// What is fetched when.
///
/// Fetch the playlist when [`Schedule::poll_timeout`] says so, and tell with
/// [`Schedule::playlist`] or [`Schedule::failed`] what came of it; between times, fetch what
/// [`Schedule::poll_segment`] hands out.
#[derive(Debug)]
pub struct Schedule {
    listed: Vec<Segment>,
    target: Duration,
    ended: bool,
    /// The number of the segment that is next; unknown before the first playlist.
    next: Option<u64>,
    /// The number behind the last segment of the last playlist.
    end: u64,
    reload: Instant,
    /// Playlists in a row that ended before the next segment.
    stale: u32,
    /// The next segment does not follow the last one that was handed out.
    broken: bool,
    lost: u64,
}

impl Schedule {
    /// The playlist is fetched at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            listed: Vec::new(),
            target: Duration::ZERO,
            ended: false,
            next: None,
            end: 0,
            reload: now,
            stale: 0,
            broken: false,
            lost: 0,
        }
    }

    /// A playlist that was asked for at this time.
    pub fn playlist(&mut self, playlist: Media, asked: Instant) {
        let end = playlist.first.saturating_add(playlist.segments.len() as u64);
        let changed = self.next.is_none() || end != self.end || playlist.ended != self.ended;
        (self.target, self.end, self.ended) = (playlist.target, end, playlist.ended);
        self.listed = playlist.segments;
        self.reload = asked + self.interval(changed);
        match self.next {
            None => self.next = Some(self.start(playlist.first)),
            Some(next) if end < next => {
                self.stale += 1;
                if self.stale >= STALE {
                    self.next = Some(self.start(playlist.first));
                    (self.stale, self.broken) = (0, true);
                }
            }
            Some(next) => {
                self.stale = 0;
                if playlist.first > next {
                    // They have left the playlist, unfetched.
                    self.lost += playlist.first - next;
                    self.next = Some(playlist.first);
                }
            }
        }
    }

    /// The playlist could not be fetched.
    pub fn failed(&mut self, asked: Instant) {
        self.reload = asked + self.interval(false);
    }

    /// The segment to fetch now. One that a server does not have is left out.
    pub fn poll_segment(&mut self) -> Option<Segment> {
        loop {
            let next = self.next?;
            let first = self.listed.first()?.number;
            let segment = self.listed.get(usize::try_from(next.checked_sub(first)?).ok()?)?;
            self.next = Some(next.saturating_add(1));
            if segment.gap {
                self.lost += 1;
                continue;
            }
            let mut segment = segment.clone();
            segment.discontinuity |= std::mem::take(&mut self.broken);
            return Some(segment);
        }
    }

    /// When to fetch the playlist (again); never once it has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.ended).then_some(self.reload)
    }

    /// How much media is listed, and was not handed out yet.
    #[must_use]
    pub fn backlog(&self) -> Duration {
        let next = self.next.unwrap_or(u64::MAX);
        let behind = self.listed.iter().filter(|segment| segment.number >= next);
        behind.map(|segment| segment.duration).sum()
    }

    /// How long a segment is at most; zero before the first playlist.
    #[must_use]
    pub fn target(&self) -> Duration {
        self.target
    }

    /// Whether all segments of a playlist that ended were handed out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended && self.next.is_some_and(|next| next >= self.end)
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Segments that were missed.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Where playing begins: three target durations before the end of what goes on, at the
    /// beginning of what does not.
    fn start(&self, first: u64) -> u64 {
        if self.ended {
            return first;
        }
        let mut left = self.target.saturating_mul(START_FROM_END);
        for segment in self.listed.iter().rev() {
            left = left.saturating_sub(segment.duration);
            if left.is_zero() {
                return segment.number;
            }
        }
        first
    }

    fn interval(&self, changed: bool) -> Duration {
        let wait = if changed { self.target } else { self.target / 2 };
        wait.clamp(MIN_RELOAD, MAX_RELOAD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media(first: u64, count: u64, ended: bool) -> Media {
        let segment = |number| Segment {
            number,
            uri: format!("{number}.ts"),
            span: None,
            duration: Duration::from_secs(2),
            discontinuity: false,
            discontinuities: 0,
            map: None,
            key: None,
            gap: false,
        };
        let segments = (first..first + count).map(segment).collect();
        Media { target: Duration::from_secs(2), first, segments, ended }
    }

    fn numbers(schedule: &mut Schedule) -> Vec<u64> {
        std::iter::from_fn(|| schedule.poll_segment()).map(|segment| segment.number).collect()
    }

    #[test]
    fn live_begins_three_target_durations_from_the_end() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert_eq!(schedule.poll_timeout(), Some(now));
        schedule.playlist(media(10, 6, false), now);
        assert_eq!(schedule.backlog(), Duration::from_secs(6));
        assert_eq!(numbers(&mut schedule), [13, 14, 15]);
        assert_eq!(schedule.backlog(), Duration::ZERO);
        // A short playlist is played from its beginning, one that has ended as well.
        for (playlist, all) in
            [(media(3, 2, false), vec![3, 4]), (media(0, 5, true), vec![0, 1, 2, 3, 4])]
        {
            let ended = playlist.ended;
            let mut schedule = Schedule::new(now);
            schedule.playlist(playlist, now);
            assert!(!schedule.is_over());
            assert_eq!(numbers(&mut schedule), all);
            assert_eq!((schedule.is_over(), schedule.poll_timeout().is_none()), (ended, ended));
        }
    }

    #[test]
    fn a_playlist_that_has_not_changed_is_asked_for_sooner() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(start);
        schedule.playlist(media(0, 3, false), start);
        assert_eq!(schedule.poll_timeout(), Some(after(2)));
        schedule.playlist(media(0, 3, false), after(2));
        assert_eq!(schedule.poll_timeout(), Some(after(3)));
        schedule.playlist(media(1, 3, false), after(3));
        assert_eq!(schedule.poll_timeout(), Some(after(5)));
        schedule.failed(after(5));
        assert_eq!(schedule.poll_timeout(), Some(after(6)));
    }

    #[test]
    fn what_left_the_playlist_is_lost() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.playlist(media(0, 3, false), now);
        assert_eq!(numbers(&mut schedule), [0, 1, 2]);
        let mut later = media(5, 3, false);
        later.segments[1].gap = true;
        schedule.playlist(later, now);
        assert_eq!(numbers(&mut schedule), [5, 7]);
        assert_eq!(schedule.lost(), 3);
    }

    #[test]
    fn a_server_that_began_anew_is_followed_and_a_cache_is_not() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.playlist(media(100, 3, false), now);
        assert_eq!(numbers(&mut schedule), [100, 101, 102]);
        schedule.playlist(media(99, 3, false), now);
        schedule.playlist(media(99, 3, false), now);
        schedule.playlist(media(101, 3, false), now);
        assert_eq!(numbers(&mut schedule), [103]);
        for _ in 0..STALE {
            assert_eq!(numbers(&mut schedule), [0; 0]);
            schedule.playlist(media(0, 2, false), now);
        }
        let first = schedule.poll_segment().expect("a segment");
        assert_eq!((first.number, first.discontinuity), (0, true));
        assert!(!schedule.poll_segment().expect("a segment").discontinuity);
    }

    proptest! {
        #[test]
        fn every_segment_comes_once_and_in_order(
            steps in proptest::collection::vec((0u64..4, 1u64..8), 1..50),
        ) {
            let now = Instant::now();
            let (mut first, mut end) = (0, 0);
            let mut schedule = Schedule::new(now);
            let mut last: Option<u64> = None;
            for (forward, count) in steps {
                first += forward;
                end = end.max(first + count);
                schedule.playlist(media(first, end - first, false), now);
                for number in numbers(&mut schedule) {
                    prop_assert!(number >= first && number < end);
                    // Nothing that is listed is left out.
                    prop_assert!(last.is_none_or(|last| number == (last + 1).max(first)));
                    last = Some(number);
                }
                prop_assert_eq!(last, Some(end - 1));
            }
        }
    }
}
