//! Scanners are known by what they write into headers: the real programs, in network namespaces of their own, and the simulator's for those
//! that are not to be had. Whoever is none of them gets no label.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trapline_sim::scanners::{Scanner, frames};
use trapline_testing::skipped;
use trapline_wire::{LinkType, pcap};

/// The tools that a capture's only sources get, and the worst odds of a false label.
fn tools(folder: &Path, capture: &str, hosts: &[&str]) -> (Vec<String>, f64) {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_trapline")).args(arguments).current_dir(folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let data = format!("{capture}.tables");
    let mut ingest = vec!["ingest", capture, "--data", &data];
    hosts.iter().for_each(|network| ingest.extend(["--hosts", network]));
    run(&ingest);
    let sources: Vec<Json> =
        serde_json::from_str(&run(&["ask", "hosts-reached", "--data", &data, "--format", "json"])).unwrap();
    assert!(!sources.is_empty(), "{capture}: nobody came");
    let rows: Vec<Json> =
        serde_json::from_str(&run(&["ask", "tools", "--data", &data, "--format", "json"])).unwrap();
    let names = rows.iter().map(|row| row["tool"].as_str().unwrap().to_owned()).collect();
    let odds = rows.iter().filter_map(|row| row["false_label_odds"].as_f64()).fold(0.0, f64::max);
    (names, odds)
}

#[test]
fn simulated_scanners_are_known_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let targets: Vec<SocketAddrV4> = (0..40u16)
        .map(|i| SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2 + (i % 2) as u8), 1_000 + i / 2))
        .collect();
    let expected = [
        (Scanner::Mirai, Some("mirai")),
        (Scanner::MasscanOld, Some("masscan_old")),
        (Scanner::MasscanNew, Some("masscan")),
        (Scanner::ZmapOld, Some("zmap_old")),
        (Scanner::ZmapNew, Some("zmap")),
        (Scanner::Unicorn, Some("unicorn")),
        (Scanner::Nmap, Some("nmap")),
        (Scanner::Control, None),
    ];
    for (scanner, label) in expected {
        for seed in 0..if label.is_some() { 2 } else { 10 } {
            let mut bytes = Vec::new();
            let writer = pcap::Writer::new(&mut bytes, LinkType::ETHERNET);
            for (i, frame) in frames(scanner, seed, &targets, 40).iter().enumerate() {
                let time = 1_060_596_000_000_000_000 + i as i64 * 10_000_000;
                writer.frame(&mut bytes, time, frame.len() as u32, frame);
            }
            let name = format!("{scanner:?}-{seed}.pcap");
            std::fs::write(folder.path().join(&name), bytes).unwrap();
            let (found, odds) = tools(folder.path(), &name, &["198.18.0.2/31"]);
            assert_eq!(found, Vec::from_iter(label), "{name}");
            assert!(odds <= 1e-4, "{name}: {odds}");
        }
    }
}

/// Two network namespaces with a wire between them, removed when this is dropped.
struct Wire {
    id: u32,
}

const SCANNER: &str = "198.18.0.1";
const DECOYS: [&str; 4] = ["198.18.0.2", "198.18.0.3", "198.18.0.4", "198.18.0.5"];

impl Wire {
    /// `None` where this machine does not let us.
    fn new() -> Option<Wire> {
        let wire = Wire { id: std::process::id() };
        let id = wire.id;
        let mut steps = vec![
            format!("netns add tla{id}"),
            format!("netns add tlb{id}"),
            format!("link add tva{id} netns tla{id} type veth peer name tvb{id} netns tlb{id}"),
            format!("-n tla{id} addr add {SCANNER}/24 dev tva{id}"),
            format!("-n tla{id} link set tva{id} up"),
            format!("-n tlb{id} link set tvb{id} up"),
        ];
        steps.extend(DECOYS.map(|decoy| format!("-n tlb{id} addr add {decoy}/24 dev tvb{id}")));
        let done = steps.iter().all(|step| {
            let ip = Command::new("ip").args(step.split(' ')).stderr(Stdio::null()).status();
            ip.is_ok_and(|status| status.success())
        });
        done.then_some(wire)
    }

