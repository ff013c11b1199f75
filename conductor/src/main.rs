//! `tacit`: the conductor and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tacit_conductor::cli::run()
}
