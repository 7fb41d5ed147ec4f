//! SSH (RFC 4253, 4252, 4254): identification, key exchange, logins by policy, a shell that runs nothing.
//!
//! The current face speaks what hardened servers are told to leave on: curve25519 (RFC 8731), Ed25519 (RFC 8709), AES in counter mode
//! (RFC 4344), HMAC-SHA-256. The face of 2002 is OpenSSH 3.1p1's: Diffie-Hellman with SHA-1 in a group of its own or of the peer's
//! size (RFC 4419), RSA, AES and triple DES in CBC mode. What else its lists name it does not speak: who insists is let go.

mod packets;
mod rsa;

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use self::packets::{Directions, Hash, Keys, be32, lists, mpint, read_string, string};
use self::rsa::{Group, RsaKey};
use super::shell::Shell;
use crate::limits::{RECORDED, SECOND};
use crate::record::{Said, Text, hex};
use crate::service::{Event, Service, Turn};

/// Whose server it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// OpenSSH 3.1p1 of Red Hat Linux 7.3.
    OpenSsh31,
    /// OpenSSH 9.2p1 of Debian 12.
    OpenSsh92,
}

impl Face {
    fn identification(self) -> &'static str {
        match self {
            Face::OpenSsh31 => "SSH-1.99-OpenSSH_3.1p1",
            Face::OpenSsh92 => "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
        }
    }

    /// Lists of algorithms in the order of RFC 4253 7.1: key exchange, host keys, ciphers, codes, compression.
    fn algorithms(self) -> [&'static str; 5] {
        match self {
            Face::OpenSsh31 => [
                "diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1",
                "ssh-rsa,ssh-dss",
                "aes128-cbc,3des-cbc,blowfish-cbc,cast128-cbc,arcfour,aes192-cbc,aes256-cbc,rijndael-cbc@lysator.liu.se",
                "hmac-md5,hmac-sha1,hmac-ripemd160,hmac-ripemd160@openssh.com,hmac-sha1-96,hmac-md5-96",
                "none,zlib",
            ],
            Face::OpenSsh92 => [
                "curve25519-sha256,curve25519-sha256@libssh.org",
                "ssh-ed25519",
                "aes128-ctr,aes192-ctr,aes256-ctr",
                "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
                "none,zlib@openssh.com",
            ],
        }
    }
}

const DISCONNECT: u8 = 1;
const SERVICE_REQUEST: u8 = 5;
const SERVICE_ACCEPT: u8 = 6;
const KEX_INIT: u8 = 20;
const NEW_KEYS: u8 = 21;
/// The first number of an exchange, of whatever kind, and its answer.
const EXCHANGE_INIT: u8 = 30;
const EXCHANGE_REPLY: u8 = 31;
/// Of an exchange in a group of the client's size (RFC 4419 5); 30 asks as drafts of it did.
const GROUP_OLD_REQUEST: u8 = 30;
const GROUP_ANSWER: u8 = 31;
const GROUP_INIT: u8 = 32;
const GROUP_REPLY: u8 = 33;
const GROUP_REQUEST: u8 = 34;
const AUTH_REQUEST: u8 = 50;
const AUTH_FAILURE: u8 = 51;
const AUTH_SUCCESS: u8 = 52;
const GLOBAL_REQUEST: u8 = 80;
const REQUEST_FAILURE: u8 = 82;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_CONFIRMATION: u8 = 91;
const CHANNEL_FAILURE: u8 = 92;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_EOF: u8 = 96;
const CHANNEL_CLOSE: u8 = 97;
const CHANNEL_REQUEST: u8 = 98;
const CHANNEL_SUCCESS: u8 = 99;
const UNIMPLEMENTED: u8 = 3;

/// The longest packet that is read (RFC 4253 6.1).
const PACKET: usize = 35_000;
/// Passwords of one connection, as `MaxAuthTries` has it.
const TRIES: u32 = 6;

/// Where a channel is.
#[derive(Debug, Default)]
struct Channel {
    theirs: u32,
    line: Vec<u8>,
    shell: bool,
    terminal: bool,
    ended: bool,
}

