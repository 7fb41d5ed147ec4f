//! The sensor as it runs: a process that looks after three others.
//!
//! [`mod@crate::capture`] has the packet socket and everything that strangers speak to; [`mod@crate::keep`] has the key, and seals;
//! [`mod@crate::ship`] has the network. They share a spool and nothing else. Each ends when the pipe that is its standard input does, so that none
//! outlives the process here, which starts them, and starts again what was killed.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trapline_archive::spool::Limits;
use trapline_line::{Address, Credentials};
use trapline_platform::Platform;
use trapline_wire::Time;

use crate::privileges::{self, User};
use crate::secrets::{identity, sensor_name, signing_key};
use crate::signals::{self, Ready, Signal, Signals, wait};

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
    /// The vault that sealed segments are shipped to.
    pub vault: Option<Address>,
    /// How long a segment stays in the spool at least, after the vault has it.
    pub keep_ns: Time,
    /// How large and old segments become, and how much room there is.
    pub limits: Limits,
    /// Its public key, for the process that ships and has no other.
    pub public: String,
    /// Whether it ends when its standard input does: whoever started it is gone then.
    pub with_parent: bool,
    /// All of this as it was given, for the processes of the sensor.
    pub words: Vec<OsString>,
}

/// Where nmap's database is on most machines.
pub const NMAP_DATABASE: &str = "/usr/share/nmap/nmap-os-db";

/// Now, in nanoseconds since 1970.
pub fn now() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Time
}

/// Says something on standard error, where a sensor's log is.
pub(crate) fn log(what: &str) {
    let _ = writeln!(io::stderr(), "trapline-sensor: {what}");
}

/// What the capturing process says on its standard output when it answers.
pub(crate) const READY: &str = "ready\n";
/// What it says there each second: that it lives.
pub(crate) const ALIVE: &[u8] = b".";

/// The user that processes become.
pub(crate) fn user(options: &Options) -> Result<Option<User>, String> {
    match &options.user {
        Some(name) => {
            let user = User::named(&[name]);
            user.map(Some).ok_or_else(|| format!("this machine has no user {name:?}"))
        }
        None => Ok(User::named(&["trapline", "nobody"])),
    }
}

/// Locks a file of a spool as long as what is returned lives; waits for a process of an earlier sensor that is still at work.
pub(crate) fn held(spool: &Path, name: &str) -> Result<File, String> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let failed = |e: io::Error| format!("{}: {e}", spool.display());
    let lock =
        File::options().create(true).append(true).custom_flags(libc::O_NOFOLLOW).open(spool.join(name));
    let lock = lock.map_err(failed)?;
    let begun = Instant::now();
    let mut said = false;
    while lock.try_lock().is_err() {
        if !said && begun.elapsed() > Duration::from_secs(1) {
            log(&format!("{}: waits for another sensor that is at work there", spool.display()));
            said = true;
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{}: another sensor is at work there ({name})", spool.display()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(lock)
}

/// Whether the pipe at standard input, which can be read, is at its end: whoever started this process wants it to end, or is gone.
pub(crate) fn is_over() -> bool {
    let mut bytes = [0; 64];
    match io::stdin().read(&mut bytes) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::Interrupted,
    }
}

/// Runs until it is told to end; `own` are the words that make this program a sensor, as it has to call itself again.
///
/// # Errors
/// Says what is missing or wrong. What the capturing process ends with by itself was told by it.
pub fn run(options: &Options, own: &[&str]) -> Result<(), String> {
    let signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    prepare(options)?;
    let mut sensor = Sensor {
        heard: Instant::now(),
        identity: options.identity.clone(),
        enrolled: enrolled_at(&options.identity),
        capture: Role::new("capture", options, own),
        keep: Role::new("keep", options, own),
        ship: match &options.vault {
            Some(_) => Some(
                Role::new("ship", options, own).told(["--public".into(), identity(options)?.public().into()]),
            ),
            None => None,
        },
        ready: false,
    };
    sensor.capture.start().map_err(|e| format!("the capturing process: {e}"))?;
    loop {
        let result = sensor.look();
        if let Some(result) = result {
            sensor.end();
            return result;
        }
        let wake = sensor.next().unwrap_or(Duration::from_secs(10)).as_millis().min(10_000) as i32 + 1;
        // What is of no interest is not waited for: the signals stand in for it.
        let (signal, input) = (signals.as_fd(), io::stdin());
        let says = sensor.capture.says();
        let parent = options.with_parent.then(|| input.as_fd());
        let heard = wait([signal, says.unwrap_or(signal), parent.unwrap_or(signal)], wake);
        let [_, said, gone] = heard.map_err(|e| e.to_string())?;
        if parent.is_some() && gone != Ready::No && is_over() {
            sensor.end();
            return Ok(());
        }
        let says = if says.is_some() { said } else { Ready::No };
        if says != Ready::No {
            sensor.hear();
        }
        while let Some(signal) = signals.next() {
            match signal {
                Signal::End => {
                    sensor.end();
                    return Ok(());
                }
                Signal::Reload => sensor.capture.signal(libc::SIGHUP),
                Signal::Child => {}
            }
        }
    }
}

