//! The question of docs/your-own-question.md works as the page says: in `ask`, in the report, and as an error where it is wrong.

use std::path::Path;
use std::process::{Command, Output};

use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::project;
use trapline_testing::random::{PLATFORM, lines};

fn trapline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_example_on_its_page_works() {
    let page = std::fs::read_to_string(project().join("docs/your-own-question.md")).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (question, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("mine")).unwrap();
    std::fs::write(path.join("mine/knock-once.toml"), question).unwrap();
    std::fs::write(path.join("platform.toml"), PLATFORM).unwrap();
    std::fs::write(path.join("a.pcap"), pcap(&parse(&lines(3, 300), &names(PLATFORM)))).unwrap();
    assert!(trapline(path, &["ingest", "a.pcap", "--platform", "platform.toml"]).status.success());
    assert!(text(&trapline(path, &["ask", "--questions", "mine"]).stdout).contains("knock-once"));
    let ask = |more: &[&str]| {
        trapline(path, &[&["ask", "knock-once", "--questions", "mine", "--format", "csv"], more].concat())
    };
    let all = ask(&[]);
    assert!(all.status.success(), "{}", text(&all.stderr));
    assert!(text(&all.stdout).lines().count() > 1, "some source of the random traffic knocks once");
    let high = text(&ask(&["--param", "lowest=5000"]).stdout);
    assert_eq!(high, "host,port,sources\n", "no port of the random traffic is that high");
    assert!(ask(&["--rule", "gap"]).status.success());
    let report = trapline(path, &["report", "--questions", "mine", "-o", "r.html"]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let html = std::fs::read_to_string(path.join("r.html")).unwrap();
    assert!(html.contains("Which sources knock once and never again?") && html.contains("chart-knock-once"));
    // Columns that the SQL does not give are the question's fault; a report goes on without it and says so.
    let broken = question.replace("name = \"sources\"", "name = \"visitors\"");
    std::fs::write(path.join("mine/knock-once.toml"), broken).unwrap();
    let wrong = ask(&[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("visitors"), "{}", text(&wrong.stderr));
    let report = trapline(path, &["report", "--questions", "mine", "-o", "r.html"]);
    assert_eq!(report.status.code(), Some(1), "{}", text(&report.stderr));
    std::fs::write(path.join("mine/knock-once.toml"), "colour = 1").unwrap();
    let wrong = ask(&[]);
    assert!(text(&wrong.stderr).contains("knock-once.toml"), "{}", text(&wrong.stderr));
    std::fs::rename(path.join("mine/knock-once.toml"), path.join("mine/kinds.toml")).unwrap();
    assert_eq!(ask(&[]).status.code(), Some(2), "a built-in name is taken");
}
