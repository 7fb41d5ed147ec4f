//! The wire: one network interface through a packet socket (packet(7)).
//!
//! Frames come through a ring that the kernel writes and we read, each as soon as it is there (TPACKET_V2): version 3 hands out blocks of
//! frames, at the latest a timer tick after they came, and a handshake must not wait for that (docs/decisions/0010-the-line.md). The
//! interface carries nothing of this machine: the socket that reads is the only one that writes.
#![expect(
    unsafe_code,
    reason = "packet sockets, their ring, and interfaces have no safe interface in the standard library"
)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use trapline_wire::{Time, checksum};

/// Bytes of one place of the ring, for a frame and what the kernel says of it.
const PLACE: usize = 2_048;
/// Places: a twelfth of a second at 100,000 frames each second, 16 MB.
const PLACES: usize = 8_192;
/// Bytes that the kernel gives out as one piece; places lie within one.
const BLOCK: usize = 1 << 20;
/// Bytes of a frame that a place has no room for: they come through the socket itself.
const LONGEST: usize = 65_536 + 64;

/// An interface on which nobody but decoys speaks.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    ring: *mut u8,
    next: usize,
    /// A frame that had no room in its place, or is not as it was on the wire yet.
    own: Vec<u8>,
}

// SAFETY: the ring belongs to this socket alone, which nobody shares without `&mut`.
unsafe impl Send for Socket {}

/// What the kernel counted since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Frames, with those that were dropped.
    pub seen: u64,
    /// Frames for which the ring had no place.
    pub dropped: u64,
}

