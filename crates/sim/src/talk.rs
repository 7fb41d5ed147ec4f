//! TCP connections with words: what the attacker says, what the host replies, and when.
//!
//! The attacker's packets are: SYN, the ACK of the SYN/ACK, one packet for each line, FIN. The host
//! answers the SYN with SYN/ACK, the ACK with its greeting where it has one, each line with its reply
//! (or a bare ACK), the FIN with FIN/ACK. Sequence numbers follow, so a reassembler reads it all.

use rand::Rng;

use crate::plan::counts::at_share;
use crate::study::{Style, Web};

mod server;

pub(crate) use server::Server;

/// A connection with words.
#[derive(Clone, Debug)]
pub struct Talk {
    /// What language it is in.
    pub language: Language,
    /// What the host says first; empty where the attacker begins.
    pub greeting: Vec<u8>,
    /// What the attacker says, and the host's reply to it.
    pub lines: Vec<(Vec<u8>, Vec<u8>)>,
    /// Tick of each inbound packet, counted from the first.
    pub ticks: Vec<u32>,
    /// User and password of each login.
    pub logins: Vec<(String, String)>,
    /// How the logins are typed.
    pub style: Option<Style>,
}

/// What one inbound packet of a talk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The opening packet.
    Syn,
    /// The ACK of the host's SYN/ACK.
    Ack,
    /// The line of that index.
    Line(usize),
    /// The end.
    Fin,
}

/// What is asked where a scenario lists no requests.
const REQUEST: &str = "GET / HTTP/1.0\r\n\r\n";

/// What language a talk is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Requests to a web server.
    Http,
    /// Commands of the file transfer protocol.
    Ftp,
    /// Commands of a shell.
    Shell,
    /// Anything else.
    Bytes,
}

impl Talk {
    fn new(
        language: Language,
        greeting: &str,
        lines: Vec<(Vec<u8>, Vec<u8>)>,
        mut pause: impl FnMut(usize) -> u32,
    ) -> Self {
        let packets = lines.len() + 3;
        let mut ticks = vec![0];
        for k in 1..packets {
            ticks.push(ticks[k - 1] + pause(k).max(1));
        }
        Talk { language, greeting: greeting.into(), lines, ticks, logins: Vec::new(), style: None }
    }

    /// One of the requests to a web server, which has nothing of the kind.
    pub(crate) fn http(requests: &[Web], rng: &mut impl Rng) -> Self {
        let share = f64::from(rng.random::<u32>()) / (f64::from(u32::MAX) + 1.0);
        let request = requests.get(at_share(share, requests.iter().map(|w| w.weight)));
        let request = request.map_or(REQUEST, |w| &w.request);
        let reply = "HTTP/1.1 404 Object Not Found\r\nServer: Microsoft-IIS/4.0\r\nContent-Length: 0\r\n\r\n";
        Talk::new(Language::Http, "", vec![(request.into(), reply.into())], |_| 1)
    }

    /// A worm at the shell that it has opened, `pause` ticks from one command to the next.
    pub(crate) fn shell(persona: &str, commands: &[String], pause: u32) -> Self {
        let line = |said: &String| (format!("{said}\n").into_bytes(), server::shell_reply(said).into_bytes());
        let lines = commands.iter().map(line).collect();
        Talk::new(Language::Shell, &server::shell_greeting(persona), lines, |_| pause)
    }

    /// Blaster's first step: an RPC bind, then a request that is far too long.
    pub(crate) fn rpc_overflow() -> Self {
        let mut bind = vec![5, 0, 11, 3, 16, 0, 0, 0, 72, 0, 0, 0, 127, 0, 0, 0];
        bind.resize(72, 0x16);
        let mut request = vec![5, 0, 0, 3, 16, 0, 0, 0, 0xa8, 6, 0, 0, 0xe5, 0, 0, 0];
        request.resize(1_460, 0x90);
        let rest = vec![0x90; 244];
        let ack = [5, 0, 12, 3, 16, 0, 0, 0, 60, 0, 0, 0, 127, 0, 0, 0].to_vec();
        Talk::new(Language::Bytes, "", vec![(bind, ack), (request, vec![]), (rest, vec![])], |_| 2)
    }

    /// Somebody who came for one port and says a few bytes to it.
    pub(crate) fn few_bytes(port: u16) -> Self {
        let tds_login = [2, 1, 2, 0, 0, 0, 0, 0, b's', b'a', 0, 0];
        let hello = if port == 1433 { tds_login.to_vec() } else { b"\r\n".to_vec() };
        Talk::new(Language::Bytes, "", vec![(hello, vec![])], |_| 3)
    }

