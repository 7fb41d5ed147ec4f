//! The notation that p0f 2 began and that pf and Satori share: windows, option lists, wildcards.

use std::fmt::Write;

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};

use super::number;

/// The MSS of Ethernet, which a window may be a multiple of though a router changed the MSS.
const ETHERNET_MSS: u16 = 1460;
/// The MTU of Ethernet.
const ETHERNET_MTU: u16 = 1500;
/// Bytes of headers between MSS and MTU.
const HEADERS: u16 = 40;

/// A value that an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This number.
    Exact(u16),
    /// A multiple of this number; `*` is a multiple of one.
    Multiple(u16),
}

impl Value {
    /// `*`, `%8` or `1460`.
    pub fn parse(text: &str, what: &str) -> Result<Value, String> {
        match text.strip_prefix('%') {
            _ if text == "*" => Ok(Value::Multiple(1)),
            Some(divisor) => match number(divisor, what)? {
                0 => Err(format!("{what} cannot be a multiple of 0")),
                divisor => Ok(Value::Multiple(divisor)),
            },
            None => Ok(Value::Exact(number(text, what)?)),
        }
    }

    pub fn fits(self, seen: u16) -> bool {
        match self {
            Value::Exact(value) => seen == value,
            Value::Multiple(divisor) => seen.is_multiple_of(divisor),
        }
    }
}

/// A window that an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Value(Value),
    /// `S4`: so many times the MSS.
    Mss(u16),
    /// `T4`: so many times the MTU.
    Mtu(u16),
}

impl Window {
    pub fn parse(text: &str) -> Result<Window, String> {
        match text.split_at_checked(1) {
            Some(("S", times)) => Ok(Window::Mss(number(times, "a multiple of the MSS")?)),
            Some(("T", times)) => Ok(Window::Mtu(number(times, "a multiple of the MTU")?)),
            _ => Value::parse(text, "a window").map(Window::Value),
        }
    }

    /// p0f 2's rule: a multiple of the MSS on the wire, else of Ethernet's (a NAT device changed it).
    pub fn fits(self, window: u16, mss: u16) -> bool {
        match self {
            Window::Value(value) => value.fits(window),
            Window::Mss(times) => times_of(window, mss, ETHERNET_MSS) == Some(times),
            Window::Mtu(times) => times_of(window, mtu(mss), ETHERNET_MTU) == Some(times),
        }
    }

    /// pf's rule: a multiple of either will do, but an MSS there must be.
    pub fn fits_pf(self, window: u16, mss: u16) -> bool {
        let times_are =
            |unit: u16, times: u16| unit > 0 && window.is_multiple_of(unit) && window / unit == times;
        match self {
            Window::Value(value) => value.fits(window),
            Window::Mss(n) => mss > 0 && (times_are(mss, n) || times_are(ETHERNET_MSS, n)),
            Window::Mtu(n) => mss > 0 && (times_are(mtu(mss), n) || times_are(ETHERNET_MTU, n)),
        }
    }
}

/// 0 where the MSS is missing.
fn mtu(mss: u16) -> u16 {
    if mss == 0 { 0 } else { mss.saturating_add(HEADERS) }
}

fn times_of(window: u16, unit: u16, ethernet: u16) -> Option<u16> {
    match (unit, window) {
        (1.., window) if window.is_multiple_of(unit) => Some(window / unit),
        (_, window) if window.is_multiple_of(ethernet) => Some(window / ethernet),
        _ => None,
    }
}

/// An option list that an entry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub kinds: Vec<u8>,
    pub mss: Value,
    pub scale: Value,
    /// No timestamp but zero: `T0`, or no timestamp at all.
    pub stamp_zero: bool,
}

impl Options {
    /// `M*,N,W0,N,N,T0,N,N,S`, or `.` for none.
    pub fn parse(text: &str) -> Result<Options, String> {
        let mut options =
            Options { kinds: Vec::new(), mss: Value::Exact(0), scale: Value::Exact(0), stamp_zero: true };
        if text == "." {
            return Ok(options);
        }
        for option in text.split([',', ' ']).filter(|option| !option.is_empty()) {
            options.add(option)?;
        }
        Ok(options)
    }

    fn add(&mut self, option: &str) -> Result<(), String> {
        let (letter, value) = option.split_at_checked(1).ok_or_else(|| format!("no option {option}"))?;
        let kind = match (letter, value) {
            ("N", "") => kind::NOP,
            ("E", "") => kind::EOL,
            ("S", "") => kind::SACK_OK,
            ("K", "") => kind::SACK,
            ("T", "" | "0") => {
                self.stamp_zero = value == "0";
                kind::STAMP
            }
            ("M", value) => {
                self.mss = Value::parse(value, "an MSS")?;
                kind::MSS
            }
            ("W", value) => {
                self.scale = Value::parse(value, "a window scale")?;
                kind::SCALE
            }
            ("?", value) => number(value, "an option kind")?,
            _ => return Err(format!("no option is written \"{option}\"")),
        };
        self.kinds.push(kind);
        Ok(())
    }

    /// All but the kinds, by which entries are found.
    pub fn values_fit(&self, seen: &Observation) -> bool {
        self.mss.fits(seen.mss.unwrap_or(0))
            && self.scale.fits(seen.scale.unwrap_or(0).into())
            && self.stamp_zero == stamp_zero(seen)
    }
}

/// Whether the observation has no timestamp but zero.
pub(super) fn stamp_zero(seen: &Observation) -> bool {
    !seen.has_option(kind::STAMP) || seen.has(Marks::STAMP_ZERO)
}

/// Writes a window as p0f 2 does: as a multiple where it is one.
pub(super) fn write_window(out: &mut String, window: u16, mss: u16) {
    let multiple = |unit: u16| unit > 0 && window > 0 && window.is_multiple_of(unit);
    let written = if mss == 0 || window == 0 {
        write!(out, "{window}")
    } else if multiple(mss) {
        write!(out, "S{}", window / mss)
    } else if multiple(ETHERNET_MSS) {
        write!(out, "S{}", window / ETHERNET_MSS)
    } else if multiple(mtu(mss)) {
        write!(out, "T{}", window / mtu(mss))
    } else if multiple(ETHERNET_MTU) {
        write!(out, "T{}", window / ETHERNET_MTU)
    } else {
        write!(out, "{window}")
    };
    written.expect("memory takes every text");
}

/// Writes an option list; `.` for none.
pub(super) fn write_options(out: &mut String, kinds: &[u8], seen: &Observation) {
    if kinds.is_empty() {
        out.push('.');
    }
    for (at, option) in kinds.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let written = match *option {
            kind::NOP => write!(out, "N"),
            kind::EOL => write!(out, "E"),
            kind::MSS => write!(out, "M{}", seen.mss.unwrap_or(0)),
            kind::SCALE => write!(out, "W{}", seen.scale.unwrap_or(0)),
            kind::SACK_OK => write!(out, "S"),
            kind::STAMP if stamp_zero(seen) => write!(out, "T0"),
            kind::STAMP => write!(out, "T"),
            other => write!(out, "?{other}"),
        };
        written.expect("memory takes every text");
    }
}
