//! Signatures of p0f 3: reading one, an observation as p0f looks at it, and whether the one fits the other.

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};
use trapline_wire::tcp::flags::{ACK, CWR, ECE, PSH, RST, SYN, URG};

use super::super::number;
use super::{IPV6_ONLY, MAX_HOPS};

/// p0f reads no more options than this.
const MAX_OPTIONS: usize = 24;
/// IPv4 and TCP header without options, in bytes.
const HEADERS_IPV4: u16 = 40;
/// IPv6 and TCP header without options.
const HEADERS_IPV6: u16 = 60;
/// MTU of Ethernet.
const ETHERNET: u16 = 1500;
/// Bytes of the timestamp option with its padding, which some stacks take off the MSS.
const STAMP: u16 = 12;

/// Oddities of a header, as p0f counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quirks(u32);

/// Every quirk in the order in which p0f writes them.
const NAMES: [&str; 17] = [
    "df", "id+", "id-", "ecn", "0+", "flow", "seq-", "ack+", "ack-", "uptr+", "urgf+", "pushf+", "ts1-",
    "ts2+", "opt+", "exws", "bad",
];

impl Quirks {
    const DF: Quirks = Quirks(1);
    const ID: Quirks = Quirks(1 << 1);
    const ID_ZERO: Quirks = Quirks(1 << 2);
    const ECN: Quirks = Quirks(1 << 3);
    pub const FLOW: Quirks = Quirks(1 << 5);

    /// May be gone without a signature being wrong.
    const MAY_GO: Quirks = Quirks(Quirks::DF.0 | Quirks::ID.0);
    /// May have come.
    const MAY_COME: Quirks = Quirks(Quirks::ID_ZERO.0 | Quirks::ECN.0);
    /// What IPv6 packets cannot have.
    const IPV4_ONLY: Quirks = Quirks(Quirks::DF.0 | Quirks::ID.0 | Quirks::ID_ZERO.0);

    fn parse(text: &str) -> Result<Quirks, String> {
        let mut quirks = Quirks(0);
        for name in text.split(',').filter(|name| !name.is_empty()) {
            let at = NAMES.iter().position(|known| *known == name);
            quirks.0 |= 1 << at.ok_or_else(|| format!("no quirk is called \"{name}\""))?;
        }
        Ok(quirks)
    }

    fn without(self, other: Quirks) -> Quirks {
        Quirks(self.0 & !other.0)
    }

    fn of(seen: &Observation, more_options: bool) -> Quirks {
        let acknowledges = seen.flags & ACK != 0;
        let id_zero = seen.ip_version == 4 && seen.has(Marks::ID_ZERO);
        let df = seen.has(Marks::DF);
        let there = [
            df,
            df && !id_zero,
            !df && id_zero,
            seen.tos & 3 != 0 || seen.flags & (ECE | CWR) != 0 || seen.reserved & 1 != 0,
            seen.has(Marks::RESERVED_BIT),
            seen.has(Marks::FLOW),
            seen.has(Marks::SEQ_ZERO),
            !acknowledges && !seen.has(Marks::ACK_ZERO) && seen.flags & RST == 0,
            acknowledges && seen.has(Marks::ACK_ZERO),
            seen.flags & URG == 0 && seen.has(Marks::URGENT),
            seen.flags & URG != 0,
            seen.flags & PSH != 0,
            seen.has(Marks::STAMP_ZERO),
            seen.step() == SYN && seen.has(Marks::PEER_STAMP),
            seen.has(Marks::PADDING_NOT_ZERO) && !more_options,
            seen.scale.is_some_and(|scale| scale > 14),
            seen.has(Marks::BROKEN) || seen.has(Marks::OPTION_SIZE) || more_options,
        ];
        Quirks(there.iter().enumerate().map(|(at, there)| u32::from(*there) << at).sum())
    }
}

/// Writes quirks as signatures have them.
pub(super) fn write_quirks(out: &mut String, quirks: Quirks) {
    let names = NAMES.iter().enumerate().filter(|(at, _)| quirks.0 >> at & 1 == 1);
    for (nth, (_, name)) in names.enumerate() {
        if nth > 0 {
            out.push(',');
        }
        out.push_str(name);
    }
}

const OPTIONS: [(u8, &str); 7] = [
    (kind::EOL, "eol"),
    (kind::NOP, "nop"),
    (kind::MSS, "mss"),
    (kind::SCALE, "ws"),
    (kind::SACK_OK, "sok"),
    (kind::SACK, "sack"),
    (kind::STAMP, "ts"),
];

/// What p0f calls an option, where it knows it.
pub(super) fn option_name(option: u8) -> Option<&'static str> {
    OPTIONS.iter().find(|(known, _)| *known == option).map(|(_, name)| *name)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Window {
    Any,
    Exact(u16),
    /// `%8192`
    Divisor(u16),
    /// `mss*4`
    Mss(u16),
    /// `mtu*4`
    Mtu(u16),
}

