//! p0f 3 (2012 to 2014): sections, labels and signatures
//! `ver:ittl:olen:mss:window,scale:options:quirks:payload`.
//!
//! A signature of one system that fits wins; else the first generic one; else the first that fits but
//! for what p0f forgives: a TTL that is too high or more than 35 hops too low, a DF bit or an id that
//! is gone, an id that became zero, an ECN bit that came. Tools (`!`) must fit in everything.
//! `[mtu]` gives links their names; sections about HTTP are read over.

mod signature;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::observation::kind;

use self::signature::{Packet, Quirks, Signature, write_quirks};
use super::{Kind, Label, LineError, Matched, Matcher, Quality, Read, Step, initial_ttl, lines, number};

/// No host is further away than this (MAX_DIST).
const MAX_HOPS: u8 = 35;
/// The MSS with which p0f's own prober asks; an answer that repeats it has no MSS of its own.
const PROBER_MSS: u16 = 1331;

struct Entry {
    signature: Signature,
    label: Arc<Label>,
}

/// Entries of one direction, by the kinds of their options.
#[derive(Default)]
struct Direction {
    by_options: HashMap<Vec<u8>, Vec<Entry>>,
}

pub(super) struct Signatures {
    requests: Direction,
    responses: Direction,
    links: HashMap<u16, String>,
    count: usize,
}

/// Where a line of the file stands.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    None,
    Mtu,
    Request,
    Response,
    Http,
}

/// What reading the lines one after the other has to remember.
struct Reading {
    signatures: Signatures,
    section: Section,
    /// The label that signatures stand under.
    label: Option<Arc<Label>>,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let (requests, responses) = (Direction::default(), Direction::default());
        let signatures = Signatures { requests, responses, links: HashMap::new(), count: 0 };
        let mut reading = Reading { signatures, section: Section::None, label: None };
        let mut errors = Vec::new();
        for (line, content) in lines(text) {
            errors.extend(reading.line(content).err().map(|why| LineError { line, why }));
        }
        if errors.is_empty() { Ok(reading.signatures) } else { Err(errors) }
    }
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('[') {
            return self.begin(line);
        }
        let (key, value) = line.split_once('=').ok_or("neither a section nor a value")?;
        let (key, value) = (key.trim(), value.trim());
        match (key, self.section) {
            (_, Section::Http) | ("classes", Section::None) => Ok(()),
            ("label", Section::Mtu) => {
                self.label = Some(Arc::new(Label::system(value, "")));
                Ok(())
            }
            ("label", Section::Request | Section::Response) => {
                self.label = Some(Arc::new(parse_label(value)?));
                Ok(())
            }
            // Below which systems a tool runs: a hint for people that p0f checks against other packets of the
            // host.
            ("sys", Section::Request | Section::Response) => Ok(()),
            ("sig", _) => self.signature(value),
            _ => Err(format!("\"{key}\" has no place here")),
        }
    }

    fn begin(&mut self, line: &str) -> Result<(), String> {
        self.label = None;
        self.section = match line {
            "[mtu]" => Section::Mtu,
            "[tcp:request]" => Section::Request,
            "[tcp:response]" => Section::Response,
            "[http:request]" | "[http:response]" => Section::Http,
            other => return Err(format!("no section is called {other}")),
        };
        Ok(())
    }

    fn signature(&mut self, value: &str) -> Result<(), String> {
        let label = self.label.clone().ok_or("a signature stands under a label")?;
        self.signatures.count += 1;
        let direction = match self.section {
            Section::Mtu => {
                self.signatures.links.insert(number(value, "an MTU")?, label.text.clone());
                return Ok(());
            }
            Section::Response => &mut self.signatures.responses,
            _ => &mut self.signatures.requests,
        };
        let signature = Signature::parse(value)?;
        let mut label = Label::clone(&label);
        label.random_ttl = signature.random_ttl;
        let entries = direction.by_options.entry(signature.options.clone()).or_default();
        // Signatures of one label share it, as most do.
        let shared = entries.last().map(|entry| &entry.label).filter(|last| ***last == label).cloned();
        entries.push(Entry { signature, label: shared.unwrap_or_else(|| Arc::new(label)) });
        Ok(())
    }
}

