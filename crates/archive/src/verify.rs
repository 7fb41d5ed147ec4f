//! Is an archive whole? Every chain is walked: what is missing, altered, unsigned, out of order, overlapping, or between whose stamps
//! there is a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use trapline_wire::Time;

use crate::disk::{Disk, UNFINISHED};
use crate::ledger::Ledger;
use crate::manifest::{LONGEST, Manifest, Refused, hash, manifest_name, of_manifest};
use crate::segment::{hash_of, lines, plain, tally};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub sensor: String,
    /// In which segment; 0 for files that belong to none.
    pub sequence: u64,
    /// What.
    pub what: What,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// Segments before this one are not there, from that number on.
    #[error("segments {0} to the one before it are missing")]
    Missing(u64),
    /// The manifest is refused.
    #[error("its manifest is altered or unsigned: {0}")]
    Manifest(Refused),
    /// The manifest says that it is another.
    #[error("its manifest is that of segment {sequence} of {sensor:?}")]
    Misplaced {
        /// As it says.
        sensor: String,
        /// As it says.
        sequence: u64,
    },
    /// It does not follow the one before it.
    #[error("it is not chained to the segment before it")]
    Chain,
    /// Another key signed it.
    #[error("it is signed by another key than expected: {0}")]
    Key(String),
    /// A part is not there, or cannot be read.
    #[error("{name}: {why}")]
    Unreadable {
        /// Which file.
        name: String,
        /// What the system said.
        why: String,
    },
    /// A part is not what the manifest has.
    #[error("{0} is altered")]
    Altered(String),
    /// What is in a part is not what the manifest counts.
    #[error("{name} holds {holds}, and its manifest counts {counts}")]
    Count {
        /// Which file.
        name: String,
        /// What it holds.
        holds: String,
        /// What the manifest says.
        counts: String,
    },
    /// Its packets begin before those of the one before it end.
    #[error("its packets begin {0} ns before those of the segment before it end")]
    Overlap(Time),
    /// Nobody kept anything for a while.
    #[error("for {0} s before it nothing was kept")]
    Gap(i64),
    /// The segment was not closed by its sensor.
    #[error("its sensor did not close it: what was on its way then is counted by nobody")]
    Recovered,
    /// A file that belongs to no segment.
    #[error("{0} belongs to no segment")]
    Stray(String),
}

impl What {
    /// Whether the archive is not whole because of it; else it is only to be known.
    pub fn is_damage(&self) -> bool {
        !matches!(self, What::Gap(_) | What::Recovered | What::Stray(_))
    }
}

/// What is expected.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Public keys of sensors, in hexadecimal digits; a sensor that is not named has the key of its first segment.
    pub keys: BTreeMap<String, String>,
    /// Whether segments may be missing in front: a spool forgets what was shipped.
    pub may_begin_later: bool,
}

/// Time between two segments from which on it is a gap.
pub const GAP_NS: Time = 60 * 1_000_000_000;
/// Packets of different processors may change places by as much.
const JITTER_NS: Time = 1_000_000_000;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Segments that were looked at.
    pub segments: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What the segments add up to.
    pub ledger: Ledger,
}

impl Verdict {
    /// Whether nothing is missing and nothing altered.
    pub fn is_whole(&self) -> bool {
        !self.findings.iter().any(|finding| finding.what.is_damage())
    }
}

