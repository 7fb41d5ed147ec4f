//! TCP segments of one direction, put in order (RFC 9293, 3.4).
//!
//! Of bytes that came twice the first copy counts, whatever the second says: what was once given out cannot be taken back, and
//! a decoy's own stack does the same. Where a segment is missing, later ones wait until it comes, or until the receiver
//! acknowledges it (it had it, the capture had not), or until too many wait; then the missing bytes are a gap. A stream whose
//! beginning was not seen begins with the first segment that was.

use serde::{Deserialize, Serialize};

/// Bytes that wait for an earlier segment: a full window without scaling.
pub const AHEAD_BYTES: usize = 64 * 1024;

/// Segments that wait: as many full ones as fit into [`AHEAD_BYTES`], and some small ones.
pub const AHEAD_SEGMENTS: usize = 64;

/// One direction of a connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stream {
    /// Sequence number of the next byte to give out, once one is known.
    next: Option<u32>,
    /// Segments ahead of it, nearest first; none touches what another holds.
    ahead: Vec<Segment>,
    /// Where the stream ends, once its FIN was seen.
    end: Option<u32>,
    ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    seq: u32,
    bytes: Vec<u8>,
    /// Bytes behind these that the packet had and the capture has not.
    missing: u32,
}

impl Segment {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.bytes.len() as u32).wrapping_add(self.missing)
    }
}

/// What comes out of a stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many bytes are missing.
    Gap(u32),
    /// Nothing follows.
    End,
}

