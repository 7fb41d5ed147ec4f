//! Fuzzing: one target for each format an attacker can shape, in `fuzz/`.

use std::path::Path;

use crate::Outcome;
use crate::check::{cargo, run as run_command};

/// `fuzz TARGET [SECONDS]`.
pub fn run(rest: &[&str]) -> Outcome {
    let (target, seconds) = match rest {
        [target] => (*target, "60"),
        [target, seconds] => (*target, *seconds),
        _ => return Err(format!("targets: {}", targets()?.join(", "))),
    };
    let all = targets()?;
    if !all.iter().any(|name| name == target) {
        return Err(format!("no target {target}; there are {}", all.join(", ")));
    }
    let time = format!("-max_total_time={seconds}");
    // What it finds goes into the first folder, which is not kept; it begins with what is kept in the second.
    let (found, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    std::fs::create_dir_all(&found).map_err(|e| format!("{found}: {e}"))?;
    let folders = std::iter::once(found.as_str()).chain(Path::new(&seeds).is_dir().then_some(seeds.as_str()));
    // Without a sanitizer it runs on the stable toolchain; our code has no unsafe for one to watch.
    let arguments: Vec<&str> = ["fuzz", "run", "--sanitizer", "none", target]
        .into_iter()
        .chain(folders)
        .chain(["--", &time, "-max_len=65536"])
        .collect();
    run_command(&format!("fuzz {target} for {seconds} s"), &mut cargo(&arguments))
        .map_err(|why| format!("{why}\n(needs cargo-fuzz: cargo install cargo-fuzz)"))
}

/// The targets: each is `fuzz/fuzz_targets/NAME.rs`.
fn targets() -> Result<Vec<String>, String> {
    const FOLDER: &str = "fuzz/fuzz_targets";
    let files = std::fs::read_dir(FOLDER).map_err(|e| format!("{FOLDER}: {e}"))?;
    let names = files.filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}
