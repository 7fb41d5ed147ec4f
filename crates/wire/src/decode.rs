//! From a frame to the value that analyses use: who, to whom, which protocol, ports, flags, payload.

use std::net::IpAddr;

use crate::capture::Frame;
use crate::icmp::{IcmpRole, IcmpView, role};
use crate::ipv4::Ipv4View;
use crate::ipv6::{Fragment, Ipv6View};
use crate::link::{Network, unwrap};
use crate::protocol;
use crate::tcp::TcpView;
use crate::udp::UdpView;

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// An IP packet with a readable header.
    Ip(Packet<'a>),
    /// ARP.
    Arp,
    /// A network protocol other than IP and ARP.
    NotIp,
    /// The frame ends inside its link header.
    ShortFrame,
    /// It says IP, but its header cannot be read.
    UnreadableIp,
    /// Its link type is unknown to this decoder.
    UnknownLink,
}

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Sender.
    pub src: IpAddr,
    /// Receiver.
    pub dst: IpAddr,
    /// Protocol number of the payload (behind IPv6 extension headers).
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Length of the packet by its own header, in bytes; to the frame's end where that says 0.
    pub ip_len: u32,
    /// Length of the IP header with its options or extension headers, in bytes.
    pub ip_header_len: u16,
    /// Identification; in IPv6 the fragment header's, else 0.
    pub ip_id: u32,
    /// Where the packet is a piece of a datagram.
    pub fragment: Option<Fragment>,
    /// Whether the link layer sent the frame to everybody or to a group.
    pub to_group: bool,
    /// The IP header as it came, at least 20 (IPv4, with its options) or 40 bytes (IPv6, without extension headers).
    pub header: &'a [u8],
    /// The layer above IP.
    pub transport: Transport<'a>,
}

/// The layer above IP.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TCP with readable ports.
    Tcp(TcpView<'a>),
    /// UDP with readable ports.
    Udp(UdpView<'a>),
    /// ICMP or ICMPv6 with readable type and code.
    Icmp(IcmpView<'a>),
    /// A later fragment: the middle of something, without ports, as far as it was captured.
    LaterFragment(&'a [u8]),
    /// TCP, UDP or ICMP too short to hold its ports or its type.
    Short,
    /// Another protocol.
    Other,
}

/// The packet that an ICMP error quotes, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Who sent the quoted packet.
    pub src: IpAddr,
    /// To whom.
    pub dst: IpAddr,
    /// Its protocol.
    pub protocol: u8,
    /// The port that its sender used; of an ICMP request or reply the identifier.
    pub src_port: Option<u16>,
}

impl<'a> Packet<'a> {
    /// Whether this is ICMP or ICMPv6.
    #[inline]
    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, protocol::ICMP | protocol::ICMPV6)
    }

    /// Whether the receiver is a broadcast or multicast address by itself.
    #[inline]
    pub fn dst_is_group(&self) -> bool {
        match self.dst {
            IpAddr::V4(a) => a.is_broadcast() || a.is_multicast(),
            IpAddr::V6(a) => a.is_multicast(),
        }
    }

    /// The transport's payload as far as it was captured, and its length by the IP header, which is
    /// more where a snapshot length cut the packet.
    #[inline]
    pub fn payload(&self) -> (&'a [u8], u32) {
        let (captured, header) = match self.transport {
            Transport::Tcp(tcp) => (tcp.payload(), tcp.header_len()),
            Transport::Udp(udp) => (udp.payload(), 8),
            Transport::Icmp(icmp) => (icmp.body(), 8),
            Transport::LaterFragment(bytes) => (bytes, 0),
            _ => (&[] as &'a [u8], 0),
        };
        let declared = self.ip_len.saturating_sub(u32::from(self.ip_header_len) + header as u32);
        (captured, declared.max(captured.len() as u32))
    }
}

/// Decodes one frame.
#[inline]
pub fn decode<'a>(frame: &Frame<'a>) -> Reading<'a> {
    let unwrapped = unwrap(frame.link, frame.data);
    let cut_off = frame.wire_len.saturating_sub(frame.data.len() as u32);
    let packet = match unwrapped.network {
        Network::Ipv4(bytes) => ipv4(bytes, bytes.len() as u32 + cut_off),
        Network::Ipv6(bytes) => ipv6(bytes, bytes.len() as u32 + cut_off),
        Network::Arp => return Reading::Arp,
        Network::Other => return Reading::NotIp,
        Network::Short => return Reading::ShortFrame,
        Network::UnknownLink => return Reading::UnknownLink,
    };
    match packet {
        Some(mut packet) => {
            packet.to_group = unwrapped.to_group;
            Reading::Ip(packet)
        }
        None => Reading::UnreadableIp,
    }
}

