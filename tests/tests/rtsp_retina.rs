//! A client that takes nothing amiss but what is: whatever deviates from the specifications is an
//! error to it.

use std::time::Duration;

use futures_util::StreamExt;
use headwater_e2e::{Server, clip, wait_until};
use retina::client::{
    PlayOptions, Session, SessionOptions, SetupOptions, TcpTransportOptions, Transport,
    UdpTransportOptions,
};
use retina::codec::CodecItem;

/// What came in some seconds: the times of pictures and of sound, in seconds.
struct Got {
    pictures: Vec<f64>,
    sounds: Vec<f64>,
    keys: usize,
}

/// Plays for three seconds.
async fn play(url: &str, transport: impl Fn() -> Transport) -> Got {
    let url = url::Url::parse(url).expect("an address");
    let mut session = Session::describe(url, SessionOptions::default()).await.expect("DESCRIBE");
    for number in 0..session.streams().len() {
        let options = SetupOptions::default().transport(transport());
        session.setup(number, options).await.expect("SETUP");
    }
    let session = session.play(PlayOptions::default()).await.expect("PLAY");
    let mut demuxed = session.demuxed().expect("known codecs");
    let mut got = Got { pictures: Vec::new(), sounds: Vec::new(), keys: 0 };
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    while let Ok(item) = tokio::time::timeout_at(until, demuxed.next()).await {
        match item.expect("the stream goes on").expect("no fault") {
            CodecItem::VideoFrame(frame) => {
                assert_eq!(frame.loss(), 0);
                got.keys += usize::from(frame.is_random_access_point());
                got.pictures.push(frame.timestamp().elapsed_secs());
            }
            CodecItem::AudioFrame(frame) => {
                assert_eq!(frame.loss(), 0);
                got.sounds.push(frame.timestamp().elapsed_secs());
            }
            _ => {}
        }
    }
    got
}

#[test]
fn it_plays_over_tcp_and_udp() {
    let mut server = Server::start(&[]);
    let _publisher = clip::on(&server, "live/strict");
    wait_until("the stream is there", || server.group("live/strict")["video_codec"] == "H264");
    let url = server.url("rtsp", "live/strict");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let transports: [fn() -> Transport; 2] = [
            || Transport::Tcp(TcpTransportOptions::default()),
            || Transport::Udp(UdpTransportOptions::default()),
        ];
        for transport in transports {
            let got = play(&url, transport).await;
            assert!(got.pictures.len() >= 45, "{} pictures", got.pictures.len());
            assert!(got.sounds.len() >= 80, "{} frames of sound", got.sounds.len());
            assert!(got.keys >= 2, "{} key frames", got.keys);
            assert!(got.sounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    });
    server.assert_healthy();
}
