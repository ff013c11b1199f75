//! `tacit join`: carries bytes between two nodes that run `burnin_network`. Both listen, since a node opens no
//! connection; this end may reach both.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::arguments::JoinArguments;
use super::error::CliError;
use super::output::print;

/// Where nodes listen in `burnin_network`.
const PORT: u16 = 9000;
/// The test has two, a connection of each node for each.
const HALVES: u32 = 2;
/// Nodes greet with less; a connection that carried no more was not taken for a half.
const GREETINGS: u64 = 64;
const CONNECT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes read at once.
const PIECE: usize = 256 * 1024;

/// `192.0.2.7`, or with a port other than the usual one.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    plain.or_else(|_| text.parse()).map_err(|_| format!("{text} is neither an IP address nor ADDRESS:PORT"))
}

pub(super) async fn join(arguments: JoinArguments) -> Result<(), CliError> {
    let (one, other) = (arguments.one, arguments.other);
    for half in 1..=HALVES {
        let (there, back, took) = carry(one, other, Duration::from_secs(arguments.patience)).await?;
        let rate = |bytes: u64| bytes as f64 / took.as_secs_f64() / 1e6;
        print(&format!(
            "half {half}: {there} bytes from {one} to {other} ({:.0} MB/s), {back} bytes back ({:.0} MB/s)\n",
            rate(there),
            rate(back)
        ))?;
    }
    print("both halves were carried; whether they were intact is what the nodes' steps say\n")
}

/// Bytes of one half in both directions, and how long it took.
async fn carry(
    one: SocketAddr,
    other: SocketAddr,
    patience: Duration,
) -> Result<(u64, u64, Duration), CliError> {
    let began = Instant::now();
    loop {
        let started = Instant::now();
        let why = match both(one, other).await {
            Ok((mut first, mut second)) => {
                let end = copy_bidirectional_with_sizes(&mut first, &mut second, PIECE, PIECE).await;
                match end {
                    Ok((there, back)) if there.max(back) > GREETINGS => {
                        return Ok((there, back, started.elapsed()));
                    }
                    Ok(_) => "one of them closed its connection at once".to_owned(),
                    // What broke in the midst of a half is lost: the nodes fail it.
                    Err(error) if started.elapsed() > PAUSE => {
                        return Err(CliError::Failed(format!("{one} and {other}: {error}")));
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        if began.elapsed() > patience {
            let seconds = patience.as_secs();
            return Err(CliError::Failed(format!(
                "{one} and {other} were not joined within {seconds} s: {why}"
            )));
        }
        sleep(PAUSE).await;
    }
}

/// A connection to each, or to none.
async fn both(one: SocketAddr, other: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let dial = async |address: SocketAddr| {
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let late = |_| said(io::Error::from(io::ErrorKind::TimedOut));
        let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)?.map_err(said)?;
        stream.set_nodelay(true)?;
        io::Result::Ok(stream)
    };
    Ok((dial(one).await?, dial(other).await?))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn usual_port_need_not_be_named() {
        assert_eq!(address("192.0.2.7").unwrap(), "192.0.2.7:9000".parse().unwrap());
        assert_eq!(address("[2001:db8::7]:9").unwrap(), "[2001:db8::7]:9".parse().unwrap());
        assert!(address("rack1-07").unwrap_err().contains("rack1-07"));
    }

    /// Sends `bytes`, closes that direction, and returns what came.
    async fn node(listener: &TcpListener, bytes: &[u8]) -> Vec<u8> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        let mut got = Vec::new();
        let send = async {
            write.write_all(bytes).await.unwrap();
            write.shutdown().await.unwrap();
        };
        tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
        got
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_connection_that_only_greeted_is_joined_again() {
        let ((one, to_one), (other, to_other)) = (listener().await, listener().await);
        let sent = vec![7; 1 << 20];
        let reader = async {
            drop(one.accept().await.unwrap());
            node(&one, b"got it").await
        };
        let writer = async {
            node(&other, b"hello").await;
            node(&other, &sent).await
        };
        let joined = carry(to_one, to_other, Duration::from_secs(30));
        let (got, answer, carried) = tokio::join!(reader, writer, joined);
        assert!(got == sent && answer == b"got it");
        let (there, back, _) = carried.unwrap();
        assert_eq!((there, back), (6, 1 << 20));
    }

    #[tokio::test]
    async fn nobody_there_is_named() {
        let (_one, to_one) = listener().await;
        let (gone, to_gone) = listener().await;
        drop(gone);
        let error = carry(to_one, to_gone, Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{to_gone}: ")), "{error}");
    }
}
