//! `tests/cases/`: one folder for each edge of the definitions, typed by hand.
//!
//! A case holds `case.toml` (why it is there), `packets.txt` (crates/testing/src/packets.rs), `platform.toml` where the hosts are not to be
//! inferred, and `transcript.txt`: commands and what they print. `cargo xtask golden` writes transcripts anew.

use std::path::Path;

use trapline_testing::{packets, project, refreshing, transcript};

fn run(case: &Path) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(case.join(name)).ok();
    let folder = tempfile::tempdir().unwrap();
    let platform = read("platform.toml").unwrap_or_default();
    if !platform.is_empty() {
        std::fs::write(folder.path().join("platform.toml"), &platform).unwrap();
    }
    let typed = read("packets.txt").expect("a case has packets.txt");
    let packets = packets::parse(&typed, &packets::names(&platform));
    std::fs::write(folder.path().join("packets.pcap"), packets::pcap(&packets)).unwrap();
    let expected = read("transcript.txt").expect("a case has transcript.txt");
    let now = transcript::replay(&expected, Path::new(env!("CARGO_BIN_EXE_trapline")), folder.path());
    if refreshing() {
        std::fs::write(case.join("transcript.txt"), &now).unwrap();
        return None;
    }
    let why = read("case.toml").expect("a case has case.toml");
    (now != expected)
        .then(|| format!("{}\n{why}--- expected ---\n{expected}--- now ---\n{now}", case.display()))
}

#[test]
fn every_case_is_as_written() {
    let mut cases: Vec<_> =
        std::fs::read_dir(project().join("tests/cases")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 15);
    let wrong: Vec<String> = cases.iter().filter_map(|case| run(case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
