//! Every limit of a decoy, named. What meets one is counted ([`Counts`]), never an error.

use trapline_wire::Time;

/// A second, in the unit of [`Time`].
pub const SECOND: Time = 1_000_000_000;

/// Connections of all hosts together; beyond them the one that was idle longest goes.
pub const CONNECTIONS: usize = 16_384;
/// Connections of one source to one host; beyond them its own oldest idle one goes.
pub const CONNECTIONS_OF_A_SOURCE: usize = 512;
/// Handshakes that are remembered while their acknowledgement is awaited; the rest live in SYN cookies alone.
pub const HALF_OPEN: usize = 4_096;
/// Ports that wait for a data connection, of all hosts together.
pub const EXPECTED: usize = 1_024;
/// How long such a port waits.
pub const EXPECTED_FOR: Time = 60 * SECOND;

/// Bytes that one connection holds because others before them are missing.
pub const GAP_BYTES: usize = 65_536;
/// Pieces that these lie in.
pub const GAP_PIECES: usize = 64;
/// Bytes that one connection holds until the peer acknowledges them; a service that says more has the rest dropped and counted.
pub const UNACKNOWLEDGED: usize = 1 << 20;
/// Bytes among them from which on the peer's window closes: it does not read what it gets.
pub const FULL: usize = UNACKNOWLEDGED / 2;
/// Bytes among them below which it opens again.
pub const ROOM_AGAIN: usize = FULL / 2;
/// Bytes that all connections and their services hold together, beyond what one connection may hold alone; beyond them the one that was idle longest goes.
pub const HELD_BYTES: usize = 128 << 20;

/// First retransmission time-out (RFC 6298 2.1), its least and its greatest.
pub const RTO: Time = SECOND;
/// Its least.
pub const RTO_LEAST: Time = SECOND / 5;
/// Its greatest.
pub const RTO_MOST: Time = 60 * SECOND;
/// Retransmissions without any sign of the peer before it is given up.
pub const RETRANSMISSIONS: u8 = 8;
/// How long a peer may leave what it was sent unacknowledged while it still speaks (a closed window).
pub const STALLED_FOR: Time = 600 * SECOND;
/// How long a side that closed waits for the other's close.
pub const FIN_WAIT_FOR: Time = 60 * SECOND;
/// How long a closed connection is remembered.
pub const TIME_WAIT_FOR: Time = 30 * SECOND;
/// How long a connection may be silent, unless its service says otherwise.
pub const IDLE_FOR: Time = 300 * SECOND;
/// How long a SYN cookie is good, at least.
pub const COOKIE_FOR: Time = 64 * SECOND;

/// Answers to datagrams that may be longer than the question, of all hosts together, in [`LONGER_ANSWERS_IN`]: so few that nobody's
/// flood becomes larger here.
pub const LONGER_ANSWERS: u32 = 20;
/// The time that these are counted over.
pub const LONGER_ANSWERS_IN: Time = 10 * SECOND;
/// Datagrams of which fragments are missing, of all hosts together; beyond them the oldest goes.
pub const FRAGMENTED: usize = 128;
/// Fragments of one of them.
pub const FRAGMENT_PIECES: usize = 128;
/// How long its fragments are waited for (RFC 1122 3.3.2: 60 to 120 seconds; systems wait 30 to 60).
pub const FRAGMENTED_FOR: Time = 30 * SECOND;

/// Files that are being fetched at the same time.
pub const FETCHES: usize = 64;
/// How long one may take.
pub const FETCH_FOR: Time = 60 * SECOND;
/// How long a part of one is waited for before it is asked for again.
pub const FETCH_AGAIN: Time = 2 * SECOND;

/// Bytes of one line that a service reads before it takes the line as ended.
pub const LINE: usize = 8_192;
/// Bytes that a record keeps of what was said.
pub const RECORDED: usize = 65_536;
/// Records that wait to be taken away.
pub const RECORDS: usize = 65_536;
/// Bytes of what peers chose in these.
pub const RECORD_BYTES: usize = 64 << 20;
/// Hosts that remember who tried to get in; beyond them one is forgotten.
pub const ACCEPTING_HOSTS: usize = 4_096;
/// Bytes of one uploaded file; the rest is counted.
pub const UPLOAD: usize = 16 << 20;
/// Uploaded bytes that wait to be taken away, of all connections together.
pub const UPLOADS: usize = 256 << 20;

/// Key exchanges of encrypted services, on average each second, over all hosts: each takes milliseconds, and whoever makes thousands of them
/// must not keep the hosts from hearing. OpenSSH bounds them too (MaxStartups), and closes a connection that is one too many.
pub const EXCHANGES: u32 = 40;

/// What met a limit, and what was simply counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that opened.
    pub opened: u64,
    /// Connections that opened by their cookie alone.
    pub by_cookie: u64,
    /// Connections that went because there were too many.
    pub pushed_out: u64,
    /// Connections that were given up because the peer was silent.
    pub given_up: u64,
    /// Handshakes that were forgotten because others came.
    pub half_open_forgotten: u64,
    /// Bytes of a service that found no room.
    pub unsaid: u64,
    /// Received bytes that were dropped because too many before them were missing.
    pub beyond_gaps: u64,
    /// Datagrams that never became whole.
    pub fragments_dropped: u64,
    /// Answers to datagrams that were not sent because they were longer than the question.
    pub too_long: u64,
    /// Files that were not fetched: too many at once, or nobody gave them.
    pub not_fetched: u64,
    /// Key exchanges that were not made, because there were too many.
    pub not_exchanged: u64,
    /// Uploaded bytes that were not kept.
    pub not_kept: u64,
    /// Records that were dropped because nobody took them away.
    pub records_dropped: u64,
}
