//! Tracks and frames, and a player that looks at every playlist.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_hls::playlist::Form;
use headwater_hls::{Container, Resource, Segment, Settings, TIMESCALE, Window};
use media::{Codec, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackSet, Units, inspect};
use testkit::{aac, h264};

pub(crate) const UNIX_MS: i64 = 1_700_000_000_000;

pub(crate) fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
    let details = inspect::details(codec, &config).expect("a configuration");
    let time_base = inspect::time_base(codec, &details);
    Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
}

pub(crate) fn video() -> Arc<Track> {
    let sequence = h264::Sequence { width: 640, height: 360, rate: (25, 1), reorders: false };
    track(TrackId::video(0), Codec::H264, sequence.avcc())
}

pub(crate) fn audio() -> Arc<Track> {
    track(TrackId::audio(0), Codec::Aac, aac::config(48_000, 2))
}

pub(crate) fn tracks(list: &[Arc<Track>]) -> Arc<TrackSet> {
    Arc::new(TrackSet { epoch: 1, tracks: list.to_vec(), metadata: None, origin: None })
}

pub(crate) fn picture(ms: i64, key: bool) -> Frame {
    let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
    let units = std::iter::once(4..6).collect();
    Frame {
        track: TrackId::video(0),
        kind: if key { FrameKind::Key } else { FrameKind::Delta },
        dts: Ticks::from_millis(ms, TimeBase::VIDEO),
        cts: 0,
        arrival: Instant::now(),
        data,
        units,
    }
}

pub(crate) fn sound(number: i64) -> Frame {
    let base = TimeBase::new(48_000).expect("a rate");
    Frame {
        track: TrackId::audio(0),
        kind: FrameKind::Audio,
        dts: Ticks::new(number * 1024, base),
        cts: 0,
        arrival: Instant::now(),
        data: aac::silence(2, 100),
        units: Units::new(),
    }
}

/// What a player sees from one playlist to the next.
#[derive(Default)]
pub(crate) struct Player {
    pub(crate) segments: Vec<Arc<Segment>>,
    target: Option<i64>,
    pub(crate) part_target: Option<String>,
    hint: Option<String>,
    discontinuities: Option<(u64, u64)>,
    /// The parts in the playlist before.
    parts: Vec<String>,
}

fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether a playlist has none of the segment whose part was promised: a frame of it lasted longer
/// than a part may.
fn lists_no_parts_of(hint: &str, text: &str) -> bool {
    let (stem, _) = hint.split_once('.').expect("a part");
    let is_whole = text.contains(&format!("\n{stem}.m4s\n"));
    let is_last = !text.contains("#EXT-X-PRELOAD-HINT");
    (is_whole || is_last) && !text.contains(&format!(",URI=\"{stem}."))
}

impl Player {
    pub(crate) fn look(&mut self, window: &Window) {
        if !window.has_playlist() {
            return;
        }
        let text = window.playlist(Form::Full, "");
        let last = text.lines().last().expect("a line");
        let lists_parts = text.contains("#EXT-X-PART:");
        assert!(!lists_parts || last.starts_with('#'), "nothing of the next segment in\n{text}");
        assert_eq!(*self.target.get_or_insert_with(|| window.target()), window.target());
        let part_target = tag(&text, "#EXT-X-PART-INF:PART-TARGET=").unwrap_or("").to_owned();
        assert_eq!(*self.part_target.get_or_insert_with(|| part_target.clone()), part_target);
        for segment in window.listed() {
            match self.segments.iter().find(|known| known.number == segment.number) {
                Some(known) => {
                    assert_eq!(known.file(), segment.file());
                    assert_eq!(known.duration(), segment.duration());
                    assert_eq!(known.discontinuity, segment.discontinuity);
                }
                None => {
                    let last = self.segments.last().map(|last| last.number);
                    assert!(last.is_none_or(|last| segment.number == last + 1));
                    self.check(segment, window);
                    self.segments.push(segment.clone());
                }
            }
        }
        // What was listed can be fetched for a while.
        for part in &self.parts {
            assert!(matches!(window.find(part), Some(Resource::Part(_))), "{part} has gone");
        }
        let parts = text.lines().filter(|line| line.starts_with("#EXT-X-PART:"));
        let uri = |line: &str| line.split('"').nth(1).map(str::to_owned);
        self.parts = parts.filter_map(uri).collect();
        self.count_discontinuities(&text);
        self.follow_hint(&text, window);
        let total: i64 = window.listed().map(|segment| segment.duration()).sum();
        let all_are_listed = window.segments().count() == window.listed().count();
        assert!(all_are_listed || total >= 3 * window.target() * TIMESCALE);
    }

    fn check(&self, segment: &Arc<Segment>, window: &Window) {
        let rounded = (segment.duration() + TIMESCALE / 2) / TIMESCALE;
        assert!(rounded <= window.target(), "{} > {}", segment.duration(), window.target());
        assert!(segment.duration() > 0 && segment.size() > 0);
        for part in &segment.parts {
            assert!(part.duration > 0 && !part.bytes.is_empty());
        }
        // The promised resources are there.
        let found = window.find(&segment.file());
        assert!(matches!(found, Some(Resource::Segment(_))), "{}", segment.file());
        if segment.lists_parts {
            let most = self.part_target.as_deref().and_then(|text| text.parse::<f64>().ok());
            let most = most.expect("a target") * TIMESCALE as f64;
            assert!(segment.parts.iter().all(|part| part.duration as f64 <= most + 1.0));
            for number in 0..segment.parts.len() {
                assert!(matches!(window.find(&segment.part_file(number)), Some(Resource::Part(_))));
            }
        }
        if let Some(init) = &segment.init {
            assert!(matches!(window.find(&init.file), Some(Resource::Init(_))));
        }
    }

    /// §4.4.3.3: the number rises with each discontinuity that leaves the playlist.
    fn count_discontinuities(&mut self, text: &str) {
        let number = |name| tag(text, name).and_then(|n| n.parse::<u64>().ok()).expect("a number");
        let (first, before) =
            (number("#EXT-X-MEDIA-SEQUENCE:"), number("#EXT-X-DISCONTINUITY-SEQUENCE:"));
        if let Some((old_first, old)) = self.discontinuities {
            let gone = self.segments.iter().filter(|segment| {
                (old_first..first).contains(&segment.number) && segment.discontinuity
            });
            assert_eq!(before - old, gone.count() as u64, "{text}");
        }
        self.discontinuities = Some((first, before));
    }

    /// What was promised came.
    fn follow_hint(&mut self, text: &str, window: &Window) {
        if let Some(hint) = self.hint.take()
            && !window.has_ended()
            && !lists_no_parts_of(&hint, text)
        {
            assert!(
                text.contains(&format!(",URI=\"{hint}\"")),
                "{hint} did not come true in\n{text}"
            );
            assert!(window.find(&hint).is_some());
        }
        let hint = tag(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"");
        self.hint = hint.map(|hint| hint.trim_end_matches('"').to_owned());
    }
}

pub(crate) fn settings(container: Container, part: bool) -> Settings {
    Settings { container, part: part.then_some(Duration::from_millis(200)), ..Settings::default() }
}
