//! Each format by its own tool's rules, over entries typed for these tests.

use trapline_enrich::os::{Database, Format, Kind, LineError, Matched, Mode, Quality};
use trapline_wire::Observation;

const WINDOWS: &str = "syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack | df";
const LINUX: &str =
    "syn | ttl 55 | len 60 | win 5840 | mss 1460 | scale 0 | opts mss sack stamp nop scale | df";

fn matches(database: &str, seen: &str) -> Matched {
    let database = Database::parse("test", database).unwrap_or_else(|errors| panic!("{errors:?}"));
    database.matches(&Observation::parse(seen).unwrap())
}

/// Label and quality; an empty label where there is none.
fn check(database: &str, seen: &str, label: &str, quality: Quality) {
    let matched = matches(database, seen);
    let found = matched.label.as_ref().map_or("", |label| label.text.as_str());
    assert_eq!((found, matched.quality), (label, quality), "{seen} is {}", matched.raw);
}

fn format(text: &str) -> Option<Format> {
    Database::parse("test", text).ok().map(|database| database.format())
}

#[test]
fn formats_are_told_by_content() {
    assert_eq!(format("16384:128:1460:1:-1:1:1:48:Windows: two thousand\n"), Some(Format::P0f1));
    assert_eq!(format("16384:128:1:48:M*,N,N,S:.:Windows:2000\n"), Some(Format::P0f2(Mode::Syn)));
    assert_eq!(
        format("[tcp:request]\nlabel = s:win:Windows:\nsig = *:128:0:*:1,0:mss::0"),
        Some(Format::P0f3)
    );
    assert_eq!(format("classes = win\n[mtu]\n"), Some(Format::P0f3));
    assert_eq!(format("16384:128:1460:1:-1:1:1:48:S:Windows\n"), Some(Format::Disco));
    assert_eq!(format("4000:05B4:80:WS:1:1:1:0:S:30:Windows\n"), Some(Format::Ettercap));
    assert_eq!(format("16384:128:1:48:M*,N,N,S:  Windows:2000::Windows 2000\n"), Some(Format::Pf));
    assert_eq!(format("\u{feff}<?xml version=\"1.0\"?><TCP></TCP>"), Some(Format::Satori));
    assert_eq!(format("a mere text\n"), None);
    assert_eq!(format(""), None);
}

#[test]
fn every_wrong_line_is_told_with_its_number() {
    let wrong = "# a comment\n16384:128:1:48:M*,N,N,S:.:Windows:2000\n\n1:1:1:1:Y:.:a:b\n1:300:1:1:.:.:a:b\n1:1:1:1:.:.:a\n";
    let errors = Database::parse("test", wrong).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [4, 5, 6]);
    let wrong = "[tcp:request]\nsig = *:64:0:*:1,0:mss::0\nlabel = x:y\nlabel = s:a:b:c\nsig = *:64:0:*:1,0:mss,what::0\n[here]\n";
    let lines: Vec<usize> =
        Database::parse("test", wrong).unwrap_err().iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 3, 5, 6]);
    let wrong = "<TCP>\n<fingerprint name=\"a\">\n<test weight=\"5\" matchtype=\"exact\" tcpflag=\"S\" tcpsig=\"1:2\"/>\n\
                 </fingerprint>\n<test/>\n</WRONG>";
    let lines: Vec<usize> =
        Database::parse("test", wrong).unwrap_err().iter().map(|error| error.line).collect();
    assert_eq!(lines, [3, 5, 6]);
    let error = LineError { line: 3, why: "odd".to_owned() };
    assert_eq!(error.to_string(), "line 3: odd");
}

#[test]
fn p0f_1_takes_the_nearest_initial_ttl() {
    let database =
        "16384:255:1460:1:-1:1:1:48:far\n16384:128:1460:1:-1:1:1:-1:near\n16384:64:1460:1:-1:1:1:48:below\n";
    check(database, WINDOWS, "near", Quality::Exact);
    assert_eq!(matches(database, WINDOWS).distance, Some(12));
    assert_eq!(matches(database, WINDOWS).raw, "16384:128:1460:1:-1:1:1:48:?");
    check("16384:255:1460:1:-1:1:1:48:far\n", WINDOWS, "", Quality::Unknown);
    // The older half of the file writes 0 for no scale.
    let older = "16384:128:1460:1:0:1:1:48:older\n";
    check(older, WINDOWS, "older", Quality::Fuzzy);
    check(&format!("{older}16384:128:1460:1:-1:1:1:48:newer\n"), WINDOWS, "newer", Quality::Exact);
    check("16384:128:1460:1:2:1:1:48:with a scale\n", WINDOWS, "", Quality::Unknown);
    let answer = "syn ack | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack | df";
    check(database, answer, "", Quality::Unknown);
}

