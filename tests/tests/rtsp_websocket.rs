//! RTSP in a WebSocket: a bridge that others' code makes stands between it and ffmpeg.

use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use headwater_e2e::{Frames, Server, ffmpeg, material, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Carries each connection to a port of its own in a WebSocket to the server. Returns the port.
fn bridge(server: &Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    let target = server.port("rtsp_ws");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            listener.set_nonblocking(true).expect("an option");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((conn, _)) = listener.accept().await {
                tokio::spawn(carry(conn, target));
            }
        });
    });
    own
}

async fn carry(mut conn: TcpStream, target: u16) {
    let server = TcpStream::connect(("127.0.0.1", target)).await.expect("the server");
    let mut request = format!("ws://127.0.0.1:{target}/").into_client_request().expect("a URL");
    let protocol = HeaderValue::from_static("rtsp");
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let (mut socket, answer) = client_async(request, server).await.expect("a WebSocket");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "rtsp");
    let mut room = vec![0; 64 << 10];
    loop {
        tokio::select! {
            read = conn.read(&mut room) => match read {
                Ok(length) if length > 0 => {
                    let message = Message::binary(room[..length].to_vec());
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => {
                    if conn.write_all(&message.into_data()).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

#[test]
fn it_is_published_and_played_in_a_websocket() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let url = format!("rtsp://127.0.0.1:{}/live/carried", bridge(&server));
    let reader = Frames::reader(&format!("-rtsp_transport tcp -i {url}"), "h264", false);
    wait_until("the viewer waits", || server.viewers("live/carried") == 1);
    let file = material("h264-aac.mp4");
    let publish = format!("-re -i {} -c copy -f rtsp -rtsp_transport tcp {url}", file.display());
    ffmpeg(&publish).finish();
    let sent = Frames::reader(&format!("-i {}", file.display()), "h264", false).finish();
    let (sent, got) = (Frames::parse(&sent), Frames::parse(&reader.finish()));
    let hashes = |frames: &Frames, name| -> Vec<String> {
        frames.track(name).into_iter().map(|frame| frame.2).collect()
    };
    for name in ["video0", "audio0"] {
        let (sent, got) = (hashes(&sent, name), hashes(&got, name));
        assert!(got.len() + 5 >= sent.len(), "{name}: {} of {}", got.len(), sent.len());
        assert!(sent.starts_with(&got), "{name}: the contents differ");
    }
    server.assert_healthy();
}
