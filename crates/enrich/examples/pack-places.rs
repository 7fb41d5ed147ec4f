//! Makes the embedded list of countries from a MaxMind DB; `places/README.md` says when and how.
//!
//! cargo run -p trapline-enrich --release --example pack-places -- FILE.mmdb LIST.ranges 'ATTRIBUTION'

use std::path::Path;
use std::process::ExitCode;

use trapline_enrich::place::ranges;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [from, to, attribution] => pack(Path::new(from), Path::new(to), attribution),
        _ => Err("wanted: FILE.mmdb LIST.ranges 'ATTRIBUTION'".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn pack(from: &Path, to: &Path, attribution: &str) -> Result<(), Box<dyn std::error::Error>> {
    let packed = ranges::of_countries(&std::fs::read(from)?, attribution)?;
    Ok(std::fs::write(to, packed)?)
}
