//! The real sensor on a real interface, in network namespaces of its own: what passes over the wire is in the archive, once, and
//! nothing passes that no decoy said.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Wire, read};
use trapline_archive::verify::{Expected, What, verify};
use trapline_archive::{Folder, spool};
use trapline_testing::skipped;
use trapline_testing::wire::sh;

const PLATFORM: &str = r#"
[platform]
name = "eurecom"
[[host]]
name = "mach1"
addresses = ["10.9.1.11", "fd09::11"]
persona = "linux-6"
mac = "02:00:00:09:01:11"
open = ["80/tcp"]
[[host]]
name = "mach2"
addresses = ["10.9.1.12"]
persona = "linux-redhat-7.3"
mac = "02:00:00:09:01:12"
"#;

/// Their Ethernet addresses.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 9, 1, 0x11], [2, 0, 0, 9, 1, 0x12]];

fn on_a_wire(name: &str, test: impl FnOnce(&Wire) -> Result<(), String>) {
    common::on_a_wire(name, PLATFORM, test);
}

fn sorted(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.sort();
    frames
}

#[test]
fn what_passes_over_the_wire_is_in_the_archive_once_and_decoys_said_all_of_it() {
    on_a_wire("a", |wire| {
        if sh("which tcpdump curl").is_err() {
            skipped("the archive beside tcpdump", "tcpdump or curl is not installed");
            return Ok(());
        }
        let (sensor, took) = wire.start(&["--segment-s", "1"])?;
        assert!(took < Duration::from_secs(5), "ready after {took:?}");
        let watching = wire.watch();
        assert!(wire.peer("curl -sS -m 9 http://10.9.1.11/").contains("<html>"), "{}", wire.log());
        assert!(wire.peer("curl -sS -m 9 'http://[fd09::11]/'").contains("<html>"));
        assert!(wire.peer("curl -sS -m 9 ftp://10.9.1.12/").contains("pub"));
        // An address of nobody, a port of nobody.
        wire.peer("curl -m 2 http://10.9.1.13/; curl -m 1 http://10.9.1.11:81/");
        std::thread::sleep(Duration::from_millis(500));
        assert!(sensor.end(), "it ends well");
        assert!(watching.end());

        let verdict = wire.verify();
        assert!(verdict.is_whole(), "{:?}", verdict.findings);
        assert!(verdict.segments >= 2, "{} segments", verdict.segments);
        assert_eq!(wire.strangers(&MACS), Vec::<Vec<u8>>::new(), "frames that no decoy sent");
        let seen = read(&fs::read(wire.file("seen.pcap")).unwrap());
        // The kernel leaves checksums to the interface, whose other end fills them in: what the decoys sent is the same bit for bit, of the
        // other side the same number.
        let of_decoys = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
            sorted(
                frames.iter().filter(|frame| MACS.iter().any(|mac| mac == &frame[6..12])).cloned().collect(),
            )
        };
        let archived = wire.archived();
        let (kept, watched) = (of_decoys(&archived), of_decoys(&seen));
        let only = |one: &[Vec<u8>], other: &[Vec<u8>]| -> Vec<String> {
            let alone = one.iter().filter(|frame| !other.contains(frame));
            alone.map(|frame| frame.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
        };
        assert_eq!(
            (only(&kept, &watched), only(&watched, &kept)),
            (vec![], vec![]),
            "only archived, only seen"
        );
        assert_eq!(kept.len(), watched.len());
        assert!(of_decoys(&seen).len() > 20);
        // What the peer's side said before the watch began is in the archive too.
        let peers = |frames: &[Vec<u8>]| {
            frames.iter().filter(|frame| !MACS.iter().any(|mac| mac == &frame[6..12])).count()
        };
        // The watch ends after the sensor: a word or two may have come in between.
        assert!(peers(&archived) + 2 >= peers(&seen), "{} of {}", peers(&archived), peers(&seen));
        let records = wire.records().join("\n");
        for word in ["sensor-started", "\"service\":\"http\"", "\"what\":\"login\"", "anonymous"] {
            assert!(records.contains(word), "{word}: {records}");
        }
        if sh("which capinfos zstdcat").is_err() {
            skipped("capinfos on segments", "capinfos or zstdcat is not installed");
            return Ok(());
        }
        let counted = sh(&format!(
            "for f in {}/eurecom/*.pcapng.zst; do zstdcat $f > {}; capinfos -Mc {}; done",
            wire.spool().display(),
            wire.file("one.pcapng").display(),
            wire.file("one.pcapng").display()
        ))?;
        let counts = counted.lines().filter_map(|line| line.strip_prefix("Number of packets:"));
        let total: usize = counts.map(|count| count.trim().parse::<usize>().unwrap()).sum();
        assert_eq!(total, archived.len());
        Ok(())
    });
}

