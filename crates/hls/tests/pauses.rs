//! Sound that stops, pictures that pause, and pictures that come slowly.

mod common;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use common::{Player, UNIX_MS, audio, picture, settings, sound, track, tracks, video};
use headwater_hls::playlist::Form;
use headwater_hls::{Container, Rendition, Segment, Settings, TIMESCALE};
use media::{Codec, Frame, Track, TrackId};
use testkit::aac;

/// A publisher of 25 pictures a second with a key frame each two seconds, and its sound.
struct Studio {
    rendition: Rendition,
    player: Player,
    sound: Arc<Track>,
    ms: i64,
    next_sound: i64,
}

impl Studio {
    fn new(settings: Settings, sound: Arc<Track>) -> Self {
        let mut rendition = Rendition::new("cam", settings);
        rendition.set_tracks(&tracks(&[video(), sound.clone()]), 1);
        Self { rendition, player: Player::default(), sound, ms: 0, next_sound: 0 }
    }

    /// Goes on until `end`, in milliseconds; with a picture each `interval` if there are any.
    fn run(&mut self, end: i64, interval: Option<i64>, with_sound: bool) {
        while self.ms < end {
            if interval.is_some_and(|interval| self.ms % interval == 0) {
                let frame = picture(self.ms, self.ms % 2000 == 0);
                self.rendition.push(&frame, UNIX_MS + self.ms);
                self.player.look(self.rendition.window());
            }
            self.ms += 20;
            while self.next_sound * 1024 * 1000 / 48_000 < self.ms {
                let frame = Frame { data: self.said(), ..sound(self.next_sound) };
                if with_sound {
                    self.rendition.push(&frame, UNIX_MS + self.ms);
                    self.player.look(self.rendition.window());
                }
                self.next_sound += 1;
            }
        }
    }

    fn said(&self) -> Bytes {
        match self.sound.codec {
            Codec::Aac => aac::silence(2, 100),
            _ => Bytes::from_static(&[0xFC; 50]),
        }
    }

    fn discontinuities(&self) -> usize {
        self.player.segments.iter().filter(|segment| segment.discontinuity).count()
    }
}

/// The frames in segments of fragmented MP4, in order.
fn frames_of<'a>(segments: impl IntoIterator<Item = &'a Arc<Segment>>) -> Vec<Frame> {
    let mut reader = mp4::read::Reader::new();
    let mut out = Vec::new();
    for segment in segments {
        reader.init(&segment.init.as_ref().expect("a section").bytes).expect("a section");
        let mut bytes = Vec::new();
        segment.parts.iter().for_each(|part| bytes.extend_from_slice(&part.bytes));
        let items = reader.segment(&Bytes::from(bytes), Instant::now()).expect("fragments");
        out.extend(items.into_iter().filter_map(|item| match item {
            mp4::read::Item::Frame(frame) => Some(frame),
            mp4::read::Item::Track(_) => None,
        }));
    }
    out
}

#[test]
fn sound_that_stops_is_silent_until_it_comes_again() {
    for stops in [0, 6_300] {
        let mut studio = Studio::new(settings(Container::Fmp4, true), audio());
        studio.run(stops, Some(40), true);
        studio.run(15_010, Some(40), false);
        studio.run(30_000, Some(40), true);
        let frames = frames_of(&studio.player.segments);
        let sounds: Vec<_> = frames.iter().filter(|f| f.track == TrackId::audio(0)).collect();
        let times: Vec<_> = sounds.iter().map(|frame| frame.dts.value).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1024), "{times:?}");
        assert!((0..1024).contains(&times[0]), "{}", times[0]);
        assert!(times[times.len() - 1] > 27 * 48_000);
        // Silent frames are shorter.
        let silent = sounds.iter().filter(|frame| frame.data.len() < 20).count() as i64;
        let missing = (15_010 - stops) * 48 / 1024;
        assert!((missing - 2..missing + 3).contains(&silent), "{silent} of {missing}");
        assert_eq!(studio.discontinuities(), 0);
    }
}

#[test]
fn late_sound_is_not_taken_for_none() {
    let mut rendition = Rendition::new("cam", settings(Container::Fmp4, true));
    rendition.set_tracks(&tracks(&[video(), audio()]), 1);
    let mut sounds = 0;
    for n in 0..1000 {
        let ms = n * 40;
        rendition.push(&picture(ms, n % 50 == 0), UNIX_MS + ms);
        // Four seconds behind the pictures, all the time.
        while ms > 4_000 && sounds * 1024 < (ms - 4_000) * 48 {
            rendition.push(&sound(sounds), UNIX_MS + ms);
            sounds += 1;
        }
    }
    let frames = frames_of(rendition.window().listed());
    let is_own = |frame: &&Frame| frame.track == TrackId::audio(0) && frame.data.len() > 20;
    assert!(frames.iter().filter(is_own).count() > 14 * 46, "its own sound is heard");
}

