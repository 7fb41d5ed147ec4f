//! What nmap believes: decoys with the personas of nmap's own fingerprints, in a network namespace, scanned by nmap.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use trapline_decoy::nmap::{self, Fingerprint};
use trapline_decoy::numbers::Random;
use trapline_decoy::{Decoys, Host, Persona, Port, Ports, Wiring, text};
use trapline_sensor::believed::{self, Believed};
use trapline_sensor::bench::{Bench, Trouble, on_a_bench};

/// Where Debian's nmap has its database; `TRAPLINE_NMAP_DB` names another.
const DATABASE: &str = "/usr/share/nmap/nmap-os-db";
/// One port that answers and two that refuse, as nmap needs them.
const OPEN: u16 = 80;
const SCANNED: &str = "80,81,82";
/// As many at once: nmap measures time, and these machines are busy.
const AT_ONCE: usize = 10;

const USAGE: &str = "bench personas [--count N] [--seed N] [--name FINGERPRINT] | --built-in";

/// Draws personas with a seed, has nmap look at them, and prints what it believed.
pub fn run(rest: &[&str]) -> Result<(), String> {
    let (mut count, mut seed, mut name) = (100usize, 1u64, None);
    let mut built_in = false;
    for pair in rest.chunks(2) {
        match pair {
            ["--built-in"] => built_in = true,
            ["--count", n] => count = n.parse().map_err(|_| format!("{n} is no number"))?,
            ["--seed", n] => seed = n.parse().map_err(|_| format!("{n} is no number"))?,
            ["--name", n] => name = Some((*n).to_owned()),
            _ => return Err(USAGE.into()),
        }
    }
    if built_in {
        return on_a_bench(Trouble::default(), ten_times_each)?;
    }
    let database = std::env::var("TRAPLINE_NMAP_DB").unwrap_or_else(|_| DATABASE.into());
    let text = std::fs::read(&database).map_err(|e| format!("{database}: {e}; install nmap"))?;
    let all = nmap::read(&String::from_utf8_lossy(&text)).map_err(|e| e.to_string())?;
    let chosen = match name {
        Some(name) => all.iter().filter(|f| f.name == name && scannable(f)).take(count).collect::<Vec<_>>(),
        None => draw(&all, count, seed),
    };
    let exact = on_a_bench(Trouble::default(), |bench| look_at(bench, &chosen, seed))??;
    println!("\n{exact} of {} named exactly (seed {seed})", chosen.len());
    Ok(())
}

/// Has nmap look at all of these, prints what it believed, and says how many it named exactly.
fn look_at(bench: &Bench, chosen: &[&Fingerprint], seed: u64) -> Result<usize, String> {
    let mut exact = 0;
    for (i, group) in chosen.chunks(AT_ONCE).enumerate() {
        for (fingerprint, believed) in
            group.iter().zip(scan(bench, group.iter().map(|f| f.persona()).collect(), seed + i as u64)?)
        {
            let right =
                believed.systems.iter().any(|(name, accuracy)| *name == fingerprint.name && *accuracy == 100);
            exact += usize::from(right);
            let best =
                believed.systems.first().map_or("nothing".into(), |(name, a)| format!("{name} ({a} %)"));
            let verdict = if right { "exact" } else { "WRONG" };
            println!("{verdict}  line {:6}  {}  <- {best}", fingerprint.line, fingerprint.name);
            if !right {
                differences(fingerprint, &believed.observed)
                    .iter()
                    .for_each(|line| println!("       {line}"));
            }
        }
    }
    Ok(exact)
}

/// The built-in personas, ten times each with seeds of their own: what nmap takes them for.
fn ten_times_each(bench: &Bench) -> Result<(), String> {
    const TIMES: u64 = 10;
    for (name, persona) in text::BUILT_IN {
        let persona = text::read(persona).map_err(|e| format!("{name}: {e}"))?;
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for seed in 0..TIMES {
            let believed = scan(bench, vec![persona.clone()], 100 + seed)?.remove(0);
            let exact = believed.systems.iter().filter(|(_, accuracy)| *accuracy == 100);
            let exact: Vec<&str> = exact.map(|(name, _)| name.as_str()).collect();
            let seen = match (exact.is_empty(), believed.systems.first()) {
                (false, _) => exact.join(" or "),
                (true, Some((near, accuracy))) => format!("nearly {near} ({accuracy} %)"),
                (true, None) => "nothing".into(),
            };
            if exact.is_empty() {
                println!("{}", believed.observed);
            }
            *told.entry(seen).or_default() += 1;
        }
        told.iter().for_each(|(seen, times)| println!("{name}: {times} of {TIMES} {seen}"));
    }
    Ok(())
}