/// What has to be there before anything is started, and belongs to the user that the processes become.
fn prepare(options: &Options) -> Result<(), String> {
    let sensor = sensor_name(options)?;
    // Made here, so that no two processes make one each.
    signing_key(&options.identity)?;
    Platform::read(&options.platform).map_err(|e| e.to_string())?;
    let user = user(options)?;
    let failed = |e: io::Error| format!("{}: {e}", options.spool.display());
    fs::create_dir_all(options.spool.join(crate::ship::FOLDER)).map_err(failed)?;
    if let Some(address @ Address::Server(_)) = &options.vault
        && Credentials::read(&options.identity).map_err(|e| e.to_string())?.is_none()
    {
        return Err(format!(
            "{address}: this sensor is not enrolled there; trapline vault enroll {sensor} makes a token, trapline-sensor enroll takes it"
        ));
    }
    if let Some(User { id, group }) = user.filter(|_| privileges::is_root()) {
        given(own_all(&options.spool, id, group)).map_err(failed)?;
        // Of a vault only what is this sensor's; where it is away, it is not made here.
        if let Some(Address::Folder(vault)) =
            options.vault.as_ref().filter(|vault| matches!(vault, Address::Folder(f) if f.is_dir()))
        {
            let own = vault.join(&sensor);
            let _ = fs::create_dir(&own);
            let failed = |e: io::Error| format!("{}: {e}", own.display());
            given(own_all(&own, id, group)).map_err(failed)?;
        }
    }
    Ok(())
}

/// In a user namespace of one user there is nobody to give anything to, and nobody else to become.
fn given(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(()),
        done => done,
    }
}

/// Gives a folder and everything in it to a user: what an earlier run as another user left.
///
/// Whoever may write there could lay a link to anywhere, at any moment: every step goes through a descriptor of the folder that it is in, and
/// no link is followed.
#[expect(unsafe_code, reason = "the standard library has no fchownat")]
fn own_all(folder: &Path, user: u32, group: u32) -> io::Result<()> {
    let open = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(folder)?;
    fchown(&open, Some(user), Some(group))?;
    for entry in fs::read_dir(format!("/proc/self/fd/{}", open.as_raw_fd()))?.flatten() {
        let name = CString::new(entry.file_name().into_encoded_bytes())?;
        // SAFETY: it reads a string that ends with zero; the descriptor is open.
        let done = unsafe {
            libc::fchownat(open.as_raw_fd(), name.as_ptr(), user, group, libc::AT_SYMLINK_NOFOLLOW)
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        if entry.file_type()?.is_dir() {
            own_all(&entry.path(), user, group)?;
        }
    }
    Ok(())
}

/// A process of the sensor.
struct Role {
    name: &'static str,
    words: Vec<OsString>,
    child: Option<Child>,
    /// When it is started again, and how long is waited the next time.
    again: Option<Instant>,
    wait: Duration,
    started: Instant,
}

/// How long is waited before something that ended is started again, at first and at the most.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

impl Role {
    fn new(name: &'static str, options: &Options, own: &[&str]) -> Role {
        let words = own.iter().map(OsString::from).chain([name.into()]).chain(options.words.iter().cloned());
        let now = Instant::now();
        Role { name, words: words.collect(), child: None, again: None, wait: WAITS[0], started: now }
    }

    /// One that is told more.
    fn told(mut self, more: [OsString; 2]) -> Role {
        self.words.extend(more);
        self
    }

    fn start(&mut self) -> io::Result<()> {
        // The program that runs, also where another one was put in its place meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0(std::env::args_os().next().unwrap_or_default());
        // Ctrl-C is meant for the process that looks after it.
        command.args(&self.words).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        (self.child, self.again, self.started) = (Some(command.spawn()?), None, Instant::now());
        Ok(())
    }

    /// Starts it if it is time; a process that cannot be started is tried again.
    fn start_if_due(&mut self) {
        if self.child.is_none()
            && self.again.is_none_or(|at| at <= Instant::now())
            && let Err(error) = self.start()
        {
            log(&format!("the process that does {} cannot be started: {error}", self.name));
            self.later();
        }
    }

    /// Starts it if it does not run, whether it is time or not: its work is wanted once more.
    fn start_anyhow(&mut self) {
        let _ = self.ended();
        self.again = None;
        self.start_if_due();
    }

    /// How it ended, where it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        self.later();
        Some(status)
    }

    fn later(&mut self) {
        // What went well for a while starts quickly again.
        if self.started.elapsed() > WAITS[1] {
            self.wait = WAITS[0];
        }
        self.again = Some(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(WAITS[1]);
    }

    fn signal(&self, signal: libc::c_int) {
        if let Some(child) = &self.child {
            signals::send(child.id(), signal);
        }
    }

    fn says(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.child.as_ref()?.stdout.as_ref()?.as_fd())
    }

    /// Ends it by the end of its pipe, and waits; one that does not end is killed, and goes on from there at its next start.
    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        self.again = None;
        drop(child.stdin.take());
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(None) if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    log(&format!("the process that does {} does not end, and is killed", self.name));
                    let _ = child.kill();
                    return child.wait().ok();
                }
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

