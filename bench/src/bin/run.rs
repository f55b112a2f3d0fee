//! The whole bench: every case, one after the other, into a page with tables and a plot.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use headwater_bench::case::{Case, Timing, groups};
use headwater_bench::outcome::Outcome;
use headwater_bench::report::{Row, Section};
use headwater_bench::server::{CLIENT_CORE, Programs, SERVER_CORE};
use headwater_bench::{plot, process};

/// Measure all cases and write the page.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's program; beside this one by default.
    #[arg(long)]
    headwater: Option<PathBuf>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_value = "500,1000")]
    viewers: Vec<usize>,
    /// Publishers of the case with many of them; 0 leaves it out.
    #[arg(long, default_value_t = 200)]
    publishers: usize,
    /// How often each case is run; the page shows the median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    window: f64,
    /// Milliseconds between two reads of a viewer's socket.
    #[arg(long, default_value_t = 4.0)]
    sweep: f64,
    /// Seconds to wait before each case until nothing else runs.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Only cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// A look whether everything works: one short round with few viewers.
    #[arg(long)]
    quick: bool,
    /// The page; the plot goes beside it.
    #[arg(long, default_value = "docs/benchmarks.md")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        arguments.viewers = vec![100];
        arguments.publishers = arguments.publishers.min(20);
        arguments.rounds = 1;
        arguments.window = 4.0;
    }
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        bail!("server and viewers need a core each");
    }
    let bench = std::env::current_exe()?.parent().context("no directory")?.to_owned();
    let headwater = arguments.headwater.clone().unwrap_or_else(|| bench.join("headwater"));
    let programs = Programs { bench, headwater };
    let timing = Timing { settle: 3.0, window: arguments.window, sweep: arguments.sweep / 1000.0 };

    let mut groups = groups(&arguments.viewers, arguments.publishers);
    if let Some(only) = &arguments.only {
        groups.iter_mut().for_each(|group| {
            group.cases.retain(|case| case.name.contains(&only[..]));
        });
        groups.retain(|group| !group.cases.is_empty());
    }
    // Rounds are the outer loop: a neighbour's busy minute then spoils one run of many cases
    // and not all runs of one.
    let cases: Vec<&Case> = groups.iter().flat_map(|group| &group.cases).collect();
    let mut runs: Vec<Vec<Result<Outcome, String>>> = vec![Vec::new(); cases.len()];
    for round in 1..=arguments.rounds {
        for (case, runs) in cases.iter().zip(&mut runs) {
            wait_for_quiet(Duration::from_secs(arguments.patience))?;
            eprint!("round {round}, {}, {} viewers: ", case.name, case.viewers);
            let outcome = case.run(&programs, timing).map_err(|error| format!("{error:#}"));
            match &outcome {
                Ok(outcome) => eprintln!("{}", serde_json::to_string(outcome)?),
                Err(why) => eprintln!("{why}"),
            }
            runs.push(outcome);
        }
    }

    let mut runs = runs.into_iter();
    let sections: Vec<Section> = groups
        .iter()
        .map(|group| Section {
            title: group.title.clone(),
            rows: group
                .cases
                .iter()
                .map(|case| Row::of(case.name, runs.next().unwrap_or_default()))
                .collect(),
        })
        .collect();
    let image = arguments.out.with_extension("svg");
    fs::write(&image, plot::svg(&sections)).context("writing the plot")?;
    let image = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let page = page(&arguments, &sections, &image)?;
    fs::write(&arguments.out, &page).context("writing the page")?;
    println!("{page}");
    Ok(())
}

/// What others may take of a core before the page warns.
const DISTURBED: f64 = 0.2;

/// Waits until the machine does less than this for one second.
const QUIET: Duration = Duration::from_millis(50);

fn wait_for_quiet(patience: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let before = process::busy()?;
        std::thread::sleep(Duration::from_secs(1));
        if process::busy()? - before < QUIET {
            break;
        }
    }
    Ok(())
}

