//! Personas from nmap's database of second-generation fingerprints, read where the user has it.
//!
//! A fingerprint lists for each of nmap's probes what the answers looked like; a value may be several (`A|B`) or a range (`3B-45`). A
//! persona takes of each the first, of a range the middle. The tests are described in nmap's book, chapter 8
//! (<https://nmap.org/book/osdetect-methods.html>).

use std::collections::BTreeMap;
use std::sync::Arc;

use trapline_wire::observation::kind;

use crate::fragments::Overlap;
use crate::layout::{Item, Padding};
use crate::numbers::{IdPolicy, IsnPolicy};
use crate::persona::{
    ArpOddity, ByteOrder, Echo, Ipv6, Number, Persona, Quoted, Reaction, Reactions, SynRule, Taken,
    Unreachable,
};

/// Why a fingerprint is no persona.
#[derive(Debug, thiserror::Error)]
pub enum NmapError {
    /// No fingerprint has that name.
    #[error("there is no fingerprint {0:?} in this database")]
    Unknown(String),
    /// A line that cannot be read.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// One fingerprint: its tests with their values as written.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    /// The system's name, which several fingerprints may have.
    pub name: String,
    /// Line of the name, from 1.
    pub line: usize,
    /// The vendor, family, generation and kind lines.
    pub classes: Vec<String>,
    /// Tests by name: `SEQ`, `OPS`, `WIN`, `ECN`, `T1` to `T7`, `U1`, `IE`.
    pub tests: BTreeMap<String, BTreeMap<String, String>>,
}

/// Reads a database.
///
/// # Errors
/// Names the first line that is no part of one.
pub fn read(text: &str) -> Result<Vec<Fingerprint>, NmapError> {
    let mut all: Vec<Fingerprint> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let broken = |what: &str| NmapError::Line { line: i + 1, what: what.into() };
        if let Some(name) = line.strip_prefix("Fingerprint ") {
            all.push(Fingerprint { name: name.into(), line: i + 1, ..Fingerprint::default() });
        } else if let Some(class) = line.strip_prefix("Class ") {
            all.last_mut()
                .ok_or_else(|| broken("a class before any fingerprint"))?
                .classes
                .push(class.into());
        } else if let Some((test, values)) = line.strip_suffix(')').and_then(|l| l.split_once('('))
            && test.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        {
            // Before the first fingerprint stand the points of a match, in the same form.
            let Some(fingerprint) = all.last_mut() else { continue };
            let pairs = values.split('%').filter(|v| !v.is_empty());
            let pairs = pairs.map(|v| v.split_once('=').ok_or_else(|| broken("a value without its name")));
            let pairs = pairs.map(|pair| pair.map(|(k, v)| (k.to_owned(), v.to_owned())));
            fingerprint.tests.insert(test.into(), pairs.collect::<Result<_, _>>()?);
        } else if !(line.is_empty()
            || line.starts_with('#')
            || line.starts_with("CPE ")
            || line == "MatchPoints")
        {
            return Err(broken("no part of a fingerprint"));
        }
    }
    Ok(all)
}

/// The first fingerprint of that name.
///
/// # Errors
/// When there is none.
pub fn named<'a>(all: &'a [Fingerprint], name: &str) -> Result<&'a Fingerprint, NmapError> {
    all.iter().find(|f| f.name == name).ok_or_else(|| NmapError::Unknown(name.into()))
}

/// One test's values.
struct Test<'a>(Option<&'a BTreeMap<String, String>>);

