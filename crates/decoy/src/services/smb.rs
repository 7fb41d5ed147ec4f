//! SMB1 (MS-CIFS) on 139 and 445: negotiate, session setup, shares and their list, pipes. Names and what proves a password are recorded.

use super::dcerpc::{Rpc, Server, le16, netbios_name, workgroup};
use crate::record::{Said, Text, hex};
use crate::service::{Event, Service, Turn};

/// Whose server it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Windows 98 with file sharing: shares have passwords, users have none.
    Windows98,
    /// Windows NT 4.0.
    WindowsNt4,
    /// Windows 2000.
    Windows2000,
    /// Windows XP.
    WindowsXp,
}

impl Face {
    fn system(self) -> (&'static str, &'static str) {
        match self {
            Face::Windows98 => ("Windows 4.0", "Windows 4.0"),
            Face::WindowsNt4 => ("Windows NT 4.0", "NT LAN Manager 4.0"),
            Face::Windows2000 => ("Windows 5.0", "Windows 2000 LAN Manager"),
            Face::WindowsXp => ("Windows 5.1", "Windows 2000 LAN Manager"),
        }
    }

    fn version(self) -> (u32, u32) {
        match self {
            Face::Windows98 | Face::WindowsNt4 => (4, 0),
            Face::Windows2000 => (5, 0),
            Face::WindowsXp => (5, 1),
        }
    }
}

const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP: u8 = 0x73;
const TREE_CONNECT: u8 = 0x75;
const TREE_DISCONNECT: u8 = 0x71;
const LOGOFF: u8 = 0x74;
const TRANSACTION: u8 = 0x25;
const OPEN: u8 = 0xa2;
const READ: u8 = 0x2e;
const WRITE: u8 = 0x2f;
const CLOSE: u8 = 0x04;
const ECHO: u8 = 0x2b;

const OK: u32 = 0;
const LOGON_FAILURE: u32 = 0xc000_006d;
const ACCESS_DENIED: u32 = 0xc000_0022;
const BAD_NETWORK_NAME: u32 = 0xc000_00cc;
const NOT_FOUND: u32 = 0xc000_0034;
const NOT_SUPPORTED: u32 = 0xc000_00bb;
const INVALID_HANDLE: u32 = 0xc000_0008;

/// The one pipe handle that there is.
const PIPE: u16 = 0x4000;
const USER: u16 = 0x0800;
const TREE: u16 = 0x0800;
const UNICODE: u16 = 0x8000;

#[derive(Debug)]
pub(super) struct Smb {
    face: Face,
    begun: Vec<u8>,
    challenge: [u8; 8],
    inside: bool,
    pipe: Option<(Rpc, Vec<u8>)>,
}

/// A message: where its words and bytes are.
struct Message<'a> {
    whole: &'a [u8],
    words: &'a [u8],
    /// Its bytes, and where they begin in the whole.
    bytes: &'a [u8],
    bytes_at: usize,
    unicode: bool,
}

impl<'a> Message<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        let count = usize::from(*whole.get(32)?) * 2;
        let words = whole.get(33..33 + count)?;
        let bytes_at = 33 + count + 2;
        let length = usize::from(le16(whole, 33 + count)?);
        let rest = whole.get(bytes_at..)?;
        let bytes = &rest[..length.min(rest.len())];
        Some(Message { whole, words, bytes, bytes_at, unicode: le16(whole, 10)? & UNICODE != 0 })
    }

    /// A string among the bytes, and where it ends; UTF-16 is aligned in the whole message.
    fn string(&self, mut at: usize) -> (String, usize) {
        if !self.unicode {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            return (String::from_utf8_lossy(&rest[..end]).into_owned(), at + end + 1);
        }
        at += (self.bytes_at + at) % 2;
        let units: Vec<u16> = self
            .bytes
            .get(at..)
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|u| u16::from_le_bytes([u[0], u[1]]))
            .take_while(|unit| *unit != 0)
            .collect();
        (String::from_utf16_lossy(&units), at + units.len() * 2 + 2)
    }
}

