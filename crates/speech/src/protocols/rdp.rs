//! RDP (MS-RDPBCGR 2.2.1): how a client connects, before the encryption.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | connection request | connect | | user: of its cookie mstshash; details token, protocols (those it can) |
//! | answer | confirm | | status: 0, or why not; detail protocol (the one chosen) |
//! | first data in the clear | channels | names of the virtual channels, with commas | details client (its name), build, keyboard |
//! | hellos of TLS inside | as in [`super::tls`] | | |
//!
//! A channel `MS_T120` is none that a client may ask for: who does, tries CVE-2019-0708 (BlueKeep).

use serde::{Deserialize, Serialize};

use super::tls::Tls;
use crate::binary::{Fields, utf16le};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[3389];

/// Bytes of one packet that are read: the first data of a client have some five hundred.
const PACKET: usize = 8 * 1024;

/// Channels that a client may ask for (MS-RDPBCGR 2.2.1.3.4).
const CHANNELS: u32 = 31;

const REQUEST: u8 = 0xe0;
const CONFIRM: u8 = 0xd0;
const DATA: u8 = 0xf0;

/// A client begins with a connection request. Others use the same frames (ISO on TCP) with other parameters.
pub fn client(bytes: &[u8]) -> Match {
    let variable = bytes.get(11..).unwrap_or_default();
    let known = |begin: &[u8]| Match::prefix(variable, begin);
    match head(bytes, REQUEST) {
        Match::Yes if bytes[4] == 6 => Match::Yes,
        Match::Yes if variable.is_empty() => Match::Maybe,
        Match::Yes if variable[0] == 1 => if variable.len() < 4 { Match::Maybe } else { Match::prefix(&variable[2..], &[8, 0]) },
        Match::Yes => known(b"Cookie: ").or(known(b"tsv://")),
        verdict => verdict,
    }
}

/// A server confirms it.
pub fn server(bytes: &[u8]) -> Match {
    match head(bytes, CONFIRM) {
        Match::Yes if bytes[4] == 6 => Match::Yes,
        Match::Yes => match bytes.get(11) {
            Some(2 | 3) if bytes[4] == 14 => Match::Yes,
            Some(_) => Match::No,
            None => Match::Maybe,
        },
        verdict => verdict,
    }
}

/// Whether a frame of ISO on TCP begins whose only content is this packet of X.224.
fn head(bytes: &[u8], sort: u8) -> Match {
    let fits = |at: usize, b: u8| match at {
        0 => b == 3,
        1 | 2 => b == 0,
        // The length of the packet is that of the frame without its header and itself.
        4 => b >= 6 && b.checked_add(5) == Some(bytes[3]),
        5 => b == sort,
        _ => true,
    };
    match bytes.iter().take(6).enumerate().all(|(at, b)| fits(at, *b)) {
        true if bytes.len() >= 6 => Match::Yes,
        true if !bytes.is_empty() => Match::Maybe,
        _ => Match::No,
    }
}

/// What one side is about to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Packets,
    Tls,
    Closed,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rdp {
    stages: [Stage; 2],
    /// Bytes to pass over.
    over: [u32; 2],
    tls: Tls,
}

