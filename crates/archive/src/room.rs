//! How much room a spool has, and what is held of it for the last step of a segment.

use std::io;

use trapline_wire::Time;

use crate::disk::Disk;

/// How large and how old a segment becomes, and how much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a capture from which on it is closed.
    pub segment_bytes: u64,
    /// Time after which a segment is closed.
    pub segment_ns: Time,
    /// Bytes of all files together. From [`CUTS_FROM`] on payloads are not kept, beyond it no packets.
    pub spool_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { segment_bytes: 64 << 20, segment_ns: 900 * 1_000_000_000, spool_bytes: 8 << 30 }
    }
}

/// The part of the spool's room, in percent, from which on it says that it becomes narrow.
pub const WARNS_FROM: u64 = 75;
/// The part from which on only headers are kept.
pub const CUTS_FROM: u64 = 90;
/// Bytes of a packet that are kept then: Ethernet, IPv6 and TCP with all their options.
pub const HEADERS: usize = 128;

/// How narrow the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// There is room.
    #[default]
    Enough,
    /// It becomes narrow.
    Narrow,
    /// Only headers are kept.
    Headers,
    /// Nothing is kept.
    None,
}

impl Room {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Room::Enough => "enough",
            Room::Narrow => "narrow",
            Room::Headers => "headers-only",
            Room::None => "none",
        }
    }
}

impl Limits {
    /// The room that is left where so many bytes are used.
    pub fn room(&self, used: u64) -> Room {
        match used.saturating_mul(100) / self.spool_bytes.max(1) {
            100.. => Room::None,
            CUTS_FROM.. => Room::Headers,
            WARNS_FROM.. => Room::Narrow,
            _ => Room::Enough,
        }
    }
}

/// Room that is held for the last step of a segment: where the disk is full its counts find none otherwise, and nothing would ever be
/// sealed, shipped and let go of.
pub(crate) const RESERVE: &str = ".reserve";
const RESERVE_BYTES: usize = 1 << 18;

/// Takes the reserve from the disk, unless it is held already; where there is no room for it, nothing is taken.
pub(crate) fn hold_reserve<D: Disk>(disk: &mut D) -> io::Result<()> {
    let is_held =
        disk.list()?.iter().any(|(name, length)| name == RESERVE && *length == RESERVE_BYTES as u64);
    if is_held {
        return Ok(());
    }
    // A part of it is of no use.
    disk.remove(RESERVE)?;
    disk.append(RESERVE, &[0; RESERVE_BYTES]).or_else(|_| disk.remove(RESERVE))
}

/// Gives the reserve back to the disk; whether there was one.
pub(crate) fn let_go_of_reserve<D: Disk>(disk: &mut D) -> bool {
    let is_there =
        disk.list().is_ok_and(|files| files.iter().any(|(name, length)| name == RESERVE && *length > 0));
    is_there && disk.remove(RESERVE).is_ok()
}
