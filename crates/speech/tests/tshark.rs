//! Fingerprints and operations of real captures, against what tshark says of the same connections.
//!
//! The captures lie in the shared folder beside the project. Putting segments in order is left to tshark here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use trapline_speech::{Dialogue, End, Message, Side};

/// What tshark prints, or `None` where there is no tshark.
fn tshark(arguments: &[&str]) -> Option<String> {
    let output = Command::new("tshark").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Bytes of their hexadecimal digits.
fn digits(text: &str) -> Option<Vec<u8>> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

/// The messages of one connection: its first speaker is the peer, and nothing is known of who opened it.
fn messages(capture: &str, stream: &str) -> Option<Vec<Message>> {
    let printed = tshark(&["-r", capture, "-q", "-z", &format!("follow,tcp,raw,{stream}")])?;
    let mut dialogue = Dialogue::new(None, [0, 0]);
    let mut heard = Vec::new();
    for line in printed.lines() {
        let text = line.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            continue;
        }
        let by = if line.starts_with('\t') { End::Host } else { End::Peer };
        dialogue.hear(by, &digits(text)?, &mut heard);
    }
    dialogue.decide(&mut heard);
    [End::Peer, End::Host].into_iter().for_each(|by| dialogue.end(by, &mut heard));
    Some(heard.into_iter().map(|h| h.message).collect())
}

/// The values of some fields in all packets that match, for each connection.
fn values(capture: &str, filter: &str, fields: &[&str]) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let mut arguments = vec!["-r", capture, "-Y", filter, "-T", "fields", "-e", "tcp.stream"];
    fields.iter().for_each(|field| arguments.extend(["-e", *field]));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tshark(&arguments)?.lines() {
        let mut columns = line.split('\t');
        let values = found.entry(columns.next()?.to_owned()).or_default();
        values.extend(columns.flat_map(|c| c.split(',')).filter(|v| !v.is_empty()).map(str::to_owned));
    }
    found.retain(|_, values| !values.is_empty());
    Some(found)
}

/// Every capture of the shared folder, once.
fn captures(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().and_then(|e| e.to_str()) {
            _ if path.is_dir() => captures(&path, found),
            Some("pcap" | "pcapng") => found.extend(path.to_str().map(str::to_owned)),
            _ => {}
        }
    }
}

/// Compares for all captures; gives the number of values that were compared.
fn compare(filter: &str, fields: &[&str], ours: impl Fn(&Message) -> Option<String>) -> Option<usize> {
    let shared = trapline_testing::shared(filter)?;
    if tshark(&["--version"]).is_none() {
        trapline_testing::skipped(filter, "no tshark");
        return None;
    }
    let mut all = Vec::new();
    captures(&shared.join("data/captures"), &mut all);
    let mut compared = 0;
    for capture in &all {
        for (stream, wanted) in values(capture, filter, fields).unwrap_or_default() {
            let messages = messages(capture, &stream).expect("tshark follows what it found");
            let got: BTreeSet<String> = messages.iter().filter_map(&ours).collect();
            assert_eq!(got, wanted, "{capture}, connection {stream}");
            compared += wanted.len();
        }
    }
    Some(compared)
}

#[test]
fn ja3_of_clients_and_servers() {
    let fields = ["tls.handshake.ja3", "tls.handshake.ja3s"];
    if let Some(compared) = compare("tls.handshake.type in {1,2}", &fields, |m| m.ja3.clone()) {
        assert!(compared >= 3, "only {compared} fingerprints in the captures");
    }
}

#[test]
fn hassh_of_clients_and_servers() {
    let fields = ["ssh.kex.hassh", "ssh.kex.hasshserver"];
    if let Some(compared) = compare("ssh.kex.hassh || ssh.kex.hasshserver", &fields, |m| m.hassh.clone()) {
        assert!(compared >= 3, "only {compared} fingerprints in the captures");
    }
}

#[test]
fn operations_of_dcerpc() {
    let ours = |message: &Message| {
        let number = message.object.as_deref()?.strip_prefix("opnum ")?;
        (message.verb.as_deref() == Some("request")).then(|| number.to_owned())
    };
    if let Some(compared) = compare("dcerpc.pkt_type == 0 && tcp", &["dcerpc.opnum"], ours) {
        assert!(compared >= 1, "no calls in the captures");
    }
}

/// Names as tshark prints them: `WORKGROUP<1e> (Browser Election Service)`, and `*<00><00>…` for the one that asks for all.
#[test]
fn names_of_netbios() {
    let Some(shared) = trapline_testing::shared("names of NetBIOS") else { return };
    let capture = shared.join("data/captures/edge/netbios-nbns.pcap");
    let fields = ["-T", "fields", "-E", "occurrence=f", "-e", "nbns.name", "-e", "udp.payload"];
    let arguments = [&["-r", capture.to_str().expect("a path"), "-Y", "nbns"], &fields[..]].concat();
    let Some(printed) = tshark(&arguments) else {
        trapline_testing::skipped("names of NetBIOS", "no tshark");
        return;
    };
    assert!(printed.lines().count() > 200, "a capture of questions");
    for line in printed.lines() {
        let (name, payload) = line.split_once('\t').expect("two columns");
        let bytes = digits(payload).expect("hexadecimal");
        let (service, message) =
            trapline_speech::datagram(Side::Client, 137, &bytes).expect("a NetBIOS name");
        assert_eq!(service, "netbios_names");
        let wanted = name.split_inclusive('>').next().map(str::to_owned);
        assert_eq!(message.object, wanted);
    }
}
