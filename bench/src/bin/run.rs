//! The whole bench: every scenario, one after the other, into a page with tables and plots.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use headwater_bench::case::Timing;
use headwater_bench::record::{Record, Row, Section};
use headwater_bench::scenario::{self, Level, Scale, Scenario};
use headwater_bench::server::Programs;
use headwater_bench::{machine, page, peer, plot, report};
use indicatif::{ProgressBar, ProgressStyle};

/// Measure servers beside each other and write the page.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these scenarios, whatever else is selected.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Name the scenarios and how long they take, and do nothing.
    #[arg(long)]
    list: bool,
    /// A look whether everything works: short, and with few viewers.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Every scenario, three times.
    #[arg(long)]
    full: bool,
    /// How long viewers come and go: 90s, 10m, 1h.
    #[arg(long, value_parser = seconds, default_value = "60s")]
    churn: f64,
    /// How often each case is run; the page shows the median. 1, or 3 with --full.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds to measure; at most 80. 10, or 3 with --quick.
    #[arg(long)]
    window: Option<f64>,
    /// Milliseconds between two reads of a viewer's socket.
    #[arg(long, default_value_t = 4.0)]
    sweep: f64,
    /// Seconds to wait before each case until nothing else runs.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// The server's program; beside this one by default.
    #[arg(long)]
    headwater: Option<PathBuf>,
    /// Where peers from registries were installed; `peers` in the build folder by default.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Scenarios that are not run keep what the page has of them.
    #[arg(long)]
    keep: bool,
    /// The page; plots and results go into a folder of the same name beside it.
    #[arg(long, default_value = "docs/benchmarks.md")]
    out: PathBuf,
}

/// With --quick, no scenario has more viewers.
const QUICK_VIEWERS: usize = 100;
/// With --quick, no scenario has more publishers.
const QUICK_PUBLISHERS: usize = 20;
/// With --quick, viewers come and go for no more seconds.
const QUICK_CHURN: f64 = 8.0;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let timing = arguments.timing();
    let rounds = arguments.rounds.unwrap_or(if arguments.full { 3 } else { 1 }).max(1);
    let all = scenario::all(arguments.scale());
    if arguments.list {
        print!("{}", list(&all, timing));
        return Ok(());
    }
    let scenarios = arguments.select(all)?;
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        bail!("server and viewers need a core each");
    }
    let programs = arguments.programs()?;
    let mut record = Record {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        processor: machine::processor()?,
        cores,
        kernel: machine::kernel()?,
        versions: peer::versions(&programs),
        arguments: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        quick: arguments.quick,
        rounds,
        window: timing.window,
        sections: Vec::new(),
    };
    let patience = Duration::from_secs(arguments.patience);
    record.sections = measure(&scenarios, &programs, timing, rounds, patience)?;
    let verdicts = report::verdicts(&record.sections);
    if arguments.keep {
        let order = scenario::all(arguments.scale());
        keep(&mut record, &arguments.out, &order)?;
    }
    write(&record, &arguments.out)?;
    println!("{verdicts}\n{} is written", arguments.out.display());
    Ok(())
}

impl Arguments {
    fn level(&self) -> Level {
        match (self.quick, self.full) {
            (true, _) => Level::Quick,
            (_, true) => Level::Full,
            _ => Level::Standard,
        }
    }

    fn scale(&self) -> Scale {
        let (most_viewers, most_publishers, churn) = if self.quick {
            (QUICK_VIEWERS, QUICK_PUBLISHERS, self.churn.min(QUICK_CHURN))
        } else {
            (usize::MAX, usize::MAX, self.churn)
        };
        Scale { most_viewers, most_publishers, churn }
    }

    fn timing(&self) -> Timing {
        let (settle, window) = if self.quick { (1.0, 3.0) } else { (3.0, 10.0) };
        let window = self.window.unwrap_or(window).clamp(1.0, 80.0);
        Timing { settle, window, sweep: self.sweep / 1000.0 }
    }

    fn select(&self, mut all: Vec<Scenario>) -> Result<Vec<Scenario>> {
        if self.only.is_empty() {
            all.retain(|scenario| scenario.level <= self.level());
            return Ok(all);
        }
        if let Some(name) = self.only.iter().find(|&name| all.iter().all(|s| s.name != *name)) {
            bail!("there is no scenario {name}; --list names them");
        }
        all.retain(|scenario| self.only.contains(&scenario.name));
        Ok(all)
    }

    fn programs(&self) -> Result<Programs> {
        let bench = std::env::current_exe()?.parent().context("no directory")?.to_owned();
        let headwater = self.headwater.clone().unwrap_or_else(|| bench.join("headwater"));
        let headwater = std::path::absolute(headwater)?;
        if !headwater.exists() {
            bail!("there is no server at {}; build it first", headwater.display());
        }
        let beside = bench.parent().unwrap_or(&bench).join("peers");
        let peers = std::path::absolute(self.peers.clone().unwrap_or(beside))?;
        Ok(Programs { bench, headwater, peers })
    }
}

