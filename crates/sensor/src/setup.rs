//! From a platform file to decoys: who stands where, which system it plays, what its ports do at a time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use trapline_decoy::services::Kind;
use trapline_decoy::site::Site;
use trapline_decoy::{Decoys, Host, Persona, Port, Ports, Wiring, nmap, text};
use trapline_platform::{Host as Entry, Others, Platform};
use trapline_wire::{Time, protocol};

/// Why a platform file makes no sensor.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The persona is not there, or cannot be read.
    #[error("host {host:?}: {why}")]
    Persona {
        /// Whose.
        host: String,
        /// Why.
        why: String,
    },
    /// No such service.
    #[error(
        "host {host:?}, port {port}: there is no service {service:?}; trapline persona services lists them"
    )]
    Service {
        /// Whose.
        host: String,
        /// Where.
        port: u16,
        /// What the file says.
        service: String,
    },
    /// No host to be.
    #[error("the platform file has no [[host]]")]
    Nobody,
}

/// A platform with all that its hosts need.
#[derive(Debug)]
pub struct Setup {
    platform: Platform,
    personas: Vec<Arc<Persona>>,
    macs: Vec<[u8; 6]>,
    /// Places of hosts.
    by_mac: HashMap<[u8; 6], usize>,
    by_address: HashMap<IpAddr, usize>,
    seed: u64,
}

impl Setup {
    /// Reads the personas of a platform's hosts; `nmap` is the database that personas named `nmap:NAME` are taken from.
    ///
    /// # Errors
    /// Says which host has no persona that can be read, or names a service that there is not.
    pub fn new(platform: Platform, seed: u64, nmap: &Path) -> Result<Setup, SetupError> {
        if platform.hosts.is_empty() {
            return Err(SetupError::Nobody);
        }
        let mut read: BTreeMap<String, Arc<Persona>> = BTreeMap::new();
        let mut personas = Vec::new();
        for host in &platform.hosts {
            let name = host.persona.as_deref().unwrap_or(DEFAULT_PERSONA);
            let persona = match read.get(name) {
                Some(persona) => Arc::clone(persona),
                None => {
                    let why = |why| SetupError::Persona { host: host.name.clone(), why };
                    let persona = Arc::new(persona(name, nmap).map_err(why)?);
                    read.insert(name.to_owned(), Arc::clone(&persona));
                    persona
                }
            };
            personas.push(persona);
        }
        let seeds = (0..platform.hosts.len()).map(|place| host_seed(seed, &platform.hosts[place].name));
        let macs = platform.hosts.iter().zip(&personas).zip(seeds);
        let macs: Vec<[u8; 6]> =
            macs.map(|((host, persona), seed)| host.mac.unwrap_or_else(|| persona.mac(seed))).collect();
        let by_mac = macs.iter().enumerate().map(|(place, mac)| (*mac, place)).collect();
        let addresses = platform.hosts.iter().enumerate();
        let by_address =
            addresses.flat_map(|(place, host)| host.addresses.iter().map(move |at| (*at, place))).collect();
        let setup = Setup { platform, personas, macs, by_mac, by_address, seed };
        // What ports do is looked up once, so that a mistyped service is told at once and not when its port opens.
        for (host, persona) in setup.platform.hosts.iter().zip(&setup.personas) {
            ports(host, persona, None)?;
        }
        Ok(setup)
    }

