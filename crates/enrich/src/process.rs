//! Processes: named causes of what a source did, as rules in text files.
//!
//! A worm, a scanner, a tool is a predicate over one source. The rules are read and held here; the engine that runs the
//! predicates lies elsewhere. How a rule is written stands at the head of `processes/paper.toml`.

use std::collections::HashMap;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;

use crate::knowledge::{KnowledgeError, Text, folder, is_port};

/// What `tool('…')` can ask for: what the headers give away.
const TOOLS: &[&str] = &["mirai", "zmap", "masscan", "nmap", "unicorn"];

/// One process: its rule, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Name: lower-case letters, digits, hyphens. `process('name')` asks for it.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// Since when it is about: `2003`, or `2003-08-11`.
    pub since: String,
    /// An SQL predicate over one source.
    pub predicate: String,
    /// Where the rule and its facts come from; at least one.
    pub source: Vec<String>,
    /// One or two sentences about it.
    pub about: String,
    /// The process that it is a variant of. The variant's predicate stands by itself.
    pub variant_of: Option<String>,
    /// Texts that the rule's patterns match.
    pub example: Vec<String>,
    /// Texts that look alike and that they do not match.
    pub not: Vec<String>,
    /// The file that says so.
    pub file: String,
    /// The line there, from 1.
    pub line: usize,
}

/// A pattern in a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `said` or `sent`.
    pub function: String,
    /// Whether `not` stands before it.
    pub negated: bool,
    /// The regular expression.
    pub regex: String,
}

impl Process {
    /// The patterns in the predicate, in their order.
    pub fn patterns(&self) -> Vec<Pattern> {
        let wanted = |call: &Call| call.function == "said" || call.function == "sent";
        let pattern = |Call { function, negated, argument }| Pattern { function, negated, regex: argument };
        // That it can be read was checked when it came in.
        calls(&self.predicate).unwrap_or_default().into_iter().filter(wanted).map(pattern).collect()
    }

    /// Tries the patterns on the rule's own examples.
    ///
    /// # Errors
    /// When a pattern is no regular expression, an example is matched by no pattern, a pattern by no example (where there are
    /// any), or a text of `not` by one.
    pub fn check(&self) -> Result<(), String> {
        let mut finds = Vec::new();
        let mut avoids = Vec::new();
        for pattern in self.patterns() {
            let regex = Regex::new(&pattern.regex).map_err(|e| format!("{:?}: {e}", pattern.regex))?;
            if pattern.negated { avoids.push(regex) } else { finds.push(regex) }
        }
        let matched =
            |text: &str| finds.iter().any(|r| r.is_match(text)) && !avoids.iter().any(|r| r.is_match(text));
        if let Some(text) = self.example.iter().find(|text| !matched(text)) {
            return Err(format!("no pattern matches the example {text:?}"));
        }
        if let Some(text) = self.not.iter().find(|text| matched(text)) {
            return Err(format!("a pattern matches {text:?}, which it should not"));
        }
        let idle = |regex: &&Regex| !self.example.iter().any(|text| regex.is_match(text));
        match finds.iter().find(idle) {
            Some(regex) if !self.example.is_empty() => Err(format!("no example shows the pattern {regex}")),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    process: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: toml::Spanned<String>,
    title: String,
    since: toml::Value,
    #[serde(rename = "where")]
    predicate: String,
    source: Vec<String>,
    about: String,
    variant_of: Option<String>,
    #[serde(default)]
    example: Vec<String>,
    #[serde(default)]
    not: Vec<String>,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("processes/", $name), include_str!(concat!("../../../processes/", $name)))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in!["paper.toml", "today.toml"];

/// All processes, in the order of their files.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    processes: Vec<Process>,
    by_name: HashMap<String, usize>,
}

impl Processes {
    /// Those that come with the program.
    ///
    /// # Errors
    /// Never, as long as the tests of this crate pass: they read the same files.
    pub fn built_in() -> Result<Processes, KnowledgeError> {
        let mut processes = Processes::default();
        processes.add_all(BUILT_IN.iter().copied())?;
        Ok(processes)
    }