/// Runs everything. Rounds are the outer loop: a neighbour's busy minute then spoils one run of
/// many cases and not all runs of one.
fn measure(
    scenarios: &[Scenario],
    programs: &Programs,
    timing: Timing,
    rounds: usize,
    patience: Duration,
) -> Result<Vec<Section>> {
    let mut sections: Vec<Section> = scenarios.iter().map(empty).collect();
    let total: f64 = scenarios.iter().map(|scenario| scenario.estimate(timing)).sum();
    let bar = progress(Duration::from_secs_f64(total) * u32::try_from(rounds)?);
    for round in 1..=rounds {
        for (scenario, section) in scenarios.iter().zip(&mut sections) {
            for (case, row) in scenario.cases.iter().zip(&mut section.rows) {
                let name = format!("{}: {}", scenario.name, case.name);
                bar.set_message(format!("round {round}, {name}"));
                machine::wait_for_quiet(patience)?;
                let run = case.run(programs, timing).map_err(|error| format!("{error:#}"));
                if let Err(why) = &run {
                    say(&bar, &format!("{name}: no result: {why}"));
                }
                row.runs.push(run);
                bar.inc(Duration::from_secs_f64(case.estimate(timing)).as_secs());
            }
            if round == rounds {
                section.verdicts = scenario.goals.iter().map(|goal| goal.judge(section)).collect();
                say(&bar, &format!("\n{}\n\n{}", section.title, section.table()));
                say(&bar, &report::verdicts(std::slice::from_ref(section)));
            }
        }
    }
    bar.finish_and_clear();
    Ok(sections)
}

fn empty(scenario: &Scenario) -> Section {
    let rows = scenario.cases.iter();
    Section {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        about: scenario.about.to_owned(),
        viewers: scenario.viewers,
        rows: rows.map(|case| Row { name: case.name.clone(), runs: Vec::new() }).collect(),
        verdicts: Vec::new(),
    }
}

fn progress(total: Duration) -> ProgressBar {
    let bar = ProgressBar::new(total.as_secs());
    // A template without mistakes cannot fail; the default would do as well.
    let style = ProgressStyle::with_template("{bar:30} {elapsed} of about {prefix}  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(minutes(total.as_secs_f64()));
    bar.enable_steady_tick(Duration::from_secs(1));
    say(&bar, &format!("this takes about {}", minutes(total.as_secs_f64())));
    bar
}

/// Above the bar; where there is none, plainly.
fn say(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() {
        eprintln!("{text}");
    } else {
        bar.println(text);
    }
}

fn list(scenarios: &[Scenario], timing: Timing) -> String {
    let line = |scenario: &Scenario| {
        let selected = match scenario.level {
            Level::Quick => "always",
            Level::Standard => "not with --quick",
            Level::Full => "with --full",
        };
        let time = minutes(scenario.estimate(timing));
        format!("{:16} {time:>7}  {selected:17} {}\n", scenario.name, scenario.title)
    };
    scenarios.iter().map(line).collect()
}

fn minutes(seconds: f64) -> String {
    format!("{:.0} min", (seconds / 60.0).ceil())
}

/// Takes over what an earlier run has found and this one has not looked at, with the date.
fn keep(record: &mut Record, out: &Path, order: &[Scenario]) -> Result<()> {
    let path = out.with_extension("").join("results.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let old: Record = serde_json::from_str(&text).context("reading the earlier results")?;
    for mut section in old.sections {
        if record.sections.iter().all(|fresh| fresh.name != section.name) {
            if !section.about.contains("Measured on ") {
                let about = format!("{} Measured on {}.", section.about, old.date);
                section.about = about.trim_start().to_owned();
            }
            record.sections.push(section);
        }
    }
    let place = |section: &Section| order.iter().position(|s| s.name == section.name);
    record.sections.sort_by_key(place);
    Ok(())
}

fn write(record: &Record, out: &Path) -> Result<()> {
    let folder = out.with_extension("");
    fs::create_dir_all(&folder).context("making the folder of the plots")?;
    let plots = plot::all(&record.sections);
    for image in &plots {
        let path = folder.join(&image.name).with_extension("svg");
        fs::write(path, &image.svg).context("writing a plot")?;
    }
    let results = serde_json::to_string(record)? + "\n";
    fs::write(folder.join("results.json"), results).context("writing the results")?;
    let images = folder.file_name().unwrap_or_default().to_string_lossy();
    fs::write(out, page::markdown(record, &plots, &images)).context("writing the page")
}

/// Reads `90s`, `10m` or `1h`.
fn seconds(text: &str) -> Result<f64, String> {
    let units = [("h", 3600.0), ("m", 60.0), ("s", 1.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.ok_or("a number and s, m or h")?;
    let number: f64 = number.parse().map_err(|_| format!("{number} is no number"))?;
    if number.is_finite() && number > 0.0 { Ok(number * factor) } else { Err("too little".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_units() {
        for (text, length) in [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("0.5m", 30.0)] {
            assert_eq!(seconds(text), Ok(length));
        }
        for text in ["", "10", "h", "-1s", "infs", "0s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn scenarios_are_selected() {
        let select = |line: &[&str]| {
            let arguments = Arguments::parse_from(std::iter::once(&"run").chain(line));
            let all = scenario::all(arguments.scale());
            arguments.select(all).map(|found| found.len())
        };
        let (quick, standard, full) = (select(&["--quick"]), select(&[]), select(&["--full"]));
        assert!(quick.unwrap() < standard.as_ref().copied().unwrap());
        assert!(standard.unwrap() < full.unwrap());
        assert_eq!(select(&["--only", "tls,viewers-5000"]).unwrap(), 2);
        assert!(select(&["--only", "tls,nothing"]).is_err());
    }
}
