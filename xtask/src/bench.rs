//! Benchmarks: each beside its peer in the same run, medians and ratios printed.

pub mod intake;
pub mod paper;
pub mod peers;
pub mod personas;
pub mod sensor;
pub mod sequences;
pub mod size;
pub mod systems;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::{self, Taken};

/// How often each is run where nothing else is said.
const RUNS: usize = 5;

/// A folder for a benchmark's files, removed at its end.
pub fn scratch() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|e| e.to_string())
}

/// Which machine this is, for the record.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    format!("{} cores,{}, load {load}", cores, model.trim_start().trim_start_matches(':'))
}

/// `--runs N` and `--packets N` change the size of a run.
pub fn size_of_run(name: &str, rest: &[&str], packets: u64) -> Result<(usize, u64), String> {
    let (mut runs, mut packets) = (RUNS, packets);
    for pair in rest.chunks(2) {
        match pair {
            ["--runs", n] => runs = n.parse().map_err(|_| format!("{n} is no number"))?,
            ["--packets", n] => packets = n.parse().map_err(|_| format!("{n} is no number"))?,
            _ => return Err(format!("bench {name} [--runs N] [--packets N]")),
        }
    }
    if runs == 0 || packets == 0 {
        return Err("one run of one packet at least".into());
    }
    Ok((runs, packets))
}

/// A simulated capture and what its platform is.
pub struct Capture {
    /// The capture.
    pub file: PathBuf,
    /// The platform's file.
    pub platform: PathBuf,
    /// Packets in it.
    pub packets: u64,
}

impl Capture {
    /// The flat scenario, so many packets long.
    pub fn simulated(program: &Path, folder: &Path, packets: u64) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(["simulate", "bench", "--packets", &packets.to_string(), "-o"]).arg(folder);
        measure::run(&mut command)?;
        Ok(Self { file: folder.join("bench.pcap"), platform: folder.join("platform.toml"), packets })
    }

    /// Takes it in, into tables that are new each time.
    pub fn ingest(&self, program: &Path, data: &Path, more: &[&str]) -> Result<Taken, String> {
        // Tables of the run before, if there was one.
        let _ = std::fs::remove_dir_all(data);
        let mut command = Command::new(program);
        command.arg("ingest").arg(&self.file);
        command.arg("--platform").arg(&self.platform).arg("--data").arg(data).args(more);
        measure::run(&mut command)
    }

    /// What the first line of a table of runs says of it.
    pub fn heading(&self, runs: usize) -> Result<String, String> {
        let bytes = std::fs::metadata(&self.file).map_err(|e| e.to_string())?.len();
        let each = bytes as f64 / self.packets as f64;
        Ok(format!(
            "{} packets, {each:.1} bytes each on disk; {}; medians of {runs}",
            self.packets,
            machine()
        ))
    }
}

/// Names the columns of `line`.
pub fn columns() -> String {
    format!("{:37} {:>9} {:>9} {:>10} {:>15}", "", "wall s", "CPU s", "peak MB", "M packets/CPU s")
}

/// One row of a table of runs, and its million packets per CPU second.
pub fn line(name: &str, taken: Taken, packets: u64) -> (String, f64) {
    let rate = packets as f64 / taken.cpu_s / 1e6;
    let peak = taken.peak_bytes as f64 / 1e6;
    (format!("{name:37} {:9.2} {:9.2} {peak:10.1} {rate:15.3}", taken.wall_s, taken.cpu_s), rate)
}

/// How a wish ends.
pub fn met(is: bool) -> &'static str {
    if is { "met" } else { "not met" }
}
