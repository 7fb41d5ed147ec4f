//! Community ID, version 1: one name for a flow that every tool computes alike (Corelight, community-id-spec).

use std::net::IpAddr;

use base64::Engine;
use sha1::{Digest, Sha1};
use trapline_wire::protocol;

/// The Community ID of a flow, with seed 0. `ports` are those of source and destination, for ICMP what [`icmp_ports`] says; `None` where a
/// packet has none: other protocols, pieces of a datagram, packets too short for theirs.
pub fn community_id(number: u8, src: IpAddr, dst: IpAddr, ports: Option<(u16, u16)>) -> String {
    let (src, dst) = ((src, ports.map_or(0, |p| p.0)), (dst, ports.map_or(0, |p| p.1)));
    // ICMP messages that nothing answers go one way: the order of their ends says something and is kept.
    let icmp = matches!(number, protocol::ICMP | protocol::ICMPV6) && ports.is_some();
    let one_way = icmp && counterpart(number, src.1 as u8).is_none();
    let (first, second) = if one_way || src <= dst { (src, dst) } else { (dst, src) };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    for (address, _) in [first, second] {
        match address {
            IpAddr::V4(a) => hash.update(a.octets()),
            IpAddr::V6(a) => hash.update(a.octets()),
        }
    }
    hash.update([number, 0]);
    if ports.is_some() {
        hash.update(first.1.to_be_bytes());
        hash.update(second.1.to_be_bytes());
    }
    format!("1:{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize()))
}

/// What stands for the ports of an ICMP message: its type, and the type of the message that answers it, or its code where none does.
pub fn icmp_ports(number: u8, kind: u8, code: u8) -> (u16, u16) {
    (u16::from(kind), u16::from(counterpart(number, kind).unwrap_or(code)))
}

/// The type that answers a type, as the specification's tables have them.
fn counterpart(number: u8, kind: u8) -> Option<u8> {
    let pairs: &[(u8, u8)] = if number == protocol::ICMP {
        &[(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)]
    } else {
        &[(128, 129), (133, 134), (135, 136), (130, 131), (144, 145)]
    };
    pairs.iter().find_map(|(a, b)| match kind {
        k if k == *a => Some(*b),
        k if k == *b => Some(*a),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8, src: (&str, u16), dst: (&str, u16)) -> String {
        community_id(number, src.0.parse().unwrap(), dst.0.parse().unwrap(), Some((src.1, dst.1)))
    }

    /// community-id-spec, baseline/baseline_deflt.json.
    #[test]
    fn baselines_hold() {
        let tcp = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
        assert_eq!(id(6, ("128.232.110.120", 34855), ("66.35.250.204", 80)), tcp);
        assert_eq!(id(6, ("66.35.250.204", 80), ("128.232.110.120", 34855)), tcp);
        let udp = "1:d/FP5EW3wiY1vCndhwleRRKHowQ=";
        assert_eq!(id(17, ("192.168.1.52", 54585), ("8.8.8.8", 53)), udp);
        let (request, answer) = (icmp_ports(1, 8, 0), icmp_ports(1, 0, 0));
        let echo = "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=";
        assert_eq!(id(1, ("192.168.0.89", request.0), ("192.168.0.1", request.1)), echo);
        assert_eq!(id(1, ("192.168.0.1", answer.0), ("192.168.0.89", answer.1)), echo);
    }
}
