//! DCE-RPC, connection-oriented, version 5 (C706 chapter 12, MS-RPCE): on ports of its own, and inside SMB's pipes.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | bind to an interface | bind, alter_context | UUID and version: `… v1.0` | detail interface: its known name; also: further ones; NTLM's of its token |
//! | call | request | `opnum 4` | body: its arguments; detail interface: of its context, name or UUID |
//! | answer to a bind | bind_ack, alter_context_resp | secondary address | status: result of the first, 0 is good |
//! | refusal of a bind | bind_nak | | status: its reason |
//! | answer to a call | response | | |
//! | failure of a call | fault | | status |
//! | end of a login | auth3 | | user, details of NTLM |

use serde::{Deserialize, Serialize};

use crate::binary::{Fields, hex};
use crate::hash::Hash;
use crate::limits::ELEMENTS;
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::ntlm;

/// Where it usually is: the endpoint mapper, and the first ports that Windows gives to services.
pub const PORTS: &[u16] = &[135, 593, 1025, 1026, 1027, 49152, 49153, 49154];

/// Interfaces that a connection may be bound to and that are remembered. Windows clients bind to one or two.
const CONTEXTS: usize = 32;

/// Bytes of one that is no call which are read; with all its contexts a bind of Windows has some hundred.
const WHOLE: usize = 8 * 1024;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const BIND_NAK: u8 = 13;
const ALTER: u8 = 14;
const ALTER_RESPONSE: u8 = 15;
const AUTH3: u8 = 16;

/// Flags: first and last fragment, an object's UUID is there.
const FIRST: u8 = 1;
const LAST: u8 = 2;
const OBJECT: u8 = 0x80;

/// A client begins with a bind.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes, &[BIND])
}

/// A server answers one.
pub fn server(bytes: &[u8]) -> Match {
    begins(bytes, &[BIND_ACK, BIND_NAK])
}

fn begins(bytes: &[u8], sorts: &[u8]) -> Match {
    let fits = |at: usize, b: u8| match at {
        0 => b == 5,
        1 => b <= 1,
        2 => sorts.contains(&b),
        4 => matches!(b, 0 | 0x10),
        5 => b <= 3,
        6 | 7 => b == 0,
        _ => true,
    };
    match bytes.iter().take(8).enumerate().all(|(at, b)| fits(at, *b)) {
        true if bytes.len() >= 8 => Match::Yes,
        true if !bytes.is_empty() => Match::Maybe,
        _ => Match::No,
    }
}

/// Interfaces by name, as Microsoft's and Wireshark's lists have them.
const INTERFACES: [(&str, &str); 25] = [
    ("000001a0-0000-0000-c000-000000000046", "ISystemActivator"),
    ("4d9f4ab8-7d1c-11cf-861e-0020af6e7c57", "IActivation"),
    ("99fcfec4-5260-101b-bbcb-00aa0021347a", "IOXIDResolver"),
    ("e1af8308-5d1f-11c9-91a4-08002b14a0fa", "epmapper"),
    ("afa8bd80-7d8a-11c9-bef4-08002b102989", "mgmt"),
    ("12345778-1234-abcd-ef00-0123456789ab", "lsarpc"),
    ("12345778-1234-abcd-ef00-0123456789ac", "samr"),
    ("3919286a-b10c-11d0-9ba8-00c04fd92ef5", "dssetup"),
    ("12345678-1234-abcd-ef00-01234567cffb", "netlogon"),
    ("e3514235-4b06-11d1-ab04-00c04fc2dcd2", "drsuapi"),
    ("c681d488-d850-11d0-8c52-00c04fd90f7e", "efsrpc"),
    ("df1941c5-fe89-4e79-bf10-463657acf44d", "efsrpc"),
    ("4b324fc8-1670-01d3-1278-5a47bf6ee188", "srvsvc"),
    ("367abb81-9844-35f1-ad32-98f038001003", "svcctl"),
    ("6bffd098-a112-3610-9833-46c3f87e345a", "wkssvc"),
    ("338cd001-2244-31f1-aaaa-900038001003", "winreg"),
    ("1ff70682-0a51-30e8-076d-740be8cee98b", "atsvc"),
    ("86d35949-83c9-4044-b424-db363231fd0c", "ITaskSchedulerService"),
    ("12345678-1234-abcd-ef00-0123456789ab", "spoolss"),
    ("8d9f4e40-a03d-11ce-8f69-08003e30051b", "pnp"),
    ("5a7b91f8-ff00-11d0-a9b2-00c04fb6e6fc", "msgsvc"),
    ("50abc2a4-574d-40b3-9d66-ee4fd5fba076", "dnsserver"),
    ("fdb3a030-065f-11d1-bb9b-00a024ea5525", "msmq"),
    ("906b0ce0-c70b-1067-b317-00dd010662da", "msdtc"),
    ("300f3532-38cc-11d0-a3f0-0020af6b0add", "trkwks"),
];

