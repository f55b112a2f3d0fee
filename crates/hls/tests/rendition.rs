//! What must hold of a rendition whatever is published.

mod common;

use common::{Player, UNIX_MS, audio, picture, settings, sound, track, tracks, video};
use headwater_hls::playlist::Form;
use headwater_hls::{Answer, Container, Directives, Outcome, Rendition, Settings, TIMESCALE};
use media::{Codec, TrackId};
use proptest::prelude::*;

#[test]
fn a_regular_stream_has_regular_segments_and_parts() {
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video(), audio()]), 1);
    let mut player = Player::default();
    let mut next_sound = 0;
    for n in 0..1500 {
        let ms = n * 40;
        while next_sound * 1024 * 1000 / 48_000 <= ms {
            rendition.push(&sound(next_sound), UNIX_MS + ms);
            next_sound += 1;
        }
        if rendition.push(&picture(ms, n % 50 == 0), UNIX_MS + ms) != Outcome::Nothing {
            player.look(rendition.window());
        }
    }
    assert_eq!(player.segments.len(), 29);
    assert_eq!(player.part_target.as_deref(), Some("0.20500"));
    for segment in player.segments.iter().skip(1) {
        assert_eq!((segment.duration(), segment.parts.len()), (2 * TIMESCALE, 10));
        assert!(segment.parts[0].independent && !segment.parts[1].independent);
        assert_eq!(segment.unix_ms, UNIX_MS + segment.number as i64 * 2000);
    }
    let text = rendition.window().playlist(Form::Full, "");
    assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:14:"), "{text}");
    // A delta update lists what is near the end, and counts the rest.
    let delta = rendition.window().playlist(Form::Delta, "");
    assert!(!delta.contains("SKIPPED-SEGMENTS=0"), "{delta}");
    // A plain list has nothing that needs a server.
    let plain = rendition.window().playlist(Form::Plain, "");
    assert!(!plain.contains("PART") && !plain.contains("SERVER-CONTROL"), "{plain}");
    assert!(rendition.window().size() < 1 << 20);
}

#[test]
fn playlists_are_written_like_this() {
    let mut rendition = Rendition::new("my cam", settings(Container::Ts, false));
    rendition.set_tracks(&tracks(&[video()]), 1);
    for n in 0..=150 {
        rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40);
    }
    rendition.set_tracks(&tracks(&[video()]), 2);
    for n in 200..=250 {
        rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40);
    }
    rendition.end();
    let expected = "\
#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z
#EXTINF:2.00000,
my%20cam-1700000000000-0.ts?x=1
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.000Z
#EXTINF:2.00000,
my%20cam-1700000002000-1.ts?x=1
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.000Z
#EXTINF:2.00000,
my%20cam-1700000004000-2.ts?x=1
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:26.000Z
#EXTINF:0.04000,
my%20cam-1700000006000-3.ts?x=1
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:28.000Z
#EXTINF:2.00000,
my%20cam-1700000008000-4.ts?x=1
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:30.000Z
#EXTINF:0.04000,
my%20cam-1700000010000-5.ts?x=1
#EXT-X-ENDLIST
";
    assert_eq!(rendition.window().playlist(Form::Full, "?x=1"), expected);
}

#[test]
fn a_discontinuity_is_announced_where_a_publisher_left() {
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    let mut player = Player::default();
    for n in 0..=170 {
        rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40);
        player.look(rendition.window());
    }
    rendition.set_tracks(&tracks(&[video()]), 2);
    player.look(rendition.window());
    let text = rendition.window().playlist(Form::Full, "");
    assert!(text.ends_with("-3.m4s\n#EXT-X-DISCONTINUITY\n"), "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    let plain = rendition.window().playlist(Form::Plain, "");
    assert!(plain.ends_with("-3.m4s\n"), "{plain}");
    // It stands before what is promised, and before what comes.
    for n in 200..=230 {
        rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40);
        player.look(rendition.window());
        let text = rendition.window().playlist(Form::Full, "");
        let (_, next) = text.split_once("-3.m4s\n").expect("the last segment before");
        assert!(next.starts_with("#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-"), "{text}");
        assert!(next.contains("#EXT-X-PRELOAD-HINT:"), "{text}");
    }
    rendition.end();
    assert!(rendition.window().playlist(Form::Full, "").ends_with("-4.m4s\n#EXT-X-ENDLIST\n"));
}

#[test]
fn key_frames_too_far_apart_do_not_exceed_the_target() {
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    let mut player = Player::default();
    for n in 0..3000 {
        // Every two seconds at first, never after a while.
        let key = n % 50 == 0 && n < 500;
        if rendition.push(&picture(n * 40, key), UNIX_MS + n * 40) != Outcome::Nothing {
            player.look(rendition.window());
        }
    }
    assert!(rendition.was_forced());
    assert!(player.segments.len() >= 50);
}

