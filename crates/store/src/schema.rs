//! Every table and every column, declared once: name, type, unit, meaning.
//!
//! Arrow and Delta schemas, the documentation page `docs/tables.md` and the checks in tests are made of
//! these declarations. Delta has no unsigned integers and no nanoseconds: ports are 32-bit, times are
//! microseconds in UTC with the rest of a nanosecond stamp in a column of its own.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of these declarations. A change of any table raises it and adds a step to
/// [`crate::migrate::STEPS`].
pub const SCHEMA_VERSION: i32 = 2;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 16-bit integer.
    Short,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// 64-bit floating point.
    Real,
    /// Truth value.
    Bool,
    /// UTC day.
    Day,
    /// Microseconds, UTC.
    Time,
    /// Bytes.
    Bytes,
}

impl Kind {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Short => DataType::Int16,
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Real => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::Day => DataType::Date32,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Bytes => DataType::Binary,
        }
    }

    /// The type's name in documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Short => "int16",
            Kind::Int => "int32",
            Kind::Long => "int64",
            Kind::Real => "float64",
            Kind::Bool => "bool",
            Kind::Day => "date",
            Kind::Time => "timestamp[us, UTC]",
            Kind::Bytes => "binary",
        }
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Unit; empty where it has none.
    pub unit: &'static str,
    /// Meaning.
    pub meaning: &'static str,
}

const fn must(name: &'static str, kind: Kind, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind, nullable: false, unit, meaning }
}

const fn may(name: &'static str, kind: Kind, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, kind, nullable: true, unit, meaning }
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Name, also of its folder.
    pub name: &'static str,
    /// What a row is.
    pub row: &'static str,
    /// Whether it is partitioned by platform and day; else it has one partition for everything.
    pub by_day: bool,
    /// Columns, those of the partition (platform, day) first.
    pub columns: &'static [Column],
}

impl Table {
    /// Names of the partition columns.
    pub fn partition_columns(&self) -> &'static [&'static str] {
        if self.by_day { &["platform", "day"] } else { &[] }
    }

    /// Schema of the whole table.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Schema of the data files, which do not hold the partition columns.
    pub fn file_schema(&self) -> SchemaRef {
        let skip = self.partition_columns().len();
        Arc::new(Schema::new(self.columns[skip..].iter().map(field).collect::<Vec<_>>()))
    }
}

fn field(column: &Column) -> Field {
    Field::new(column.name, column.kind.arrow(), column.nullable)
}

const PLATFORM: Column = must("platform", Kind::Text, "", "platform");
const DAY: Column = must("day", Kind::Day, "", "UTC day");
const IP: Column = must("ip", Kind::Text, "", "address of the source");
const HOST: Column = must("host", Kind::Text, "", "host of the platform");
const PROTOCOL: Column = must("protocol", Kind::Short, "", "IP protocol number");
const NUMBER: Column =
    may("number", Kind::Int, "", "port number; null for ICMP, other protocols, unreadable ports");
const PORT: Column = must("port", Kind::Text, "", "port as written: 445, 137/udp, icmp, ip-proto-47");
const FIRST_SEEN: Column = must("first_seen", Kind::Time, "", "first packet");
const FIRST_SEEN_NS: Column =
    must("first_seen_ns", Kind::Short, "ns", "rest of first_seen below a microsecond");
const LAST_SEEN: Column = must("last_seen", Kind::Time, "", "last packet");
const LAST_SEEN_NS: Column = must("last_seen_ns", Kind::Short, "ns", "rest of last_seen below a microsecond");
const PACKETS: Column = must("packets", Kind::Long, "packets", "inbound packets, replies not among them");
const BYTES: Column = must("bytes", Kind::Long, "bytes", "their length by the IP header");
const BACKSCATTER: Column =
    must("backscatter", Kind::Long, "packets", "packets among them that are unsolicited responses");
const PORTS: Column = must("ports", Kind::Int, "ports", "distinct TCP and UDP ports");
const SEQUENCE: Column =
    must("sequence", Kind::Text, "", "ports sequence: distinct ports in order of first packet");

