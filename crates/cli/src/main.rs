//! The program: one file for each command in `commands/`; the only crate that knows a terminal.
//!
//! Exit status: 0 all done, 1 done with findings or skips, 2 not done.

mod arguments;
mod commands;
mod error;
mod output;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    ask, completions, demo, enrich, evidence, geo, ingest, persona, report, sensor, simulate, sql, status,
    up, vault, verify,
};
use error::CommandError;
use ui::Ui;

/// See attacks on decoy hosts as the paper saw them: who, in which order of ports, with which tool
///
/// Captures go in (`ingest`), questions are answered (`ask`, `report`, `sql`). Everything is defined in
/// docs/method/ of the project: what a source is, a ports sequence, backscatter.
#[derive(Parser)]
#[command(name = "trapline", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 all done, 1 done with findings or skips (told on standard error), 2 not done."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Ingest(ingest::IngestArgs),
    Ask(ask::AskArgs),
    Report(report::ReportArgs),
    Evidence(evidence::EvidenceArgs),
    Enrich(enrich::AgainArgs),
    Geo(geo::GeoArgs),
    Persona(persona::PersonaArgs),
    Up(up::UpArgs),
    Sensor(sensor::SensorArgs),
    Vault(vault::VaultArgs),
    Verify(verify::VerifyArgs),
    Status(status::StatusArgs),
    Sql(sql::SqlArgs),
    Simulate(simulate::SimulateArgs),
    Completions(completions::CompletionsArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else was not understood. A closed pipe is a quiet end.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if let Command::Sensor(args) = cli.command {
        return sensor::sensor(args);
    }
    let ui = Ui::new();
    if std::env::var_os(up::NO_CAPABILITIES).is_some()
        && let Err(error) = trapline_sensor::privileges::give_up_capabilities()
    {
        ui.error(&CommandError::new(format!("capabilities cannot be given up: {error}")));
        return ExitCode::from(2);
    }
    ui::log_to_stderr();
    match run(&ui, cli.command) {
        Ok(()) => ExitCode::from(u8::from(ui.findings() > 0)),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(ui: &Ui, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Completions(args) => completions::completions(ui, &args),
        Command::Geo(args) => geo::geo(ui, &args),
        Command::Persona(args) => persona::persona(ui, &args),
        Command::Evidence(args) => in_runtime(args.question.threads.count(), evidence::evidence(ui, &args)),
        Command::Enrich(args) => in_runtime(args.threads.count(), enrich::enrich(ui, &args)),
        Command::Sensor(_) => Ok(()),
        Command::Up(args) => up::up(ui, &args),
        Command::Vault(args) => vault::vault(ui, &args),
        Command::Verify(args) => verify::verify(ui, &args),
        Command::Status(args) => status::status(ui, &args),
        Command::Demo(args) => demo::demo(ui, &args, |words| {
            let words = std::iter::once("trapline").chain(words.iter().copied());
            let cli = Cli::try_parse_from(words).map_err(|e| CommandError::new(e.to_string()))?;
            run(ui, cli.command)
        }),
        Command::Simulate(args) => simulate::simulate(ui, &args),
        Command::Ingest(args) => {
            give_memory_back();
            in_runtime(args.threads.count(), ingest::ingest(ui, &args))
        }
        Command::Ask(args) => in_runtime(args.question.threads.count(), ask::ask(ui, &args)),
        Command::Report(args) => in_runtime(args.question.threads.count(), report::report(ui, &args)),
        Command::Sql(args) => in_runtime(args.threads.count(), sql::sql(ui, &args)),
    }
}

/// Asks glibc to give large blocks back as soon as they are free. For an ingest only: questions are quicker with memory kept.
///
/// A day's rows are a few blocks of tens of megabytes, made in one thread and freed in another. By default glibc soon keeps such
/// blocks for later use, in a heap for each thread; the peak of an ingest was 206 MB so and is 145 MB with this (mimalloc: 346 MB).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt only sets numbers, before any other thread runs")]
fn give_memory_back() {
    const LARGE_BYTES: libc::c_int = 1 << 20;
    // SAFETY: no other thread is running yet, and both parameters take any positive number (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE_BYTES);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_memory_back() {}

fn in_runtime<T>(
    threads: usize,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::new(format!("cannot start: {e}")))?;
    let done = runtime.block_on(work);
    // A thread that still reads ahead must not hold up the end.
    runtime.shutdown_background();
    done
}
