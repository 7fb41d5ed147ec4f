//! Observations come from attackers and databases from anywhere: neither makes a matcher panic.

use proptest::prelude::*;
use trapline_enrich::os::Database;
use trapline_wire::{Frame, LinkType, Observation, Reading, decode};

/// One small database of each format, with every kind of value that it knows.
const DATABASES: [&str; 7] = [
    "16384:128:1460:1:-1:1:1:48:Windows\n0:64:0:0:-1:0:0:-1:None\n",
    "S4:64:1:60:M*,S,T,N,W0:.:Linux:\nT4:64:1:*:M%7,E:P:A:\n%3:64:0:40:.:!:-*B:\n*:255:0:44:?9,M*:ZIUXATFD:@C:\n",
    "[mtu]\nlabel = a\nsig = 1500\n[tcp:request]\nlabel = s:!:t:\nsys = @unix\nsig = *:64-:0:*:%3,*:mss::*\nlabel = g:unix:b:c\n\
     sig = 4:64:0:*:mss*4,0:mss,?9,eol+3:df,id+,bad:0\n[tcp:response]\nlabel = s:unix:d:\nsig = 6:9+3:4:7:mtu*2,*:::+\n",
    "16384:128:1460:1:-1:1:1:48:S:Windows\n0:64:0:0:-1:0:0:-1:A:None\n",
    "4000:05B4:80:WS:1:1:1:0:S:30:Windows\n0000:_MSS:40:00:0:0:0:0:A:LT:None\n",
    "S4:64:1:60:M*,S,T,N,W0:  Linux:2::a\nT4:64:1:*:M%7:  A:b:c:d\n%3:64:0:%4:.:  *B:::\n",
    "<TCP><fingerprint name='a'><test weight='5' matchtype='partial' tcpflag='S' tcpsig='1:64:*:44:M9,W*,E:P'/></fingerprint></TCP>",
];

fn databases() -> Vec<Database> {
    DATABASES.iter().map(|text| Database::parse("test", text).unwrap_or_else(|e| panic!("{e:?}"))).collect()
}

proptest! {
    #[test]
    fn no_packet_makes_a_matcher_panic(
        header in prop::array::uniform20(any::<u8>()), flags in prop_oneof![Just(2u8), Just(0x12), Just(4), any::<u8>()],
        window in prop_oneof![Just(0u16), Just(65535), any::<u16>()], words in 5u8..=15,
        options in prop::collection::vec(prop_oneof![Just(2u8), Just(4), Just(8), Just(10), 0u8..4, any::<u8>()], 40),
        peer in any::<u16>(), extra in 0usize..200,
    ) {
        let mut segment = header.to_vec();
        segment[12] = words << 4 | (header[12] & 15);
        segment[13] = flags;
        segment[14..16].copy_from_slice(&window.to_be_bytes());
        segment.extend_from_slice(&options[..usize::from(words) * 4 - 20]);
        segment.resize(segment.len() + extra, 1);
        let mut bytes = vec![0x45, header[0], 0, (20 + segment.len()) as u8, 0, header[1], 0, 0, header[2], 6, 0, 0];
        bytes[2] = ((20 + segment.len()) >> 8) as u8;
        bytes.extend_from_slice(&header[..8]);
        bytes.extend_from_slice(&segment);
        let frame = Frame { link: LinkType::RAW, time: 0, wire_len: bytes.len() as u32, data: &bytes };
        let Reading::Ip(packet) = decode(&frame) else { panic!("an IP packet") };
        let seen = Observation::of_any(&packet).expect("a whole header");
        for database in databases() {
            let (matched, answer) = (database.matches(&seen), database.matches_answer(&seen, peer));
            prop_assert!(matched.raw.len() < 400 && answer.raw.len() < 400);
            prop_assert_eq!(matched.label.is_some(), matched.quality != trapline_enrich::os::Quality::Unknown);
            database.link(&seen);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(
        which in 0usize..7, at in any::<prop::sample::Index>(), put in "\\PC{0,3}", cut in 0usize..4, any in "\\PC{0,60}",
    ) {
        let mut text: Vec<char> = DATABASES[which].chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(text.len()), put.chars());
        let text: String = text.into_iter().collect();
        let _ = Database::parse("test", &text);
        let _ = Database::parse("test", &any);
    }
}
