use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use super::*;

/// What a played controller does when it is asked for a parameter of a channel.
#[derive(Clone, Debug)]
enum Reply {
    Data(Vec<u8>),
    Code(u8),
    Cut,
    Broken,
    Never,
}

/// A controller that has what its table says, and refuses all else as real ones do.
#[derive(Default)]
struct Played {
    replies: BTreeMap<(u8, u8, u8), Reply>,
    otherwise: Option<Reply>,
    asked: RefCell<Vec<(u8, u8, u8)>>,
}

impl Played {
    fn with(mut self, channel: u8, parameter: u8, data: &[u8]) -> Self {
        self.set(channel, parameter, 0, Reply::Data([&[0x11], data].concat()));
        self
    }

    fn set(&mut self, channel: u8, parameter: u8, set: u8, reply: Reply) {
        self.replies.insert((channel, parameter, set), reply);
    }

    /// The parameters of an address set.
    fn with_set(
        mut self,
        channel: u8,
        parameter: u8,
        set: u8,
        source: u8,
        address: &str,
        status: u8,
    ) -> Self {
        let octets = address.parse::<Ipv6Addr>().unwrap().octets();
        let data = [&[0x11, set, source], octets.as_slice(), &[64, status]].concat();
        self.set(channel, parameter, set, Reply::Data(data));
        self
    }

    fn ask(&self) -> Bmc {
        super::ask(self, Instant::now() + Duration::from_secs(60))
    }
}

impl Ipmi for Played {
    fn request(&self, request: &IpmiRequest<'_>) -> Result<Vec<u8>, IpmiError> {
        assert_eq!((request.net_function, request.command, request.data.len()), (0x0c, 0x02, 4));
        let key = (request.data[0], request.data[1], request.data[2]);
        self.asked.borrow_mut().push(key);
        match self.replies.get(&key).cloned().or(self.otherwise.clone()).unwrap_or(Reply::Code(0xcc)) {
            Reply::Data(data) => Ok(data),
            Reply::Code(code) => Err(IpmiError::Completion { code }),
            Reply::Cut => Err(IpmiError::Truncated),
            Reply::Broken => {
                Err(IpmiError::Ioctl { request: "played", source: io::Error::from_raw_os_error(5) })
            }
            Reply::Never => Err(IpmiError::TimedOut),
        }
    }
}

fn answers(address: &str, v6address: &str, mac: Option<&str>) -> Bmc {
    Bmc { address: Some(address.into()), v6address: Some(v6address.into()), mac: mac.map(str::to_owned) }
}

const MAC: [u8; 6] = [0x52, 0x54, 0, 0xAB, 0xCD, 0xEF];

#[test]
fn the_first_channel_with_an_address_is_the_controller_s() {
    for channel in CHANNELS {
        let mut played = Played::default().with(channel, 3, &[192, 0, 2, 9]).with(channel, 5, &MAC).with(
            11,
            3,
            &[192, 0, 2, 77],
        );
        // A channel before it is not configured.
        if channel > 1 {
            played = played.with(1, 3, &[0, 0, 0, 0]).with(1, 5, &[2; 6]);
        }
        let expected = if channel == 11 { "192.0.2.77" } else { "192.0.2.9" };
        assert_eq!(played.ask(), answers(expected, "::/0", Some("52:54:00:ab:cd:ef")), "{channel}");
    }
}

#[test]
fn a_controller_without_addresses_has_empty_ones() {
    assert_eq!(Played::default().ask(), answers("0.0.0.0", "::/0", None));
    let unset = (1..=11).fold(Played::default(), |played, channel| played.with(channel, 3, &[0; 4]));
    assert_eq!(unset.ask(), answers("0.0.0.0", "::/0", None));
    // Only LAN channels are asked, each once.
    let asked = unset.asked.borrow().iter().map(|(channel, ..)| *channel).collect::<Vec<_>>();
    assert!(asked.iter().all(|channel| CHANNELS.contains(channel)), "{asked:?}");
}

#[test]
fn ipv6_addresses_are_those_in_use() {
    let base = |enables: u8, status: [u8; 3]| {
        Played::default()
            .with(1, 3, &[192, 0, 2, 9])
            .with(1, 5, &MAC)
            .with(1, 51, &[enables])
            .with(1, 55, &status)
    };
    let v6 = |played: &Played| played.ask().v6address.unwrap();
    // A dynamic address before a static one; what is off, pending or of no known source does not count.
    let both = base(2, [2, 3, 3])
        .with_set(1, 56, 0, 0x80, "2001:db8::1", 0)
        .with_set(1, 59, 0, 0, "2001:db8::a", 0)
        .with_set(1, 59, 1, 2, "2001:db8::b", 2)
        .with_set(1, 59, 2, 2, "2001:db8::c", 0);
    assert_eq!(v6(&both), "2001:db8::c");
    let only_static = base(1, [2, 1, 3])
        .with_set(1, 56, 0, 0x00, "2001:db8::1", 0)
        .with_set(1, 56, 1, 0x80, "2001:db8::2", 0)
        .with_set(1, 59, 0, 1, "::", 0);
    assert_eq!(v6(&only_static), "2001:db8::2");
    // A routable one before the link-local one that every port has, which still is better than none.
    let local = base(2, [1, 1, 3]).with_set(1, 59, 0, 1, "fe80::1", 0);
    assert_eq!(v6(&local), "fe80::1");
    assert_eq!(v6(&local.with_set(1, 56, 0, 0x80, "2001:db8::2", 0)), "2001:db8::2");
    // Switched off.
    assert_eq!(v6(&base(0, [1, 1, 3]).with_set(1, 56, 0, 0x80, "2001:db8::2", 0)), "::/0");
}

