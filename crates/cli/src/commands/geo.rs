//! `trapline geo`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use trapline_enrich::place::update::{Options, Source, Step, Updated, update};
use trapline_report::thousands;

use crate::arguments::{EnrichArgs, place_folder};
use crate::error::CommandError;
use crate::ui::Ui;

/// Place databases: which there are, and fetching them
///
/// Every build carries the countries of all addresses. Whoever has GeoLite2 or another MaxMind DB file names it with --geo, or
/// puts it where geoipupdate does.
#[derive(Args)]
pub struct GeoArgs {
    #[command(subcommand)]
    command: GeoCommand,
}

#[derive(Subcommand)]
enum GeoCommand {
    /// The databases that an ingest uses now, the strongest first, with dates and what their licences ask for
    List {
        #[command(flatten)]
        enrich: EnrichArgs,
    },
    /// Fetch newer databases through the npm client
    ///
    /// Old days keep the places that they have; `trapline enrich` gives them new ones.
    Update {
        /// What to fetch
        #[arg(value_enum, default_values = ["countries", "cities"])]
        what: Vec<What>,
        /// Folder of the databases
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// The npm client
        #[arg(long, value_name = "PROGRAM", default_value = "npm")]
        npm: PathBuf,
        /// Longest time for one database, in minutes
        #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
        time_limit: u64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Countries, from the registries; 8 MB
    Countries,
    /// Regions, cities and coordinates, from DB-IP; 134 MB
    Cities,
    /// Numbers and names of networks; 2 MB
    Networks,
}

impl From<What> for Source {
    fn from(what: What) -> Source {
        match what {
            What::Countries => Source::Countries,
            What::Cities => Source::Cities,
            What::Networks => Source::Networks,
        }
    }
}

/// Lists or fetches.
pub fn geo(ui: &Ui, args: &GeoArgs) -> Result<(), CommandError> {
    match &args.command {
        GeoCommand::List { enrich } => list(ui, enrich),
        GeoCommand::Update { what, folder, npm, time_limit } => {
            let folder = match folder.clone().or_else(place_folder) {
                Some(folder) => folder,
                None => {
                    return Err(CommandError::new("no home directory to put databases into")
                        .hint("name a folder with --folder"));
                }
            };
            let options = Options { npm: npm.clone(), time_limit: Duration::from_secs(time_limit * 60) };
            for what in what {
                fetch(ui, (*what).into(), &folder, &options)?;
            }
            Ok(())
        }
    }
}

fn list(ui: &Ui, enrich: &EnrichArgs) -> Result<(), CommandError> {
    let enrichers = enrich.open()?;
    let mut out = String::new();
    for (name, database) in enrichers.places.iter() {
        let files: Vec<String> = database.paths().iter().map(|p| p.display().to_string()).collect();
        out.push_str(&format!("{name}  {}  {}\n", database.built_day(), files.join(", ")));
        if let Some(attribution) = database.attribution() {
            out.push_str(&format!("    {attribution}\n"));
        }
    }
    ui.print(&trapline_report::escape::printable_lines(&out))
}

fn fetch(ui: &Ui, source: Source, folder: &std::path::Path, options: &Options) -> Result<(), CommandError> {
    let bar = ui.progress("fetching");
    let done = update(source, folder, options, &mut |step| match step {
        Step::Fetching { waited } => bar.at(waited.as_secs(), options.time_limit.as_secs(), 0, false),
        _ => bar.part("checking"),
    });
    bar.finish();
    let Updated { name, version, files, .. } =
        done.map_err(|e| CommandError::new(e.to_string()).hint("what was there before is still there"))?;
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    ui.print(&format!(
        "{name} {version}, {} bytes, in {}\n    {}\n",
        thousands(bytes as i64),
        folder.display(),
        source.attribution()
    ))
}
