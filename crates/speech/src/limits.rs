//! Everything that somebody on the wire can make grow, with the reason for its bound.

/// Bytes of one side that wait for the rest of their message. Longer messages are read as far as this and are cut:
/// it holds every header of an ordinary HTTP server (8 to 16 KB) and a TLS record.
pub const HELD: usize = 16 * 1024 + 512;

/// Bytes of one line of a protocol of lines; the rest of a longer one is passed over. SMTP allows 512, IMAP servers
/// about 8,000.
pub const LINE: usize = 8 * 1024;

/// Bytes of one frame of a protocol of frames; the rest of a longer one is passed over. Less than [`HELD`], so that a frame
/// that is too long is cut and not lost.
pub const FRAME: usize = 16 * 1024;

/// Bytes of one text that a message keeps. The longest worm request of 2001 (Code Red) has 379 characters.
pub const TEXT: usize = 4 * 1024;

/// Bytes that are kept of a payload that nobody understands.
pub const PAYLOAD: usize = 256;

/// Bytes of a beginning that are looked at before a dialogue counts as unknown.
pub const BEGINNING: usize = 512;

/// Messages of one dialogue; what is said after that is counted and not told apart. A day of password guessing in one
/// connection fits.
pub const MESSAGES: u32 = 100_000;

/// Further facts of one message, beside its named columns.
pub const DETAILS: usize = 24;

/// Elements of a list inside a message (headers, names, cipher suites) that are looked at.
pub const ELEMENTS: usize = 512;
