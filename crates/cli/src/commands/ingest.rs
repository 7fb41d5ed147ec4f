//! `trapline ingest`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use trapline_intake::{Platform, open};
use trapline_report::thousands;
use trapline_store::ingest::{Hosts, Stage, Watch};
use trapline_store::{Data, Enrichers, IngestReport, IngestRequest};

use crate::arguments::{DataArgs, EnrichArgs, HostArgs, ThreadArgs};
use crate::error::CommandError;
use crate::output;
use crate::ui::{Bar, Ui};

/// Take captures into the tables
///
/// pcap and pcapng, plain or compressed with gzip, zstd or xz. Each capture counts once, whatever its name: what is
/// known by its content already is left out. All or nothing: a run that is stopped or killed leaves the tables as they were.
#[derive(Args)]
pub struct IngestArgs {
    /// Captures: files, folders, `-` for standard input, URLs (a URL that ends in / is a folder)
    #[arg(required = true, value_name = "PATH|URL")]
    captures: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Read and count, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub threads: ThreadArgs,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    enrich: EnrichArgs,
}

/// Takes captures in and says what was found in them.
pub async fn ingest(ui: &Ui, args: &IngestArgs) -> Result<(), CommandError> {
    let work = Work {
        data: args.data.open()?,
        hosts: args.hosts.hosts()?,
        threads: args.threads.count(),
        dry_run: args.dry_run,
        enrichers: Arc::new(args.enrich.open()?),
    };
    let report = take_in(ui, &args.captures, work).await?;
    let inferred = report.platform.as_ref().is_some_and(|p| p.inferred);
    let known = report.known.len();
    if known > 0 {
        ui.note(&format!(
            "{} known already: {}",
            counted(known, "capture is", "captures are"),
            list(&report.known)
        ));
    }
    let mut out = format!(
        "{}, {}",
        counted(report.new, "capture", "captures"),
        counted(report.packets as usize, "packet", "packets")
    );
    if report.read_again > 0 {
        let again = counted(report.read_again, "earlier capture", "earlier captures");
        out.push_str(&format!("; {again} read again"));
    }
    out.push('\n');
    if let Some(platform) = report.platform.as_ref().filter(|_| report.new > 0) {
        out.push_str(&packets(&report));
        out.push_str(&hosts(platform));
    }
    out.push_str(&match report.commit {
        Some(number) => format!("commit {number} in {}\n", args.data.data),
        None if args.dry_run => "nothing was written (--dry-run)\n".into(),
        None => "nothing new\n".into(),
    });
    // Names of hosts and platforms come from files: they are shown, never obeyed.
    ui.print(&trapline_report::escape::printable_lines(&out))?;
    if inferred && report.new > 0 {
        ui.note(
            "The hosts were inferred; to name them: --platform FILE, --host NAME=ADDRESS, --hosts NETWORK",
        );
    }
    Ok(())
}

/// What to take in, without the captures.
pub struct Work {
    /// Into which tables.
    pub data: Data,
    /// Whose captures.
    pub hosts: Hosts,
    /// Threads that count.
    pub threads: usize,
    /// Whether to write nothing.
    pub dry_run: bool,
    /// Databases of places and fingerprints.
    pub enrichers: Arc<Enrichers>,
}

/// Finds captures and takes them in, with a bar; findings are told as they come.
pub async fn take_in(ui: &Ui, captures: &[String], work: Work) -> Result<IngestReport, CommandError> {
    let stop = ui.stop_on_ctrl_c();
    let found = open::find(captures).await;
    let nothing = found.inputs.is_empty();
    let mut errors = found.errors.into_iter();
    // A path that is not there and nothing else to do: not done. A folder without captures is a finding.
    if nothing && let Some(error) = errors.next() {
        if !matches!(error, trapline_intake::OpenError::NoCaptures { .. }) {
            return Err(CommandError::from(error)
                .hint("name a capture, a folder with captures, `-` for standard input, or a URL"));
        }
        ui.finding(&error.to_string());
    }
    errors.for_each(|error| ui.finding(&error.to_string()));
    if !found.ignored.is_empty() {
        let names: Vec<String> = found.ignored.iter().map(|p| p.display().to_string()).collect();
        let files = counted(names.len(), "file is no capture", "files are no captures");
        ui.note(&format!("{files}: {}", list(&names)));
    }
    let bar = ui.progress("reading");
    let request = IngestRequest {
        data: work.data,
        inputs: found.inputs,
        hosts: work.hosts,
        threads: work.threads,
        arguments: output::arguments(),
        dry_run: work.dry_run,
        enrichers: work.enrichers,
    };
    let done = trapline_store::ingest(request, watch(Arc::clone(&bar), stop)).await;
    bar.finish();
    let report = done?;
    report.notes.iter().for_each(|note| ui.note(note));
    report.findings.iter().for_each(|finding| ui.finding(finding));
    Ok(report)
}

fn watch(bar: Arc<Bar>, stop: Arc<AtomicBool>) -> Watch {
    Arc::new(move |stage, progress, total| {
        bar.part(match stage {
            Stage::Survey => "reading",
            Stage::Count => "counting",
        });
        bar.at(progress.bytes, total, progress.packets, true);
        !stop.load(Ordering::Relaxed)
    })
}

fn packets(report: &IngestReport) -> String {
    let counts = &report.counts;
    let mut text = format!(
        "inbound {}, outbound {}",
        thousands(counts.inbound as i64),
        thousands(counts.outbound as i64)
    );
    for (kind, n) in counts.losses() {
        text.push_str(&format!(", {kind} {}", thousands(n as i64)));
    }
    text + "\n"
}

fn hosts(platform: &Platform) -> String {
    let name = |h: &trapline_intake::Host| {
        let addresses: Vec<String> = h.addresses.iter().map(ToString::to_string).collect();
        if addresses == [h.name.clone()] {
            h.name.clone()
        } else {
            format!("{} ({})", h.name, addresses.join(", "))
        }
    };
    let names: Vec<String> = platform.hosts.iter().map(name).collect();
    let how = if platform.inferred { ", inferred" } else { "" };
    format!("platform {}, {}{how}: {}\n", platform.name, counted(names.len(), "host", "hosts"), list(&names))
}

/// At most a screenful of names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 24;
    let text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{text} and {} more", names.len() - SHOWN) } else { text }
}

/// A number with its noun.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n as i64), if n == 1 { one } else { many })
}
