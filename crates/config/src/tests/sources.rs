//! Which source wins, and who is named when it is wrong.

use std::fs;
use std::path::Path;

use super::super::*;

fn sources(environment: &[(&str, &str)], arguments: &[&str]) -> Sources {
    Sources {
        environment: environment.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        arguments: arguments.iter().map(|a| (*a).into()).collect(),
        ..Sources::default()
    }
}

#[test]
fn arguments_win_over_the_environment_and_that_over_the_file() {
    let text = "[rtmp]\nlisten = ':1'\nchunk_size = 4096\n[stream]\ngops = 7\n";
    let sources = sources(
        &[
            ("HEADWATER_RTMP__LISTEN", ":2"),
            ("HEADWATER_STREAM__GOPS", "8"),
            ("PATH", "/bin"),
            ("HEADWATER_PORT_1935_TCP", "tcp://10.0.0.1:1935"),
        ],
        &["stream.gops = 9", "server.id=7"],
    );
    let loaded = sources.combine(Some((Path::new("a.toml"), text.to_owned()))).unwrap();
    assert_eq!(loaded.config.rtmp.chunk_size, 4096);
    assert_eq!(loaded.config.rtmp.listen, [":2".parse().unwrap()].into_iter().collect());
    assert_eq!(loaded.config.stream.gops, 9);
    assert_eq!(loaded.config.server.id, "7");
    assert_eq!(loaded.place("rtmp.chunk_size").to_string(), "a.toml:3:14");
    assert_eq!(
        loaded.place("rtmp.listen").to_string(),
        "environment variable HEADWATER_RTMP__LISTEN"
    );
    assert_eq!(loaded.place("stream.gops").to_string(), "--set stream.gops = 9");
    let rendered = loaded.render();
    assert!(rendered.contains("\nchunk_size = 4096 # from a.toml:3:14\n"), "{rendered}");
    assert!(rendered.contains("\ngrace = \"10s\"\n"), "{rendered}");
    assert_eq!(toml::from_str::<Config>(&rendered).unwrap(), loaded.config);
}

#[test]
fn values_outside_of_files_need_no_quotes_and_no_brackets() {
    let loaded = sources(
        &[
            ("HEADWATER_RTMP__LISTEN", ":1, 127.0.0.1:2"),
            ("HEADWATER_HTTP__LISTEN", "[':3']"),
            ("HEADWATER_API__LISTEN", ""),
            ("HEADWATER_STREAM__GRACE", "1m"),
            ("HEADWATER_STREAM__TRACK_WAIT", "500"),
            ("HEADWATER_STREAM_OVERRIDE", "[{match = 'a*', gops = 3}]"),
        ],
        &["log.level=warn", "log.file=\"quoted.log\"", "tls={cert='c', key='k'}"],
    )
    .combine(None)
    .unwrap();
    let config = &loaded.config;
    let listed = |addresses: &values::Addresses| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(&config.rtmp.listen), ":1 127.0.0.1:2");
    assert_eq!(listed(&config.http.listen), ":3");
    assert!(config.api.listen.is_empty());
    assert_eq!(config.stream.grace.get().as_secs(), 60);
    assert_eq!(config.stream.track_wait.get().as_millis(), 500);
    assert_eq!(config.stream("abc").gops, 3);
    assert_eq!(config.log.level, values::Level::Warn);
    assert_eq!(config.log.file.get(), Some(Path::new("quoted.log")));
    assert_eq!(config.tls.key.get(), Some(Path::new("k")));
    assert_eq!(loaded.place("tls.key").to_string(), "--set tls={cert='c', key='k'}");
}

