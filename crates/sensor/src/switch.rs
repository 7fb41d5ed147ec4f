//! What passes over the wire: a frame comes, decoys answer, and the capture sees all of it, as on a hub.
//!
//! Pure: frames, times and counts come in, frames go out, and the spool is behind a trait.

use base64::Engine;
use trapline_archive::disk::Disk;
use trapline_archive::spool::{Room, Spool, SpoolError};
use trapline_decoy::{Decoys, Frames};
use trapline_wire::Time;

use crate::claims::{Change, Claims};
use crate::hidden::Hidden;
use crate::setup::Setup;

/// The interface in the capture that everything came in by that no host of ours sent.
pub const UPLINK: &str = "uplink";
/// How often what was written is taken care of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paces {
    /// It is given to the system, which keeps it when this process is killed.
    pub flush: Time,
    /// Room and lost packets are looked at.
    pub look: Time,
}

impl Paces {
    /// On a wire.
    pub const ON_A_WIRE: Paces = Paces { flush: 100_000_000, look: 1_000_000_000 };
    /// Where time jumps, and whoever is killed begins anew.
    pub const NEVER: Paces = Paces { flush: Time::MAX, look: Time::MAX };
}

/// The switch, with what is plugged in.
#[derive(Debug)]
pub struct Switch<D> {
    setup: Setup,
    decoys: Decoys,
    claims: Claims,
    spool: Spool<D>,
    out: Frames,
    hidden: Hidden,
    looked: Time,
    flushed: Time,
    paces: Paces,
    next_change: Option<Time>,
    room: Room,
    /// Frames that came.
    pub heard: u64,
    /// Frames that hosts sent.
    pub answered: u64,
    /// Frames that came and were dropped by the kernel.
    pub lost: u64,
    /// What could not be done, as the last attempt said.
    pub trouble: Option<String>,
}

impl<D: Disk> Switch<D> {
    /// The hosts of a platform before a spool.
    pub fn new(setup: Setup, decoys: Decoys, spool: Spool<D>, now: Time, paces: Paces) -> Self {
        let next_change = setup.next_change(now);
        let claims = claims(&setup);
        Switch {
            claims,
            setup,
            decoys,
            spool,
            out: Frames::default(),
            hidden: Hidden::default(),
            looked: now,
            flushed: now,
            paces,
            next_change,
            room: Room::Enough,
            heard: 0,
            answered: 0,
            lost: 0,
            trouble: None,
        }
    }

    /// The decoys.
    pub fn decoys(&self) -> &Decoys {
        &self.decoys
    }

    /// A frame from the uplink is kept, and nobody hears it.
    pub fn keep(&mut self, time: Time, wire_len: u32, frame: &[u8]) {
        self.heard += 1;
        write(&mut self.spool, &mut self.hidden, UPLINK, (time, wire_len, frame));
    }

    /// A frame from the uplink, with its length on the wire; `send` takes what the hosts say to it.
    pub fn on_frame(&mut self, time: Time, wire_len: u32, frame: &[u8], send: impl FnMut(&[u8])) {
        let (heard, change) = self.claims.hear(time, frame);
        match change {
            Some(Change::Claimed(address)) => {
                self.event(time, "claimed", &[("address", &address.to_string())])
            }
            Some(Change::GivenBack(address)) => {
                self.event(time, "given-back", &[("address", &address.to_string())])
            }
            None => {}
        }
        if heard {
            match self.claims.routed_to(frame).and_then(|address| self.setup.mac_of(address)) {
                Some(mac) => {
                    let mut own = frame.to_vec();
                    own[..6].copy_from_slice(&mac);
                    self.decoys.on_frame(time, &own, &mut self.out);
                }
                None => self.decoys.on_frame(time, frame, &mut self.out),
            }
            self.records();
        }
        // With what it told the hosts, and before what they say to it.
        self.keep(time, wire_len, frame);
        self.go(time, send);
    }

    /// Time passes: what hosts do by themselves, records, what is due in the spool. `lost` is how many frames the kernel dropped since the
    /// last call; it is called at least each second.
    pub fn on_time(&mut self, now: Time, lost: impl FnOnce() -> u64, send: impl FnMut(&[u8])) {
        self.decoys.on_time(now, &mut self.out);
        self.records();
        self.go(now, send);
        if self.next_change.is_some_and(|at| at <= now) {
            self.ports_change(now);
        }
        self.write_down(now);
        if (now - self.flushed).abs() >= self.paces.flush {
            self.spool.flush();
            self.flushed = now;
        }
        let due = self.spool.is_due(now);
        if due || (now - self.looked).abs() >= self.paces.look {
            let lost = lost();
            self.lost += lost;
            self.spool.lost(now, lost);
            self.looked = now;
            let done = if due { self.spool.close(now).map(|_| ()) } else { Ok(()) };
            self.note(now, done);
        }
    }

