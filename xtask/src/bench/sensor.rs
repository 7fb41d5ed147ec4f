//! The sensor on a wire: SYNs answered, kept, sealed, and what a plain reader of packets manages on the same wire.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trapline_sensor::bench::{SynFlood, in_namespace};
use trapline_sensor::socket::Socket;

use super::{machine, scratch};
use crate::check::{cargo, run as run_command};

const USAGE: &str = "bench sensor [--runs N] [--seconds N] [--rate N]";
const PLATFORM: &str = "[platform]\nname = \"bench\"\n\
    [[host]]\nname = \"mach0\"\naddresses = [\"10.9.1.10\"]\npersona = \"windows-98\"\nmac = \"02:00:00:09:01:10\"\n\
    [[host]]\nname = \"mach1\"\naddresses = [\"10.9.1.11\"]\npersona = \"windows-nt4-server\"\nmac = \"02:00:00:09:01:11\"\n\
    [[host]]\nname = \"mach2\"\naddresses = [\"10.9.1.12\"]\npersona = \"linux-redhat-7.3\"\nmac = \"02:00:00:09:01:12\"\n";
/// Hosts with a port of theirs that is open.
const TARGETS: [([u8; 6], [u8; 4], u16); 3] = [
    ([2, 0, 0, 9, 1, 0x10], [10, 9, 1, 10], 139),
    ([2, 0, 0, 9, 1, 0x11], [10, 9, 1, 11], 80),
    ([2, 0, 0, 9, 1, 0x12], [10, 9, 1, 12], 21),
];

/// Two network namespaces with a wire between them.
struct Wire;

const SENSOR: &str = "trapline-bench-s";
const PEER: &str = "trapline-bench-p";

