//! What the muxer writes, in the eyes of a checker that shares no code with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use headwater_mpeg::ts::{Muxer, Unit};
use media::{
    Codec, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet, Units, inspect,
    nal,
};
use proptest::prelude::*;
use testkit::ts::{Report, Rules, check};
use testkit::{Audio, Item, Programme, TagKind, Video, aac, h264};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// The 33-bit clock wraps after so many milliseconds.
const WRAP_MS: u64 = (1 << 33) / 90;

fn rules() -> Rules {
    Rules { tables_at_keys: true, ..Rules::default() }
}

fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
    let details = inspect::details(codec, &config).expect("a configuration");
    let time_base = inspect::time_base(codec, &details);
    Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
}

fn pictures(width: u32) -> Arc<Track> {
    let sequence = h264::Sequence { width, height: 48, rate: (25, 1), reorders: true };
    track(TrackId::video(0), Codec::H264, sequence.avcc())
}

fn sound(rate: u32) -> Arc<Track> {
    track(TrackId::audio(0), Codec::Aac, aac::config(rate, 2))
}

fn set(tracks: &[&Arc<Track>]) -> TrackSet {
    TrackSet {
        epoch: 0,
        tracks: tracks.iter().map(|track| (*track).clone()).collect(),
        metadata: None,
        origin: None,
    }
}

fn frame(track: &Track, kind: FrameKind, dts: Ticks, cts: i32, data: Bytes) -> Frame {
    let units = match track.codec {
        Codec::H264 => nal::split(&data, 4).expect("units"),
        _ => Units::new(),
    };
    Frame { track: track.id, kind, dts, cts, arrival: Instant::now(), data, units }
}

/// A picture at these milliseconds, with a slice of so many bytes.
fn picture(track: &Track, ms: i64, cts: i32, key: bool, bytes: usize) -> Frame {
    let mut data = BytesMut::new();
    data.put_u32(u32::try_from(bytes + 2).expect("a length"));
    data.put_slice(if key { &[0x65, 0x88] } else { &[0x41, 0x9A] });
    data.put_bytes(0xA5, bytes);
    let kind = if key { FrameKind::Key } else { FrameKind::Delta };
    frame(track, kind, Ticks::from_millis(ms, track.time_base), cts, data.freeze())
}

/// A frame of sound at this sample.
fn sample(track: &Track, at: i64) -> Frame {
    let dts = Ticks::new(at, track.time_base);
    frame(track, FrameKind::Audio, dts, 0, aac::silence(2, 100))
}

/// The tracks of a programme, and its frames as they come out of FLV tags.
fn frames_of(programme: &Programme, millis: u64) -> (TrackSet, Vec<Frame>) {
    let mut tracks = TrackSet::default();
    for item in programme.config() {
        let (id, codec, head) = match item.kind {
            TagKind::Video => (TrackId::video(0), Codec::H264, 5),
            TagKind::Audio => (TrackId::audio(0), Codec::Aac, 2),
            TagKind::Script => continue,
        };
        tracks.tracks.push(track(id, codec, item.body.slice(head..)));
    }
    let end = programme.start + millis;
    let read = |item: Item| {
        let (id, head, composition) = match item.kind {
            TagKind::Video => (
                TrackId::video(0),
                5,
                i32::from_be_bytes([0, item.body[2], item.body[3], item.body[4]]),
            ),
            _ => (TrackId::audio(0), 2, 0),
        };
        let track = tracks.get(id).expect("a track");
        let dts = Ticks::from_millis(item.time.cast_signed(), track.time_base);
        frame(track, item.frame, dts, composition * 90, item.body.slice(head..))
    };
    let frames = programme.items().take_while(|item| item.time < end).map(read).collect();
    (tracks, frames)
}

/// Units of a stream whose tracks do not change.
fn mux(tracks: &TrackSet, frames: &[Frame]) -> Vec<Unit> {
    let (mut muxer, mut units) = (Muxer::new(), Vec::new());
    muxer.set_tracks(tracks, &mut units);
    for frame in frames {
        muxer.push(frame, &mut units);
    }
    muxer.flush(&mut units);
    units
}

fn join(units: &[Unit]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.bytes.iter().copied()).collect()
}

