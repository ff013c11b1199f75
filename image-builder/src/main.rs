//! `tacit-image`: builds, describes and configures Tacit's boot media.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tacit_image::cli::run(tacit_image::cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            eprintln!("tacit-image: {error}{causes}");
            ExitCode::FAILURE
        }
    }
}
