//! p0f 2 (2003 to 2006): `window:ttl:D:size:options:quirks:genre:details`, a file for each kind of packet.
//!
//! The first entry of the file that fits in everything wins. Where none does and the packet may be
//! fragmented, the file is read again as if it might not: firewalls clear that bit (`firewall!` in
//! p0f). Where only the TTL speaks against an entry it is taken last, as p0f's `-F` does. Both are
//! fuzzy; `@` before a genre is generic, `-` a program with its own packets, `*` a program that
//! draws its TTL as it likes.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};
use trapline_wire::tcp::flags::{ACK, CWR, ECE, PSH, RST, SYN};

use super::classic::{Options, Window, write_options, write_window};
use super::{Kind, Label, Matched, Matcher, Quality, Read, Step, each_line, initial_ttl, lines, number};

/// No host is further away than this (MAXDIST of p0f 2).
const MAX_HOPS: u8 = 40;
/// An entry without a size asks for packets of at least this length in bytes (PACKET_BIG).
const BIG: u32 = 100;
/// p0f 2 gives up on longer option lists.
const MAX_OPTIONS: usize = 15;
/// Quirks in the order in which p0f writes them; `E` is an option in all but the oldest files.
const QUIRKS: &[u8; 13] = b"KQ0PZIUXATFD!";

/// Which packets a file of p0f 2 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// SYN (`p0f.fp`).
    Syn,
    /// SYN/ACK (`p0fa.fp`).
    SynAck,
    /// RST and RST/ACK (`p0fr.fp`).
    Rst,
    /// Acknowledgements of established connections (`p0fo.fp`).
    Ack,
}

impl Mode {
    fn step(self) -> Step {
        match self {
            Mode::Syn => Step::Syn,
            Mode::SynAck => Step::SynAck,
            Mode::Rst => Step::Rst,
            Mode::Ack => Step::Ack,
        }
    }
}

/// Whether the sixth field of every line is a list of quirks; pf has the system's name there.
pub(super) fn looks_like(text: &str) -> bool {
    lines(text).all(|(_, line)| {
        let quirks = line.split(':').nth(5).unwrap_or_default();
        !quirks.is_empty() && (quirks == "." || quirks.bytes().all(|q| q == b'E' || QUIRKS.contains(&q)))
    })
}

/// Tells which packets a file is about: by a word of its name, else by its title, else by its quirks.
pub(super) fn mode(file_name: &str, text: &str) -> Mode {
    let name = file_name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let title: String = text.lines().take(3).collect();
    let modes = [
        (Mode::SynAck, ["synack", "p0fa"], "SYN+ACK fingerprints"),
        (Mode::Ack, ["strayack", "p0fo"], "stray ACK signatures"),
        (Mode::Rst, ["rst", "p0fr"], "RST+ signatures"),
        (Mode::Syn, ["syn", "request"], "SYN fingerprints"),
    ];
    let named = modes.iter().find(|(_, names, _)| words.iter().any(|word| names.contains(word)));
    let titled = || modes.iter().find(|(_, _, titles)| title.contains(titles));
    named.or_else(titled).map_or_else(|| mode_by_quirks(text), |(mode, _, _)| *mode)
}

fn mode_by_quirks(text: &str) -> Mode {
    let field = |at: usize| lines(text).map(move |(_, line)| line.split(':').nth(at).unwrap_or_default());
    if field(3).all(|size| size == "*") {
        Mode::Ack
    } else if field(5).any(|quirks| quirks.contains('K')) {
        Mode::Rst
    } else if field(5).all(|quirks| quirks.contains('A')) {
        Mode::SynAck
    } else {
        Mode::Syn
    }
}

struct Entry {
    window: Window,
    ttl: u8,
    df: bool,
    size: Option<u32>,
    options: Options,
    quirks: u16,
    /// `*`: no distance is told, none is too far.
    no_detail: bool,
    label: Arc<Label>,
}

impl Entry {
    fn parse(line: &str) -> Result<Entry, String> {
        let fields: Vec<&str> = line.splitn(8, ':').collect();
        let [window, ttl, df, size, options, quirks, genre, details] = fields[..] else {
            return Err("a line has eight fields".to_owned());
        };
        let mut options = Options::parse(options)?;
        let (quirks, ends) = parse_quirks(quirks)?;
        options.kinds.extend(ends.then_some(kind::EOL));
        let name = genre.trim_start_matches(['-', '@', '*']);
        let flags = &genre[..genre.len() - name.len()];
        let mut label = Label::system(name, details.trim());
        label.generic = flags.contains('@');
        label.random_ttl = flags.contains('*');
        label.kind = if flags.contains('-') || flags.contains('*') { Kind::Tool } else { Kind::System };
        Ok(Entry {
            window: Window::parse(window)?,
            ttl: number(ttl, "a TTL")?,
            df: number::<u8>(df, "DF")? != 0,
            size: if size == "*" { None } else { Some(number(size, "a size")?) },
            options,
            quirks,
            no_detail: flags.contains('*'),
            label: Arc::new(label),
        })
    }

    fn fits(&self, packet: &Packet<'_>, df: bool, open: bool) -> bool {
        let seen = packet.seen;
        let size_fits = match self.size {
            _ if open => true,
            Some(size) => size == seen.len,
            None => seen.len >= BIG,
        };
        size_fits
            && self.df == df
            && self.quirks == packet.quirks
            && self.options.values_fit(seen)
            && self.window.fits(seen.window, seen.mss.unwrap_or(0))
    }

