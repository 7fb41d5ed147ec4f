//! OpenBSD's pf: `window:ttl:D:size:options:class:version:subtype:details`, for SYNs.
//!
//! The notation is p0f 2's with no quirks, the rules are those of `sys/net/pf_osfp.c`: the first entry
//! that fits wins, the TTL may have lost 40 hops, a window may be a multiple of Ethernet's MSS or MTU
//! instead of the packet's, options end where EOL stands, and an option that pf does not know makes the
//! packet unknown. Lines that repeat a signature give it another name; a label carries all of them.

use std::collections::HashMap;
use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};

use super::classic::{Options, Value, Window, write_options, write_window};
use super::{Kind, Label, Matched, Matcher, Read, Step, each_line, initial_ttl, number};

/// How far away a host may be (PF_OSFP_MAXTTL_OFFSET).
const MAX_HOPS: u8 = 40;

/// What pf compares, and what must be the same for two lines to be names of one system.
#[derive(Clone, PartialEq)]
struct Signature {
    window: Window,
    ttl: u8,
    df: bool,
    size: Value,
    options: Options,
}

struct Entry {
    signature: Signature,
    label: Label,
}

impl Entry {
    fn parse(line: &str) -> Result<Entry, String> {
        let fields: Vec<&str> = line.splitn(9, ':').map(str::trim).collect();
        let [window, ttl, df, size, options, class, version, subtype, details] = fields[..] else {
            return Err("a line has nine fields".to_owned());
        };
        let name = class.trim_start_matches(['-', '@', '*']);
        let flags = &class[..class.len() - name.len()];
        let mut label = Label::system(name, format!("{version} {subtype}").trim());
        label.text = details.to_owned();
        label.generic = flags.contains('@');
        label.random_ttl = flags.contains('*');
        label.kind = if flags.contains('*') { Kind::Tool } else { Kind::System };
        Ok(Entry {
            signature: Signature {
                window: Window::parse(window)?,
                ttl: number(ttl, "a TTL")?,
                df: number::<u8>(df, "DF")? != 0,
                size: Value::parse(size, "a size")?,
                options: Options::parse(options)?,
            },
            label,
        })
    }

    /// Adds the name that another line has for the same signature.
    fn also(&mut self, other: &Label) {
        let join = |all: &mut String, one: &str| {
            if !all.split(" or ").any(|known| known == one) && !one.is_empty() {
                *all = if all.is_empty() { one.to_owned() } else { format!("{all} or {one}") };
            }
        };
        join(&mut self.label.name, &other.name);
        join(&mut self.label.flavour, &other.flavour);
        join(&mut self.label.text, &other.text);
    }
}

impl Signature {
    fn fits(&self, seen: &Observation) -> bool {
        // IPv6 never fragments on its way.
        let df = seen.has(Marks::DF) || seen.ip_version == 6;
        self.ttl.checked_sub(seen.ttl).is_some_and(|hops| hops <= MAX_HOPS)
            && self.df == df
            && u16::try_from(seen.len).is_ok_and(|len| self.size.fits(len))
            && self.options.values_fit(seen)
            && self.window.fits_pf(seen.window, seen.mss.unwrap_or(0))
    }
}

/// The options that pf sees, or nothing where it gives up.
fn kinds(seen: &Observation) -> Option<&[u8]> {
    let all = seen.kinds();
    let end = all.iter().position(|option| *option == kind::EOL).unwrap_or(all.len());
    let known =
        |option: &u8| matches!(*option, kind::NOP | kind::MSS | kind::SCALE | kind::SACK_OK | kind::STAMP);
    let readable = !seen.has(Marks::BROKEN) && !seen.has(Marks::OPTION_SIZE);
    (readable && all[..end].iter().all(known)).then_some(&all[..end])
}

pub(super) struct Signatures {
    by_options: HashMap<Vec<u8>, Vec<(Signature, Arc<Label>)>>,
    count: usize,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let lines = each_line(text, Entry::parse)?;
        let count = lines.len();
        let mut entries: Vec<Entry> = Vec::new();
        for line in lines {
            match entries.iter_mut().find(|entry| entry.signature == line.signature) {
                Some(entry) => entry.also(&line.label),
                None => entries.push(line),
            }
        }
        let mut by_options = HashMap::<_, Vec<_>>::new();
        for Entry { signature, label } in entries {
            let same: &mut Vec<_> = by_options.entry(signature.options.kinds.clone()).or_default();
            same.push((signature, Arc::new(label)));
        }
        Ok(Signatures { by_options, count })
    }
}

fn text(seen: &Observation, kinds: &[u8]) -> String {
    let mut out = String::with_capacity(64);
    write_window(&mut out, seen.window, seen.mss.unwrap_or(0));
    let df = u8::from(seen.has(Marks::DF) || seen.ip_version == 6);
    out.push_str(&format!(":{}:{df}:{}:", initial_ttl(seen.ttl), seen.len));
    write_options(&mut out, kinds, seen);
    out + ":?:?:?:?"
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let readable = kinds(seen);
        let mut matched = Matched::unknown(text(seen, readable.unwrap_or(seen.kinds())));
        let Some(kinds) = readable.filter(|_| Step::of(seen) == Step::Syn) else { return matched };
        let same_options = self.by_options.get(kinds).map(Vec::as_slice).unwrap_or_default();
        if let Some((signature, label)) = same_options.iter().find(|(signature, _)| signature.fits(seen)) {
            matched.quality = label.quality();
            matched.distance = if label.random_ttl { None } else { signature.ttl.checked_sub(seen.ttl) };
            matched.label = Some(label.clone());
        }
        matched
    }

    fn entries(&self) -> usize {
        self.count
    }
}
