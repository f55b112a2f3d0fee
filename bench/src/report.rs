//! Markdown tables of what was found.

use crate::churn::Footprint;
use crate::histogram::Percentiles;
use crate::outcome::{Outcome, float};
use crate::record::{Found, Row, Section};

/// A table: what stands above its columns, and a row of cells for each case.
struct Table<const N: usize> {
    head: [&'static str; N],
    line: fn(&Section, &Row) -> Option<[String; N]>,
}

const LOAD: Table<12> = Table {
    head: [
        "CPU µs per MB (lowest to highest)",
        "÷ floor",
        "core",
        "frames ÷ due",
        "bytes ÷ due",
        "latency p50 / p99 / p99.9 ms",
        "first key frame p50 / p99 ms",
        "dropped",
        "stalls",
        "KB per viewer",
        "viewers' core",
        "others",
    ],
    line: |section, row| row.load().map(|outcome| load(section, row, outcome)),
};

/// As [`LOAD`], beside the first row instead of the floor, and with what became of RTP packets.
const PACKETS: Table<13> = Table {
    head: {
        let [
            cost,
            _,
            core,
            frames,
            bytes,
            latency,
            first_key,
            dropped,
            stalls,
            memory,
            own,
            others,
        ] = LOAD.head;
        let (ratio, lost) = ("÷ first row", "packets lost");
        [
            cost, ratio, core, frames, bytes, lost, latency, first_key, dropped, stalls, memory,
            own, others,
        ]
    },
    line: |section, row| {
        let outcome = row.load()?;
        let [cost, _, core, frames, bytes, rest @ ..] = load(section, row, outcome);
        let [latency, first_key, dropped, stalls, memory, own, others] = rest;
        let first = section.rows.first().and_then(Row::cost);
        let ratio = row.cost().zip(first).map(|(cost, first)| format!("{:.2}", cost / first));
        let lost = dash(outcome.loss().map(|loss| format!("{:.3} %", 100.0 * loss)));
        Some([
            cost,
            dash(ratio),
            core,
            frames,
            bytes,
            lost,
            latency,
            first_key,
            dropped,
            stalls,
            memory,
            own,
            others,
        ])
    },
};

const START: Table<5> = Table {
    head: [
        "first publisher after ms (quickest to slowest)",
        "idle memory MB",
        "own of it MB",
        "idle CPU",
        "starts",
    ],
    line: |_, row| {
        let start = row.start()?;
        Some([
            format!("{:.1} ({:.1} to {:.1})", start.ready, start.quickest, start.slowest),
            megabytes(start.resident),
            megabytes(start.anonymous),
            format!("{:.1} %", 100.0 * start.load),
            (5 * row.runs.len()).to_string(),
        ])
    },
};

const CHURN: Table<9> = Table {
    head: [
        "came",
        "dropped",
        "frames missing",
        "latency p50 / p99 / p99.9 ms",
        "first key frame p50 / p99 ms",
        "core",
        "memory MB: before, full, end, after",
        "descriptors: before, full, end, after",
        "growth while full, per thousand that came",
    ],
    line: |_, row| {
        let churn = row.churn()?;
        let stages = [churn.before, churn.full, churn.end, churn.after];
        let list = |show: fn(&Footprint) -> String| stages.each_ref().map(show).join(", ");
        let grown = float(churn.end.resident) - float(churn.full.resident);
        let joins = float(churn.joins) / 1000.0;
        Some([
            churn.joins.to_string(),
            churn.disconnected.to_string(),
            churn.missing.to_string(),
            three(churn.latency),
            pair(churn.first_key),
            percent(churn.load),
            list(|stage| megabytes(stage.resident)),
            list(|stage| stage.descriptors.to_string()),
            format!("{:.2} MB", grown / joins / f64::from(1 << 20)),
        ])
    },
};

impl<const N: usize> Table<N> {
    fn markdown(&self, section: &Section) -> String {
        let mut lines =
            vec![format!("| | {} |", self.head.join(" | ")), format!("|---|{}", "--:|".repeat(N))];
        for row in &section.rows {
            lines.push(match (row.found(), (self.line)(section, row)) {
                (Ok(_), Some(cells)) => format!("| {} | {} |", row.name, cells.join(" | ")),
                (Ok(_), None) => format!("| {} | – {}", row.name, "|".repeat(N)),
                (Err(why), _) => {
                    let why = why.replace('|', "/");
                    format!("| {} | no result: {why} {}", row.name, "|".repeat(N))
                }
            });
        }
        lines.join("\n") + "\n"
    }
}

const REQUESTS: Table<7> = Table {
    head: [
        "answers per second",
        "MB per second",
        "CPU µs per answer",
        "core",
        "answered after ms p50 / p99 / p99.9",
        "bad answers",
        "memory MB",
    ],
    line: |_, row| {
        let found = row.requests()?;
        Some([
            format!("{:.0}", found.per_second),
            format!("{:.0}", found.megabytes_per_second),
            format!("{:.1}", found.micros_per_answer),
            percent(found.load),
            three(Some(found.latency)),
            found.bad.to_string(),
            megabytes(found.resident),
        ])
    },
};

impl Section {
    /// A Markdown table with a row per case.
    #[must_use]
    pub fn table(&self) -> String {
        match self.rows.iter().find_map(|row| row.found().ok()) {
            Some(Found::Start(_)) => START.markdown(self),
            Some(Found::Churn(_)) => CHURN.markdown(self),
            Some(Found::Requests(_)) => REQUESTS.markdown(self),
            Some(Found::Load(_)) if self.has_packets() => PACKETS.markdown(self),
            Some(Found::Load(_)) | None => LOAD.markdown(self),
        }
    }

