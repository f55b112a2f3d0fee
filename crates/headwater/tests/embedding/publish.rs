//! Frames and tags of the program, and what is said of those that cannot be meant.

use std::sync::Arc;
use std::time::Duration;

use headwater::flv::tag::{self, Tag};
use headwater::media::{Codec, Ticks, TimeBase, TrackId, TrackKind};
use headwater::publish::{
    AccessUnit, Ended, FrameError, Framing, PublishError, Refusal, TrackDescription, TrackError,
};
use headwater::{EndReason, Role};
use testkit::{Audio, Programme, Video, aac};

use super::{
    SEQUENCE, byte_stream, frames, millis, next_frame, picture, publish, send, server, soon,
    subscribe, until,
};

/// An ADTS header for a frame of 44.1 kHz stereo, and the frame.
fn adts(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len() + 7).expect("a short frame");
    let mut out = vec![0xFF, 0xF1, 0x50, 0x80, length >> 3, length << 5 | 0x1F, 0xFC];
    out.extend(payload);
    out
}

#[tokio::test]
async fn all_forms_of_payload_become_the_same_frames() {
    let server = server();
    let silence = aac::silence(2, 0);
    let forms = [
        (
            "live/container",
            TrackDescription::new(Codec::H264).config(SEQUENCE.avcc()),
            TrackDescription::new(Codec::Aac).config(aac::config(44_100, 2)),
            picture as fn(u64) -> Vec<u8>,
            silence.to_vec(),
        ),
        (
            "live/bytestream",
            TrackDescription::new(Codec::H264),
            TrackDescription::new(Codec::Aac),
            byte_stream,
            adts(&silence),
        ),
        (
            "live/mixed",
            TrackDescription::new(Codec::H264).config(SEQUENCE.avcc()).framing(Framing::ByteStream),
            TrackDescription::new(Codec::Aac)
                .config(aac::config(44_100, 2))
                .framing(Framing::ByteStream),
            byte_stream,
            adts(&silence),
        ),
    ];
    for (stream, video, audio, unit, sound) in forms {
        let publisher = server.handle().publish(stream).expect("a free stream");
        let video = publisher.add_track(video).expect("a track");
        let audio = publisher.add_track(audio).expect("a track");
        assert_eq!((video, audio), (TrackId::video(0), TrackId::audio(0)));
        for number in 0..3u64 {
            let at = millis(i64::try_from(number).expect("a few") * 40);
            publisher.send(AccessUnit::new(video, at, unit(number))).expect("a picture");
            publisher.send(AccessUnit::new(audio, at, sound.clone())).expect("a sound");
        }
        let mut subscriber = subscribe(server.handle(), stream).await;
        let event = soon("tracks", subscriber.next()).await;
        let Some(headwater::subscribe::Event::Tracks(tracks)) = event else {
            panic!("{stream}: {event:?} before the tracks")
        };
        let configs: Vec<_> = tracks.tracks.iter().map(|track| track.config.clone()).collect();
        assert_eq!(configs, [SEQUENCE.avcc(), aac::config(44_100, 2)], "{stream}");
        for number in 0..3u64 {
            let (video, audio) =
                (next_frame(&mut subscriber).await, next_frame(&mut subscriber).await);
            assert_eq!(video.data, picture(number), "{stream}");
            assert_eq!(video.is_key(), number == 0, "{stream}");
            assert_eq!(audio.data, silence, "{stream}");
        }
    }
}