#[test]
fn p0f_2_knows_multiples_and_wildcards() {
    check("S4:64:1:60:M*,S,T,N,W0:.:Linux:2.4\n", LINUX, "Linux 2.4", Quality::Exact);
    check("S4:64:1:60:M%10,S,T,N,W*:.:Linux:any\n", LINUX, "Linux any", Quality::Exact);
    check("T4:64:1:60:M*,S,T,N,W0:.:Linux:mtu\n", LINUX, "", Quality::Unknown);
    check("%16:64:1:60:M*,S,T,N,W0:.:Linux:divides\n", LINUX, "Linux divides", Quality::Exact);
    check("%7:64:1:60:M*,S,T,N,W0:.:Linux:divides not\n", LINUX, "", Quality::Unknown);
    check("*:64:1:60:M*,S,T0,N,W0:.:Linux:no stamp\n", LINUX, "", Quality::Unknown);
    // A router lowered the MSS to 1400; the window is still a multiple of Ethernet's.
    let behind_nat = LINUX.replace("mss 1460", "mss 1400");
    check("S4:64:1:60:M*,S,T,N,W0:.:Linux:2.4\n", &behind_nat, "Linux 2.4", Quality::Exact);
    assert_eq!(matches("1:1:1:1:.:.:a:b\n", LINUX).raw, "S4:64:1:60:M1460,S,T,N,W0:.:?:?");
}

#[test]
fn p0f_2_takes_the_first_then_without_df_then_any_ttl() {
    let two = "16384:128:1:48:M*,N,N,S:.:-@First:1\n16384:128:1:48:M*,N,N,S:.:Second:2\n";
    let matched = matches(two, WINDOWS);
    assert_eq!(matched.quality, Quality::Generic);
    assert_eq!(matched.label.unwrap().kind, Kind::Tool);
    check(
        "16384:128:1:48:M*,N,N,S:.:Windows:2000\n",
        &WINDOWS.replace(" | df", ""),
        "Windows 2000",
        Quality::Fuzzy,
    );
    check("16384:64:1:48:M*,N,N,S:.:Below:\n", WINDOWS, "Below", Quality::Fuzzy);
    check("16384:255:1:48:M*,N,N,S:.:Far:\n", WINDOWS, "Far", Quality::Fuzzy);
    // A tool draws its TTL: no distance is told, and none is too great.
    let matched = matches("16384:255:1:48:M*,N,N,S:.:-*Tool:\n", WINDOWS);
    assert_eq!((matched.quality, matched.distance), (Quality::Exact, None));
}

#[test]
fn p0f_2_compares_all_quirks() {
    let leaking = format!("{WINDOWS} | urgent pointer");
    check("*:128:1:48:M*,N,N,S:.:Windows:\n", &leaking, "", Quality::Unknown);
    check("*:128:1:48:M*,N,N,S:U:Windows:leaking\n", &leaking, "Windows leaking", Quality::Exact);
    let padded = "syn | ttl 60 | len 48 | win 1 | mss 9 | scale 0 | opts mss scale eol | pad 3";
    check("1:64:0:48:M*,W0,E:P:Mac:\n", padded, "Mac", Quality::Exact);
    // The oldest files wrote the end of options as a quirk.
    check("1:64:0:48:M*,W0:EP:Mac:old\n", padded, "Mac old", Quality::Exact);
    // An option that cannot be read is not listed.
    let broken = "syn | ttl 60 | len 44 | win 1 | opts nop 99 | options broken";
    check("1:64:0:44:N:!:Broken:\n", broken, "Broken", Quality::Exact);
}

#[test]
fn p0f_2_has_files_for_resets_and_for_acknowledgements() {
    let refused = "rst ack | ttl 120 | len 40 | win 0 | seq zero";
    check("0:128:0:40:.:K0A:Windows:refused\n", refused, "Windows refused", Quality::Exact);
    assert_eq!(matches("0:128:0:40:.:K0A:Windows:refused\n", refused).raw, "0:128:0:40:.:K0A:?:?");
    let dropped = "rst | ttl 120 | len 40 | win 0 | ack not zero | df | seq is ack";
    let database = "0:128:1:40:.:QA:Windows:dropped\n0:128:0:40:.:K0A:Windows:refused\n";
    check(database, dropped, "Windows dropped", Quality::Exact);
    // A size of * asks for big packets here, and for any among acknowledgements.
    let data = "ack psh | ttl 120 | len 1000 | payload 960 | win 1 | df";
    assert!(Observation::parse(data).is_ok());
    check("*:128:1:*:.:A:Windows:XP\n", data, "Windows XP", Quality::Exact);
}

