//! The rows that intake hands over, and how two halves of a row become one.
//!
//! Merging is associative and does not depend on the order of its arguments, except for the first flags
//! in order, whose later half must come second. So shards, files and runs may split the work as they like.

use trapline_wire::tcp::flags;
use trapline_wire::{Time, protocol};

use crate::address::Address;
use crate::limits::FIRST_FLAGS;
use crate::marks::Marks;

/// A UTC day: days since 1970-01-01.
pub type Day = i32;

/// The UTC day that a time lies in.
pub fn day_of(time: Time) -> Day {
    time.div_euclid(crate::DAY_NS) as Day
}

/// Where a packet lies: when, in which capture, and its place there. Ordered as the definitions
/// order packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Nanoseconds since 1970.
    pub time: Time,
    /// The capture's [`crate::survey::CaptureId`].
    pub capture: u64,
    /// Place in it, from 0.
    pub frame: u64,
}

/// Which port of which host a source sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeKey {
    /// The source's address.
    pub peer: Address,
    /// Host index.
    pub host: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Port; `None` for ICMP, other protocols, and packets without readable ports.
    pub number: Option<u16>,
}

impl ProbeKey {
    /// The port as the definitions write it: `445`, `137/udp`, `icmp`, `ip-proto-47`.
    pub fn port_text(&self) -> String {
        PortText(self.protocol, self.number).to_string()
    }
}

/// A port (protocol and number) as the definitions write it: `445` for TCP, `137/udp` for UDP, else the protocol.
#[derive(Clone, Copy, Debug)]
pub struct PortText(pub u8, pub Option<u16>);

impl std::fmt::Display for PortText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            PortText(protocol::TCP, Some(port)) => write!(f, "{port}"),
            PortText(protocol::UDP, Some(port)) => write!(f, "{port}/udp"),
            PortText(protocol::ICMP | protocol::ICMPV6, _) => f.write_str("icmp"),
            PortText(other, _) => write!(f, "ip-proto-{other}"),
        }
    }
}

/// The traffic of one source and one port of one host on one UTC day: the finest row kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whose and where to.
    pub key: ProbeKey,
    /// First packet.
    pub first: Place,
    /// Time of the last packet, in nanoseconds.
    pub last: Time,
    /// Packets, replies to the host not among them.
    pub packets: u64,
    /// Their bytes, by the IP header.
    pub bytes: u64,
    /// Packets among them that are backscatter.
    pub backscatter: u64,
    /// TCP packets with FIN, SYN, RST, PSH, ACK, URG.
    pub flag_counts: [u32; 6],
    /// The flags of the first TCP packets, in order.
    pub first_flags: FirstFlags,
    /// Header invariants of its SYN packets.
    pub marks: Marks,
    /// Packets with payload.
    pub payload_packets: u64,
    /// Payload bytes, by the IP header.
    pub payload_bytes: u64,
    /// When the first payload came, and the first 128 bits of its BLAKE3 hash (of what was captured).
    pub first_payload: Option<(Place, [u8; 16])>,
    /// When the host first answered on this port: a SYN/ACK, or a datagram in the source's conversation.
    pub first_answer: Option<Time>,
}

/// The flags of a probe's first packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstFlags {
    flags: [u8; FIRST_FLAGS],
    len: u8,
}

impl FirstFlags {
    /// Adds one packet's flags, if there is room.
    #[inline]
    pub fn push(&mut self, flags: u8) {
        if let Some(slot) = self.flags.get_mut(usize::from(self.len)) {
            *slot = flags;
            self.len += 1;
        }
    }

    /// The flags so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.flags[..usize::from(self.len)]
    }

    /// Reads them back from what they are written as.
    pub fn parse(text: &str) -> FirstFlags {
        let mut first = FirstFlags::default();
        for packet in text.split(',').filter(|p| !p.is_empty()) {
            let bits = LETTERS.iter().filter(|(_, letter)| packet.contains(*letter));
            first.push(bits.map(|(bit, _)| bit).sum());
        }
        first
    }
}

const LETTERS: [(u8, char); 8] = [
    (flags::FIN, 'F'),
    (flags::SYN, 'S'),
    (flags::RST, 'R'),
    (flags::PSH, 'P'),
    (flags::ACK, 'A'),
    (flags::URG, 'U'),
    (flags::ECE, 'E'),
    (flags::CWR, 'W'),
];

/// tcpdump's letters, packets separated by commas: `S,A,PA`.
impl std::fmt::Display for FirstFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        for (i, bits) in self.as_slice().iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            if *bits == 0 {
                f.write_char('-')?;
            }
            for (_, letter) in LETTERS.iter().filter(|(bit, _)| bits & bit != 0) {
                f.write_char(*letter)?;
            }
        }
        Ok(())
    }
}

