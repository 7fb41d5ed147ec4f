//! TCP connections with words: what the attacker says, what the host replies, and when.
//!
//! The attacker's packets are: SYN, the ACK of the SYN/ACK, one packet for each line, FIN. The host
//! answers the SYN with SYN/ACK, the ACK with its greeting where it has one, each line with its reply
//! (or a bare ACK), the FIN with FIN/ACK. Sequence numbers follow, so a reassembler reads it all.

use rand::Rng;

use crate::study::Style;

/// A connection with words.
#[derive(Clone, Debug)]
pub struct Talk {
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

/// What worms and scanners asked web servers for in 2003.
const REQUESTS: [&str; 5] = [
    "GET /default.ida?XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX%u9090%u6858%ucbd3%u7801 HTTP/1.0\r\n\r\n",
    "GET /scripts/root.exe?/c+dir HTTP/1.0\r\nHost: www\r\nConnection: close\r\n\r\n",
    "GET /MSADC/root.exe?/c+dir HTTP/1.0\r\nHost: www\r\nConnection: close\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
    "OPTIONS / HTTP/1.0\r\n\r\n",
];

impl Talk {
    fn new(greeting: &str, lines: Vec<(Vec<u8>, Vec<u8>)>, mut pause: impl FnMut(usize) -> u32) -> Self {
        let packets = lines.len() + 3;
        let mut ticks = vec![0];
        for k in 1..packets {
            ticks.push(ticks[k - 1] + pause(k).max(1));
        }
        Talk { greeting: greeting.into(), lines, ticks, logins: Vec::new(), style: None }
    }

    /// A request to a web server, which has nothing of the kind.
    pub(crate) fn http(rng: &mut impl Rng) -> Self {
        let request = REQUESTS[rng.random_range(0..REQUESTS.len())];
        let reply = "HTTP/1.1 404 Object Not Found\r\nServer: Microsoft-IIS/4.0\r\nContent-Length: 0\r\n\r\n";
        Talk::new("", vec![(request.into(), reply.into())], |_| 1)
    }

    /// Blaster's first step: an RPC bind, then a request that is far too long.
    pub(crate) fn rpc_overflow() -> Self {
        let mut bind = vec![5, 0, 11, 3, 16, 0, 0, 0, 72, 0, 0, 0, 127, 0, 0, 0];
        bind.resize(72, 0x16);
        let mut request = vec![5, 0, 0, 3, 16, 0, 0, 0, 0xa8, 6, 0, 0, 0xe5, 0, 0, 0];
        request.resize(1_460, 0x90);
        let rest = vec![0x90; 244];
        let ack = [5, 0, 12, 3, 16, 0, 0, 0, 60, 0, 0, 0, 127, 0, 0, 0].to_vec();
        Talk::new("", vec![(bind, ack), (request, vec![]), (rest, vec![])], |_| 2)
    }

    /// Somebody who came for one port and says a few bytes to it.
    pub(crate) fn few_bytes(port: u16) -> Self {
        let tds_login = [2, 1, 2, 0, 0, 0, 0, 0, b's', b'a', 0, 0];
        let hello = if port == 1433 { tds_login.to_vec() } else { b"\r\n".to_vec() };
        Talk::new("", vec![(hello, vec![])], |_| 3)
    }

    /// An FTP login with each password in turn, none of which is right. `second` is in ticks.
    pub(crate) fn ftp(
        host: &str,
        style: Style,
        user: &str,
        passwords: &[String],
        second: u32,
        rng: &mut impl Rng,
    ) -> Self {
        let mut lines = Vec::new();
        for password in passwords {
            let asked = format!("331 Password required for {user}.\r\n");
            lines.push((format!("USER {user}\r\n").into_bytes(), asked.into_bytes()));
            lines.push((format!("PASS {password}\r\n").into_bytes(), b"530 Login incorrect.\r\n".to_vec()));
        }
        lines.push((b"QUIT\r\n".to_vec(), b"221 Goodbye.\r\n".to_vec()));
        let pause = |k: usize| match style {
            // Between 1.5 and 9 seconds; the parity makes two neighbours differ, so never are all equal.
            Style::Hand if k > 1 => second * 3 / 2 + rng.random_range(0..second * 4) * 2 - (k as u32 % 2),
            _ => 1,
        };
        let mut talk = Talk::new(&format!("220 {host} FTP server ready.\r\n"), lines, pause);
        talk.logins = passwords.iter().map(|p| (user.to_owned(), p.clone())).collect();
        talk.style = Some(style);
        talk
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
        Talk::ftp("mach2", style, "root", &["a".into(), "bc".into()], 16, &mut rng)
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
    fn sequence_numbers_add_up() {
        let talk = ftp(Style::Robot);
        assert_eq!(talk.packets() as usize, talk.ticks.len());
        assert_eq!((talk.said_before(0), talk.said_before(2), talk.said_before(3)), (0, 1, 12));
        assert_eq!(talk.part(talk.packets() - 1), Part::Fin);
        let greeting = talk.greeting.len() as u32;
        assert_eq!((talk.replied_before(1), talk.replied_before(2)), (1, 1 + greeting));
    }
}
