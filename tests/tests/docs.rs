//! The documentation leads somewhere: its links exist, and it has every command of the program.

use std::path::Path;
use std::process::Command;

use headwater_e2e::{headwater, root};

/// Every tracked page, with its text.
fn pages() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(root())
        .output()
        .expect("git");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("a page");
    names.lines().map(|name| (name.to_owned(), read(name))).collect()
}

/// The targets of a page's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// How a heading is linked to.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > 10, "only {} pages", pages.len());
    for (name, text) in &pages {
        let folder = Path::new(name).parent().expect("a folder");
        for link in links(text).filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { root().join(name) } else { root().join(folder).join(path) };
            assert!(target.exists(), "{name} links to {link}, which is not there");
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).expect("a page");
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{name} links to {link}, but there is no such heading"
                );
            }
        }
    }
}

#[test]
fn every_command_is_documented() {
    let help = headwater(&["--help"]).finish();
    let commands = help.split("Commands:").nth(1).expect("commands");
    let commands: Vec<&str> = commands
        .lines()
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    let text: String = pages().into_iter().map(|(_, text)| text).collect();
    for command in commands {
        assert!(text.contains(&format!("headwater {command}")), "{command} is not documented");
    }
}
