//! `headwater demo`: the server, the built-in clip, and where to watch it.

use anyhow::Result;
use clap::Args;
use control::page::DEMO_CLIP;
use headwater::{Addresses, Server};
use tracing::error;

use super::{banner, serve};

/// The stream that the clip is published as.
const STREAM: (&str, &str) = ("live", "demo");

/// Run the server with a built-in test stream, and say where to watch it.
#[derive(Args)]
pub(super) struct Demo {
    #[command(flatten)]
    serve: serve::Serve,
}

impl Demo {
    pub(super) fn run(&self) -> Result<()> {
        let serve = &self.serve;
        serve::run(&serve.source, serve.ready_file.as_deref(), serve.quiet, |server, addresses| {
            play(server);
            if !serve.quiet {
                tell(addresses);
            }
        })
    }
}

fn play(server: &Server) {
    let context = server.context().clone();
    tokio::spawn(async move {
        let name = context.settings.load().stream_name(STREAM.0, STREAM.1);
        let outcome = match name {
            Ok(name) => session::customize::play_clip(&context, &name, DEMO_CLIP)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = outcome {
            error!("the demo stream does not play: {error}");
        }
    });
}

fn tell(addresses: &Addresses) {
    if let Some(at) = addresses.api.first() {
        let url = banner::url("http", at, 80);
        println!("\nWatch the demo stream: {url}/?stream={}/{}", STREAM.0, STREAM.1);
    }
    println!("Stop it with Ctrl-C.");
}
