//! Link layers: from a frame's first byte to its IP packet.

use crate::be16;

/// A link-layer type as tcpdump.org numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: the address family in the capturing host's byte order.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// Raw IP; also 12 and 14, as older libpcaps wrote it.
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad (QinQ) and the older number that Cisco and others used for QinQ.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// More tags than this is nobody's network; the frame is counted as not IP.
const MAX_VLAN_TAGS: usize = 4;

/// What a frame carries above its link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// An IPv4 packet, with what follows it in the frame (padding).
    Ipv4(&'a [u8]),
    /// An IPv6 packet, with what follows it.
    Ipv6(&'a [u8]),
    /// ARP.
    Arp,
    /// Some other protocol.
    Other,
    /// The frame ends inside its own link header.
    Short,
    /// A link type that this decoder does not know.
    UnknownLink,
}

/// A frame's network layer, and whether the link layer sent it to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwrapped<'a> {
    /// What it carries.
    pub network: Network<'a>,
    /// Link-layer broadcast or multicast.
    pub to_group: bool,
}

/// Takes the link layer off `frame`.
#[inline]
pub fn unwrap(link: LinkType, frame: &[u8]) -> Unwrapped<'_> {
    let (network, to_group) = match link {
        LinkType::ETHERNET => {
            (ethernet(frame).unwrap_or(Network::Short), frame.first().is_some_and(|b| b & 1 == 1))
        }
        LinkType::RAW | LinkType(12) | LinkType(14) | LinkType::IPV4 | LinkType::IPV6 => (raw(frame), false),
        // Packet type 1 is broadcast, 2 multicast.
        LinkType::LINUX_SLL => (
            be16(frame, 14).map_or(Network::Short, |t| by_ethertype(t, frame, 16)),
            matches!(be16(frame, 0), Some(1 | 2)),
        ),
        LinkType::LINUX_SLL2 => (
            match be16(frame, 0) {
                Some(ethertype) if frame.len() >= 20 => by_ethertype(ethertype, frame, 20),
                _ => Network::Short,
            },
            matches!(frame.get(10), Some(1 | 2)),
        ),
        LinkType::NULL | LinkType::LOOP => (loopback(frame), false),
        _ => (Network::UnknownLink, false),
    };
    Unwrapped { network, to_group }
}

#[inline]
fn ethernet(frame: &[u8]) -> Option<Network<'_>> {
    Some(by_ethertype(be16(frame, 12)?, frame, 14))
}

/// Looks behind any VLAN tags, then at the type; `at` is where the type's payload begins.
#[inline]
fn by_ethertype(mut ethertype: u16, frame: &[u8], mut at: usize) -> Network<'_> {
    let mut tags = 0;
    while VLAN_TAGS.contains(&ethertype) && tags < MAX_VLAN_TAGS {
        let Some(inner) = be16(frame, at + 2) else { return Network::Short };
        (ethertype, at, tags) = (inner, at + 4, tags + 1);
    }
    let rest = frame.get(at..).unwrap_or_default();
    match ethertype {
        ETHERTYPE_IPV4 => Network::Ipv4(rest),
        ETHERTYPE_IPV6 => Network::Ipv6(rest),
        ETHERTYPE_ARP => Network::Arp,
        _ => Network::Other,
    }
}

fn raw(frame: &[u8]) -> Network<'_> {
    match frame.first().map(|b| b >> 4) {
        Some(4) => Network::Ipv4(frame),
        Some(6) => Network::Ipv6(frame),
        Some(_) => Network::Other,
        None => Network::Short,
    }
}

/// NULL and LOOP: four bytes of address family, in whichever byte order; AF_INET is 2 everywhere,
/// AF_INET6 is 10 (Linux), 24 (NetBSD, OpenBSD), 28 (FreeBSD) or 30 (macOS).
fn loopback(frame: &[u8]) -> Network<'_> {
    let Some(family) = frame.get(..4) else { return Network::Short };
    let family: [u8; 4] = family.try_into().expect("four bytes");
    let family = u32::from_le_bytes(family).min(u32::from_be_bytes(family));
    match family {
        2 => Network::Ipv4(&frame[4..]),
        10 | 24 | 28 | 30 => Network::Ipv6(&frame[4..]),
        _ => Network::Other,
    }
}