impl Parser for Rdp {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let taken = match self.stages[side.index()] {
                Stage::Packets => self.packet(side, &input[at..], out),
                Stage::Tls => self.tls.read(side, &input[at..], out),
                Stage::Closed => input.len() - at,
            };
            at += taken;
            if taken == 0 {
                break;
            }
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.stages[side.index()] = Stage::Closed;
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Rdp {
    fn packet(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let i = side.index();
        if self.over[i] > 0 {
            let taken = input.len().min(self.over[i] as usize);
            self.over[i] -= taken as u32;
            return taken;
        }
        // What begins as a handshake of TLS is one; what is no frame of ISO either is passed over: RDP's own short frames.
        if input[0] != 3 {
            self.stages[i] = if input[0] == 22 { Stage::Tls } else { Stage::Closed };
            return if input[0] == 22 { self.tls.read(side, input, out) } else { input.len() };
        }
        let mut fields = Fields(input);
        let Some(length) = fields.take(2).and_then(|_| fields.be16()).map(usize::from) else { return 0 };
        let wanted = length.clamp(4, PACKET);
        let Some(content) = input.get(4..wanted) else { return 0 };
        self.over[i] = length.saturating_sub(wanted) as u32;
        let said = said(side, content);
        out.extend(said.map(|m| Message { cut: m.cut || wanted < length, ..m }));
        wanted
    }
}

/// What a packet of X.224 says.
fn said(side: Side, content: &[u8]) -> Option<Message> {
    let mut fields = Fields(content);
    let length = usize::from(fields.byte()?);
    let mut packet = Fields(fields.take(length)?);
    match (side, packet.byte()?) {
        (Side::Client, REQUEST) => request(packet.take(5).map(|_| packet.0)?),
        (Side::Server, CONFIRM) => confirm(packet.take(5).map(|_| packet.0)?),
        (Side::Client, DATA) => channels(fields.0),
        _ => None,
    }
}

fn request(variable: &[u8]) -> Option<Message> {
    let mut message = Message { verb: Some("connect".to_owned()), ..Message::of(Kind::Request) };
    let end = variable.windows(2).position(|w| w == b"\r\n");
    let (line, mut rest) = match end {
        Some(at) => (&variable[..at], Fields(&variable[at + 2..])),
        None if variable.first() == Some(&1) => (&[][..], Fields(variable)),
        None => (variable, Fields(&[])),
    };
    match line.strip_prefix(b"Cookie: mstshash=") {
        Some(user) => message.user = Some(message.keep(user)),
        None => message.detail("token", line),
    }
    if let (Some(1), Some(_), Some(8)) = (rest.byte(), rest.byte(), rest.le16()) {
        let can = rest.le32()?;
        let names: Vec<&str> = (0..32).filter(|bit| can >> bit & 1 != 0).map(|bit| protocol(1 << bit)).collect();
        message.detail("protocols", if can == 0 { "rdp".to_owned() } else { names.join(",") }.as_bytes());
    }
    Some(message)
}

fn confirm(variable: &[u8]) -> Option<Message> {
    let mut message = Message { verb: Some("confirm".to_owned()), ..Message::of(Kind::Reply) };
    let mut fields = Fields(variable);
    message.status = Some(0);
    // Servers before Windows Vista say nothing, which means their own encryption.
    if let (Some(sort), Some(_), Some(8)) = (fields.byte(), fields.byte(), fields.le16()) {
        let value = fields.le32()?;
        match sort {
            2 => message.detail("protocol", protocol(value).as_bytes()),
            3 => message.status = i32::try_from(value).ok(),
            _ => {}
        }
    }
    Some(message)
}

/// Names of protocols by their bit (MS-RDPBCGR 2.2.1.1.1).
fn protocol(bit: u32) -> &'static str {
    match bit {
        0 => "rdp",
        1 => "tls",
        2 => "credssp",
        4 => "rdstls",
        8 => "credssp-ex",
        16 => "aad",
        _ => "other",
    }
}

/// The client's data in a Connect-Initial of MCS (MS-RDPBCGR 2.2.1.3), which is BER around PER; its blocks begin behind the key
/// that the specification of conferences gives to clients.
fn channels(data: &[u8]) -> Option<Message> {
    data.starts_with(&[0x7f, 0x65]).then_some(())?;
    let key = data.windows(4).position(|w| w == b"Duca")?;
    let mut fields = Fields(&data[key + 4..]);
    if fields.byte()? & 0x80 != 0 {
        fields.byte()?;
    }
    let mut message = Message { verb: Some("channels".to_owned()), ..Message::of(Kind::Hello) };
    while let (Some(sort), Some(length)) = (fields.le16(), fields.le16()) {
        let length = usize::from(length).saturating_sub(4);
        let mut block = Fields(fields.take(length.min(fields.0.len()))?);
        match sort {
            0xc001 => core(&mut block, &mut message).unwrap_or_default(),
            0xc003 => message.object = names(&mut block).map(|names| message.keep(&names.join(&b','))),
            _ => {}
        }
    }
    Some(message)
}

/// Who the client says it is.
fn core(block: &mut Fields, message: &mut Message) -> Option<()> {
    block.take(12)?;
    let (keyboard, build) = (block.le32()?, block.le32()?);
    let name = utf16le(block.take(32)?);
    message.detail("client", name.split('\0').next()?.as_bytes());
    message.detail("build", build.to_string().as_bytes());
    message.detail("keyboard", format!("{keyboard:08x}").as_bytes());
    Some(())
}

