//! Senders' systems: the header facts of a SYN, written as p0f 3 writes them, turned into bytes.
//!
//! `*:128:0:1460:16384,0:mss,nop,nop,sok:df,id+:0` is: any IP version, TTL 128 at the start, no IP options, MSS 1460,
//! window 16384 and window scale 0, the TCP options in this order, don't-fragment with an IP identification, no payload
//! (p0f 3.09b, docs/README, "TCP signatures"). A signature here is exact: every number that is sent has to be a number.

use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::Deserialize;

use crate::frames::mix;

/// A TCP header has room for so many bytes of options (RFC 9293, 3.1).
const MAX_OPTIONS: usize = 40;

/// No system starts with less, and no source is that many routers away.
const LEAST_TTL: u8 = 32;

/// A system that sources run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Its name, for people.
    pub name: String,
    /// Of the addresses that knock at TCP ports, how many run it.
    pub percent: f64,
    /// What every SYN of it says.
    pub syn: Signature,
    /// What our own fingerprint database calls it; none where no database should know it.
    pub label: Option<String>,
}

/// The header facts of a SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// TTL as sent, before any router.
    pub ttl: u8,
    /// Window as sent.
    pub window: u16,
    /// Raw TCP options, whole words.
    pub options: Vec<u8>,
    /// Where the sender's time stamp is in the options, if it says one that is not zero.
    pub stamp: Option<usize>,
    /// Don't fragment.
    pub df: bool,
    /// Whether the IP identification counts; it is zero elsewhere.
    pub id: bool,
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` is no signature of a SYN: {what}");
        let parts: Vec<&str> = text.split(':').collect();
        let [version, ttl, ip_options, mss, window, layout, quirks, payload] = parts[..] else {
            return Err(wrong("it has eight parts, as *:128:0:1460:16384,0:mss,nop,nop,sok:df,id+:0"));
        };
        if !matches!(version, "*" | "4") || ip_options != "0" || payload != "0" {
            return Err(wrong("only IPv4 without options and without payload is made"));
        }
        let ttl = ttl.parse().ok().filter(|t| *t >= LEAST_TTL);
        let ttl = ttl.ok_or_else(|| wrong("the TTL is a number from 32 to 255"))?;
        let number = |text: &str, what| text.parse::<u16>().map_err(|_| wrong(what));
        let (size, scale) = window.split_once(',').ok_or_else(|| wrong("the window is `size,scale`"))?;
        let scale: u8 = scale.parse().map_err(|_| wrong("the window's scale is a number"))?;
        // Where no option says an MSS, its place holds `*`.
        let says_mss = layout.split(',').any(|o| o == "mss");
        let mss = if says_mss { number(mss, "the MSS is a number")? } else { 0 };
        let times = |n: &str, unit: u32| {
            let product = n.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
            product.and_then(|p| u16::try_from(p).ok()).ok_or_else(|| wrong("the window is above 65535"))
        };
        let window = match size.split_once('*') {
            Some(("mss", n)) => times(n, u32::from(mss))?,
            Some(("mtu", n)) => times(n, u32::from(mss) + 40)?,
            _ => number(size, "the window is a number, mss*N or mtu*N")?,
        };
        let mut signature = Signature { ttl, window, options: Vec::new(), stamp: None, df: false, id: true };
        signature.lay_out(layout, mss, scale).map_err(|what| wrong(&what))?;
        signature.quirks(quirks).map_err(|what| wrong(&what))?;
        Ok(signature)
    }
}

impl Signature {
    /// Writes the options (RFC 9293, 3.2; RFC 7323 for scale and stamps; RFC 2018 for selective acknowledgements).
    fn lay_out(&mut self, layout: &str, mss: u16, scale: u8) -> Result<(), String> {
        for option in layout.split(',').filter(|o| !o.is_empty()) {
            match option {
                "mss" => self.options.extend([2, 4, (mss >> 8) as u8, mss as u8]),
                "nop" => self.options.push(1),
                "ws" => self.options.extend([3, 3, scale]),
                "sok" => self.options.extend([4, 2]),
                "ts" => {
                    self.stamp = Some(self.options.len() + 2);
                    self.options.extend([8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
                }
                _ => {
                    let padding = option.strip_prefix("eol+").and_then(|n| n.parse::<u8>().ok());
                    let padding = padding.ok_or_else(|| format!("the option `{option}` is not known"))?;
                    self.options.resize(self.options.len() + 1 + usize::from(padding), 0);
                }
            }
        }
        match self.options.len() {
            n if n > MAX_OPTIONS => Err(format!("its options have {n} bytes, not {MAX_OPTIONS} at most")),
            n if n % 4 > 0 => Err(format!("its options have {n} bytes, which are no whole words")),
            _ => Ok(()),
        }
    }

    fn quirks(&mut self, quirks: &str) -> Result<(), String> {
        let all: Vec<&str> = quirks.split(',').filter(|q| !q.is_empty()).collect();
        if let Some(odd) = all.iter().find(|q| !["df", "id+", "id-", "ts1-"].contains(q)) {
            return Err(format!("the quirk `{odd}` is not known here: df, id+, id-, ts1- are"));
        }
        let has = |quirk| all.contains(&quirk);
        // id+ is said of DF packets only, id- of others only: without either, the usual is meant.
        if has("id+") && !has("df") || has("id-") && has("df") {
            return Err("id+ goes with df, and id- without".into());
        }
        self.df = has("df");
        self.id = if self.df { has("id+") } else { !has("id-") };
        if has("ts1-") {
            self.stamp = None;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The mix of captures that say nothing of systems: one in five Linux 2.4, the rest Windows.
const USUAL: [(&str, f64, &str); 4] = [
    ("Linux 2.4", 20.0, "*:64:0:1460:5840,0:mss,sok,ts,nop,ws:df,id+:0"),
    ("Windows without selective acknowledgements", 20.0, "*:128:0:1460:8760,0:mss:df,id+:0"),
    ("Windows XP", 20.0, "*:128:0:1460:64240,0:mss,nop,nop,sok:df,id+:0"),
    ("Windows 2000", 40.0, "*:128:0:1460:16384,0:mss,nop,nop,sok:df,id+:0"),
];

/// The systems of a scenario that lists none.
pub(crate) fn usual() -> Vec<System> {
    let system = |(name, percent, syn): (&str, f64, &str)| {
        let syn = syn.parse().expect("the usual signatures are right");
        System { name: name.into(), percent, syn, label: None }
    };
    USUAL.map(system).to_vec()
}

/// Which of the usual systems an address runs, without remembering it.
pub(crate) fn usual_of(ip: Ipv4Addr) -> u8 {
    (mix(u64::from(u32::from(ip))) % 5).min(3) as u8
}

/// Routers between an address and the site.
pub(crate) fn hops(ip: Ipv4Addr) -> u8 {
    6 + (mix(u64::from(u32::from(ip))) >> 8) as u8 % 18
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_header_facts() {
        let windows: Signature = "*:128:0:1460:16384,0:mss,nop,nop,sok:df,id+:0".parse().unwrap();
        assert_eq!((windows.ttl, windows.window, windows.df, windows.id), (128, 16_384, true, true));
        assert_eq!(windows.options, [2, 4, 5, 0xb4, 1, 1, 4, 2]);
        let linux: Signature = "*:64:0:1460:mss*4,7:mss,sok,ts,nop,ws:df,id+:0".parse().unwrap();
        assert_eq!((linux.window, linux.options.len(), linux.stamp), (5_840, 20, Some(8)));
        assert_eq!(linux.options[17..], [3, 3, 7]);
        let router: Signature = "4:255:0:1460:mtu*2,0:mss:id-:0".parse().unwrap();
        assert_eq!((router.window, router.df, router.id), (3_000, false, false));
        let padded: Signature = "*:64:0:*:512,0:sok,eol+1:ts1-:0".parse().unwrap();
        assert_eq!((padded.options, padded.id), (vec![4, 2, 0, 0], true));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (text, expected) in [
            ("*:128:0:1460:16384:mss:df:0", "size,scale"),
            ("*:128:0:*:16384,0:mss:df:0", "MSS"),
            ("*:128:0:1460:*,0:mss:df:0", "window"),
            ("*:128:0:1460:mss*99,0:mss:df:0", "above 65535"),
            ("*:128:0:1460:16384,0:mss,sok:df:0", "whole words"),
            ("*:128:0:1460:16384,0:mss,wscale:df:0", "wscale"),
            ("*:128:0:1460:16384,0:mss:df,id-:0", "id-"),
            ("*:128:0:1460:16384,0:mss:ecn:0", "ecn"),
            ("*:64-:0:1460:1024,0:mss::0", "TTL"),
            ("6:64:0:1440:1024,0:mss::0", "IPv4"),
            ("*:64:0:1460", "eight"),
            ("*:64:0:1:9,0:ts,ts,ts,ts,mss::0", "44 bytes"),
        ] {
            let message = text.parse::<Signature>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn the_usual_mix_has_its_shares() {
        let mut counts = [0u32; 4];
        (0..20_000u32).for_each(|n| counts[usize::from(usual_of(Ipv4Addr::from(n * 7_919)))] += 1);
        for (count, system) in counts.iter().zip(usual()) {
            assert!((f64::from(*count) / 200.0 - system.percent).abs() < 1.5, "{counts:?}");
        }
    }
}
