use std::os::unix::net::UnixDatagram;

use super::*;

/// A socket on which a test plays the switch; an empty message breaks it.
impl Hears for UnixDatagram {
    fn hear(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.recv(buffer) {
            Ok(0) => Err(io::ErrorKind::NotConnected.into()),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn pair() -> (UnixDatagram, UnixDatagram) {
    let (node, switch) = UnixDatagram::pair().unwrap();
    node.set_nonblocking(true).unwrap();
    (node, switch)
}

fn frame(items: &[(u8, &[u8])]) -> Vec<u8> {
    let mut frame = [&GROUPS[0][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xcc]].concat();
    for (kind, value) in items {
        frame.push(kind << 1 | u8::try_from(value.len() >> 8).unwrap());
        frame.push((value.len() & 0xff) as u8);
        frame.extend_from_slice(value);
    }
    frame
}

const CHASSIS: (u8, &[u8]) = (1, &[4, 2, 0, 0, 0, 0, 1]);
const PORT: (u8, &[u8]) = (2, b"\x05Eth1/7");

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

#[test]
fn every_interface_hears_its_own_switch_and_nobody_waits_longer() {
    let ((a, switch_a), (b, switch_b)) = (pair(), pair());
    switch_a.send(&frame(&[CHASSIS, PORT, (0, &[])])).unwrap();
    switch_b.send(b"no frame at all").unwrap();
    switch_b.send(&frame(&[CHASSIS, (0, &[])])).unwrap();
    // Both are there: the far deadline is not waited for.
    let (heard, failed) = wait(vec![("eth0".to_owned(), a), ("eth1".to_owned(), b)], far());
    assert!(failed.is_empty());
    let items =
        |items: &[(u8, &str)]| items.iter().map(|(kind, hex)| (*kind, (*hex).to_owned())).collect::<Vec<_>>();
    assert_eq!(heard["eth0"], items(&[(1, "04020000000001"), (2, "05457468312f37"), (0, "")]));
    assert_eq!(heard["eth1"], items(&[(1, "04020000000001"), (0, "")]));
}

#[test]
fn silence_is_an_empty_list() {
    let ((a, _silent), (b, speaks)) = (pair(), pair());
    speaks.send(&frame(&[CHASSIS])).unwrap();
    let (heard, failed) = wait(vec![("eth0".to_owned(), a), ("eth1".to_owned(), b)], soon());
    assert!(failed.is_empty());
    assert_eq!((heard["eth0"].len(), heard["eth1"].len()), (0, 1));
    let (heard, _) = wait::<UnixDatagram>(Vec::new(), far());
    assert!(heard.is_empty());
}

#[test]
fn an_interface_that_breaks_or_babbles_is_given_up_and_the_others_are_not() {
    let ((broken, breaks), (babbling, noise), (good, speaks)) = (pair(), pair(), pair());
    breaks.send(&[]).unwrap();
    let noise = std::thread::spawn(move || while noise.send(b"junk, and more of it").is_ok() {});
    speaks.send(&frame(&[CHASSIS])).unwrap();
    let open =
        vec![("broken".to_owned(), broken), ("babbling".to_owned(), babbling), ("good".to_owned(), good)];
    let (heard, failed) = wait(open, far());
    noise.join().unwrap();
    assert_eq!(failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["broken"]);
    assert_eq!((heard["broken"].len(), heard["babbling"].len(), heard["good"].len()), (0, 0, 1));
}

#[test]
fn frames_end_where_they_end() {
    let whole = frame(&[CHASSIS, PORT, (127, &[0xaa; 511]), (0, &[]), (9, b"behind the end")]);
    let all = items(&whole).unwrap();
    assert_eq!(all.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 2, 127, 0]);
    assert_eq!(all[2].1.len(), 1022);
    for length in 0..whole.len() {
        let cut = items(&whole[..length]).unwrap_or_default();
        assert!(all.starts_with(&cut), "{length}: {cut:?}");
    }
    // Without an end mark, padding and a huge number of empty items are bounded.
    let many = [frame(&[]), [2, 0].repeat(4000)].concat();
    assert_eq!(items(&many).unwrap().len(), MAX_ITEMS);
    assert_eq!(items(&frame(&[])), None);
    let mut other = whole;
    other[13] = 0xcd;
    assert_eq!(items(&other), None);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let (heard, failed) = listen(&["no-such-nic".to_owned()], Duration::from_secs(600));
    assert!(heard["no-such-nic"].is_empty());
    assert_eq!(failed[0].0, "no-such-nic");
}

proptest::proptest! {
    #[test]
    fn any_frame_is_read_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        let framed = [frame(&[]), bytes].concat();
        let items = items(&framed).unwrap_or_default();
        let told: usize = items.iter().map(|(_, hex)| 2 + hex.len() / 2).sum();
        proptest::prop_assert!(told <= framed.len() - ETHERNET_HEADER);
    }
}

/// Needs the right to open packet sockets.
#[test]
fn a_frame_on_a_real_interface_is_heard() {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

    let loopback: LinkAddr = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter(|entry| entry.interface_name == "lo")
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .unwrap();
    let switch = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(switch.as_raw_fd(), &loopback).unwrap();
    let heard_it = AtomicBool::new(false);
    let (heard, failed) = std::thread::scope(|scope| {
        // A switch repeats itself: the first frame may come before anybody listens.
        scope.spawn(|| {
            while !heard_it.load(Ordering::Relaxed) {
                send(switch.as_raw_fd(), &frame(&[CHASSIS, PORT, (0, &[])]), MsgFlags::empty()).unwrap();
                std::thread::yield_now();
            }
        });
        let result = listen(&["lo".to_owned()], Duration::from_secs(60));
        heard_it.store(true, Ordering::Relaxed);
        result
    });
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(heard["lo"].iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 2, 0]);
}