#[tokio::test]
async fn milliseconds_leave_no_gaps_in_sound() {
    let server = server();
    let publisher = server.handle().publish("live/sound").expect("a free stream");
    let track = TrackDescription::new(Codec::Aac).config(aac::config(44_100, 2));
    let track = publisher.add_track(track).expect("a track");
    for number in 0..100i64 {
        let at = millis(number * 1024 * 1000 / 44_100);
        publisher.send(AccessUnit::new(track, at, aac::silence(2, 0))).expect("a sound");
    }
    let mut subscriber = subscribe(server.handle(), "live/sound").await;
    let got = frames(&mut subscriber, TrackKind::Audio, 40).await;
    assert!(got.windows(2).all(|pair| pair[1].dts.value - pair[0].dts.value == 1024));
    // The hundred frames that a second of backlog begins in.
    assert_eq!(got[0].dts.base, TimeBase::new(44_100).expect("a clock"));
}

#[tokio::test]
async fn several_frames_in_one_buffer_of_adts_have_times_of_their_own() {
    let server = server();
    let publisher = server.handle().publish("live/sound").expect("a free stream");
    let track = publisher.add_track(TrackDescription::new(Codec::Aac)).expect("a track");
    let two = [adts(&aac::silence(2, 0)), adts(&aac::silence(2, 0))].concat();
    for number in 0..3 {
        let at = Ticks::new(number * 2048, TimeBase::new(44_100).expect("a clock"));
        publisher.send(AccessUnit::new(track, at, two.clone())).expect("two frames");
    }
    let mut subscriber = subscribe(server.handle(), "live/sound").await;
    let got = frames(&mut subscriber, TrackKind::Audio, 6).await;
    let first = got[0].dts.value;
    let times: Vec<_> = got.iter().map(|frame| frame.dts.value - first).collect();
    assert_eq!(times, [0, 1024, 2048, 3072, 4096, 5120]);
    let cut = &two[..two.len() - 1];
    let at = millis(1000);
    let refused = publisher.send(AccessUnit::new(track, at, cut.to_vec()));
    assert!(matches!(refused, Err(FrameError::Malformed { .. })), "{refused:?}");
}

