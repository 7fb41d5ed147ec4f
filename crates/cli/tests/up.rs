//! All of it in one command, on real wires in network namespaces: a sensor here, one elsewhere that enrols and ships over HTTPS, one vault,
//! tables, page, metrics; whoever is killed, nothing is lost and nothing doubled.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use trapline_testing::skipped;
use trapline_testing::wire::{Wire, sh};

const TRAPLINE: &str = env!("CARGO_BIN_EXE_trapline");

const PARIS: &str = r#"
[platform]
name = "paris"
[[host]]
name = "mach1"
addresses = ["10.9.1.11"]
persona = "linux-6"
open = ["80/tcp"]
[[host]]
name = "mach2"
addresses = ["10.9.1.12"]
persona = "linux-redhat-7.3"
"#;

const OSLO: &str = r#"
[platform]
name = "oslo"
[[host]]
name = "mach3"
addresses = ["10.8.1.13"]
persona = "linux-6"
open = ["80/tcp"]
"#;

const CONFIG: &str = r#"
[vault]
listen = "127.0.0.1:8443"
names = ["localhost"]
[[site]]
platform = "paris.toml"
interface = "up0"
options = ["--segment-s", "1"]
[[site]]
platform = "oslo.toml"
[intake]
every = "2s"
"#;

/// A program that is ended with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command, wire: &Wire, log: &str) -> Running {
        let log = fs::File::options().create(true).append(true).open(wire.file(log)).unwrap();
        Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    fn end(mut self, signal: &str) -> bool {
        let _ = sh(&format!("kill -{signal} {}", self.0.id()));
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = sh(&format!("kill -TERM {}", self.0.id()));
        let _ = self.0.wait();
    }
}

fn up(wire: &Wire) -> Running {
    let mut command = wire.on_sensor(TRAPLINE);
    command.arg("up");
    Running::start(command, wire, "up.log")
}

/// The program on the sensor's side; what it printed.
fn trapline(wire: &Wire, arguments: &[&str]) -> String {
    let output = wire.on_sensor(TRAPLINE).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn until(wire: &Wire, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        let logs = ["up.log", "oslo.log"].map(|log| fs::read_to_string(wire.file(log)).unwrap_or_default());
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}:\n{}\n{}", logs[0], logs[1]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn shown(wire: &Wire, path: &str) -> String {
    let output = wire
        .on_sensor("curl")
        .args(["-s", "-m", "5", &format!("http://127.0.0.1:9464{path}")])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The number of a process of this wire's `up` that was started with these words.
fn process(wire: &Wire, words: &str) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let number = entry.file_name().to_string_lossy().parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let folder = fs::read_link(entry.path().join("cwd")).ok()?;
        (folder == fs::canonicalize(wire.file(".")).ok()? && line.contains(words) && !line.starts_with("ip "))
            .then_some(number)
    })
}