/// Checks a whole stream, and each end of it that begins with a key picture.
fn check_from_everywhere(units: &[Unit]) -> Report {
    for (at, unit) in units.iter().enumerate() {
        if unit.kind == FrameKind::Key {
            check(&join(&units[at..]), &rules()).assert_clean();
        }
    }
    let report = check(&join(units), &rules());
    report.assert_clean();
    report
}

/// Checks that the frames come back as they went in: NAL units without delimiters and parameter
/// sets, sound without ADTS headers.
fn assert_carried(report: &Report, frames: &[Frame]) {
    assert_eq!(report.discontinuities, 0);
    let of = |kind| frames.iter().filter(move |frame| frame.track.kind == kind);
    let is_media = |unit: &&[u8]| !matches!(unit[0] & 0x1F, 7..=9);
    assert_eq!(report.pes(VIDEO).count(), of(TrackKind::Video).count());
    for (pes, frame) in report.pes(VIDEO).zip(of(TrackKind::Video)) {
        let units = nal::annex_b(&pes.payload).map(|unit| &pes.payload[unit]).filter(is_media);
        assert!(units.eq(nal::iter(&frame.data, &frame.units)), "the picture at {:?}", frame.dts);
        assert_eq!(pes.random_access, frame.is_key());
    }
    let mut sounds = Vec::new();
    for pes in report.pes(AUDIO) {
        let mut rest = &pes.payload[..];
        while let [_, _, _, c, d, e, _, ..] = *rest {
            let length = usize::from(c & 3) << 11 | usize::from(d) << 3 | usize::from(e) >> 5;
            sounds.push(&rest[7..length]);
            rest = &rest[length..];
        }
    }
    assert!(sounds.into_iter().eq(of(TrackKind::Audio).map(|frame| &frame.data[..])));
}

/// Checks that pictures and the first sound are presented at their times, plus one constant.
fn assert_in_time(report: &Report, frames: &[Frame]) {
    let of = |kind| frames.iter().filter(move |frame| frame.track.kind == kind);
    let due = |frame: &Frame| frame.pts().rescale(TimeBase::VIDEO).value;
    let pictures = report.pes(VIDEO).zip(of(TrackKind::Video));
    let sound = report.pes(AUDIO).zip(of(TrackKind::Audio)).take(1);
    let mut shift = None;
    for (pes, frame) in pictures.chain(sound) {
        let off = (pes.pts.expect("a time") - due(frame)).rem_euclid(1 << 33);
        assert_eq!(off, *shift.get_or_insert(off), "at {:?}", frame.dts);
    }
}

#[track_caller]
fn assert_programme(programme: &Programme, millis: u64) {
    let (tracks, frames) = frames_of(programme, millis);
    let report = check_from_everywhere(&mux(&tracks, &frames));
    assert_carried(&report, &frames);
    assert_in_time(&report, &frames);
}

fn video(rate: (u32, u32), b_frames: u32) -> Video {
    Video { rate, b_frames, gop: 20, ..Video::default() }.with_bitrate(1_000_000)
}

fn audio(sample_rate: u32) -> Audio {
    Audio { sample_rate, frame_bytes: 200, ..Audio::default() }
}

#[test]
fn programmes_of_every_shape_are_written_without_faults() {
    for rate in [(25, 1), (30_000, 1001), (60, 1), (2, 1)] {
        for b_frames in [0, 1, 3] {
            for sample_rate in [44_100, 48_000, 8_000] {
                let programme = Programme {
                    video: Some(video(rate, b_frames)),
                    audio: Some(audio(sample_rate)),
                    start: 0,
                };
                assert_programme(&programme, 2400);
            }
        }
    }
}

#[test]
fn pictures_alone() {
    for b_frames in [0, 2] {
        let programme =
            Programme { video: Some(video((25, 1), b_frames)), audio: None, start: 777 };
        assert_programme(&programme, 3000);
    }
}

#[test]
fn sound_alone() {
    for sample_rate in [44_100, 48_000, 22_050, 7_350] {
        let programme = Programme { video: None, audio: Some(audio(sample_rate)), start: 5 };
        assert_programme(&programme, 3000);
    }
}

