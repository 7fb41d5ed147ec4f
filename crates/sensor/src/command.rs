//! The command line of a sensor; `trapline sensor` is the same.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use trapline_archive::Identity;
use trapline_archive::spool::Limits;
use trapline_line::Address;
use trapline_line::protocol::Token;

use crate::capture::capture;
use crate::keep::keep;
use crate::run::{self, NMAP_DATABASE, Options};
use crate::secrets::signing_key;
use crate::ship::ship;

const HELP: &str = "\
Decoys on a network interface, every packet kept

Usage: trapline-sensor run --interface IF --platform FILE --spool DIR [OPTIONS]
       trapline-sensor enroll [TOKEN] --identity DIR

Speaks as the hosts of a platform file on an interface that has no address of its own, and keeps every frame of both directions with
what the hosts recorded, as sealed segments in DIR. It says `ready` on standard error, ends on SIGTERM after the open segment is
sealed, and reads the platform file again on SIGHUP. It needs root or CAP_NET_RAW and CAP_NET_ADMIN, and gives all of it up before the
first frame. Three processes share the work: one captures, one seals, one ships.

`enroll` turns a one-time token of `trapline vault enroll` into a certificate and a key in the identity's folder. Without TOKEN, or where it
is -, it is read from standard input.

Options:
  --interface IF            the network interface
  --platform FILE           the hosts: docs/sensor.md
  --spool DIR               where segments wait
  --identity DIR            the key that segments are signed with, and the seed that everything which could identify the
                            deployment derives from; made where there are none [default: DIR of the spool with -identity behind]
  --name NAME               the sensor's name [default: the platform's]
  --user NAME               the user that it becomes [default: trapline, or nobody]
  --nmap-database FILE      for personas named nmap:NAME [default: /usr/share/nmap/nmap-os-db]
  --vault URL               ship sealed segments to a vault: https://HOST:PORT (enroll first), an object store (s3://BUCKET/PATH,
                            gs://, az://; its keys from the environment: AWS_ACCESS_KEY_ID, AWS_ENDPOINT, ...), or a folder
                            (another disk, a mounted share)
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
    let told = |done: Result<(), String>| match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::from(2)
        }
    };
    match read(arguments) {
        Ok(Wanted::Text(text)) => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Wanted::Do(role, options)) => {
            let done = match (role, &options.vault) {
                (Role::Run, _) => run::run(&options, own),
                (Role::Capture, _) => capture(&options),
                (Role::Keep, _) => keep(&options),
                (Role::Ship, Some(vault)) => ship(&options, vault),
                (Role::Ship, None) => Err("--vault is missing".into()),
            };
            told(done)
        }
        Ok(Wanted::Enroll { token, identity }) => told(enroll(token, &identity)),
        Err(why) => {
            say(&format!("{why}\ntry --help"));
            ExitCode::from(2)
        }
    }
}

/// Whether these are words that a sensor understands, `run` and what it needs; nothing is looked at.
///
/// # Errors
/// Says which is wrong.
pub fn check(words: &[String]) -> Result<(), String> {
    read(words.iter().map(OsString::from)).map(|_| ())
}

#[derive(Debug)]
enum Wanted {
    Text(String),
    Do(Role, Box<Options>),
    Enroll { token: Option<String>, identity: PathBuf },
}

/// What a process of the sensor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Looks after the others.
    Run,
    Capture,
    Keep,
    Ship,
}

