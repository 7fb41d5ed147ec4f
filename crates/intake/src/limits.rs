//! Everything that a capture can make grow, with the reason for its bound.

/// A conversation is remembered so long after its last packet (words.md), in nanoseconds.
pub const REMEMBER_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Later fragments belong to a reply for so long (words.md), in nanoseconds.
pub const FRAGMENT_NS: i64 = 60 * 1_000_000_000;

/// Conversations and probes alive at once, over all shards: about 10 GB. A flood of more spoofed
/// sources in one day than this is counted packet by packet, and not told apart any more.
pub const MAX_LIVE: usize = 64 * 1024 * 1024;

/// Fragmented replies in flight at once: 60 seconds of a busy resolver's answers.
pub const MAX_FRAGMENTS: usize = 65_536;

/// ICMP requests of a host remembered for one identifier; a ping of four minutes.
pub const MAX_ASKED: usize = 256;

/// The flags of so many first packets are kept, in order: a handshake, a request and its end.
pub const FIRST_FLAGS: usize = 16;

/// A sequence keeps so many ports and then says how many more there were (words.md).
pub const SEQUENCE_PORTS: usize = 4096;

/// A capture whose time jumps back by no more than this is put in order while it is read; one that
/// jumps further is sorted on disk first. Two seconds cover the buffers of all multi-queue capture
/// cards we know of.
pub const REORDER_NS: i64 = 2 * 1_000_000_000;

/// Frames held while putting a capture in order, in bytes; beyond it the capture is sorted on disk.
pub const REORDER_BYTES: usize = 64 * 1024 * 1024;

/// Distinct address pairs that host inference looks at: about 1 GB. A capture with more is no
/// capture of a few decoys, and its hosts have to be given.
pub const MAX_PAIRS: usize = 16 * 1024 * 1024;

/// Bytes read ahead of the parser; the window grows to one block where a block is larger.
pub const READ_AHEAD: usize = 1024 * 1024;
