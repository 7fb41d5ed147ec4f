//! p0f 1 (2000 to 2002): `window:ttl:mss:D:W:S:N:size:system`, for SYNs.
//!
//! An entry fits where all its fields do; -1 says of a window scale that there is none and of a size
//! that it does not matter. The TTL of an entry is the initial one: the nearest that is not below the
//! received TTL wins, and one more than 40 hops away (the limit that p0f 2 wrote down) is no match.
//!
//! The older half of the file says 0 where there is no window scale: its Windows 9x sends 48 bytes, in which
//! MSS and SACK leave no room for one. So what has no scale and is not known otherwise is looked for with 0,
//! and what is found so is fuzzy.

use std::collections::HashMap;
use std::sync::Arc;

use trapline_wire::Observation;
use trapline_wire::observation::{Marks, kind};

use super::{Label, Matched, Matcher, Quality, Read, Step, each_line, initial_ttl, number};

/// No host is further away than this; the same limit as in p0f 2.
const MAX_HOPS: u8 = 40;

/// What the fields but TTL and size say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fields {
    pub window: u16,
    pub mss: u16,
    pub df: bool,
    /// -1 where there is no such option.
    pub scale: i16,
    pub sack: bool,
    pub nop: bool,
}

impl Fields {
    pub fn of(seen: &Observation) -> Fields {
        Fields {
            window: seen.window,
            mss: seen.mss.unwrap_or(0),
            df: seen.has(Marks::DF),
            scale: seen.scale.map_or(-1, i16::from),
            sack: seen.has_option(kind::SACK_OK),
            nop: seen.has_option(kind::NOP),
        }
    }

    /// From the fields of a line, which begins with window, TTL and MSS; with TTL and size beside them.
    pub fn parse(fields: &[&str]) -> Result<(Fields, u8, Option<u32>), String> {
        let [window, ttl, mss, df, scale, sack, nop, size] = fields else {
            return Err("eight numbers must stand before the system's name".to_owned());
        };
        let size: i32 = number(size, "a size")?;
        let fields = Fields {
            window: number(window, "a window")?,
            mss: number(mss, "an MSS")?,
            df: bit(df, "DF")?,
            scale: number(scale, "a window scale")?,
            sack: bit(sack, "sackOK")?,
            nop: bit(nop, "NOP")?,
        };
        Ok((fields, number(ttl, "a TTL")?, u32::try_from(size).ok()))
    }

    /// As a line begins, with this TTL and the size of the packet.
    pub fn text(&self, ttl: u8, size: u32) -> String {
        let Fields { window, mss, df, scale, sack, nop } = *self;
        let (df, sack, nop) = (u8::from(df), u8::from(sack), u8::from(nop));
        format!("{window}:{ttl}:{mss}:{df}:{scale}:{sack}:{nop}:{size}")
    }
}

fn bit(text: &str, what: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("{what} is 0 or 1, not \"{text}\"")),
    }
}

struct Entry {
    ttl: u8,
    size: Option<u32>,
    label: Arc<Label>,
}

pub(super) struct Signatures {
    by_fields: HashMap<Fields, Vec<Entry>>,
    count: usize,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let entries = each_line(text, |line| {
            let fields: Vec<&str> = line.splitn(9, ':').collect();
            let (numbers, name) = fields.split_at_checked(8).ok_or("a line has nine fields")?;
            let (fields, ttl, size) = Fields::parse(numbers)?;
            let name = name.first().ok_or("a line ends with the system's name")?.trim();
            Ok((fields, Entry { ttl, size, label: Arc::new(Label::system(name, "")) }))
        })?;
        let mut signatures = Signatures { by_fields: HashMap::new(), count: entries.len() };
        for (fields, entry) in entries {
            signatures.by_fields.entry(fields).or_default().push(entry);
        }
        Ok(signatures)
    }

    /// The entry whose initial TTL is nearest, the first of the file among equals, and the hops between.
    fn nearest(&self, fields: &Fields, seen: &Observation) -> Option<(u8, &Entry)> {
        let entries = self.by_fields.get(fields).map(Vec::as_slice).unwrap_or_default();
        let fitting = entries.iter().filter_map(|entry| {
            let size = entry.size.is_none_or(|size| size == seen.len);
            let hops = entry.ttl.checked_sub(seen.ttl).filter(|hops| size && *hops <= MAX_HOPS)?;
            Some((hops, entry))
        });
        fitting.min_by_key(|(hops, _)| *hops)
    }
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let fields = Fields::of(seen);
        let mut matched = Matched::unknown(fields.text(initial_ttl(seen.ttl), seen.len) + ":?");
        if Step::of(seen) != Step::Syn || seen.ip_version != 4 {
            return matched;
        }
        let exact = self.nearest(&fields, seen).map(|(hops, entry)| (hops, entry, Quality::Exact));
        let older = || {
            let zero = Fields { scale: 0, ..fields };
            let nearest = if fields.scale == -1 { self.nearest(&zero, seen) } else { None };
            nearest.map(|(hops, entry)| (hops, entry, Quality::Fuzzy))
        };
        if let Some((hops, entry, quality)) = exact.or_else(older) {
            matched.label = Some(entry.label.clone());
            matched.quality = quality;
            matched.distance = Some(hops);
        }
        matched
    }

    fn entries(&self) -> usize {
        self.count
    }
}