/// When a sensor was enrolled; nothing where it was not.
fn enrolled_at(identity: &Path) -> Option<SystemTime> {
    fs::metadata(identity.join(trapline_line::enroll::CERTIFICATE)).ok()?.modified().ok()
}

/// A capturing process that has said nothing for so long hangs.
const SILENT: Duration = Duration::from_secs(60);

/// All processes.
struct Sensor {
    /// When the capturing process last said something.
    heard: Instant,
    identity: PathBuf,
    /// When the sensor was enrolled, as the process that ships knows it.
    enrolled: Option<SystemTime>,
    capture: Role,
    keep: Role,
    ship: Option<Role>,
    /// Whether the capturing process has opened the spool: before, nobody else may touch it.
    ready: bool,
}

impl Sensor {
    /// Sees who ended and who is to be started; what to end with, if that is what it comes to.
    fn look(&mut self) -> Option<Result<(), String>> {
        if let Some(status) = self.capture.ended() {
            if let Some(code) = status.code() {
                // It said why.
                return Some(if code == 0 { Ok(()) } else { Err("the capturing process ended".into()) });
            }
            log(&format!("the capturing process was killed by signal {}", status.signal().unwrap_or(0)));
            // It will recover the spool, and nobody may seal meanwhile.
            self.ready = false;
            self.keep.end(Duration::from_secs(2));
        }
        // One that is there and does nothing is as good as none.
        if self.ready && self.heard.elapsed() > SILENT {
            log("the capturing process says nothing any more, and is killed");
            self.capture.signal(libc::SIGKILL);
            self.heard = Instant::now();
        }
        self.capture.start_if_due();
        let enrolled = enrolled_at(&self.identity);
        if self.enrolled != enrolled
            && let Some(ship) = &mut self.ship
        {
            // It was enrolled anew: the process that ships has read its certificate when it began.
            ship.end(Duration::from_secs(2));
            self.enrolled = enrolled;
        }
        for role in [Some(&mut self.keep), self.ship.as_mut()].into_iter().flatten() {
            if let Some(status) = role.ended() {
                log(&format!("the process that does {} ended: {status}", role.name));
            }
            if self.ready {
                role.start_if_due();
            }
        }
        None
    }

    /// When somebody is to be started again.
    fn next(&self) -> Option<Duration> {
        let roles = [Some(&self.capture), Some(&self.keep), self.ship.as_ref()];
        let at = roles.into_iter().flatten().filter_map(|role| role.again).min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// The capturing process says something, or is gone.
    fn hear(&mut self) {
        let mut bytes = [0; 64];
        let stdout = self.capture.child.as_mut().and_then(|child| child.stdout.as_mut());
        match stdout.map(|stdout| stdout.read(&mut bytes)) {
            Some(Ok(read @ 1..)) => {
                self.heard = Instant::now();
                // It says this at once, and before all else.
                self.ready |= bytes[..read].starts_with(READY.as_bytes());
            }
            // It is ending: how, is seen in a moment.
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }

    /// Closes, seals, ships, in this order.
    fn end(&mut self) {
        self.capture.end(Duration::from_secs(60));
        let rest = [(Some(&mut self.keep), 45), (self.ship.as_mut(), 25)];
        for (role, patience_s) in rest.into_iter().filter_map(|(role, patience_s)| Some((role?, patience_s)))
        {
            if self.ready {
                role.start_anyhow();
            }
            role.end(Duration::from_secs(patience_s));
        }
    }
}
