//! A bar chart of the cost per megabyte, as SVG: black on white, readable without colour.

use std::fmt::Write as _;

use crate::report::{Row, Section};

const WIDTH: f64 = 860.0;
/// Where the bars begin: the names stand before it.
const LEFT: f64 = 200.0;
/// Where the longest bar ends: its numbers stand after it.
const RIGHT: f64 = 640.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const TITLE: f64 = 34.0;

/// The chart of the sections that have a floor; all bars have one scale.
#[must_use]
pub fn svg(sections: &[Section]) -> String {
    let sections = || sections.iter().filter(|section| section.floor().is_some());
    let costs = sections().flat_map(|section| &section.rows).filter_map(Row::cost);
    let longest = costs.fold(1.0, f64::max);
    let mut body = String::new();
    let mut y = 30.0;
    for section in sections() {
        y += TITLE;
        // Writing to a string cannot fail.
        let title = escape(&section.title);
        let _ =
            writeln!(body, r#"<text x="10" y="{:.0}" font-weight="bold">{title}</text>"#, y - 10.0);
        let top = y;
        for row in &section.rows {
            let Some(cost) = row.cost() else { continue };
            let length = (RIGHT - LEFT) * cost / longest;
            let style = if row.name.starts_with("floor") {
                "url(#hatched)"
            } else if row.name.starts_with("headwater") {
                "#222"
            } else {
                "#aaa"
            };
            let latency = row.outcome.as_ref().ok().and_then(|outcome| outcome.latency);
            let latency = latency.map(|found| format!(", p99 {:.0} ms", found.p99));
            let baseline = y + 13.0;
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{baseline:.0}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{BAR}\" \
                 fill=\"{style}\" stroke=\"black\"/>\n\
                 <text x=\"{:.0}\" y=\"{baseline:.0}\">{cost:.0} µs/MB{}</text>",
                LEFT - 8.0,
                escape(&row.name),
                LEFT + length + 8.0,
                latency.unwrap_or_default(),
            );
            y += STEP;
        }
        if let Some(floor) = section.floor() {
            let x = LEFT + (RIGHT - LEFT) * floor / longest;
            let _ = writeln!(
                body,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.0}\" y2=\"{y:.0}\" stroke=\"black\" \
                 stroke-dasharray=\"3 3\"/>"
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <defs><pattern id=\"hatched\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path d=\"M0 6L6 0\" stroke=\"black\"/></pattern></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\">Server CPU time per delivered megabyte; \
         the dashed line is the floor</text>\n{body}</svg>\n",
        height = y + 16.0
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
