//! Observations as text and back: `syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack |
//! df`.
//!
//! One fact a segment, always in the same order, and only what is not the ordinary case: no segment
//! says that a SYN acknowledges nothing. So the same observation has one text, and a text one observation.

use std::fmt::Write;
use std::str::FromStr;

use super::{MAX_OPTIONS, Marks, Observation, kind};
use crate::tcp::flags;

/// A text that is no observation: the segment that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnObservation(pub String);

impl std::fmt::Display for NotAnObservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an observation: cannot understand \"{}\"", self.0)
    }
}

impl std::error::Error for NotAnObservation {}

const FLAGS: [(u8, &str); 8] = [
    (flags::SYN, "syn"),
    (flags::RST, "rst"),
    (flags::FIN, "fin"),
    (flags::ACK, "ack"),
    (flags::PSH, "psh"),
    (flags::URG, "urg"),
    (flags::ECE, "ece"),
    (flags::CWR, "cwr"),
];

/// `ACK_ZERO` is not here: it is the ordinary case without the ACK flag, and odd with it.
const MARKS: [(Marks, &str); 12] = [
    (Marks::DF, "df"),
    (Marks::RESERVED_BIT, "reserved bit"),
    (Marks::ID_ZERO, "id zero"),
    (Marks::FLOW, "flow"),
    (Marks::SEQ_ZERO, "seq zero"),
    (Marks::SEQ_IS_ACK, "seq is ack"),
    (Marks::URGENT, "urgent pointer"),
    (Marks::STAMP_ZERO, "stamp zero"),
    (Marks::PEER_STAMP, "peer stamp"),
    (Marks::PADDING_NOT_ZERO, "pad not zero"),
    (Marks::OPTION_SIZE, "option size"),
    (Marks::BROKEN, "options broken"),
];

const KINDS: [(u8, &str); 7] = [
    (kind::EOL, "eol"),
    (kind::NOP, "nop"),
    (kind::MSS, "mss"),
    (kind::SCALE, "scale"),
    (kind::SACK_OK, "sack"),
    (kind::SACK, "blocks"),
    (kind::STAMP, "stamp"),
];

const ACK_ZERO: &str = "ack zero";
const ACK_NOT_ZERO: &str = "ack not zero";

