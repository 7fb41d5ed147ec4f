//! pcapng: several sections and interfaces, any time resolution (draft-ietf-opsawg-pcapng).
//!
//! Enhanced packet blocks (and the obsolete packet block) are frames. Simple packet blocks carry no
//! time and are told apart so that they can be counted; every other block is skipped unread.

use crate::capture::{Damage, Frame, MAX_FRAME, Skipped, Step, Time};
use crate::link::LinkType;

/// Block type of a section header; the same in both byte orders.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
/// The name of an interface.
const OPTION_IF_NAME: u16 = 2;
const OPTION_COMMENT: u16 = 1;
const OPTION_TSOFFSET: u16 = 14;

/// A packet with its options and comments fits into this, or the length is damage.
const MAX_BLOCK: u32 = MAX_FRAME as u32 + 1024 * 1024;
/// More interfaces than this in one section is an attack on our memory, not a capture.
const MAX_INTERFACES: usize = 65_536;

/// Reads pcapng step by step; see [`crate::capture`].
#[derive(Debug, Default)]
pub struct Reader {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    resolution: Resolution,
    /// Added to every time, in seconds.
    offset_s: i64,
}

/// Length of a time unit: 10^-n or 2^-n seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Decimal(u32),
    Binary(u32),
}

impl Resolution {
    fn from_option(byte: u8) -> Self {
        let power = u32::from(byte & 0x7f);
        if byte & 0x80 == 0 { Resolution::Decimal(power) } else { Resolution::Binary(power) }
    }

    /// Nanoseconds in `ticks` units, rounded down; finer units than a nanosecond lose their rest.
    fn nanoseconds(self, ticks: u64) -> Option<i64> {
        let ns: u128 = match self {
            Resolution::Decimal(power @ 0..=9) => u128::from(ticks) * 10u128.pow(9 - power),
            Resolution::Decimal(power) => match 10u128.checked_pow(power - 9) {
                Some(unit) => u128::from(ticks) / unit,
                None => 0,
            },
            Resolution::Binary(power) => (u128::from(ticks) * 1_000_000_000) >> power,
        };
        i64::try_from(ns).ok()
    }
}

impl Interface {
    fn time(&self, ticks: u64) -> Option<Time> {
        let offset_ns = self.offset_s.checked_mul(1_000_000_000)?;
        self.resolution.nanoseconds(ticks)?.checked_add(offset_ns)
    }
}

impl Reader {
    /// Takes one step over `window`.
    pub fn step<'a>(&mut self, window: &'a [u8]) -> Step<'a> {
        if window.len() < 12 {
            return Step::Need(12);
        }
        let kind = self.u32(window, 0);
        if kind == SECTION_HEADER
            && let Err(damage) = self.begin_section(window)
        {
            return Step::Damaged(damage);
        }
        let length = self.u32(window, 4);
        if length < 12 || !length.is_multiple_of(4) {
            return Step::Damaged(Damage::Length(length));
        }
        let skip = |why| Step::Skip { consumed: length as usize, why };
        match kind {
            SECTION_HEADER | INTERFACE_DESCRIPTION | PACKET | ENHANCED_PACKET => {
                if length > MAX_BLOCK {
                    return Step::Damaged(Damage::Length(length));
                }
                if window.len() < length as usize {
                    return Step::Need(length as usize);
                }
            }
            SIMPLE_PACKET => return skip(Skipped::SimplePacket),
            _ => return skip(Skipped::Structure),
        }
        let block = &window[..length as usize];
        if self.u32(block, length as usize - 4) != length {
            return Step::Damaged(Damage::BlockTrailer);
        }
        let body = &block[8..length as usize - 4];
        match kind {
            INTERFACE_DESCRIPTION => match self.describe_interface(body) {
                Ok(()) => skip(Skipped::Structure),
                Err(damage) => Step::Damaged(damage),
            },
            PACKET | ENHANCED_PACKET => self.packet(kind, body, length as usize),
            _ => skip(Skipped::Structure),
        }
    }

    /// A section header may change the byte order, and forgets all interfaces.
    fn begin_section(&mut self, window: &[u8]) -> Result<(), Damage> {
        let magic: [u8; 4] = window[8..12].try_into().expect("four bytes");
        self.big_endian = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (BYTE_ORDER_MAGIC, _) => false,
            (_, BYTE_ORDER_MAGIC) => true,
            _ => return Err(Damage::NotACapture),
        };
        // The major version stands right behind the magic; where it is cut off, `Need` follows anyway.
        if window.len() >= 14 {
            let major = self.u16(window, 12);
            if major != 1 {
                return Err(Damage::Version(major));
            }
        }
        self.interfaces.clear();
        Ok(())
    }

    fn describe_interface(&mut self, body: &[u8]) -> Result<(), Damage> {
        if body.len() < 8 || self.interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::Length(body.len() as u32));
        }
        let mut interface =
            Interface { link: LinkType(self.u16(body, 0)), resolution: Resolution::Decimal(6), offset_s: 0 };
        for (code, value) in self.options(&body[8..]) {
            match (code, value.len()) {
                (OPTION_TSRESOL, 1..) => interface.resolution = Resolution::from_option(value[0]),
                (OPTION_TSOFFSET, 8) => {
                    let bytes: [u8; 8] = value.try_into().expect("eight bytes");
                    interface.offset_s =
                        if self.big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// The options of a block; a broken one ends the list.
    fn options<'b>(&self, mut bytes: &'b [u8]) -> Vec<(u16, &'b [u8])> {
        let mut found = Vec::new();
        while bytes.len() >= 4 {
            let (code, length) = (self.u16(bytes, 0), self.u16(bytes, 2) as usize);
            if code == OPTION_END || bytes.len() < 4 + length {
                break;
            }
            found.push((code, &bytes[4..4 + length]));
            bytes = bytes.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        found
    }

    /// Comments on the packet of a block that [`Reader::step`] gave a frame of.
    pub fn comments<'b>(&self, block: &'b [u8]) -> Vec<&'b [u8]> {
        if block.len() < 36 || self.u32(block, 0) != ENHANCED_PACKET {
            return Vec::new();
        }
        let options = 28 + (self.u32(block, 20) as usize).next_multiple_of(4);
        let options = block.get(options..block.len() - 4).unwrap_or_default();
        if options.is_empty() {
            return Vec::new();
        }
        self.options(options)
            .into_iter()
            .filter(|(code, _)| *code == OPTION_COMMENT)
            .map(|(_, text)| text)
            .collect()
    }

    fn packet<'a>(&self, kind: u32, body: &'a [u8], consumed: usize) -> Step<'a> {
        if body.len() < 20 {
            return Step::Damaged(Damage::Length(consumed as u32));
        }
        let number = if kind == PACKET { u32::from(self.u16(body, 0)) } else { self.u32(body, 0) };
        let Some(interface) = self.interfaces.get(number as usize) else {
            return Step::Damaged(Damage::UnknownInterface(number));
        };
        let ticks = u64::from(self.u32(body, 4)) << 32 | u64::from(self.u32(body, 8));
        let (kept, wire_len) = (self.u32(body, 12), self.u32(body, 16));
        if kept as usize > MAX_FRAME {
            return Step::Damaged(Damage::Length(kept));
        }
        let Some(data) = body[20..].get(..kept as usize) else {
            return Step::Damaged(Damage::Length(kept));
        };
        match interface.time(ticks) {
            Some(time) => {
                Step::Frame { consumed, frame: Frame { link: interface.link, time, wire_len, data } }
            }
            None => Step::Skip { consumed, why: Skipped::BadTime },
        }
    }

    #[inline]
    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let word: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
        if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }

    #[inline]
    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let word: [u8; 2] = bytes[at..at + 2].try_into().expect("two bytes");
        if self.big_endian { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) }
    }
}

