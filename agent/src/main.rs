//! `tacit-agent`: see [`tacit_agent`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match tacit_agent::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tacit-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
