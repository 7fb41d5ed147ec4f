//! The size of the release binary, stripped.

use std::process::Command;

use crate::check::run as run_command;
use crate::{Outcome, bench, release};

/// Runs the measurement.
pub fn run() -> Outcome {
    let program = release::build()?;
    let folder = bench::scratch()?;
    let stripped = folder.path().join("trapline");
    std::fs::copy(&program, &stripped).map_err(|e| e.to_string())?;
    run_command("strip", Command::new("strip").arg("-s").arg(&stripped))?;
    let size = |path: &std::path::Path| {
        std::fs::metadata(path).map(|m| m.len() as f64 / 1e6).map_err(|e| e.to_string())
    };
    println!("as built {:.1} MB, stripped {:.1} MB; wanted under 100", size(&program)?, size(&stripped)?);
    Ok(())
}
