//! TDS, which SQL Server and Sybase speak (MS-TDS; before version 7: Sybase's TDS 5.0 specification).
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | before the login, both sides | prelogin | instance | details version, encryption |
//! | login | login | database | user, password (decoded), software: application; details host, server, library, tds, mac; NTLM's |
//! | rest of a login with NTLM | sspi | | user, details of NTLM |
//! | statement | batch | its text | |
//! | procedure | rpc | name | body: its parameters |
//! | bulk load, attention, transaction | bulk, attention, transaction | | |
//! | error | error | text | status: number; details class, server |
//! | success of a login | login_ack | | software with version; detail tds |
//!
//! TLS inside is passed over; a login behind it cannot be read.

use serde::{Deserialize, Serialize};

use crate::binary::{Fields, hex, utf16le};
use crate::hash::Hash;
use crate::limits::TEXT;
use crate::lines::bare;
use crate::message::{Kind, Match, Message, Parser, Side, text};
use crate::ntlm;

/// Where it usually is.
pub const PORTS: &[u16] = &[1433, 1434, 2433];

/// Bytes of one message that are read; a statement's kept text is shorter, twice two bytes a character.
const MESSAGE: usize = 12 * 1024;

const BATCH: u8 = 1;
const OLD_LOGIN: u8 = 2;
const RPC: u8 = 3;
const RESPONSE: u8 = 4;
const ATTENTION: u8 = 6;
const BULK: u8 = 7;
const TRANSACTION: u8 = 14;
const LOGIN: u8 = 16;
const SSPI: u8 = 17;
const PRELOGIN: u8 = 18;

/// Bytes of a packet's header; of a TLS record's.
const HEADER: usize = 8;
const RECORD: usize = 5;

/// How the headers begin that stand before statements since version 7.2.
const TRANSACTION_HEADER: [u8; 10] = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0];

/// A client begins with a prelogin or a login; captures may begin with a statement.
pub fn client(bytes: &[u8]) -> Match {
    let head = |sort, at: usize, wanted: &[u8]| match (bytes.first(), bytes.get(1)) {
        (Some(s), None | Some(0 | 1)) if *s == sort => match Match::prefix(bytes.get(at..).unwrap_or_default(), wanted) {
            Match::No if bytes.len() <= at => Match::Maybe,
            verdict => verdict,
        },
        _ => Match::No,
    };
    let length = bytes.get(2..4).map_or(0, |l| u32::from(u16::from_be_bytes([l[0], l[1]])));
    let login = head(LOGIN, 8, &length.wrapping_sub(HEADER as u32).to_le_bytes());
    // The version comes first, and its place is behind at least one other option and the end.
    let prelogin = head(PRELOGIN, 8, &[0, 0]);
    let old = head(OLD_LOGIN, 2, &[2, 0, 0, 0]);
    let statement = head(BATCH, 8, &TRANSACTION_HEADER).or(head(RPC, 8, &TRANSACTION_HEADER));
    login.or(prelogin).or(old).or(statement)
}

/// A server answers with a response whose length and first token fit.
pub fn server(bytes: &[u8]) -> Match {
    let fits = |at: usize, b: u8| match at {
        0 => b == RESPONSE,
        1 => b <= 1,
        7 => b == 0,
        8 => matches!(b, 0 | 0x79 | 0x81 | 0xaa | 0xab | 0xad | 0xd1 | 0xe3 | 0xe5 | 0xfd..=0xff),
        _ => true,
    };
    if bytes.is_empty() || !bytes.iter().take(9).enumerate().all(|(at, b)| fits(at, *b)) {
        return Match::No;
    }
    let whole = bytes.len() > HEADER && bytes.len() >= usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if whole { Match::Yes } else { Match::Maybe }
}

/// What is known of one side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Way {
    /// Bytes to pass over.
    over: u32,
    /// Whether packets are passed over until a message ends.
    ending: bool,
    closed: bool,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tds {
    ways: [Way; 2],
    /// Whether it is older than version 7, where text has one byte a character.
    old: bool,
}

