//! What is aimed at, and whether it was met: quantities of a row, or ratios of two rows of one run.

use serde::{Deserialize, Serialize};

use crate::outcome::float;
use crate::record::{Row, Section};

/// Something that is measured; less is better in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// CPU time per delivered megabyte.
    Cost,
    /// CPU time within the window, of a core.
    Load,
    /// 99th percentile of the latency.
    Latency,
    /// Median time to the first key frame.
    FirstKeyMedian,
    /// 99th percentile of the time to the first key frame.
    FirstKey,
    /// Frames and viewers lost.
    Lost,
    /// The share of frames that did not arrive, in percent.
    Missing,
    /// The share of RTP packets that did not arrive, in percent.
    PacketsLost,
    /// Resident memory per viewer.
    Memory,
    /// From the start to the first accepted publisher.
    Ready,
    /// The process's own memory without connections.
    IdleMemory,
    /// CPU time without connections, of a core.
    IdleLoad,
    /// Frames and viewers lost while viewers come and go.
    ChurnLost,
    /// CPU time per answer to a request.
    AnswerCost,
    /// 99.9th percentile of the time between the first answer and the last.
    LastAnswer,
    /// Answers other than 200.
    BadAnswers,
    /// Descriptors more after the last viewer has left than before the first one came.
    Leaked,
}

/// A quantity of one row, by itself or divided by another row's, that is to be at most so much.
#[derive(Debug, Clone)]
pub struct Goal {
    quantity: Quantity,
    of: String,
    to: Option<String>,
    most: f64,
}

/// What came of a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose goal it is.
    pub of: String,
    /// What was aimed at.
    pub target: String,
    /// What was measured.
    pub measured: String,
    /// Whether that is enough; unknown without a measurement.
    pub met: Option<bool>,
}

impl Goal {
    /// The quantity of the row `of` is to be at most `most`, in its unit.
    #[must_use]
    pub fn at_most(quantity: Quantity, of: &str, most: f64) -> Self {
        Self { quantity, of: of.to_owned(), to: None, most }
    }

    /// The quantity of the row `of` is to be at most `most` times that of the row `to`.
    #[must_use]
    pub fn ratio(quantity: Quantity, of: &str, to: &str, most: f64) -> Self {
        Self { to: Some(to.to_owned()), ..Self::at_most(quantity, of, most) }
    }

    /// The rows that it is about.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.of).chain(&self.to).map(String::as_str)
    }

    /// Looks at what was measured.
    #[must_use]
    pub fn judge(&self, section: &Section) -> Verdict {
        let measure = |name: &str| self.quantity.measure(section.row(name)?);
        let (name, number) = (self.quantity.name(), |value| self.quantity.show(value));
        let value = measure(&self.of).filter(|value| value.is_finite());
        let (target, value, shown) = if let Some(to) = &self.to {
            let base = measure(to).filter(|&base| base.is_finite() && base > 0.0);
            let ratio = value.zip(base).map(|(value, base)| value / base);
            let shown = value.zip(base).zip(ratio).map(|((value, base), ratio)| {
                format!("{ratio:.2} × ({} to {})", number(value), number(base))
            });
            (format!("{name} ≤ {} × that of {to}", self.most), ratio, shown)
        } else {
            let shown = value.map(number);
            let target = if self.most == 0.0 {
                format!("no {name}")
            } else {
                format!("{name} ≤ {}", number(self.most))
            };
            (target, value, shown)
        };
        Verdict {
            of: self.of.clone(),
            target,
            measured: shown.unwrap_or_else(|| "not measured".to_owned()),
            met: value.map(|value| value <= self.most),
        }
    }
}

