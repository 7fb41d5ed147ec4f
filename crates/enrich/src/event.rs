//! Events: the days on which a weakness was published, a worm let loose, a tool released, and the ports that it concerns.
//!
//! A new sequence of ports is set beside the nearest event of one of its ports; whether one caused the other is for the reader
//! to judge. The files lie in `events/`; every entry says where its day comes from.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::knowledge::{KnowledgeError, Text, folder, is_port};

/// A calendar day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// Year.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
}

impl Day {
    /// Days since 1970-01-01, negative before: what Arrow's `Date32` holds. By the civil calendar's own arithmetic: a year
    /// that begins in March ends with its leap day, so the months before it never move.
    pub fn number(self) -> i32 {
        let (month, day) = (i32::from(self.month), i32::from(self.day));
        let year = i32::from(self.year) - i32::from(month <= 2);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
    }

    /// A TOML date without time.
    pub(crate) fn of(value: &toml::value::Datetime) -> Option<Day> {
        match (value.date, value.time) {
            (Some(d), None) => Some(Day { year: d.year, month: d.month, day: d.day }),
            _ => None,
        }
    }
}

impl fmt::Display for Day {
    /// `2003-07-16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, UTC.
    pub day: Day,
    /// What happened, in a few words.
    pub name: String,
    /// The ports that it concerns, `445` or `1434/udp`.
    pub ports: Vec<String>,
    /// CVE names, where it is about a weakness that has some.
    pub cve: Vec<String>,
    /// Where the day comes from.
    pub source: Vec<String>,
    /// The file that says so.
    pub file: String,
    /// The line there, from 1.
    pub line: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    event: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    day: toml::value::Datetime,
    name: toml::Spanned<String>,
    ports: Vec<String>,
    #[serde(default)]
    cve: Vec<String>,
    source: Vec<String>,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("events/", $name), include_str!(concat!("../../../events/", $name)))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in!["2000-2009.toml", "2010-today.toml"];

/// All events, in order of day, then name.
#[derive(Clone, Debug, Default)]
pub struct Events {
    events: Vec<Event>,
}

impl Events {
    /// Those that come with the program.
    ///
    /// # Errors
    /// Never, as long as the tests of this crate pass: they read the same files.
    pub fn built_in() -> Result<Events, KnowledgeError> {
        let mut events = Events::default();
        BUILT_IN.iter().try_for_each(|(file, text)| events.add(file, text))?;
        Ok(events)
    }

    /// Reads the text of one file.
    ///
    /// # Errors
    /// When it is no TOML of this form, or an entry has no port, no source, or an event of its day and name is there already.
    pub fn parse(file: &str, text: &str) -> Result<Events, KnowledgeError> {
        let mut events = Events::default();
        events.add(file, text)?;
        Ok(events)
    }

    /// Adds the `.toml` files of a folder.
    ///
    /// # Errors
    /// As [`Events::parse`], and when the folder cannot be read.
    pub fn add_folder(&mut self, path: &Path) -> Result<(), KnowledgeError> {
        folder(path)?.iter().try_for_each(|(file, text)| self.add(file, text))
    }

    /// The events, in order of day, then name.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), KnowledgeError> {
        let text = Text { file, text };
        for entry in text.read::<File>()?.event {
            let line = text.line(entry.name.span().start);
            let event = event(entry, file, line).map_err(|what| text.broken(line, what))?;
            let key = |e: &Event| (e.day, e.name.clone());
            match self.events.binary_search_by_key(&key(&event), key) {
                Ok(at) => {
                    let first = &self.events[at];
                    let what =
                        format!("event {:?} stands in {}:{} already", first.name, first.file, first.line);
                    return Err(text.broken(line, what));
                }
                Err(at) => self.events.insert(at, event),
            }
        }
        Ok(())
    }
}