impl Observation {
    /// The canonical text, which [`Observation::parse`] reads back.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(128);
        self.write(&mut out).expect("memory takes every text");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.write_flags(out);
        if self.ip_version == 6 {
            out.push_str(" | ip6");
        }
        write!(out, " | ttl {}", self.ttl)?;
        for (name, value) in [
            ("tos", u16::from(self.tos)),
            ("reserved", self.reserved.into()),
            ("ip options", self.ip_options_len),
        ] {
            if value != 0 {
                write!(out, " | {name} {value}")?;
            }
        }
        write!(out, " | len {} | win {}", self.len, self.window)?;
        if let Some(mss) = self.mss {
            write!(out, " | mss {mss}")?;
        }
        if let Some(scale) = self.scale {
            write!(out, " | scale {scale}")?;
        }
        self.write_options(out)?;
        if self.padding > 0 {
            write!(out, " | pad {}", self.padding)?;
        }
        if self.payload > 0 {
            write!(out, " | payload {}", self.payload)?;
        }
        match (self.flags & flags::ACK != 0, self.has(Marks::ACK_ZERO)) {
            (true, true) => write!(out, " | {ACK_ZERO}")?,
            (false, false) => write!(out, " | {ACK_NOT_ZERO}")?,
            _ => {}
        }
        for (_, name) in MARKS.iter().filter(|(mark, _)| self.has(*mark)) {
            write!(out, " | {name}")?;
        }
        Ok(())
    }

    fn write_flags(&self, out: &mut String) {
        let mut names = FLAGS.iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, name)| *name);
        out.push_str(names.next().unwrap_or("none"));
        for name in names {
            out.push(' ');
            out.push_str(name);
        }
    }

    fn write_options(&self, out: &mut String) -> std::fmt::Result {
        if self.count > 0 {
            out.push_str(" | opts");
        }
        for kind in self.kinds() {
            match KINDS.iter().find(|(number, _)| number == kind) {
                Some((_, name)) => write!(out, " {name}")?,
                None => write!(out, " {kind}")?,
            }
        }
        Ok(())
    }

    /// Reads what [`Observation::text`] wrote.
    ///
    /// # Errors
    /// When a segment cannot be understood, or one that is always there is missing.
    pub fn parse(text: &str) -> Result<Observation, NotAnObservation> {
        let mut segments = text.split(" | ");
        let flags = read_flags(segments.next().unwrap_or_default())?;
        let mut seen = Observation {
            ip_version: 4,
            ttl: 0,
            tos: 0,
            flags,
            reserved: 0,
            ip_options_len: 0,
            len: 0,
            payload: 0,
            window: 0,
            mss: None,
            scale: None,
            padding: 0,
            marks: Marks::default().with(Marks::ACK_ZERO, flags & flags::ACK == 0),
            count: 0,
            kinds: [0; MAX_OPTIONS],
        };
        let (mut ttl, mut len, mut window) = (false, false, false);
        for segment in segments {
            seen.read_segment(segment).ok_or_else(|| NotAnObservation(segment.to_owned()))?;
            ttl |= segment.starts_with("ttl ");
            len |= segment.starts_with("len ");
            window |= segment.starts_with("win ");
        }
        let missing = [(ttl, "ttl"), (len, "len"), (window, "win")].into_iter().find(|(there, _)| !there);
        match missing {
            Some((_, name)) => Err(NotAnObservation(format!("no {name} in {text}"))),
            None => Ok(seen),
        }
    }

    fn read_segment(&mut self, segment: &str) -> Option<()> {
        if let Some((mark, _)) = MARKS.iter().find(|(_, name)| *name == segment) {
            self.marks = self.marks.with(*mark, true);
            return Some(());
        }
        match segment {
            "ip6" => self.ip_version = 6,
            ACK_ZERO => self.marks = self.marks.with(Marks::ACK_ZERO, true),
            ACK_NOT_ZERO => self.marks = Marks(self.marks.0 & !Marks::ACK_ZERO.0),
            _ => return self.read_value(segment),
        }
        Some(())
    }

    fn read_value(&mut self, segment: &str) -> Option<()> {
        if let Some(names) = segment.strip_prefix("opts ") {
            return self.read_kinds(names);
        }
        let (name, value) = segment.rsplit_once(' ')?;
        match name {
            "ttl" => self.ttl = number(value)?,
            "tos" => self.tos = number(value)?,
            "reserved" => self.reserved = number(value).filter(|bits| *bits < 16)?,
            "ip options" => self.ip_options_len = number(value)?,
            "len" => self.len = number(value)?,
            "win" => self.window = number(value)?,
            "mss" => self.mss = Some(number(value)?),
            "scale" => self.scale = Some(number(value)?),
            "payload" => self.payload = number(value)?,
            "pad" => self.padding = number(value)?,
            _ => return None,
        }
        Some(())
    }

    fn read_kinds(&mut self, names: &str) -> Option<()> {
        for name in names.split(' ') {
            let known = KINDS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
            let place = self.kinds.get_mut(usize::from(self.count))?;
            *place = known.or_else(|| number(name))?;
            self.count += 1;
        }
        Some(())
    }
}

impl std::fmt::Display for Observation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

fn read_flags(names: &str) -> Result<u8, NotAnObservation> {
    if names == "none" {
        return Ok(0);
    }
    let bit = |name: &str| FLAGS.iter().find(|(_, known)| *known == name).map(|(bit, _)| *bit);
    names
        .split(' ')
        .try_fold(0, |all, name| Some(all | bit(name)?))
        .ok_or_else(|| NotAnObservation(names.to_owned()))
}

/// A number as it was written: digits, nothing else.
fn number<N: FromStr>(text: &str) -> Option<N> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
