//! An analysis as a picture: bit rate by the second, frame sizes, and punctuality or intervals.
//!
//! Readable without colour: key frames are triangles, other frames dots.

use std::fmt::Write;

use super::analysis::Analysis;
use super::record::Seen;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const HEIGHT: f64 = 150.0;
const GAP: f64 = 50.0;
/// Dots that are drawn of a track: more cannot be told apart.
const MAX_DOTS: usize = 4000;

const STYLE: &str = "
  text { font: 13px sans-serif; fill: #222 } .title { font-weight: bold }
  .axis { stroke: #888; fill: none } .bar { fill: #4a7fb5 }
  .dot { fill: #4a7fb5 } .key { fill: #c2410c } .line { stroke: #4a7fb5; fill: none }
  rect.page { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } rect.page { fill: #161616 } .bar, .dot { fill: #7fb2e5 }
    .line { stroke: #7fb2e5 } .key { fill: #fb923c }
  }";

/// The picture.
pub(super) fn svg(analysis: &Analysis) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut out, analysis);
    out
}

fn draw(out: &mut String, analysis: &Analysis) -> std::fmt::Result {
    let height = GAP + 3.0 * (HEIGHT + GAP);
    let width = WIDTH + LEFT + 30.0;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\
         <style>{STYLE}</style><rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"
    )?;
    let title = format!(
        "{}: {:.1} s, {:.0} kbit/s",
        escape(&analysis.source),
        analysis.seconds,
        analysis.kbits_per_second
    );
    writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"22\">{title}</text>")?;

    let most = analysis.kbits_by_second.iter().copied().fold(0.0, f64::max);
    let chart = Chart { top: GAP, seconds: analysis.seconds.max(1.0), most };
    chart.frame(out, "kbit/s, by second")?;
    for (second, kbits) in analysis.kbits_by_second.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)] // seconds
        let second = second as f64;
        let (x, y) = (chart.x(second), chart.y(*kbits));
        let (end, bottom) = (chart.x((second + 0.9).min(chart.seconds)), chart.y(0.0));
        let (width, height) = ((end - x).max(0.5), bottom - y);
        writeln!(
            out,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        )?;
    }

    let frames: &[Seen] = analysis
        .tracks
        .iter()
        .find(|track| track.kind == "video")
        .or_else(|| analysis.tracks.first())
        .map_or(&[], |track| &track.seen);
    let frames = frames.get(..MAX_DOTS).unwrap_or(frames);
    let start = frames.iter().map(|frame| frame.dts).min().unwrap_or(0);
    let at = |frame: &Seen| figure(frame.dts - start) / 1000.0;
    let size = |frame: &Seen| figure(i64::try_from(frame.bytes).unwrap_or(0)) / 1000.0;
    let most = frames.iter().map(size).fold(0.0, f64::max);
    let chart = Chart { top: GAP + HEIGHT + GAP, most, ..chart };
    chart.frame(out, "kB of each frame; triangles are key frames")?;
    for frame in frames {
        let (x, y) = (chart.x(at(frame)), chart.y(size(frame)));
        if frame.key {
            let (left, right, below) = (x - 4.0, x + 4.0, y + 7.0);
            let points = format!("{x:.1},{y:.1} {left:.1},{below:.1} {right:.1},{below:.1}");
            writeln!(out, "<polygon class=\"key\" points=\"{points}\"/>")?;
        } else {
            writeln!(out, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.8\"/>")?;
        }
    }

    let (title, values): (_, Vec<f64>) = if analysis.live {
        let offset = |frame: &Seen| frame.arrival.as_secs_f64() * 1000.0 - figure(frame.dts);
        let first = frames.iter().map(offset).fold(f64::INFINITY, f64::min);
        ("ms that each frame came late", frames.iter().map(|f| offset(f) - first).collect())
    } else {
        let steps = frames.windows(2).map(|pair| figure(pair[1].dts - pair[0].dts).max(0.0));
        ("ms to the next frame", steps.collect())
    };
    let most = values.iter().copied().fold(0.0, f64::max);
    let chart = Chart { top: GAP + 2.0 * (HEIGHT + GAP), most, ..chart };
    chart.frame(out, title)?;
    let points: Vec<String> = frames
        .iter()
        .zip(&values)
        .map(|(frame, value)| format!("{:.1},{:.1}", chart.x(at(frame)), chart.y(*value)))
        .collect();
    writeln!(out, "<polyline class=\"line\" points=\"{}\"/>\n</svg>", points.join(" "))
}

/// A chart over time.
#[derive(Clone, Copy)]
struct Chart {
    top: f64,
    seconds: f64,
    /// The largest value.
    most: f64,
}

impl Chart {
    fn x(&self, second: f64) -> f64 {
        LEFT + WIDTH * (second / self.seconds).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.most > 0.0 { value / self.most } else { 0.0 };
        self.top + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }

    fn frame(&self, out: &mut String, title: &str) -> std::fmt::Result {
        let (left, right, top, bottom) = (LEFT, LEFT + WIDTH, self.top, self.top + HEIGHT);
        writeln!(
            out,
            "<text x=\"{left}\" y=\"{}\">{title}</text>\
             <path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}</text>\
             <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{:.0} s</text>",
            top - 8.0,
            left - 6.0,
            top + 10.0,
            self.most,
            left - 6.0,
            bottom + 16.0,
            self.seconds,
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[allow(clippy::cast_precision_loss)] // figures for people
fn figure(number: i64) -> f64 {
    number as f64
}
