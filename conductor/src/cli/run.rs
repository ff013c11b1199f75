//! From arguments to an exit status.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use super::arguments::{Arguments, Command};
use super::client::Client;
use super::error::CliError;
use super::output::note;
use super::{bridge, join, node, port, serve};

/// Runs the program: parses the arguments of this process, prints errors, gives the exit status: 0 as wanted, 1
/// failed, 2 wrong usage, 130 interrupted.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("tacit: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("tacit: {}", with_causes(&error)));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<(), CliError> {
    // A second installation is refused and means that there is one already.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was there already");
    }
    let client = || Client::new(&arguments.url);
    match arguments.command {
        Command::Serve(serve) => serve::serve(serve)
            .await
            .map_err(|source| CliError::Local { what: "the conductor stopped".into(), source }),
        Command::Bridge(arguments) => bridge::bridge(arguments)
            .await
            .map_err(|source| CliError::Local { what: "the bridge stopped".into(), source }),
        Command::Join(arguments) => join::join(arguments).await,
        Command::Node(command) => node::run(&client()?, command, arguments.json).await,
        Command::Port(command) => port::run(&client()?, command, arguments.json).await,
    }
}

/// One line. The causes of a conductor that is not there say nothing more.
fn with_causes(error: &CliError) -> String {
    let mut text = error.to_string();
    if matches!(error, CliError::NoConductor { .. }) {
        return text;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
