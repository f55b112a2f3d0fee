//! The asynchronous client against a server session, over an in-memory pipe.

#![cfg(feature = "tokio")]
// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::BytesMut;
use headwater_rtmp::chunk::{self, Header};
use headwater_rtmp::client::{self, Config};
use headwater_rtmp::message::Kind;
use headwater_rtmp::server::{Event, Session};
use headwater_rtmp::tokio_client::{Error, connect_pull, connect_push};
use headwater_rtmp::url::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

fn target() -> Target {
    Target::parse("rtmp://localhost/live/test").unwrap()
}

/// Serves one connection until it closes, with `media` for a player; what was published.
async fn serve(mut io: DuplexStream, allow: bool, media: BytesMut) -> Vec<Event> {
    let now = || Instant::now().into_std();
    let mut session = Session::new(Arc::default(), 1, now());
    let (mut buffer, mut events) = ([0; 1000], Vec::new());
    loop {
        let Ok(len @ 1..) = io.read(&mut buffer).await else { return events };
        session.handle_input(&buffer[..len], now()).unwrap();
        let mut plays = false;
        while let Some(event) = session.poll_event() {
            match event {
                Event::Connect(_) => session.accept_connect(now()).unwrap(),
                Event::Publish { stream, .. } if allow => {
                    session.accept_publish(stream, now()).unwrap();
                }
                Event::Publish { stream, .. } => {
                    let code = "NetStream.Publish.BadName";
                    session.reject_publish(stream, code, "in use", now()).unwrap();
                }
                Event::Play { stream, .. } => {
                    session.accept_play(stream, now()).unwrap();
                    plays = true;
                }
                event => events.push(event),
            }
        }
        while let Some(bytes) = session.poll_transmit() {
            // A client that is done does not wait for the last answers.
            let _ = io.write_all(&bytes).await;
        }
        if plays {
            io.write_all(&media).await.unwrap();
            return events;
        }
    }
}

#[tokio::test]
async fn publishes() {
    let (io, far) = duplex(4096);
    let client = async {
        let mut pusher = connect_push(io, target(), Config::default(), 1).await.unwrap();
        pusher.send_data(0, b"data").await.unwrap();
        pusher.send_video(40, &[7; 100_000]).await.unwrap();
        pusher.send_audio(41, b"audio").await.unwrap();
        pusher.finish().await.unwrap();
    };
    let ((), events) = tokio::join!(client, serve(far, true, BytesMut::new()));
    let [Event::Data { .. }, Event::Video { payload, .. }, Event::Audio { .. }, end] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(payload.len(), 100_000);
    assert!(matches!(end, Event::StreamEnded { .. }));
}

#[tokio::test]
async fn a_refusal_is_an_error() {
    let (io, far) = duplex(4096);
    let client = connect_push(io, target(), Config::default(), 1);
    let (refused, _) = tokio::join!(client, serve(far, false, BytesMut::new()));
    let refused = refused.err().unwrap();
    assert!(matches!(refused, Error::Protocol(headwater_rtmp::Error::Refused { .. })));
    assert_eq!(refused.to_string(), "refused: NetStream.Publish.BadName (in use)");
}

#[tokio::test]
async fn plays() {
    let mut media = BytesMut::new();
    for (chunk_stream, kind) in [(chunk::AUDIO, Kind::Audio), (chunk::VIDEO, Kind::Video)] {
        let header = Header { chunk_stream, kind, stream_id: 1, timestamp: 40 };
        let size = chunk::Size::DEFAULT;
        chunk::write_message(&mut media, header, &[&[7; 70_000]], size).unwrap();
    }
    let (io, far) = duplex(4096);
    let client = async {
        let mut puller = connect_pull(io, target(), Config::default(), 1).await.unwrap();
        let mut heard = Vec::new();
        while let Some(event) = puller.next().await.unwrap() {
            heard.push(event);
        }
        heard
    };
    let (heard, _) = tokio::join!(client, serve(far, true, media));
    let [client::Event::Audio { .. }, client::Event::Video { payload, .. }] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(payload.len(), 70_000);
}

#[tokio::test]
async fn what_was_said_before_the_end_is_heard_by_those_who_have_something_to_say() {
    let mut media = BytesMut::new();
    let size = chunk::Size::DEFAULT;
    let header =
        |chunk_stream, kind, stream_id| Header { chunk_stream, kind, stream_id, timestamp: 0 };
    let audio = header(chunk::AUDIO, Kind::Audio, 1);
    chunk::write_message(&mut media, audio, &[b"sound"], size).unwrap();
    // A ping is answered; nobody is there any more who reads the answer.
    let ping = header(chunk::CONTROL, Kind::UserControl, 0);
    chunk::write_message(&mut media, ping, &[&[0, 6, 0, 0, 0, 1]], size).unwrap();
    for _ in 0..50 {
        let (io, far) = duplex(4096);
        let server = tokio::spawn(serve(far, true, media.clone()));
        let mut puller = connect_pull(io, target(), Config::default(), 1).await.unwrap();
        server.await.unwrap();
        let mut heard = 0;
        while let Some(event) = puller.next().await.unwrap() {
            heard += usize::from(matches!(event, client::Event::Audio { .. }));
        }
        assert_eq!(heard, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_an_error() {
    let (io, far) = duplex(4096);
    let silent = connect_push(io, target(), Config::default(), 1).await.err().unwrap();
    assert_eq!(silent.to_string(), "timed out in the handshake");
    drop(far);
}
