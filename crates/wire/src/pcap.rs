//! Classic pcap: both byte orders, micro- and nanoseconds (draft-ietf-opsawg-pcap).

use crate::capture::{Damage, Frame, MAX_FRAME, Skipped, Step, Time};
use crate::link::LinkType;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Whether a file that begins so is a pcap file.
pub fn is_magic(first: [u8; 4]) -> bool {
    [MICROSECONDS, NANOSECONDS].iter().any(|m| first == m.to_le_bytes() || first == m.to_be_bytes())
}

/// Reads pcap step by step; see [`crate::capture`].
#[derive(Debug, Default)]
pub struct Reader {
    header: Option<Header>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    big_endian: bool,
    /// Nanoseconds in one unit of a record's fraction field.
    unit_ns: i64,
    link: LinkType,
}

impl Header {
    #[inline]
    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let word: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
        if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }
}

impl Reader {
    /// Takes one step over `window`.
    #[inline]
    pub fn step<'a>(&mut self, window: &'a [u8]) -> Step<'a> {
        let Some(header) = self.header else { return self.file_header(window) };
        if window.len() < RECORD_HEADER {
            return Step::Need(RECORD_HEADER);
        }
        let kept = header.u32(window, 8);
        if kept as usize > MAX_FRAME {
            return Step::Damaged(Damage::Length(kept));
        }
        let consumed = RECORD_HEADER + kept as usize;
        if window.len() < consumed {
            return Step::Need(consumed);
        }
        let seconds = i64::from(header.u32(window, 0));
        let time = seconds * 1_000_000_000 + i64::from(header.u32(window, 4)) * header.unit_ns;
        let frame = Frame {
            link: header.link,
            time,
            wire_len: header.u32(window, 12),
            data: &window[RECORD_HEADER..consumed],
        };
        Step::Frame { consumed, frame }
    }

    fn file_header<'a>(&mut self, window: &'a [u8]) -> Step<'a> {
        let Some(bytes) = window.get(..FILE_HEADER) else { return Step::Need(FILE_HEADER) };
        let magic: [u8; 4] = bytes[..4].try_into().expect("four bytes");
        let (big_endian, unit_ns) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (MICROSECONDS, _) => (false, 1_000),
            (NANOSECONDS, _) => (false, 1),
            (_, MICROSECONDS) => (true, 1_000),
            (_, NANOSECONDS) => (true, 1),
            _ => return Step::Damaged(Damage::NotACapture),
        };
        let mut header = Header { big_endian, unit_ns, link: LinkType(0) };
        let major = if big_endian { [bytes[5], bytes[4]] } else { [bytes[4], bytes[5]] };
        let major = u16::from_le_bytes(major);
        if major != 2 {
            return Step::Damaged(Damage::Version(major));
        }
        // The upper half holds the length of a frame check sequence, which no decoder here needs.
        header.link = LinkType((header.u32(bytes, 20) & 0xffff) as u16);
        self.header = Some(header);
        Step::Skip { consumed: FILE_HEADER, why: Skipped::Structure }
    }
}

/// Writes little-endian pcap with nanoseconds into a byte vector.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    unit_ns: i64,
}

impl Writer {
    /// Starts a file of nanosecond stamps: appends its header.
    pub fn new(out: &mut Vec<u8>, link: LinkType) -> Self {
        Writer::with_unit(out, link, NANOSECONDS, 1)
    }

    /// Starts a file of microsecond stamps, the form that every tool of the last 30 years reads.
    pub fn microseconds(out: &mut Vec<u8>, link: LinkType) -> Self {
        Writer::with_unit(out, link, MICROSECONDS, 1_000)
    }

    fn with_unit(out: &mut Vec<u8>, link: LinkType, magic: u32, unit_ns: i64) -> Self {
        out.extend_from_slice(&magic.to_le_bytes());
        out.extend_from_slice(&[2, 0, 4, 0]);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&(MAX_FRAME as u32).to_le_bytes());
        out.extend_from_slice(&u32::from(link.0).to_le_bytes());
        Writer { unit_ns }
    }

    /// Appends one frame. Times before 1970 and after 2106 do not fit the format and wrap around.
    pub fn frame(&self, out: &mut Vec<u8>, time: Time, wire_len: u32, data: &[u8]) {
        let seconds = time.div_euclid(1_000_000_000) as u32;
        let fraction = (time.rem_euclid(1_000_000_000) / self.unit_ns) as u32;
        for word in [seconds, fraction, data.len() as u32, wire_len] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(data);
    }
}
