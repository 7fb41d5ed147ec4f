//! kill -9 at any moment of an ingest: every answer is as before it or as after it, and the next ingest sweeps what is left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, Random, lines};

const KILLS: usize = 30;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trapline"));
    command.args(arguments).current_dir(folder);
    command
}

fn ingest(folder: &Path, capture: &str, stdout: Stdio) -> Child {
    let arguments = ["ingest", capture, "--platform", "platform.toml", "--threads", "2"];
    command(folder, &arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap()
}

/// What is asked after every kill: all of these answers must be of one moment.
fn answers(folder: &Path) -> String {
    let mut all = String::new();
    for question in ["overview", "sequences", "victims", "kinds"] {
        let output = command(folder, &["ask", question, "--format", "json"]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || err.contains("no tables yet"), "{question}: {err}");
        all.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    all
}

/// A folder with the random platform and the captures `days.0.pcap`, `days.1.pcap` …
fn place(captures: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("platform.toml"), PLATFORM).unwrap();
    for i in 0..captures {
        let packets = parse(&lines(100 + i, 150), &names(PLATFORM));
        std::fs::write(folder.path().join(format!("days.{i}.pcap")), pcap(&packets)).unwrap();
    }
    folder
}

/// Data files below the tables' folder that no table's log names, and half-written ones.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let tables = folder.join("trapline-data");
    let mut left = Vec::new();
    for table in std::fs::read_dir(&tables).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let log: String = std::fs::read_dir(table.join("_delta_log"))
            .unwrap()
            .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap_or_default())
            .collect();
        let mut folders = vec![table.clone()];
        while let Some(inside) = folders.pop() {
            for path in std::fs::read_dir(inside).unwrap().map(|e| e.unwrap().path()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.contains('#') || (name.ends_with(".parquet") && !log.contains(&name)) {
                    left.push(path);
                }
            }
        }
    }
    left
}

#[test]
fn answers_are_those_of_before_or_of_after() {
    let folder = place(2);
    let path = folder.path();
    let mut first = ingest(path, "days.0.pcap", Stdio::null());
    assert!(first.wait().unwrap().success());
    let before = answers(path);
    let twin = place(2);
    assert!(ingest(twin.path(), "days.0.pcap", Stdio::null()).wait().unwrap().success());
    let began = std::time::Instant::now();
    assert!(ingest(twin.path(), "days.1.pcap", Stdio::null()).wait().unwrap().success());
    let took = began.elapsed();
    let after = answers(twin.path());
    assert_ne!(before, after);
    let mut random = Random::new(9);
    let (mut killed, mut found_leftovers) = (0, 0);
    for round in 0..KILLS {
        let mut child = ingest(path, "days.1.pcap", Stdio::null());
        // From the beginning to a little after the end of an undisturbed run.
        std::thread::sleep(took.mul_f64(random.below(1100) as f64 / 1000.0));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let now = answers(path);
        assert!(now == before || now == after, "round {round}: a mixture of before and after");
        found_leftovers += usize::from(!leftovers(path).is_empty());
        if now == after {
            // Begin again from the state before.
            std::fs::remove_dir_all(path.join("trapline-data")).unwrap();
            assert!(ingest(path, "days.0.pcap", Stdio::null()).wait().unwrap().success());
        }
    }
    // Where the first run was slowed down by others, later ones end before most of the moments that it made room for.
    assert!(killed >= KILLS / 4, "only {killed} of {KILLS} were killed while they ran");
    assert!(found_leftovers > 0, "no kill left anything behind: the sweep was not tested");
    assert!(ingest(path, "days.1.pcap", Stdio::null()).wait().unwrap().success());
    assert_eq!(answers(path), after);
    // A capture that is known writes nothing, but entering sweeps.
    assert!(ingest(path, "days.1.pcap", Stdio::null()).wait().unwrap().success());
    assert_eq!(leftovers(path), Vec::<PathBuf>::new());
}

#[test]
fn programs_that_ingest_at_the_same_time_lose_nothing() {
    const AT_ONCE: u64 = 4;
    let (folder, twin) = (place(AT_ONCE), place(AT_ONCE));
    let children: Vec<Child> =
        (0..AT_ONCE).map(|i| ingest(folder.path(), &format!("days.{i}.pcap"), Stdio::null())).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let all = command(twin.path(), &["ingest", ".", "--platform", "platform.toml"]).output().unwrap();
    assert!(all.status.success());
    assert_eq!(answers(folder.path()), answers(twin.path()));
}

#[test]
fn ctrl_c_stops_cleanly() {
    let folder = place(1);
    let packets = parse(&lines(55, 60_000), &names(PLATFORM));
    std::fs::write(folder.path().join("long.pcap"), pcap(&packets)).unwrap();
    assert!(ingest(folder.path(), "days.0.pcap", Stdio::null()).wait().unwrap().success());
    let before = answers(folder.path());
    let child = ingest(folder.path(), "long.pcap", Stdio::null());
    // A busy machine takes a while to come so far that the program listens to Ctrl-C.
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let caught =
            text.lines().find_map(|line| line.strip_prefix("SigCgt:")?.trim().get(8..)).map(str::to_owned);
        const SIGINT: u64 = 1 << (2 - 1);
        caught.and_then(|hex| u64::from_str_radix(&hex, 16).ok()).is_some_and(|caught| caught & SIGINT != 0)
    };
    let begun = std::time::Instant::now();
    while !listens() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never listens to Ctrl-C");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("nothing of this run was kept"), "{err}");
    assert_eq!(answers(folder.path()), before);
}
