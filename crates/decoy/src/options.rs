//! What a host makes of the options in an IPv4 header (RFC 791 3.1, RFC 1122 3.2.1.8).

use std::net::Ipv4Addr;

use trapline_wire::Time;
use trapline_wire::checksum;

const END: u8 = 0;
const NOP: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const STRICT_ROUTE: u8 = 137;
const FIXED: usize = 20;

/// The options of a request, each with its kind.
fn each(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let [NOP, behind @ ..] = rest {
            rest = behind;
        }
        let length = match rest {
            [] | [END, ..] => return None,
            [_, length, ..] => usize::from(*length),
            [_] => return None,
        };
        let (option, behind) = rest.split_at_checked(length).filter(|(option, _)| option.len() >= 2)?;
        rest = behind;
        Some(option)
    })
}

/// Whether the sender says which way a packet has to go: hosts drop such ones since it was found out what for (RFC 7126 4.3).
pub(crate) fn is_routed_by_source(options: &[u8]) -> bool {
    each(options).any(|option| matches!(option[0], LOOSE_ROUTE | STRICT_ROUTE))
}

/// The options of the answer to an echo request: the route and the times that it asks for, with the host's own (RFC 1122 3.2.2.6).
pub(crate) fn reflected(options: &[u8], own: Ipv4Addr, now: Time) -> Vec<u8> {
    const ADDRESSES_TOO: u8 = 1;
    let of_day_ms = (now / 1_000_000).rem_euclid(86_400_000) as u32;
    let mut out = Vec::new();
    for option in each(options) {
        let mut option = option.to_vec();
        let entry = match (option[0], option.get(3)) {
            (RECORD_ROUTE, _) => own.octets().to_vec(),
            (TIMESTAMP, Some(flags)) if flags & 15 == 0 => of_day_ms.to_be_bytes().to_vec(),
            (TIMESTAMP, Some(flags)) if flags & 15 == ADDRESSES_TOO => {
                [own.octets(), of_day_ms.to_be_bytes()].concat()
            }
            _ => continue,
        };
        // The pointer counts from one, at the option's first byte.
        let at = usize::from(option.get(2).copied().unwrap_or(0)).wrapping_sub(1);
        if let Some(free) = option.get_mut(at..at.saturating_add(entry.len())).filter(|_| at >= 3) {
            free.copy_from_slice(&entry);
            option[2] += entry.len() as u8;
        } else if option[0] == TIMESTAMP && option[3] < 0xf0 {
            // Of times, how many had no room is counted.
            option[3] += 0x10;
        }
        out.extend(option);
    }
    out.resize(out.len().div_ceil(4) * 4, END);
    out
}

/// Puts options into a packet that has none.
pub(crate) fn insert(packet: &mut Vec<u8>, start: usize, options: &[u8]) {
    let total = (packet.len() - start + options.len()) as u16;
    packet.splice(start + FIXED..start + FIXED, options.iter().copied());
    let header = &mut packet[start..start + FIXED + options.len()];
    header[0] = 0x40 | (header.len() / 4) as u8;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[10..12].fill(0);
    let good = checksum::of(header, 0);
    header[10..12].copy_from_slice(&good.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

    #[test]
    fn the_route_and_the_times_are_told() {
        let route = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(reflected(&route, OWN, 0), [7, 11, 8, 192, 0, 2, 11, 0, 0, 0, 0, 0]);
        let full = [7, 7, 8, 1, 2, 3, 4];
        assert_eq!(reflected(&full, OWN, 0), [7, 7, 8, 1, 2, 3, 4, 0]);
        let times = [1, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(reflected(&times, OWN, 86_401_000_000_000), [68, 12, 13, 1, 192, 0, 2, 11, 0, 0, 3, 0xe8]);
        let overflown = [68, 8, 9, 0, 0, 0, 0, 5];
        assert_eq!(reflected(&overflown, OWN, 0), [68, 8, 9, 0x10, 0, 0, 0, 5]);
        assert!(reflected(&[148, 4, 0, 0], OWN, 0).is_empty(), "a router's alert is not for the answer");
    }

    #[test]
    fn no_options_are_too_odd() {
        for first in 0..=255 {
            for second in 0..=255 {
                let options = [first, second, 4, 255, 0, 7, 3, 255];
                assert!(reflected(&options, OWN, 0).len() <= 8);
                is_routed_by_source(&options);
            }
        }
        assert!(is_routed_by_source(&[1, 131, 7, 8, 1, 2, 3, 4]));
        assert!(!is_routed_by_source(&[7, 7, 8, 131, 2, 3, 4]));
    }
}
