//! `trapline vault`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use trapline_archive::vault::Quota;
use trapline_archive::{Disk, Folder};
use trapline_line::protocol::Token;
use trapline_report::escape::printable;
use trapline_report::thousands;
use trapline_vault::register::{Entries, now_s};
use trapline_vault::{Register, RegisterError, serve};

use crate::commands::status::span;
use crate::error::CommandError;
use crate::ui::Ui;

/// The safe place that sensors' segments go to: a server that takes them and gives nothing back
///
/// `serve` takes segments over HTTPS, each sensor with a certificate of its own: a sensor adds its next segment and asks how far it got;
/// it reads, replaces and deletes nothing. `enroll` lets a sensor in, `revoke` shuts it out.
#[derive(Args)]
pub struct VaultArgs {
    #[command(subcommand)]
    command: VaultCommand,
}

#[derive(Subcommand)]
enum VaultCommand {
    Serve(ServeArgs),
    Enroll(EnrollArgs),
    Revoke(RevokeArgs),
    List(ListArgs),
}

/// Where the vault is
#[derive(Args)]
struct Place {
    /// Folder of the vault
    #[arg(long, value_name = "DIR", default_value = "trapline-vault", env = "TRAPLINE_VAULT")]
    vault: PathBuf,
    /// Folder of its authority and of who is enrolled [default: the vault's with -identity behind]
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
}

impl Place {
    fn identity(&self) -> PathBuf {
        self.identity.clone().unwrap_or_else(|| identity_of(&self.vault))
    }

    fn register(&self) -> Result<Register, CommandError> {
        Ok(Register::open(&self.identity())?)
    }

    /// The register of a vault that there is already.
    fn existing(&self) -> Result<Register, CommandError> {
        if self.identity().is_dir() {
            return self.register();
        }
        let what = format!("{}: nobody was ever enrolled there", self.identity().display());
        Err(CommandError::new(what).hint("name the vault's folder with --vault DIR"))
    }
}

/// Where a vault's register is, unless somebody says otherwise.
pub fn identity_of(vault: &Path) -> PathBuf {
    let mut beside = vault.as_os_str().to_owned();
    beside.push("-identity");
    beside.into()
}

/// Take segments over HTTPS
///
/// Until Ctrl-C or SIGTERM; a segment that is on its way goes on from where it stopped when the server is there again.
#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    place: Place,
    /// Address and port to listen at
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: String,
    /// Name or address by which sensors reach it; again for more. The first one stands in tokens
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    name: Vec<String>,
    /// End when standard input does
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Let a sensor in: print a one-time token for it
///
/// On the sensor: trapline-sensor enroll TOKEN. The token names the server and its authority, is valid once, and carries no key.
#[derive(Args)]
struct EnrollArgs {
    /// The sensor's name: small letters, digits, '-', '_' and '.'
    #[arg(value_name = "NAME")]
    sensor: String,
    #[command(flatten)]
    place: Place,
    /// Where the sensor finds the server [default: as the server said when it was started last]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Hours that the token is valid
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// Gigabytes that the sensor may leave
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    quota_gb: u64,
}

/// Shut a sensor out, from its next request on; what it left stays
#[derive(Args)]
struct RevokeArgs {
    /// The sensor's name
    #[arg(value_name = "NAME")]
    sensor: String,
    #[command(flatten)]
    place: Place,
}

/// Who is enrolled, and how far each one got
#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
}

impl From<RegisterError> for CommandError {
    fn from(error: RegisterError) -> Self {
        CommandError::new(error.to_string())
    }
}

/// Does it.
pub fn vault(ui: &Ui, args: &VaultArgs) -> Result<(), CommandError> {
    match &args.command {
        VaultCommand::Serve(args) => crate::in_runtime(2, serve_until_told(ui, args)),
        VaultCommand::Enroll(args) => enroll(ui, args),
        VaultCommand::Revoke(args) => {
            args.place.existing()?.revoke(&args.sensor)?;
            ui.print(&format!("{} is shut out\n", args.sensor))
        }
        VaultCommand::List(args) => list(ui, args),
    }
}

