//! What relays do not do: call where they must not, send back what they were sent, stop at a
//! redirection, or go round in circles.

use std::io::{Read, Write};
use std::net::TcpListener;

use headwater_e2e::{Server, clip, ffmpeg, wait_until};
use serde_json::{Value, json};

fn relays(server: &Server, kind: &str) -> Vec<Value> {
    let (status, body) = server.v1("GET", kind, &Value::Null);
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().expect("a list").clone()
}

fn error(server: &Server, kind: &str, stream: &str) -> String {
    let all = relays(server, kind);
    let found = all.iter().find(|relay| relay["stream"] == stream);
    found.and_then(|relay| relay["last_error"].as_str()).unwrap_or_default().to_owned()
}

/// A server that answers every connection with this text, once it was asked something.
fn answering(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut conn in listener.incoming().flatten() {
            let mut room = [0; 4096];
            let Ok(length) = conn.read(&mut room) else { continue };
            let asked = String::from_utf8_lossy(&room[..length]).into_owned();
            let cseq = asked.lines().find(|line| line.starts_with("CSeq")).unwrap_or("X: y");
            // Whoever has heard enough may have gone.
            let _ = conn.write_all(answer.replace("CSEQ", cseq).as_bytes());
        }
    });
    port
}

#[test]
fn private_networks_are_closed_to_relays_by_name_and_by_number() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let port = |scheme: &str| origin.port(scheme);
    let server = Server::start(&[
        "relay.private_targets=false",
        "relay.retry_min=100ms",
        "server.wait_for_stream=1s",
        &format!("relay.origins=['http://localhost:{}']", port("http")),
    ]);
    let hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"];
    let schemes = ["rtmp", "rtsp", "http", "ws"];
    let calls = hosts.iter().flat_map(|host| schemes.map(|scheme| (host, scheme)));
    for (number, (host, scheme)) in calls.enumerate() {
        let listener = if scheme == "ws" { "http" } else { scheme };
        let stream = format!("live/{number}");
        let from = format!("{scheme}://{host}:{}/live/clip.flv", port(listener));
        let order = json!({ "stream": stream, "from": [from] });
        assert_eq!(server.v1("POST", "pulls", &order).0, 200, "{from}");
        wait_until("it is refused", || {
            error(&server, "pulls", &stream).contains("private network")
        });
        assert_eq!(server.v1("DELETE", &format!("pulls?stream={stream}"), &Value::Null).0, 200);
    }
    let _here = clip::on(&server, "live/here");
    let to = origin.url("rtmp", "live/pushed");
    let order = json!({ "stream": "live/here", "to": to });
    assert_eq!(server.v1("POST", "pushes", &order).0, 200);
    wait_until("it is refused", || {
        error(&server, "pushes", "live/here").contains("private network")
    });

    // What a viewer shows of itself leads nowhere else, either.
    let url = format!("{}?@127.0.0.1/x", server.url("http", "live/clip"));
    assert!(!ffmpeg(&format!("-i {url} -t 1 -f null -")).wait().success());
    assert_eq!(origin.viewers("live/clip"), 0);
    assert!(!origin.is_live("live/pushed"));
    assert!(!origin.log().contains("proto=HTTP role=SUB"), "nobody has called");
}

#[test]
fn redirections_are_followed_to_tls() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let here = Server::start(&["relay.tls_verify=false", "relay.retry_min=100ms"]);
    let to = origin.url("https", "live/clip");
    let http =
        answering(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
    let to = origin.url("rtsps", "live/clip");
    let rtsp = answering(format!("RTSP/1.0 302 Found\r\nCSEQ\r\nLocation: {to}\r\n\r\n"));
    for from in [format!("http://127.0.0.1:{http}/a.flv"), format!("rtsp://127.0.0.1:{rtsp}/a")] {
        let stream = format!("live/{}", &from[..4]);
        let order = json!({ "stream": stream, "from": [from] });
        assert_eq!(here.v1("POST", "pulls", &order).0, 200);
        wait_until("the stream is pulled", || here.is_live(&stream));
    }
}

