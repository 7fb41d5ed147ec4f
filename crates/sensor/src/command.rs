//! The command line of a sensor; `trapline sensor` is the same.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use trapline_archive::spool::Limits;

use crate::run::{self, NMAP_DATABASE, Options};

const HELP: &str = "\
Decoys on a network interface, every packet kept

Usage: trapline-sensor run --interface IF --platform FILE --spool DIR [OPTIONS]

Speaks as the hosts of a platform file on an interface that has no address of its own, and keeps every frame of both directions with
what the hosts recorded, as sealed segments in DIR. It says `ready` on standard error, ends on SIGTERM after the open segment is
sealed, and reads the platform file again on SIGHUP. It needs root or CAP_NET_RAW and CAP_NET_ADMIN, and gives all of it up before the
first frame.

Options:
  --interface IF            the network interface
  --platform FILE           the hosts: docs/sensor.md
  --spool DIR               where segments wait
  --identity DIR            the key that segments are signed with, and the seed that everything which could identify the
                            deployment derives from; made where there are none [default: DIR of the spool with -identity behind]
  --name NAME               the sensor's name [default: the platform's]
  --user NAME               the user that it becomes [default: trapline, or nobody]
  --nmap-database FILE      for personas named nmap:NAME [default: /usr/share/nmap/nmap-os-db]
  --vault DIR               ship sealed segments to the vault in DIR (another disk, a mounted share); file:///DIR is the same
  --keep-days N             days that a segment stays in the spool at least, after the vault has it [default: 7]
  --segment-mb N            a capture of that many megabytes is sealed [default: 64]
  --segment-s N             so is one that was begun so many seconds ago [default: 900]
  --spool-mb N              room for all segments, in megabytes [default: 8192]
  -h, --help                this text
  -V, --version             the version
";

/// Runs a sensor as the arguments say; `own` are the words that make this program a sensor, as it has to call itself again.
pub fn main(arguments: impl IntoIterator<Item = OsString>, own: &[&str]) -> ExitCode {
    let say = |text: &str| {
        let _ = writeln!(io::stderr(), "trapline-sensor: {text}");
    };
    match read(arguments) {
        Ok(Wanted::Text(text)) => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Wanted::Run(options)) => match run::run(&options, own) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                say(&why);
                ExitCode::from(2)
            }
        },
        Ok(Wanted::Keep(options)) => match run::keep(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                say(&why);
                ExitCode::from(2)
            }
        },
        Err(why) => {
            say(&format!("{why}\ntry --help"));
            ExitCode::from(2)
        }
    }
}

#[derive(Debug)]
enum Wanted {
    Text(String),
    Run(Options),
    Keep(Options),
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Wanted, String> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut command, mut interface, mut platform, mut spool, mut identity) = (None, None, None, None, None);
    let (mut name, mut user, mut nmap, mut limits) =
        (None, None, PathBuf::from(NMAP_DATABASE), Limits::default());
    let wrong = |error: lexopt::Error| error.to_string();
    let path = |parser: &mut lexopt::Parser| parser.value().map(PathBuf::from).map_err(wrong);
    let text = |parser: &mut lexopt::Parser| parser.value().and_then(|v| v.string()).map_err(wrong);
    let (mut vault, mut keep_days) = (None, 7u32);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Wanted::Text(HELP.into())),
            Short('V') | Long("version") => {
                return Ok(Wanted::Text(format!("trapline-sensor {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Long("platform") => platform = Some(path(&mut parser)?),
            Long("spool") => spool = Some(path(&mut parser)?),
            Long("identity") => identity = Some(path(&mut parser)?),
            Long("vault") => vault = Some(folder_of(&text(&mut parser)?)?),
            Long("keep-days") => keep_days = parser.value().and_then(|v| v.parse()).map_err(wrong)?,
            Long("nmap-database") => nmap = path(&mut parser)?,
            Long("interface") => interface = Some(text(&mut parser)?),
            Long("name") => name = Some(text(&mut parser)?),
            Long("user") => user = Some(text(&mut parser)?),
            Long(option @ ("segment-mb" | "segment-s" | "spool-mb")) => {
                let option = option.to_owned();
                let number: u32 = parser.value().and_then(|v| v.parse()).map_err(wrong)?;
                if number == 0 {
                    return Err(format!("--{option} is 0; it can be 1 or more"));
                }
                match option.as_str() {
                    "segment-mb" => limits.segment_bytes = u64::from(number) << 20,
                    "spool-mb" => limits.spool_bytes = u64::from(number) << 20,
                    _ => limits.segment_ns = i64::from(number) * 1_000_000_000,
                }
            }
            Value(value) if command.is_none() => command = Some(value.string().map_err(wrong)?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let missing = |what: &str| format!("{what} is missing");
    let keeps = match command.as_deref() {
        Some("run") => false,
        Some("keep") => true,
        Some(other) => return Err(format!("there is no command {other:?}; there is run")),
        None => return Err(missing("a command")),
    };
    let spool = spool.ok_or_else(|| missing("--spool"))?;
    let identity = identity.unwrap_or_else(|| {
        let mut beside = spool.clone().into_os_string();
        beside.push("-identity");
        beside.into()
    });
    let platform = platform.ok_or_else(|| missing("--platform"))?;
    let interface = if keeps { String::new() } else { interface.ok_or_else(|| missing("--interface"))? };
    if keep_days > 36_500 {
        return Err(format!("--keep-days is {keep_days}; it can be up to 36500"));
    }
    let keep_ns = i64::from(keep_days) * 86_400 * 1_000_000_000;
    let options = Options { interface, platform, spool, identity, name, nmap, user, vault, keep_ns, limits };
    Ok(if keeps { Wanted::Keep(options) } else { Wanted::Run(options) })
}

/// The folder that a vault's address names.
fn folder_of(vault: &str) -> Result<PathBuf, String> {
    match vault.split_once("://") {
        None => Ok(vault.into()),
        Some(("file", path)) if path.starts_with('/') => Ok(path.into()),
        Some((scheme, _)) => Err(format!("--vault {scheme}://: this version ships to folders, file:///DIR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Result<Wanted, String> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read_and_what_is_wrong_is_named() {
        let whole = "run --interface eth1 --platform p.toml --spool /var/spool/trapline --segment-s 60";
        let Ok(Wanted::Run(options)) = told(whole) else { panic!("{:?}", told(whole)) };
        assert_eq!(options.identity, PathBuf::from("/var/spool/trapline-identity"));
        assert_eq!(options.limits, Limits { segment_ns: 60_000_000_000, ..Limits::default() });
        for (line, why) in [
            ("", "a command is missing"),
            ("walk", "no command \"walk\""),
            ("run --platform p --spool s", "--interface is missing"),
            ("run --interface i --spool s", "--platform is missing"),
            ("run --spool s --segment-mb 0", "--segment-mb is 0"),
            ("run --speed", "--speed"),
            ("run --vault https://vault.example/", "ships to folders"),
        ] {
            assert!(told(line).unwrap_err().contains(why), "{line}: {:?}", told(line));
        }
        assert!(
            matches!(told("--help"), Ok(Wanted::Text(text)) if text.lines().all(|line| line.len() <= 140))
        );
    }
}