fn event(entry: Entry, file: &str, line: usize) -> Result<Event, String> {
    let day = Day::of(&entry.day).ok_or("day is a date without time: 2003-07-16")?;
    if entry.ports.is_empty() {
        return Err("ports is empty: an event without ports can be set beside no sequence".into());
    }
    if let Some(port) = entry.ports.iter().find(|p| !is_port(p)) {
        return Err(format!("{port:?} is no port; TCP is written \"445\", UDP \"1434/udp\""));
    }
    if entry.source.is_empty() {
        return Err("source is empty: say where the day comes from".into());
    }
    Ok(Event {
        day,
        name: entry.name.into_inner(),
        ports: entry.ports,
        cve: entry.cve,
        source: entry.source,
        file: file.to_owned(),
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "[[event]]\nday = 2003-07-16\nname = \"MS03-026\"\nports = [\"135\"]\nsource = [\"MS03-026\"]\n";

    fn check_wrong(text: &str, expected: &str) {
        assert_eq!(Events::parse("x.toml", text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_day_has_a_number() {
        let number = |year, month, day| Day { year, month, day }.number();
        assert_eq!(number(1970, 1, 1), 0);
        assert_eq!(number(1969, 12, 31), -1);
        // python3 -c 'import datetime as d; print((d.date(2004,2,29)-d.date(1970,1,1)).days)', and so on.
        assert_eq!(number(2000, 2, 29), 11_016);
        assert_eq!(number(2003, 7, 16), 12_249);
        assert_eq!(number(2004, 3, 1), 12_478);
        assert_eq!(number(2021, 12, 31), 18_992);
    }

    #[test]
    fn an_event_is_read() {
        let events = Events::parse("x.toml", ONE).unwrap();
        let event = events.iter().next().unwrap();
        assert_eq!(event.day.to_string(), "2003-07-16");
        assert_eq!((event.name.as_str(), event.line), ("MS03-026", 3));
        assert_eq!(event.ports, ["135"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        check_wrong(
            &ONE.replace("[\"135\"]", "[]"),
            "x.toml:3: ports is empty: an event without ports can be set beside no sequence",
        );
        check_wrong(
            &ONE.replace("135", "135/tcp"),
            "x.toml:3: \"135/tcp\" is no port; TCP is written \"445\", UDP \"1434/udp\"",
        );
        check_wrong(
            &ONE.replace("16\n", "16T00:00:00Z\n"),
            "x.toml:3: day is a date without time: 2003-07-16",
        );
        check_wrong(
            &ONE.replace("[\"MS03-026\"]", "[]"),
            "x.toml:3: source is empty: say where the day comes from",
        );
        check_wrong(&format!("{ONE}{ONE}"), "x.toml:8: event \"MS03-026\" stands in x.toml:3 already");
        let unknown = Events::parse("x.toml", &format!("{ONE}colour = \"red\"\n")).unwrap_err().to_string();
        assert!(unknown.starts_with("x.toml:6: unknown field `colour`"), "{unknown}");
    }

    #[test]
    fn the_built_in_events_are_in_order_and_cited() {
        let events: Vec<Event> = Events::built_in().unwrap().iter().cloned().collect();
        assert!(events.len() > 40, "{}", events.len());
        assert!(events.is_sorted_by_key(|e| e.day));
        let years = |file: &str| {
            events.iter().filter(|e| e.file.ends_with(file)).map(|e| e.day.year).collect::<Vec<_>>()
        };
        assert!(years("2000-2009.toml").iter().all(|y| (2000..2010).contains(y)));
        assert!(years("2010-today.toml").iter().all(|y| *y >= 2010));
        let cve = regex::Regex::new(r"^CVE-\d{4}-\d{4,}$").unwrap();
        for event in &events {
            assert!(
                event.cve.iter().all(|c| cve.is_match(c)),
                "{}:{}: {:?}",
                event.file,
                event.line,
                event.cve
            );
        }
    }

    #[test]
    fn a_folder_is_added_beside_ours() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), ONE.replace("MS03-026\"\np", "mine\"\np")).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not read").unwrap();
        let mut events = Events::built_in().unwrap();
        let before = events.iter().count();
        events.add_folder(folder.path()).unwrap();
        assert_eq!(events.iter().count(), before + 1);
        assert!(events.iter().any(|e| e.name == "mine"));
    }
}