impl Parser for Tds {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let taken = self.step(side, &input[at..], out);
            at += taken;
            if taken == 0 {
                break;
            }
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.ways[side.index()].closed = true;
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Tds {
    fn step(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let way = &mut self.ways[side.index()];
        if way.closed {
            return input.len();
        }
        if way.over > 0 {
            let taken = input.len().min(way.over as usize);
            way.over -= taken as u32;
            return taken;
        }
        if let [20..=23, 3, ..] = input {
            let Some(length) = Fields(input).take(3).and_then(|_| Fields(&input[3..]).be16()) else { return 0 };
            way.over = u32::from(length);
            return RECORD;
        }
        let Some((sort, last, length)) = header(input) else {
            way.closed = input.len() >= HEADER;
            return if way.closed { input.len() } else { 0 };
        };
        if way.ending {
            (way.ending, way.over) = (!last, (length - HEADER) as u32);
            return HEADER;
        }
        let Some(gathered) = gather(input) else { return 0 };
        (way.over, way.ending) = (gathered.left as u32, !gathered.whole);
        let before = out.len();
        self.message(side, sort, &gathered.content, out);
        if gathered.left > 0 || !gathered.whole {
            out[before..].iter_mut().for_each(|m| m.cut = true);
        }
        gathered.taken
    }

    fn message(&mut self, side: Side, sort: u8, content: &[u8], out: &mut Vec<Message>) {
        let tls = matches!(content, [20..=23, 3, ..]);
        match (side, sort) {
            (_, PRELOGIN) | (Side::Server, RESPONSE) if tls => {}
            (_, PRELOGIN) => out.extend(prelogin(content)),
            (Side::Server, RESPONSE) if content.first() == Some(&0) => out.extend(prelogin(content)),
            (Side::Server, RESPONSE) => self.response(content, out),
            (Side::Client, LOGIN) => out.extend(login(content)),
            (Side::Client, OLD_LOGIN) => {
                self.old = true;
                out.extend(old_login(content));
            }
            (Side::Client, SSPI) => {
                let mut message = request("sspi");
                ntlm::note(content, &mut message);
                out.push(message);
            }
            (Side::Client, BATCH) => {
                let statement = behind_headers(content);
                let cut = statement.len() > TEXT;
                let statement = if self.old { text(statement) } else { utf16le(statement) };
                out.push(Message { object: Some(statement), cut, ..request("batch") });
            }
            (Side::Client, RPC) => out.extend(self.procedure(content)),
            (Side::Client, BULK) => out.push(request("bulk")),
            (Side::Client, ATTENTION) => out.push(request("attention")),
            (Side::Client, TRANSACTION) => out.push(request("transaction")),
            _ => {}
        }
    }

    fn procedure(&self, content: &[u8]) -> Option<Message> {
        let mut fields = Fields(behind_headers(content));
        let mut message = request("rpc");
        message.object = Some(if self.old {
            text(fields.vec8()?.0)
        } else {
            match fields.le16()? {
                0xffff => procedure_name(fields.le16()?),
                length => utf16le(fields.take(usize::from(length) * 2)?),
            }
        });
        let _options = fields.take(2);
        message.body = (!fields.0.is_empty()).then(|| Hash::of(fields.0));
        Some(message)
    }

    /// The tokens of a response, as far as their length is known without knowing columns.
    fn response(&self, content: &[u8], out: &mut Vec<Message>) {
        let mut fields = Fields(content);
        while let Some(token) = fields.byte() {
            let said = match token {
                // An error's columns, orders, changes, infos: a length of two bytes.
                0xa9 | 0xaa | 0xab | 0xad | 0xe3 | 0xe5 => {
                    let Some(inner) = fields.le16().and_then(|n| fields.take(usize::from(n))) else { return };
                    match token {
                        0xaa => self.error(Fields(inner)),
                        0xad => self.login_ack(Fields(inner)),
                        _ => None,
                    }
                }
                0x79 => fields.take(4).and(None),
                // How many rows there were takes four bytes, and eight since version 7.2, of which the upper four are
                // zero: no token is.
                0xfd..=0xff => {
                    fields.take(8);
                    if fields.0.starts_with(&[0; 4]) {
                        fields.take(4);
                    }
                    None
                }
                _ => return,
            };
            out.extend(said);
        }
    }

    /// A text whose length is in characters.
    fn words(&self, fields: &mut Fields, length: usize) -> Option<String> {
        if self.old { fields.take(length).map(text) } else { fields.take(length * 2).map(utf16le) }
    }

    fn error(&self, mut fields: Fields) -> Option<Message> {
        let number = fields.le32()? as i32;
        let (_state, class) = (fields.byte()?, fields.byte()?);
        let length = usize::from(fields.le16()?);
        let mut message = Message { status: Some(number), ..reply("error") };
        message.object = Some(self.words(&mut fields, length)?);
        message.detail("class", class.to_string().as_bytes());
        let length = usize::from(fields.byte().unwrap_or_default());
        message.detail("server", self.words(&mut fields, length).unwrap_or_default().as_bytes());
        Some(message)
    }

    fn login_ack(&self, mut fields: Fields) -> Option<Message> {
        let (_interface, version) = (fields.byte()?, fields.be32()?);
        let length = usize::from(fields.byte()?);
        let name = self.words(&mut fields, length)?;
        let mut message = reply("login_ack");
        let number = fields.take(4).and_then(version_name).unwrap_or_default();
        message.software = Some(format!("{} {number}", name.trim_end_matches('\0')).trim_end().to_owned());
        message.detail("tds", format!("{version:08x}").as_bytes());
        Some(message)
    }
}

/// Sort, whether the message ends with it, and length with its header.
fn header(input: &[u8]) -> Option<(u8, bool, usize)> {
    let mut fields = Fields(input);
    let (sort, status, length) = (fields.byte()?, fields.byte()?, usize::from(fields.be16()?));
    fields.take(4)?;
    let known = matches!(sort, BATCH..=BULK | 8 | TRANSACTION | 15 | LOGIN..=PRELOGIN);
    (known && length >= HEADER).then_some((sort, status & 1 != 0, length))
}

/// A message, or as much of it as is read.
struct Gathered {
    content: Vec<u8>,
    taken: usize,
    /// Bytes of its last packet that were not read.
    left: usize,
    /// Whether its last packet is among those read.
    whole: bool,
}

/// Puts the packets of a message together; `None` where they are not all there, or not as much as is read.
fn gather(input: &[u8]) -> Option<Gathered> {
    let (mut at, mut pieces, mut length) = (0, Vec::new(), 0);
    loop {
        let (_, last, packet) = header(&input[at..])?;
        let room = MESSAGE - length;
        let wanted = (packet - HEADER).min(room);
        // Headers take room too, so that a message of empty packets does not wait for ever.
        pieces.push(input.get(at + HEADER..at + HEADER + wanted)?);
        at += HEADER + wanted;
        length = (length + wanted + HEADER).min(MESSAGE);
        let left = packet - HEADER - wanted;
        if last || left > 0 || length >= MESSAGE {
            return Some(Gathered { content: pieces.concat(), taken: at, left, whole: last });
        }
    }
}

fn request(verb: &str) -> Message {
    Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Request) }
}

