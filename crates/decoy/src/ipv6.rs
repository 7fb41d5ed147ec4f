//! What a host says over IPv6 besides TCP and UDP: to its neighbours (RFC 4861), to echoes and errors (RFC 4443), to group queries
//! (RFC 2710, 3810), and which packets never get so far (RFC 8200 4).

use std::net::{IpAddr, Ipv6Addr};

use trapline_wire::build;
use trapline_wire::ipv6::{Fragment, Ipv6View};
use trapline_wire::protocol;

use crate::frames::{Frames, Mac};
use crate::host::{Counter, Heard, Host};
use crate::numbers::Random;
use crate::persona::Taken;

/// Every node on a link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Who listens to reports of groups, version 2 (RFC 3810 5.2.14).
const ALL_MULTICAST_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

const UNREACHABLE: u8 = 1;
const PARAMETER_PROBLEM: u8 = 4;
pub(crate) const ECHO: u8 = 128;
const ECHO_REPLY: u8 = 129;
pub(crate) const GROUP_QUERY: u8 = 130;
const GROUP_REPORT: u8 = 131;
pub(crate) const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const GROUP_REPORT_2: u8 = 143;

/// An error quotes as much as fits the least MTU (RFC 4443 2.4).
const QUOTED: usize = 1_280 - 40 - 8;
/// Messages among neighbours come from the link itself: nobody forwarded them (RFC 4861 6.1).
const FROM_THE_LINK: u8 = 255;

/// The group that whoever looks for this address asks (RFC 4291 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// The Ethernet address of a group (RFC 2464 7).
fn of_group(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// How far the way through the headers of a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To something that an upper layer reads; before it there may be a fragment's header, at this offset.
    Through(Option<(usize, Fragment)>),
    /// Nowhere: it is dropped.
    Dropped,
    /// To an error with this code, which points at this byte; where it must not be sent for a group's packet, that is said.
    Problem { code: u8, at: usize, to_groups: bool },
}

/// Walks the headers as RFC 8200 4 tells a host to.
pub(crate) fn walk(packet: &[u8]) -> Way {
    const FIXED: usize = 40;
    /// Where the number of the next header stands, in the fixed header and in all others.
    const NEXT: usize = 6;
    /// A chain that is longer is an attempt to tire us.
    const MOST: usize = 16;
    let Some(view) = Ipv6View::checked(packet) else { return Way::Dropped };
    let (mut next, mut next_at, mut at) = (view.next_header(), NEXT, FIXED);
    let mut fragment = None;
    for place in 0..MOST {
        let Some(header) = packet.get(at..) else { return Way::Dropped };
        let length = |unit: usize, more: usize| header.get(1).map(|n| (usize::from(*n) + more) * unit);
        let end = match next {
            // Only right behind the fixed header (RFC 8200 4.1).
            protocol::HOP_BY_HOP if place > 0 => {
                return Way::Problem { code: 1, at: next_at, to_groups: false };
            }
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => {
                let Some(end) = length(8, 1).filter(|n| *n <= header.len()) else { return Way::Dropped };
                match options(&header[2..end]) {
                    Ok(()) => end,
                    Err(Way::Problem { code, at: option, to_groups }) => {
                        return Way::Problem { code, at: at + 2 + option, to_groups };
                    }
                    Err(way) => return way,
                }
            }
            protocol::ROUTING => {
                let (Some(end), Some(left)) = (length(8, 1), header.get(3)) else { return Way::Dropped };
                if *left > 0 {
                    // RFC 5095: hosts forward for nobody. The field in question is the type.
                    return Way::Problem { code: 0, at: at + 2, to_groups: false };
                }
                end
            }
            protocol::FRAGMENT => {
                let Some([_, _, a, b, id @ ..]) = header.first_chunk::<8>() else { return Way::Dropped };
                let place = u16::from_be_bytes([*a, *b]);
                let (offset, more, id) = (u32::from(place & 0xfff8), place & 1 == 1, u32::from_be_bytes(*id));
                fragment = Some((at, Fragment { id, offset, more }));
                if offset > 0 {
                    return Way::Through(fragment);
                }
                8
            }
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => return Way::Through(fragment),
            NOTHING_FOLLOWS => return Way::Dropped,
            _ => return Way::Problem { code: 1, at: next_at, to_groups: false },
        };
        (next, next_at, at) = (header[0], at, at + end);
    }
    Way::Dropped
}

