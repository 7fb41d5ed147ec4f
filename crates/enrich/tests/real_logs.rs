//! The rules for the web on a real log: a Red Hat 7.1 honeypot of April to June 2004 (Honeynet Project, A. Chuvakin).
//!
//! The numbers were counted by another program (Python's `re`) over the same lines.

use std::collections::BTreeMap;
use std::io::Read;

use regex::Regex;
use trapline_enrich::process::{Process, Processes};

const LOG: &str = "data/captures/honeynet-2004/redhat71-http-access-2004-apr21-jun01.log.gz";

/// A line of an Apache log from its request on: request, status, bytes, and perhaps referrer and user agent. That Apache escaped no
/// quotes in a request, so what follows the closing one must fit too.
const LINE: &str = r#""((?:[^"\\]|\\.)*)" (?:\d+|-) \S+(?: "[^"]*" "([^"]*)")?"#;

/// The texts that `said` would see of a line: the request, and the user agent.
fn texts(line: &str, form: &Regex) -> Vec<String> {
    let Some(parts) = form.captures(line) else { return Vec::new() };
    let mut request = parts[1].split(' ');
    let mut texts = Vec::new();
    if let (Some(verb), Some(object)) = (request.next(), request.next()) {
        texts.push(format!("http {verb} {object}"));
    }
    if let Some(agent) = parts.get(2).map(|a| a.as_str()).filter(|a| *a != "-") {
        texts.push(format!("http-header User-Agent: {agent}"));
    }
    texts
}

fn finds(process: &Process) -> Vec<Regex> {
    let wanted = |p: &trapline_enrich::process::Pattern| p.function == "said" && !p.negated;
    process
        .patterns()
        .iter()
        .filter(|p| wanted(p))
        .map(|p| Regex::new(&p.regex).expect("tested elsewhere"))
        .collect()
}

#[test]
fn worms_of_2004_are_found_and_nothing_of_today() {
    let Some(shared) = trapline_testing::shared("process rules on a web log of 2004") else { return };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(shared.join(LOG)).expect("the log is there");
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("the log is whole");
    let lines: String = bytes.iter().map(|b| char::from(*b)).collect();
    let form = Regex::new(LINE).expect("a regular expression");
    let texts: Vec<String> = lines.lines().flat_map(|line| texts(line, &form)).collect();

    let mut found = BTreeMap::new();
    for process in Processes::built_in().expect("tested elsewhere").iter() {
        let finds = finds(process);
        let hits = texts.iter().filter(|text| finds.iter().any(|r| r.is_match(text))).count();
        found.insert(process.name.clone(), hits);
    }
    let of = |name: &str| found[name];
    assert_eq!(of("webdav-admin-share"), 6_438);
    assert_eq!(of("nikto"), 2_484);
    assert_eq!(of("iis-traversal"), 1_464);
    assert_eq!(of("iis-webdav-search"), 598);
    assert_eq!(of("iis-nsiislog"), 83);
    assert_eq!(of("code-red-2"), 33);
    assert_eq!(of("code-red"), 0);
    assert_eq!(of("frontpage-fp30reg"), 24);
    assert_eq!(of("sumthin"), 22);
    for name in [
        "log4shell",
        "shellshock",
        "dotenv",
        "phpunit",
        "gpon",
        "proxyshell",
        "citrix-adc",
        "confluence-ognl",
    ] {
        assert_eq!(of(name), 0, "{name}");
    }
}
