//! Reads an MPEG transport stream from a file and tells what is in it and what is wrong:
//! `cargo run -p headwater-testkit --example check_ts -- in.ts`.

use std::io::{self, Write};
use std::process::ExitCode;

use headwater_testkit::ts::{Rules, check};

fn main() -> io::Result<ExitCode> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "which file?"));
    };
    let report = check(&std::fs::read(path)?, &Rules::default());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} packets, tables every {:?}, clock every {:?} at most",
        report.packets, report.pat_pmt_gap, report.pcr_gap
    )?;
    for program in &report.programs {
        writeln!(out, "{program:?}")?;
    }
    for stream in &report.streams {
        let keys = stream.pes.iter().filter(|pes| pes.random_access).count();
        writeln!(
            out,
            "PID {:#06x}, type {:#04x}: {} PES packets, {keys} to start at",
            stream.pid,
            stream.stream_type,
            stream.pes.len()
        )?;
    }
    for fault in &report.faults {
        writeln!(out, "{fault}")?;
    }
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
