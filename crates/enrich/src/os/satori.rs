//! Satori (2005 to 2024): XML; a system has tests, a test a weight and a signature
//! `window:ttl:D:size:options:quirks`.
//!
//! All tests that fit are collected, exact ones before partial ones (which have `*` for DF or window
//! scale), and the heaviest wins; where several weigh the same the first of the file gives the name
//! and the text lists all, as Satori prints them.
//!
//! Three things in the file have grown from the tool's own ways, and are met halfway so that all of the file
//! is of use: Satori rounds TTLs between 33 and 60 to 60, so systems that begin with 64 are only known within
//! four hops: here 64 fits as well. It writes one `E` for each byte behind the end of options, earlier
//! versions one for all: both fit. And the version in Python calls a missing timestamp of a SYN an odd one
//! (`T`), the one in Delphi did not: without timestamps `T` makes no difference.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};
use trapline_wire::tcp::flags::{SYN, URG};

use super::classic::Value;
use super::{Label, LineError, Matched, Matcher, Quality, Read, Step, number};

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    step: Step,
    window: u16,
    size: u32,
    /// Letters without values, one `E` for all.
    options: String,
    quirks: String,
}

struct Test {
    ttl: u8,
    df: Option<bool>,
    mss: Option<u16>,
    scale: Value,
    weight: u32,
    partial: bool,
    label: Arc<Label>,
}

impl Test {
    fn fits(&self, seen: &Observation) -> bool {
        (self.ttl == satori_ttl(seen.ttl) || self.ttl == 64 && satori_ttl(seen.ttl) == 60)
            && self.df.is_none_or(|df| df == seen.has(Marks::DF))
            && self.mss == seen.mss
            && self.scale.fits(seen.scale.unwrap_or(0).into())
    }
}

/// The TTL that Satori thinks the sender began with.
fn satori_ttl(seen: u8) -> u8 {
    match seen {
        0 => 0,
        1..=16 => 16,
        17..=32 => 32,
        33..=60 => 60,
        61..=64 => 64,
        65..=128 => 128,
        129.. => 255,
    }
}

/// Splits options into letters for the key and the two values; text such as `M1460,N,W8,N,N,S`.
fn parse_options(text: &str) -> Result<(String, Option<u16>, Value), String> {
    let (mut letters, mut mss, mut scale) = (String::new(), None, Value::Exact(0));
    for option in text.split(',').filter(|option| !option.is_empty() && *option != ".") {
        let letter =
            option.chars().next().filter(char::is_ascii_uppercase).ok_or("an option begins with a letter")?;
        let value = &option[1..];
        match letter {
            'M' => mss = Some(number(value, "an MSS")?),
            'W' => scale = Value::parse(value, "a window scale")?,
            'T' if value == "0" => {}
            'E' if letters.ends_with('E') => continue,
            _ if !value.is_empty() => return Err(format!("no option is written \"{option}\"")),
            _ => {}
        }
        letters.push(letter);
    }
    Ok((letters, mss, scale))
}

fn letter(option: u8) -> char {
    match option {
        kind::EOL => 'E',
        kind::NOP => 'N',
        kind::MSS => 'M',
        kind::SCALE => 'W',
        kind::SACK_OK => 'S',
        kind::SACK => 'K',
        6 => 'J',
        7 => 'F',
        kind::STAMP => 'T',
        9 => 'P',
        10 => 'R',
        _ => 'U',
    }
}

/// A `T` without timestamps says nothing; `.` is an empty list.
fn settle_quirks(quirks: &str, letters: &str) -> String {
    let keep = |quirk: &char| *quirk != '.' && (*quirk != 'T' || letters.contains('T'));
    quirks.trim_end_matches(';').chars().filter(keep).collect()
}

fn quirks(seen: &Observation, letters: &str, step: Step) -> String {
    let stamped = letters.contains('T');
    let there = [
        (letters.ends_with('E'), 'P'),
        (seen.has(Marks::ID_ZERO), 'Z'),
        (seen.ip_options_len > 0, 'I'),
        (seen.payload > 0, 'D'),
        (seen.flags & URG != 0, 'U'),
        (seen.flags & SYN != 0 && !seen.has(Marks::ACK_ZERO), 'A'),
        (stamped && (step == Step::SynAck || step == Step::Syn && seen.has(Marks::PEER_STAMP)), 'T'),
    ];
    there.iter().filter(|(there, _)| *there).map(|(_, letter)| *letter).collect()
}

/// What is read of one `<test>`.
fn parse_test(signature: &str, flag: &str) -> Result<(Key, Test), String> {
    let fields: Vec<&str> = signature.split(':').collect();
    let [window, ttl, df, size, options, quirks] = fields[..] else {
        return Err(format!("a signature has six fields, not \"{signature}\""));
    };
    let step = match flag {
        "S" => Step::Syn,
        "SA" => Step::SynAck,
        "A" => Step::Ack,
        other => return Err(format!("no packets are called \"{other}\"")),
    };
    let (options, mss, scale) = parse_options(options)?;
    let key = Key {
        step,
        window: number(window, "a window")?,
        size: number(size, "a size")?,
        quirks: settle_quirks(quirks, &options),
        options,
    };
    let df = match df {
        "*" => None,
        "0" => Some(false),
        "1" => Some(true),
        other => return Err(format!("DF is 0 or 1, not \"{other}\"")),
    };
    let label = Arc::new(Label::system("", ""));
    Ok((key, Test { ttl: number(ttl, "a TTL")?, df, mss, scale, weight: 0, partial: false, label }))
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let attribute = element.try_get_attribute(name).map_err(|e| e.to_string())?;
    let attribute = attribute.ok_or_else(|| format!("{name} is missing"))?;
    let value = attribute.unescape_value().map_err(|e| e.to_string())?;
    Ok(value.into_owned())
}