#[tokio::test]
async fn pictures_keep_both_times() {
    let server = server();
    let (publisher, track) = publish(server.handle(), "live/b");
    for (number, dts, pts) in [(0, 0, 80), (1, 40, 200), (2, 80, 120)] {
        let unit = AccessUnit::new(track, millis(pts), picture(number)).dts(millis(dts));
        publisher.send(unit).expect("a picture");
    }
    let mut subscriber = subscribe(server.handle(), "live/b").await;
    let got = frames(&mut subscriber, TrackKind::Video, 3).await;
    let times: Vec<_> = got.iter().map(|f| (f.dts.millis(), f.pts().millis())).collect();
    assert_eq!(times, [(500, 580), (540, 700), (580, 620)]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_its_reason() {
    let server = server();
    let (publisher, video) = publish(server.handle(), "live/wrong");
    let stream = publisher.add_track(TrackDescription::new(Codec::H265)).expect("a track");
    let raw = TrackDescription::new(Codec::Aac).framing(Framing::Container);
    let raw = publisher.add_track(raw).expect("a track");
    send(&publisher, video, [0, 1]);

    let refusal = |unit| publisher.send(unit).expect_err("a frame that makes no sense").to_string();
    let other = TrackId::video(7);
    let cases = [
        (AccessUnit::new(other, millis(80), picture(2)), "the track video7 was not added"),
        (AccessUnit::new(video, millis(80), Vec::new()), "a frame of video0 is empty"),
        (
            AccessUnit::new(video, millis(80), vec![0; 0x0100_0000]),
            "a frame of video0 has 16777216 bytes; at most 16777215 are taken",
        ),
        (
            AccessUnit::new(video, millis(15), picture(2)),
            "a frame of video0 is decoded 25ms before the one before it: send frames in the order \
             of decoding",
        ),
        (
            AccessUnit::new(video, millis(20_000), picture(2)).dts(millis(80)),
            "a frame of video0 is presented 19.92s away from its decoding, and at most 10s make \
             sense: are both times of the same clock?",
        ),
        (
            AccessUnit::new(video, millis(80), vec![0, 0, 9, 9, 0x65, 1, 2]),
            "a frame of video0 is malformed: truncated at byte 4: 2310 more bytes needed; NAL \
             units with lengths are expected",
        ),
        (
            AccessUnit::new(stream, millis(80), vec![1, 2, 3, 4]),
            "a frame of video1 is malformed: start_code_prefix has the invalid value 66051; NAL \
             units with start codes (Annex B) are expected",
        ),
        (
            AccessUnit::new(stream, millis(80), vec![0, 0, 1, 0x26, 1, 9]),
            "the configuration of video1 is not known yet: parameter sets come with the \
             description of the track, or before the first key frame",
        ),
        (
            AccessUnit::new(raw, millis(80), aac::silence(2, 0)),
            "the configuration of audio0 is not known yet: raw AAC needs an AudioSpecificConfig \
             with the track's description",
        ),
    ];
    for (unit, expected) in cases {
        assert_eq!(refusal(unit), expected);
    }
    // The publisher goes on, and what was refused has left no trace.
    send(&publisher, video, [2]);
    publisher.set_config(raw, aac::config(44_100, 2)).expect("a configuration");
    publisher.send(AccessUnit::new(raw, millis(80), aac::silence(2, 0))).expect("a sound");

    let refusal = |track| publisher.add_track(track).expect_err("no track").to_string();
    let garbage = TrackDescription::new(Codec::H264).config(vec![9; 20]);
    assert!(refusal(garbage).starts_with("the configuration is no configuration of H264: "));
    let long = TrackDescription::new(Codec::H264).config(vec![1; 1 << 20]);
    assert_eq!(refusal(long), "the configuration has 1048576 bytes; at most 32768 are taken");
    for _ in 0..6 {
        publisher.add_track(TrackDescription::new(Codec::H264)).expect("room");
    }
    assert!(refusal(TrackDescription::new(Codec::Vp8)).contains("already has 8 tracks"));
    let absent = publisher.set_config(TrackId::audio(3), vec![0x12, 0x10]);
    assert_eq!(absent, Err(TrackError::Absent(TrackId::audio(3))));
}

#[tokio::test]
async fn a_clock_that_begins_anew_is_joined() {
    let server = server();
    let (publisher, track) = publish(server.handle(), "live/jump");
    for (number, at) in
        [(0, 100_000), (1, 100_040), (2, 0), (3, 40), (4, 9_000_000), (5, 9_000_040)]
    {
        publisher.send(AccessUnit::new(track, millis(at), picture(number))).expect("a picture");
    }
    let mut subscriber = subscribe(server.handle(), "live/jump").await;
    let got = frames(&mut subscriber, TrackKind::Video, 6).await;
    let times: Vec<_> = got.iter().map(|frame| frame.dts.millis()).collect();
    assert_eq!(times, [500, 540, 580, 620, 660, 700]);
    let stream = server.handle().stream("live/jump").expect("a stream");
    assert_eq!(stream.repairs.jumps, 2);
}

#[tokio::test]
async fn tags_are_published_as_they_are() {
    let server = server();
    let publisher = server.handle().publish_flv("live/flv").expect("a free stream");
    let programme =
        Programme { video: Some(Video::default()), audio: Some(Audio::default()), start: 0 };
    let items = programme.config().into_iter().chain(programme.items().take(100));
    for item in items {
        let mut reader = tag::Reader::new(tag::MAX_BODY);
        reader.push(b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        reader.push(&item.flv_tag());
        let tag: Tag = reader.poll().expect("a good tag").expect("a whole tag");
        publisher.send(&tag).expect("a publisher");
    }
    let mut subscriber = subscribe(server.handle(), "live/flv").await;
    assert!(frames(&mut subscriber, TrackKind::Video, 5).await[0].is_key());
    assert!(publisher.ending().is_none());
}

#[tokio::test]
async fn a_publisher_is_a_session_like_any_other() {
    let server = server();
    let handle = server.handle();
    let mut events = handle.events();
    let (publisher, track) = publish(handle, "cam");
    send(&publisher, track, 0..3);
    assert_eq!(publisher.session_id(), "CUSTOMIZEPUB1");
    let session = handle.sessions().pop().expect("a session");
    assert_eq!((session.id.as_str(), session.role), ("CUSTOMIZEPUB1", Role::Pub));
    assert_eq!(session.protocol.to_string(), "CUSTOMIZE");
    assert_eq!(session.stream.map(|name| name.to_string()).as_deref(), Some("live/cam"));
    assert_eq!(session.read_bytes, (0..3).map(|number| picture(number).len() as u64).sum::<u64>());
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(format!("{:?}", soon("an event", events.next()).await));
    }
    assert!(told[0].contains("StreamStarted"), "{told:?}");
    assert!(told[1].contains("Joined") && told[1].contains("CUSTOMIZEPUB1"), "{told:?}");

    let second = handle.publish("live/cam").expect_err("a stream that is taken");
    assert!(matches!(second, PublishError::Refused(Refusal::Occupied(_))), "{second}");
    assert!(matches!(handle.publish("a/../b"), Err(PublishError::Name(_))));

    drop(publisher);
    until("its session is gone", || handle.sessions().is_empty()).await;
    let left = soon("an event", async {
        loop {
            let event = events.next().await.expect("events");
            if let headwater::events::Event::Left { reason, .. } = event {
                return reason;
            }
        }
    });
    // That of the second publisher, which never joined, is not told.
    assert_eq!(left.await, EndReason::PeerClosed);
}

#[tokio::test]
async fn a_publisher_that_is_kicked_is_told_and_gone_at_once() {
    let server = server();
    let handle = server.handle();
    let (publisher, track) = publish(handle, "live/kicked");
    let publisher = Arc::new(publisher);
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.ended().await }
    });
    assert!(handle.kick(publisher.session_id()));
    assert!(!handle.kick("RTMPPUBSUB99"));
    assert_eq!(soon("its end", waiting).await.expect("no panic"), EndReason::Kicked);
    // The program still holds it: nobody else does.
    assert!(handle.sessions().is_empty());
    let unit = AccessUnit::new(track, millis(0), picture(0));
    assert_eq!(publisher.send(unit), Err(FrameError::Ended(EndReason::Kicked)));
    let other = publisher.add_track(TrackDescription::new(Codec::Vp8));
    assert_eq!(other, Err(TrackError::Ended(EndReason::Kicked)));
    publish(handle, "live/kicked");
}

