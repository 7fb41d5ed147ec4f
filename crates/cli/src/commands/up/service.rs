//! Processes that `up` runs: some that go on for ever, some that do one thing.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use trapline_sensor::signals;

/// Tells a process that it needs no capability and gives all of them up first: it reads what strangers sent.
pub const NO_CAPABILITIES: &str = "TRAPLINE_NO_CAPABILITIES";

/// Starts this program again with these words. What it says goes where our log goes; it ends when we do, where it looks.
fn start(words: &[String]) -> io::Result<Child> {
    let log = io::stderr().as_fd().try_clone_to_owned()?;
    // The program that runs, also where another one was put in its place meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::args_os().next().unwrap_or_default());
    if words.first().is_some_and(|word| word != "sensor") {
        command.env(NO_CAPABILITIES, "1");
    }
    // Ctrl-C is meant for us, and we tell.
    command.args(words).stdin(Stdio::piped()).stdout(log).process_group(0).spawn()
}

/// How long is waited before something that ended is started again, at first and at the most.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// A process that goes on for ever, and is started again where it does not.
pub struct Service {
    /// What it is, for people.
    pub name: String,
    /// How often it was started again.
    pub restarts: u64,
    words: Vec<String>,
    child: Option<Child>,
    again: Instant,
    wait: Duration,
}

impl Service {
    /// The program with these words; it is started by the first [`Service::look`].
    pub fn new(name: String, words: Vec<String>) -> Service {
        Service { name, restarts: 0, words, child: None, again: Instant::now(), wait: WAITS[0] }
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Looks whether it runs, and starts it where it does not; what happened, for the log.
    pub fn look(&mut self) -> Option<String> {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            self.child = None;
            let wait = self.wait;
            (self.again, self.wait) = (Instant::now() + wait, (wait * 2).min(WAITS[1]));
            self.restarts += 1;
            return Some(format!(
                "{} ended ({status}); it is started again in {} s",
                self.name,
                wait.as_secs()
            ));
        }
        let now = Instant::now();
        if self.child.is_some() {
            // What went well for a while starts quickly again.
            if now > self.again + WAITS[1] {
                self.wait = WAITS[0];
            }
            return None;
        }
        if now < self.again {
            return None;
        }
        match start(&self.words) {
            Ok(child) => {
                (self.child, self.again) = (Some(child), now);
                None
            }
            Err(error) => {
                self.again = now + WAITS[1];
                Some(format!("{} cannot be started: {error}", self.name))
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            signals::send(child.id(), signal);
        }
    }

    /// Tells it to end, which may take a while: a sensor seals what is open, and ships it.
    pub fn tell_to_end(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
        }
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        self.child.take()?.wait().ok()
    }
}

/// How long something that was asked to stop may go on.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that does one thing.
pub struct Job {
    child: Child,
    /// When it began.
    pub begun: Instant,
}

impl Job {
    /// The program with these words.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(words: &[String]) -> io::Result<Job> {
        Ok(Job { child: start(words)?, begun: Instant::now() })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to stop, and waits: what it committed stays.
    pub fn stop(mut self) {
        signals::send(self.child.id(), libc::SIGINT);
        let begun = Instant::now();
        while self.ended().is_none() {
            if begun.elapsed() > PATIENCE {
                // It is all or nothing for an ingest too.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
