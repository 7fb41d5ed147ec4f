//! One command that checks all: formatting, lints, tests; and one that writes generated files anew.

use std::process::Command;

use crate::Outcome;

/// The variable that asks tests to write golden files instead of comparing them (crates/testing).
const GOLDEN: (&str, &str) = ("TRAPLINE_GOLDEN", "refresh");

/// Formatting, lints, tests; then what had to be skipped.
pub fn check() -> Outcome {
    let skipped = std::env::temp_dir().join(format!("trapline-skipped-{}", std::process::id()));
    run("formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    run("lints", &mut cargo(&lints))?;
    let tests = ["test", "--workspace", "--no-fail-fast"];
    let outcome = run("tests", cargo(&tests).env("TRAPLINE_SKIPPED", &skipped));
    let list = std::fs::read_to_string(&skipped).unwrap_or_default();
    // Only a list for this run; nobody needs it after it was shown.
    let _ = std::fs::remove_file(&skipped);
    println!("\n{}", if list.is_empty() { "nothing was skipped" } else { list.trim_end() });
    outcome
}

/// Lets the tests that compare golden files write them.
pub fn golden() -> Outcome {
    let tests = ["test", "--workspace", "--test", "method", "--test", "tables", "--test", "cases"];
    run("golden files", cargo(&tests).env(GOLDEN.0, GOLDEN.1))?;
    run("formatting", &mut cargo(&["fmt", "--all"]))
}

/// Cargo, as a person would call it: without the variables that `cargo xtask` itself was given, which some build scripts
/// look at and then build everything above them again.
pub fn cargo(arguments: &[&str]) -> Command {
    const KEPT: [&str; 3] = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL"];
    let mut command = Command::new("cargo");
    let ours =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("CARGO"));
    for name in ours.filter(|name| {
        !KEPT.iter().any(|kept| name == kept) && !name.to_string_lossy().starts_with("CARGO_TERM")
    }) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs a command to its end, its output going where ours goes.
pub fn run(what: &str, command: &mut Command) -> Outcome {
    println!("--- {what}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what}: {status}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}
