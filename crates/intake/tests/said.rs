//! What real captures say, through the whole pass: connections followed, protocols told by their bytes.
//!
//! Runs where the captures are there, and says so where they are not.

use std::path::Path;

use trapline_intake::pass::Output;
use trapline_intake::reader::CaptureReader;
use trapline_intake::survey::CaptureId;
use trapline_intake::{Pass, Platform, Request};
use trapline_speech::{End, Kind};
use trapline_testing::shared;
use trapline_wire::Frame;

/// What was said in a capture by and to a host; `change` may change each frame before it is read.
fn said(capture: &Path, host: &str, change: impl Fn(&mut Vec<u8>)) -> Vec<Request> {
    let platform = format!("[platform]\nname = \"p\"\n[[host]]\nname = \"h\"\naddresses = [\"{host}\"]");
    let mut pass = Pass::new(&Platform::parse(&platform).unwrap(), 1, 1, None);
    let mut reader = CaptureReader::new(std::fs::File::open(capture).unwrap());
    let mut index = 0;
    while reader.advance() {
        let frame = reader.frame().unwrap();
        let mut data = frame.data.to_vec();
        change(&mut data);
        pass.add(0, CaptureId(1), index, &Frame { data: &data, ..frame });
        index += 1;
    }
    let outputs = pass.finish().outputs;
    let requests = outputs.into_iter().filter_map(|output| match output {
        Output::Day(day) => Some(day.requests),
        Output::Boundary { .. } => None,
    });
    requests.flatten().collect()
}

fn count(requests: &[Request], of: impl Fn(&Request) -> bool) -> usize {
    requests.iter().filter(|r| of(r)).count()
}

#[test]
fn a_scanners_requests_are_all_there_although_no_handshake_is() {
    let Some(shared) = shared("797 requests without handshakes") else { return };
    let capture = shared.join("data/captures/web/http-rce-probes-2019.pcap");
    // The capture is of one machine that speaks with itself; the sender gets an address of its own, in an Ethernet frame.
    let requests = said(&capture, "127.0.0.1", |frame| frame[26..30].copy_from_slice(&[203, 0, 113, 5]));
    let asked =
        count(&requests, |r| r.service == "http" && r.message.kind == Kind::Request && r.key.by == End::Peer);
    assert_eq!(asked, 797);
    assert_eq!(requests.len(), 797, "nothing else is said");
}

#[test]
fn a_worms_shell_is_read_from_its_middle() {
    let Some(shared) = shared("Blaster's shell") else { return };
    let capture = shared.join("data/captures/worms-exploits/blaster-2003-08-12.pcap");
    let requests = said(&capture, "10.234.2.116", |_| {});
    let started = count(&requests, |r| {
        r.service == "shell"
            && r.message.verb.as_deref() == Some("start")
            && r.message.object.as_deref() == Some("msblast.exe")
    });
    assert_eq!(started, 1, "{requests:#?}");
}

#[test]
fn a_victim_fetches_the_worm_over_two_connections() {
    let Some(shared) = shared("a worm's way over ftp") else { return };
    let capture = shared.join("data/captures/worms-exploits/honeynet-fc1-lsass-2009.pcap");
    let requests = said(&capture, "192.150.11.111", |_| {});
    let by_host = |verb: &str, object: &str| {
        count(&requests, |r| {
            r.service == "ftp"
                && r.key.by == End::Host
                && r.message.verb.as_deref() == Some(verb)
                && r.message.object.as_deref() == Some(object)
        })
    };
    assert_eq!([by_host("USER", "1"), by_host("PASS", "1"), by_host("RETR", "ssms.exe")], [1, 1, 1]);
    let file = requests.iter().find(|r| r.message.kind == Kind::Transfer).expect("the file came");
    assert_eq!((file.key.port, file.service.as_ref()), (1080, "ftp-data"));
    assert_eq!(file.message.body.as_ref().map(|b| b.bytes), Some(158_720));
}

#[test]
fn thirty_passwords_are_refused_thirty_times() {
    let Some(shared) = shared("thirty ftp logins") else { return };
    let capture = shared.join("data/captures/bruteforce/ftp-bruteforce-2014.pcap");
    let requests = said(&capture, "192.168.56.101", |_| {});
    let logins =
        count(&requests, |r| r.message.user.as_deref() == Some("bro") && r.message.password.is_some());
    let refused = count(&requests, |r| r.message.status == Some(530));
    assert_eq!((logins, refused), (30, 30));
}

#[test]
fn a_lookup_in_a_log_line_is_found_in_its_header() {
    let Some(shared) = shared("log4shell") else { return };
    let capture = shared.join("data/captures/web/log4shell-ldap-useragent-2021.pcap");
    let requests = said(&capture, "172.17.0.2", |_| {});
    let agents = requests.iter().filter_map(|r| r.message.software.as_deref());
    assert!(
        agents
            .into_iter()
            .any(|a| a.starts_with("${${::-j}${::-n}${::-d}${::-i}:") && a.contains(":1389/Basic/Command/")),
        "{requests:#?}"
    );
}
