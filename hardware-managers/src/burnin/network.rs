//! `burnin_network`: a stream of blocks that say what they are, on connections that somebody else opens.
//!
//! A node opens no connection, so both roles listen, and a joiner, who may reach both, connects to the two and carries
//! bytes from one to the other; a partner that may open connections can call a node itself. The test has two halves, a
//! connection each: the writer sends in the first, the reader in the second. What goes over them is in docs/burn-in.md.

mod half;
mod stream;
mod wire;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use self::half::{Carried, Half};
use self::wire::{Direction, Hello};
use super::run::{Crew, Total, Worker, failed, report};
use super::settings::{Settings, invalid};
use crate::machine::Machine;
use crate::managers::{StepContext, StepError, StepSpecification};

pub(super) const STEP: StepSpecification = StepSpecification {
    name: "burnin_network",
    interface: "deploy",
    clean: Some(0),
    deploy: None,
    service: Some(0),
    abortable: true,
    arguments: &[],
    run: burnin_network,
};

const PORT: u16 = 9000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Receives first.
    Reader,
    /// Sends first.
    Writer,
}

/// Who tests the network with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    role: Role,
    partner: IpAddr,
    /// Who connects, when it is not the partner.
    joiner: Option<IpAddr>,
}

fn burnin_network(_: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let runtime = settings.seconds("fio_network_runtime", 21_600)?;
    let patience = settings.seconds("fio_network_pairing_timeout", 900)?;
    let file = settings.output_file("fio_network_outputfile")?;
    if !settings.value("fio_network_pairing_backend_url").is_null() {
        let text = "pairing would need a connection that the node opens; name the partner in \
                    agent_burnin_fio_network_config";
        return Err(invalid("fio_network_pairing_backend_url", text.to_owned()));
    }
    let pair = pair(settings.value("fio_network_config"))?;
    let listener = listen().map_err(|error| failed(format!("cannot listen at port {PORT}: {error}")))?;
    report("burnin_network", file.as_deref(), burn(context, listener, pair, runtime, patience))
}

/// On all addresses, also where the kernel has no IPv6.
fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).or_else(|error| {
        if error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32) {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))
        } else {
            Err(error)
        }
    })
}

/// `{"role": "reader", "partner": "192.0.2.7", "joiner": "192.0.2.1"}`, as an object or as its text.
fn pair(value: &Value) -> Result<Pair, StepError> {
    let wrong = |problem: String| invalid("fio_network_config", problem);
    let object = match value {
        Value::String(text) => serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?,
        other => other.clone(),
    };
    let role = match object["role"].as_str() {
        Some("reader") => Role::Reader,
        Some("writer") => Role::Writer,
        _ => return Err(wrong(format!("role must be reader or writer, not {}", object["role"]))),
    };
    let address = |name: &str| {
        let address = object[name].as_str().and_then(|text| text.parse::<IpAddr>().ok());
        address.ok_or_else(|| {
            let found = &object[name];
            wrong(format!("{name} must be an IP address, because no name is looked up, not {found}"))
        })
    };
    let joiner = if object["joiner"].is_null() { None } else { Some(address("joiner")?) };
    Ok(Pair { role, partner: address("partner")?, joiner })
}

fn burn(
    context: &StepContext<'_>,
    listener: TcpListener,
    pair: Pair,
    runtime: Duration,
    patience: Duration,
) -> Result<Value, StepError> {
    let carried = Arc::new(Mutex::new(Vec::new()));
    let directions = match pair.role {
        Role::Reader => [Direction::Receive, Direction::Send],
        Role::Writer => [Direction::Send, Direction::Receive],
    };
    let done = carried.clone();
    let work = move |worker: &Worker| {
        for (half, direction) in (1..).zip(directions) {
            let runtime_ms = u64::try_from(runtime.as_millis()).unwrap_or(u64::MAX);
            let hello = Hello { half, direction, runtime_ms };
            let caller = pair.joiner.unwrap_or(pair.partner);
            let half = Half { worker, listener: &listener, caller, hello, patience };
            match half.run() {
                Ok(carried) => done.lock().unwrap_or_else(PoisonError::into_inner).push(carried),
                Err(error) if error.kind() == ErrorKind::Interrupted => return,
                Err(error) => {
                    let (partner, half, word) = (pair.partner, hello.half, direction.word());
                    worker.fail(format!("partner {partner}, half {half} ({word}): {error}"));
                    return;
                }
            }
        }
    };
    let seconds = runtime.as_secs().saturating_mul(2);
    let mut crew = Crew::new(None);
    crew.add("network", work);
    let mut found = crew.run(context, "network", Total::Seconds(seconds))?;
    let carried = carried.lock().unwrap_or_else(PoisonError::into_inner);
    // Proof of both directions, or it has not passed.
    if carried.len() != directions.len() || carried.iter().any(|half| half.bytes == 0) {
        return Err(failed(format!("partner {}: not all of the test was run", pair.partner)));
    }
    found["bytes"] = found["done"].take();
    found["partner"] = json!(pair.partner.to_string());
    found["halves"] = carried.iter().map(describe).collect();
    Ok(found)
}

fn describe(half: &Carried) -> Value {
    let seconds = half.time.as_secs_f64();
    json!({
        "direction": half.direction.word(),
        "bytes": half.bytes,
        "seconds": seconds,
        "bytes_per_second": (half.bytes as f64 / seconds.max(0.001)).round(),
    })
}

#[cfg(test)]
mod tests;