#[derive(Debug)]
pub(super) struct Ssh {
    face: Face,
    begun: Vec<u8>,
    /// The length of the packet whose first block has been decrypted.
    deciphered: Option<usize>,
    client: Option<Vec<u8>>,
    own_init: Vec<u8>,
    their_init: Vec<u8>,
    /// The group that the client asked for, and what it asked.
    group: Option<(Group, Vec<u8>)>,
    session: Option<Vec<u8>>,
    /// Keys for what comes, until the peer says that it uses them.
    waiting: Option<Keys>,
    keys: Directions,
    user: Vec<u8>,
    tries: u32,
    inside: bool,
    channel: Option<Channel>,
    /// A refusal that takes its time.
    refusing: bool,
    over: bool,
}

impl Ssh {
    pub fn new(face: Face) -> Self {
        Ssh {
            face,
            begun: Vec::new(),
            deciphered: None,
            client: None,
            own_init: Vec::new(),
            their_init: Vec::new(),
            group: None,
            session: None,
            waiting: None,
            keys: Directions::default(),
            user: Vec::new(),
            tries: 0,
            inside: false,
            channel: None,
            refusing: false,
            over: false,
        }
    }

    fn shell(&self) -> Shell {
        if self.face == Face::OpenSsh31 { Shell::RedHat } else { Shell::Debian }
    }

    /// Sends one message as a packet.
    fn send(&mut self, message: &[u8], turn: &mut Turn<'_>) {
        let block = self.keys.go.as_ref().map_or(8, |keys| keys.block);
        let clear = self.keys.go.as_ref().is_some_and(|keys| keys.encrypted_first);
        let unpadded = if clear { 1 } else { 5 } + message.len();
        let mut padding = block - unpadded % block;
        if padding < 4 {
            padding += block;
        }
        let mut packet = ((1 + message.len() + padding) as u32).to_be_bytes().to_vec();
        packet.push(padding as u8);
        packet.extend(message);
        packet.resize(packet.len() + padding, 0);
        let sequence = self.keys.go_sequence;
        if let Some(keys) = &mut self.keys.go {
            if keys.encrypted_first {
                keys.apply(&mut packet[4..]);
                let code = keys.code(sequence, &packet);
                packet.extend(code);
            } else {
                let code = keys.code(sequence, &packet);
                keys.apply(&mut packet);
                packet.extend(code);
            }
        }
        self.keys.go_sequence = sequence.wrapping_add(1);
        turn.say(packet);
    }

    /// The next whole message that came; an error where the packet is none.
    fn next_message(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let Some(head) = self.begun.first_chunk::<4>().copied() else { return Ok(None) };
        let code_length = self.keys.come.as_ref().map_or(0, Keys::code_length);
        let block = self.keys.come.as_ref().map_or(8, |keys| keys.block);
        let length = match (&mut self.keys.come, self.deciphered) {
            (Some(keys), None) if !keys.encrypted_first => {
                if self.begun.len() < block {
                    return Ok(None);
                }
                keys.apply(&mut self.begun[..block]);
                u32::from_be_bytes([self.begun[0], self.begun[1], self.begun[2], self.begun[3]]) as usize
            }
            (_, Some(length)) => length,
            _ => u32::from_be_bytes(head) as usize,
        };
        // A packet that is ciphered as a whole is a number of blocks.
        let ciphered = self.keys.come.as_ref().is_some_and(|keys| !keys.encrypted_first);
        if !(5..=PACKET).contains(&length) || ciphered && !(4 + length).is_multiple_of(block) {
            return Err(());
        }
        self.deciphered = self.keys.come.as_ref().filter(|keys| !keys.encrypted_first).map(|_| length);
        let whole = 4 + length + code_length;
        if self.begun.len() < whole {
            return Ok(None);
        }
        let mut packet: Vec<u8> = self.begun.drain(..whole).collect();
        self.deciphered = None;
        let code = packet.split_off(4 + length);
        let sequence = self.keys.come_sequence;
        if let Some(keys) = &mut self.keys.come {
            let right = if keys.encrypted_first {
                let right = keys.code(sequence, &packet) == code[..];
                keys.apply(&mut packet[4..]);
                right
            } else {
                keys.apply(&mut packet[block..]);
                keys.code(sequence, &packet) == code[..]
            };
            if !right {
                return Err(());
            }
        }
        self.keys.come_sequence = sequence.wrapping_add(1);
        let padding = usize::from(packet[4]);
        let end = (4 + length).checked_sub(padding).filter(|end| *end > 5).ok_or(())?;
        Ok(Some(packet[5..end].to_vec()))
    }

