//! The file of `trapline up`: what runs on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trapline_archive::manifest::is_sensor_name;
use trapline_platform::Platform;
use trapline_sensor::run::NMAP_DATABASE;
use trapline_sensor::setup::Setup;

use crate::error::CommandError;

/// A file with everything in it, explained.
pub const EXAMPLE: &str = r#"# What trapline up runs on this machine. Paths are relative to this file; what has a # before it has that value by itself.

#data = "trapline-data"            # folder or URL of the tables

[vault]
#folder = "trapline-vault"         # where segments are kept
#listen = "0.0.0.0:8443"           # take segments of sensors elsewhere; without this line nobody is listened to
#names = ["vault.example"]         # by which they reach this machine; then: trapline vault enroll NAME

[[site]]                           # a sensor whose segments come here; again for more
platform = "platform.toml"         # its hosts: docs/sensor.md
interface = "eth1"                 # the sensor runs on this machine, on this interface; without this line it is elsewhere
#name = "home"                     # the sensor's name; the platform's, where nothing is said
#spool = "trapline-spool/home"     # where its segments wait
#options = ["--segment-s", "300"]  # more of what trapline-sensor run takes

[intake]
#every = "5m"                      # how often new segments are counted, and at the end of each UTC day
#geo = []                          # place databases, fingerprint databases: as of trapline ingest
#fingerprints = []

[report]
#file = "trapline.html"            # the page with every answer
#title = "trapline"

[http]
#listen = "127.0.0.1:9464"         # / is the page, /metrics is for Prometheus, /health for whoever restarts things
"#;

/// Hosts to begin with: the paper's.
pub const PLATFORM: &str = r#"# The decoys of one place: docs/sensor.md. Give them addresses of your own network that nobody has.
[platform]
name = "home"                      # also the sensor's name
#country = "FR"
#claim = "unused"                  # take only addresses that nobody answers for

[[host]]
name = "mach0"
addresses = ["192.0.2.10"]
persona = "windows-98"             # trapline persona list

[[host]]
name = "mach1"
addresses = ["192.0.2.11"]
persona = "windows-nt4-server"

[[host]]
name = "mach2"
addresses = ["192.0.2.12"]
persona = "linux-redhat-7.3"
#fetch = "same-source"             # get by TFTP what attackers command, from themselves only
"#;

/// All of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the tables are.
    pub data: String,
    /// The safe place.
    pub vault: VaultConfig,
    /// Sensors.
    pub site: Vec<Site>,
    /// Counting.
    pub intake: IntakeConfig,
    /// The page.
    pub report: ReportConfig,
    /// What is shown on the network.
    pub http: HttpConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultConfig {
    pub folder: PathBuf,
    pub listen: Option<String>,
    pub names: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub platform: PathBuf,
    pub interface: Option<String>,
    /// Empty until [`Config::read`] has looked into the platform file.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub spool: PathBuf,
    #[serde(default)]
    pub options: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntakeConfig {
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    pub geo: Vec<PathBuf>,
    pub fingerprints: Vec<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    pub file: PathBuf,
    pub title: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    pub listen: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data: crate::arguments::DEFAULT_DATA.into(),
            vault: VaultConfig::default(),
            site: Vec::new(),
            intake: IntakeConfig::default(),
            report: ReportConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

impl Default for VaultConfig {
    fn default() -> Self {
        VaultConfig { folder: "trapline-vault".into(), listen: None, names: vec!["localhost".into()] }
    }
}

impl Default for IntakeConfig {
    fn default() -> Self {
        IntakeConfig { every: Duration::from_secs(300), geo: Vec::new(), fingerprints: Vec::new() }
    }
}

impl Default for ReportConfig {
    fn default() -> Self {
        ReportConfig { file: "trapline.html".into(), title: "trapline".into() }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { listen: "127.0.0.1:9464".into() }
    }
}

/// A length of time: `90s`, `5m`, `1h`.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("{text:?}: write a time as 90s, 5m or 1h"));
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3_600),
        _ => return Err(wrong()),
    };
    if (1..=7 * 86_400).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

