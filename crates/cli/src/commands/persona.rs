//! `trapline persona`

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Host, Persona, Port, Ports, Wiring, honeyd, nmap, text};
use trapline_sensor::believed;
use trapline_sensor::bench::{Trouble, on_a_bench};

use crate::error::CommandError;
use crate::ui::Ui;

/// Which systems decoys can be, and what scanners believe of them
#[derive(Args)]
pub struct PersonaArgs {
    #[command(subcommand)]
    command: PersonaCommand,
}

#[derive(Subcommand)]
enum PersonaCommand {
    /// The built-in personas; with --nmap, those of nmap's database
    List {
        /// Names of nmap's database with this in them
        #[arg(long, value_name = "WORD")]
        nmap: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// A persona's text: the beginning of your own
    Show {
        /// A built-in persona
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// The services that a port can have
    Services,
    /// Turn a honeyd.conf into hosts of a platform file
    ///
    /// Prints the hosts; every line that could not be carried over is named, with why, on standard error.
    Import {
        /// The configuration
        #[arg(value_name = "HONEYD.CONF")]
        file: PathBuf,
    },
    /// Let nmap, p0f and arp-fingerprint look at a persona, and print what they believe
    ///
    /// A decoy with the persona's own ports stands in a network namespace of its own, which ends with the command; nothing reaches
    /// any other network. It needs root. Programs that are not installed are left out, and said so.
    Check {
        /// A built-in persona, `nmap:FINGERPRINT`, or a persona's file
        #[arg(value_name = "NAME")]
        name: String,
        /// From which everything random derives
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        seed: u64,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Args)]
struct Database {
    /// nmap's fingerprints; they are read where they are installed and never part of this program
    #[arg(long, env = "TRAPLINE_NMAP_DB", default_value = "/usr/share/nmap/nmap-os-db", value_name = "FILE")]
    nmap_db: PathBuf,
}

impl Database {
    fn read(&self) -> Result<Vec<nmap::Fingerprint>, CommandError> {
        let place = self.nmap_db.display();
        let bytes = std::fs::read(&self.nmap_db).map_err(|e| {
            CommandError::new(format!("{place}: {e}; install nmap, or name its database with --nmap-db"))
        })?;
        nmap::read(&String::from_utf8_lossy(&bytes)).map_err(|e| CommandError::new(format!("{place}: {e}")))
    }

    /// A built-in persona, one of nmap's, or one in a file.
    fn persona(&self, name: &str) -> Result<Persona, CommandError> {
        if let Some(wanted) = name.strip_prefix("nmap:") {
            let all = self.read()?;
            let found = all.iter().find(|f| f.name == wanted);
            let near = || {
                let word = wanted.split(' ').next().unwrap_or(wanted);
                format!(
                    "nmap's database has no fingerprint {wanted:?}; see trapline persona list --nmap {word:?}"
                )
            };
            return found.map(nmap::Fingerprint::persona).ok_or_else(|| CommandError::new(near()));
        }
        let built_in =
            text::BUILT_IN.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        let text = match built_in {
            Some(text) => text,
            None => std::fs::read_to_string(name).map_err(|e| {
                CommandError::new(format!(
                    "{name}: {e}; the built-in personas are listed by trapline persona list"
                ))
            })?,
        };
        text::read(&text).map_err(|e| CommandError::new(format!("{name}: {e}")))
    }
}

/// Lists, shows and checks.
pub fn persona(ui: &Ui, args: &PersonaArgs) -> Result<(), CommandError> {
    match &args.command {
        PersonaCommand::List { nmap: None, .. } => {
            let line = |(name, text): &(&str, &str)| format!("{name:20}  {}\n", text::summary(text));
            ui.print(&text::BUILT_IN.iter().map(line).collect::<String>())
        }
        PersonaCommand::List { nmap: Some(word), database } => {
            let word = word.to_lowercase();
            let mut names: Vec<String> = database.read()?.into_iter().map(|f| f.name).collect();
            names.retain(|name| name.to_lowercase().contains(&word));
            names.dedup();
            ui.print(&names.iter().map(|name| format!("nmap:{name}\n")).collect::<String>())
        }
        PersonaCommand::Show { name } => match text::BUILT_IN.iter().find(|(other, _)| other == name) {
            Some((_, text)) => ui.print(text),
            None => {
                Err(CommandError::new(format!("no built-in persona {name:?}; see trapline persona list")))
            }
        },
        PersonaCommand::Services => {
            ui.print(&Kind::names().iter().map(|name| format!("{name}\n")).collect::<String>())
        }
        PersonaCommand::Import { file } => import(ui, file),
        PersonaCommand::Check { name, seed, database } => check(ui, database.persona(name)?, *seed),
    }
}

fn import(ui: &Ui, file: &Path) -> Result<(), CommandError> {
    let text = std::fs::read(file).map_err(|e| CommandError::new(format!("{}: {e}", file.display())))?;
    let imported = honeyd::read(&String::from_utf8_lossy(&text));
    if imported.hosts.is_empty() {
        return Err(CommandError::new(format!("{}: no host is bound to an address in it", file.display())));
    }
    let mut out = String::from("[platform]\nname = \"honeyd\"\n");
    for host in &imported.hosts {
        out.push_str(&entry(host));
    }
    ui.print(&out)?;
    for host in &imported.hosts {
        for (port, does) in host.tcp.iter().chain(&host.udp) {
            if *does == "silent" && host.default_tcp != Some("silent") {
                ui.finding(&format!(
                    "{}, port {port} is blocked: a platform file has no single silent ports",
                    host.address
                ));
            }
        }
    }
    for (number, line, why) in &imported.left_out {
        ui.finding(&format!("line {number}, {line:?}: {why}"));
    }
    Ok(())
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);

/// A host as a platform file has it.
fn entry(host: &honeyd::HoneydHost) -> String {
    let quoted = |text: &str| format!("{text:?}");
    // Templates are bound more than once; names are not.
    let name = format!("{}-{}", host.template, host.address);
    let mut out = format!("\n[[host]]\nname = {}\naddresses = [\"{}\"]\n", quoted(&name), host.address);
    if let Some(personality) = &host.personality {
        out.push_str(&format!("persona = {}\n", quoted(&format!("nmap:{personality}"))));
    }
    if let Some(mac) = host.mac {
        let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        out.push_str(&format!("mac = \"{}\"\n", mac.join(":")));
    }
    let ports = |protocol: &'static str, ports: &std::collections::BTreeMap<u16, &'static str>| {
        let open = ports.iter().filter(|(_, does)| !matches!(**does, "closed" | "silent"));
        open.map(|(port, does)| (format!("\"{port}/{protocol}\""), *does)).collect::<Vec<_>>()
    };
    let open = [ports("tcp", &host.tcp), ports("udp", &host.udp)].concat();
    let list = |items: Vec<String>| items.join(", ");
    out.push_str(&format!("open = [{}]\n", list(open.iter().map(|(port, _)| port.clone()).collect())));
    if !open.is_empty() {
        let services = open.iter().map(|(port, does)| format!("{port} = {}", quoted(does)));
        out.push_str(&format!("services = {{ {} }}\n", list(services.collect())));
    }
    // What stands for TCP is what a scanner sees first.
    if let Some(others) = host.default_tcp.or(host.default_udp).filter(|does| *does != "closed") {
        out.push_str(&format!("others = \"{others}\"\n"));
    }
    out
}

fn check(ui: &Ui, persona: Persona, seed: u64) -> Result<(), CommandError> {
    let ports = if persona.ports.tcp.is_empty() {
        // Every scanner needs a port that answers.
        Arc::new(Ports { tcp: [(80, Port::Record)].into(), ..Ports::default() })
    } else {
        Arc::clone(&persona.ports)
    };
    let open: Vec<u16> = ports.tcp.keys().copied().collect();
    let closed = (1..).filter(|port| !open.contains(port)).take(2);
    let scanned: Vec<String> = open.iter().copied().chain(closed).map(|port| port.to_string()).collect();
    let name = persona.name.clone();
    let wiring = Wiring {
        mac: persona.mac(seed),
        addresses: vec![ADDRESS.into()],
        prefix: 16,
        ports,
        fetch: false,
        seed,
    };
    let decoys = Decoys::new(vec![Host::new(Arc::new(persona), wiring)], seed);
    ui.note(&format!(
        "{name} is being looked at in a network namespace of its own; that takes a minute or two"
    ));
    let told = on_a_bench(Trouble::default(), |bench| {
        bench.put(decoys);
        let scanned = scanned.join(",");
        let first = open.first().copied().unwrap_or(80);
        let nmap = believed::nmap(&["-O", "-sV", "--max-os-tries", "1", "-p", &scanned], &[ADDRESS]);
        (nmap, believed::p0f(ADDRESS, first), believed::arp_fingerprint(ADDRESS))
    });
    let (nmap, p0f, arp) =
        told.map_err(|why| CommandError::new(format!("{why}; `trapline persona check` needs root")))?;
    let mut out = format!("{name}\n");
    let mut line = |program: &str, text: &str| out.push_str(&format!("  {program:16}  {text}\n"));
    match nmap {
        Err(why) => ui.finding(&why),
        Ok(mut seen) => {
            let believed = seen.remove(&ADDRESS).unwrap_or_default();
            if believed.systems.is_empty() {
                line("nmap -O", "names no system");
            }
            for (system, accuracy) in believed.systems.iter().take(3) {
                line("nmap -O", &format!("{system} ({accuracy} %)"));
            }
            for (port, service) in &believed.services {
                line(&format!("nmap -sV {port}"), service);
            }
        }
    }
    match p0f {
        Err(why) => ui.finding(&why),
        Ok((system, seen)) => line("p0f", &format!("{system}  {seen}")),
    }
    match arp {
        Err(why) => ui.finding(&why),
        Ok((pattern, systems)) => line("arp-fingerprint", &format!("{pattern}  {systems}")),
    }
    ui.print(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_imported_is_a_platform_file() {
        let imported = honeyd::read(
            "create web\nset web personality \"Linux 2.4.18\"\nset web default tcp action block\nadd web tcp port 80 open\n\
             add web udp port 53 open\nset web ethernet \"00:50:56:01:02:03\"\nbind 10.3.0.1 web\nbind 10.3.0.2 web\n",
        );
        let text: String = imported.hosts.iter().map(entry).collect();
        let platform =
            trapline_platform::Platform::parse(&format!("[platform]\nname = \"honeyd\"\n{text}")).unwrap();
        let host = &platform.hosts[1];
        assert_eq!((platform.hosts.len(), host.name.as_str()), (2, "web-10.3.0.2"));
        assert_eq!((host.openings.len(), host.services.len()), (2, 2));
        assert_eq!(host.others, trapline_platform::Others::Silent);
        assert_eq!(
            (host.persona.as_deref(), host.mac),
            (Some("nmap:Linux 2.4.18"), Some([0, 0x50, 0x56, 1, 2, 3]))
        );
    }
}
