//! Our own database: what it says of packets that each system or tool is known for.

use trapline_enrich::os::{Database, Kind, Quality};
use trapline_wire::Observation;

/// What was seen, and the label that it must get.
const KNOWN: [(&str, &str, Quality); 27] = [
    // The measured ones first: nmap 7.93, masscan 1.3.2, ZMap 2.1.1, hping3, Linux 6.18.
    ("syn | ttl 44 | len 44 | win 1024 | mss 1460 | opts mss", "Nmap SYN scan", Quality::Exact),
    (
        "syn | ttl 41 | len 60 | win 31337 | mss 265 | scale 10 | opts scale nop mss stamp sack | ack not zero",
        "Nmap OS detection",
        Quality::Exact,
    ),
    ("syn | ttl 241 | len 40 | win 1024", "masscan", Quality::Exact),
    ("syn | ttl 240 | len 40 | win 65535", "ZMap before 4.1", Quality::Exact),
    ("syn | ttl 50 | len 40 | win 512 | ack not zero", "hping", Quality::Exact),
    (
        "syn | ttl 60 | len 60 | win 64240 | mss 1460 | scale 10 | opts mss sack stamp nop scale | df",
        "Linux 4.20 to 6.x",
        Quality::Exact,
    ),
    // ZMap plays systems, but for DF.
    (
        "syn | ttl 239 | len 52 | win 65535 | mss 1460 | scale 8 | opts mss nop scale nop nop sack",
        "ZMap as Windows",
        Quality::Exact,
    ),
    (
        "syn | ttl 52 | len 52 | win 65535 | mss 1460 | scale 8 | opts mss nop scale nop nop sack",
        "ZMap as Windows",
        Quality::Exact,
    ),
    (
        "syn | ttl 239 | len 60 | win 65535 | mss 1460 | scale 7 | opts mss sack stamp nop scale",
        "ZMap as Linux",
        Quality::Exact,
    ),
    (
        "syn | ttl 239 | len 64 | win 65535 | mss 1460 | scale 6 | opts mss nop scale nop nop stamp sack eol | pad 1",
        "ZMap as BSD",
        Quality::Exact,
    ),
    ("syn | ttl 239 | len 44 | win 65535 | mss 1460 | opts mss", "ZMap MSS only", Quality::Exact),
    ("syn | ttl 44 | len 40 | win 17218", "Mirai or another bare SYN", Quality::Generic),
    (
        "syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack | df",
        "Windows 2000",
        Quality::Exact,
    ),
    (
        "syn | ttl 116 | len 48 | win 64240 | mss 1460 | opts mss nop nop sack | df",
        "Windows XP",
        Quality::Exact,
    ),
    (
        "syn | ttl 116 | len 48 | win 8192 | mss 536 | opts mss nop nop sack | df",
        "Windows 98",
        Quality::Exact,
    ),
    ("syn | ttl 116 | len 44 | win 8192 | mss 1460 | opts mss | df", "Windows NT 4.0", Quality::Exact),
    (
        "syn | ttl 116 | len 52 | win 8192 | mss 1460 | scale 8 | opts mss nop scale nop nop sack | df",
        "Windows Vista to 8.1",
        Quality::Exact,
    ),
    (
        "syn | ttl 116 | len 52 | win 64240 | mss 1460 | scale 8 | opts mss nop scale nop nop sack | df",
        "Windows 10 or 11",
        Quality::Exact,
    ),
    // A firewall took DF away.
    ("syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack", "Windows 2000", Quality::Fuzzy),
    (
        "syn | ttl 51 | len 60 | win 29200 | mss 1460 | scale 7 | opts mss sack stamp nop scale | df",
        "Linux 3.11 to 4.19",
        Quality::Exact,
    ),
    (
        "syn | ttl 51 | len 60 | win 5840 | mss 1460 | scale 0 | opts mss sack stamp nop scale | df",
        "Linux 2.4",
        Quality::Exact,
    ),
    (
        "syn | ttl 51 | len 60 | win 5840 | mss 1460 | scale 6 | opts mss sack stamp nop scale | df",
        "Linux 2.6",
        Quality::Exact,
    ),
    (
        "syn | ttl 51 | len 60 | win 65535 | mss 1460 | scale 6 | opts mss nop scale sack stamp | df",
        "FreeBSD 9 or later",
        Quality::Exact,
    ),
    (
        "syn | ttl 51 | len 64 | win 65535 | mss 1460 | scale 6 | opts mss nop scale nop nop stamp sack eol | pad 1 | \
         df | id zero",
        "macOS or iOS, recent",
        Quality::Exact,
    ),
    (
        "syn | ttl 51 | len 64 | win 16384 | mss 1460 | scale 3 | opts mss nop nop sack nop scale nop nop stamp | df",
        "OpenBSD 4 or later",
        Quality::Exact,
    ),
    ("syn | ttl 240 | len 44 | win 2144 | mss 536 | opts mss", "lwIP", Quality::Exact),
    (
        "syn ack | ttl 51 | len 60 | win 28960 | mss 1460 | scale 7 | opts mss sack stamp nop scale | df | id zero \
         | peer stamp",
        "Linux 3.11 to 4.19",
        Quality::Exact,
    ),
];

#[test]
fn systems_and_tools_are_known() {
    let database = Database::own();
    for (text, label, quality) in KNOWN {
        let seen = Observation::parse(text).unwrap();
        assert_eq!(seen.text(), text, "a canonical text");
        let matched = database.matches(&seen);
        let found = matched.label.as_ref().map(|label| label.text.as_str());
        assert_eq!((found, matched.quality), (Some(label), quality), "{text} is {}", matched.raw);
    }
}

#[test]
fn tools_are_no_systems() {
    let database = Database::own();
    let kind = |text| database.matches(&Observation::parse(text).unwrap()).label.unwrap().kind;
    assert_eq!(kind("syn | ttl 241 | len 40 | win 1024"), Kind::Tool);
    let windows = "syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack | df";
    assert_eq!(kind(windows), Kind::System);
}

#[test]
fn strangers_get_no_label_but_a_line_to_paste() {
    let seen = Observation::parse("syn | ttl 101 | len 44 | win 7 | mss 99 | opts mss | df").unwrap();
    let matched = Database::own().matches(&seen);
    assert_eq!((matched.label, matched.quality), (None, Quality::Unknown));
    assert_eq!((matched.raw.as_str(), matched.distance), ("4:101+27:0:99:7,0:mss:df,id+:0", Some(27)));
    let pasted = format!("[tcp:request]\nlabel = s:other:Stranger:\nsig = {}\n", matched.raw);
    let matched = Database::parse("mine.fp", &pasted).unwrap().matches(&seen);
    assert_eq!(matched.label.unwrap().text, "Stranger");
}
