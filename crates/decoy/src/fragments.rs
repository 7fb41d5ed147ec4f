//! Fragments of IPv4 (RFC 791 3.2), in by the persona's way with overlaps, and of IPv6 (RFC 8200 4.5), where an overlap ends the
//! datagram; out where a packet does not fit the link.
//!
//! Systems differ in whose bytes count where fragments overlap (Shankar and Paxson 2003; Novak 2005); five ways are known.

use std::net::IpAddr;

use trapline_wire::Time;
use trapline_wire::{checksum, protocol};

use crate::limits::{FRAGMENT_PIECES, FRAGMENTED, FRAGMENTED_FOR};

/// Whose bytes count where fragments overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// What came first: Windows, Solaris.
    #[default]
    First,
    /// What came last: Cisco IOS.
    Last,
    /// What came first, where it begins no later; else the new: FreeBSD.
    Bsd,
    /// The new, where the old begins no later: HP JetDirect.
    BsdRight,
    /// What came first, where it begins earlier; else the new: Linux.
    Linux,
    /// Nobody's: the datagram is dropped (RFC 5722). Of IPv6, whatever the system.
    Refused,
}

impl Overlap {
    /// Whether a byte of a piece that begins at `old` stays when another that begins at `new` has it too.
    fn keeps(self, old: usize, new: usize) -> bool {
        match self {
            Overlap::First | Overlap::Refused => true,
            Overlap::Last => false,
            Overlap::Bsd => old <= new,
            Overlap::BsdRight => old > new,
            Overlap::Linux => old < new,
        }
    }
}

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub id: u32,
    /// Of IPv6 it is no part of what tells datagrams apart: 0 there.
    pub protocol: u8,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// The IP header without the fragment's own; of IPv6 with what stands before that.
    pub header: &'a [u8],
    pub offset: usize,
    pub more: bool,
    pub payload: &'a [u8],
}

#[derive(Debug)]
struct Partial {
    of: Datagram,
    since: Time,
    /// The header of the piece at the beginning.
    header: Vec<u8>,
    pieces: Vec<(usize, Vec<u8>)>,
    total: Option<usize>,
}

/// Datagrams of which fragments are missing.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    partial: Vec<Partial>,
    /// Datagrams that were given up: too many at once, too many pieces, too late.
    pub dropped: u64,
}

/// Bytes of IPv6's fixed header.
const IPV6_HEADER: usize = 40;
/// Bytes that a datagram can have (RFC 791).
const LONGEST: usize = 65_535;

impl Fragments {
    /// Takes a fragment; the whole packet where it was the last one missing.
    pub fn take(&mut self, now: Time, of: Datagram, piece: &Piece<'_>, overlap: Overlap) -> Option<Vec<u8>> {
        let before = self.partial.len();
        self.partial.retain(|partial| now - partial.since < FRAGMENTED_FOR);
        self.dropped += (before - self.partial.len()) as u64;
        let end = piece.offset + piece.payload.len();
        // Pieces but the last come in eights of bytes, and none reaches beyond what a datagram can be.
        if piece.header.len() + end > LONGEST
            || piece.payload.is_empty()
            || piece.more && !piece.payload.len().is_multiple_of(8)
        {
            return None;
        }
        let at = match self.partial.iter().position(|partial| partial.of == of) {
            Some(at) => at,
            None => {
                if self.partial.len() >= FRAGMENTED {
                    self.partial.remove(0);
                    self.dropped += 1;
                }
                self.partial.push(Partial {
                    of,
                    since: now,
                    header: Vec::new(),
                    pieces: Vec::new(),
                    total: None,
                });
                self.partial.len() - 1
            }
        };
        let partial = &mut self.partial[at];
        let twice = |(offset, bytes): &(usize, Vec<u8>)| *offset == piece.offset && bytes == piece.payload;
        if overlap == Overlap::Refused && partial.pieces.iter().any(twice) {
            return None;
        }
        let others =
            |(offset, bytes): &(usize, Vec<u8>)| *offset < end && piece.offset < offset + bytes.len();
        let refused = overlap == Overlap::Refused && partial.pieces.iter().any(others);
        if refused || partial.pieces.len() >= FRAGMENT_PIECES {
            self.partial.remove(at);
            self.dropped += 1;
            return None;
        }
        partial.pieces.push((piece.offset, piece.payload.to_vec()));
        if piece.offset == 0 && partial.header.is_empty() {
            partial.header = piece.header.to_vec();
        }
        if !piece.more {
            partial.total.get_or_insert(end);
        }
        let whole = partial.whole(overlap)?;
        self.partial.remove(at);
        Some(whole)
    }
}

impl Partial {
    /// The packet, where nothing of it is missing.
    fn whole(&self, overlap: Overlap) -> Option<Vec<u8>> {
        let total = self.total?;
        let come: usize = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        if self.header.is_empty() || come < total {
            return None;
        }
        // For each byte, where the piece begins that it is of.
        let mut owners: Vec<Option<usize>> = vec![None; total];
        let mut bytes = vec![0; total];
        for (offset, piece) in &self.pieces {
            for (at, byte) in (*offset..total).zip(piece) {
                if !owners[at].is_some_and(|old| overlap.keeps(old, *offset)) {
                    (owners[at], bytes[at]) = (Some(*offset), *byte);
                }
            }
        }
        if owners.contains(&None) {
            return None;
        }
        let mut packet = self.header.clone();
        if packet[0] >> 4 == 6 {
            packet[4..6].copy_from_slice(&((self.header.len() - IPV6_HEADER + total) as u16).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&((self.header.len() + total) as u16).to_be_bytes());
            packet[6..8].fill(0);
            seal(&mut packet);
        }
        packet.extend(bytes);
        Some(packet)
    }
}

