//! A tenth of the paper's ten months, through the program: every number equals the truth as planned.
//!
//! The truth is written from the plan of the simulated attackers, never from the packets.

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

fn trapline(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_tenth_of_the_paper_answers_as_planned() {
    let folder = tempfile::tempdir().unwrap();
    trapline(folder.path(), &["simulate", "paper2003", "--scale", "0.1", "-o", "paper"]);
    let places = ["--geo", "paper/places.mmdb"];
    trapline(folder.path(), &["ingest", "paper", "--platform", "paper/platform.toml", places[0], places[1]]);
    let truth: Json =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("paper/truth.json")).unwrap())
            .unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for rule in ["day", "gap"] {
        for (question, rows) in truth[rule].as_object().unwrap() {
            let answer = trapline(folder.path(), &["ask", question, "--rule", rule, "--format", "json"]);
            let mut answer: Vec<Json> = serde_json::from_str(&answer).unwrap();
            if question == "backscatter" {
                // The names of its kinds are free, so the plan orders them by their numbers.
                answer.sort_by_key(|r| {
                    std::cmp::Reverse(["packets", "sources", "ports"].map(|k| r[k].as_i64()))
                });
            }
            if question == "processes" {
                // The plan names the worm that it plays; what else its packets look like is not planned.
                let planned =
                    |row: &Json| rows.as_array().unwrap().iter().any(|p| p["process"] == row["process"]);
                answer.retain(planned);
            }
            compared += 1;
            wrong.extend(
                difference(&answer, rows.as_array().unwrap()).map(|d| format!("{question} ({rule}): {d}")),
            );
        }
    }
    assert!(compared >= 2 * 17, "only {compared} answers have a planned truth");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first row in which the answer is not what was planned; the plan may know only some of the columns.
fn difference(answer: &[Json], planned: &[Json]) -> Option<String> {
    if answer.len() != planned.len() {
        return Some(format!("{} rows, planned were {}", answer.len(), planned.len()));
    }
    answer.iter().zip(planned).enumerate().find_map(|(i, (ours, plan))| {
        let columns = plan.as_object().unwrap();
        let column = columns.iter().find(|(name, value)| !same(&ours[name.as_str()], value));
        column.map(|(name, value)| {
            format!("row {i}, {name}: {} instead of {value}; {ours}", ours[name.as_str()])
        })
    })
}

fn same(ours: &Json, planned: &Json) -> bool {
    match (ours.as_f64(), planned.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        _ => ours == planned,
    }
}