impl Config {
    /// Reads a file, and the platform files that it names; this process works in its folder from then on, so that paths in it hold.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(path: &Path) -> Result<Config, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let hint = "trapline up --init writes one to begin with";
            CommandError::new(format!("{}: {e}", path.display())).hint(hint)
        })?;
        let wrong = |why: &str| CommandError::new(format!("{}: {}", path.display(), why.trim_end()));
        let mut config: Config = toml::from_str(&text).map_err(|e| wrong(&e.to_string()))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::env::set_current_dir(folder).map_err(|e| wrong(&e.to_string()))?;
        }
        for at in 0..config.site.len() {
            let site = &mut config.site[at];
            let platform = Platform::read(&site.platform)?;
            if site.name.is_empty() {
                site.name = platform.name;
            }
            let name = site.name.clone();
            if !is_sensor_name(&name) {
                return Err(wrong(&format!(
                    "{name:?} is no name for a sensor: small letters, digits, '-', '_' and '.', at most 64"
                )));
            }
            if site.spool.as_os_str().is_empty() {
                site.spool = Path::new("trapline-spool").join(&name);
            }
            let site = &config.site[at];
            if let Some(interface) = &site.interface {
                let platform = Platform::read(&site.platform)?;
                // What a sensor would say at each start.
                Setup::new(platform, 0, Path::new(NMAP_DATABASE))
                    .map_err(|e| wrong(&format!("{}: {e}", site.platform.display())))?;
                trapline_sensor::command::check(&super::sensor_words(site, interface, &config.vault.folder))
                    .map_err(|e| wrong(&format!("[[site]] {name}: {e}")))?;
                if config.site[..at].iter().any(|other| other.interface.as_ref() == Some(interface)) {
                    return Err(wrong(&format!("two sites have the interface {interface}")));
                }
            }
            if config.site[..at].iter().any(|other| other.name == name) {
                return Err(wrong(&format!("two sites are called {name}")));
            }
        }
        if config.site.is_empty() && config.vault.listen.is_none() {
            return Err(wrong(
                "there is no [[site]], and the vault listens to nobody: nothing would ever come",
            ));
        }
        for file in config
            .intake
            .geo
            .iter()
            .filter(|file| file.as_os_str() != "built-in")
            .chain(&config.intake.fingerprints)
        {
            if !file.is_file() {
                return Err(wrong(&format!("[intake] {}: there is no such file", file.display())));
            }
        }
        let folder = config.report.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(wrong(&format!(
                "[report] {}: there is no such folder",
                config.report.file.display()
            )));
        }
        if config.http.listen.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(wrong(&format!("[http] listen = {:?}: write ADDRESS:PORT", config.http.listen)));
        }
        if config.vault.listen.as_ref() == Some(&config.http.listen) {
            return Err(wrong("[vault] and [http] listen at the same address"));
        }
        if config.vault.names.is_empty() {
            return Err(wrong("[vault] names is empty: how do sensors reach it?"));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_example_says_what_is_so_by_itself() {
        let plain = read(EXAMPLE).unwrap();
        let whole: String = EXAMPLE
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|l| l.contains(" = ")).unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        let whole = read(&whole).unwrap();
        assert_eq!(whole.data, plain.data);
        assert_eq!(whole.vault.folder, plain.vault.folder);
        assert_eq!(whole.intake.every, plain.intake.every);
        assert_eq!((&whole.report.file, &whole.report.title), (&plain.report.file, &plain.report.title));
        assert_eq!(whole.http.listen, plain.http.listen);
        assert_eq!((plain.vault.listen, whole.vault.listen.is_some()), (None, true));
    }

    #[test]
    fn the_platform_to_begin_with_is_one() {
        let platform = Platform::parse(PLATFORM).unwrap();
        assert!(Setup::new(platform, 0, Path::new(NMAP_DATABASE)).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("[intake]\nevery = \"5 minutes\"", "90s, 5m or 1h"),
            ("[intake]\nevery = \"0s\"", "90s, 5m or 1h"),
            ("[intake]\nevery = \"é\"", "90s, 5m or 1h"),
            ("[valut]", "valut"),
            ("[[site]]\ninterface = \"eth1\"", "platform"),
        ] {
            let told = read(text).unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