#[test]
fn uneven_frames_keep_the_part_target() {
    // The pause before a key frame, as at the seam of a clip that is played over and over, may be
    // there from the beginning or come later.
    for from in [0, 10] {
        let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
        rendition.set_tracks(&tracks(&[video()]), 1);
        let mut player = Player::default();
        let mut ms = 0;
        for n in 0..2000 {
            ms += if n % 50 == 0 && n / 50 >= from { 54 } else { 40 };
            if rendition.push(&picture(ms, n % 50 == 0), UNIX_MS + ms) != Outcome::Nothing {
                player.look(rendition.window());
            }
        }
        let target = player.part_target.as_deref().and_then(|text| text.parse::<f64>().ok());
        let most = target.expect("a target") * TIMESCALE as f64;
        for segment in player.segments.iter().filter(|segment| segment.lists_parts) {
            for part in &segment.parts {
                assert!(part.duration as f64 <= most, "{} > {most}", part.duration);
            }
        }
    }
}

#[test]
fn a_stream_without_any_key_frame_is_segmented_after_a_while() {
    let mut rendition = Rendition::new("cam", settings(Container::Ts, false));
    rendition.set_tracks(&tracks(&[video()]), 1);
    for n in 0..1500 {
        rendition.push(&picture(n * 40, false), UNIX_MS);
    }
    assert!(rendition.window().has_playlist());
}

#[test]
fn sound_alone_is_segmented_in_both_containers() {
    for container in [Container::Ts, Container::Fmp4] {
        let mut rendition = Rendition::new("radio", settings(container, true));
        rendition.set_tracks(&tracks(&[audio()]), 1);
        let mut player = Player::default();
        for n in 0..2000 {
            if rendition.push(&sound(n), UNIX_MS + n * 1024 / 48) != Outcome::Nothing {
                player.look(rendition.window());
            }
        }
        assert!(player.segments.len() >= 19, "{container:?}: {}", player.segments.len());
        assert!(player.segments.iter().flat_map(|s| &s.parts).all(|part| part.independent));
    }
}

#[test]
fn a_late_track_joins_at_a_key_frame() {
    let mut rendition = Rendition::new("cam", settings(Container::Fmp4, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    let mut player = Player::default();
    for n in 0..500 {
        if n == 120 {
            rendition.set_tracks(&tracks(&[video(), audio()]), 1);
        }
        if n > 120 {
            rendition.push(&sound(n * 40 * 48 / 1024), UNIX_MS + n * 40);
        }
        if rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40) != Outcome::Nothing {
            player.look(rendition.window());
        }
    }
    let changes: Vec<u64> =
        player.segments.iter().filter(|s| s.discontinuity).map(|s| s.number).collect();
    assert_eq!(changes, [3]);
    let total: i64 = player.segments.iter().map(|segment| segment.duration()).sum();
    assert_eq!(total, 18 * TIMESCALE, "no picture is lost by it");
}

/// The `hvcC` of a stream of x265.
const HEVC: &str = "\
    0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003\
    000003007b959809a10001002a42010101600000030090000003000003007ba003c08010e596566924caf016\
    8080000003008000001e04a2000100074401c172b46240";

#[test]
fn fragmented_mp4_stays_once_there_was_any() {
    let byte = |at| u8::from_str_radix(&HEVC[at..at + 2], 16).expect("digits");
    let config: Vec<u8> = (0..HEVC.len()).step_by(2).map(byte).collect();
    let hevc = track(TrackId::video(0), Codec::H265, config.into());
    let settings = settings(Container::Auto, false);
    let mut rendition = Rendition::new("cam", settings.clone());
    let mut extensions = Vec::new();
    for (publisher, pictures) in [(1, video()), (2, hevc), (3, video())] {
        rendition.set_tracks(&tracks(&[pictures, audio()]), publisher);
        for n in 0..=50 {
            let ms = (publisher as i64 * 100 + n) * 40;
            rendition.push(&picture(ms, n % 50 == 0), UNIX_MS + ms);
        }
        extensions.extend(rendition.window().segments().next_back().map(|s| s.extension));
    }
    // Players have no way back from a section.
    assert_eq!(extensions, ["ts", "m4s", "m4s"]);
    rendition.end();
    let mut again = Rendition::resuming("cam", settings, rendition.resume());
    again.set_tracks(&tracks(&[video(), audio()]), 4);
    for n in 0..=50 {
        again.push(&picture(n * 40, n % 50 == 0), UNIX_MS + n * 40);
    }
    assert_eq!(again.window().segments().next().map(|s| s.extension), Some("m4s"));
}

#[test]
fn directives_wait_for_what_is_about_to_come() {
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    for n in 0..=115 {
        rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS);
    }
    let (next, parts) = rendition.window().position();
    assert_eq!((next, parts), (2, 3));
    let answer = |segment, part| {
        Directives { segment: Some(segment), part, skip: false }.answer(rendition.window())
    };
    assert_eq!(answer(1, None), Answer::Now);
    assert_eq!(answer(1, Some(99)), Answer::Now);
    assert_eq!(answer(2, Some(2)), Answer::Now);
    assert_eq!(answer(2, Some(3)), Answer::Later);
    assert_eq!(answer(2, None), Answer::Later);
    assert_eq!(answer(3, Some(0)), Answer::Later);
    assert_eq!(answer(4, Some(0)), Answer::TooFar);
    assert_eq!(answer(u64::MAX, None), Answer::TooFar);
}