/// `s:win:Windows:XP`: specific or generic, class or `!` for a tool, name, flavour.
fn parse_label(text: &str) -> Result<Label, String> {
    let fields: Vec<&str> = text.splitn(4, ':').collect();
    let [generic @ ("s" | "g"), class, name, flavour] = fields[..] else {
        return Err("a label is s or g, class, name and flavour".to_owned());
    };
    let mut label = Label::system(name, flavour.trim());
    label.generic = generic == "g";
    if class == "!" {
        label.kind = Kind::Tool;
    } else {
        label.class = class.to_owned();
    }
    Ok(label)
}

impl Direction {
    fn find(&self, packet: &Packet<'_>) -> Option<(&Entry, Quality)> {
        let (mut generic, mut fuzzy) = (None, None);
        for entry in self.by_options.get(packet.options).map(Vec::as_slice).unwrap_or_default() {
            let Some(exact) = entry.signature.fits(packet, fuzzy.is_none()) else { continue };
            match (exact, entry.label.generic) {
                (true, false) => return Some((entry, Quality::Exact)),
                (true, true) => generic = generic.or(Some(entry)),
                (false, _) => fuzzy = fuzzy.or(Some(entry)),
            }
        }
        let fuzzy = fuzzy.filter(|entry| entry.label.kind == Kind::System);
        generic.map(|entry| (entry, Quality::Generic)).or(fuzzy.map(|entry| (entry, Quality::Fuzzy)))
    }
}

fn text(packet: &Packet<'_>) -> String {
    let seen = packet.seen;
    let mut out = String::with_capacity(96);
    let hops = initial_ttl(seen.ttl) - seen.ttl;
    let mut write = |args: std::fmt::Arguments<'_>| out.write_fmt(args).expect("memory takes every text");
    write(format_args!("{}:{}+", seen.ip_version, seen.ttl));
    if hops > MAX_HOPS {
        write(format_args!("?"))
    } else {
        write(format_args!("{hops}"))
    }
    write(format_args!(":{}:", packet.ip_options_len));
    if packet.mss == PROBER_MSS && Step::of(seen) == Step::SynAck {
        write(format_args!("*"));
    } else {
        write(format_args!("{}", packet.mss));
    }
    match packet.multiple {
        Some((times, of_mtu)) => write(format_args!(":{}*{times}", if of_mtu { "mtu" } else { "mss" })),
        None => write(format_args!(":{}", seen.window)),
    }
    write(format_args!(",{}:", packet.scale));
    for (at, option) in packet.options.iter().enumerate() {
        write(format_args!("{}", if at > 0 { "," } else { "" }));
        match signature::option_name(*option) {
            Some(name) => write(format_args!("{name}")),
            None => write(format_args!("?{option}")),
        }
        if *option == kind::EOL {
            write(format_args!("+{}", packet.padding));
        }
    }
    out.push(':');
    write_quirks(&mut out, packet.quirks);
    out + if seen.payload > 0 { ":+" } else { ":0" }
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, peer_mss: Option<u16>) -> Matched {
        let packet = Packet::new(seen, peer_mss.unwrap_or(0));
        let mut matched = Matched::unknown(text(&packet));
        let direction = match Step::of(seen) {
            Step::Syn => &self.requests,
            Step::SynAck => &self.responses,
            _ => return matched,
        };
        // p0f guesses a distance for strangers too.
        matched.distance = Some(initial_ttl(seen.ttl) - seen.ttl);
        let Some((entry, quality)) = direction.find(&packet) else { return matched };
        let hops = entry.signature.ttl.checked_sub(seen.ttl);
        let near = |hops: &u8| entry.signature.random_ttl || *hops <= MAX_HOPS;
        matched.distance = hops.filter(near).or(matched.distance);
        matched.label = Some(entry.label.clone());
        matched.quality = quality;
        matched
    }

    fn entries(&self) -> usize {
        self.count
    }

    fn link(&self, mtu: u16) -> Option<&str> {
        self.links.get(&mtu).map(String::as_str)
    }
}

/// Quirks that IPv4 packets cannot have.
const IPV6_ONLY: Quirks = Quirks::FLOW;
