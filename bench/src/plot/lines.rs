//! Curves: a quantity over the number of viewers, or over time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Image, document, escape, round_up};
use crate::outcome::float;
use crate::record::{Row, Section};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
/// Where the curves end: their names stand after it.
const RIGHT: f64 = 600.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 370.0;
/// How the curves are told apart.
const DASHES: [&str; 10] =
    ["", "8 3", "2 3", "10 3 2 3", "4 4", "14 4", "1 5", "8 3 2 3 2 3", "5 2", "12 2 4 2"];
/// The least distance of two names.
const NAME_STEP: f64 = 15.0;

/// Curves with their axes.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The name of its file, without the extension.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What stands at the axis to the right.
    pub across: &'static str,
    /// What the numbers at the axis upwards count.
    pub up: &'static str,
    /// The curves.
    pub lines: Vec<Line>,
}

/// One curve.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// CPU and latency over the number of viewers, if there are several numbers.
pub(super) fn by_viewers(sections: &[Section]) -> Vec<Image> {
    let curves = |measure: fn(&Row) -> Option<f64>| {
        let mut curves: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for (section, viewers) in sections.iter().filter_map(|s| Some((s, s.viewers?))) {
            let viewers = float(u64::try_from(viewers).unwrap_or(0));
            for row in &section.rows {
                if let Some(value) = measure(row).filter(|value| value.is_finite()) {
                    curves.entry(&row.name).or_default().push((viewers, value));
                }
            }
        }
        curves.retain(|_, points| points.len() > 1);
        let line = |(name, points): (&str, _)| Line { name: name.to_owned(), points };
        curves.into_iter().map(line).collect::<Vec<Line>>()
    };
    let load = Plot {
        name: "cpu-by-viewers".to_owned(),
        title: "How much of a core the server takes, by viewers of 1 Mbit/s".to_owned(),
        across: "viewers",
        up: "%",
        lines: curves(|row| row.load()?.server.map(|server| 100.0 * server.load)),
    };
    let latency = Plot {
        name: "latency-by-viewers".to_owned(),
        title: "Latency, 99th percentile, by viewers of 1 Mbit/s".to_owned(),
        across: "viewers",
        up: "ms",
        lines: curves(|row| row.load()?.latency.map(|found| found.p99)),
    };
    [load, latency].into_iter().filter_map(|plot| plot.image()).collect()
}

/// The memory of servers whose viewers come and go, over time.
pub(super) fn memory(section: &Section) -> Option<Image> {
    let line = |row: &Row| {
        let curve = &row.churn()?.curve;
        let points = curve.iter().map(|at| (at.at, float(at.resident) / f64::from(1 << 20)));
        Some(Line { name: row.name.clone(), points: points.collect() })
    };
    let plot = Plot {
        name: section.name.clone(),
        title: format!("Resident memory: {}; at the end nobody is left", section.title),
        across: "seconds",
        up: "MB",
        lines: section.rows.iter().filter_map(line).collect(),
    };
    plot.image()
}

impl Plot {
    /// The SVG; `None` if there is nothing to show.
    #[must_use]
    pub fn image(&self) -> Option<Image> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let widest = points().map(|point| point.0).reduce(f64::max)?;
        let highest = round_up(points().map(|point| point.1).fold(0.0, f64::max));
        let x = |value: f64| LEFT + (RIGHT - LEFT) * value / widest.max(1e-9);
        let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / highest;
        let mut body = String::new();
        // Writing to a string cannot fail.
        for part in 0..=4 {
            let value = highest * f64::from(part) / 4.0;
            let (at, end) = (y(value), LEFT - 8.0);
            let digits = usize::from(highest < 4.0) * 2;
            let _ = writeln!(
                body,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
                 <text x=\"{end}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$} {}</text>",
                at + 4.0,
                self.up
            );
        }
        for value in self.marks(widest) {
            let at = x(value);
            let _ = writeln!(
                body,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{value:.0}</text>",
                BOTTOM + 18.0
            );
        }
        let _ = writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + RIGHT) / 2.0,
            BOTTOM + 38.0,
            self.across
        );
        let mut names = Vec::new();
        for (line, dashes) in self.lines.iter().zip(DASHES.iter().cycle()) {
            let path: Vec<String> = line
                .points
                .iter()
                .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
                .collect();
            let width = if line.name.starts_with("headwater") { 2.5 } else { 1.2 };
            let _ = writeln!(
                body,
                "<polyline class=\"ink\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\" \
                 points=\"{}\"/>",
                path.join(" ")
            );
            let end = line.points.last().map_or(BOTTOM, |point| y(point.1));
            names.push((end, &line.name, dashes, width));
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = TOP - 4.0;
        for (end, name, dashes, width) in names {
            let at = end.max(free);
            free = at + NAME_STEP;
            let (from, to, text) = (RIGHT + 10.0, RIGHT + 48.0, RIGHT + 54.0);
            let _ = writeln!(
                body,
                "<line class=\"ink\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\" \
                 x1=\"{from}\" x2=\"{to}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
                 <text x=\"{text}\" y=\"{:.1}\">{}</text>",
                at + 4.0,
                escape(name)
            );
        }
        let (name, title) = (self.name.clone(), self.title.clone());
        let height = HEIGHT.max(free + 10.0);
        Some(Image { svg: document(&title, WIDTH, height, &body), name, title })
    }

    /// The numbers at the axis to the right: those of the points, or round ones if those are many.
    fn marks(&self, widest: f64) -> Vec<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut marks: Vec<f64> = points.map(|point| point.0).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        if marks.len() > 8 {
            let step = round_up(widest / 8.0);
            marks = (0..=8).map(|part| f64::from(part) * step).collect();
            marks.retain(|&mark| mark <= widest);
        }
        // The first ones would stand upon each other.
        let gap = widest / 16.0;
        let mut last = f64::NEG_INFINITY;
        marks.retain(|&mark| {
            let keep = mark - last >= gap;
            last = if keep { mark } else { last };
            keep
        });
        marks
    }
}
