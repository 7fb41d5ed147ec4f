//! Ten thousand schedules: a sensor writes, seals and ships over a disk that tears and fails, a network that cuts, repeats and delays,
//! clocks that step, and both sides killed at any point. At the end everything that was sealed is in the vault, once, and the ledger
//! balances.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use ed25519_dalek::SigningKey;
use trapline_archive::disk::Disk;
use trapline_archive::manifest::{Identity, Manifest, manifest_name};
use trapline_archive::ship::{Ask, Shipper, Told};
use trapline_archive::spool::{self, Limits, Spool};
use trapline_archive::vault::{Quota, Vault};
use trapline_archive::verify::{Expected, What, verify};
use trapline_archive::{ledger, segment};
use trapline_decoy::numbers::Random;
use trapline_wire::Time;
use trapline_wire::capture::Step;
use trapline_wire::pcapng::Reader;

const SECOND: Time = 1_000_000_000;
const SENSOR: &str = "paris";

/// A disk from which the plug can be pulled.
#[derive(Clone, Default)]
struct SimDisk(Rc<Platter>);

#[derive(Default)]
struct Platter {
    files: RefCell<Files>,
    /// Operations until one fails; 0 where none does.
    fails_in: Cell<u32>,
}

#[derive(Default)]
struct Files {
    /// Bytes of each file, and how many of them are synced.
    inodes: BTreeMap<u64, (Vec<u8>, usize)>,
    names: BTreeMap<String, u64>,
    /// Names as they were when they were synced last, and what was done to them since.
    synced_names: BTreeMap<String, u64>,
    changes: Vec<(String, Option<u64>)>,
    next: u64,
}

impl Files {
    fn name(&mut self, name: &str, inode: Option<u64>) {
        match inode {
            Some(inode) => self.names.insert(name.to_owned(), inode),
            None => self.names.remove(name),
        };
        self.changes.push((name.to_owned(), inode));
    }
}

impl SimDisk {
    /// Power is cut: of what was not synced a part is there, of names the first changes.
    fn crash(&self, random: &mut Random) {
        let mut files = self.0.files.borrow_mut();
        let files = &mut *files;
        let kept = random.below(files.changes.len() as u32 + 1) as usize;
        for (name, inode) in files.changes.drain(..).take(kept) {
            match inode {
                Some(inode) => files.synced_names.insert(name, inode),
                None => files.synced_names.remove(&name),
            };
        }
        files.changes.clear();
        files.names = files.synced_names.clone();
        for (bytes, synced) in files.inodes.values_mut() {
            let torn = random.below((bytes.len() - *synced) as u32 + 1) as usize;
            bytes.truncate(*synced + torn);
            if torn > 0 && random.below(4) == 0 {
                // A sector that was written halfway.
                let last = bytes.len() - 1;
                bytes[last] ^= 0xff;
            }
            *synced = bytes.len();
        }
        self.0.fails_in.set(0);
    }

    fn fails(&self) -> bool {
        let left = self.0.fails_in.get();
        self.0.fails_in.set(left.saturating_sub(1));
        left == 1
    }
}

fn gone(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Disk for SimDisk {
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fails = self.fails();
        let mut files = self.0.files.borrow_mut();
        let inode = match files.names.get(name) {
            Some(inode) => *inode,
            None => {
                files.next += 1;
                let inode = files.next;
                files.inodes.insert(inode, (Vec::new(), 0));
                files.name(name, Some(inode));
                inode
            }
        };
        let (data, _) = files.inodes.get_mut(&inode).unwrap();
        data.extend_from_slice(if fails { &bytes[..bytes.len() / 2] } else { bytes });
        if fails { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if self.fails() {
            return Err(io::Error::other("the disk failed"));
        }
        let mut files = self.0.files.borrow_mut();
        let inode = *files.names.get(name).ok_or_else(|| gone(name))?;
        let (data, synced) = files.inodes.get_mut(&inode).unwrap();
        *synced = data.len();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if self.fails() {
            return Err(io::Error::other("the disk failed"));
        }
        let mut files = self.0.files.borrow_mut();
        let inode = *files.names.get(from).ok_or_else(|| gone(from))?;
        files.name(to, Some(inode));
        files.name(from, None);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        if self.fails() {
            return Err(io::Error::other("the disk failed"));
        }
        let mut files = self.0.files.borrow_mut();
        if files.names.contains_key(name) {
            files.name(name, None);
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut files = self.0.files.borrow_mut();
        let inode = *files.names.get(name).ok_or_else(|| gone(name))?;
        let (data, synced) = files.inodes.get_mut(&inode).unwrap();
        data.truncate(length as usize);
        *synced = data.len();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        if self.fails() {
            return Err(io::Error::other("the disk failed"));
        }
        let mut files = self.0.files.borrow_mut();
        files.synced_names = files.names.clone();
        files.changes.clear();
        Ok(())
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let files = self.0.files.borrow();
        let inode = files.names.get(name).ok_or_else(|| gone(name))?;
        let (data, _) = &files.inodes[inode];
        let from = (offset as usize).min(data.len());
        Ok(data[from..data.len().min(from.saturating_add(most))].to_vec())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let files = self.0.files.borrow();
        Ok(files
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), files.inodes[inode].0.len() as u64))
            .collect())
    }
}