/// Writes one section of little-endian pcapng with nanosecond stamps into a byte vector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer {
    interfaces: u32,
}

impl Writer {
    /// Appends a section header.
    pub fn new(out: &mut Vec<u8>) -> Self {
        block(out, SECTION_HEADER, |out| {
            out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            out.extend_from_slice(&[1, 0, 0, 0]);
            out.extend_from_slice(&u64::MAX.to_le_bytes());
        });
        Writer::default()
    }

    /// Appends an interface description and returns its number.
    pub fn interface(&mut self, out: &mut Vec<u8>, link: LinkType) -> u32 {
        self.named_interface(out, link, "")
    }

    /// The same with a name, unless that is empty.
    pub fn named_interface(&mut self, out: &mut Vec<u8>, link: LinkType, name: &str) -> u32 {
        block(out, INTERFACE_DESCRIPTION, |out| {
            out.extend_from_slice(&u32::from(link.0).to_le_bytes());
            out.extend_from_slice(&(MAX_FRAME as u32).to_le_bytes());
            let name = &name.as_bytes()[..name.len().min(255)];
            if !name.is_empty() {
                out.extend_from_slice(&OPTION_IF_NAME.to_le_bytes());
                out.extend_from_slice(&(name.len() as u16).to_le_bytes());
                out.extend_from_slice(name);
                out.resize(out.len().next_multiple_of(4), 0);
            }
            out.extend_from_slice(&[OPTION_TSRESOL as u8, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        });
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Appends one frame of an interface. Times before 1970 do not fit the format and become 1970.
    pub fn frame(&self, out: &mut Vec<u8>, interface: u32, time: Time, wire_len: u32, data: &[u8]) {
        let frame = Frame { link: LinkType::ETHERNET, time, wire_len, data };
        self.commented_frame(out, interface, &frame, "");
    }

    /// Appends one frame of an interface, with a comment where that is not empty; [`Writer::frame`] otherwise.
    pub fn commented_frame(&self, out: &mut Vec<u8>, interface: u32, frame: &Frame<'_>, comment: &str) {
        let Frame { time, wire_len, data, .. } = *frame;
        let ticks = u64::try_from(time).unwrap_or(0);
        block(out, ENHANCED_PACKET, |out| {
            let words = [interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len];
            words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(4), 0);
            let comment = &comment.as_bytes()[..comment.len().min(usize::from(u16::MAX))];
            if !comment.is_empty() {
                out.extend_from_slice(&OPTION_COMMENT.to_le_bytes());
                out.extend_from_slice(&(comment.len() as u16).to_le_bytes());
                out.extend_from_slice(comment);
                out.resize(out.len().next_multiple_of(4), 0);
                // The end of options.
                out.extend_from_slice(&[0; 4]);
            }
        });
    }
}

/// Appends a block around what `body` writes; `out` must be aligned to four bytes, as blocks are.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    body(&mut inner);
    inner.resize(inner.len().next_multiple_of(4), 0);
    let length = (inner.len() as u32 + 12).to_le_bytes();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&inner);
    out.extend_from_slice(&length);
}
