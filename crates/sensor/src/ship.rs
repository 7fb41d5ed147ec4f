//! The process that ships: it has the network and reads sealed segments, has no packet socket and no signing key, and writes nothing but
//! how far it got.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trapline_archive::Folder;
use trapline_archive::ship::Shipper;
use trapline_line::{Address, Credentials, Remote};
use trapline_wire::Time;

use crate::health::read_small;
use crate::privileges::{self, Keeps};
use crate::run::{Options, held, is_over, log, now, user};
use crate::secrets::sensor_name;
use crate::signals::{Ready, wait};

/// The folder in a spool that this process writes in.
pub const FOLDER: &str = ".ship";
const STATE: &str = "state.json";

/// How far shipping got, as its process writes it down for the one that seals, and for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// Where to.
    pub vault: String,
    /// The last segment that the vault has, with all before it.
    pub acknowledged: u64,
    /// When the vault said so last, in nanoseconds since 1970; nothing before.
    pub heard_ns: Option<Time>,
    /// What is in the way.
    pub trouble: Option<String>,
}

impl Shipped {
    /// What is written in a spool; nothing where nothing was shipped.
    pub fn read(spool: &Path) -> Option<Shipped> {
        serde_json::from_slice(&read_small(&spool.join(FOLDER).join(STATE))?).ok()
    }

    fn write(&self, spool: &Path) -> io::Result<()> {
        let folder = spool.join(FOLDER);
        let unfinished = folder.join(format!("{STATE}.new"));
        let mut file = File::create(&unfinished)?;
        file.write_all(serde_json::to_string_pretty(self).unwrap_or_default().as_bytes())?;
        fs::rename(unfinished, folder.join(STATE))
    }
}

/// Where a program that asks for names of hosts and trusts certificates reads.
const SYSTEM: [&str; 6] = ["/etc", "/usr", "/lib", "/lib64", "/run", "/var/lib/ca-certificates"];
/// How often it looks whether something was sealed.
const LOOK_MS: i32 = 500;
/// How long it goes on after the end was told, as long as the vault takes what is left.
const LAST: Duration = Duration::from_secs(20);

/// Ships what is sealed, until whoever started it is gone.
///
/// # Errors
/// Where the spool or the certificate cannot be used; a vault that is away is tried again.
pub fn ship(options: &Options, address: &Address) -> Result<(), String> {
    let sensor = sensor_name(options)?;
    let credentials = Credentials::read(&options.identity).map_err(|e| e.to_string())?;
    let _lock = held(&options.spool, ".ship.lock")?;
    let own = options.spool.join(FOLDER);
    let in_vault = match address {
        Address::Folder(folder) => folder.join(&sensor),
        _ => own.clone(),
    };
    let mut writes = vec![own.as_path()];
    let mut reads: Vec<&Path> = vec![&options.spool];
    match address {
        Address::Folder(folder) if folder.is_dir() => {
            let _ = fs::create_dir(&in_vault);
            writes.push(&in_vault);
            reads.push(folder);
        }
        Address::Folder(_) => {}
        Address::Server(_) | Address::Store(_) => {
            reads.extend(SYSTEM.map(Path::new).into_iter().filter(|path| path.exists()))
        }
    }
    // What this process may reach is settled here; a share that is mounted later is another folder.
    let mounted = folder_of(address);
    let keeps = Keeps { user: user(options)?, writes: &writes, reads: &reads, network: true };
    privileges::give_up(&keeps).map_err(|e| format!("privileges cannot be given up: {e}"))?;
    let disk = Folder::at(&options.spool).map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let mut remote = trapline_line::open(address, options.public.clone(), credentials.as_ref())
        .map_err(|e| e.to_string())?;
    let mut shipper = Shipper::sending(remote.chunk());
    let before = Shipped::read(&options.spool).filter(|before| before.vault == address.to_string());
    let mut state = Shipped { trouble: None, ..before.unwrap_or_default() };
    state.vault = address.to_string();
    loop {
        let [heard] = wait([io::stdin().as_fd()], LOOK_MS).map_err(|e| e.to_string())?;
        let over = heard != Ready::No && is_over();
        let begun = Instant::now();
        if folder_of(address).is_some_and(|now| mounted != Some(now)) {
            return Err(format!("{address}: another folder is there now; shipping starts anew"));
        }
        loop {
            let more = question(&disk, &sensor, &mut shipper, &mut *remote, &mut state);
            if let Err(error) = state.write(&options.spool) {
                state.trouble.get_or_insert(format!("{}: {error}", own.display()));
            }
            // In between it is looked whether this is to end.
            if !more || begun.elapsed() > LAST {
                break;
            }
        }
        if over {
            return Ok(());
        }
    }
}