/// A message on its way, and when it arrives.
enum Mail {
    Question(u64, Ask),
    Answer(u64, Told),
}

struct World {
    random: Random,
    now: Time,
    /// How trustworthy the sensor's clock is: added to `now` there.
    step: Time,
    identity: Identity,
    limits: Limits,
    disk: SimDisk,
    spool: Option<Spool<SimDisk>>,
    shipper: Shipper,
    asked: Option<(u64, Ask, Time)>,
    questions: u64,
    mail: Vec<(Time, Mail)>,
    vault_disk: SimDisk,
    vault: Option<Vault<SimDisk>>,
    /// Packets offered so far; each carries its number.
    offered: u64,
    /// Packets that were offered before a sync that went well, and since the last one.
    lasting: BTreeSet<u64>,
    since_sync: Vec<u64>,
    /// Packets of the segment that is open, and of those that were closed.
    in_open: u64,
    closed: BTreeMap<u64, u64>,
    forgotten: BTreeSet<u64>,
    acknowledged: u64,
    troubled: bool,
    disks_fail: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let identity = Identity { sensor: SENSOR.into(), key: SigningKey::from_bytes(&[7; 32]) };
        let limits = Limits { segment_bytes: 4_000, segment_ns: 60 * SECOND, spool_bytes: 1 << 30 };
        let disks_fail = random.below(2) == 0;
        World {
            random,
            now: 1_000 * SECOND,
            step: 0,
            identity,
            limits,
            disk: SimDisk::default(),
            spool: None,
            shipper: Shipper::default(),
            asked: None,
            questions: 0,
            mail: Vec::new(),
            vault_disk: SimDisk::default(),
            vault: None,
            offered: 0,
            lasting: BTreeSet::new(),
            since_sync: Vec::new(),
            in_open: 0,
            closed: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            acknowledged: 0,
            troubled: true,
            disks_fail,
        }
    }

    fn clock(&self) -> Time {
        self.now + self.step
    }

    fn start(&mut self) {
        if self.spool.is_none() {
            let now = self.clock();
            let opened = Spool::open(self.disk.clone(), SENSOR, self.limits, now, r#"{"what":"recovered"}"#);
            self.spool = opened.ok();
        }
        self.vault.get_or_insert_with(|| Vault::new(self.vault_disk.clone(), Quota::default()));
    }

    fn packet(&mut self) {
        let now = self.clock();
        let Some(spool) = &mut self.spool else { return };
        self.offered += 1;
        let length = 60 + self.random.below(400) as usize;
        let mut data = vec![self.random.bits() as u8; length];
        data[..8].copy_from_slice(&self.offered.to_be_bytes());
        let interface = ["uplink", "mach0", "mach1"][self.random.below(3) as usize];
        spool.frame(interface, now, data.len() as u32, &data);
        if self.random.below(4) == 0 {
            spool.record(now, &format!(r#"{{"n":{}}}"#, self.offered));
        }
        self.since_sync.push(self.offered);
        self.in_open += 1;
    }

    fn sync(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        spool.flush();
        if spool::sync_open(&mut self.disk.clone()).is_ok() {
            self.lasting.extend(self.since_sync.drain(..));
        }
    }

    fn close(&mut self) {
        let now = self.clock();
        let Some(spool) = &mut self.spool else { return };
        // What the segment holds that is open: it is closed now, or by a later call, but gets nothing more.
        let before = spool.open_sequence();
        let _ = spool.close(now);
        if before.is_some() && spool.open_sequence() != before {
            self.closed.insert(before.unwrap_or(0), std::mem::take(&mut self.in_open));
        }
    }

    fn seal(&mut self) {
        if self.spool.is_none() {
            return;
        }
        let mut disk = self.disk.clone();
        if let Ok(sequences) = spool::to_seal(&disk)
            && let Some(first) = sequences.first()
        {
            let _ = spool::seal(&mut disk, &self.identity, *first, self.clock());
        }
    }

    fn ship(&mut self) {
        if self.spool.is_none() {
            return;
        }
        let now = self.clock();
        if let Some((_, ask, since)) = &self.asked {
            if self.now - since > 30 * SECOND {
                self.shipper.told(&ask.clone(), Told::Failed("nobody answers".into()), now);
                self.asked = None;
            }
            return;
        }
        let Ok(Some(ask)) = self.shipper.next(&self.disk, SENSOR, now) else { return };
        self.questions += 1;
        self.asked = Some((self.questions, ask.clone(), self.now));
        let mail = self.questions;
        self.send(|| Mail::Question(mail, ask.clone()));
    }

    /// Sends a message: it may be lost, come twice, come late.
    fn send(&mut self, mail: impl Fn() -> Mail) {
        let copies = match self.random.below(10) {
            0 if self.troubled => 0,
            1 if self.troubled => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late = if self.troubled { Time::from(self.random.below(40_000)) * SECOND / 1_000 } else { 1 };
            self.mail.push((self.now + late, mail()));
        }
    }

    fn deliver(&mut self) {
        while let Some(place) = self.mail.iter().position(|(at, _)| *at <= self.now) {
            match self.mail.swap_remove(place).1 {
                Mail::Question(number, ask) => {
                    // A vault that is not there answers nothing.
                    let public = self.identity.public();
                    let told = self.vault.as_mut().map(|vault| vault.answer(SENSOR, &public, &ask));
                    let Some(told) = told else {
                        continue;
                    };
                    self.send(|| Mail::Answer(number, told.clone()));
                }
                Mail::Answer(number, told) => {
                    let Some((_, ask, _)) = self.asked.take_if(|(asked, ..)| *asked == number) else {
                        continue;
                    };
                    self.shipper.told(&ask, told, self.now + self.step);
                    self.acknowledged = self.acknowledged.max(self.shipper.acknowledged().unwrap_or(0));
                }
            }
        }
    }

    /// Forgets the oldest segment that the vault has.
    fn forget(&mut self) {
        let (Some(acknowledged), Some(_)) = (self.shipper.acknowledged(), &self.spool) else { return };
        let Some(first) = spool::sealed(&self.disk, SENSOR).unwrap().first().copied() else { return };
        if first <= acknowledged {
            let mut disk = self.disk.clone();
            let text = disk.read(&manifest_name(SENSOR, first), 1 << 16).unwrap();
            let manifest = Manifest::read(&text).unwrap();
            if spool::forget(&mut disk, &manifest).unwrap_or(true) {
                self.forgotten.insert(first);
            }
        }
    }

    fn kill_sensor(&mut self) {
        self.spool = None;
        self.disk.crash(&mut self.random);
        self.shipper = Shipper::default();
        self.asked = None;
        self.since_sync.clear();
        self.in_open = 0;
    }

    fn any(&mut self) {
        self.now += Time::from(self.random.below(3_000)) * SECOND / 1_000;
        self.deliver();
        match self.random.below(100) {
            0..45 => self.packet(),
            45..52 => self.sync(),
            52..58 => {
                let now = self.clock();
                if self.spool.as_ref().is_some_and(|spool| spool.is_due(now)) || self.random.below(3) == 0 {
                    self.close();
                }
            }
            58..66 => self.seal(),
            66..86 => self.ship(),
            86..89 => self.forget(),
            89 => self.kill_sensor(),
            90 => {
                self.vault = None;
                self.vault_disk.crash(&mut self.random);
            }
            91 => self.step = (Time::from(self.random.below(7_200)) - 3_600) * SECOND,
            92 if self.disks_fail => self.disk.0.fails_in.set(1 + self.random.below(12)),
            93 if self.disks_fail => self.vault_disk.0.fails_in.set(1 + self.random.below(12)),
            _ => self.start(),
        }
    }

    /// Everything is well again, and has time.
    fn heal(&mut self) {
        self.troubled = false;
        self.disk.0.fails_in.set(0);
        self.vault_disk.0.fails_in.set(0);
        self.start();
        self.close();
        for _ in 0..4_000 {
            self.now += SECOND;
            self.deliver();
            self.seal();
            self.ship();
            let head = spool::head(&self.disk, SENSOR).unwrap().map_or(0, |head| head.sequence);
            let idle = spool::to_seal(&self.disk).unwrap().is_empty() && self.asked.is_none();
            if idle && self.shipper.acknowledged() == Some(head) {
                break;
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let expected =
            Expected { keys: [(SENSOR.to_owned(), self.identity.public())].into(), may_begin_later: false };
        let vault = verify(&self.vault_disk, &expected, |_, _| ()).unwrap();
        let damage: Vec<_> = vault.findings.iter().filter(|f| f.what.is_damage()).collect();
        // Clocks that step make stamps overlap: that is said, and no damage to what was kept.
        let damage: Vec<_> = damage.into_iter().filter(|f| !matches!(f.what, What::Overlap(_))).collect();
        if !damage.is_empty() {
            return Err(format!("the vault is not whole: {damage:?}"));
        }
        let kept = spool::sealed(&self.vault_disk, SENSOR).unwrap();
        let spooled = spool::sealed(&self.disk, SENSOR).unwrap();
        let sealed: BTreeSet<u64> = spooled.iter().chain(&self.forgotten).copied().collect();
        if kept.iter().copied().collect::<BTreeSet<_>>() != sealed {
            return Err(format!("sealed {sealed:?}, in the vault {kept:?}; {:?}", self.shipper.trouble));
        }
        if self.acknowledged > kept.last().copied().unwrap_or(0) {
            return Err(format!("{} was acknowledged", self.acknowledged));
        }
        let mut last = 0;
        let mut found = BTreeSet::new();
        for sequence in &kept {
            let text = self.vault_disk.read(&manifest_name(SENSOR, *sequence), 1 << 16).unwrap();
            let manifest = Manifest::read(&text).unwrap();
            if spooled.contains(sequence)
                && self.disk.read(&manifest_name(SENSOR, *sequence), 1 << 16).unwrap() != text
            {
                return Err(format!("segment {sequence} is another one in the vault"));
            }
            if let Some(offered) = self.closed.get(sequence).filter(|_| !manifest.recovered)
                && manifest.packets.seen != *offered
            {
                return Err(format!("segment {sequence}: {offered} packets came, {:?}", manifest.packets));
            }
            for number in numbers(&self.vault_disk, &manifest) {
                if number <= last {
                    return Err(format!("packet {number} behind {last} in segment {sequence}"));
                }
                last = number;
                found.insert(number);
            }
        }
        if !self.disks_fail && !self.lasting.is_subset(&found) {
            return Err(format!("lost: {:?}", self.lasting.difference(&found).collect::<Vec<_>>()));
        }
        if !vault.ledger.values().all(ledger::Entry::is_balanced) {
            return Err("the ledger does not balance".into());
        }
        Ok(())
    }
}

/// The numbers that the packets of a segment carry.
fn numbers(disk: &SimDisk, manifest: &Manifest) -> Vec<u64> {
    let [capture, ..] = manifest.names();
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut segment::plain(disk, &capture).unwrap(), &mut bytes).unwrap();
    let (mut reader, mut at, mut numbers) = (Reader::default(), 0, Vec::new());
    loop {
        match reader.step(&bytes[at..]) {
            Step::Frame { consumed, frame } => {
                numbers.push(u64::from_be_bytes(frame.data[..8].try_into().unwrap()));
                at += consumed;
            }
            Step::Skip { consumed, .. } => at += consumed,
            _ => return numbers,
        }
    }
}

fn schedule(seed: u64) -> Result<(u64, u64), String> {
    let mut world = World::new(seed);
    let steps = 100 + world.random.below(400);
    world.start();
    for _ in 0..steps {
        world.any();
    }
    world.heal();
    world.check().map_err(|why| format!("seed {seed}: {why}"))?;
    Ok((world.offered, spool::sealed(&world.vault_disk, SENSOR).unwrap().len() as u64))
}

#[test]
fn after_every_schedule_all_that_was_sealed_is_in_the_vault_once() {
    const SCHEDULES: u64 = 10_000;
    let threads = 2;
    let all: Vec<_> = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    (0..SCHEDULES).filter(|seed| seed % threads == thread).map(schedule).collect::<Vec<_>>()
                })
            })
            .collect();
        work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let wrong: Vec<&String> = all.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let first: Vec<_> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "{} of {SCHEDULES} schedules, the first ones: {first:#?}", wrong.len());
    let (packets, segments) =
        all.into_iter().flatten().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(packets > 100 * SCHEDULES && segments > 4 * SCHEDULES, "{packets} packets, {segments} segments");
}