    /// An FTP login with each password in turn. `second` is in ticks.
    pub(crate) fn ftp(
        server: &Server,
        style: Style,
        user: &str,
        passwords: &[String],
        second: u32,
        rng: &mut impl Rng,
    ) -> Self {
        let login = |password| [format!("USER {user}"), format!("PASS {password}")];
        let commands: Vec<String> = passwords.iter().flat_map(login).chain(["QUIT".into()]).collect();
        let pause = |k: usize| match style {
            // Between 1.5 and 9 seconds; the parity makes two neighbours differ, so never are all equal.
            Style::Hand if k > 1 => second * 3 / 2 + rng.random_range(0..second * 4) * 2 - (k as u32 % 2),
            _ => 1,
        };
        let logins = passwords.iter().map(|p| (user.to_owned(), p.clone())).collect();
        Talk::commands(server, &commands, logins, style, pause)
    }

    /// A robot that logs in, gives its commands and goes.
    pub(crate) fn ftp_visit(server: &Server, user: &str, password: &str, commands: &[String]) -> Self {
        let mut all = vec![format!("USER {user}"), format!("PASS {password}")];
        all.extend_from_slice(commands);
        all.push("QUIT".into());
        Talk::commands(server, &all, vec![(user.to_owned(), password.to_owned())], Style::Robot, |_| 1)
    }

    fn commands(
        server: &Server,
        commands: &[String],
        logins: Vec<(String, String)>,
        style: Style,
        pause: impl FnMut(usize) -> u32,
    ) -> Self {
        let mut server = server.clone();
        let greeting = server.greeting();
        let line = |c: &String| (format!("{c}\r\n").into_bytes(), server.reply(c).into_bytes());
        let lines = commands.iter().map(line).collect();
        let talk = Talk::new(Language::Ftp, &greeting, lines, pause);
        Talk { logins, style: Some(style), ..talk }
    }

    /// Inbound packets.
    pub fn packets(&self) -> u32 {
        self.lines.len() as u32 + 3
    }

    /// What inbound packet `k` is.
    pub fn part(&self, k: u32) -> Part {
        match k as usize {
            0 => Part::Syn,
            1 => Part::Ack,
            n if n - 2 < self.lines.len() => Part::Line(n - 2),
            _ => Part::Fin,
        }
    }

    /// Whether the host answers packet `k`: all but an ACK that no greeting follows.
    pub fn is_answered(&self, k: u32) -> bool {
        k != 1 || !self.greeting.is_empty()
    }

    /// Bytes of the attacker's sequence space before packet `k`.
    pub fn said_before(&self, k: u32) -> u32 {
        let lines = (k as usize).saturating_sub(2).min(self.lines.len());
        u32::from(k > 0) + self.lines[..lines].iter().map(|(said, _)| said.len() as u32).sum::<u32>()
    }

    /// Bytes of the host's sequence space before its answer to packet `k`.
    pub fn replied_before(&self, k: u32) -> u32 {
        let lines = (k as usize).saturating_sub(2).min(self.lines.len());
        let greeting = if k > 1 { self.greeting.len() as u32 } else { 0 };
        u32::from(k > 0)
            + greeting
            + self.lines[..lines].iter().map(|(_, reply)| reply.len() as u32).sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn ftp(style: Style) -> Talk {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let server = Server::of(&crate::Scenario::load("paper2003").unwrap().host[2]);
        Talk::ftp(&server, style, "root", &["a".into(), "bc".into()], 16, &mut rng)
    }

    #[test]
    fn hands_pause_and_differ() {
        let ticks = ftp(Style::Hand).ticks;
        let commands = &ticks[2..ticks.len() - 1];
        let pauses: Vec<u32> = commands.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(pauses.iter().all(|p| *p >= 16), "{pauses:?}");
        assert!(pauses.iter().any(|p| *p != pauses[0]), "{pauses:?}");
    }

    #[test]
    fn a_shell_answers_with_its_prompt() {
        let talk = Talk::shell("windows-nt4-server", &["start msblast.exe".into()], 5);
        assert!(talk.greeting.ends_with(b"\r\n\r\nC:\\WINNT\\system32>"));
        let (said, reply) = &talk.lines[0];
        assert_eq!(said, b"start msblast.exe\n");
        assert!(reply.starts_with(b"start msblast.exe\r\n") && reply.ends_with(b">"));
        assert_eq!(talk.ticks, [0, 5, 10, 15]);
    }

    #[test]
    fn sequence_numbers_add_up() {
        let talk = ftp(Style::Robot);
        assert_eq!(talk.packets() as usize, talk.ticks.len());
        assert_eq!((talk.said_before(0), talk.said_before(2), talk.said_before(3)), (0, 1, 12));
        assert_eq!(talk.part(talk.packets() - 1), Part::Fin);
        let greeting = talk.greeting.len() as u32;
        assert_eq!((talk.replied_before(1), talk.replied_before(2)), (1, 1 + greeting));
    }
}
