//! ONC RPC (RFC 5531) on datagrams and connections: the portmapper (RFC 1833), and calls to the services that it names.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | call | procedure: GETPORT, DUMP … or its number | program, version and transport that are asked for, else the program called | details: program, version, machine (of the caller), user (its number) |
//! | answer | | port of a GETPORT (on connections) | status: 0 accepted and done, 1 to 5 accepted and failed, 6 denied |
//!
//! A call that carries an exploit is told as what it calls; body: its arguments.

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::hash::Hash;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[111, 2049];

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[111, 2049];

const PORTMAPPER: u32 = 100_000;

/// Bytes of credentials and of their proof (RFC 5531, 8.2).
const OPAQUE: usize = 400;

/// A client begins with a record that holds a call.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes, |at, byte| match at {
        4..8 => byte == 0,
        8..12 => byte == [0, 0, 0, 2][at - 8],
        12..14 => byte == [0, 1][at - 12],
        _ => true,
    })
}

/// A server's answer: little of it is known beforehand.
pub fn server(bytes: &[u8]) -> Match {
    let begun = begins(bytes, |at, byte| match at {
        4..8 => byte == [0, 0, 0, 1][at - 4],
        8..12 => byte == 0,
        _ => true,
    });
    if begun == Match::Yes { Match::Maybe } else { begun }
}

/// Record mark of a last fragment, then a message whose bytes fit as far as they are there.
fn begins(bytes: &[u8], fits: impl Fn(usize, u8) -> bool) -> Match {
    let mark = [0x80, 0].iter().zip(bytes).all(|(wanted, byte)| wanted == byte);
    let message = bytes.get(4..).unwrap_or_default();
    match (mark && !bytes.is_empty(), message.len() >= 24) {
        (true, whole) if message.iter().enumerate().take(24).all(|(at, b)| fits(at, *b)) => {
            if whole { Match::Yes } else { Match::Maybe }
        }
        _ => Match::No,
    }
}

