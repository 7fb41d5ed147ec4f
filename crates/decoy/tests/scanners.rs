//! nmap looks at personas with their services: one system for each host, and nothing that names a honeypot.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use trapline_decoy::{Decoys, Host, Wiring, text};
use trapline_sensor::bench::{Trouble, on_a_bench};
use trapline_testing::skipped;

/// Names of products that a decoy must not be taken for.
const HONEYPOTS: [&str; 8] =
    ["honeypot", "dionaea", "cowrie", "nepenthes", "kojoney", "honeyd", "kippo", "glastopf"];

/// Those whose services nmap knows in less than a minute; ports that say nothing keep it for minutes each.
const SEEN: [&str; 5] =
    ["windows-98", "windows-nt4-server", "linux-redhat-7.3", "linux-6", "consumer-router"];

#[test]
fn nmap_sees_one_system_and_no_honeypot() {
    if Command::new("nmap").arg("--version").output().is_err() {
        return skipped("nmap -sV", "nmap is not installed");
    }
    let personas = || text::BUILT_IN.iter().filter(|(name, _)| SEEN.contains(name));
    let address = |i: usize| Ipv4Addr::new(10, 9, 1, 1 + i as u8);
    let scanned = on_a_bench(Trouble::default(), |bench| {
        let hosts = personas().enumerate().map(|(i, (_, persona))| {
            let persona = Arc::new(text::read(persona).unwrap());
            let ports = Arc::clone(&persona.ports);
            let (mac, seed) = ([2, 0, 0, 9, 1, 1 + i as u8], 40 + i as u64);
            let wiring = Wiring { mac, addresses: vec![address(i)], prefix: 16, ports, fetch: false, seed };
            Host::new(persona, wiring)
        });
        bench.put(Decoys::new(hosts.collect(), 1));
        let ports = "21,22,23,25,80,110,111,135,139,143,445,554,1433,4444";
        let targets: Vec<String> = (0..SEEN.len()).map(|i| address(i).to_string()).collect();
        let arguments = ["-n", "-Pn", "-sV", "--host-timeout", "120s", "-p", ports];
        let output = Command::new("nmap").args(arguments).args(targets).output().unwrap();
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
    for (i, (name, _)) in personas().enumerate() {
        let report =
            told.split("Nmap scan report for ").find(|part| part.starts_with(&format!("{}\n", address(i))));
        let report = report.unwrap_or_else(|| panic!("nothing of {name}:\n{told}"));
        let windows = report.contains("Windows") || report.contains("windows");
        let unix = ["Linux", "Unix", "Debian", "Red-Hat", "FreeBSD"].iter().any(|word| report.contains(word));
        assert!(!(windows && unix), "{name} is two systems:\n{report}");
        assert_eq!(windows, name.starts_with("windows") && windows, "{name}:\n{report}");
    }
    if std::env::var_os("TRAPLINE_SHOW").is_some() {
        panic!("{told}");
    }
}
