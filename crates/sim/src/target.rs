//! What a packet is aimed at, and ports sequences as text: `80,57,21`, `137/udp`, `icmp`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What inbound packets are aimed at: a port, or a protocol that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A TCP port, written `445` (or `445/tcp`).
    Tcp(u16),
    /// A UDP port, written `137/udp`.
    Udp(u16),
    /// ICMP, written `icmp`.
    Icmp,
    /// Another IP protocol, written `ip-proto-47`.
    Proto(u8),
}

impl Target {
    /// Whether it is a port: ICMP and other protocols are none.
    pub fn is_port(self) -> bool {
        matches!(self, Target::Tcp(_) | Target::Udp(_))
    }

    /// As platform files write a port: with `/tcp` too.
    pub fn with_protocol(self) -> String {
        match self {
            Target::Tcp(port) => format!("{port}/tcp"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(port) => write!(f, "{port}"),
            Target::Udp(port) => write!(f, "{port}/udp"),
            Target::Icmp => write!(f, "icmp"),
            Target::Proto(number) => write!(f, "ip-proto-{number}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no target: write 445, 445/tcp, 137/udp, icmp or ip-proto-47");
        if text == "icmp" {
            return Ok(Target::Icmp);
        }
        if let Some(number) = text.strip_prefix("ip-proto-") {
            let number: u8 = number.parse().map_err(|_| wrong())?;
            // Those four have their own ways to be written.
            return if [1, 6, 17, 58].contains(&number) { Err(wrong()) } else { Ok(Target::Proto(number)) };
        }
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let port = port.parse().map_err(|_| wrong())?;
        match protocol {
            "tcp" => Ok(Target::Tcp(port)),
            "udp" => Ok(Target::Udp(port)),
            _ => Err(wrong()),
        }
    }
}

/// Distinct targets in the order of their first packet: ports only, or no port at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub Vec<Target>);

impl Sequence {
    /// The sequence that targets in order of appearance make: ports if there is any, else protocols.
    pub fn of(seen: impl IntoIterator<Item = Target>) -> Self {
        let mut distinct: Vec<Target> = Vec::new();
        for target in seen {
            if !distinct.contains(&target) {
                distinct.push(target);
            }
        }
        if distinct.iter().any(|t| t.is_port()) {
            distinct.retain(|t| t.is_port());
        }
        Sequence(distinct)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, target) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{target}")?;
        }
        Ok(())
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let targets: Vec<Target> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let sequence = Sequence::of(targets.iter().copied());
        if sequence.0.len() != targets.len() {
            return Err(format!("`{text}` is no ports sequence: a port twice, or ports beside protocols"));
        }
        Ok(sequence)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["445", "137/udp", "icmp", "80,57,21", "icmp,ip-proto-47"] {
            assert_eq!(text.parse::<Sequence>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "70000", "80,80", "80,icmp", "53/sctp", "ip-proto-300", "ip-proto-6"] {
            assert!(text.parse::<Sequence>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_with_ports_has_ports_only() {
        let seen = [Target::Icmp, Target::Tcp(135), Target::Tcp(135), Target::Tcp(4444)];
        assert_eq!(Sequence::of(seen).to_string(), "135,4444");
    }
}
