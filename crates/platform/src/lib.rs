//! A platform: its hosts, their addresses, and which ports were open when.
//!
//! Read from a platform file (TOML), or made of addresses that were given or inferred. The same file configures a sensor and tells
//! the analysis about captures made elsewhere; what only a sensor needs, the analysis reads and leaves alone.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use trapline_wire::protocol;

/// Why a platform cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The file cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not TOML of the platform file's shape.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, column and what is wrong there.
        cause: Box<toml::de::Error>,
    },
    /// The file is well-formed and makes no sense.
    #[error("{0}")]
    Senseless(String),
}

/// A port of a host: `445` is TCP, `137/udp` is UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 6 or 17.
    pub protocol: u8,
    /// Number.
    pub number: u16,
}

impl std::str::FromStr for Port {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let (number, name) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match name {
            "tcp" => protocol::TCP,
            "udp" => protocol::UDP,
            _ => {
                return Err(PlatformError::Senseless(format!(
                    "{text:?} is no port: write 445/tcp or 137/udp"
                )));
            }
        };
        match number.parse() {
            Ok(number) => Ok(Port { protocol, number }),
            Err(_) => Err(PlatformError::Senseless(format!("{text:?} is no port: write 445/tcp or 137/udp"))),
        }
    }
}

/// An interval in which a port was open, known from the platform file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which port.
    pub port: Port,
    /// From when, in nanoseconds; `None` from the beginning.
    pub opened: Option<i64>,
    /// Until when, in nanoseconds; `None` to this day.
    pub closed: Option<i64>,
}

/// One decoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Which system it plays.
    pub persona: Option<String>,
    /// Whether the file tells which ports are open, even if none; else openness is observed.
    pub has_history: bool,
    /// The file's history of open ports.
    pub openings: Vec<Opening>,
    /// For a sensor: its Ethernet address; else its persona's maker's, with the rest from the seed.
    pub mac: Option<[u8; 6]>,
    /// For a sensor: what ports do while they are open, where that is not what their number or the persona says.
    pub services: BTreeMap<Port, String>,
    /// For a sensor: what all other ports do.
    pub others: Others,
    /// For a sensor: whether the host gets a file from the very address that tells it to, and from nobody else.
    pub fetch: bool,
}

/// What ports do that are not open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// They refuse.
    #[default]
    Closed,
    /// They say nothing.
    Silent,
    /// They accept, record what is said, and say nothing.
    Record,
    /// They accept and keep who came, with a window of zero.
    Tarpit,
}

/// How a sensor comes by the addresses of its hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Hosts answer for their own addresses: the paper's way.
    #[default]
    Static,
    /// They answer for an address once nobody else did for a while, and give it back when somebody speaks for it.
    Unused,
    /// Their addresses are routed here: nobody asks.
    Routed,
}

impl Host {
    /// A host of which only the address is known.
    pub fn at(name: String, addresses: Vec<IpAddr>) -> Self {
        Host {
            name,
            addresses,
            persona: None,
            has_history: false,
            openings: Vec::new(),
            mac: None,
            services: BTreeMap::new(),
            others: Others::default(),
            fetch: false,
        }
    }
}

/// One site with its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// ISO 3166 code of the country it stands in.
    pub country: Option<String>,
    /// Its hosts, in the file's order.
    pub hosts: Vec<Host>,
    /// Whether the hosts were inferred from captures.
    pub inferred: bool,
    /// For a sensor: how it comes by their addresses.
    pub claim: Claim,
    /// For a sensor: how many bits name the IPv4 network that the hosts are in, where that is known.
    pub prefix: Option<u8>,
}

/// What a platform is called that has no file.
pub const DEFAULT_NAME: &str = "default";