/// How far `a` lies behind `b`: sequence numbers go round.
fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl Stream {
    /// A stream whose first byte has this sequence number: the one behind the SYN.
    pub fn from(first: u32) -> Stream {
        Stream { next: Some(first), ..Stream::default() }
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.ahead.iter().map(|s| s.bytes.len()).sum()
    }

    /// Whether the end was given out.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// A segment: its sequence number, its bytes as far as they were captured, how many more it had, and whether it carries FIN.
    pub fn segment(
        &mut self,
        seq: u32,
        bytes: &[u8],
        missing: u32,
        fin: bool,
        mut give: impl FnMut(Piece<'_>),
    ) {
        if self.ended {
            return;
        }
        let next = *self.next.get_or_insert(seq);
        if fin {
            let end = seq.wrapping_add(bytes.len() as u32).wrapping_add(missing);
            self.end.get_or_insert(end);
        }
        if bytes.is_empty() && missing == 0 {
            return self.flow(&mut give);
        }
        // What was given out before is cut off the front.
        let old = distance(next, seq).max(0) as u32;
        let (seq, bytes, missing) = match bytes.len() as u32 {
            length if old <= length => (seq.wrapping_add(old), &bytes[old as usize..], missing),
            length => (seq.wrapping_add(old), &[][..], missing.saturating_sub(old - length)),
        };
        if bytes.is_empty() && missing == 0 {
            return self.flow(&mut give);
        }
        if seq == next && self.ahead.is_empty() {
            self.pass(bytes, missing, &mut give);
        } else {
            self.hold(seq, bytes, missing);
            self.flow(&mut give);
            while self.ahead.len() > AHEAD_SEGMENTS || self.held() > AHEAD_BYTES {
                self.skip(&mut give);
            }
        }
        self.finish(&mut give);
    }

    /// The receiver has everything before `ack`: what of it never came is missing from the capture.
    pub fn acknowledged(&mut self, ack: u32, mut give: impl FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        while self.ahead.first().is_some_and(|s| distance(ack, s.seq) > 0) {
            self.skip(&mut give);
        }
        // An end that is acknowledged, but not the bytes before it: they are missing too.
        if let Some(end) = self.end.filter(|end| self.ahead.is_empty() && distance(ack, *end) > 0)
            && distance(end, self.next.unwrap_or(next)) > 0
        {
            give(Piece::Gap(end.wrapping_sub(self.next.unwrap_or(next))));
            self.next = Some(end);
        }
        self.finish(&mut give);
    }

    /// Nothing more will come, or nothing more shall wait: all that waits is given out, with gaps.
    pub fn give_up(&mut self, mut give: impl FnMut(Piece<'_>)) {
        while !self.ahead.is_empty() {
            self.skip(&mut give);
        }
        self.finish(&mut give);
    }

    fn pass(&mut self, bytes: &[u8], missing: u32, give: &mut impl FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            give(Piece::Bytes(bytes));
        }
        if missing > 0 {
            give(Piece::Gap(missing));
        }
        self.next = self.next.map(|next| next.wrapping_add(bytes.len() as u32).wrapping_add(missing));
    }

    /// Puts a segment among those that wait, without what is there already.
    fn hold(&mut self, mut seq: u32, mut bytes: &[u8], mut missing: u32) {
        let mut at = 0;
        while !bytes.is_empty() || missing > 0 {
            let Some(held) = self.ahead.get(at) else {
                self.ahead.push(Segment { seq, bytes: bytes.to_vec(), missing });
                return;
            };
            let (start, end) = (held.seq, held.end());
            // The part before the held segment is new.
            let before = distance(start, seq);
            if before > 0 {
                let new = (before as usize).min(bytes.len());
                let lost = missing.min(before as u32 - new as u32);
                self.ahead.insert(at, Segment { seq, bytes: bytes[..new].to_vec(), missing: lost });
                at += 1;
                if new < bytes.len() {
                    (seq, bytes) = (start, &bytes[new..]);
                } else {
                    (seq, bytes, missing) = (start, &[], missing - lost);
                }
                continue;
            }
            // The part inside it is old.
            let inside = distance(end, seq).max(0) as usize;
            let old = inside.min(bytes.len());
            let lost = missing.min((inside - old) as u32);
            (seq, bytes) = (seq.wrapping_add(old as u32), &bytes[old..]);
            if bytes.is_empty() {
                (seq, missing) = (seq.wrapping_add(lost), missing - lost);
            }
            at += 1;
        }
    }

    /// Gives out what waits and is next.
    fn flow(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        while self.ahead.first().is_some_and(|s| Some(s.seq) == self.next) {
            let segment = self.ahead.remove(0);
            self.pass(&segment.bytes, segment.missing, give);
        }
        self.finish(give);
    }

    /// Gives up what is missing before the first segment that waits.
    fn skip(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        let (Some(next), Some(first)) = (self.next, self.ahead.first()) else { return };
        let missing = first.seq.wrapping_sub(next);
        if missing > 0 {
            give(Piece::Gap(missing));
            self.next = Some(first.seq);
        }
        self.flow(give);
    }

    fn finish(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        let all = self.end.zip(self.next).is_some_and(|(end, next)| distance(next, end) >= 0);
        if all && self.ahead.is_empty() && !std::mem::replace(&mut self.ended, true) {
            give(Piece::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gaps as `[n]`, the end as `.`.
    #[derive(Default)]
    struct Told(String);

    impl Told {
        fn take(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Bytes(bytes) => self.0.push_str(&String::from_utf8_lossy(bytes)),
                Piece::Gap(n) => self.0.push_str(&format!("[{n}]")),
                Piece::End => self.0.push('.'),
            }
        }
    }

    fn told(stream: &mut Stream, segments: &[(u32, &str)]) -> String {
        let mut told = Told::default();
        for (seq, text) in segments {
            stream.segment(*seq, text.as_bytes(), 0, false, |p| told.take(p));
        }
        told.0
    }

    #[test]
    fn segments_come_out_in_order_and_once() {
        let segments = [(1, "ab"), (5, "ef"), (3, "cd"), (1, "abcd"), (7, "g")];
        assert_eq!(told(&mut Stream::from(1), &segments), "abcdefg");
    }

    #[test]
    fn of_bytes_that_come_twice_the_first_count() {
        assert_eq!(told(&mut Stream::from(1), &[(1, "abc"), (2, "XXXd")]), "abcXd");
        assert_eq!(told(&mut Stream::from(1), &[(3, "cd"), (1, "XXXXe")]), "XXcde");
    }

    #[test]
    fn sequence_numbers_go_round() {
        assert_eq!(told(&mut Stream::from(u32::MAX - 1), &[(1, "d"), (u32::MAX - 1, "abc")]), "abcd");
    }

    #[test]
    fn a_stream_seen_from_its_middle_begins_there() {
        assert_eq!(told(&mut Stream::default(), &[(900, "ab"), (902, "c"), (880, "old")]), "abc");
    }

    #[test]
    fn what_the_receiver_has_and_the_capture_has_not_is_a_gap() {
        let mut stream = Stream::from(1);
        assert_eq!(told(&mut stream, &[(1, "ab"), (5, "ef")]), "ab");
        let mut more = Told::default();
        stream.acknowledged(5, |p| more.take(p));
        assert_eq!(more.0, "");
        stream.acknowledged(7, |p| more.take(p));
        assert_eq!(more.0, "[2]ef");
    }

    #[test]
    fn a_packet_that_was_captured_in_part_leaves_a_gap() {
        let (mut stream, mut out) = (Stream::from(1), Told::default());
        stream.segment(1, b"ab", 3, false, |p| out.take(p));
        stream.segment(6, b"f", 0, true, |p| out.take(p));
        assert_eq!(out.0, "ab[3]f.");
    }

    #[test]
    fn an_end_waits_for_what_comes_before_it() {
        let (mut stream, mut out) = (Stream::from(1), Told::default());
        stream.segment(3, b"c", 0, true, |p| out.take(p));
        assert_eq!(out.0, "");
        stream.segment(1, b"ab", 0, false, |p| out.take(p));
        assert_eq!((out.0.as_str(), stream.is_ended()), ("abc.", true));
    }

    #[test]
    fn little_waits() {
        let (mut stream, mut out) = (Stream::from(1), Told::default());
        for i in 0..500u32 {
            stream.segment(10 + i * 2, b"x", 0, false, |p| out.take(p));
        }
        assert!(stream.ahead.len() <= AHEAD_SEGMENTS);
        let (mut stream, mut bytes) = (Stream::from(1), 0);
        for i in 0..100u32 {
            stream.segment(1_000 + i * 4_000, &[0; 3_000], 0, false, |p| {
                if let Piece::Bytes(b) = p {
                    bytes += b.len();
                }
            });
            assert!(stream.held() <= AHEAD_BYTES);
        }
        assert!(bytes > 0);
    }

    proptest! {
        /// However a text is cut, repeated and shuffled within what may wait, it comes out as it was.
        #[test]
        fn any_order_of_any_cuts_gives_the_text(
            cuts in prop::collection::vec((0usize..200, 1usize..40), 1..60),
            first in any::<u32>(),
        ) {
            let text: Vec<u8> = (0..200u8).collect();
            let mut stream = Stream::from(first);
            let mut out = Vec::new();
            let whole = (0..200).step_by(10).map(|at| (at, 10));
            for (at, length) in cuts.into_iter().chain(whole) {
                let end = (at + length).min(200);
                stream.segment(first.wrapping_add(at as u32), &text[at..end], 0, end == 200, |p| match p {
                    Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                    Piece::Gap(n) => panic!("{n} bytes given up"),
                    Piece::End => {}
                });
            }
            prop_assert_eq!(out, text);
            prop_assert!(stream.is_ended());
        }
    }
}
