//! Addresses of the management controller, over IPMI (IPMI 2.0, 23.2).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use tacit_blockdev::{Ipmi, IpmiDevice, IpmiError, IpmiRequest};

use super::roots::Roots;

/// Where the kernel may put the device, as `ipmitool` looks for it.
const DEVICES: [&str; 3] = ["ipmi0", "ipmi/0", "ipmidev/0"];

/// For all questions together. A healthy controller answers one in some milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Network function "transport" and its command Get LAN Configuration Parameters.
const TRANSPORT: u8 = 0x0c;
const GET_LAN_CONFIGURATION: u8 = 0x02;

/// Channels that can be a LAN; 0 is the bus in the machine, 12 to 15 are reserved or the machine itself.
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=11;

/// Parameters of a channel (IPMI 2.0, table 23-4).
mod parameter {
    pub(super) const IP_ADDRESS: u8 = 3;
    pub(super) const MAC_ADDRESS: u8 = 5;
    pub(super) const ADDRESSING_ENABLES: u8 = 51;
    pub(super) const IPV6_STATUS: u8 = 55;
    pub(super) const IPV6_STATIC_ADDRESS: u8 = 56;
    pub(super) const IPV6_DYNAMIC_ADDRESS: u8 = 59;
}

/// Address sets that are asked for at most, whatever the controller claims to have.
const MAX_SETS: u8 = 16;

/// What the inventory says of the controller: `None` everywhere on a machine without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bmc {
    /// `0.0.0.0` when no channel has an address, as ironic-python-agent says it.
    pub(super) address: Option<String>,
    /// `::/0` when no channel has an address.
    pub(super) v6address: Option<String>,
    pub(super) mac: Option<String>,
}

/// Asks the controller of this machine, if there is one.
pub(super) fn read(roots: &Roots) -> Bmc {
    let Some(device) = DEVICES.iter().map(|name| roots.dev.join(name)).find(|path| path.exists()) else {
        return Bmc::default();
    };
    match IpmiDevice::open(&device) {
        Ok(controller) => ask(&controller, Instant::now() + PATIENCE),
        Err(error) => {
            tracing::warn!("management controller: {error}");
            unknown()
        }
    }
}

/// There is a controller, and it does not say where.
fn unknown() -> Bmc {
    Bmc { address: Some("0.0.0.0".to_owned()), v6address: Some("::/0".to_owned()), mac: None }
}

fn ask(controller: &dyn Ipmi, deadline: Instant) -> Bmc {
    let mut found = Found::default();
    for number in CHANNELS {
        match (Channel { controller, number, deadline }).survey(&mut found) {
            // Not a LAN channel, or one that does not tell: the next one may.
            Ok(()) | Err(Trouble::Refused) => {}
            Err(Trouble::Silent) => break,
        }
        if matches!(&found, Found { v4: Some(_), v6: Some(_), mac: Some(_) }) {
            break;
        }
    }
    let unknown = unknown();
    Bmc {
        address: found.v4.map(|address| address.to_string()).or(unknown.address),
        v6address: found.v6.map(|address| address.to_string()).or(unknown.v6address),
        mac: found.mac,
    }
}

#[derive(Debug, Default)]
struct Found {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    mac: Option<String>,
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

/// Why a question has no answer.
#[derive(Debug)]
enum Trouble {
    /// The controller answered, and not with this parameter.
    Refused,
    /// The controller does not answer: no more questions.
    Silent,
}

struct Channel<'a> {
    controller: &'a dyn Ipmi,
    number: u8,
    deadline: Instant,
}

