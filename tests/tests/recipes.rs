//! The recipes of `docs/relay.md`, as they are written there: hosts, ports and keys alone are
//! others.

use std::fs;

use headwater_e2e::{Program, Server, assert_piece, clip, ffmpeg, root, wait_until};
use serde_json::Value;

/// The blocks of a language under a heading of the page.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/relay.md")).expect("the page");
    let (_, section) = page.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    let starts = section.split(&fence).skip(1);
    starts.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// Replaces what stands for somebody's own; each must be there.
fn with(text: &str, replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the recipe:\n{text}");
        text.replace(from, to)
    })
}

/// A server with a recipe as its configuration.
fn server(recipe: &str, settings: &[&str]) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headwater.toml");
    fs::write(&file, recipe).expect("a file");
    // It has been read when the server is up.
    Server::start_with(&["--config", &file.display().to_string()], settings)
}

fn published(server: &Server, stream: &str, query: &str) -> Program {
    let publisher = clip::publish(&format!("{}{query}", server.url("rtmp", stream)));
    // Its API may ask for a token.
    server.wait_for_log(&["publishes", stream]);
    publisher
}

/// Fails unless what comes from an address is a piece of the clip, without a gap.
fn assert_clip(url: &str) {
    assert_piece(&clip::frames(), &clip::seen(url), 25);
}

/// What plays a camera: RTSP with a password.
fn camera(streams: &[&str]) -> (Server, Vec<Program>, String) {
    let server = Server::start(&[
        "auth.required=[\"play\"]",
        "auth.users=[{name=\"user\",password=\"password\",play=[\"*\"]}]",
    ]);
    let playing = streams.iter().map(|stream| published(&server, stream, "")).collect();
    let host = format!("127.0.0.1:{}", server.port("rtsp"));
    (server, playing, host)
}

#[test]
fn watch_a_camera_in_the_browser() {
    let (_camera, _playing, host) = camera(&["live/ch1", "live/door"]);
    let heading = "Watch a camera in the browser";
    let recipes = blocks(heading, "toml");
    let [always, pattern] = &recipes[..] else { panic!("{recipes:?}") };
    let here = server(&with(always, &[("192.0.2.7:554/", &format!("{host}/live/"))]), &[]);
    wait_until("the camera is there", || here.is_live("cameras/door"));
    assert_clip(&here.url("http", "cameras/door"));
    // The page that the text names shows it.
    let (status, ..) = here.ask("http", "GET", "/play/cameras/door", &[], "");
    assert_eq!(status, 200);

    let recipe = with(
        pattern,
        &[
            ("recorder.example/", &format!("{host}/live/")),
            ("spare.example/", &format!("{host}/live/")),
        ],
    );
    let here = server(&recipe, &[]);
    assert_clip(&here.url("http", "cameras/door"));
    let (_, pulls) = here.v1("GET", "pulls", &Value::Null);
    assert_eq!(pulls["items"][0]["on_demand"], true, "{pulls}");
}

#[test]
fn pull_hls() {
    let origin = Server::start(&["hls.segment_duration=1s"]);
    let _clip = published(&origin, "live/clip", "");
    let recipes = blocks("HLS as a source", "toml");
    let [recipe] = &recipes[..] else { panic!("{recipes:?}") };
    let from = origin.url("http+hls", "live/clip");
    let here = server(&with(recipe, &[("https://cdn.example/live/index.m3u8", &from)]), &[]);
    wait_until("it is there", || here.is_live("live/channel"));
    assert_clip(&here.url("http", "live/channel"));
}

#[test]
fn restream_to_three_platforms() {
    let platforms: Vec<_> = (0..3).map(|_| Server::start(&[])).collect();
    let port = |number: usize, listener: &str| platforms[number].port(listener);
    let recipes = blocks("Restream to three platforms", "toml");
    let [recipe] = &recipes[..] else { panic!("{recipes:?}") };
    let recipe = with(
        recipe,
        &[
            ("a.rtmp.youtube.com", &format!("127.0.0.1:{}", port(0, "rtmp"))),
            ("live-api-s.facebook.com:443", &format!("127.0.0.1:{}", port(1, "rtmps"))),
            ("live.twitch.tv", &format!("127.0.0.1:{}", port(2, "rtmp"))),
        ],
    );
    // The certificate of our platform is nobody's.
    let here = server(&recipe, &["relay.tls_verify=false"]);
    let _clip = published(&here, "live/show", "");
    for (platform, stream) in
        platforms.iter().zip(["live2/YOUR-KEY", "rtmp/YOUR-KEY", "app/YOUR-KEY"])
    {
        wait_until(&format!("{stream} is there"), || platform.is_live(stream));
        assert_clip(&platform.url("http", stream));
    }
}

