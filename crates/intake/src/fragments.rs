//! Datagrams that come in pieces (RFC 791, 3.2), put together for those who want to read them.
//!
//! Counting does not wait for this: a later fragment carries no port and adds none (words.md). Of bytes that come twice
//! the first copy counts, as in [`trapline_speech::stream`].

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_speech::End;
use trapline_wire::Time;

use crate::address::Address;
use crate::limits::{FRAGMENTED_BYTES, FRAGMENTED_NS, FRAGMENTED_PIECES, MAX_FRAGMENTED};

/// Which datagram a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct WholeKey {
    pub peer: Address,
    pub host: u16,
    pub from: End,
    pub protocol: u8,
    pub id: u32,
}

/// A datagram so far. Offsets count from the end of the transport header, which the first piece has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Whole<H> {
    since: Time,
    /// What the first piece's header said, once it is there, and the length of that header.
    head: Option<(H, u32)>,
    /// Pieces by offset from the IP payload's beginning, apart from each other.
    pieces: Vec<(u32, Vec<u8>)>,
    /// Length of the IP payload, once its last piece is there.
    length: Option<u32>,
}

/// Datagrams in flight; `H` is what is kept of a first piece's header.
#[derive(Clone, Debug)]
pub(crate) struct Fragments<H> {
    wholes: HashMap<WholeKey, Whole<H>>,
    bytes: usize,
    /// Pieces that found no room.
    pub untold: u64,
}

impl<H> Default for Fragments<H> {
    fn default() -> Self {
        Fragments { wholes: HashMap::new(), bytes: 0, untold: 0 }
    }
}

/// One piece.
pub(crate) struct Piece<'a> {
    /// Where it begins in the IP payload, in bytes.
    pub offset: u32,
    /// Whether others follow.
    pub more: bool,
    /// Its bytes; of the first piece without the transport header, whose length is `header`.
    pub bytes: &'a [u8],
    /// Length of the transport header in front of `bytes`.
    pub header: u32,
}

impl<H: Clone> Fragments<H> {
    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.wholes.is_empty()
    }

    /// Adds a piece; `head` comes with the first one. Gives the header and the whole payload when nothing is missing any more.
    pub fn add(
        &mut self,
        now: Time,
        key: WholeKey,
        head: Option<H>,
        piece: Piece<'_>,
    ) -> Option<(H, Vec<u8>)> {
        if self.wholes.get(&key).is_some_and(|w| now.saturating_sub(w.since) > FRAGMENTED_NS) {
            self.drop(&key);
        }
        let start = piece.offset + piece.header;
        let end = start + piece.bytes.len() as u32;
        let known = self.wholes.contains_key(&key);
        let full = self.bytes + piece.bytes.len() > FRAGMENTED_BYTES;
        if end > u32::from(u16::MAX) || full || (!known && self.wholes.len() >= MAX_FRAGMENTED) {
            self.sweep(now);
            if known || self.wholes.len() >= MAX_FRAGMENTED || end > u32::from(u16::MAX) {
                self.untold += 1;
                return None;
            }
        }
        let whole = self.wholes.entry(key).or_insert_with(|| Whole {
            since: now,
            head: None,
            pieces: Vec::new(),
            length: None,
        });
        if whole.pieces.len() >= FRAGMENTED_PIECES {
            self.untold += whole.pieces.len() as u64 + 1;
            self.drop(&key);
            return None;
        }
        if let Some(head) = head.filter(|_| whole.head.is_none()) {
            whole.head = Some((head, piece.header));
        }
        if !piece.more {
            whole.length.get_or_insert(end);
        }
        self.bytes += whole.insert(start, piece.bytes);
        let done = whole.whole()?;
        self.drop(&key);
        Some(done)
    }

    /// Forgets those that nobody will complete any more.
    pub fn sweep(&mut self, now: Time) {
        let bytes = &mut self.bytes;
        self.wholes.retain(|_, whole| {
            let keep = now.saturating_sub(whole.since) <= FRAGMENTED_NS;
            if !keep {
                *bytes -= whole.held();
            }
            keep
        });
    }

    /// Those that a piece at or after `now` may still complete.
    pub fn alive(&self, now: Time) -> impl Iterator<Item = (&WholeKey, &Whole<H>)> {
        self.wholes.iter().filter(move |(_, whole)| now.saturating_sub(whole.since) <= FRAGMENTED_NS)
    }

    /// Takes in one that an earlier run has begun.
    pub fn insert(&mut self, key: WholeKey, whole: Whole<H>) {
        self.bytes += whole.held();
        self.wholes.insert(key, whole);
    }

    fn drop(&mut self, key: &WholeKey) {
        if let Some(whole) = self.wholes.remove(key) {
            self.bytes -= whole.held();
        }
    }
}

