#![expect(unsafe_code, reason = "the ethtool ioctl takes a pointer inside a C union")]

use std::os::fd::AsRawFd;

use libc::{c_char, ifreq};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `SIOCETHTOOL` of `linux/sockios.h`.
const SIOCETHTOOL: u32 = 0x8946;
/// `ETHTOOL_GPERMADDR` of `linux/ethtool.h`.
const GET_PERMANENT_ADDRESS: u32 = 0x20;

/// `struct ethtool_perm_addr` with room for the longest address (`MAX_ADDR_LEN`).
#[repr(C)]
struct PermanentAddress {
    command: u32,
    size: u32,
    data: [u8; 32],
}

nix::ioctl_readwrite_bad!(ethtool, SIOCETHTOOL, ifreq);

/// The address burnt into a network interface, whatever it was set to since (bonds change it). `None` when the
/// interface does not exist, has no six-byte address, or its driver does not know (all zero).
pub fn interface_permanent_mac(name: &str) -> Option<[u8; 6]> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return None;
    }
    // Any socket serves as a handle for interface ioctls; this one sends nothing.
    let handle = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    let mut answer = PermanentAddress { command: GET_PERMANENT_ADDRESS, size: 32, data: [0; 32] };
    // SAFETY: `ifreq` is plain data for which all zero bytes are valid.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut answer).cast();
    // SAFETY: the name is terminated by a zero byte (checked length above) and the data pointer leads to a
    // `PermanentAddress`, alive for the whole call, whose `size` says how much the kernel may fill.
    unsafe { ethtool(handle.as_raw_fd(), &raw mut request) }.ok()?;
    let mac: [u8; 6] = answer.data[..6].try_into().expect("six of thirty-two bytes");
    (answer.size == 6 && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_without_a_burnt_in_address_have_none() {
        assert_eq!(interface_permanent_mac("lo"), None);
        assert_eq!(interface_permanent_mac("no-such-nic"), None);
        assert_eq!(interface_permanent_mac("a-name-longer-than-any-interface"), None);
        assert_eq!(interface_permanent_mac(""), None);
    }
}