fn done(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket {
    /// Takes an interface: brings it up without any address, ARP or IPv6 of this machine, and everything that it hears comes here.
    ///
    /// # Errors
    /// Where there is no such interface, it has an address of this machine's own, or we may not.
    pub fn open(interface: &str) -> io::Result<Socket> {
        let name = CString::new(interface)?;
        // SAFETY: it reads a string that ends with zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no interface {interface:?}"),
            ));
        }
        if let Some(address) = own_address(interface) {
            let why = format!(
                "{interface} has the address {address}: what this machine says there would be on the wire of the decoys"
            );
            return Err(io::Error::other(why));
        }
        // Before it is up, so that the kernel announces nothing.
        let ipv6 = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
        match fs::write(&ipv6, "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), format!("{ipv6}: {error}")));
            }
            _ => {}
        }
        // SAFETY: it takes no pointer.
        let socket = done(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        set_up(&socket, interface)?;
        let fd = socket.as_raw_fd();
        option(fd, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V2)?;
        // What others send on this interface is not ours, and there should be nobody.
        let _ = option(fd, PACKET_IGNORE_OUTGOING, &1i32);
        let _ = option(fd, libc::PACKET_COPY_THRESH, &(LONGEST as i32));
        let _ = option(fd, libc::PACKET_QDISC_BYPASS, &1i32);
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (PLACES * PLACE / BLOCK) as u32,
            tp_frame_size: PLACE as u32,
            tp_frame_nr: PLACES as u32,
        };
        option(fd, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping of the ring just asked for, in its whole length.
        let ring = unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            libc::mmap(std::ptr::null_mut(), PLACES * PLACE, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0)
        };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut socket = Socket { socket, ring: ring.cast(), next: 0, own: Vec::new() };
        // Only now, with its ring in place, it hears anything.
        let address = link_address(index as i32);
        // SAFETY: it reads the structure of that size.
        done(unsafe {
            let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            libc::bind(fd, (&raw const address).cast(), length)
        })?;
        let membership = libc::packet_mreq {
            mr_ifindex: index as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        option(fd, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        socket.counted()?;
        Ok(socket)
    }

    /// Frames that the ring has room for.
    pub fn ring_frames() -> usize {
        PLACES
    }

    /// Bytes of the ring.
    pub const fn ring_bytes() -> usize {
        PLACES * PLACE
    }

    /// The next frame that came, with the kernel's time of it and its length on the wire; nothing where none is waiting.
    pub fn next_frame(&mut self) -> Option<(Time, u32, &[u8])> {
        const NANOSECONDS: Time = 1_000_000_000;
        // SAFETY: `next` is below PLACES, so the place lies in the mapping, aligned to its own size.
        let place = unsafe { self.ring.add(self.next * PLACE) };
        let header = place.cast::<libc::tpacket2_hdr>();
        // SAFETY: the first word of a place is its state, which kernel and reader hand to each other.
        let state = unsafe { AtomicU32::from_ptr((&raw mut (*header).tp_status).cast()) };
        let status = state.load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the place is ours until its state is given back; the kernel filled the header in.
        let header = unsafe { std::ptr::read(header) };
        let (at, captured, length) =
            (usize::from(header.tp_mac), header.tp_snaplen as usize, header.tp_len as usize);
        let (sec, nsec, tci, tpid) = (header.tp_sec, header.tp_nsec, header.tp_vlan_tci, header.tp_vlan_tpid);
        let captured = captured.min(PLACE.saturating_sub(at));
        self.own.clear();
        if status & libc::TP_STATUS_COPY != 0 && length > captured {
            self.own.resize(length.min(LONGEST), 0);
            // SAFETY: it writes no more than the length that it is told.
            let read = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    self.own.as_mut_ptr().cast(),
                    self.own.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            self.own.truncate(usize::try_from(read).unwrap_or(0));
        }
        if self.own.is_empty() {
            // SAFETY: the kernel wrote that many bytes there, within the place. They are copied, so that the place can be given back.
            self.own.extend_from_slice(unsafe { std::slice::from_raw_parts(place.add(at), captured) });
        }
        state.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % PLACES;
        if status & libc::TP_STATUS_CSUMNOTREADY != 0 {
            fill_checksum(&mut self.own);
        }
        let mut length = length as u32;
        if status & libc::TP_STATUS_VLAN_VALID != 0 {
            // The kernel takes the tag of a virtual network off and says it apart: it belongs to the frame.
            const MACS: usize = 12;
            const TAG: u16 = 0x8100;
            let named = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            let [a, b] = if named { tpid } else { TAG }.to_be_bytes();
            let [c, d] = tci.to_be_bytes();
            let at = MACS.min(self.own.len());
            self.own.splice(at..at, [a, b, c, d]);
            length += 4;
        }
        let time = Time::from(sec) * NANOSECONDS + Time::from(nsec);
        Some((time, length, &self.own))
    }

    /// Sends frames; how many the interface took.
    ///
    /// # Errors
    /// Where it took none: it is gone, or down.
    pub fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        const AT_ONCE: usize = 64;
        let mut sent = 0;
        let mut frames = frames.peekable();
        while frames.peek().is_some() {
            let mut pieces: Vec<libc::iovec> = Vec::with_capacity(AT_ONCE);
            for frame in frames.by_ref().take(AT_ONCE) {
                pieces.push(libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() });
            }
            let mut messages: Vec<libc::mmsghdr> = pieces
                .iter_mut()
                .map(|piece| {
                    // SAFETY: all zeros is a message header that says nothing.
                    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                    message.msg_hdr.msg_iov = piece;
                    message.msg_hdr.msg_iovlen = 1;
                    message
                })
                .collect();
            let mut at = 0;
            while at < messages.len() {
                let rest = &mut messages[at..];
                // SAFETY: headers, pieces and frames live until it returns, and it writes only the headers.
                let count = unsafe {
                    libc::sendmmsg(
                        self.socket.as_raw_fd(),
                        rest.as_mut_ptr(),
                        rest.len() as u32,
                        libc::MSG_DONTWAIT,
                    )
                };
                match done(count) {
                    Ok(count) => {
                        sent += count as usize;
                        at += count as usize;
                    }
                    // The first one did not go: its queue is full, or it is longer than the link; it is lost as on any wire.
                    Err(error)
                        if matches!(
                            error.raw_os_error(),
                            Some(libc::ENOBUFS | libc::EAGAIN | libc::EMSGSIZE)
                        ) =>
                    {
                        at += 1
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sent)
    }

    /// What the kernel counted since this was asked last.
    ///
    /// # Errors
    /// As the system says.
    pub fn counted(&mut self) -> io::Result<Counted> {
        // SAFETY: all zeros are counts.
        let mut counts: libc::tpacket_stats = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: it writes no more than the length that it is told.
        done(unsafe {
            let into = (&raw mut counts).cast();
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                into,
                &raw mut length,
            )
        })?;
        Ok(Counted { seen: counts.tp_packets.into(), dropped: counts.tp_drops.into() })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in this length and nobody has a reference into it any more.
        unsafe { libc::munmap(self.ring.cast(), PLACES * PLACE) };
    }
}

/// From linux/if_packet.h.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

fn option<T>(socket: RawFd, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: it reads a value of that size.
    done(unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(socket, libc::SOL_PACKET, name, std::ptr::from_ref(value).cast(), length)
    })?;
    Ok(())
}

