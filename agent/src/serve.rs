//! Puts the parts together and serves.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tacit_protocol::AGENT_PORT;
use tacit_protocol::medium::NodeConfig;
use tokio::net::{TcpListener, TcpSocket};

use crate::access::Closed;
use crate::agent::{Agent, AgentOptions};
use crate::cli::ServeArguments;
use crate::commands::RescuePaths;
use crate::ipa::Start;
use crate::tls::Security;
use crate::{api, init, ipa, logging, tls};

/// Worker threads of the runtime: HTTP only; commands have threads of their own.
const WORKERS: usize = 2;
const BACKLOG: u32 = 128;

/// Serves until the API is closed for the rest of this boot, and stays silent from then on: whoever supervises this
/// process has no reason to start another.
///
/// # Errors
///
/// When the configuration cannot be used or the address is taken.
pub(crate) fn run(arguments: ServeArguments, process_start: f64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let owns_machine = !arguments.no_power;
    let why = runtime.block_on(serve(arguments, process_start))?;
    runtime.shutdown_background();
    if why == Closed::LockedDown && owns_machine {
        init::all_links_down();
    }
    tracing::info!("the API is closed ({why:?}); this machine is silent until it is switched off");
    loop {
        std::thread::park();
    }
}

async fn serve(arguments: ServeArguments, process_start: f64) -> Result<Closed> {
    let given = ipa::options(&arguments.ipa)?;
    let logs = logging::install(if given.debug() { "debug" } else { "info" });
    let (options, security, listen) = match &arguments.config {
        Some(path) => {
            let config = read_config(path)?;
            let security = Security::Tls(Arc::new(tls::server_config(&config).context("cannot set up TLS")?));
            let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, config.port.unwrap_or(AGENT_PORT)));
            let options = AgentOptions {
                node_uuid: config.node_uuid,
                image_policy: config.image_policy,
                ..AgentOptions::new(arguments.state_dir)
            };
            (options, security, arguments.listen.unwrap_or(everywhere))
        }
        None => {
            let Start { listen, token, image_policy, face, security } =
                ipa::start(&arguments.ipa, &given, &arguments.state_dir)?;
            let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, AGENT_PORT));
            let options = AgentOptions {
                token,
                image_policy,
                ipa: Some(face),
                ..AgentOptions::new(arguments.state_dir)
            };
            (options, security, arguments.listen.or(listen).unwrap_or(everywhere))
        }
    };
    let listener = bind_anywhere(listen)?;
    let address = listener.local_addr().context("the listener has no address")?;
    let agent = Agent::new(AgentOptions {
        disks: (!arguments.disks.is_empty()).then_some(arguments.disks),
        hardware_managers: arguments.hardware_managers,
        owns_machine: !arguments.no_power,
        rescue: arguments.rescue_root.as_deref().map(RescuePaths::below).unwrap_or_default(),
        logs,
        process_start,
        ..options
    })?;
    let closed = agent.access.closed();
    if let Some(why) = *closed.borrow() {
        return Ok(why);
    }
    agent.prepare();
    tracing::info!("node {} listens on {address}", agent.node_uuid());
    // For who started us with port 0.
    writeln!(std::io::stdout(), "listening on {address}").context("standard output is closed")?;
    Ok(tls::serve(listener, security, api::router(agent), closed).await)
}

fn read_config(path: &Path) -> Result<NodeConfig> {
    let bytes =
        fs::read(path).with_context(|| format!("cannot read the node configuration {}", path.display()))?;
    NodeConfig::from_region(&bytes)
        .with_context(|| format!("cannot use the node configuration {}", path.display()))
}

/// Without IPv6 in the kernel, `::` cannot be had.
fn bind_anywhere(address: SocketAddr) -> Result<TcpListener> {
    let bound = match bind(address) {
        Err(_) if address.ip().is_unspecified() => bind((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        other => other,
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