impl Smb {
    pub fn new(face: Face) -> Self {
        Smb { face, begun: Vec::new(), challenge: [0; 8], inside: false, pipe: None }
    }

    fn server(&self, turn: &Turn<'_>) -> Server {
        const DISK: u32 = 0;
        const HIDDEN: u32 = 0x8000_0000;
        const PIPES: u32 = 3;
        let folder = turn.site.choose("share", &["DATA", "PUBLIC", "TRANSFER", "DOCS", "INSTALL", "SHARED"]);
        let mut shares = vec![(folder.to_owned(), DISK, "")];
        if self.face != Face::Windows98 {
            shares.push(("ADMIN$".into(), DISK | HIDDEN, "Remote Admin"));
            shares.push(("C$".into(), DISK | HIDDEN, "Default share"));
        }
        shares.push(("IPC$".into(), PIPES | HIDDEN, "Remote IPC"));
        Server { name: netbios_name(turn.site), comment: "", shares, version: self.face.version() }
    }

    fn message(&mut self, whole: &[u8], turn: &mut Turn<'_>) {
        if !whole.starts_with(b"\xffSMB") || whole.len() < 35 {
            turn.bytes(whole);
            return turn.close();
        }
        let Some(message) = Message::read(whole) else { return turn.close() };
        match whole[4] {
            NEGOTIATE => self.negotiate(&message, turn),
            SESSION_SETUP => self.session(&message, turn),
            _ if !self.inside => reply(&message, ACCESS_DENIED, &[], &[], turn),
            TREE_CONNECT => self.tree(&message, turn),
            TREE_DISCONNECT => reply(&message, OK, &[], &[], turn),
            LOGOFF => reply(&message, OK, &[0xff, 0, 0, 0], &[], turn),
            ECHO => reply(&message, OK, &[1, 0], message.bytes, turn),
            OPEN => self.open(&message, turn),
            WRITE => self.write(&message, turn),
            READ => self.read(&message, turn),
            CLOSE => {
                self.pipe = None;
                reply(&message, OK, &[], &[], turn);
            }
            TRANSACTION => self.transaction(&message, turn),
            command => {
                let method = format!("command {command:#04x}");
                turn.record(Said::Request {
                    method: method.as_str().into(),
                    target: Text::default(),
                    whole: whole.into(),
                });
                reply(&message, NOT_SUPPORTED, &[], &[], turn);
            }
        }
    }

    fn negotiate(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let dialects: Vec<&[u8]> = message
            .bytes
            .split(|byte| *byte == 0)
            .filter(|d| !d.is_empty())
            .map(|d| d.strip_prefix(b"\x02").unwrap_or(d))
            .collect();
        let names: Vec<String> = dialects.iter().map(|d| Text::from(*d).to_string()).collect();
        turn.record(Said::Client { name: names.join(", ").as_str().into() });
        let Some(chosen) = dialects.iter().position(|d| *d == b"NT LM 0.12") else {
            return reply(message, OK, &[0xff, 0xff], &[], turn);
        };
        let mut random = turn.site.draw(&format!("challenge {} {}", turn.now, turn.peer_port));
        self.challenge = random.bits().to_le_bytes();
        let share_level = self.face == Face::Windows98;
        let mut words = (chosen as u16).to_le_bytes().to_vec();
        // Passwords are encrypted; users have them, or shares.
        words.push(if share_level { 2 } else { 3 });
        words.extend(50u16.to_le_bytes());
        words.extend(1u16.to_le_bytes());
        words.extend(if share_level { 2_920u32 } else { 4_356 }.to_le_bytes());
        words.extend(65_536u32.to_le_bytes());
        words.extend((turn.site.draw("session key").bits() as u32 & 0xffff).to_le_bytes());
        // Unicode, large files, NT SMBs, RPC, status codes, level II oplocks; Windows 98 knows raw and NT SMBs.
        words.extend(if share_level { 0x0211u32 } else { 0x00fd }.to_le_bytes());
        // FILETIME: 100 ns since 1601.
        words.extend((turn.now / 100 + 116_444_736_000_000_000).to_le_bytes());
        words.extend(0i16.to_le_bytes());
        words.push(8);
        let mut bytes = self.challenge.to_vec();
        bytes.extend(encoded(&workgroup(turn.site), !share_level));
        if !share_level {
            bytes.extend(encoded(&netbios_name(turn.site), true));
        }
        reply(message, OK, &words, &bytes, turn);
    }