/// A fragment's header.
#[derive(Clone, Copy)]
struct Header {
    sort: u8,
    flags: u8,
    little: bool,
    length: usize,
    token: usize,
}

/// Bytes of a header.
const HEADER: usize = 16;

/// The name of an interface, as known, else its UUID.
fn interface_name(uuid: &str) -> &str {
    INTERFACES.iter().find(|(u, _)| *u == uuid).map_or(uuid, |(_, name)| *name)
}

/// A call whose fragments come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Call {
    context: u16,
    opnum: u16,
    arguments: Hash,
    last: bool,
    /// Whether bytes of it are missing.
    torn: bool,
}

/// A connection, or a pipe.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dcerpc {
    /// Interfaces by the number of their context.
    contexts: Vec<(u16, [u8; 16])>,
    call: Option<Call>,
    /// Bytes of the current call's fragment that are to come.
    arguments: u32,
    /// Bytes to pass over.
    over: [u32; 2],
    closed: [bool; 2],
}

impl Parser for Dcerpc {
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
        self.closed[side.index()] = true;
        if side == Side::Client {
            self.call.iter_mut().for_each(|call| call.torn = true);
        }
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        if side == Side::Client {
            self.finish(true, out);
        }
    }
}

impl Dcerpc {
    /// Whether a fragment of `side` is not there whole yet.
    pub fn amid(&self, side: Side) -> bool {
        self.over[side.index()] > 0 || (side == Side::Client && self.arguments > 0)
    }

    fn step(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let i = side.index();
        if self.closed[i] {
            return input.len();
        }
        if side == Side::Client && self.arguments > 0 {
            let taken = input.len().min(self.arguments as usize);
            self.arguments -= taken as u32;
            if let Some(call) = &mut self.call {
                call.arguments.add(&input[..taken]);
            }
            if self.arguments == 0 && self.call.as_ref().is_some_and(|call| call.last) {
                self.finish(false, out);
            }
            return taken;
        }
        if self.over[i] > 0 {
            let taken = input.len().min(self.over[i] as usize);
            self.over[i] -= taken as u32;
            return taken;
        }
        if input.len() < HEADER {
            return 0;
        }
        let Some(header) = header(input) else {
            self.closed[i] = true;
            return input.len();
        };
        let taken = match (side, header.sort) {
            (Side::Client, REQUEST) => self.request(header, input, out),
            _ => self.whole(side, header, input, out),
        };
        taken.unwrap_or(0)
    }

    /// A call's fragment: its head is taken here, its arguments as they come.
    fn request(&mut self, header: Header, input: &[u8], out: &mut Vec<Message>) -> Option<usize> {
        let head = HEADER + 8 + if header.flags & OBJECT != 0 { 16 } else { 0 };
        let mut fields = Fields(input.get(HEADER..head)?);
        let _hint = fields.take(4)?;
        let context = number(&mut fields, header.little)?;
        let opnum = number(&mut fields, header.little)?;
        if header.flags & FIRST != 0 || self.call.is_none() {
            self.finish(true, out);
            let torn = header.flags & FIRST == 0;
            self.call = Some(Call { context, opnum, arguments: Hash::default(), last: false, torn });
        }
        if let Some(call) = &mut self.call {
            call.last = header.flags & LAST != 0;
        }
        let trailer = if header.token > 0 { header.token + 8 } else { 0 };
        self.arguments = header.length.saturating_sub(head + trailer) as u32;
        self.over[Side::Client.index()] = header.length.saturating_sub(head + self.arguments as usize) as u32;
        if self.arguments == 0 && header.flags & LAST != 0 {
            self.finish(false, out);
        }
        Some(head.min(header.length.max(HEADER)))
    }

