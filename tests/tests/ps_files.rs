//! Program streams that others wrote: the frames that come out are those that went in, at the same
//! times.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use headwater_e2e::{Frames, ffmpeg, material, program};
use media::{Frame, Ticks, TimeBase, Track, TrackId, TrackSet};
use mpeg::ps::{Demuxed, Demuxer, Statistics};
use mpeg::ts::Muxer;
use tempfile::TempDir;

/// What is read at once: as much as a packet of RTP has.
const PIECE: usize = 1400;

/// Times may differ by what the material's milliseconds hide, and a tick of 90 kHz; in microseconds.
const TOLERANCE: i64 = 1100;

/// Demuxes a program stream and writes what came out as a transport stream, which has one time
/// line for all frames as well.
fn convert(input: &Path, output: &Path) {
    let bytes = std::fs::read(input).expect("a program stream");
    let mut demuxer = Demuxer::new();
    for piece in bytes.chunks(PIECE) {
        demuxer.push(piece, None);
    }
    demuxer.finish();
    assert_eq!(demuxer.statistics(), Statistics::default());
    assert_eq!(demuxer.left_out().count(), 0);

    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    let mut items = Vec::new();
    let mut tracks: Vec<Track> = Vec::new();
    while let Some(item) = demuxer.poll() {
        match item {
            Demuxed::Track(track) => tracks.push(track),
            Demuxed::Unit(unit) => items.push(unit),
        }
    }
    tracks.sort_by_key(|track| track.id);
    let set =
        TrackSet { tracks: tracks.iter().cloned().map(Arc::new).collect(), ..TrackSet::default() };
    muxer.set_tracks(&set, &mut out);
    // Sound before the first time would have that of RTP, which there is none of in a file.
    let mut sound = items.iter_mut().filter(|unit| unit.track == TrackId::audio(0));
    if let (Some(first), Some(second)) = (sound.next(), sound.next())
        && first.pts == second.pts
    {
        first.pts -= 1024 * 90_000 / 44_100;
    }
    // Before time zero there are no decoding times: the first pictures of a reordered stream lack
    // theirs.
    let mut next = i64::MAX;
    for unit in items.iter_mut().rev().filter(|unit| unit.track == TrackId::video(0)) {
        next = unit.dts.unwrap_or(unit.pts).min(next - 1);
        unit.dts = Some(next);
    }
    // As they were sent: pictures are complete later than the sound beside them.
    items.sort_by_key(|unit| unit.dts.unwrap_or(unit.pts));
    for unit in items {
        let track = set.get(unit.track).expect("a track that was announced");
        let ticks = |time| Ticks::new(time, TimeBase::VIDEO).rescale(track.time_base);
        let dts = ticks(unit.dts.unwrap_or(unit.pts));
        let cts = i32::try_from(ticks(unit.pts).value - dts.value).expect("a short time");
        let (kind, data, units) = (unit.kind, unit.data, unit.units);
        let arrival = Instant::now();
        muxer.push(&Frame { track: unit.track, kind, dts, cts, arrival, data, units }, &mut out);
    }
    muxer.flush(&mut out);
    let bytes: Vec<u8> = out.iter().flat_map(|unit| unit.bytes.iter().copied()).collect();
    std::fs::write(output, bytes).expect("a transport stream");
}

fn frames(input: &Path, codec: &str, audio_filter: &str) -> Frames {
    let reader = Frames::reader(&format!("-i {} {audio_filter}", input.display()), codec, false);
    Frames::parse(&reader.finish())
}

/// Checks that `written`, made of the material `source`, has its frames, but for `cut` ones at the
/// end of each track.
fn assert_carried(folder: &TempDir, source: &str, written: &Path, aac: bool, cut: usize) {
    let output = folder.path().join("out.ts");
    convert(written, &output);
    let sent = frames(&material(source), "h264", "");
    let got = frames(&output, "h264", if aac { "-bsf:a aac_adtstoasc" } else { "" });
    assert_eq!(sent.names(), got.names());
    let first = |frames: &Frames| frames.track("video0").first().expect("a picture").1;
    let shift = first(&got) - first(&sent);
    for name in sent.names() {
        let (sent, got) = (sent.track(name), got.track(name));
        let missing = sent.len() - got.len();
        assert!(missing <= cut, "{missing} frames of {name} are missing");
        for (number, (sent, got)) in sent.iter().zip(&got).enumerate() {
            assert_eq!(sent.2, got.2, "{name}: frame {number} has other contents");
            // The first sound is before the time of zero, and so has none in a program stream.
            let off = (sent.1 + shift - got.1).abs();
            assert!(number == 0 || off <= TOLERANCE, "{name}: frame {number} is {off} µs off");
        }
    }
}

/// Without a map; packets of 2 KB that hold the ends of pictures and the beginnings of others.
#[test]
fn vob_of_ffmpeg() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("out.vob");
    let (input, output) = (material("mp3.flv"), written.display());
    let options = "-c copy -bsf:v h264_mp4toannexb -f vob";
    ffmpeg(&format!("-y -i {} {options} {output}", input.display())).finish();
    assert_carried(&folder, "mp3.flv", &written, false, 0);
}

/// Sound that begins without a time, descriptors, several tracks in one map. Its last frame of
/// sound is not written.
#[test]
fn mpegpsmux_of_gstreamer() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("out.ps");
    let pipeline = format!(
        "-q filesrc location={} ! qtdemux name=d d.video_0 ! queue ! h264parse \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! mpegpsmux name=m \
         ! filesink location={} d.audio_0 ! queue ! aacparse \
         ! audio/mpeg,stream-format=adts ! m.",
        material("h264-aac.mp4").display(),
        written.display()
    );
    program("gst-launch-1.0", pipeline.split_whitespace()).finish();
    assert_carried(&folder, "h264-aac.mp4", &written, true, 1);
}
