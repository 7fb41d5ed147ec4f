//! `trapline report`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use trapline_intake::Platform;
use trapline_questions::{Answer, Session};
use trapline_report::Page;
use trapline_report::escape::shell_word;
use trapline_sim::Scenario;
use trapline_store::ingest::Hosts;
use trapline_store::{Data, Enrichers, Snapshot, StoreError};

use crate::arguments::{DEFAULT_DATA, DataArgs, EnrichArgs, HostArgs, QuestionArgs};
use crate::commands::ingest::{Work, counted, take_in};
use crate::error::CommandError;
use crate::output;
use crate::ui::Ui;

/// Write every answer into one HTML page
///
/// From the tables, or straight from captures through temporary tables. The page needs no network: charts, tables and
/// definitions are all in it.
#[derive(Args)]
pub struct ReportArgs {
    /// Captures to report on, as for ingest; the tables of --data where none is given
    #[arg(value_name = "PATH|URL")]
    captures: Vec<String>,
    /// File of the page
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Report on simulated captures: a built-in scenario such as paper2003, or a scenario's file
    #[arg(long, value_name = "SCENARIO", conflicts_with_all = ["captures", "platform", "host", "hosts"])]
    scenario: Option<String>,
    /// How much of the scenario: 0.1 is a tenth of sources and packets
    #[arg(long, value_name = "FACTOR", requires = "scenario")]
    scale: Option<f64>,
    /// Heading of the page
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    pub question: QuestionArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    enrich: EnrichArgs,
}

/// Writes the page.
pub async fn report(ui: &Ui, args: &ReportArgs) -> Result<(), CommandError> {
    let catalog = args.question.catalog(ui)?;
    let scratch = tempfile::tempdir()?;
    let mut findings = Vec::new();
    let (data, heading) = if let Some(name) = &args.scenario {
        let Simulated { captures, hosts, places, about } = simulated(ui, name, args.scale, scratch.path())?;
        // The attackers' addresses are made up, so only the scenario knows where they are.
        let enrichers =
            Enrichers::built_in().with_places(&places, false)?.with_systems(&args.enrich.fingerprints)?;
        (temporary(ui, args, &captures, hosts, enrichers, scratch.path(), &mut findings).await?, about)
    } else if args.captures.is_empty() {
        (args.data.open()?, args.data.data.clone())
    } else {
        let (hosts, enrichers) = (args.hosts.hosts()?, args.enrich.open()?);
        let data =
            temporary(ui, args, &args.captures, hosts, enrichers, scratch.path(), &mut findings).await?;
        (data, heading(&args.captures))
    };
    let Some(snapshot) = Snapshot::latest(&data).await? else {
        if args.captures.is_empty() {
            return Err(StoreError::Empty { place: data.name.clone() }.into());
        }
        return Err(CommandError::new("nothing to report on: none of the captures could be read"));
    };
    let session = Session::open(&snapshot, args.question.ask(args.hosts.platform_name.as_ref())?).await?;
    session.keep_sources().await?;
    let answers = answers(ui, &snapshot, &session, &catalog).await?;
    let mut about = output::about(&session).await?;
    if args.scenario.is_some() {
        // The folder vanishes with this run; the captures' own names say which they are.
        for capture in &mut about.captures {
            capture.name = Path::new(&capture.name)
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        }
    }
    about.temporary = args.scenario.is_some() || !args.captures.is_empty();
    if !about.temporary && args.data.data != DEFAULT_DATA {
        about.flags.push_str(&format!(" --data {}", shell_word(&args.data.data)));
    }
    let title = args.title.as_ref().unwrap_or(&heading);
    let page = trapline_report::page(&Page { title, about: &about, answers: &answers, findings: &findings });
    output::write_file(&args.output, page.as_bytes())?;
    ui.print(&format!("{} answers in {}\n", answers.len(), args.output.display()))
}

/// All answers; a user's question that fails is told and left out, one of ours is an error.
async fn answers(
    ui: &Ui,
    snapshot: &Snapshot,
    session: &Session,
    catalog: &trapline_questions::Catalog,
) -> Result<Vec<Answer>, CommandError> {
    let bar = ui.progress("asking");
    let mut answers = Vec::new();
    for (i, question) in catalog.questions().iter().enumerate() {
        match session.answer_for_report(question).await {
            Ok(answer) => {
                answers.push(answer);
                for variant in &question.variants {
                    let narrowed = session.narrowed(snapshot, &variant.filter).await?;
                    let answer = narrowed.answer_variant(question, variant).await?;
                    // Where no source is of this kind the question itself says everything.
                    answers.extend(Some(answer).filter(|a| !a.rows.is_empty()));
                }
            }
            Err(error) if !question.built_in => ui.finding(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        bar.at(i as u64 + 1, catalog.questions().len() as u64, 0, false);
    }
    bar.finish();
    Ok(answers)
}

/// Takes captures into tables that vanish with the report.
async fn temporary(
    ui: &Ui,
    args: &ReportArgs,
    captures: &[String],
    hosts: Hosts,
    enrichers: Enrichers,
    scratch: &Path,
    findings: &mut Vec<String>,
) -> Result<Data, CommandError> {
    let data = Data::at(&scratch.join("tables").display().to_string())?;
    let work = Work {
        data: data.clone(),
        hosts,
        threads: args.question.threads.count(),
        dry_run: false,
        enrichers: Arc::new(enrichers),
    };
    let report = take_in(ui, captures, work).await?;
    findings.extend(report.findings);
    if let Some(platform) = report.platform.filter(|p| p.inferred && report.new > 0) {
        let names: Vec<&str> = platform.hosts.iter().map(|h| h.name.as_str()).collect();
        ui.note(&format!("{} inferred: {}", counted(names.len(), "host", "hosts"), names.join(", ")));
        ui.note("To name them: --platform FILE, --host NAME=ADDRESS, --hosts NETWORK");
    }
    Ok(data)
}

/// A scenario that was played.
struct Simulated {
    captures: Vec<String>,
    hosts: Hosts,
    places: Vec<PathBuf>,
    about: String,
}

fn simulated(ui: &Ui, name: &str, scale: Option<f64>, scratch: &Path) -> Result<Simulated, CommandError> {
    let scenario = Scenario::load(name)?;
    let bar = ui.progress("playing");
    let folder = scratch.join("captures");
    let summary = trapline_sim::simulate(&scenario, scale, None, &folder, &mut |done, total| {
        bar.at(done, total, done, false)
    });
    bar.finish();
    let summary = summary?;
    let platform = Platform::read(&summary.platform)?;
    let captures = summary.captures.iter().map(|path| path.display().to_string()).collect();
    Ok(Simulated {
        captures,
        hosts: Hosts::Given(platform),
        places: summary.places.into_iter().collect(),
        about: format!("{} (simulated)", scenario.about),
    })
}

fn heading(captures: &[String]) -> String {
    let name = |c: &String| Path::new(c).file_name().map_or(c.clone(), |n| n.to_string_lossy().into_owned());
    match captures {
        [one] => name(one),
        [first, rest @ ..] => format!("{} and {} more", name(first), rest.len()),
        [] => String::new(),
    }
}