/// One row for each source, host, port and day: the finest row kept for ever.
pub const PROBES: Table = Table {
    name: "probes",
    row: "the traffic of one source and one port of one host on one UTC day",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        HOST,
        PROTOCOL,
        NUMBER,
        PORT,
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
        PACKETS,
        BYTES,
        BACKSCATTER,
        must("fin", Kind::Long, "packets", "TCP packets with FIN"),
        must("syn", Kind::Long, "packets", "TCP packets with SYN"),
        must("rst", Kind::Long, "packets", "TCP packets with RST"),
        must("psh", Kind::Long, "packets", "TCP packets with PSH"),
        must("ack", Kind::Long, "packets", "TCP packets with ACK"),
        must("urg", Kind::Long, "packets", "TCP packets with URG"),
        must("first_flags", Kind::Text, "", "TCP flags of the first 16 packets, in order: S,A,PA"),
        must("payload_packets", Kind::Long, "packets", "packets with payload"),
        must("payload_bytes", Kind::Long, "bytes", "payload by the IP header"),
        may(
            "first_payload",
            Kind::Text,
            "",
            "first 128 bits of the BLAKE3 hash of the first payload captured, hexadecimal",
        ),
        may(
            "first_answer",
            Kind::Time,
            "",
            "first answer of the host: a SYN/ACK, or a datagram in the source's conversation",
        ),
        may("first_answer_ns", Kind::Short, "ns", "rest of first_answer below a microsecond"),
        may(
            "open",
            Kind::Text,
            "",
            "known: open by the platform's history at first_seen; observed: the host answered this source; null: neither",
        ),
        must(
            "first_capture",
            Kind::Text,
            "",
            "capture that holds the first packet: first 16 digits of its hash",
        ),
        must("first_frame", Kind::Long, "", "place of the first packet in that capture, from 0"),
        may(
            "marks",
            Kind::Text,
            "",
            "header invariants of its SYN packets, how many have each: syn=14,mirai=14,unicorn=key and sequence number of the first and of the last, equal keys",
        ),
    ],
};

/// What was said.
pub const REQUESTS: Table = Table {
    name: "requests",
    row: "one message of an application protocol; of a payload that stands alone (a datagram) one for each distinct one, speaker and port",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        must("ip", Kind::Text, "", "address at the other end: the source, or whom the host spoke to"),
        HOST,
        PROTOCOL,
        may("number", Kind::Int, "", "port of the host; null for ICMP"),
        PORT,
        may("peer_port", Kind::Int, "", "port of the other end; null for ICMP"),
        must("at", Kind::Time, "", "packet that completed it"),
        must("at_ns", Kind::Short, "ns", "rest of at below a microsecond"),
        must("last_seen", Kind::Time, "", "when it was said last"),
        must("last_seen_ns", Kind::Short, "ns", "rest of last_seen below a microsecond"),
        must("times", Kind::Long, "", "how often it was said; 1 in connections"),
        must("capture", Kind::Text, "", "capture that holds that packet: first 16 digits of its hash"),
        must("frame", Kind::Long, "", "place of that packet in it, from 0"),
        must("place", Kind::Int, "", "place among the messages that this packet completed"),
        must("said_by", Kind::Text, "", "source or host"),
        may(
            "started_by",
            Kind::Text,
            "",
            "who began the conversation: source, host; null where that was not seen",
        ),
        must("open", Kind::Bool, "", "told although its connection had not ended: the day, or the data, had"),
        must("lone", Kind::Bool, "", "a payload that stands alone: a datagram, or what a SYN carried"),
        may("service", Kind::Text, "", "protocol, told by its bytes; null where unknown"),
        must("kind", Kind::Text, "", "hello, request, reply, transfer, data"),
        may("verb", Kind::Text, "", "command, method, operation"),
        may("object", Kind::Text, "", "what it is about: target, argument, name"),
        may("user", Kind::Text, "", "user name"),
        may("password", Kind::Text, "", "password; a row with one is a login"),
        may("software", Kind::Text, "", "what the speaker says it is: banner, user agent, version"),
        may("status", Kind::Int, "", "status of a reply"),
        may("ja3", Kind::Text, "", "JA3 of a TLS client, JA3S of a server"),
        may("ja4", Kind::Text, "", "JA4 of a TLS client"),
        may("hassh", Kind::Text, "", "HASSH of an SSH client, HASSH server of a server"),
        may("body_bytes", Kind::Long, "bytes", "length of its body, or of the payload"),
        may("body_sha256", Kind::Text, "", "SHA-256 of it, hexadecimal"),
        may(
            "body_begin",
            Kind::Text,
            "",
            "first 256 bytes of it: printable ASCII as it is, everything else as \\xNN",
        ),
        may("details", Kind::Text, "", "further facts, one line each: name: value"),
        must("cut", Kind::Bool, "", "whether a limit left something out"),
        must("community_id", Kind::Text, "", "Community ID of its flow"),
    ],
};

