//! Puts the parts together and serves.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use tacit_protocol::AGENT_PORT;
use tacit_protocol::medium::NodeConfig;
use tokio::net::{TcpListener, TcpSocket};

use crate::agent::{Agent, AgentOptions};
use crate::cli::ServeArguments;
use crate::{api, logging, tls};

/// Worker threads of the runtime: HTTP only; commands have threads of their own.
const WORKERS: usize = 2;
const BACKLOG: u32 = 128;

/// Serves until the process ends.
///
/// # Errors
///
/// When the configuration cannot be used or the address is taken.
pub(crate) fn run(arguments: ServeArguments, process_start: f64) -> Result<()> {
    let logs = logging::install();
    let bytes = fs::read(&arguments.config)
        .with_context(|| format!("cannot read the node configuration {}", arguments.config.display()))?;
    let config = NodeConfig::from_region(&bytes)
        .with_context(|| format!("cannot use the node configuration {}", arguments.config.display()))?;
    drop(bytes);
    let tls = Arc::new(tls::server_config(&config).context("cannot set up TLS")?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let listener = listen(arguments.listen, config.port.unwrap_or(AGENT_PORT))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let agent = Agent::new(AgentOptions {
            node_uuid: config.node_uuid.clone(),
            state_dir: arguments.state_dir,
            disks: (!arguments.disks.is_empty()).then_some(arguments.disks),
            hardware_managers: arguments.hardware_managers,
            owns_machine: !arguments.no_power,
            image_policy: config.image_policy.clone(),
            logs,
            process_start,
        })?;
        tracing::info!("node {} listens on {address}", config.node_uuid);
        // For who started us with port 0.
        writeln!(std::io::stdout(), "listening on {address}").context("standard output is closed")?;
        tls::serve(listener, tls, api::router(agent)).await;
        Ok(())
    })
}

fn listen(wish: Option<SocketAddr>, port: u16) -> Result<TcpListener> {
    if let Some(address) = wish {
        return bind(address).with_context(|| format!("cannot listen on {address}"));
    }
    // Without IPv6 in the kernel, `::` cannot be had.
    bind((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| bind((Ipv4Addr::UNSPECIFIED, port).into()))
        .with_context(|| format!("cannot listen on port {port}"))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
