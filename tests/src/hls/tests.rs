//! Histories that pass, and one that fails for each rule.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Checker, Playlist};

/// Segments whose number leaves this rest after seven begin with a discontinuity.
const DISCONTINUOUS: u64 = 5;

/// How many parts a segment has.
const PARTS: usize = 10;

fn head(out: &mut String, number: u64, first: bool) {
    let discontinuity = number % 7 == DISCONTINUOUS;
    if discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if discontinuity || first {
        writeln!(out, "#EXT-X-MAP:URI=\"init{}.mp4\"", (number + 2) / 7).unwrap();
    }
    let milliseconds = 1_700_000_000_000 + 2000 * i64::try_from(number).unwrap();
    let date = jiff::Timestamp::from_millisecond(milliseconds).unwrap();
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{date:.3}").unwrap();
}

fn parts(out: &mut String, number: u64, count: usize) {
    for part in 0..count {
        let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
        let uri = format!("s{number}.{part}.m4s");
        writeln!(out, "#EXT-X-PART:DURATION=0.20000,URI=\"{uri}\"{independent}").unwrap();
    }
}

/// Low latency: segments of 2 s and parts of 0.2 s; `skipped` of the segments are left out.
fn low_latency(first: u64, count: u64, in_progress: usize, skipped: u64) -> String {
    let version = if skipped > 0 { 9 } else { 6 };
    let discontinuities = (first + 6 - DISCONTINUOUS) / 7;
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=12.0\n\
         #EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n"
    );
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").unwrap();
    }
    let next = first + count;
    for number in first + skipped..next {
        head(&mut out, number, number == first);
        if number + 3 >= next {
            parts(&mut out, number, PARTS);
        }
        writeln!(out, "#EXTINF:2.00000,\ns{number}.m4s").unwrap();
    }
    if in_progress > 0 {
        head(&mut out, next, count == 0);
        parts(&mut out, next, in_progress);
    }
    writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s{next}.{in_progress}.m4s\"").unwrap();
    out
}

/// Transport streams without parts.
fn plain(first: u64, count: u64) -> String {
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    for number in first..first + count {
        writeln!(out, "#EXTINF:4.44,\ns{number}.ts").unwrap();
    }
    out
}

/// The faults of the last of several playlists, of which the others must have none.
fn faults(texts: &[&str]) -> Vec<String> {
    let mut checker = Checker::new();
    let (last, before) = texts.split_last().expect("a playlist");
    for text in before {
        assert_eq!(checker.check(text, Instant::now()), [""; 0], "{text}");
    }
    checker.check(last, Instant::now())
}

/// That the last of several playlists, and only it, is faulty in just one way.
#[track_caller]
fn finds(texts: &[&str], what: &str) {
    let faults = faults(texts);
    assert!(matches!(faults.as_slice(), [one] if one.contains(what)), "{what}: {faults:#?}");
}

/// The same after something in the last one was replaced.
#[track_caller]
fn finds_changed(texts: &[&str], from: &str, to: &str, what: &str) {
    let (last, before) = texts.split_last().expect("a playlist");
    assert!(last.contains(from), "{from} is in {last}");
    let changed = last.replace(from, to);
    finds(&[before, &[changed.as_str()]].concat(), what);
}

#[test]
fn good_histories_pass() {
    let mut checker = Checker::new().timely();
    let start = Instant::now();
    for step in 0..400_u32 {
        let whole = u64::from(step / 10);
        let in_progress = usize::try_from(step % 10).unwrap();
        let first = whole.saturating_sub(9);
        let at = start + Duration::from_millis(200) * step;
        let skipped = if step % 3 == 1 { (whole - first).saturating_sub(6) } else { 0 };
        let text = low_latency(first, whole - first, in_progress, skipped);
        assert_eq!(checker.check(&text, at), [""; 0], "{text}");
        let seen = checker.playlist().expect("a playlist");
        assert_eq!(seen.segments.len(), usize::try_from(whole - first).unwrap());
        assert_eq!(seen.parts_in_progress.len(), in_progress);
    }
}