impl Test<'_> {
    /// The first of the values it may have; `None` where the test does not name it.
    fn first(&self, name: &str) -> Option<&str> {
        self.0?.get(name).map(|v| v.split('|').next().unwrap_or_default())
    }

    /// A number, of a range the middle.
    fn number(&self, name: &str) -> Option<u32> {
        let text = self.first(name)?.trim_start_matches(['>', '<']);
        let hex = |t: &str| u32::from_str_radix(t, 16).ok();
        let above = u32::from(self.first(name)?.starts_with('>'));
        match text.split_once('-') {
            Some((low, high)) => Some(hex(low)?.midpoint(hex(high)?)),
            None => Some(hex(text)? + above),
        }
    }

    /// A number, of a range the lowest.
    fn lowest(&self, name: &str) -> Option<u32> {
        let text = self.first(name)?;
        u32::from_str_radix(text.split('-').next().unwrap_or_default(), 16).ok()
    }

    fn answered(&self) -> bool {
        self.0.is_some() && self.first("R") != Some("N")
    }

    fn yes(&self, name: &str) -> bool {
        self.first(name) == Some("Y")
    }

    /// The time to live as sent: five to each side of it is what T allows; else the guess.
    fn ttl(&self) -> u8 {
        // Above 255 it is a system that counts its own hop in what it quotes: see `Unreachable::ttl_taken`.
        self.number("T").or_else(|| self.number("TG")).unwrap_or(64).min(255) as u8
    }
}

fn number(text: Option<&str>) -> Number {
    match text {
        Some("Z") => Number::Zero,
        Some("A" | "S") => Number::Same,
        Some("A+" | "S+") => Number::Next,
        _ => Number::Own,
    }
}

fn flags(text: &str) -> u8 {
    let bit = |c| "FSRPAUE".find(c).map_or(0, |i| 1 << i);
    text.chars().map(bit).fold(0, |all, one| all | one)
}

/// A layout as nmap writes it: `M5B4NW0NNT11`.
fn layout(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        let value = u32::from_str_radix(&rest[..digits], 16).unwrap_or(0);
        match letter {
            'L' => items.push(Item::End),
            'N' => items.push(Item::Nop),
            'S' => items.push(Item::Sack),
            'M' => items.push(Item::Mss(value as u16)),
            'W' => items.push(Item::Scale(value as u8)),
            'T' => {
                items.push(Item::Stamps { own: rest.starts_with('1'), echo: rest[..digits].ends_with('1') })
            }
            _ => {}
        }
        if matches!(letter, 'M' | 'W' | 'T') {
            rest = &rest[digits..];
        }
    }
    items
}

/// Four bytes whose CRC-32 is `wanted`: nmap compares the checksum of a reset's data, and there are four bytes for each checksum.
fn data_of(wanted: u32) -> Vec<u8> {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    // The register after four bytes, run backwards 32 steps, is the start (all ones) with the bytes in it.
    let mut register = !wanted;
    for _ in 0..32 {
        register = match register >> 31 {
            0 => register << 1,
            _ => ((register ^ POLYNOMIAL) << 1) | 1,
        };
    }
    (!register).to_le_bytes().to_vec()
}

/// An answer as the tests ECN and T1 to T7 describe it.
fn reaction(test: &Test<'_>) -> Option<Reaction> {
    test.answered().then(|| Reaction {
        ttl: test.ttl(),
        df: test.yes("DF"),
        window: test.number("W").unwrap_or(0) as u16,
        seq: number(test.first("S")),
        ack: number(test.first("A")),
        flags: flags(test.first("F").unwrap_or("AS")),
        reserved: u8::from(test.first("Q").is_some_and(|q| q.contains('R'))),
        urgent: if test.first("Q").is_some_and(|q| q.contains('U')) { 0x1f1f } else { 0 },
        options: layout(test.first("O").unwrap_or_default()),
        data: test.number("RD").filter(|crc| *crc != 0).map_or_else(Vec::new, data_of),
    })
}