    fn has_packets(&self) -> bool {
        self.rows.iter().any(|row| row.load().is_some_and(|found| found.packets.is_some()))
    }
}

/// A Markdown table of what was aimed at, over all sections.
#[must_use]
pub fn verdicts(sections: &[Section]) -> String {
    let mut lines =
        vec!["| scenario | | target | measured | |".to_owned(), "|---|---|---|---|---|".to_owned()];
    for section in sections {
        for verdict in &section.verdicts {
            let met = match verdict.met {
                Some(true) => "met",
                Some(false) => "**not met**",
                None => "–",
            };
            lines.push(format!(
                "| {} | {} | {} | {} | {met} |",
                section.name, verdict.of, verdict.target, verdict.measured
            ));
        }
    }
    lines.join("\n") + "\n"
}

fn load(section: &Section, row: &Row, outcome: &Outcome) -> [String; 12] {
    let spread = row.spread().map(|(low, high)| format!(" ({low:.0} to {high:.0})"));
    let cost = row.cost().map(|cost| format!("{cost:.0}{}", spread.unwrap_or_default()));
    let ratio = row.cost().zip(section.floor()).map(|(cost, floor)| format!("{:.2}", cost / floor));
    let slow = outcome.slow_disconnected;
    let slow = if slow > 0 { format!(" + {slow} slow") } else { String::new() };
    [
        dash(cost),
        dash(ratio),
        dash(outcome.server.map(|server| percent(server.load))),
        format!("{:.4}", outcome.delivered()),
        dash(outcome.bytes_delivered().map(|ratio| format!("{ratio:.2}"))),
        three(outcome.latency),
        pair(outcome.first_key),
        format!("{}{slow}", outcome.disconnected),
        outcome.stalls.to_string(),
        dash(outcome.kilobytes_per_viewer().map(|kilobytes| format!("{kilobytes:.1}"))),
        percent(outcome.client_load()),
        percent(outcome.other_load),
    ]
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", float(bytes) / f64::from(1 << 20))
}

fn pair(found: Option<Percentiles>) -> String {
    dash(found.map(|found| format!("{:.1} / {:.1}", found.p50, found.p99)))
}

fn three(found: Option<Percentiles>) -> String {
    dash(found.map(|found| format!("{:.1} / {:.1} / {:.1}", found.p50, found.p99, found.p999)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{row, section};
    use crate::rtsp::Packets;

    #[test]
    fn every_line_has_as_many_cells() {
        let mut rows = vec![row("floor, 40 ms", &[1000.0]), row("headwater, RTMP", &[1300.0])];
        rows.push(Row { name: "xiu".to_owned(), runs: vec![Err("not | there".to_owned())] });
        let table = section(rows).table();
        let cells: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [14; 5], "{table}");
        assert!(table.contains("| headwater, RTMP | 1300 | 1.30 | 50 % |"), "{table}");
        assert!(table.contains("no result: not / there"), "{table}");
    }

    #[test]
    fn rows_with_packets_are_beside_the_first() {
        let mut rows = vec![row("HTTP-FLV", &[1000.0]), row("RTSP", &[1300.0])];
        if let Some(Ok(Found::Load(outcome))) = rows[1].runs.first_mut() {
            outcome.packets = Some(Packets { received: 9995, lost: 5 });
        }
        let table = section(rows).table();
        let cells: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [15; 4], "{table}");
        assert!(table.contains("| HTTP-FLV | 1000 | 1.00 | 50 % | 1.0000 | 1.00 | – |"), "{table}");
        let rtsp = "| RTSP | 1300 | 1.30 | 50 % | 1.0000 | 1.00 | 0.050 % | 4.0 / 8.0 / 8.0 |";
        assert!(table.contains(rtsp), "{table}");
    }
}
