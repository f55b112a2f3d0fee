//! The floors of the house: a crate uses what lies below it, never what lies beside or above.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The floor of each crate; ARCHITECTURE.md has the same table.
const FLOORS: &[(&str, u8)] = &[
    ("headwater-media", 0),
    ("headwater-auth", 1),
    ("headwater-flv", 1),
    ("headwater-head", 1),
    ("headwater-mpeg", 1),
    ("headwater-mp4", 1),
    ("headwater-rtp", 1),
    ("headwater-ws", 1),
    ("headwater-hls", 2),
    ("headwater-rtmp", 2),
    ("headwater-rtsp", 2),
    ("headwater-gb28181", 2),
    ("headwater-hub", 3),
    ("headwater-net", 4),
    ("headwater-config", 4),
    ("headwater-outgoing", 4),
    ("headwater-session", 5),
    ("headwater-access", 5),
    ("headwater-control", 6),
    ("headwater", 7),
];

/// Crates that do not know each other, whatever their floors: `hub` has what they share.
const STRANGERS: &[(&str, &str)] =
    &[("headwater-control", "headwater-session"), ("headwater-session", "headwater-config")];

/// Crates of development that nothing on the floors may depend on, except in tests.
const BESIDE: &[&str] = &["headwater-testkit", "headwater-e2e", "headwater-bench"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Name, and the names of what it depends on outside of tests, with whether that is optional.
fn packages(metadata: &Value) -> Vec<(String, Vec<(String, bool)>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|d| (text(&d["name"]), d["optional"] == Value::Bool(true)))
                .collect();
            (text(&package["name"]), dependencies)
        })
        .collect()
}

#[test]
fn dependencies_run_downwards() {
    let floors: HashMap<&str, u8> = FLOORS.iter().copied().collect();
    for (name, dependencies) in packages(&metadata()) {
        let Some(floor) = floors.get(name.as_str()) else {
            assert!(BESIDE.contains(&name.as_str()), "{name} is on no floor: add it to FLOORS");
            continue;
        };
        for (dependency, _) in dependencies {
            assert!(!BESIDE.contains(&dependency.as_str()), "{name} depends on {dependency}");
            let pair = (name.as_str(), dependency.as_str());
            assert!(!STRANGERS.contains(&pair), "{name} uses {dependency}");
            if let Some(below) = floors.get(dependency.as_str()) {
                assert!(below < floor, "{name} (floor {floor}) uses {dependency} (floor {below})");
            }
        }
    }
}

#[test]
fn the_lower_floors_do_no_io() {
    const RUNTIMES: &[&str] =
        &["tokio", "mio", "socket2", "rustls", "tokio-rustls", "hyper", "axum"];
    let lower: Vec<&str> =
        FLOORS.iter().filter(|(_, floor)| *floor <= 3).map(|(n, _)| *n).collect();
    for (name, dependencies) in packages(&metadata()) {
        if lower.contains(&name.as_str()) {
            for (dependency, optional) in dependencies {
                // Protocol crates offer a small client behind a feature.
                let allowed = optional && dependency == "tokio";
                let runtime = RUNTIMES.contains(&dependency.as_str());
                assert!(allowed || !runtime, "{name} names {dependency}");
            }
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map is there");
    for (name, _) in FLOORS {
        let short = name.trim_start_matches("headwater-");
        assert!(map.contains(&format!("crates/{short})")), "ARCHITECTURE.md lacks {short}");
    }
}

/// Clocks, randomness and tasks come in from above.
#[test]
fn the_lower_floors_read_no_clock() {
    const FORBIDDEN: &[&str] =
        &["Instant::now", "SystemTime::now", "std::net::TcpStream", "thread::spawn", "unsafe {"];
    for (name, floor) in FLOORS {
        if *floor > 3 {
            continue;
        }
        let source = root().join("crates").join(name.trim_start_matches("headwater-")).join("src");
        for file in rust_files(&source) {
            let text = fs::read_to_string(&file).expect("a source file");
            // Tests may, and so may the async client behind its feature.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            let exempt = ["tests.rs", "tokio_client.rs"].iter().any(|end| file.ends_with(end));
            for word in FORBIDDEN.iter().filter(|_| !exempt) {
                assert!(!code.contains(word), "{} contains {word}", file.display());
            }
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn unsafe_code_stands_in_one_place() {
    let output = Command::new("git")
        .args([
            "grep",
            "-l",
            "--untracked",
            "-E",
            r"\bunsafe\s*(\{|fn|impl|extern)|allow\(unsafe_code",
            "--",
            "*.rs",
        ])
        .current_dir(root())
        .output()
        .expect("git");
    let text = String::from_utf8_lossy(&output.stdout);
    let files: Vec<_> = text.lines().filter(|file| *file != "tests/tests/layering.rs").collect();
    assert_eq!(files, ["crates/net/src/uring.rs"]);
}
