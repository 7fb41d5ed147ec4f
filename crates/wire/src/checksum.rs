//! The Internet checksum (RFC 1071), for those who write packets and those who check them.

use std::net::IpAddr;

use crate::build::Ip;

/// The checksum of `bytes` with `seed` added, which is 0 or a [`pseudo_header`]; 0 where `bytes` holds its own right checksum.
pub fn of(bytes: &[u8], seed: u32) -> u16 {
    let mut total = sum(bytes) + seed;
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// The sum over the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200 8.1), not yet folded.
pub fn pseudo_header(ip: &Ip, number: u8, length: usize) -> u32 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(a) => sum(&a.octets()),
        IpAddr::V6(a) => sum(&a.octets()),
    };
    octets(ip.src) + octets(ip.dst) + u32::from(number) + length as u32
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words.map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
    }

    #[test]
    fn what_holds_its_own_checksum_sums_to_nothing() {
        assert_eq!(of(&[0x45, 0x00, 0xba, 0xff], 0), 0);
    }
}
