#![expect(unsafe_code, reason = "addresses and memberships of packet sockets are C structures")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_void, packet_mreq, sockaddr_ll, socklen_t};

/// Hears the frames of one type of one network interface. There is no way to send through it.
#[derive(Debug)]
pub struct FrameListener {
    socket: OwnedFd,
}

impl FrameListener {
    /// Begins to listen: frames to this machine, to the multicast `groups`, and whatever else the interface then takes
    /// in, for adapters whose filters miss groups. All of it ends when the value is dropped.
    ///
    /// # Errors
    ///
    /// When the interface does not exist or the caller may not open packet sockets (`CAP_NET_RAW`).
    pub fn open(interface: &str, ethertype: u16, groups: &[[u8; 6]]) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: the name is a terminated string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let index = c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // Protocol 0: nothing is heard before the socket is bound to its interface.
        // SAFETY: no pointers.
        let raw = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just opened and that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: `sockaddr_ll` is plain data for which all zero bytes are valid.
        let mut address: sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ethertype.to_be();
        address.sll_ifindex = index;
        // SAFETY: the address is of the family of the socket and the length is its own.
        let bound = unsafe {
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<sockaddr_ll>() as socklen_t)
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        for group in groups {
            join(&socket, index, libc::PACKET_MR_MULTICAST, group)?;
        }
        join(&socket, index, libc::PACKET_MR_PROMISC, &[])?;
        Ok(Self { socket })
    }

    /// The next frame that was heard, cut to the buffer; `None` when there is none now.
    ///
    /// # Errors
    ///
    /// Of the kernel, as when the interface went down.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the pointer leads to as many writable bytes as the length says.
        let length = unsafe {
            libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast::<c_void>(), buffer.len(), 0)
        };
        if let Ok(length) = usize::try_from(length) {
            return Ok(Some(length.min(buffer.len())));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        }
    }
}

impl AsFd for FrameListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn join(socket: &OwnedFd, index: c_int, kind: c_int, address: &[u8]) -> io::Result<()> {
    // SAFETY: `packet_mreq` is plain data for which all zero bytes are valid.
    let mut member: packet_mreq = unsafe { std::mem::zeroed() };
    member.mr_ifindex = index;
    member.mr_type = kind as u16;
    member.mr_alen = address.len() as u16;
    member.mr_address[..address.len()].copy_from_slice(address);
    // SAFETY: the option takes this structure and the length is its own.
    let joined = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const member).cast(),
            size_of::<packet_mreq>() as socklen_t,
        )
    };
    if joined == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        assert!(FrameListener::open("no-such-nic", 0x88cc, &[]).is_err());
        assert!(FrameListener::open("l\0", 0x88cc, &[]).is_err());
    }
}