impl Platform {
    /// Reads a platform file.
    ///
    /// # Errors
    /// When it cannot be read, is not of the right shape, or makes no sense: two hosts with one name
    /// or one address, a change of an unknown host.
    pub fn read(path: &Path) -> Result<Platform, PlatformError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| PlatformError::Unreadable { path: shown.clone(), cause })?;
        Platform::parse(&text).map_err(|error| match error {
            PlatformError::Syntax { cause, .. } => PlatformError::Syntax { path: shown, cause },
            PlatformError::Senseless(what) => PlatformError::Senseless(format!("{shown}: {what}")),
            other => other,
        })
    }

    /// Reads the text of a platform file.
    ///
    /// # Errors
    /// As [`Platform::read`].
    pub fn parse(text: &str) -> Result<Platform, PlatformError> {
        let file: File = toml::from_str(text).map_err(|cause| PlatformError::Syntax {
            path: "platform file".into(),
            cause: Box::new(cause),
        })?;
        file.check()
    }

    /// A platform of these hosts, as it is; of what a sensor needs, nothing.
    pub fn new(name: &str, hosts: Vec<Host>, inferred: bool) -> Platform {
        Platform { name: name.into(), country: None, hosts, inferred, claim: Claim::default(), prefix: None }
    }

    /// A platform of known hosts without a file.
    ///
    /// # Errors
    /// When two hosts share a name or an address.
    pub fn of_hosts(name: &str, hosts: Vec<Host>, inferred: bool) -> Result<Platform, PlatformError> {
        let platform = Platform::new(name, hosts, inferred);
        platform.check()?;
        Ok(platform)
    }

    /// Every address with its host's name: what decides to whom a packet belongs.
    pub fn index_by_name(&self) -> std::collections::BTreeMap<IpAddr, &str> {
        self.hosts.iter().flat_map(|h| h.addresses.iter().map(move |a| (*a, h.name.as_str()))).collect()
    }

    fn check(&self) -> Result<(), PlatformError> {
        let fail = |what: String| Err(PlatformError::Senseless(what));
        if self.name.is_empty() || self.name.len() > 200 {
            return fail("a platform's name has 1 to 200 bytes".into());
        }
        if self.hosts.len() > usize::from(u16::MAX) {
            return fail(format!("{} hosts; a platform has at most 65535", self.hosts.len()));
        }
        if self.prefix.is_some_and(|prefix| !(1..=32).contains(&prefix)) {
            return fail("prefix can be 1 to 32: how many bits name the hosts' IPv4 network".into());
        }
        let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
        for host in &self.hosts {
            if host.name.is_empty() {
                return fail("a host needs a name".into());
            }
            if names.insert(&host.name, ()).is_some() {
                return fail(format!("two hosts are called {:?}", host.name));
            }
            for address in &host.addresses {
                if is_group(*address) {
                    return fail(format!("{address} of host {:?} is no single machine's address", host.name));
                }
                if let Some(other) = addresses.insert(*address, &host.name) {
                    return fail(format!("{address} belongs to both {other:?} and {:?}", host.name));
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    platform: Head,
    #[serde(default)]
    host: Vec<HostEntry>,
    #[serde(default)]
    change: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    country: Option<String>,
    #[serde(rename = "latitude")]
    _latitude: Option<f64>,
    #[serde(rename = "longitude")]
    _longitude: Option<f64>,
    #[serde(rename = "time_zone")]
    _time_zone: Option<String>,
    #[serde(default)]
    claim: Claim,
    prefix: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    name: String,
    addresses: Vec<IpAddr>,
    persona: Option<String>,
    open: Option<Vec<String>>,
    mac: Option<String>,
    #[serde(default)]
    services: BTreeMap<String, String>,
    #[serde(default)]
    others: Others,
    fetch: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at: toml::value::Datetime,
    host: String,
    #[serde(default)]
    open: Vec<String>,
    #[serde(default)]
    close: Vec<String>,
}

impl File {
    fn check(self) -> Result<Platform, PlatformError> {
        let mut hosts = Vec::new();
        for entry in self.host {
            let mut host = Host::at(entry.name, entry.addresses);
            host.persona = entry.persona;
            host.has_history = entry.open.is_some();
            host.mac = entry.mac.as_deref().map(mac).transpose()?;
            host.others = entry.others;
            host.fetch = entry.fetch.as_deref().map(fetch).transpose()?.unwrap_or(false);
            for (port, service) in entry.services {
                host.services.insert(port.parse()?, service);
            }
            for port in entry.open.unwrap_or_default() {
                host.openings.push(Opening { port: port.parse()?, opened: None, closed: None });
            }
            hosts.push(host);
        }
        let mut changes = Vec::new();
        for change in self.change {
            changes.push((nanoseconds(&change.at)?, change));
        }
        changes.sort_by_key(|(at, _)| *at);
        for (at, change) in changes {
            let Some(host) = hosts.iter_mut().find(|h| h.name == change.host) else {
                let what = format!(
                    "a change at {} names the host {:?}, which is not in the file",
                    change.at, change.host
                );
                return Err(PlatformError::Senseless(what));
            };
            apply(host, at, &change)?;
        }
        let platform = Platform {
            name: self.platform.name,
            country: self.platform.country,
            hosts,
            inferred: false,
            claim: self.platform.claim,
            prefix: self.platform.prefix,
        };
        platform.check()?;
        Ok(platform)
    }
}

/// `open` adds and `close` takes away; opening what is open and closing what is closed change nothing.
fn apply(host: &mut Host, at: i64, change: &Change) -> Result<(), PlatformError> {
    host.has_history = true;
    for port in &change.open {
        let port = port.parse()?;
        if !host.openings.iter().any(|o| o.port == port && o.closed.is_none()) {
            host.openings.push(Opening { port, opened: Some(at), closed: None });
        }
    }
    for port in &change.close {
        let port = port.parse()?;
        if let Some(open) = host.openings.iter_mut().find(|o| o.port == port && o.closed.is_none()) {
            open.closed = Some(at);
        }
    }
    Ok(())
}

/// Whether an address is no single machine's.
fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_broadcast() || a.is_multicast() || a.is_unspecified(),
        IpAddr::V6(a) => a.is_multicast() || a.is_unspecified(),
    }
}

fn mac(text: &str) -> Result<[u8; 6], PlatformError> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    bytes.filter(|[first, ..]| first & 1 == 0).ok_or_else(|| {
        PlatformError::Senseless(format!(
            "{text:?} is no machine's Ethernet address: write 00:50:56:12:34:56"
        ))
    })
}

fn fetch(text: &str) -> Result<bool, PlatformError> {
    match text {
        "same-source" => Ok(true),
        "never" => Ok(false),
        _ => Err(PlatformError::Senseless(format!("fetch is {text:?}; it can be never, same-source"))),
    }
}

fn nanoseconds(at: &toml::value::Datetime) -> Result<i64, PlatformError> {
    let mut text = at.to_string();
    if at.offset.is_none() && at.time.is_some() {
        text.push('Z');
    } else if at.time.is_none() {
        text.push_str("T00:00:00Z");
    }
    chrono::DateTime::parse_from_rfc3339(&text)
        .ok()
        .and_then(|t| t.timestamp_nanos_opt())
        .ok_or_else(|| PlatformError::Senseless(format!("{at} is no time: write 2003-10-15T00:00:00Z")))
}
