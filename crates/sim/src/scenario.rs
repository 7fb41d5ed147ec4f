//! Scenarios: who attacks which hosts, when and how often, as TOML files with comments.
//!
//! A scenario describes a platform (the same keys as a platform file) and either a `[study]` (months,
//! table 1, a cast of attackers, exact totals) or a `[flat]` busy capture for benchmarks. Unknown keys
//! are refused with the file's name and line, so a typing error never silently changes a study.

use std::net::Ipv4Addr;
use std::path::Path;

use serde::Deserialize;

use crate::clock::Day;
use crate::error::SimError;
use crate::study::Study;
use crate::system::{self, System};
use crate::target::Target;

/// The scenarios that every build carries: name and text.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("paper2003", include_str!("../../../scenarios/paper2003.toml")),
    ("bench", include_str!("../../../scenarios/bench.toml")),
];

/// Longer flat captures are a mistake in the file.
const MAX_DAYS: u32 = 3_660;

/// A scenario as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// One sentence: what it shows.
    pub about: String,
    /// The seed that is used when the caller gives none.
    pub seed: u64,
    /// The site.
    pub platform: Platform,
    /// Its decoy hosts, in order.
    pub host: Vec<Host>,
    /// What was opened and closed later, in time order.
    #[serde(default)]
    pub change: Vec<Change>,
    /// A study of months with exact totals; or
    pub study: Option<Study>,
    /// a flat, busy capture.
    pub flat: Option<Flat>,
}

/// One site, as in a platform file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// ISO 3166 code of where it stands.
    pub country: Option<String>,
}

/// One decoy host, as in a platform file; IPv4 only, for these attackers know nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its addresses; attackers use the first.
    pub addresses: Vec<Ipv4Addr>,
    /// What it pretends to be.
    pub persona: String,
    /// Ports open from the beginning.
    pub open: Vec<Target>,
}

/// A change of one host's open ports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, in UTC.
    pub at: toml::value::Datetime,
    /// Name of the host.
    pub host: String,
    /// Ports that open.
    #[serde(default)]
    pub open: Vec<Target>,
    /// Ports that close.
    #[serde(default)]
    pub close: Vec<Target>,
}

impl Change {
    /// When, in microseconds since 1970.
    pub fn at_us(&self) -> Option<i64> {
        let time = chrono::DateTime::parse_from_rfc3339(&self.at.to_string()).ok()?;
        Some(time.timestamp_micros())
    }
}

/// A busy capture without a story: many sources, all packets of one kind of scan each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flat {
    /// File name without `.pcap`.
    pub file: String,
    /// Packets in the file, the hosts' answers included.
    pub packets: u64,
    /// Its first day.
    pub first_day: Day,
    /// How many days.
    pub days: u32,
    /// Sources on each day, where there are packets enough for three each.
    pub sources_per_day: u32,
    /// TCP ports that are scanned, each with its share.
    pub tcp: Vec<Share>,
    /// UDP ports likewise.
    pub udp: Vec<Share>,
    /// Of the sources, those that scan TCP ports. The four percentages add up to 100.
    pub tcp_percent: f64,
    /// Those that send datagrams.
    pub udp_percent: f64,
    /// Those that ping.
    pub icmp_percent: f64,
    /// Those that are victims of spoofed floods.
    pub backscatter_percent: f64,
    /// Of the TCP sources, those whose SYN carries data.
    pub payload_percent: f64,
}

/// A port and how often it is chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The port.
    pub port: Target,
    /// Its weight among the others.
    pub weight: f64,
}

impl Scenario {
    /// A built-in scenario by its name, or else the file at that path.
    pub fn load(name_or_path: &str) -> Result<Self, SimError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Scenario::parse(&format!("{name}.toml"), text);
        }
        let text = std::fs::read_to_string(Path::new(name_or_path)).map_err(|source| SimError::Unknown {
            name: name_or_path.to_owned(),
            known: BUILT_IN.map(|(name, _)| name).join(", "),
            source,
        })?;
        Scenario::parse(name_or_path, &text)
    }

    /// Reads a scenario's text; `file` is named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, SimError> {
        let refuse = |line, message| SimError::Scenario { file: file.to_owned(), line, message };
        let scenario: Scenario = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            refuse(
                1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count(),
                error.message().to_owned(),
            )
        })?;
        match scenario.check() {
            Ok(()) => Ok(scenario),
            Err((about, message)) => Err(refuse(line_of(text, &about), message)),
        }
    }

    /// The index of a host by its name.
    pub fn host_index(&self, name: &str) -> Option<u8> {
        self.host.iter().position(|h| h.name == name).map(|at| at as u8)
    }

    /// What its sources run.
    pub fn systems(&self) -> Vec<System> {
        let listed = self.study.as_ref().map_or(&[][..], |study| &study.system);
        if listed.is_empty() { system::usual() } else { listed.to_vec() }
    }

    /// Whether a port of a host is open at a time (microseconds since 1970).
    pub fn is_open(&self, host: u8, target: Target, at_us: i64) -> bool {
        let host = &self.host[usize::from(host)];
        let past =
            self.change.iter().filter(|c| c.host == host.name && c.at_us().is_some_and(|t| t <= at_us));
        past.fold(host.open.contains(&target), |open, change| {
            (open || change.open.contains(&target)) && !change.close.contains(&target)
        })
    }

    /// What types cannot say. The error names a word to find the line by, and the reason.
    fn check(&self) -> Result<(), (String, String)> {
        let fail = |about: &str, message: String| Err((about.to_owned(), message));
        if self.host.is_empty() || self.host.len() > 64 {
            return fail("host", "a platform has 1 to 64 hosts".into());
        }
        for (n, host) in self.host.iter().enumerate() {
            if host.addresses.is_empty() {
                return fail(&host.name, format!("host {} has no address", host.name));
            }
            if self.host_index(&host.name) != Some(n as u8) {
                return fail(&host.name, format!("two hosts are called {}", host.name));
            }
        }
        for change in &self.change {
            if self.host_index(&change.host).is_none() {
                return fail("[[change]]", format!("a change names the unknown host {}", change.host));
            }
            if change.at_us().is_none() {
                return fail("[[change]]", format!("`{}` is no UTC time", change.at));
            }
        }
        if self.change.windows(2).any(|w| w[0].at_us() > w[1].at_us()) {
            return fail("[[change]]", "changes stand in time order".into());
        }
        match (&self.study, &self.flat) {
            (Some(study), None) => study.check(self),
            (None, Some(flat)) => flat.check(),
            _ => fail("name", "a scenario has either a [study] or a [flat] table".into()),
        }
    }
}

