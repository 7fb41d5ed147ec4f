//! Services as text: states, patterns, replies, delays (the idea of Cohen's Deception Toolkit, 1998). docs/services.md has the words.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::Regex;
use serde::Deserialize;
use trapline_wire::Time;

use crate::dates::Date;
use crate::limits::UPLOAD;
use crate::record::Said;
use crate::service::{Event, Lines, Service, Turn};

/// The services built in.
pub const BUILT_IN: [&str; 6] = [
    include_str!("../../../../services/http-proxy.toml"),
    include_str!("../../../../services/imap-uw.toml"),
    include_str!("../../../../services/pop3-uw.toml"),
    include_str!("../../../../services/rtsp-camera.toml"),
    include_str!("../../../../services/smtp-postfix.toml"),
    include_str!("../../../../services/smtp-sendmail.toml"),
];

static READ: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    // A test reads each of them.
    BUILT_IN.iter().filter_map(|text| read(text).ok()).collect()
});

/// A service that is text.
#[derive(Debug)]
pub struct Rules {
    /// Its name, such as `smtp/postfix`.
    pub name: String,
    /// The service, such as `smtp`.
    pub service: String,
    opening: String,
    start: String,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    says: Says,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    service: String,
    #[serde(default)]
    opening: String,
    start: String,
    rule: Vec<Says>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    /// The state that it holds in; in every state where none is named.
    #[serde(rename = "in")]
    within: Option<String>,
    #[serde(rename = "match")]
    pattern: String,
    /// Words kept earlier that must be these.
    #[serde(default)]
    when: BTreeMap<String, String>,
    /// Words kept earlier that must not be these.
    #[serde(default)]
    unless: BTreeMap<String, String>,
    #[serde(default)]
    say: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    to: Option<String>,
    login: Option<Login>,
    #[serde(default)]
    refused: String,
    refused_to: Option<String>,
    client: Option<String>,
    #[serde(default)]
    delay_ms: u32,
    #[serde(default)]
    refused_delay_ms: u32,
    begin_file: Option<String>,
    #[serde(default)]
    end_file: bool,
    #[serde(default)]
    close: bool,
    /// Whether the line is no command of its own.
    #[serde(default)]
    quiet: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// Reads a service.
///
/// # Errors
/// Says what cannot be read, or which pattern is none.
pub fn read(text: &str) -> Result<Rules, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    let rules = file.rule.into_iter().map(|says| {
        let pattern =
            Regex::new(&says.pattern).map_err(|e| format!("{}: {}: {e}", file.name, says.pattern))?;
        Ok(Rule { pattern, says })
    });
    let rules = rules.collect::<Result<Vec<Rule>, String>>()?;
    let (name, service, opening, start) = (file.name, file.service, file.opening, file.start);
    Ok(Rules { name, service, opening, start, rules })
}

/// The place of a built-in service among them.
pub(super) fn find(name: &str) -> Option<u8> {
    READ.iter().position(|rules| rules.name == name).map(|at| at as u8)
}

/// What is at that place.
pub(super) fn at(place: u8) -> Option<&'static Rules> {
    READ.get(usize::from(place))
}

/// All built-in ones.
pub(super) fn all() -> impl Iterator<Item = (u8, &'static Rules)> {
    READ.iter().enumerate().map(|(place, rules)| (place as u8, rules))
}

/// One talk by rules.
#[derive(Debug)]
pub(super) struct Talking {
    rules: &'static Rules,
    state: &'static str,
    words: BTreeMap<String, Vec<u8>>,
    lines: Lines,
    /// What is said when its delay is over, and whether the talk ends then.
    later: Option<(Vec<u8>, bool)>,
    file: Option<(String, u64, Vec<u8>)>,
}

impl Talking {
    pub fn new(rules: &'static Rules) -> Self {
        Talking {
            rules,
            state: &rules.start,
            words: BTreeMap::new(),
            lines: Lines::default(),
            later: None,
            file: None,
        }
    }

    fn lines(&mut self, turn: &mut Turn<'_>) {
        // While something is delayed, what the peer says waits.
        while self.later.is_none()
            && let Some(line) = self.lines.line()
        {
            self.line(&line, turn);
        }
    }