impl Probe {
    /// A row without packets.
    pub fn empty(key: ProbeKey, first: Place) -> Self {
        Probe {
            key,
            first,
            last: first.time,
            packets: 0,
            bytes: 0,
            backscatter: 0,
            flag_counts: [0; 6],
            first_flags: FirstFlags::default(),
            marks: Marks::default(),
            payload_packets: 0,
            payload_bytes: 0,
            first_payload: None,
            first_answer: None,
        }
    }

    /// Adds the other half of a row; where the halves lie apart in time, the later one must be `later`.
    pub fn merge(&mut self, later: &Probe) {
        self.first = self.first.min(later.first);
        self.last = self.last.max(later.last);
        self.packets += later.packets;
        self.bytes += later.bytes;
        self.backscatter += later.backscatter;
        for (mine, theirs) in self.flag_counts.iter_mut().zip(later.flag_counts) {
            *mine = mine.saturating_add(theirs);
        }
        later.first_flags.as_slice().iter().for_each(|f| self.first_flags.push(*f));
        self.marks.merge(&later.marks);
        self.payload_packets += later.payload_packets;
        self.payload_bytes += later.payload_bytes;
        self.first_payload = earliest(self.first_payload, later.first_payload);
        self.first_answer = earliest(self.first_answer, later.first_answer);
    }
}

/// The smaller of two where both are there.
fn earliest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Which kind of answer a response packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseKind {
    /// TCP SYN/ACK.
    SynAck,
    /// TCP RST.
    Rst,
    /// TCP RST/ACK.
    RstAck,
    /// ICMP of a type.
    Icmp(u8),
    /// ICMPv6 of a type.
    Icmpv6(u8),
    /// UDP from a service port.
    Udp(u16),
}

/// Who sent answers of one kind to one port of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponseKey {
    /// The packets' sender, their host, protocol and port.
    pub probe: ProbeKey,
    /// Kind of answer.
    pub kind: ResponseKind,
    /// Whether it was asked for.
    pub solicited: bool,
    /// Whose answer it is: the sender, for an ICMP error the destination of the packet it quotes.
    pub victim: Address,
}

/// Response packets of one kind, source and port on one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Whose, which.
    pub key: ResponseKey,
    /// First and last, in nanoseconds.
    pub span: (Time, Time),
    /// Packets.
    pub packets: u64,
}

/// Whose replies to which host, in which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyKey {
    /// Sender.
    pub peer: Address,
    /// Host index.
    pub host: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// Replies to a host on one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whose.
    pub key: ReplyKey,
    /// First and last, in nanoseconds.
    pub span: (Time, Time),
    /// Packets.
    pub packets: u64,
}

/// A row that can be joined with another of the same key.
pub trait Row {
    /// What makes it this row.
    type Key: Ord + Copy;
    /// Its key.
    fn key(&self) -> Self::Key;
    /// Its first packet: of two halves, the earlier one is the one that begins earlier.
    fn first(&self) -> Place;
    /// Adds the other half.
    fn absorb(&mut self, later: &Self);
}

impl Row for Probe {
    type Key = ProbeKey;
    fn key(&self) -> ProbeKey {
        self.key
    }
    fn first(&self) -> Place {
        self.first
    }
    fn absorb(&mut self, later: &Self) {
        self.merge(later);
    }
}

impl Row for Response {
    type Key = ResponseKey;
    fn key(&self) -> ResponseKey {
        self.key
    }
    fn first(&self) -> Place {
        Place { time: self.span.0, capture: 0, frame: 0 }
    }
    fn absorb(&mut self, later: &Self) {
        self.span = widest(self.span, later.span);
        self.packets += later.packets;
    }
}

impl Row for Reply {
    type Key = ReplyKey;
    fn key(&self) -> ReplyKey {
        self.key
    }
    fn first(&self) -> Place {
        Place { time: self.span.0, capture: 0, frame: 0 }
    }
    fn absorb(&mut self, later: &Self) {
        self.span = widest(self.span, later.span);
        self.packets += later.packets;
    }
}

fn widest(a: (Time, Time), b: (Time, Time)) -> (Time, Time) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// Sorts rows and joins those of the same key, in place: a day's rows are the largest thing in memory.
pub fn fold<R: Row>(mut rows: Vec<R>) -> Vec<R> {
    rows.sort_unstable_by_key(|row| (row.key(), row.first()));
    rows.dedup_by(|later, kept| {
        let same = later.key() == kept.key();
        if same {
            kept.absorb(later);
        }
        same
    });
    rows.shrink_to_fit();
    rows
}