/// What a publisher may do next.
#[derive(Debug, Clone)]
enum Step {
    /// So many frames at this distance, with a key frame each so many.
    Frames { count: u16, interval_ms: u16, jitter_ms: u16, gop: u16 },
    /// The stream is silent for so long.
    Pause(u16),
    /// There is sound alone for so long.
    SoundAlone(u16),
    /// Pictures have no sound from here on, or have it again; the tracks stay.
    Mute(bool),
    /// Another publisher.
    Return,
    /// Frames were lost.
    Lost,
    /// Sound joins, or leaves.
    Sound(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u16..400, 10u16..200, 0u16..8, 1u16..400).prop_map(
            |(count, interval_ms, jitter_ms, gop)| Step::Frames { count, interval_ms, jitter_ms, gop }
        ),
        1 => (1u16..60_000).prop_map(Step::Pause),
        1 => (1u16..30_000).prop_map(Step::SoundAlone),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => Just(Step::Return),
        1 => Just(Step::Lost),
        1 => any::<bool>().prop_map(Step::Sound),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a publisher behaves, playlists keep the rules, and what they list can be fetched.
    #[test]
    fn playlists_keep_the_rules(
        steps in prop::collection::vec(step(), 1..12),
        container in prop::sample::select(vec![Container::Ts, Container::Fmp4, Container::Auto]),
        part in any::<bool>(),
    ) {
        let mut rendition = Rendition::new("cam", settings(container, part));
        let mut player = Player::default();
        let (mut now, mut publisher, mut with_sound, mut mute) = (0i64, 1u64, true, false);
        let set = |with_sound: bool| {
            tracks(&if with_sound { vec![video(), audio()] } else { vec![video()] })
        };
        rendition.set_tracks(&set(with_sound), publisher);
        for step in steps {
            match step {
                Step::Frames { count, interval_ms, jitter_ms, gop } => {
                    for n in 0..count {
                        let jitter = i64::from(n * 7 % (jitter_ms + 1));
                        now += i64::from(interval_ms);
                        if with_sound && !mute {
                            rendition.push(&sound(now * 48 / 1024), UNIX_MS + now);
                        }
                        let frame = picture(now + jitter, n % gop == 0);
                        rendition.push(&frame, UNIX_MS + now);
                        player.look(rendition.window());
                    }
                }
                Step::Pause(ms) => now += i64::from(ms),
                Step::SoundAlone(ms) => {
                    for _ in 0..ms / 21 {
                        now += 21;
                        if with_sound {
                            rendition.push(&sound(now * 48 / 1024), UNIX_MS + now);
                            player.look(rendition.window());
                        }
                    }
                }
                Step::Mute(on) => mute = on,
                Step::Return => {
                    publisher += 1;
                    rendition.set_tracks(&set(with_sound), publisher);
                }
                Step::Lost => {
                    rendition.gap();
                }
                Step::Sound(on) => {
                    with_sound = on;
                    rendition.set_tracks(&set(with_sound), publisher);
                }
            }
            player.look(rendition.window());
        }
        rendition.end();
        player.look(rendition.window());
    }

    /// Nothing that is asked for harms.
    #[test]
    fn any_file_may_be_asked_for(file: String, other in "cam-[0-9]{0,20}-[0-9]{0,22}(\\.[0-9]{0,21}){0,3}\\.?(ts|m4s)?") {
        let mut rendition = Rendition::new("cam", Settings::default());
        rendition.set_tracks(&tracks(&[video()]), 1);
        for n in 0..=115 {
            rendition.push(&picture(n * 40, n % 50 == 0), UNIX_MS);
        }
        let _ = rendition.window().find(&file);
        let _ = rendition.window().find(&other);
        let _ = Directives::parse(&file);
    }
}
