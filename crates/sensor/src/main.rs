//! trapline-sensor: decoys on a network interface, every packet kept.

use std::process::ExitCode;

fn main() -> ExitCode {
    trapline_sensor::command::main(std::env::args_os().skip(1), &[])
}