#[tokio::test]
async fn a_publisher_that_is_superseded_is_told() {
    let server = headwater::Server::builder().set("stream.second_publisher", "takeover");
    let server = server.start().expect("a server");
    let first = server.handle().publish_flv("live/taken").expect("a free stream");
    let (second, track) = publish(server.handle(), "live/taken");
    let body = vec![0x17, 1, 0, 0, 0].into();
    let tag = Tag { kind: tag::Kind::Video, timestamp: 0, body };
    assert_eq!(first.send(&tag), Err(Ended(EndReason::TakenOver)));
    assert_eq!(soon("its end", first.ended()).await, EndReason::TakenOver);
    send(&second, track, 0..2);
}

/// Publishers are used from threads that know nothing of the runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn any_thread_may_publish() {
    let server = server();
    let (handle, (send, receive)) = (server.handle().clone(), std::sync::mpsc::channel());
    let thread = std::thread::spawn(move || {
        let (publisher, track) = publish(&handle, "live/thread");
        super::send(&publisher, track, 0..30);
        // Kept until the stream was read.
        let _ = receive.recv_timeout(Duration::from_secs(10));
    });
    let mut subscriber = subscribe(server.handle(), "live/thread").await;
    assert!(next_frame(&mut subscriber).await.is_key());
    send.send(()).expect("a thread");
    thread.join().expect("no panic");
}