    /// Tells of the call whose arguments came.
    fn finish(&mut self, torn: bool, out: &mut Vec<Message>) {
        let Some(call) = self.call.take() else { return };
        self.arguments = 0;
        let mut message = Message::request(b"request", format!("opnum {}", call.opnum).as_bytes());
        if let Some((_, uuid)) = self.contexts.iter().find(|(number, _)| *number == call.context) {
            message.detail("interface", interface_name(&uuid_text(uuid)).as_bytes());
        }
        message.body = (call.arguments.bytes() > 0).then(|| call.arguments.body());
        message.cut = torn || call.torn;
        out.push(message);
    }

    /// A fragment that is read at once.
    fn whole(&mut self, side: Side, header: Header, input: &[u8], out: &mut Vec<Message>) -> Option<usize> {
        let wanted = match header.sort {
            RESPONSE => HEADER,
            _ => header.length.min(WHOLE),
        };
        let bytes = input.get(..wanted)?;
        self.over[side.index()] = (header.length - wanted) as u32;
        let token = match header.token {
            0 => &[][..],
            length => &bytes[bytes.len().saturating_sub(length).max(HEADER)..],
        };
        let mut body = Fields(&bytes[HEADER..]);
        let said = match header.sort {
            BIND | ALTER if side == Side::Client => self.bind(header, &mut body),
            AUTH3 if side == Side::Client => Some(Message::request(b"auth3", b"")),
            BIND_ACK | ALTER_RESPONSE => bound(header, &mut body),
            BIND_NAK => number(&mut body, header.little).map(|reason| reply("bind_nak", Some(reason.into()))),
            RESPONSE if header.flags & FIRST != 0 => Some(reply("response", None)),
            FAULT => body.take(8).and_then(|_| long(&mut body, header.little)).map(|s| reply("fault", Some(s as i32))),
            _ => None,
        };
        out.extend(said.map(|mut message| {
            ntlm::note(token, &mut message);
            message.cut |= wanted < header.length && header.sort != RESPONSE;
            message
        }));
        Some(wanted)
    }

    fn bind(&mut self, header: Header, body: &mut Fields) -> Option<Message> {
        body.take(8)?;
        let count = body.byte()?;
        body.take(3)?;
        let verb = if header.sort == BIND { "bind" } else { "alter_context" };
        let mut message = Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Request) };
        for _ in 0..usize::from(count).min(ELEMENTS) {
            let Some((context, uuid, version)) = context(header.little, body) else { break };
            self.contexts.retain(|(number, _)| *number != context);
            if self.contexts.len() < CONTEXTS {
                self.contexts.push((context, uuid));
            }
            let uuid = uuid_text(&uuid);
            let name = format!("{uuid} v{version}");
            match message.object {
                Some(_) => message.detail("also", name.as_bytes()),
                None => message.object = Some(name),
            }
            if interface_name(&uuid) != uuid {
                message.detail("interface", interface_name(&uuid).as_bytes());
            }
        }
        Some(message)
    }
}

fn header(input: &[u8]) -> Option<Header> {
    let mut fields = Fields(input);
    let (major, minor) = (fields.byte()?, fields.byte()?);
    let (sort, flags) = (fields.byte()?, fields.byte()?);
    let little = fields.take(4)?[0] & 0x10 != 0;
    let length = usize::from(number(&mut fields, little)?);
    let token = usize::from(number(&mut fields, little)?);
    (major == 5 && minor <= 1 && sort <= 20 && length >= HEADER).then_some(Header { sort, flags, little, length, token })
}

fn number(fields: &mut Fields, little: bool) -> Option<u16> {
    if little { fields.le16() } else { fields.be16() }
}

fn long(fields: &mut Fields, little: bool) -> Option<u32> {
    if little { fields.le32() } else { fields.be32() }
}

