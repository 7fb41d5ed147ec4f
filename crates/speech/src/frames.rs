//! Frames, for the protocols on connections that put a length before everything they say.

use serde::{Deserialize, Serialize};

use crate::limits::FRAME;
use crate::message::Side;

/// What the bytes at the front say about the length of their frame, header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Of(usize),
    /// Its header is not there whole.
    Short,
    /// This is no frame.
    Wrong,
}

/// Cuts what a side says into frames; of one that is too long the beginning is given and the rest passed over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Frames {
    passing_over: [u64; 2],
    torn: [bool; 2],
}

/// One frame, with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether it was longer than [`FRAME`].
    pub cut: bool,
}

impl Frames {
    /// The next frame at `*at` of `input`, moving `*at` behind what was taken; `None` where no whole frame is there.
    ///
    /// After a gap, or bytes that are no frame, nobody knows where the next frame begins: one is believed that ends where the
    /// bytes end.
    pub fn next<'a>(
        &mut self,
        side: Side,
        input: &'a [u8],
        at: &mut usize,
        length: impl Fn(&[u8]) -> Length,
    ) -> Option<Frame<'a>> {
        let (over, torn) = (&mut self.passing_over[side.index()], &mut self.torn[side.index()]);
        let rest = input.get(*at..).unwrap_or_default();
        let passed = usize::try_from(*over).unwrap_or(usize::MAX).min(rest.len());
        *over -= passed as u64;
        *at += passed;
        let rest = &rest[passed..];
        if rest.is_empty() {
            return None;
        }
        let length = match length(rest) {
            Length::Of(length) if length > 0 && (!*torn || length == rest.len()) => length,
            Length::Short if !*torn => return None,
            _ => {
                *torn = true;
                *at = input.len();
                return None;
            }
        };
        let given = length.min(FRAME);
        let bytes = rest.get(..given)?;
        *torn = false;
        *over = (length - given) as u64;
        *at += given;
        Some(Frame { bytes, cut: given < length })
    }

    /// Bytes are missing.
    pub fn gap(&mut self, side: Side) {
        self.passing_over[side.index()] = 0;
        self.torn[side.index()] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of length, then that many thousand bytes.
    fn length(bytes: &[u8]) -> Length {
        match bytes[0] {
            0xff => Length::Wrong,
            n => Length::Of(1 + 1000 * usize::from(n)),
        }
    }

    fn all(frames: &mut Frames, input: &[u8]) -> (Vec<(usize, bool)>, usize) {
        let (mut at, mut out) = (0, Vec::new());
        while let Some(frame) = frames.next(Side::Client, input, &mut at, length) {
            out.push((frame.bytes.len(), frame.cut));
        }
        (out, at)
    }

    #[test]
    fn a_long_frame_is_cut_and_the_next_one_found() {
        let mut input = vec![20];
        input.extend([7; 20_000]);
        input.extend([0, 1]);
        let mut frames = Frames::default();
        assert_eq!(all(&mut frames, &input[..FRAME - 1]), (vec![], 0));
        assert_eq!(all(&mut frames, &input), (vec![(FRAME, true), (1, false)], input.len() - 1));
    }

    #[test]
    fn after_a_gap_a_frame_must_end_with_the_bytes() {
        let mut frames = Frames::default();
        frames.gap(Side::Client);
        assert_eq!(all(&mut frames, &[1, 2, 3]), (vec![], 3));
        assert_eq!(all(&mut frames, &[0]), (vec![(1, false)], 1));
        assert_eq!(all(&mut frames, &[0xff, 0, 0]), (vec![], 3));
    }
}
