//! A camera whose SIP is that of SIPp, which knows nothing of GB/T 28181: registration with a
//! password, keep-alives, catalogue, and calls that begin and end.

use std::path::Path;

use headwater_e2e::device::Elementary;
use headwater_e2e::{Program, Server, assert_piece, clip, program, root, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

const DEVICE: &str = "34020000001180000009";
const CHANNEL: &str = "34020000001310000009";
const STREAM: &str = "gb/34020000001180000009/34020000001310000009";

/// A scenario with what belongs to this test in the places of the names.
fn scenario(folder: &Path, name: &str, sender: &str) -> String {
    let path = root().join("tests/peers/sipp").join(name);
    let text = std::fs::read_to_string(path).expect("a scenario");
    let names = [("DEVICE", DEVICE), ("CHANNEL", CHANNEL), ("TURNS", "20"), ("SENDER", sender)];
    let text = names.iter().fold(text, |text, (name, value)| text.replace(name, value));
    let out = folder.join(name).display().to_string();
    std::fs::write(&out, text).expect("a file");
    out
}

/// The camera, and what it writes its progress to.
fn camera(server: &Server, material: &Elementary, folder: &TempDir, transport: &str) -> Program {
    let sender = material.command("send", "--seconds 60");
    let main = scenario(folder.path(), "camera.xml", &sender);
    let called = scenario(folder.path(), "called.xml", &sender);
    let log = folder.path().join("log").display().to_string();
    let to = format!("127.0.0.1:{}", server.port("sip"));
    let arguments = format!(
        "{to} -sf {main} -oocsf {called} -s 34020000002000000001 -m 1 -t {transport} -i 127.0.0.1 \
         -nostdin -trace_logs -log_file {log}"
    );
    program("sipp", arguments.split_whitespace())
}

#[test]
fn sipp_registers_is_asked_and_called() {
    for transport in ["u1", "t1"] {
        let server = Server::start(&[
            "gb28181.listen=127.0.0.1:0",
            "gb28181.password=12345678",
            "gb28181.stop_after=1s",
        ]);
        let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
        let folder = TempDir::new().expect("a folder");
        let camera = camera(&server, &material, &folder, transport);
        let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        wait_until("its catalogue is known", || {
            let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
            body["channels"][0]["id"] == CHANNEL
        });
        let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
        assert_eq!(
            (&body["online"], &body["channels"][0]["name"]),
            (&json!(true), &json!("Gate")),
            "{body}"
        );
        assert_piece(&material.sent, &clip::seen(&server.url("http", STREAM)), 25);
        wait_until("the call has ended", || said().contains("ended"));
        for step in ["registered", "asked Catalog", "listed", "invited", "called"] {
            assert!(said().contains(step), "{transport}: {step} is not in\n{}", said());
        }
        // It says good-bye, and every answer was one that it waited for.
        camera.finish();
        let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
        assert_eq!(body["online"], false, "{body}");
    }
}