/// Which folder it is that a vault is in, if there is one.
fn folder_of(address: &Address) -> Option<(u64, u64)> {
    let Address::Folder(folder) = address else { return None };
    let metadata = fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Asks the vault one thing; whether there is more to ask now.
fn question(
    disk: &Folder,
    sensor: &str,
    shipper: &mut Shipper,
    remote: &mut dyn Remote,
    state: &mut Shipped,
) -> bool {
    let ask = match shipper.next(disk, sensor, now()) {
        Ok(ask) => ask,
        Err(error) => {
            say(state, Some(error.to_string()));
            return false;
        }
    };
    // What the vault says it has was compared with the spool's own chain by now; it may have less than it said before.
    let acknowledged = shipper.acknowledged().filter(|acknowledged| *acknowledged != state.acknowledged);
    if let Some(acknowledged) = acknowledged {
        log(&format!("the vault has everything up to segment {acknowledged}"));
        state.acknowledged = acknowledged;
    }
    let Some(ask) = ask else { return false };
    let told = remote.ask(sensor, &ask);
    shipper.told(&ask, told, now());
    say(state, shipper.trouble.clone());
    if shipper.trouble.is_none() {
        state.heard_ns = Some(now());
    }
    shipper.trouble.is_none()
}

fn say(state: &mut Shipped, trouble: Option<String>) {
    if state.trouble != trouble {
        log(trouble.as_deref().unwrap_or("shipping goes on"));
        state.trouble = trouble;
    }
}

#[cfg(test)]
mod tests {
    use trapline_archive::spool::{Limits, seal};
    use trapline_archive::vault::Progress;
    use trapline_archive::{Identity, Spool};

    use super::*;

    /// A vault that says that it has very much.
    struct Boaster(Progress);

    impl Remote for Boaster {
        fn ask(&mut self, _: &str, _: &trapline_archive::ship::Ask) -> trapline_archive::ship::Told {
            trapline_archive::ship::Told::Progress(self.0.clone())
        }
    }

    #[test]
    fn what_a_vault_says_counts_only_if_it_is_our_chain() {
        let folder = tempfile::tempdir().unwrap();
        let key = crate::secrets::demo_key(1);
        let identity = Identity { sensor: "paris".into(), key };
        let mut spool =
            Spool::open(Folder::at(folder.path()).unwrap(), "paris", Limits::default(), 0, "{}").unwrap();
        spool.frame("uplink", 1, 3, b"abc");
        spool.close(2).unwrap();
        let mut disk = Folder::at(folder.path()).unwrap();
        let manifest = seal(&mut disk, &identity, 1, 3).unwrap();
        let hash = trapline_archive::manifest::hash(manifest.text().as_bytes());
        let told = |sequence, hash: &str| {
            let mut remote = Boaster(Progress { sequence, hash: Some(hash.to_owned()) });
            let (mut shipper, mut state) = (Shipper::default(), Shipped::default());
            for _ in 0..3 {
                question(&disk, "paris", &mut shipper, &mut remote, &mut state);
            }
            (state.acknowledged, state.trouble.is_some())
        };
        assert_eq!(told(500, &hash), (0, true));
        assert_eq!(told(1, "another"), (0, true));
        assert_eq!(told(1, &hash), (1, false));
    }
}
