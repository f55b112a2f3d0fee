//! The program's commands.

mod banner;
mod bench;
mod crowd;
mod demo;
mod log_file;
mod logging;
mod media_file;
mod probe;
mod pull;
mod push;
mod relay;
mod rtsp;
mod saver;
mod serve;
mod settings;
mod source;
mod stats;
mod transfer;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

/// A live media server: streams in over RTMP and RTSP, out over RTMP, RTSP, HLS, HTTP and WebSocket
#[derive(Parser)]
#[command(
    name = "headwater",
    version,
    disable_version_flag = true,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    // Scripts that start lal name no command.
    #[command(flatten, next_help_heading = "Options of serve, which runs without a command too")]
    serve: serve::Serve,
}

const EXAMPLES: &str = "Try it:
  headwater demo                       a server with a test stream, and a page that plays it
  headwater serve                      a server with default settings
  ffmpeg -re -i FILE -c copy -f flv rtmp://127.0.0.1/live/me     publish to it
  ffplay http://127.0.0.1:8080/live/me.flv                       watch";

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = serve::HELP)]
    Serve(serve::Serve),
    /// Run the server with a built-in test stream, and say where to watch it.
    Demo(demo::Demo),
    /// Publish a file (FLV, MPEG-TS, MP4) to an RTMP or RTSP server, in real time.
    #[command(after_help = push::HELP)]
    Push(push::Push),
    /// Play a stream over RTMP, RTSP, HTTP or WebSocket, and save it if wanted.
    #[command(after_help = pull::HELP)]
    Pull(pull::Pull),
    /// Carry one stream from anywhere to anywhere: from a server or a file, to a server or a file.
    #[command(after_help = relay::HELP)]
    Relay(relay::Relay),
    /// Tell what a stream or a file is made of, and what is wrong with it for which player.
    #[command(after_help = probe::HELP)]
    Probe(probe::Probe),
    /// Find out what a server takes, and how long things take.
    #[command(subcommand, after_help = bench::HELP)]
    Bench(bench::Bench),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(settings::Show),
}

/// Runs the program. Errors go to standard error with what to do about them.
pub(crate) fn run() -> ExitCode {
    let Arguments { command, serve, .. } = Arguments::parse();
    let outcome = match command.unwrap_or(Command::Serve(serve)) {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Push(push) => push.run(),
        Command::Pull(pull) => pull.run(),
        Command::Relay(relay) => relay.run(),
        Command::Probe(probe) => probe.run(),
        Command::Bench(bench) => bench.run(),
        Command::Config(show) => show.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headwater: {error:#}");
            ExitCode::FAILURE
        }
    }
}
