//! An address of either family in one number, ordered and hashed at the speed of one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An IP address: IPv4 addresses as IPv4-mapped IPv6 ones (RFC 4291 2.5.5.2).
///
/// A capture that carries an IPv4-mapped address inside an IPv6 header would be taken for IPv4;
/// RFC 4038 4.2 wants such packets off the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(pub u128);

const MAPPED: u128 = 0xffff_0000_0000;

impl Address {
    /// Back to the standard library's type.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self.0).to_canonical()
    }

    /// Whether no single machine is meant: broadcast, multicast, unspecified.
    pub fn is_group(self) -> bool {
        match self.ip() {
            IpAddr::V4(a) => a.is_broadcast() || a.is_multicast() || a.is_unspecified(),
            IpAddr::V6(a) => a.is_multicast() || a.is_unspecified(),
        }
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Address(MAPPED | u128::from(a.to_bits())),
            IpAddr::V6(a) => Address(a.to_bits()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}
