//! `trapline enrich`

use clap::Args;
use trapline_store::Span;
use trapline_store::enriching::enrich_again;

use crate::arguments::{DataArgs, EnrichArgs, ThreadArgs, day};
use crate::error::CommandError;
use crate::output;
use crate::ui::Ui;

/// Give days that were taken in before new places and systems
///
/// By the databases that an ingest would use now, or those named here. One commit; what was observed is not touched.
#[derive(Args)]
pub struct AgainArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    enrich: EnrichArgs,
    /// First UTC day, such as 2003-08-11
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<i32>,
    /// Last UTC day, inclusive
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<i32>,
    /// Only this platform
    #[arg(long, value_name = "NAME")]
    platform_name: Option<String>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// Labels anew.
pub async fn enrich(ui: &Ui, args: &AgainArgs) -> Result<(), CommandError> {
    let data = args.data.open()?;
    let enrichers = args.enrich.open()?;
    let days = Span { from: args.from, to: args.to, platform: args.platform_name.clone() };
    let stop = ui.stop_on_ctrl_c();
    let bar = ui.progress("labelling");
    let done = enrich_again(&data, &enrichers, &days, output::arguments(), |done, total| {
        bar.at(done as u64, total as u64, 0, false);
        !stop.load(std::sync::atomic::Ordering::Relaxed)
    })
    .await;
    bar.finish();
    let report = done?;
    let days = super::ingest::counted(report.days, "day", "days");
    ui.print(&match report.commit {
        Some(number) => format!("{days} labelled anew; commit {number} in {}\n", args.data.data),
        None => "no day to label\n".into(),
    })
}
