//! What one TCP header tells about the system that sent it: the facts of passive fingerprints.
//!
//! In goes one packet, out comes a small value that two packets share when nothing tells them apart.
//! It holds every header fact that p0f 1, 2 and 3, Disco, ettercap, pf and Satori look at, and none
//! that changes from packet to packet (addresses, ports, sequence numbers, clocks). No database is
//! needed to take it, and its text form loses nothing: what is stored today can be labelled by the
//! database of tomorrow.

mod text;

pub use text::NotAnObservation;

use crate::decode::{Packet, Transport};
use crate::tcp::flags::{ACK, RST, SYN};
use crate::{be16, be32};

/// TCP option kinds (IANA) that fingerprints name.
pub mod kind {
    /// End of options.
    pub const EOL: u8 = 0;
    /// No operation.
    pub const NOP: u8 = 1;
    /// Maximum segment size.
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323).
    pub const SCALE: u8 = 3;
    /// Selective acknowledgements permitted (RFC 2018).
    pub const SACK_OK: u8 = 4;
    /// Selective acknowledgements.
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323).
    pub const STAMP: u8 = 8;
}

/// A TCP header has room for no more than this many options of one byte.
pub const MAX_OPTIONS: usize = 40;

/// Facts that are there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Marks(u16);

impl Marks {
    /// Don't fragment (IPv4).
    pub const DF: Marks = Marks(1);
    /// The reserved bit beside DF, which must be zero (IPv4).
    pub const RESERVED_BIT: Marks = Marks(1 << 1);
    /// Identification is zero (IPv4).
    pub const ID_ZERO: Marks = Marks(1 << 2);
    /// The flow label is not zero (IPv6).
    pub const FLOW: Marks = Marks(1 << 3);
    /// The sequence number is zero.
    pub const SEQ_ZERO: Marks = Marks(1 << 4);
    /// The acknowledgement number is zero.
    pub const ACK_ZERO: Marks = Marks(1 << 5);
    /// Sequence and acknowledgement number are the same.
    pub const SEQ_IS_ACK: Marks = Marks(1 << 6);
    /// The urgent pointer is not zero.
    pub const URGENT: Marks = Marks(1 << 7);
    /// A timestamp option whose own stamp is zero.
    pub const STAMP_ZERO: Marks = Marks(1 << 8);
    /// A timestamp option whose echo of the peer's stamp is not zero.
    pub const PEER_STAMP: Marks = Marks(1 << 9);
    /// Bytes behind the end of options that are not zero.
    pub const PADDING_NOT_ZERO: Marks = Marks(1 << 10);
    /// An option of known size that says it has another; it was read with the size it should have.
    pub const OPTION_SIZE: Marks = Marks(1 << 11);
    /// The options cannot be read to their end: the last kind that is listed is the one that failed.
    pub const BROKEN: Marks = Marks(1 << 12);

    /// Whether all of `marks` are there.
    #[inline]
    pub fn has(self, marks: Marks) -> bool {
        self.0 & marks.0 == marks.0
    }

    /// These and `marks`, where `there`.
    #[inline]
    #[must_use]
    pub fn with(self, marks: Marks, there: bool) -> Marks {
        if there { Marks(self.0 | marks.0) } else { self }
    }
}

/// Every fact of one TCP header that a fingerprint may look at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Observation {
    /// 4 or 6.
    pub ip_version: u8,
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// Type of service or traffic class, with the ECN bits as its lowest two.
    pub tos: u8,
    /// TCP flags: see [`crate::tcp::flags`].
    pub flags: u8,
    /// The four bits between header length and flags; the lowest was ECN's nonce sum (RFC 3540).
    pub reserved: u8,
    /// Length of IPv4 options or IPv6 extension headers, in bytes.
    pub ip_options_len: u16,
    /// Length of the packet by its IP header, in bytes.
    pub len: u32,
    /// What of that is the segment's payload, in bytes.
    pub payload: u32,
    /// Window as sent.
    pub window: u16,
    /// Value of the (last) maximum segment size option, in bytes.
    pub mss: Option<u16>,
    /// Value of the (last) window scale option.
    pub scale: Option<u8>,
    /// Bytes behind the end of options.
    pub padding: u8,
    /// What else is there or not.
    pub marks: Marks,
    count: u8,
    kinds: [u8; MAX_OPTIONS],
}

impl std::fmt::Debug for Observation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observation({})", self.text())
    }
}

impl Observation {
    /// The observation of a packet that speaks for its system by itself: one with SYN or RST.
    ///
    /// Nothing where the packet is no TCP, a fragment, or not captured to the end of its TCP header.
    /// Plain acknowledgements speak only where no connection explains them, which one packet cannot
    /// tell; ask [`Observation::of_any`] for those.
    #[inline]
    pub fn of(packet: &Packet<'_>) -> Option<Observation> {
        match packet.transport {
            Transport::Tcp(tcp) if tcp.flags()? & (SYN | RST) != 0 => Observation::of_any(packet),
            _ => None,
        }
    }

