//! `burnin_network`: a stream of blocks that say what they are, on connections that the partner opens.
//!
//! A node opens no connection, so both roles listen, and only for the partner's address. Who connects first sends as
//! the reader's partner and receives as the writer's; in the second half the roles are swapped, on a second
//! connection. Two nodes that burn in each other are joined by whoever may reach both. The stream is made of
//! blocks of 64 KiB: their number from 0 on (8 bytes, little-endian), noise, and the CRC-32 of both (4 bytes).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::noise::Noise;
use super::run::{Shared, Total, failed, report, run};
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
const BLOCK: usize = 64 << 10;
/// A stream that stands still so long has failed.
const STALL: Duration = Duration::from_secs(30);
/// How often a listener without a caller looks at the clock.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Receives first.
    Reader,
    /// Sends first.
    Writer,
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
    let (role, partner) = pair(settings.value("fio_network_config"))?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)))
        .map_err(|error| failed(format!("cannot listen at port {PORT}: {error}")))?;
    let outcome = burn(context, &listener, role, partner, runtime, patience);
    report("burnin_network", file.as_deref(), outcome)
}

/// `{"role": "reader", "partner": "192.0.2.7"}`, as an object or as its text.
fn pair(value: &Value) -> Result<(Role, IpAddr), StepError> {
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
    let partner = object["partner"].as_str().and_then(|text| text.parse().ok());
    let partner = partner.ok_or_else(|| {
        wrong(format!(
            "partner must be an IP address, because no name is looked up, not {}",
            object["partner"]
        ))
    })?;
    Ok((role, partner))
}

fn burn(
    context: &StepContext<'_>,
    listener: &TcpListener,
    role: Role,
    partner: IpAddr,
    runtime: Duration,
    patience: Duration,
) -> Result<Value, StepError> {
    let shared = Shared::new(None);
    let halves = if role == Role::Reader { [receive, send] } else { [send, receive] };
    let work = || {
        for (name, half) in ["first", "second"].into_iter().zip(halves) {
            let outcome = accept(&shared, listener, partner, patience).and_then(|stream| match stream {
                Some(stream) => half(&shared, stream, runtime),
                None => Ok(()),
            });
            if let Err(error) = outcome {
                shared.fail(format!("partner {partner}, {name} half: {error}"));
                return;
            }
        }
    };
    let seconds = runtime.as_secs().saturating_mul(2);
    let mut found = run(context, "network", Total::Seconds(seconds), &shared, vec![Box::new(work)])?;
    found["bytes"] = found["done"].take();
    found["partner"] = json!(partner.to_string());
    Ok(found)
}

/// The partner's connection; `None` when the step was stopped. Others are closed at once.
fn accept(
    shared: &Shared,
    listener: &TcpListener,
    partner: IpAddr,
    patience: Duration,
) -> io::Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + patience;
    while !shared.is_stopped() {
        match listener.accept() {
            Ok((stream, from)) if from.ip().to_canonical() == partner => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(STALL))?;
                stream.set_write_timeout(Some(STALL))?;
                return Ok(Some(stream));
            }
            Ok((_, from)) => tracing::warn!("{from} is not the partner: closed"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= end {
            return Err(io::Error::other(format!("it did not connect within {} s", patience.as_secs())));
        }
    }
    Ok(None)
}

fn make(block: &mut [u8], number: u64) {
    let (body, sum) = block.split_at_mut(BLOCK - 4);
    body[..8].copy_from_slice(&number.to_le_bytes());
    Noise::new(number).fill(&mut body[8..]);
    sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

fn check(block: &[u8], number: u64) -> io::Result<()> {
    let (body, sum) = block.split_at(BLOCK - 4);
    if sum != crc32fast::hash(body).to_le_bytes() {
        return Err(io::Error::other(format!("block {number} is damaged")));
    }
    let found = u64::from_le_bytes(body[..8].try_into().expect("eight bytes"));
    if found == number {
        Ok(())
    } else {
        Err(io::Error::other(format!("block {found} came in the place of {number}")))
    }
}

/// Until the time is over; a partner that leaves before that has failed.
fn receive(shared: &Shared, mut stream: TcpStream, runtime: Duration) -> io::Result<()> {
    let end = Instant::now() + runtime;
    let mut block = vec![0; BLOCK];
    for number in 0.. {
        if Instant::now() >= end || shared.is_stopped() {
            break;
        }
        stream.read_exact(&mut block)?;
        check(&block, number)?;
        shared.add(BLOCK as u64);
    }
    Ok(())
}

fn send(shared: &Shared, mut stream: TcpStream, runtime: Duration) -> io::Result<()> {
    let end = Instant::now() + runtime;
    let mut block = vec![0; BLOCK];
    for number in 0.. {
        if Instant::now() >= end || shared.is_stopped() {
            break;
        }
        make(&mut block, number);
        stream.write_all(&block)?;
        shared.add(BLOCK as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::Map;

    use super::*;
    use crate::managers::StepObserver;

    struct Silent;

    impl StepObserver for Silent {
        fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: tacit_model::ProgressUnit) {}

        fn cancelled(&self) -> bool {
            false
        }
    }

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn burn_with(listener: &TcpListener, role: Role, runtime: u64) -> Result<Value, StepError> {
        let args = Map::new();
        let context = StepContext { node: &json!({}), ports: &json!([]), args: &args, observer: &Silent };
        let partner = IpAddr::from(Ipv4Addr::LOCALHOST);
        burn(&context, listener, role, partner, Duration::from_millis(runtime), Duration::from_secs(20))
    }

    #[test]
    fn both_roles_carry_blocks_on_connections_of_the_partner() {
        for role in [Role::Reader, Role::Writer] {
            let (listener, address) = listen();
            let partner = thread::spawn(move || {
                let shared = Shared::new(None);
                let long = Duration::from_secs(60);
                // The partner does the opposite until the node has had enough and closes.
                let halves = if role == Role::Reader { [send, receive] } else { [receive, send] };
                halves.map(|half| half(&shared, TcpStream::connect(address).unwrap(), long).is_err())
            });
            let found = burn_with(&listener, role, 300).unwrap();
            assert!(found["bytes"].as_u64().unwrap() > 2 * BLOCK as u64, "{found}");
            assert_eq!(partner.join().unwrap(), [true, true]);
        }
    }

    #[test]
    fn damage_and_loss_are_told() {
        let (listener, address) = listen();
        let partner = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut block = vec![0; BLOCK];
            make(&mut block, 0);
            stream.write_all(&block).unwrap();
            make(&mut block, 2);
            stream.write_all(&block).unwrap();
            stream
        });
        let error = burn_with(&listener, Role::Reader, 60_000).unwrap_err().details();
        assert!(error.contains("first half: block 2 came in the place of 1"), "{error}");
        drop(partner.join().unwrap());
        let mut block = vec![0; BLOCK];
        make(&mut block, 5);
        block[100] ^= 1;
        assert!(check(&block, 5).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn only_pairs_that_need_no_call_are_taken() {
        let good = json!({"role": "writer", "partner": "192.0.2.7"});
        assert_eq!(pair(&good).unwrap(), (Role::Writer, "192.0.2.7".parse().unwrap()));
        assert!(pair(&json!(good.to_string())).is_ok());
        for bad in [
            json!(null),
            json!({"role": "both", "partner": "::1"}),
            json!({"role": "reader", "partner": "host"}),
        ] {
            assert!(pair(&bad).is_err(), "{bad}");
        }
    }
}
