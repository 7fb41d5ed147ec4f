//! Behind the rows of every answer stand as many sources as the rows say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use trapline_questions::{Ask, AskError, Catalog, Question, Rule, Session, SourceDay, Value};
use trapline_store::{Data, Snapshot};

/// Rows tried of each answer, evenly spread: two queries each.
const ROWS: usize = 4;

fn trapline(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a row says of how many stand behind it: sources or addresses.
fn told(question: &Question, row: &[Value]) -> Option<(&'static str, usize)> {
    ["sources", "ips"].into_iter().find_map(|unit| {
        let column = question.columns.iter().position(|c| c.name == unit)?;
        match row[column] {
            Value::Int(n) => Some((unit, n as usize)),
            _ => None,
        }
    })
}

fn count(unit: &str, found: &[SourceDay]) -> usize {
    match unit {
        "ips" => found.iter().map(|d| d.ip).collect::<BTreeSet<IpAddr>>().len(),
        _ => found.iter().map(|d| (&d.platform, d.ip, d.src)).collect::<BTreeSet<_>>().len(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_sources_stand_behind_a_row_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    trapline(folder.path(), &["simulate", "paper2003", "--scale", "0.02", "-o", "paper"]);
    let geo = ["--geo", "paper/places.mmdb", "--geo", "built-in"];
    trapline(folder.path(), &[&["ingest", "paper", "--platform", "paper/platform.toml"], &geo[..]].concat());
    let data = Data::at(&folder.path().join("trapline-data").display().to_string()).unwrap();
    let snapshot = Snapshot::latest(&data).await.unwrap().unwrap();
    let catalog = Catalog::built_in();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for rule in [Rule::Day, Rule::Gap] {
        let session = Session::open(&snapshot, Ask { rule, threads: 2, ..Ask::default() }).await.unwrap();
        session.keep_sources().await.unwrap();
        for question in catalog.questions() {
            let rows = session.rows(question, &[]).await.unwrap().rows;
            for number in (0..rows.len()).step_by(rows.len().div_ceil(ROWS).max(1)) {
                let name = format!("{} ({rule:?}) row {}", question.name, number + 1);
                match session.behind(&snapshot, question, &[], number + 1).await {
                    Ok(found) => {
                        tried += 1;
                        let told = told(question, &rows[number]);
                        let found = told.map(|(unit, _)| count(unit, &found));
                        if found != told.map(|(_, n)| n) {
                            wrong.push(format!("{name}: {found:?} stand behind {:?}", rows[number]));
                        }
                    }
                    Err(AskError::Parameter(what)) if what.ends_with("stands for a rest") => {}
                    Err(error) => wrong.push(format!("{name}: {error}")),
                }
            }
        }
    }
    assert!(tried > 100, "only {tried} rows were tried");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