fn length(bytes: &[u8]) -> Length {
    match Fields(bytes).be32() {
        Some(mark) => Length::Of(4 + (mark & 0x7fff_ffff) as usize),
        None => Length::Short,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sunrpc {
    frames: Frames,
    /// Whether a side's next fragment goes on with a message.
    goes_on: [bool; 2],
    /// The last call was a GETPORT.
    port: bool,
}

impl Parser for Sunrpc {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(frame) = self.frames.next(side, input, &mut at, length) {
            let last = frame.bytes[0] & 0x80 != 0;
            // A message in several fragments is told by its first one.
            if std::mem::replace(&mut self.goes_on[side.index()], !last) {
                continue;
            }
            let content = &frame.bytes[4..];
            let message = match side {
                Side::Client => call(content, false),
                Side::Server => reply(content, false, self.port),
            };
            let Some(mut message) = message else { continue };
            if side == Side::Client {
                self.port = message.verb.as_deref() == Some("GETPORT");
            }
            message.cut |= frame.cut || !last;
            out.push(message);
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
        self.goes_on[side.index()] = false;
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

/// A datagram: a call or an answer that fills it.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    call(bytes, true).or_else(|| reply(bytes, true, false))
}

fn call(bytes: &[u8], strict: bool) -> Option<Message> {
    let mut fields = Fields(bytes);
    fields.be32()?;
    if (fields.be32()?, fields.be32()?) != (0, 2) {
        return None;
    }
    let (program, version, procedure) = (fields.be32()?, fields.be32()?, fields.be32()?);
    if strict && (program == 0 || program >= 0x6000_0000 || version > 1000 || procedure > 10_000) {
        return None;
    }
    let credentials = opaque(&mut fields)?;
    opaque(&mut fields)?;
    let mut message = Message::of(Kind::Request);
    message.verb = Some(procedure_name(program, version, procedure));
    let mut wanted = fields;
    message.object = Some(match (program, procedure) {
        (PORTMAPPER, 1 | 2 | 3 | 5) => {
            asked_for(&mut wanted, version, procedure == 5).unwrap_or_else(|| program_name(program))
        }
        _ => program_name(program),
    });
    message.detail("program", program_name(program).as_bytes());
    message.detail("version", version.to_string().as_bytes());
    machine(credentials, &mut message);
    if !fields.0.is_empty() {
        message.body = Some(Hash::of(fields.0));
    }
    Some(message)
}

/// Program, version and transport of the portmapper's argument; of version 2, and of its successor rpcbind.
fn asked_for(fields: &mut Fields, version: u32, call: bool) -> Option<String> {
    let (program, wanted) = (fields.be32()?, fields.be32()?);
    let transport = match (version, call) {
        (2, false) => match fields.be32()? {
            6 => "/tcp".to_owned(),
            17 => "/udp".to_owned(),
            n => format!("/{n}"),
        },
        (_, true) => format!(" procedure {}", fields.be32()?),
        _ => {
            let length = fields.be32()? as usize;
            let id = fields.take(length).filter(|id| crate::lines::is_text(id))?;
            format!("/{}", crate::message::text(&id[..id.len().min(64)]))
        }
    };
    Some(format!("{} {wanted}{transport}", program_name(program)))
}

/// AUTH_UNIX: stamp, name of the machine, number of the user.
fn machine((flavour, content): (u32, &[u8]), message: &mut Message) -> Option<()> {
    let mut fields = Fields(content);
    if flavour != 1 {
        return None;
    }
    fields.be32()?;
    let length = fields.be32()? as usize;
    let name = fields.take(length)?;
    fields.take(length.wrapping_neg() % 4)?;
    message.detail("machine", name);
    message.detail("user", fields.be32()?.to_string().as_bytes());
    Some(())
}

fn reply(bytes: &[u8], strict: bool, port: bool) -> Option<Message> {
    let mut fields = Fields(bytes);
    fields.be32()?;
    if fields.be32()? != 1 {
        return None;
    }
    let mut message = Message::of(Kind::Reply);
    let status = match fields.be32()? {
        0 => {
            opaque(&mut fields)?;
            fields.be32().filter(|status| *status <= 5)? as i32
        }
        // Denied: a version, or a login, and why.
        1 if !strict || matches!(fields.0.len(), 8 | 12) => 6,
        _ => return None,
    };
    message.status = Some(status);
    if port && status == 0 {
        message.object = fields.be32().map(|port| port.to_string());
    } else if status == 0 && !fields.0.is_empty() {
        message.body = Some(Hash::of(fields.0));
    }
    Some(message)
}

/// A flavour and the bytes behind it, padded to four.
fn opaque<'a>(fields: &mut Fields<'a>) -> Option<(u32, &'a [u8])> {
    let (flavour, length) = (fields.be32()?, fields.be32()? as usize);
    if length > OPAQUE || flavour > 400_000 {
        return None;
    }
    let content = fields.take(length)?;
    fields.take(length.wrapping_neg() % 4)?;
    Some((flavour, content))
}

/// Names of rpc(5) for the programs that are attacked.
fn program_name(program: u32) -> String {
    let name = match program {
        PORTMAPPER => "portmapper",
        100_001 => "rstatd",
        100_002 => "rusersd",
        100_003 => "nfs",
        100_004 => "ypserv",
        100_005 => "mountd",
        100_007 => "ypbind",
        100_008 => "walld",
        100_011 => "rquotad",
        100_021 => "nlockmgr",
        100_024 => "status",
        100_068 => "cmsd",
        100_083 => "ttdbserverd",
        100_232 => "sadmind",
        100_249 => "snmpXdmid",
        _ => return program.to_string(),
    };
    name.to_owned()
}

fn procedure_name(program: u32, version: u32, procedure: u32) -> String {
    let name = match (program, version, procedure) {
        (_, _, 0) => "NULL",
        (PORTMAPPER, _, 1) => "SET",
        (PORTMAPPER, _, 2) => "UNSET",
        (PORTMAPPER, 2, 3) => "GETPORT",
        (PORTMAPPER, _, 3) => "GETADDR",
        (PORTMAPPER, _, 4) => "DUMP",
        (PORTMAPPER, _, 5) => "CALLIT",
        (PORTMAPPER, 4, 12) => "GETSTAT",
        _ => return procedure.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::talk;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    /// A call of the portmapper, version 2, without credentials.
    fn call_of(procedure: u32, arguments: &[u32]) -> Vec<u8> {
        let head = [0x2d6f_1234, 0, 2, PORTMAPPER, 2, procedure, 0, 0, 0, 0];
        words(&[&head[..], arguments].concat())
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [&words(&[0x8000_0000 | content.len() as u32])[..], content].concat()
    }

    #[test]
    fn where_a_service_is() {
        let asked = call_of(3, &[100_024, 1, 17, 0]);
        let message = datagram(Side::Client, &asked).unwrap();
        assert_eq!((message.verb.as_deref(), message.object.as_deref()), (Some("GETPORT"), Some("status 1/udp")));
        assert_eq!(message.details, [("program", "portmapper".to_owned()), ("version", "2".to_owned())]);
        let answer = words(&[0x2d6f_1234, 1, 0, 0, 0, 0, 931]);
        assert_eq!(datagram(Side::Server, &answer).unwrap().status, Some(0));
        let messages = talk("sunrpc", &[(Side::Client, &record(&asked)), (Side::Server, &record(&answer))]);
        assert_eq!(messages[1].1.object.as_deref(), Some("931"));
        let dump = talk("sunrpc", &[(Side::Client, &record(&call_of(4, &[])))]);
        assert_eq!((dump[0].1.verb.as_deref(), dump[0].1.object.as_deref()), (Some("DUMP"), Some("portmapper")));
    }

    #[test]
    fn a_caller_names_its_machine() {
        let credentials = [words(&[0x3f00_0000, 9]), b"localhost\0\0\0".to_vec(), words(&[0, 0, 0])].concat();
        let head = words(&[7, 0, 2, 100_232, 10, 1, 1, credentials.len() as u32]);
        let call = [head, credentials, words(&[0, 0]), b"AAAA".to_vec()].concat();
        let message = datagram(Side::Client, &call).unwrap();
        assert_eq!((message.verb.as_deref(), message.object.as_deref()), (Some("1"), Some("sadmind")));
        assert_eq!(message.details[2..], [("machine", "localhost".to_owned()), ("user", "0".to_owned())]);
        assert_eq!(message.body, Some(Hash::of(b"AAAA")));
    }

    #[test]
    fn alike_and_not_it() {
        assert!(datagram(Side::Client, &words(&[7, 0, 3, PORTMAPPER, 2, 4, 0, 0, 0, 0])).is_none());
        assert!(datagram(Side::Client, &call_of(4, &[])[1..]).is_none());
        assert_eq!(client(b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10"), Match::No);
        assert_eq!(client(b"\x80\0\0\x28\x12"), Match::Maybe);
    }
}
