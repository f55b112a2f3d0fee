//! JSON web tokens: every protocol asks for one, and opens what it says, here and now, and nothing
//! else.

use headwater_e2e::rtsp_raw::Peer;
use headwater_e2e::{Server, clip, ffmpeg, program, wait_until};
use serde_json::Value;

const SECRET: &str = "0123456789abcdef0123";
const ALL: &str = r#"{"publish":["live/mine"],"play":["live/*"],"api":true}"#;

/// A token that says what `claims` says, signed with a secret.
fn token(claims: &str, secret: &str) -> String {
    let script = "import base64,hashlib,hmac,sys\n\
                  e=lambda b: base64.urlsafe_b64encode(b).rstrip(b'=')\n\
                  m=e(b'{\"alg\":\"HS256\",\"typ\":\"JWT\"}')+b'.'+e(sys.argv[1].encode())\n\
                  s=e(hmac.new(sys.argv[2].encode(),m,hashlib.sha256).digest())\n\
                  print((m+b'.'+s).decode())";
    program("python3", ["-c", script, claims, secret]).finish().trim().to_owned()
}

/// Claims that hold for so many seconds from now.
fn claims(seconds: i64, what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let expires = i64::try_from(now.as_secs()).expect("a time") + seconds;
    format!("{{\"exp\":{expires},\"sub\":\"carol\",\"headwater\":{what}}}")
}

/// Tokens that open nothing: how HTTP and RTSP refuse whoever shows them for `live/mine`.
fn useless() -> Vec<(&'static str, String, u16)> {
    let good = token(&claims(600, ALL), SECRET);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    // {"alg":"none","typ":"JWT"}
    let body = signed.split_once('.').expect("a header").1;
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}");
    let later = claims(600, ALL).replacen('{', "{\"nbf\":4000000000,", 1);
    let elsewhere = r#"{"publish":["live/other"],"play":["other/*"]}"#;
    vec![
        ("none", String::new(), 401),
        ("garbage", "x".to_owned(), 401),
        ("expired", token(&claims(-60, ALL), SECRET), 401),
        ("not yet valid", token(&later, SECRET), 401),
        ("of another signer", token(&claims(600, ALL), "another secret of 20"), 401),
        ("unsigned", format!("{signed}."), 401),
        ("without an algorithm", format!("{none}.{signature}"), 401),
        ("without algorithm and signature", format!("{none}."), 401),
        ("for another stream", token(&claims(600, elsewhere), SECRET), 403),
        ("for nothing", token(&claims(600, "{}"), SECRET), 403),
    ]
}

fn server() -> Server {
    Server::start(&[
        "auth.required=['publish','play']",
        &format!("auth.jwt_secret={SECRET}"),
        "server.wait_for_stream=2s",
        "api.token=operator",
        "hls.segment_duration=1s",
    ])
}

/// How RTSP answers one request.
fn rtsp(server: &Server, method: &str, token: &str) -> u16 {
    let mut peer = Peer::connect(server.port("rtsp"), &format!("live/mine?token={token}"));
    let sdp = "v=0\r\nm=audio 0 RTP/AVP 8\r\na=control:trackID=0\r\n";
    let (fields, body): (&[&str], _) = match method {
        "ANNOUNCE" => (&["Content-Type: application/sdp"], sdp),
        _ => (&[], ""),
    };
    peer.ask(method, "", fields, body).status
}

/// How HTTP answers; what is endless is cut off.
fn http(arguments: &[&str], url: &str) -> u16 {
    let fixed = ["-s", "-k", "-o", "/dev/null", "--max-time", "2", "-w", "%{http_code}"];
    let mut curl = program("curl", fixed.iter().chain(arguments).chain([&url]));
    curl.wait();
    curl.stdout().parse().expect("a status")
}