    /// Reads the text of one file that needs no other.
    ///
    /// # Errors
    /// When it is no TOML of this form, a name is malformed or there twice, `variant_of` names nothing, a source is missing,
    /// or a predicate has a string or parenthesis that does not end.
    pub fn parse(file: &str, text: &str) -> Result<Processes, KnowledgeError> {
        let mut processes = Processes::default();
        processes.add_all([(file, text)].into_iter())?;
        Ok(processes)
    }

    /// Adds the `.toml` files of a folder. Their examples are tried too: nobody else tests these files.
    ///
    /// # Errors
    /// As [`Processes::parse`] and [`Process::check`], and when the folder cannot be read. Nothing is added then.
    pub fn add_folder(&mut self, path: &Path) -> Result<(), KnowledgeError> {
        let files = folder(path)?;
        let mut all = self.clone();
        all.add_all(files.iter().map(|(file, text)| (file.as_str(), text.as_str())))?;
        for process in &all.processes[self.processes.len()..] {
            process.check().map_err(|what| broken(process, what))?;
        }
        *self = all;
        Ok(())
    }

    /// The processes, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter()
    }

    /// The process of that name.
    pub fn get(&self, name: &str) -> Option<&Process> {
        self.by_name.get(name).map(|at| &self.processes[*at])
    }

    /// A variant may stand before its process and in another file, so parents are looked up when all are there.
    fn add_all<'a>(
        &mut self,
        mut files: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), KnowledgeError> {
        files.try_for_each(|(file, text)| self.add(file, text))?;
        for process in &self.processes {
            let Some(parent) = &process.variant_of else { continue };
            if *parent == process.name || self.get(parent).is_none() {
                return Err(broken(process, format!("variant_of = {parent:?} names no other process")));
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), KnowledgeError> {
        let text = Text { file, text };
        for entry in text.read::<File>()?.process {
            let line = text.line(entry.name.span().start);
            let process = process(entry, file, line).map_err(|what| text.broken(line, what))?;
            if let Some(first) = self.get(&process.name) {
                let what =
                    format!("process {:?} stands in {}:{} already", first.name, first.file, first.line);
                return Err(text.broken(line, what));
            }
            self.by_name.insert(process.name.clone(), self.processes.len());
            self.processes.push(process);
        }
        Ok(())
    }
}

fn broken(process: &Process, what: String) -> KnowledgeError {
    KnowledgeError::Broken { file: process.file.clone(), line: process.line, what }
}

fn process(entry: Entry, file: &str, line: usize) -> Result<Process, String> {
    let name = entry.name.into_inner();
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("{name:?} is no name: lower-case letters, digits and hyphens"));
    }
    if entry.source.is_empty() {
        return Err(format!("{name}: source is empty: say where the rule comes from"));
    }
    for call in calls(&entry.predicate).map_err(|what| format!("{name}: where: {what}"))? {
        known(&call).map_err(|what| format!("{name}: where: {what}"))?;
    }
    Ok(Process {
        since: since(&entry.since).ok_or(format!("{name}: since is a year or a date: 2003, 2003-08-11"))?,
        name,
        title: entry.title,
        predicate: entry.predicate.trim().to_owned(),
        source: entry.source,
        about: entry.about,
        variant_of: entry.variant_of,
        example: entry.example,
        not: entry.not,
        file: file.to_owned(),
        line,
    })
}

fn since(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::Integer(year @ 1969..=9999) => Some(year.to_string()),
        toml::Value::Datetime(date) => crate::event::Day::of(date).map(|day| day.to_string()),
        _ => None,
    }
}

/// A function with a text in a predicate: `said('…')`.
struct Call {
    function: String,
    negated: bool,
    argument: String,
}

/// A port or tool that does not exist would match nothing, silently.
fn known(call: &Call) -> Result<(), String> {
    let wrong = match call.function.as_str() {
        "port" => !is_port(&call.argument),
        "tool" => !TOOLS.contains(&call.argument.as_str()),
        _ => false,
    };
    if wrong {
        Err(format!("{}({:?}): no such {}", call.function, call.argument, call.function))
    } else {
        Ok(())
    }
}

