//! `trapline sensor`

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// Run a sensor: decoys on a network interface, every packet kept
///
/// The same as the small program trapline-sensor, which is what belongs on the machine that strangers speak to. `trapline sensor --help`
/// says more.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct SensorArgs {
    /// As trapline-sensor takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Runs it.
pub fn sensor(args: SensorArgs) -> ExitCode {
    trapline_sensor::command::main(args.arguments, &["sensor"])
}