/// What nmap's six sequence probes offer, in its order, and its congestion probe as the seventh.
const OFFERS: [(&[u8], Option<u16>); 7] = {
    use kind::{MSS, NOP, SACK_OK, SCALE, STAMP};
    [
        (&[SCALE, NOP, MSS, STAMP, SACK_OK], Some(1460)),
        (&[MSS, SCALE, SACK_OK, STAMP], Some(1400)),
        (&[STAMP, NOP, NOP, SCALE, NOP, MSS], Some(640)),
        (&[SACK_OK, STAMP, SCALE], None),
        (&[MSS, SACK_OK, STAMP, SCALE], Some(536)),
        (&[MSS, SACK_OK, STAMP], Some(265)),
        (&[SCALE, NOP, MSS, SACK_OK, NOP, NOP], Some(1460)),
    ]
};

impl Fingerprint {
    fn test(&self, name: &str) -> Test<'_> {
        Test(self.tests.get(name))
    }

    /// The persona of this fingerprint.
    pub fn persona(&self) -> Persona {
        let seq = self.test("SEQ");
        let policy = |name| id_policy(seq.first(name));
        let id_open = policy("TI").unwrap_or(IdPolicy::Zero);
        Persona {
            name: self.name.clone(),
            syn: self.syn_rules(),
            window_at_least: None,
            syn_fin_opens: false,
            open: Reactions {
                null: reaction(&self.test("T2")),
                syn_fin: reaction(&self.test("T3")),
                ack: reaction(&self.test("T4")),
                syn: None,
                xmas: reaction(&self.test("T2")),
            },
            closed: Reactions {
                null: reaction(&self.test("T7")),
                syn_fin: reaction(&self.test("T5")),
                ack: reaction(&self.test("T6")),
                syn: reaction(&self.test("T5")),
                xmas: reaction(&self.test("T7")),
            },
            isn: isn_policy(&seq),
            id_open,
            id_closed: policy("CI").unwrap_or(id_open),
            id_icmp: policy("II").unwrap_or(id_open),
            id_shared: seq.first("SS") != Some("O"),
            stamp_hz: stamp_hz(seq.first("TS")),
            // The database does not say; most systems wait three seconds and then twice as long.
            syn_ack_again_ms: vec![3_000, 6_000],
            udp_df: false,
            padding: Padding::Before,
            mss_follows: false,
            overlap: Overlap::First,
            // The database does not say; most systems of its time answer the first and not the second.
            icmp_timestamp: Some(ByteOrder::Big),
            icmp_mask: false,
            vendors: Vec::new(),
            arp: vec![ArpOddity::Zero, ArpOddity::Hardware6],
            ports: Arc::default(),
            unreachable: self.unreachable(),
            echo: self.echo(),
            // The database is about IPv4 alone; what most systems do over IPv6.
            ipv6: Some(Ipv6 {
                hop_limit: reaction(&self.test("T1")).map_or(64, |answer| answer.ttl),
                flow_labels: true,
                echoes_to_groups: true,
                echo_code: Taken::Same,
                address_always: false,
                interface_of_mac: true,
                router: false,
            }),
        }
    }

    fn syn_rules(&self) -> Vec<SynRule> {
        let (options, windows, first) = (self.test("OPS"), self.test("WIN"), reaction(&self.test("T1")));
        let mut rules = Vec::new();
        for (i, (kinds, mss)) in OFFERS.into_iter().enumerate().take(6) {
            let answer = first.clone().map(|first| Reaction {
                window: windows.number(&format!("W{}", i + 1)).unwrap_or(0) as u16,
                options: layout(options.first(&format!("O{}", i + 1)).unwrap_or_default()),
                ..first
            });
            rules.push(SynRule { kinds: kinds.to_vec(), mss, ecn: false, answer });
        }
        let test = self.test("ECN");
        let congestion = match test.first("CC") {
            Some("Y") => flags("E"),
            Some("S") => flags("E") | CWR,
            Some("O") => CWR,
            _ => 0,
        };
        let answer = reaction(&test).map(|answer| Reaction {
            flags: flags("AS") | congestion,
            seq: Number::Own,
            ack: Number::Next,
            ..answer
        });
        let (kinds, mss) = OFFERS[6];
        rules.push(SynRule { kinds: kinds.to_vec(), mss, ecn: true, answer });
        rules
    }

    fn unreachable(&self) -> Option<Unreachable> {
        let test = self.test("U1");
        let quoted = |name| match test.first(name) {
            None | Some("G") => Quoted::Good,
            Some("Z") => Quoted::Set(0),
            Some("I") => Quoted::Wrong,
            Some(_) => test.number(name).map_or(Quoted::Good, |n| Quoted::Set(n as u16)),
        };
        test.answered().then(|| Unreachable {
            ttl: test.ttl(),
            df: test.yes("DF"),
            length: test.number("IPL").unwrap_or(56) as usize,
            ttl_taken: test.number("T").map_or(0, |t| t.saturating_sub(255) as u8),
            unused: test.number("UN").unwrap_or(0),
            ip_length: quoted("RIPL"),
            ip_id: quoted("RID"),
            ip_checksum: quoted("RIPCK"),
            udp_checksum: quoted("RUCK"),
            data_good: test.first("RUD") != Some("I"),
            limit: None,
        })
    }

    fn echo(&self) -> Option<Echo> {
        let test = self.test("IE");
        let df = match test.first("DFI") {
            Some("S") => Taken::Same,
            Some("Y") => Taken::Always(1),
            Some("O") => Taken::Other,
            _ => Taken::Always(0),
        };
        let code = match test.first("CD") {
            Some("S") => Taken::Same,
            Some("O") => Taken::Other,
            Some("Z") | None => Taken::Always(0),
            Some(_) => Taken::Always(test.number("CD").unwrap_or(0) as u8),
        };
        test.answered().then(|| Echo { ttl: test.ttl(), df, code })
    }
}

