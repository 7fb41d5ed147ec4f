//! What all capture formats share: a frame, its time, and the step that a reader takes.
//!
//! Readers do no input of their own. The caller shows them a window of the capture's bytes; they
//! answer with one [`Step`]: a frame, bytes to skip, a wish for more, or damage. So the same code
//! reads files, pipes, network bodies and fuzzers' inputs, and never holds a capture in memory.

use crate::link::LinkType;

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Time = i64;

/// No frame is longer than this; a header that says so is damage. Wireshark's own bound
/// (`WTAP_MAX_PACKET_SIZE_STANDARD`) is 256 KiB; USB captures may reach 128 MiB and carry no IP.
pub const MAX_FRAME: usize = 256 * 1024;

/// One frame of a capture, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How the bytes begin.
    pub link: LinkType,
    /// When it was captured.
    pub time: Time,
    /// Its length on the wire, which may be more than was kept.
    pub wire_len: u32,
    /// The bytes that were kept.
    pub data: &'a [u8],
}

/// What a reader makes of the window that it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A frame; the caller goes on `consumed` bytes later.
    Frame {
        /// Bytes to leave behind.
        consumed: usize,
        /// The frame, which borrows from the window.
        frame: Frame<'a>,
    },
    /// Nothing to see here: a header, an unknown block, a frame without a usable time.
    Skip {
        /// Bytes to leave behind; may be more than the window holds.
        consumed: usize,
        /// Why, where it is worth counting.
        why: Skipped,
    },
    /// The window must hold at least this many bytes before a decision is possible.
    Need(usize),
    /// The capture cannot be read from here on.
    Damaged(Damage),
}

/// What was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Headers and blocks that carry no packet.
    Structure,
    /// A pcapng simple packet block: a packet without a time.
    SimplePacket,
    /// A frame whose time does not fit the years 1678 to 2262.
    BadTime,
}

/// Why a capture cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The first bytes are of no known capture format.
    NotACapture,
    /// A length field that cannot be right: its value.
    Length(u32),
    /// A pcapng packet that names an interface which no block has described: its number.
    UnknownInterface(u32),
    /// A pcapng block whose two lengths differ.
    BlockTrailer,
    /// A version of the format that this reader does not know.
    Version(u16),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::NotACapture => write!(f, "not a capture (neither pcap nor pcapng)"),
            Damage::Length(n) => write!(f, "a length of {n} cannot be right"),
            Damage::UnknownInterface(n) => write!(f, "interface {n} was never described"),
            Damage::BlockTrailer => write!(f, "a block's two lengths differ"),
            Damage::Version(n) => write!(f, "version {n} of the format is unknown"),
        }
    }
}

/// A reader of whichever format the first bytes show.
#[derive(Debug)]
pub enum Framing {
    /// Classic pcap.
    Pcap(crate::pcap::Reader),
    /// pcapng.
    Pcapng(crate::pcapng::Reader),
}

impl Framing {
    /// Tells the format by the first four bytes; `None` where it is no capture.
    pub fn detect(first: [u8; 4]) -> Option<Framing> {
        if crate::pcap::is_magic(first) {
            Some(Framing::Pcap(crate::pcap::Reader::default()))
        } else if first == crate::pcapng::SECTION_HEADER.to_le_bytes() {
            Some(Framing::Pcapng(crate::pcapng::Reader::default()))
        } else {
            None
        }
    }

    /// Takes one step over `window`, the capture's bytes from the current place on.
    #[inline]
    pub fn step<'a>(&mut self, window: &'a [u8]) -> Step<'a> {
        match self {
            Framing::Pcap(reader) => reader.step(window),
            Framing::Pcapng(reader) => reader.step(window),
        }
    }

    /// Comments on a packet; `block` is what was consumed with its frame.
    #[inline]
    pub fn comments<'a>(&self, block: &'a [u8]) -> Vec<&'a [u8]> {
        match self {
            Framing::Pcap(_) => Vec::new(),
            Framing::Pcapng(reader) => reader.comments(block),
        }
    }
}