/// `on_wire`: bytes from the IP header to the frame's end on the wire.
#[inline]
fn ipv4(bytes: &[u8], on_wire: u32) -> Option<Packet<'_>> {
    let view = Ipv4View::checked(bytes)?;
    let offset = view.fragment_offset();
    let fragment = (offset > 0 || view.more_fragments()).then(|| Fragment {
        id: u32::from(view.id()),
        offset,
        more: view.more_fragments(),
    });
    let total = u32::from(view.total_len());
    Some(Packet {
        src: IpAddr::V4(view.src()),
        dst: IpAddr::V4(view.dst()),
        protocol: view.protocol(),
        ttl: view.ttl(),
        ip_len: if total == 0 { on_wire } else { total.max(view.header_len() as u32) },
        ip_header_len: view.header_len() as u16,
        ip_id: u32::from(view.id()),
        fragment,
        to_group: false,
        header: &bytes[..view.header_len()],
        transport: transport(view.protocol(), view.payload(), offset > 0),
    })
}

fn ipv6(bytes: &[u8], on_wire: u32) -> Option<Packet<'_>> {
    let view = Ipv6View::checked(bytes)?;
    let upper = view.upper();
    let declared = u32::from(view.payload_len());
    Some(Packet {
        src: IpAddr::V6(view.src()),
        dst: IpAddr::V6(view.dst()),
        protocol: upper.protocol,
        ttl: view.hop_limit(),
        ip_len: if declared == 0 { on_wire } else { 40 + declared },
        ip_header_len: (40 + upper.extensions_len).min(usize::from(u16::MAX)) as u16,
        ip_id: upper.fragment.map_or(0, |f| f.id),
        fragment: upper.fragment,
        to_group: false,
        header: &bytes[..40],
        transport: transport(upper.protocol, upper.payload, upper.fragment.is_some_and(|f| f.offset > 0)),
    })
}

#[inline]
fn transport(number: u8, bytes: &[u8], later_fragment: bool) -> Transport<'_> {
    if later_fragment {
        return Transport::LaterFragment(bytes);
    }
    let read = match number {
        protocol::TCP => TcpView::checked(bytes).map(Transport::Tcp),
        protocol::UDP => UdpView::checked(bytes).map(Transport::Udp),
        protocol::ICMP | protocol::ICMPV6 => IcmpView::checked(bytes).map(Transport::Icmp),
        _ => Some(Transport::Other),
    };
    read.unwrap_or(Transport::Short)
}

/// Reads the packet that an ICMP error of protocol `number` quotes in `body`.
///
/// Errors quote as little as a header and eight bytes, and snapshot lengths cut that short: ports are
/// read where they are there, and not where the quoted packet is itself a later fragment.
pub fn quote(number: u8, body: &[u8]) -> Option<Quote> {
    let packet = if number == protocol::ICMP { ipv4(body, 0)? } else { ipv6(body, 0)? };
    let src_port = match packet.transport {
        Transport::Tcp(tcp) => Some(tcp.src_port()),
        Transport::Udp(udp) => Some(udp.src_port()),
        Transport::Icmp(icmp) => match role(packet.protocol, icmp.kind()) {
            IcmpRole::Request | IcmpRole::Reply => icmp.identifier(),
            _ => None,
        },
        _ => None,
    };
    Some(Quote { src: packet.src, dst: packet.dst, protocol: packet.protocol, src_port })
}
