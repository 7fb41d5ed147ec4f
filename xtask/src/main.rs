//! What is done to the project itself: check it, refresh what is generated, measure it, fuzz it.

mod bench;
mod check;
mod fuzz;
mod measure;
mod release;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask check               formatting, lints, all tests; ends with what had to be skipped and why
cargo xtask golden              write generated documents and golden files anew
cargo xtask bench intake        captures to rows, beside tcpdump, tshark, argus, nfpcapd, p0f and tcpflow
cargo xtask bench systems       systems by passive fingerprints, beside p0f with the same database
cargo xtask bench paper         the paper's ten months: ingest, every question, the start of the program
cargo xtask bench sequences     the sequences question over 50 million rows, beside DuckDB
cargo xtask bench personas      decoys of nmap's own fingerprints, seen by nmap in a network namespace (root)
cargo xtask bench sensor        SYNs on a real wire: answered, kept, how soon; beside a plain reader of packets (root)
cargo xtask bench size          the size of the release binary, and what is in it
cargo xtask fuzz TARGET [S]     fuzz one format for S seconds (60); without a target, their list
";

/// What a task says of itself: done, or why not.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["check"] => check::check(),
        ["golden"] => check::golden(),
        ["bench", "intake", rest @ ..] => bench::intake::run(rest),
        ["bench", "paper"] => bench::paper::run_all(),
        ["bench", "sequences", rest @ ..] => bench::sequences::run(rest),
        ["bench", "systems", rest @ ..] => bench::systems::run(rest),
        ["bench", "personas", rest @ ..] => bench::personas::run(rest),
        ["bench", "sensor", rest @ ..] => bench::sensor::run(rest),
        ["bench", "size"] => bench::size::run(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        _ => Err(format!("usage:\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