/// "No next header" (RFC 8200 4.7).
const NOTHING_FOLLOWS: u8 = 59;

/// Goes through options: of one that nobody knows, its two highest bits say what is to be done (RFC 8200 4.2).
fn options(mut rest: &[u8]) -> Result<(), Way> {
    const PAD_1: u8 = 0;
    const KNOWN: [u8; 3] = [1, 5, 0xc2];
    let whole = rest.len();
    while let [kind, behind @ ..] = rest {
        if *kind == PAD_1 {
            rest = behind;
            continue;
        }
        let at = whole - rest.len();
        let length = behind.first().map_or(0, |n| usize::from(*n));
        if !KNOWN.contains(kind) {
            match kind >> 6 {
                0 => {}
                1 => return Err(Way::Dropped),
                2 => return Err(Way::Problem { code: 2, at, to_groups: true }),
                _ => return Err(Way::Problem { code: 2, at, to_groups: false }),
            }
        }
        rest = behind.get(1 + length..).ok_or(Way::Dropped)?;
    }
    Ok(())
}

impl Host {
    /// The address that is its own on every link: of its Ethernet address (RFC 4291 appendix A), or of chance (RFC 7217).
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        let ipv6 = self.persona().ipv6.as_ref()?;
        let [a, b, c, d, e, f] = self.wiring().mac;
        let interface = if ipv6.interface_of_mac {
            [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
        } else {
            self.site().bytes("link-local address")
        };
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&interface);
        Some(Ipv6Addr::from(octets))
    }

    /// Its IPv6 addresses; none where its system has no IPv6.
    pub(crate) fn ipv6_addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        let named = self.wiring().addresses.iter().filter_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        let speaks = self.persona().ipv6.is_some() && named.clone().next().is_some();
        named.chain(self.link_local()).filter(move |_| speaks)
    }

    /// Answers a neighbour who asks for the Ethernet address of `target`, which is ours (RFC 4861 7.2.4).
    pub(crate) fn advertise(&mut self, heard: &Heard<'_>, target: Ipv6Addr, out: &mut Frames) {
        const ROUTER: u8 = 0x80;
        const SOLICITED: u8 = 0x40;
        const OVERRIDE: u8 = 0x20;
        const OWN_ADDRESS: [u8; 2] = [2, 1];
        let Some(ipv6) = self.persona().ipv6.clone() else { return };
        let Some(message) = heard.bytes.get(heard.header..) else { return };
        if heard.hop_limit() != FROM_THE_LINK || message.get(1) != Some(&0) || target.is_multicast() {
            return;
        }
        let asked_for_itself = heard.src.is_unspecified();
        let asked_all = heard.dst.is_multicast();
        // Whoever asks whether its own address is free has none yet, and asks the group (RFC 4861 7.1.1).
        if asked_for_itself && !asked_all {
            return;
        }
        let to = if asked_for_itself { IpAddr::V6(ALL_NODES) } else { heard.src };
        let to_mac = if asked_for_itself { of_group(ALL_NODES) } else { heard.from_mac };
        let mut flags = OVERRIDE;
        flags |= if asked_for_itself { 0 } else { SOLICITED };
        flags |= if ipv6.router { ROUTER } else { 0 };
        let mut body = target.octets().to_vec();
        if asked_all || ipv6.address_always {
            body.extend(OWN_ADDRESS);
            body.extend(self.wiring().mac);
        }
        let ip = self.header(target.into(), to, FROM_THE_LINK, false, Counter::Icmp);
        let ip = build::Ip { ttl: FROM_THE_LINK, ..ip };
        self.send(to_mac, &ip, out, |bytes| {
            build::icmp(bytes, &ip, ADVERTISEMENT, 0, [flags, 0, 0, 0], &body)
        });
    }

    /// Answers an echo request; `own` is the address that it answers from, which is not the request's where a group was asked.
    pub(crate) fn echo_v6(&mut self, heard: &Heard<'_>, own: Ipv6Addr, out: &mut Frames) {
        let Some(ipv6) = self.persona().ipv6.clone() else { return };
        let Some(message) = heard.bytes.get(heard.header..) else { return };
        let Some(([_, code, _, _, rest @ ..], body)) = message.split_first_chunk::<8>() else { return };
        if heard.dst.is_multicast() && !ipv6.echoes_to_groups {
            return;
        }
        let code = match ipv6.echo_code {
            Taken::Always(code) => code,
            Taken::Same => *code,
            Taken::Other => code ^ 1,
        };
        let ip = self.header(own.into(), heard.src, 0, false, Counter::Icmp);
        self.send(heard.from_mac, &ip, out, |bytes| build::icmp(bytes, &ip, ECHO_REPLY, code, *rest, body));
    }

    /// Says which groups it listens to, so that a switch that learns of groups lets them through.
    pub(crate) fn report_groups(&mut self, heard: &Heard<'_>, out: &mut Frames) {
        const VERSION_2: usize = 28;
        /// The mode of a group whose every sender is heard (RFC 3810 5.2.12).
        const EXCLUDES_NOBODY: u8 = 2;
        let Some(own) = self.link_local() else { return };
        let Some(message) = heard.bytes.get(heard.header..) else { return };
        if heard.hop_limit() != 1 || message.len() < 24 {
            return;
        }
        let mut groups: Vec<Ipv6Addr> = self.ipv6_addresses().map(solicited_node).collect();
        groups.sort_unstable();
        groups.dedup();
        let reports: Vec<(Ipv6Addr, u8, [u8; 4], Vec<u8>)> = if message.len() >= VERSION_2 {
            let records =
                groups.iter().flat_map(|group| [&[EXCLUDES_NOBODY, 0, 0, 0], &group.octets()[..]].concat());
            let [a, b] = (groups.len() as u16).to_be_bytes();
            vec![(ALL_MULTICAST_ROUTERS, GROUP_REPORT_2, [0, 0, a, b], records.collect())]
        } else {
            groups.iter().map(|group| (*group, GROUP_REPORT, [0; 4], group.octets().to_vec())).collect()
        };
        for (to, kind, rest, body) in reports {
            let ip = self.header(own.into(), to.into(), 0, false, Counter::Icmp);
            let ip = build::Ip { ttl: 1, ..ip };
            self.send(of_group(to), &ip, out, |bytes| {
                let start = bytes.len();
                build::icmp(bytes, &ip, kind, 0, rest, &body);
                // Routers look at it although it is for nobody (RFC 2711).
                const ROUTER_ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];
                let length = u16::from_be_bytes([bytes[start + 4], bytes[start + 5]]) + 8;
                bytes[start + 4..start + 6].copy_from_slice(&length.to_be_bytes());
                bytes[start + 6] = protocol::HOP_BY_HOP;
                bytes.splice(start + 40..start + 40, ROUTER_ALERT);
            });
        }
    }

    /// Says that nobody listens at a port.
    pub(crate) fn port_unreachable_v6(&mut self, heard: &Heard<'_>, out: &mut Frames) {
        const PORT: u8 = 4;
        self.error_v6(heard, UNREACHABLE, PORT, [0; 4], out);
    }

    /// Says what is wrong with a packet, and where.
    pub(crate) fn problem_v6(&mut self, heard: &Heard<'_>, code: u8, at: usize, out: &mut Frames) {
        self.error_v6(heard, PARAMETER_PROBLEM, code, (at as u32).to_be_bytes(), out);
    }

    fn error_v6(&mut self, heard: &Heard<'_>, kind: u8, code: u8, rest: [u8; 4], out: &mut Frames) {
        let IpAddr::V6(own) = heard.dst else { return };
        // Who has no address of its own, or many, gets no error (RFC 4443 2.4).
        if self.persona().ipv6.is_none() || heard.src.is_unspecified() || !self.may_complain(heard.now) {
            return;
        }
        let Some(own) = (if own.is_multicast() { self.link_local() } else { Some(own) }) else { return };
        let quote = &heard.bytes[..heard.bytes.len().min(QUOTED)];
        let ip = self.header(own.into(), heard.src, 0, false, Counter::Icmp);
        self.send(heard.from_mac, &ip, out, |bytes| build::icmp(bytes, &ip, kind, code, rest, quote));
    }

    /// The label of a flow: one for each, which nobody guesses (RFC 6437); 0 where the system gives none.
    pub(crate) fn flow_label(&self, ip: &build::Ip, ports: (u16, u16)) -> u32 {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return 0 };
        if !self.persona().ipv6.as_ref().is_some_and(|ipv6| ipv6.flow_labels) {
            return 0;
        }
        let mixed = [src, dst].iter().fold(self.wiring().seed, |seed, address| {
            let bits = address.to_bits();
            Random::new(seed ^ bits as u64 ^ (bits >> 64) as u64).bits()
        });
        let ports = u64::from(ports.0) << 16 | u64::from(ports.1);
        Random::new(mixed ^ ports).bits() as u32 & 0x000f_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, rest.len() as u8, next, 64];
        packet.resize(40, 1);
        packet.extend(rest);
        packet
    }

    #[test]
    fn the_way_through_headers_is_that_of_the_rfc() {
        let options = |kind: u8| [6, 0, kind, 4, 0, 0, 0, 0];
        let way = |next, rest: &[u8]| walk(&packet(next, rest));
        assert_eq!(way(protocol::TCP, &[0; 20]), Way::Through(None));
        assert_eq!(way(protocol::DESTINATION_OPTIONS, &options(0x1e)), Way::Through(None));
        assert_eq!(way(protocol::DESTINATION_OPTIONS, &options(0x5e)), Way::Dropped);
        let problem = |code, at, to_groups| Way::Problem { code, at, to_groups };
        assert_eq!(way(protocol::HOP_BY_HOP, &options(0x9e)), problem(2, 42, true));
        assert_eq!(way(protocol::DESTINATION_OPTIONS, &options(0xde)), problem(2, 42, false));
        assert_eq!(way(253, &[]), problem(1, 6, false));
        assert_eq!(way(protocol::DESTINATION_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0]), problem(1, 40, false));
        assert_eq!(way(protocol::ROUTING, &[6, 0, 0, 1, 0, 0, 0, 0]), problem(0, 42, false));
        assert_eq!(way(NOTHING_FOLLOWS, &[]), Way::Dropped);
        let fragment = Fragment { id: 9, offset: 8, more: true };
        assert_eq!(way(protocol::FRAGMENT, &[17, 0, 0, 9, 0, 0, 0, 9]), Way::Through(Some((40, fragment))));
        for length in 0..48 {
            walk(&packet(protocol::HOP_BY_HOP, &options(1))[..length]);
        }
    }

    #[test]
    fn groups_are_those_of_the_rfcs() {
        let address: Ipv6Addr = "4037::01:800:200e:8c6c".parse().unwrap();
        let group = solicited_node(address);
        assert_eq!(group, "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap(), "RFC 4291 2.7.1");
        assert_eq!(of_group(group), [0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]);
    }
}
