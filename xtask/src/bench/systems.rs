//! Systems by passive fingerprints, beside p0f with the same database on the same capture, which is half SYN packets.
//!
//! The matchers do the same work: read the capture, write a line for each packet with signature and label (ours is
//! `crates/enrich/examples/systems.rs`). For the record stands the whole intake into tables, which does much more beside, and p0f without its log. All must
//! give the same packets the same systems.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::bench::{self, Capture, met};
use crate::measure::{self, is_there, median};
use crate::{Outcome, release};

const PACKETS: u64 = 2_000_000;

/// Where Debian's p0f has its database.
const DATABASE: &str = "/etc/p0f/p0f.fp";

/// How many times as many packets per CPU second as p0f are wished for.
const TIMES_WANTED: f64 = 20.0;

/// SYN packets of each system by p0f's database; of no known system as p0f writes it.
const LABELLED: &str = "select sum(packets), coalesce(label, '???') from fingerprints
     where tool = 'p0f3' and packet = 'syn' group by 2";

/// Runs the benchmark.
pub fn run(rest: &[&str]) -> Outcome {
    let (runs, packets) = bench::size_of_run("systems", rest, PACKETS)?;
    if !is_there("p0f") || !Path::new(DATABASE).is_file() {
        return Err(format!("this benchmark needs p0f and {DATABASE}: apt install p0f"));
    }
    let program = release::build()?;
    let matcher = release::example("trapline-enrich", "systems")?;
    let folder = bench::scratch()?;
    let capture = Capture::simulated(&program, &folder.path().join("capture"), packets)?;
    println!("\n{}\n{}", capture.heading(runs)?, bench::columns());
    let (data, log) = (folder.path().join("data"), folder.path().join("p0f.log"));
    let ours = |more: &[&str]| {
        let mut arguments = vec!["--threads", "1", "--fingerprints", DATABASE];
        arguments.extend(more);
        capture.ingest(&program, &data, &arguments)
    };
    let p0f = |with_log: bool| {
        let mut command = Command::new("p0f");
        command.args(["-f", DATABASE, "-r"]).arg(&capture.file);
        if with_log {
            // p0f adds to a log that is there.
            let _ = std::fs::remove_file(&log);
            command.arg("-o").arg(&log);
        }
        measure::run(&mut command)
    };
    let show = |name: &str, taken| {
        let (line, rate) = bench::line(name, taken, packets);
        println!("{line}");
        rate
    };
    let lines = folder.path().join("systems.log");
    let alone = || measure::run(Command::new(&matcher).arg(&capture.file).arg(DATABASE).arg(&lines));
    let matched = show("our matcher, a line for each packet", median(runs, alone)?);
    let written = show("trapline, with tables", median(runs, || ours(&[]))?);
    let quiet = show("p0f -f DB -r FILE, no log", median(runs, || p0f(false))?);
    let logged = show("p0f -f DB -r FILE -o LOG", median(runs, || p0f(true))?);
    let (mine, theirs) = (labelled(&program, &data)?, logged_systems(&log)?);
    let by_line = logged_systems(&lines)?;
    if mine != theirs || by_line != theirs {
        return Err(format!("the answers differ:\n{mine:?}\n{by_line:?}\n--- p0f ---\n{theirs:?}"));
    }
    let systems: Vec<String> = mine.iter().map(|(system, syns)| format!("{system} {syns}")).collect();
    println!("\nsame systems for the same number of SYN packets: {}", systems.join(", "));
    let times = matched / logged;
    println!(
        "the matcher {times:.1} times p0f's packets per CPU second, wanted {TIMES_WANTED:.0}: {}",
        met(times >= TIMES_WANTED)
    );
    println!("for the record: {:.1} times p0f without its log;", matched / quiet);
    println!(
        "the whole intake into tables {:.1} times p0f with it, {:.1} times without",
        written / logged,
        written / quiet
    );
    Ok(())
}

/// SYN packets of each system in our tables.
fn labelled(program: &Path, data: &Path) -> Result<BTreeMap<String, u64>, String> {
    let mut command = Command::new(program);
    command.args(["sql", "--format", "csv", "--data"]).arg(data).arg(LABELLED);
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    rows.lines()
        .skip(1)
        .map(|row| {
            let (syns, system) = row.split_once(',').ok_or_else(|| format!("no two columns: {row}"))?;
            let syns = syns.parse().map_err(|e| format!("{row}: {e}"))?;
            Ok((system.trim_matches('"').to_owned(), syns))
        })
        .collect()
}

/// SYN packets of each system in p0f's log.
fn logged_systems(log: &Path) -> Result<BTreeMap<String, u64>, String> {
    let text = std::fs::read_to_string(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut systems = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("mod=syn|")) {
        let system = line.split('|').find_map(|part| part.strip_prefix("os="));
        *systems.entry(system.unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(systems)
}