#[test]
fn a_channel_with_ipv6_only_tells_its_mac_too() {
    let played = Played::default()
        .with(8, 3, &[0; 4])
        .with(8, 5, &MAC)
        .with(8, 51, &[1])
        .with(8, 55, &[1, 0, 0])
        .with_set(8, 56, 0, 0x80, "2001:db8::2", 0);
    assert_eq!(played.ask(), answers("0.0.0.0", "2001:db8::2", Some("52:54:00:ab:cd:ef")));
}

#[test]
fn claims_of_many_addresses_are_not_believed() {
    let played = Played::default().with(1, 3, &[192, 0, 2, 9]).with(1, 51, &[2]).with(1, 55, &[255, 255, 3]);
    let played = (0..=255).fold(played, |played, set| {
        played.with_set(1, 56, set, 0, "2001:db8::1", 0).with_set(1, 59, set, 0, "2001:db8::1", 0)
    });
    assert_eq!(played.ask().v6address.as_deref(), Some("::/0"));
    let sets = played.asked.borrow().iter().filter(|(_, parameter, _)| [56, 59].contains(parameter)).count();
    assert_eq!(sets, 2 * usize::from(MAX_SETS));
}

/// Every answer is cut at every length, and replaced by every kind of failure: what was told before stays told.
#[test]
fn cut_and_failing_answers_take_away_no_more_than_themselves() {
    let whole = || {
        Played::default()
            .with(1, 3, &[192, 0, 2, 9])
            .with(1, 5, &MAC)
            .with(1, 51, &[2])
            .with(1, 55, &[1, 1, 3])
            .with_set(1, 56, 0, 0x80, "2001:db8::2", 0)
            .with_set(1, 59, 0, 2, "2001:db8::3", 0)
    };
    let full = answers("192.0.2.9", "2001:db8::3", Some("52:54:00:ab:cd:ef"));
    assert_eq!(whole().ask(), full);
    for (key, reply) in whole().replies {
        let Reply::Data(data) = reply else { unreachable!("all are data") };
        let cuts = (0..data.len()).map(|length| Reply::Data(data[..length].to_vec()));
        let failures = (1..=255).map(Reply::Code).chain([Reply::Cut, Reply::Broken, Reply::Never]);
        for bad in cuts.chain(failures) {
            let mut played = whole();
            played.set(key.0, key.1, key.2, bad.clone());
            let bmc = played.ask();
            let context = format!("{key:?} {bad:?}: {bmc:?}");
            // No address is made up, and what is told is either whole or absent.
            assert!(["192.0.2.9", "0.0.0.0"].contains(&bmc.address.as_deref().unwrap()), "{context}");
            let v6 = bmc.v6address.as_deref().unwrap();
            assert!(["2001:db8::3", "2001:db8::2", "::/0"].contains(&v6), "{context}");
            assert!(bmc.mac.as_ref().is_none_or(|mac| *mac == "52:54:00:ab:cd:ef"), "{context}");
            if key.1 != 3 {
                assert_eq!(bmc.address.as_deref(), Some("192.0.2.9"), "{context}");
            }
        }
    }
}

#[test]
fn a_controller_that_never_answers_is_asked_once() {
    for reply in [Reply::Never, Reply::Broken] {
        let silent = Played { otherwise: Some(reply), ..Played::default() };
        assert_eq!(silent.ask(), answers("0.0.0.0", "::/0", None));
        assert_eq!(silent.asked.borrow().len(), 1);
    }
    // Nobody is asked after the deadline.
    let late = Played::default().with(1, 3, &[192, 0, 2, 9]);
    assert_eq!(super::ask(&late, Instant::now()), answers("0.0.0.0", "::/0", None));
    assert!(late.asked.borrow().is_empty());
}

#[test]
fn what_is_no_controller_is_one_that_does_not_tell() {
    let folder = tempfile::tempdir().unwrap();
    let roots = Roots::below(folder.path());
    assert_eq!(read(&roots), Bmc::default());
    std::fs::create_dir_all(folder.path().join("dev/ipmidev")).unwrap();
    std::fs::write(folder.path().join("dev/ipmidev/0"), "").unwrap();
    assert_eq!(read(&roots), answers("0.0.0.0", "::/0", None));
}
