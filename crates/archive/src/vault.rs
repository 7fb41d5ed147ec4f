//! The vault: an independent place that only grows. A sensor adds its own next segment and asks how far it got; it reads, replaces
//! and deletes nothing.

use std::collections::BTreeMap;
use std::io;

use crate::disk::{Disk, UNFINISHED};
use crate::manifest::{
    CAPTURE, FileKind, LINES, Manifest, Refused, hash, is_sensor_name, manifest_name, of_file, part_name,
};
use crate::segment::hash_of;
use crate::ship::{Ask, Told};
use crate::spool::{SpoolError, head, sealed};

/// Which part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The capture.
    Capture,
    /// The records.
    Lines,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Capture, Kind::Lines];

    /// What the name of such a part ends with.
    pub fn end(self) -> &'static str {
        match self {
            Kind::Capture => CAPTURE,
            Kind::Lines => LINES,
        }
    }
}

/// A part on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// Of which segment.
    pub sequence: u64,
    /// Which part.
    pub kind: Kind,
    /// Its hash.
    pub blake3: String,
}

/// What a sensor may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes of one part.
    pub part_bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Quota { bytes: 1 << 40, part_bytes: 1 << 30 }
    }
}

/// Why a vault does not take something. It always says so, and a sensor keeps what it has and tries again.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// What the sensor sent is not right.
    #[error("segment {sequence} of {sensor} is refused: {why}")]
    Refused {
        /// Whose.
        sensor: String,
        /// Which.
        sequence: u64,
        /// Why.
        why: Why,
    },
    /// The disk.
    #[error("{name}: {cause}")]
    Disk {
        /// Which file.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// What is in the vault is not right.
    #[error("{0}")]
    Damaged(SpoolError),
}

/// What is not right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The manifest itself.
    #[error(transparent)]
    Manifest(#[from] Refused),
    /// It is another sensor's.
    #[error("it is of the sensor {0:?}")]
    Sensor(String),
    /// A segment of this number is there and is another one.
    #[error("a different segment of that number is here already")]
    Different,
    /// One before it is missing.
    #[error("segment {0} is missing before it")]
    Early(u64),
    /// It does not follow the last one.
    #[error("it is not chained to the segment before it")]
    Chain,
    /// A part is not whole.
    #[error("{0:?} is not here as the manifest has it")]
    Part(Kind),
    /// There is no more room for this sensor.
    #[error("{used} bytes of {quota} are used")]
    Quota {
        /// So many are used.
        used: u64,
        /// Of so many.
        quota: u64,
    },
    /// A part becomes too long.
    #[error("a part has {bytes} bytes, and may have {most}")]
    Long {
        /// So many are here or were sent.
        bytes: u64,
        /// So many are taken.
        most: u64,
    },
    /// No such part can be.
    #[error("no part has such a name")]
    Name,
}

/// How far a sensor got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its last segment; 0 before the first.
    pub sequence: u64,
    /// The hash of its manifest.
    pub hash: Option<String>,
}

/// A vault. For each sensor one caller at a time may use it.
#[derive(Debug)]
pub struct Vault<D> {
    disk: D,
    quota: Quota,
    /// What is known of the sensors that asked, so that not every question lists all that is here.
    shelves: BTreeMap<String, Shelf>,
}

/// What is known of one sensor's files.
#[derive(Clone, Debug, Default)]
struct Shelf {
    progress: Progress,
    /// Bytes of all its files.
    used: u64,
    /// Parts of a segment that has no manifest yet, whole or not, and their lengths in bytes.
    parts: BTreeMap<String, u64>,
}

impl<D: Disk> Vault<D> {
    /// The vault on this disk, with the same quota for every sensor.
    pub fn new(disk: D, quota: Quota) -> Self {
        Vault { disk, quota, shelves: BTreeMap::new() }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Sets what a sensor may leave from now on.
    pub fn set_quota(&mut self, quota: Quota) {
        self.quota = quota;
    }

    /// How far a sensor got.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn progress(&mut self, sensor: &str) -> Result<Progress, VaultError> {
        self.check(sensor)?;
        Ok(self.shelf(sensor)?.progress.clone())
    }

    /// Forgets what is known of a sensor where its last manifest is not there, or another one, or one more: somebody else was here, or an
    /// older vault was put back.
    fn check(&mut self, sensor: &str) -> Result<(), VaultError> {
        let progress = self.shelf(sensor)?.progress.clone();
        let text = |sequence| self.disk.read(&manifest_name(sensor, sequence), crate::manifest::LONGEST);
        let is_last = progress.hash.is_none()
            || text(progress.sequence).is_ok_and(|text| Some(hash(&text)) == progress.hash);
        if !is_last || text(progress.sequence + 1).is_ok() {
            self.shelves.remove(sensor);
        }
        Ok(())
    }

