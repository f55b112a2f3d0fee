//! Clocks of real senders, and what is made of them.

use proptest::prelude::*;

use super::*;

const VIDEO: usize = 0;
const AUDIO: usize = 1;

fn clock() -> Clock {
    Clock::new([90_000, 48_000], AUDIO)
}

fn ntp(millis: u64) -> Ntp {
    Ntp((1000 << 32) + (millis << 32) / 1000)
}

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn reports_that_come_first_place_tracks_exactly() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.sender_report(VIDEO, ntp(0), 5_000);
    clock.sender_report(AUDIO, ntp(0), 0xFFFF_FFF0);
    // Sound that belongs 100 ms after the first picture arrives with it.
    assert_eq!(clock.place(VIDEO, 5_000, start), 0);
    assert_eq!(clock.place(AUDIO, 0xFFFF_FFF0u32.wrapping_add(4_800), at(start, 3)), 4_800);
    assert_eq!(clock.place(VIDEO, 8_600, at(start, 40)), 3_600);
}

#[test]
fn without_reports_arrival_counts() {
    let (mut clock, start) = (clock(), Instant::now());
    assert_eq!(clock.place(AUDIO, 77, start), 0);
    assert_eq!(clock.place(VIDEO, 123_456, at(start, 500)), 45_000);
    assert_eq!(clock.place(AUDIO, 77 + 1024, at(start, 501)), 1024);
}

#[test]
fn the_answer_to_play_counts_unless_it_is_zero() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.starts_at(VIDEO, 1_000);
    clock.starts_at(AUDIO, 2_000);
    assert_eq!(clock.place(VIDEO, 1_000, start), 0);
    assert_eq!(clock.place(AUDIO, 2_000 + 480, at(start, 70)), 480);
    let mut zero = self::clock();
    zero.starts_at(VIDEO, 0);
    zero.starts_at(AUDIO, 0);
    assert_eq!(zero.place(VIDEO, 9_999, start), 0);
    assert_eq!(zero.place(AUDIO, 4_444, at(start, 50)), 2_400);
}

#[test]
fn late_reports_move_pictures_little_by_little() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.place(AUDIO, 0, start);
    clock.place(VIDEO, 0, at(start, 200));
    // In truth they belong together.
    clock.sender_report(AUDIO, ntp(0), 0);
    clock.sender_report(VIDEO, ntp(0), 0);
    let mut before = 18_000;
    let mut last_step = 0;
    for picture in 1..=200u32 {
        let now = at(start, 200 + u64::from(picture) * 40);
        let placed = clock.place(VIDEO, picture * 3_600, now);
        last_step = placed - before;
        assert!((3_400..=3_600).contains(&last_step), "{last_step}");
        before = placed;
    }
    assert_eq!(last_step, 3_600);
    assert_eq!(before, 200 * 3_600);
}

#[test]
fn a_correction_that_a_report_takes_back_ends() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.place(AUDIO, 0, start);
    clock.place(VIDEO, 0, start);
    clock.sender_report(AUDIO, ntp(0), 0);
    // A report that was written late, and one that was not.
    clock.sender_report(VIDEO, ntp(200), 0);
    clock.sender_report(VIDEO, ntp(0), 0);
    for picture in 1..100u32 {
        let now = at(start, u64::from(picture) * 40);
        assert_eq!(clock.place(VIDEO, picture * 3_600, now), i64::from(picture) * 3_600);
    }
}

#[test]
fn what_was_to_agree_with_a_clock_that_jumped_is_left_alone() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.place(AUDIO, 0, start);
    clock.place(VIDEO, 0, start);
    clock.sender_report(AUDIO, ntp(0), 0);
    clock.sender_report(VIDEO, ntp(200), 0);
    clock.place(AUDIO, 3_000_000_000, at(start, 20));
    assert_eq!(clock.place(VIDEO, 3_600, at(start, 40)), 3_600);
}

#[test]
fn rounding_of_reports_moves_nothing() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.sender_report(AUDIO, ntp(0), 0);
    clock.sender_report(VIDEO, ntp(0), 0);
    clock.place(AUDIO, 0, start);
    clock.place(VIDEO, 0, start);
    for second in 1..600u32 {
        clock.sender_report(VIDEO, ntp(u64::from(second) * 1000), second * 90_000 + 60);
        let now = at(start, u64::from(second) * 1000);
        assert_eq!(clock.place(VIDEO, second * 90_000, now), i64::from(second) * 90_000);
    }
}