    fn session(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        // 13 words: a user with two proofs of a password (MS-CIFS 2.2.4.53).
        let (Some(lm), Some(nt)) = (le16(message.words, 14), le16(message.words, 16)) else {
            return turn.close();
        };
        if message.words.len() != 26 {
            return reply(message, NOT_SUPPORTED, &[], &[], turn);
        }
        let (lm, nt) = (usize::from(lm), usize::from(nt));
        let lm_proof = message.bytes.get(..lm).unwrap_or_default();
        let nt_proof = message.bytes.get(lm..lm + nt).unwrap_or_default();
        let (user, at) = message.string(lm + nt);
        let (domain, at) = message.string(at);
        let (system, at) = message.string(at);
        let (manager, _) = message.string(at);
        turn.record(Said::Client { name: format!("{system}, {manager}").as_str().into() });
        let nobody = user.is_empty();
        self.inside = if nobody || self.face == Face::Windows98 {
            let said = Said::Login { user: user.as_str().into(), password: None, accepted: true };
            turn.record(said);
            true
        } else {
            // As those write it who look for the password behind it.
            let proof =
                format!("{user}::{domain}:{}:{}:{}", hex(&self.challenge), hex(lm_proof), hex(nt_proof));
            turn.login_proof(user.as_bytes(), proof.as_bytes())
        };
        if !self.inside {
            return reply(message, LOGON_FAILURE, &[], &[], turn);
        }
        let (system, manager) = self.face.system();
        let mut bytes = Vec::new();
        if message.unicode {
            bytes.push(0);
        }
        for text in [system, manager, &workgroup(turn.site)] {
            bytes.extend(encoded(text, message.unicode));
        }
        reply_as(message, OK, &[0xff, 0, 0, 0, 0, 0], &bytes, (None, Some(USER)), turn);
    }

    fn tree(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let password = usize::from(le16(message.words, 6).unwrap_or(0));
        let (path, _) = message.string(password);
        turn.record(Said::Request {
            method: "tree connect".into(),
            target: path.as_str().into(),
            whole: Text::default(),
        });
        let name = path.rsplit('\\').next().unwrap_or("").to_ascii_uppercase();
        let shares = self.server(turn).shares;
        match shares.iter().find(|(share, ..)| *share == name) {
            Some(_) if name == "IPC$" => {
                let bytes = [&b"IPC\0"[..], if message.unicode { &[0, 0][..] } else { &[0] }].concat();
                reply_as(message, OK, &[0xff, 0, 0, 0, 1, 0], &bytes, (Some(TREE), None), turn);
            }
            Some(_) => reply(message, ACCESS_DENIED, &[], &[], turn),
            None => reply(message, BAD_NETWORK_NAME, &[], &[], turn),
        }
    }

    fn open(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let (name, _) = message.string(0);
        turn.record(Said::Request {
            method: "open".into(),
            target: name.as_str().into(),
            whole: Text::default(),
        });
        let pipe = name.trim_start_matches('\\').to_ascii_lowercase();
        let known = matches!(pipe.as_str(), "srvsvc" | "pipe\\srvsvc") && self.face != Face::Windows98;
        if !known {
            return reply(message, NOT_FOUND, &[], &[], turn);
        }
        self.pipe = Some((Rpc::new("\\PIPE\\ntsvcs", Some(self.server(turn))), Vec::new()));
        let mut words = vec![0xff, 0, 0, 0, 0];
        words.extend(PIPE.to_le_bytes());
        words.extend(1u32.to_le_bytes());
        words.extend([0; 32]);
        words.extend(0x80u32.to_le_bytes());
        words.extend([0; 16]);
        // A pipe in message mode (MS-CIFS 2.2.4.64.2).
        words.extend(2u16.to_le_bytes());
        words.extend(0x05ffu16.to_le_bytes());
        words.push(0);
        reply(message, OK, &words, &[], turn);
    }