fn enroll(token: Option<String>, identity: &Path) -> Result<(), String> {
    let token = match token.filter(|token| token != "-") {
        Some(token) => token,
        None => {
            /// Bytes that a token never has.
            const MOST: u64 = 1 << 16;
            let mut text = String::new();
            io::stdin().take(MOST).read_to_string(&mut text).map_err(|e| format!("standard input: {e}"))?;
            text
        }
    };
    let token = Token::read(&token).map_err(|e| e.to_string())?;
    let key = Identity { sensor: token.sensor.clone(), key: signing_key(identity)? }.public();
    let (sensor, url) = trapline_line::enroll::enroll(&token, &key, identity).map_err(|e| e.to_string())?;
    let told = format!("enrolled as {sensor}; now: trapline-sensor run --name {sensor} --vault {url} ...\n");
    io::stdout().write_all(told.as_bytes()).map_err(|e| e.to_string())
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Wanted, String> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let words: Vec<OsString> = arguments.into_iter().collect();
    let mut parser = lexopt::Parser::from_args(words.iter().cloned());
    let (mut command, mut token) = (None, None);
    let (mut interface, mut platform, mut spool, mut identity) = (None, None, None, None);
    let (mut name, mut user, mut nmap, mut limits) =
        (None, None, PathBuf::from(NMAP_DATABASE), Limits::default());
    let wrong = |error: lexopt::Error| error.to_string();
    let path = |parser: &mut lexopt::Parser| parser.value().map(PathBuf::from).map_err(wrong);
    let text = |parser: &mut lexopt::Parser| parser.value().and_then(|v| v.string()).map_err(wrong);
    let (mut vault, mut keep_days, mut with_parent) = (None, 7u32, false);
    let mut public = String::new();
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Wanted::Text(HELP.into())),
            Short('V') | Long("version") => {
                return Ok(Wanted::Text(format!("trapline-sensor {}\n", env!("CARGO_PKG_VERSION"))));
            }
            // The process that ships is told so by the one that looks after it.
            Long("public") => public = text(&mut parser)?,
            // For whoever runs a sensor as part of something larger.
            Long("with-parent") => with_parent = true,
            Long("platform") => platform = Some(path(&mut parser)?),
            Long("spool") => spool = Some(path(&mut parser)?),
            Long("identity") => identity = Some(path(&mut parser)?),
            Long("vault") => {
                vault = Some(Address::read(&text(&mut parser)?).map_err(|e| format!("--vault {e}"))?)
            }
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
            Value(value) if command.as_deref() == Some("enroll") && token.is_none() => {
                token = Some(value.string().map_err(wrong)?);
            }
            Value(value) if command.is_none() => command = Some(value.string().map_err(wrong)?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let missing = |what: &str| format!("{what} is missing");
    let beside = |spool: &PathBuf| {
        let mut beside = spool.clone().into_os_string();
        beside.push("-identity");
        PathBuf::from(beside)
    };
    let role = match command.as_deref() {
        Some("run") => Role::Run,
        Some("capture") => Role::Capture,
        Some("keep") => Role::Keep,
        Some("ship") => Role::Ship,
        Some("enroll") => {
            let identity = identity.or(spool.as_ref().map(beside)).ok_or_else(|| missing("--identity"))?;
            return Ok(Wanted::Enroll { token, identity });
        }
        Some(other) => return Err(format!("there is no command {other:?}; there are run and enroll")),
        None => return Err(missing("a command")),
    };
    let spool = spool.ok_or_else(|| missing("--spool"))?;
    let identity = identity.unwrap_or_else(|| beside(&spool));
    let platform = platform.ok_or_else(|| missing("--platform"))?;
    let interface = interface.ok_or_else(|| missing("--interface"))?;
    if keep_days > 36_500 {
        return Err(format!("--keep-days is {keep_days}; it can be up to 36500"));
    }
    let keep_ns = i64::from(keep_days) * 86_400 * 1_000_000_000;
    // Every process is told the same, but for what it is to do.
    let [first, words @ ..] = words.as_slice() else { return Err(missing("a command")) };
    if command.as_deref() != first.to_str() {
        return Err("the command comes first".into());
    }
    let words = words.to_vec();
    let options = Options {
        interface,
        platform,
        spool,
        identity,
        name,
        nmap,
        user,
        vault,
        keep_ns,
        limits,
        with_parent,
        public,
        words,
    };
    Ok(Wanted::Do(role, Box::new(options)))
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
        let Ok(Wanted::Do(Role::Run, options)) = told(whole) else { panic!("{:?}", told(whole)) };
        assert_eq!(options.identity, PathBuf::from("/var/spool/trapline-identity"));
        assert_eq!(options.limits, Limits { segment_ns: 60_000_000_000, ..Limits::default() });
        for (line, why) in [
            ("", "a command is missing"),
            ("walk", "no command \"walk\""),
            ("run --platform p --spool s", "--interface is missing"),
            ("run --interface i --spool s", "--platform is missing"),
            ("run --spool s --segment-mb 0", "--segment-mb is 0"),
            ("run --speed", "--speed"),
            ("run --vault http://vault.example/", "https://HOST:PORT"),
            ("enroll token", "--identity is missing"),
        ] {
            assert!(told(line).unwrap_err().contains(why), "{line}: {:?}", told(line));
        }
        assert!(
            matches!(told("--help"), Ok(Wanted::Text(text)) if text.lines().all(|line| line.len() <= 140))
        );
    }
}
