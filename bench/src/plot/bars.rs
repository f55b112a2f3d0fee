//! A bar for the cost of each case, and a dashed line for the floor.

use std::fmt::Write as _;

use super::{Image, document, escape};
use crate::record::Section;

const WIDTH: f64 = 860.0;
/// Where the bars begin: the names stand before it.
const LEFT: f64 = 230.0;
/// Where the longest bar ends: its numbers stand after it.
const RIGHT: f64 = 640.0;
const TOP: f64 = 44.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;

/// The cost of the section's cases, if there are some to compare.
pub(super) fn cost(section: &Section) -> Option<Image> {
    let rows: Vec<_> =
        section.rows.iter().filter_map(|row| Some((row, row.load()?, row.cost()?))).collect();
    let longest = rows.iter().map(|(_, _, cost)| *cost).filter(|cost| cost.is_finite());
    let longest = longest.reduce(f64::max).filter(|_| rows.len() > 1)?;
    let (mut body, mut y) = (String::new(), TOP);
    for (row, outcome, cost) in rows {
        let length = if cost.is_finite() { (RIGHT - LEFT) * cost / longest } else { 0.0 };
        let class = match row.name.split_once(',').map_or(&row.name[..], |(name, _)| name) {
            "floor" => "floor",
            "headwater" => "ours",
            _ => "peer",
        };
        let latency = outcome.latency.map(|found| format!(", p99 {:.0} ms", found.p99));
        let lost = outcome.lost();
        let lost = if lost > 0 { format!(", lost {lost}") } else { String::new() };
        // Writing to a string cannot fail.
        let _ = writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{baseline:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" \
             height=\"{BAR}\"/>\n\
             <text x=\"{:.0}\" y=\"{baseline:.0}\">{cost:.0} µs/MB{}{lost}</text>",
            LEFT - 8.0,
            escape(&row.name),
            LEFT + length + 8.0,
            latency.unwrap_or_default(),
            baseline = y + 13.0,
        );
        y += STEP;
    }
    if let Some(floor) = section.floor() {
        let x = LEFT + (RIGHT - LEFT) * floor / longest;
        let _ = writeln!(
            body,
            "<line class=\"ink\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{y:.0}\" \
             stroke-dasharray=\"3 3\"/>"
        );
    }
    let title = format!("Server CPU time per delivered megabyte: {}", section.title);
    let svg = document(&title, WIDTH, y + 12.0, &body);
    Some(Image { name: section.name.clone(), title, svg })
}