/// Names of channels: eight bytes each and their options.
fn names<'a>(block: &mut Fields<'a>) -> Option<Vec<&'a [u8]>> {
    let count = block.le32()?.min(CHANNELS);
    let mut names = Vec::new();
    for _ in 0..count {
        let Some(entry) = block.take(12) else { break };
        names.push(entry[..8].split(|b| *b == 0).next()?);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn frame(content: &[u8]) -> Vec<u8> {
        [&[3, 0], &((content.len() + 4) as u16).to_be_bytes()[..], content].concat()
    }

    fn connection(sort: u8, variable: &[u8]) -> Vec<u8> {
        frame(&[&[6 + variable.len() as u8, sort, 0, 0, 0, 0, 0], variable].concat())
    }

    #[test]
    fn a_cookie_names_a_user_and_tls_follows() {
        let request = connection(REQUEST, b"Cookie: mstshash=Administr\r\n\x01\0\x08\0\x0b\0\0\0");
        let confirm = connection(CONFIRM, &[2, 0, 8, 0, 1, 0, 0, 0]);
        // A hello of TLS without extensions, whose JA3 stands in ja3's README.
        let ciphers: Vec<u8> = [4u8, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99].iter().flat_map(|c| [0, *c]).collect();
        let hello = [&[3, 1][..], &[7; 32], &[0, 0, 22], &ciphers, &[1, 0]].concat();
        let hello = [&[22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8][..], &hello].concat();
        let messages =
            talk("rdp", &[(Side::Client, &request), (Side::Server, &confirm), (Side::Client, &hello)]);
        let [connect, hello] = by(Side::Client, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!((connect.verb.as_deref(), connect.user.as_deref()), (Some("connect"), Some("Administr")));
        assert_eq!(connect.details, [("protocols", "tls,credssp,credssp-ex".to_owned())]);
        assert_eq!(hello.ja3.as_deref(), Some("de350869b8c85de67a350c8d186f11e6"));
        let answer = by(Side::Server, &messages)[0];
        assert_eq!((answer.status, &answer.details[..]), (Some(0), &[("protocol", "tls".to_owned())][..]));
    }

    #[test]
    fn bluekeeps_channel_is_seen() {
        let name: Vec<u8> = "scanner".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let core = [&[4, 0, 8, 0, 0, 4, 0, 3, 1, 0xca, 3, 0xaa, 9, 4, 0, 0, 0x28, 0x0a, 0, 0][..], &name, &[0; 18]].concat();
        let core = [&[1, 0xc0, core.len() as u8 + 4, 0], &core[..]].concat();
        let net = [b"\x03\xc0\x20\0\x02\0\0\0rdpsnd\0\0\0\0\0\xc0".as_slice(), b"MS_T120\0\0\0\0\0"].concat();
        let blocks = [&core[..], &net].concat();
        let data = [&[2, DATA, 0x80, 0x7f, 0x65, 0x82, 1, 0][..], &[0; 40], b"Duca", &[0x80, blocks.len() as u8], &blocks];
        let said = [connection(REQUEST, b""), frame(&data.concat())].concat();
        let refused = connection(CONFIRM, &[3, 0, 8, 0, 5, 0, 0, 0]);
        let messages = talk("rdp", &[(Side::Client, &said), (Side::Server, &refused)]);
        let channels = by(Side::Client, &messages)[1];
        assert_eq!(channels.object.as_deref(), Some("rdpsnd,MS_T120"));
        let wanted = [("client", "scanner"), ("build", "2600"), ("keyboard", "00000409")];
        assert_eq!(channels.details, wanted.map(|(n, v)| (n, v.to_owned())));
        assert_eq!(by(Side::Server, &messages)[0].status, Some(5));
    }

    /// A connection request to a Siemens controller has the same frame.
    #[test]
    fn other_iso_is_not_rdp() {
        let request = connection(REQUEST, &[0xc1, 2, 1, 0, 0xc2, 2, 1, 2, 0xc0, 1, 0x0a]);
        assert_eq!(client(&request), Match::No);
    }
}