/// Walks every chain on a disk; `looked_at` is told of each segment.
///
/// # Errors
/// Where the disk's files cannot even be listed.
pub fn verify<D: Disk>(
    disk: &D,
    expected: &Expected,
    mut looked_at: impl FnMut(&str, u64),
) -> io::Result<Verdict> {
    let files: BTreeSet<String> = disk.list()?.into_iter().map(|(name, _)| name).collect();
    let mut sensors: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (sensor, sequence) in files.iter().filter_map(|name| of_manifest(name)) {
        sensors.entry(sensor).or_default().push(sequence);
    }
    let mut verdict = Verdict::default();
    let mut claimed: BTreeSet<String> = BTreeSet::new();
    let mut manifests = Vec::new();
    for (sensor, sequences) in sensors {
        let mut key = expected.keys.get(sensor).cloned();
        let mut next = if expected.may_begin_later { sequences[0] } else { 1 };
        // The one before: its text's hash, and itself; nothing where that is not known.
        let mut before: Option<(String, Manifest)> = None;
        for sequence in sequences {
            looked_at(sensor, sequence);
            verdict.segments += 1;
            let mut find = |what| {
                verdict.findings.push(Finding { sensor: sensor.to_owned(), sequence, what });
            };
            let name = manifest_name(sensor, sequence);
            claimed.insert(name.clone());
            if sequence > next {
                find(What::Missing(next));
                before = None;
            }
            let follows = before.is_some() || sequence == 1;
            next = sequence + 1;
            let text = match disk.read(&name, LONGEST) {
                Ok(text) => text,
                Err(cause) => {
                    find(What::Unreadable { name, why: cause.to_string() });
                    before = None;
                    continue;
                }
            };
            let manifest = match Manifest::read(&text) {
                Ok(manifest) => manifest,
                Err(why) => {
                    find(What::Manifest(why));
                    before = None;
                    continue;
                }
            };
            if (manifest.sensor.as_str(), manifest.sequence) != (sensor, sequence) {
                find(What::Misplaced { sensor: manifest.sensor.clone(), sequence: manifest.sequence });
            }
            if key.get_or_insert_with(|| manifest.key.clone()) != &manifest.key {
                find(What::Key(manifest.key.clone()));
            }
            if follows && manifest.before != before.as_ref().map(|(hash, _)| hash.clone()) {
                find(What::Chain);
            }
            if let Some((_, before)) = &before {
                if let (Some(first), Some(last)) = (manifest.first_ns, before.last_ns)
                    && first < last - JITTER_NS
                {
                    find(What::Overlap(last - first));
                }
                let gap = manifest.begun_ns - before.sealed_ns;
                if gap >= GAP_NS {
                    find(What::Gap(gap / 1_000_000_000));
                }
            }
            if manifest.recovered {
                find(What::Recovered);
            }
            parts(disk, &manifest).into_iter().for_each(&mut find);
            claimed.extend(manifest.names());
            before = Some((hash(&text), manifest.clone()));
            manifests.push(manifest);
        }
    }
    for name in files.iter().filter(|name| !claimed.contains(*name) && !name.starts_with('.')) {
        if !name.ends_with(UNFINISHED) {
            let (sensor, sequence) = (name.split('/').next().unwrap_or_default().to_owned(), 0);
            verdict.findings.push(Finding { sensor, sequence, what: What::Stray(name.clone()) });
        }
    }
    verdict.ledger = crate::ledger::of(&manifests);
    Ok(verdict)
}

/// Whether the parts of a segment are what its manifest says.
fn parts<D: Disk>(disk: &D, manifest: &Manifest) -> Vec<What> {
    let mut found = Vec::new();
    let [capture, records, _] = manifest.names();
    for (name, part) in [(&capture, &manifest.capture), (&records, &manifest.lines)] {
        match hash_of(disk, name) {
            Err(cause) => found.push(What::Unreadable { name: name.clone(), why: cause.to_string() }),
            Ok((hash, bytes)) if (&hash, bytes) != (&part.blake3, part.bytes) => {
                found.push(What::Altered(name.clone()));
            }
            Ok(_) => {}
        }
    }
    if !found.is_empty() {
        return found;
    }
    let unreadable = |name: &str| {
        let name = name.to_owned();
        move |cause: io::Error| What::Unreadable { name, why: cause.to_string() }
    };
    let mut count = |name: &str, holds: String, counts: String| {
        if holds != counts {
            found.push(What::Count { name: name.to_owned(), holds, counts });
        }
    };
    match plain(disk, &capture).and_then(tally).map_err(unreadable(&capture)) {
        Ok(holds) => {
            let told = |packets, cut, bytes| format!("{packets} packets ({cut} cut) of {bytes} bytes");
            let packets = manifest.packets;
            count(
                &capture,
                told(holds.packets, holds.cut, holds.wire_bytes),
                told(packets.written, packets.cut, manifest.wire_bytes),
            );
        }
        Err(what) => return vec![what],
    }
    match plain(disk, &records).and_then(lines).map_err(unreadable(&records)) {
        Ok((holds, _)) => count(&records, format!("{holds} lines"), format!("{} lines", manifest.records)),
        Err(what) => return vec![what],
    }
    found
}
