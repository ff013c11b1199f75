//! Links that are up only so that something can be heard on them.

use std::fs;
use std::path::PathBuf;

use super::netlink::Netlink;
use super::nics::{self, Nic};

/// `IFF_UP` of `linux/if.h`.
const UP: u32 = 1;

/// Runs something while every network device with hardware is up, and takes those down again that were down. None of
/// them gets an address, and IPv6 is switched off on them first: they say nothing.
pub(crate) fn with_links_up<T>(run: impl FnOnce() -> T) -> T {
    with_these_up(nics::list(), run)
}

fn with_these_up<T>(nics: Vec<Nic>, run: impl FnOnce() -> T) -> T {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            tracing::warn!("links stay as they are: {error}");
            return run();
        }
    };
    let raised = nics.into_iter().filter(is_down).filter_map(|nic| raise(&mut netlink, nic)).collect();
    // Dropped also when what runs panics.
    let _raised = Raised { netlink, links: raised };
    run()
}

/// A link that was down, and what its switch of IPv6 was.
struct Link {
    nic: Nic,
    ipv6: Option<String>,
}

/// Without IPv6 in the kernel there is nothing to switch off; otherwise no switch, no link.
fn raise(netlink: &mut Netlink, nic: Nic) -> Option<Link> {
    let ipv6 = silence(&nic, "1")
        .map_err(|error| tracing::warn!("{} stays down: IPv6 cannot be switched off: {error}", nic.name))
        .ok()?;
    let link = Link { nic, ipv6 };
    match netlink.up(link.nic.index) {
        Ok(()) => Some(link),
        Err(error) => {
            tracing::warn!("{} stays down: {error}", link.nic.name);
            link.give_ipv6_back();
            None
        }
    }
}

impl Link {
    fn give_ipv6_back(&self) {
        if let Some(Err(error)) = self.ipv6.as_ref().map(|before| silence(&self.nic, before)) {
            tracing::warn!("{}: IPv6 stays off: {error}", self.nic.name);
        }
    }
}

/// Links that go down again when this is dropped.
struct Raised {
    netlink: Netlink,
    links: Vec<Link>,
}

impl Drop for Raised {
    fn drop(&mut self) {
        for link in &self.links {
            // A link that stays up keeps silent.
            match self.netlink.down(link.nic.index) {
                Ok(()) => link.give_ipv6_back(),
                Err(error) => tracing::warn!("{} stays up: {error}", link.nic.name),
            }
        }
    }
}

fn is_down(nic: &Nic) -> bool {
    let text = fs::read_to_string(format!("/sys/class/net/{}/flags", nic.name)).unwrap_or_default();
    let flags = text.trim().strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    flags.is_some_and(|flags| flags & UP == 0)
}

/// Writes the switch and returns what it was; `None` in a kernel without IPv6.
fn silence(nic: &Nic, value: &str) -> std::io::Result<Option<String>> {
    let switch = PathBuf::from("/proc/sys/net/ipv6/conf").join(&nic.name).join("disable_ipv6");
    let before = match fs::read_to_string(&switch) {
        Ok(before) => before.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::write(&switch, value)?;
    Ok(Some(before))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::Command;

    use nix::mount::{MsFlags, mount};

    use super::super::nics::{index_of, parse_mac};
    use super::*;

    /// Set for the process that is in a network of its own.
    const INSIDE: &str = "TACIT_TEST_NETWORK";

    /// Runs the test `name` again in a process whose network has nothing but two links that are joined to each other,
    /// both down. Says a word where this process may not make such a network.
    fn in_a_network_of_its_own(name: &str, test: impl FnOnce()) {
        if std::env::var_os(INSIDE).is_some() {
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).unwrap();
            ip(&["link", "add", "left", "type", "veth", "peer", "name", "right"]);
            return test();
        }
        // Mounts in it are seen nowhere else.
        let apart = || {
            let mut command = Command::new("unshare");
            command.args(["--net", "--mount"]);
            command
        };
        if !apart().arg("true").status().is_ok_and(|status| status.success()) {
            eprintln!("NOT TESTED: this process may make no network of its own");
            return;
        }
        let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
        let mut again = apart();
        again.arg(std::env::current_exe().unwrap()).args([&name, "--exact", "--nocapture"]).env(INSIDE, "1");
        let output = again.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    fn ip(arguments: &[&str]) {
        let output = Command::new("ip").args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn nic(name: &str) -> Nic {
        let mac = fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap();
        let current_mac = parse_mac(mac.trim()).unwrap();
        Nic { name: name.to_owned(), index: index_of(name).unwrap(), current_mac, permanent_mac: None }
    }

    fn ipv6_is_off(name: &str) -> bool {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        fs::read_to_string(path).unwrap().trim() == "1"
    }

    /// Packets that the link has sent.
    fn sent(name: &str) -> u64 {
        let path = format!("/sys/class/net/{name}/statistics/tx_packets");
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn links_are_up_and_silent_for_as_long_as_it_takes() {
        in_a_network_of_its_own("links_are_up_and_silent_for_as_long_as_it_takes", || {
            let both = || vec![nic("left"), nic("right")];
            let answer = with_these_up(both(), || {
                assert!(both().iter().all(|nic| !is_down(nic)));
                assert!(ipv6_is_off("left") && ipv6_is_off("right"));
                // They have a carrier, by which a system that is not kept silent begins to talk.
                let carrier = fs::read_to_string("/sys/class/net/left/carrier").unwrap();
                assert_eq!(carrier.trim(), "1");
                7
            });
            assert_eq!(answer, 7);
            assert!(both().iter().all(is_down));
            assert!(!ipv6_is_off("left") && !ipv6_is_off("right"));
            assert_eq!((sent("left"), sent("right")), (0, 0));
        });
    }

    #[test]
    fn a_link_that_is_up_stays_as_it_is() {
        in_a_network_of_its_own("a_link_that_is_up_stays_as_it_is", || {
            ip(&["link", "set", "left", "up"]);
            with_these_up(vec![nic("left"), nic("right")], || {
                assert!(!ipv6_is_off("left") && ipv6_is_off("right"));
            });
            assert!(!is_down(&nic("left")) && is_down(&nic("right")));
        });
    }

    #[test]
    fn links_go_down_after_a_panic_too() {
        in_a_network_of_its_own("links_go_down_after_a_panic_too", || {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                with_these_up(vec![nic("left")], || -> () { panic!("boom") });
            }));
            assert!(panicked.is_err());
            assert!(is_down(&nic("left")) && !ipv6_is_off("left"));
        });
    }

    #[test]
    fn a_link_that_went_away_is_no_harm() {
        in_a_network_of_its_own("a_link_that_went_away_is_no_harm", || {
            let gone = Nic { name: "gone".into(), index: 4711, ..nic("left") };
            assert!(!is_down(&gone));
            let left = nic("left");
            with_these_up(vec![left, gone], || ip(&["link", "delete", "left"]));
        });
    }
}