    fn identified(&mut self, turn: &mut Turn<'_>) {
        // Other lines may come first (RFC 4253 4.2); a client sends none.
        let Some(end) = self.begun.iter().take(255).position(|byte| *byte == b'\n') else {
            if self.begun.len() > 255 {
                self.refuse("Invalid SSH identification string.\r\n", turn);
            }
            return;
        };
        let line: Vec<u8> = self.begun.drain(..=end).collect();
        let line = line.trim_ascii_end().to_vec();
        turn.record(Said::Client { name: line.as_slice().into() });
        if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
            return self.refuse("Invalid SSH identification string.\r\n", turn);
        }
        self.client = Some(line);
        let mut init = vec![KEX_INIT];
        let mut random = turn.site.draw(&format!("cookie {} {}", turn.now, turn.peer_port));
        init.extend(random.bits().to_be_bytes());
        init.extend(random.bits().to_be_bytes());
        let [kex, keys, ciphers, codes, compressions] = self.face.algorithms();
        for list in [kex, keys, ciphers, ciphers, codes, codes, compressions, compressions, "", ""] {
            string(&mut init, list.as_bytes());
        }
        init.extend([0; 5]);
        self.own_init.clone_from(&init);
        self.send(&init, turn);
    }

    fn refuse(&mut self, why: &str, turn: &mut Turn<'_>) {
        turn.say(why);
        turn.close();
        self.over = true;
    }

    fn message(&mut self, message: &[u8], turn: &mut Turn<'_>) {
        let Some((&kind, rest)) = message.split_first() else { return };
        match kind {
            DISCONNECT => {
                turn.close();
                self.over = true;
            }
            2 | UNIMPLEMENTED | 4 | 7 => {}
            KEX_INIT if self.session.is_none() => {
                self.their_init = message.to_vec();
                let lists = lists(message).unwrap_or_default();
                // What clients are told apart by (HASSH): key exchange, ciphers, codes, compression to the server.
                let told =
                    [0, 2, 4, 6].map(|at| lists.get(at).map(String::as_str).unwrap_or_default()).join(";");
                turn.record(Said::Request {
                    method: "key exchange".into(),
                    target: told.as_str().into(),
                    whole: Text::default(),
                });
            }
            EXCHANGE_INIT..=GROUP_REQUEST if self.session.is_none() && !self.their_init.is_empty() => {
                if self.exchange(kind, rest, turn).is_none() {
                    turn.close();
                    self.over = true;
                }
            }
            NEW_KEYS => {
                if let Some(come) = self.waiting.take() {
                    self.keys.come = Some(come);
                }
            }
            SERVICE_REQUEST if self.session.is_some() => {
                let mut answer = vec![SERVICE_ACCEPT];
                answer.extend(rest);
                self.send(&answer, turn);
            }
            AUTH_REQUEST if self.session.is_some() => self.authenticate(rest, turn),
            GLOBAL_REQUEST => self.send(&[REQUEST_FAILURE], turn),
            CHANNEL_OPEN..=100 if self.inside => self.channel(kind, rest, turn),
            _ => {
                let mut answer = vec![UNIMPLEMENTED];
                answer.extend(self.keys.come_sequence.wrapping_sub(1).to_be_bytes());
                self.send(&answer, turn);
            }
        }
    }

    /// A message of the key exchange.
    fn exchange(&mut self, kind: u8, rest: &[u8], turn: &mut Turn<'_>) -> Option<()> {
        const IN_A_GROUP: &str = "diffie-hellman-group-exchange-sha1";
        let [kinds, host_keys, ..] = self.face.algorithms();
        let way = self.chosen(0, kinds)?;
        self.chosen(1, host_keys).filter(|name| matches!(name.as_str(), "ssh-rsa" | "ssh-ed25519"))?;
        match (way.as_str(), kind) {
            (IN_A_GROUP, GROUP_OLD_REQUEST | GROUP_REQUEST) => {
                let wanted = be32(rest, if kind == GROUP_REQUEST { 4 } else { 0 })?;
                let group = Group::of(wanted);
                self.send(&[&[GROUP_ANSWER][..], &group.written()].concat(), turn);
                let asked = rest.get(..if kind == GROUP_REQUEST { 12 } else { 4 })?;
                self.group = Some((group, asked.to_vec()));
                Some(())
            }
            (IN_A_GROUP, GROUP_INIT) => {
                let (group, asked) = self.group.take()?;
                self.old_exchange(&group, &[asked, group.written()].concat(), GROUP_REPLY, rest, turn)
            }
            ("diffie-hellman-group1-sha1", EXCHANGE_INIT) => {
                self.old_exchange(&Group::one(), &[], EXCHANGE_REPLY, rest, turn)
            }
            ("curve25519-sha256" | "curve25519-sha256@libssh.org", EXCHANGE_INIT) => {
                self.new_exchange(rest, turn)
            }
            _ => None,
        }
    }

    /// The first of the client's names, in its list at that place, that the server has (RFC 4253 7.1).
    fn chosen(&self, at: usize, known: &str) -> Option<String> {
        let wanted = lists(&self.their_init)?;
        wanted
            .get(at)?
            .split(',')
            .find(|name| known.split(',').any(|known| known == *name))
            .map(str::to_owned)
    }

    /// The exchange of RFC 4253 8 and of RFC 4419, which hashes what the group came of, too.
    fn old_exchange(
        &mut self,
        group: &Group,
        of_group: &[u8],
        reply: u8,
        init: &[u8],
        turn: &mut Turn<'_>,
    ) -> Option<()> {
        let theirs = read_string(init)?.0;
        if !turn.may_exchange() {
            return None;
        }
        let secret: [u8; 32] = self.secret(turn);
        let (own, shared) = group.exchange(&secret, theirs)?;
        let key = RsaKey::of(turn.site);
        let (mut public, mut their_number) = (Vec::new(), Vec::new());
        mpint(&mut public, &own);
        mpint(&mut their_number, theirs);
        let numbers = [of_group, &their_number, &public].concat();
        let sign = |hash: &[u8]| key.sign(hash);
        self.exchanged(Hash::Sha1, (reply, &key.written(), &public), &numbers, &shared, sign, turn)
    }

    /// The exchange of RFC 8731.
    fn new_exchange(&mut self, init: &[u8], turn: &mut Turn<'_>) -> Option<()> {
        if !turn.may_exchange() {
            return None;
        }
        let theirs: [u8; 32] = read_string(init)?.0.try_into().ok()?;
        let key = SigningKey::from_bytes(&turn.site.bytes("ssh host key"));
        let mut host_key = Vec::new();
        string(&mut host_key, b"ssh-ed25519");
        string(&mut host_key, key.verifying_key().as_bytes());
        let secret: [u8; 32] = self.secret(turn);
        let own = x25519_dalek::x25519(secret, x25519_dalek::X25519_BASEPOINT_BYTES);
        let shared = x25519_dalek::x25519(secret, theirs);
        let (mut public, mut numbers) = (Vec::new(), Vec::new());
        string(&mut public, &own);
        string(&mut numbers, &theirs);
        numbers.extend(&public);
        let sign = |hash: &[u8]| {
            let mut signature = Vec::new();
            string(&mut signature, b"ssh-ed25519");
            string(&mut signature, &key.sign(hash).to_bytes());
            signature
        };
        self.exchanged(Hash::Sha256, (EXCHANGE_REPLY, &host_key, &public), &numbers, &shared, sign, turn)
    }

    fn secret(&self, turn: &Turn<'_>) -> [u8; 32] {
        turn.site.bytes(&format!("ssh exchange {} {} {}", turn.now, turn.peer, turn.peer_port))
    }

    /// What both sides know then: the answer, signed, and keys for both directions.
    fn exchanged(
        &mut self,
        function: Hash,
        (reply, host_key, public): (u8, &[u8], &[u8]),
        numbers: &[u8],
        shared: &[u8],
        sign: impl Fn(&[u8]) -> Vec<u8>,
        turn: &mut Turn<'_>,
    ) -> Option<()> {
        let mut hashed = Vec::new();
        let client = self.client.clone()?;
        for part in
            [&client[..], self.face.identification().as_bytes(), &self.their_init, &self.own_init, host_key]
        {
            string(&mut hashed, part);
        }
        let mut number = Vec::new();
        mpint(&mut number, shared);
        let hash = function.of(&[&hashed, numbers, &number]);
        let mut answer = vec![reply];
        string(&mut answer, host_key);
        answer.extend(public);
        string(&mut answer, &sign(&hash));

        let [_, _, ciphers, codes, _] = self.face.algorithms();
        let derived = |letter, length| function.derived(&number, &hash, letter, length);
        let suite = |at: usize| Some((self.chosen(at, ciphers)?, self.chosen(at + 2, codes)?));
        let (in_suite, out_suite) = (suite(2)?, suite(3)?);
        let come = Keys::new((&in_suite.0, &in_suite.1), false, *b"ACE", derived)?;
        let go = Keys::new((&out_suite.0, &out_suite.1), true, *b"BDF", derived)?;
        self.send(&answer, turn);
        self.send(&[NEW_KEYS], turn);
        self.waiting = Some(come);
        self.keys.go = Some(go);
        self.session = Some(hash);
        Some(())
    }

    fn authenticate(&mut self, request: &[u8], turn: &mut Turn<'_>) {
        let parts = (|| {
            let (user, rest) = read_string(request)?;
            let (_, rest) = read_string(rest)?;
            let (method, rest) = read_string(rest)?;
            Some((user, method, rest))
        })();
        let Some((user, method, rest)) = parts else { return self.failed(turn) };
        self.user = user.to_vec();
        match method {
            b"password" => {
                let password = rest.get(1..).and_then(read_string).map_or(&b""[..], |(password, _)| password);
                if turn.login(user, password) {
                    self.inside = true;
                    return self.send(&[AUTH_SUCCESS], turn);
                }
                self.tries += 1;
                self.refusing = true;
                // OpenSSH with PAM takes about two seconds.
                turn.wake_after(2 * SECOND);
            }
            b"publickey" => {
                let key = rest.get(1..).and_then(read_string).and_then(|(_, rest)| read_string(rest));
                if let Some((key, _)) = key {
                    let print = hex(&Sha256::digest(key));
                    let target = format!("{} sha256:{print}", Text::from(user));
                    turn.record(Said::Request {
                        method: "public key".into(),
                        target: target.as_str().into(),
                        whole: key.into(),
                    });
                }
                self.failed(turn);
            }
            _ => self.failed(turn),
        }
    }

    fn failed(&mut self, turn: &mut Turn<'_>) {
        let mut answer = vec![AUTH_FAILURE];
        string(&mut answer, b"publickey,password");
        answer.push(0);
        self.send(&answer, turn);
        if self.tries >= TRIES {
            turn.close();
            self.over = true;
        }
    }

    fn channel(&mut self, kind: u8, rest: &[u8], turn: &mut Turn<'_>) {
        match kind {
            CHANNEL_OPEN => {
                let Some((name, rest)) = read_string(rest) else { return };
                let theirs = be32(rest, 0).unwrap_or(0);
                if name != b"session" || self.channel.is_some() {
                    // A way to somebody else is never opened (RFC 4254 5.1: administratively prohibited).
                    turn.record(Said::Request {
                        method: "channel".into(),
                        target: name.into(),
                        whole: rest.into(),
                    });
                    let mut answer = vec![CHANNEL_FAILURE];
                    answer.extend(theirs.to_be_bytes());
                    answer.extend(1u32.to_be_bytes());
                    string(&mut answer, b"open failed");
                    string(&mut answer, b"");
                    return self.send(&answer, turn);
                }
                self.channel = Some(Channel { theirs, ..Channel::default() });
                let mut answer = vec![CHANNEL_CONFIRMATION];
                for number in [theirs, 0, 0x7fff_ffff, 32_768] {
                    answer.extend(number.to_be_bytes());
                }
                self.send(&answer, turn);
            }
            CHANNEL_REQUEST => {
                let Some((name, rest)) = rest.get(4..).and_then(read_string) else { return };
                let wants = rest.first() == Some(&1);
                let rest = rest.get(1..).unwrap_or_default();
                let Some(channel) = &mut self.channel else { return };
                let theirs = channel.theirs;
                let known = matches!(name, b"pty-req" | b"env" | b"shell" | b"exec" | b"window-change");
                channel.terminal |= name == b"pty-req";
                channel.shell |= name == b"shell";
                let terminal = channel.terminal;
                if wants {
                    let mut answer = vec![if known { CHANNEL_SUCCESS } else { 100 }];
                    answer.extend(theirs.to_be_bytes());
                    self.send(&answer, turn);
                }
                let user = self.name();
                match name {
                    b"shell" => {
                        let opening = self.shell().opening().to_owned() + &self.shell().prompt(&user, turn);
                        self.data(if terminal { &opening } else { "" }, turn);
                    }
                    b"exec" => {
                        let Some((command, _)) = read_string(rest) else { return };
                        turn.command(command);
                        let (answer, _) = self.shell().answer(command, &user, turn);
                        self.data(&answer.replace("\r\n", "\n"), turn);
                        self.end(turn);
                    }
                    _ => {}
                }
            }
            CHANNEL_DATA => {
                let Some((data, _)) = rest.get(4..).and_then(read_string) else { return };
                let data = data.to_vec();
                for byte in data {
                    self.typed(byte, turn);
                }
            }
            CHANNEL_EOF => self.end(turn),
            CHANNEL_CLOSE => {
                self.channel = None;
                turn.close();
            }
            _ => {}
        }
    }

    /// One byte of what is typed.
    fn typed(&mut self, byte: u8, turn: &mut Turn<'_>) {
        let user = self.name();
        let shell = self.shell();
        let Some(channel) = self.channel.as_mut().filter(|channel| channel.shell) else { return };
        let terminal = channel.terminal;
        match byte {
            b'\r' | b'\n' => {
                let line = std::mem::take(&mut channel.line);
                turn.command(&line);
                let (answer, over) = shell.answer(&line, &user, turn);
                let prompt = if over { String::new() } else { shell.prompt(&user, turn) };
                let text =
                    if terminal { format!("\r\n{answer}{prompt}") } else { answer.replace("\r\n", "\n") };
                self.data(&text, turn);
                if over {
                    self.end(turn);
                }
            }
            3 | 4 => self.end(turn),
            8 | 127 => {
                let shown = if channel.line.pop().is_some() && terminal { "\u{8} \u{8}" } else { "" };
                self.data(shown, turn);
            }
            byte => {
                if channel.line.len() < crate::limits::LINE {
                    channel.line.push(byte);
                }
                if terminal && byte.is_ascii() {
                    self.data(&char::from(byte).to_string(), turn);
                }
            }
        }
    }

    fn data(&mut self, text: &str, turn: &mut Turn<'_>) {
        let Some(theirs) = self.channel.as_ref().map(|channel| channel.theirs).filter(|_| !text.is_empty())
        else {
            return;
        };
        for part in text.as_bytes().chunks(8_192) {
            let mut message = vec![CHANNEL_DATA];
            message.extend(theirs.to_be_bytes());
            string(&mut message, part);
            self.send(&message, turn);
        }
    }

    /// The command or shell has ended, well.
    fn end(&mut self, turn: &mut Turn<'_>) {
        let Some(channel) = self.channel.as_mut().filter(|channel| !channel.ended) else { return };
        channel.shell = false;
        channel.ended = true;
        let theirs = channel.theirs.to_be_bytes();
        let mut status = [&[CHANNEL_REQUEST][..], &theirs].concat();
        string(&mut status, b"exit-status");
        status.extend([0, 0, 0, 0, 0]);
        self.send(&status, turn);
        for kind in [CHANNEL_EOF, CHANNEL_CLOSE] {
            self.send(&[&[kind][..], &theirs].concat(), turn);
        }
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.user).chars().filter(char::is_ascii_graphic).take(32).collect()
    }

    fn messages(&mut self, turn: &mut Turn<'_>) {
        if self.client.is_none() {
            self.identified(turn);
        }
        while self.client.is_some() && !self.over && !self.refusing {
            match self.next_message() {
                Ok(Some(message)) => self.message(&message, turn),
                Ok(None) => return,
                Err(()) => {
                    turn.close();
                    self.over = true;
                }
            }
        }
    }
}

impl Service for Ssh {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Opened => {
                // `LoginGraceTime`.
                turn.idle_for(120 * SECOND);
                turn.say(self.face.identification());
                turn.say(if self.face == Face::OpenSsh31 { "\n" } else { "\r\n" });
            }
            Event::Heard(bytes) if !self.over => {
                if self.begun.len() + bytes.len() <= RECORDED + PACKET {
                    self.begun.extend_from_slice(bytes);
                }
                self.messages(turn);
            }
            Event::Woken if self.refusing => {
                self.refusing = false;
                self.failed(turn);
                self.messages(turn);
            }
            Event::Ended => turn.close(),
            Event::Gone if self.client.is_none() && !self.begun.is_empty() => {
                turn.bytes(&std::mem::take(&mut self.begun));
            }
            Event::Gone => {
                let left = self.channel.take().map(|channel| channel.line).unwrap_or_default();
                if !left.is_empty() {
                    turn.command(&left);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.begun.len() + self.channel.as_ref().map_or(0, |channel| channel.line.len())
    }
}
