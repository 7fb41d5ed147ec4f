//! One TCP connection: finds out which protocol is spoken, and lets its parser read.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::limits::{BEGINNING, HELD, MESSAGES, PAYLOAD};
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::protocols::{CANDIDATES, Speaker};

/// An end of a connection, as intake knows it: who is watched, and who is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum End {
    /// The address that is no host.
    Peer,
    /// A decoy host.
    Host,
}

impl End {
    /// The other end.
    pub fn other(self) -> End {
        match self {
            End::Peer => End::Host,
            End::Host => End::Peer,
        }
    }
}

/// A message, who said it, and in which protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who said it.
    pub by: End,
    /// Name of the protocol; empty where nobody knows.
    pub service: &'static str,
    /// What was said.
    pub message: Message,
}

/// Lines of a torn beginning that are tried as a new one.
const TORN_LINES: usize = 16;

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dialogue {
    /// Which end is the client, where somebody knows: from the handshake, else from what is said.
    client: Option<End>,
    /// The port that is asked, where a client is known; a hint.
    port: u16,
    state: State,
    /// What each end said and nobody has taken.
    held: [Vec<u8>; 2],
    /// How many bytes each end said first, at once: its first payload, if nobody understands it.
    first: [u32; 2],
    /// Whether an end's first bytes were lost, so that its beginning is no beginning.
    torn: [bool; 2],
    /// Whether bytes are missing behind what is held of an end's beginning.
    broken: [bool; 2],
    messages: u32,
    /// Messages and pieces of such beyond the limit.
    untold: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// Nobody knows yet. Who spoke first.
    Beginning(Option<End>),
    /// This is it.
    Known(Box<Speaker>),
    /// Nothing that we know. Whose first payload was given out.
    Unknown([bool; 2]),
}

impl Dialogue {
    /// A connection in which nothing was said. `client` is who opened it, where that was seen; `ports` are those of the peer
    /// and of the host.
    pub fn new(client: Option<End>, ports: [u16; 2]) -> Dialogue {
        let port = match client {
            Some(client) => ports[client.other() as usize],
            None => ports[0].min(ports[1]),
        };
        Dialogue {
            client,
            port,
            state: State::Beginning(None),
            held: [Vec::new(), Vec::new()],
            first: [0; 2],
            torn: [false; 2],
            broken: [false; 2],
            messages: 0,
            untold: 0,
        }
    }

    /// A connection that another one has announced, and what is spoken on it.
    pub fn announced(speaker: Speaker, client: End) -> Dialogue {
        let mut dialogue = Dialogue::new(Some(client), [0, 0]);
        dialogue.state = State::Known(Box::new(speaker));
        dialogue
    }

    /// Which end is the client, where that is known.
    pub fn client(&self) -> Option<End> {
        self.client
    }

    /// The parser, where the protocol is known.
    pub fn speaker(&mut self) -> Option<&mut Speaker> {
        match &mut self.state {
            State::Known(speaker) => Some(speaker),
            _ => None,
        }
    }

    /// Messages that were too many to be told, and pieces that came after them, since this was asked last.
    pub fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// What could be told if nothing more came, without ending anything.
    pub fn so_far(&self, out: &mut Vec<Heard>) {
        let mut copy = self.clone();
        copy.decide(out);
        [End::Peer, End::Host].into_iter().for_each(|by| copy.end(by, out));
    }

    /// Lets go of the bytes that wait for the rest of their message, because memory is short.
    pub fn forget(&mut self) {
        for by in [End::Peer, End::Host] {
            if !self.held[by as usize].is_empty() {
                self.gap(by);
                self.held[by as usize].clear();
            }
        }
    }