async fn serve_until_told(ui: &Ui, args: &ServeArgs) -> Result<(), CommandError> {
    for name in &args.name {
        let host =
            if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name.clone() };
        let address = trapline_line::Address::read(&format!("https://{host}"));
        if !matches!(&address, Ok(trapline_line::Address::Server(url)) if url.host_str().is_some_and(|read| read == host.to_lowercase()))
        {
            let what = format!("--name {name:?} is no name of a host and no address");
            return Err(CommandError::new(what)
                .hint("such as vault.example or 192.0.2.7: where sensors reach this machine"));
        }
    }
    crate::ui::log_by_default("trapline_vault=info");
    let failed = |e: &dyn std::fmt::Display| CommandError::new(e.to_string());
    let identity = args.place.identity();
    let serving =
        serve(&args.place.vault, &identity, &args.listen, &args.name).await.map_err(|e| failed(&e))?;
    ui.note(&format!("ready: the vault in {} listens at {}", args.place.vault.display(), serving.address));
    crate::ui::told_to_end(args.with_parent).await?;
    serving.stop().await;
    Ok(())
}

fn enroll(ui: &Ui, args: &EnrollArgs) -> Result<(), CommandError> {
    let register = args.place.register()?;
    let url = args.url.clone().or_else(|| register.address()).ok_or_else(|| {
        CommandError::new("where the sensor finds the server is not known").hint(
            "start the server once, trapline vault serve --name HOST, or say it: --url https://HOST:PORT",
        )
    })?;
    match trapline_line::Address::read(&url) {
        Ok(trapline_line::Address::Server(_)) => {}
        Ok(_) => return Err(CommandError::new(format!("--url {url}: a server's is https://HOST:PORT"))),
        Err(error) => return Err(CommandError::new(format!("--url {error}"))),
    }
    let quota = Quota { bytes: args.quota_gb << 30, ..Quota::default() };
    let key = trapline_archive::seal::head(&Folder::at(&args.place.vault)?, &args.sensor);
    let key = key.map_err(|e| CommandError::new(e.to_string()))?.map(|manifest| manifest.key);
    let token: Token =
        register.invite(&args.sensor, url.trim_end_matches('/'), args.hours * 3_600, quota, key)?;
    ui.note(&format!(
        "For {} at {url}, valid once within {} h. On the sensor: trapline-sensor enroll TOKEN --identity DIR",
        args.sensor, args.hours
    ));
    ui.print(&format!("{}\n", token.text()))
}

fn list(ui: &Ui, args: &ListArgs) -> Result<(), CommandError> {
    let Entries { mut sensors, tokens } = args.place.existing()?.entries()?;
    if sensors.is_empty() && tokens.is_empty() {
        ui.note("Nobody is enrolled; trapline vault enroll NAME lets a sensor in");
        return Ok(());
    }
    // Of one that was enrolled several times the last counts.
    let all = sensors.clone();
    let mut place = 0;
    sensors.retain(|sensor| {
        place += 1;
        all[place..].iter().all(|later| later.sensor != sensor.sensor)
    });
    let folder = Folder::at(&args.place.vault)
        .map_err(|e| CommandError::new(format!("{}: {e}", args.place.vault.display())))?;
    let mut out = String::from(
        "sensor            state        since        segments           bytes       of GB  key\n",
    );
    for sensor in &sensors {
        let files = folder.list_in(&sensor.sensor).unwrap_or_default();
        let last = files.iter().filter(|(name, _)| name.ends_with(".json")).count();
        let bytes: u64 = files.iter().map(|(_, length)| length).sum();
        let (state, at) = match sensor.revoked_s {
            Some(at) => ("revoked", at),
            None => ("enrolled", sensor.enrolled_s),
        };
        out.push_str(&format!(
            "{:<16}  {state:<11}  {:<11}  {:>8}  {:>14}  {:>10}  {}\n",
            printable(&sensor.sensor),
            format!("{} ago", span(now_s().saturating_sub(at) as i64)),
            thousands(last as i64),
            thousands(bytes as i64),
            thousands((sensor.quota_bytes >> 30) as i64),
            sensor.key,
        ));
    }
    for token in tokens.iter().filter(|token| token.until_s > now_s()) {
        out.push_str(&format!(
            "{:<16}  invited      for {:<7}\n",
            printable(&token.sensor),
            span(token.until_s.saturating_sub(now_s()) as i64)
        ));
    }
    ui.print(&out)
}
