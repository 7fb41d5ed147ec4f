//! Operating systems and scanners by the first packet they send: seven database formats, one question.
//!
//! A [`Database`] is read from text, whichever of the formats it is in, and asked about an
//! [`Observation`]. It answers as the tool that the format belongs to would answer, and with the
//! observation in that tool's own notation, so that what has no label can be given one by a person.

mod classic;
mod disco;
mod ettercap;
mod p0f1;
mod p0f2;
mod p0f3;
mod pf;
mod satori;

use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::tcp::flags::{ACK, RST, SYN};

pub use p0f2::Mode;

/// Our own database, in the format of p0f 3.
pub const OWN: &str = include_str!("../../../../fingerprints/trapline.fp");

/// The format of a database, by the tool that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// p0f 1: `window:ttl:mss:D:W:S:N:size:system`.
    P0f1,
    /// p0f 2: `window:ttl:D:size:options:quirks:genre:details`, for one kind of packet.
    P0f2(Mode),
    /// p0f 3: sections, labels and signatures.
    P0f3,
    /// Disco: `window:ttl:mss:D:W:S:N:size:type:system`.
    Disco,
    /// ettercap: `WWWW:MSS:TTL:WS:S:N:D:T:F:LEN:system`, in hexadecimal.
    Ettercap,
    /// OpenBSD's pf: `window:ttl:D:size:options:class:version:subtype:details`.
    Pf,
    /// Satori: XML.
    Satori,
}

/// A line of a database that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for LineError {}

/// What sort of program sends such packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The network stack of an operating system or a device.
    System,
    /// A program that writes its packets itself, such as a scanner: it tells nothing of the system below.
    Tool,
}

/// What a database calls the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// A system's stack, or a tool's own packets.
    pub kind: Kind,
    /// Family as the database groups systems, such as `unix`; empty where it does not.
    pub class: String,
    /// Name or genre, such as `Windows`; the whole text in formats that do not tell name from version.
    pub name: String,
    /// Version or flavour, such as `2000 SP4`; empty where the format has none.
    pub flavour: String,
    /// The label as the tool prints it.
    pub text: String,
    /// The entry stands for a group of systems.
    pub generic: bool,
    /// The sender draws its TTL at random: a distance is no more than an upper bound.
    pub random_ttl: bool,
}

impl Label {
    fn system(name: &str, flavour: &str) -> Label {
        let text = if flavour.is_empty() { name.to_owned() } else { format!("{name} {flavour}") };
        Label {
            kind: Kind::System,
            class: String::new(),
            name: name.to_owned(),
            flavour: flavour.to_owned(),
            text,
            generic: false,
            random_ttl: false,
        }
    }

    /// The quality of an entry that fits in everything.
    fn quality(&self) -> Quality {
        if self.generic { Quality::Generic } else { Quality::Exact }
    }
}

/// How well an entry fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quality {
    /// No entry fits.
    Unknown,
    /// An entry fits but for differences that its tool forgives, such as a DF bit that a router removed.
    Fuzzy,
    /// An entry fits that stands for a group of systems.
    Generic,
    /// An entry of one system fits in everything.
    Exact,
}

impl Quality {
    /// As it stands in tables.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Unknown => "unknown",
            Quality::Fuzzy => "fuzzy",
            Quality::Generic => "generic",
            Quality::Exact => "exact",
        }
    }
}

/// A database's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The observation in the notation of the database's tool; with a label behind it, an entry.
    pub raw: String,
    /// What the database calls the sender; nothing where no entry fits.
    pub label: Option<Arc<Label>>,
    /// How well.
    pub quality: Quality,
    /// Routers between the sender and us, by the TTL that the sender begins with; nothing where that is
    /// unknown.
    pub distance: Option<u8>,
}

impl Matched {
    fn unknown(raw: String) -> Matched {
        Matched { raw, label: None, quality: Quality::Unknown, distance: None }
    }
}

/// Where a packet stands in a conversation; databases hold entries for one or some of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Syn,
    SynAck,
    Rst,
    Ack,
    /// Combinations that no stack sends, and FIN.
    Other,
}

impl Step {
    fn of(seen: &Observation) -> Step {
        const RST_ACK: u8 = RST | ACK;
        const SYN_ACK: u8 = SYN | ACK;
        match seen.step() {
            SYN => Step::Syn,
            SYN_ACK => Step::SynAck,
            RST | RST_ACK => Step::Rst,
            ACK => Step::Ack,
            _ => Step::Other,
        }
    }
}

/// What every format does.
trait Matcher: Send + Sync {
    /// `peer_mss`: of an answer, the MSS of the SYN that it answers.
    fn matches(&self, seen: &Observation, peer_mss: Option<u16>) -> Matched;
    /// How many signatures there are.
    fn entries(&self) -> usize;
    /// What link a sender of packets of `mtu` bytes has.
    fn link(&self, _mtu: u16) -> Option<&str> {
        None
    }
}

