//! Names and parameters that an attacker may have chosen: text everywhere, code nowhere.

use std::path::Path;
use std::process::{Command, Output};

use trapline_testing::packets::{names, parse, pcap};

/// A host and a platform whose names are SQL, HTML and terminal codes.
const NAME: &str = r#"x'; drop table sources; --<script>alert(1)</script>\u001b[31m=cmd"#;

fn trapline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let platform =
        format!("[platform]\nname = \"{NAME}\"\n[[host]]\nname = \"{NAME}\"\naddresses = [\"192.0.2.10\"]\n");
    std::fs::write(folder.path().join("platform.toml"), platform).unwrap();
    let packets = "2003-08-11 10:00:00 203.0.113.5:1025 > 192.0.2.10:135 tcp S x3";
    let path = folder.path().join("<img src=x onerror=alert(2)>.pcap");
    std::fs::write(path, pcap(&parse(packets, &names("")))).unwrap();
    let taken_in = trapline(folder.path(), &["ingest", ".", "--platform", "platform.toml"]);
    assert!(taken_in.status.success(), "{}", text(&taken_in.stderr));
    assert!(!text(&taken_in.stdout).contains('\x1b'));
    folder
}

#[test]
fn names_are_text_on_the_terminal_in_csv_and_on_the_page() {
    let folder = place();
    let shown = trapline(folder.path(), &["ask", "host-order"]);
    assert!(shown.status.success());
    assert!(text(&shown.stdout).contains("drop table sources") && !text(&shown.stdout).contains('\x1b'));
    let listed =
        trapline(folder.path(), &["sql", "--format", "csv", "select '=1+1' as formula, host from sessions"]);
    assert!(text(&listed.stdout).contains("'=1+1"), "{}", text(&listed.stdout));
    let page = trapline(folder.path(), &["report", "-o", "page.html"]);
    assert!(page.status.success(), "{}", text(&page.stderr));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "the name is shown");
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains('\x1b'));
    let titled = trapline(
        folder.path(),
        &["report", "-o", "page.html", "--title", "</title><script>alert(3)</script>"],
    );
    assert!(titled.status.success());
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(!page.contains("<script>alert(3)"));
}

#[test]
fn parameters_and_flags_are_values_and_never_sql() {
    let folder = place();
    let ask = |arguments: &[&str]| trapline(folder.path(), &[&["ask"], arguments].concat());
    let sources = || text(&ask(&["hosts-reached", "--format", "json"]).stdout);
    let before = sources();
    let evil = "sequence=135' or '1'='1";
    let asked = ask(&["sequence-trend", "--param", evil, "--format", "json"]);
    assert!(asked.status.success());
    assert!(!text(&asked.stdout).contains("\"sources\":1"), "{}", text(&asked.stdout));
    let unknown = ask(&["hosts-reached", "--platform-name", "x' or 1=1 --"]);
    assert_eq!((unknown.status.code(), text(&unknown.stdout)), (Some(2), String::new()));
    let named = NAME.replace("\\u001b", "\x1b");
    assert_eq!(text(&ask(&["hosts-reached", "--platform-name", &named, "--format", "json"]).stdout), before);
    for (filter, why) in [
        ("1=1); drop table sources; --", "a second statement"),
        ("ip in (select ip from stored_replies)", "another table"),
        ("nonsense", "no column"),
    ] {
        let refused = ask(&["hosts-reached", "--where", filter]);
        assert_eq!(refused.status.code(), Some(2), "{why}: {}", text(&refused.stdout));
        assert!(
            text(&refused.stderr).contains("hint: a predicate over one source"),
            "{why}: {}",
            text(&refused.stderr)
        );
    }
    for statement in [
        "drop table sources",
        "copy sources to 'x.csv'",
        "create table t as select 1",
        "set a = 1",
        "insert into sources select * from sources",
    ] {
        let refused = trapline(folder.path(), &["sql", statement]);
        assert_eq!(refused.status.code(), Some(2), "{statement}");
    }
    let refused = ask(&["sequences", "--param", "top=8; drop table sources"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(sources(), before);
}

#[test]
fn what_attackers_say_is_shown_and_never_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let platform = "[platform]\nname = \"p\"\n[[host]]\nname = \"mach1\"\naddresses = [\"192.0.2.11\"]\n";
    std::fs::write(folder.path().join("platform.toml"), platform).unwrap();
    let packets = r#"
        2003-08-11 10:00:00  203.0.113.5:1025 > mach1:21  tcp S
        2003-08-11 10:00:00  mach1:21         > 203.0.113.5:1025  tcp SA
        2003-08-11 10:00:01  203.0.113.5:1025 > mach1:21  tcp PA "USER \x1b[31mroot\x1b]0;owned\x07\r\n"
        2003-08-11 10:00:02  203.0.113.5:1025 > mach1:21  tcp PA "PASS =cmd|'/c calc'!A0\r\n"
        2003-08-11 10:00:03  203.0.113.5:1026 > mach1:80  tcp S
        2003-08-11 10:00:03  mach1:80         > 203.0.113.5:1026  tcp SA
        2003-08-11 10:00:04  203.0.113.5:1026 > mach1:80  tcp PA "GET /<script>alert(1)</script>'; drop table sources;-- HTTP/1.0\r\nUser-Agent: <img src=x onerror=alert(2)>\r\n\r\n"
        2003-08-11 10:00:05  203.0.113.5:1027 > mach1:9   udp "\x00\x1b[2J<script>alert(3)</script>"
    "#;
    let bytes = pcap(&parse(packets, &names(platform)));
    std::fs::write(folder.path().join("a.pcap"), bytes).unwrap();
    let taken_in = trapline(folder.path(), &["ingest", "a.pcap", "--platform", "platform.toml"]);
    assert!(taken_in.status.success(), "{}", text(&taken_in.stderr));
    for arguments in [
        &["ask", "logins"][..],
        &["ask", "ftp-commands", "--format", "csv"],
        &["ask", "http-requests"],
        &["sql", "select * from requests"],
        &["sql", "--format", "csv", "select object, password, body_begin from requests"],
        &["evidence", "--where", "said('(?i)<script>')", "-o", "e.pcapng"],
    ] {
        let shown = trapline(folder.path(), arguments);
        assert!(shown.status.success(), "{arguments:?}: {}", text(&shown.stderr));
        let all = text(&shown.stdout) + &text(&shown.stderr);
        assert!(!all.contains('\x1b') && !all.contains('\x07'), "{arguments:?}: {all:?}");
    }
    let logins = trapline(folder.path(), &["ask", "logins", "--format", "csv"]);
    assert!(text(&logins.stdout).contains("'=cmd|"), "a spreadsheet would run it: {}", text(&logins.stdout));
    let asked = trapline(folder.path(), &["ask", "http-requests", "--format", "json"]);
    assert!(text(&asked.stdout).contains("drop table sources"), "{}", text(&asked.stdout));
    let report = trapline(folder.path(), &["report", "-o", "page.html"]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "the request is shown");
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains('\x1b'));
}
