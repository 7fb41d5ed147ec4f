//! Every table and every column, declared once: name, type, unit, meaning.
//!
//! Arrow and Delta schemas, the documentation page `docs/tables.md` and the checks in tests are made of
//! these declarations. Delta has no unsigned integers and no nanoseconds: ports are 32-bit, times are
//! microseconds in UTC with the rest of a nanosecond stamp in a column of its own.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of these declarations. A change of any table raises it and adds a step to
/// [`crate::migrate::STEPS`].
pub const SCHEMA_VERSION: i32 = 1;

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
pub const TABLES: [&Table; 10] =
    [&PROBES, &RESPONSES, &REPLIES, &SESSIONS, &SOURCES, &HOSTS, &OPENINGS, &CAPTURES, &STATE, &COMMITS];

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.into_iter().find(|t| t.name == name)
}
