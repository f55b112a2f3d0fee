//! Delays as a picture: how often each came, one row for each way of playing.

use std::fmt::Write;

use crate::program::stats::{Times, millis};

const WIDTH: f64 = 800.0;
const LEFT: f64 = 40.0;
const ROW: f64 = 120.0;
const GAP: f64 = 60.0;
const BINS: usize = 60;

const STYLE: &str = "
  text { font: 13px sans-serif; fill: #222 } .axis { stroke: #888; fill: none }
  .bar { fill: #4a7fb5 } .mark { stroke: #c2410c; stroke-dasharray: 4 3 } rect.page { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } rect.page { fill: #161616 } .bar { fill: #7fb2e5 }
    .mark { stroke: #fb923c }
  }";

/// The picture; all rows have the same scale.
pub(super) fn svg(names: &[String], delays: &[Times]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut out, names, delays);
    out
}

fn draw(out: &mut String, names: &[String], delays: &[Times]) -> std::fmt::Result {
    #[allow(clippy::cast_precision_loss)] // a few rows
    let height = 20.0 + (ROW + GAP) * names.len() as f64;
    let width = WIDTH + LEFT + 30.0;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\
         <style>{STYLE}</style><rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"
    )?;
    let longest = delays.iter().map(Times::max).max().unwrap_or_default();
    let x = |share: f64| LEFT + WIDTH * share;
    let mut top = GAP;
    for (name, times) in names.iter().zip(delays) {
        let bottom = top + ROW;
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{name}: {times}</text>", top - 20.0)?;
        let own = times.max().as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
        let bins = times.histogram(BINS);
        let most = bins.iter().copied().max().unwrap_or(1).max(1);
        for (index, count) in bins.iter().enumerate() {
            #[allow(clippy::cast_precision_loss)] // a few bins, thousands of pictures
            let (place, tall) = (index as f64 / BINS as f64, *count as f64 / most as f64);
            #[allow(clippy::cast_precision_loss)] // a few bins
            let wide = WIDTH * own / BINS as f64 * 0.9;
            let left = x(place * own);
            let high = ROW * tall;
            let y = bottom - high;
            writeln!(
                out,
                "<rect class=\"bar\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" \
                 height=\"{high:.1}\"/>"
            )?;
        }
        for percent in [50, 99] {
            let time = times.percentile(percent);
            let at = x(time.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE));
            writeln!(
                out,
                "<path class=\"mark\" d=\"M{at:.1} {top}V{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{}\">p{percent}</text>",
                top - 3.0
            )?;
        }
        let (right, below) = (x(1.0), bottom + 16.0);
        writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>\
             <text x=\"{LEFT}\" y=\"{below}\">0</text>\
             <text x=\"{right}\" y=\"{below}\" text-anchor=\"end\">{}</text>",
            millis(longest)
        )?;
        top += ROW + GAP;
    }
    writeln!(out, "</svg>")
}
