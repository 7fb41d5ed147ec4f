//! `trapline up`: one process that looks after others. Sensors, the vault's server, intake and the page are this same program, started
//! again with other words, so that none can take another with it.

mod config;
mod http;
mod intake;
mod metrics;
mod service;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub use self::config::PLATFORM;
use self::config::{Config, EXAMPLE};
pub use self::http::show;
use self::intake::Intake;
pub use self::metrics::Metrics;
use self::metrics::{Here, Live};
pub use self::service::NO_CAPABILITIES;
use self::service::Service;
use crate::error::CommandError;
use crate::ui::Ui;

/// All of it on this machine: sensors, vault, intake, and the page with every answer
///
/// Runs what the file says until Ctrl-C or SIGTERM; SIGHUP lets sensors read their platform files again. Whatever ends is started again;
/// stopping, starting, upgrading and pulling the plug lose nothing that was sealed.
#[derive(Args)]
pub struct UpArgs {
    /// What is to run: trapline up --example explains it
    #[arg(long, value_name = "FILE", default_value = "trapline.toml", env = "TRAPLINE_CONFIG")]
    config: PathBuf,
    /// Print a file to begin with
    #[arg(long)]
    example: bool,
    /// Write two files to begin with, that one and the hosts of a platform, where there are none, and run nothing
    #[arg(long, conflicts_with_all = ["example", "check"])]
    init: bool,
    /// Read the file, say whether it is right, and run nothing
    #[arg(long, conflicts_with = "example")]
    check: bool,
}

/// How often it is looked whether everything runs.
const TICK: Duration = Duration::from_millis(200);

/// Runs.
pub fn up(ui: &Ui, args: &UpArgs) -> Result<(), CommandError> {
    if args.example {
        return ui.print(EXAMPLE);
    }
    if args.init {
        return init(ui, &args.config);
    }
    let config = Config::read(&args.config)?;
    if args.check {
        return ui.print(&format!("{} is right\n", args.config.display()));
    }
    crate::in_runtime(2, run(ui, &config))
}

/// Writes files to begin with; none that is there is touched.
fn init(ui: &Ui, path: &Path) -> Result<(), CommandError> {
    for (path, text) in [(path.to_owned(), EXAMPLE), (path.with_file_name("platform.toml"), PLATFORM)] {
        let failed = |e: std::io::Error| CommandError::new(format!("{}: {e}", path.display()));
        let mut file = std::fs::File::options().write(true).create_new(true).open(&path).map_err(failed)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        ui.print(&format!("{}\n", path.display()))?;
    }
    ui.print("Now: the interface in the first, the hosts' addresses in the second; trapline up --check; trapline up\n")
}

async fn run(ui: &Ui, config: &Config) -> Result<(), CommandError> {
    let failed = |path: &Path, e: std::io::Error| CommandError::new(format!("{}: {e}", path.display()));
    std::fs::create_dir_all(&config.vault.folder).map_err(|e| failed(&config.vault.folder, e))?;
    let listen = &config.http.listen;
    let listener = TcpListener::bind(listen).await.map_err(|e| {
        CommandError::new(format!("{listen}: {e}")).hint("[http] listen in the file names another address")
    })?;
    let address = listener.local_addr()?;
    let mut services = services(config);
    let here = |site: &config::Site| Here { sensor: site.name.clone(), spool: site.spool.clone() };
    let local = config.site.iter().filter(|site| site.interface.is_some()).map(here).collect();
    let metrics = Arc::new(Metrics::new(local, config.vault.folder.clone()));
    tokio::spawn(show(listener, Arc::clone(&metrics), config.report.file.clone()));
    let (live, over) = (Arc::clone(&metrics.live), Arc::new(AtomicBool::new(false)));
    let counting = {
        let (config, live, over) = (config.clone(), Arc::clone(&live), Arc::clone(&over));
        std::thread::spawn(move || count(&config, &live, &over))
    };
    ui.note(&format!(
        "up: the page is at http://{address}/, metrics at http://{address}/metrics; Ctrl-C ends it"
    ));

    let mut hup = signal(SignalKind::hangup())?;
    let end = crate::ui::told_to_end(false);
    tokio::pin!(end);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = &mut end => break,
            _ = hup.recv() => {
                services.iter().filter(|service| is_sensor(service)).for_each(|service| service.signal(libc::SIGHUP));
            }
            _ = tick.tick() => {
                services.iter_mut().filter_map(Service::look).for_each(|told| ui.note(&told));
                let processes = services.iter().map(|s| (s.name.clone(), s.restarts, s.runs())).collect();
                live.lock().unwrap_or_else(PoisonError::into_inner).processes = processes;
            }
        }
    }
    ui.note("ending: what is open is sealed and shipped");
    // Sensors first: the vault takes what they seal.
    services.iter_mut().filter(|service| is_sensor(service)).for_each(Service::tell_to_end);
    over.store(true, Ordering::Relaxed);
    for service in services.iter_mut().filter(|service| is_sensor(service)) {
        service.wait();
    }
    for service in &mut services {
        service.tell_to_end();
        service.wait();
    }
    let _ = counting.join();
    Ok(())
}

fn is_sensor(service: &Service) -> bool {
    service.name.starts_with("sensor ")
}

/// Counts what comes into the vault until all of it is over, in a thread of its own: a share that hangs holds nobody else up.
fn count(config: &Config, live: &Mutex<Live>, over: &AtomicBool) {
    let ui = Ui::new();
    let mut intake = Intake::new(config);
    while !over.load(Ordering::Relaxed) {
        intake.look(config).iter().for_each(|told| ui.note(told));
        live.lock().unwrap_or_else(PoisonError::into_inner).intake = intake.progress.clone();
        std::thread::sleep(TICK);
    }
    intake.stop();
}

/// What a sensor on this machine is told.
fn sensor_words(site: &config::Site, interface: &str, vault: &Path) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let vault = std::path::absolute(vault).unwrap_or_else(|_| vault.to_owned());
    let mut words: Vec<String> = ["run", "--with-parent", "--interface", interface].map(str::to_owned).into();
    words.extend(["--platform".into(), text(&site.platform), "--spool".into(), text(&site.spool)]);
    words.extend(["--name".into(), site.name.clone(), "--vault".into(), text(&vault)]);
    words.extend(site.options.iter().cloned());
    words
}

/// Sensors, and behind them the vault's server.
fn services(config: &Config) -> Vec<Service> {
    let text = |path: &Path| path.display().to_string();
    let mut services = Vec::new();
    for site in &config.site {
        let Some(interface) = &site.interface else { continue };
        let words = ["sensor".to_owned()]
            .into_iter()
            .chain(sensor_words(site, interface, &config.vault.folder))
            .collect();
        services.push(Service::new(format!("sensor {}", site.name), words));
    }
    if let Some(listen) = &config.vault.listen {
        let mut words: Vec<String> =
            ["vault", "serve", "--with-parent", "--listen", listen, "--vault"].map(str::to_owned).into();
        words.push(text(&config.vault.folder));
        words.extend(config.vault.names.iter().flat_map(|name| ["--name".to_owned(), name.clone()]));
        services.push(Service::new("vault".into(), words));
    }
    services
}
