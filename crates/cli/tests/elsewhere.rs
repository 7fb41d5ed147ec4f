//! The tables open elsewhere: DuckDB and Polars read them as they are.
//!
//! Needs Python with the packages duckdb, polars and deltalake; skipped, and told so, where they are missing.

use std::path::Path;
use std::process::Command;

use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, lines};
use trapline_testing::skipped;

/// DuckDB's own Delta extension has to be downloaded, so DuckDB reads the files that the table's log names.
const DUCKDB: &str = r#"
import duckdb, deltalake
rows = duckdb.read_parquet(deltalake.DeltaTable("trapline-data/sources").file_uris())
print(duckdb.sql("select count(*), sum(packets), count(distinct sequence) from rows").fetchall()[0])
"#;

const POLARS: &str = r#"
import polars
sources = polars.scan_delta("trapline-data/sources")
row = sources.select(polars.len(), polars.col("packets").sum(), polars.col("sequence").n_unique()).collect().row(0)
print(row)
"#;

fn python(folder: &Path, script: &str) -> Option<String> {
    let output = Command::new("python3").args(["-c", script]).current_dir(folder).output().ok()?;
    let err = String::from_utf8_lossy(&output.stderr);
    if err.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{err}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn duckdb_and_polars_open_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("platform.toml"), PLATFORM).unwrap();
    std::fs::write(folder.path().join("a.pcap"), pcap(&parse(&lines(11, 400), &names(PLATFORM)))).unwrap();
    let trapline = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    trapline(&["ingest", "a.pcap", "--platform", "platform.toml"]);
    let ours = trapline(&[
        "sql",
        "--format",
        "csv",
        "select count(*), sum(packets), count(distinct sequence) from sources",
    ]);
    let ours = format!("({})", ours.lines().nth(1).unwrap().replace(',', ", "));
    for (name, script) in [("DuckDB", DUCKDB), ("Polars", POLARS)] {
        match python(folder.path(), script) {
            Some(theirs) => assert_eq!(theirs, ours, "{name}"),
            None => skipped(&format!("tables opened by {name}"), "pip install duckdb polars deltalake"),
        }
    }
}
