//! Arguments that several commands share.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trapline_enrich::place::find;
use trapline_intake::platform::DEFAULT_NAME;
use trapline_intake::{Host, Platform};
use trapline_questions::{Ask, Catalog, Knowledge, Rule};
use trapline_store::ingest::Hosts;
use trapline_store::{Data, Enrichers, Span, convert};

use crate::error::CommandError;
use crate::ui::Ui;

/// More addresses than this is a network, not a platform of decoys.
const MAX_HOSTS: u32 = 65_535;

/// Where the tables are unless somebody says otherwise.
pub const DEFAULT_DATA: &str = "trapline-data";

/// Where the tables are.
#[derive(Args)]
pub struct DataArgs {
    /// Folder or URL of the tables (s3://, gs://, az://, with credentials from the environment)
    #[arg(long, value_name = "DIR|URL", default_value = DEFAULT_DATA, env = "TRAPLINE_DATA")]
    pub data: String,
}

impl DataArgs {
    /// The place of the tables.
    pub fn open(&self) -> Result<Data, CommandError> {
        Ok(Data::at(&self.data)?)
    }
}

/// How many threads work.
#[derive(Args)]
pub struct ThreadArgs {
    /// Threads; as many as there are cores unless said otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

impl ThreadArgs {
    /// Threads to use.
    pub fn count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

/// Which hosts the captures were taken at.
#[derive(Args)]
#[command(next_help_heading = "Hosts (inferred from the captures where none is given)")]
pub struct HostArgs {
    /// Platform file: name, hosts, addresses, open ports and their history
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "hosts", "platform_name"])]
    pub platform: Option<PathBuf>,
    /// A host: --host mach0=192.0.2.10; again for more addresses or hosts
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub host: Vec<String>,
    /// Every address of a network is a host: --hosts 192.0.2.0/28
    #[arg(long, value_name = "NETWORK")]
    pub hosts: Vec<ipnet::IpNet>,
    /// Name of the platform where no file tells it
    #[arg(long, value_name = "NAME")]
    pub platform_name: Option<String>,
}

impl HostArgs {
    /// The hosts as given, or the wish to infer them.
    pub fn hosts(&self) -> Result<Hosts, CommandError> {
        if let Some(file) = &self.platform {
            return Ok(Hosts::Given(Platform::read(file)?));
        }
        let name = self.platform_name.clone().unwrap_or_else(|| DEFAULT_NAME.into());
        if self.host.is_empty() && self.hosts.is_empty() {
            return Ok(Hosts::Inferred(name));
        }
        let mut hosts: Vec<Host> = Vec::new();
        for text in &self.host {
            let (name, address) = host(text)?;
            match hosts.iter_mut().find(|h| h.name == name) {
                Some(host) => host.addresses.push(address),
                None => hosts.push(Host::at(name, vec![address])),
            }
        }
        for network in &self.hosts {
            let bits = u32::from(network.max_prefix_len() - network.prefix_len());
            if bits > 16 {
                let message = format!("--hosts {network}: more than {MAX_HOSTS} addresses");
                return Err(CommandError::new(message)
                    .hint("name the decoys one by one with --host, or in a platform file"));
            }
            hosts.extend(addresses(*network).map(|address| Host::at(address.to_string(), vec![address])));
        }
        Ok(Hosts::Given(Platform::of_hosts(&name, hosts, false)?))
    }
}

/// Every address of a network of at most 16 bits, the first and the last too: in a darknet they are targets like the others.
fn addresses(network: ipnet::IpNet) -> impl Iterator<Item = IpAddr> {
    let last = (1u32 << (network.max_prefix_len() - network.prefix_len())) - 1;
    (0..=last).map(move |i| match network.network() {
        IpAddr::V4(first) => IpAddr::V4((first.to_bits() + i).into()),
        IpAddr::V6(first) => IpAddr::V6((first.to_bits() + u128::from(i)).into()),
    })
}

fn host(text: &str) -> Result<(String, IpAddr), CommandError> {
    let wrong =
        || CommandError::new(format!("--host {text:?}: write NAME=ADDRESS, such as mach0=192.0.2.10"));
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    let address = address.parse().map_err(|_| wrong())?;
    Ok((name.to_owned(), address))
}

