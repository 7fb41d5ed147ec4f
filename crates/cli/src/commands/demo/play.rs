//! A site of the demonstration: its attackers are planned, meet its decoys, and what passes is sealed and shipped.

use std::fs;
use std::path::{Path, PathBuf};

use trapline_archive::ship::Shipper;
use trapline_archive::spool::{Limits, seal, to_seal};
use trapline_archive::{Folder, Identity, Spool};
use trapline_line::{FolderVault, Remote};
use trapline_platform::Platform;
use trapline_sensor::link::Link;
use trapline_sensor::setup::Setup;
use trapline_sensor::switch::{Paces, Switch};
use trapline_sim::Scenario;
use trapline_wire::capture::Step;
use trapline_wire::{Framing, Time};

use super::{DemoArgs, SITES, failed};
use crate::error::CommandError;
use crate::ui::Ui;

const DAY_NS: Time = 86_400 * 1_000_000_000;
/// The scenario that is played.
const SCENARIO: &str = "paper2003";

/// Where decoys stand.
pub struct Site {
    /// Its platform and sensor.
    pub name: String,
    /// Its platform file.
    pub platform: PathBuf,
    /// Where its attackers are, as only the scenario knows.
    pub places: Option<PathBuf>,
}

/// Plans the attackers of a site, lets them meet its decoys, seals and ships what passes.
pub fn site(
    ui: &Ui,
    folder: &Path,
    name: &str,
    number: u64,
    args: &DemoArgs,
) -> Result<(Site, Played), CommandError> {
    let plan = folder.join("planned");
    let bar = ui.progress("planning attackers");
    let scenario = Scenario::load(SCENARIO)?;
    let seed = args.seed.unwrap_or(scenario.seed).wrapping_add(number);
    let summary =
        trapline_sim::simulate(&scenario, Some(args.scale), Some(seed), &plan, &mut |done, total| {
            bar.at(done, total, done, false);
        });
    bar.finish();
    let summary = summary?;
    let file = |kind: &str| match number {
        0 => folder.join(kind),
        _ => folder.join(format!("{name}-{kind}")),
    };
    let text = fs::read_to_string(&summary.platform).map_err(failed(&summary.platform))?;
    let platform = file("platform.toml");
    // The same hosts elsewhere: only the name tells them apart.
    let text = text.replacen(&format!("name = \"{}\"", SITES[0]), &format!("name = \"{name}\""), 1);
    fs::write(&platform, text).map_err(failed(&platform))?;
    let places = summary.places.map(|places| {
        let own = file("places.mmdb");
        fs::copy(places, &own).map(|_| own)
    });
    let places = places.transpose().map_err(failed(folder))?;
    let spool = folder.join("spool");
    let played = play(ui, &platform, &spool, &summary.captures, args, seed)?;
    fs::remove_dir_all(&plan).map_err(failed(&plan))?;
    ship(ui, name, &spool, &folder.join("vault"), seed)?;
    Ok((Site { name: name.to_owned(), platform, places }, played))
}

/// Ships what is sealed in a spool, and lets go of the spool when the vault has everything.
fn ship(ui: &Ui, sensor: &str, spool: &Path, vault: &Path, seed: u64) -> Result<(), CommandError> {
    let error = |e: &dyn std::fmt::Display| CommandError::new(e.to_string());
    fs::create_dir_all(vault).map_err(failed(vault))?;
    let disk = Folder::at(spool).map_err(failed(spool))?;
    let mut remote = FolderVault::at(vault.to_owned(), identity(sensor, seed).public());
    let mut shipper = Shipper::sending(remote.chunk());
    let bar = ui.progress("shipping");
    while let Some(ask) = shipper.next(&disk, sensor, 0).map_err(|e| error(&e))? {
        let told = remote.ask(sensor, &ask);
        shipper.told(&ask, told, 0);
        if let Some(trouble) = &shipper.trouble {
            return Err(error(trouble));
        }
        bar.at(shipper.acknowledged().unwrap_or(0), 0, 0, false);
    }
    bar.finish();
    fs::remove_dir_all(spool).map_err(failed(spool))
}

