//! The program as its operator meets it: configuration, signals, and what it needs when idle.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_e2e::raw::{self, FlvViewer, Rtmp};
use headwater_e2e::{Program, Server, binary, headwater, program, wait_until};
use testkit::Programme;

/// A file of the test's own.
struct File {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl File {
    fn new(name: &'static str, text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder"), name };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join(self.name), text).expect("a file");
    }

    fn path(&self) -> String {
        self.folder.path().join(self.name).to_string_lossy().into_owned()
    }
}

/// Runs `headwater config check` with `arguments`; whether it found nothing wrong, and all it said.
fn check(arguments: &[&str]) -> (bool, String) {
    said(headwater(&[&["config", "check"], arguments].concat()))
}

fn said(mut program: Program) -> (bool, String) {
    let success = program.wait().success();
    (success, program.stdout() + &program.stderr())
}

#[track_caller]
fn assert_refused((success, said): (bool, String), words: &[&str]) {
    assert!(!success, "it is accepted: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_where_it_is() {
    let file = File::new("bad.toml", "[rtmp]\nlisten = \":1935\"\nlisten_tls = 5\n");
    assert_refused(check(&["-c", &file.path()]), &["bad.toml:3:1", "no such key", "tls_listen"]);
    file.write("[rtmp\n");
    assert_refused(check(&["-c", &file.path()]), &["bad.toml:1:6", "expected `]`"]);
    file.write("[stream]\ngrace = \"5 parsecs\"\n");
    assert_refused(check(&["-c", &file.path()]), &["bad.toml:2:9", "stream.grace", "parsecs"]);
    file.write("[stream]\ngrace = \"2s\"\n");
    let (success, said) = check(&["-c", &file.path()]);
    assert!(success && said.contains("is fine"), "{said}");
    assert_refused(check(&["-c", "/nowhere.toml"]), &["/nowhere.toml", "config print"]);
    assert_refused(check(&["--set", "stream.grase=1s"]), &["did you mean stream.grace"]);
    assert_refused(check(&["--set", "rtmp.listen=hello"]), &["hello", ":1935"]);
    // The server says the same as the check.
    let serve = said_by_serve(&["--set", "rtmp.listen=hello"]);
    assert_refused(serve, &["rtmp.listen", "hello"]);
}

fn said_by_serve(arguments: &[&str]) -> (bool, String) {
    said(headwater(&[&["serve"], arguments].concat()))
}

#[test]
fn a_configuration_of_lal_is_taken_and_what_it_lacks_is_named() {
    let file = File::new(
        "lal.conf.json",
        r#"{"rtmp": {"enable": true, "addr": ":19350", "gop_num": 3}, "hls": {"enable": true},
            "http_api": {"enable": true, "addr": ":8083"}}"#,
    );
    let (success, said) = check(&["-c", &file.path()]);
    assert!(success, "{said}");
    assert!(said.contains("hls.enable") && said.contains("is fine"), "{said}");
    let printed = headwater(&["config", "print", "-c", &file.path()]).finish();
    for line in ["listen = [\":19350\"]", "gops = 3"] {
        assert!(printed.contains(line), "{line} is not in:\n{printed}");
    }
}

#[test]
fn what_is_printed_is_a_configuration_and_says_where_values_are_from() {
    let file = File::new("some.toml", "[stream]\ngrace = \"7s\"\ngops = 2\n");
    let path = file.path();
    let binary = binary();
    let print = |arguments: &[&str]| {
        let environment = ["HEADWATER_STREAM__GOPS=3", "HEADWATER_LIMITS__PUBLISHERS=9"];
        let command = [&binary.to_string_lossy(), "config", "print", "-c", path.as_str()];
        program("env", [&environment[..], &command[..], arguments].concat()).finish()
    };
    let printed = print(&["--set", "limits.publishers=11"]);
    // Arguments come before the environment, and that before the file.
    for (line, origin) in [
        ("grace = \"7s\"", "some.toml"),
        ("gops = 3", "HEADWATER_STREAM__GOPS"),
        ("publishers = 11", "--set"),
    ] {
        let found = printed.lines().find(|printed| printed.starts_with(line));
        assert!(found.is_some_and(|found| found.contains(origin)), "{line}: {found:?}\n{printed}");
    }
    let again = File::new("printed.toml", &printed);
    let (success, said) = check(&["-c", &again.path()]);
    assert!(success, "{said}");
}

#[test]
fn a_configuration_is_read_again_when_the_server_is_told_to() {
    let file = File::new("live.toml", "[stream]\nsecond_publisher = \"refuse\"\n");
    let mut server = Server::start_with(&["-c", &file.path()], &["stream.grace=0s"]);
    // Streams keep the rules that they began with, so each question takes a new one.
    let refused = |stream| {
        let _first = raw::publisher(&server, "live", stream);
        let mut second = Rtmp::shake_hands(&server);
        second.connect("live");
        second.publish(stream) == "NetStream.Publish.BadName"
    };
    assert!(refused("before"));

    file.write("[stream]\nsecond_publisher = \"takeover\"\n[log]\nrotation = \"hourly\"\n");
    server.signal("HUP");
    let line = server.wait_for_log(&["configuration read again"]);
    assert!(line.contains("stream.second_publisher"), "{line}");
    let _ = server.wait_for_log(&["when the server starts again", "log.rotation"]);
    assert!(!refused("after"), "the new setting does not hold");

    // What only a start can change is mentioned until there is one.
    server.signal("HUP");
    wait_until("the server warns again", || {
        server.log().matches("when the server starts again").count() == 2
    });

    file.write("[stream]\nsecond_publisher = \"maybe\"\n");
    server.signal("HUP");
    let line = server.wait_for_log(&["the new configuration is refused"]);
    assert!(line.contains("live.toml:2:20") && line.contains("maybe"), "{line}");
    assert!(!refused("still"), "the last good setting does not hold");
    server.assert_healthy();
}

#[test]
fn signals_are_heard_from_the_start_and_those_of_lal_stop() {
    // Nothing is served, so that nothing is in the way of others.
    const QUIET: &str = "rtmp.enable = false\nrtsp.enable = false\napi.enable = false\n\
                         http.listen = []\nhttp.tls_listen = []\n";
    for stop in ["USR1", "USR2"] {
        // The configuration does not come before the signals do.
        let file = File::new("quiet.toml", QUIET);
        let folder = file.folder.path();
        let _ = program("mkfifo", [folder.join("pipe")]).finish();
        // As scripts start lal: without a command.
        let mut server = headwater(&["-p", &folder.to_string_lossy(), "-c", "pipe", "--quiet"]);
        wait_until("the server listens to signals", || {
            assert!(!server.has_ended(), "{}", server.stderr());
            [1, 2, 10, 12, 15].iter().all(|number| catches(server.pid(), *number))
        });
        server.signal("HUP");
        // What is read again is a file.
        let write = format!(
            "cd {} && exec 3> pipe && mv quiet.toml pipe && cat pipe >&3",
            folder.display()
        );
        let _ = program("timeout", ["20", "sh", "-c", &write]).finish();
        wait_until("the configuration is read again", || {
            server.stderr().contains("configuration read again")
        });
        server.signal(stop);
        assert!(server.wait().success(), "{}", server.stderr());
        assert!(server.stderr().contains("stopped"), "{}", server.stderr());
    }
}

/// Whether a process has something of its own to do at a signal.
fn catches(pid: u32, number: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

#[test]
fn lals_arguments_mean_what_they_mean_to_lal() {
    for argument in ["-v", "-V", "--version"] {
        let said = headwater(&[argument]).finish();
        assert!(said.starts_with("headwater ") && said.lines().count() == 1, "{said}");
    }
    assert_refused(said(headwater(&["-c", "/nowhere.json"])), &["/nowhere.json"]);
    // Go's way to write it.
    assert_refused(said(headwater(&["-c=/nowhere.json"])), &["cannot be read", " /nowhere.json"]);
    let (success, help) = said(headwater(&[]));
    assert!(!success && help.contains("Commands:"), "{help}");
}

#[test]
fn a_second_server_says_which_port_is_taken() {
    let server = Server::start(&[]);
    let listen = format!("rtmp.listen=127.0.0.1:{}", server.port("rtmp"));
    assert_refused(said_by_serve(&["--set", &listen]), &["rtmp.listen", "in use"]);
}

#[test]
fn logs_go_to_a_file_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("logs").join("headwater.log");
    let setting = format!("log.file={}", path.display());
    let mut server = Server::start(&[&setting, "log.format=json"]);
    drop(raw::publisher(&server, "live", "logged"));
    let _ = server.wait_for_log(&["session ended"]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let logs = files(&folder.path().join("logs"));
    // Whoever follows the file that was named finds it.
    assert!(logs.contains(&path), "{logs:?}");
    // There are two where a day has just ended.
    let text: String = logs.iter().map(|path| fs::read_to_string(path).expect("the log")).collect();
    assert!(text.contains("session ended") && text.contains("live/logged"), "{text}");
    for line in text.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder of logs");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Resident memory in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// Processor time in ticks of 10 ms.
fn processor_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    [11, 12].iter().map(|&field| fields[field].parse::<u64>().expect("ticks")).sum()
}

#[test]
fn an_idle_server_needs_next_to_nothing() {
    let server = Server::start(&["stream.grace=0s"]);
    // It has worked before, and idles again.
    let mut publisher = raw::publisher(&server, "live", "once");
    let programme = Programme::live(300_000);
    programme.config().iter().for_each(|item| publisher.item(item));
    let viewer = FlvViewer::of(&server, "live/once");
    programme.items().take(200).for_each(|item| publisher.item(&item));
    drop((publisher, viewer));
    wait_until("nothing is left", || !server.is_live("live/once"));

    let (start, before) = (Instant::now(), processor_time(server.pid()));
    wait_until("two seconds are over", || start.elapsed() > Duration::from_secs(2));
    let spent = processor_time(server.pid()) - before;
    assert!(spent <= 2, "{spent} ticks of work in two idle seconds");
    let memory = memory(server.pid());
    assert!(memory < 40 << 20, "{memory} bytes when idle");
}