    /// The protocol's name, where it is known.
    pub fn service(&self) -> Option<&'static str> {
        match &self.state {
            State::Known(speaker) => Some(speaker.name()),
            _ => None,
        }
    }

    /// Bytes held, for whoever bounds the memory of all dialogues.
    pub fn held(&self) -> usize {
        let parser = if let State::Known(speaker) = &self.state { speaker.held() } else { 0 };
        self.held[0].len() + self.held[1].len() + parser
    }

    /// `by` said `bytes`, next in order.
    pub fn hear(&mut self, by: End, bytes: &[u8], out: &mut Vec<Heard>) {
        if bytes.is_empty() {
            return;
        }
        if self.messages >= MESSAGES {
            self.untold += 1;
            return;
        }
        // What comes does not continue a beginning that a gap has broken off: it is decided by what there is.
        if std::mem::take(&mut self.broken[by as usize]) {
            self.decide(out);
            self.gap(by);
        }
        match &mut self.state {
            State::Beginning(first) => {
                first.get_or_insert(by);
                if self.held[by as usize].is_empty() {
                    self.first[by as usize] = bytes.len() as u32;
                }
                let held = &mut self.held[by as usize];
                let room = HELD.saturating_sub(held.len());
                held.extend_from_slice(&bytes[..bytes.len().min(room)]);
                let rest = &bytes[bytes.len().min(room)..];
                self.find_out(false, out);
                // Only where a protocol was recognised can more than a beginning have come at once.
                if !rest.is_empty() {
                    self.hear(by, rest, out);
                }
            }
            State::Known(_) => self.read(by, bytes, out),
            State::Unknown(given) => {
                if !std::mem::replace(&mut given[by as usize], true) {
                    self.unknown(by, bytes, out);
                }
            }
        }
    }

    /// Bytes of `by` are missing here.
    pub fn gap(&mut self, by: End) {
        match &mut self.state {
            State::Known(speaker) => {
                self.held[by as usize].clear();
                let side = side(self.client, by);
                speaker.gap(side);
            }
            State::Beginning(_) if self.held[by as usize].is_empty() => self.torn[by as usize] = true,
            State::Beginning(_) => self.broken[by as usize] = true,
            State::Unknown(_) => {}
        }
    }

    /// `by` says no more.
    pub fn end(&mut self, by: End, out: &mut Vec<Heard>) {
        if let State::Known(speaker) = &mut self.state {
            let side = side(self.client, by);
            let rest = std::mem::take(&mut self.held[by as usize]);
            let mut messages = Vec::new();
            speaker.end(side, &rest, &mut messages);
            let service = speaker.name();
            self.give(by, service, messages, out);
        }
    }

    /// Nothing more can be waited for: what is still a beginning is decided by what there is, or is unknown.
    pub fn decide(&mut self, out: &mut Vec<Heard>) {
        if matches!(self.state, State::Beginning(Some(_))) {
            self.find_out(true, out);
        }
    }

    /// Whether something was said that is neither told nor thrown away.
    pub fn is_undecided(&self) -> bool {
        matches!(self.state, State::Beginning(Some(_)))
    }

    /// Looks for a protocol that begins as this does; `now` says that no more bytes will come.
    fn find_out(&mut self, now: bool, out: &mut Vec<Heard>) {
        let mut maybe: Vec<(usize, End, bool)> = Vec::new();
        let mut weak = Vec::new();
        let (mut found, mut asked_in_vain) = (None, false);
        for by in [End::Peer, End::Host] {
            let held = &self.held[by as usize];
            // Empty lines and a keep-alive's byte begin nothing, and much may follow them.
            if held.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
                continue;
            }
            let roles = match self.client {
                Some(client) => vec![if client == by { Side::Client } else { Side::Server }],
                None => vec![Side::Client, Side::Server],
            };
            let mut any = false;
            for (role, (i, candidate)) in
                roles.iter().flat_map(|role| CANDIDATES.iter().enumerate().map(move |c| (role, c)))
            {
                let begins = |text: &[u8]| match role {
                    Side::Client => (candidate.client)(text),
                    Side::Server => (candidate.server)(text),
                };
                let mut verdict = begins(held);
                // What is left of a torn beginning is the end of something; a line behind it may begin anew.
                if verdict == Match::No && self.torn[by as usize] {
                    let lines = held.iter().enumerate().filter(|(_, b)| **b == b'\n').take(TORN_LINES);
                    let yes = lines.map(|(at, _)| begins(&held[at + 1..])).find(|v| *v == Match::Yes);
                    verdict = yes.unwrap_or(Match::No);
                }
                let client = if *role == Side::Client { by } else { by.other() };
                let usual = candidate.ports.contains(&self.port);
                match verdict {
                    Match::Yes => found = found.or(Some((i, client))),
                    Match::OnPort if !usual => continue,
                    Match::Maybe => maybe.push((i, client, usual)),
                    Match::OnPort => weak.push((i, client, usual)),
                    Match::No => continue,
                }
                any = true;
            }
            asked_in_vain |= !any && roles.contains(&Side::Client) && !self.torn[by as usize];
        }
        // A server's words that fit several protocols are told apart by what its client says, and the other way round;
        // not as long as both fit several, because the next byte may tell.
        let enough = self.held.iter().any(|h| h.len() >= BEGINNING);
        let both = |all: &[(usize, End, bool)]| -> Vec<_> {
            let again = |n: usize| all[n + 1..].iter().any(|m| (m.0, m.1) == (all[n].0, all[n].1));
            (0..all.len()).filter(|n| again(*n)).map(|n| all[n]).collect()
        };
        let mut pairs = both(&maybe);
        maybe.extend(weak);
        if pairs.is_empty() {
            pairs = both(&maybe);
        }
        if found.is_none() && (pairs.len() == 1 || now || enough) {
            let mut fitting = if pairs.is_empty() { maybe.clone() } else { pairs };
            if now || enough {
                fitting.retain(|(i, client, _)| self.makes_sense(*i, *client));
            }
            found = fitting.iter().find(|(_, _, usual)| *usual).or(fitting.first()).map(|(i, c, _)| (*i, *c));
        }
        // Where only one side is heard its words stay ambiguous; a whole line on a usual port is enough then, or every message
        // would be told with the time of the last.
        if found.is_none() && self.held.iter().any(|h| h.contains(&b'\n')) {
            let mut usual: Vec<(usize, End)> =
                maybe.iter().filter(|(_, _, usual)| *usual).map(|(i, client, _)| (*i, *client)).collect();
            usual.dedup();
            found = usual.first().copied().filter(|_| usual.len() == 1);
        }
        let first = match self.state {
            State::Beginning(Some(first)) => first,
            _ => return,
        };
        let held = std::mem::take(&mut self.held);
        let order = [first, first.other()];
        if let Some((i, client)) = found {
            self.client = Some(client);
            let mut speaker = (CANDIDATES[i].start)();
            for by in order.into_iter().filter(|by| self.torn[*by as usize]) {
                speaker.gap(side(self.client, by));
            }
            self.state = State::Known(Box::new(speaker));
            order.into_iter().for_each(|by| self.read(by, &held[by as usize], out));
        } else if now || enough || (asked_in_vain && maybe.is_empty()) {
            self.state = State::Unknown([false; 2]);
            for by in order {
                let held = &held[by as usize];
                let payload = (self.first[by as usize] as usize).min(held.len());
                self.hear(by, &held[..payload], out);
            }
        } else {
            self.held = held;
        }
    }

    /// Whether a protocol that may be spoken makes anything of what was said: who guesses wrong loses the bytes.
    fn makes_sense(&self, i: usize, client: End) -> bool {
        let mut speaker = (CANDIDATES[i].start)();
        let mut messages = Vec::new();
        for by in [client, client.other()] {
            let (side, held) = (side(Some(client), by), &self.held[by as usize]);
            let taken = speaker.read(side, held, &mut messages).min(held.len());
            speaker.end(side, &held[taken..], &mut messages);
        }
        !messages.is_empty()
    }

    fn read(&mut self, by: End, bytes: &[u8], out: &mut Vec<Heard>) {
        let State::Known(speaker) = &mut self.state else { return };
        let side = side(self.client, by);
        let mut messages = Vec::new();
        let held = &mut self.held[by as usize];
        let mut rest = bytes;
        // What is held already is completed by as much as fits; the rest is read where it lies.
        while !held.is_empty() && !rest.is_empty() {
            let had = held.len();
            let room = HELD.saturating_sub(had).min(rest.len());
            held.extend_from_slice(&rest[..room]);
            let taken = speaker.read(side, held, &mut messages).min(held.len());
            if taken >= had {
                rest = &rest[taken - had..];
                held.clear();
            } else if taken == 0 && held.len() >= HELD {
                rest = &rest[room..];
                held.clear();
                speaker.gap(side);
            } else {
                held.drain(..taken);
                rest = &rest[room..];
            }
        }
        while held.is_empty() && !rest.is_empty() {
            let taken = speaker.read(side, &rest[..rest.len().min(HELD)], &mut messages).min(rest.len());
            rest = &rest[taken..];
            if taken == 0 && rest.len() >= HELD {
                rest = &rest[HELD..];
                speaker.gap(side);
            } else if taken == 0 {
                held.extend_from_slice(rest);
                break;
            }
        }
        let service = speaker.name();
        self.give(by, service, messages, out);
    }

    fn give(&mut self, by: End, service: &'static str, messages: Vec<Message>, out: &mut Vec<Heard>) {
        let room = (MESSAGES - self.messages.min(MESSAGES)) as usize;
        self.messages = self.messages.saturating_add(messages.len() as u32);
        self.untold += messages.len().saturating_sub(room) as u64;
        out.extend(messages.into_iter().take(room).map(|message| Heard { by, service, message }));
    }

    fn unknown(&mut self, by: End, bytes: &[u8], out: &mut Vec<Heard>) {
        const { assert!(PAYLOAD <= BEGINNING, "a beginning holds what is kept of a payload") };
        let message = Message { body: Some(Hash::of(bytes)), ..Message::of(Kind::Data) };
        self.give(by, "", vec![message], out);
    }
}

