//! The sensor as it runs: two processes.
//!
//! One has the packet socket and everything that strangers speak to; it writes the open segment and can do nothing else. The other, its
//! child, has the key: it seals. It hears through a pipe that there is something to do, and by its end that it is the last time.
#![expect(unsafe_code, reason = "signals and waiting have no safe interface in the standard library")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use trapline_archive::manifest::is_sensor_name;
use trapline_archive::ship::{Shipper, Told};
use trapline_archive::spool::{self, Limits};
use trapline_archive::vault::Quota;
use trapline_archive::{Folder, Identity, Spool, Vault};
use trapline_platform::Platform;
use trapline_wire::Time;

use crate::privileges::{self, Keeps, User};
use crate::setup::Setup;
use crate::socket::Socket;
use crate::switch::{Paces, Switch, event};

/// What a sensor is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network interface.
    pub interface: String,
    /// The platform file.
    pub platform: PathBuf,
    /// The folder of the spool.
    pub spool: PathBuf,
    /// The folder of its key and its seed.
    pub identity: PathBuf,
    /// Its name among sensors; that of the platform, where there is none.
    pub name: Option<String>,
    /// nmap's database of systems, for personas named `nmap:NAME`.
    pub nmap: PathBuf,
    /// The user that it becomes.
    pub user: Option<String>,
    /// The folder of a vault that sealed segments are shipped to.
    pub vault: Option<PathBuf>,
    /// How long a segment stays in the spool at least, after the vault has it.
    pub keep_ns: Time,
    /// How large and old segments become, and how much room there is.
    pub limits: Limits,
}

/// Where nmap's database is on most machines.
pub const NMAP_DATABASE: &str = "/usr/share/nmap/nmap-os-db";

/// Now, in nanoseconds since 1970.
pub fn now() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Time
}

/// Says something on standard error, where a sensor's log is.
fn log(what: &str) {
    let _ = writeln!(io::stderr(), "trapline-sensor: {what}");
}

/// Runs until it is told to end; `own` are the words that make this program a sensor, as it has to call itself again.
///
/// # Errors
/// Says what is missing or wrong, before `ready`; afterwards only where the interface is gone or the last segment cannot be closed.
pub fn run(options: &Options, own: &[&str]) -> Result<(), String> {
    let signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    let (seed, sensor) = (seed(options)?, sensor_name(options)?);
    let setup = read_setup(options, seed)?;
    let lock = lock(&options.spool)?;
    let user = match &options.user {
        Some(name) => Some(User::named(&[name]).ok_or_else(|| format!("this machine has no user {name:?}"))?),
        None => User::named(&["trapline", "nobody"]),
    };
    if let Some(User { id, group }) = user.filter(|_| privileges::is_root()) {
        own_all(&options.spool, id, group);
        // Of a vault only what is this sensor's; where it is away, it is not made here.
        if let Some(vault) = options.vault.as_ref().filter(|vault| vault.is_dir()) {
            let own = vault.join(&sensor);
            let _ = fs::create_dir(&own);
            own_all(&own, id, group);
        }
    }
    let mut socket = Socket::open(&options.interface).map_err(|e| format!("{}: {e}", options.interface))?;
    let mut keeper = Keeper::start(options, &sensor, own).map_err(|e| format!("the sealing process: {e}"))?;
    let folder =
        options.platform.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let reads: Vec<&Path> =
        [folder, options.nmap.as_path()].into_iter().filter(|path| path.exists()).collect();
    let keeps = Keeps { user, writes: &[&options.spool], reads: &reads };
    let given = privileges::give_up(&keeps).map_err(|e| format!("privileges cannot be given up: {e}"))?;
    if !given.user {
        log("runs as root of its namespace: there is no other user to become");
    }
    if given.landlock != "all" {
        log(&format!("this kernel closes {} of the file system to it (Landlock)", given.landlock));
    }
    let folder = Folder::at(&options.spool).map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let begun = now();
    let recovered = event(begun, "recovered", &[]);
    let opened = Spool::open(folder, &sensor, options.limits, begun, &recovered);
    let spool = opened.map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let decoys = setup.decoys(begun).map_err(|e| e.to_string())?;
    let mut switch = Switch::new(setup, decoys, spool, begun, Paces::ON_A_WIRE);
    keeper.poke();
    switch.event(
        begun,
        "started",
        &[("version", env!("CARGO_PKG_VERSION")), ("interface", &options.interface)],
    );
    log("ready");

    let mut told = None;
    let result = loop {
        match turn(&mut socket, &mut switch, &signals) {
            Ok(Some(Signal::End)) => break Ok(()),
            Ok(Some(Signal::Reload)) => match read_setup(options, seed) {
                Ok(setup) => {
                    if let Err(error) = switch.reload(setup, now()) {
                        log(&format!("not reloaded: {error}"));
                    }
                }
                Err(error) => log(&format!("not reloaded: {error}")),
            },
            Ok(None) => {}
            Err(error) => {
                switch.event(now(), "interface-lost", &[("why", &error.to_string())]);
                break Err(format!("{}: {error}", options.interface));
            }
        }
        keeper.poke();
        if switch.trouble != told {
            told.clone_from(&switch.trouble);
            log(told.as_deref().unwrap_or("the spool is well again"));
        }
    };
    // What came before the end was told is kept, though nobody answers any more.
    while let Some((time, wire_len, frame)) = socket.next_frame() {
        switch.keep(time, wire_len, frame);
    }
    let lost = socket.counted().map_or(0, |counted| counted.dropped);
    let closed = switch.end(now(), lost).map_err(|e| e.to_string());
    keeper.end();
    drop(lock);
    result.and(closed)
}