impl Window {
    fn parse(text: &str) -> Result<Window, String> {
        let multiple = |text| match number(text, "a multiple")? {
            n @ 1..=1000 => Ok(n),
            n => Err(format!("a multiple is 1 to 1000, not {n}")),
        };
        if text == "*" {
            Ok(Window::Any)
        } else if let Some(times) = text.strip_prefix("mss*") {
            multiple(times).map(Window::Mss)
        } else if let Some(times) = text.strip_prefix("mtu*") {
            multiple(times).map(Window::Mtu)
        } else if let Some(divisor) = text.strip_prefix('%') {
            match number(divisor, "a divisor")? {
                0 | 1 => Err("a divisor is 2 or more".to_owned()),
                divisor => Ok(Window::Divisor(divisor)),
            }
        } else {
            number(text, "a window").map(Window::Exact)
        }
    }

    fn fits(self, packet: &Packet<'_>) -> bool {
        match self {
            Window::Any => true,
            Window::Exact(window) => packet.seen.window == window,
            Window::Divisor(divisor) => packet.seen.window.is_multiple_of(divisor),
            Window::Mss(times) => packet.multiple == Some((times, false)),
            Window::Mtu(times) => packet.multiple == Some((times, true)),
        }
    }
}

/// One line `sig =`.
pub(super) struct Signature {
    ip_version: Option<u8>,
    pub ttl: u8,
    /// `64-`: the TTL is drawn at random up to this.
    pub random_ttl: bool,
    ip_options_len: u16,
    mss: Option<u16>,
    window: Window,
    scale: Option<u8>,
    pub options: Vec<u8>,
    padding: u8,
    quirks: Quirks,
    payload: Option<bool>,
}

fn wildcard<N: std::str::FromStr>(text: &str, what: &str) -> Result<Option<N>, String> {
    if text == "*" { Ok(None) } else { number(text, what).map(Some) }
}

impl Signature {
    pub fn parse(text: &str) -> Result<Signature, String> {
        let fields: Vec<&str> = text.split(':').collect();
        let [version, ttl, ip_options, mss, window, options, quirks, payload] = fields[..] else {
            return Err("a signature has eight fields".to_owned());
        };
        let (window, scale) = window.split_once(',').ok_or("window and scale are two numbers")?;
        let (ttl, random_ttl) = parse_ttl(ttl)?;
        let (options, padding) = parse_options(options)?;
        Ok(Signature {
            ip_version: match version {
                "*" => None,
                "4" => Some(4),
                "6" => Some(6),
                other => return Err(format!("IP has no version \"{other}\"")),
            },
            ttl,
            random_ttl,
            ip_options_len: number(ip_options, "a length")?,
            mss: wildcard(mss, "an MSS")?,
            window: Window::parse(window)?,
            scale: wildcard(scale, "a window scale")?,
            options,
            padding,
            quirks: Quirks::parse(quirks)?,
            payload: match payload {
                "*" => None,
                "0" => Some(false),
                "+" => Some(true),
                other => return Err(format!("a payload is 0, + or *, not \"{other}\"")),
            },
        })
    }

    /// Whether it fits: `Some(true)` in everything, `Some(false)` but for what p0f forgives. Differences in
    /// quirks are forgiven only where `forgive` says so: p0f keeps the first signature that it forgives.
    pub fn fits(&self, packet: &Packet<'_>, forgive: bool) -> Option<bool> {
        let seen = packet.seen;
        let same_quirks = self.quirks_fit(packet, forgive)?;
        let near = match self.ttl.checked_sub(seen.ttl) {
            Some(hops) => self.random_ttl || hops <= MAX_HOPS,
            None if self.random_ttl => return None,
            None => false,
        };
        let fits = self.ip_version.is_none_or(|version| version == seen.ip_version)
            && self.padding == packet.padding
            && self.ip_options_len == packet.ip_options_len
            && self.mss.is_none_or(|mss| mss == packet.mss)
            && self.scale.is_none_or(|scale| scale == packet.scale)
            && self.payload.is_none_or(|payload| payload == (seen.payload > 0))
            && self.window.fits(packet);
        fits.then_some(same_quirks && near)
    }

    fn quirks_fit(&self, packet: &Packet<'_>, forgive: bool) -> Option<bool> {
        let mine = match (self.ip_version, packet.seen.ip_version) {
            (None, 4) => self.quirks.without(IPV6_ONLY),
            (None, _) => self.quirks.without(Quirks::IPV4_ONLY),
            _ => self.quirks,
        };
        if mine == packet.quirks {
            return Some(true);
        }
        let gone = mine.without(packet.quirks).without(Quirks::MAY_GO);
        let come = packet.quirks.without(mine).without(Quirks::MAY_COME);
        (forgive && gone == Quirks(0) && come == Quirks(0)).then_some(false)
    }
}