#[test]
fn clocks_of_44100_do_not_drift_over_days() {
    let (mut clock, start) = (Clock::new([90_000, 44_100], AUDIO), Instant::now());
    let mut timestamp = 0xFFFF_0000u32;
    let mut expected = 0;
    for _ in 0..500_000 {
        let now = at(start, u64::try_from(expected * 1000 / 44_100).unwrap());
        assert_eq!(clock.place(AUDIO, timestamp, now), expected);
        timestamp = timestamp.wrapping_add(1024 * 20);
        expected += 1024 * 20;
    }
    assert_eq!(clock.jumps(), 0);
}

#[test]
fn jumps_are_joined_and_counted() {
    let (mut clock, start) = (clock(), Instant::now());
    assert_eq!(clock.place(VIDEO, 3_000_000_000, start), 0);
    assert_eq!(clock.place(VIDEO, 0, at(start, 40)), 3_600);
    assert_eq!(clock.place(VIDEO, 3_600, at(start, 80)), 7_200);
    assert_eq!(clock.jumps(), 1);
}

#[test]
fn a_clock_that_is_set_back_by_seconds_goes_on_at_once() {
    for back in [500, 1_000, 5_000, 9_900] {
        let (mut clock, start) = (clock(), Instant::now());
        let mut before = -3_600;
        for picture in 0..100u32 {
            let set_back = if picture >= 50 { back * 90 } else { 0 };
            let timestamp = (1_000_000 + picture * 3_600).wrapping_sub(set_back);
            let now = at(start, u64::from(picture) * 40);
            let placed = clock.place(VIDEO, timestamp, now);
            assert_eq!(placed, before + 3_600, "{back} {picture}");
            before = placed;
        }
        assert_eq!(clock.jumps(), 1);
    }
}

#[test]
fn a_slow_source_that_is_set_back_goes_on_after_a_few_pictures() {
    let (mut clock, start) = (clock(), Instant::now());
    for second in 0..5u32 {
        clock.place(VIDEO, second * 90_000, at(start, u64::from(second) * 1000));
    }
    // Faster from here on, four seconds back.
    let placed: Vec<_> = (0..20u32)
        .map(|n| clock.place(VIDEO, n * 3_600, at(start, 4_000 + u64::from(n) * 40)))
        .collect();
    assert!(placed.last().is_some_and(|last| *last > 4 * 90_000), "{placed:?}");
    assert_eq!(clock.jumps(), 1);
}

#[test]
fn deep_reordering_is_no_step_of_the_clock() {
    let (mut clock, start) = (clock(), Instant::now());
    for group in 0..20u32 {
        for place in [8, 4, 2, 1, 3, 6, 5, 7] {
            clock.place(VIDEO, (group * 8 + place) * 3_600, start);
        }
    }
    assert_eq!(clock.jumps(), 0);
}

#[test]
fn reports_of_a_mad_clock_are_not_believed() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.place(AUDIO, 0, start);
    clock.place(VIDEO, 0, start);
    clock.sender_report(AUDIO, ntp(0), 0);
    clock.sender_report(VIDEO, ntp(3_600_000), 0);
    assert_eq!(clock.place(VIDEO, 3_600, at(start, 40)), 3_600);
}

#[test]
fn reordered_pictures_keep_their_places() {
    let (mut clock, start) = (clock(), Instant::now());
    let times = [0u32, 14_400, 7_200, 3_600, 10_800];
    let placed: Vec<_> = times.iter().map(|time| clock.place(VIDEO, *time, start)).collect();
    assert_eq!(placed, [0, 14_400, 7_200, 3_600, 10_800]);
}

/// Pictures and sound of a camera for 40 s, with a report of both each second, `picture` ticks from
/// where they were: how far apart they are in the end, in milliseconds.
fn apart_after(step: impl Fn(u32) -> i64, reports_follow: bool) -> i64 {
    let (mut clock, start) = (clock(), Instant::now());
    let mut apart = 0;
    for n in 0..1_000u32 {
        let now = at(start, u64::from(n) * 40);
        let off = step(n);
        let timestamp = |off: i64| low_word(i64::from(n) * 3_600 + off + 5_000_000);
        if n % 25 == 0 {
            let off = if reports_follow { off } else { 0 };
            clock.sender_report(VIDEO, ntp(10_000 + u64::from(n) * 40), timestamp(off));
            clock.sender_report(AUDIO, ntp(10_000 + u64::from(n) * 40), n * 1_920);
        }
        let sound = clock.place(AUDIO, n * 1_920, now);
        let picture = clock.place(VIDEO, timestamp(off), now);
        if off == step(999) {
            apart = picture / 90 - sound / 48;
        }
    }
    apart
}

