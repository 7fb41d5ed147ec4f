//! The arrows of ARCHITECTURE.md: a crate links what it may know, and nothing that it must not know.

use std::collections::BTreeSet;
use std::process::Command;

use trapline_testing::project;

/// Every crate with the crates of ours that it may use, in the direction of the pipeline.
const ARROWS: [(&str, &[&str]); 17] = [
    ("trapline-wire", &[]),
    ("trapline-decoy", &["trapline-wire"]),
    ("trapline-archive", &["trapline-wire"]),
    ("trapline-platform", &["trapline-wire"]),
    ("trapline-line", &["trapline-archive"]),
    ("trapline-vault", &["trapline-archive", "trapline-line"]),
    (
        "trapline-sensor",
        &["trapline-archive", "trapline-decoy", "trapline-line", "trapline-platform", "trapline-wire"],
    ),
    ("trapline-speech", &[]),
    ("trapline-intake", &["trapline-archive", "trapline-platform", "trapline-speech", "trapline-wire"]),
    ("trapline-enrich", &["trapline-wire"]),
    ("trapline-store", &["trapline-enrich", "trapline-intake", "trapline-speech", "trapline-wire"]),
    ("trapline-questions", &["trapline-enrich", "trapline-store"]),
    ("trapline-report", &["trapline-questions"]),
    ("trapline-sim", &["trapline-wire"]),
    (
        "trapline",
        &[
            "trapline-archive",
            "trapline-decoy",
            "trapline-enrich",
            "trapline-intake",
            "trapline-line",
            "trapline-platform",
            "trapline-questions",
            "trapline-report",
            "trapline-sensor",
            "trapline-sim",
            "trapline-store",
            "trapline-vault",
            "trapline-wire",
        ],
    ),
    ("trapline-testing", &["trapline-wire"]),
    ("xtask", &["trapline-decoy", "trapline-sensor"]),
];

/// What a crate must not link, directly or through others.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    ("trapline-wire", &["libc", "tokio", "serde", "chrono"]),
    ("trapline-decoy", &["libc", "tokio", "chrono", "rand"]),
    ("trapline-archive", &["tokio", "chrono", "arrow"]),
    // What carries segments away: no server, no engine.
    ("trapline-line", &["datafusion", "arrow", "clap", "trapline-decoy", "trapline-vault"]),
    // The host that attackers touch: no engine, no analysis, no server. The process that ships needs a client for HTTPS and object stores
    // (trapline-line), whose process has no packet socket.
    (
        "trapline-sensor",
        &[
            "datafusion",
            "arrow",
            "parquet",
            "clap",
            "axum",
            "trapline-vault",
            "trapline-intake",
            "trapline-speech",
            "trapline-store",
            "trapline-enrich",
        ],
    ),
    ("trapline-speech", &["tokio", "chrono", "libc", "object_store"]),
    ("trapline-enrich", &["tokio", "datafusion", "arrow", "object_store", "clap"]),
    ("trapline-intake", &["datafusion", "deltalake", "arrow", "parquet", "clap", "indicatif"]),
    ("trapline-sim", &["tokio", "datafusion", "object_store", "blake3"]),
    ("xtask", &["datafusion"]),
];

/// Guests that live in one crate (or two): nobody else names them.
const GUESTS: [(&str, &[&str]); 18] = [
    ("deltalake", &["trapline-store"]),
    ("parquet", &["trapline-store"]),
    ("datafusion", &["trapline-store", "trapline-questions"]),
    ("object_store", &["trapline-intake", "trapline-line", "trapline-store"]),
    ("reqwest", &["trapline-line"]),
    ("rcgen", &["trapline-line", "trapline-vault"]),
    ("rustls", &["trapline-line", "trapline-vault"]),
    ("tokio-rustls", &["trapline-vault"]),
    ("hyper", &["trapline-vault", "trapline"]),
    ("maxminddb", &["trapline-enrich"]),
    ("tzf-rs", &["trapline-enrich"]),
    ("quick-xml", &["trapline-enrich"]),
    ("httparse", &["trapline-speech"]),
    ("maud", &["trapline-report"]),
    ("comfy-table", &["trapline-report"]),
    ("clap", &["trapline"]),
    ("indicatif", &["trapline"]),
    ("tracing-subscriber", &["trapline"]),
];

/// Names of the packages that `package` links for real, without those of tests, up to `depth`.
fn links(package: &str, depth: &str) -> BTreeSet<String> {
    let arguments = [
        "tree",
        "--offline",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--depth",
        depth,
    ];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(project()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (package, allowed) in ARROWS {
        let ours = |name: &&String| name.starts_with("trapline");
        for used in links(package, "1").iter().filter(ours).filter(|used| !allowed.contains(&used.as_str())) {
            wrong.push(format!("{package} uses {used}"));
        }
    }
    for (package, forbidden) in FORBIDDEN {
        let all = links(package, "99");
        wrong.extend(forbidden.iter().filter(|f| all.contains(**f)).map(|f| format!("{package} links {f}")));
    }
    for (package, _) in ARROWS {
        let direct = links(package, "1");
        let strangers =
            GUESTS.iter().filter(|(guest, homes)| direct.contains(*guest) && !homes.contains(&package));
        wrong.extend(strangers.map(|(guest, _)| format!("{package} names {guest}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_its_arrows() {
    let folders = std::fs::read_dir(project().join("crates")).unwrap().count();
    assert_eq!(ARROWS.len(), folders + 1, "a new crate needs its line here and in ARCHITECTURE.md");
}

/// A protocol without its fuzz target, or a target that nobody runs, would go unnoticed: `fuzz` is a workspace of its own.
#[test]
fn every_protocol_has_its_fuzz_target() {
    let read = |path: &str| std::fs::read_to_string(project().join(path)).unwrap();
    let manifest = read("fuzz/Cargo.toml");
    let connections = trapline_speech::protocols::CANDIDATES.iter().map(|c| c.name);
    let datagrams = trapline_speech::protocols::DATAGRAMS.iter().map(|(name, _, _)| *name);
    let names: BTreeSet<&str> = connections.chain(datagrams).collect();
    assert!(names.len() > 30, "only {} protocols", names.len());
    for name in names {
        let target = read(&format!("fuzz/fuzz_targets/say_{name}.rs"));
        assert!(target.contains(&format!("\"{name}\"")), "say_{name}.rs plays another protocol");
        assert_eq!(
            manifest.matches(&format!("name = \"say_{name}\"")).count(),
            1,
            "say_{name} in fuzz/Cargo.toml"
        );
    }
}