/// What the packets of a source say of the system that sent them.
pub const FINGERPRINTS: Table = Table {
    name: "fingerprints",
    row: "one observation of one source on one UTC day, and what one fingerprint database makes of it",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        must(
            "tool",
            Kind::Text,
            "",
            "fingerprint database; `invariants` for tools told by header invariants",
        ),
        must("database", Kind::Text, "", "its file's name and the first 16 digits of its BLAKE3"),
        must("packet", Kind::Text, "", "kind of packet: syn, syn/ack, rst"),
        may(
            "observation",
            Kind::Text,
            "",
            "every header fact that any database looks at; null for invariants",
        ),
        must("raw", Kind::Text, "", "the observation in the tool's own form"),
        may("label", Kind::Text, "", "what the tool calls it; null where nothing matches"),
        must("quality", Kind::Text, "", "quality of the match: exact, generic, fuzzy, unknown"),
        may("distance", Kind::Short, "hops", "distance by the initial TTL"),
        may("false_label_odds", Kind::Real, "", "chance that a random sender is so labelled, for invariants"),
        PACKETS,
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
    ],
};

/// Where addresses are.
pub const PLACES: Table = Table {
    name: "places",
    row: "one address that sent or was a victim on one UTC day, and where one place database has it",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        must("ip", Kind::Text, "", "address"),
        must(
            "source",
            Kind::Text,
            "",
            "place database; `best` for what the first databases that know say together",
        ),
        must("database", Kind::Text, "", "names and build dates of the databases"),
        may("country", Kind::Text, "", "ISO 3166 code; null where unknown"),
        may("region", Kind::Text, "", "ISO 3166-2 code of the region, without the country"),
        may("latitude", Kind::Real, "degrees", "latitude, north positive"),
        may("longitude", Kind::Real, "degrees", "longitude, east positive"),
        may("time_zone", Kind::Text, "", "IANA name of the time zone"),
        must(
            "time_zone_from",
            Kind::Text,
            "",
            "where it comes from: database, coordinates, country, unknown",
        ),
        may("asn", Kind::Long, "", "network number"),
        may("as_name", Kind::Text, "", "network name"),
    ],
};

/// Packets of kinds that answer.
pub const RESPONSES: Table = Table {
    name: "responses",
    row: "response packets of one kind from one source to one port of one host on one UTC day",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        HOST,
        PROTOCOL,
        NUMBER,
        PORT,
        must("response", Kind::Text, "", "kind: SYN/ACK, RST, RST/ACK, ICMP type, UDP service port"),
        must("solicited", Kind::Bool, "", "whether it answers something; if not it is backscatter"),
        must(
            "victim",
            Kind::Text,
            "",
            "whose answer it is: the sender, for an ICMP error the destination of the packet it quotes",
        ),
        must("packets", Kind::Long, "packets", "packets"),
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
    ],
};

/// Replies to the hosts' own conversations.
pub const REPLIES: Table = Table {
    name: "replies",
    row: "replies of one address to one host in one protocol on one UTC day",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        HOST,
        PROTOCOL,
        must("packets", Kind::Long, "packets", "packets"),
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
    ],
};

/// Sources by host.
pub const SESSIONS: Table = Table {
    name: "sessions",
    row: "one source and one host on one UTC day (Leurre.com: tiny session)",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        HOST,
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
        PACKETS,
        BYTES,
        BACKSCATTER,
        PORTS,
        SEQUENCE,
    ],
};

/// Sources.
pub const SOURCES: Table = Table {
    name: "sources",
    row: "one IP address that sent at least one inbound packet to one platform on one UTC day",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        IP,
        FIRST_SEEN,
        FIRST_SEEN_NS,
        LAST_SEEN,
        LAST_SEEN_NS,
        PACKETS,
        BYTES,
        BACKSCATTER,
        PORTS,
        must("hosts", Kind::Int, "hosts", "hosts reached"),
        SEQUENCE,
        must("host_order", Kind::Text, "", "hosts in order of first packet: mach0>mach1>mach2"),
    ],
};

/// Hosts.
pub const HOSTS: Table = Table {
    name: "hosts",
    row: "one address of one host of one platform",
    by_day: false,
    columns: &[
        PLATFORM,
        HOST,
        must("address", Kind::Text, "", "IP address"),
        must("position", Kind::Int, "", "place of the host in the platform file, from 0"),
        may("persona", Kind::Text, "", "system it plays"),
        must("has_history", Kind::Bool, "", "whether the platform file tells which ports are open"),
        must("inferred", Kind::Bool, "", "whether the host was inferred from captures"),
        may("country", Kind::Text, "", "ISO 3166 code of the platform's country"),
    ],
};

