//! What is secret in addresses stays out of the log, the API and the events, whichever way it has
//! come.

use headwater_e2e::{Server, clip, ffmpeg, headwater, program, wait_until};
use serde_json::{Value, json};

/// A part of every secret that is planted.
const PLANTED: &str = "pl4nted";

/// Fails where a secret is in what operators see.
fn assert_kept(server: &Server, what: &str) {
    let found = |place: &str, text: &str| {
        let line = text.lines().find(|line| line.contains(PLANTED));
        assert!(line.is_none(), "{what}: {place}: {}", line.unwrap_or_default());
    };
    found("the log", &server.log());
    for path in [
        "/api/v1/sessions?limit=1000",
        "/api/v1/streams",
        "/api/v1/pulls",
        "/api/v1/pushes",
        "/api/v1/config",
        "/api/stat/all_group",
        "/metrics",
    ] {
        let (status, _, body) = server.ask("api", "GET", path, &[], "");
        assert_eq!(status, 200, "{path}");
        found(path, &body);
    }
    for path in ["events?update=1", "log"] {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", server.port("api"));
        let mut curl = program("curl", ["-sN", "--max-time", "1", url.as_str()]);
        curl.wait();
        assert!(curl.stdout().contains("live/"), "{path}: {}", curl.stdout());
        found(path, &curl.stdout());
    }
}

#[test]
fn what_clients_show_of_themselves_is_shown_to_nobody() {
    let mut server = Server::start(&["log.level=debug"]);
    let shown = |name: &str| {
        format!(
            "token={PLANTED}1&pass={PLANTED}2&lal_secret={PLANTED}3&session_id={PLANTED}4&n={name}"
        )
    };
    let _publishers = ["rtmp", "rtsp"].map(|scheme| {
        let stream = format!("live/{scheme}");
        let url = server.url(scheme, &stream);
        let publisher = clip::publish(&format!("{url}?{}", shown("publish")));
        wait_until("the stream is live", || server.is_live(&stream));
        publisher
    });
    for scheme in ["rtmp", "rtsp", "http", "http+ts", "http+mp4", "http+hls"] {
        let stream = if scheme == "http+hls" { "rtmp" } else { "live/rtmp" };
        let url = format!("{}?{}", server.url(scheme, stream), shown("play"));
        let _ = ffmpeg(&format!("-i {url} -t 1 -f null -")).wait();
    }
    let url = format!("{}?{}", server.url("ws", "live/rtmp"), shown("play"));
    let file = server.file("ws.flv").display().to_string();
    headwater(&["pull", &url, &file, "--duration", "1", "--quiet"]).finish();
    assert_kept(&server, "clients");
    server.assert_healthy();
}

#[test]
fn keys_and_tokens_at_other_servers_are_shown_to_nobody() {
    let far = Server::start(&[]);
    let _clip = clip::publish(&far.url("rtmp", "live/clip"));
    wait_until("the stream is live", || far.is_live("live/clip"));
    // What the settings order is kept back as what the API orders is.
    let key =
        format!("rtmp://u:{PLANTED}@localhost:{}/live/{PLANTED}0?t={PLANTED}", far.port("rtmp"));
    let push = format!("relay.push=[{{stream=\"live/rtmp\",to=[\"{key}\"],pulled=true}}]");
    let mut near = Server::start(&["log.level=debug", "relay.tls_verify=false", &push]);
    let login = |url: &str| url.replace("://", &format!("://user:{PLANTED}@"));
    for scheme in ["rtmp", "rtmps", "rtsp", "rtsps", "http", "https", "ws", "http+ts"] {
        let stream = format!("live/{}", scheme.replace('+', "-"));
        let from = format!("{}?token={PLANTED}&{PLANTED}", login(&far.url(scheme, "live/clip")));
        let (status, body) = near.v1("POST", "pulls", &json!({ "stream": stream, "from": [from] }));
        assert_eq!(status, 200, "{scheme}: {body}");
        assert!(!body.to_string().contains(PLANTED), "{body}");
        wait_until("the stream is pulled", || near.is_live(&stream));
    }
    // One that is refused: what the server says has the name in it.
    let taken = format!("live/{PLANTED}9");
    let _taken = clip::publish(&far.url("rtmp", &taken));
    wait_until("the stream is live", || far.is_live(&taken));
    for scheme in ["rtmp", "rtsp"] {
        for name in [format!("live/{PLANTED}-{scheme}"), taken.clone()] {
            let to = format!("{}?k={PLANTED}", login(&far.url(scheme, &name)));
            let order = json!({ "stream": "live/rtmp", "to": to });
            let (status, body) = near.v1("POST", "pushes", &order);
            assert_eq!(status, 200, "{body}");
            assert!(!body.to_string().contains(PLANTED), "{body}");
        }
        wait_until("it is there", || far.is_live(&format!("live/{PLANTED}-{scheme}")));
    }
    let lasts = |near: &Server| {
        let (_, body) = near.v1("GET", "pushes", &Value::Null);
        body["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|p| p["last_error"].is_string())
            .count()
    };
    wait_until("two were refused", || lasts(&near) == 2);
    assert_kept(&near, "relays");

    // They can be ended all the same: by the whole address, or as the list has it.
    let stop = |to: &str| {
        let to = to.replace('&', "%26").replace('?', "%3F");
        near.v1("DELETE", &format!("pushes?stream=live/rtmp&to={to}"), &Value::Null)
    };
    let (_, body) = near.v1("GET", "pushes", &Value::Null);
    let shown =
        |scheme: &str| format!("{}/***", far.url(scheme, "live/x").replace("/live/x", "/live"));
    assert_eq!(body["items"].as_array().map(Vec::len), Some(5), "{body}");
    let (status, body) = stop(&shown("rtsp"));
    assert_eq!(status, 409, "{body}");
    let (status, body) = stop(&format!("{}?k={PLANTED}", far.url("rtsp", &taken)));
    assert_eq!((status, &body["stopped"]), (200, &json!(1)), "{body}");
    let (status, body) = stop(&shown("rtsp"));
    assert_eq!((status, &body["stopped"]), (200, &json!(1)), "{body}");
    assert_eq!(stop(&shown("rtsp")).0, 404);
    assert_kept(&near, "relays that end");
    near.assert_healthy();
}
