//! Network namespaces. Without tools of the system: an emulated machine has none.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

/// The loopback device is the first one of each network.
const LOOPBACK: i32 = 1;

/// Address of a device (kernel: `struct in6_ifreq` of include/uapi/linux/ipv6.h).
#[repr(C)]
struct Request6 {
    address: [u8; 16],
    prefix: u32,
    device: i32,
}

/// Gives this process a network of its own, of which the loopback device is up.
pub(super) fn leave_network() {
    // SAFETY: takes numbers only.
    succeeded(unsafe { libc::unshare(libc::CLONE_NEWNET) });
    let mut request = request("lo");
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap();
    control(Domain::IPV4, libc::SIOCSIFFLAGS, &request);
}

/// Moves this process to the network of another one.
pub(super) fn enter_network(pid: &str) {
    let network = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    // SAFETY: takes numbers only.
    succeeded(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) });
}

/// Gives the loopback device a further address: of IPv6 this one, of IPv4 the whole network of it.
pub(super) fn add_address(address: IpAddr) {
    match address {
        IpAddr::V6(address) => {
            let request = Request6 {
                address: address.octets(),
                prefix: 128,
                device: LOOPBACK,
            };
            control(Domain::IPV6, libc::SIOCSIFADDR, &request);
        }
        IpAddr::V4(address) => {
            let mut request = request("lo:1");
            request.ifr_ifru.ifru_addr = socket_address(address);
            control(Domain::IPV4, libc::SIOCSIFADDR, &request);
        }
    }
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let address = socket2::SockAddr::from(SocketAddr::from((address, 0)));
    // SAFETY: an address of IPv4 has just this size.
    unsafe { address.as_ptr().cast::<libc::sockaddr>().read_unaligned() }
}

fn request(device: &str) -> libc::ifreq {
    // SAFETY: all bytes zero are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // Signed on x86-64 only.
    let name: &mut [u8] = bytemuck::cast_slice_mut(&mut request.ifr_name);
    name[..device.len()].copy_from_slice(device.as_bytes());
    request
}

/// Asks the kernel for a change of a device; `request` is of the type that `what` reads.
fn control<T>(domain: Domain, what: libc::c_ulong, request: &T) {
    let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
    // SAFETY: the pointer is to a value that the request reads, and that outlives the call.
    succeeded(unsafe { libc::ioctl(socket.as_raw_fd(), what as _, std::ptr::from_ref(request)) });
}

fn succeeded(code: i32) {
    assert!(code >= 0, "{}", io::Error::last_os_error());
}