impl Wire {
    fn new() -> Result<Wire, String> {
        drop(Wire);
        for line in [
            format!("netns add {SENSOR}"),
            format!("netns add {PEER}"),
            format!("link add up0 netns {SENSOR} type veth peer name wire0 netns {PEER}"),
        ] {
            let done = Command::new("ip").args(line.split(' ')).status().map_err(|e| format!("ip: {e}"))?;
            if !done.success() {
                return Err(format!("ip {line} failed: this needs root"));
            }
        }
        Ok(Wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [SENSOR, PEER] {
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

/// Measures.
pub fn run(rest: &[&str]) -> Result<(), String> {
    let (mut runs, mut seconds, mut rate) = (3, 5, 100_000);
    for pair in rest.chunks(2) {
        let number = |n: &str| n.parse().map_err(|_| format!("{n} is no number"));
        match pair {
            ["--runs", n] => runs = number(n)?,
            ["--seconds", n] => seconds = number(n)?,
            ["--rate", n] => rate = number(n)?,
            _ => return Err(USAGE.into()),
        }
    }
    run_command(
        "build the sensor",
        &mut cargo(&["build", "--release", "-p", "trapline-sensor", "--bin", "trapline-sensor"]),
    )?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let program = Path::new(&target).join("release/trapline-sensor");
    println!("{}", machine());
    for rate in [10_000, rate] {
        let (mut told, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            plain.push(reader(rate, seconds)?);
            told.push(sensor(&program, rate, seconds)?);
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let of = |value: fn(&Told) -> f64| median(told.iter().map(value).collect());
        let read = median(plain.iter().map(|(sent, read)| *read as f64 / *sent as f64).collect());
        println!("{rate} SYN/s for {seconds} s, medians of {runs}:");
        println!("  sent                      {:.0} each second", of(|t| t.sent as f64) / seconds as f64);
        println!(
            "  answered                  {:.3} % of what was sent",
            of(|t| 100.0 * t.answered as f64 / t.sent as f64)
        );
        println!(
            "  SYN to SYN/ACK            {:.0} microseconds (median), {:.0} (99 %)",
            of(|t| t.median_us),
            of(|t| t.late_us)
        );
        println!(
            "  ledger                    {:.0} seen, {:.0} dropped, {:.0} written",
            of(|t| t.seen as f64),
            of(|t| t.dropped as f64),
            of(|t| t.written as f64)
        );
        println!(
            "  memory of the sensor      {:.1} MB in all its processes, {:.1} of them its ring",
            of(|t| t.memory_mb),
            Socket::ring_bytes() as f64 / 1e6
        );
        println!("  ready after               {:.0} ms", of(|t| t.ready_ms));
        println!("  a plain reader of packets {:.3} % of what was sent", 100.0 * read);
        println!("  ratio                     {:.4}", of(|t| t.answered as f64 / t.sent as f64) / read);
    }
    Ok(())
}

/// What one run showed.
struct Told {
    sent: u64,
    answered: u64,
    median_us: f64,
    late_us: f64,
    seen: u64,
    dropped: u64,
    written: u64,
    memory_mb: f64,
    ready_ms: f64,
}

fn flood(rate: u64, seconds: u64) -> Result<SynFlood, String> {
    in_namespace(PEER, || {
        let mut socket = Socket::open("wire0").map_err(|e| format!("wire0: {e}"))?;
        SynFlood::run(&mut socket, &TARGETS, rate, Duration::from_secs(seconds)).map_err(|e| e.to_string())
    })?
}

/// A reader that only counts.
fn reader(rate: u64, seconds: u64) -> Result<(u64, u64), String> {
    let _wire = Wire::new()?;
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            in_namespace(SENSOR, || {
                let mut socket = Socket::open("up0").map_err(|e| e.to_string())?;
                while !over.load(Ordering::Relaxed) {
                    let mut any = false;
                    while socket.next_frame().is_some() {
                        read.fetch_add(1, Ordering::Relaxed);
                        any = true;
                    }
                    if !any {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                Ok::<_, String>(())
            })?
        });
        std::thread::sleep(Duration::from_millis(300));
        let sent = flood(rate, seconds)?.sent;
        std::thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Relaxed);
        reading.join().map_err(|_| "the reader failed")??;
        Ok((sent, read.load(Ordering::Relaxed)))
    })
}

fn sensor(program: &Path, rate: u64, seconds: u64) -> Result<Told, String> {
    let _wire = Wire::new()?;
    let scratch = scratch()?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(scratch.path(), open).map_err(|e| e.to_string())?;
    let (platform, spool, log) =
        (scratch.path().join("platform.toml"), scratch.path().join("spool"), scratch.path().join("log"));
    fs::write(&platform, PLATFORM).map_err(|e| e.to_string())?;
    let begun = Instant::now();
    let mut child = Command::new("ip")
        .args(["netns", "exec", SENSOR])
        .arg(program)
        .args(["run", "--interface", "up0", "--platform"])
        .arg(&platform)
        .arg("--spool")
        .arg(&spool)
        .stderr(fs::File::create(&log).map_err(|e| e.to_string())?)
        .spawn()
        .map_err(|e| e.to_string())?;
    while !fs::read_to_string(&log).unwrap_or_default().contains("ready") {
        if begun.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            return Err(format!("the sensor is not ready: {}", fs::read_to_string(&log).unwrap_or_default()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let flooded = flood(rate, seconds)?;
    let memory_mb = processes(child.id()).into_iter().map(proportional_mb).sum();
    end(&mut child)?;
    let count = |field: &str| -> Result<u64, String> {
        let mut sum = 0;
        for file in fs::read_dir(spool.join("bench")).map_err(|e| e.to_string())?.flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{field}\": ")));
            sum += line.and_then(|number| number.trim_end_matches(',').parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    };
    let [seen, dropped, written] = [count("seen")?, count("dropped")?, count("written")?];
    let SynFlood { sent, answered, mut waits_us } = flooded;
    waits_us.sort_by(f64::total_cmp);
    let at = |part: f64| waits_us.get((waits_us.len() as f64 * part) as usize).copied().unwrap_or(0.0);
    Ok(Told {
        sent,
        answered,
        median_us: at(0.5),
        late_us: at(0.99),
        seen,
        dropped,
        written,
        memory_mb,
        ready_ms,
    })
}

/// A process and its children.
fn processes(parent: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    std::iter::once(parent)
        .chain(children.split_whitespace().filter_map(|number| number.parse().ok()))
        .collect()
}

/// Memory of a process in megabytes: what it shares with others (the program itself) is shared out among them.
fn proportional_mb(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

fn end(child: &mut Child) -> Result<(), String> {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    child.wait().map(|_| ()).map_err(|e| e.to_string())
}
