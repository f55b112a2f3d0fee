//! The page that people read.

use std::fmt::Write as _;

use crate::histogram::Percentiles;
use crate::outcome::Outcome;

/// The runs of one case.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The run with the median cost, or why there is none.
    pub outcome: Result<Outcome, String>,
    /// The lowest and the highest cost of all runs, in µs per MB.
    pub spread: Option<(f64, f64)>,
}

/// Rows that are compared with each other.
#[derive(Debug, Clone)]
pub struct Section {
    /// What they have in common.
    pub title: String,
    /// The floor first, if there is one.
    pub rows: Vec<Row>,
}

impl Row {
    /// Of the runs of one case: the one with the median cost, and the spread.
    #[must_use]
    pub fn of(name: &str, runs: Vec<Result<Outcome, String>>) -> Self {
        let name = name.to_owned();
        let (mut good, mut failures) = (Vec::new(), Vec::new());
        for run in runs {
            match run {
                Ok(outcome) => good.push(outcome),
                Err(why) => failures.push(why),
            }
        }
        good.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        let spread = good.first().map(cost).zip(good.last().map(cost));
        // One failure among good runs is a failure, too: a mean would hide it.
        let outcome = match failures.pop() {
            Some(why) => Err(why),
            None if good.is_empty() => Err("not run".to_owned()),
            None => Ok(good.swap_remove((good.len() - 1) / 2)),
        };
        Self { name, outcome, spread }
    }

    /// CPU time per delivered megabyte, in µs.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.outcome.as_ref().ok()?.server.map(|server| server.micros_per_mb)
    }
}

impl Section {
    /// What writing alone costs, in µs per MB.
    #[must_use]
    pub fn floor(&self) -> Option<f64> {
        self.rows.first().filter(|row| row.name.starts_with("floor"))?.cost()
    }

    /// A Markdown table with a row per case.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from(
            "| | CPU µs per MB (lowest to highest) | ÷ floor | core | delivered ÷ due | \
             latency p50 / p99 ms | first key frame p50 / p99 ms | dropped | stalls | KB per viewer \
             | viewers' core | others |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = match &row.outcome {
                Ok(outcome) => writeln!(out, "{}", self.line(row, outcome)),
                Err(why) => writeln!(out, "| {} | no result: {why} |||||||||||", row.name),
            };
        }
        out
    }

    fn line(&self, row: &Row, outcome: &Outcome) -> String {
        let spread = row.spread.filter(|(low, high)| low < high);
        let spread = spread.map(|(low, high)| format!(" ({low:.0} to {high:.0})"));
        let cost = row.cost().map(|cost| format!("{cost:.0}{}", spread.unwrap_or_default()));
        let ratio =
            row.cost().zip(self.floor()).map(|(cost, floor)| format!("{:.2}", cost / floor));
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let load = outcome.server.map(|server| percent(server.load));
        let memory = outcome.kilobytes_per_viewer().map(|kilobytes| format!("{kilobytes:.1}"));
        let cells = [
            row.name.clone(),
            dash(cost),
            dash(ratio),
            dash(load),
            format!("{:.4}", outcome.delivered()),
            pair(outcome.latency),
            pair(outcome.first_key),
            outcome.disconnected.to_string(),
            outcome.stalls.to_string(),
            dash(memory),
            percent(outcome.generator_load),
            percent(outcome.other_load),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

fn cost(outcome: &Outcome) -> f64 {
    outcome.server.map_or(f64::NAN, |server| server.micros_per_mb)
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn pair(found: Option<Percentiles>) -> String {
    dash(found.map(|found| format!("{:.1} / {:.1}", found.p50, found.p99)))
}
