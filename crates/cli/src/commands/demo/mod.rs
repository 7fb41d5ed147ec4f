//! `trapline demo`

mod attack;
mod play;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use trapline_report::escape::shell_word;
use trapline_report::thousands;

use self::play::{Site, site};
use crate::commands::up::{Metrics, show};
use crate::error::CommandError;
use crate::ui::Ui;

/// See it work: decoys, simulated attackers, segments, tables, answers
///
/// The paper's three decoys are switched on and meet its attackers, day after day on a clock that jumps, so that a month takes seconds. What
/// they say to each other is sealed in segments, shipped to a vault, verified, counted and asked about; every command that does so is shown. It needs no
/// root and touches no network. With --attack the attacker is you.
#[derive(Args)]
pub struct DemoArgs {
    /// Days of 2003 to play, from 1 March on
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=306))]
    days: u32,
    /// How many attackers: 1 is as many as the paper saw
    #[arg(long, value_name = "FACTOR", default_value_t = 0.2)]
    scale: f64,
    /// Another seed than the scenario's own
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// A shell beside the decoys, in a network namespace of their own, on the real clock
    #[arg(long, conflicts_with_all = ["days", "scale", "seed", "sites", "keep"])]
    attack: bool,
    /// At how many places the three decoys stand, each with attackers of its own: several sensors, one vault
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=5))]
    sites: usize,
    /// Leave the page on loopback, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Port of the page with --keep
    #[arg(long, value_name = "N", default_value_t = 9464, requires = "keep")]
    port: u16,
    /// Folder for what is made; it must not exist yet, or be of an earlier demo
    #[arg(short, long, value_name = "DIR", default_value = "trapline-demo")]
    output: PathBuf,
}

/// Where decoys stand: the paper's place, and others.
const SITES: [&str; 5] = ["eurecom", "lima", "osaka", "perth", "tunis"];
/// What tells a folder of ours.
const MARK: &str = ".trapline-demo";

/// Plays; `run` runs another command of the program.
pub fn demo(
    ui: &Ui,
    args: &DemoArgs,
    run: impl Fn(&[&str]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    if let Some(folder) = std::env::var_os(attack::INSIDE).filter(|_| args.attack) {
        return attack::inside(ui, Path::new(&folder));
    }
    let folder = &args.output;
    if folder.exists() {
        if !folder.join(MARK).exists() {
            let what = format!("{} exists and is no folder of a demo", folder.display());
            return Err(CommandError::new(what).hint("name another one: -o DIR"));
        }
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::write(folder.join(MARK), "").map_err(failed(folder))?;
    if args.attack {
        attack::outside(folder)?;
        let site = Site { name: SITES[0].into(), platform: folder.join("platform.toml"), places: None };
        return ask(
            ui,
            folder,
            "spool",
            &[site],
            "What was left on three decoys",
            &["overview", "sequences", "logins", "tools"],
            run,
        );
    }

    let mut sites = Vec::new();
    let (mut attackers, mut decoys, mut segments, mut hosts) = (0, 0, 0, 0);
    for name in SITES.iter().take(args.sites) {
        let (site, played) = site(ui, folder, name, sites.len() as u64, args)?;
        attackers += played.attackers;
        decoys += played.decoys;
        segments += played.segments;
        hosts += played.hosts;
        sites.push(site);
    }
    ui.print(&format!(
        "{} frames of attackers, {} of decoys: {} days on {} hosts, in {} segments, shipped to {}\n",
        thousands(attackers as i64),
        thousands(decoys as i64),
        args.days,
        hosts,
        segments,
        folder.join("vault").display(),
    ))?;
    let title = format!(
        "{} days on {} decoys",
        args.days,
        if hosts == 3 { "three".into() } else { hosts.to_string() }
    );
    let questions: &[&str] = match args.sites {
        1 => &["overview", "sequences", "logins"],
        _ => &["overview", "platforms", "sequences"],
    };
    ask(ui, folder, "vault", &sites, &title, questions, run)?;
    if args.keep {
        return crate::in_runtime(2, keep(ui, args, folder));
    }
    Ok(())
}

/// Leaves the page on loopback.
async fn keep(ui: &Ui, args: &DemoArgs, folder: &Path) -> Result<(), CommandError> {
    let page = PathBuf::from(format!("{}.html", folder.display()));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", args.port)).await.map_err(|e| {
        CommandError::new(format!("127.0.0.1:{}: {e}", args.port)).hint("name another port: --port N")
    })?;
    let address = listener.local_addr()?;
    let metrics = Metrics::new(Vec::new(), folder.join("vault"));
    tokio::spawn(show(listener, Arc::new(metrics), page));
    ui.print(&format!(
        "The page is at http://{address}/ and metrics at http://{address}/metrics until Ctrl-C.\n"
    ))?;
    crate::ui::told_to_end(false).await
}

/// Verifies and counts what is in an archive, and asks these questions; every command is shown.
fn ask(
    ui: &Ui,
    folder: &Path,
    archive: &str,
    sites: &[Site],
    title: &str,
    questions: &[&str],
    run: impl Fn(&[&str]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (archive, data, page) = (path(archive), path("data"), format!("{}.html", folder.display()));
    let mut commands = vec![vec!["verify".to_owned(), archive.clone()]];
    for site in sites {
        let own = format!("{archive}/{}", site.name);
        let (segments, platform) =
            (if sites.len() > 1 { own } else { archive.clone() }, site.platform.display().to_string());
        let mut words =
            vec!["ingest".to_owned(), segments, "--platform".into(), platform, "--data".into(), data.clone()];
        words
            .extend(site.places.iter().flat_map(|places| ["--geo".to_owned(), places.display().to_string()]));
        commands.push(words);
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    commands.extend(questions.iter().map(|question| words(&["ask", question, "--data", &data])));
    commands.push(words(&["report", "--data", &data, "--title", title, "-o", &page]));
    for words in commands {
        let shown: Vec<String> = words.iter().map(|word| shell_word(word).to_string()).collect();
        ui.print(&format!("\n$ trapline {}\n", shown.join(" ")))?;
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    ui.print(&format!(
        "\nOpen {page} in a browser. Segments are in {archive}, tables in {data}: ask them more: trapline ask --data {data}\n"
    ))
}

/// An error of this file or folder.
fn failed(path: &Path) -> impl Fn(std::io::Error) -> CommandError + use<> {
    let path = path.display().to_string();
    move |e| CommandError::new(format!("{path}: {e}"))
}
