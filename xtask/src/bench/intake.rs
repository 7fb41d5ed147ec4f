//! Captures to rows, beside the tools that read captures.
//!
//! On one simulated capture: many sources, about 80 bytes a packet. `trapline ingest --dry-run` reads, counts, follows connections
//! and hears what is said; looking up places and systems belongs to the tables and is in the time with them. Intake reads a
//! capture twice, once for its hash and times and once to count, and both are in its time.

use crate::bench::{self, Capture, met, peers};
use crate::measure::{Taken, median};
use crate::{Outcome, release};

const PACKETS: u64 = 5_000_000;

/// Million packets per CPU second that are wished for, with and without tables.
const RATE_WANTED: f64 = 3.0;

/// Memory that is wished for, in bytes.
const PEAK_WANTED: f64 = 300e6;

/// Two runs that differ by less than this part took the same memory.
const SAME_PEAK: f64 = 0.1;

/// Runs the benchmark.
pub fn run(rest: &[&str]) -> Outcome {
    let (runs, packets) = bench::size_of_run("intake", rest, PACKETS)?;
    let program = release::build()?;
    let folder = bench::scratch()?;
    let capture = Capture::simulated(&program, &folder.path().join("capture"), packets)?;
    let long = Capture::simulated(&program, &folder.path().join("long"), 4 * packets)?;
    println!("\n{}\n{}", capture.heading(runs)?, bench::columns());
    let data = folder.path().join("data");
    let show = |name: &str, runs: usize, capture: &Capture, more: &[&str]| -> Result<(Taken, f64), String> {
        let taken = median(runs, || capture.ingest(&program, &data, more))?;
        let (line, rate) = bench::line(name, taken, capture.packets);
        println!("{line}");
        Ok((taken, rate))
    };
    let (_, dry) = show("trapline, no tables, 1 thread", runs, &capture, &["--threads", "1", "--dry-run"])?;
    show("trapline, no tables, 2 threads", runs, &capture, &["--threads", "2", "--dry-run"])?;
    let (_, written) = show("trapline, with tables, 1 thread", runs, &capture, &["--threads", "1"])?;
    let (short_run, _) = show("trapline, with tables, 2 threads", runs, &capture, &["--threads", "2"])?;
    let (long_run, _) = show("the same, a capture 4 times as long", 1, &long, &["--threads", "2"])?;
    println!("\n{}    ours, no tables    with tables", bench::columns());
    peers::run(&capture, folder.path(), runs, |name, taken, packets| {
        let (line, rate) = bench::line(name, taken, packets);
        println!("{line} {:12.1} times {:8.1} times", dry / rate, written / rate);
    })?;
    println!("\nmillion packets per CPU second, 1 thread:");
    println!("without tables {dry:.2}, wanted {RATE_WANTED:.2}: {}", met(dry >= RATE_WANTED));
    println!(
        "with tables {written:.2}, for the record beside {RATE_WANTED:.2}: {}",
        met(written >= RATE_WANTED)
    );
    let (short, long) = (short_run.peak_bytes as f64, long_run.peak_bytes as f64);
    println!("peak memory:");
    println!(
        "{:.0} MB, and {:.0} MB for four times the packets, wanted under {:.0}: {}",
        short / 1e6,
        long / 1e6,
        PEAK_WANTED / 1e6,
        met(short.max(long) < PEAK_WANTED)
    );
    println!(
        "{:.2} times for four times the packets, wanted the same (at most {:.2}): {}",
        long / short,
        1.0 + SAME_PEAK,
        met(long <= short * (1.0 + SAME_PEAK))
    );
    Ok(())
}
