//! Flows have the names that Wireshark gives them: Community ID of every packet of every real capture.
//!
//! Runs where tshark and the captures are there, and says so where they are not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use trapline_testing::{shared, skipped};

/// Packets whose flow tshark names otherwise, and why that is no error of ours.
const EXCUSED: [(&str, u64, &str); 2] = [
    (
        "dns-amp-plus-background-2021.pcap",
        4194,
        "UDP inside GRE: tshark names the flow inside, we the one outside",
    ),
    ("nmap-ipproto-scan-2009.pcap", 315, "protocol 0 (hop-by-hop) in IPv4: tshark gives no name"),
];

/// Lines of a program's output as pairs of number and text.
fn pairs(program: &str, arguments: &[&str], separator: char) -> BTreeMap<u64, String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (number, id) = line.split_once(separator)?;
        // Where one packet lies in another, tshark names the flows of both; ours is the outer one.
        Some((number.parse().ok()?, id.split(',').next().unwrap_or_default().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        match entry.extension().and_then(|e| e.to_str()) {
            _ if entry.is_dir() => captures(&entry, found),
            Some("pcap" | "pcapng") => found.push(entry),
            _ => {}
        }
    }
}

#[test]
fn every_packet_of_every_capture_has_the_flow_that_wireshark_says() {
    let Some(shared) = shared("Community IDs beside tshark's") else { return };
    if Command::new("tshark").arg("--version").output().is_err() {
        skipped("Community IDs beside tshark's", "no tshark");
        return;
    }
    let mut all = Vec::new();
    captures(&shared.join("data/captures"), &mut all);
    // The largest one is a header-only log that says nothing new.
    all.retain(|path| std::fs::metadata(path).unwrap().len() < 3_000_000);
    assert!(all.len() > 30, "only {} captures", all.len());
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in all {
        let path = path.to_str().unwrap();
        let theirs = pairs(
            "tshark",
            &[
                "-r",
                path,
                "--enable-protocol",
                "communityid",
                "-T",
                "fields",
                "-e",
                "frame.number",
                "-e",
                "communityid",
            ],
            '\t',
        );
        // A piece of a datagram has no ports of its own; tshark gives the last one those of the whole.
        let sql = format!(
            "select frame + 1, case when fragment_offset is null then coalesce(community_id, '') else 'piece' end \
             from capture('{path}')"
        );
        let ours = pairs(env!("CARGO_BIN_EXE_trapline"), &["sql", "--format", "csv", &sql], ',');
        compared += ours.len();
        let excused = |frame: u64| EXCUSED.iter().any(|(name, f, _)| path.ends_with(name) && *f == frame);
        let differs = |frame: &u64, id: &String| {
            !excused(*frame) && ours.get(frame).is_none_or(|o| o != id && o != "piece")
        };
        let differing: Vec<_> = theirs.iter().filter(|(frame, id)| differs(frame, id)).collect();
        if !differing.is_empty() || ours.len() != theirs.len() {
            let first = differing.first();
            wrong.push(format!("{path}: {} of {} packets, first {first:?}", differing.len(), theirs.len()));
        }
    }
    assert!(compared > 50_000, "only {compared} packets compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