    fn inside(&self, side: char, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("tl{side}{}", self.id), program]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The decoys' hardware address.
    fn address(&self) -> String {
        let path = format!("/sys/class/net/tvb{}/address", self.id);
        let output = self.inside('b', "cat").arg(path).stdout(Stdio::piped()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a program at the scanner's end while the decoys' end is captured.
    fn capture(&self, file: &Path, program: &str, arguments: &str) {
        let mut tcpdump = self.inside('b', "tcpdump");
        // Each packet is written at once: what waits in a buffer when tcpdump is stopped is lost. Of long frames its
        // buffer holds only some 32, fewer than a scan sends before a busy machine reads them.
        tcpdump.args(["-Z", "root", "--immediate-mode", "-U", "-s", "128", "-w"]).arg(file);
        let mut tcpdump = tcpdump.args(["-i", &format!("tvb{}", self.id)]).spawn().unwrap();
        // The file's header is written when it listens.
        wait(|| std::fs::metadata(file).is_ok_and(|m| m.len() >= 24));
        let mut scan = self.inside('a', program).args(arguments.split(' ')).spawn().unwrap();
        wait(|| scan.try_wait().unwrap().is_some());
        stop(&mut scan, "KILL");
        std::thread::sleep(Duration::from_millis(300));
        stop(&mut tcpdump, "INT");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in ['a', 'b'] {
            let name = format!("tl{side}{}", self.id);
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}

/// Until something is so, but no longer than ten seconds.
fn wait(mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn stop(child: &mut Child, signal: &str) {
    if child.try_wait().unwrap().is_none() {
        let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        let _ = child.wait();
    }
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn real_scanners_are_known_and_nobody_else() {
    const WHAT: &str = "real scanners in network namespaces";
    if !is_there("ip") || !is_there("tcpdump") {
        skipped(WHAT, "no ip (iproute2) or tcpdump");
        return;
    }
    let Some(wire) = Wire::new() else {
        skipped(WHAT, "network namespaces need root here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (card, mac) = (format!("tva{}", wire.id), wire.address());
    let dashed = mac.replace(':', "-");
    let scans = [
        ("nmap", Some("nmap"), "-sS -n -Pn --max-retries 0 -p 1000-1059 198.18.0.2".to_owned()),
        (
            "masscan",
            Some("masscan_old"),
            format!(
                "198.18.0.2 -p1000-1059 --rate 300 --wait 0 -e {card} --router-mac {dashed} --source-ip {SCANNER}"
            ),
        ),
        (
            "zmap",
            Some("zmap_old"),
            format!(
                "-p 80 -i {card} -S {SCANNER} -G {mac} -B 100K --cooldown-time 0 -b /dev/null -o /dev/null 198.18.0.2/31 198.18.0.4/31"
            ),
        ),
        ("hping3", None, "-S -c 20 -i u5000 -p 80 198.18.0.2".to_owned()),
    ];
    for (program, label, arguments) in scans {
        if !is_there(program) {
            skipped(WHAT, &format!("no {program}"));
            continue;
        }
        let name = format!("{program}.pcap");
        wire.capture(&folder.path().join(&name), program, &arguments);
        let (found, odds) = tools(folder.path(), &name, &["198.18.0.2/31", "198.18.0.4/31"]);
        // Which masscan and ZMap are installed decides between the old and the new label.
        let plain: Vec<&str> = found.iter().map(|tool| tool.trim_end_matches("_old")).collect();
        let expected: Vec<&str> = label.iter().map(|tool| tool.trim_end_matches("_old")).collect();
        assert_eq!(plain, expected, "{program}: {found:?}");
        assert!(odds <= 1e-4, "{program}: {odds}");
    }
}