#[test]
fn the_clock_wraps() {
    for before in [300, 1000, 1700, 2500] {
        let programme = Programme {
            video: Some(video((25, 1), 2)),
            audio: Some(audio(44_100)),
            start: WRAP_MS - before,
        };
        assert_programme(&programme, 3000);
    }
}

/// Pictures every 40 ms and sound of 48 kHz beside them, `ahead` ms ahead, for so many frames.
fn both(video: &Track, audio: &Track, from: i64, frames: i64, ahead: i64) -> Vec<Frame> {
    let mut out = Vec::new();
    let mut at = from * 48;
    for n in 0..frames {
        let ms = from + n * 40;
        out.push(picture(video, ms, 0, n % 25 == 0, 500));
        while at < (ms + 40 + ahead) * 48 {
            out.push(sample(audio, at));
            at += 1024;
        }
    }
    out
}

#[test]
fn presentation_before_decoding_moves_the_decoding() {
    let video = pictures(64);
    let mut frames = Vec::new();
    for n in 0..75_i64 {
        // Composition times less one frame, as some encoders write them.
        let cts = if n == 0 { 0 } else { [-1, 2, -1][usize::try_from(n % 3).unwrap()] * 3600 };
        frames.push(picture(&video, n * 40, cts, n % 25 == 0, 500));
    }
    let report = check_from_everywhere(&mux(&set(&[&video]), &frames));
    assert_carried(&report, &frames);
    // One tick is what makes decoding times differ while it is being found out how far back.
    let shift = 700 * 90;
    for (pes, frame) in report.pes(VIDEO).zip(&frames) {
        assert!((0..=1).contains(&(pes.pts.unwrap() - shift - frame.pts().value)));
    }
}

#[test]
fn pictures_at_the_same_time_are_parted() {
    let (video, audio) = (pictures(64), sound(48_000));
    let mut frames = both(&video, &audio, 0, 50, 0);
    for frame in frames.iter_mut().filter(|frame| frame.track.kind == TrackKind::Video) {
        // Three pictures in one message.
        frame.dts.value -= frame.dts.value % (3 * 3600);
    }
    let report = check_from_everywhere(&mux(&set(&[&video, &audio]), &frames));
    assert_carried(&report, &frames);
}

#[test]
fn sound_may_come_earlier_or_later_than_its_pictures() {
    let (video, audio) = (pictures(64), sound(48_000));
    for ahead in [-400, -200, 0, 200, 600] {
        let frames = both(&video, &audio, 1000, 100, ahead);
        let report = check(&join(&mux(&set(&[&video, &audio]), &frames)), &rules());
        report.assert_clean();
        assert_carried(&report, &frames);
        assert_in_time(&report, &frames);
    }
}

#[test]
fn the_clock_goes_on_while_there_are_no_pictures() {
    let (video, audio) = (pictures(64), sound(48_000));
    let mut frames = both(&video, &audio, 0, 200, 0);
    // A slide every two seconds, and in the end none.
    let mut pictures = 0;
    frames.retain(|frame| {
        pictures += i32::from(frame.track.kind == TrackKind::Video);
        frame.track.kind == TrackKind::Audio || pictures < 100 && pictures % 50 == 1
    });
    let report = check(&join(&mux(&set(&[&video, &audio]), &frames)), &rules());
    report.assert_clean();
    assert_carried(&report, &frames);
    assert_in_time(&report, &frames);
}

#[test]
fn sound_with_jittering_times_never_goes_back() {
    let audio = sound(44_100);
    // Bursts of frames with the same time, and frames that come a bit early.
    let times = [0, 1024, 2048, 2060, 2060, 2060, 9000, 9010, 9600, 9700, 12_000, 12_200, 12_400];
    let mut frames: Vec<Frame> = times.iter().map(|at| sample(&audio, *at)).collect();
    frames.extend((14..60).map(|n| sample(&audio, n * 1024)));
    let bytes = join(&mux(&set(&[&audio]), &frames));
    let report = check(&bytes, &rules());
    let overlaps = |fault: &String| fault.contains("away from the end");
    assert!(report.faults.iter().all(overlaps), "{:#?}", report.faults);
    assert_carried(&report, &frames);
}