/// The side of an end. Where nobody is known to be the client, the peer is: it is the one who comes.
fn side(client: Option<End>, by: End) -> Side {
    if client.unwrap_or(End::Peer) == by { Side::Client } else { Side::Server }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(dialogue: &mut Dialogue, talk: &[(End, &str)]) -> Vec<(End, &'static str, Option<String>)> {
        let mut out = Vec::new();
        talk.iter().for_each(|(by, text)| dialogue.hear(*by, text.as_bytes(), &mut out));
        out.into_iter().map(|h| (h.by, h.service, h.message.verb)).collect()
    }

    #[test]
    fn a_port_is_only_a_hint() {
        let mut dialogue = Dialogue::new(Some(End::Host), [8884, 1028]);
        let heard = said(&mut dialogue, &[(End::Peer, "220 NzmxFtpd 0wns j0\n"), (End::Host, "USER 1\r\n")]);
        assert!(heard.iter().all(|(_, service, _)| *service == "ftp"), "{heard:?}");
        assert_eq!(heard.last().unwrap(), &(End::Host, "ftp", Some("USER".into())));
    }

    #[test]
    fn words_of_several_protocols_wait_for_the_next_byte_and_then_for_the_port() {
        let talk = [(End::Host, "220 ready\r\n"), (End::Peer, "QUIT\r\n")];
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 25]);
        assert_eq!(said(&mut dialogue, &talk).last().unwrap().1, "smtp");
        let heard = said(&mut Dialogue::new(Some(End::Peer), [1028, 60_666]), &[talk[0], (End::Peer, "E")]);
        assert_eq!(heard, []);
    }

    #[test]
    fn a_beginning_is_not_continued_over_a_gap() {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 21]);
        let mut heard = Vec::new();
        dialogue.hear(End::Peer, b"USER br", &mut heard);
        dialogue.gap(End::Peer);
        dialogue.hear(End::Peer, b"lost and found\r\nPASS 1\r\n", &mut heard);
        let login = &heard[0].message;
        assert_eq!((heard.len(), login.user.as_deref(), login.password.as_deref()), (1, None, Some("1")));
    }

    #[test]
    fn behind_a_torn_beginning_a_new_one_is_found() {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 60_666]);
        dialogue.gap(End::Peer);
        let heard = said(&mut dialogue, &[(End::Peer, "tail: 1\r\n\r\nGET /next HTTP/1.0\r\n\r\n")]);
        assert_eq!(heard, [(End::Peer, "http", Some("GET".into()))]);
    }

    #[test]
    fn one_side_on_a_usual_port_is_told_line_by_line() {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 21]);
        let user = said(&mut dialogue, &[(End::Peer, "USER bro\r\n")]);
        assert_eq!(user, [(End::Peer, "ftp", Some("USER".into()))]);
    }

    #[test]
    fn empty_lines_decide_nothing() {
        // Some bots' shells send a line end first.
        let talk = [(End::Peer, "\n"), (End::Host, "echo open 192.0.2.1 21 > o\r\n")];
        let heard = said(&mut Dialogue::new(None, [1957, 1924]), &talk);
        assert_eq!(heard, [(End::Host, "shell", Some("echo".into()))]);
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 5000]);
        assert_eq!(said(&mut dialogue, &[(End::Peer, "\r\n\0\r\n")]), []);
        let mut heard = Vec::new();
        dialogue.decide(&mut heard);
        assert_eq!((heard.len(), heard[0].message.kind), (1, Kind::Data));
    }

    #[test]
    fn bytes_that_nobody_knows_are_kept_once_for_each_end() {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 17300]);
        let heard = said(
            &mut dialogue,
            &[(End::Peer, "\x01\x02\x03\u{7ff}"), (End::Host, "\x07"), (End::Peer, "\x04")],
        );
        assert_eq!(heard, [(End::Peer, "", None), (End::Host, "", None)]);
    }

    #[test]
    fn a_guess_that_tells_nothing_is_no_protocol() {
        // Could be the length of a DNS message.
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 17300]);
        let mut out = Vec::new();
        dialogue.hear(End::Peer, &[1, 2, 3], &mut out);
        assert_eq!(out, []);
        dialogue.decide(&mut out);
        assert_eq!((out.len(), out[0].service, out[0].message.kind), (1, "", Kind::Data));
    }

    #[test]
    fn however_the_bytes_are_cut_the_messages_are_the_same() {
        let talk: &[(End, &str)] = &[
            (End::Host, "220 host FTP server ready.\r\n"),
            (End::Peer, "USER bro\r\n"),
            (End::Host, "331 Password required for bro.\r\n"),
            (End::Peer, "PASS 1\r\nQUIT\r\n"),
        ];
        let whole = said(&mut Dialogue::new(Some(End::Peer), [1028, 2121]), talk);
        let bytes: Vec<(End, &str)> =
            talk.iter().flat_map(|(by, text)| (0..text.len()).map(move |i| (*by, &text[i..=i]))).collect();
        assert_eq!(said(&mut Dialogue::new(Some(End::Peer), [1028, 2121]), &bytes), whole);
        assert_eq!(whole.len(), 5);
    }

    #[test]
    fn written_down_halfway_it_goes_on() {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 21]);
        said(&mut dialogue, &[(End::Host, "220 host FTP server ready.\r\n"), (End::Peer, "USER b")]);
        let written = postcard::to_stdvec(&dialogue).unwrap();
        let mut dialogue: Dialogue = postcard::from_bytes(&written).unwrap();
        let mut out = Vec::new();
        dialogue.hear(End::Peer, b"ro\r\nPASS 1\r\n", &mut out);
        let login = &out.last().unwrap().message;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("bro"), Some("1")));
    }
}
