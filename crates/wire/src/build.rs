//! Writes packets: IPv4 and IPv6, TCP, UDP, ICMP, with right lengths and checksums.
//!
//! For decoys, simulators and tests. Every function appends one IP packet to `out`; [`ethernet`]
//! puts a frame header before one.

use std::net::IpAddr;

use crate::checksum::{self, pseudo_header};
use crate::protocol;

/// What the IP header says besides lengths and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Sender.
    pub src: IpAddr,
    /// Receiver; of the same family as `src`.
    pub dst: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Identification (IPv4 only).
    pub id: u16,
    /// Don't fragment (IPv4 only).
    pub df: bool,
}

impl Ip {
    /// A header with TTL 64, id 0 and DF clear.
    pub fn new(src: IpAddr, dst: IpAddr) -> Self {
        Ip { src, dst, ttl: 64, id: 0, df: false }
    }
}

/// One TCP segment; `options` is padded with zeros to whole words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags: see [`crate::tcp::flags`].
    pub flags: u8,
    /// The reserved bits, of which there are four.
    pub reserved: u8,
    /// Window as sent.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Raw options, at most 40 bytes.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

/// Appends a TCP packet.
///
/// # Panics
/// When `ip` mixes address families or the options are longer than 40 bytes.
pub fn tcp(out: &mut Vec<u8>, ip: &Ip, segment: &Tcp<'_>) {
    let options = segment.options.len().div_ceil(4) * 4;
    assert!(options <= 40, "TCP options hold at most 40 bytes");
    let start = ip_header(out, ip, protocol::TCP, 20 + options + segment.payload.len());
    out.extend_from_slice(&segment.src_port.to_be_bytes());
    out.extend_from_slice(&segment.dst_port.to_be_bytes());
    out.extend_from_slice(&segment.seq.to_be_bytes());
    out.extend_from_slice(&segment.ack.to_be_bytes());
    out.push((((20 + options) / 4) as u8) << 4 | (segment.reserved & 0x0f));
    out.push(segment.flags);
    out.extend_from_slice(&segment.window.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&segment.urgent.to_be_bytes());
    out.extend_from_slice(segment.options);
    out.resize(start + 20 + options, 0);
    out.extend_from_slice(segment.payload);
    let seed = pseudo_header(ip, protocol::TCP, out.len() - start);
    set_checksum(out, start, 16, seed);
}

/// Appends a UDP packet.
///
/// # Panics
/// When `ip` mixes address families.
pub fn udp(out: &mut Vec<u8>, ip: &Ip, src_port: u16, dst_port: u16, payload: &[u8]) {
    let length = 8 + payload.len();
    let start = ip_header(out, ip, protocol::UDP, length);
    out.extend_from_slice(&src_port.to_be_bytes());
    out.extend_from_slice(&dst_port.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(payload);
    set_checksum(out, start, 6, pseudo_header(ip, protocol::UDP, length));
}

/// Appends an ICMP or, between IPv6 addresses, an ICMPv6 packet.
///
/// `rest` is the second header word: identifier and sequence number of a request, zero of most errors;
/// `body` is what follows: data, or the quoted packet of an error.
///
/// # Panics
/// When `ip` mixes address families.
pub fn icmp(out: &mut Vec<u8>, ip: &Ip, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) {
    let length = 8 + body.len();
    let number = if ip.src.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let start = ip_header(out, ip, number, length);
    out.extend_from_slice(&[kind, code, 0, 0]);
    out.extend_from_slice(&rest);
    out.extend_from_slice(body);
    let seed = if ip.src.is_ipv4() { 0 } else { pseudo_header(ip, number, length) };
    set_checksum(out, start, 2, seed);
}

/// Appends a packet of any protocol with `payload` as it is.
///
/// # Panics
/// When `ip` mixes address families.
pub fn raw(out: &mut Vec<u8>, ip: &Ip, number: u8, payload: &[u8]) {
    ip_header(out, ip, number, payload.len());
    out.extend_from_slice(payload);
}

/// Appends an Ethernet header; the packet is to follow.
pub fn ethernet(out: &mut Vec<u8>, dst: [u8; 6], src: [u8; 6], ethertype: u16) {
    out.extend_from_slice(&dst);
    out.extend_from_slice(&src);
    out.extend_from_slice(&ethertype.to_be_bytes());
}

/// Writes the IP header and returns where its payload starts.
fn ip_header(out: &mut Vec<u8>, ip: &Ip, number: u8, length: usize) -> usize {
    let at = out.len();
    match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + length) as u16).to_be_bytes());
            out.extend_from_slice(&ip.id.to_be_bytes());
            out.extend_from_slice(&(if ip.df { 0x4000u16 } else { 0 }).to_be_bytes());
            out.extend_from_slice(&[ip.ttl, number, 0, 0]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            set_checksum(out, at, 10, 0);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&[number, ip.ttl]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
        }
        _ => panic!("{} and {} are of different families", ip.src, ip.dst),
    }
    out.len()
}

/// Fills in the checksum field at `start + field` over everything from `start` on (RFC 1071).
fn set_checksum(out: &mut [u8], start: usize, field: usize, seed: u32) {
    let checksum = checksum::of(&out[start..], seed);
    out[start + field..start + field + 2].copy_from_slice(&checksum.to_be_bytes());
}
