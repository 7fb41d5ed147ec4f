//! ettercap: `WWWW:MSS:TTL:WS:S:N:D:T:F:LEN:system`, hexadecimal, for SYN (`S`) and SYN/ACK (`A`).
//!
//! A fingerprint is a text of 28 letters, and ettercap compares texts. One that is in the file is
//! exact. Entries of unknown length (`LT`) stand for any length: generic. Then ettercap looks, from the
//! place where the text would stand in the sorted file on, for one that differs in the MSS only: fuzzy.
//! Where that fails too it names the next entry of the file, whatever it is; we do not, because every
//! packet would get a label and most a wrong one.

use std::collections::HashMap;
use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};

use super::{Label, Matched, Matcher, Quality, Read, Step, each_line, power_of_two};

/// Letters of a fingerprint.
const LETTERS: usize = 28;
/// Where the MSS stands in it.
const MSS: std::ops::Range<usize> = 5..9;
/// What stands for an unknown length.
const ANY_LENGTH: &str = "LT";

struct Entry {
    fingerprint: String,
    label: Arc<Label>,
}

pub(super) struct Signatures {
    entries: Vec<Entry>,
    exact: HashMap<String, usize>,
    /// By the fingerprint without its MSS, in the order of the file.
    without_mss: HashMap<String, Vec<usize>>,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let entries = each_line(text, |line| {
            let (fingerprint, name) = line
                .split_at_checked(LETTERS)
                .and_then(|(fingerprint, rest)| Some((fingerprint, rest.strip_prefix(':')?)))
                .ok_or_else(|| format!("a system's name stands behind a fingerprint of {LETTERS} letters"))?;
            check(fingerprint)?;
            Ok(Entry { fingerprint: fingerprint.to_owned(), label: Arc::new(Label::system(name.trim(), "")) })
        })?;
        let (mut exact, mut without_mss) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        for (at, Entry { fingerprint, .. }) in entries.iter().enumerate() {
            exact.entry(fingerprint.clone()).or_insert(at);
            without_mss.entry(cut_mss(fingerprint)).or_default().push(at);
        }
        Ok(Signatures { entries, exact, without_mss })
    }

    fn find(&self, fingerprint: &str) -> Option<(&Entry, Quality)> {
        let entry = |at: &usize| &self.entries[*at];
        if let Some(at) = self.exact.get(fingerprint) {
            return Some((entry(at), Quality::Exact));
        }
        let any_length = format!("{}{ANY_LENGTH}", &fingerprint[..LETTERS - 2]);
        if let Some(at) = self.exact.get(&any_length) {
            return Some((entry(at), Quality::Generic));
        }
        let similar = self.without_mss.get(&cut_mss(fingerprint))?;
        let behind = similar.iter().map(entry).find(|entry| entry.fingerprint.as_str() > fingerprint)?;
        Some((behind, Quality::Fuzzy))
    }
}

fn cut_mss(fingerprint: &str) -> String {
    format!("{}{}", &fingerprint[..MSS.start], &fingerprint[MSS.end..])
}

/// Whether the letters are such that a packet can have them.
fn check(fingerprint: &str) -> Result<(), String> {
    let fields: Vec<&str> = fingerprint.split(':').collect();
    let [window, mss, ttl, scale, sack, nop, df, stamp, flag, length] = fields[..] else {
        return Err("a fingerprint has ten fields".to_owned());
    };
    let hexadecimal = |text: &str, letters: usize| {
        text.len() == letters && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    let fits = [
        (hexadecimal(window, 4), "window"),
        (hexadecimal(mss, 4) || mss == "_MSS", "MSS"),
        (hexadecimal(ttl, 2), "TTL"),
        (hexadecimal(scale, 2) || scale == "WS", "window scale"),
        ([sack, nop, df, stamp].iter().all(|bit| matches!(*bit, "0" | "1")), "bits"),
        (matches!(flag, "S" | "A"), "flag"),
        (hexadecimal(length, 2) || length == ANY_LENGTH, "length"),
    ];
    match fits.iter().find(|(fits, _)| !fits) {
        Some((_, what)) => Err(format!("{what} of {fingerprint} cannot be")),
        None => Ok(()),
    }
}

fn fingerprint(seen: &Observation, step: Step) -> String {
    let mss = seen.mss.map_or("_MSS".to_owned(), |mss| format!("{mss:04X}"));
    let scale = seen.scale.map_or("WS".to_owned(), |scale| format!("{scale:02X}"));
    let bit = |there: bool| u8::from(there);
    format!(
        "{:04X}:{mss}:{:02X}:{scale}:{}:{}:{}:{}:{}:{:02X}",
        seen.window,
        power_of_two(seen.ttl),
        bit(seen.has_option(kind::SACK_OK)),
        bit(seen.has_option(kind::NOP)),
        bit(seen.has(Marks::DF)),
        bit(seen.has_option(kind::STAMP)),
        if step == Step::SynAck { 'A' } else { 'S' },
        // ettercap adds the lengths of the two headers: options count, payload does not.
        seen.headers_len().min(255),
    )
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let step = Step::of(seen);
        let fingerprint = fingerprint(seen, step);
        let mut matched = Matched::unknown(format!("{fingerprint}:?"));
        if !matches!(step, Step::Syn | Step::SynAck) || seen.ip_version != 4 {
            return matched;
        }
        if let Some((entry, quality)) = self.find(&fingerprint) {
            matched.label = Some(entry.label.clone());
            matched.quality = quality;
            matched.distance = power_of_two(seen.ttl).checked_sub(seen.ttl);
        }
        matched
    }

    fn entries(&self) -> usize {
        self.entries.len()
    }
}
