//! Addresses that are nowhere: private, local, multicast, for documentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of IPv4 that no host on the internet has, with the length of their prefix: the IANA IPv4 special-purpose
/// address registry (RFC 6890), what is not globally reachable, and multicast (RFC 5771).
const V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The same for IPv6. Everything outside 2000::/3 is not global unicast (RFC 4291); inside it, these are not:
/// benchmarking (RFC 5180), ORCHID (RFC 4843, RFC 7343), documentation (RFC 3849, RFC 9637).
const V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether no host on the internet has this address.
pub(super) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            V4.iter().any(|(block, length)| (v4.to_bits() ^ block.to_bits()) >> (32 - length) == 0)
        }
        IpAddr::V6(v6) => {
            let global = v6.to_bits() >> 125 == 1;
            let inside =
                |(block, length): &(Ipv6Addr, u32)| (v6.to_bits() ^ block.to_bits()) >> (128 - length) == 0;
            !global || V6.iter().any(inside)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_and_their_neighbours() {
        let check = |address: &str, expected| {
            assert_eq!(is_special(address.parse().unwrap()), expected, "{address}");
        };
        for address in ["10.255.255.255", "127.0.0.1", "172.31.255.255", "192.0.2.1", "198.19.255.255"] {
            check(address, true);
        }
        for address in ["203.0.113.255", "224.0.0.1", "255.255.255.255", "0.0.0.0", "100.127.255.255"] {
            check(address, true);
        }
        for address in
            ["9.255.255.255", "11.0.0.0", "172.32.0.0", "192.0.3.0", "203.0.114.0", "223.255.255.255"]
        {
            check(address, false);
        }
        for address in ["::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "3fff::1", "64:ff9b::1"]
        {
            check(address, true);
        }
        for address in ["2001:660::1", "2001:db9::1", "2a00::1", "2002:808:808::1", "3fff:1000::"] {
            check(address, false);
        }
    }
}
