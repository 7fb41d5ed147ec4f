//! MySQL and MariaDB (the client/server protocol of the MySQL internals manual): greeting, login, commands, errors.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | greeting | | | hello; software: the version; details: challenge (hexadecimal), plugin |
//! | login | login | database | user; software: the client library; details: plugin, response (hexadecimal), program, os; password where it is sent in clear, or is empty |
//! | change to TLS | ssl | | what follows is not read |
//! | command | COM_QUERY … | its text, database, user | |
//! | answer | | text of an error; plugin, file that the server asks for | status: 0, or the error's number; verb where the server asks for something; details: sqlstate |
//!
//! The challenge and the response together are what a password can be tried against.

use serde::{Deserialize, Serialize};

use crate::binary::{Fields, hex};
use crate::frames::{Frames, Length};
use crate::lines::is_text;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[3306, 3307];

const WITH_DATABASE: u32 = 1 << 3;
const COMPRESSED: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const LENGTH_IN_BYTE: u32 = 1 << 15;
const WITH_PLUGIN: u32 = 1 << 19;
const WITH_ATTRIBUTES: u32 = 1 << 20;
const LENGTH_ENCODED: u32 = 1 << 21;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// The plugin that sends a password as it is.
const CLEAR: &str = "mysql_clear_password";

/// A client speaks second, but there are those who do not wait: a login of the protocol since 4.1 holds 19 zeros.
pub fn client(bytes: &[u8]) -> Match {
    let fits = |(at, byte): (usize, &u8)| match at {
        2 => *byte == 0,
        3 => *byte == 1,
        5 => byte & 2 != 0,
        17..36 => *byte == 0,
        _ => true,
    };
    let fits = bytes.iter().enumerate().take(36).all(fits);
    let long_enough = Fields(bytes).le24().is_none_or(|n| n >= 32);
    match (bytes.is_empty() || !fits || !long_enough, bytes.len() >= 36) {
        (true, _) => Match::No,
        (_, true) => Match::Yes,
        _ => Match::Maybe,
    }
}

/// A server greets with its version, or refuses with an error.
pub fn server(bytes: &[u8]) -> Match {
    if bytes.is_empty() || bytes.iter().skip(2).take(2).any(|b| *b != 0) {
        return Match::No;
    }
    let Some((kind, rest)) = bytes.get(4..).and_then(<[u8]>::split_first) else { return Match::Maybe };
    let printable = |text: &[u8]| !text.is_empty() && is_text(text);
    match kind {
        9 | 10 => match rest.iter().take(64).position(|b| *b == 0) {
            Some(end) if printable(&rest[..end]) => Match::Yes,
            None if rest.len() < 64 && is_text(rest) => Match::Maybe,
            _ => Match::No,
        },
        0xff => match rest.get(1) {
            None => Match::Maybe,
            Some(high) if !(3..=15).contains(high) || !is_text(&rest[2..rest.len().min(64)]) => Match::No,
            Some(_) if rest.len() > 8 => Match::Yes,
            Some(_) => Match::Maybe,
        },
        _ => Match::No,
    }
}