    fn line(&mut self, line: &[u8], turn: &mut Turn<'_>) {
        let kept = |word: &str| self.words.get(word).map(Vec::as_slice).unwrap_or_default();
        let holds = |rule: &&Rule| {
            rule.says.within.as_deref().is_none_or(|state| state == self.state)
                && rule.says.when.iter().all(|(word, value)| kept(word) == value.as_bytes())
                && rule.says.unless.iter().all(|(word, value)| kept(word) != value.as_bytes())
                && rule.pattern.is_match(line)
        };
        let Some(rule) = self.rules.rules.iter().find(holds) else { return };
        let Some(found) = rule.pattern.captures(line) else { return };
        let says = &rule.says;
        let groups: Vec<&[u8]> = found.iter().map(|group| group.map_or(&b""[..], |g| g.as_bytes())).collect();
        if !says.quiet {
            turn.command(line);
        }
        for (word, value) in &says.set {
            let value = filled(value, &groups, &self.words, turn);
            self.words.insert(word.clone(), value);
        }
        if let Some(client) = &says.client {
            let name = filled(client, &groups, &self.words, turn);
            turn.record(Said::Client { name: name.as_slice().into() });
        }
        let accepted = says.login.as_ref().is_none_or(|login| {
            let user = filled(&login.user, &groups, &self.words, turn);
            let password = filled(&login.password, &groups, &self.words, turn);
            turn.login(&user, &password)
        });
        let reply = if accepted { &says.say } else { &says.refused };
        let reply = filled(reply, &groups, &self.words, turn);
        let to = if accepted { &says.to } else { &says.refused_to };
        if let Some((_, bytes, kept)) = &mut self.file
            && !says.end_file
        {
            *bytes += line.len() as u64 + 1;
            if kept.len() + line.len() < UPLOAD {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        if let Some(name) = &says.begin_file {
            self.file = Some((name.clone(), 0, Vec::new()));
        }
        if says.end_file
            && let Some((name, bytes, kept)) = self.file.take()
        {
            turn.keep(name.as_bytes(), bytes, kept);
        }
        if let Some(to) = to {
            self.state = to;
        }
        let delay_ms = if accepted { says.delay_ms } else { says.refused_delay_ms.max(says.delay_ms) };
        if delay_ms > 0 {
            self.later = Some((reply, says.close));
            turn.wake_after(Time::from(delay_ms) * 1_000_000);
        } else {
            turn.say(reply);
            if says.close {
                turn.close();
            }
        }
    }
}

impl Service for Talking {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Opened => {
                let opening = filled(&self.rules.opening, &[], &self.words, turn);
                turn.say(opening);
            }
            Event::Heard(bytes) => {
                self.lines.take(bytes);
                self.lines(turn);
            }
            Event::Woken => {
                if let Some((reply, close)) = self.later.take() {
                    turn.say(reply);
                    if close {
                        return turn.close();
                    }
                }
                self.lines(turn);
            }
            Event::Ended => turn.close(),
            Event::Gone => {
                turn.unfinished(&mut self.lines);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.lines.held() + self.file.as_ref().map_or(0, |(_, _, kept)| kept.len())
    }
}

/// Fills in what stands in braces: a group of the pattern, a word kept earlier, or what the host knows; `|` names what is made of it.
fn filled(template: &str, groups: &[&[u8]], words: &BTreeMap<String, Vec<u8>>, turn: &Turn<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.extend_from_slice(before.as_bytes());
        let Some((inside, after)) = after.split_once('}') else {
            out.extend_from_slice(b"{");
            rest = after;
            continue;
        };
        let (name, made) = inside.split_once('|').unwrap_or((inside, ""));
        let value = match (name.parse::<usize>(), name) {
            (Ok(n), _) => groups.get(n).map(|group| group.to_vec()).unwrap_or_default(),
            (_, "host") => turn.site.host_name().into_bytes(),
            (_, "machine") => turn.site.machine().into_bytes(),
            (_, "peer") => turn.peer.to_string().into_bytes(),
            (_, "local") => turn.local.to_string().into_bytes(),
            (_, "date") => Date::at(turn.now).mail().into_bytes(),
            (_, "date-http") => Date::at(turn.now).http().into_bytes(),
            (_, "serial") => format!("{:012x}", turn.site.draw("serial").bits() >> 16).into_bytes(),
            (_, "id") => {
                let mut id = turn.site.draw(&format!("id {} {}", turn.now / 1_000_000_000, turn.peer_port));
                format!("{:010X}", id.bits() >> 24).into_bytes()
            }
            _ => words.get(name).cloned().unwrap_or_default(),
        };
        out.extend(match made {
            "base64" => STANDARD.decode(value).unwrap_or_default(),
            "plain-user" => plain(&value, 1),
            "plain-password" => plain(&value, 2),
            "before-colon" => value.split(|byte| *byte == b':').next().unwrap_or_default().to_vec(),
            "after-colon" => {
                value.iter().position(|b| *b == b':').map(|at| value[at + 1..].to_vec()).unwrap_or_default()
            }
            _ => value,
        });
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// A part of what SASL PLAIN sends (RFC 4616): who to act as, name, password.
fn plain(encoded: &[u8], part: usize) -> Vec<u8> {
    let message = STANDARD.decode(encoded).unwrap_or_default();
    message.splitn(3, |byte| *byte == 0).nth(part).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_service_can_be_read() {
        for text in BUILT_IN {
            let rules = read(text).unwrap();
            assert!(rules.name.starts_with(&format!("{}/", rules.service)), "{}", rules.name);
            let states = rules.rules.iter().flat_map(|rule| [&rule.says.to, &rule.says.refused_to]).flatten();
            for state in states.chain([&rules.start]) {
                let known = |rule: &Rule| rule.says.within.as_deref().is_none_or(|within| within == state);
                assert!(rules.rules.iter().any(known), "{}: nothing holds in {state}", rules.name);
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        let text = "name = 'x/y'\nservice = 'x'\nstart = 'a'\n[[rule]]\nmatch = '('\n";
        assert!(read(text).unwrap_err().starts_with("x/y: (: "));
    }
}