/// One context of a bind: its number, the interface's UUID in network order, its version.
fn context(little: bool, body: &mut Fields) -> Option<(u16, [u8; 16], String)> {
    let context = number(body, little)?;
    let (transfers, _) = (body.byte()?, body.byte()?);
    let mut uuid: [u8; 16] = body.take(16)?.try_into().ok()?;
    if little {
        uuid[..4].reverse();
        uuid[4..6].reverse();
        uuid[6..8].reverse();
    }
    let version = long(body, little)?;
    body.take(usize::from(transfers) * 20)?;
    Some((context, uuid, format!("{}.{}", version & 0xffff, version >> 16)))
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let digits = hex(uuid);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn reply(verb: &str, status: Option<i32>) -> Message {
    Message { verb: Some(verb.to_owned()), status, ..Message::of(Kind::Reply) }
}

fn bound(header: Header, body: &mut Fields) -> Option<Message> {
    body.take(8)?;
    let length = usize::from(number(body, header.little)?);
    let address = body.take(length)?;
    // Aligned to four bytes; 8 and 2 and the address came before.
    body.take((4 - (10 + length) % 4) % 4)?;
    body.take(4)?;
    let result = number(body, header.little)?;
    let verb = if header.sort == BIND_ACK { "bind_ack" } else { "alter_context_resp" };
    let mut message = reply(verb, Some(result.into()));
    message.object = Some(message.keep(crate::lines::bare(address)));
    Some(message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{by, talk};

    /// A fragment, lowest byte first.
    pub(crate) fn fragment(sort: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u16;
        [&[5, 0, sort, flags, 0x10, 0, 0, 0], &length.to_le_bytes()[..], &[0, 0, 127, 0, 0, 0], body].concat()
    }

    /// ISystemActivator v0.0, over NDR v2.0, as Blaster binds to it.
    const ACTIVATOR: [u8; 20] = [0xa0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46, 0, 0, 0, 0];
    const NDR: [u8; 20] =
        [4, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0];

    pub(crate) fn bind() -> Vec<u8> {
        let head = [0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0];
        fragment(BIND, FIRST | LAST, &[&head[..], &ACTIVATOR, &NDR].concat())
    }

    pub(crate) fn call(flags: u8, arguments: &[u8]) -> Vec<u8> {
        let length = (arguments.len() as u32).to_le_bytes();
        fragment(REQUEST, flags, &[&length[..], &[1, 0, 4, 0], arguments].concat())
    }

    #[test]
    fn blasters_bind_and_call() {
        let accepted = [
            &[0xd0, 0x16, 0xd0, 0x16, 1, 2, 3, 4, 4, 0][..],
            b"135\0",
            &[0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &NDR,
        ]
        .concat();
        let fault = fragment(FAULT, FIRST | LAST, &[&[0; 8][..], &0x1c01_0002u32.to_le_bytes(), &[0; 4]].concat());
        let calls = [call(FIRST, &[b'A'; 100]), call(LAST, &[b'B'; 20])].concat();
        let messages = talk(
            "dcerpc",
            &[
                (Side::Client, &bind()),
                (Side::Server, &fragment(BIND_ACK, FIRST | LAST, &accepted)),
                (Side::Client, &calls),
                (Side::Server, &fault),
            ],
        );
        let [bind, call] = by(Side::Client, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!(bind.object.as_deref(), Some("000001a0-0000-0000-c000-000000000046 v0.0"));
        assert_eq!(bind.details, [("interface", "ISystemActivator".to_owned())]);
        assert_eq!((call.verb.as_deref(), call.object.as_deref()), (Some("request"), Some("opnum 4")));
        assert_eq!(call.details, [("interface", "ISystemActivator".to_owned())]);
        assert_eq!(call.body, Some(Hash::of(&[&[b'A'; 100][..], &[b'B'; 20]].concat())));
        let [accepted, fault] = by(Side::Server, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!((accepted.object.as_deref(), accepted.status), (Some("135"), Some(0)));
        assert_eq!((fault.verb.as_deref(), fault.status), (Some("fault"), Some(0x1c01_0002)));
    }

    #[test]
    fn a_call_that_stops_halfway_is_told_at_the_end() {
        let half = [bind(), call(FIRST, b"arguments")].concat();
        let messages = talk("dcerpc", &[(Side::Client, &half)]);
        assert_eq!((messages.len(), messages[1].1.cut), (2, true));
    }

    /// The order of bytes is the sender's choice.
    #[test]
    fn highest_byte_first_is_fine_too() {
        let body = [&[0x16, 0xd0, 0x16, 0xd0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0][..], &hex16(), &[0, 0, 0, 3]].concat();
        let length = (HEADER + body.len()) as u16;
        let bytes =
            [&[5, 0, BIND, 3, 0, 0, 0, 0], &length.to_be_bytes()[..], &[0, 0, 0, 0, 0, 1], &body].concat();
        let messages = talk("dcerpc", &[(Side::Client, &bytes)]);
        assert_eq!(messages[0].1.object.as_deref(), Some("e1af8308-5d1f-11c9-91a4-08002b14a0fa v3.0"));
    }

    fn hex16() -> [u8; 16] {
        [0xe1, 0xaf, 0x83, 8, 0x5d, 0x1f, 0x11, 0xc9, 0x91, 0xa4, 8, 0, 0x2b, 0x14, 0xa0, 0xfa]
    }
}
