//! Reads a honeyd.conf (Provos, Honeyd 1.5): templates, personalities, port actions, addresses.
//!
//! What can be carried over becomes hosts; every line that cannot is listed with why.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::frames::Mac;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Hosts in the order in which they are bound.
    pub hosts: Vec<HoneydHost>,
    /// Lines that were left out: number, text, why.
    pub left_out: Vec<(usize, String, &'static str)>,
}

/// One bound host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoneydHost {
    /// Its address.
    pub address: Ipv4Addr,
    /// The template that it is bound to.
    pub template: String,
    /// The personality: a name of nmap's database.
    pub personality: Option<String>,
    /// Its Ethernet address, where one is set.
    pub mac: Option<Mac>,
    /// TCP ports with what they do, as docs/services.md names it.
    pub tcp: BTreeMap<u16, &'static str>,
    /// UDP ports.
    pub udp: BTreeMap<u16, &'static str>,
    /// What other TCP ports do.
    pub default_tcp: Option<&'static str>,
    /// What other UDP ports do.
    pub default_udp: Option<&'static str>,
}

impl HoneydHost {
    /// A template of which nothing is set, bound to nothing yet.
    fn named(name: &str) -> Self {
        HoneydHost {
            address: Ipv4Addr::UNSPECIFIED,
            template: name.to_owned(),
            personality: None,
            mac: None,
            tcp: BTreeMap::new(),
            udp: BTreeMap::new(),
            default_tcp: None,
            default_udp: None,
        }
    }
}

/// Reads the text of a honeyd.conf.
pub fn read(text: &str) -> Imported {
    let mut templates: BTreeMap<String, HoneydHost> = BTreeMap::new();
    let mut imported = Imported::default();
    for (number, line) in (1..).zip(text.lines()) {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(why) = statement(&words, &mut templates, &mut imported.hosts) {
            imported.left_out.push((number, line.trim().to_owned(), why));
        }
    }
    imported
}

fn statement(
    words: &[&str],
    templates: &mut BTreeMap<String, HoneydHost>,
    hosts: &mut Vec<HoneydHost>,
) -> Result<(), &'static str> {
    const UNKNOWN: &str = "there is no template of that name";
    match words {
        [] => Ok(()),
        ["create", name] => {
            templates.insert((*name).to_owned(), HoneydHost::named(name));
            Ok(())
        }
        ["clone", name, from] => {
            let template =
                HoneydHost { template: (*name).to_owned(), ..templates.get(*from).ok_or(UNKNOWN)?.clone() };
            templates.insert((*name).to_owned(), template);
            Ok(())
        }
        ["set", name, "personality", personality] => {
            templates.get_mut(*name).ok_or(UNKNOWN)?.personality = Some((*personality).to_owned());
            Ok(())
        }
        ["set", name, "default", protocol, "action", action] => {
            let template = templates.get_mut(*name).ok_or(UNKNOWN)?;
            let does = action_of(action).ok_or("a script cannot be a default here")?;
            match *protocol {
                "tcp" => template.default_tcp = Some(does),
                "udp" => template.default_udp = Some(does),
                _ => return Err("the persona says what ICMP does"),
            }
            Ok(())
        }
        ["set", name, "ethernet", mac] => {
            let bytes: Vec<u8> =
                mac.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
            let mac =
                bytes.try_into().map_err(|_| "a vendor's name: Ethernet addresses come from the persona")?;
            templates.get_mut(*name).ok_or(UNKNOWN)?.mac = Some(mac);
            Ok(())
        }
        ["set", _, "uptime", ..] => Err("time stamps begin where the seed says"),
        ["set", _, "uid" | "gid" | "maxfds" | "droprate", ..] => {
            Err("decoys have no processes and lose no packets")
        }
        ["add", name, protocol @ ("tcp" | "udp"), "port", port, action] => {
            let template = templates.get_mut(*name).ok_or(UNKNOWN)?;
            let port = port.parse().map_err(|_| "no port number")?;
            let ports = if *protocol == "tcp" { &mut template.tcp } else { &mut template.udp };
            match action_of(action) {
                Some(does) => {
                    ports.insert(port, does);
                    Ok(())
                }
                None => {
                    ports.insert(port, "record");
                    Err(
                        "scripts are not run: the port records what is said; choose a service from trapline persona services",
                    )
                }
            }
        }
        ["add", _, _, "port", _, "proxy", ..] => Err("nothing is ever forwarded"),
        ["add", _, "use", ..] => Err("one host is one system to everybody"),
        ["bind", address, name] => {
            let address = address.parse().map_err(|_| "only IPv4 addresses are bound")?;
            let host = HoneydHost { address, ..templates.get(*name).ok_or(UNKNOWN)?.clone() };
            hosts.push(host);
            Ok(())
        }
        ["annotate", _, ..] => Err("the persona says how finscans and fragments are answered"),
        ["route" | "dhcp" | "include" | "delete" | "option", ..] => {
            Err("virtual networks are not carried over")
        }
        _ => Err("it is not understood"),
    }
}

/// What a port does here for an action there; nothing for a script.
fn action_of(action: &str) -> Option<&'static str> {
    match action {
        "open" => Some("record"),
        "reset" | "closed" => Some("closed"),
        "block" | "filtered" => Some("silent"),
        "tarpit" => Some("tarpit"),
        _ => None,
    }
}

/// The words of a line; quotes hold words together, `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' if !quoted => break,
            space if space.is_whitespace() && !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_hosts_and_says_what_it_left_out() {
        let text = r#"# a decoy web server
create web
set web personality "Linux 2.4.18"
set web default tcp action reset
set web uptime 1327650
add web tcp port 80 "sh scripts/web.sh"
add web tcp port 22 open
add web tcp port 25 tarpit
add web udp port 53 block
set web ethernet "00:50:56:01:02:03"
clone other web
set other personality "Windows 98"
bind 10.3.0.1 web
bind 10.3.0.2 other
bind 10.3.0.3 nobody
annotate "Linux 2.4.18" fragment old
"#;
        let imported = read(text);
        let [web, other] = &imported.hosts[..] else { panic!("{imported:?}") };
        assert_eq!(web.address, Ipv4Addr::new(10, 3, 0, 1));
        assert_eq!(web.personality.as_deref(), Some("Linux 2.4.18"));
        assert_eq!(web.tcp, [(22, "record"), (25, "tarpit"), (80, "record")].into());
        assert_eq!((web.udp.get(&53), web.default_tcp), (Some(&"silent"), Some("closed")));
        assert_eq!(web.mac, Some([0, 0x50, 0x56, 1, 2, 3]));
        assert_eq!((other.template.as_str(), other.personality.as_deref()), ("other", Some("Windows 98")));
        let lines: Vec<usize> = imported.left_out.iter().map(|(number, ..)| *number).collect();
        assert_eq!(lines, [5, 6, 15, 16]);
    }
}
