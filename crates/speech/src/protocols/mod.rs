//! The protocols, one file each. A new one is a file and a line in the list below.
//!
//! A file of a protocol on connections has
//! - `PORTS`: where it usually is; a hint where its first bytes fit several protocols,
//! - `client(bytes)` and `server(bytes)`: whether a client, a server, begins with these bytes (which may still be growing),
//! - a [`Parser`] that is plain data and begins as its `Default`.
//!
//! A file of a protocol on datagrams has `UDP_PORTS` and `datagram(side, bytes)`, which gives a message where the bytes are one
//! of this protocol, checked to their end as far as they go, and nothing else.

use serde::{Deserialize, Serialize};

use crate::message::{Match, Message, Parser, Side};

/// A protocol on connections, as the search for the right one sees it.
pub struct Candidate {
    /// Name.
    pub name: &'static str,
    /// Usual ports.
    pub ports: &'static [u16],
    /// Whether a client begins so.
    pub client: fn(&[u8]) -> Match,
    /// Whether a server begins so.
    pub server: fn(&[u8]) -> Match,
    /// A parser at its beginning.
    pub start: fn() -> Speaker,
}

/// The first list is of protocols that are found by their bytes, the second of those that another connection announces.
macro_rules! connections {
    ($($module:ident: $parser:ident $name:literal,)* ; $($told:path: $told_parser:ident $told_name:literal,)*) => {
        $(pub mod $module;)*

        /// A protocol's parser in the middle of a connection.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each is documented in its file")]
        pub enum Speaker {
            $($parser($module::$parser),)*
            $($told_parser($told),)*
        }

        impl Speaker {
            /// The protocol's name.
            pub fn name(&self) -> &'static str {
                match self { $(Speaker::$parser(_) => $name,)* $(Speaker::$told_parser(_) => $told_name,)* }
            }
        }

        impl Parser for Speaker {
            fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
                match self {
                    $(Speaker::$parser(parser) => parser.read(side, input, out),)*
                    $(Speaker::$told_parser(parser) => parser.read(side, input, out),)*
                }
            }
            fn gap(&mut self, side: Side) {
                match self {
                    $(Speaker::$parser(parser) => parser.gap(side),)*
                    $(Speaker::$told_parser(parser) => parser.gap(side),)*
                }
            }
            fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
                match self {
                    $(Speaker::$parser(parser) => parser.end(side, rest, out),)*
                    $(Speaker::$told_parser(parser) => parser.end(side, rest, out),)*
                }
            }
            fn held(&self) -> usize {
                match self {
                    $(Speaker::$parser(parser) => parser.held(),)*
                    $(Speaker::$told_parser(parser) => parser.held(),)*
                }
            }
        }

        /// All protocols on connections; of two that recognise the same bytes the first is taken.
        pub const CANDIDATES: &[Candidate] = &[
            $(Candidate {
                name: $name,
                ports: $module::PORTS,
                client: $module::client,
                server: $module::server,
                start: || Speaker::$parser($module::$parser::default()),
            },)*
        ];
    };
}

// Frames under SMB; no service of its own.
mod netbios_session;

connections! {
    tls: Tls "tls",
    ssh: Ssh "ssh",
    dcerpc: Dcerpc "dcerpc",
    smb: Smb "smb",
    tds: Tds "tds",
    rdp: Rdp "rdp",
    mysql: Mysql "mysql",
    postgresql: Postgresql "postgresql",
    vnc: Vnc "vnc",
    mqtt: Mqtt "mqtt",
    adb: Adb "adb",
    ldap: Ldap "ldap",
    sunrpc: Sunrpc "sunrpc",
    ftp: Ftp "ftp",
    smtp: Smtp "smtp",
    pop3: Pop3 "pop3",
    imap: Imap "imap",
    irc: Irc "irc",
    redis: Redis "redis",
    sip: Sip "sip",
    rtsp: Rtsp "rtsp",
    http: Http "http",
    memcached: Memcached "memcached",
    shell: Shell "shell",
    dns: Dns "dns",
    socks: Socks "socks",
    telnet: Telnet "telnet",
    ;
    ftp::FtpData: FtpData "ftp-data",
}

pub mod isakmp;
pub mod messenger;
pub mod ms_sql_browser;
pub mod netbios_datagrams;
pub mod netbios_names;
pub mod ntp;
pub mod quic;
pub mod snmp;
pub mod ssdp;
pub mod tftp;

/// A protocol on datagrams: name, usual ports, reader.
pub type Datagram = (&'static str, &'static [u16], fn(Side, &[u8]) -> Option<Message>);

macro_rules! datagrams {
    ($($module:ident $name:literal,)*) => {
        /// All protocols on datagrams.
        pub const DATAGRAMS: &[Datagram] = &[$(($name, $module::UDP_PORTS, $module::datagram),)*];
    };
}

/// Protocols whose shortest datagrams could be anybody's: they count on their usual ports only.
const AT_HOME: &[&str] = &["ms_sql_browser"];

datagrams! {
    netbios_names "netbios_names",
    netbios_datagrams "netbios_datagrams",
    ssdp "ssdp",
    sip "sip",
    dns "dns",
    snmp "snmp",
    ldap "ldap",
    isakmp "isakmp",
    quic "quic",
    messenger "messenger",
    sunrpc "sunrpc",
    memcached "memcached",
    tftp "tftp",
    ntp "ntp",
    ms_sql_browser "ms_sql_browser",
}

/// Reads a datagram that `side` sent; `port` is the server's. The protocol's name and the message, where one knows it: first
/// those that are usual on that port, then the others.
pub fn datagram(side: Side, port: u16, bytes: &[u8]) -> Option<(&'static str, Message)> {
    let usual = DATAGRAMS.iter().filter(|(_, ports, _)| ports.contains(&port));
    let others =
        DATAGRAMS.iter().filter(|(name, ports, _)| !ports.contains(&port) && !AT_HOME.contains(name));
    usual.chain(others).find_map(|(name, _, read)| Some((*name, read(side, bytes)?)))
}
