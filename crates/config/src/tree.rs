//! Values before they are settings: a tree that remembers where each value comes from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{Place, Problem};
use super::sections::Stream;
use super::suggest::nearest;
use super::{Config, OVERRIDES};

/// Values by section and key, and the places of both.
#[derive(Debug, Default)]
pub(super) struct Tree {
    values: Table,
    spots: BTreeMap<String, Spot>,
}

/// Where a key and its value stand.
#[derive(Debug, Clone)]
struct Spot {
    key: Place,
    value: Place,
}

impl Tree {
    /// Reads a TOML file.
    pub(super) fn from_toml(file: &Arc<str>, text: &str) -> Result<Self, Problem> {
        let source = Source::new(file, text);
        let wrong = |error: toml::de::Error| {
            let place = match error.span() {
                Some(span) => source.place(&span),
                None => Place::File { file: file.clone(), at: None },
            };
            Problem::new(place, "", error.message())
        };
        let spanned = DeTable::parse(text).map_err(wrong)?;
        let mut tree = Self { values: text.parse().map_err(wrong)?, spots: BTreeMap::new() };
        tree.remember_table(&source, "", spanned.get_ref());
        Ok(tree)
    }

    /// A single value under its dotted path.
    pub(super) fn single(path: &str, value: Value, place: Place) -> Self {
        let only = |key: &str, value| Table::from_iter([(key.to_owned(), value)]);
        let values = match path.split_once('.') {
            Some((section, key)) => only(section, Value::Table(only(key, value))),
            None => only(path, value),
        };
        let mut tree = Self::default();
        tree.remember_all("", &values, &Spot { key: place.clone(), value: place });
        tree.values = values;
        tree
    }

    /// Takes over the values of `other`, which take precedence. Both have [the right
    /// shape](Self::drop_misplaced).
    pub(super) fn merge(&mut self, other: Self) {
        for (section, values) in other.values {
            match (self.values.get_mut(&section), values) {
                (Some(Value::Table(ours)), Value::Table(theirs)) => {
                    for (key, value) in theirs {
                        forget(&mut self.spots, &join(&section, &key));
                        ours.insert(key, value);
                    }
                }
                (_, values) => {
                    forget(&mut self.spots, &section);
                    self.values.insert(section, values);
                }
            }
        }
        self.spots.extend(other.spots);
    }

    /// Where the value of a key comes from.
    pub(super) fn place(&self, path: &str) -> Place {
        self.spot(path).map_or(Place::Default, |spot| spot.value.clone())
    }

    /// Where a key stands, or what it is in.
    fn spot(&self, path: &str) -> Option<&Spot> {
        let mut path = path;
        loop {
            if let Some(spot) = self.spots.get(path) {
                return Some(spot);
            }
            // Not a section's spot for a key that it does not say: that has its default.
            let end = path.rfind('[')?;
            path = path.get(..end)?;
        }
    }

    /// Removes, and reports, what is neither a section nor a key.
    pub(super) fn drop_misplaced(&mut self, problems: &mut Vec<Problem>) {
        let mut kept = Table::new();
        for (name, value) in std::mem::take(&mut self.values) {
            let section = Config::SECTIONS.iter().find(|section| section.name == name);
            match (section, value) {
                (Some(section), Value::Table(values)) => {
                    let known: Vec<_> = section.keys.iter().map(|key| key.name).collect();
                    let values = self.keep_known(&name, values, &known, problems);
                    kept.insert(name, Value::Table(values));
                }
                (Some(section), _) => {
                    let key = section.keys.first().map_or("", |key| key.name);
                    let what = "this is a section, not a key";
                    let remedy = format!("write its keys in it, such as {name}.{key}");
                    problems.push(self.problem(&name, what).remedy(remedy));
                }
                (None, Value::Array(items)) if name == OVERRIDES => {
                    let known: Vec<_> = std::iter::once("match")
                        .chain(Stream::KEYS.iter().map(|key| key.name))
                        .collect();
                    let keep = |(i, item)| match item {
                        Value::Table(values) => {
                            let path = format!("{OVERRIDES}[{i}]");
                            Value::Table(self.keep_known(&path, values, &known, problems))
                        }
                        other => other,
                    };
                    let items = items.into_iter().enumerate().map(keep).collect();
                    kept.insert(name, Value::Array(items));
                }
                (None, _) if name == OVERRIDES => {
                    let what = "this is a list of tables";
                    let remedy = "begin each with [[stream_override]], in double brackets";
                    problems.push(self.problem(&name, what).remedy(remedy));
                }
                (None, _) => problems.push(self.unknown(&name)),
            }
        }
        self.values = kept;
    }

