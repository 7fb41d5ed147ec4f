//! An address of either family in one number, ordered and hashed at the speed of one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::platform::Platform;

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

/// The addresses of all hosts of a platform, each with its host's place.
pub fn index(platform: &Platform) -> HashMap<Address, u16> {
    let hosts = platform.hosts.iter().enumerate();
    hosts.flat_map(|(i, h)| h.addresses.iter().map(move |a| (Address::from(*a), i as u16))).collect()
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
    /// IPv4 digit by digit: every row of every table has one, and the standard library's padding costs more than the digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpAddr::V4(address) = self.ip() else { return self.ip().fmt(f) };
        let (mut text, mut length) = ([0u8; 15], 0);
        for (i, octet) in address.octets().into_iter().enumerate() {
            if i > 0 {
                text[length] = b'.';
                length += 1;
            }
            for (unit, needed) in [(100, octet >= 100), (10, octet >= 10), (1, true)] {
                if needed {
                    text[length] = b'0' + octet / unit % 10;
                    length += 1;
                }
            }
        }
        f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for text in ["0.0.0.0", "10.0.200.9", "255.255.255.255", "192.0.2.10", "2001:db8::1", "::"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_string(), address.to_string());
        }
    }
}