/// The functions of a predicate that are given one text. Only as much of SQL is read as that needs: names, strings with
/// doubled quotes, parentheses.
fn calls(predicate: &str) -> Result<Vec<Call>, String> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut open = 0_usize;
    let mut rest = predicate.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                let argument = literal(&mut rest).ok_or("a string does not end")?;
                if let [.., function, paren] = words.as_slice()
                    && paren == "("
                {
                    let negated = words.len() > 2 && words[words.len() - 3].eq_ignore_ascii_case("not");
                    found.push(Call { function: function.to_ascii_lowercase(), negated, argument });
                }
                words.clear();
            }
            '(' => open += 1,
            ')' => open = open.checked_sub(1).ok_or("a ) too many")?,
            _ => {}
        }
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(more) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(more);
            }
            words.push(word);
        } else if !c.is_whitespace() && c != '\'' {
            words.push(c.to_string());
        }
    }
    if open > 0 { Err("a ( is not closed".into()) } else { Ok(found) }
}

/// The rest of a string whose first quote is read; `''` is a quote in it.
fn literal(rest: &mut std::iter::Peekable<std::str::Chars>) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '\'' if rest.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' => return Some(text),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"[[process]]
name = "blaster"
title = "Blaster"
since = 2003-08-11
where = '''sequence = '135,4444' '''
source = ["CERT CA-2003-20"]
about = "A worm."
"#;

    fn check_wrong(text: &str, expected: &str) {
        assert_eq!(Processes::parse("x.toml", text).unwrap_err().to_string(), expected);
    }

    fn with(predicate: &str) -> String {
        ONE.replace("sequence = '135,4444' ", predicate)
    }

    #[test]
    fn a_process_is_read() {
        let processes = Processes::parse("x.toml", ONE).unwrap();
        let blaster = processes.get("blaster").unwrap();
        assert_eq!(blaster.predicate, "sequence = '135,4444'");
        assert_eq!((blaster.since.as_str(), blaster.line), ("2003-08-11", 2));
        let year = Processes::parse("x.toml", &ONE.replace("2003-08-11", "2003")).unwrap();
        assert_eq!(year.get("blaster").unwrap().since, "2003");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        check_wrong(
            &ONE.replace("\"blaster\"", "\"Blaster\""),
            "x.toml:2: \"Blaster\" is no name: lower-case letters, digits and hyphens",
        );
        check_wrong(
            &ONE.replace("[\"CERT CA-2003-20\"]", "[]"),
            "x.toml:2: blaster: source is empty: say where the rule comes from",
        );
        check_wrong(
            &ONE.replace("2003-08-11", "\"August\""),
            "x.toml:2: blaster: since is a year or a date: 2003, 2003-08-11",
        );
        check_wrong(&format!("{ONE}{ONE}"), "x.toml:9: process \"blaster\" stands in x.toml:2 already");
        check_wrong(
            &format!("{ONE}variant_of = \"melissa\"\n"),
            "x.toml:2: variant_of = \"melissa\" names no other process",
        );
        check_wrong(
            &format!("{ONE}variant_of = \"blaster\"\n"),
            "x.toml:2: variant_of = \"blaster\" names no other process",
        );
        check_wrong(&with("port('135/tcp')"), "x.toml:2: blaster: where: port(\"135/tcp\"): no such port");
        check_wrong(&with("tool('hydra')"), "x.toml:2: blaster: where: tool(\"hydra\"): no such tool");
        check_wrong(&with("said('x"), "x.toml:2: blaster: where: a string does not end");
        check_wrong(&with("(said('x')"), "x.toml:2: blaster: where: a ( is not closed");
        check_wrong(&with("said('x'))"), "x.toml:2: blaster: where: a ) too many");
        let unknown = Processes::parse("x.toml", &format!("{ONE}colour = 1\n")).unwrap_err().to_string();
        assert!(unknown.starts_with("x.toml:8: unknown field `colour`"), "{unknown}");
    }

    #[test]
    fn patterns_are_found_in_a_predicate() {
        let text =
            with("hosts > 1 and (said('it''s (.*)') or NOT Sent ( '^x' )) and country in ('FR', 'DE')");
        let processes = Processes::parse("x.toml", &text).unwrap();
        let pattern = |function: &str, negated, regex: &str| Pattern {
            function: function.into(),
            negated,
            regex: regex.into(),
        };
        let expected = [pattern("said", false, "it's (.*)"), pattern("sent", true, "^x")];
        assert_eq!(processes.get("blaster").unwrap().patterns(), expected);
    }

    fn checked(predicate: &str, more: &str) -> Result<(), String> {
        let processes = Processes::parse("x.toml", &format!("{}{more}", with(predicate))).unwrap();
        processes.get("blaster").unwrap().check()
    }

    #[test]
    fn examples_are_tried() {
        let two = "said('^http GET /a') and not said('secret')";
        assert_eq!(
            checked(two, "example = ['http GET /ab']\nnot = ['http GET /b', 'http GET /a/secret']"),
            Ok(())
        );
        assert_eq!(checked(two, ""), Ok(()));
        assert!(checked(two, "example = ['http GET /b']").unwrap_err().starts_with("no pattern matches"));
        assert!(
            checked(two, "example = ['http GET /asecret']").unwrap_err().starts_with("no pattern matches")
        );
        assert!(checked(two, "not = ['http GET /ac']").unwrap_err().starts_with("a pattern matches"));
        assert!(
            checked("said('a') or sent('b')", "example = ['a']").unwrap_err().starts_with("no example shows")
        );
        assert!(checked("said('(')", "").unwrap_err().contains("unclosed group"));
    }

    #[test]
    fn the_built_in_rules_match_their_examples_and_not_their_counterexamples() {
        let processes = Processes::built_in().unwrap();
        assert!(processes.iter().count() > 100, "{}", processes.iter().count());
        let wrong: Vec<String> = processes
            .iter()
            .filter_map(|p| p.check().err().map(|what| format!("{}:{}: {}: {what}", p.file, p.line, p.name)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// A pattern that nobody ever saw match is a guess.
    #[test]
    fn every_built_in_pattern_has_an_example() {
        for process in Processes::built_in().unwrap().iter() {
            let finds = process.patterns().iter().any(|p| !p.negated);
            assert!(!finds || !process.example.is_empty(), "{}:{}", process.file, process.line);
        }
    }

    /// Two rules with one example in common would usually be one rule written twice.
    #[test]
    fn an_example_belongs_to_one_family() {
        let processes = Processes::built_in().unwrap();
        let mut owner: HashMap<&str, &str> = HashMap::new();
        for process in processes.iter() {
            let family = process.variant_of.as_deref().unwrap_or(&process.name);
            for example in &process.example {
                let first = owner.insert(example, family).unwrap_or(family);
                assert_eq!(first, family, "{example:?}");
            }
        }
    }

    #[test]
    fn the_example_of_the_page_is_a_rule() {
        let page = include_str!("../../../docs/your-own-process.md");
        let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let processes = Processes::parse("your-own-process.md", text).unwrap();
        assert_eq!(processes.get("zollard").unwrap().check(), Ok(()));
    }

    #[test]
    fn a_folder_may_have_variants_of_ours_and_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let mine = with("said('mine[.]exe')").replace("\"blaster\"", "\"mine\"");
        std::fs::write(
            &file,
            format!("{mine}variant_of = \"blaster\"\nexample = [\"shell start mine.exe\"]\n"),
        )
        .unwrap();
        let mut processes = Processes::built_in().unwrap();
        let before = processes.iter().count();
        processes.add_folder(folder.path()).unwrap();
        assert_eq!(processes.get("mine").unwrap().variant_of.as_deref(), Some("blaster"));

        std::fs::write(&file, format!("{mine}example = [\"shell start other.exe\"]\n")).unwrap();
        let mut processes = Processes::built_in().unwrap();
        let error = processes.add_folder(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("mine.toml:2: no pattern matches the example \"shell start other.exe\""),
            "{error}"
        );
        assert_eq!(processes.iter().count(), before);
    }
}