/// One wait, and what came of it.
fn turn(socket: &mut Socket, switch: &mut Switch<Folder>, signals: &Signals) -> io::Result<Option<Signal>> {
    /// Frames between two looks at the clock.
    const AT_ONCE: usize = 256;
    const MS: Time = 1_000_000;
    let wait = (switch.next() - now()).clamp(0, 1_000 * MS);
    let mut wanted = [socket.descriptor(), signals.0.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let frame_waits = {
        // SAFETY: it reads and writes the two structures that it is told of.
        let ready = unsafe { libc::poll(wanted.as_mut_ptr(), 2, ((wait + MS - 1) / MS) as i32) };
        ready > 0 && wanted[0].revents != 0
    };
    if wanted[0].revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
        return Err(io::Error::other("the interface went down or away"));
    }
    let mut answers: Vec<Vec<u8>> = Vec::new();
    if frame_waits {
        for _ in 0..AT_ONCE {
            let Some((time, wire_len, frame)) = socket.next_frame() else { break };
            switch.on_frame(time, wire_len, frame, |answer| answers.push(answer.to_vec()));
        }
    }
    switch.on_time(
        now(),
        || socket.counted().map_or(0, |counted| counted.dropped),
        |answer| answers.push(answer.to_vec()),
    );
    if !answers.is_empty() {
        socket.send(answers.iter().map(Vec::as_slice))?;
    }
    Ok(signals.next())
}

fn read_setup(options: &Options, seed: u64) -> Result<Setup, String> {
    let platform = Platform::read(&options.platform).map_err(|e| e.to_string())?;
    Setup::new(platform, seed, &options.nmap).map_err(|e| format!("{}: {e}", options.platform.display()))
}

/// A key for segments that prove nothing: those of a demonstration.
pub fn demo_key(seed: u64) -> SigningKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    SigningKey::from_bytes(&bytes)
}

