//! `tacit-image`: Tacit's boot media, and disk images on disks.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tacit_image::cli::run(tacit_image::cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            // Nobody reads it where standard error is gone.
            writeln!(io::stderr(), "tacit-image: {error}{causes}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}