/// Congestion window reduced (RFC 3168).
const CWR: u8 = 0x80;

fn id_policy(text: Option<&str>) -> Option<IdPolicy> {
    Some(match text? {
        "Z" => IdPolicy::Zero,
        "I" => IdPolicy::Incremental,
        "BI" => IdPolicy::BrokenIncremental,
        "RI" => IdPolicy::RandomSteps,
        "RD" => IdPolicy::Random,
        constant => IdPolicy::Constant(u16::from_str_radix(constant, 16).ok()?),
    })
}

/// SP and ISR are eight times the binary logarithm of spread and mean of the growth each second, over numbers 100 ms apart; a spread in
/// units above 9 is in those units.
fn isn_policy(seq: &Test<'_>) -> IsnPolicy {
    /// From this spread on no clock is seen any more.
    const STEPS: u32 = 0xa0;
    /// From this rate on steps meet the other half of the numbers, and all is as random.
    const RANDOM: u32 = 0x112;
    let rate = seq.number("ISR").unwrap_or(0x104);
    let unit = seq.number("GCD").unwrap_or(1);
    let power = |eighths: u32| if eighths == 0 { 0.0 } else { 2f64.powf(f64::from(eighths) / 8.0) };
    let spread = seq.number("SP").unwrap_or(0x100);
    // nmap measures in units where they are above 9.
    let scale = |unit: u32| if unit > 9 { f64::from(unit) } else { 1.0 };
    if unit == 0 {
        return IsnPolicy::Constant;
    }
    if rate >= RANDOM {
        return IsnPolicy::Random;
    }
    // A range of units is the chance divisor of numbers that have none.
    let unit = if seq.first("GCD").is_some_and(|gcd| gcd.contains('-')) { 1 } else { unit };
    if spread >= STEPS {
        let spread = power(spread) * scale(unit);
        return IsnPolicy::Steps { unit, mean: power(rate) / 10.0, spread: spread / 10.0 };
    }
    // Who measures adds the spread of his own clock.
    let spread = seq.lowest("SP").unwrap_or(0).midpoint(spread);
    let spread = if seq.lowest("SP") == Some(0) { 0.0 } else { power(spread) };
    IsnPolicy::Clock { unit, per_s: power(rate), spread_per_s: spread * scale(unit) }
}

