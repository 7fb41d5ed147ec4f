//! Personas as text: TOML with comments, in which everything that a system does not share with the others stands.
//!
//! The words are those of docs/personas.md. An unknown key is an error, so that a mistyped one is no silent default.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use trapline_wire::observation::kind;
use trapline_wire::tcp::flags;

use crate::fragments::Overlap;
use crate::host::{Port, Ports};
use crate::layout::{Item, Offer, Padding, fitted};
use crate::numbers::{IdPolicy, IsnPolicy};
use crate::persona::{
    ArpOddity, ByteOrder, Echo, Ipv6, Number, Persona, Quoted, Reaction, Reactions, SynRule, Taken,
    Unreachable,
};
use crate::services::Kind;

/// Why a text is no persona.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// It is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// A value that cannot be.
    #[error("{key} is {value:?}; it can be {possible}")]
    Value {
        /// Where.
        key: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        possible: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "summary")]
    _summary: String,
    ttl: u8,
    ip_id: Ids,
    sequence: Sequence,
    #[serde(default)]
    stamps_hz: f64,
    #[serde(default)]
    udp_df: bool,
    syn: Syn,
    #[serde(default)]
    open: BTreeMap<String, Answer>,
    #[serde(default)]
    closed: BTreeMap<String, Answer>,
    unreachable: Option<Quote>,
    echo: Option<Reply>,
    ipv6: Option<Six>,
    #[serde(default)]
    vendors: Vec<String>,
    fragments: String,
    arp: Arp,
    icmp: Icmp,
    #[serde(default)]
    ports: Listed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Icmp {
    timestamp: String,
    mask: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arp {
    answers: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Six {
    hop_limit: u8,
    flow_labels: bool,
    echoes_to_groups: bool,
    echo_code: String,
    address_always: bool,
    interface: String,
    #[serde(default)]
    router: bool,
}

/// Ports with what they do, by protocol.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    tcp: BTreeMap<String, String>,
    #[serde(default)]
    udp: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    open: String,
    closed: String,
    icmp: String,
    #[serde(default)]
    apart: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    #[serde(default = "one")]
    unit: u32,
    per_s: Option<f64>,
    step: Option<f64>,
    #[serde(default)]
    spread: f64,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Syn {
    options: String,
    window: Option<u16>,
    window_without_stamps: Option<u16>,
    window_at_least: Option<u16>,
    #[serde(default)]
    ecn: bool,
    fin_too: bool,
    #[serde(default = "yes")]
    df: bool,
    #[serde(default)]
    mss_follows: bool,
    #[serde(default)]
    pads_after: bool,
    #[serde(default = "thrice")]
    again_ms: Vec<u32>,
}

fn yes() -> bool {
    true
}

/// Of BSD and Windows: three seconds, then twice as long each time.
fn thrice() -> Vec<u32> {
    vec![3_000, 6_000, 12_000]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    flags: String,
    #[serde(default = "zero")]
    seq: String,
    #[serde(default = "zero")]
    ack: String,
    #[serde(default)]
    window: u16,
    df: bool,
}

fn zero() -> String {
    "zero".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quote {
    quotes: usize,
    df: bool,
    ttl: Option<u8>,
    limit: Option<Limit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    burst: f64,
    per_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    df: String,
    code: String,
    ttl: Option<u8>,
}

fn wrong(key: &str, value: &str, possible: &'static str) -> TextError {
    TextError::Value { key: key.into(), value: value.into(), possible }
}

/// Reads a persona.
///
/// # Errors
/// Says what cannot be read, or which value cannot be.
pub fn read(text: &str) -> Result<Persona, TextError> {
    let file: File = toml::from_str(text).map_err(|e| TextError::Form(e.to_string()))?;
    let ttl = file.ttl;
    let full = layout("syn.options", &file.syn.options)?;
    let opening = |window, ecn: bool| Reaction {
        ttl,
        df: file.syn.df,
        window,
        seq: Number::Own,
        ack: Number::Next,
        flags: flags::SYN | flags::ACK | if ecn { flags::ECE } else { 0 },
        reserved: 0,
        urgent: 0,
        options: full.clone(),
        data: Vec::new(),
    };
    let window = file.syn.window.or(file.syn.window_at_least);
    let window = window.ok_or_else(|| wrong("syn.window", "", "a window, or window_at_least"))?;
    let bare = file.syn.window_without_stamps.unwrap_or(window);
    let stamped: Vec<u8> = full.iter().map(|item| item.kind()).collect();
    // Without stamps, with the ordinary segment size: what a scanner's congestion probe offers (see `Persona::answer_to_syn`).
    let plain = [kind::SCALE, kind::NOP, kind::MSS, kind::SACK_OK, kind::NOP, kind::NOP];
    let offer = Offer { kinds: plain.to_vec(), ..Offer::default() };
    let padding = if file.syn.pads_after { Padding::After } else { Padding::Before };
    let answer = Reaction { options: fitted(&full, &offer, padding), ..opening(bare, file.syn.ecn) };
    Ok(Persona {
        syn: vec![
            SynRule { kinds: stamped, mss: Some(1460), ecn: false, answer: Some(opening(window, false)) },
            SynRule { kinds: plain.to_vec(), mss: Some(1460), ecn: true, answer: Some(answer) },
        ],
        window_at_least: file.syn.window_at_least,
        syn_fin_opens: file.syn.fin_too,
        open: reactions("open", &file.open, ttl)?,
        closed: reactions("closed", &file.closed, ttl)?,
        isn: isn(&file.sequence)?,
        id_open: id("ip_id.open", &file.ip_id.open)?,
        id_closed: id("ip_id.closed", &file.ip_id.closed)?,
        id_icmp: id("ip_id.icmp", &file.ip_id.icmp)?,
        id_shared: !file.ip_id.apart,
        stamp_hz: file.stamps_hz,
        syn_ack_again_ms: file.syn.again_ms,
        udp_df: file.udp_df,
        padding,
        mss_follows: file.syn.mss_follows,
        overlap: overlap(&file.fragments)?,
        icmp_timestamp: timestamp(&file.icmp.timestamp)?,
        icmp_mask: file.icmp.mask,
        vendors: file.vendors.iter().map(|text| vendor(text)).collect::<Result<_, _>>()?,
        arp: arp(&file.arp.answers)?,
        ports: Arc::new(Ports {
            tcp: ports("ports.tcp", &file.ports.tcp)?,
            udp: ports("ports.udp", &file.ports.udp)?,
            others: Port::Closed,
        }),
        unreachable: file.unreachable.map(|quote| unreachable(&quote, ttl)),
        echo: file.echo.map(|reply| echo(&reply, ttl)).transpose()?,
        ipv6: file.ipv6.map(ipv6).transpose()?,
        name: file.name,
    })
}

fn overlap(text: &str) -> Result<Overlap, TextError> {
    Ok(match text {
        "first" => Overlap::First,
        "last" => Overlap::Last,
        "bsd" => Overlap::Bsd,
        "bsd-right" => Overlap::BsdRight,
        "linux" => Overlap::Linux,
        _ => return Err(wrong("fragments", text, "first, last, bsd, bsd-right, linux")),
    })
}

fn timestamp(text: &str) -> Result<Option<ByteOrder>, TextError> {
    match text {
        "big-endian" => Ok(Some(ByteOrder::Big)),
        "little-endian" => Ok(Some(ByteOrder::Little)),
        "none" => Ok(None),
        _ => Err(wrong("icmp.timestamp", text, "big-endian, little-endian, none")),
    }
}

/// The prefix of a maker's Ethernet addresses.
fn vendor(text: &str) -> Result<[u8; 3], TextError> {
    let bytes: Vec<u8> = text.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let prefix: Option<[u8; 3]> = bytes.try_into().ok();
    prefix
        .filter(|[first, ..]| first & 1 == 0)
        .ok_or_else(|| wrong("vendors", text, "three bytes such as 00:50:56"))
}

fn arp(text: &str) -> Result<Vec<ArpOddity>, TextError> {
    let one = |word: &str| {
        Ok(match word {
            "loopback" => ArpOddity::Loopback,
            "zero" => ArpOddity::Zero,
            "broadcast" => ArpOddity::Broadcast,
            "distant" => ArpOddity::Distant,
            "operation" => ArpOddity::Operation,
            "hardware-6" => ArpOddity::Hardware6,
            "hardware" => ArpOddity::Hardware,
            "protocol" => ArpOddity::Protocol,
            "ipx" => ArpOddity::Ipx,
            "protocol-length" => ArpOddity::ProtocolLength,
            "hardware-length" => ArpOddity::HardwareLength,
            _ => {
                let possible = "loopback, zero, broadcast, distant, operation, hardware-6, hardware, protocol, ipx, \
                                protocol-length, hardware-length";
                return Err(wrong("arp.answers", word, possible));
            }
        })
    };
    text.split_whitespace().map(one).collect()
}

/// What ports do: a service's name, or a word of [`Port`].
///
/// # Errors
/// Names what is no port or no service.
pub fn ports(key: &str, listed: &BTreeMap<String, String>) -> Result<BTreeMap<u16, Port>, TextError> {
    let one = |(number, does): (&String, &String)| {
        let port = number.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong(key, number, "a number from 1 to 65535"))?;
        let does = match does.as_str() {
            "record" => Port::Record,
            "closed" => Port::Closed,
            "silent" => Port::Silent,
            "tarpit" => Port::Tarpit,
            name => Kind::named(name).map(Port::Service).ok_or_else(|| {
                wrong(
                    &format!("{key}.{number}"),
                    name,
                    "record, closed, silent, tarpit or a service: see trapline persona services",
                )
            })?,
        };
        Ok((port, does))
    };
    listed.iter().map(one).collect()
}

fn layout(key: &str, text: &str) -> Result<Vec<Item>, TextError> {
    const POSSIBLE: &str = "mss=N, scale=N, sack, stamps, stamps-zero, nop, end";
    let item = |word: &str| {
        let number = |prefix| word.strip_prefix(prefix).and_then(|n: &str| n.parse::<u16>().ok());
        Some(match word {
            "nop" => Item::Nop,
            "end" => Item::End,
            "sack" => Item::Sack,
            "stamps" => Item::Stamps { own: true, echo: true },
            "stamps-zero" => Item::Stamps { own: false, echo: false },
            _ => match (number("mss="), number("scale=").filter(|shift| *shift <= 14)) {
                (Some(mss), _) => Item::Mss(mss),
                (_, Some(shift)) => Item::Scale(shift as u8),
                _ => return None,
            },
        })
    };
    text.split_whitespace().map(|word| item(word).ok_or_else(|| wrong(key, word, POSSIBLE))).collect()
}

fn reactions(at: &str, answers: &BTreeMap<String, Answer>, ttl: u8) -> Result<Reactions, TextError> {
    let mut all = Reactions::default();
    for (name, answer) in answers {
        let key = format!("{at}.{name}");
        let slot = match name.as_str() {
            "null" => &mut all.null,
            "syn-fin" => &mut all.syn_fin,
            "ack" => &mut all.ack,
            "syn" => &mut all.syn,
            "xmas" => &mut all.xmas,
            _ => return Err(wrong(at, name, "null, syn-fin, ack, syn, xmas")),
        };
        *slot = Some(Reaction {
            ttl,
            df: answer.df,
            window: answer.window,
            seq: number(&key, &answer.seq)?,
            ack: number(&key, &answer.ack)?,
            flags: bits(&key, &answer.flags)?,
            reserved: 0,
            urgent: 0,
            options: Vec::new(),
            data: Vec::new(),
        });
    }
    Ok(all)
}

fn bits(key: &str, text: &str) -> Result<u8, TextError> {
    let bit = |letter| Some(1 << "FSRPAUEC".find(letter)?);
    let possible = "letters of FSRPAUEC";
    text.chars().try_fold(0, |all, letter| {
        bit(letter).map(|one: u8| all | one).ok_or_else(|| wrong(key, text, possible))
    })
}

fn number(key: &str, text: &str) -> Result<Number, TextError> {
    Ok(match text {
        "zero" => Number::Zero,
        "same" => Number::Same,
        "next" => Number::Next,
        "own" => Number::Own,
        _ => return Err(wrong(key, text, "zero, same, next, own")),
    })
}

fn id(key: &str, text: &str) -> Result<IdPolicy, TextError> {
    Ok(match text {
        "zero" => IdPolicy::Zero,
        "incremental" => IdPolicy::Incremental,
        "broken-incremental" => IdPolicy::BrokenIncremental,
        "random-steps" => IdPolicy::RandomSteps,
        "random" => IdPolicy::Random,
        _ => return Err(wrong(key, text, "zero, incremental, broken-incremental, random-steps, random")),
    })
}

fn isn(sequence: &Sequence) -> Result<IsnPolicy, TextError> {
    let (unit, spread) = (sequence.unit.max(1), sequence.spread);
    match (sequence.per_s, sequence.step) {
        (Some(per_s), None) => Ok(IsnPolicy::Clock { unit, per_s, spread_per_s: spread }),
        (None, Some(mean)) => Ok(IsnPolicy::Steps { unit, mean, spread }),
        (None, None) => Ok(IsnPolicy::Random),
        _ => Err(wrong("sequence", "per_s and step", "one of them")),
    }
}

fn unreachable(quote: &Quote, ttl: u8) -> Unreachable {
    /// An IP and an ICMP header.
    const HEADERS: usize = 28;
    Unreachable {
        ttl: quote.ttl.unwrap_or(ttl),
        df: quote.df,
        length: HEADERS + quote.quotes,
        ttl_taken: 0,
        unused: 0,
        ip_length: Quoted::Good,
        ip_id: Quoted::Good,
        ip_checksum: Quoted::Good,
        udp_checksum: Quoted::Good,
        data_good: true,
        limit: quote.limit.as_ref().map(|limit| (limit.burst, limit.per_s)),
    }
}

fn echo(reply: &Reply, ttl: u8) -> Result<Echo, TextError> {
    let ttl = reply.ttl.unwrap_or(ttl);
    Ok(Echo { ttl, df: taken("echo.df", &reply.df)?, code: taken("echo.code", &reply.code)? })
}

fn taken(key: &str, text: &str) -> Result<Taken, TextError> {
    match text {
        "same" => Ok(Taken::Same),
        "other" => Ok(Taken::Other),
        "never" => Ok(Taken::Always(0)),
        "always" => Ok(Taken::Always(1)),
        _ => Err(wrong(key, text, "same, other, never, always")),
    }
}

fn ipv6(six: Six) -> Result<Ipv6, TextError> {
    let interface_of_mac = match six.interface.as_str() {
        "mac" => true,
        "random" => false,
        text => return Err(wrong("ipv6.interface", text, "mac, random")),
    };
    Ok(Ipv6 {
        hop_limit: six.hop_limit,
        flow_labels: six.flow_labels,
        echoes_to_groups: six.echoes_to_groups,
        echo_code: taken("ipv6.echo_code", &six.echo_code)?,
        address_always: six.address_always,
        interface_of_mac,
        router: six.router,
    })
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../personas/", $name, ".toml")))),*]
    };
}

/// The built-in personas: name and text.
pub const BUILT_IN: [(&str, &str); 13] = built_in![
    "windows-98",
    "windows-nt4-server",
    "linux-redhat-7.3",
    "windows-2000",
    "windows-xp",
    "windows-server-2019",
    "windows-10",
    "linux-6",
    "freebsd",
    "solaris-9",
    "cisco-ios",
    "consumer-router",
    "ip-camera",
];

/// The summary of a persona's text.
pub fn summary(text: &str) -> String {
    #[derive(Deserialize)]
    struct Summary {
        summary: String,
    }
    toml::from_str(text).map(|s: Summary| s.summary).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_persona_is_whole() {
        for (name, text) in BUILT_IN {
            let persona = read(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(persona.name, name);
            assert!(
                text.lines().filter(|line| line.starts_with('#')).count() >= 3,
                "{name} says where its facts come from"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let (_, text) = BUILT_IN[0];
        let check = |from: &str, to: &str, expected: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from:?} stands in the text");
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("ttl =", "tll =", "tll");
        check(
            "\"broken-incremental\"",
            "\"downwards\"",
            "ip_id.open is \"downwards\"; it can be zero, incremental",
        );
        check("mss=1460", "mms=1460", "syn.options is \"mms=1460\"");
        check("flags = \"RA\"", "flags = \"RX\"", "letters of FSRPAUEC");
    }

    #[test]
    fn ethernet_addresses_come_from_the_seed_and_the_maker() {
        for (name, text) in BUILT_IN {
            let persona = read(text).unwrap();
            let (one, two) = (persona.mac(1), persona.mac(2));
            assert_ne!(one, two, "{name}");
            assert_eq!(one, persona.mac(1), "{name}");
            assert!(persona.vendors.iter().any(|prefix| one.starts_with(prefix)), "{name}");
        }
    }

    /// The windows of Windows 98 to nmap's six probes, as nmap's database has them.
    #[test]
    fn windows_98_opens_with_whole_segments() {
        let persona = read(BUILT_IN[0].1).unwrap();
        let window = |mss| {
            let offer = Offer { kinds: vec![kind::MSS], mss, ..Offer::default() };
            persona.answer_to_syn(&offer).unwrap().window
        };
        let seen = [Some(1460), Some(1400), Some(640), None, Some(536), Some(265)].map(window);
        assert_eq!(seen, [0x2238, 0x20d0, 0x2080, 0x2180, 0x2180, 0x2017]);
    }
}
