//! Bytes to headers and back: what every other crate knows of packets it knows from here.
//!
//! Two layers. *Framing* ([`pcap`], [`pcapng`]) cuts a capture into [`Frame`]s; *decoding*
//! ([`decode`]) turns a frame into a [`Packet`]. A view ([`ipv4::Ipv4View`] and its like) gives safe
//! access to whatever arrived and judges nothing; a value ([`Packet`]) holds only what makes sense.
//! [`observation`] keeps what one TCP header tells about the system that sent it. [`build`] goes the
//! other way and writes packets, for decoys, simulators and tests.
//!
//! Invariant: nothing here opens a file or a socket, or reads a clock. Strange input is data, never
//! an error: a packet that cannot be read is a [`Reading`] of its own, which callers count.

pub mod build;
pub mod capture;
pub mod checksum;
pub mod decode;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod link;
pub mod observation;
pub mod pcap;
pub mod pcapng;
pub mod tcp;
pub mod udp;

pub use capture::{Damage, Frame, Framing, Step, Time};
pub use decode::{Packet, Quote, Reading, Transport, decode};
pub use link::LinkType;
pub use observation::Observation;

/// IP protocol numbers (IANA) that the decoder tells apart.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header, RFC 4302.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Mobility header, RFC 6275.
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol, RFC 7401.
    pub const HIP: u8 = 139;
    /// Shim6, RFC 5533.
    pub const SHIM6: u8 = 140;
}

/// Two bytes in network order, or nothing where the slice ends.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Four bytes in network order, or nothing where the slice ends.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
