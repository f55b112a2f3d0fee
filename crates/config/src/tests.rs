//! What must hold for the configuration as a whole.

mod errors;
mod lal;
mod sources;

use std::path::Path;

use proptest::prelude::*;
pub(super) use proptest::test_runner::TestRng;

use super::units::{Size, Span};
use super::values::{
    Address, Addresses, Device, FilePath, FlushAfter, Networks, Pattern, Prefixes, PullRule,
    PushRule, User, Word, Words, network,
};
use super::*;

/// Draws any value, sensible or not.
pub(super) trait Sample {
    fn sample(rng: &mut TestRng) -> Self;
}

impl Sample for bool {
    fn sample(rng: &mut TestRng) -> Self {
        rng.random()
    }
}

impl Sample for u32 {
    fn sample(rng: &mut TestRng) -> Self {
        rng.random()
    }
}

impl Sample for Span {
    fn sample(rng: &mut TestRng) -> Self {
        Self::from_millis(rng.random_range(0..1 << 36))
    }
}

impl Sample for Size {
    fn sample(rng: &mut TestRng) -> Self {
        Self::from_bytes(rng.random_range(0..1 << 40))
    }
}

impl Sample for String {
    /// Quotes, line ends, comments and all that TOML must escape.
    fn sample(rng: &mut TestRng) -> Self {
        const LETTERS: [char; 12] =
            ['a', '1', '"', '\'', '\\', '\n', '\r', '#', '\u{0}', '\u{7f}', 'é', '\u{1f600}'];
        (0..rng.random_range(0..8)).map(|_| pick(rng, &LETTERS)).collect()
    }
}

impl Sample for FilePath {
    fn sample(rng: &mut TestRng) -> Self {
        Self::from(String::sample(rng).as_str())
    }
}

impl Sample for FlushAfter {
    fn sample(rng: &mut TestRng) -> Self {
        match rng.random_range(0..3) {
            0 => Self::AsStream,
            _ => Self::After(Span::from_millis(rng.random_range(0..=350))),
        }
    }
}

impl Sample for Pattern {
    fn sample(rng: &mut TestRng) -> Self {
        Self::from(String::sample(rng).as_str())
    }
}

impl Sample for Address {
    fn sample(rng: &mut TestRng) -> Self {
        let text = match rng.random_range(0..3) {
            0 => format!(":{}", rng.random::<u16>()),
            1 => format!("127.0.0.1:{}", rng.random::<u16>()),
            _ => format!("[::1]:{}", rng.random::<u16>()),
        };
        text.parse().unwrap()
    }
}

impl Sample for Addresses {
    fn sample(rng: &mut TestRng) -> Self {
        Vec::sample(rng).into_iter().collect()
    }
}