#[test]
fn sound_after_a_hole_has_its_own_time() {
    let audio = sound(48_000);
    // Most of a frame is missing after the first one of a packet, and after the second one.
    for before in [4, 5] {
        let holed = |n: i64| n * 1024 + if n < before { 0 } else { 704 };
        let frames: Vec<Frame> = (0..12).map(|n| sample(&audio, holed(n))).collect();
        let report = check(&join(&mux(&set(&[&audio]), &frames)), &rules());
        assert_carried(&report, &frames);
        let due = |at: i64| at * 90 / 48;
        let first = report.pes(AUDIO).next().and_then(|pes| pes.pts).expect("a time");
        let after = report.pes(AUDIO).filter(|pes| pes.pts == Some(first + due(holed(before))));
        assert_eq!(after.count(), 1, "{before} frames before the hole");
    }
}

#[test]
fn a_jump_of_time_is_flagged() {
    let (video, audio) = (pictures(64), sound(48_000));
    for to in [100_000, 500_000_000, 20] {
        let mut frames = both(&video, &audio, 50_000, 60, 0);
        frames.extend(both(&video, &audio, to, 60, 0));
        let report = check(&join(&mux(&set(&[&video, &audio]), &frames)), &rules());
        report.assert_clean();
        assert_eq!(report.discontinuities, 1);
        assert_eq!(report.pes(VIDEO).count(), 120);
    }
}

#[test]
fn changes_of_tracks_have_other_maps() {
    let (video, other, audio) = (pictures(64), pictures(128), sound(48_000));
    let (mut muxer, mut units) = (Muxer::new(), Vec::new());
    let steps = [
        (set(&[&audio]), true),
        (set(&[&video, &audio]), false),
        (set(&[&other, &audio]), false),
        (set(&[&other]), false),
        (set(&[&other, &audio]), false),
        (set(&[&audio]), true),
    ];
    let mut all = Vec::new();
    for (number, (tracks, alone)) in steps.into_iter().enumerate() {
        muxer.set_tracks(&tracks, &mut units);
        let from = i64::try_from(number).unwrap() * 1280;
        for frame in both(&video, &audio, from, 32, 0) {
            let carried = tracks.get(frame.track).is_some();
            assert_eq!(muxer.carries(frame.track), carried);
            if carried && !(alone && frame.track.kind == TrackKind::Video) {
                all.push(frame.clone());
            }
            muxer.push(&frame, &mut units);
        }
    }
    muxer.flush(&mut units);
    let rules = Rules { sound_gaps: true, ..rules() };
    let report = check(&join(&units), &rules);
    report.assert_clean();
    assert_eq!(report.programs[0].maps, 5);
    assert_carried(&report, &all);
}

#[test]
fn what_cannot_be_written_is_left_out() {
    let (video, audio) = (pictures(64), sound(48_000));
    let mut frames = both(&video, &audio, 0, 50, 0);
    for (number, frame) in frames.iter_mut().enumerate().filter(|(number, _)| number % 7 == 3) {
        let length = if number % 2 == 0 { 0 } else { 9000 };
        if frame.track.kind == TrackKind::Audio || length == 0 {
            frame.data = Bytes::from(vec![0; length]);
            frame.units.clear();
        }
    }
    let report = check(
        &join(&mux(&set(&[&video, &audio]), &frames)),
        &Rules { sound_gaps: true, ..rules() },
    );
    report.assert_clean();
    frames.retain(|frame| !frame.data.is_empty() && frame.data.len() < 9000);
    assert_carried(&report, &frames);
}