impl Channel<'_> {
    /// Adds what this channel has and no channel before it had.
    fn survey(&self, found: &mut Found) -> Result<(), Trouble> {
        let v4 = self.ipv4()?;
        let mut is_its_own = found.v4.is_none() && v4.is_some();
        found.v4 = found.v4.or(v4);
        if found.v6.is_none() {
            found.v6 = if_told(self.ipv6())?.flatten();
            is_its_own |= found.v6.is_some_and(|address| !is_link_local(address));
        }
        // The card's address is that of the channel by which the controller is reached.
        if found.mac.is_none() && is_its_own {
            found.mac = if_told(self.mac())?.flatten();
        }
        Ok(())
    }

    /// A parameter without its revision byte.
    fn parameter(&self, parameter: u8, set: u8) -> Result<Vec<u8>, Trouble> {
        if Instant::now() >= self.deadline {
            return Err(Trouble::Silent);
        }
        let request = IpmiRequest {
            net_function: TRANSPORT,
            command: GET_LAN_CONFIGURATION,
            data: &[self.number, parameter, set, 0],
            deadline: self.deadline,
        };
        match self.controller.request(&request) {
            Ok(answer) => answer.get(1..).map(<[u8]>::to_vec).ok_or(Trouble::Refused),
            Err(IpmiError::Completion { .. } | IpmiError::Truncated) => Err(Trouble::Refused),
            Err(error) => {
                tracing::warn!("management controller, channel {}: {error}", self.number);
                Err(Trouble::Silent)
            }
        }
    }

    fn ipv4(&self) -> Result<Option<Ipv4Addr>, Trouble> {
        let octets: [u8; 4] = exact(&self.parameter(parameter::IP_ADDRESS, 0)?)?;
        let address = Ipv4Addr::from(octets);
        Ok((!address.is_unspecified()).then_some(address))
    }

    fn mac(&self) -> Result<Option<String>, Trouble> {
        let octets: [u8; 6] = exact(&self.parameter(parameter::MAC_ADDRESS, 0)?)?;
        let told = octets != [0; 6] && octets != [0xff; 6];
        Ok(told.then(|| octets.map(|octet| format!("{octet:02x}")).join(":")))
    }

    /// The first active address, a dynamic one before a static one; a routable one before a link-local one.
    fn ipv6(&self) -> Result<Option<Ipv6Addr>, Trouble> {
        // 0 is IPv4 only.
        if !matches!(self.parameter(parameter::ADDRESSING_ENABLES, 0)?.first(), Some(1 | 2)) {
            return Ok(None);
        }
        let status = self.parameter(parameter::IPV6_STATUS, 0)?;
        let [max_static, max_dynamic, ..] = status[..] else { return Err(Trouble::Refused) };
        let mut found: Vec<Ipv6Addr> = Vec::new();
        for (parameter, sets) in
            [(parameter::IPV6_DYNAMIC_ADDRESS, max_dynamic), (parameter::IPV6_STATIC_ADDRESS, max_static)]
        {
            for set in 0..sets.min(MAX_SETS) {
                match self.parameter(parameter, set) {
                    Ok(answer) => found.extend(active_address(parameter, &answer)),
                    Err(Trouble::Refused) => break,
                    Err(Trouble::Silent) => return Err(Trouble::Silent),
                }
                if found.iter().any(|address| !is_link_local(*address)) {
                    break;
                }
            }
        }
        Ok(found.iter().find(|address| !is_link_local(**address)).or(found.first()).copied())
    }
}

/// Set selector, source, sixteen bytes of address, length of the prefix, status (0 is active).
fn active_address(parameter: u8, answer: &[u8]) -> Option<Ipv6Addr> {
    let source = *answer.get(1)?;
    let octets: [u8; 16] = answer.get(2..18)?.try_into().ok()?;
    let enabled = if parameter == parameter::IPV6_STATIC_ADDRESS {
        source & 0x80 != 0
    } else {
        // SLAAC or DHCPv6.
        matches!(source & 0x0f, 1 | 2)
    };
    let address = Ipv6Addr::from(octets);
    (enabled && *answer.get(19)? == 0 && !address.is_unspecified()).then_some(address)
}

/// A parameter that the controller refuses is one that it does not have.
fn if_told<T>(answer: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(told) => Ok(Some(told)),
        Err(Trouble::Refused) => Ok(None),
        Err(Trouble::Silent) => Err(Trouble::Silent),
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Trouble> {
    bytes.try_into().map_err(|_| Trouble::Refused)
}

#[cfg(test)]
mod tests;
