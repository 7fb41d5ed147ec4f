//! Sessions and sources of one day, from its probes.
//!
//! A session is what one source sent to one host, a source what it sent to the platform. Both have a
//! ports sequence: the distinct ports in the order of their first inbound packet (words.md).

use hashbrown::HashMap;
use trapline_wire::{Time, protocol};

use crate::address::Address;
use crate::limits::SEQUENCE_PORTS;
use crate::rows::{Place, PortText, Probe};

/// One source and one host on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The source's address.
    pub peer: Address,
    /// Host index.
    pub host: u16,
    /// Totals.
    pub totals: Totals,
    /// Its ports sequence.
    pub sequence: String,
}

/// One source on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its address.
    pub peer: Address,
    /// Totals.
    pub totals: Totals,
    /// Its ports sequence over all hosts.
    pub sequence: String,
    /// The hosts it reached, in order of first packet.
    pub hosts: Vec<u16>,
}

/// What sessions and sources add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// First packet.
    pub first: Place,
    /// Time of the last packet, in nanoseconds.
    pub last: Time,
    /// Packets.
    pub packets: u64,
    /// Bytes by the IP header.
    pub bytes: u64,
    /// Packets that are backscatter.
    pub backscatter: u64,
    /// Distinct ports (TCP and UDP).
    pub ports: u32,
}

/// Makes sessions and sources of the probes of one day, which must be sorted by key.
pub fn derive(probes: &[Probe]) -> (Vec<Session>, Vec<Source>) {
    let (mut sessions, mut sources) = (Vec::new(), Vec::new());
    for of_source in probes.chunk_by(|a, b| a.key.peer == b.key.peer) {
        let mut hosts: Vec<(Place, u16)> = Vec::new();
        for of_host in of_source.chunk_by(|a, b| a.key.host == b.key.host) {
            let (totals, sequence) = summary(of_host);
            let (peer, host) = (of_host[0].key.peer, of_host[0].key.host);
            hosts.push((totals.first, host));
            sessions.push(Session { peer, host, totals, sequence });
        }
        hosts.sort_unstable();
        let (totals, sequence) = summary(of_source);
        let hosts = hosts.into_iter().map(|(_, host)| host).collect();
        sources.push(Source { peer: of_source[0].key.peer, totals, sequence, hosts });
    }
    (sessions, sources)
}

fn summary(probes: &[Probe]) -> (Totals, String) {
    let mut ports: HashMap<(u8, Option<u16>), Place> = HashMap::new();
    for probe in probes {
        let first = ports.entry(port_key(probe)).or_insert(probe.first);
        *first = probe.first.min(*first);
    }
    let mut in_order: Vec<(Place, (u8, Option<u16>))> =
        ports.into_iter().map(|(port, first)| (first, port)).collect();
    in_order.sort_unstable();
    let totals = Totals {
        first: probes.iter().map(|p| p.first).min().expect("a chunk is never empty"),
        last: probes.iter().map(|p| p.last).max().expect("a chunk is never empty"),
        packets: probes.iter().map(|p| p.packets).sum(),
        bytes: probes.iter().map(|p| p.bytes).sum(),
        backscatter: probes.iter().map(|p| p.backscatter).sum(),
        ports: in_order.iter().filter(|(_, (_, number))| number.is_some()).count() as u32,
    };
    (totals, sequence(in_order.iter().map(|(_, port)| *port)))
}

/// ICMP for either family is one kind of packet.
fn port_key(probe: &Probe) -> (u8, Option<u16>) {
    match probe.key.protocol {
        protocol::ICMPV6 => (protocol::ICMP, None),
        other => (other, probe.key.number),
    }
}

/// Writes a sequence of distinct ports, given in order: those with a number, or where none has one,
/// the others; the first [`SEQUENCE_PORTS`] of them and `,+N` for N more.
pub fn sequence(ports: impl Iterator<Item = (u8, Option<u16>)> + Clone) -> String {
    use std::fmt::Write;
    let numbered = ports.clone().any(|(_, number)| number.is_some());
    let mut text = String::new();
    let mut more = 0u64;
    for (i, (number, port)) in ports.filter(|(_, port)| port.is_some() == numbered).enumerate() {
        if i >= SEQUENCE_PORTS {
            more += 1;
            continue;
        }
        if i > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}", PortText(number, port));
    }
    if more > 0 {
        text.push_str(&format!(",+{more}"));
    }
    text
}