impl Quantity {
    fn measure(self, row: &Row) -> Option<f64> {
        let load = || row.load();
        match self {
            Self::Cost => row.cost(),
            Self::Load => load()?.server.map(|server| 100.0 * server.load),
            Self::Latency => load()?.latency.map(|found| found.p99),
            Self::FirstKeyMedian => load()?.first_key.map(|found| found.p50),
            Self::FirstKey => load()?.first_key.map(|found| found.p99),
            Self::Lost => Some(float(load()?.lost())),
            Self::Missing => Some(100.0 * load()?.missing()),
            Self::PacketsLost => Some(100.0 * load()?.loss()?),
            Self::Memory => load()?.kilobytes_per_viewer(),
            Self::Ready => Some(row.start()?.ready),
            Self::IdleMemory => Some(float(row.start()?.anonymous) / f64::from(1 << 20)),
            Self::IdleLoad => Some(100.0 * row.start()?.load),
            Self::ChurnLost => {
                let churn = row.churn()?;
                Some(float(churn.missing + churn.disordered + churn.disconnected))
            }
            Self::AnswerCost => Some(row.requests()?.micros_per_answer),
            Self::LastAnswer => Some(row.requests()?.latency.p999),
            Self::BadAnswers => Some(float(row.requests()?.bad)),
            Self::Leaked => {
                let churn = row.churn()?;
                let more = churn.after.descriptors.saturating_sub(churn.before.descriptors);
                Some(float(u64::try_from(more).unwrap_or(u64::MAX)))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cost => "CPU per megabyte",
            Self::Load => "CPU",
            Self::Latency => "latency p99",
            Self::FirstKeyMedian => "first key frame p50",
            Self::FirstKey => "first key frame p99",
            Self::Lost | Self::ChurnLost => "frame or viewer lost",
            Self::Missing => "frames missing",
            Self::PacketsLost => "packets lost",
            Self::Memory => "memory per viewer",
            Self::Ready => "start to first publisher",
            Self::IdleMemory => "own idle memory",
            Self::IdleLoad => "idle CPU",
            Self::AnswerCost => "CPU per answer",
            Self::LastAnswer => "first answer to last",
            Self::BadAnswers => "bad answer",
            Self::Leaked => "descriptor left open",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Cost => format!("{value:.0} µs"),
            Self::AnswerCost => format!("{value:.1} µs"),
            Self::Load => format!("{value:.0} % of a core"),
            Self::IdleLoad => format!("{value:.1} % of a core"),
            Self::Missing | Self::PacketsLost => format!("{value:.3} %"),
            Self::LastAnswer
            | Self::Latency
            | Self::FirstKeyMedian
            | Self::FirstKey
            | Self::Ready => {
                format!("{value:.1} ms")
            }
            Self::Memory => format!("{value:.1} KB"),
            Self::IdleMemory => format!("{value:.1} MB"),
            Self::Lost | Self::ChurnLost | Self::Leaked | Self::BadAnswers => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{row, section};

    #[test]
    fn goals_are_judged_within_a_run() {
        let rows = vec![row("floor, 40 ms", &[1000.0]), row("headwater, RTMP", &[1200.0])];
        let section = section(rows);
        let judge = |goal: Goal| goal.judge(&section);
        let ratio = |most| Goal::ratio(Quantity::Cost, "headwater, RTMP", "floor, 40 ms", most);
        assert_eq!(judge(ratio(1.25)).met, Some(true));
        let missed = judge(ratio(1.1));
        assert_eq!(missed.met, Some(false));
        assert_eq!(missed.target, "CPU per megabyte ≤ 1.1 × that of floor, 40 ms");
        assert_eq!(missed.measured, "1.20 × (1200 µs to 1000 µs)");
        let memory = judge(Goal::at_most(Quantity::Memory, "headwater, RTMP", 4.0));
        assert_eq!((&memory.measured[..], memory.met), ("4.0 KB", Some(true)));
        let lost = judge(Goal::at_most(Quantity::Lost, "headwater, RTMP", 0.0));
        assert_eq!((&lost.target[..], lost.met), ("no frame or viewer lost", Some(true)));
        let missing = judge(Goal::at_most(Quantity::Missing, "headwater, RTMP", 0.1));
        assert_eq!((&missing.measured[..], missing.met), ("0.000 %", Some(true)));
        let packets = judge(Goal::at_most(Quantity::PacketsLost, "headwater, RTMP", 0.1));
        assert_eq!((&packets.measured[..], packets.met), ("not measured", None));
        let absent = judge(Goal::ratio(Quantity::Load, "headwater, RTMP", "nginx-rtmp, RTMP", 1.0));
        assert_eq!((&absent.measured[..], absent.met), ("not measured", None));
    }
}
