#![expect(unsafe_code, reason = "the ethtool ioctl takes a pointer inside a C union")]

use std::os::fd::AsRawFd;

use libc::{c_char, ifreq};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::link_modes::fastest_mbps;

/// `SIOCETHTOOL` of `linux/sockios.h`.
const SIOCETHTOOL: u32 = 0x8946;
/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GET_DRIVER: u32 = 0x03;
/// `ETHTOOL_GPERMADDR`.
const GET_PERMANENT_ADDRESS: u32 = 0x20;
/// `ETHTOOL_GLINKSETTINGS`.
const GET_LINK_SETTINGS: u32 = 0x4c;
/// Words of one link mode mask that there is room for; the kernel has 4 today and counts in a signed byte.
const MASK_WORDS: usize = 127;

/// `struct ethtool_perm_addr` with room for the longest address (`MAX_ADDR_LEN`).
#[repr(C)]
struct PermanentAddress {
    command: u32,
    size: u32,
    data: [u8; 32],
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    option_rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// `struct ethtool_link_settings` with the three masks behind it.
#[repr(C)]
struct LinkSettings {
    command: u32,
    speed: u32,
    /// duplex, port, phy_address, autoneg, mdio_support, eth_tp_mdix, eth_tp_mdix_ctrl
    settings: [u8; 7],
    mask_words: i8,
    more: [u8; 4],
    reserved: [u32; 7],
    masks: [u32; 3 * MASK_WORDS],
}

nix::ioctl_readwrite_bad!(ethtool, SIOCETHTOOL, ifreq);

/// Asks the driver of an interface.
///
/// # Safety
///
/// `T` is plain data that begins with the command's number, and is as large as the kernel reads and fills for it.
unsafe fn ask<T>(name: &str, answer: &mut T) -> Option<()> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return None;
    }
    // Any socket serves as a handle for interface ioctls; this one sends nothing.
    let handle = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    // SAFETY: `ifreq` is plain data for which all zero bytes are valid.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut *answer).cast();
    // SAFETY: the name is terminated by a zero byte (checked length above) and the data pointer leads to `answer`,
    // which is alive for the whole call and large enough as the caller promises.
    unsafe { ethtool(handle.as_raw_fd(), &raw mut request) }.ok()?;
    Some(())
}

/// The address burnt into a network interface, whatever it was set to since (bonds change it). `None` when the
/// interface does not exist, has no six-byte address, or its driver does not know (all zero).
pub fn interface_permanent_mac(name: &str) -> Option<[u8; 6]> {
    let mut answer = PermanentAddress { command: GET_PERMANENT_ADDRESS, size: 32, data: [0; 32] };
    // SAFETY: the structure says itself how much the kernel may fill.
    unsafe { ask(name, &mut answer) }?;
    let mac: [u8; 6] = answer.data[..6].try_into().expect("six of thirty-two bytes");
    (answer.size == 6 && mac != [0; 6]).then_some(mac)
}

/// Version of the firmware of a network interface as its driver tells it; `None` when it does not, or says `N/A`.
pub fn interface_firmware(name: &str) -> Option<String> {
    let mut answer = DriverInfo {
        command: GET_DRIVER,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        option_rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    // SAFETY: the structure is the kernel's, field by field.
    unsafe { ask(name, &mut answer) }?;
    let text = answer.firmware.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).trim().to_owned();
    (!text.is_empty() && text != "N/A").then_some(text)
}

/// The highest speed in Mbit/s that a network interface supports, with or without a link; `None` when its driver does
/// not tell, as those of virtual machines.
pub fn interface_max_speed_mbps(name: &str) -> Option<u64> {
    let mut answer = LinkSettings {
        command: GET_LINK_SETTINGS,
        speed: 0,
        settings: [0; 7],
        mask_words: 0,
        more: [0; 4],
        reserved: [0; 7],
        masks: [0; 3 * MASK_WORDS],
    };
    // The first call only asks how long a mask is; the kernel says so by a negative number.
    // SAFETY: without masks the kernel fills the fixed part, for which there is room.
    unsafe { ask(name, &mut answer) }?;
    let words = answer.mask_words.checked_neg().filter(|&words| words > 0)?;
    answer.command = GET_LINK_SETTINGS;
    answer.mask_words = words;
    // SAFETY: three masks of at most 127 words follow the fixed part, for which there is room.
    unsafe { ask(name, &mut answer) }?;
    let supported = answer.masks.get(..usize::try_from(words).ok()?)?;
    fastest_mbps(supported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_without_a_driver_tell_nothing() {
        for name in ["lo", "no-such-nic", "a-name-longer-than-any-interface", "", "l\0"] {
            assert_eq!(interface_permanent_mac(name), None, "{name}");
            assert_eq!(interface_firmware(name), None, "{name}");
            assert_eq!(interface_max_speed_mbps(name), None, "{name}");
        }
    }

    #[test]
    fn structures_have_the_kernel_s_sizes() {
        assert_eq!(size_of::<DriverInfo>(), 196);
        assert_eq!(size_of::<LinkSettings>(), 48 + 12 * MASK_WORDS);
        assert_eq!(std::mem::offset_of!(LinkSettings, mask_words), 15);
    }
}
