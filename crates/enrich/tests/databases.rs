//! The databases that others made: every file loads whole, with as many entries as its makers count.

use trapline_enrich::os::{Database, Format, Mode};
use trapline_testing::shared;

/// File, format, entries. The counts are those of the files' own heads or of `grep` (README of the folder).
const FILES: [(&str, Format, usize); 12] = [
    ("p0f-1.8.3-syn.fp", Format::P0f1, 206),
    ("p0f-2.0.1-syn.fp", Format::P0f2(Mode::Syn), 160),
    ("p0f-2.0.8-syn.fp", Format::P0f2(Mode::Syn), 262),
    ("p0f-2.0.8-synack.fp", Format::P0f2(Mode::SynAck), 61),
    ("p0f-2.0.8-rst.fp", Format::P0f2(Mode::Rst), 46),
    ("p0f-2.0.8-strayack.fp", Format::P0f2(Mode::Ack), 6),
    ("p0f-3.09b.fp", Format::P0f3, 0),
    ("huginn-net-p0f.fp", Format::P0f3, 0),
    ("disco-1.2.fp", Format::Disco, 1214),
    ("etter.finger.os", Format::Ettercap, 1765),
    ("openbsd-pf.os", Format::Pf, 237),
    ("satori-tcp.xml", Format::Satori, 653),
];

/// The signatures of p0f 3's sections that are read, counted by other means than the reader's.
fn signatures_of_p0f3(text: &str) -> usize {
    let before_http = text.split("\n[http:").next().unwrap_or_default();
    before_http.lines().filter(|line| line.starts_with("sig ")).count()
}

#[test]
fn every_file_loads_whole() {
    let Some(place) = shared("databases of fingerprints") else { return };
    for (name, format, count) in FILES {
        let bytes = std::fs::read(place.join("data/fingerprints").join(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let database = match Database::parse(name, &text) {
            Ok(database) => database,
            Err(errors) => panic!("{name}: {} errors, first {}", errors.len(), errors[0]),
        };
        let count = if format == Format::P0f3 { signatures_of_p0f3(&text) } else { count };
        assert_eq!((database.format(), database.entries()), (format, count), "{name}");
    }
}

#[test]
fn the_files_of_p0f_2_are_told_apart_without_their_names() {
    let Some(place) = shared("databases of fingerprints") else { return };
    for (name, format, _) in FILES.iter().filter(|(_, format, _)| matches!(format, Format::P0f2(_))) {
        let text = std::fs::read_to_string(place.join("data/fingerprints").join(name)).unwrap();
        assert_eq!(Database::parse("nameless", &text).unwrap().format(), *format, "{name} by its title");
        let bare: String =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert_eq!(Database::parse("nameless", &bare).unwrap().format(), *format, "{name} by its quirks");
    }
}
