//! How a sensor is, in a file of its spool: what the capturing process, which has no way to speak to anybody, lets others see.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trapline_archive::disk::Disk;
use trapline_wire::Time;

use crate::switch::Switch;

const FILE: &str = ".sensor.json";

/// Reads a small file that a process of less rights wrote: an ordinary file, no link, no more than such a file has.
pub(crate) fn read_small(path: &Path) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 16;
    let file =
        File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let mut bytes = Vec::new();
    let is_file = file.metadata().ok()?.is_file();
    (is_file && file.take(MOST).read_to_end(&mut bytes).is_ok()).then_some(bytes)
}

/// How a sensor is, since its capturing process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When this was written, in nanoseconds since 1970: each second.
    pub at_ns: Time,
    /// When the process started.
    pub started_ns: Time,
    /// Frames that came.
    pub heard: u64,
    /// Frames that hosts sent.
    pub answered: u64,
    /// Frames that the kernel dropped.
    pub dropped: u64,
    /// How much room the spool has: `enough`, `narrow`, `headers-only`, `none`.
    pub room: String,
    /// Bytes of the spool.
    pub spool_bytes: u64,
    /// The number of the segment that is open; nothing before its first packet.
    pub segment: Option<u64>,
    /// What cannot be done.
    pub trouble: Option<String>,
    /// Whether the process has ended, as it was told to.
    #[serde(default)]
    pub ended: bool,
}

impl Health {
    /// How a switch is.
    pub fn of<D: Disk>(switch: &Switch<D>, now: Time, started_ns: Time) -> Health {
        let spool = switch.spool();
        Health {
            at_ns: now,
            started_ns,
            heard: switch.heard,
            answered: switch.answered,
            dropped: switch.lost,
            room: spool.room().name().to_owned(),
            spool_bytes: spool.used(),
            segment: spool.open_sequence(),
            trouble: switch.trouble.clone(),
            ended: false,
        }
    }

    /// What is written in a spool; nothing where no sensor ever was.
    pub fn read(spool: &Path) -> Option<Health> {
        serde_json::from_slice(&read_small(&spool.join(FILE))?).ok()
    }

    /// Writes it; as a whole, or not.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&self, spool: &Path) -> io::Result<()> {
        let unfinished = spool.join(".sensor.json.new");
        fs::write(&unfinished, serde_json::to_string_pretty(self).unwrap_or_default() + "\n")?;
        fs::rename(unfinished, spool.join(FILE))
    }
}
