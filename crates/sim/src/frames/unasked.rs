//! Frames that no attacker meant for us: floods' answers, and what the hosts bring upon themselves.

use std::net::{IpAddr, Ipv4Addr};

use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::link::ETHERTYPE_IPV4;
use trapline_wire::tcp::flags::{ACK, RST, SYN};

use super::{Frames, ROUTER_MAC, echo_rest, host_mac, mix};
use crate::payload;
use crate::plan::Own;
use crate::study::Response;
use crate::target::Target;

/// The name server that hosts ask.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
/// The router that refuses some answers.
const REFUSER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A port that hosts ask from.
const OWN_PORT: u16 = 1_040;
/// Services that spoofed floods hit.
const FLOODED: [u16; 6] = [80, 80, 80, 6_667, 22, 25];

impl Frames<'_> {
    /// A packet that answers what the host never sent.
    pub(super) fn backscatter(
        &self,
        out: &mut Vec<u8>,
        ip: &Ip,
        response: Response,
        target: Target,
        noise: u64,
        k: u32,
    ) {
        let tcp = |out: &mut Vec<u8>, flags: u8| {
            let dst_port = if let Target::Tcp(port) = target { port } else { 0 };
            let own = mix(noise ^ u64::from(k)) as u32;
            let seq = if flags == RST | ACK { 0 } else { own };
            let ack = if flags & ACK == 0 { 0 } else { mix(noise + u64::from(k)) as u32 };
            let src_port = FLOODED[(noise % 6) as usize];
            let segment = Tcp { src_port, dst_port, seq, ack, flags, ..Tcp::default() };
            build::tcp(out, ip, &segment);
        };
        let error = |out: &mut Vec<u8>, kind: u8, code: u8| {
            // The victim behind the router that reports: no source has an address of this block.
            let victim = Ipv4Addr::new(209, (noise >> 8) as u8, (noise >> 16) as u8, 80);
            let sent = Ip { src: ip.dst, dst: IpAddr::V4(victim), ttl: 40, id: k as u16, df: false };
            let (src_port, seq) = ((1_024 + k % 4_000) as u16, mix(noise ^ u64::from(k)) as u32);
            let mut quoted = Vec::with_capacity(40);
            build::tcp(
                &mut quoted,
                &sent,
                &Tcp { src_port, dst_port: 80, seq, flags: SYN, ..Tcp::default() },
            );
            build::icmp(out, ip, kind, code, [0; 4], &quoted[..28]);
        };
        match response {
            Response::SynAck => tcp(out, SYN | ACK),
            Response::Rst => tcp(out, RST),
            Response::RstAck => tcp(out, RST | ACK),
            Response::EchoReply => build::icmp(out, ip, 0, 0, echo_rest(noise, k), payload::ping(noise)),
            Response::Unreachable => error(out, 3, [1, 3, 13][(noise % 3) as usize]),
            Response::TimeExceeded => error(out, 11, 0),
            Response::Dns => {
                let port = if let Target::Udp(port) = target { port } else { 0 };
                build::udp(out, ip, 53, port, &payload::DNS_REPLY);
            }
        }
    }

    /// The first (`second`: the second) frame of a host's own doing.
    pub fn own(&self, out: &mut Vec<u8>, own: &Own, second: bool) {
        match *own {
            Own::Query { host, .. } => {
                let address = IpAddr::V4(self.hosts[usize::from(host)]);
                let (resolver, mac) = (IpAddr::V4(RESOLVER), host_mac(host));
                if second {
                    build::ethernet(out, mac, ROUTER_MAC, ETHERTYPE_IPV4);
                    build::udp(out, &Ip::new(resolver, address), 53, OWN_PORT, &payload::DNS_REPLY);
                } else {
                    build::ethernet(out, ROUTER_MAC, mac, ETHERTYPE_IPV4);
                    build::udp(out, &Ip::new(address, resolver), OWN_PORT, 53, &payload::DNS_QUERY);
                }
            }
            Own::Refusal { source, step, .. } => {
                let (from, what) = self.at(source, step);
                let host = IpAddr::V4(self.hosts[usize::from(what.host)]);
                let connection = self.connection(source, step, 0, false);
                let src_port = if let Target::Tcp(port) = what.target { port } else { 0 };
                let mut quoted = Vec::with_capacity(40);
                let ack = connection.theirs.wrapping_add(1);
                let sent =
                    Tcp { src_port, dst_port: connection.port, ack, flags: RST | ACK, ..Tcp::default() };
                build::tcp(&mut quoted, &Ip::new(host, IpAddr::V4(from.ip)), &sent);
                build::ethernet(out, host_mac(what.host), ROUTER_MAC, ETHERTYPE_IPV4);
                build::icmp(out, &Ip::new(IpAddr::V4(REFUSER), host), 3, 13, [0; 4], &quoted[..28]);
            }
        }
    }
}