#[test]
fn sound_that_aac_is_not() {
    let head = media::opus::Head::new(2).to_bytes();
    let opus = track(TrackId::audio(0), Codec::Opus, head);
    let mp3 = Track { codec: Codec::Mp3, config: Bytes::new(), ..(*sound(48_000)).clone() };
    let mp3 = Arc::new(mp3);
    // 20 ms of CELT; layer III at 128 kbit/s and 48 kHz.
    for (track, samples, head, length) in
        [(&opus, 960, &[0xFC][..], 700), (&mp3, 1152, &[0xFF, 0xFB, 0x94, 0x64][..], 384)]
    {
        let mut data = head.to_vec();
        data.resize(length, 0x5A);
        let video = pictures(64);
        let mut frames = Vec::new();
        for n in 0..100 {
            let dts = Ticks::new(n * samples, track.time_base);
            frames.push(frame(track, FrameKind::Audio, dts, 0, data.clone().into()));
            if n % 2 == 0 {
                frames.push(picture(&video, dts.millis(), 0, n % 50 == 0, 300));
            }
        }
        check_from_everywhere(&mux(&set(&[&video, track]), &frames));
        frames.retain(|frame| frame.track.kind == TrackKind::Audio);
        check(&join(&mux(&set(&[track]), &frames)), &rules()).assert_clean();
    }
}

/// In milliseconds; one in a few is absurd.
fn composition_time() -> impl Strategy<Value = i32> {
    prop_oneof![9 => -200_i32..500, 1 => -8_388_608_i32..500]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes and times of the frames are, nothing is wrong with the stream.
    #[test]
    fn frames_of_every_size(
        sizes in prop::collection::vec(prop_oneof![1_usize..400, 1_usize..300_000], 4..24),
        gop in 1_usize..12,
        interval in prop::sample::select(vec![8_i64, 16, 33, 40, 100, 333]),
        jitter in 0_i64..8,
        ahead in -100_i64..100,
        start in prop::sample::select(vec![0_i64, 5_000_000, (1 << 33) / 90 - 1200]),
        rate in prop::sample::select(vec![44_100_u32, 48_000]),
    ) {
        let (video, audio) = (pictures(64), sound(rate));
        let rate = i64::from(rate);
        let (mut frames, mut at) = (Vec::new(), start * rate / 1000);
        for (n, bytes) in sizes.iter().enumerate() {
            let n_ms = i64::try_from(n).unwrap() * interval;
            let ms = start + n_ms + (n_ms * 7 + 3) % (jitter + 1);
            let cts = if n % 3 == 1 { 2 * 90 * i32::try_from(interval).unwrap() } else { 0 };
            frames.push(picture(&video, ms, cts, n % gop == 0, *bytes));
            while at < (ms + interval + ahead) * rate / 1000 {
                frames.push(sample(&audio, at));
                at += 1024;
            }
        }
        // When a table comes is told by its place between two clock references, which may be far
        // from where it was written where frames of some bytes and of 300 kB take turns.
        let rules = Rules { pat_pmt_every: Duration::from_millis(250), ..rules() };
        let report = check(&join(&mux(&set(&[&video, &audio]), &frames)), &rules);
        report.assert_clean();
        assert_carried(&report, &frames);
        assert_in_time(&report, &frames);
    }

    /// However a publisher's clocks stumble, the stream's do not.
    #[test]
    fn times_without_a_pattern(
        pictures_at in prop::collection::vec((0_i64..500, composition_time(), 0_usize..8), 1..60),
        sounds_at in prop::collection::vec(0_i64..60, 1..200),
        late in -300_i64..300,
    ) {
        let (video, audio) = (pictures(64), sound(48_000));
        let mut frames = Vec::new();
        let mut ms = 1000;
        for (step, cts, key) in pictures_at {
            ms += step * i64::from(step > 20);
            frames.push((ms, picture(&video, ms, cts * 90, key == 0, 3000)));
        }
        ms = 1000;
        for step in sounds_at {
            ms += step;
            frames.push((ms + late, sample(&audio, ms * 48)));
        }
        frames.sort_by_key(|(arrival, _)| *arrival);
        let frames: Vec<Frame> = frames.into_iter().map(|(_, frame)| frame).collect();
        // Where packets are few, the clock tells times to 40 ms.
        let pat_pmt_every = Duration::from_millis(180);
        let rules = Rules { sound_gaps: true, pat_pmt_every, ..rules() };
        let report = check(&join(&mux(&set(&[&video, &audio]), &frames)), &rules);
        let overlaps = |fault: &String| fault.contains("away from the end");
        prop_assert!(report.faults.iter().all(overlaps), "{:#?}", report.faults);
        assert_carried(&report, &frames);
    }
}
