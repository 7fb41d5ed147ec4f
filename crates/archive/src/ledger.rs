//! The ledger: for each sensor and UTC day, what was seen, dropped, written, sealed. A gap is shown, never smoothed over.

use std::collections::BTreeMap;

use crate::manifest::Manifest;

/// What segments of one day add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Segments.
    pub segments: u64,
    /// Of these, not closed by their sensor.
    pub recovered: u64,
    /// Packets seen.
    pub seen: u64,
    /// Of these, dropped.
    pub dropped: u64,
    /// Of these, written.
    pub written: u64,
    /// Of these, cut.
    pub cut: u64,
    /// Bytes of captures and records, as they were written.
    pub plain_bytes: u64,
    /// Bytes of these as they are kept.
    pub bytes: u64,
}

impl Entry {
    /// Adds a segment.
    pub fn add(&mut self, manifest: &Manifest) {
        self.segments += 1;
        self.recovered += u64::from(manifest.recovered);
        self.seen += manifest.packets.seen;
        self.dropped += manifest.packets.dropped;
        self.written += manifest.packets.written;
        self.cut += manifest.packets.cut;
        self.plain_bytes += manifest.capture.plain_bytes + manifest.lines.plain_bytes;
        self.bytes += manifest.capture.bytes + manifest.lines.bytes;
    }

    /// Whether everything that was seen is there.
    pub fn is_balanced(&self) -> bool {
        self.seen == self.dropped + self.written
    }
}

/// A ledger by sensor and day; days are counted from 1970, and a segment belongs to the day in which it was begun.
pub type Ledger = BTreeMap<(String, i64), Entry>;

/// The ledger of these segments.
pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Ledger {
    const DAY_NS: i64 = 86_400 * 1_000_000_000;
    let mut ledger = Ledger::new();
    for manifest in manifests {
        let day = manifest.begun_ns.div_euclid(DAY_NS);
        ledger.entry((manifest.sensor.clone(), day)).or_default().add(manifest);
    }
    ledger
}