#[test]
fn disco_rounds_ttls_up() {
    check("16384:128:1460:1:-1:1:1:48:S:Windows\n", WINDOWS, "Windows", Quality::Exact);
    check("16384:128:1460:1:-1:1:1:-1:S:Any size\n", WINDOWS, "Any size", Quality::Generic);
    check("16384:124:1460:1:-1:1:1:48:S:Odd\n", WINDOWS, "Odd", Quality::Fuzzy);
    check("16384:255:1460:1:-1:1:1:48:S:Far\n", WINDOWS, "", Quality::Unknown);
    check("16384:128:1460:1:-1:1:1:48:A:Answer\n", WINDOWS, "", Quality::Unknown);
    let several = "16384:124:1460:1:-1:1:1:48:S:Odd\n16384:128:1460:1:-1:1:1:48:S:Even\n";
    check(several, WINDOWS, "Even", Quality::Exact);
    assert_eq!(matches(several, WINDOWS).raw, "16384:128:1460:1:-1:1:1:48:S:?");
}

#[test]
fn ettercap_compares_texts() {
    let raw = "4000:05B4:80:WS:1:1:1:0:S:30";
    check(&format!("{raw}:Windows\n"), WINDOWS, "Windows", Quality::Exact);
    assert_eq!(matches(&format!("{raw}:Windows\n"), WINDOWS).raw, format!("{raw}:?"));
    check("4000:05B4:80:WS:1:1:1:0:S:LT:Any length\n", WINDOWS, "Any length", Quality::Generic);
    check("4000:05B8:80:WS:1:1:1:0:S:30:Other MSS\n", WINDOWS, "Other MSS", Quality::Fuzzy);
    // ettercap looks on from the place where the text would stand.
    check("4000:0200:80:WS:1:1:1:0:S:30:Before\n", WINDOWS, "", Quality::Unknown);
    check("4001:05B4:80:WS:1:1:1:0:S:30:Next entry\n", WINDOWS, "", Quality::Unknown);
}

#[test]
fn pf_gives_one_signature_several_names() {
    let line = "16384:128:1:48:M*,N,N,S:";
    let two =
        format!("{line}\tWindows:2000:SP4:Windows 2000 SP4, XP\n{line}\tWindows:XP::Windows 2000 SP4, XP\n");
    check(&two, WINDOWS, "Windows 2000 SP4, XP", Quality::Exact);
    let matched = matches(&two, WINDOWS);
    let label = matched.label.unwrap();
    assert_eq!((label.name.as_str(), label.flavour.as_str()), ("Windows", "2000 SP4 or XP"));
    assert_eq!(matched.raw, "16384:128:1:48:M1460,N,N,S:?:?:?:?");
    check(&two, &WINDOWS.replace("ttl 116", "ttl 87"), "", Quality::Unknown);
    // Options end at EOL; an option that pf does not know ends the search.
    let mac = "65535:64:1:64:M*,N,W1,N,N,T,S:\tMac:X::Mac\n";
    let seen = "syn | ttl 64 | len 64 | win 65535 | mss 1460 | scale 1 | opts mss nop scale nop nop stamp sack eol | pad 1 \
                | df";
    check(mac, seen, "Mac", Quality::Exact);
    check(
        "*:64:1:*:M*:\tAny:::Any\n",
        "syn | ttl 64 | len 48 | win 1 | mss 9 | opts mss 99 | df",
        "",
        Quality::Unknown,
    );
    check(
        "*:64:1:*:M*:\t@Any:::Any\n",
        "syn | ttl 64 | len 44 | win 1 | mss 9 | opts mss | df",
        "Any",
        Quality::Generic,
    );
}

fn satori(tests: &[(&str, &str)]) -> String {
    let mut out = "<TCP><fingerprints>".to_owned();
    for (name, test) in tests {
        out += &format!(
            "<fingerprint name=\"{name}\" os_class=\"c\"><tcp_tests><test {test}/></tcp_tests></fingerprint>"
        );
    }
    out + "</fingerprints></TCP>"
}