impl Sample for Prefixes {
    fn sample(rng: &mut TestRng) -> Self {
        Vec::sample(rng).into_iter().collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(rng: &mut TestRng) -> Self {
        rng.random::<bool>().then(|| T::sample(rng))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(rng: &mut TestRng) -> Self {
        (0..rng.random_range(0..3)).map(|_| T::sample(rng)).collect()
    }
}

impl<T: Word> Sample for T {
    fn sample(rng: &mut TestRng) -> Self {
        pick(rng, T::ALL)
    }
}

impl<T: Word> Sample for Words<T> {
    fn sample(rng: &mut TestRng) -> Self {
        T::ALL.iter().copied().filter(|_| rng.random()).collect()
    }
}

impl Sample for Networks {
    fn sample(rng: &mut TestRng) -> Self {
        let all = ["192.0.2.0/24", "127.0.0.1", "2001:db8::/32"];
        all.iter().filter(|_| rng.random()).filter_map(|text| network(text).ok()).collect()
    }
}

impl Sample for Vec<User> {
    fn sample(rng: &mut TestRng) -> Self {
        let user = |rng: &mut TestRng| User {
            name: Sample::sample(rng),
            password: Sample::sample(rng),
            publish: vec![Sample::sample(rng)],
            play: Vec::new(),
            api: Sample::sample(rng),
        };
        (0..rng.random_range(0..3)).map(|_| user(rng)).collect()
    }
}

impl Sample for Vec<Device> {
    fn sample(rng: &mut TestRng) -> Self {
        let device =
            |rng: &mut TestRng| Device { id: Sample::sample(rng), password: Sample::sample(rng) };
        (0..rng.random_range(0..3)).map(|_| device(rng)).collect()
    }
}

impl Sample for Vec<PullRule> {
    fn sample(rng: &mut TestRng) -> Self {
        let rule = |rng: &mut TestRng| PullRule {
            stream: Sample::sample(rng),
            from: vec![Sample::sample(rng)],
            start: Sample::sample(rng),
            stop_after: Sample::sample(rng),
            rtsp_transport: Sample::sample(rng),
            standby: Sample::sample(rng),
        };
        (0..rng.random_range(0..3)).map(|_| rule(rng)).collect()
    }
}

impl Sample for Vec<PushRule> {
    fn sample(rng: &mut TestRng) -> Self {
        let rule = |rng: &mut TestRng| PushRule {
            stream: Sample::sample(rng),
            to: vec![Sample::sample(rng)],
            pulled: Sample::sample(rng),
            rtsp_transport: Sample::sample(rng),
        };
        (0..rng.random_range(0..3)).map(|_| rule(rng)).collect()
    }
}

fn pick<T: Copy>(rng: &mut TestRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

/// Reads `text` as the file `headwater.toml`.
fn read(text: &str) -> Result<Loaded, Error> {
    Sources::default().combine(Some((Path::new("headwater.toml"), text.to_owned())))
}

fn any_config() -> impl Strategy<Value = Config> {
    Just(()).prop_perturb(|(), mut rng| Config::sample(&mut rng))
}

proptest! {
    #[test]
    fn a_configuration_survives_toml(config in any_config()) {
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(&toml::from_str::<Config>(&text).unwrap(), &config);
        let text = render::render(&config, &|_| Some(Place::Argument("a=\n[b]".into())));
        prop_assert_eq!(&toml::from_str::<Config>(&text).unwrap(), &config, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String, toml in "[a-z_.\\[\\]= \"0-9\n]{0,60}") {
        for text in [text, toml] {
            for name in ["a.toml", "a.json", "a"] {
                let _ = Sources::default().combine(Some((Path::new(name), text.clone())));
            }
            let sources = Sources {
                environment: vec![(format!("HEADWATER_{text}"), text.clone())],
                arguments: vec![text.clone(), format!("rtmp.listen={text}"), format!("{text}=1")],
                ..Sources::default()
            };
            let _ = sources.combine(None);
        }
    }

    #[test]
    fn a_damaged_sample_is_read_or_refused(at: prop::sample::Index, with: char) {
        let sample = Config::sample_toml();
        let (i, old) = sample.char_indices().nth(at.index(sample.len() - 1)).unwrap();
        let text = format!("{}{with}{}", &sample[..i], &sample[i + old.len_utf8()..]);
        let _ = read(&text);
    }
}

#[test]
fn the_sample_is_the_default_and_has_every_key() {
    let sample = Config::sample_toml();
    let loaded = read(&sample).unwrap();
    assert_eq!(loaded.config, Config::default());
    let table: toml::Table = sample.parse().unwrap();
    for section in Config::SECTIONS {
        for key in section.keys {
            assert!(table[section.name].get(key.name).is_some(), "{}.{}", section.name, key.name);
        }
    }
    assert!(sample.lines().all(|line| line.len() <= 100));
}

#[test]
fn the_default_makes_sense() {
    let loaded = Sources::default().combine(None).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.place("rtmp.listen"), Place::Default);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

#[test]
fn the_sections_are_those_of_the_tree() {
    let table = Config::default().to_table();
    let names: Vec<_> = Config::SECTIONS.iter().map(|section| section.name).collect();
    assert_eq!(table.len(), names.len());
    for section in Config::SECTIONS {
        let keys = table[section.name].as_table().unwrap();
        assert_eq!(keys.len(), section.keys.len());
    }
}

#[test]
fn the_last_override_that_matches_wins_key_by_key() {
    let loaded = read(
        "[stream]\ngops = 3\n\
         [[stream_override]]\nmatch = 'live/*'\ngops = 5\ngrace = '1m'\n\
         [[stream_override]]\nmatch = 'live/cam?'\ngops = 0\n",
    );
    let config = loaded.unwrap().config;
    let rules = |name| {
        let rules = config.stream(name);
        (rules.gops, rules.grace.get().as_secs())
    };
    assert_eq!(rules("other/cam1"), (3, 10));
    assert_eq!(rules("live/studio"), (5, 60));
    assert_eq!(rules("live/cam1"), (0, 60));
}

#[test]
fn a_reload_says_what_has_to_wait() {
    let old = Config::default();
    assert!(old.diff(&old).is_empty());
    let new = read(
        "rtmp.listen = ':1936'\nlog.level = 'debug'\nstream.gops = 2\n\
         [[stream_override]]\nmatch = '*'\n",
    );
    let reload = old.diff(&new.unwrap().config);
    assert_eq!(reload.applied, ["log.level", "stream.gops", "stream_override"]);
    assert_eq!(reload.needs_restart, ["rtmp.listen"]);
}

#[test]
fn what_only_a_start_reads_stays_while_the_server_runs() {
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for _ in 0..32 {
        let (started, new) = (Config::sample(&mut rng), Config::sample(&mut rng));
        let wanted = started.diff(&new);
        let holds = started.diff(&new.while_running(&started));
        assert_eq!(holds, Reload { applied: wanted.applied, needs_restart: Vec::new() });
    }
}

/// The rows of the tables in the documentation.
fn rows() -> Vec<String> {
    let defaults = Config::default().to_table();
    let mut rows = Vec::new();
    for section in Config::SECTIONS {
        for key in section.keys {
            let default = defaults[section.name][key.name].to_string();
            let range = key
                .range
                .map(|range| range())
                .map_or_else(String::new, |(least, most)| format!(" From `{least}` to `{most}`."));
            let effect = match key.effect {
                Effect::Live => "reload",
                Effect::Restart => "restart",
            };
            let about = key.about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
            rows.push(format!("| `{}` | `{default}` | {effect} | {about}{range} |", key.name));
        }
    }
    rows
}

#[test]
fn the_documentation_has_every_key_as_it_is() {
    let documentation = include_str!("../../../docs/configuration.md");
    let missing: Vec<_> = rows().into_iter().filter(|row| !documentation.contains(row)).collect();
    assert!(missing.is_empty(), "put these into the tables:\n{}", missing.join("\n"));
    for section in Config::SECTIONS {
        let heading = format!("### `[{}]`", section.name);
        assert!(documentation.contains(&heading), "{heading}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let documentation = include_str!("../../../docs/configuration.md");
    let mut count = 0;
    for block in documentation.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        assert!(read(text).is_ok(), "{text}: {}", read(text).unwrap_err());
        count += 1;
    }
    assert!(count > 5);
}