fn link_address(index: i32) -> libc::sockaddr_ll {
    // SAFETY: all zeros is an address of no interface.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    address
}

/// Up, without ARP; without what joins frames together or puts off their checksums, where the interface can do without.
fn set_up(socket: &OwnedFd, interface: &str) -> io::Result<()> {
    let mut request = named_request(interface);
    // SAFETY: the request names an interface, and the system reads and writes its flags.
    unsafe {
        done(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_NOARP) as i16;
        done(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request))?;
    }
    // From linux/ethtool.h: set generic receive offload, and what the flag of large receive offload is among.
    const SET_GRO: u32 = 0x2c;
    let mut value = [SET_GRO, 0u32];
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the value lives until it returns. Not every interface knows this.
    let _ = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    Ok(())
}

fn named_request(interface: &str) -> libc::ifreq {
    // SAFETY: all zeros is a request that names nothing.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// An IPv4 address that this machine has on an interface.
fn own_address(interface: &str) -> Option<std::net::Ipv4Addr> {
    // SAFETY: it takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = (socket >= 0).then(|| unsafe { OwnedFd::from_raw_fd(socket) })?;
    let mut request = named_request(interface);
    // SAFETY: the request names an interface, and the system writes the address into it, which is then of IPv4.
    unsafe {
        done(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFADDR, &raw mut request)).ok()?;
        let address = (&raw const request.ifr_ifru.ifru_addr).cast::<libc::sockaddr_in>();
        Some(u32::from_be((*address).sin_addr.s_addr).into())
    }
}

/// Writes the checksum that the sender left to its interface: TCP's or UDP's, whose field holds a part of it.
fn fill_checksum(frame: &mut [u8]) {
    const ETHERNET: usize = 14;
    let (header, number) = match (frame.get(12..14), frame.get(ETHERNET)) {
        (Some([0x08, 0x00]), Some(first)) => (usize::from(first & 15) * 4, frame.get(ETHERNET + 9).copied()),
        (Some([0x86, 0xdd]), Some(_)) => (40, frame.get(ETHERNET + 6).copied()),
        _ => return,
    };
    let field = match number {
        Some(trapline_wire::protocol::TCP) => 16,
        Some(trapline_wire::protocol::UDP) => 6,
        _ => return,
    };
    let start = ETHERNET + header;
    // The length as the header has it: what is behind it is padding.
    let length = match frame.get(12) {
        Some(0x08) => frame
            .get(ETHERNET + 2..ETHERNET + 4)
            .map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])).saturating_sub(header)),
        _ => frame.get(ETHERNET + 4..ETHERNET + 6).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]]))),
    };
    let end =
        length.filter(|length| *length > 0).map_or(frame.len(), |length| (start + length).min(frame.len()));
    // The field holds the sum over the pseudo-header (Linux: CHECKSUM_PARTIAL), so that the sum over all is what is missing.
    let Some(body) = frame.get_mut(start..end) else { return };
    if body.len() < field + 2 {
        return;
    }
    let good = checksum::of(body, 0);
    let good = if good == 0 && field == 6 { 0xffff } else { good };
    body[field..field + 2].copy_from_slice(&good.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use trapline_wire::build::{self, Ip, Tcp};

    use super::*;

    #[test]
    fn a_checksum_that_was_left_out_is_filled_in() {
        for (src, dst) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let ip = Ip::new(src.parse().unwrap(), dst.parse().unwrap());
            let mut right = Vec::new();
            build::ethernet(&mut right, [2; 6], [3; 6], if ip.src.is_ipv4() { 0x800 } else { 0x86dd });
            build::tcp(&mut right, &ip, &Tcp { payload: b"abc", ..Tcp::default() });
            let length = right.len() - if ip.src.is_ipv4() { 34 } else { 54 };
            let field = right.len() - length + 16;
            let mut partial = checksum::pseudo_header(&ip, 6, length);
            while partial > 0xffff {
                partial = (partial & 0xffff) + (partial >> 16);
            }
            let mut frame = right.clone();
            frame[field..field + 2].copy_from_slice(&(partial as u16).to_be_bytes());
            // What an interface pads a short frame with.
            frame.extend([0; 3]);
            fill_checksum(&mut frame);
            assert_eq!(frame[..right.len()], right, "{src}");
            for length in 0..frame.len() {
                fill_checksum(&mut frame.clone()[..length]);
            }
        }
    }
}
