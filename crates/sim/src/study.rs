//! The `[study]` part of a scenario: totals, table 1 month by month, and the cast.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::{Day, MonthSpan};
use crate::system::System;
use crate::target::{Sequence, Target};

mod attackers;
mod check;

pub use attackers::{Ftp, Hours, Place, Web};

/// Months of attacks with exact totals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What everything adds up to.
    pub totals: Totals,
    /// The months, in order.
    pub month: Vec<Month>,
    /// Two-step attackers: the later ports only go to hosts where the first is open.
    #[serde(default)]
    pub worm: Vec<Worm>,
    /// Attackers that ping before they knock.
    #[serde(default)]
    pub pings_first: Vec<PingsFirst>,
    /// Victims of spoofed floods, whose answers reach us.
    pub backscatter: Backscatter,
    /// Sources that know what they want: one host, and a port that is open there.
    #[serde(default)]
    pub focused: Vec<Focused>,
    /// Who comes for a port opened by a change.
    #[serde(default)]
    pub contact: Vec<Contact>,
    /// Who logs in by FTP.
    #[serde(default)]
    pub login: Vec<Login>,
    /// Addresses that come back on other days.
    #[serde(default)]
    pub returning: Vec<Returning>,
    /// Addresses whose packets straddle midnight: two day sources each, one gap source.
    #[serde(default)]
    pub midnight_crossers: u32,
    /// In which order the hosts are reached, with weights.
    pub host_order: Vec<HostOrder>,
    /// What fills the rest of each month.
    pub rare: Rare,
    /// What the hosts do of their own.
    pub own: Own,
    /// Hosts answer at most this many packets of one source to one port: they limit their rate.
    pub answers_per_probe: u32,
    /// Where sources sit. Where no place is listed, no place database is written.
    #[serde(default)]
    pub place: Vec<Place>,
    /// Activity curves that places name: 24 weights each, from midnight of their own day.
    #[serde(default)]
    pub profile: BTreeMap<String, Vec<f64>>,
    /// What sources run. Where nothing is listed, the usual mix.
    #[serde(default)]
    pub system: Vec<System>,
    /// What scanners ask web servers for.
    #[serde(default)]
    pub web: Vec<Web>,
    /// What scanners do on FTP servers.
    #[serde(default)]
    pub ftp: Vec<Ftp>,
}

/// What everything adds up to at scale 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Inbound packets.
    pub packets: u64,
    /// Sources: one address on one UTC day.
    pub sources: u32,
    /// Distinct ports.
    pub ports: u32,
    /// Distinct source sequences.
    pub sequences: u32,
    /// Of the inbound packets. The three add up to 100.
    pub tcp_percent: f64,
    /// Likewise.
    pub udp_percent: f64,
    /// Likewise.
    pub icmp_percent: f64,
    /// Of the sources, those that reached 1, 2, … hosts.
    pub hosts_reached: Vec<f64>,
}

/// One column of table 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Month {
    /// Which.
    pub month: MonthSpan,
    /// Sources at scale 1.
    pub sources: u32,
    /// What the printed cells add up to where that is not 100; they are scaled to 100.
    #[serde(default = "hundred")]
    pub adds_to: f64,
    /// The printed value for all others; where none is printed, what is left of 100.
    pub others: Option<f64>,
    /// The listed sequences.
    pub row: Vec<Row>,
}

fn hundred() -> f64 {
    100.0
}

/// One cell of table 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The sequence.
    pub sequence: Sequence,
    /// Percent of the month's sources.
    pub percent: f64,
    /// None before this day.
    pub from: Option<Day>,
}

/// A two-step attacker such as Blaster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worm {
    /// Its whole sequence, e.g. `135,4444`.
    pub sequence: Sequence,
    /// What the question about processes calls it.
    pub process: Option<String>,
    /// Names of the systems that it lives on; any where none is listed.
    #[serde(default)]
    pub systems: Vec<String>,
    /// What it types into the shell that its second port opened; `{ip}` is its own address.
    #[serde(default)]
    pub shell: Vec<String>,
}

/// A pinging attacker such as Nachi.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingsFirst {
    /// Its sequence (of ports: the ping does not count).
    pub sequence: Sequence,
    /// None before this day.
    pub from: Day,
    /// Of that sequence's sources, how many ping.
    pub percent: f64,
}

/// All backscatter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backscatter {
    /// Sources at scale 1.
    pub sources: u32,
    /// Of these, how many reach two hosts, not one.
    pub two_hosts_percent: f64,
    /// What they answer with.
    pub flood: Vec<Flood>,
}

/// One kind of backscatter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// The packet that comes back.
    pub response: Response,
    /// Share among the floods.
    pub weight: f64,
    /// Sequences on our side (the ports that the flood's forger made up).
    pub sequences: Vec<Sequence>,
}

/// A packet that answers something we never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// TCP SYN and ACK: a SYN flood on an open port.
    SynAck,
    /// TCP RST.
    Rst,
    /// TCP RST and ACK: a SYN flood on a closed port.
    RstAck,
    /// ICMP 0: a flood of pings.
    EchoReply,
    /// ICMP 3, quoting what we never sent.
    Unreachable,
    /// ICMP 11, likewise.
    TimeExceeded,
    /// UDP from port 53: somebody asks name servers in our name.
    Dns,
}

/// Sources that came for one thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Focused {
    /// The host.
    pub host: String,
    /// Ports that are open there.
    pub sequence: Sequence,
    /// Sources at scale 1.
    pub sources: u32,
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
}

/// Precise sources (words.md, First contact) of a port opened by a change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The host.
    pub host: String,
    /// The port.
    pub port: Target,
    /// Whole days from the opening to the first of them.
    pub days: u32,
    /// How many more come on later days, at scale 1 (at least one at any scale).
    pub later: u32,
}

/// Sources that log in by FTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// How they type.
    pub style: Style,
    /// The host.
    pub host: String,
    /// Sources at scale 1.
    pub sources: u32,
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
    /// User name.
    pub user: String,
    /// Passwords; each source tries all of them.
    pub passwords: Vec<String>,
}

/// How a login is typed (words.md, Login).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Quick, few passwords.
    Robot,
    /// Five passwords or more.
    Dictionary,
    /// With a human's pauses.
    Hand,
}

/// Addresses that come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returning {
    /// How many addresses at scale 1.
    pub ips: u32,
    /// On how many days each.
    pub days: u32,
    /// Whether they come with another sequence each time.
    #[serde(default)]
    pub mixed: bool,
}

/// One order of hosts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOrder {
    /// All host names.
    pub order: Vec<String>,
    /// Its share.
    pub weight: f64,
}

/// What fills the rest of each month.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rare {
    /// Sequences that stand for something; each comes at least once where there is room.
    pub sequences: Vec<Sequence>,
    /// Ports for made-up sequences, before random ones.
    pub ports: Vec<Target>,
}

/// What the hosts do of their own: inbound packets that are replies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// Names that hosts resolve, at scale 1; each brings one reply.
    pub dns_queries: u32,
    /// Answers of hosts that a router refuses, at scale 1; each brings one ICMP error.
    pub refusals: u32,
}