/// Which databases give observations their meaning.
#[derive(Args)]
#[command(
    next_help_heading = "Places and systems (every build carries countries and fingerprints of its own)"
)]
pub struct EnrichArgs {
    /// Place database: a MaxMind DB file, or `built-in`; again for more, the first that knows an address wins. Where none is given,
    /// those of `trapline geo update` and geoipupdate, and the built-in one behind them
    #[arg(long, value_name = "FILE", env = "TRAPLINE_GEO", value_delimiter = ':')]
    pub geo: Vec<PathBuf>,
    /// Fingerprint database: p0f 1, 2 or 3, Disco, ettercap, pf.os, Satori; again for more
    #[arg(long, value_name = "FILE", env = "TRAPLINE_FINGERPRINTS", value_delimiter = ':')]
    pub fingerprints: Vec<PathBuf>,
}

/// Where geoipupdate and Debian put place databases.
const PLACE_FOLDERS: [&str; 3] = ["/var/lib/GeoIP", "/usr/share/GeoIP", "/usr/local/share/GeoIP"];

/// Where `trapline geo update` puts them.
pub fn place_folder() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    Some(data.or_else(home)?.join("trapline/places"))
}

impl EnrichArgs {
    /// The databases.
    pub fn open(&self) -> Result<Enrichers, CommandError> {
        let (places, built_in) = if self.geo.is_empty() {
            let folders: Vec<PathBuf> =
                place_folder().into_iter().chain(PLACE_FOLDERS.map(PathBuf::from)).collect();
            (find(&folders), true)
        } else {
            let named = |path: &&PathBuf| path.as_os_str() != "built-in";
            (self.geo.iter().filter(named).cloned().collect(), !self.geo.iter().all(|p| named(&p)))
        };
        Ok(Enrichers::built_in().with_places(&places, built_in)?.with_systems(&self.fingerprints)?)
    }
}

/// The rule on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum RuleArg {
    /// One address on one UTC day: the paper's rule
    #[default]
    Day,
    /// One address until more than 25 h pass between two packets: Leurre.com's rule
    Gap,
}

impl From<RuleArg> for Rule {
    fn from(rule: RuleArg) -> Rule {
        match rule {
            RuleArg::Day => Rule::Day,
            RuleArg::Gap => Rule::Gap,
        }
    }
}

/// What every question takes.
#[derive(Args)]
pub struct QuestionArgs {
    /// What one source is
    #[arg(long, value_enum, default_value_t)]
    pub rule: RuleArg,
    /// First UTC day, such as 2003-08-11
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub from: Option<i32>,
    /// Last UTC day, inclusive
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub to: Option<i32>,
    /// Only sources for which this is true: an SQL predicate over the columns of one source
    #[arg(long, value_name = "SQL")]
    pub r#where: Option<String>,
    /// Folder of your own questions: *.toml, in the form of the built-in ones
    #[arg(long, value_name = "DIR", env = "TRAPLINE_QUESTIONS")]
    pub questions: Option<PathBuf>,
    /// Folder of your own processes: *.toml, in the form of the built-in ones
    #[arg(long, value_name = "DIR", env = "TRAPLINE_PROCESSES")]
    pub processes: Option<PathBuf>,
    /// Folder of your own events: *.toml, in the form of the built-in ones
    #[arg(long, value_name = "DIR", env = "TRAPLINE_EVENTS")]
    pub events: Option<PathBuf>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl QuestionArgs {
    /// What is asked about, for one platform or all.
    pub fn ask(&self, platform: Option<&String>) -> Result<Ask, CommandError> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            let message =
                format!("--from {} is after --to {}", convert::day_text(from), convert::day_text(to));
            return Err(CommandError::new(message));
        }
        Ok(Ask {
            span: Span { from: self.from, to: self.to, platform: platform.cloned() },
            rule: self.rule.into(),
            filter: self.r#where.clone(),
            threads: self.threads.count(),
            knowledge: Some(Knowledge::with(self.processes.as_deref(), self.events.as_deref())?),
        })
    }

    /// All questions: the built-in ones and the user's; a file of theirs that is broken is a finding.
    pub fn catalog(&self, ui: &Ui) -> Result<Catalog, CommandError> {
        let mut catalog = Catalog::built_in();
        if let Some(folder) = &self.questions {
            catalog.add_folder(folder)?.iter().for_each(|broken| ui.finding(&broken.to_string()));
        }
        Ok(catalog)
    }
}

/// A UTC day on the command line.
pub fn day(text: &str) -> Result<i32, String> {
    convert::parse_day(text).ok_or_else(|| "write a day as 2003-08-11".to_owned())
}
