//! The release binary, built when it is missing or old.

use std::path::PathBuf;

use crate::check::{cargo, run};

/// Builds the program for release and returns its path.
pub fn build() -> Result<PathBuf, String> {
    run("release build", &mut cargo(&["build", "--release", "--bin", "trapline"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let program = target.join("release/trapline");
    std::path::absolute(&program).map_err(|e| e.to_string())
}