/// Processes of the sensor on this wire: what each does, and its number.
fn processes(wire: &Wire) -> Vec<(String, u32)> {
    let own = wire.spool().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
        if words.len() > 2 && words[0].ends_with("trapline-sensor") && words.contains(&own) {
            found.push((words[1].clone(), number));
        }
    }
    found.sort();
    found
}

#[test]
fn whoever_is_killed_goes_on_and_what_was_sealed_stays_whole() {
    on_a_wire("k", |wire| {
        const KILLS: u32 = 16;
        let vault = wire.file("vault");
        fs::create_dir(&vault).unwrap();
        let to = vault.display().to_string();
        let more = ["--segment-s", "1", "--vault", &to];
        let mut random = trapline_testing::random::Random::new(7);
        let watching = sh("which tcpdump").is_ok().then(|| wire.watch());
        let (mut sensor, _) = wire.start(&more)?;
        let mut said = 0;
        for _ in 0..KILLS {
            let answered = wire.peer("for n in 1 2 3 4 5 6 7 8; do curl -s -m 2 http://10.9.1.11/; done");
            said += answered.matches("</html>").count();
            std::thread::sleep(Duration::from_millis(random.below(1_400)));
            let all = processes(wire);
            assert_eq!(
                all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
                ["capture", "keep", "run", "ship"]
            );
            // One of them, or all at once, as when the plug is pulled.
            let victims = match random.below(5) {
                4 => &all[..],
                one => &all[one as usize..=one as usize],
            };
            let before = wire.log().len();
            let numbers: Vec<String> = victims.iter().map(|(_, number)| number.to_string()).collect();
            sh(&format!("kill -9 {}", numbers.join(" ")))?;
            if victims.iter().any(|(name, _)| name == "run") {
                drop(sensor);
                sensor = wire.start(&more)?.0;
            } else if victims[0].0 == "capture" {
                let begun = Instant::now();
                while !wire.log()[before..].contains("ready") {
                    assert!(begun.elapsed() < Duration::from_secs(20), "{}", wire.log());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            let begun = Instant::now();
            let orphans = || {
                victims.iter().any(|(name, _)| name == "run")
                    && processes(wire).iter().any(|one| all.contains(one))
            };
            while processes(wire).len() != 4 || orphans() {
                assert!(begun.elapsed() < Duration::from_secs(60), "{:?}: {}", processes(wire), wire.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(sensor.end());
        assert_eq!(processes(wire), []);
        if let Some(watching) = watching {
            assert!(watching.end());
            assert_eq!(wire.strangers(&MACS), Vec::<Vec<u8>>::new());
        }
        let verdict = wire.verify();
        assert!(verdict.is_whole(), "{:?}", verdict.findings);
        let recovered = verdict.findings.iter().filter(|finding| finding.what == What::Recovered).count();
        assert!(recovered >= 1, "{:?}: {}", verdict.findings, wire.log());
        assert!(wire.records().iter().any(|line| line.contains("sensor-recovered")));
        // The vault has what the spool has, file for file.
        let files = |folder: &Path| sh(&format!("cd {} && sha256sum eurecom/*", folder.display()));
        assert!(files(&vault)? == files(&wire.spool())?, "{}", wire.log());
        let frames = wire.archived();
        let syns = frames
            .iter()
            .filter(|frame| frame.get(12..14) == Some(&[8, 0]) && frame.get(47) == Some(&2))
            .count();
        assert!(said > 6 * KILLS as usize, "{said} answers");
        // Of what a killed process had not yet given to the system (a tenth of a second) nothing is there.
        assert!(syns + 2 * KILLS as usize >= said, "{syns} of {said} connections are there");
        Ok(())
    });
}

#[test]
fn a_port_opens_when_its_platform_file_says_so() {
    on_a_wire("r", |wire| {
        let (sensor, _) = wire.start(&[])?;
        assert!(wire.peer("curl -sS -m 5 http://10.9.1.11:8080/").contains("onnect to"));
        fs::write(
            wire.file("platform.toml"),
            PLATFORM.replace(
                "[\"80/tcp\"]",
                "[\"80/tcp\", \"8080/tcp\"]\nservices = { \"8080/tcp\" = \"http/nginx\" }",
            ),
        )
        .unwrap();
        // The process that has the signals is the one that `ip` became.
        sensor.signal("HUP");
        let begun = Instant::now();
        while !wire.peer("curl -sS -m 5 http://10.9.1.11:8080/").contains("<html>") {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", wire.log());
        }
        fs::write(wire.file("platform.toml"), "[platform]\nname = 1\n").unwrap();
        sensor.signal("HUP");
        let begun = Instant::now();
        while !wire.log().contains("not reloaded") {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", wire.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            wire.peer("curl -sS -m 5 http://10.9.1.11:8080/").contains("<html>"),
            "what was right goes on"
        );
        assert!(sensor.end());
        let records = wire.records();
        let opened =
            records.iter().find(|line| line.contains("sensor-opened")).ok_or("no opening is recorded")?;
        assert!(opened.contains("\"host\":\"mach1\"") && opened.contains("8080/tcp"), "{opened}");
        Ok(())
    });
}

#[test]
fn a_vault_that_was_away_gets_everything_in_the_end() {
    on_a_wire("v", |wire| {
        let (vault, away) = (wire.file("vault"), wire.file("away"));
        fs::create_dir(&vault).unwrap();
        let to = vault.display().to_string();
        let (sensor, _) = wire.start(&["--segment-s", "1", "--keep-days", "0", "--vault", &to])?;
        let wait_for = |words: &str| {
            let begun = Instant::now();
            while !wire.log().contains(words) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{words}: {}", wire.log());
                wire.peer("curl -s -m 2 http://10.9.1.11/ > /dev/null");
            }
        };
        wait_for("up to segment 1");
        fs::rename(&vault, &away).unwrap();
        wait_for("the vault is away");
        wait_for("sealed segment 4");
        fs::rename(&away, &vault).unwrap();
        wait_for("shipping goes on");
        assert!(sensor.end());
        // What was shipped last is let go of by the next one.
        let (sensor, _) = wire.start(&["--keep-days", "0", "--vault", &to])?;
        wait_for_the_spool_to_forget(wire);
        assert!(sensor.end());
        let folder = Folder::at(&vault).unwrap();
        let verdict = verify(&folder, &Expected::default(), |_, _| ()).unwrap();
        assert!(verdict.is_whole() && verdict.segments >= 4, "{:?}", verdict.findings);
        // What the vault has, the spool forgot, but for the last one, which the next is chained to.
        let spooled = spool::sealed(&Folder::at(wire.spool()).unwrap(), "eurecom").unwrap();
        let kept = spool::sealed(&folder, "eurecom").unwrap();
        assert!(spooled.len() <= 2 && kept.ends_with(&spooled), "{spooled:?} of {kept:?}: {}", wire.log());
        Ok(())
    });
}

fn wait_for_the_spool_to_forget(wire: &Wire) {
    let begun = Instant::now();
    while spool::sealed(&Folder::at(wire.spool()).unwrap(), "eurecom").unwrap().len() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", wire.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a page comes from there; what a visitor sees otherwise.
fn page(wire: &Wire, address: &str) -> bool {
    wire.peer(&format!("curl -sS -m 2 -g http://{address}/")).contains("<html>")
}

#[test]
fn addresses_that_nobody_has_are_claimed_and_given_back() {
    let platform =
        PLATFORM.replace("[[host]]\nname = \"mach1\"", "claim = \"unused\"\n[[host]]\nname = \"mach1\"");
    assert!(platform.contains("unused"));
    common::on_a_wire("c", &platform, |wire| {
        if sh("which tcpdump curl").is_err() {
            skipped("claiming on a wire", "tcpdump or curl is not installed");
            return Ok(());
        }
        let watching = wire.watch();
        let (sensor, _) = wire.start(&["--segment-s", "2"])?;
        for address in ["10.9.1.11", "[fd09::11]"] {
            assert!(!page(wire, address), "{address} is nobody's at first");
            let begun = Instant::now();
            while !page(wire, address) {
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "{address} is not claimed: {}",
                    wire.log()
                );
            }
        }
        // Its owner comes back, and says one word.
        let word = "ip addr add 10.9.1.11/16 dev wire0; ip neigh flush all; \
                    arping -q -c 2 -U -I wire0 10.9.1.11 2> /dev/null || arp-scan -q --interface=wire0 --arpspa=10.9.1.11 --arpop=1 --retry=2 10.9.1.11";
        wire.peer(word);
        std::thread::sleep(Duration::from_millis(300));
        wire.peer("ip addr del 10.9.1.11/16 dev wire0; ip neigh flush all");
        std::thread::sleep(Duration::from_millis(100));
        assert!(!page(wire, "10.9.1.11") && !page(wire, "10.9.1.11"), "it was given back for good");
        assert!(page(wire, "[fd09::11]"), "the other one was not");
        assert!(sensor.end());
        assert!(watching.end());
        assert_eq!(wire.strangers(&MACS), Vec::<Vec<u8>>::new());
        let records = wire.records().join("\n");
        for word in ["sensor-claimed", "sensor-given-back", "fd09::11"] {
            assert!(records.contains(word), "{word}: {records}");
        }
        assert!(wire.verify().is_whole());
        Ok(())
    });
}

#[test]
fn a_network_that_is_routed_here_is_answered_without_arp() {
    let platform = PLATFORM
        .replace("[[host]]\nname = \"mach1\"", "claim = \"routed\"\n[[host]]\nname = \"mach1\"")
        .replace("10.9.1.11", "10.77.1.11")
        .replace("fd09::11", "fd77::11");
    common::on_a_wire("d", &platform, |wire| {
        let (sensor, _) = wire.start(&[])?;
        wire.peer(
            "ip neigh add 10.9.0.200 lladdr 02:00:00:09:02:00 dev wire0 nud permanent; ip route add 10.77.0.0/16 via 10.9.0.200; \
             ip -6 neigh add fd09::200 lladdr 02:00:00:09:02:00 dev wire0 nud permanent; ip -6 route add fd77::/64 via fd09::200",
        );
        for address in ["10.77.1.11", "[fd77::11]"] {
            assert!(page(wire, address), "{address}: {}", wire.log());
        }
        // Nobody answers for an Ethernet address there.
        assert!(!page(wire, "10.9.1.12"));
        assert!(sensor.end());
        let arp = |frame: &&Vec<u8>| {
            frame.get(12..14) == Some(&[8, 6]) && MACS.iter().any(|mac| mac == &frame[6..12])
        };
        assert_eq!(
            wire.archived().iter().filter(arp).count(),
            0,
            "no decoy says anything about Ethernet addresses"
        );
        Ok(())
    });
}

#[test]
fn a_disk_that_is_full_loses_what_is_counted_and_nothing_else() {
    on_a_wire("f", |wire| {
        fs::create_dir(wire.spool()).map_err(|e| e.to_string())?;
        let spool = wire.spool().display().to_string();
        sh(&format!("mount -t tmpfs -o size=3m,mode=755 tmpfs {spool}"))?;
        let result = (|| {
            let watching = sh("which tcpdump").is_ok().then(|| wire.watch());
            let (sensor, _) = wire.start(&["--segment-s", "2"])?;
            let visit = || wire.peer("for n in 1 2 3 4 5 6 7 8; do curl -s -m 2 http://10.9.1.11/; done");
            assert_eq!(visit().matches("</html>").count(), 8);
            std::thread::sleep(Duration::from_millis(400));
            sh(&format!("head -c 9000000 /dev/zero > {spool}/.filler 2> /dev/null; true"))?;
            // Hosts go on answering; a segment and its successor find no room, from their first byte on.
            let begun = Instant::now();
            let mut answered = 0;
            while begun.elapsed() < Duration::from_secs(5) {
                answered += visit().matches("</html>").count();
            }
            assert!(answered >= 8, "{answered} answers while the disk was full");
            // A start on a full disk finds the room that was held for it.
            let capture = processes(wire).into_iter().find(|(name, _)| name == "capture").unwrap().1;
            let before = wire.log().len();
            sh(&format!("kill -9 {capture}"))?;
            let begun = Instant::now();
            while !wire.log()[before..].contains("ready") {
                assert!(begun.elapsed() < Duration::from_secs(20), "{}", wire.log());
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(wire.log().contains("counted and not kept"), "{}", wire.log());
            fs::remove_file(wire.spool().join(".filler")).map_err(|e| e.to_string())?;
            std::thread::sleep(Duration::from_millis(2_500));
            assert_eq!(visit().matches("</html>").count(), 8);
            std::thread::sleep(Duration::from_millis(300));
            assert!(sensor.end(), "{}", wire.log());
            if let Some(watching) = watching {
                assert!(watching.end());
                assert_eq!(wire.strangers(&MACS), Vec::<Vec<u8>>::new());
            }
            let verdict = wire.verify();
            assert!(verdict.is_whole(), "{:?}", verdict.findings);
            let sum = |of: fn(&trapline_archive::ledger::Entry) -> u64| {
                verdict.ledger.values().map(of).sum::<u64>()
            };
            let (seen, dropped, written) = (sum(|e| e.seen), sum(|e| e.dropped), sum(|e| e.written));
            assert!(
                dropped > 100 && written > 100,
                "{dropped} dropped, {written} written: {:#?} {}",
                verdict.ledger,
                wire.log()
            );
            assert_eq!(seen, dropped + written);
            assert_eq!(wire.archived().len() as u64, written);
            assert!(wire.records().iter().any(|line| line.contains("sensor-room")));
            if sh("which capinfos zstdcat").is_ok() {
                sh(&format!(
                    "for f in {spool}/eurecom/*.pcapng.zst; do zstdcat $f > {one}; capinfos -c {one}; done",
                    one = wire.file("one.pcapng").display()
                ))?;
            }
            Ok(())
        })();
        sh(&format!("umount {spool}"))?;
        result
    });
}

#[test]
fn an_interface_that_is_somebodys_own_is_refused() {
    on_a_wire("o", |wire| {
        sh(&format!("ip -n {} addr add 10.9.0.2/16 dev up0", wire.sensor))?;
        let why = wire.start(&[]).err().ok_or("it took an interface with an address")?;
        assert!(why.contains("has the address 10.9.0.2"), "{why}");
        Ok(())
    });
}

/// Runs as a process of its own: gives up everything, and tries to get something back.
#[test]
#[ignore = "is run by the test below, in a process of its own"]
fn break_out() {
    use trapline_sensor::privileges::{Keeps, User, give_up};
    let folder = PathBuf::from(std::env::var_os("BREAK_OUT_OF").unwrap());
    let keeps = Keeps { user: User::named(&["nobody"]), writes: &[&folder], reads: &[], network: false };
    let given = give_up(&keeps).unwrap();
    let mut kept = BTreeSet::new();
    let mut attempt = |what: &'static str, worked: bool| {
        if worked {
            kept.insert(what);
        }
    };
    attempt("write in its folder", fs::write(folder.join("file"), "x").is_ok());
    attempt(
        "tcp",
        std::net::TcpStream::connect("127.0.0.1:1")
            .is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused),
    );
    attempt("udp", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    attempt("unix", std::os::unix::net::UnixDatagram::unbound().is_ok());
    attempt("exec", Command::new("/bin/true").status().is_ok());
    attempt("passwd", given.landlock == "all" && fs::read("/etc/passwd").is_ok());
    attempt("elsewhere", fs::write("/tmp/trapline-break-out", "x").is_ok());
    attempt(
        "root",
        fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) && given.user,
    );
    assert_eq!(kept, BTreeSet::from(["write in its folder"]));
    if given.landlock != "all" {
        skipped("files closed to the sensor", "this kernel has no Landlock, or an old one");
    }
}

#[test]
fn an_attacker_inside_can_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), open).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "break_out", "--ignored", "--nocapture", "--test-threads=1"])
        .env("BREAK_OUT_OF", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert!(Path::new(&folder.path().join("file")).exists());
}
