//! `tacit-agent`: see [`tacit_agent`].

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match tacit_agent::run() {
        Ok(code) => code,
        Err(error) => {
            // Nobody reads it where standard error is gone.
            writeln!(io::stderr(), "tacit-agent: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}