    /// The platform.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The hosts, with their ports as they are at `now`.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub fn decoys(&self, now: Time) -> Result<Decoys, SetupError> {
        let mut hosts = Vec::new();
        for ((entry, persona), mac) in self.platform.hosts.iter().zip(&self.personas).zip(&self.macs) {
            let wiring = Wiring {
                mac: *mac,
                addresses: entry.addresses.clone(),
                // Where it is not known, nobody counts as distant.
                prefix: self.platform.prefix.unwrap_or(0),
                ports: Arc::new(ports(entry, persona, Some(now))?),
                fetch: entry.fetch,
                seed: host_seed(self.seed, &entry.name),
            };
            hosts.push(Host::new(Arc::clone(persona), wiring));
        }
        Ok(Decoys::new(hosts, host_seed(self.seed, "decoys")))
    }

    /// Sets the ports of all hosts to what they are at `now`; returns what changed, as host, port, and whether it is open now.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub fn set_ports(
        &self,
        decoys: &mut Decoys,
        now: Time,
    ) -> Result<Vec<(String, String, bool)>, SetupError> {
        let mut changed = Vec::new();
        for (place, (entry, persona)) in self.platform.hosts.iter().zip(&self.personas).enumerate() {
            let new = ports(entry, persona, Some(now))?;
            let Some(old) = decoys.hosts().get(place).map(|host| Arc::clone(&host.wiring().ports)) else {
                continue;
            };
            for (name, old, new) in [("tcp", &old.tcp, &new.tcp), ("udp", &old.udp, &new.udp)] {
                let open =
                    |ports: &BTreeMap<u16, Port>, port| ports.get(port).is_some_and(|p| *p != Port::Closed);
                for port in old.keys().chain(new.keys().filter(|port| !old.contains_key(port))) {
                    if open(old, port) != open(new, port) {
                        changed.push((entry.name.clone(), format!("{port}/{name}"), open(new, port)));
                    }
                }
            }
            decoys.set_ports(place, Arc::new(new));
        }
        Ok(changed)
    }

    /// The next time after `now` at which a port opens or closes.
    pub fn next_change(&self, now: Time) -> Option<Time> {
        let openings = self.platform.hosts.iter().flat_map(|host| &host.openings);
        openings.flat_map(|opening| [opening.opened, opening.closed]).flatten().filter(|at| *at > now).min()
    }

    /// Whether another platform has the same hosts at the same addresses, so that connections may go on.
    pub fn has_hosts_of(&self, other: &Setup) -> bool {
        let of = |setup: &Setup| -> Vec<_> {
            let hosts = setup.platform.hosts.iter().zip(&setup.macs);
            let facts = |(host, mac): (&Entry, &[u8; 6])| {
                (host.name.clone(), host.addresses.clone(), host.persona.clone(), host.fetch, *mac)
            };
            hosts.map(facts).collect()
        };
        self.platform.claim == other.platform.claim && of(self) == of(other)
    }

    /// The Ethernet address of the host that has this address.
    pub fn mac_of(&self, address: IpAddr) -> Option<[u8; 6]> {
        self.macs.get(*self.by_address.get(&address)?).copied()
    }

    /// The name of the host that has this Ethernet address.
    pub fn host_of(&self, mac: &[u8]) -> Option<&str> {
        Some(&self.platform.hosts.get(*self.by_mac.get(mac)?)?.name)
    }
}

/// What a host plays that names no persona.
const DEFAULT_PERSONA: &str = "linux-6";

/// The seed of one host, from the platform's.
fn host_seed(seed: u64, name: &str) -> u64 {
    Site::new(seed, name).draw("host").bits()
}

fn persona(name: &str, database: &Path) -> Result<Persona, String> {
    if let Some((_, text)) = text::BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return text::read(text).map_err(|e| e.to_string());
    }
    if let Some(wanted) = name.strip_prefix("nmap:") {
        let bytes = std::fs::read(database).map_err(|e| format!("{}: {e}", database.display()))?;
        let all = nmap::read(&String::from_utf8_lossy(&bytes)).map_err(|e| e.to_string())?;
        let found = all.into_iter().find(|fingerprint| fingerprint.name == wanted);
        return found
            .map(|f| f.persona())
            .ok_or_else(|| format!("{wanted:?} is not in {}", database.display()));
    }
    let bytes = std::fs::read_to_string(name)
        .map_err(|e| format!("persona {name:?} is neither built in nor a file that can be read: {e}"))?;
    text::read(&bytes).map_err(|e| format!("{name}: {e}"))
}