#[test]
fn publishers_are_asked_by_every_protocol() {
    let mut server = server();
    let with =
        |scheme: &str, token: &str| format!("{}?token={token}", server.url(scheme, "live/mine"));
    for (what, token, status) in useless() {
        assert_eq!(rtsp(&server, "ANNOUNCE", &token), status, "RTSP, {what}");
        for scheme in ["rtmp", "rtmps"] {
            let complaint = clip::publish(&with(scheme, &token)).fail();
            assert!(!complaint.is_empty(), "{scheme}, {what}");
        }
    }
    let good = token(&claims(600, ALL), SECRET);
    assert_eq!(rtsp(&server, "ANNOUNCE", &good), 200);
    for scheme in ["rtmp", "rtmps", "rtsp", "rtsps"] {
        let published = || server.log().lines().filter(|line| line.contains(" publishes ")).count();
        let before = published();
        let _publisher = clip::publish(&with(scheme, &good));
        wait_until(scheme, || published() > before);
    }
    server.assert_healthy();
}

#[test]
fn viewers_are_asked_by_every_protocol() {
    let mut server = server();
    let good = token(&claims(600, ALL), SECRET);
    let with =
        |scheme: &str, token: &str| format!("{}?token={token}", server.url(scheme, "live/mine"));
    let _publisher = clip::publish(&with("rtmp", &good));
    server.wait_for_log(&[" publishes ", "live/mine"]);
    let upgrade = [
        "--http1.1",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    let ways = ["http", "http+ts", "http+mp4", "http+hls", "https", "https+ts", "https+hls"];
    for (what, token, status) in useless() {
        assert_eq!(rtsp(&server, "DESCRIBE", &token), status, "RTSP, {what}");
        for way in ways {
            assert_eq!(http(&[], &with(way, &token)), status, "{way}, {what}");
        }
        for way in ["http", "http+ts", "http+mp4"] {
            assert_eq!(http(&upgrade, &with(way, &token)), status, "WebSocket, {way}, {what}");
        }
        let play = ffmpeg(&format!("-i {} -t 1 -f null -", with("rtmp", &token)));
        assert!(!play.fail().is_empty(), "RTMP, {what}");
        let bearer = format!("Authorization: Bearer {token}");
        let api = format!("http://127.0.0.1:{}/api/v1/streams", server.port("api"));
        assert_eq!(http(&["-H", &bearer], &api) / 100, 4, "API, {what}");
    }
    assert_eq!(rtsp(&server, "DESCRIBE", &good), 200);
    for way in ways {
        assert_eq!(http(&["-L"], &with(way, &good)), 200, "{way}");
    }
    for way in ["http", "http+ts", "http+mp4"] {
        assert_eq!(http(&upgrade, &with(way, &good)), 101, "WebSocket, {way}");
    }
    for scheme in ["rtmp", "rtmps", "rtsp"] {
        ffmpeg(&format!("-i {} -t 1 -f null -", with(scheme, &good))).finish();
    }
    server.assert_healthy();
}

#[test]
fn a_token_is_taken_wherever_clients_can_put_it() {
    let mut server = server();
    let good = token(&claims(600, ALL), SECRET);
    let _publisher = clip::publish(&format!("{}?token={good}", server.url("rtmp", "live/mine")));
    server.wait_for_log(&[" publishes ", "live/mine"]);
    let bearer = format!("Bearer {good}");
    let (status, _, body) =
        server.ask("api", "GET", "/api/v1/sessions?role=pub", &[("Authorization", &bearer)], "");
    let sessions: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &sessions["items"][0]["user"]), (200, &"carol".into()), "{body}");
    let flv = server.url("http", "live/mine");
    assert_eq!(http(&["-H", &format!("Authorization: {bearer}")], &flv), 200);
    // Clients that know nothing but passwords.
    assert_eq!(http(&["-u", &format!("any:{good}")], &flv), 200);
    let elsewhere = format!("{}?token={good}", server.url("http", "other/mine"));
    assert_eq!(http(&[], &elsewhere), 403, "another path");
    assert!(!server.log().contains(good.rsplit('.').next().expect("a signature")));
    server.assert_healthy();
}