impl<H: Clone> Whole<H> {
    fn held(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Puts bytes in where none are yet; returns how many were new.
    fn insert(&mut self, mut start: u32, mut bytes: &[u8]) -> usize {
        let mut new = 0;
        let mut at = self.pieces.partition_point(|(s, b)| s + b.len() as u32 <= start);
        while !bytes.is_empty() {
            let (gap, behind) = match self.pieces.get(at) {
                Some((s, b)) => (s.saturating_sub(start) as usize, s + b.len() as u32),
                None => (bytes.len(), start + bytes.len() as u32),
            };
            let own = gap.min(bytes.len());
            if own > 0 {
                self.pieces.insert(at, (start, bytes[..own].to_vec()));
                new += own;
                at += 1;
            }
            let past = (behind.saturating_sub(start) as usize).min(bytes.len());
            (start, bytes) = (start + past as u32, &bytes[past..]);
            at += 1;
        }
        new
    }

    fn whole(&self) -> Option<(H, Vec<u8>)> {
        let ((head, header), length) = (self.head.as_ref()?, self.length?);
        let mut at = *header;
        let mut payload = Vec::with_capacity(length.saturating_sub(at) as usize);
        for (start, bytes) in &self.pieces {
            if *start != at || at >= length {
                return None;
            }
            payload.extend_from_slice(bytes);
            at += bytes.len() as u32;
        }
        (at >= length).then(|| (head.clone(), payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: WholeKey = WholeKey { peer: Address(1), host: 0, from: End::Peer, protocol: 17, id: 7 };

    fn add(fragments: &mut Fragments<u8>, offset: u32, more: bool, text: &str) -> Option<String> {
        let header = if offset == 0 { 8 } else { 0 };
        let piece = Piece { offset, more, bytes: text.as_bytes(), header };
        let done = fragments.add(5, KEY, (offset == 0).then_some(9), piece);
        done.map(|(head, bytes)| format!("{head} {}", String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn pieces_in_any_order_become_whole_once() {
        let mut fragments = Fragments::default();
        assert_eq!(add(&mut fragments, 16, true, "ijklmnop"), None);
        assert_eq!(add(&mut fragments, 24, false, "qr"), None);
        assert_eq!(add(&mut fragments, 16, true, "XXXXXXXX"), None);
        assert_eq!(add(&mut fragments, 0, true, "abcdefgh").as_deref(), Some("9 abcdefghijklmnopqr"));
        assert!(fragments.is_empty() && fragments.bytes == 0);
    }

    #[test]
    fn of_bytes_that_come_twice_the_first_count() {
        let mut fragments = Fragments::default();
        add(&mut fragments, 16, false, "ij");
        add(&mut fragments, 0, true, "ab");
        assert_eq!(add(&mut fragments, 8, true, "XXcdefghYY").as_deref(), Some("9 abcdefghij"));
        let mut fragments = Fragments::default();
        add(&mut fragments, 16, false, "ij");
        assert_eq!(add(&mut fragments, 0, true, "abcdefghYY").as_deref(), Some("9 abcdefghij"));
    }

    #[test]
    fn floods_of_pieces_stay_small() {
        let mut fragments: Fragments<u8> = Fragments::default();
        for id in 0..100_000u32 {
            let piece = Piece { offset: 8 * (id % 5_000), more: true, bytes: &[0; 8], header: 0 };
            fragments.add(5, WholeKey { id: id / 400, ..KEY }, None, piece);
            assert!(fragments.wholes.len() <= MAX_FRAGMENTED && fragments.bytes <= FRAGMENTED_BYTES);
        }
        fragments.sweep(5 + FRAGMENTED_NS + 1);
        assert!(fragments.is_empty() && fragments.bytes == 0);
    }
}