fn length(bytes: &[u8]) -> Length {
    match Fields(bytes).le24() {
        Some(length) if bytes.len() >= 4 => Length::Of(4 + length as usize),
        _ => Length::Short,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mysql {
    frames: Frames,
    /// What the server can do.
    server: u32,
    /// What the client wants.
    client: u32,
    plugin: String,
    user: Option<String>,
    greeted: bool,
    accepted: bool,
    /// A command waits for its answer.
    asked: bool,
    /// TLS or compressed: nothing that follows can be read.
    veiled: bool,
}

impl Parser for Mysql {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while !self.veiled {
            let Some(frame) = self.frames.next(side, input, &mut at, length) else { return at };
            let message = self.packet(side, frame.bytes);
            out.extend(message.map(|m| Message { cut: m.cut || frame.cut, ..m }));
        }
        input.len()
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Mysql {
    fn packet(&mut self, side: Side, frame: &[u8]) -> Option<Message> {
        let (number, payload) = (*frame.get(3)?, Fields(&frame[4..]));
        match side {
            Side::Client if number == 0 => self.command(payload),
            Side::Client if self.accepted => None,
            Side::Client if number == 1 && self.user.is_none() => self.login(payload),
            Side::Client => self.clear_password(payload),
            Side::Server if number == 0 && !self.greeted => self.greeting(payload),
            Side::Server => self.answer(payload),
        }
    }

    fn greeting(&mut self, mut fields: Fields) -> Option<Message> {
        self.greeted = true;
        let mut after = fields;
        if after.byte()? == 0xff {
            return self.answer(fields);
        }
        let mut message = Message::of(Kind::Hello);
        fields.byte()?;
        let version = fields.until_nul()?;
        message.software = Some(message.keep(version));
        let _ = self.greeting_rest(fields, &mut message);
        Some(message)
    }

    fn greeting_rest(&mut self, mut fields: Fields, message: &mut Message) -> Option<()> {
        fields.be32()?;
        let mut challenge = fields.take(8)?.to_vec();
        fields.byte()?;
        self.server = u32::from(fields.le16()?);
        if let Some(more) = fields.take(3 + 2 + 1 + 10) {
            self.server |= u32::from(more[3]) << 16 | u32::from(more[4]) << 24;
            // The second part of the challenge has at least 13 bytes, the last of which is NUL.
            let length = usize::from(more[5]).saturating_sub(8).max(13);
            challenge.extend_from_slice(fields.take(length).unwrap_or_default());
        }
        let end = challenge.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        message.detail("challenge", hex(&challenge[..end]).as_bytes());
        let plugin = fields.until_nul().unwrap_or(fields.0);
        self.plugin = message.keep(plugin);
        message.detail("plugin", plugin);
        Some(())
    }

    fn login(&mut self, mut fields: Fields) -> Option<Message> {
        let low = u32::from(Fields(fields.0).le16()?);
        let mut message = Message::request(b"login", b"");
        if low & PROTOCOL_41 == 0 {
            // Before 4.1: two bytes of capabilities, three of the largest packet.
            fields.take(5)?;
            self.client = low;
        } else {
            self.client = fields.le32()?;
            fields.take(4 + 1 + 23)?;
            if self.client & TLS != 0 && fields.0.is_empty() {
                self.veiled = true;
                return Some(Message::request(b"ssl", b""));
            }
        }
        let user = fields.until_nul().unwrap_or_else(|| fields.rest());
        let user = message.keep(user);
        (message.user, self.user) = (Some(user.clone()), Some(user));
        let _ = self.login_rest(fields, &mut message);
        Some(message)
    }

    fn login_rest(&mut self, mut fields: Fields, message: &mut Message) -> Option<()> {
        let has = |flag| self.client & flag != 0;
        let response = if has(PROTOCOL_41) && has(LENGTH_ENCODED) {
            counted(&mut fields)?
        } else if has(PROTOCOL_41) && has(LENGTH_IN_BYTE) {
            fields.vec8()?.0
        } else {
            fields.until_nul().unwrap_or_else(|| fields.rest())
        };
        if has(WITH_DATABASE) {
            let database = fields.until_nul().unwrap_or_else(|| fields.rest());
            message.object = Some(message.keep(database));
        }
        if has(PROTOCOL_41) && has(WITH_PLUGIN) {
            let plugin = fields.until_nul().unwrap_or_else(|| fields.rest());
            self.plugin = message.keep(plugin);
            message.detail("plugin", plugin);
        }
        if self.plugin == CLEAR || response.is_empty() {
            message.password = Some(message.keep(response.strip_suffix(&[0]).unwrap_or(response)));
        } else {
            message.detail("response", hex(&response[..response.len().min(256)]).as_bytes());
        }
        if has(PROTOCOL_41) && has(WITH_ATTRIBUTES) {
            attributes(Fields(counted(&mut fields)?), message);
        }
        Some(())
    }

    /// A password that the server asked for after the login.
    fn clear_password(&mut self, fields: Fields) -> Option<Message> {
        if self.plugin != CLEAR {
            return None;
        }
        let mut message = Message::of(Kind::Request);
        message.verb = Some("login".into());
        message.user = self.user.clone();
        message.password = Some(message.keep(fields.0.strip_suffix(&[0]).unwrap_or(fields.0)));
        Some(message)
    }

    fn command(&mut self, mut fields: Fields) -> Option<Message> {
        let code = fields.byte()?;
        self.asked = true;
        let verb = match code {
            1 => "COM_QUIT",
            2 => "COM_INIT_DB",
            3 => "COM_QUERY",
            4 => "COM_FIELD_LIST",
            5 => "COM_CREATE_DB",
            6 => "COM_DROP_DB",
            7 => "COM_REFRESH",
            8 => "COM_SHUTDOWN",
            9 => "COM_STATISTICS",
            10 => "COM_PROCESS_INFO",
            12 => "COM_PROCESS_KILL",
            13 => "COM_DEBUG",
            14 => "COM_PING",
            17 => "COM_CHANGE_USER",
            18 => "COM_BINLOG_DUMP",
            21 => "COM_REGISTER_SLAVE",
            22 => "COM_STMT_PREPARE",
            23 => "COM_STMT_EXECUTE",
            25 => "COM_STMT_CLOSE",
            30 => "COM_BINLOG_DUMP_GTID",
            31 => "COM_RESET_CONNECTION",
            _ => return Some(Message::request(format!("COM {code}").as_bytes(), b"")),
        };
        let has_text = matches!(code, 2..=6 | 22);
        let mut text = if has_text { fields.rest() } else { b"" };
        // No attributes, of which there is one set.
        if code == 3 && self.server & self.client & QUERY_ATTRIBUTES != 0 {
            text = text.strip_prefix(&[0, 1]).unwrap_or(text);
        }
        let mut message = Message::request(verb.as_bytes(), text);
        if code == 17 {
            message.user = fields.until_nul().map(|user| message.keep(user));
        }
        Some(message)
    }

    fn answer(&mut self, mut fields: Fields) -> Option<Message> {
        let mut message = Message::of(Kind::Reply);
        let asked = std::mem::take(&mut self.asked);
        match fields.byte()? {
            0xff => {
                message.status = Some(i32::from(fields.le16()?));
                if fields.0.first() == Some(&b'#') {
                    let state = fields.take(6)?;
                    message.detail("sqlstate", &state[1..]);
                }
                message.object = Some(message.keep(fields.0));
            }
            0 if !self.accepted => {
                self.accepted = true;
                self.veiled |= self.server & self.client & COMPRESSED != 0;
                message.status = Some(0);
            }
            0xfe if !self.accepted => {
                let plugin = fields.until_nul().unwrap_or_else(|| fields.rest());
                let plugin = message.keep(plugin);
                (message.verb, message.object) = (Some("change plugin".into()), Some(plugin.clone()));
                let challenge = fields.0.strip_suffix(&[0]).unwrap_or(fields.0);
                message.detail("challenge", hex(&challenge[..challenge.len().min(64)]).as_bytes());
                self.plugin = plugin;
            }
            0xfb if asked => {
                message.verb = Some("LOCAL INFILE".into());
                message.object = Some(message.keep(fields.0));
            }
            _ if asked => message.status = Some(0),
            _ => return None,
        }
        Some(message)
    }
}

/// Attributes that say which program connects.
fn attributes(mut fields: Fields, message: &mut Message) {
    let (mut name, mut version) = (None, None);
    for _ in 0..crate::limits::ELEMENTS {
        let (Some(key), Some(value)) = (counted(&mut fields), counted(&mut fields)) else { break };
        match key {
            b"_client_name" => name = Some(value),
            b"_client_version" => version = Some(value),
            b"program_name" => message.detail("program", value),
            b"_os" => message.detail("os", value),
            _ => {}
        }
    }
    let software = [name, version].into_iter().flatten().collect::<Vec<_>>().join(&b' ');
    message.software = (!software.is_empty()).then(|| message.keep(&software));
}

/// Bytes behind their length, which itself is of one to nine bytes.
fn counted<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = match fields.byte()? {
        n @ 0..=0xfa => usize::from(n),
        0xfc => usize::from(fields.le16()?),
        0xfd => fields.le24()? as usize,
        _ => return None,
    };
    fields.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    /// Greeting of a 5.5.2, from the MySQL internals manual (Connection Phase Packets).
    const GREETING: &[u8] = b"\x36\0\0\0\x0a5.5.2-m2\0\x0b\0\0\0dvH@I-CJ\0\xff\xf7\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0*4d|cZwk4^]:\0";

    /// The login from the same page.
    const LOGIN: &[u8] = b"\x54\0\0\x01\x8d\xa6\x0f\0\0\0\0\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0pam\0\x14\xab\x09\xee\xf6\xbc\xb1\x32\x3e\x61\x14\x38\x65\xc0\x99\x1d\x95\x7d\x75\xd4\x47test\0mysql_native_password\0";

    /// From the same manual: OK of a login; a query's error.
    const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    const ERROR: &[u8] = b"\x17\0\0\x01\xff\x48\x04#HY000No tables used";

    fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_le_bytes();
        [&length[..3], &[number], payload].concat()
    }

    #[test]
    fn a_login_and_a_query() {
        let messages = talk(
            "mysql",
            &[
                (Side::Server, GREETING),
                (Side::Client, LOGIN),
                (Side::Server, OK),
                (Side::Client, &packet(0, b"\x03select *")),
                (Side::Server, ERROR),
                (Side::Client, &packet(0, b"\x02mysql")),
            ],
        );
        let said = by(Side::Server, &messages);
        assert_eq!(said[0].software.as_deref(), Some("5.5.2-m2"));
        assert_eq!(said[0].details[0], ("challenge", "64764840492d434a2a34647c635a776b345e5d3a".to_owned()));
        assert_eq!((said[1].status, said[2].status), (Some(0), Some(1096)));
        assert_eq!(said[2].object.as_deref(), Some("No tables used"));
        let asked = by(Side::Client, &messages);
        assert_eq!((asked[0].user.as_deref(), asked[0].object.as_deref()), (Some("pam"), Some("test")));
        assert_eq!(asked[0].password, None);
        let response = ("response", "ab09eef6bcb1323e61143865c0991d957d75d447".to_owned());
        assert_eq!(asked[0].details, [("plugin", "mysql_native_password".to_owned()), response]);
        assert_eq!((asked[1].verb.as_deref(), asked[1].object.as_deref()), (Some("COM_QUERY"), Some("select *")));
        assert_eq!((asked[2].verb.as_deref(), asked[2].object.as_deref()), (Some("COM_INIT_DB"), Some("mysql")));
    }

    #[test]
    fn a_password_in_clear() {
        let change = packet(2, b"\xfemysql_clear_password\0");
        let messages = talk(
            "mysql",
            &[
                (Side::Server, GREETING),
                (Side::Client, LOGIN),
                (Side::Server, &change),
                (Side::Client, &packet(3, b"secret\0")),
                (Side::Server, &packet(4, b"\xff\x15\x04#28000Access denied for user 'pam'")),
            ],
        );
        let login = by(Side::Client, &messages)[1];
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("pam"), Some("secret")));
        assert_eq!(by(Side::Server, &messages)[2].status, Some(1045));
    }

    #[test]
    fn a_refusal_and_a_client_that_does_not_wait() {
        let refusal = packet(0, b"\xff\x6a\x04Host '192.0.2.1' is not allowed to connect to this MySQL server");
        assert_eq!(talk("mysql", &[(Side::Server, &refusal)])[0].1.status, Some(1130));
        assert_eq!(talk("mysql", &[(Side::Client, LOGIN)])[0].1.user.as_deref(), Some("pam"));
        assert_eq!(client(b"\x10\0\0\x01"), Match::No);
        assert_eq!(server(b"220 ready\r\n"), Match::No);
    }

    #[test]
    fn a_query_that_carries_a_program_is_cut() {
        let query = [b"\x03select 0x".to_vec(), vec![b'4'; 100_000], b" into dumpfile 'a.dll'".to_vec()].concat();
        let quit = packet(0, b"\x01");
        let messages = talk(
            "mysql",
            &[(Side::Server, GREETING), (Side::Client, LOGIN), (Side::Server, OK), (Side::Client, &packet(0, &query)), (Side::Client, &quit)],
        );
        let asked = by(Side::Client, &messages);
        assert!(asked[1].cut && asked[1].object.as_ref().unwrap().starts_with("select 0x4444"));
        assert_eq!(asked[2].verb.as_deref(), Some("COM_QUIT"));
    }
}
