//! ICMP (RFC 792, RFC 950) and ICMPv6 (RFC 4443): what kind of message, and which packet it quotes.

use crate::be16;
use crate::protocol;

/// What a message does, as far as `words.md` tells kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpRole {
    /// Asks: echo, timestamp, information, address mask.
    Request,
    /// Answers one of these.
    Reply,
    /// Reports on a packet, which it quotes: unreachable, quench, redirect, time exceeded, parameter.
    Error,
    /// IPv6 neighbour discovery (133 to 137): the network talking to itself.
    NeighbourDiscovery,
    /// Anything else.
    Other,
}

/// Tells the role of a message by its IP protocol number and type.
#[inline]
pub fn role(number: u8, kind: u8) -> IcmpRole {
    match (number, kind) {
        (protocol::ICMP, 8 | 13 | 15 | 17) | (protocol::ICMPV6, 128) => IcmpRole::Request,
        (protocol::ICMP, 0 | 14 | 16 | 18) | (protocol::ICMPV6, 129) => IcmpRole::Reply,
        (protocol::ICMP, 3 | 4 | 5 | 11 | 12) | (protocol::ICMPV6, 1..=4) => IcmpRole::Error,
        (protocol::ICMPV6, 133..=137) => IcmpRole::NeighbourDiscovery,
        _ => IcmpRole::Other,
    }
}

/// The request type that a reply of type `kind` answers.
pub fn request_of(number: u8, kind: u8) -> Option<u8> {
    match (number, kind) {
        (protocol::ICMP, 0) => Some(8),
        (protocol::ICMP, 14 | 16 | 18) => Some(kind - 1),
        (protocol::ICMPV6, 129) => Some(128),
        _ => None,
    }
}

/// An ICMP header whose type and code are there.
#[derive(Clone, Copy, Debug)]
pub struct IcmpView<'a>(&'a [u8]);

impl<'a> IcmpView<'a> {
    /// A view, or nothing where type and code do not fit.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 2).then_some(IcmpView(bytes))
    }

    /// Type.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.0[0]
    }

    /// Code.
    #[inline]
    pub fn code(&self) -> u8 {
        self.0[1]
    }

    /// Identifier, where the message has one (requests and replies).
    #[inline]
    pub fn identifier(&self) -> Option<u16> {
        be16(self.0, 4)
    }

    /// Sequence number, likewise.
    #[inline]
    pub fn sequence(&self) -> Option<u16> {
        be16(self.0, 6)
    }

    /// What follows the eight header bytes: data, or the quoted packet.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.0.get(8..).unwrap_or_default()
    }
}