/// Known openings.
pub const OPENINGS: Table = Table {
    name: "openings",
    row: "an interval in which a port of a host was open, by the platform file",
    by_day: false,
    columns: &[
        PLATFORM,
        HOST,
        PROTOCOL,
        must("number", Kind::Int, "", "port number"),
        PORT,
        may("opened", Kind::Time, "", "when a change opened it; null: from the beginning"),
        may("closed", Kind::Time, "", "when a change closed it; null: open to this day"),
    ],
};

/// Captures.
pub const CAPTURES: Table = Table {
    name: "captures",
    row: "a capture that was taken in, with what became of its packets",
    by_day: false,
    columns: &[
        PLATFORM,
        must("capture", Kind::Text, "", "first 16 digits of hash: its name in other tables"),
        must("hash", Kind::Text, "", "BLAKE3 of its uncompressed content, hexadecimal"),
        must("name", Kind::Text, "", "path or URL it was read from"),
        must(
            "kept",
            Kind::Bool,
            "",
            "whether it can be read again there (standard input and URLs are copies)",
        ),
        must("bytes", Kind::Long, "bytes", "uncompressed length"),
        must("packets", Kind::Long, "packets", "packets with a time"),
        may("first_seen", Kind::Time, "", "earliest packet"),
        may("last_seen", Kind::Time, "", "latest packet"),
        must("back_ns", Kind::Long, "ns", "how far its time jumps back at most"),
        must("simple", Kind::Long, "packets", "pcapng simple packet blocks, which carry no time"),
        must("bad_time", Kind::Long, "packets", "packets whose time is before 1678 or after 2262"),
        must("inbound", Kind::Long, "packets", "to a host, from elsewhere"),
        must("outbound", Kind::Long, "packets", "from a host, to elsewhere"),
        must("internal", Kind::Long, "packets", "between hosts"),
        must("broadcast", Kind::Long, "packets", "to a broadcast or multicast address"),
        must("elsewhere", Kind::Long, "packets", "between addresses that are no hosts"),
        must("arp", Kind::Long, "packets", "ARP"),
        must("neighbour_discovery", Kind::Long, "packets", "ICMPv6 133 to 137"),
        must("not_ip", Kind::Long, "packets", "other network protocols"),
        must(
            "unreadable",
            Kind::Long,
            "packets",
            "IP without a readable header, frames shorter than their link header",
        ),
        must("unknown_link", Kind::Long, "packets", "of a link type that is not decoded"),
        must("later_fragments", Kind::Long, "packets", "inbound later fragments, which carry no port"),
        must("too_short", Kind::Long, "packets", "inbound packets too short for their ports or type"),
        may("damage", Kind::Text, "", "where and why it could not be read to its end"),
    ],
};

/// Commits: what makes several tables one.
pub const COMMITS: Table = Table {
    name: "commits",
    row: "an ingest, with the version of every table that belongs to it",
    by_day: false,
    columns: &[
        must("version", Kind::Long, "", "number of the commit, from 1"),
        must("tables", Kind::Text, "", "JSON object: table name to its Delta version"),
        must("schema_version", Kind::Int, "", "version of the tables' declaration"),
        must("program", Kind::Text, "", "program and version that wrote it"),
        must("arguments", Kind::Text, "", "JSON array: its command line"),
        must("started", Kind::Time, "", "when the ingest began"),
        must("finished", Kind::Time, "", "when it was committed"),
        must("packets", Kind::Long, "packets", "packets in the captures that it added"),
        must("over_limit", Kind::Long, "packets", "packets that found no room in memory and are in no row"),
        may(
            "untold",
            Kind::Long,
            "",
            "messages, connections and pieces of datagrams beyond a limit: counted as packets, and not read",
        ),
    ],
};

/// What intake must remember to go on: bookkeeping, not for analysis.
pub const STATE: Table = Table {
    name: "state",
    row: "conversations remembered at the end of a day, or after the last packet",
    by_day: true,
    columns: &[
        PLATFORM,
        DAY,
        must("head", Kind::Bool, "", "whether this is the state after the last packet"),
        must("at_us", Kind::Long, "us", "time of that packet, or of the day's end"),
        must("at_ns", Kind::Short, "ns", "its rest below a microsecond"),
        must("state", Kind::Bytes, "", "canonical bytes, zstd"),
    ],
};

/// All tables, in the order in which they are documented and committed; `commits` comes last.
pub const TABLES: [&Table; 13] = [
    &PROBES,
    &RESPONSES,
    &REPLIES,
    &SESSIONS,
    &SOURCES,
    &REQUESTS,
    &FINGERPRINTS,
    &PLACES,
    &HOSTS,
    &OPENINGS,
    &CAPTURES,
    &STATE,
    &COMMITS,
];

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.into_iter().find(|t| t.name == name)
}