#[test]
fn steps_of_a_camera_that_reports_tell_of_part_nothing_for_good() {
    for seconds in [6, 7, 9, 11, -3, -7, -3_600] {
        let step = |n: u32| if n >= 125 { seconds * 90_000 } else { 0 };
        let apart = apart_after(step, true);
        assert!(apart.abs() <= 40, "{seconds}: {apart}");
    }
    // What is taken for real time is put right, little by little.
    let apart = apart_after(|n| if n >= 125 { 90_000 } else { 0 }, true);
    assert!(apart.abs() <= 40, "{apart}");
}

#[test]
fn lone_wrong_timestamps_part_nothing() {
    for tenths in [-36_000, -200, -40, -10, 5, 10, 30, 49, 60, 90, 200, 36_000] {
        for count in [1, 2] {
            let wrong = 125..125 + count;
            let step = |n: u32| if wrong.contains(&n) { tenths * 9_000 } else { 0 };
            let apart = apart_after(step, false);
            assert!(apart.abs() <= 40, "{tenths} {count}: {apart}");
        }
    }
}

#[test]
fn after_a_lone_leap_the_clock_is_what_it_was() {
    for tenths in [10, 45, 70, -70, 600] {
        let (mut clock, start) = (clock(), Instant::now());
        for n in 0..100i64 {
            let wrong = if n == 50 { tenths * 9_000 } else { 0 };
            // Arrival tells nothing exactly.
            let jitter = u64::try_from(n * 7 % 30).unwrap();
            let now = at(start, u64::try_from(n * 40).unwrap() + jitter);
            let placed = clock.place(VIDEO, low_word(n * 3_600 + wrong + 77_000_000), now);
            assert!(n == 50 || placed == n * 3_600, "{tenths} {n}: {placed}");
        }
        assert_eq!(clock.jumps(), 1);
    }
}

#[test]
fn rare_pictures_that_come_in_pairs_are_no_jumps() {
    let (mut clock, start) = (clock(), Instant::now());
    for n in 0..300u32 {
        let jitter = n * 7 % 30;
        let now = at(start, u64::from(n / 2 * 666 + jitter));
        assert_eq!(clock.place(VIDEO, n * 30_000, now), i64::from(n) * 30_000);
    }
    assert_eq!(clock.jumps(), 0);
}

#[test]
fn a_pause_before_a_new_clock_is_as_long_as_it_was() {
    let (mut clock, start) = (clock(), Instant::now());
    clock.place(VIDEO, 1_000_000_000, start);
    assert_eq!(clock.place(VIDEO, 0, at(start, 60_000)), 60 * 90_000);
}

#[test]
fn pictures_that_come_at_once_at_the_beginning_agree_with_sound() {
    let (mut clock, start) = (clock(), Instant::now());
    // Eight seconds of pictures, and sound from now on.
    for n in 0..=200u32 {
        clock.place(VIDEO, n * 3_600, start);
    }
    clock.sender_report(VIDEO, ntp(8_000), 200 * 3_600);
    clock.place(AUDIO, 0, start);
    clock.sender_report(AUDIO, ntp(8_000), 0);
    let mut apart = 0;
    for n in 1..5_000u32 {
        let now = at(start, u64::from(n) * 40);
        let sound = clock.place(AUDIO, n * 1_920, now);
        apart = clock.place(VIDEO, (200 + n) * 3_600, now) / 90 - sound / 48;
    }
    assert_eq!(apart, 0);
}

proptest! {
    #[test]
    fn anything_is_survived(
        rates in [any::<u32>(), any::<u32>()],
        events in prop::collection::vec(
            (any::<bool>(), any::<bool>(), any::<u32>(), any::<u64>(), 0u64..100_000), 0..60,
        ),
    ) {
        let (mut clock, mut now) = (Clock::new(rates, 0), Instant::now());
        for (is_report, second, timestamp, ntp, millis) in events {
            let index = usize::from(second);
            now += Duration::from_millis(millis);
            if is_report {
                clock.sender_report(index, Ntp(ntp), timestamp);
            } else {
                clock.place(index, timestamp, now);
            }
        }
    }
}
