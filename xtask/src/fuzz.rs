//! Fuzzing: one target for each format an attacker can shape, in `fuzz/`.

use crate::Outcome;
use crate::check::{cargo, run as run_command};

/// The targets; each is `fuzz/fuzz_targets/NAME.rs`.
const TARGETS: &[&str] = &[
    "pcap",
    "pcapng",
    "frame",
    "host",
    "platform",
    "scenario",
    "state",
    "say_adb",
    "say_dcerpc",
    "say_dns",
    "say_ftp",
    "say_http",
    "say_imap",
    "say_irc",
    "say_isakmp",
    "say_ldap",
    "say_memcached",
    "say_messenger",
    "say_mqtt",
    "say_ms_sql_browser",
    "say_mysql",
    "say_netbios_datagrams",
    "say_netbios_names",
    "say_ntp",
    "say_pop3",
    "say_postgresql",
    "say_quic",
    "say_rdp",
    "say_redis",
    "say_rtsp",
    "say_shell",
    "say_sip",
    "say_smb",
    "say_smtp",
    "say_snmp",
    "say_socks",
    "say_ssdp",
    "say_ssh",
    "say_sunrpc",
    "say_tds",
    "say_telnet",
    "say_tftp",
    "say_tls",
    "say_vnc",
];

/// `fuzz TARGET [SECONDS]`.
pub fn run(rest: &[&str]) -> Outcome {
    let (target, seconds) = match rest {
        [target] => (*target, "60"),
        [target, seconds] => (*target, *seconds),
        _ => return Err(format!("targets: {}", TARGETS.join(", "))),
    };
    if !TARGETS.contains(&target) {
        return Err(format!("no target {target}; there are {}", TARGETS.join(", ")));
    }
    let time = format!("-max_total_time={seconds}");
    // Without a sanitizer it runs on the stable toolchain; our code has no unsafe for one to watch.
    let arguments = ["fuzz", "run", "--sanitizer", "none", target, "--", &time, "-max_len=65536"];
    run_command(&format!("fuzz {target} for {seconds} s"), &mut cargo(&arguments))
        .map_err(|why| format!("{why}\n(needs cargo-fuzz: cargo install cargo-fuzz)"))
}