    /// The observation of any TCP packet whose header was captured whole, save fragments.
    #[inline]
    pub fn of_any(packet: &Packet<'_>) -> Option<Observation> {
        let Transport::Tcp(tcp) = packet.transport else { return None };
        let header = tcp.header()?;
        if packet.fragment.is_some() {
            return None;
        }
        let (seq, ack) = (be32(header, 4)?, be32(header, 8)?);
        let headers = u32::from(packet.ip_header_len) + header.len() as u32;
        let marks = Marks::default()
            .with(Marks::SEQ_ZERO, seq == 0)
            .with(Marks::ACK_ZERO, ack == 0)
            .with(Marks::SEQ_IS_ACK, seq == ack)
            .with(Marks::URGENT, be16(header, 18)? != 0);
        let mut seen = Observation {
            ip_version: 4,
            ttl: packet.ttl,
            tos: 0,
            flags: header[13],
            reserved: header[12] & 0x0f,
            ip_options_len: 0,
            len: packet.ip_len,
            payload: packet.ip_len.saturating_sub(headers),
            window: be16(header, 14)?,
            mss: None,
            scale: None,
            padding: 0,
            marks,
            count: 0,
            kinds: [0; MAX_OPTIONS],
        };
        seen.read_ip(packet)?;
        seen.read_options(&header[20..]);
        Some(seen)
    }

    /// Kinds of the options in the order of the packet; see [`kind`].
    #[inline]
    pub fn kinds(&self) -> &[u8] {
        &self.kinds[..usize::from(self.count)]
    }

    /// Length of the IP and the TCP header with their options, in bytes.
    #[inline]
    pub fn headers_len(&self) -> u32 {
        self.len.saturating_sub(self.payload)
    }

    /// Whether there is an option of this kind.
    #[inline]
    pub fn has_option(&self, kind: u8) -> bool {
        self.kinds().contains(&kind)
    }

    /// Whether all of `marks` are there.
    #[inline]
    pub fn has(&self, marks: Marks) -> bool {
        self.marks.has(marks)
    }

    /// The flags that tell which packet of a conversation this is: SYN, FIN, RST, ACK.
    #[inline]
    pub fn step(&self) -> u8 {
        self.flags & (SYN | RST | ACK | crate::tcp::flags::FIN)
    }

    #[inline]
    fn read_ip(&mut self, packet: &Packet<'_>) -> Option<()> {
        let header = packet.header;
        if header.first()? >> 4 == 4 {
            self.tos = *header.get(1)?;
            self.ip_options_len = packet.ip_header_len.saturating_sub(20);
            let place = *header.get(6)?;
            self.marks = self
                .marks
                .with(Marks::DF, place & 0x40 != 0)
                .with(Marks::RESERVED_BIT, place & 0x80 != 0)
                .with(Marks::ID_ZERO, packet.ip_id == 0);
        } else {
            let word = be32(header, 0)?;
            self.ip_version = 6;
            self.tos = (word >> 20) as u8;
            self.ip_options_len = packet.ip_header_len.saturating_sub(40);
            self.marks = self.marks.with(Marks::FLOW, word & 0xf_ffff != 0);
        }
        Some(())
    }

    /// Reads options as p0f 3 does: known kinds by the size they should have, others by the size they say.
    #[inline]
    fn read_options(&mut self, options: &[u8]) {
        let mut rest = options;
        while let Some((&kind, after)) = rest.split_first() {
            self.kinds[usize::from(self.count)] = kind;
            self.count += 1;
            let size = match kind {
                kind::NOP => {
                    rest = after;
                    continue;
                }
                kind::EOL => {
                    self.padding = after.len() as u8;
                    self.marks = self.marks.with(Marks::PADDING_NOT_ZERO, after.iter().any(|b| *b != 0));
                    return;
                }
                kind::MSS => 4,
                kind::SCALE => 3,
                kind::SACK_OK => 2,
                kind::STAMP => 10,
                // One to four blocks of eight bytes, or whatever else is between.
                kind::SACK => said(after, 10..=34),
                _ => said(after, 2..=MAX_OPTIONS),
            };
            let (Some(body), true) = (rest.get(..size), size >= 2) else {
                self.marks = self.marks.with(Marks::BROKEN, true);
                return;
            };
            self.read_option(body);
            rest = &rest[size..];
        }
    }

    /// `body` is a whole option of at least two bytes.
    #[inline]
    fn read_option(&mut self, body: &[u8]) {
        self.marks = self.marks.with(Marks::OPTION_SIZE, usize::from(body[1]) != body.len());
        match body[0] {
            kind::MSS => self.mss = be16(body, 2),
            kind::SCALE => self.scale = body.get(2).copied(),
            kind::STAMP => {
                self.marks = self
                    .marks
                    .with(Marks::STAMP_ZERO, be32(body, 2) == Some(0))
                    .with(Marks::PEER_STAMP, be32(body, 6) != Some(0));
            }
            _ => {}
        }
    }
}

/// The size that an option says it has, or 0 where that is missing or none of `allowed`.
#[inline]
fn said(after: &[u8], allowed: std::ops::RangeInclusive<usize>) -> usize {
    after.first().map(|size| usize::from(*size)).filter(|size| allowed.contains(size)).unwrap_or(0)
}
