//! The process that captures: it has the packet socket and everything that strangers speak to. It writes the open segment and can do
//! nothing else.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use trapline_archive::{Folder, Spool};
use trapline_platform::Platform;
use trapline_wire::Time;

use crate::health::Health;
use crate::privileges::{self, Keeps};
use crate::run::{ALIVE, Options, READY, held, is_over, log, now, user};
use crate::secrets::{seed, sensor_name};
use crate::setup::Setup;
use crate::signals::{Ready, Signal, Signals, wait};
use crate::socket::Socket;
use crate::switch::{Paces, Switch, event};

/// How often it is written down how the sensor is.
const SHOWN_EACH: Time = 1_000_000_000;

/// Captures until it is told to end, or whoever started it is gone.
///
/// # Errors
/// Says what is missing or wrong, before `ready`; afterwards only where the interface is gone or the last segment cannot be closed.
pub fn capture(options: &Options) -> Result<(), String> {
    let signals = Signals::new().map_err(|e| format!("signals: {e}"))?;
    let (seed, sensor) = (seed(options)?, sensor_name(options)?);
    let setup = read_setup(options, seed)?;
    let lock = held(&options.spool, ".lock")?;
    let mut socket = Socket::open(&options.interface).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{}: {e}: this needs root, or CAP_NET_RAW and CAP_NET_ADMIN", options.interface)
        }
        _ => format!("{}: {e}", options.interface),
    })?;
    let folder =
        options.platform.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let reads: Vec<&Path> =
        [folder, options.nmap.as_path()].into_iter().filter(|path| path.exists()).collect();
    let keeps = Keeps { user: user(options)?, writes: &[&options.spool], reads: &reads, network: false };
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
    switch.event(
        begun,
        "started",
        &[("version", env!("CARGO_PKG_VERSION")), ("interface", &options.interface)],
    );
    let _ = io::stdout().write_all(READY.as_bytes()).and_then(|()| io::stdout().flush());
    log("ready");

    let (mut told, mut shown) = (None, 0);
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
            Ok(Some(Signal::Child) | None) => {}
            Err(error) => {
                switch.event(now(), "interface-lost", &[("why", &error.to_string())]);
                break Err(format!("{}: {error}", options.interface));
            }
        }
        let now = now();
        if (now - shown).abs() >= SHOWN_EACH {
            shown = now;
            // For people: nobody's work depends on it, and a full disk does not take it.
            let _ = Health::of(&switch, now, begun).write(&options.spool);
            let _ = io::stdout().write_all(ALIVE).and_then(|()| io::stdout().flush());
        }
        if switch.trouble != told {
            told.clone_from(&switch.trouble);
            log(told.as_deref().unwrap_or("the spool is well again"));
        }
    };
    // What came before the end was told is kept, though nobody answers any more.
    for _ in 0..Socket::ring_frames() {
        let Some((time, wire_len, frame)) = socket.next_frame() else { break };
        switch.keep(time, wire_len, frame);
    }
    let lost = socket.counted().map_or(0, |counted| counted.dropped);
    let closed = switch.end(now(), lost).map_err(|e| e.to_string());
    let _ = Health { ended: true, ..Health::of(&switch, now(), begun) }.write(&options.spool);
    drop(lock);
    result.and(closed)
}

/// One wait, and what came of it.
fn turn(socket: &mut Socket, switch: &mut Switch<Folder>, signals: &Signals) -> io::Result<Option<Signal>> {
    /// Frames between two looks at the clock.
    const AT_ONCE: usize = 256;
    const MS: Time = 1_000_000;
    let most = (switch.next() - now()).clamp(0, 1_000 * MS);
    let ready = wait([socket.as_fd(), signals.as_fd(), io::stdin().as_fd()], ((most + MS - 1) / MS) as i32)?;
    if ready[0] == Ready::Failed {
        return Err(io::Error::other("the interface went down or away"));
    }
    if ready[2] != Ready::No && is_over() {
        return Ok(Some(Signal::End));
    }
    let mut answers: Vec<Vec<u8>> = Vec::new();
    if ready[0] == Ready::Yes {
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
