//! The vault: an independent place that only grows. A sensor adds its own next segment and asks how far it got; it reads, replaces
//! and deletes nothing.

use std::io;

use crate::disk::{Disk, UNFINISHED};
use crate::manifest::{CAPTURE, LINES, Manifest, Refused, hash, is_sensor_name, manifest_name, part_name};
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

    fn end(self) -> &'static str {
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
}

impl<D: Disk> Vault<D> {
    /// The vault on this disk, with the same quota for every sensor.
    pub fn new(disk: D, quota: Quota) -> Self {
        Vault { disk, quota }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// How far a sensor got.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn progress(&self, sensor: &str) -> Result<Progress, VaultError> {
        let Some(head) = head(&self.disk, sensor).map_err(VaultError::Damaged)? else {
            return Ok(Progress::default());
        };
        Ok(Progress { sequence: head.sequence, hash: Some(hash(head.text().as_bytes())) })
    }

    /// Bytes of a part that are here.
    ///
    /// # Errors
    /// Where the disk fails, or there can be no such part.
    pub fn held(&self, sensor: &str, part: &PartId) -> Result<u64, VaultError> {
        let name = self.name(sensor, part)?;
        let files = self.list(sensor)?;
        let length = |wanted: &str| files.iter().find(|(name, _)| name == wanted).map(|(_, length)| *length);
        Ok(length(&name).or_else(|| length(&(name + UNFINISHED))).unwrap_or(0))
    }

    /// Takes bytes of a part from `offset` on; what was here before stays. Returns how many are here then: where it is not as many
    /// as were sent, the sensor goes on from there.
    ///
    /// # Errors
    /// Where the disk fails, the quota is used up, or there can be no such part.
    pub fn add(&mut self, sensor: &str, part: &PartId, offset: u64, bytes: &[u8]) -> Result<u64, VaultError> {
        let held = self.held(sensor, part)?;
        let name = self.name(sensor, part)?;
        let files = self.list(sensor)?;
        let next = self.progress(sensor)?.sequence + 1;
        if part.sequence > next {
            let (sensor, sequence) = (sensor.to_owned(), part.sequence);
            return Err(VaultError::Refused { sensor, sequence, why: Why::Early(next) });
        }
        if part.sequence < next
            || bytes.is_empty()
            || offset != held
            || files.iter().any(|(there, _)| *there == name)
        {
            return Ok(held);
        }
        if held == 0 {
            // One part of each kind is on its way; another one before it came to nothing.
            let (end, own) = (format!(".{}{UNFINISHED}", part.kind.end()), format!("{name}{UNFINISHED}"));
            for (other, _) in files.iter().filter(|(other, _)| other.ends_with(&end) && *other != own) {
                self.disk.remove(other).map_err(disk_error(other))?;
            }
        }
        let used: u64 = files.iter().map(|(_, length)| length).sum();
        let (used, length) = (used + bytes.len() as u64, held + bytes.len() as u64);
        if used > self.quota.bytes || length > self.quota.part_bytes {
            let why = Why::Quota { used, quota: self.quota.bytes };
            return Err(VaultError::Refused { sensor: sensor.into(), sequence: part.sequence, why });
        }
        let unfinished = name + UNFINISHED;
        if let Err(cause) = self.disk.append(&unfinished, bytes) {
            // Half of it may be there; hashes would tell, but the sensor should not have to begin anew.
            let _ = self.disk.truncate(&unfinished, held);
            return Err(VaultError::Disk { name: unfinished, cause });
        }
        Ok(length)
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
        let last = self.progress(sensor)?;
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
        for (kind, part) in [(Kind::Capture, &manifest.capture), (Kind::Lines, &manifest.lines)] {
            let id = PartId { sequence, kind, blake3: part.blake3.clone() };
            let name = self.name(sensor, &id)?;
            let unfinished = format!("{name}{UNFINISHED}");
            let expected = (part.blake3.clone(), part.bytes);
            if hash_of(&self.disk, &name).is_ok_and(|found| found == expected) {
                continue;
            }
            match hash_of(&self.disk, &unfinished) {
                Ok(found) if found == expected => {}
                _ => {
                    // What is not what it should be is of no use to go on from.
                    let removed = self.disk.remove(&unfinished).and_then(|()| self.disk.remove(&name));
                    removed.map_err(disk_error(&unfinished))?;
                    return Err(refused(sequence, Why::Part(kind)));
                }
            }
            self.disk.sync(&unfinished).map_err(disk_error(&unfinished))?;
            self.disk.rename(&unfinished, &name).map_err(disk_error(&name))?;
        }
        self.disk.sync_names().map_err(disk_error(sensor))?;
        self.disk.put(&name, text).map_err(disk_error(&name))?;
        Ok(Progress { sequence, hash: Some(hash(text)) })
    }

    /// Answers a question of a sensor that was enrolled with this key.
    pub fn answer(&mut self, sensor: &str, key: &str, ask: &Ask) -> Told {
        let told = match ask {
            Ask::Progress => self.progress(sensor).map(Told::Progress),
            Ask::Held(part) => self.held(sensor, part).map(Told::Held),
            Ask::Add { part, offset, bytes } => self.add(sensor, part, *offset, bytes).map(Told::Held),
            Ask::Accept { text } => self.accept(sensor, key, text).map(Told::Progress),
        };
        told.unwrap_or_else(|error| Told::Failed(error.to_string()))
    }

    /// The segments of a sensor that are here.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sealed(&self, sensor: &str) -> Result<Vec<u64>, VaultError> {
        sealed(&self.disk, sensor).map_err(VaultError::Damaged)
    }

    fn list(&self, sensor: &str) -> Result<Vec<(String, u64)>, VaultError> {
        let mut files = self.disk.list().map_err(disk_error(sensor))?;
        files.retain(|(name, _)| name.split_once('/').is_some_and(|(whose, _)| whose == sensor));
        Ok(files)
    }

    fn name(&self, sensor: &str, part: &PartId) -> Result<String, VaultError> {
        let PartId { sequence, kind, blake3 } = part;
        let is_hash = blake3.len() == 64 && blake3.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash || !is_sensor_name(sensor) {
            return Err(VaultError::Refused { sensor: sensor.into(), sequence: *sequence, why: Why::Name });
        }
        Ok(part_name(sensor, *sequence, blake3, kind.end()))
    }
}

fn disk_error(name: &str) -> impl FnOnce(io::Error) -> VaultError {
    let name = name.to_owned();
    move |cause| VaultError::Disk { name, cause }
}
