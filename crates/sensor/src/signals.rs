//! Signals, as something that can be waited for.
#![expect(unsafe_code, reason = "signals have no safe interface in the standard library")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a process is told while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: finish what is open and end.
    End,
    /// SIGHUP: read the platform file again.
    Reload,
    /// SIGCHLD: a child ended.
    Child,
}

/// The signals that a sensor listens to, as something that can be waited for.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// As the system says.
    pub fn new() -> io::Result<Signals> {
        // SAFETY: the set is made empty before it is used, and lives until it is copied.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            // A process that is gone must not end this one, which writes to it.
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            match libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) {
                fd if fd >= 0 => Ok(Signals(OwnedFd::from_raw_fd(fd))),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// The next one that came, if any.
    pub fn next(&self) -> Option<Signal> {
        // SAFETY: all zeros is a signal that never came.
        let mut came: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: it writes no more than the size that it is told.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut came).cast(), size) };
        (read == size as isize).then_some(match came.ssi_signo as i32 {
            libc::SIGHUP => Signal::Reload,
            libc::SIGCHLD => Signal::Child,
            _ => Signal::End,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is with something that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Nothing.
    No,
    /// It can be read, or is at its end.
    Yes,
    /// It is of no use any more.
    Failed,
}

/// Waits until one of these can be read, at most that long; says which.
///
/// # Errors
/// As the system says; a signal that is no one's business is none.
pub fn wait<const N: usize>(for_what: [BorrowedFd<'_>; N], most_ms: i32) -> io::Result<[Ready; N]> {
    let mut wanted = for_what.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: it reads and writes as many structures as it is told of.
    let ready = unsafe { libc::poll(wanted.as_mut_ptr(), N as libc::nfds_t, most_ms) };
    match ready {
        0.. => Ok(wanted.map(|one| match one.revents {
            0 => Ready::No,
            // The end of a pipe is read like everything else in it.
            events if events & (libc::POLLERR | libc::POLLNVAL) != 0 => Ready::Failed,
            _ => Ready::Yes,
        })),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok([Ready::No; N]),
            error => Err(error),
        },
    }
}

/// Sends a signal to a process that is a child of this one and was not waited for, so that its number is its own.
pub fn send(process: u32, signal: libc::c_int) {
    // SAFETY: it takes numbers.
    unsafe { libc::kill(process as libc::pid_t, signal) };
}