#[test]
fn sound_that_stops_is_left_out_where_there_is_no_silence_for_it() {
    let opus = track(TrackId::audio(0), Codec::Opus, media::opus::Head::new(2).to_bytes());
    let mut studio = Studio::new(settings(Container::Auto, true), opus);
    studio.run(6_300, Some(40), true);
    studio.run(15_010, Some(40), false);
    // Metadata is no other sound.
    let again = tracks(&[video(), studio.sound.clone()]);
    studio.rendition.set_tracks(&again, 1);
    studio.run(20_000, Some(40), false);
    studio.run(30_000, Some(40), true);
    let changes: Vec<u64> =
        studio.player.segments.iter().filter(|s| s.discontinuity).map(|s| s.number).collect();
    assert_eq!(changes, [5, 11]);
    let has_sound = |number: usize| {
        let init = studio.player.segments[number].init.as_ref().expect("a section");
        init.bytes.windows(4).any(|name| name == b"Opus")
    };
    assert!(has_sound(4) && !has_sound(5) && !has_sound(10) && has_sound(11));
    let total: i64 = studio.player.segments.iter().map(|segment| segment.duration()).sum();
    assert_eq!(total, 28 * TIMESCALE, "no picture is lost by it");
}

#[test]
fn sound_ends_segments_while_pictures_pause() {
    for (container, part) in
        [(Container::Fmp4, true), (Container::Fmp4, false), (Container::Ts, false)]
    {
        let mut studio = Studio::new(settings(container, part), audio());
        studio.run(7_000, Some(40), true);
        studio.run(21_000, None, true);
        let (last, parts) = studio.rendition.window().position();
        assert!(last >= 9, "{last}");
        assert_eq!(parts > 0, part);
        assert!(studio.rendition.window().size() < 1 << 20);
        studio.run(40_000, Some(40), true);
        assert_eq!(studio.discontinuities(), 0);
        let total: i64 = studio.player.segments.iter().map(|segment| segment.duration()).sum();
        assert_eq!(total, 38 * TIMESCALE);
        if container == Container::Fmp4 {
            let mut start = 0;
            for segment in &studio.player.segments {
                let end = start + segment.duration() / 90;
                for frame in frames_of([segment]) {
                    let at = frame.dts.millis();
                    assert!((start - 60..end + 60).contains(&at), "{at} in {start}..{end}");
                }
                start = end;
            }
            let pictures = frames_of(&studio.player.segments);
            let count = pictures.iter().filter(|f| f.track == TrackId::video(0)).count();
            assert_eq!(count, (7 + 17) * 25);
        }
    }
}

#[test]
fn pictures_far_apart_are_no_gaps() {
    // Pictures alone, one each twelve seconds.
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    let mut player = Player::default();
    for n in 0..10 {
        rendition.push(&picture(n * 12_000, true), UNIX_MS + n * 12_000);
        player.look(rendition.window());
    }
    assert_eq!(rendition.window().target(), 12);
    assert_eq!(player.segments.len(), 9);
    assert!(player.segments.iter().all(|s| s.duration() == 12 * TIMESCALE && !s.discontinuity));
    assert_eq!(player.part_target.as_deref(), Some(""), "such parts would be segments");
    // That they came at once says that the time leapt.
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    for n in 0..10 {
        rendition.push(&picture(n * 12_000, true), UNIX_MS + n * 40);
    }
    assert!(rendition.window().listed().skip(1).all(|segment| segment.discontinuity));
    // With sound, which goes on.
    for container in [Container::Fmp4, Container::Ts] {
        let mut studio = Studio::new(settings(container, true), audio());
        studio.run(120_000, Some(12_000), true);
        assert_eq!(studio.discontinuities(), 0);
        let total: i64 = studio.player.segments.iter().map(|segment| segment.duration()).sum();
        assert!(total > 100 * TIMESCALE, "{total}");
    }
}

#[test]
fn parts_are_not_listed_of_segments_whose_pictures_are_too_slow_for_them() {
    let mut rendition = Rendition::new("cam", settings(Container::Auto, true));
    rendition.set_tracks(&tracks(&[video()]), 1);
    let mut player = Player::default();
    let mut last = String::new();
    for n in 0..1000 {
        let ms = n * 40;
        // Two a second for ten seconds.
        if !(10_000..20_000).contains(&ms) || ms % 500 < 40 {
            rendition.push(&picture(ms, ms % 2000 == 0), UNIX_MS + ms);
            player.look(rendition.window());
            last = rendition.window().playlist(Form::Full, "");
        }
    }
    let lists: Vec<bool> = player.segments.iter().map(|segment| segment.lists_parts).collect();
    assert_eq!(lists[..5], [true; 5]);
    assert_eq!(lists[5..11], [false; 6]);
    assert_eq!(lists[11..], [true; 8]);
    assert!(last.contains("#EXT-X-PRELOAD-HINT"), "{last}");
}