    /// When [`Switch::on_time`] is to be called at the latest.
    pub fn next(&self) -> Time {
        let care =
            (self.looked.saturating_add(self.paces.look)).min(self.flushed.saturating_add(self.paces.flush));
        self.due().unwrap_or(Time::MAX).min(care)
    }

    /// When something happens by itself: of hosts, ports, or the segment.
    pub fn due(&self) -> Option<Time> {
        [self.decoys.next(), self.next_change, self.spool.due()].into_iter().flatten().min()
    }

    /// The spool.
    pub fn spool(&self) -> &Spool<D> {
        &self.spool
    }

    /// Another platform from now on; its hosts' connections go on where the hosts are the same. It lasts where nothing is wrong with it.
    ///
    /// # Errors
    /// As [`Setup::decoys`].
    pub fn reload(&mut self, setup: Setup, now: Time) -> Result<(), crate::setup::SetupError> {
        if setup.has_hosts_of(&self.setup) {
            self.setup = setup;
            self.ports_change(now);
        } else {
            self.decoys = setup.decoys(now)?;
            self.next_change = setup.next_change(now);
            self.claims = claims(&setup);
            self.setup = setup;
        }
        self.event(now, "reloaded", &[]);
        Ok(())
    }

    /// The end: what is open is closed.
    ///
    /// # Errors
    /// As the spool says.
    pub fn end(&mut self, now: Time, lost: u64) -> Result<(), SpoolError> {
        self.write_down(now);
        self.spool.lost(now, lost);
        self.spool.close(now).map(|_| ())
    }

    /// Writes down something that happened to the sensor itself.
    pub fn event(&mut self, now: Time, what: &str, facts: &[(&str, &str)]) {
        self.spool.note(now, &event(now, what, facts));
    }

    fn ports_change(&mut self, now: Time) {
        let changed = self.setup.set_ports(&mut self.decoys, now).unwrap_or_default();
        for (host, port, open) in changed {
            self.event(now, if open { "opened" } else { "closed" }, &[("host", &host), ("port", &port)]);
        }
        self.next_change = self.setup.next_change(now);
    }

    fn go(&mut self, now: Time, mut send: impl FnMut(&[u8])) {
        for frame in self.out.iter() {
            let host = frame.get(6..12).and_then(|mac| self.setup.host_of(mac)).unwrap_or(UPLINK);
            write(&mut self.spool, &mut self.hidden, host, (now, frame.len() as u32, frame));
            self.answered += 1;
            send(frame);
        }
        self.out.clear();
    }

    /// Writes down what hosts recorded.
    fn records(&mut self) {
        for record in self.decoys.take_records() {
            let line = record.to_json();
            self.spool.record(record.time_ns, &line);
            if record.is_hidden() {
                self.hidden.add(&record, line);
            }
        }
    }

    fn write_down(&mut self, now: Time) {
        self.records();
        for upload in self.decoys.take_uploads() {
            if self.room >= Room::Headers {
                self.event(now, "file-not-kept", &[("sha256", &upload.sha256)]);
                continue;
            }
            let bytes = base64::engine::general_purpose::STANDARD.encode(&upload.bytes);
            self.event(now, "file", &[("sha256", &upload.sha256), ("base64", &bytes)]);
        }
    }

    fn note(&mut self, now: Time, done: Result<(), SpoolError>) {
        self.trouble = done.err().map(|error| error.to_string());
        let room = match self.spool.measure() {
            Ok(room) => room,
            Err(error) => {
                self.trouble = Some(error.to_string());
                return;
            }
        };
        if self.trouble.is_none() && self.spool.is_full() {
            self.trouble = Some("the disk does not take more: packets are counted and not kept".into());
        }
        if room != std::mem::replace(&mut self.room, room) {
            self.event(now, "room", &[("room", room.name())]);
        }
    }
}

/// Gives a frame to the spool, with the records that wait for it; where there is no room, these go on waiting.
fn write<D: Disk>(
    spool: &mut Spool<D>,
    hidden: &mut Hidden,
    interface: &str,
    (time, wire_len, frame): (Time, u32, &[u8]),
) {
    let comment = if spool.room() == Room::None { String::new() } else { hidden.on(time, frame) };
    spool.commented_frame(interface, time, wire_len, frame, &comment);
}

fn claims(setup: &Setup) -> Claims {
    let platform = setup.platform();
    Claims::new(platform.claim, platform.hosts.iter().flat_map(|host| host.addresses.iter().copied()))
}

/// A line about the sensor itself, as JSON.
pub fn event(now: Time, what: &str, facts: &[(&str, &str)]) -> String {
    let mut line = serde_json::Map::new();
    line.insert("time_ns".into(), now.into());
    line.insert("what".into(), format!("sensor-{what}").into());
    for (name, value) in facts {
        line.insert((*name).into(), (*value).into());
    }
    serde_json::Value::Object(line).to_string()
}
