//! Scanners, fingerprinters and clients before the real sensor, as they are before decoys on the bench; floods and malformed ARP; and an
//! observer who counts frames that no decoy sent: none.

mod common;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use common::{Wire, on_a_wire};
use trapline_sensor::believed;
use trapline_sensor::bench::in_namespace;
use trapline_testing::skipped;
use trapline_testing::wire::sh;

/// The paper's three, with the ports that their systems open by themselves.
const PLATFORM: &str = r#"
[platform]
name = "eurecom"
prefix = 16
[[host]]
name = "mach0"
addresses = ["10.9.1.10"]
persona = "windows-98"
mac = "02:00:00:09:01:10"
[[host]]
name = "mach1"
addresses = ["10.9.1.11"]
persona = "windows-nt4-server"
mac = "02:00:00:09:01:11"
[[host]]
name = "mach2"
addresses = ["10.9.1.12"]
persona = "linux-redhat-7.3"
mac = "02:00:00:09:01:12"
"#;

const MACS: [[u8; 6]; 3] = [[2, 0, 0, 9, 1, 0x10], [2, 0, 0, 9, 1, 0x11], [2, 0, 0, 9, 1, 0x12]];

/// Runs a program on the peer's side, where it is installed.
fn visit(wire: &Wire, line: &str) -> Option<String> {
    let program = line.split(' ').next().unwrap();
    if sh(&format!("which {program}")).is_err() {
        skipped(&format!("{program} before the real sensor"), "not installed");
        return None;
    }
    Some(wire.peer(&format!("timeout -s KILL 25 {line}")))
}

/// On a busy machine both measure time as it is not: they may look again.
const LOOKS: usize = 3;

/// What nmap and p0f say of the paper's three.
fn fingerprinters(wire: &Wire) {
    for (last, system) in
        [(10, "Microsoft Windows 98 SE"), (11, "Microsoft Windows NT 4.0 SP5 - SP6"), (12, "Linux 2.4.18")]
    {
        let host = Ipv4Addr::new(10, 9, 1, last);
        let mut named = Vec::new();
        let right = |(name, accuracy): &(String, u32)| {
            *accuracy == 100 && (name.contains(system) || system.contains(name.as_str()))
        };
        for _ in 0..LOOKS {
            let told =
                in_namespace(&wire.peer, || believed::nmap(&["-O", "--top-ports", "100", "-T4"], &[host]));
            match told.unwrap() {
                Err(why) => return skipped("nmap before the real sensor", &why),
                Ok(told) => named.extend(told[&host].systems.clone()),
            }
            if named.iter().any(right) {
                break;
            }
        }
        assert!(named.iter().any(right), "{host}: {named:?}");
    }
    if visit(wire, "p0f -h").is_none() {
        return;
    }
    let mut system = String::new();
    for _ in 0..LOOKS {
        let told = wire.peer(
            "timeout -s KILL 8 p0f -i wire0 > p0f.log 2>&1 & sleep 2; curl -s -m 3 ftp://10.9.1.12/ > /dev/null; sleep 1; wait; cat p0f.log",
        );
        let answer = told.split(".-[").find(|part| part.contains("(syn+ack)")).unwrap_or_default();
        system = answer.lines().find(|line| line.contains("| os ")).unwrap_or_default().to_owned();
        if !system.is_empty() {
            break;
        }
    }
    assert!(system.contains("Linux") && !system.contains("???"), "{system}");
}

/// What ordinary clients do, and what each of them says then.
const CLIENTS: [(&str, &str); 6] = [
    ("curl -sS -m 20 ftp://10.9.1.12/", "pub"),
    ("curl -sS -m 20 --ftp-port - ftp://10.9.1.12/", "pub"),
    ("curl -sS -m 20 http://10.9.1.11/", "<"),
    ("lftp -c 'set net:timeout 10; open 10.9.1.12; cls'", "pub"),
    ("smbclient -N -L 10.9.1.11 --option='client min protocol=NT1'", "IPC$"),
    ("arp-scan --interface=wire0 --retry=1 10.9.1.11", "02:00:00:09:01:11"),
];

/// What is not made for answers: floods, scans, malformed frames.
const FLOODS: [&str; 8] = [
    "hping3 -q -i u100 -S -p 80 -c 3000 10.9.1.11",
    "hping3 -q -i u100 --udp -p 137 -c 1000 10.9.1.11",
    "hping3 -q -i u100 --icmp -c 1000 10.9.1.12",
    "hping3 -q -i u100 -FSRPAU -p 21 -d 1400 -f -c 500 10.9.1.12",
    "masscan --ports 0-2000 --rate 5000 --wait 1 --source-ip 10.9.0.77 --interface wire0 10.9.1.12",
    "arp-scan --interface=wire0 --retry=1 --arphln=9 --arppln=2 --arppro=0x86dd 10.9.1.0/28",
    "arp-scan --interface=wire0 --retry=1 --arpop=77 --arphrd=65535 --padding=ffffffffffffffffffff 10.9.1.0/28",
    "arp-scan --interface=wire0 --retry=1 --arpspa=10.9.1.11 --arpsha=02:00:00:09:01:11 --srcaddr=02:00:00:09:01:11 10.9.1.10",
];

#[test]
fn visitors_find_what_they_look_for_and_nothing_else_speaks() {
    on_a_wire("w", PLATFORM, |wire| {
        if sh("which tcpdump curl").is_err() {
            skipped("visitors before the real sensor", "tcpdump or curl is not installed");
            return Ok(());
        }
        let watching = wire.watch();
        let (sensor, _) = wire.start(&["--segment-s", "2"])?;
        fingerprinters(wire);
        for (line, expected) in CLIENTS {
            if let Some(told) = visit(wire, line) {
                assert!(told.contains(expected), "{line}: {told}\n{}", wire.log());
            }
        }
        for line in FLOODS {
            let _ = visit(wire, line);
        }
        // After all that it answers as before.
        assert!(wire.peer("curl -sS -m 20 http://10.9.1.11/").contains('<'), "{}", wire.log());
        std::thread::sleep(Duration::from_millis(500));
        assert!(sensor.end(), "{}", wire.log());
        assert!(watching.end());

        // The last one of the floods spoke as mach1 itself: frames of that address came from the peer too.
        assert_eq!(
            wire.strangers(&MACS).iter().filter(|frame| frame[6..12] != [2, 0, 0, 9, 0, 0x77]).count(),
            0
        );
        let verdict = wire.verify();
        assert!(verdict.is_whole(), "{:?}", verdict.findings);
        let sum = verdict
            .ledger
            .values()
            .fold((0, 0), |(seen, kept), entry| (seen + entry.seen, kept + entry.written));
        assert!(sum.0 == sum.1 && sum.0 > 10_000, "{sum:?}");
        // What was on the wire is in the archive, as often. A flood's answers may be lost behind the sensor, in the peer's queue.
        let mut seen = of_decoys(common::read(&std::fs::read(wire.file("seen.pcap")).unwrap()));
        for (frame, times) in of_decoys(wire.archived()) {
            if seen.get(&frame).is_some_and(|seen| *seen <= times) {
                seen.remove(&frame);
            }
        }
        assert_eq!(seen.len(), 0, "only on the wire: {seen:?}");
        Ok(())
    });
}

/// Frames of decoys, and how often each was there.
fn of_decoys(frames: Vec<Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for frame in frames.into_iter().filter(|frame| MACS.iter().any(|mac| mac == &frame[6..12])) {
        *counts.entry(frame).or_default() += 1;
    }
    counts
}