#[test]
fn satori_weighs_its_tests() {
    let exact = r#"weight="5" matchtype="exact" tcpflag="S" tcpsig="16384:128:1:48:M1460,N,N,S:.""#;
    let odd = r#"weight="5" matchtype="exact" tcpflag="S" tcpsig="16384:128:1:48:M1460,N,N,S:T""#;
    let partial = r#"weight="5" matchtype="partial" tcpflag="S" tcpsig="16384:128:*:48:M1460,N,N,S:.""#;
    let heavy = r#"weight="9" matchtype="partial" tcpflag="S" tcpsig="16384:128:*:48:M1460,N,N,S:.""#;
    check(&satori(&[("a", exact)]), WINDOWS, "a:5", Quality::Exact);
    check(&satori(&[("a", odd)]), WINDOWS, "a:5", Quality::Exact);
    check(&satori(&[("p", partial), ("a", exact), ("b", odd)]), WINDOWS, "a:5|b:5|p:5", Quality::Exact);
    assert_eq!(matches(&satori(&[("p", partial), ("a", exact)]), WINDOWS).label.unwrap().name, "a");
    assert_eq!(matches(&satori(&[("h", heavy), ("a", exact)]), WINDOWS).label.unwrap().name, "h");
    check(&satori(&[("h", heavy)]), WINDOWS, "h:9", Quality::Fuzzy);
    assert_eq!(matches(&satori(&[("h", heavy)]), WINDOWS).raw, "16384:128:1:48:M1460,N,N,S:.");
    // 64 as well as 60 stands for what is 60 or less.
    let linux = r#"weight="5" matchtype="exact" tcpflag="S" tcpsig="5840:64:1:60:M1460,S,T,N,W0:.""#;
    check(&satori(&[("l", linux)]), LINUX, "l:5", Quality::Exact);
}

#[test]
fn p0f_3_forgives_what_routers_do() {
    let database = "[tcp:request]\nlabel = g:win:Windows:\nsig = *:128:0:*:*,0:mss,nop,nop,sok:df,id+:0\n\
                    label = s:win:Windows:2000\nsig = *:128:0:*:16384,0:mss,nop,nop,sok:df,id+:0\n\
                    label = s:!:Tool:\nsys = @unix\nsig = *:64-:0:*:9,0:mss:df,id+:0\n";
    check(database, WINDOWS, "Windows 2000", Quality::Exact);
    check(database, &WINDOWS.replace("16384", "17000"), "Windows", Quality::Generic);
    check(database, &WINDOWS.replace(" | df", " | id zero"), "Windows", Quality::Fuzzy);
    check(database, &WINDOWS.replace("| ttl 116", "| ttl 116 | tos 2"), "Windows", Quality::Fuzzy);
    check(database, &WINDOWS.replace("| ttl 116", "| ttl 90"), "Windows", Quality::Fuzzy);
    check(database, &format!("{WINDOWS} | urgent pointer"), "", Quality::Unknown);
    // Tools must fit in everything, and their TTL may be anything up to the limit.
    let tool = "syn | ttl 3 | len 44 | win 9 | mss 5 | opts mss | df";
    let matched = matches(database, tool);
    assert_eq!((matched.quality, matched.distance), (Quality::Exact, Some(61)));
    check(database, &tool.replace(" | df", ""), "", Quality::Unknown);
    check(database, &tool.replace("ttl 3", "ttl 65"), "", Quality::Unknown);
}

#[test]
fn p0f_3_writes_what_its_manual_shows() {
    // docs/README of p0f 3, section 5.
    let seen = "syn | ttl 120 | len 48 | win 65535 | mss 1452 | opts mss nop nop sack | df";
    assert_eq!(matches("[mtu]\n", seen).raw, "4:120+8:0:1452:65535,0:mss,nop,nop,sok:df,id+:0");
    let seen = "syn | ttl 64 | len 60 | win 29200 | mss 1460 | scale 7 | opts mss sack stamp nop scale | df";
    assert_eq!(matches("[mtu]\n", seen).raw, "4:64+0:0:1460:mss*20,7:mss,sok,ts,nop,ws:df,id+:0");
}

#[test]
fn an_answer_may_follow_its_peers_mss() {
    let database = "[tcp:response]\nlabel = s:unix:System:\nsig = *:64:0:*:mss*3,0:mss:df:0\n";
    let database = Database::parse("test", database).unwrap();
    let seen =
        Observation::parse("syn ack | ttl 60 | len 44 | win 4107 | mss 1460 | opts mss | df | id zero")
            .unwrap();
    assert_eq!(database.matches(&seen).quality, Quality::Unknown);
    assert_eq!(database.matches_answer(&seen, 1369).quality, Quality::Exact);
}

#[test]
fn links_have_names() {
    let database = Database::parse("test", "[mtu]\nlabel = PPPoE\nsig = 1492\n").unwrap();
    let link = |text| Observation::parse(text).unwrap();
    let seen = link("syn | ttl 60 | len 44 | win 1 | mss 1452 | opts mss");
    assert_eq!(database.link(&seen), Some((1492, Some("PPPoE"))));
    let seen = link("syn | ip6 | ttl 60 | len 64 | win 1 | mss 1432 | opts mss");
    assert_eq!(database.link(&seen), Some((1492, Some("PPPoE"))));
    assert_eq!(database.link(&link("syn | ttl 60 | len 44 | win 1 | mss 9 | opts mss")), Some((49, None)));
    assert_eq!(database.link(&link("syn | ttl 60 | len 40 | win 1")), None);
}
