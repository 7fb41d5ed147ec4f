//! From a frame to an event: inbound or outbound, what kind of packet, which host, port and peer.
//!
//! Everything that one packet and the platform's addresses decide is decided here, once, before
//! shards look at what came earlier. What takes no part is counted by kind.

use hashbrown::HashMap;
use trapline_wire::icmp::{IcmpRole, role};
use trapline_wire::ipv6::Fragment;
use trapline_wire::tcp::flags::{ACK, SYN};
use trapline_wire::{Frame, Observation, Packet, Reading, Time, Transport, decode, decode::quote};

use crate::address;
use crate::address::Address;
use crate::marks;
use crate::platform::Platform;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To a host, from elsewhere.
    In,
    /// From a host, to elsewhere.
    Out,
}

/// What a packet is, as far as the definitions tell packets apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP with ports; flags where they were captured.
    Tcp(Option<u8>),
    /// UDP with ports.
    Udp,
    /// ICMP that asks: type.
    IcmpRequest(u8),
    /// ICMP that answers: type.
    IcmpReply(u8),
    /// ICMP that reports: type.
    IcmpError(u8),
    /// Any other ICMP.
    IcmpOther,
    /// A later fragment.
    LaterFragment,
    /// TCP, UDP or ICMP too short for its ports or type.
    Short,
    /// Another protocol.
    Other,
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Whom the quoted packet was sent to: the victim, if the host never sent it.
    pub dst: Address,
    /// Its protocol.
    pub protocol: u8,
    /// The host's port in it, where it can be read and the host is its sender.
    pub host_port: Option<u16>,
}

/// One packet between a host and a peer.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time: Time,
    /// The end that is no host.
    pub peer: Address,
    /// Which capture: its [`crate::survey::CaptureId`].
    pub capture: u64,
    /// Place in it, from 0.
    pub frame: u64,
    /// Length by the IP header, in bytes.
    pub ip_len: u32,
    /// Payload length by the IP header, in bytes.
    pub payload_len: u32,
    /// Where the captured payload stands in the batch.
    pub payload: (u32, u32),
    /// IP identification.
    pub ip_id: u32,
    /// Place of the quoted packet in the batch's list plus one; 0 where there is none.
    pub quoted: u32,
    /// Host index.
    pub host: u16,
    /// The host's port, or an ICMP identifier.
    pub port: u16,
    /// The peer's port, or an ICMP sequence number.
    pub peer_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Way.
    pub direction: Direction,
    /// Kind.
    pub kind: Kind,
    /// A first fragment, with more to follow.
    pub first_fragment: bool,
    /// Where it is a piece of a datagram: which one.
    pub piece: Option<Fragment>,
    /// Length of the transport header, in bytes.
    pub header: u8,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// Header invariants of an inbound SYN: [`crate::marks::bits`].
    pub marks: u8,
    /// unicornscan's key of an inbound SYN.
    pub unicorn: u32,
    /// Place of its observation in the batch's list plus one; 0 where there is none.
    pub observation: u32,
    /// The same of what a decoy recorded with it.
    pub told: u32,
}

/// Whether these flags open a TCP conversation.
#[inline]
pub fn is_syn(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}

/// Packets of one capture by what they are. Inbound packets are split further in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To a host, from elsewhere.
    pub inbound: u64,
    /// From a host, to elsewhere.
    pub outbound: u64,
    /// Between hosts.
    pub internal: u64,
    /// To a broadcast or multicast address.
    pub broadcast: u64,
    /// Between addresses that are no hosts.
    pub elsewhere: u64,
    /// ARP.
    pub arp: u64,
    /// IPv6 neighbour discovery.
    pub neighbour_discovery: u64,
    /// Not IP.
    pub not_ip: u64,
    /// IP without a readable header, or a frame shorter than its link header.
    pub unreadable: u64,
    /// Of a link type that is not decoded.
    pub unknown_link: u64,
    /// Inbound later fragments.
    pub later_fragments: u64,
    /// Inbound TCP, UDP or ICMP too short for ports or type.
    pub too_short: u64,
}

impl Counts {
    /// Names and counts of what takes no part or only a small one, where not zero.
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("internal", self.internal),
            ("broadcast", self.broadcast),
            ("elsewhere", self.elsewhere),
            ("arp", self.arp),
            ("neighbour discovery", self.neighbour_discovery),
            ("not ip", self.not_ip),
            ("unreadable", self.unreadable),
            ("unknown link type", self.unknown_link),
            ("later fragments", self.later_fragments),
            ("too short for ports", self.too_short),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }
}

/// Tells packets apart by the platform's addresses.
#[derive(Debug)]
pub struct Classifier {
    hosts: HashMap<Address, u16>,
}

/// An event, with what did not fit into it.
pub struct Classified<'a> {
    /// The event; payload and quote places are still to be filled in.
    pub event: Event,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Quoted packet of an ICMP error.
    pub quoted: Option<Quoted>,
    /// What the header of an inbound TCP packet that begins or refuses says of its sender.
    pub observation: Option<Observation>,
}