/// Who seals what is played.
fn identity(sensor: &str, seed: u64) -> Identity {
    Identity { sensor: sensor.to_owned(), key: trapline_sensor::secrets::demo_key(seed) }
}

/// What was played.
pub struct Played {
    pub attackers: u64,
    pub decoys: u64,
    pub hosts: usize,
    pub segments: usize,
}

/// Lets the planned attackers meet the decoys of a platform file, and seals what passes.
fn play(
    ui: &Ui,
    platform: &Path,
    spool: &Path,
    captures: &[PathBuf],
    args: &DemoArgs,
    seed: u64,
) -> Result<Played, CommandError> {
    let error = |e: &dyn std::fmt::Display| CommandError::new(e.to_string());
    let setup = Platform::read(platform)?;
    let (hosts, sensor) = (setup.hosts.len(), setup.name.clone());
    let setup =
        Setup::new(setup, seed, Path::new(trapline_sensor::run::NMAP_DATABASE)).map_err(|e| error(&e))?;
    let mut captures = captures.to_vec();
    captures.sort();
    // A segment a day: the paper's logs went to their safe place once a day.
    let limits = Limits { segment_ns: DAY_NS, segment_bytes: u64::MAX, ..Limits::default() };
    let mut begun: Option<(Time, Link<Folder>)> = None;
    let mut setup = Some(setup);
    let bar = ui.progress("attacks");
    let mut now = 0;
    'captures: for capture in &captures {
        let bytes = fs::read(capture).map_err(failed(capture))?;
        let mut framing = bytes.first_chunk().and_then(|first| Framing::detect(*first));
        let mut at = 0;
        while let Some(framing) = &mut framing {
            match framing.step(&bytes[at..]) {
                Step::Frame { consumed, frame } => {
                    at += consumed;
                    let (start, link) = match &mut begun {
                        Some((start, link)) => (*start, link),
                        None => {
                            let start = frame.time - frame.time.rem_euclid(DAY_NS);
                            let Some(setup) = setup.take() else { break };
                            let decoys = setup.decoys(start).map_err(|e| error(&e))?;
                            let folder = Folder::at(spool).map_err(failed(spool))?;
                            let spool =
                                Spool::open(folder, &sensor, limits, start, "").map_err(|e| error(&e))?;
                            let switch = Switch::new(setup, decoys, spool, start, Paces::NEVER);
                            (start, &mut begun.insert((start, Link::new(switch))).1)
                        }
                    };
                    let day = (frame.time - start) / DAY_NS;
                    if day >= Time::from(args.days) {
                        break 'captures;
                    }
                    now = now.max(frame.time);
                    link.frame(now, frame.data);
                    bar.at(day as u64, args.days.into(), link.sent, false);
                }
                Step::Skip { consumed, .. } => at += consumed,
                _ => break,
            }
        }
    }
    let Some((start, mut link)) = begun else {
        bar.finish();
        return Err(CommandError::new("the scenario has no packet"));
    };
    let end = start + Time::from(args.days) * DAY_NS;
    link.until(end);
    let attackers = link.sent;
    let mut switch = link.into_switch();
    switch.end(end, 0).map_err(|e| error(&e))?;
    let decoys = switch.answered;
    bar.finish();

    let bar = ui.progress("sealing");
    let identity = identity(&sensor, seed);
    let mut folder = Folder::at(spool).map_err(failed(spool))?;
    let closed = to_seal(&folder).map_err(|e| error(&e))?;
    for (done, sequence) in closed.iter().enumerate() {
        seal(&mut folder, &identity, *sequence, end).map_err(|e| error(&e))?;
        bar.at(done as u64 + 1, closed.len() as u64, 0, false);
    }
    bar.finish();
    Ok(Played { attackers, decoys, hosts, segments: closed.len() })
}
