//! Real captures, and damaged copies of them: the program ends with 0 or 1, says what is wrong, and keeps what came before.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, Random, lines};
use trapline_testing::{shared, skipped};

fn dry_run(paths: &[&Path]) -> Output {
    let program =
        Command::new(env!("CARGO_BIN_EXE_trapline")).args(["ingest", "--dry-run"]).args(paths).output();
    program.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A row of the captures' README: file and packets, as capinfos counts them.
fn listed(readme: &str) -> Vec<(String, u64)> {
    let packet_captures = readme.split("## The honeynet-2005 pcap").next().unwrap_or_default();
    let cells = packet_captures.lines().map(|l| l.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter_map(|c| Some((c.get(1)?.to_string(), c.get(3)?.parse().ok()?))).collect()
}

#[test]
fn every_real_capture_has_the_packets_that_its_readme_says() {
    let Some(shared) = shared("real captures") else { return };
    let folder = shared.join("data/captures");
    let listed = listed(&std::fs::read_to_string(folder.join("README.md")).unwrap());
    assert!(listed.len() > 30, "only {} captures are listed", listed.len());
    let mut wrong = Vec::new();
    for (name, packets) in listed {
        let path = folder.join(&name);
        if !path.exists() {
            skipped(&name, "not among the captures");
            continue;
        }
        let output = dry_run(&[&path]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        // The first line begins «1 capture, 82,938 packets».
        let count =
            out.split(" packet").next().and_then(|l| l.split_once(", ")).map(|(_, n)| n.replace(',', ""));
        if !matches!(output.status.code(), Some(0 | 1)) || count.and_then(|n| n.parse().ok()) != Some(packets)
        {
            wrong.push(format!(
                "{name}: {packets} packets expected, status {:?}\n{out}{err}",
                output.status.code()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_honeynets_24_decoys_are_inferred_and_reported() {
    let Some(shared) = shared("inferred decoys of a real honeynet") else { return };
    let capture = shared.join("data/captures/honeynet-2005/sotm34-feb25-mar12-headers.pcap");
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("r.html");
    let report = Command::new(env!("CARGO_BIN_EXE_trapline"))
        .arg("report")
        .arg(&capture)
        .arg("-o")
        .arg(&page)
        .output();
    let report = report.unwrap();
    assert!(report.status.success(), "{}", text(&report.stderr));
    let told = text(&report.stderr);
    let hosts =
        told.lines().find_map(|l| l.strip_prefix("24 hosts inferred: ")).unwrap_or_else(|| panic!("{told}"));
    let hosts: Vec<&str> = hosts.split(", ").collect();
    assert_eq!((hosts[0], hosts[23]), ("11.11.79.64", "11.11.79.125"));
    assert!(hosts.iter().all(|h| h.starts_with("11.11.79.")));
    assert!(std::fs::read_to_string(&page).unwrap().contains("n = 12,528 sources"));
}

/// Damages every capture it is given in every way and checks what the program says.
fn check_damaged(name: &str, whole: &[u8], folder: &Path) {
    let path = folder.join("damaged.pcap");
    let run = |bytes: &[u8], what: &str, must_tell: bool| {
        std::fs::write(&path, bytes).unwrap();
        let output = dry_run(&[&path]);
        let err = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{name}, {what}: {:?}\n{err}", output.status);
        assert!(!err.contains("panicked"), "{name}, {what}: {err}");
        if must_tell {
            assert_eq!(output.status.code(), Some(1), "{name}, {what}: {}{err}", text(&output.stdout));
            assert!(err.contains("damaged.pcap"), "{name}, {what}: {err}");
        }
    };
    for tenth in 0..10 {
        let cut = whole.len() * tenth / 10;
        run(&whole[..cut], &format!("cut after {cut} bytes"), cut < 24);
    }
    let mut random = Random::new(whole.len() as u64);
    for round in 0..4 {
        let mut flipped = whole.to_vec();
        for _ in 0..=flipped.len() / 200 {
            let at = random.below(flipped.len() as u64) as usize;
            flipped[at] ^= 1 << random.below(8);
        }
        run(&flipped, &format!("bits flipped, round {round}"), false);
    }
}

#[test]
fn damaged_captures_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let packets = parse(&lines(7, 300), &names(PLATFORM));
    check_damaged("typed", &pcap(&packets), folder.path());
    let Some(shared) = shared("damaged copies of real captures") else { return };
    let mut files: Vec<PathBuf> = walk(&shared.join("data/captures"));
    files.retain(|f| f.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    files.sort_by_key(|f| std::fs::metadata(f).map_or(0, |m| m.len()));
    // The small ones of every kind; large ones only take longer to say the same.
    for file in files.iter().filter(|f| std::fs::metadata(f).unwrap().len() < 60_000) {
        check_damaged(&file.display().to_string(), &std::fs::read(file).unwrap(), folder.path());
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

#[test]
fn what_comes_before_the_damage_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let packets = parse(&lines(8, 100), &names(PLATFORM));
    let whole = pcap(&packets);
    let path = folder.path().join("cut.pcap");
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let output = dry_run(&[&path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("1 capture, 99 packets"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("the file ends 5 bytes early"), "{}", text(&output.stderr));
    // A damaged one among good ones does not harm them.
    let good = folder.path().join("good.pcap");
    std::fs::write(&good, pcap(&packets[..10])).unwrap();
    let output = dry_run(&[&path, &good]);
    assert!(text(&output.stdout).starts_with("2 captures, 109 packets"), "{}", text(&output.stdout));
}

#[test]
fn what_is_no_capture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("empty.pcap"), b"").unwrap();
    std::fs::write(place("notes.txt"), b"this is no capture, only words\n").unwrap();
    std::fs::create_dir(place("folder")).unwrap();
    std::fs::write(place("folder/readme.txt"), b"nor this").unwrap();
    for (name, says) in
        [("empty.pcap", "empty"), ("notes.txt", "not a capture"), ("folder", "no captures in this folder")]
    {
        let output = dry_run(&[&place(name)]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains(name) && err.contains(says), "{name}: {err}");
    }
    let output = dry_run(&[&place("missing.pcap")]);
    assert_eq!(output.status.code(), Some(2), "nothing was done");
    assert!(text(&output.stderr).contains("missing.pcap"));
}

#[test]
fn compressed_captures_and_standard_input_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pcap(&parse(&lines(9, 200), &names(PLATFORM)));
    let plain = folder.path().join("plain.pcap");
    std::fs::write(&plain, &whole).unwrap();
    let expected = text(&dry_run(&[&plain]).stdout);
    let mut gzip = Vec::new();
    flate2::read::GzEncoder::new(&whole[..], flate2::Compression::fast()).read_to_end(&mut gzip).unwrap();
    let mut xz = Vec::new();
    liblzma::read::XzEncoder::new(&whole[..], 1).read_to_end(&mut xz).unwrap();
    for (name, bytes) in [("a.gz", gzip), ("a.zst", zstd::encode_all(&whole[..], 1).unwrap()), ("a.xz", xz)] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(text(&dry_run(&[&path]).stdout), expected, "{name}");
    }
    let url = format!("file://{}", plain.display());
    let output =
        Command::new(env!("CARGO_BIN_EXE_trapline")).args(["ingest", "--dry-run", &url]).output().unwrap();
    assert_eq!(text(&output.stdout), expected, "{url}: {}", text(&output.stderr));
    let mut child = Command::new(env!("CARGO_BIN_EXE_trapline"))
        .args(["ingest", "--dry-run", "-"])
        .stdin(std::fs::File::open(&plain).unwrap())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(out, expected, "standard input");
}