#[test]
fn what_is_pulled_is_pushed_only_where_a_rule_says_so_and_never_back() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let elsewhere = Server::start(&[]);
    let push = |name: &str, to: &Server, pulled: bool| {
        let to = to.url("rtmp", &format!("{name}/{{name}}"));
        format!("{{stream='*',to=['{to}'],pulled={pulled}}}")
    };
    let rules = [
        push("plain", &elsewhere, false),
        push("pulled", &elsewhere, true),
        push("back", &origin, true),
        push("published", &origin, false),
    ];
    let rules = format!("relay.push=[{}]", rules.join(","));
    let here = Server::start(&[&rules, "stream.grace=10s"]);
    let order = json!({ "stream": "live/clip", "from": [origin.url("rtmp", "live/clip")] });
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("it is pushed", || elsewhere.is_live("pulled/clip"));
    let pushed: Vec<_> =
        relays(&here, "pushes").iter().map(|push| push["addresses"][0].clone()).collect();
    let expected = elsewhere.url("rtmp", "pulled/***");
    assert_eq!(pushed, [json!(expected)]);
    assert!(!origin.is_live("back/clip") && !elsewhere.is_live("plain/clip"));

    // A publisher that goes on with the stream is pushed by all.
    assert_eq!(here.v1("DELETE", "pulls?stream=live/clip", &Value::Null).0, 200);
    here.wait_for_log(&["is pulled no more"]);
    let _publisher = clip::publish(&here.url("rtmp", "live/clip"));
    wait_until("it is pushed everywhere", || {
        ["plain/clip", "pulled/clip"].iter().all(|stream| elsewhere.is_live(stream))
            && ["back/clip", "published/clip"].iter().all(|stream| origin.is_live(stream))
    });
}

#[test]
fn viewers_stay_when_a_pull_ends() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let mut here = Server::start(&["stream.grace=1m"]);
    let order = json!({ "stream": "live/clip", "from": [origin.url("rtmp", "live/clip")] });
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("it is pulled", || here.is_live("live/clip"));
    let url = here.url("http", "live/clip");
    let _viewer = ffmpeg(&format!("-i {url} -c copy -f null -"));
    wait_until("it is watched", || here.viewers("live/clip") == 1);
    let id = |server: &Server| server.group("live/clip")["subs"][0]["session_id"].clone();
    let before = id(&here);
    assert_eq!(here.v1("DELETE", "pulls?stream=live/clip", &Value::Null).0, 200);
    here.wait_for_log(&["is pulled no more"]);
    let _publisher = clip::publish(&here.url("rtmp", "live/clip"));
    wait_until("it goes on", || here.is_live("live/clip"));
    assert_eq!(id(&here), before);
    here.assert_healthy();
}

#[test]
fn servers_that_point_at_each_other_notice() {
    for scheme in ["rtmp", "rtsp", "http"] {
        let two = Server::start(&["server.wait_for_stream=3s", "relay.retry_min=100ms"]);
        let template = |server: &Server| {
            let suffix = if scheme == "http" { ".flv" } else { "" };
            format!("{scheme}://127.0.0.1:{}/{{path}}{suffix}", server.port(scheme))
        };
        let rule = format!("relay.pull=[{{stream='*',from=['{}']}}]", template(&two));
        let one = Server::start(&[&rule, "server.wait_for_stream=3s", "relay.retry_min=100ms"]);
        // The second server's source is the first one, by an operator's order, which comes first.
        let far = template(&one).replace("{path}", "live/clip");
        let order = json!({ "stream": "live/clip", "from": [far], "timeout_seconds": 5 });
        assert_eq!(two.v1("POST", "pulls", &order).0, 200);
        wait_until("it is noticed", || {
            let said = |server| error(server, "pulls", "live/clip");
            said(&one).contains("by way of others") || said(&two).contains("by way of others")
        });
        assert_eq!(two.v1("DELETE", "pulls?stream=live/clip", &Value::Null).0, 200);
    }
}

#[test]
fn servers_that_push_to_each_other_notice() {
    for scheme in ["rtmp", "rtsp"] {
        let one = Server::start(&["relay.retry_min=100ms"]);
        // Under another name, so that nothing else stands in the way.
        let back = format!("{scheme}://127.0.0.1:{}/back/{{name}}", one.port(scheme));
        let two = Server::start(&[
            &format!("relay.push=[{{stream='*',to=['{back}']}}]"),
            "relay.retry_min=100ms",
        ]);
        let _clip = clip::on(&one, "live/clip");
        let order = json!({ "stream": "live/clip", "to": two.url(scheme, "live/clip") });
        assert_eq!(one.v1("POST", "pushes", &order).0, 200);
        wait_until("it is pushed", || two.is_live("live/clip"));
        wait_until("it is noticed", || !error(&two, "pushes", "live/clip").is_empty());
        one.wait_for_log(&["by way of others"]);
        assert!(!one.is_live("back/clip"));
    }
}