#[test]
fn a_plain_history_passes() {
    let ended = format!("{}#EXT-X-ENDLIST\n", plain(2, 6));
    assert_eq!(faults(&[&plain(0, 3), &plain(0, 6), &plain(1, 6), &ended, &ended]), [""; 0]);
    let event =
        plain(0, 3).replace("#EXTINF:4.44,\ns0", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:4,\ns0");
    assert_eq!(faults(&[&event]), [""; 0]);
}

#[test]
fn what_was_written_is_read() {
    let text = low_latency(4, 5, 2, 0) + "#EXT-X-RENDITION-REPORT:URI=\"b\",LAST-MSN=9,LAST-PART=1";
    let playlist = Playlist::parse(&text).unwrap();
    assert_eq!((playlist.media_sequence, playlist.next_number()), (4, 9));
    assert_eq!((playlist.version, playlist.discontinuity_sequence), (6, 0));
    assert_eq!(playlist.part_target, Some(Duration::from_millis(200)));
    assert_eq!(playlist.segments.iter().filter(|s| s.head.discontinuity).count(), 1);
    assert_eq!(playlist.segments[4].head.map.as_deref(), Some("init1.mp4"));
    assert_eq!(playlist.segments[4].parts.len(), PARTS);
    assert_eq!(playlist.parts_in_progress.len(), 2);
    assert_eq!(playlist.preload_hint.as_deref(), Some("s9.2.m4s"));
    assert_eq!(playlist.rendition_reports[0].last_part, Some(1));
    assert_eq!(playlist.duration(), Duration::from_secs(10));
}

#[test]
fn the_syntax_is_strict() {
    let text = low_latency(0, 4, 3, 0);
    for (from, to, what) in [
        ("#EXTM3U\n", "", "#EXTM3U"),
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6", "twice"),
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION:0", "is 0"),
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION", "a value is missing"),
        ("#EXT-X-TARGETDURATION:2\n", "", "TARGETDURATION is missing"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2.0", "not a decimal integer"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2", "twice"),
        ("s0.m4s", "s0.m4s\n#EXT-X-DISCONTINUITY-SEQUENCE:0", "twice"),
        ("#EXT-X-PART-INF", "#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-PART-INF", "twice"),
        ("PART-TARGET=0.2", "PART-TARGET=0.2,X=1", "X is not known"),
        ("CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=NO", "not YES"),
        ("CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=YES,HOLD-BACK=\"6\"", "in quotes"),
        ("#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-DISCONTINUITY\n#EXT-X-MEDIA-SEQUENCE:0", "4.4.3.3"),
        ("s0.m4s", "s0.m4s\n#EXT-X-PLAYLIST-TYPE:LIVE", "4.4.3.5"),
        ("s0.m4s", "s0.m4s\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1", "4.4.5.2"),
        ("s0.m4s", "s0.m4s\n#EXT-X-INDEPENDENT-SEGMENTS:1", "no value"),
        ("s0.m4s", "s0.m4s\n#EXT-X-ENDLIST\n#EXT-X-ENDLIST", "twice"),
        ("s0.m4s", "s0.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY", "4.4.4.3"),
        ("s0.m4s", "s0.m4s\n#EXT-X-STREAM-INF:BANDWIDTH=1", "4.4.6"),
        ("s0.m4s", "s0.m4s\n#EXT-X-FOO", "not known"),
        ("s0.m4s", "s0 .m4s", "not a URI"),
        ("s0.m4s", "s0.m4s\ns0b.m4s", "no EXTINF"),
        ("s0.m4s", "#EXTINF:2.0,\ns0.m4s", "4.4.4.1"),
        ("#EXTINF:2.00000,\ns0", "#EXTINF:2.00000\ns0", "a comma is missing"),
        ("#EXTINF:2.00000,\ns0", "#EXTINF:-2.00000,\ns0", "4.2"),
        ("#EXT-X-PRELOAD-HINT:TYPE=PART", "#EXT-X-PRELOAD-HINT:TYPE=MAP", "TYPE is not PART"),
        ("s4.1.m4s\"", "s4.1.m4s\",INDEPENDENT=NO", "not YES"),
        ("s4.1.m4s\"", "s4.1.m4s\"\n#EXT-X-MAP:URI=\"a\"", "4.4.4.9"),
        ("s4.1.m4s\"", "s4.1.m4s\"\n#EXT-X-DISCONTINUITY", "4.4.4.9"),
        ("s4.1.m4s\"", "s4.1.m4s\"\n#EXT-X-MEDIA-SEQUENCE:0", "twice"),
        ("22:13:20.000Z", "22:13:20Z", "4.4.4.6"),
        ("22:13:20.000Z", "22:13:20.000", "4.4.4.6"),
        ("T22:13:20.000Z", " 22:13:20.000Z", "4.4.4.6"),
    ] {
        finds_changed(&[&text], from, to, what);
    }
    finds(&[&(text.clone() + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b\"")], "two hints");
    finds(&[&(text + "#EXTINF:2.0,\n")], "has no segment");
    let late = plain(0, 1).replace("#EXT-X-MEDIA-SEQUENCE:0\n", "") + "#EXT-X-MEDIA-SEQUENCE:0";
    finds(&[&late], "4.4.3.2");
}

#[test]
fn each_playlist_is_held_to_its_rules() {
    let text = low_latency(0, 4, 3, 0);
    for (from, to, what) in [
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION:5", "EXT-X-MAP needs version 6"),
        ("TARGETDURATION:2", "TARGETDURATION:1", "§4.4.3.1"),
        ("#EXT-X-MAP:URI=\"init0.mp4\"\n", "", "no EXT-X-MAP"),
        ("s3.m4s", "s3.ts", "changes the format"),
        ("s3.m4s", "s2.m4s", "there twice"),
        ("s4.1.m4s", "s4.0.m4s", "there twice"),
        ("URI=\"s4.3.m4s", "URI=\"s4.2.m4s", "although it is there"),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9", "CAN-SKIP-UNTIL is 11.9s"),
        ("CAN-SKIP-UNTIL=12.0", "HOLD-BACK=5.9", "HOLD-BACK is 5.9s"),
        ("PART-HOLD-BACK=0.6", "PART-HOLD-BACK=0.5", "PART-HOLD-BACK is 500ms"),
        ("PART-HOLD-BACK=0.6,", "", "without PART-HOLD-BACK"),
        ("CAN-BLOCK-RELOAD=YES,", "", "without CAN-BLOCK-RELOAD"),
        ("#EXT-X-PART-INF:PART-TARGET=0.2\n", "", "§4.4.3.7"),
        ("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z\n", "", "has no date"),
        ("22:13:22.000Z", "22:13:22.051Z", "51 ms"),
        (",URI=\"s4.0.m4s\",INDEPENDENT=YES", ",URI=\"s4.0.m4s\"", "a key frame"),
        ("0.20000,URI=\"s4.1.", "0.20100,URI=\"s4.1.", "more than the target"),
        ("0.20000,URI=\"s4.1.", "0.16900,URI=\"s4.1.", "less than 85 %"),
        ("#EXT-X-PRELOAD", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD", "after the end"),
        ("0.20000,URI=\"s3.9.", "0.18900,URI=\"s3.9.", "the parts of segment 3 last"),
    ] {
        // One change may break a rule in several places.
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let faults = faults(&[&changed]);
        assert!(faults.iter().any(|fault| fault.contains(what)), "{what}: {faults:#?}");
    }
    finds_changed(&[&plain(0, 3)], "#EXT-X-VERSION:3", "#EXT-X-VERSION:2", "needs version 3");
    let long = plain(0, 3).replacen("4.44", "4.5", 1);
    finds(&[&long], "segment 0 lasts 4.5s");
}

#[test]
fn what_is_allowed_passes() {
    let text = low_latency(0, 4, 3, 0);
    for (from, to) in [
        ("0.20000,URI=\"s4.1.", "0.17000,URI=\"s4.1."),
        ("0.20000,URI=\"s4.2.", "0.00100,URI=\"s4.2."),
        ("0.20000,URI=\"s3.9.", "0.19000,URI=\"s3.9."),
        ("22:13:24.000Z", "22:13:24.050Z"),
        ("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.000Z\n", ""),
        ("0.20000,URI=\"s4.1.m4s\"", "0.10000,URI=\"s4.1.m4s\",GAP=YES"),
        ("s3.m4s", "s3.m4s?token=1"),
        ("\n", "\r\n"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        assert_eq!(faults(&[&changed]), [""; 0], "{from}");
    }
    let short = text.replace("0.20000,URI=\"s4.1.", "0.10000,URI=\"s4.1.");
    assert_eq!(Checker::new().uneven().check(&short, Instant::now()), [""; 0]);
    let open = text.replace(",INDEPENDENT=YES", "");
    assert_eq!(Checker::new().any_start().check(&open, Instant::now()), [""; 0]);
}

#[test]
fn parts_are_near_the_end() {
    let mut text = low_latency(0, 5, 0, 0);
    let mut listed = String::new();
    parts(&mut listed, 0, PARTS);
    text = text.replace("#EXTINF:2.00000,\ns0.m4s", &format!("{listed}#EXTINF:2.00000,\ns0.m4s"));
    finds(&[&text], "has parts, 8s from the end");
}

#[test]
fn windows_only_move_forward() {
    let text = low_latency(1, 6, 2, 0);
    let now = text.as_str();
    finds(&[now, &low_latency(0, 7, 2, 0)], "EXT-X-MEDIA-SEQUENCE falls");
    finds(&[&plain(0, 6), &plain(0, 5)], "the end falls");
    finds(&[&plain(0, 6), &plain(4, 2)], "are left");
    finds(&[&plain(0, 6), &plain(0, 7).replace("s3.ts", "t3.ts")], "was s3.ts");
    finds(
        &[&plain(0, 6), &plain(0, 7).replace("s6.ts", "s6.ts#").replacen("4.44", "4.43", 1)],
        "s0",
    );
    let shifted = plain(0, 5).replace("s0.ts", "s9.ts") + "#EXTINF:4,\ns0.ts\n";
    let faults = faults(&[&plain(0, 5), &shifted]);
    assert!(
        faults.iter().any(|fault| fault.contains("s0.ts was segment 0 and is 5")),
        "{faults:?}"
    );
}

#[test]
fn discontinuities_are_counted() {
    let text = low_latency(5, 6, 2, 0);
    let next = low_latency(6, 6, 2, 0);
    let (from, to) = ("DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:0");
    finds_changed(&[&text, &next], from, to, "1 discontinuities are gone");
    let later = low_latency(7, 6, 2, 0);
    let to = "DISCONTINUITY-SEQUENCE:2";
    finds_changed(&[&next, &later], from, to, "0 discontinuities are gone");
    finds_changed(&[&next, &later], from, "DISCONTINUITY-SEQUENCE:0", "SEQUENCE falls");
}

#[test]
fn what_was_said_stays() {
    let (text, next) = (low_latency(0, 4, 3, 0), low_latency(0, 4, 4, 0));
    let changes = [
        ("TARGETDURATION:2", "TARGETDURATION:1\n#EXT-X-GAP", "goes from 2 to 1"),
        ("PART-TARGET=0.2", "PART-TARGET=0.199", "PART-TARGET goes"),
        ("#EXT-X-MEDIA-S", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-S", "PLAYLIST-TYPE changes"),
        ("init0", "init1", "EXT-X-MAP of segment 0"),
        ("22:13:24.000Z", "22:13:24.010Z", "EXT-X-PROGRAM-DATE-TIME of segment 2"),
        ("22:13:28.000Z", "22:13:28.010Z", "EXT-X-PROGRAM-DATE-TIME of segment 4"),
        ("s3.5.m4s", "s3.x.m4s", "the parts of segment 3 change"),
        ("s4.1.m4s", "s4.x.m4s", "parts of segment 4 change or vanish"),
        ("s4.3.m4s", "s4.x.m4s", "s4.3.m4s was hinted"),
    ];
    for (from, to, what) in changes {
        let changed = next.replacen(from, to, 1);
        assert_ne!(changed, next, "{from}");
        let faults = faults(&[&text, &changed]);
        assert!(faults.iter().any(|fault| fault.contains(what)), "{what}: {faults:#?}");
    }
    finds_changed(
        &[&plain(0, 4), &plain(0, 4)],
        "#EXTINF:4.44,\ns2",
        "#EXT-X-DISCONTINUITY\n#EXTINF:4.44,\ns2",
        "DISCONTINUITY of segment 2",
    );
    finds(&[&next, &text.replace("s4.3.m4s", "s4.4.m4s")], "change or vanish");
}

#[test]
fn hints_come_true() {
    let text = low_latency(0, 4, 9, 0);
    let next = low_latency(0, 5, 1, 0);
    finds_changed(&[&text, &next], "s4.9.m4s", "s4.x.m4s", "s4.9.m4s was hinted");
    let full = low_latency(0, 4, 10, 0);
    let hinted = full.replace("s4.10.m4s", "s5.0.m4s");
    assert_eq!(faults(&[&hinted, &next]), [""; 0]);
    finds(&[&full, &next], "s4.10.m4s was hinted, and then came s5.0.m4s");
    finds(&[&text, &low_latency(0, 4, 9, 0).replace("s4.9.m4s", "s4.x.m4s")], "was hinted");
    let mut bare = low_latency(0, 5, 0, 0);
    let mut listed = String::new();
    parts(&mut listed, 4, PARTS);
    bare = bare.replace(&listed, "");
    finds(&[&low_latency(0, 4, 0, 0), &bare], "the segment without parts");
    // A hint that is gone for a while still binds.
    let silent = text.lines().filter(|line| !line.contains("HINT")).collect::<Vec<_>>().join("\n");
    finds_changed(&[&text, &silent, &next], "s4.9.m4s", "s4.x.m4s", "was hinted");
}

#[test]
fn delta_updates_fit_6_2_5_1() {
    let (text, delta) = (low_latency(0, 9, 2, 0), low_latency(0, 9, 3, 3));
    assert_eq!(faults(&[&text, &delta]), [""; 0]);
    finds(&[&delta], "not all were there");
    finds_changed(&[&text, &delta], "VERSION:9", "VERSION:8", "needs version 9");
    finds_changed(&[&text, &delta], ",CAN-SKIP-UNTIL=12.0", "", "without CAN-SKIP-UNTIL");
    finds(&[&text, &low_latency(0, 9, 3, 4)], "beyond the boundary");
    let nothing = "#EXT-X-SKIP:SKIPPED-SEGMENTS=0\n#EXT-X-MAP";
    let empty = low_latency(0, 9, 3, 0).replace("VERSION:6", "VERSION:9");
    finds(&[&text, &empty.replacen("#EXT-X-MAP", nothing, 1)], "skips nothing");
    let uneven = delta.replace("SKIPPED-SEGMENTS=3", "SKIPPED-SEGMENTS=2");
    let found = faults(&[&text, &uneven]);
    assert!(found.iter().any(|fault| fault.contains("segment 2 was s2.m4s")), "{found:#?}");
}

#[test]
fn the_end_is_the_end() {
    let ended = plain(0, 4) + "#EXT-X-ENDLIST\n";
    finds(&[&ended, &plain(0, 4)], "EXT-X-ENDLIST goes away");
    finds(&[&ended, &(plain(0, 5) + "#EXT-X-ENDLIST\n")], "after EXT-X-ENDLIST");
    let vod = |count| plain(0, count) + "#EXT-X-PLAYLIST-TYPE:VOD\n";
    finds(&[&vod(4), &vod(5)], "of the type VOD");
    let event = |first| plain(first, 5) + "#EXT-X-PLAYLIST-TYPE:EVENT\n";
    finds(&[&event(0), &event(1)], "in spite of the playlist's type");
}

#[test]
fn segments_come_in_time() {
    let mut checker = Checker::new().timely();
    let start = Instant::now();
    assert_eq!(checker.check(&plain(0, 3), start), [""; 0]);
    assert_eq!(checker.check(&plain(0, 3), start + Duration::from_secs(6)), [""; 0]);
    let late = checker.check(&plain(0, 3), start + Duration::from_secs(7));
    assert!(late.iter().any(|fault| fault.contains("no new segment after 7s")), "{late:?}");
    assert_eq!(Checker::new().check(&plain(0, 3), start + Duration::from_secs(7)), [""; 0]);
}