/// Whether a fingerprint answers enough that nmap can look at it at all: an open port, six answers with options.
fn scannable(fingerprint: &Fingerprint) -> bool {
    let value =
        |test: &str, name: &str| fingerprint.tests.get(test).and_then(|t| t.get(name)).map(String::as_str);
    let there = |test: &str| fingerprint.tests.contains_key(test) && value(test, "R") != Some("N");
    there("SEQ") && there("OPS") && there("WIN") && there("T1") && value("T1", "F").is_none_or(|f| f == "AS")
}

fn draw(all: &[Fingerprint], count: usize, seed: u64) -> Vec<&Fingerprint> {
    let mut random = Random::new(seed);
    let mut left: Vec<&Fingerprint> = all.iter().filter(|f| scannable(f)).collect();
    let mut drawn = Vec::new();
    while drawn.len() < count && !left.is_empty() {
        drawn.push(left.swap_remove(random.below(left.len() as u32) as usize));
    }
    drawn
}

/// Puts these personas on the wire and has nmap look at them.
fn scan(bench: &Bench, personas: Vec<Persona>, seed: u64) -> Result<Vec<Believed>, String> {
    let address = |i: usize| Ipv4Addr::new(10, 9, 1, 1 + i as u8);
    let targets: Vec<Ipv4Addr> = (0..personas.len()).map(address).collect();
    let mut ports = Ports::default();
    ports.tcp.insert(OPEN, Port::Record);
    let ports = Arc::new(ports);
    let hosts = personas.into_iter().enumerate().map(|(i, persona)| {
        let wiring = Wiring {
            mac: [2, 0, 0, 9, 1, 1 + i as u8],
            addresses: vec![address(i).into()],
            prefix: 16,
            ports: Arc::clone(&ports),
            fetch: false,
            seed: seed.wrapping_mul(1000) + i as u64,
        };
        Host::new(persona.into(), wiring)
    });
    bench.put(Decoys::new(hosts.collect(), seed));
    let arguments = ["-O", "-d", "--max-os-tries", "1", "-p", SCANNED];
    let mut believed = believed::nmap(&arguments, &targets)?;
    Ok(targets.iter().map(|address| believed.remove(address).unwrap_or_default()).collect())
}

/// The values that nmap saw and the fingerprint does not allow.
fn differences(wanted: &Fingerprint, observed: &str) -> Vec<String> {
    let observed = observed.replace("\nOS:", "").replace("OS:", "").replace(')', ")\n");
    let Ok(seen) = nmap::read(&format!("Fingerprint seen\n{}", observed.trim_start_matches("\n"))) else {
        return vec![observed];
    };
    let seen = &seen[0].tests;
    let mut lines = Vec::new();
    for (test, values) in &wanted.tests {
        let Some(answers) = seen.get(test) else {
            if values.get("R").map(String::as_str) != Some("N") {
                lines.push(format!("{test}: not seen"));
            }
            continue;
        };
        for (name, allowed) in values {
            let value = answers.get(name).map_or("", String::as_str);
            if !allows(allowed, value) && answers.contains_key(name) {
                lines.push(format!("{test}.{name}: {value:?} instead of {allowed}"));
            }
        }
    }
    lines
}

fn allows(allowed: &str, value: &str) -> bool {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    allowed.split('|').any(|one| {
        if one == value {
            return true;
        }
        let Some(number) = hex(value) else { return false };
        match (one.split_once('-'), one.strip_prefix('>'), one.strip_prefix('<')) {
            (Some((low, high)), _, _) => {
                hex(low).is_some_and(|l| l <= number) && hex(high).is_some_and(|h| number <= h)
            }
            (_, Some(low), _) => hex(low).is_some_and(|l| number > l),
            (_, _, Some(high)) => hex(high).is_some_and(|h| number < h),
            _ => hex(one) == Some(number),
        }
    })
}