#[test]
fn an_origin_with_edges() {
    let recipes = blocks("An origin with edges", "toml");
    let [edges, counted_by, counted] = &recipes[..] else { panic!("{recipes:?}") };
    let origin = server(&with(counted_by, &[("A-LONG-SECRET", "secret")]), &[]);
    let _clip = published(&origin, "live/clip", "");
    let host = format!("127.0.0.1:{}", origin.port("rtmp"));
    let edge = |more: &str| {
        let recipe = with(edges, &[("origin.example", &host)]);
        server(&format!("{recipe}\n{more}"), &[])
    };
    let api = format!("127.0.0.1:{}", origin.port("api"));
    let counted = with(counted, &[("origin.example:8083", &api), ("A-LONG-SECRET", "secret")]);
    // Its table is open already.
    let counted = counted.replace("[relay]\n", "");
    let (one, two) = (edge(""), edge(&counted));
    let _viewer = ffmpeg(&format!("-i {} -c copy -f null -", two.url("rtmp", "live/clip")));
    for (edge, scheme) in [(&one, "http"), (&two, "rtmp"), (&one, "http+hls")] {
        assert_clip(&edge.url(scheme, "live/clip"));
    }
    let count = || {
        let login = [("Authorization", "Bearer secret")];
        let (status, _, body) = origin.ask("api", "GET", "/api/v1/streams/live/clip", &login, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["edge_viewers"].clone()
    };
    wait_until("the edge's viewer is counted", || count() == 1);
}

#[test]
fn a_source_that_stands_by() {
    let (_camera, _playing, host) = camera(&["live/ch1"]);
    let recipes = blocks("Without a pause", "toml");
    let [recipe] = &recipes[..] else { panic!("{recipes:?}") };
    let here = server(
        &with(
            recipe,
            &[
                ("192.0.2.7:554/", &format!("{host}/live/")),
                ("192.0.2.8:554/", &format!("{host}/live/")),
            ],
        ),
        &[],
    );
    wait_until("the second one stands by", || {
        here.v1("GET", "pulls", &Value::Null).1["items"][0]["standby"] == 1
    });
    assert_clip(&here.url("http", "cameras/door"));
}

#[test]
fn while_the_server_runs() {
    let (_camera, _playing, host) = camera(&["live/ch1"]);
    let target = Server::start(&[]);
    let here = Server::start(&[]);
    let _clip = published(&here, "live/show", "");
    let recipes = blocks("While the server runs", "sh");
    let [commands] = &recipes[..] else { panic!("{recipes:?}") };
    let commands = with(
        commands,
        &[
            ("127.0.0.1:8083", &format!("127.0.0.1:{}", here.port("api"))),
            ("rtsp://192.0.2.8/", &format!("rtsp://user:password@{host}/live/")),
            ("rtmp://192.0.2.9/", &format!("rtmp://127.0.0.1:{}/", target.port("rtmp"))),
        ],
    );
    // The order is given, looked at, and taken back; the push stays.
    let (order, rest) = commands.split_once("\ncurl http").expect("two commands");
    let run = |commands: &str| {
        let said = headwater_e2e::program("sh", ["-ec", commands]).finish();
        assert!(!said.contains("\"error\""), "{said}");
        said
    };
    run(order);
    wait_until("the camera is there", || here.is_live("cameras/yard"));
    assert_clip(&here.url("http", "cameras/yard"));
    let said = run(&format!("curl http{rest}"));
    assert!(said.contains("cameras/yard") && said.contains("\"stopped\":1"), "{said}");
    wait_until("it is pushed", || target.is_live("live/show"));
    assert_clip(&target.url("http", "live/show"));
}
