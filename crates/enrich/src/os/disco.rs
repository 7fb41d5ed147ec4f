//! Disco 1.2 (2003): `window:ttl:mss:D:W:S:N:size:type:system`, for SYN (`S`) and SYN/ACK (`A`).
//!
//! The fields are those of p0f 1. Disco takes an entry whose TTL is up to 63 above the received one,
//! and the first of the file; the TTLs of its file are powers of two nearly always. So an entry with
//! the power of two that the received TTL rounds up to is exact, another within 63 hops fuzzy, and one
//! that does not care for the size (-1) stands for a group.

use std::collections::HashMap;
use std::sync::Arc;

use trapline_wire::Observation;

use super::p0f1::Fields;
use super::{Label, Matched, Matcher, Quality, Read, Step, each_line, power_of_two};

/// Disco tries the received TTL and the 63 above it.
const MAX_HOPS: u8 = 63;

struct Entry {
    ttl: u8,
    size: Option<u32>,
    label: Arc<Label>,
}

impl Entry {
    fn quality(&self, seen: &Observation) -> Option<Quality> {
        let hops = self.ttl.checked_sub(seen.ttl)?;
        match self.size {
            Some(size) if size != seen.len => None,
            _ if hops > MAX_HOPS && self.ttl != power_of_two(seen.ttl) => None,
            _ if self.ttl != power_of_two(seen.ttl) => Some(Quality::Fuzzy),
            None => Some(Quality::Generic),
            Some(_) => Some(Quality::Exact),
        }
    }
}

pub(super) struct Signatures {
    by_fields: HashMap<(Step, Fields), Vec<Entry>>,
    count: usize,
}

impl Signatures {
    pub fn parse(text: &str) -> Read<Signatures> {
        let entries = each_line(text, |line| {
            let fields: Vec<&str> = line.splitn(10, ':').collect();
            let Some((numbers, [letter, name])) = fields.split_at_checked(8) else {
                return Err("a line has ten fields".to_owned());
            };
            let step = match *letter {
                "S" => Step::Syn,
                "A" => Step::SynAck,
                other => return Err(format!("a type is S or A, not \"{other}\"")),
            };
            let (fields, ttl, size) = Fields::parse(numbers)?;
            Ok(((step, fields), Entry { ttl, size, label: Arc::new(Label::system(name.trim(), "")) }))
        })?;
        let mut signatures = Signatures { by_fields: HashMap::new(), count: entries.len() };
        for (fields, entry) in entries {
            signatures.by_fields.entry(fields).or_default().push(entry);
        }
        Ok(signatures)
    }
}

impl Matcher for Signatures {
    fn matches(&self, seen: &Observation, _: Option<u16>) -> Matched {
        let (fields, step) = (Fields::of(seen), Step::of(seen));
        let letter = if step == Step::SynAck { 'A' } else { 'S' };
        let raw = format!("{}:{letter}:?", fields.text(power_of_two(seen.ttl), seen.len));
        let mut matched = Matched::unknown(raw);
        if seen.ip_version != 4 {
            return matched;
        }
        let entries = self.by_fields.get(&(step, fields)).map(Vec::as_slice).unwrap_or_default();
        for entry in entries {
            let Some(quality) = entry.quality(seen).filter(|quality| *quality > matched.quality) else {
                continue;
            };
            matched.label = Some(entry.label.clone());
            matched.quality = quality;
            matched.distance = entry.ttl.checked_sub(seen.ttl);
        }
        matched
    }

    fn entries(&self) -> usize {
        self.count
    }
}