/// TS is the binary logarithm of the ticks each second, with room for the usual clocks.
fn stamp_hz(text: Option<&str>) -> f64 {
    match text.and_then(|t| u32::from_str_radix(t, 16).ok()) {
        Some(1) => 2.0,
        Some(7) => 100.0,
        Some(8) => 200.0,
        Some(0xA) => 1000.0,
        Some(power) => 2f64.powi(power.min(40) as i32),
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# made up\nMatchPoints\nSEQ(SP=25)\n\nFingerprint Made Up 1.0\nClass Made | Up | 1.X | general purpose\n\
        CPE cpe:/o:made:up\nSEQ(SP=10-20|FF%GCD=40%ISR=50%TI=BI%TS=U)\nOPS(O1=M5B4NNS|M5B4%O2=M5B4)\n\
        WIN(W1=2238%W2=20D0)\nECN(R=N)\nT1(R=Y%DF=Y%T=7B-85%S=O%A=S+%F=AS%RD=0%Q=)\n\
        T5(R=Y%DF=N%TG=80%W=0%S=Z%A=S+%F=AR%O=%RD=12345678%Q=U)\nU1(DF=N%T=7B-85%IPL=38%RIPCK=I%RID=4210)\nIE(R=N)\n";

    #[test]
    fn a_fingerprint_becomes_a_persona() {
        let all = read(TEXT).unwrap();
        assert_eq!(all.len(), 1);
        let persona = named(&all, "Made Up 1.0").unwrap().persona();
        let first = persona.syn[0].answer.as_ref().unwrap();
        assert_eq!((first.window, first.ttl, first.df), (0x2238, 128, true));
        assert_eq!(first.options, [Item::Mss(1460), Item::Nop, Item::Nop, Item::Sack]);
        assert_eq!(persona.id_open, IdPolicy::BrokenIncremental);
        let closed = persona.closed.syn.as_ref().unwrap();
        assert_eq!((closed.urgent != 0, closed.data.len()), (true, 4));
        assert!(persona.echo.is_none() && persona.syn[6].answer.is_none() && persona.open.ack.is_none());
        let unreachable = persona.unreachable.unwrap();
        assert_eq!((unreachable.length, unreachable.ip_id), (56, Quoted::Set(0x4210)));
        assert_eq!(unreachable.ip_checksum, Quoted::Wrong);
        assert!(matches!(persona.isn, IsnPolicy::Clock { unit: 64, .. }));
    }

    #[test]
    fn what_is_no_fingerprint_is_named_by_its_line() {
        assert_eq!(read("Fingerprint A\nhello").unwrap_err().to_string(), "line 2: no part of a fingerprint");
        assert!(named(&[], "A").is_err());
    }

    #[test]
    fn layouts_are_read_as_nmap_writes_them() {
        let stamps = Item::Stamps { own: true, echo: true };
        let expected = [Item::Mss(0x5b4), Item::Sack, stamps, Item::Nop, Item::Scale(0xa), Item::End];
        assert_eq!(layout("M5B4ST11NWAL"), expected);
    }

    /// The table-free CRC-32 of ISO 3309, as nmap computes it of a reset's data.
    fn crc32(data: &[u8]) -> u32 {
        let step = |r: u32| if r & 1 == 1 { (r >> 1) ^ 0xedb8_8320 } else { r >> 1 };
        !data.iter().fold(!0, |r: u32, byte| (0..8).fold(r ^ u32::from(*byte), |r, _| step(r)))
    }

    #[test]
    fn there_is_data_for_every_checksum() {
        for wanted in [1, 0x1234_5678, 0xdead_beef, u32::MAX] {
            assert_eq!(crc32(&data_of(wanted)), wanted);
        }
    }
}
