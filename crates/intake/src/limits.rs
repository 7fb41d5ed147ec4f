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

/// A TCP connection without packets for so long is forgotten; what comes then begins in the middle. In nanoseconds.
pub const FLOW_IDLE_NS: i64 = 3600 * 1_000_000_000;

/// After its end a connection is remembered for twice the longest life of a segment (RFC 9293), so that what is sent once more
/// is no new one. In nanoseconds.
pub const FLOW_LINGER_NS: i64 = 240 * 1_000_000_000;

/// TCP connections that are followed at once, over all shards: about 100 MB when each has something to remember.
pub const MAX_FLOWS: usize = 131_072;

/// Bytes that wait for the rest of their message or for an earlier segment, over all connections.
pub const MAX_HELD: usize = 48 * 1024 * 1024;

/// Data connections that were announced and have not come yet.
pub const MAX_ANNOUNCED: usize = 4_096;

/// An announced connection comes within so long, or not at all. In nanoseconds.
pub const ANNOUNCED_NS: i64 = 600 * 1_000_000_000;

/// Messages of one day, over all shards: about 2 GB. What is said beyond that is counted and not told apart.
pub const MAX_REQUESTS: usize = 4 * 1024 * 1024;

/// Distinct payloads that stand alone (datagrams) which are kept of one speaker, port and day; further ones are counted together.
pub const LONE_PAYLOADS: usize = 64;

/// Longer lone payloads are not compared with the one before but hashed at once.
pub const LONE_COMPARED: usize = 1_500;

/// Datagrams in pieces that are put together at once in one shard.
pub const MAX_FRAGMENTED: usize = 256;

/// Pieces of one datagram: 64 KB in pieces of the smallest link that IPv6 allows are 53; attackers send smaller ones.
pub const FRAGMENTED_PIECES: usize = 256;

/// Bytes of pieces that wait in one shard.
pub const FRAGMENTED_BYTES: usize = 4 * 1024 * 1024;

/// Pieces of one datagram come within so long (RFC 1122, 3.3.2: 60 to 120 s), in nanoseconds.
pub const FRAGMENTED_NS: i64 = 60 * 1_000_000_000;

/// Distinct header observations of one source and day; a tool that draws its headers at random has more, and says so with these.
pub const SIGHTINGS: usize = 64;
