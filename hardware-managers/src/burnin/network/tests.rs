//! Nodes that test each other, with a joiner between them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Map;
use tacit_model::ProgressUnit;

use super::wire::BLOCK;
use super::*;
use crate::managers::StepObserver;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// An address that nobody has.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// Says that it wants to stop from the first progress on, if it is to.
#[derive(Default)]
struct Observer {
    stops: bool,
    heard: AtomicBool,
}

impl StepObserver for Observer {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stops && self.heard.load(Ordering::Relaxed)
    }
}

struct Node {
    address: SocketAddr,
    outcome: thread::JoinHandle<Result<Value, StepError>>,
}

impl Node {
    fn start(role: Role, joiner: Option<IpAddr>, runtime: Duration, patience: Duration) -> Self {
        Self::watched(Observer::default(), Pair { role, partner: NOBODY, joiner }, runtime, patience)
    }

    fn watched(observer: Observer, pair: Pair, runtime: Duration, patience: Duration) -> Self {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let outcome = thread::spawn(move || {
            let (args, nothing) = (Map::new(), Value::Null);
            let context = StepContext { node: &nothing, ports: &nothing, args: &args, observer: &observer };
            burn(&context, listener, pair, runtime, patience)
        });
        Self { address, outcome }
    }

    fn end(self) -> Result<Value, StepError> {
        self.outcome.join().unwrap()
    }

    fn failure(self) -> String {
        self.end().unwrap_err().details()
    }
}

/// The two nodes of a pair, joined by somebody of this machine.
fn two(runtime: Duration) -> [Node; 2] {
    [Role::Reader, Role::Writer].map(|role| Node::start(role, Some(HERE), runtime, LONG))
}

/// Carries bytes from one connection to the other until one of them ends; `change` may do something to them.
fn carry(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8])) {
    let mut piece = vec![0; BLOCK];
    while let Ok(read) = from.read(&mut piece) {
        change(&mut piece[..read]);
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}

/// One half, as a conductor would join it. `change` is done to what the second node says.
fn join(nodes: &[Node; 2], change: impl FnMut(&mut [u8]) + Send) {
    let [first, second] = [0, 1].map(|at: usize| TcpStream::connect(nodes[at].address).unwrap());
    let (first_again, second_again) = (first.try_clone().unwrap(), second.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| carry(first, second_again, |_| {}));
        carry(second, first_again, change);
    });
}

#[test]
fn two_nodes_test_each_other_through_a_joiner() {
    let nodes = two(SHORT);
    join(&nodes, |_| {});
    join(&nodes, |_| {});
    let [reader, writer] = nodes.map(|node| node.end().unwrap());
    for (half, other) in [(0, "receive"), (1, "send")] {
        assert_eq!(reader["halves"][half]["direction"], other);
        let bytes = reader["halves"][half]["bytes"].as_u64().unwrap();
        assert_eq!(writer["halves"][half]["bytes"], bytes);
        assert!(bytes > 2 * BLOCK as u64, "{reader}");
    }
    assert_eq!(reader["bytes"], writer["bytes"]);
}

#[test]
fn a_partner_may_call_a_node_itself() {
    let pair = Pair { role: Role::Reader, partner: HERE, joiner: None };
    let node = Node::watched(Observer::default(), pair, SHORT, LONG);
    let runtime_ms = u64::try_from(SHORT.as_millis()).unwrap();
    let mut block = vec![0; BLOCK];
    // It sends a block, the last one, and takes the receipt.
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.write_all(&Hello { half: 1, direction: Direction::Send, runtime_ms }.bytes()).unwrap();
    stream.read_exact(&mut [0; wire::HELLO]).unwrap();
    wire::make(&mut block, 0);
    stream.write_all(&block).unwrap();
    wire::make_last(&mut block, 1);
    stream.write_all(&block).unwrap();
    let mut receipt = [0; wire::RECEIPT];
    stream.read_exact(&mut receipt).unwrap();
    assert_eq!(receipt, wire::receipt(1));
    // Then it receives to the end.
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.write_all(&Hello { half: 2, direction: Direction::Receive, runtime_ms }.bytes()).unwrap();
    stream.read_exact(&mut [0; wire::HELLO]).unwrap();
    let mut count = 0;
    loop {
        stream.read_exact(&mut block).unwrap();
        if wire::check(&block, count).unwrap() {
            break;
        }
        count += 1;
    }
    stream.write_all(&wire::receipt(count)).unwrap();
    assert_eq!(node.end().unwrap()["halves"][0]["bytes"], BLOCK as u64);
}

#[test]
fn damage_on_the_way_fails_both() {
    let nodes = two(Duration::from_secs(5));
    let mut carried = 0;
    join(&nodes, |piece| {
        // One bit, far behind the greeting.
        if carried < 1 << 20 && carried + piece.len() >= 1 << 20 {
            piece[0] ^= 1;
        }
        carried += piece.len();
    });
    let [reader, writer] = nodes.map(Node::failure);
    assert!(reader.contains("half 1 (receive): block") && reader.contains("is damaged"), "{reader}");
    assert!(writer.contains("half 1 (send)"), "{writer}");
}