impl Classifier {
    /// For the hosts of `platform`.
    pub fn new(platform: &Platform) -> Self {
        Classifier { hosts: address::index(platform) }
    }

    /// Decodes a frame; counts it, and returns an event where it takes part.
    #[inline]
    pub fn classify<'a>(&self, frame: &Frame<'a>, counts: &mut Counts) -> Option<Classified<'a>> {
        let packet = match decode(frame) {
            Reading::Ip(packet) => packet,
            Reading::Arp => return count(&mut counts.arp),
            Reading::NotIp => return count(&mut counts.not_ip),
            Reading::ShortFrame | Reading::UnreadableIp => return count(&mut counts.unreadable),
            Reading::UnknownLink => return count(&mut counts.unknown_link),
        };
        if let Transport::Icmp(icmp) = packet.transport
            && role(packet.protocol, icmp.kind()) == IcmpRole::NeighbourDiscovery
        {
            return count(&mut counts.neighbour_discovery);
        }
        let (src, dst) = (Address::from(packet.src), Address::from(packet.dst));
        let (direction, host, peer) = match (self.hosts.get(&src), self.hosts.get(&dst)) {
            (Some(_), Some(_)) => return count(&mut counts.internal),
            (None, Some(host)) => (Direction::In, *host, src),
            _ if packet.dst_is_group() || packet.to_group => return count(&mut counts.broadcast),
            (Some(host), None) => (Direction::Out, *host, dst),
            (None, None) => return count(&mut counts.elsewhere),
        };
        match direction {
            Direction::In => counts.inbound += 1,
            Direction::Out => counts.outbound += 1,
        }
        let classified = self.event(&packet, frame.time, direction, host, peer);
        if direction == Direction::In {
            counts.later_fragments += u64::from(classified.event.kind == Kind::LaterFragment);
            counts.too_short += u64::from(classified.event.kind == Kind::Short);
        }
        Some(classified)
    }

    #[inline]
    fn event<'a>(
        &self,
        packet: &Packet<'a>,
        time: Time,
        direction: Direction,
        host: u16,
        peer: Address,
    ) -> Classified<'a> {
        let (payload, payload_len) = packet.payload();
        let ends = |src: u16, dst: u16| if direction == Direction::In { (dst, src) } else { (src, dst) };
        let mut quoted = None;
        let (mut header, mut seq, mut ack) = (0, 0, 0);
        let (mut marked, mut unicorn) = (0, 0);
        let (kind, (port, peer_port)) = match packet.transport {
            Transport::Tcp(tcp) => {
                header = tcp.header_len() as u8;
                (seq, ack) = (tcp.seq().unwrap_or(0), tcp.ack().unwrap_or(0));
                if direction == Direction::In && tcp.flags().is_some_and(is_syn) {
                    (marked, unicorn) = marks::of(packet, &tcp);
                }
                (Kind::Tcp(tcp.flags()), ends(tcp.src_port(), tcp.dst_port()))
            }
            Transport::Udp(udp) => {
                header = 8;
                (Kind::Udp, ends(udp.src_port(), udp.dst_port()))
            }
            Transport::Icmp(icmp) => {
                let ends = (icmp.identifier().unwrap_or(0), icmp.sequence().unwrap_or(0));
                match role(packet.protocol, icmp.kind()) {
                    IcmpRole::Request => (Kind::IcmpRequest(icmp.kind()), ends),
                    IcmpRole::Reply => (Kind::IcmpReply(icmp.kind()), ends),
                    IcmpRole::Error => {
                        quoted = self.quoted(packet.protocol, icmp.body(), host);
                        (Kind::IcmpError(icmp.kind()), (0, 0))
                    }
                    _ => (Kind::IcmpOther, (0, 0)),
                }
            }
            Transport::LaterFragment(_) => (Kind::LaterFragment, (0, 0)),
            Transport::Short => (Kind::Short, (0, 0)),
            Transport::Other => (Kind::Other, (0, 0)),
        };
        let event = Event {
            time,
            peer,
            capture: 0,
            frame: 0,
            ip_len: packet.ip_len,
            payload_len,
            payload: (0, 0),
            ip_id: packet.ip_id,
            quoted: 0,
            host,
            port,
            peer_port,
            protocol: packet.protocol,
            direction,
            kind,
            first_fragment: packet.fragment.is_some_and(|f| f.more && f.offset == 0),
            piece: packet.fragment,
            header,
            seq,
            ack,
            marks: marked,
            unicorn,
            observation: 0,
            told: 0,
        };
        let observation = if direction == Direction::In { Observation::of(packet) } else { None };
        Classified { event, payload, quoted, observation }
    }

    fn quoted(&self, number: u8, body: &[u8], host: u16) -> Option<Quoted> {
        let quote = quote(number, body)?;
        let sent_by_host = self.hosts.get(&Address::from(quote.src)) == Some(&host);
        let host_port = quote.src_port.filter(|_| sent_by_host);
        Some(Quoted { dst: quote.dst.into(), protocol: quote.protocol, host_port })
    }
}

#[inline]
fn count<T>(counter: &mut u64) -> Option<T> {
    *counter += 1;
    None
}
