//! Running programs and measuring them: wall time, CPU time, peak memory. Linux only: it reads /proc.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often the memory of a running program is looked at; the kernel keeps its peak meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Seconds by the clock.
    pub wall_s: f64,
    /// Seconds of user and system time, of the program and the children it waited for.
    pub cpu_s: f64,
    /// Largest resident memory seen, in bytes.
    pub peak_bytes: u64,
}

/// Runs a program to its end, its output thrown away, and measures it.
pub fn run(command: &mut Command) -> Result<Taken, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let before = cpu_of_children()?;
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{name}: {e}"))?;
    let stderr = child.stderr.take();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            // What cannot be read of an error message is only missing from one.
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        }
        text
    });
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(peak_of(child.id()));
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let wall_s = began.elapsed().as_secs_f64();
    let errors = errors.join().unwrap_or_default();
    if !status.success() {
        return Err(format!("{name}: {status}: {errors}"));
    }
    Ok(Taken { wall_s, cpu_s: cpu_of_children()? - before, peak_bytes })
}

/// The run whose CPU time is in the middle.
pub fn median(times: usize, mut once: impl FnMut() -> Result<Taken, String>) -> Result<Taken, String> {
    let mut runs = (0..times).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
    runs.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
    Ok(runs[runs.len() / 2])
}

/// The middle one of some numbers.
pub fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// User and system time of children that were waited for, in seconds (proc(5), `stat`, fields 16 and 17).
fn cpu_of_children() -> Result<f64, String> {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|e| format!("/proc/self/stat: {e}"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: f64 = [13, 14].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_S)
}

/// Peak resident memory of a running process, in bytes; 0 when it has ended.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Whether a program can be found.
pub fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).chain([Path::new("/usr/sbin").into()]).any(|p| p.join(program).is_file())
}