/// What the ports of a host do at `now`; at any time, where that is nothing.
fn ports(host: &Entry, persona: &Persona, now: Option<Time>) -> Result<Ports, SetupError> {
    let others = match host.others {
        Others::Closed => Port::Closed,
        Others::Silent => Port::Silent,
        Others::Record => Port::Record,
        Others::Tarpit => Port::Tarpit,
    };
    let mut ports = if host.has_history { Ports::default() } else { (*persona.ports).clone() };
    ports.others = others;
    let open = host.openings.iter().filter(|opening| {
        now.is_none_or(|now| {
            opening.opened.is_none_or(|at| at <= now) && opening.closed.is_none_or(|at| now < at)
        })
    });
    let named: Vec<_> = if host.has_history {
        open.map(|opening| opening.port).collect()
    } else {
        host.services.keys().copied().collect()
    };
    for port in named {
        let of_persona = if port.protocol == protocol::TCP { &persona.ports.tcp } else { &persona.ports.udp };
        let does = match host.services.get(&port).map(String::as_str) {
            Some("record") => Port::Record,
            Some("silent") => Port::Silent,
            Some("tarpit") => Port::Tarpit,
            Some(service) => Port::Service(Kind::named(service).ok_or_else(|| SetupError::Service {
                host: host.name.clone(),
                port: port.number,
                service: service.to_owned(),
            })?),
            None => of_persona.get(&port.number).copied().unwrap_or(Port::Record),
        };
        let all = if port.protocol == protocol::TCP { &mut ports.tcp } else { &mut ports.udp };
        all.insert(port.number, does);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: &str = r#"
        [platform]
        name = "eurecom"
        [[host]]
        name = "mach1"
        addresses = ["192.0.2.11"]
        persona = "windows-nt4-server"
        [[host]]
        name = "mach2"
        addresses = ["192.0.2.12"]
        persona = "linux-redhat-7.3"
        open = ["21/tcp", "2323/tcp"]
        services = { "2323/tcp" = "telnet/red-hat-7.3" }
        others = "silent"
        [[change]]
        at = 2003-10-15T00:00:00Z
        host = "mach2"
        open = ["1433/tcp"]
        close = ["21/tcp"]
    "#;

    fn setup(text: &str) -> Result<Setup, SetupError> {
        Setup::new(Platform::parse(text).unwrap(), 7, Path::new("/nowhere"))
    }

    #[test]
    fn ports_open_and_close_at_their_time() {
        const DAY: Time = 1_066_176_000_000_000_000;
        let setup = setup(PAPER).unwrap();
        let mut decoys = setup.decoys(0).unwrap();
        let tcp = |decoys: &Decoys, place: usize, port| decoys.hosts()[place].wiring().ports.tcp(port);
        assert!(matches!(tcp(&decoys, 0, 21), Port::Service(_)), "the persona's own");
        assert!(matches!(tcp(&decoys, 1, 2323), Port::Service(kind) if kind.name() == "telnet"));
        assert!(matches!(tcp(&decoys, 1, 21), Port::Service(kind) if kind.name() == "ftp"));
        assert_eq!((tcp(&decoys, 0, 9), tcp(&decoys, 1, 9)), (Port::Closed, Port::Silent));
        assert_eq!((setup.next_change(0), setup.next_change(DAY)), (Some(DAY), None));
        assert!(setup.set_ports(&mut decoys, DAY - 1).unwrap().is_empty());
        let changed = setup.set_ports(&mut decoys, DAY).unwrap();
        let line = |port: &str, open| ("mach2".to_owned(), port.to_owned(), open);
        assert_eq!(changed, [line("21/tcp", false), line("1433/tcp", true)]);
        assert_eq!((tcp(&decoys, 1, 21), tcp(&decoys, 1, 1433)), (Port::Silent, Port::Record));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let error = |from: &str, to: &str| setup(&PAPER.replace(from, to)).unwrap_err().to_string();
        assert!(error("telnet/red", "telnot/red").contains("telnot/red"));
        assert!(error("linux-redhat-7.3", "linux-redhat").contains("neither built in nor a file"));
        assert!(error("linux-redhat-7.3", "nmap:Linux 2.4.18").contains("/nowhere"));
    }

    #[test]
    fn two_seeds_have_other_machines() {
        let platform = || Platform::parse(PAPER).unwrap();
        let one = Setup::new(platform(), 1, Path::new("/nowhere")).unwrap();
        let two = Setup::new(platform(), 2, Path::new("/nowhere")).unwrap();
        assert!(one.macs.iter().all(|mac| !two.macs.contains(mac)));
        assert_ne!(one.macs[0], one.macs[1]);
        assert_eq!(one.host_of(&one.macs[1]), Some("mach2"));
        assert!(
            !one.has_hosts_of(&two) && one.has_hosts_of(&Setup::new(platform(), 1, Path::new("")).unwrap())
        );
    }
}