#[test]
fn two_sensors_one_vault_and_answers_whatever_is_killed() {
    let wire = match Wire::new("u") {
        Ok(wire) => wire,
        Err(why) => {
            return skipped("trapline up on a wire", &format!("needs root and the program ip: {why}"));
        }
    };
    if sh("which curl").is_err() {
        return skipped("trapline up on a wire", "curl is not installed");
    }
    wire.lay("up1", "wire1", 8).unwrap();
    for (name, text) in [("paris.toml", PARIS), ("oslo.toml", OSLO), ("trapline.toml", CONFIG)] {
        fs::write(wire.file(name), text).unwrap();
    }
    let log = |name: &str| fs::read_to_string(wire.file(name)).unwrap_or_default();
    let all = up(&wire);
    until(&wire, "the vault and the sensor are ready", || log("up.log").matches("ready").count() >= 2);
    assert!(shown(&wire, "/").contains("Nothing was counted yet"), "{}", shown(&wire, "/"));

    // The other one enrols, once.
    let token = trapline(&wire, &["vault", "enroll", "oslo"]);
    let enrolled = trapline(&wire, &["sensor", "enroll", token.trim(), "--identity", "oslo-identity"]);
    assert!(
        enrolled.contains("enrolled as oslo") && enrolled.contains("https://localhost:8443"),
        "{enrolled}"
    );
    let again = wire
        .on_sensor(TRAPLINE)
        .args(["sensor", "enroll", token.trim(), "--identity", "thief"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("not valid"), "{again:?}");
    let mut oslo = wire.on_sensor(TRAPLINE);
    oslo.args(["sensor", "run", "--interface", "up1", "--platform", "oslo.toml", "--spool", "oslo-spool"]);
    oslo.args(["--identity", "oslo-identity", "--vault", "https://localhost:8443", "--segment-s", "1"]);
    let oslo = Running::start(oslo, &wire, "oslo.log");
    until(&wire, "the sensor elsewhere is ready", || log("oslo.log").contains("ready"));

    let visit = || {
        for host in ["10.9.1.11", "10.8.1.13"] {
            assert!(
                wire.peer(&format!("curl -sS -m 9 http://{host}/")).contains("<html>"),
                "{}",
                log("oslo.log")
            );
        }
    };
    visit();
    let has_ssh = sh("which sshpass ssh").is_ok();
    if has_ssh {
        // Inside SSH, and in the clear: each once.
        let ssh = "sshpass -p swordfish ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o HostKeyAlgorithms=+ssh-rsa \
                   -o KexAlgorithms=+diffie-hellman-group1-sha1 -o Ciphers=+aes128-cbc -o MACs=+hmac-sha1 \
                   -o PreferredAuthentications=password -o NumberOfPasswordPrompts=1 root@10.9.1.12 'uname -a'";
        wire.peer(ssh);
    } else {
        skipped("logins inside SSH through trapline up", "sshpass is not installed");
    }
    wire.peer("curl -s -m 9 ftp://admin:tomato@10.9.1.12/");

    // The server of the vault is killed: started again, and segments go on.
    let server = process(&wire, "vault serve").unwrap();
    sh(&format!("kill -9 {server}")).unwrap();
    visit();
    until(&wire, "the vault is there again", || {
        process(&wire, "vault serve").is_some_and(|now| now != server)
    });
    until(&wire, "that is counted", || {
        shown(&wire, "/metrics").contains("trapline_process_restarts_total{process=\"vault\"} 1")
    });
    // The sensor's process that looks after the others is killed.
    let sensor = process(&wire, "sensor run --with-parent").unwrap();
    sh(&format!("kill -9 {sensor}")).unwrap();
    until(&wire, "the sensor is there again", || {
        process(&wire, "sensor run --with-parent").is_some_and(|now| now != sensor)
    });
    until(&wire, "it answers", || wire.peer("curl -sS -m 2 http://10.9.1.11/").contains("<html>"));
    // All of it is killed at once, but for the sensor elsewhere.
    assert!(!all.end("KILL"));
    let all = up(&wire);
    until(&wire, "it answers after that", || wire.peer("curl -sS -m 2 http://10.9.1.11/").contains("<html>"));
    visit();

    // Everything that was sealed is counted, and shown.
    let metric = |name: &str| -> Option<f64> {
        let text = shown(&wire, "/metrics");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    until(&wire, "all is counted", || {
        metric("trapline_vault_segments{sensor=\"oslo\"}").is_some_and(|n| n >= 2.0)
            && metric("trapline_vault_segments{sensor=\"paris\"}").is_some_and(|n| n >= 2.0)
            && metric("trapline_intake_runs_total{result=\"well\"}").is_some_and(|n| n >= 1.0)
            && metric("trapline_intake_waiting_segments") == Some(0.0)
            && metric("trapline_spool_age_seconds{sensor=\"paris\"}") == Some(0.0)
    });
    until(&wire, "the page is there", || shown(&wire, "/").contains("<svg"));
    assert_eq!(shown(&wire, "/health"), "well\n");
    assert!(shown(&wire, "/nothing").contains("there are /, /metrics and /health"));
    let seen = ["paris", "oslo"].map(|sensor| {
        let of = |what: &str| {
            metric(&format!("trapline_ledger_packets{{sensor=\"{sensor}\",what=\"{what}\"}}")).unwrap()
        };
        assert_eq!(of("seen"), of("dropped") + of("written"));
        of("seen")
    });
    assert!(seen.iter().all(|seen| *seen > 10.0), "{seen:?}");

    // One command shuts the sensor elsewhere out; it says so, and keeps what it has.
    trapline(&wire, &["vault", "revoke", "oslo"]);
    visit();
    until(&wire, "it is shut out", || log("oslo.log").contains("oslo was revoked"));
    let told = trapline(&wire, &["status", "oslo-spool"]);
    assert!(told.contains("the sensor runs") && told.contains("shipping: oslo was revoked"), "{told}");
    assert!(trapline(&wire, &["vault", "list"]).contains("revoked"));
    // Enrolled again with its own key it goes on by itself; nobody else gets its name, nor that of a sensor that never enrolled.
    for sensor in ["oslo", "paris"] {
        let token = trapline(&wire, &["vault", "enroll", sensor]);
        let thief = wire
            .on_sensor(TRAPLINE)
            .args(["sensor", "enroll", token.trim(), "--identity", "thief"])
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&thief.stderr).contains("signed with another key"),
            "{sensor}: {thief:?}"
        );
    }
    let token = trapline(&wire, &["vault", "enroll", "oslo"]);
    trapline(&wire, &["sensor", "enroll", token.trim(), "--identity", "oslo-identity"]);
    let shut_out = log("oslo.log").len();
    until(&wire, "it is let in again", || {
        log("oslo.log")[shut_out..].contains("the vault has everything up to")
    });
    assert!(oslo.end("TERM"), "{}", log("oslo.log"));
    assert!(all.end("TERM"), "{}", log("up.log"));
    until(&wire, "nobody is left", || process(&wire, TRAPLINE).is_none());

    // The keys are those of the register.
    let verified = trapline(&wire, &["verify", "trapline-vault"]);
    assert!(
        verified.contains("oslo: ") && verified.contains("paris: ") && verified.ends_with("whole\n"),
        "{verified}"
    );
    let status = trapline(&wire, &["status"]);
    assert!(status.contains("oslo: segment") && status.contains("paris: segment"), "{status}");
    // What came last is counted by whoever asks next.
    for site in ["paris", "oslo"] {
        let output = wire
            .on_sensor(TRAPLINE)
            .args(["ingest", &format!("trapline-vault/{site}"), "--platform", &format!("{site}.toml")])
            .output()
            .unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    }
    let platforms = trapline(&wire, &["ask", "platforms", "--format", "csv"]);
    assert!(platforms.contains("paris") && platforms.contains("oslo"), "{platforms}");
    let logins = trapline(&wire, &["ask", "logins", "--format", "csv"]);
    let lines = |words: &str| logins.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("ftp,admin,tomato,1,1,"), 1, "{logins}");
    if has_ssh {
        assert_eq!(lines("ssh,root,swordfish,1,1,"), 1, "{logins}");
    }
    let names =
        trapline(&wire, &["sql", "--format", "csv", "select count(*), count(distinct hash) from captures"]);
    let counts: Vec<&str> = names.lines().last().unwrap().split(',').collect();
    assert_eq!(counts[0], counts[1], "no segment is counted twice: {names}");
}