    /// Bytes of a sensor's files that are here.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn used(&mut self, sensor: &str) -> Result<u64, VaultError> {
        Ok(self.shelf(sensor)?.used)
    }

    /// Bytes of a part that are here.
    ///
    /// # Errors
    /// Where the disk fails, or there can be no such part.
    pub fn held(&mut self, sensor: &str, part: &PartId) -> Result<u64, VaultError> {
        let name = part_of(sensor, part)?;
        let shelf = self.shelf(sensor)?;
        let length = shelf.parts.get(&name).or_else(|| shelf.parts.get(&unfinished(&name)));
        if let (None, true) = (length, part.sequence <= shelf.progress.sequence) {
            let files = self.disk.list_in(sensor).map_err(disk_error(sensor))?;
            return Ok(files.into_iter().find(|(there, _)| *there == name).map_or(0, |(_, length)| length));
        }
        Ok(length.copied().unwrap_or(0))
    }

    /// Takes bytes of a part from `offset` on; what was here before stays. Returns how many are here then: where it is not as many
    /// as were sent, the sensor goes on from there.
    ///
    /// # Errors
    /// Where the disk fails, the quota is used up, or there can be no such part.
    pub fn add(&mut self, sensor: &str, part: &PartId, offset: u64, bytes: &[u8]) -> Result<u64, VaultError> {
        let held = self.held(sensor, part)?;
        let name = part_of(sensor, part)?;
        let refused = |why| VaultError::Refused { sensor: sensor.into(), sequence: part.sequence, why };
        let quota = self.quota;
        let shelf = self.shelf(sensor)?;
        let next = shelf.progress.sequence + 1;
        if part.sequence > next {
            return Err(refused(Why::Early(next)));
        }
        if part.sequence < next || bytes.is_empty() || offset != held || shelf.parts.contains_key(&name) {
            return Ok(held);
        }
        if held == 0 {
            self.clear(sensor, part.kind, &unfinished(&name))?;
        }
        let (used, length) = (self.used(sensor)? + bytes.len() as u64, held + bytes.len() as u64);
        if used > quota.bytes {
            return Err(refused(Why::Quota { used, quota: quota.bytes }));
        }
        if length > quota.part_bytes {
            return Err(refused(Why::Long { bytes: length, most: quota.part_bytes }));
        }
        let unfinished = unfinished(&name);
        if let Err(cause) = self.disk.append(&unfinished, bytes) {
            // Half of it may be there; hashes would tell, but the sensor should not have to begin anew.
            let _ = self.disk.truncate(&unfinished, held);
            self.shelves.remove(sensor);
            return Err(VaultError::Disk { name: unfinished, cause });
        }
        let shelf = self.shelf(sensor)?;
        shelf.used = used;
        shelf.parts.insert(unfinished, length);
        Ok(length)
    }

    /// One part of each kind is on its way; another one before it came to nothing.
    fn clear(&mut self, sensor: &str, kind: Kind, own: &str) -> Result<(), VaultError> {
        let end = unfinished(&format!(".{}", kind.end()));
        let others = self.shelf(sensor)?.parts.keys().filter(|name| name.ends_with(&end) && *name != own);
        for other in others.cloned().collect::<Vec<_>>() {
            self.disk.remove(&other).map_err(disk_error(&other))?;
            let shelf = self.shelf(sensor)?;
            shelf.used = shelf.used.saturating_sub(shelf.parts.remove(&other).unwrap_or(0));
        }
        Ok(())
    }

    /// Takes the manifest of a segment whose parts are here; afterwards the segment lasts. The same again is fine.
    ///
    /// `key` is the public key that the sensor was enrolled with.
    ///
    /// # Errors
    /// Says what is not right; nothing of what is in the vault is changed then.
    pub fn accept(&mut self, sensor: &str, key: &str, text: &[u8]) -> Result<Progress, VaultError> {
        let refused = |sequence, why| VaultError::Refused { sensor: sensor.into(), sequence, why };
        let manifest = Manifest::read(text).map_err(|why| refused(0, why.into()))?;
        let sequence = manifest.sequence;
        if manifest.sensor != sensor {
            return Err(refused(sequence, Why::Sensor(manifest.sensor)));
        }
        if manifest.key != key {
            return Err(refused(sequence, Refused::Key.into()));
        }
        let quota = self.quota.bytes;
        self.check(sensor)?;
        let shelf = self.shelf(sensor)?;
        let (last, used) = (shelf.progress.clone(), shelf.used + text.len() as u64);
        let name = manifest_name(sensor, sequence);
        if sequence <= last.sequence {
            let there = self.disk.read(&name, crate::manifest::LONGEST);
            return match there {
                Ok(there) if there == text => Ok(last),
                _ => Err(refused(sequence, Why::Different)),
            };
        }
        if sequence != last.sequence + 1 {
            return Err(refused(sequence, Why::Early(last.sequence + 1)));
        }
        if manifest.before != last.hash {
            return Err(refused(sequence, Why::Chain));
        }
        if used > quota {
            return Err(refused(sequence, Why::Quota { used, quota }));
        }
        // Whatever happens on the way, the disk is asked again how things stand.
        self.shelves.remove(sensor);
        for (kind, part) in [(Kind::Capture, &manifest.capture), (Kind::Lines, &manifest.lines)] {
            let id = PartId { sequence, kind, blake3: part.blake3.clone() };
            if !self.put_in_place(&part_of(sensor, &id)?, &(part.blake3.clone(), part.bytes))? {
                return Err(refused(sequence, Why::Part(kind)));
            }
        }
        self.disk.sync_names().map_err(disk_error(sensor))?;
        self.disk.put(&name, text).map_err(disk_error(&name))?;
        let progress = Progress { sequence, hash: Some(hash(text)) };
        let shelf = Shelf { progress: progress.clone(), used, parts: BTreeMap::new() };
        self.shelves.insert(sensor.to_owned(), shelf);
        Ok(progress)
    }

    /// Gives a part its name, if it is the one that was announced; what is not goes.
    fn put_in_place(&mut self, name: &str, expected: &(String, u64)) -> Result<bool, VaultError> {
        if hash_of(&self.disk, name).is_ok_and(|found| found == *expected) {
            return Ok(true);
        }
        let unfinished = unfinished(name);
        if !hash_of(&self.disk, &unfinished).is_ok_and(|found| found == *expected) {
            // What is not what it should be is of no use to go on from.
            let removed = self.disk.remove(&unfinished).and_then(|()| self.disk.remove(name));
            removed.map_err(disk_error(&unfinished))?;
            return Ok(false);
        }
        self.disk.sync(&unfinished).map_err(disk_error(&unfinished))?;
        self.disk.rename(&unfinished, name).map_err(disk_error(name))?;
        Ok(true)
    }

    /// Answers a question of a sensor that was enrolled with this key.
    pub fn answer(&mut self, sensor: &str, key: &str, ask: &Ask) -> Told {
        self.try_answer(sensor, key, ask).unwrap_or_else(|error| Told::Failed(error.to_string()))
    }

    /// The same; why there is no answer is told by its kind.
    ///
    /// # Errors
    /// As [`Vault::progress`], [`Vault::held`], [`Vault::add`], [`Vault::accept`].
    pub fn try_answer(&mut self, sensor: &str, key: &str, ask: &Ask) -> Result<Told, VaultError> {
        match ask {
            Ask::Progress => self.progress(sensor).map(Told::Progress),
            Ask::Held(part) => self.held(sensor, part).map(Told::Held),
            Ask::Add { part, offset, bytes } => self.add(sensor, part, *offset, bytes).map(Told::Held),
            Ask::Accept { text } => self.accept(sensor, key, text).map(Told::Progress),
        }
    }

    /// The segments of a sensor that are here.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sealed(&self, sensor: &str) -> Result<Vec<u64>, VaultError> {
        sealed(&self.disk, sensor).map_err(VaultError::Damaged)
    }

    /// What is known of a sensor's files; where nothing is, the disk is asked.
    fn shelf(&mut self, sensor: &str) -> Result<&mut Shelf, VaultError> {
        if !self.shelves.contains_key(sensor) {
            let shelf = self.look(sensor)?;
            self.shelves.insert(sensor.to_owned(), shelf);
        }
        Ok(self.shelves.entry(sensor.to_owned()).or_default())
    }

    fn look(&self, sensor: &str) -> Result<Shelf, VaultError> {
        let progress = match head(&self.disk, sensor).map_err(VaultError::Damaged)? {
            Some(head) => Progress { sequence: head.sequence, hash: Some(hash(head.text().as_bytes())) },
            None => Progress::default(),
        };
        let files = self.disk.list_in(sensor).map_err(disk_error(sensor))?;
        let used = files.iter().map(|(_, length)| length).sum();
        let waits = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or_default();
            let (sequence, kind) = of_file(file.strip_suffix(UNFINISHED).unwrap_or(file))?;
            Some(sequence > progress.sequence && kind != FileKind::Manifest)
        };
        let parts = files.into_iter().filter(|(name, _)| waits(name) == Some(true)).collect();
        Ok(Shelf { progress, used, parts })
    }
}

/// The name of a part, if there can be one of that name.
fn part_of(sensor: &str, part: &PartId) -> Result<String, VaultError> {
    let PartId { sequence, kind, blake3 } = part;
    let is_hash = blake3.len() == 64 && blake3.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash || !is_sensor_name(sensor) {
        return Err(VaultError::Refused { sensor: sensor.into(), sequence: *sequence, why: Why::Name });
    }
    Ok(part_name(sensor, *sequence, blake3, kind.end()))
}

fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

fn disk_error(name: &str) -> impl FnOnce(io::Error) -> VaultError {
    let name = name.to_owned();
    move |cause| VaultError::Disk { name, cause }
}
