//! The answers of an independent implementation, for nine real captures, under both rules.
//!
//! Runs where the captures are there (`../shared` beside the project, or `TRAPLINE_SHARED`), and says
//! so where they are not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use trapline_intake::{Input, Platform};
use trapline_questions::{Answer, Ask, Catalog, Rule, Session, Value};
use trapline_store::ingest::Hosts;
use trapline_store::{Data, Enrichers, IngestRequest, Snapshot, ingest};

/// Which capture each folder of expected answers is about.
const CASES: [(&str, &str); 9] = [
    ("sotm34-feb25-mar12", "honeynet-2005/sotm34-feb25-mar12-headers.pcap"),
    ("ftp-bruteforce-2014", "bruteforce/ftp-bruteforce-2014.pcap"),
    ("honeynet-fc1-lsass-2009", "worms-exploits/honeynet-fc1-lsass-2009.pcap"),
    ("blaster-2003-08-12", "worms-exploits/blaster-2003-08-12.pcap"),
    ("tcp-reflection-synack-2021", "backscatter-dos/tcp-reflection-synack-2021.pcap"),
    ("snmp-amplification-2021", "backscatter-dos/snmp-amplification-2021.pcapng"),
    ("dns-amp-plus-background-2021", "ibr/dns-amp-plus-background-2021.pcap"),
    ("nmap-udp-scan-2009", "scans/nmap-udp-scan-2009.pcap"),
    ("tcp-all-flag-combinations", "edge/tcp-all-flag-combinations.pcap"),
];

/// Columns whose values are free (expected/README.md).
const FREE: [&str; 2] = ["response", "implied_attack"];

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let place = std::env::var_os("TRAPLINE_SHARED").map_or(beside, PathBuf::from);
    place.join("expected").is_dir().then_some(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_equal_those_of_an_independent_implementation() {
    let Some(shared) = shared() else {
        trapline_testing::skipped("expected answers", "no ../shared folder with captures beside the project");
        return;
    };
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (case, capture) in CASES {
        let expected = shared.join("expected").join(case);
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(&folder.path().display().to_string()).unwrap();
        let platform = Platform::read(&expected.join("platform.toml")).unwrap();
        let request = IngestRequest {
            data: data.clone(),
            inputs: vec![Input::file(&shared.join("data/captures").join(capture))],
            hosts: Hosts::Given(platform),
            threads: 2,
            arguments: Vec::new(),
            dry_run: false,
            enrichers: Arc::new(Enrichers::built_in()),
        };
        ingest(request, Arc::new(|_, _, _| true)).await.unwrap();
        let snapshot = Snapshot::latest(&data).await.unwrap().unwrap();
        for rule in [Rule::Day, Rule::Gap] {
            let session = Session::open(&snapshot, Ask { rule, threads: 2, ..Ask::default() }).await.unwrap();
            for question in Catalog::built_in().questions() {
                let file = expected.join(format!("{}.{}.json", question.name, rule.name()));
                let Ok(text) = std::fs::read_to_string(&file) else { continue };
                let answer = session.answer(question, &[]).await.unwrap();
                compared += 1;
                if let Some(difference) =
                    difference(&answer, &serde_json::from_str::<Vec<Json>>(&text).unwrap())
                {
                    wrong.push(format!("{case} {} {}: {difference}", question.name, rule.name()));
                }
            }
        }
    }
    assert!(compared >= 9 * 2 * 10, "only {compared} answers were compared");
    assert!(wrong.is_empty(), "{} of {compared} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The first difference between an answer and the expected rows.
fn difference(answer: &Answer, expected: &[Json]) -> Option<String> {
    let mut rows: Vec<Json> = answer.rows.iter().map(|row| object(answer, row)).collect();
    if answer.name == "backscatter" {
        // Ordered by the columns that are compared.
        rows.sort_by_key(|r| std::cmp::Reverse(["packets", "sources", "ports"].map(|k| r[k].as_i64())));
    }
    for (i, (ours, theirs)) in rows.iter().zip(expected).enumerate() {
        if !equal(ours, theirs) {
            return Some(format!("row {i}: {ours} is not {theirs}"));
        }
    }
    (rows.len() != expected.len()).then(|| format!("{} rows, not {}", rows.len(), expected.len()))
}

fn object(answer: &Answer, row: &[Value]) -> Json {
    let kept = answer
        .columns
        .iter()
        .zip(row)
        .filter(|(c, _)| answer.name != "backscatter" || !FREE.contains(&c.name.as_str()));
    Json::Object(kept.map(|(c, v)| (c.name.clone(), serde_json::to_value(v).unwrap())).collect())
}

/// Numbers within 1e-6 of the larger; everything else exactly, keys in order.
fn equal(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && equal(a, b))
        }
        (a, b) => a == b,
    }
}
