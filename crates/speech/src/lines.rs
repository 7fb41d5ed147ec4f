//! Lines, for the protocols that are made of them.

use serde::{Deserialize, Serialize};

use crate::limits::LINE;
use crate::message::Side;

/// Cuts what a side says into lines; of one that is too long the beginning is given and the rest passed over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lines {
    passing_over: [bool; 2],
    encrypted: [bool; 2],
}

/// One line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes, without CR and LF.
    pub text: &'a [u8],
    /// Whether it was longer than [`LINE`].
    pub cut: bool,
}

impl Lines {
    /// The next line at `*at` of `input`, moving `*at` behind what was taken; `None` where no whole line is there.
    /// Lines end in LF or CR LF. Where a TLS record begins in the place of a line (STARTTLS and its like), no more lines come.
    pub fn next<'a>(&mut self, side: Side, input: &'a [u8], at: &mut usize) -> Option<Line<'a>> {
        loop {
            let rest = input.get(*at..).unwrap_or_default();
            // Content type handshake, version 3.x (RFC 8446, 5.1).
            let encrypted = &mut self.encrypted[side.index()];
            *encrypted |= matches!(rest, [0x16, 3, 0..=4, ..]);
            if *encrypted {
                *at = input.len();
                return None;
            }
            let end = end_of_line(&rest[..rest.len().min(LINE + 1)]);
            let passing_over = &mut self.passing_over[side.index()];
            match end {
                Some(end) => {
                    *at += end + 1;
                    if std::mem::take(passing_over) {
                        continue;
                    }
                    return Some(Line { text: bare(&rest[..end]), cut: false });
                }
                None if rest.len() > LINE => {
                    *at += LINE;
                    if std::mem::replace(passing_over, true) {
                        continue;
                    }
                    return Some(Line { text: &rest[..LINE], cut: true });
                }
                // What belongs to a line that is passed over need not be held.
                None if *passing_over => {
                    *at = input.len();
                    return None;
                }
                None => return None,
            }
        }
    }

    /// Bytes are missing: the line in which they were is passed over.
    pub fn gap(&mut self, side: Side) {
        self.passing_over[side.index()] = true;
    }
}

/// Where the first LF is. A line that comes byte by byte is looked through again with each of them, so that not finding one
/// has to be quick: `contains` looks at words, a search for the place at bytes.
pub fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.contains(&b'\n').then(|| bytes.iter().position(|b| *b == b'\n')).flatten()
}

/// Without CR and NUL at the end.
pub fn bare(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | 0)).map_or(0, |i| i + 1);
    &line[..end]
}

/// The first word of a line and what follows the space behind it, as sent.
pub fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

/// Whether bytes are printable ASCII, tabs and line ends only.
pub fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines, input: &[u8]) -> (Vec<(Vec<u8>, bool)>, usize) {
        let (mut at, mut out) = (0, Vec::new());
        while let Some(line) = lines.next(Side::Client, input, &mut at) {
            out.push((line.text.to_vec(), line.cut));
        }
        (out, at)
    }

    #[test]
    fn whole_lines_are_taken_and_the_rest_stays() {
        let (lines, at) = all(&mut Lines::default(), b"USER bro\r\nPASS 1\nQU");
        assert_eq!(lines, [(b"USER bro".to_vec(), false), (b"PASS 1".to_vec(), false)]);
        assert_eq!(at, 17);
    }

    #[test]
    fn a_long_line_is_cut_once() {
        let mut lines = Lines::default();
        let long = vec![b'A'; LINE * 3];
        let (first, at) = all(&mut lines, &long);
        assert_eq!((first.len(), first[0].0.len(), first[0].1, at), (1, LINE, true, long.len()));
        assert_eq!(all(&mut lines, b"AAAA\r\nQUIT\r\n").0, [(b"QUIT".to_vec(), false)]);
    }

    #[test]
    fn a_tls_record_ends_all_lines() {
        let mut lines = Lines::default();
        assert_eq!(
            all(&mut lines, b"STARTTLS\r\n\x16\x03\x01\x02\x00\nQUIT\n").0,
            [(b"STARTTLS".to_vec(), false)]
        );
        assert_eq!(all(&mut lines, b"\nQUIT\n"), (vec![], 6));
    }

    #[test]
    fn after_a_gap_the_next_line_counts() {
        let mut lines = Lines::default();
        lines.gap(Side::Client);
        assert_eq!(all(&mut lines, b"word\r\nQUIT\r\n").0, [(b"QUIT".to_vec(), false)]);
    }
}