#[test]
fn errors_name_their_source() {
    let error = sources(
        &[("HEADWATER_RTMP__LISTN", ":2"), ("HEADWATER_STREAM__GOPS", "many")],
        &["stream.grace=soon", "nonsense", "stream_override=[{gops=1}]"],
    )
    .combine(None)
    .unwrap_err()
    .to_string();
    let expected = [
        "--set nonsense: there is no = in it; write --set KEY=VALUE, such as --set \
         rtmp.listen=:1935",
        "environment variable HEADWATER_RTMP__LISTN: rtmp.listn: there is no such key; did you \
         mean rtmp.listen?",
        "environment variable HEADWATER_STREAM__GOPS: stream.gops: invalid type: string \"many\", \
         expected a whole number; write gops = 1, or anything from 0 to 64",
        "--set stream.grace=soon: stream.grace: \"soon\" does not begin with a number; write \
         grace = \"10s\", or anything from 0s to 1h",
        "--set stream_override=[{gops=1}]: stream_override[0]: missing field `match`; each \
         [[stream_override]] needs a match, such as match = \"live/cam*\"",
    ];
    let mut lines: Vec<_> = error.lines().collect();
    let mut expected = expected.to_vec();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn one_underscore_too_few_is_noticed() {
    let loaded = sources(&[("HEADWATER_RTMP_CHUNK_SIZE", "5")], &[]).combine(None).unwrap();
    assert_eq!(
        loaded.warnings.first().map(String::as_str),
        Some(
            "environment variable HEADWATER_RTMP_CHUNK_SIZE is not a setting; did you mean \
             HEADWATER_RTMP__CHUNK_SIZE, with two underscores?"
        )
    );
}

#[test]
fn files_are_told_apart_by_ending_and_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let toml = load(&write("a.conf", "\u{feff}[stream]\ngops = 2\n")).unwrap();
    assert_eq!(toml.config.stream.gops, 2);
    for name in ["a.json", "b.conf"] {
        let json = load(&write(name, r#" {"rtmp": {"enable": true, "gop_num": 3}}"#)).unwrap();
        assert_eq!(json.config.stream.gops, 3);
        assert_eq!(json.file, Some(directory.path().join(name)));
    }
}

#[test]
fn a_file_that_is_not_there_or_not_a_configuration_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(&directory.path().join("none.toml")).unwrap_err().to_string();
    assert!(missing.contains("none.toml: cannot be read: "), "{missing}");
    let big = directory.path().join("big.toml");
    fs::write(&big, vec![b'#'; (1 << 20) + 1]).unwrap();
    let error = load(&big).unwrap_err().to_string();
    assert!(error.ends_with("is larger than 1048576 bytes; is it a configuration?"), "{error}");
    fs::write(&big, [0xFF, 0xFE]).unwrap();
    assert!(load(&big).is_err());
}

#[test]
fn a_text_takes_the_place_of_a_file_and_the_programs_settings_win() {
    let settings = [("stream.gops", "9"), ("rtmp.listen", ":3,:4"), ("http.listen", "[]")];
    let sources = Sources {
        text: Some("[stream]\ngops = 7\nmax_skips = 3\n".to_owned()),
        settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        ..sources(&[("HEADWATER_STREAM__GOPS", "8")], &["stream.gops=5"])
    };
    let loaded = sources.load().unwrap();
    assert_eq!((loaded.config.stream.gops, loaded.config.stream.max_skips), (9, 3));
    assert_eq!(loaded.config.rtmp.listen.iter().count(), 2);
    assert_eq!(loaded.config.http.listen.iter().count(), 0);
    assert_eq!(loaded.place("stream.gops").to_string(), "the program's setting stream.gops");
    assert_eq!(loaded.place("stream.max_skips").to_string(), "configuration:3:13");
    assert_eq!(loaded.file, None);

    let json = r#"{"conf_version": "v0.4.1", "rtmp": {"enable": true, "addr": ":7"}}"#;
    let lal = Sources { text: Some(json.to_owned()), ..Sources::default() }.load().unwrap();
    assert_eq!(lal.place("rtmp.listen").to_string(), "configuration, lal's key rtmp.addr");
    let wrong = Sources { text: Some("[stream".to_owned()), ..Sources::default() }.load();
    assert!(wrong.unwrap_err().to_string().starts_with("configuration:1:"));
}
