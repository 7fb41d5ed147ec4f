//! `trapline simulate`

use std::path::PathBuf;

use clap::Args;
use trapline_report::thousands;
use trapline_sim::{BUILT_IN, Scenario};

use crate::error::CommandError;
use crate::ui::Ui;

/// Make captures of simulated attackers, and what is true of them
///
/// Writes captures, their platform.toml and, for a study, truth.json: what each question must answer, from the plan and not
/// from the packets. The same scenario, scale and seed give the same bytes. Without a scenario, the list of built-in ones.
#[derive(Args)]
pub struct SimulateArgs {
    /// A built-in scenario, or a scenario's file
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Folder for the captures; made where it is missing
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How much of it: 0.1 is a tenth of sources and packets
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,
    /// Another seed than the scenario's own
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Packets of a flat scenario such as bench
    #[arg(long, value_name = "N")]
    packets: Option<u64>,
    /// Print the scenario's text instead: the beginning of your own
    #[arg(long, requires = "scenario")]
    show: bool,
}

/// Simulates.
pub fn simulate(ui: &Ui, args: &SimulateArgs) -> Result<(), CommandError> {
    let Some(name) = &args.scenario else { return ui.print(&list()?) };
    if args.show {
        return show(ui, name);
    }
    let mut scenario = Scenario::load(name)?;
    if let Some(packets) = args.packets {
        scenario = trapline_sim::with_packets(scenario, packets);
    }
    let nowhere = || CommandError::new("where to? name a folder for the captures: -o DIR");
    let folder = args.output.as_ref().ok_or_else(nowhere)?;
    let bar = ui.progress("writing");
    let summary = trapline_sim::simulate(&scenario, args.scale, args.seed, folder, &mut |done, total| {
        bar.at(done, total, done, false);
    });
    bar.finish();
    let summary = summary?;
    let mut out = format!(
        "{} {} in {}: {} packets, {} of them inbound, {} sources\n",
        summary.captures.len(),
        if summary.captures.len() == 1 { "capture" } else { "captures" },
        folder.display(),
        thousands(summary.packets as i64),
        thousands(summary.inbound as i64),
        thousands(summary.sources as i64),
    );
    out.push_str(&format!("platform file: {}\n", summary.platform.display()));
    if let Some(truth) = &summary.truth {
        out.push_str(&format!("the truth as planned: {}\n", truth.display()));
    }
    let mut geo = String::new();
    if let Some(places) = &summary.places {
        out.push_str(&format!("where the attackers are: {}\n", places.display()));
        geo = format!(" --geo {}", places.display());
    }
    ui.print(&out)?;
    ui.note(&format!(
        "next: trapline report {0} --platform {1}{geo} -o report.html",
        folder.display(),
        summary.platform.display()
    ));
    Ok(())
}

fn list() -> Result<String, CommandError> {
    let mut out = String::new();
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(name, text)?;
        out.push_str(&format!("{name:10}  {}\n", scenario.about));
    }
    Ok(out)
}

fn show(ui: &Ui, name: &str) -> Result<(), CommandError> {
    match BUILT_IN.iter().find(|(n, _)| *n == name) {
        Some((_, text)) => ui.print(text),
        None => Ok(ui.print(&std::fs::read_to_string(name)?)?),
    }
}
