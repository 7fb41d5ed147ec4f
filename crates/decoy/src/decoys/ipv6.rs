//! IPv6 on the wire of the decoys: for whom a packet is, alone or among a group.

use std::net::{IpAddr, Ipv6Addr};

use trapline_wire::ipv6::Fragment;
use trapline_wire::{Frame, LinkType, Reading, Transport, build, decode};

use super::{Address, Decoys, transport_checksum_is_right};
use crate::fragments::{Datagram, Overlap, Piece};
use crate::frames::{Frames, IPV6, Mac};
use crate::host::Heard;
use crate::ipv6::{ALL_NODES, ECHO, GROUP_QUERY, SOLICITATION, Way, solicited_node, walk};

impl Decoys {
    pub(super) fn ipv6(&mut self, to: Mac, from_mac: Mac, frame: &[u8], payload: &[u8], out: &mut Frames) {
        let frame =
            Frame { time: self.now, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
        let Reading::Ip(packet) = decode(&frame) else { return };
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else { return };
        let Some(bytes) = payload.get(..packet.ip_len as usize) else { return };
        if src.is_multicast() || src.is_loopback() || src == dst {
            return;
        }
        let header = usize::from(packet.ip_header_len);
        let heard = Heard { now: self.now, from_mac, src: packet.src, dst: packet.dst, header, bytes };
        if dst.is_multicast() {
            if matches!(walk(bytes), Way::Through(None)) && transport_checksum_is_right(&packet, bytes) {
                if let Transport::Icmp(icmp) = packet.transport {
                    self.group(dst, icmp.kind(), &heard, out);
                }
            } else if let Way::Problem { code, at, to_groups: true } = walk(bytes) {
                self.all_with_ipv6(dst).iter().for_each(|place| {
                    self.hosts[*place].problem_v6(&heard, code, at, out);
                });
            }
            return;
        }
        let Some(place) = self.by_address.get(&Address(packet.dst)).copied() else { return };
        if to != self.hosts[place as usize].wiring().mac {
            return;
        }
        let fragment = match walk(bytes) {
            Way::Through(fragment) => fragment,
            Way::Dropped => return,
            Way::Problem { code, at, .. } => {
                return self.hosts[place as usize].problem_v6(&heard, code, at, out);
            }
        };
        if let Some((at, place)) = fragment.filter(|(_, f)| f.more || f.offset > 0) {
            if let Some(whole) = self.whole_v6((src, dst), bytes, at, place) {
                let mut frame = Vec::with_capacity(14 + whole.len());
                build::ethernet(&mut frame, to, from_mac, IPV6);
                frame.extend_from_slice(&whole);
                self.ipv6(to, from_mac, &frame, &whole, out);
            }
            return;
        }
        // Of IPv6, a datagram without a checksum is none (RFC 8200 8.1).
        if matches!(packet.transport, Transport::Udp(_)) && bytes.get(header + 6..header + 8) == Some(&[0, 0])
            || !transport_checksum_is_right(&packet, bytes)
        {
            return;
        }
        match packet.transport {
            Transport::Icmp(icmp) if icmp.kind() == SOLICITATION => self.solicited(&heard, out),
            Transport::Icmp(icmp) if icmp.kind() == ECHO => {
                self.hosts[place as usize].echo_v6(&heard, dst, out)
            }
            // Who has no address yet has nothing else to say.
            _ if src.is_unspecified() => {}
            Transport::Tcp(tcp) => self.tcp(place, &heard, &tcp, out),
            Transport::Udp(udp) => self.udp(place, &heard, &udp, out),
            _ => {}
        }
    }

    /// The packet that a fragment was the last missing piece of; its header stands at `at`.
    fn whole_v6(
        &mut self,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        bytes: &[u8],
        at: usize,
        place: Fragment,
    ) -> Option<Vec<u8>> {
        const FIXED: usize = 40;
        let (before, rest) = bytes.split_at_checked(at)?;
        let (own, payload) = rest.split_first_chunk::<8>()?;
        let mut header = before.to_vec();
        // The header before it names what follows it (RFC 8200 4.5).
        let last = last_before(before)?;
        *header.get_mut(last)? = own[0];
        debug_assert!(header.len() >= FIXED);
        let of = Datagram { src: src.into(), dst: dst.into(), id: place.id, protocol: 0 };
        let piece = Piece { header: &header, offset: place.offset as usize, more: place.more, payload };
        self.fragments.take(self.now, of, &piece, Overlap::Refused)
    }

    /// Something that is said to a group.
    fn group(&mut self, group: Ipv6Addr, kind: u8, heard: &Heard<'_>, out: &mut Frames) {
        match kind {
            SOLICITATION => self.solicited(heard, out),
            ECHO if group == ALL_NODES => {
                for place in self.all_with_ipv6(group) {
                    let host = &mut self.hosts[place];
                    // From the address that reaches as far as the question's.
                    let near = matches!(heard.src, IpAddr::V6(src) if src.is_unicast_link_local());
                    let own = host.ipv6_addresses().find(|own| own.is_unicast_link_local() == near);
                    if let Some(own) = own {
                        host.echo_v6(heard, own, out);
                    }
                }
            }
            GROUP_QUERY if group == ALL_NODES => {
                for place in self.all_with_ipv6(group) {
                    self.hosts[place].report_groups(heard, out);
                }
            }
            _ => {}
        }
    }

    /// A neighbour asks for an Ethernet address.
    fn solicited(&mut self, heard: &Heard<'_>, out: &mut Frames) {
        let target = heard.bytes.get(heard.header + 8..).and_then(<[u8]>::first_chunk::<16>);
        let Some(target) = target.map(|octets| Ipv6Addr::from(*octets)) else { return };
        let Some(place) = self.by_address.get(&Address(target.into())) else { return };
        if [IpAddr::V6(target), IpAddr::V6(solicited_node(target))].contains(&heard.dst) {
            self.hosts[*place as usize].advertise(heard, target, out);
        }
    }

    /// The places of hosts that listen to a group.
    fn all_with_ipv6(&self, group: Ipv6Addr) -> Vec<usize> {
        let listens = |host: &crate::Host| {
            host.ipv6_addresses().any(|own| group == ALL_NODES || group == solicited_node(own))
        };
        self.hosts.iter().enumerate().filter(|(_, host)| listens(host)).map(|(place, _)| place).collect()
    }
}

/// Where the last of these headers names the one that follows it.
fn last_before(headers: &[u8]) -> Option<usize> {
    const FIXED: usize = 40;
    const NEXT: usize = 6;
    let (mut named_at, mut at) = (NEXT, FIXED);
    while at < headers.len() {
        named_at = at;
        at += (usize::from(*headers.get(at + 1)?) + 1) * 8;
    }
    Some(named_at)
}
