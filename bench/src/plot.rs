//! Plots as SVG that are readable without colour, on light and on dark pages.
//!
//! Bars and lines are told apart by their pattern. The only two colours are ink and paper, and
//! they swap when the reader's page is dark.

mod bars;
mod lines;

use crate::record::Section;

pub use lines::{Line, Plot};

/// A plot and the name of its file.
#[derive(Debug, Clone)]
pub struct Image {
    /// Without the extension.
    pub name: String,
    /// What it shows, for those who do not see it.
    pub title: String,
    /// The SVG.
    pub svg: String,
}

const STYLE: &str = "text{fill:#1f2328}.ink{stroke:#1f2328;fill:none}.paper{fill:#fff}\
.ours{fill:#1f2328;stroke:#1f2328}.peer{fill:#fff;stroke:#1f2328}\
.floor{fill:url(#hatched);stroke:#1f2328}.grid{stroke:#1f2328;stroke-opacity:.2}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ink{stroke:#e6edf3}.paper{fill:#0d1117}\
.ours{fill:#e6edf3;stroke:#e6edf3}.peer{fill:#0d1117;stroke:#e6edf3}.floor{stroke:#e6edf3}\
.grid{stroke:#e6edf3}}";

/// The plots of a whole bench.
#[must_use]
pub fn all(sections: &[Section]) -> Vec<Image> {
    let bars = sections.iter().filter_map(bars::cost);
    bars.chain(lines::by_viewers(sections))
        .chain(sections.iter().filter_map(lines::memory))
        .collect()
}

/// The whole document around `body`.
fn document(title: &str, width: f64, height: f64, body: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"13\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><pattern id=\"hatched\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path class=\"ink\" d=\"M0 6L6 0\"/></pattern></defs>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\">{title}</text>\n{body}</svg>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `value`.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    steps.into_iter().find(|&step| step >= value * 0.999_999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{row, section};

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 1.0), (1.0, 1.0), (1.1, 2.0), (49.0, 50.0), (501.0, 1000.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn plots_name_what_they_show() {
        let rows = || vec![row("floor, 40 ms", &[1000.0]), row("headwater, <RTMP>", &[1300.0])];
        let mut more = section(rows());
        more.viewers = Some(1024);
        let images = all(&[section(rows()), more]);
        assert_eq!(images.len(), 4); // bars for each, and two with lines over both
        for image in images {
            assert!(image.svg.contains("headwater, &lt;RTMP>"), "{}", image.svg);
            assert!(image.svg.starts_with("<svg") && image.svg.ends_with("</svg>\n"));
            assert_eq!(image.svg.matches("<text").count(), image.svg.matches("</text>").count());
        }
    }
}