fn reply(verb: &str) -> Message {
    Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Reply) }
}

/// `8.0.194` of its four bytes.
fn version_name(bytes: &[u8]) -> Option<String> {
    let mut fields = Fields(bytes);
    Some(format!("{}.{}.{}", fields.byte()?, fields.byte()?, fields.be16()?))
}

fn prelogin(content: &[u8]) -> Option<Message> {
    let mut message = Message { kind: Kind::Hello, ..request("prelogin") };
    let mut options = Fields(content);
    // There are seven kinds of options.
    for _ in 0..16 {
        let token = options.byte()?;
        if token == 0xff {
            break;
        }
        let (offset, length) = (usize::from(options.be16()?), usize::from(options.be16()?));
        let Some(value) = content.get(offset..).and_then(|v| v.get(..length)) else { continue };
        match token {
            0 => message.detail("version", version_name(value).unwrap_or_default().as_bytes()),
            1 => message.detail("encryption", encryption(value.first()?).as_bytes()),
            2 if !bare(value).is_empty() => message.object = Some(message.keep(bare(value))),
            _ => {}
        }
    }
    Some(message)
}

fn encryption(value: &u8) -> &'static str {
    match value {
        0 => "login only",
        1 => "on",
        2 => "none",
        3 => "required",
        _ => "other",
    }
}

/// LOGIN7 (MS-TDS 2.2.6.4): places and lengths in characters, from the 36th byte on.
fn login(content: &[u8]) -> Option<Message> {
    let version = Fields(content.get(4..)?).le32()?;
    let bytes = |place: usize, size: usize| {
        let mut fields = Fields(content.get(place..)?);
        let (offset, length) = (usize::from(fields.le16()?), usize::from(fields.le16()?) * size);
        content.get(offset..)?.get(..length)
    };
    let words = |place| bytes(place, 2).map(utf16le).unwrap_or_default();
    let mut message = request("login");
    let token = bytes(78, 1).unwrap_or_default();
    if token.is_empty() {
        let disguised = bytes(44, 2).unwrap_or_default();
        let password: Vec<u8> = disguised.iter().map(|b| (b ^ 0xa5).rotate_left(4)).collect();
        (message.user, message.password) = (Some(words(40)), Some(utf16le(&password)));
    }
    let (application, database) = (words(48), words(68));
    message.software = (!application.is_empty()).then_some(application);
    message.object = (!database.is_empty()).then_some(database);
    message.detail("host", words(36).as_bytes());
    message.detail("server", words(52).as_bytes());
    message.detail("library", words(60).as_bytes());
    message.detail("tds", format!("{version:08x}").as_bytes());
    message.detail("mac", hex(content.get(72..78).unwrap_or_default()).as_bytes());
    ntlm::note(token, &mut message);
    Some(message)
}