    fn write(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let (length, at) = (le16(message.words, 20).unwrap_or(0), le16(message.words, 22).unwrap_or(0));
        let data = message.whole.get(usize::from(at)..).unwrap_or_default();
        let data = &data[..data.len().min(usize::from(length))];
        let Some((rpc, waiting)) = &mut self.pipe else {
            return reply(message, INVALID_HANDLE, &[], &[], turn);
        };
        waiting.extend(rpc.take(data, turn));
        let mut words = vec![0xff, 0, 0, 0];
        words.extend(length.to_le_bytes());
        words.extend([0; 6]);
        reply(message, OK, &words, &[], turn);
    }

    fn read(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let most = usize::from(le16(message.words, 10).unwrap_or(0));
        let Some((_, waiting)) = &mut self.pipe else {
            return reply(message, INVALID_HANDLE, &[], &[], turn);
        };
        let data: Vec<u8> = waiting.drain(..most.min(waiting.len())).collect();
        let mut words = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        words.extend((data.len() as u16).to_le_bytes());
        // After the header, 12 words, the count of bytes and one of padding.
        words.extend(60u16.to_le_bytes());
        words.extend([0; 10]);
        reply(message, OK, &words, &[&[0], &data[..]].concat(), turn);
    }

    /// A transaction on a pipe: RPC, or the share list as LAN Manager had it (MS-RAP 3.2.5.1).
    fn transaction(&mut self, message: &Message<'_>, turn: &mut Turn<'_>) {
        let part = |count: usize, at: usize| -> &[u8] {
            let length = usize::from(le16(message.words, count).unwrap_or(0));
            let start = usize::from(le16(message.words, at).unwrap_or(0));
            let rest = message.whole.get(start..).unwrap_or_default();
            &rest[..rest.len().min(length)]
        };
        let (parameters, data) = (part(18, 20), part(22, 24));
        const TRANSACT: u16 = 0x26;
        if le16(message.words, 28) == Some(TRANSACT) {
            let Some((rpc, _)) = &mut self.pipe else {
                return reply(message, INVALID_HANDLE, &[], &[], turn);
            };
            let answer = rpc.take(data, turn);
            return transacted(message, &[], &answer, turn);
        }
        let (name, _) = message.string(0);
        let whole = Text(parameters.to_vec());
        turn.record(Said::Request { method: "transaction".into(), target: name.as_str().into(), whole });
        const SHARE_ENUM: u16 = 0;
        const SERVER_INFO: u16 = 13;
        match le16(parameters, 0) {
            Some(SHARE_ENUM) => {
                let shares = self.server(turn).shares;
                let mut table = Vec::new();
                let mut comments = Vec::new();
                let start = shares.len() * 20;
                for (share, kind, comment) in &shares {
                    let mut name = [0; 14];
                    let length = share.len().min(12);
                    name[..length].copy_from_slice(&share.as_bytes()[..length]);
                    table.extend(name);
                    table.extend((*kind as u16).to_le_bytes());
                    table.extend(((start + comments.len()) as u32).to_le_bytes());
                    comments.extend(comment.as_bytes());
                    comments.push(0);
                }
                let count = (shares.len() as u16).to_le_bytes();
                let told = [&[0, 0, 0, 0][..], &count, &count].concat();
                transacted(message, &told, &[table, comments].concat(), turn);
            }
            Some(SERVER_INFO) => transacted(message, &[5, 0, 0, 0, 0, 0], &[], turn),
            _ => reply(message, NOT_SUPPORTED, &[], &[], turn),
        }
    }
}

