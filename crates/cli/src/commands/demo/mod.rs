//! `trapline demo`

mod attack;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use trapline_archive::spool::{Limits, seal, to_seal};
use trapline_archive::{Folder, Identity, Spool};
use trapline_platform::Platform;
use trapline_report::escape::shell_word;
use trapline_report::thousands;
use trapline_sensor::link::Link;
use trapline_sensor::setup::Setup;
use trapline_sensor::switch::{Paces, Switch};
use trapline_sim::Scenario;
use trapline_wire::capture::Step;
use trapline_wire::{Framing, Time};

use crate::error::CommandError;
use crate::ui::Ui;

/// See it work: decoys, simulated attackers, segments, tables, answers
///
/// The paper's three decoys are switched on and meet its attackers, day after day on a clock that jumps, so that a month takes seconds. What
/// they say to each other is sealed in segments, verified, counted and asked about; every command that does so is shown. It needs no
/// root and touches no network. With --attack the attacker is you.
#[derive(Args)]
pub struct DemoArgs {
    /// Days of 2003 to play, from 1 March on
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=306))]
    days: u32,
    /// How many attackers: 1 is as many as the paper saw
    #[arg(long, value_name = "FACTOR", default_value_t = 0.2)]
    scale: f64,
    /// Another seed than the scenario's own
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// A shell beside the decoys, in a network namespace of their own, on the real clock
    #[arg(long, conflicts_with_all = ["days", "scale", "seed"])]
    attack: bool,
    /// Folder for what is made; it must not exist yet, or be of an earlier demo
    #[arg(short, long, value_name = "DIR", default_value = "trapline-demo")]
    output: PathBuf,
}

const DAY_NS: Time = 86_400 * 1_000_000_000;
/// The scenario that is played.
const SCENARIO: &str = "paper2003";
/// What tells a folder of ours.
const MARK: &str = ".trapline-demo";

/// Plays; `run` runs another command of the program.
pub fn demo(
    ui: &Ui,
    args: &DemoArgs,
    run: impl Fn(&[&str]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    if let Some(folder) = std::env::var_os(attack::INSIDE).filter(|_| args.attack) {
        return attack::inside(ui, Path::new(&folder));
    }
    let folder = &args.output;
    if folder.exists() {
        if !folder.join(MARK).exists() {
            let what = format!("{} exists and is no folder of a demo", folder.display());
            return Err(CommandError::new(what).hint("name another one: -o DIR"));
        }
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::write(folder.join(MARK), "").map_err(failed(folder))?;
    if args.attack {
        attack::outside(folder)?;
        return ask(
            ui,
            folder,
            None,
            "What was left on three decoys",
            &["overview", "sequences", "logins", "tools"],
            run,
        );
    }

    let plan = folder.join("planned");
    let bar = ui.progress("planning attackers");
    let scenario = Scenario::load(SCENARIO)?;
    let summary =
        trapline_sim::simulate(&scenario, Some(args.scale), args.seed, &plan, &mut |done, total| {
            bar.at(done, total, done, false);
        });
    bar.finish();
    let summary = summary?;
    let keep = |from: &Path, name: &str| fs::copy(from, folder.join(name)).map(|_| folder.join(name));
    let platform = keep(&summary.platform, "platform.toml").map_err(failed(folder))?;
    let places = match &summary.places {
        Some(places) => Some(keep(places, "places.mmdb").map_err(failed(folder))?),
        None => None,
    };
    let played = play(ui, &platform, &folder.join("spool"), &summary.captures, args)?;
    fs::remove_dir_all(&plan).map_err(failed(&plan))?;
    ui.print(&format!(
        "{} frames of attackers, {} of decoys: {} days on {} hosts, in {} segments\n",
        thousands(played.attackers as i64),
        thousands(played.decoys as i64),
        args.days,
        played.hosts,
        played.segments,
    ))?;

    let title = format!("{} days on three decoys", args.days);
    ask(ui, folder, places.as_deref(), &title, &["overview", "sequences", "logins"], run)
}

/// Verifies and counts what is in the spool, and asks these questions; every command is shown.
fn ask(
    ui: &Ui,
    folder: &Path,
    places: Option<&Path>,
    title: &str,
    questions: &[&str],
    run: impl Fn(&[&str]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (spool, data, page) = (path("spool"), path("data"), format!("{}.html", folder.display()));
    let platform = path("platform.toml");
    let places = places.map(|places| places.display().to_string());
    let geo: Vec<&str> = places.iter().flat_map(|places| ["--geo", places]).collect();
    let mut commands = vec![
        vec!["verify", &spool],
        [&["ingest", &spool, "--platform", &platform, "--data", &data][..], &geo].concat(),
    ];
    commands.extend(questions.iter().map(|question| vec!["ask", question, "--data", &data]));
    commands.push(vec!["report", "--data", &data, "--title", title, "-o", &page]);
    for words in commands {
        let shown: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        ui.print(&format!("\n$ trapline {}\n", shown.join(" ")))?;
        run(&words)?;
    }
    ui.print(&format!(
        "\nOpen {page} in a browser. Segments are in {spool}, tables in {data}: ask them more, trapline ask lists the questions.\n"
    ))
}

/// An error of this file or folder.
fn failed(path: &Path) -> impl Fn(std::io::Error) -> CommandError + use<> {
    let path = path.display().to_string();
    move |e| CommandError::new(format!("{path}: {e}"))
}

/// What was played.
struct Played {
    attackers: u64,
    decoys: u64,
    hosts: usize,
    segments: usize,
}

/// Lets the planned attackers meet the decoys of a platform file, and seals what passes.
fn play(
    ui: &Ui,
    platform: &Path,
    spool: &Path,
    captures: &[PathBuf],
    args: &DemoArgs,
) -> Result<Played, CommandError> {
    let error = |e: &dyn std::fmt::Display| CommandError::new(e.to_string());
    let seed = args.seed.unwrap_or(1);
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
    let identity = Identity { sensor, key: trapline_sensor::secrets::demo_key(seed) };
    let mut folder = Folder::at(spool).map_err(failed(spool))?;
    let closed = to_seal(&folder).map_err(|e| error(&e))?;
    for (done, sequence) in closed.iter().enumerate() {
        seal(&mut folder, &identity, *sequence, end).map_err(|e| error(&e))?;
        bar.at(done as u64 + 1, closed.len() as u64, 0, false);
    }
    bar.finish();
    Ok(Played { attackers, decoys, hosts, segments: closed.len() })
}
