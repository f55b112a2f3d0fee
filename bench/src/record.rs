//! What a whole bench found: the same as JSON for programs and as a page for people.

use serde::{Deserialize, Serialize};

use crate::churn::Churn;
use crate::goal::Verdict;
use crate::hls::Requests;
use crate::outcome::Outcome;
use crate::startup::Start;

/// A whole bench.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// When it began.
    pub date: String,
    /// The processor's name.
    pub processor: String,
    /// The number of cores.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
    /// The arguments that it was started with.
    pub arguments: String,
    /// Whether it was only a look, with few viewers.
    pub quick: bool,
    /// How often each case was run.
    pub rounds: usize,
    /// Seconds that were measured.
    pub window: f64,
    /// The scenarios.
    pub sections: Vec<Section>,
}

/// A scenario: rows that are compared with each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    /// Its name on the command line.
    pub name: String,
    /// What it is.
    pub title: String,
    /// What is special about it.
    pub about: String,
    /// How many viewers it has, where that is what the scenario is about.
    pub viewers: Option<usize>,
    /// The floor first, if there is one.
    pub rows: Vec<Row>,
    /// What was aimed at.
    pub verdicts: Vec<Verdict>,
}

/// The runs of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Each run, or why it failed.
    pub runs: Vec<Result<Found, String>>,
}

/// What one run found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Found {
    /// Viewers in a window.
    Load(Outcome),
    /// A start.
    Start(Start),
    /// Viewers that come and go.
    Churn(Churn),
    /// Requests that end.
    Requests(Requests),
}

impl Row {
    /// The run with the median cost, or why there is none. One failure among good runs is a
    /// failure, too: a median would hide it.
    ///
    /// # Errors
    /// Why a run failed.
    pub fn found(&self) -> Result<&Found, &str> {
        if let Some(why) = self.runs.iter().find_map(|run| run.as_ref().err()) {
            return Err(why);
        }
        let mut good: Vec<&Found> = self.runs.iter().flatten().collect();
        good.sort_by(|a, b| a.weight().total_cmp(&b.weight()));
        good.get(good.len().saturating_sub(1) / 2).copied().ok_or("not run")
    }

    /// What viewers in a window found.
    #[must_use]
    pub fn load(&self) -> Option<&Outcome> {
        if let Ok(Found::Load(outcome)) = self.found() { Some(outcome) } else { None }
    }

    /// What a start found.
    #[must_use]
    pub fn start(&self) -> Option<&Start> {
        if let Ok(Found::Start(start)) = self.found() { Some(start) } else { None }
    }

    /// What viewers that come and go found.
    #[must_use]
    pub fn churn(&self) -> Option<&Churn> {
        if let Ok(Found::Churn(churn)) = self.found() { Some(churn) } else { None }
    }

    /// What requests found.
    #[must_use]
    pub fn requests(&self) -> Option<&Requests> {
        if let Ok(Found::Requests(requests)) = self.found() { Some(requests) } else { None }
    }

    /// CPU time per delivered megabyte, in µs.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.load()?.server.map(|server| server.micros_per_mb)
    }

    /// The lowest and the highest cost of all runs, if they differ.
    #[must_use]
    pub fn spread(&self) -> Option<(f64, f64)> {
        let costs = || {
            let loads = self.runs.iter().flatten().filter_map(|found| match found {
                Found::Load(outcome) => outcome.server,
                Found::Start(_) | Found::Churn(_) | Found::Requests(_) => None,
            });
            loads.map(|server| server.micros_per_mb)
        };
        let (low, high) = (costs().reduce(f64::min)?, costs().reduce(f64::max)?);
        (low < high).then_some((low, high))
    }
}

impl Section {
    /// The row of this name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What writing alone costs, in µs per MB.
    #[must_use]
    pub fn floor(&self) -> Option<f64> {
        self.rows.first().filter(|row| row.name.starts_with("floor"))?.cost()
    }
}

impl Found {
    /// What the median is taken of.
    fn weight(&self) -> f64 {
        match self {
            Self::Load(outcome) => outcome.server.map_or(f64::NAN, |server| server.micros_per_mb),
            Self::Start(start) => start.ready,
            Self::Churn(churn) => churn.load,
            Self::Requests(requests) => requests.latency.p50,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::histogram::Percentiles;
    use crate::outcome::Cost;

    pub(crate) fn outcome(micros_per_mb: f64, p99: f64) -> Outcome {
        let latency = Percentiles { p50: p99 / 2.0, p90: p99, p99, p999: p99, max: p99 };
        let (resident_before, resident_after) = (10 << 20, 12 << 20);
        Outcome {
            viewers: 512,
            playing: 512,
            disconnected: 0,
            first_failure: None,
            slow: 0,
            slow_disconnected: 0,
            seconds: 10.0,
            bytes: 1_000_000,
            bytes_in_full: 1_000_000,
            bytes_due: 1_000_000,
            frames: 1000,
            due: 1000,
            packets: None,
            disordered: 0,
            stalls: 0,
            latency: Some(latency),
            first_key: Some(latency),
            generator_load: 0.1,
            feeding_load: 0.0,
            other_load: 0.0,
            server: Some(Cost { load: 0.5, micros_per_mb, resident_before, resident_after }),
        }
    }

    pub(crate) fn row(name: &str, costs: &[f64]) -> Row {
        let runs = costs.iter().map(|&cost| Ok(Found::Load(outcome(cost, 8.0)))).collect();
        Row { name: name.to_owned(), runs }
    }

    pub(crate) fn section(rows: Vec<Row>) -> Section {
        Section {
            name: "viewers-512".to_owned(),
            title: "512 viewers".to_owned(),
            about: String::new(),
            viewers: Some(512),
            rows,
            verdicts: Vec::new(),
        }
    }

    #[test]
    fn the_median_run_stands_for_all() {
        let mut it = row("a", &[30.0, 10.0, 20.0]);
        assert_eq!(it.cost(), Some(20.0));
        assert_eq!(it.spread(), Some((10.0, 30.0)));
        it.runs.push(Err("it fell over".to_owned()));
        assert_eq!(it.found().err(), Some("it fell over"));
        assert_eq!(row("b", &[]).found().err(), Some("not run"));
        assert_eq!(row("c", &[1.0]).spread(), None);
    }
}