fn page(arguments: &Arguments, sections: &[Section], image: &str) -> Result<String> {
    let mut out = String::from("# Benchmarks\n\n");
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let (model, cores, kernel) = machine()?;
    writeln!(
        out,
        "Measured on {date}: {model}, {cores} cores, Linux {kernel}, loopback only. The server has \
         core {SERVER_CORE} to itself, publisher and viewers share core {CLIENT_CORE}. On loopback \
         the sender pays for TCP's receiving side too, so costs are higher than over a network \
         card: **compare ratios within one run, never figures between runs.**\n"
    )?;
    let runs = sections.iter().flat_map(|section| &section.rows);
    let others = runs.filter_map(|row| row.outcome.as_ref().ok()).map(|run| run.other_load);
    let most = others.fold(0.0, f64::max);
    if most > DISTURBED {
        writeln!(
            out,
            "**Other programs ran beside this, taking up to {:.0} % of a core** (last column): this \
             page shows that the bench works; for figures to rely on, repeat it on a quiet machine.\n",
            100.0 * most
        )?;
    }
    writeln!(out, "![CPU time per megabyte]({image})\n")?;
    for section in sections {
        writeln!(out, "## {}\n\n{}", section.title, section.table())?;
    }
    writeln!(
        out,
        "## How to read it\n\n\
         - *Floor*: a program that writes the same bytes at the same cadence to the same number of \
         sockets and does nothing else.\n\
         - *CPU*: user and system time of the whole server process within a window of {window} s, \
         after all viewers have joined, divided by the bytes that the viewers read. Of {rounds} \
         round(s) the median is shown; rounds go over all cases.\n\
         - *Delivered ÷ due*: frames that were sent within the window and arrived, divided by \
         frames that the publisher numbered × viewers. A frame may be 1 s late.\n\
         - *Latency*: from the publisher's write to the viewer's read, by the wall clock in each \
         frame's user-data SEI. Viewers read every {sweep} ms, so it is up to that much too high; \
         the floor counts from when a frame is due, so its wait for the next write is in it.\n\
         - *First key frame*: from connecting to the last byte of the first key frame, 200 viewers \
         joining per second. The floor and nginx-rtmp have no GOP cache: their viewers wait for \
         the next key frame, every 2 s.\n\
         - *Dropped*: viewers that were refused or disconnected at any time. *Stalls*: times that \
         a viewer got no byte for a second.\n\
         - *KB per viewer*: growth of the server's resident memory from before the first viewer, \
         divided by viewers; socket buffers in the kernel are not part of it.\n\
         - *Viewers' core*: what the load generator took of its core; above a half, latencies are \
         its own. *Others*: what everything but server, viewers and publisher took of a core; more \
         than a few percent is a disturbance.\n\
         - The programme is 64 × 48 H.264 filled up to the bitrate, 25 frames per second, a key \
         frame every 2 s, and AAC of 64 kbit/s; nginx-rtmp is Debian's package with its defaults.\n",
        window = arguments.window,
        rounds = arguments.rounds,
        sweep = arguments.sweep,
    )?;
    let command: Vec<String> = std::env::args().skip(1).collect();
    writeln!(
        out,
        "## Repeat it\n\n```sh\ncargo build --release -p headwater -p headwater-bench\n\
         target/release/run {}\n```\n\nA single case, with a server that runs already:\n\n```sh\n\
         target/release/publish rtmp://127.0.0.1:1935/live/s --bitrate 1000000\n\
         target/release/load rtmp://127.0.0.1:1935/live/s --viewers 1000 --pid \"$SERVER_PID\"\n```",
        command.join(" ")
    )?;
    Ok(out)
}

/// The processor's name, the number of cores, and the kernel's release.
fn machine() -> Result<(String, usize, String)> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| line.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?.get();
    Ok((model.to_owned(), cores, kernel.trim().to_owned()))
}
