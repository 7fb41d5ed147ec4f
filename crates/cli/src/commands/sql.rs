//! `trapline sql`

use clap::Args;
use trapline_questions::{About, Answer, value};
use trapline_store::{Engine, Snapshot, Span, StoreError};

use crate::arguments::{DataArgs, ThreadArgs};
use crate::error::CommandError;
use crate::output::{Format, OutputArgs};
use crate::ui::Ui;

/// Ask the tables, and captures as they are, in SQL
///
/// Tables: probes, responses, replies, sessions, sources, hosts, openings, captures, commits (their columns: docs/tables.md of
/// the project, or `describe probes`). `capture('file.pcap')` is a capture with one row for each packet, read directly; a
/// quoted name that ends in .parquet or .csv is that file. Besides SQL's own functions: ports_sequence, host_order, port_set.
#[derive(Args)]
#[command(after_help = "Examples:
  trapline sql \"select sequence, count(*) as n from sources group by sequence order by n desc limit 10\"
  trapline sql \"select src, count(*) as packets from capture('evening.pcap') where dst_port = 445 group by src\"")]
pub struct SqlArgs {
    /// One statement that reads
    #[arg(value_name = "SELECT …")]
    statement: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    pub threads: ThreadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs a statement.
pub async fn sql(ui: &Ui, args: &SqlArgs) -> Result<(), CommandError> {
    let data = args.data.open()?;
    let threads = args.threads.count();
    let engine = match Snapshot::latest(&data).await? {
        Some(snapshot) => Engine::open(&snapshot, &Span::default(), "", threads)?,
        None => Engine::bare(threads),
    };
    let engine = engine.with_files();
    let rows = engine.collect(&args.statement).await.map_err(|e| explain(e, &data.name))?;
    engine.findings().iter().for_each(|finding| ui.finding(finding));
    if args.output.format == Format::Parquet {
        return args.output.put_parquet(ui, &trapline_store::parquet_bytes(&rows)?);
    }
    let columns = value::columns(&rows.schema());
    let values = value::rows(&columns, &[rows]).map_err(StoreError::from)?;
    let answer = Answer::of_rows(columns, values);
    let text = match args.output.format {
        Format::Table => trapline_report::table::plain(&answer, args.output.width()),
        _ => args.output.text(&answer, &About::default()),
    };
    args.output.put(ui, &text)
}

fn explain(error: StoreError, place: &str) -> CommandError {
    let text = error.to_string();
    let error = CommandError::from(error);
    if text.contains("not found") && [".parquet", ".csv", ".json"].iter().any(|end| text.contains(end)) {
        return error.hint("a quoted name is a file, and there is none of that name that can be read");
    }
    if text.contains("not found") && text.contains("table") {
        return error.hint(format!(
            "`trapline sql 'show tables'` lists the tables in {place}; there are none before the first ingest"
        ));
    }
    error
}
