//! Bytes that came before their time.

use super::{at_most, before};
use crate::limits::{GAP_BYTES, GAP_PIECES};

/// Pieces of a stream that others before them are missing of.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// By sequence number; they may overlap, and the earlier one counts.
    pieces: Vec<(u32, Vec<u8>)>,
    bytes: usize,
}

impl Gaps {
    /// Bytes held.
    pub fn held(&self) -> usize {
        self.bytes
    }

    /// Keeps a piece that begins after what is expected next; false where there is no room.
    pub fn keep(&mut self, seq: u32, bytes: &[u8]) -> bool {
        let at = self.pieces.partition_point(|(other, _)| at_most(*other, seq));
        let known = at.checked_sub(1).and_then(|i| self.pieces.get(i));
        if known.is_some_and(|(start, held)| seq.wrapping_sub(*start) as usize + bytes.len() <= held.len()) {
            return true;
        }
        if self.pieces.len() >= GAP_PIECES || self.bytes + bytes.len() > GAP_BYTES {
            return false;
        }
        self.bytes += bytes.len();
        self.pieces.insert(at, (seq, bytes.to_vec()));
        true
    }

    /// Adds to `got` what is in order from `next` on; returns what is expected then.
    pub fn release(&mut self, mut next: u32, got: &mut Vec<u8>) -> u32 {
        let ready = self.pieces.partition_point(|(seq, _)| at_most(*seq, next));
        if ready == 0 {
            return next;
        }
        // What is released may reach the next piece.
        let mut taken = 0;
        for (seq, bytes) in &self.pieces {
            if before(next, *seq) {
                break;
            }
            taken += 1;
            self.bytes -= bytes.len();
            if let Some(new) = bytes.get(next.wrapping_sub(*seq) as usize..) {
                got.extend_from_slice(new);
                next = next.wrapping_add(new.len() as u32);
            }
        }
        self.pieces.drain(..taken);
        next
    }

    /// Up to three runs of bytes held, the one with `latest` first (RFC 2018 4).
    pub fn runs(&self, latest: u32) -> ([(u32, u32); 3], usize) {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (seq, bytes) in &self.pieces {
            let end = seq.wrapping_add(bytes.len() as u32);
            match runs.last_mut() {
                Some((_, last)) if at_most(*seq, *last) => {
                    if before(*last, end) {
                        *last = end;
                    }
                }
                _ => runs.push((*seq, end)),
            }
        }
        if let Some(at) = runs.iter().position(|(from, to)| at_most(*from, latest) && before(latest, *to)) {
            runs[..=at].rotate_right(1);
        }
        let mut first = [(0, 0); 3];
        let count = runs.len().min(3);
        first[..count].copy_from_slice(&runs[..count]);
        (first, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_become_the_stream() {
        let mut gaps = Gaps::default();
        let start = u32::MAX - 3;
        for (offset, bytes) in [(6, "ghi"), (2, "cd"), (3, "defg"), (6, "gh")] {
            assert!(gaps.keep(start.wrapping_add(offset), bytes.as_bytes()));
        }
        assert_eq!(gaps.runs(start.wrapping_add(3)).0[0], (start.wrapping_add(2), start.wrapping_add(9)));
        let mut got = b"ab".to_vec();
        assert_eq!(gaps.release(start.wrapping_add(1), &mut got), start.wrapping_add(1), "b is missing");
        assert_eq!(gaps.release(start.wrapping_add(2), &mut got), start.wrapping_add(9));
        assert_eq!((got.as_slice(), gaps.held()), (&b"abcdefghi"[..], 0));
    }

    #[test]
    fn pieces_and_bytes_are_bounded() {
        let mut gaps = Gaps::default();
        let kept = (0..200u32).filter(|i| gaps.keep(i * 2 + 1, b"x")).count();
        assert_eq!(kept, GAP_PIECES);
        let mut gaps = Gaps::default();
        let piece = vec![0; 30_000];
        let kept: Vec<bool> = (0..3u32).map(|i| gaps.keep(1 + i * 30_000, &piece)).collect();
        assert_eq!(kept, [true, true, false]);
        assert_eq!(gaps.runs(2), ([(1, 60_001), (0, 0), (0, 0)], 1));
    }
}