fn read_system(element: &BytesStart<'_>) -> Result<Arc<Label>, String> {
    let mut label = Label::system(&attribute(element, "name")?, "");
    label.class = attribute(element, "os_class").unwrap_or_default();
    Ok(Arc::new(label))
}

fn read_test(element: &BytesStart<'_>, label: &Arc<Label>) -> Result<(Key, Test), String> {
    let (key, mut test) = parse_test(&attribute(element, "tcpsig")?, &attribute(element, "tcpflag")?)?;
    test.weight = number(&attribute(element, "weight")?, "a weight")?;
    test.partial = match attribute(element, "matchtype")?.as_str() {
        "exact" => false,
        "partial" => true,
        other => return Err(format!("a test is exact or partial, not \"{other}\"")),
    };
    test.label = label.clone();
    Ok((key, test))
}

pub(super) struct Signatures {
    by_key: HashMap<Key, Vec<Test>>,
    count: usize,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let mut reader = Reader::from_str(text);
        let mut signatures = Signatures { by_key: HashMap::new(), count: 0 };
        let (mut errors, mut system) = (Vec::new(), None);
        let (mut line, mut counted) = (1, 0);
        loop {
            let event = reader.read_event();
            let position = reader.buffer_position() as usize;
            line +=
                text.as_bytes()[counted..position.min(text.len())].iter().filter(|b| **b == b'\n').count();
            counted = position.min(text.len());
            let read = match event {
                Ok(Event::Eof) => break,
                Ok(Event::Start(element) | Event::Empty(element)) => match element.name().as_ref() {
                    b"fingerprint" => read_system(&element).map(|label| system = Some(label)),
                    b"test" => match &system {
                        Some(label) => {
                            read_test(&element, label).map(|(key, test)| signatures.add(key, test))
                        }
                        None => Err("a test outside of a fingerprint".to_owned()),
                    },
                    _ => Ok(()),
                },
                Ok(_) => Ok(()),
                Err(damage) => {
                    errors.push(LineError { line, why: damage.to_string() });
                    break;
                }
            };
            errors.extend(read.err().map(|why| LineError { line, why }));
        }
        if errors.is_empty() { Ok(signatures) } else { Err(errors) }
    }

    fn add(&mut self, key: Key, test: Test) {
        self.by_key.entry(key).or_default().push(test);
        self.count += 1;
    }
}

fn text(seen: &Observation, quirks: &str) -> String {
    let mut out = String::with_capacity(64);
    let df = u8::from(seen.has(Marks::DF));
    write!(out, "{}:{}:{df}:{}:", seen.window, satori_ttl(seen.ttl), seen.headers_len())
        .expect("memory takes every text");
    for option in seen.kinds() {
        let written = match *option {
            kind::MSS => write!(out, "M{},", seen.mss.unwrap_or(0)),
            kind::SCALE => write!(out, "W{},", seen.scale.unwrap_or(0)),
            other => write!(out, "{},", letter(other)),
        };
        written.expect("memory takes every text");
    }
    (0..seen.padding).for_each(|_| out.push_str("E,"));
    if out.ends_with(',') {
        out.pop();
    }
    out + ":" + if quirks.is_empty() { "." } else { quirks }
}

/// As Satori prints several: `name:weight|name:weight`.
fn joined(tests: &[&Test]) -> String {
    let names: Vec<String> =
        tests.iter().map(|test| format!("{}:{}", test.label.name, test.weight)).collect();
    names.join("|")
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let step = Step::of(seen);
        let options: String = seen.kinds().iter().map(|option| letter(*option)).collect();
        let quirks = quirks(seen, &options, step);
        let mut matched = Matched::unknown(text(seen, &quirks));
        if seen.ip_version != 4 || seen.kinds().is_empty() {
            return matched;
        }
        let key = Key { step, window: seen.window, size: seen.headers_len(), options, quirks };
        let tests = self.by_key.get(&key).map(Vec::as_slice).unwrap_or_default();
        let mut fitting: Vec<&Test> = tests.iter().filter(|test| test.fits(seen)).collect();
        fitting.sort_by_key(|test| test.partial);
        let Some(best) = fitting.iter().rev().max_by_key(|test| (test.weight, !test.partial)) else {
            return matched;
        };
        let mut label = Label::clone(&best.label);
        label.text = joined(&fitting);
        matched.quality = if best.partial { Quality::Fuzzy } else { Quality::Exact };
        matched.distance = best.ttl.checked_sub(seen.ttl);
        matched.label = Some(Arc::new(label));
        matched
    }

    fn entries(&self) -> usize {
        self.count
    }
}