fn transacted(message: &Message<'_>, parameters: &[u8], data: &[u8], turn: &mut Turn<'_>) {
    // After the header, ten words, the count of bytes and one of padding, to whole words.
    let parameters_at = 56u16;
    let padding = (4 - parameters.len() % 4) % 4;
    let data_at = parameters_at + (parameters.len() + padding) as u16;
    let mut words = Vec::new();
    for number in [
        parameters.len() as u16,
        data.len() as u16,
        0,
        parameters.len() as u16,
        parameters_at,
        0,
        data.len() as u16,
        data_at,
        0,
        0,
    ] {
        words.extend(number.to_le_bytes());
    }
    let bytes = [&[0], parameters, &[0; 3][..padding], data].concat();
    reply(message, OK, &words, &bytes, turn);
}

fn encoded(text: &str, unicode: bool) -> Vec<u8> {
    if unicode {
        return text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    }
    [text.as_bytes(), &[0]].concat()
}

fn reply(message: &Message<'_>, status: u32, words: &[u8], bytes: &[u8], turn: &mut Turn<'_>) {
    reply_as(message, status, words, bytes, (None, None), turn);
}

/// Answers a message, with a new tree or user where it makes one.
fn reply_as(
    message: &Message<'_>,
    status: u32,
    words: &[u8],
    bytes: &[u8],
    new: (Option<u16>, Option<u16>),
    turn: &mut Turn<'_>,
) {
    const IS_REPLY: u8 = 0x80;
    const STATUS_CODES: u16 = 0x4000;
    const LONG_NAMES: u16 = 0x0001;
    let asked = &message.whole[..32];
    let flags2 = le16(asked, 10).unwrap_or(0);
    let mut out = asked[..5].to_vec();
    if flags2 & STATUS_CODES != 0 || status == OK {
        out.extend(status.to_le_bytes());
    } else {
        // Class and code of DOS for who knows no others: access denied.
        out.extend([1, 0, 5, 0]);
    }
    out.push(asked[9] | IS_REPLY);
    out.extend((flags2 & (UNICODE | STATUS_CODES) | LONG_NAMES).to_le_bytes());
    out.extend([0; 12]);
    out.extend(new.0.map_or([asked[24], asked[25]], u16::to_le_bytes));
    out.extend(&asked[26..28]);
    out.extend(new.1.map_or([asked[28], asked[29]], u16::to_le_bytes));
    out.extend(&asked[30..32]);
    out.push((words.len() / 2) as u8);
    out.extend(words);
    out.extend((bytes.len() as u16).to_le_bytes());
    out.extend(bytes);
    let length = (out.len() as u32).to_be_bytes();
    turn.say(length);
    turn.say(out);
}

impl Service for Smb {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                self.begun.extend_from_slice(bytes);
                // The framing of NetBIOS sessions (RFC 1002 4.3.1), which 445 kept.
                while let Some([kind, high, mid, low]) = self.begun.first_chunk::<4>().copied() {
                    let length = usize::from(high & 1) << 16 | usize::from(mid) << 8 | usize::from(low);
                    let Some(whole) = self.begun.get(4..4 + length).map(<[u8]>::to_vec) else { break };
                    self.begun.drain(..4 + length);
                    const SESSION_REQUEST: u8 = 0x81;
                    const KEEP_ALIVE: u8 = 0x85;
                    match kind {
                        0 => self.message(&whole, turn),
                        SESSION_REQUEST => turn.say([0x82, 0, 0, 0]),
                        KEEP_ALIVE => {}
                        _ => {
                            let data = Text([&[kind, high, mid, low], &whole[..]].concat());
                            turn.record(Said::Bytes { bytes: data.0.len() as u64, data });
                            return turn.close();
                        }
                    }
                }
            }
            Event::Ended => turn.close(),
            Event::Gone if !self.begun.is_empty() => {
                turn.bytes(&self.begun);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.begun.len() + self.pipe.as_ref().map_or(0, |(rpc, waiting)| rpc.held() + waiting.len())
    }
}