    fn near(&self, ttl: u8) -> bool {
        self.ttl >= ttl && (self.no_detail || self.ttl - ttl <= MAX_HOPS)
    }
}

/// The quirks as bits, and whether `E` is among them, which the oldest files have for the end of options.
fn parse_quirks(text: &str) -> Result<(u16, bool), String> {
    let (mut bits, mut ends) = (0, false);
    for letter in text.bytes().filter(|letter| *letter != b'.') {
        match QUIRKS.iter().position(|known| *known == letter) {
            Some(at) => bits |= 1 << at,
            None if letter == b'E' => ends = true,
            None => return Err(format!("no quirk is written \"{}\"", letter.escape_ascii())),
        }
    }
    Ok((bits, ends))
}

/// An observation as p0f 2 looks at it.
struct Packet<'a> {
    seen: &'a Observation,
    kinds: &'a [u8],
    quirks: u16,
}

impl<'a> Packet<'a> {
    fn new(seen: &'a Observation, mode: Mode) -> Packet<'a> {
        let mut kinds = seen.kinds();
        let broken = seen.has(Marks::BROKEN) || kinds.len() > MAX_OPTIONS;
        if seen.has(Marks::BROKEN) {
            // p0f 2 does not list the option that it could not read.
            kinds = &kinds[..kinds.len().saturating_sub(1)];
        }
        kinds = &kinds[..kinds.len().min(MAX_OPTIONS)];
        let pushed = if mode == Mode::Ack { PSH } else { 0 };
        let there = [
            mode == Mode::Rst && seen.flags & ACK != 0,
            seen.has(Marks::SEQ_IS_ACK),
            seen.has(Marks::SEQ_ZERO),
            seen.padding > 0,
            seen.has(Marks::ID_ZERO),
            seen.ip_options_len > 0,
            seen.has(Marks::URGENT),
            seen.reserved != 0,
            !seen.has(Marks::ACK_ZERO),
            seen.has(Marks::PEER_STAMP),
            seen.flags & !(SYN | ACK | RST | ECE | CWR | pushed) != 0,
            mode != Mode::Ack && seen.payload > 0,
            broken,
        ];
        let quirks = there.iter().enumerate().map(|(at, there)| u16::from(*there) << at).sum();
        Packet { seen, kinds, quirks }
    }

    /// The line that could be added to the file, with a guessed initial TTL.
    fn text(&self, mode: Mode) -> String {
        let mut out = String::with_capacity(64);
        write_window(&mut out, self.seen.window, self.seen.mss.unwrap_or(0));
        let df = u8::from(self.seen.has(Marks::DF));
        write!(out, ":{}:{df}:", initial_ttl(self.seen.ttl)).expect("memory takes every text");
        if mode == Mode::Ack || self.seen.len > BIG {
            out.push('*');
        } else {
            write!(out, "{}", self.seen.len).expect("memory takes every text");
        }
        out.push(':');
        write_options(&mut out, self.kinds, self.seen);
        out.push(':');
        let quirks = QUIRKS.iter().enumerate().filter(|(at, _)| self.quirks >> at & 1 == 1);
        out.extend(quirks.map(|(_, letter)| char::from(*letter)));
        if self.quirks == 0 {
            out.push('.');
        }
        out + ":?:?"
    }
}

pub(super) struct Signatures {
    mode: Mode,
    entries: Vec<Entry>,
    by_options: HashMap<Vec<u8>, Vec<usize>>,
}

impl Signatures {
    pub fn parse(text: &str, mode: Mode) -> Read<Signatures> {
        let entries = each_line(text, Entry::parse)?;
        let mut by_options = HashMap::<Vec<u8>, Vec<usize>>::new();
        for (at, entry) in entries.iter().enumerate() {
            by_options.entry(entry.options.kinds.clone()).or_default().push(at);
        }
        Ok(Signatures { mode, entries, by_options })
    }

    /// The first entry that fits, else the last one against which only the TTL speaks.
    fn find(&self, packet: &Packet<'_>, df: bool) -> (Option<&Entry>, Option<&Entry>) {
        let same_options = self.by_options.get(packet.kinds).map(Vec::as_slice).unwrap_or_default();
        let mut fuzzy = None;
        for entry in same_options.iter().map(|at| &self.entries[*at]) {
            if entry.fits(packet, df, self.mode == Mode::Ack) {
                if entry.near(packet.seen.ttl) {
                    return (Some(entry), None);
                }
                fuzzy = Some(entry);
            }
        }
        (None, fuzzy)
    }
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let packet = Packet::new(seen, self.mode);
        let mut matched = Matched::unknown(packet.text(self.mode));
        if Step::of(seen) != self.mode.step() || seen.ip_version != 4 {
            return matched;
        }
        let df = seen.has(Marks::DF);
        let (fits, mut fuzzy) = self.find(&packet, df);
        let mut found = fits.map(|entry| (entry, entry.label.quality()));
        if found.is_none() && !df {
            let (fits, also) = self.find(&packet, true);
            found = fits.map(|entry| (entry, Quality::Fuzzy));
            fuzzy = also.or(fuzzy);
        }
        if let Some((entry, quality)) = found.or(fuzzy.map(|entry| (entry, Quality::Fuzzy))) {
            matched.label = Some(entry.label.clone());
            matched.quality = quality;
            matched.distance = if entry.no_detail { None } else { entry.ttl.checked_sub(seen.ttl) };
        }
        matched
    }

    fn entries(&self) -> usize {
        self.entries.len()
    }
}