/// `64`, `64-` (at random up to this) or `56+8` (as p0f writes what it saw).
fn parse_ttl(text: &str) -> Result<(u8, bool), String> {
    let ttl = |text| match number(text, "a TTL")? {
        0 => Err("a TTL is 1 or more".to_owned()),
        ttl => Ok(ttl),
    };
    if let Some(highest) = text.strip_suffix('-') {
        Ok((ttl(highest)?, true))
    } else if let Some((seen, hops)) = text.split_once('+') {
        let sum = ttl(seen)?.checked_add(number(hops, "a distance")?);
        Ok((sum.ok_or("a TTL is 255 at most")?, false))
    } else {
        Ok((ttl(text)?, false))
    }
}

fn parse_options(text: &str) -> Result<(Vec<u8>, u8), String> {
    let (mut options, mut padding) = (Vec::new(), 0);
    for name in text.split(',').filter(|name| !name.is_empty()) {
        if options.last() == Some(&kind::EOL) || options.len() == MAX_OPTIONS {
            return Err("options go on behind their end".to_owned());
        }
        if let Some(bytes) = name.strip_prefix("eol+") {
            padding = number(bytes, "a padding")?;
            options.push(kind::EOL);
        } else if let Some(other) = name.strip_prefix('?') {
            options.push(number(other, "an option")?);
        } else {
            let known = OPTIONS.iter().find(|(option, known)| *known == name && *option != kind::EOL);
            options.push(known.ok_or_else(|| format!("no option is called \"{name}\""))?.0);
        }
    }
    Ok((options, padding))
}

/// An observation as p0f 3 looks at it.
pub(super) struct Packet<'a> {
    pub seen: &'a Observation,
    pub options: &'a [u8],
    pub ip_options_len: u16,
    /// 0 where there is none.
    pub mss: u16,
    pub scale: u8,
    pub padding: u8,
    pub quirks: Quirks,
    /// What the window is a multiple of, and how many times: of an MTU where `true`.
    pub multiple: Option<(u16, bool)>,
}

impl<'a> Packet<'a> {
    /// `peer_mss`: 0 where unknown.
    pub fn new(seen: &'a Observation, peer_mss: u16) -> Packet<'a> {
        let more = seen.kinds().len() > MAX_OPTIONS;
        let options = &seen.kinds()[..seen.kinds().len().min(MAX_OPTIONS)];
        let read = |option| options.contains(&option);
        let mut packet = Packet {
            seen,
            options,
            // p0f reads no IPv6 packet with extension headers.
            ip_options_len: if seen.ip_version == 4 { seen.ip_options_len } else { 0 },
            mss: seen.mss.filter(|_| read(kind::MSS)).unwrap_or(0),
            scale: seen.scale.filter(|_| read(kind::SCALE)).unwrap_or(0),
            padding: if more { 0 } else { seen.padding },
            quirks: Quirks::of(seen, more),
            multiple: None,
        };
        packet.multiple = packet.find_multiple(peer_mss);
        packet
    }

    /// The first unit in p0f's order that the window is a multiple of.
    fn find_multiple(&self, peer_mss: u16) -> Option<(u16, bool)> {
        let (window, mss) = (self.seen.window, self.mss);
        if window == 0 || mss < 100 {
            return None;
        }
        let ipv6 = self.seen.ip_version == 6;
        let stamped = self.options.contains(&kind::STAMP) && !self.seen.has(Marks::STAMP_ZERO);
        let headers = self.seen.headers_len();
        let mtu = |headers: u32| u32::from(mss) + headers;
        let peer = |off: u16| u32::from(peer_mss.saturating_sub(off));
        // Unit, whether it is an MTU, whether it is tried.
        let units = [
            (u32::from(mss), false, true),
            (u32::from(mss - STAMP), false, stamped),
            ((ETHERNET - HEADERS_IPV4).into(), false, true),
            ((ETHERNET - HEADERS_IPV4 - STAMP).into(), false, true),
            ((ETHERNET - HEADERS_IPV6).into(), false, ipv6),
            ((ETHERNET - HEADERS_IPV6 - STAMP).into(), false, ipv6),
            (mtu(HEADERS_IPV4.into()), true, true),
            (mtu(headers), true, true),
            (mtu(HEADERS_IPV6.into()), true, ipv6),
            (ETHERNET.into(), true, true),
            (peer(0), false, true),
            (peer(STAMP), false, true),
        ];
        let fits = |unit: u32| unit > 0 && u32::from(window).is_multiple_of(unit);
        let (unit, of_mtu, _) = units.into_iter().find(|(unit, _, tried)| *tried && fits(*unit))?;
        Some(((u32::from(window) / unit) as u16, of_mtu))
    }
}