/// Entries that could be read, and lines that could not.
type Read<T> = Result<T, Vec<LineError>>;

/// A fingerprint database.
pub struct Database {
    name: String,
    format: Format,
    matcher: Box<dyn Matcher>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({}, {:?}, {} entries)", self.name, self.format, self.entries())
    }
}

impl Database {
    /// Reads a database; its format is told by its content, and among the files of p0f 2 by its name.
    ///
    /// # Errors
    /// All lines that cannot be understood; a database is read whole or not at all.
    pub fn parse(file_name: &str, text: &str) -> Result<Database, Vec<LineError>> {
        let text = text.trim_start_matches('\u{feff}');
        let Some(format) = detect(file_name, text) else {
            return Err(vec![LineError {
                line: 1,
                why: "no fingerprint database of a known format".to_owned(),
            }]);
        };
        let matcher: Box<dyn Matcher> = match format {
            Format::P0f1 => Box::new(p0f1::Signatures::parse(text)?),
            Format::P0f2(mode) => Box::new(p0f2::Signatures::parse(text, mode)?),
            Format::P0f3 => Box::new(p0f3::Signatures::parse(text)?),
            Format::Disco => Box::new(disco::Signatures::parse(text)?),
            Format::Ettercap => Box::new(ettercap::Signatures::parse(text)?),
            Format::Pf => Box::new(pf::Signatures::parse(text)?),
            Format::Satori => Box::new(satori::Signatures::parse(text)?),
        };
        Ok(Database { name: file_name.to_owned(), format, matcher })
    }

    /// Our own database.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn own() -> Database {
        Database::parse("trapline.fp", OWN).expect("our own database is tested")
    }

    /// The file's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The format that was found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many signatures it holds.
    pub fn entries(&self) -> usize {
        self.matcher.entries()
    }

    /// What the database says of one packet.
    pub fn matches(&self, seen: &Observation) -> Matched {
        self.matcher.matches(seen, None)
    }

    /// What it says of an answer to a SYN of MSS `peer_mss`: some stacks choose their window by that (p0f 3
    /// only).
    pub fn matches_answer(&self, seen: &Observation, peer_mss: u16) -> Matched {
        self.matcher.matches(seen, Some(peer_mss))
    }

    /// The MTU of the sender's link, by its MSS, and what the database calls such links (p0f 3 only).
    pub fn link(&self, seen: &Observation) -> Option<(u16, Option<&str>)> {
        let headers = if seen.ip_version == 4 { 40 } else { 60 };
        let mtu = seen.mss.filter(|mss| *mss > 0)?.checked_add(headers)?;
        Some((mtu, self.matcher.link(mtu)))
    }
}

/// Tells the format by the first lines that are not comments.
fn detect(file_name: &str, text: &str) -> Option<Format> {
    if text.trim_start().starts_with('<') {
        return Some(Format::Satori);
    }
    let first = lines(text).next()?.1;
    if first.starts_with('[') || first.split_once('=').is_some_and(|(key, _)| !key.contains(':')) {
        return Some(Format::P0f3);
    }
    let fields: Vec<&str> = first.split(':').collect();
    let flag = |at: usize| matches!(fields.get(at), Some(&("S" | "A")));
    match fields.len() {
        11.. if fields[0].len() == 4 && flag(8) => Some(Format::Ettercap),
        10.. if flag(8) => Some(Format::Disco),
        9.. if fields[..8].iter().all(|field| field.parse::<i32>().is_ok()) => Some(Format::P0f1),
        8.. if p0f2::looks_like(text) => Some(Format::P0f2(p0f2::mode(file_name, text))),
        9.. => Some(Format::Pf),
        _ => None,
    }
}

/// Lines with their numbers, without comments (`#` and `;` at the beginning) and empty ones.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// Reads every line with `read`; all that fail are told at once.
fn each_line<T>(text: &str, mut read: impl FnMut(&str) -> Result<T, String>) -> Read<Vec<T>> {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for (line, content) in lines(text) {
        match read(content) {
            Ok(entry) => entries.push(entry),
            Err(why) => errors.push(LineError { line, why }),
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// A number, or what is wrong.
fn number<N: std::str::FromStr>(text: &str, what: &str) -> Result<N, String> {
    text.trim().parse().map_err(|_| format!("{what} cannot be \"{text}\""))
}

/// The TTL that a sender probably began with: the next of those that systems use.
fn initial_ttl(seen: u8) -> u8 {
    match seen {
        0..=32 => 32,
        33..=64 => 64,
        65..=128 => 128,
        129.. => 255,
    }
}

/// The next power of two, as ettercap and Disco round; 255 for 256.
fn power_of_two(ttl: u8) -> u8 {
    ttl.checked_next_power_of_two().unwrap_or(255)
}
