//! A platform: its hosts, their addresses, and which ports were open when.
//!
//! Read from a platform file (TOML), or made of addresses that were given or inferred.

use std::net::IpAddr;
use std::path::Path;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_wire::protocol;

use crate::address::Address;

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
}

impl Host {
    /// A host of which only the address is known.
    pub fn at(name: String, addresses: Vec<IpAddr>) -> Self {
        Host { name, addresses, persona: None, has_history: false, openings: Vec::new() }
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

    /// A platform of known hosts without a file.
    ///
    /// # Errors
    /// When two hosts share a name or an address.
    pub fn of_hosts(name: &str, hosts: Vec<Host>, inferred: bool) -> Result<Platform, PlatformError> {
        let platform = Platform { name: name.into(), country: None, hosts, inferred };
        platform.check()?;
        Ok(platform)
    }

    /// The addresses of all hosts, each with its host's index.
    pub fn index(&self) -> HashMap<Address, u16> {
        let hosts = self.hosts.iter().enumerate();
        hosts.flat_map(|(i, h)| h.addresses.iter().map(move |a| (Address::from(*a), i as u16))).collect()
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
        let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
        for host in &self.hosts {
            if host.name.is_empty() {
                return fail("a host needs a name".into());
            }
            if names.insert(&host.name, ()).is_some() {
                return fail(format!("two hosts are called {:?}", host.name));
            }
            for address in &host.addresses {
                if Address::from(*address).is_group() {
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

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    country: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    name: String,
    addresses: Vec<IpAddr>,
    persona: Option<String>,
    open: Option<Vec<String>>,
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
        let platform =
            Platform { name: self.platform.name, country: self.platform.country, hosts, inferred: false };
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