#[test]
fn a_writer_without_receipt_has_not_passed() {
    let node = Node::start(Role::Writer, Some(HERE), SHORT, LONG);
    let mut stream = TcpStream::connect(node.address).unwrap();
    let runtime_ms = u64::try_from(SHORT.as_millis()).unwrap();
    stream.write_all(&Hello { half: 1, direction: Direction::Receive, runtime_ms }.bytes()).unwrap();
    stream.read_exact(&mut [0; wire::HELLO]).unwrap();
    let mut block = vec![0; BLOCK];
    let mut count = 0;
    loop {
        stream.read_exact(&mut block).unwrap();
        if wire::check(&block, count).unwrap() {
            break;
        }
        count += 1;
    }
    stream.write_all(&wire::receipt(count - 1)).unwrap();
    let failure = node.failure();
    assert!(failure.contains("does not confirm"), "{failure}");
}

#[test]
fn without_a_joiner_it_fails_when_its_patience_ends() {
    let failure = Node::start(Role::Reader, Some(HERE), LONG, SHORT).failure();
    assert!(failure.contains("half 1 (receive): nobody joined the two ends within"), "{failure}");
}

#[test]
fn a_joiner_that_comes_too_early_comes_again() {
    let nodes = two(SHORT);
    // It reached one of them only, and let it go.
    drop(TcpStream::connect(nodes[1].address).unwrap());
    let mut stranger = TcpStream::connect(nodes[1].address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    join(&nodes, |_| {});
    join(&nodes, |_| {});
    for node in nodes {
        node.end().unwrap();
    }
}

#[test]
fn nobody_else_is_let_in() {
    let node = Node::start(Role::Reader, None, LONG, Duration::from_secs(2));
    let mut stream = TcpStream::connect(node.address).unwrap();
    // Closed without a greeting.
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said));
    assert_eq!(said, b"");
    assert!(node.failure().contains("nobody joined"));
}

#[test]
fn nodes_that_were_told_different_things_say_so() {
    let nodes = [
        Node::start(Role::Reader, Some(HERE), SHORT, LONG),
        Node::start(Role::Writer, Some(HERE), SHORT * 2, LONG),
    ];
    join(&nodes, |_| {});
    for (node, expected) in
        nodes.into_iter().zip(["it runs for 600 ms, not 300", "it runs for 300 ms, not 600"])
    {
        let failure = node.failure();
        assert!(failure.contains(expected), "{failure}");
    }
}

#[test]
fn a_byte_now_and_then_keeps_nothing_open() {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let trickle = thread::spawn(move || {
        // Until the other end is gone.
        while slow.write_all(&[7]).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let worker = Worker::alone(None);
    let mut stream = stream::Stream::new(&worker, listener.accept().unwrap().0).unwrap();
    let error = stream.read(&mut vec![0; BLOCK], Instant::now() + SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("of 65536 bytes"), "{error}");
    drop(stream);
    trickle.join().unwrap();
}

#[test]
fn it_stops_at_once_wherever_it_is() {
    let begun = Instant::now();
    let pair = Pair { role: Role::Writer, partner: NOBODY, joiner: Some(HERE) };
    // While nobody is there, while the other end has not greeted, and while nobody reads.
    for greets in [None, Some(false), Some(true)] {
        let node = Node::watched(Observer { stops: true, ..Observer::default() }, pair, LONG, LONG);
        let stream = greets.map(|greets| {
            let mut stream = TcpStream::connect(node.address).unwrap();
            let runtime_ms = u64::try_from(LONG.as_millis()).unwrap();
            if greets {
                let hello = Hello { half: 1, direction: Direction::Receive, runtime_ms };
                stream.write_all(&hello.bytes()).unwrap();
            }
            stream
        });
        assert!(matches!(node.end(), Err(StepError::Cancelled { .. })), "{greets:?}");
        drop(stream);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn only_pairs_that_need_no_call_are_taken() {
    let good = json!({"role": "writer", "partner": "192.0.2.7"});
    let expected = Pair { role: Role::Writer, partner: NOBODY, joiner: None };
    assert_eq!(pair(&good).unwrap(), expected);
    assert_eq!(pair(&json!(good.to_string())).unwrap(), expected);
    let joined = json!({"role": "writer", "partner": "192.0.2.7", "joiner": "127.0.0.1"});
    assert_eq!(pair(&joined).unwrap(), Pair { joiner: Some(HERE), ..expected });
    for bad in [
        json!(null),
        json!({"role": "both", "partner": "::1"}),
        json!({"role": "reader", "partner": "host"}),
        json!({"role": "reader", "partner": "::1", "joiner": "conductor"}),
    ] {
        assert!(pair(&bad).is_err(), "{bad}");
    }
}
