//! The page that people read.

use std::fmt::Write as _;

use crate::child::{CLIENT_CORE, SERVER_CORE};
use crate::plot::Image;
use crate::record::Record;
use crate::report;

/// What others may take of a core before the page warns.
const DISTURBED: f64 = 0.2;
/// What the generator may take of its core before the page warns.
const BUSY: f64 = 0.8;

/// The page; `images` is the folder of the plots as seen from it.
#[must_use]
pub fn markdown(record: &Record, plots: &[Image], images: &str) -> String {
    let mut out = String::from("# Benchmarks\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Measured on {}: {}, {} cores, Linux {}, loopback only. The server has core {SERVER_CORE} \
         to itself, publisher and viewers share core {CLIENT_CORE}. On loopback the sender pays \
         for TCP's receiving side too, so costs are higher than over a network card: **compare \
         ratios within one run, never figures between runs.**\n",
        record.date, record.processor, record.cores, record.kernel
    );
    out.push_str(&warnings(record));
    out.push_str("| program | version |\n|---|---|\n");
    for (name, version) in &record.versions {
        let _ = writeln!(out, "| {name} | {version} |");
    }
    let _ = writeln!(
        out,
        "\nEvery figure here, and each single run, is in [results.json]({images}/results.json).\n\n\
         ## Targets\n\n{}",
        report::verdicts(&record.sections)
    );
    let shown = |image: &Image| format!("![{}]({images}/{}.svg)\n", image.title, image.name);
    let of_section = |image: &&Image| record.sections.iter().any(|s| s.name == image.name);
    let overall: Vec<&Image> = plots.iter().filter(|image| !of_section(image)).collect();
    if !overall.is_empty() {
        out.push_str("## By number of viewers\n\n");
        overall.iter().for_each(|image| out.push_str(&shown(image)));
        out.push('\n');
    }
    for section in &record.sections {
        let _ = writeln!(out, "## {}\n", section.title);
        if !section.about.is_empty() {
            let _ = writeln!(out, "{}\n", section.about);
        }
        if let Some(image) = plots.iter().find(|image| image.name == section.name) {
            let _ = writeln!(out, "{}", shown(image));
        }
        let _ = writeln!(out, "{}", section.table());
    }
    out.push_str(&legend(record));
    out.push_str(&commands(record));
    out
}

/// What makes the figures doubtful.
fn warnings(record: &Record) -> String {
    let rows = || record.sections.iter().flat_map(|section| &section.rows);
    let loads = || rows().filter_map(|row| row.load());
    let others = loads().map(|run| run.other_load).fold(0.0, f64::max);
    let mut out = String::new();
    if record.quick {
        out.push_str(
            "**A quick look with few viewers**: it shows that the bench works. Targets are for \
             more viewers, and what a stream costs by itself weighs more here.\n\n",
        );
    }
    if others > DISTURBED {
        let _ = writeln!(
            out,
            "**Other programs ran beside this, taking up to {:.0} % of a core** (last column): \
             this page shows that the bench works; for figures to rely on, repeat it on a quiet \
             machine.\n",
            100.0 * others
        );
    }
    if loads().any(|run| run.client_load() > BUSY) {
        let _ = writeln!(
            out,
            "**Where the viewers' core is above {:.0} %, the load generator was the limit**, and \
             latencies and losses are partly its own.\n",
            100.0 * BUSY
        );
    }
    out
}

fn legend(record: &Record) -> String {
    format!(
        "## How to read it\n\n\
         - *Floor*: a program that writes the same bytes at the same cadence to the same number of \
         sockets and does nothing else.\n\
         - *Packets lost*: gaps in the numbers of RTP packets within the window, divided by packets; \
         a frame has arrived when all its packets have. *÷ first row*: what a megabyte costs, \
         divided by what it costs in the first row.\n\
         - *CPU*: user and system time of the whole server process within a window of {window} s, \
         after all viewers have joined, divided by the bytes that the viewers read. Of {rounds} \
         round(s) the median is shown; rounds go over all cases.\n\
         - *Frames ÷ due*: frames that were sent within the window and arrived, divided by frames \
         that the publisher numbered × viewers. A frame may be 1 s late. *Bytes ÷ due*: bytes \
         that arrived in the window, divided by bitrate × viewers; what protocols put around \
         frames is in it.\n\
         - *Latency*: from the publisher's write to the viewer's read, by the wall clock in each \
         frame's user-data SEI. Viewers read every 4 ms, more than 1000 of them every 4 µs × \
         viewers, those of datagrams every 8 µs × viewers, so it is up to that much too high; the \
         floor counts from when a frame is due, so its wait for the next write is in it.\n\
         - *First key frame*: from connecting to the last byte of the first key frame; 200 viewers \
         join per second, more than 1000 at 500 per second. The floor and nginx-rtmp have no GOP \
         cache: their viewers wait for the next key frame, every 2 s.\n\
         - *Dropped*: viewers that were refused or disconnected at any time; of relays, those that \
         were called more than once. *Stalls*: times that a viewer got no byte for a second.\n\
         - *KB per viewer*: growth of the server's resident memory from before the first viewer, \
         divided by viewers; what a stream needs as soon as it has a viewer is in it, socket \
         buffers in the kernel are not. Of relays and devices, growth from before the first one. MB and KB of memory \
         are powers of two. *Own* memory leaves out pages of the program's file: the kernel maps \
         as many of them as it likes, and takes them back when it needs them.\n\
         - *Viewers' core*: what the load generator took of its core, and what feeds the server \
         where that was measured; above a half, latencies are its own. *Others*: what everything \
         but server, viewers and publisher took of a core; more than a few percent is a \
         disturbance.\n\
         - The programme is 64 × 48 H.264 filled up to the bitrate, 25 frames per second, a key \
         frame every 2 s, and AAC of 64 kbit/s. Servers run with their defaults, without logs of \
         accesses; xiu with a cache of one GOP, as when it is started without a file.\n\n",
        window = record.window,
        rounds = record.rounds,
    )
}

fn commands(record: &Record) -> String {
    let arguments = match &record.arguments[..] {
        "" => String::new(),
        arguments => format!(" {arguments}"),
    };
    format!(
        "## Repeat it\n\n```sh\nscripts/bench{arguments}\n```\n\n\
         `scripts/bench --list` names the scenarios and how long they take. A single case, with a \
         server that runs already:\n\n```sh\n\
         target/release/publish rtmp://127.0.0.1:1935/live/s --bitrate 1000000\n\
         target/release/load rtmp://127.0.0.1:1935/live/s --viewers 1000 --pid \"$SERVER_PID\"\n```\n"
    )
}
