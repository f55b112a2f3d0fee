//! The demo's page in a real browser: the picture moves, the sound is decoded.

use headwater_e2e::{Server, program, root};
use serde_json::Value;

fn watch(query: &str) -> Value {
    let mut server = Server::demo();
    let url = format!("http://127.0.0.1:{}/{query}", server.port("http"));
    let script = root().join("tests/browser/play.mjs").to_string_lossy().into_owned();
    let screenshot = server.file("page.png").to_string_lossy().into_owned();
    let seen = program("node", [script.as_str(), &url, &screenshot]).finish();
    assert!(server.file("page.png").metadata().expect("a screenshot").len() > 10_000);
    server.assert_healthy();
    serde_json::from_str(&seen).expect("JSON of the browser")
}

fn assert_plays(seen: &Value) {
    let (first, second) = (&seen["first"], &seen["second"]);
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(second["width"], 640, "{seen}");
    assert_ne!(first["picture"], second["picture"], "the picture stands still: {seen}");
    assert!(second["light"].as_u64() > Some(1_000_000), "the picture is dark: {seen}");
    assert!(second["audioBytes"].as_u64() > first["audioBytes"].as_u64(), "no sound: {seen}");
    // A second and a half of 25 pictures a second, and time to look at them.
    let shown = second["frames"].as_u64().zip(first["frames"].as_u64()).map(|(b, a)| b - a);
    assert!(shown > Some(20), "{seen}");
    assert_eq!(second["message"], "", "{seen}");
    assert_eq!(second["streams"], 1, "{seen}");
}

#[test]
fn the_page_finds_and_plays_the_demo() {
    assert_plays(&watch(""));
}

#[test]
fn a_link_plays_over_websocket() {
    assert_plays(&watch("?stream=live/demo&over=ws"));
}

#[test]
fn a_link_plays_a_transport_stream() {
    assert_plays(&watch("?stream=live/demo&over=ts"));
}
