//! Captures to rows, beside the tools that read captures: tcpdump, tshark, argus, nfpcapd.
//!
//! On one simulated capture: many sources, about 80 bytes a packet. `trapline ingest --dry-run` is intake without the tables;
//! it reads a capture twice, once for its hash and times and once to count, and both are in its time.

use std::path::Path;
use std::process::Command;

use crate::measure::{self, Taken, is_there, median};
use crate::{Outcome, bench, release};

const PACKETS: u64 = 5_000_000;
const RUNS: usize = 5;

/// `--runs N` and `--packets N` change the size of the run.
pub fn run_arguments(rest: &[&str]) -> Result<(usize, u64), String> {
    let (mut runs, mut packets) = (RUNS, PACKETS);
    for pair in rest.chunks(2) {
        match pair {
            ["--runs", n] => runs = n.parse().map_err(|_| format!("{n} is no number"))?,
            ["--packets", n] => packets = n.parse().map_err(|_| format!("{n} is no number"))?,
            _ => return Err("bench intake [--runs N] [--packets N]".into()),
        }
    }
    Ok((runs, packets))
}

/// Runs the benchmark.
pub fn run(rest: &[&str]) -> Outcome {
    let (runs, packets) = run_arguments(rest)?;
    let program = release::build()?;
    let folder = bench::scratch()?;
    let capture = simulated(&program, folder.path(), packets)?;
    let long = simulated(&program, &folder.path().join("long"), 4 * packets)?;
    let (file, platform) = (capture.join("bench.pcap"), capture.join("platform.toml"));
    let bytes = std::fs::metadata(&file).map_err(|e| e.to_string())?.len();
    println!(
        "\n{packets} packets, {:.1} bytes each on disk; {}; medians of {runs}",
        bytes as f64 / packets as f64,
        bench::machine()
    );
    println!("{:34} {:>9} {:>9} {:>10} {:>14}", "", "wall s", "CPU s", "peak MB", "M packets/CPU s");
    let show = |name: &str, taken: Taken, packets: u64| {
        let rate = packets as f64 / taken.cpu_s / 1e6;
        println!(
            "{name:34} {:9.2} {:9.2} {:10.1} {rate:14.2}",
            taken.wall_s,
            taken.cpu_s,
            taken.peak_bytes as f64 / 1e6
        );
        rate
    };
    let tcpdump = if is_there("tcpdump") {
        let command = || {
            let mut c = Command::new("tcpdump");
            c.args(["-r"]).arg(&file).args(["-w", "/dev/null"]);
            c
        };
        Some(show("tcpdump -r FILE -w /dev/null", median(runs, || measure::run(&mut command()))?, packets))
    } else {
        println!("tcpdump: skipped, not installed");
        None
    };
    let ingest = |capture: &Path, platform: &Path, threads: &str, more: &[&str]| {
        let data = folder.path().join("data");
        // Tables of the run before, if there was one.
        let _ = std::fs::remove_dir_all(&data);
        let mut command = Command::new(&program);
        command
            .args(["ingest", "--threads", threads])
            .arg(capture)
            .arg("--platform")
            .arg(platform)
            .arg("--data")
            .arg(&data)
            .args(more);
        measure::run(&mut command)
    };
    let dry = show(
        "trapline, no tables, 1 thread",
        median(runs, || ingest(&file, &platform, "1", &["--dry-run"]))?,
        packets,
    );
    let two = median(runs, || ingest(&file, &platform, "2", &["--dry-run"]))?;
    show("trapline, no tables, 2 threads", two, packets);
    let written = show(
        "trapline, with tables, 1 thread",
        median(runs, || ingest(&file, &platform, "1", &[]))?,
        packets,
    );
    let short_run = median(3, || ingest(&file, &platform, "2", &[]))?;
    show("trapline, with tables, 2 threads", short_run, packets);
    let long_run = median(1, || ingest(&long.join("bench.pcap"), &long.join("platform.toml"), "2", &[]))?;
    show("the same, a capture 4 times as long", long_run, 4 * packets);
    peers(&file, folder.path(), packets, &show)?;
    println!();
    if let Some(tcpdump) = tcpdump {
        let wanted = f64::min(5.0, 0.4 * tcpdump);
        println!(
            "without tables: {dry:.2} M packets per CPU second, {:.2} of tcpdump's; wanted {wanted:.2}",
            dry / tcpdump
        );
    }
    println!("with tables: {written:.2}, {:.2} of that without; wanted 0.50", written / dry);
    println!(
        "peak memory: {:.0} MB, and {:.0} MB for four times the packets; wanted under 200",
        short_run.peak_bytes as f64 / 1e6,
        long_run.peak_bytes as f64 / 1e6
    );
    Ok(())
}

fn simulated(program: &Path, folder: &Path, packets: u64) -> Result<std::path::PathBuf, String> {
    let folder = folder.join("capture");
    let mut command = Command::new(program);
    command.args(["simulate", "bench", "--packets", &packets.to_string(), "-o"]).arg(&folder);
    measure::run(&mut command)?;
    Ok(folder)
}

/// Each slower tool once: they take long, and their ratio is no close call.
fn peers(file: &Path, folder: &Path, packets: u64, show: &dyn Fn(&str, Taken, u64) -> f64) -> Outcome {
    let flows = folder.join("flows");
    std::fs::create_dir_all(&flows).map_err(|e| e.to_string())?;
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r"]).arg(file).args([
        "-T",
        "fields",
        "-e",
        "frame.time_epoch",
        "-e",
        "ip.src",
        "-e",
        "ip.dst",
        "-e",
        "tcp.dstport",
    ]);
    let mut argus = Command::new("argus");
    argus.arg("-r").arg(file).arg("-w").arg(folder.join("argus.out"));
    let mut nfpcapd = Command::new("nfpcapd");
    nfpcapd.arg("-r").arg(file).arg("-l").arg(&flows);
    nfpcapd.arg("-w").arg(&flows);
    for (name, mut command) in
        [("tshark -T fields, four of them", tshark), ("argus", argus), ("nfpcapd", nfpcapd)]
    {
        let program = command.get_program().to_string_lossy().into_owned();
        if !is_there(&program) {
            println!("{program}: skipped, not installed");
            continue;
        }
        match measure::run(&mut command) {
            Ok(taken) => drop(show(name, taken, packets)),
            Err(why) => println!("{name}: {why}"),
        }
    }
    Ok(())
}
