//! `headwater config`: shows or checks the configuration.

use anyhow::Result;
use clap::Subcommand;

use super::serve::Source;

/// Show or check the configuration.
#[derive(Subcommand)]
pub(super) enum Show {
    /// Print every key with its meaning, its value, and where the value comes from.
    Print(Source),
    /// Say what is wrong with the configuration, if anything.
    Check(Source),
}

impl Show {
    pub(super) fn run(&self) -> Result<()> {
        let (Self::Print(source) | Self::Check(source)) = self;
        source.enter()?;
        let loaded = source.load()?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        match self {
            Self::Print(_) => print!("{}", loaded.render()),
            Self::Check(_) => match &loaded.file {
                Some(file) => println!("{} is fine", file.display()),
                None => println!("there is no file; the defaults are fine"),
            },
        }
        Ok(())
    }
}