impl Flat {
    fn check(&self) -> Result<(), (String, String)> {
        let shares = [self.tcp_percent, self.udp_percent, self.icmp_percent, self.backscatter_percent];
        if (shares.iter().sum::<f64>() - 100.0).abs() > 1e-6 || shares.iter().any(|s| *s < 0.0) {
            return Err(("tcp_percent".into(), "the four percentages do not add up to 100".into()));
        }
        let weights = self.tcp.iter().chain(&self.udp).map(|s| s.weight);
        if self.tcp.is_empty() || self.udp.is_empty() || weights.into_iter().any(|w| w.is_nan() || w <= 0.0) {
            return Err((
                "[flat]".into(),
                "tcp and udp need at least one port each, with weights above 0".into(),
            ));
        }
        if !(0.0..=100.0).contains(&self.payload_percent) {
            return Err(("payload_percent".into(), "a percentage lies between 0 and 100".into()));
        }
        if !(1..=MAX_DAYS).contains(&self.days) || self.sources_per_day == 0 {
            return Err((
                "[flat]".into(),
                format!("a capture has 1 to {MAX_DAYS} days and at least one source"),
            ));
        }
        if self.file.is_empty() || self.file.contains(['/', '\\']) {
            return Err(("file".into(), format!("`{}` is no plain file name", self.file)));
        }
        Ok(())
    }
}

/// The first line that holds a word, for errors about what several lines say together.
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, to: &str, expected: &str) {
        let text = BUILT_IN[0].1.replacen(from, to, 1);
        assert_ne!(text, BUILT_IN[0].1, "{from} stands in the scenario");
        let message = Scenario::parse("mine.toml", &text).unwrap_err().to_string();
        assert!(message.starts_with("mine.toml:") && message.contains(expected), "{message}");
        assert!(!message.starts_with("mine.toml:1:"), "a line is named: {message}");
    }

    #[test]
    fn built_ins_are_valid() {
        for (name, _) in BUILT_IN {
            assert_eq!(Scenario::load(name).unwrap().name, name);
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        check("persona =", "persona_of =", "persona_of");
        check("sources = 18075", "source = 18075", "unknown field `source`");
        check("sequence = \"445\"", "sequence = \"445/sctp\"", "445/sctp");
        check("percent = 45.5", "percnt = 45.5", "percnt");
        check("percent = 45.5", "percent = 46.5", "adds up");
        check("host = \"mach2\"", "host = \"mach7\"", "mach7");
        check("month = \"2003-03\"", "month = \"2003-33\"", "2003-33");
        check("\"Europe/Amsterdam\"", "\"Europe/Leiden\"", "Europe/Leiden");
        check("hours = \"office\"", "hours = \"oficce\"", "[study.profile]");
        check("hours = \"office\"", "hours = [1, 2]", "24 weights");
        check("office = [1,", "office = [inf,", "24 weights");
        check("percent = 17.0, hours", "percent = 18.0, hours", "places add up to 101.0");
        check("{ 2003-03 = 23.0", "{ 2002-03 = 23.0", "2002-03 is no month");
        check("country = \"NL\"", "country = \"FR\"", "FR is listed twice");
        check("*:128:0:1460:60352,0", "*:128:0:1460:60352", "size,scale");
        check("percent = 33.0, label", "percent = 33.5, label", "systems");
        check("systems = [\"Windows 2000\"", "systems = [\"Windows 3000\"", "Windows 3000");
        check("request = \"HEAD / HTTP", "request = \"HEAD", "METHOD TARGET");
        check("percent = 34.0\nuser", "percent = 94.0\nuser", "sum");
        check("PWD\", \"TYPE I", "PWD\\r\\n\", \"TYPE I", "one line");
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let message = Scenario::load("no-such").unwrap_err().to_string();
        assert!(message.contains("paper2003, bench"), "{message}");
    }

    #[test]
    fn history_opens_ports() {
        let scenario = Scenario::load("paper2003").unwrap();
        let (mach2, sql) = (scenario.host_index("mach2").unwrap(), Target::Tcp(1433));
        let opened = scenario.change[0].at_us().unwrap();
        assert!(!scenario.is_open(mach2, sql, opened - 1) && scenario.is_open(mach2, sql, opened));
    }
}