/// Locks a spool, so that nobody else writes in it; it is made where there is none.
fn lock(spool: &Path) -> Result<File, String> {
    let failed = |e: io::Error| format!("{}: {e}", spool.display());
    fs::create_dir_all(spool).map_err(failed)?;
    let lock = File::options().create(true).append(true).open(spool.join(".lock")).map_err(failed)?;
    lock.try_lock().map_err(|_| format!("{}: another sensor writes there", spool.display()))?;
    // The sealing process of a sensor that was killed may still be at work.
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    while keeper_lock(spool).map_err(failed)?.try_lock().is_err() {
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "{}: the sealing process of an earlier sensor is still at work there",
                spool.display()
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(lock)
}

/// What a sealing process locks as long as it lives.
fn keeper_lock(spool: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(spool.join(".keeper.lock"))
}

/// What an earlier run as another user left.
///
/// Links are not followed: whoever may write there could have laid one to anywhere.
fn own_all(folder: &Path, user: u32, group: u32) {
    let _ = lchown(folder, Some(user), Some(group));
    if !fs::symlink_metadata(folder).is_ok_and(|what| what.is_dir()) {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    entries.flatten().for_each(|entry| own_all(&entry.path(), user, group));
}

/// One of the secrets of a sensor, made of chance where it is not there yet.
fn secret(options: &Options, name: &str) -> Result<[u8; 32], String> {
    let folder = &options.identity;
    let path = folder.join(name);
    let failed = |e: io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if !path.exists() {
        let mut bytes = [0; 32];
        File::open("/dev/urandom").and_then(|mut chance| chance.read_exact(&mut bytes)).map_err(failed)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    let text = text.trim();
    let byte = |i: usize| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok();
    let bytes = (0..32).map(byte).collect::<Option<Vec<u8>>>().filter(|_| text.len() == 64);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("{}: it should hold 64 hexadecimal digits", path.display()))
}

/// The deployment's seed.
fn seed(options: &Options) -> Result<u64, String> {
    Ok(secret(options, "seed")?.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

fn sensor_name(options: &Options) -> Result<String, String> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None => Platform::read(&options.platform).map_err(|e| e.to_string())?.name,
    };
    if is_sensor_name(&name) {
        return Ok(name);
    }
    Err(format!(
        "{name:?} is no name for a sensor: small letters, digits, '-', '_' and '.', at most 64; give one with --name"
    ))
}

/// Who seals. Only the sealing process may ask: where strangers are spoken to there is no key.
fn identity(options: &Options) -> Result<Identity, String> {
    Ok(Identity { sensor: sensor_name(options)?, key: SigningKey::from_bytes(&secret(options, "key")?) })
}

/// The process that seals.
struct Keeper {
    child: Child,
    pipe: Option<ChildStdin>,
    poked: Time,
}

impl Keeper {
    fn start(options: &Options, sensor: &str, own: &[&str]) -> io::Result<Keeper> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(own);
        command.arg("keep").arg("--spool").arg(&options.spool).arg("--identity").arg(&options.identity);
        command.arg("--name").arg(sensor).arg("--platform").arg(&options.platform);
        command.args(options.user.iter().flat_map(|user| ["--user", user]));
        if let Some(vault) = &options.vault {
            command.arg("--vault").arg(vault);
        }
        command.arg("--keep-days").arg((options.keep_ns / DAY).to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let pipe = child.stdin.take();
        if let Some(pipe) = &pipe {
            // A sealing process that hangs must not hold up the one that captures.
            // SAFETY: it takes numbers, on a descriptor that is open.
            unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        Ok(Keeper { child, pipe, poked: 0 })
    }

    /// Tells it to look, now and then.
    fn poke(&mut self) {
        const EACH: Time = 200_000_000;
        let now = now();
        if (now - self.poked).abs() < EACH {
            return;
        }
        self.poked = now;
        let told = self.pipe.as_mut().map_or(Ok(1), |pipe| pipe.write(b"."));
        // A full pipe holds enough to be told by.
        if told.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            log("the sealing process is gone; segments wait until the next start");
            self.pipe = None;
        }
    }

    /// Lets it seal what is left.
    fn end(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(45);
        self.pipe = None;
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                return log("the sealing process is still at work, and goes on by itself");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How often what the sensor writes is made to last when the plug is pulled.
const SYNC: Time = 1_000_000_000;

/// Seals what the sensor closes, until the pipe that it hears it by ends.
///
/// # Errors
/// Where the spool or the key cannot be used.
pub fn keep(options: &Options) -> Result<(), String> {
    let identity = identity(options)?;
    let lock = keeper_lock(&options.spool).map_err(|e| format!("{}: {e}", options.spool.display()))?;
    lock.lock().map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let user = match &options.user {
        Some(name) => User::named(&[name]),
        None => User::named(&["trapline", "nobody"]),
    };
    let vault_folder = options.vault.as_deref();
    let writes: Vec<&Path> = std::iter::once(options.spool.as_path()).chain(vault_folder).collect();
    let keeps = Keeps { user, writes: &writes, reads: &[] };
    privileges::give_up(&keeps).map_err(|e| format!("privileges cannot be given up: {e}"))?;
    let mut disk = Folder::at(&options.spool).map_err(|e| format!("{}: {e}", options.spool.display()))?;
    let mut shipping = vault_folder.map(|folder| Shipping::to(folder, &identity));
    let (mut told, mut synced) = (None, now());
    let mut byte = [0; 64];
    loop {
        let heard = io::stdin().read(&mut byte);
        // Signals are the other process's business: this one ends when the pipe does.
        if heard.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            continue;
        }
        let mut trouble = seal_all(&mut disk, &identity).err();
        if (now() - synced).abs() >= SYNC {
            synced = now();
            trouble = trouble.or(spool::sync_open(&mut disk).err().map(|e| e.to_string()));
        }
        if let Some(shipping) = &mut shipping {
            trouble = trouble.or(shipping.go_on(&mut disk, options.keep_ns));
        }
        if trouble != told {
            log(trouble.as_deref().unwrap_or("sealing and shipping go on"));
            told = trouble;
        }
        if matches!(heard, Ok(0) | Err(_)) {
            return told.map_or(Ok(()), Err);
        }
    }
}

const DAY: Time = 86_400 * 1_000_000_000;

/// On the way to a vault.
struct Shipping<'a> {
    shipper: Shipper,
    vault: Result<Vault<Folder>, String>,
    folder: &'a Path,
    identity: &'a Identity,
    public: String,
    acknowledged: u64,
}

impl<'a> Shipping<'a> {
    fn to(folder: &'a Path, identity: &'a Identity) -> Self {
        let vault = Err("the vault was not looked at yet".to_owned());
        Shipping {
            shipper: Shipper::default(),
            vault,
            folder,
            identity,
            public: identity.public(),
            acknowledged: 0,
        }
    }

    /// Ships what can be shipped now, and forgets what was shipped long enough ago; says what is in the way.
    fn go_on(&mut self, disk: &mut Folder, keep_ns: Time) -> Option<String> {
        /// Questions between two looks at what is to be sealed.
        const AT_ONCE: usize = 64;
        let sensor = self.identity.sensor.as_str();
        for _ in 0..AT_ONCE {
            let ask = match self.shipper.next(disk, sensor, now()) {
                Ok(Some(ask)) => ask,
                Ok(None) => break,
                Err(error) => return Some(error.to_string()),
            };
            // A folder that is away is not made anew: it may be a disk that is not mounted.
            if !self.folder.is_dir() {
                self.vault = Err(format!("{}: the vault is away", self.folder.display()));
            } else if self.vault.is_err() {
                let opened = Folder::at(self.folder).map(|disk| Vault::new(disk, Quota::default()));
                self.vault = opened.map_err(|e| format!("{}: {e}", self.folder.display()));
            }
            let told = match &mut self.vault {
                Ok(vault) => vault.answer(sensor, &self.public, &ask),
                Err(why) => Told::Failed(why.clone()),
            };
            self.shipper.told(&ask, told, now());
        }
        let acknowledged = self.shipper.acknowledged().unwrap_or(0);
        if acknowledged > self.acknowledged {
            log(&format!("the vault has everything up to segment {acknowledged}"));
            self.acknowledged = acknowledged;
            if let Err(error) = self.forget(disk, keep_ns) {
                return Some(error.to_string());
            }
        }
        self.shipper.trouble.clone()
    }

    fn forget(&self, disk: &mut Folder, keep_ns: Time) -> Result<(), spool::SpoolError> {
        for sequence in spool::sealed(disk, &self.identity.sensor)? {
            let manifest = spool::manifest(disk, &self.identity.sensor, sequence)?;
            if sequence > self.acknowledged || now() - manifest.sealed_ns < keep_ns {
                break;
            }
            spool::forget(disk, &manifest)?;
        }
        Ok(())
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

/// What a sensor is told while it runs.
enum Signal {
    /// SIGTERM, SIGINT: close the segment and end.
    End,
    /// SIGHUP: read the platform file again.
    Reload,
}

/// The signals that a sensor listens to, as something that can be waited for.
struct Signals(OwnedFd);

impl Signals {
    fn new() -> io::Result<Signals> {
        // SAFETY: the set is made empty before it is used, and lives until it is copied.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            // A sealing process that is gone must not end this one.
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            match libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) {
                fd if fd >= 0 => Ok(Signals(OwnedFd::from_raw_fd(fd))),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    fn next(&self) -> Option<Signal> {
        // SAFETY: all zeros is a signal that never came.
        let mut came: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: it writes no more than the size that it is told.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut came).cast(), size) };
        (read == size as isize).then_some(match came.ssi_signo as i32 {
            libc::SIGHUP => Signal::Reload,
            _ => Signal::End,
        })
    }
}
