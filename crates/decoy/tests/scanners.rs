//! nmap looks at personas with their services: one system for each host, and nothing that names a honeypot.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use trapline_decoy::{Decoys, Host, Wiring, text};
use trapline_sensor::believed;
use trapline_sensor::bench::{Trouble, on_a_bench};
use trapline_testing::skipped;

/// Names of products that a decoy must not be taken for.
const HONEYPOTS: [&str; 8] =
    ["honeypot", "dionaea", "cowrie", "nepenthes", "kojoney", "honeyd", "kippo", "glastopf"];

/// Those whose services nmap knows in less than a minute; ports that say nothing keep it for minutes each.
const SEEN: [&str; 5] =
    ["windows-98", "windows-nt4-server", "linux-redhat-7.3", "linux-6", "consumer-router"];

fn address(i: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 1, 1 + i as u8)
}

/// A host for each of these personas, with its own ports.
fn decoys<'a>(personas: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Decoys {
    let hosts = personas.enumerate().map(|(i, (_, persona))| {
        let persona = Arc::new(text::read(persona).unwrap());
        let (ports, seed) = (Arc::clone(&persona.ports), 40 + i as u64);
        let (mac, addresses) = (persona.mac(seed), vec![address(i).into()]);
        Host::new(persona, Wiring { mac, addresses, prefix: 16, ports, fetch: false, seed })
    });
    Decoys::new(hosts.collect(), 1)
}

#[test]
fn nmap_sees_one_system_and_no_honeypot() {
    let personas: Vec<_> = text::BUILT_IN.iter().filter(|(name, _)| SEEN.contains(name)).collect();
    let ports = "21,22,23,25,80,110,111,135,139,143,445,554,1433,4444";
    one_system_each(&personas, &["--host-timeout", "120s", "-p", ports]);
}

/// `cargo test --test scanners -- --ignored`: every probe of nmap and its default scripts, at every open port of every persona.
#[test]
#[ignore = "takes about two hours: ports that say nothing are asked everything that nmap knows"]
fn nmap_tries_everything_on_every_persona() {
    for persona in &text::BUILT_IN {
        let (open, closed) = (text::read(persona.1).unwrap().ports.tcp.clone(), 9_999);
        let ports: Vec<String> = open.keys().chain([&closed]).map(u16::to_string).collect();
        one_system_each(&[persona], &["--version-all", "-sC", "-p", &ports.join(",")]);
    }
}

/// Has nmap look at the services of these personas (what it says is shown where it is not right), and checks what it says of each.
fn one_system_each(personas: &[&(&str, &str)], arguments: &[&str]) {
    if Command::new("nmap").arg("--version").output().is_err() {
        return skipped("nmap -sV", "nmap is not installed");
    }
    let scanned = on_a_bench(Trouble::default(), |bench| {
        bench.put(decoys(personas.iter().copied()));
        let targets = (0..personas.len()).map(|i| address(i).to_string());
        let output =
            Command::new("nmap").args(["-n", "-Pn", "-sV"]).args(arguments).args(targets).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let told = match scanned {
        Ok(told) => told,
        Err(why) => return skipped("nmap -sV", &why),
    };
    let small = told.to_lowercase();
    for word in HONEYPOTS {
        assert!(!small.contains(word), "{word}:\n{told}");
    }
    for (i, (name, _)) in personas.iter().enumerate() {
        let report =
            told.split("Nmap scan report for ").find(|part| part.starts_with(&format!("{}\n", address(i))));
        let report = report.unwrap_or_else(|| panic!("nothing of {name}:\n{told}"));
        assert!(!report.contains("due to host timeout"), "{name} was given up:\n{told}");
        let windows = report.contains("Windows") || report.contains("windows");
        let unix = ["Linux", "Unix", "Debian", "Red-Hat", "FreeBSD"].iter().any(|word| report.contains(word));
        assert!(!(windows && unix), "{name} is two systems:\n{report}");
        assert_eq!(windows, name.starts_with("windows") && windows, "{name}:\n{report}");
    }
}

/// Honeyd's answers to ordinary clients had no window and no options: p0f said `???` of every one.
#[test]
fn p0f_names_the_family_of_an_ordinary_connection_or_nothing() {
    let installed =
        |program: &str| Command::new("which").arg(program).output().is_ok_and(|found| found.status.success());
    if !installed("p0f") {
        return skipped("p0f before decoys", "p0f is not installed");
    }
    let seen = on_a_bench(Trouble::default(), |bench| {
        bench.put(decoys(text::BUILT_IN.iter()));
        let port = |text: &str| *text::read(text).unwrap().ports.tcp.keys().next().unwrap();
        let all = text::BUILT_IN
            .iter()
            .enumerate()
            .map(|(i, (name, text))| (*name, believed::p0f(address(i), port(text))));
        all.collect::<Vec<_>>()
    });
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => return skipped("p0f before decoys", &why),
    };
    let mut named = 0;
    for (name, told) in seen {
        let (system, raw) = told.unwrap_or_else(|why| panic!("{name}: {why}"));
        let families: &[&str] = match name {
            _ if name.starts_with("windows") => &["Windows"],
            "linux-redhat-7.3" | "linux-6" | "consumer-router" | "ip-camera" => &["Linux"],
            "freebsd" => &["FreeBSD"],
            "solaris-9" => &["Solaris"],
            _ => &[],
        };
        let right = families.iter().any(|family| system.starts_with(family));
        assert!(system == "???" || right, "{name} is taken for {system}: {raw}");
        named += usize::from(right);
    }
    assert!(named >= 5, "p0f knows some of them");
}

#[test]
fn arp_fingerprint_differs_where_the_systems_do() {
    let expected = [
        ("windows-98", "11110100000"),
        ("linux-6", "01000100000"),
        ("windows-10", "01010100000"),
        ("solaris-9", "11110110000"),
        ("cisco-ios", "00000100000"),
    ];
    if Command::new("arp-fingerprint").arg("--help").output().is_err() {
        return skipped("arp-fingerprint before decoys", "arp-scan is not installed");
    }
    let chosen = || text::BUILT_IN.iter().filter(|(name, _)| expected.iter().any(|(other, _)| other == name));
    let seen = on_a_bench(Trouble::default(), |bench| {
        bench.put(decoys(chosen()));
        chosen()
            .enumerate()
            .map(|(i, (name, _))| (*name, believed::arp_fingerprint(address(i))))
            .collect::<Vec<_>>()
    });
    match seen {
        Err(why) => skipped("arp-fingerprint before decoys", &why),
        Ok(seen) => {
            for (name, told) in seen {
                let (pattern, systems) = told.unwrap_or_else(|why| panic!("{name}: {why}"));
                let wanted = expected.iter().find(|(other, _)| *other == name).map(|(_, pattern)| *pattern);
                assert_eq!(Some(pattern.as_str()), wanted, "{name}: {systems}");
            }
        }
    }
}
