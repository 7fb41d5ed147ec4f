//! The release binary, built when it is missing or old.

use std::path::PathBuf;

use crate::check::{cargo, run};

/// Builds an example of a light crate for release and returns its path. In a folder of its own: asked for one crate, cargo builds what it shares
/// with others anew.
pub fn example(package: &str, name: &str) -> Result<PathBuf, String> {
    let target = target().join("examples");
    let arguments = ["build", "--release", "--package", package, "--example", name, "--target-dir"];
    run(&format!("release build of {name}"), cargo(&arguments).arg(&target))?;
    std::path::absolute(target.join("release/examples").join(name)).map_err(|e| e.to_string())
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Builds the program for release and returns its path.
pub fn build() -> Result<PathBuf, String> {
    run("release build", &mut cargo(&["build", "--release", "--bin", "trapline"]))?;
    let program = target().join("release/trapline");
    std::path::absolute(&program).map_err(|e| e.to_string())
}
