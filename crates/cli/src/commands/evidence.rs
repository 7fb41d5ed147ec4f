//! `trapline evidence`

use std::collections::HashSet;
use std::io::BufWriter;
use std::path::PathBuf;

use clap::Args;
use trapline_questions::{Session, SourceDay};
use trapline_store::evidence::{self, Chosen};
use trapline_store::{Snapshot, StoreError};

use crate::arguments::{DataArgs, QuestionArgs};
use crate::commands::ingest::counted;
use crate::error::CommandError;
use crate::ui::Ui;

/// Copy the packets behind an answer into one capture
///
/// All packets between the hosts and the sources that --where selects, or that stand behind a row of an answer. Each has a
/// comment that says from which capture and offset it came. The captures must still be where they were taken in from.
#[derive(Args)]
pub struct EvidenceArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Only this platform
    #[arg(long, value_name = "NAME")]
    platform_name: Option<String>,
    /// The sources behind a row of this question's answer
    #[arg(long = "question", value_name = "NAME", requires = "row")]
    question_name: Option<String>,
    /// Which row of the answer, from 1
    #[arg(long, value_name = "N", requires = "question_name", value_parser = clap::value_parser!(u64).range(1..))]
    row: Option<u64>,
    /// A parameter of the question; again for more of them
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::ask::parameter)]
    param: Vec<(String, String)>,
    #[command(flatten)]
    pub question: QuestionArgs,
    /// The capture to write (pcapng)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Copies.
pub async fn evidence(ui: &Ui, args: &EvidenceArgs) -> Result<(), CommandError> {
    if args.question_name.is_none() && args.question.r#where.is_none() {
        return Err(CommandError::new(
            "which sources? select them with --where, or name a row with --question and --row",
        )
        .hint("all packets of all sources are in the captures already"));
    }
    let data = args.data.open()?;
    let snapshot = Snapshot::latest(&data).await?.ok_or(StoreError::Empty { place: data.name.clone() })?;
    let session = Session::open(&snapshot, args.question.ask(args.platform_name.as_ref())?).await?;
    let source_days = match (&args.question_name, args.row) {
        (Some(name), Some(row)) => {
            let catalog = args.question.catalog(ui)?;
            session.behind(&snapshot, catalog.get(name)?, &args.param, row as usize).await?
        }
        _ => session.source_days().await?,
    };
    let mut chosen = Chosen::new();
    let mut sources = HashSet::new();
    for SourceDay { platform, ip, src, day } in source_days {
        sources.insert((platform.clone(), ip, src));
        chosen.entry(platform).or_default().insert((ip.into(), day));
    }
    let stop = ui.stop_on_ctrl_c();
    let bar = ui.progress("copying");
    let file = std::fs::File::create(&args.output)
        .map_err(|e| CommandError::new(format!("{}: {e}", args.output.display())))?;
    let mut out = BufWriter::new(file);
    let copied = evidence::copy(&snapshot, &chosen, &mut out, |done, total| {
        bar.at(done, total, 0, false);
        !stop.load(std::sync::atomic::Ordering::Relaxed)
    })
    .await;
    bar.finish();
    let report = copied?;
    report.findings.iter().for_each(|finding| ui.finding(finding));
    ui.print(&format!(
        "{} of {} from {} in {}\n",
        counted(report.packets as usize, "packet", "packets"),
        counted(sources.len(), "source", "sources"),
        counted(report.captures, "capture", "captures"),
        args.output.display()
    ))?;
    if sources.is_empty() {
        ui.note("no source is like that");
    }
    Ok(())
}