/// Writes the checksum of a header.
fn seal(header: &mut [u8]) {
    header[10..12].fill(0);
    let good = checksum::of(header, 0);
    header[10..12].copy_from_slice(&good.to_be_bytes());
}

/// The packets in which one of more than `mtu` bytes goes out. Options stay in the first: none that we send is copied (RFC 791 3.1).
pub(crate) fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    const HEADER: usize = 20;
    let length = packet.first().map_or(HEADER, |first| usize::from(first & 15) * 4);
    let (header, mut payload) = packet.split_at(length.min(packet.len()));
    let mut pieces = Vec::new();
    let mut offset = 0;
    while !payload.is_empty() {
        let mut out = header[..if offset == 0 { length } else { HEADER }].to_vec();
        let room = (mtu - out.len()) / 8 * 8;
        let (bytes, rest) = payload.split_at(room.min(payload.len()));
        out[0] = 0x40 | (out.len() / 4) as u8;
        let total = (out.len() + bytes.len()) as u16;
        out[2..4].copy_from_slice(&total.to_be_bytes());
        let more = u16::from(!rest.is_empty()) << 13;
        out[6..8].copy_from_slice(&(more | (offset / 8) as u16).to_be_bytes());
        seal(&mut out);
        out.extend_from_slice(bytes);
        pieces.push(out);
        (payload, offset) = (rest, offset + bytes.len());
    }
    pieces
}

/// The packets in which one of IPv6 with more than `mtu` bytes goes out: each with a fragment header behind its fixed one.
pub(crate) fn cut_v6(packet: &[u8], mtu: usize, id: u32) -> Vec<Vec<u8>> {
    const OWN: usize = 8;
    let (header, payload) = packet.split_at(IPV6_HEADER.min(packet.len()));
    let room = (mtu - IPV6_HEADER - OWN) / 8 * 8;
    let count = payload.len().div_ceil(room);
    let piece = |(place, bytes): (usize, &[u8])| {
        let mut out = header.to_vec();
        let next = std::mem::replace(&mut out[6], protocol::FRAGMENT);
        out[4..6].copy_from_slice(&((OWN + bytes.len()) as u16).to_be_bytes());
        let place_and_more = (place * room) as u16 | u16::from(place + 1 < count);
        out.extend([next, 0]);
        out.extend(place_and_more.to_be_bytes());
        out.extend(id.to_be_bytes());
        out.extend_from_slice(bytes);
        out
    };
    payload.chunks(room).enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const OF: Datagram = Datagram {
        src: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5)),
        dst: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)),
        id: 7,
        protocol: 17,
    };

    fn header() -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 7, 0x20, 0, 64, 17, 0, 0, 203, 0, 113, 5, 192, 0, 2, 11];
        seal(&mut header);
        header
    }

    /// The six pieces of Shankar and Paxson's figure, in eights of bytes, and what each way makes of them (Novak, table 1).
    #[test]
    fn overlaps_are_settled_as_each_system_settles_them() {
        let pieces = [(0, 3, b'1'), (4, 2, b'2'), (6, 3, b'3'), (1, 4, b'4'), (6, 3, b'5'), (9, 3, b'6')];
        let expected = [
            (Overlap::Bsd, "111442333666"),
            (Overlap::BsdRight, "144422555666"),
            (Overlap::Linux, "111442555666"),
            (Overlap::First, "111422333666"),
            (Overlap::Last, "144442555666"),
        ];
        for (overlap, eights) in expected {
            let mut fragments = Fragments::default();
            let mut whole = None;
            for (offset, length, letter) in pieces {
                let payload = vec![letter; length * 8];
                let piece =
                    Piece { header: &header(), offset: offset * 8, more: offset != 9, payload: &payload };
                whole = whole.or(fragments.take(0, OF, &piece, overlap));
            }
            let got: String = whole.unwrap()[20..].chunks(8).map(|eight| char::from(eight[0])).collect();
            assert_eq!(got, eights, "{overlap:?}");
        }
    }

    #[test]
    fn what_is_cut_is_put_together_in_any_order() {
        let mut packet = header();
        packet.extend((0..5_000u32).map(|i| i as u8));
        let pieces = cut(&packet, 1_500);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1_500, 1_500, 1_500, 580]);
        let mut fragments = Fragments::default();
        let mut whole = None;
        for piece in pieces.iter().rev() {
            assert_eq!(checksum::of(&piece[..20], 0), 0);
            let field = u16::from_be_bytes([piece[6], piece[7]]);
            let (offset, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
            let piece = Piece { header: &piece[..20], offset, more, payload: &piece[20..] };
            whole = fragments.take(0, OF, &piece, Overlap::First);
        }
        assert_eq!(whole.unwrap()[20..], packet[20..]);
    }

    #[test]
    fn what_never_becomes_whole_is_bounded() {
        let mut fragments = Fragments::default();
        for id in 0..1_000 {
            let piece = Piece { header: &header(), offset: 0, more: true, payload: &[0; 8] };
            assert!(fragments.take(0, Datagram { id, ..OF }, &piece, Overlap::First).is_none());
        }
        assert_eq!((fragments.partial.len(), fragments.dropped), (FRAGMENTED, 1_000 - FRAGMENTED as u64));
        for _ in 0..2 * FRAGMENT_PIECES {
            let piece = Piece { header: &header(), offset: 8, more: true, payload: &[0; 8] };
            fragments.take(0, OF, &piece, Overlap::First);
        }
        assert!(fragments.partial.iter().all(|partial| partial.pieces.len() <= FRAGMENT_PIECES));
        let beyond = Piece { header: &header(), offset: 65_528, more: false, payload: &[0; 100] };
        assert!(fragments.take(0, OF, &beyond, Overlap::First).is_none());
    }
}
