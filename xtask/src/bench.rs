//! Benchmarks: each beside its peer in the same run, medians and ratios printed.

pub mod intake;
pub mod paper;
pub mod sequences;
pub mod size;

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
