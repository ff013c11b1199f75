//! What the switches say of themselves (IEEE 802.1AB). This machine listens and says nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tacit_blockdev::FrameListener;

/// Ethertype of LLDP.
const ETHERTYPE: u16 = 0x88cc;

/// Nearest bridge, nearest non-TPMR bridge, nearest customer bridge (IEEE 802.1AB-2016, table 7-1).
const GROUPS: [[u8; 6]; 3] = [
    [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e],
    [0x01, 0x80, 0xc2, 0x00, 0x00, 0x03],
    [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00],
];

/// Two addresses and the type.
const ETHERNET_HEADER: usize = 14;

/// Longest frame that is taken: jumbo frames have no business here, and a longer one is cut.
const MAX_FRAME: usize = 9216;

/// Items of one frame that are taken at most. A frame of ordinary length has no room for more than 750.
const MAX_ITEMS: usize = 1024;

/// Frames of other types on one interface that are passed over at most: a stream of junk ends the wait for it.
const MAX_JUNK: usize = 64;

/// Type and value, the value in hexadecimal digits.
pub(super) type Item = (u8, String);

/// What each interface heard, and the interfaces that could not be listened on, with the reason.
pub(super) type Heard = (BTreeMap<String, Vec<Item>>, Vec<(String, io::Error)>);

/// Where frames are heard. [`FrameListener`] is the real one.
pub(super) trait Hears: AsFd {
    fn hear(&self, buffer: &mut [u8]) -> io::Result<Option<usize>>;
}

impl Hears for FrameListener {
    fn hear(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive(buffer)
    }
}

/// Listens on all interfaces at once until each has heard its switch, `patience` at most. An interface that heard
/// nothing has an empty list. A neighbour speaks every 30 seconds unless told otherwise.
pub(super) fn listen(interfaces: &[String], patience: Duration) -> Heard {
    let mut failed = Vec::new();
    let mut open = Vec::new();
    for name in interfaces {
        match FrameListener::open(name, ETHERTYPE, &GROUPS) {
            Ok(listener) => open.push((name.clone(), listener)),
            Err(error) => failed.push((name.clone(), error)),
        }
    }
    let (mut heard, broken) = wait(open, Instant::now() + patience);
    heard.extend(failed.iter().map(|(name, _): &(String, io::Error)| (name.clone(), Vec::new())));
    failed.extend(broken);
    (heard, failed)
}

/// One that is still waited for.
struct Waiting<L> {
    name: String,
    listener: L,
    junk: usize,
}

fn wait<L: Hears>(open: Vec<(String, L)>, deadline: Instant) -> Heard {
    let mut heard: BTreeMap<String, Vec<Item>> =
        open.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    let mut failed = Vec::new();
    let mut waiting: Vec<Waiting<L>> =
        open.into_iter().map(|(name, listener)| Waiting { name, listener, junk: 0 }).collect();
    let mut buffer = vec![0; MAX_FRAME];
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let ready = match ready(&waiting, left) {
            Ok(ready) => ready,
            Err(error) => {
                failed.push(("poll".to_owned(), error));
                break;
            }
        };
        let mut ready = ready.into_iter();
        waiting.retain_mut(|one| {
            if ready.next() != Some(true) {
                return true;
            }
            match one.listener.hear(&mut buffer) {
                Ok(None) => true,
                Ok(Some(length)) => match items(&buffer[..length]) {
                    Some(items) => {
                        heard.insert(one.name.clone(), items);
                        false
                    }
                    None => {
                        one.junk += 1;
                        one.junk < MAX_JUNK
                    }
                },
                // Of an interface that went down.
                Err(error) => {
                    failed.push((one.name.clone(), error));
                    false
                }
            }
        });
    }
    (heard, failed)
}

/// Which of them have something to read, or an error; all false when the time is over or a signal came.
fn ready<L: Hears>(waiting: &[Waiting<L>], left: Duration) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        waiting.iter().map(|one| PollFd::new(one.listener.as_fd(), PollFlags::POLLIN)).collect();
    // Rounded up: a wait of zero milliseconds would spin until the deadline.
    let left = left.saturating_add(Duration::from_millis(1));
    match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) => {
            Ok(polled.iter().map(|one| one.revents().is_some_and(|events| !events.is_empty())).collect())
        }
        Err(Errno::EINTR) => Ok(vec![false; waiting.len()]),
        Err(error) => Err(error.into()),
    }
}

/// The items of a frame, up to and with its end mark or its end; `None` when it is no LLDP at all. An item that the
/// frame cuts off is left out.
pub(super) fn items(frame: &[u8]) -> Option<Vec<Item>> {
    if frame.get(12..ETHERNET_HEADER)? != ETHERTYPE.to_be_bytes() {
        return None;
    }
    let mut rest = &frame[ETHERNET_HEADER..];
    let mut items = Vec::new();
    while let [high, low, tail @ ..] = rest {
        // Seven bits of type, nine of length.
        let kind = high >> 1;
        let length = usize::from(high & 1) << 8 | usize::from(*low);
        let Some(value) = tail.get(..length) else { break };
        items.push((kind, value.iter().map(|byte| format!("{byte:02x}")).collect()));
        if kind == 0 || items.len() == MAX_ITEMS {
            break;
        }
        rest = &tail[length..];
    }
    (!items.is_empty()).then_some(items)
}

#[cfg(test)]
mod tests;