/// The login of TDS 4 and 5: texts of thirty bytes with their lengths behind.
fn old_login(content: &[u8]) -> Option<Message> {
    let words = |place: usize, size: usize| {
        let length = usize::from(*content.get(place + size)?).min(size);
        content.get(place..place + length).map(text)
    };
    let mut message = request("login");
    (message.user, message.password) = (Some(words(31, 30)?), Some(words(62, 30)?));
    message.software = words(140, 30).filter(|application| !application.is_empty());
    message.detail("host", words(0, 30)?.as_bytes());
    message.detail("server", words(171, 30).unwrap_or_default().as_bytes());
    message.detail("library", words(462, 10).unwrap_or_default().as_bytes());
    message.detail("tds", hex(content.get(458..462).unwrap_or_default()).as_bytes());
    Some(message)
}

/// Since version 7.2 statements have headers before them, whose length comes first; older ones begin at once.
fn behind_headers(content: &[u8]) -> &[u8] {
    let mut fields = Fields(content);
    let total = fields.le32().unwrap_or_default() as usize;
    let first = fields.le32().unwrap_or_default() as usize;
    let known = matches!(fields.le16(), Some(1..=3));
    if known && first + 4 <= total { content.get(total..).unwrap_or(content) } else { content }
}

/// Procedures that are called by number (MS-TDS 2.2.6.6).
fn procedure_name(number: u16) -> String {
    const NAMES: [&str; 15] = [
        "sp_cursor", "sp_cursoropen", "sp_cursorprepare", "sp_cursorexecute", "sp_cursorprepexec", "sp_cursorunprepare",
        "sp_cursorfetch", "sp_cursoroption", "sp_cursorclose", "sp_executesql", "sp_prepare", "sp_execute",
        "sp_prepexec", "sp_prepexecrpc", "sp_unprepare",
    ];
    let name = usize::from(number).checked_sub(1).and_then(|at| NAMES.get(at));
    name.map_or_else(|| format!("procedure {number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn packet(sort: u8, status: u8, content: &[u8]) -> Vec<u8> {
        let length = ((HEADER + content.len()) as u16).to_be_bytes();
        [&[sort, status], &length[..], &[0, 0, 1, 0], content].concat()
    }

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    /// A login with these texts at places 36, 40, 44 and so on; password disguised already.
    fn login7(texts: [&[u8]; 9]) -> Vec<u8> {
        let mut fixed = [&[0; 4][..], &[2, 0, 9, 0x72], &[0; 28]].concat();
        let (mut offset, mut payload) = (94, Vec::<u8>::new());
        for text in texts {
            fixed.extend([(offset as u16).to_le_bytes(), ((text.len() / 2) as u16).to_le_bytes()].concat());
            offset += text.len();
            payload.extend(text);
        }
        fixed.extend([0x00, 0x0c, 0x29, 1, 2, 3]);
        fixed.resize(94, 0);
        fixed.extend(payload);
        let length = (fixed.len() as u32).to_le_bytes();
        fixed[..4].copy_from_slice(&length);
        fixed
    }

    #[test]
    fn a_prelogin_and_a_login_that_fails() {
        let options = [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 9, 0, 5, 0x77, 0, 0, 2];
        // MS-TDS 2.2.6.4: nibbles swapped, then xor 0xA5; `a` is 0x61, so 0x16 ^ 0xA5; the zeros are 0xA5.
        let secret = [0x16 ^ 0xa5, 0xa5, 0x26 ^ 0xa5, 0xa5];
        let login = login7([
            &wide("HOST"), &wide("sa"), &secret, &wide("OSQL-32"), &wide("192.0.2.1"), b"", &wide("ODBC"), b"",
            &wide("master"),
        ]);
        let failed = [
            &18456u32.to_le_bytes()[..],
            &[1, 14, 26, 0],
            &wide("Login failed for user 'sa'"),
            &[4],
            &wide("SRV1"),
            &[0, 1, 0, 0, 0],
        ]
        .concat();
        let failed = [
            &[0xaa, failed.len() as u8, 0][..],
            &failed,
            &[0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let messages = talk(
            "tds",
            &[
                (Side::Client, &packet(PRELOGIN, 1, &options)),
                (Side::Server, &packet(RESPONSE, 1, &options)),
                (Side::Client, &packet(LOGIN, 1, &login)),
                (Side::Server, &packet(RESPONSE, 1, &failed)),
            ],
        );
        let [hello, login] = by(Side::Client, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!((detail(hello, "version"), detail(hello, "encryption")), (Some("9.0.1399"), Some("none")));
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("sa"), Some("ab")));
        assert_eq!((login.software.as_deref(), login.object.as_deref()), (Some("OSQL-32"), Some("master")));
        let wanted = [
            ("host", "HOST"), ("server", "192.0.2.1"), ("library", "ODBC"), ("tds", "72090002"), ("mac", "000c29010203"),
        ];
        assert_eq!(login.details, wanted.map(|(n, v)| (n, v.to_owned())));
        let error = by(Side::Server, &messages)[1];
        assert_eq!((error.status, error.object.as_deref()), (Some(18456), Some("Login failed for user 'sa'")));
        assert_eq!(error.details, [("class", "14".to_owned()), ("server", "SRV1".to_owned())]);
    }

    #[test]
    fn statements_and_procedures() {
        let headers = [&TRANSACTION_HEADER[..], &[0; 8], &[1, 0, 0, 0]].concat();
        let statement = [&headers[..], &wide("exec xp_cmdshell 'whoami'")].concat();
        let (first, second) = statement.split_at(31);
        let named = [&headers[..], &[2, 0], &wide("xp"), &[0, 0], b"parameters"].concat();
        let numbered = [&headers[..], &[0xff, 0xff, 10, 0, 0, 0]].concat();
        let said = [
            packet(BATCH, 0, first),
            packet(BATCH, 1, second),
            packet(RPC, 1, &named),
            packet(RPC, 1, &numbered),
        ];
        let name = wide("Microsoft SQL Server");
        let acknowledged = [&[1, 0x72, 9, 0, 2, 20][..], &name, &[9, 0, 5, 0x77]].concat();
        let acknowledged = [
            // First the end of another statement, in its long form.
            &[0xfd, 1, 0, 0xf9, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[0xad, acknowledged.len() as u8, 0],
            &acknowledged,
        ]
        .concat();
        let messages =
            talk("tds", &[(Side::Client, &said.concat()), (Side::Server, &packet(RESPONSE, 1, &acknowledged))]);
        let ours: Vec<_> = by(Side::Client, &messages).iter().map(|m| m.object.as_deref().unwrap()).collect();
        assert_eq!(ours, ["exec xp_cmdshell 'whoami'", "xp", "sp_executesql"]);
        assert_eq!(messages[1].1.body, Some(Hash::of(b"parameters")));
        assert_eq!(messages[3].1.software.as_deref(), Some("Microsoft SQL Server 9.0.1399"));
    }

    #[test]
    fn the_login_of_old_clients() {
        let mut login = vec![0; 504];
        for (place, size, text) in [(0, 30, "host"), (31, 30, "sa"), (62, 30, "secret"), (140, 30, "isql"), (462, 10, "DB-Lib")] {
            login[place..place + text.len()].copy_from_slice(text.as_bytes());
            login[place + size] = text.len() as u8;
        }
        login[458..462].copy_from_slice(&[4, 2, 0, 0]);
        let said = [packet(OLD_LOGIN, 1, &login), packet(BATCH, 1, b"select 1")].concat();
        let messages = talk("tds", &[(Side::Client, &said)]);
        let login = &messages[0].1;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("sa"), Some("secret")));
        assert_eq!((login.software.as_deref(), detail(login, "library")), (Some("isql"), Some("DB-Lib")));
        assert_eq!(messages[1].1.object.as_deref(), Some("select 1"));
    }

    #[test]
    fn a_long_statement_is_cut_and_the_next_one_read() {
        let headers = [&TRANSACTION_HEADER[..], &[0; 12]].concat();
        let long = [&headers[..], &wide(&"A".repeat(3000))].concat();
        let mut said: Vec<u8> = (0..5).flat_map(|i| packet(BATCH, u8::from(i == 4), &long)).collect();
        said.extend(packet(BATCH, 1, &[&headers[..], &wide("select 1")].concat()));
        let messages = talk("tds", &[(Side::Client, &said)]);
        assert_eq!((messages[0].1.cut, messages[1].1.cut, messages.len()), (true, false, 2));
        assert_eq!(messages[1].1.object.as_deref(), Some("select 1"));
    }
}
