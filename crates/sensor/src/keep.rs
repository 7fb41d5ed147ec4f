//! The process that has the key: it seals what was captured, makes it last, and lets go of what a vault has.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use trapline_archive::spool::{self, SpoolError};
use trapline_archive::{Folder, Identity};
use trapline_wire::Time;

use crate::privileges::{self, Keeps};
use crate::run::{Options, held, is_over, log, now, user};
use crate::secrets::identity;
use crate::ship::Shipped;
use crate::signals::{Ready, wait};

/// How often what the sensor writes is made to last when the plug is pulled.
const SYNC: Time = 1_000_000_000;
/// How often it looks whether there is something to seal.
const LOOK_MS: i32 = 200;
/// How long it waits after a segment could not be sealed.
const PAUSE: Duration = Duration::from_secs(5);

/// Seals what is closed, until whoever started it is gone.
///
/// # Errors
/// Where the spool or the key cannot be used.
pub fn keep(options: &Options) -> Result<(), String> {
    let identity = identity(options)?;
    let _lock = held(&options.spool, ".keeper.lock")?;
    let keeps = Keeps { user: user(options)?, writes: &[&options.spool], reads: &[], network: false };
    privileges::give_up(&keeps).map_err(|e| format!("privileges cannot be given up: {e}"))?;
    let mut disk = Folder::at(&options.spool).map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let (mut told, mut synced): (Option<String>, _) = (None, now());
    let (mut sealing, mut again) = (None, Instant::now());
    loop {
        let [heard] = wait([io::stdin().as_fd()], LOOK_MS).map_err(|e| e.to_string())?;
        // What was closed before the end was told is there now.
        let over = heard != Ready::No && is_over();
        if over || Instant::now() >= again {
            sealing = seal_all(&mut disk, &identity).err();
            // Compressing a segment anew every moment helps nobody where the disk is full.
            again = Instant::now() + if sealing.is_some() { PAUSE } else { Duration::ZERO };
        }
        let mut trouble = sealing.clone();
        if (now() - synced).abs() >= SYNC {
            synced = now();
            trouble = trouble.or(spool::sync_open(&mut disk).err().map(|e| e.to_string()));
            let shipped = Shipped::read(&options.spool).map_or(0, |shipped| shipped.acknowledged);
            let forgotten = forget(&mut disk, &identity.sensor, shipped, options.keep_ns);
            trouble = trouble.or(forgotten.err().map(|e| e.to_string()));
        }
        if trouble != told {
            log(trouble.as_deref().unwrap_or("sealing goes on"));
            told = trouble;
        }
        if over {
            return told.map_or(Ok(()), Err);
        }
    }
}

fn seal_all(disk: &mut Folder, identity: &Identity) -> Result<(), String> {
    for sequence in spool::to_seal(disk).map_err(|e| e.to_string())? {
        let manifest = spool::seal(disk, identity, sequence, now()).map_err(|e| e.to_string())?;
        let packets = manifest.packets;
        log(&format!("sealed segment {sequence}: {} packets, {} dropped", packets.written, packets.dropped));
    }
    Ok(())
}

/// Lets go of what the vault has, up to that segment, and what was sealed long enough ago.
fn forget(disk: &mut Folder, sensor: &str, shipped: u64, keep_ns: Time) -> Result<(), SpoolError> {
    for sequence in spool::sealed(disk, sensor)? {
        if sequence > shipped {
            break;
        }
        let manifest = spool::manifest(disk, sensor, sequence)?;
        if now() - manifest.sealed_ns < keep_ns {
            break;
        }
        spool::forget(disk, &manifest)?;
    }
    Ok(())
}
