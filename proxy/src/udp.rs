//! UDP in batches: recvmmsg and sendmmsg, since a system call costs more than everything we do with a datagram.

use std::{
    io,
    mem::{MaybeUninit, size_of, zeroed},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams per system call.
pub const BATCH: usize = 32;
/// The largest UDP payload there is: what is longer than a limit is refused by the core, not cut here.
const BUFFER: usize = 65_535;

pub struct UdpBatch {
    fd: OwnedFd,
    local: SocketAddr,
    receive: Vec<u8>,
    addresses: Box<[libc::sockaddr_storage; BATCH]>,
    lengths: [usize; BATCH],
}

impl UdpBatch {
    /// Binds; several sockets may share the address when `share` is set (SO_REUSEPORT).
    pub fn bind(addr: SocketAddr, share: bool) -> io::Result<UdpBatch> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(share)?;
        socket.set_nonblocking(true)?;
        // Room for a burst while the thread is busy; the kernel gives what it may.
        socket.set_recv_buffer_size(8 << 20)?;
        socket.set_send_buffer_size(8 << 20)?;
        socket.bind(&addr.into())?;
        let local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
        Ok(UdpBatch {
            fd: socket.into(),
            local,
            receive: vec![0; BUFFER * BATCH],
            // SAFETY: all-zero bytes are a valid sockaddr_storage.
            addresses: Box::new(unsafe { zeroed() }),
            lengths: [0; BATCH],
        })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Receives up to [`BATCH`] datagrams without waiting; read them with [`UdpBatch::datagram`].
    pub fn receive(&mut self) -> io::Result<usize> {
        let mut parts: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for i in 0..BATCH {
            let buffer = &mut self.receive[i * BUFFER..(i + 1) * BUFFER];
            parts[i].write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BUFFER });
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.addresses[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_iov = parts[i].as_mut_ptr();
            header.msg_iovlen = 1;
        }
        // SAFETY: every header points at buffers of ours that outlive the call.
        let n = unsafe { libc::recvmmsg(self.fd.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        if n < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                // A peer's ICMP error for something sent earlier: says nothing of what waits.
                io::ErrorKind::ConnectionRefused => Ok(0),
                _ => Err(error),
            };
        }
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(n as usize) {
            *length = header.msg_len as usize;
        }
        Ok(n as usize)
    }

    /// The `i`th datagram of the last receive, and who sent it.
    pub fn datagram(&self, i: usize) -> Option<(&[u8], SocketAddr)> {
        let from = read_address(&self.addresses[i])?;
        Some((&self.receive[i * BUFFER..i * BUFFER + self.lengths[i]], from))
    }

    /// Sends all, in order; what the kernel does not take is dropped, as the network would, and counted.
    pub fn send<'a>(&self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        let mut dropped = 0;
        let mut datagrams = datagrams.peekable();
        while datagrams.peek().is_some() {
            // SAFETY: all-zero bytes are valid for each of these.
            let (mut headers, mut parts, mut addresses): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH], [libc::sockaddr_storage; BATCH]) =
                unsafe { (zeroed(), zeroed(), zeroed()) };
            let mut n = 0;
            for (to, bytes) in datagrams.by_ref().take(BATCH) {
                parts[n] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
                let header = &mut headers[n].msg_hdr;
                header.msg_namelen = write_address(to, &mut addresses[n]);
                header.msg_name = (&raw mut addresses[n]).cast();
                header.msg_iov = &raw mut parts[n];
                header.msg_iovlen = 1;
                n += 1;
            }
            let mut sent = 0;
            while sent < n {
                // SAFETY: headers `sent..n` point at addresses and bytes that outlive the call.
                let done = unsafe { libc::sendmmsg(self.fd.as_raw_fd(), headers[sent..].as_mut_ptr(), (n - sent) as u32, libc::MSG_DONTWAIT) };
                if done > 0 {
                    sent += done as usize;
                } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                    // This one cannot be sent; the next ones may.
                    dropped += 1;
                    sent += 1;
                }
            }
        }
        dropped
    }
}

fn read_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which form the kernel wrote, and storage is large enough for it.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            Some(SocketAddrV4::new(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            Some(SocketAddrV6::new(Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_address(addr: SocketAddr, storage: &mut libc::sockaddr_storage) -> u32 {
    match addr {
        SocketAddr::V4(v4) => {
            let out = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is large enough and aligned for every sockaddr.
            unsafe { (&raw mut *storage).cast::<libc::sockaddr_in>().write(out) };
            size_of::<libc::sockaddr_in>() as u32
        }
        SocketAddr::V6(v6) => {
            let out = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut *storage).cast::<libc::sockaddr_in6>().write(out) };
            size_of::<libc::sockaddr_in6>() as u32
        }
    }
}

/// A file descriptor that wakes a poll from another thread.
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    pub fn new() -> io::Result<Waker> {
        use std::os::fd::FromRawFd;
        // SAFETY: eventfd gives a new descriptor, or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Waker { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of ours; a full counter means a wake is pending already.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes of ours.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

/// Waits until the socket can be read, the waker was woken, or `limit_ms` has passed.
pub fn wait(socket: &UdpBatch, waker: &Waker, limit_ms: i32) {
    let mut fds = [
        libc::pollfd { fd: socket.raw_fd(), events: libc::POLLIN, revents: 0 },
        libc::pollfd { fd: waker.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 },
    ];
    // SAFETY: two descriptors of ours.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, limit_ms) };
    if fds[1].revents != 0 {
        waker.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_every_size_and_family_arrive_whole_with_their_sender() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(mut a) = UdpBatch::bind(host.parse().expect("address"), false) else { continue };
            let b = UdpBatch::bind(host.parse().expect("address"), false).expect("bind");
            let messages: Vec<Vec<u8>> = (0..100).map(|i| vec![i as u8; 1 + i * 600]).collect();
            let waker = Waker::new().expect("waker");
            for chunk in messages.chunks(20) {
                assert_eq!(b.send(chunk.iter().map(|m| (a.local(), m.as_slice()))), 0);
                let mut got = Vec::new();
                while got.len() < chunk.len() {
                    wait(&a, &waker, 1000);
                    let n = a.receive().expect("receive");
                    for i in 0..n {
                        let (bytes, from) = a.datagram(i).expect("datagram");
                        assert_eq!(from, b.local());
                        got.push(bytes.to_vec());
                    }
                }
                assert_eq!(got, chunk);
            }
        }
    }
}
