//! A configuration as a commented TOML file.

use std::fmt::Write;

use toml::{Table, Value};

use super::error::Place;
use super::sections::Stream;
use super::{Config, OVERRIDES};

/// Writes every key, and behind those that `origin` knows, where they come from.
pub(super) fn render(config: &Config, origin: &dyn Fn(&str) -> Option<Place>) -> String {
    let values = config.to_table();
    let mut text = String::from(
        "# Every setting of Headwater. What is left out has the default value, which is what\n\
         # stands here unless a comment says where it is from. Durations are written like\n\
         # \"1m30s\" or \"350ms\", sizes like \"8MiB\".\n",
    );
    for section in Config::SECTIONS {
        text.push('\n');
        comment(&mut text, section.about);
        line(&mut text, &format!("[{}]", section.name), None);
        let Some(values) = values.get(section.name).and_then(Value::as_table) else { continue };
        for key in section.keys {
            comment(&mut text, key.about);
            let place = origin(&format!("{}.{}", section.name, key.name));
            entry(&mut text, values, key.name, place);
        }
    }
    text.push('\n');
    overrides(&mut text, &values, origin);
    text
}

fn overrides(text: &mut String, values: &Table, origin: &dyn Fn(&str) -> Option<Place>) {
    text.push_str(
        "# Rules for the streams whose path matches a pattern: `*` stands for any characters,\n\
         # slashes included, `?` for one. Any key of [stream] can be set. Of several that match,\n\
         # the later one wins, key by key.\n",
    );
    let list = values.get(OVERRIDES).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        text.push_str("#[[stream_override]]\n#match = \"live/cam*\"\n#gops = 2\n#grace = \"1m\"\n");
    }
    for (i, item) in list.iter().enumerate() {
        let Some(item) = item.as_table() else { continue };
        let path = format!("{OVERRIDES}[{i}]");
        line(text, "[[stream_override]]", origin(&path));
        for key in std::iter::once("match").chain(Stream::KEYS.iter().map(|key| key.name)) {
            entry(text, item, key, origin(&format!("{path}.{key}")));
        }
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        // The lines of a documentation comment begin with a space.
        text.push('#');
        text.push_str(line);
        text.push('\n');
    }
}

fn entry(text: &mut String, values: &Table, key: &str, place: Option<Place>) {
    if let Some(value) = values.get(key) {
        line(text, &format!("{key} = {value}"), place);
    }
}

fn line(text: &mut String, content: &str, place: Option<Place>) {
    text.push_str(content);
    if let Some(place) = place {
        // An argument may contain anything; a comment ends with the line.
        let place = place.to_string().replace(char::is_control, " ");
        let _ = write!(text, " # from {place}");
    }
    text.push('\n');
}