    fn keep_known(
        &self,
        path: &str,
        values: Table,
        known: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Table {
        let mut kept = Table::new();
        for (key, value) in values {
            if known.contains(&key.as_str()) {
                kept.insert(key, value);
            } else {
                problems.push(self.unknown_in(path, &key, known));
            }
        }
        kept
    }

    /// A name at the top that is no section: perhaps a mistyped one, or a key outside of its own.
    fn unknown(&self, name: &str) -> Problem {
        let sections = Config::SECTIONS.iter().map(|section| section.name);
        let problem = self.problem(name, "there is no such section");
        let near = nearest(name, sections.chain([OVERRIDES]));
        if let Some(near) = near {
            return problem.remedy(format!("did you mean {near}?"));
        }
        let homes: Vec<_> = Config::SECTIONS
            .iter()
            .filter(|section| section.keys.iter().any(|key| key.name == name))
            .map(|section| format!("{}.{name}", section.name))
            .collect();
        match homes.as_slice() {
            [] => problem.remedy("remove it, or see `headwater config print` for all keys"),
            homes => problem.remedy(format!("did you mean {}?", homes.join(" or "))),
        }
    }

    fn unknown_in(&self, path: &str, key: &str, known: &[&str]) -> Problem {
        let problem = self.problem(&join(path, key), "there is no such key");
        if let Some(near) = nearest(key, known.iter().copied()) {
            return problem.remedy(format!("did you mean {}?", join(path, near)));
        }
        let elsewhere = Config::SECTIONS.iter().find_map(|section| {
            let key = section.keys.iter().find(|candidate| candidate.name == key)?;
            Some(join(section.name, key.name))
        });
        match elsewhere {
            Some(home) => problem.remedy(format!("did you mean {home}?")),
            None => problem.remedy(format!("[{}] has {}", section_of(path), known.join(", "))),
        }
    }

    fn problem(&self, path: &str, what: &str) -> Problem {
        let place = self.spot(path).map_or(Place::Default, |spot| spot.key.clone());
        Problem::new(place, path, what)
    }

    /// The settings. A value of the wrong type is reported, and has its default.
    pub(super) fn read(&self, problems: &mut Vec<Problem>) -> Config {
        let mut values = self.values.clone();
        // Each round removes a value, so that this ends.
        loop {
            let error = match serde_path_to_error::deserialize::<_, Config>(values.clone()) {
                Ok(config) => return config,
                Err(error) => error,
            };
            let path = error.path().to_string();
            let what = error.inner().message().replace("expected u32", "expected a whole number");
            problems.push(Problem::new(self.place(&path), &path, what).remedy(remedy(&path)));
            if !remove(&mut values, &path) {
                return Config::default();
            }
        }
    }

    /// Everything in `values` stands in one place.
    fn remember_all(&mut self, path: &str, values: &Table, spot: &Spot) {
        for (key, value) in values {
            let path = join(path, key);
            if let Value::Table(values) = value {
                self.remember_all(&path, values, spot);
            }
            self.spots.insert(path, spot.clone());
        }
    }

    fn remember_table(&mut self, source: &Source<'_>, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            let spot = Spot { key: source.place(&key.span()), value: source.place(&value.span()) };
            self.spots.insert(path.clone(), spot);
            self.remember_value(source, &path, value);
        }
    }

    fn remember_value(&mut self, source: &Source<'_>, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.remember_table(source, path, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    let place = source.place(&item.span());
                    let spot = Spot { key: place.clone(), value: place };
                    self.spots.insert(path.clone(), spot);
                    self.remember_value(source, &path, item);
                }
            }
            _ => {}
        }
    }
}

/// A text and where it is from.
struct Source<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    /// Where its lines begin.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(file: &'a Arc<str>, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(i, _)| i + 1);
        Self { file, text, lines: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// Where a span of bytes begins.
    fn place(&self, span: &Range<usize>) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= span.start);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(begin..span.start).unwrap_or_default();
        let at = Some((line, before.chars().count() + 1));
        Place::File { file: self.file.clone(), at }
    }
}

/// What a value of the wrong type should have been.
fn remedy(path: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let name = name.split('[').next().unwrap_or(name);
    let section = section_of(path);
    if section == OVERRIDES && !path.contains('.') {
        return "each [[stream_override]] needs a match, such as match = \"live/cam*\"".to_owned();
    }
    let section = if section == OVERRIDES { "stream" } else { section };
    let defaults = Config::default().to_table();
    let default = defaults.get(section).and_then(|section| section.get(name));
    let range = Config::key(&join(section, name)).and_then(|(_, key)| key.range);
    match (default, range) {
        (Some(default), Some(range)) => {
            let (least, most) = range();
            format!("write {name} = {default}, or anything from {least} to {most}")
        }
        (Some(default), None) => format!("the default is {name} = {default}"),
        (None, _) => String::new(),
    }
}

/// The section that a path begins with.
fn section_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// Removes the key that a path leads to, or the whole list that it leads into.
fn remove(values: &mut Table, path: &str) -> bool {
    let section = section_of(path);
    let key = path.get(section.len() + 1..).and_then(|rest| rest.split(['.', '[']).next());
    match (values.get_mut(section), key) {
        (Some(Value::Table(table)), Some(key)) if table.contains_key(key) => {
            table.remove(key).is_some()
        }
        _ => values.remove(section).is_some(),
    }
}

/// Forgets where a key, and all in it, came from.
fn forget(spots: &mut BTreeMap<String, Spot>, path: &str) {
    spots.retain(|known, _| {
        known
            .strip_prefix(path)
            .is_none_or(|rest| !(rest.is_empty() || rest.starts_with(['.', '['])))
    });
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
