//! Shipping: what a sensor asks its vault next, and what follows from the answer. Store and forward, oldest first, resumed where it
//! stopped; what carries questions and answers is somebody else's business, and may lose, repeat and delay them.

use trapline_wire::Time;

use crate::disk::Disk;
use crate::manifest::{LONGEST, Manifest, hash, manifest_name};
use crate::spool::{SpoolError, sealed};
use crate::vault::{Kind, PartId, Progress};

/// A question to the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How far did I get?
    Progress,
    /// How much of this part do you have?
    Held(PartId),
    /// Here are bytes of a part.
    Add {
        /// Which part.
        part: PartId,
        /// From where on.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Here is a manifest; you have the parts.
    Accept {
        /// Its text.
        text: Vec<u8>,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// To [`Ask::Progress`] and [`Ask::Accept`]: how far the sensor got, on the vault's disk.
    Progress(Progress),
    /// To [`Ask::Held`] and [`Ask::Add`]: bytes that are there.
    Held(u64),
    /// It was refused, or nobody answered: why.
    Failed(String),
}

/// Bytes that are sent at once, where nothing else is asked for.
pub const CHUNK: usize = 1 << 20;
/// How long is waited after a first failure; twice as long after each further one.
const FIRST_WAIT: Time = 1_000_000_000;
/// The longest wait.
const LONGEST_WAIT: Time = 300 * 1_000_000_000;

/// Where shipping stands. All of it may be forgotten at any time: it is asked again.
#[derive(Debug)]
pub struct Shipper {
    /// Bytes that are sent at once.
    chunk: usize,
    progress: Option<Progress>,
    /// Bytes that the vault has of the two parts of the next segment.
    held: [Option<u64>; 2],
    failures: u32,
    wait_until: Option<Time>,
    /// Why the last question failed.
    pub trouble: Option<String>,
}

impl Default for Shipper {
    fn default() -> Self {
        Shipper::sending(CHUNK)
    }
}

impl Shipper {
    /// One that sends at most that many bytes at once.
    pub fn sending(chunk: usize) -> Self {
        Shipper { chunk, progress: None, held: [None; 2], failures: 0, wait_until: None, trouble: None }
    }

    /// How far the vault has everything, as it said last.
    pub fn acknowledged(&self) -> Option<u64> {
        self.progress.as_ref().map(|progress| progress.sequence)
    }

    /// When to ask again, after a failure.
    pub fn wait_until(&self) -> Option<Time> {
        self.wait_until
    }

    /// What to ask now; nothing where all is shipped, or it is not yet time to try again.
    ///
    /// # Errors
    /// Where the spool cannot be read.
    pub fn next<D: Disk>(&self, disk: &D, sensor: &str, now: Time) -> Result<Option<Ask>, SpoolError> {
        // A clock that stepped back must not hold shipping up.
        if self.wait_until.is_some_and(|until| now < until && until - now <= LONGEST_WAIT) {
            return Ok(None);
        }
        let all = sealed(disk, sensor)?;
        let Some(progress) = &self.progress else { return Ok(Some(Ask::Progress)) };
        self.check_chain(disk, sensor, progress, &all)?;
        let Some(sequence) = all.into_iter().find(|sequence| *sequence > progress.sequence) else {
            return Ok(None);
        };
        let name = manifest_name(sensor, sequence);
        let disk_error = |name: &str| {
            let name = name.to_owned();
            move |cause| SpoolError::Disk { name, cause }
        };
        let text = disk.read(&name, LONGEST).map_err(disk_error(&name))?;
        let manifest = Manifest::read_own(&text).map_err(|cause| SpoolError::Manifest { name, cause })?;
        let names = manifest.names();
        for (place, (kind, part)) in
            [(Kind::Capture, &manifest.capture), (Kind::Lines, &manifest.lines)].into_iter().enumerate()
        {
            let id = PartId { sequence, kind, blake3: part.blake3.clone() };
            let Some(offset) = self.held[place] else { return Ok(Some(Ask::Held(id))) };
            if offset < part.bytes {
                let bytes =
                    disk.read_at(&names[place], offset, self.chunk).map_err(disk_error(&names[place]))?;
                return Ok(Some(Ask::Add { part: id, offset, bytes }));
            }
        }
        Ok(Some(Ask::Accept { text }))
    }

    /// What the vault has must be what the spool had: else nothing may be counted as shipped.
    fn check_chain<D: Disk>(
        &self,
        disk: &D,
        sensor: &str,
        progress: &Progress,
        all: &[u64],
    ) -> Result<(), SpoolError> {
        let other = || SpoolError::OtherChain { sensor: sensor.to_owned(), sequence: progress.sequence };
        if progress.sequence > all.last().copied().unwrap_or(0) {
            return Err(other());
        }
        if all.contains(&progress.sequence) {
            let name = manifest_name(sensor, progress.sequence);
            let text = disk.read(&name, LONGEST);
            let text = text.map_err(|cause| SpoolError::Disk { name, cause })?;
            if Some(hash(&text)) != progress.hash {
                return Err(other());
            }
        }
        Ok(())
    }

    /// Takes the answer to what was asked.
    pub fn told(&mut self, asked: &Ask, told: Told, now: Time) {
        match (asked, told) {
            (Ask::Progress | Ask::Accept { .. }, Told::Progress(progress)) => {
                self.progress = Some(progress);
                self.held = [None; 2];
            }
            (Ask::Held(part) | Ask::Add { part, .. }, Told::Held(held)) => {
                self.held[usize::from(part.kind == Kind::Lines)] = Some(held);
            }
            (_, Told::Failed(why)) => return self.failed(why, now),
            _ => return self.failed("the vault answered another question".into(), now),
        }
        self.failures = 0;
        self.wait_until = None;
        self.trouble = None;
    }

    fn failed(&mut self, why: String, now: Time) {
        // Nothing is known then: what was sent may have arrived or not.
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        *self = Shipper {
            failures: self.failures + 1,
            wait_until: Some(now + wait),
            trouble: Some(why),
            ..Shipper::sending(self.chunk)
        };
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::vault::{Quota, Vault};
    use crate::{Folder, Identity, Spool, seal, spool};

    #[test]
    fn a_vault_that_was_away_for_a_week_was_asked_now_and_then_and_gets_everything() {
        const SECOND: Time = 1_000_000_000;
        const WEEK: Time = 7 * 86_400 * SECOND;
        const EACH: Time = 4 * 3_600 * SECOND;
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let identity = Identity { sensor: "paris".into(), key: SigningKey::from_bytes(&[3; 32]) };
        let mut spool =
            Spool::open(Folder::at(here.path()).unwrap(), "paris", spool::Limits::default(), 0, "{}")
                .unwrap();
        let mut disk = Folder::at(here.path()).unwrap();
        let mut vault = Vault::new(Folder::at(there.path()).unwrap(), Quota::default());
        let (mut shipper, mut now, mut asked, mut sealed) = (Shipper::default(), 0, 0u32, 0);
        let mut go_on = |now: Time, is_away: bool, disk: &Folder| {
            while let Some(ask) = shipper.next(disk, "paris", now).unwrap() {
                asked += u32::from(is_away);
                let told = match is_away {
                    true => Told::Failed("away".into()),
                    false => vault.answer("paris", &identity.public(), &ask),
                };
                shipper.told(&ask, told, now);
            }
            (shipper.acknowledged(), asked)
        };
        // A segment every four hours, on a clock that jumps from one minute to the next.
        while now < WEEK {
            if now % EACH == 0 {
                spool.frame("uplink", now, 3, b"abc");
                spool.close(now + SECOND).unwrap();
                sealed += 1;
                seal::seal(&mut disk, &identity, sealed, now + SECOND).unwrap();
            }
            go_on(now, true, &disk);
            now += 60 * SECOND;
        }
        let (_, asked) = go_on(now, true, &disk);
        assert!((1_000..2_100).contains(&asked), "{asked} questions in a week");
        let (acknowledged, _) = go_on(now + LONGEST_WAIT, false, &disk);
        assert_eq!((acknowledged, sealed), (Some(sealed), 42));
    }
}
