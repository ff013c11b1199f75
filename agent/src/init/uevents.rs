//! Devices that come later.

use std::sync::{Mutex, PoisonError};

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};

use super::console::say;
use super::modules::Loader;

/// The kernel's own group of listeners.
const KERNEL_GROUP: u32 = 1;
const BUFFER: usize = 64 * 1024;

/// Listens from now on, so that no device is missed between coldplug and [`watch`].
pub(super) fn listen() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
    socket.bind(&SocketAddr::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Loads modules for devices as they come. Returns when the kernel no longer tells.
pub(super) fn watch(socket: &Socket, loader: &Mutex<Loader>) {
    loop {
        let mut buffer = Vec::with_capacity(BUFFER);
        match socket.recv(&mut buffer, 0) {
            Ok(_) => {
                if let Some(device) = added_device(&buffer) {
                    loader.lock().unwrap_or_else(PoisonError::into_inner).load_for(device);
                }
            }
            // The kernel dropped events: those devices have a modalias, which a look at all of them finds.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => {
                super::coldplug::coldplug(&mut loader.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                say(format!("no longer hears of new devices: {error}"));
                return;
            }
        }
    }
}

/// The alias of a device that was added.
fn added_device(event: &[u8]) -> Option<&str> {
    let field = |name: &str| {
        event
            .split(|byte| *byte == 0)
            .filter_map(|field| std::str::from_utf8(field).ok())
            .find_map(|field| field.strip_prefix(name))
    };
    (field("ACTION=") == Some("add")).then(|| field("MODALIAS="))?
}

#[cfg(test)]
mod tests {
    use super::added_device;

    #[test]
    fn events() {
        let add = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0MODALIAS=virtio:d1v2\0SEQNUM=1\0";
        assert_eq!(added_device(add), Some("virtio:d1v2"));
        assert_eq!(added_device(b"remove@/x\0ACTION=remove\0MODALIAS=a\0"), None);
        assert_eq!(added_device(b"add@/x\0ACTION=add\0"), None);
    }
}
