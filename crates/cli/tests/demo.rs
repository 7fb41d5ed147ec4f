//! The demonstration, as a newcomer runs it, and an archive that somebody touched.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use trapline_testing::skipped;

fn trapline(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trapline"));
    command.args(arguments).current_dir(folder).env("SHELL", "/bin/sh");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Files of the spool whose names end so, in order.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("trapline-demo/vault/eurecom")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    paths.sort();
    paths
}

#[test]
fn attacks_on_three_decoys_become_table_1_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let demo = ["demo", "--days", "3", "--scale", "0.05"];
    let output = trapline(folder.path(), &demo, "");
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    for words in [
        "3 days on 3 hosts",
        "$ trapline verify trapline-demo/vault",
        "whole",
        "inbound ",
        "month    rank  sequence",
        "answers in trapline-demo.html",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("not whole") && !told.contains("no captures"), "{told}");
    let page = fs::read_to_string(folder.path().join("trapline-demo.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("mach1"));
    // The same again takes the place of the first; a folder of somebody else is left alone.
    let again = trapline(folder.path(), &demo, "");
    // Progress on standard error depends on how long it takes.
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said(&again), said(&output), "the same seed, the same days");
    fs::create_dir(folder.path().join("mine")).unwrap();
    let refused = trapline(folder.path(), &["demo", "-o", "mine"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("no folder of a demo"), "{}", text(&refused));

    an_archive_that_somebody_touched_is_told(folder.path());
}

fn an_archive_that_somebody_touched_is_told(folder: &Path) {
    let verify = |why: &str, code: i32, words: &str| {
        let output = trapline(folder, &["verify", "trapline-demo/vault"], "");
        let told = text(&output);
        assert_eq!(output.status.code(), Some(code), "{why}: {told}");
        assert!(told.contains(words), "{why}: {told}");
    };
    verify("untouched", 0, "whole");
    let told = text(&trapline(folder, &["status", "trapline-demo/vault"], ""));
    assert!(told.contains("eurecom           2003-03-01") && told.contains("segment 3 was sealed"), "{told}");
    let manifests = files(folder, ".json");
    let capture = files(folder, ".pcapng.zst").remove(0);
    let touch = |path: &Path, change: &dyn Fn(&mut Vec<u8>), words: &str| {
        let before = fs::read(path).unwrap();
        let mut bytes = before.clone();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        verify(&path.display().to_string(), 1, words);
        fs::write(path, before).unwrap();
    };
    touch(&capture, &|bytes| *bytes.last_mut().unwrap() ^= 1, "is altered");
    touch(&capture, &|bytes| bytes.truncate(100), "is altered");
    touch(&manifests[0], &|bytes| bytes[20] ^= 1, "altered or unsigned");
    let second = fs::read(&manifests[1]).unwrap();
    touch(&manifests[0], &|bytes| bytes.clone_from(&second), "is that of segment 2");
    fs::rename(&manifests[1], folder.join("away")).unwrap();
    verify("a manifest less", 1, "segments 2 to the one before it are missing");
    fs::rename(folder.join("away"), &manifests[1]).unwrap();
    fs::remove_file(&capture).unwrap();
    verify("a capture less", 1, "No such file");
    let nothing = trapline(folder, &["verify", "nowhere"], "");
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));
}

#[test]
fn a_visitor_who_is_not_root_attacks_too() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), open).unwrap();
    // Where tests run as root the program lies where nobody else comes.
    let program = folder.path().join("trapline");
    fs::copy(env!("CARGO_BIN_EXE_trapline"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["demo", "--attack"]);
    command.current_dir(folder.path()).env("SHELL", "/bin/sh").env("HOME", folder.path());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        return skipped("demo --attack as an ordinary user", "setpriv is not installed");
    };
    child.stdin.take().unwrap().write_all(b"curl -sS -m 9 ftp://192.0.2.12/; exit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = text(&output);
    if ["no network namespace can be made", "setpriv: ", "curl: not found"]
        .iter()
        .any(|why| told.contains(why))
    {
        return skipped("demo --attack as an ordinary user", &told);
    }
    assert!(output.status.success() && told.contains("incoming") && told.contains("whole"), "{told}");
}

#[test]
fn up_begins_with_files_that_are_right_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let up = |arguments: &[&str]| trapline(folder.path(), &[&["up"], arguments].concat(), "");
    assert!(text(&up(&[])).contains("trapline up --init"));
    assert!(up(&["--init"]).status.success());
    assert!(text(&up(&["--init"])).contains("File exists"), "nothing is overwritten");
    assert!(text(&up(&["--check"])).contains("trapline.toml is right"), "{}", text(&up(&["--check"])));
    let example = fs::read_to_string(folder.path().join("trapline.toml")).unwrap();
    assert_eq!(example, text(&up(&["--example"])));
    for (from, to, why) in [
        ("#options = [\"--segment-s\", \"300\"]", "options = [\"--frob\"]", "--frob"),
        ("#geo = []", "geo = [\"nosuch.mmdb\"]", "nosuch.mmdb: there is no such file"),
        ("#file = \"trapline.html\"", "file = \"nosuch/x.html\"", "there is no such folder"),
        ("#listen = \"127.0.0.1:9464\"", "listen = \"9464\"", "write ADDRESS:PORT"),
        ("interface = \"eth1\"", "#interface = \"eth1\"\ncolour = 1", "colour"),
    ] {
        assert!(example.contains(from), "{from}");
        fs::write(folder.path().join("trapline.toml"), example.replacen(from, to, 1)).unwrap();
        let output = up(&["--check"]);
        assert_eq!(output.status.code(), Some(2), "{to}");
        assert!(text(&output).contains(why), "{to}: {}", text(&output));
    }
    fs::write(folder.path().join("trapline.toml"), &example).unwrap();
    let platform = fs::read_to_string(folder.path().join("platform.toml")).unwrap();
    fs::write(folder.path().join("platform.toml"), platform.replace("windows-98", "windows-99")).unwrap();
    assert!(text(&up(&["--check"])).contains("windows-99"), "{}", text(&up(&["--check"])));
}

#[test]
fn a_visitor_attacks_and_sees_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let typed = "curl -sS -m 9 http://192.0.2.11/; curl -sS -m 9 ftp://192.0.2.12/; exit 3\n";
    let output = trapline(folder.path(), &["demo", "--attack"], typed);
    let told = text(&output);
    if told.contains("no network namespace can be made")
        || told.contains("unshare (of util-linux)")
        || told.contains("curl: not found")
    {
        return skipped("demo --attack", &told);
    }
    assert!(output.status.success(), "{told}");
    for words in
        ["mach2  192.0.2.12", "<html>", "incoming", "whole", "anonymous", "answers in trapline-demo.html"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}
