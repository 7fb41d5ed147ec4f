//! The worked examples of docs/method/: their packets are taken in, their commands run, their output compared.
//!
//! `cargo xtask golden` writes output and column tables anew; a change of either is then a diff to be explained.

use std::path::{Path, PathBuf};

use trapline_questions::Catalog;
use trapline_testing::{packets, project, refreshing, transcript};

fn pages() -> Vec<(String, PathBuf)> {
    let folder = project().join("docs/method");
    Catalog::built_in()
        .questions()
        .iter()
        .map(|q| (q.name.clone(), folder.join(format!("{}.md", q.name))))
        .collect()
}

#[test]
fn every_question_has_a_page_whose_example_is_true() {
    let mut wrong = Vec::new();
    for (name, path) in pages() {
        let Ok(page) = std::fs::read_to_string(&path) else {
            wrong.push(format!("{name}: docs/method/{name}.md is missing"));
            continue;
        };
        let right = with_columns(&with_output(&page), &name);
        if right == page {
            continue;
        }
        if refreshing() {
            std::fs::write(&path, right).unwrap();
        } else {
            wrong.push(difference(&name, &page, &right));
        }
    }
    assert!(wrong.is_empty(), "{}\n`cargo xtask golden` writes them anew", wrong.join("\n"));
}

/// A page with the output that the program gives now.
fn with_output(page: &str) -> String {
    let platform = fenced(page, "platform").expect("a page has a ```platform block");
    let typed = fenced(page, "packets").expect("a page has a ```packets block");
    let console = fenced(page, "console").expect("a page has a ```console block");
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_trapline"));
    std::fs::write(folder.path().join("platform.toml"), platform).unwrap();
    let packets = packets::parse(typed, &packets::names(platform));
    std::fs::write(folder.path().join("packets.pcap"), packets::pcap(&packets)).unwrap();
    let taken_in = transcript::run("ingest packets.pcap --platform platform.toml", program, folder.path());
    assert!(taken_in.contains("commit 1"), "{taken_in}");
    page.replacen(console, &transcript::replay(console, program, folder.path()), 1)
}

/// A page with the columns that the question declares.
fn with_columns(page: &str, name: &str) -> String {
    const BEGIN: &str = "<!-- columns -->\n";
    const END: &str = "<!-- end -->";
    let question = Catalog::built_in().get(name).unwrap().clone();
    let mut table = String::from("| column | unit | meaning |\n|---|---|---|\n");
    for column in &question.columns {
        table.push_str(&format!("| `{}` | {} | {} |\n", column.name, column.unit, column.meaning));
    }
    for parameter in &question.parameters {
        let line = format!(
            "\n`--param {}=…` ({} unless given): {}\n",
            parameter.name, parameter.default, parameter.meaning
        );
        table.push_str(&line);
    }
    table.push_str(&format!("\nOrder of rows: {}.\n", question.order));
    let (before, rest) = page.split_once(BEGIN).expect("a page has the <!-- columns --> mark");
    let (_, after) = rest.split_once(END).expect("a page has the <!-- end --> mark");
    format!("{before}{BEGIN}{table}{END}{after}")
}

/// The text of a fenced block.
fn fenced<'a>(page: &'a str, kind: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("```{kind}\n"))?;
    Some(rest.split_once("```")?.0)
}

fn difference(name: &str, page: &str, right: &str) -> String {
    let lines = page.lines().zip(right.lines()).find(|(a, b)| a != b);
    let (is, should) = lines.unwrap_or(("(the end)", "(more lines)"));
    format!("docs/method/{name}.md says\n  {is}\nand should say\n  {should}")
}
