//! SMB 1 (MS-CIFS, MS-SMB), 2 and 3 (MS-SMB2), on 445 and inside NetBIOS sessions on 139.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | negotiation | negotiate | dialects, with commas | reply: detail dialect (its place, or its version) |
//! | login | session_setup | | user, details domain and workstation (NTLM's too), anonymous; software: native OS; detail lanman |
//! | share | tree_connect | path | detail service |
//! | file or pipe | create, open | name | |
//! | other names (delete, mkdir …) | the command | name | |
//! | transaction | trans | name | |
//! | Trans2 | trans2 | `SESSION_SETUP` (which only DoublePulsar uses) or `subcommand 0x..` | detail timeout; reply: detail multiplex |
//! | NT transaction | nt_trans | `function 0x..` | |
//! | compressed message (SMB 3.1.1) | compressed | | details original_size and offset (CVE-2020-0796 overflows them) |
//! | reply to one of these | the same | | status: NT status; detail nt_status in hexadecimal, where not 0 |
//!
//! What is written to a pipe, or comes out of it, goes to [`super::dcerpc`]; its messages stand among these. Reads,
//! writes and closes are not told. Frames of the session: [`super::netbios_session`].

mod first;
mod second;

use serde::{Deserialize, Serialize};

pub(super) use first::transaction_name;

use super::dcerpc::Dcerpc;
use super::netbios_session::{self, MESSAGE};
use crate::binary::Fields;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[445, 139];

/// Bytes of a frame that are read; a longer one is cut. Requests that name something have some hundred; the longest
/// fragment of DCE-RPC that Windows offers has 4,280 (MS-RPCE).
const FRAME: usize = 16 * 1024;

/// Pipes that are remembered; a Windows client has one or two open.
const PIPES: usize = 8;

/// Commands that are chained in one message, of which servers allow about as many.
const CHAIN: usize = 16;

/// Flags of a reply.
const REPLY_1: u8 = 0x80;
const REPLY_2: u8 = 1;

/// A client begins with a negotiation, in a session or without.
pub fn client(bytes: &[u8]) -> Match {
    Match::prefix(bytes, &[0x81, 0, 0, 68, 32]).or(frame_of(bytes, false))
}

/// A server answers one.
pub fn server(bytes: &[u8]) -> Match {
    Match::prefix(bytes, &[0x82, 0, 0, 0]).or(Match::prefix(bytes, &[0x83, 0, 0, 1])).or(frame_of(bytes, true))
}

/// Whether a frame of SMB begins that is a reply, or none.
fn frame_of(bytes: &[u8], reply: bool) -> Match {
    let is = |magic: &[u8]| {
        bytes.iter().take(8).enumerate().all(|(at, b)| match at {
            0 => *b == 0,
            1..4 => true,
            _ => *b == magic[at - 4],
        })
    };
    let (one, two) = (is(b"\xffSMB"), is(b"\xfeSMB"));
    let flag = if one { bytes.get(13).map(|f| f & REPLY_1 != 0) } else { bytes.get(20).map(|f| f & REPLY_2 != 0) };
    match flag {
        _ if bytes.is_empty() || !(one || two) => Match::No,
        Some(flag) if flag == reply => Match::Yes,
        Some(_) => Match::No,
        None => Match::Maybe,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Smb {
    /// Bytes to pass over.
    over: [u32; 2],
    /// Whether nothing can be read any more: bytes are missing, or it is something else.
    closed: [bool; 2],
    /// Pipes by the number of their file, the last one used at the end.
    pipes: Vec<(u64, Dcerpc)>,
}

impl Parser for Smb {
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
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        self.pipes.iter_mut().for_each(|(_, pipe)| pipe.end(side, &[], out));
    }
}

impl Smb {
    fn step(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let i = side.index();
        if self.over[i] > 0 {
            let taken = input.len().min(self.over[i] as usize);
            self.over[i] -= taken as u32;
            return taken;
        }
        if input.len() < 4 && !self.closed[i] {
            return 0;
        }
        let Some((sort, length)) = netbios_session::header(input).filter(|_| !self.closed[i]) else {
            self.closed[i] = true;
            return input.len();
        };
        let wanted = length.min(FRAME);
        let Some(content) = input.get(4..4 + wanted) else { return 0 };
        self.over[i] = (length - wanted) as u32;
        let before = out.len();
        match sort {
            MESSAGE => self.frame(side, content, out),
            _ => out.extend(netbios_session::session(sort, content)),
        }
        if wanted < length {
            out[before..].iter_mut().for_each(|m| m.cut = true);
        }
        4 + wanted
    }

    fn frame(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) {
        match frame.get(..4) {
            Some(b"\xffSMB") => {
                self.first(side, frame, out);
            }
            Some(b"\xfeSMB") => self.second(side, frame, out),
            Some(b"\xfcSMB") => out.extend(compressed(side, frame)),
            // Encrypted, or nothing of SMB.
            _ => {}
        }
    }

    /// What goes through a pipe; `None` where its number does not stand beside it, which is so in replies.
    fn pipe(&mut self, side: Side, number: Option<u64>, bytes: &[u8], out: &mut Vec<Message>) {
        let known = match number {
            Some(number) => self.pipes.iter().position(|(n, _)| *n == number),
            None => self.pipes.len().checked_sub(1),
        };
        let amid = known.is_some_and(|at| self.pipes[at].1.amid(side));
        // Files are written and read in the same way.
        if !amid && !matches!(bytes, [5, 0 | 1, ..]) {
            return;
        }
        let mut pipe = match (known, number) {
            (Some(at), _) => self.pipes.remove(at),
            (None, Some(number)) => (number, Dcerpc::default()),
            (None, None) => return,
        };
        pipe.1.read(side, bytes, out);
        if self.pipes.len() >= PIPES {
            self.pipes.remove(0);
        }
        self.pipes.push(pipe);
    }
}

/// A reply with its NT status.
fn answer(verb: &str, status: u32) -> Message {
    let mut message = Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Reply) };
    message.status = Some(status as i32);
    if status != 0 {
        message.detail("nt_status", format!("{status:08x}").as_bytes());
    }
    message
}

/// A compression header (MS-SMB2 2.2.42); its sizes are given as they stand, CVE-2020-0796 makes their sum overflow.
fn compressed(side: Side, frame: &[u8]) -> Option<Message> {
    let mut fields = Fields(frame.get(4..)?);
    let (size, _, offset) = (fields.le32()?, fields.le32()?, fields.le32()?);
    let mut message = Message::of(if side == Side::Client { Kind::Request } else { Kind::Reply });
    message.verb = Some("compressed".to_owned());
    message.detail("original_size", size.to_string().as_bytes());
    message.detail("offset", offset.to_string().as_bytes());
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::tests::token;
    use crate::protocols::dcerpc::tests::{bind, call};
    use crate::protocols::netbios_session::tests::letters;
    use crate::testing::{by, talk};

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// A block of parameters and bytes.
    fn block(parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u16).to_le_bytes();
        [&[(parameters.len() / 2) as u8], parameters, &length, bytes].concat()
    }

    /// The header of a message of SMB 1.
    fn header(command: u8, status: u32, flags: u8, flags2: u16) -> Vec<u8> {
        let status = status.to_le_bytes();
        let rest = [&[0; 12][..], &words(&[1, 2, 3, 81])].concat();
        [b"\xffSMB", &[command][..], &status, &[flags], &flags2.to_le_bytes(), &rest].concat()
    }

    fn one(command: u8, flags2: u16, parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        framed(&[header(command, 0, 0x18, flags2), block(parameters, bytes)].concat())
    }

    fn reply(command: u8, status: u32, parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        framed(&[header(command, status, 0x98, 0xc001), block(parameters, bytes)].concat())
    }

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    fn verbs<'a>(messages: &[&'a Message]) -> Vec<(&'a str, &'a str)> {
        let text = |t: &'a Option<String>| t.as_deref().unwrap_or("-");
        messages.iter().map(|m| (text(&m.verb), text(&m.object))).collect()
    }

    #[test]
    fn a_session_a_chained_login_and_a_share() {
        let session = [&[0x81, 0, 0, 68][..], &letters("*SMBSERVER", 0x20), &letters("PC-1", 0)].concat();
        let dialects = one(0x72, 0, &[], b"\x02PC NETWORK PROGRAM 1.0\0\x02NT LM 0.12\0");
        // Behind the login in the same message: the share. The login's block begins at 32.
        let login = [&[0; 24][..], &[0], &wide("bob"), &wide("HOME"), &wide("Windows 2000 2195"), &wide("5.0")].concat();
        let at = (32 + 1 + 26 + 2 + login.len()) as u16;
        let login = block(&words(&[0x75, at, 4356, 50, 0, 0, 0, 24, 0, 0, 0, 0, 0]), &login);
        let pad = if at.is_multiple_of(2) { &[0][..] } else { &[0, 0] };
        let share = block(&words(&[0xff, 0, 0, 1]), &[pad, &wide("\\\\10.0.0.1\\IPC$"), b"IPC\0"].concat());
        let login = framed(&[header(0x73, 0, 0x18, 0xc001), login, share].concat());
        let refused = reply(0x73, 0xc000_006d, &[], &[]);
        let messages = talk(
            "smb",
            &[
                (Side::Client, &session),
                (Side::Server, &[0x82, 0, 0, 0]),
                (Side::Client, &dialects),
                (Side::Client, &login),
                (Side::Server, &refused),
            ],
        );
        let ours = by(Side::Client, &messages);
        let wanted = [
            ("session_request", "*SMBSERVER<20>"),
            ("negotiate", "PC NETWORK PROGRAM 1.0,NT LM 0.12"),
            ("session_setup", "-"),
            ("tree_connect", "\\\\10.0.0.1\\IPC$"),
        ];
        assert_eq!(verbs(&ours), wanted);
        assert_eq!(detail(ours[0], "calling"), Some("PC-1<00>"));
        assert_eq!((ours[2].user.as_deref(), ours[2].password.as_deref()), (Some("bob"), None));
        assert_eq!(ours[2].software.as_deref(), Some("Windows 2000 2195"));
        assert_eq!((detail(ours[2], "domain"), detail(ours[2], "lanman")), (Some("HOME"), Some("5.0")));
        assert_eq!(detail(ours[3], "service"), Some("IPC"));
        let theirs = by(Side::Server, &messages);
        assert_eq!((theirs[1].status, detail(theirs[1], "nt_status")), (Some(0xc000_006du32 as i32), Some("c000006d")));
    }

    #[test]
    fn a_password_of_the_oldest_clients() {
        let login = one(0x73, 0, &words(&[0xff, 0, 4356, 50, 0, 0, 0, 7, 0, 0]), b"secret\0BOB\0HOME\0Unix\0Samba\0");
        let messages = talk("smb", &[(Side::Client, &login)]);
        let login = &messages[0].1;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("BOB"), Some("secret")));
        assert_eq!(login.software.as_deref(), Some("Unix"));
    }

    #[test]
    fn calls_through_a_pipe_are_told() {
        let mut create = vec![0xff, 0, 0, 0, 0, 14, 0];
        create.resize(48, 0);
        let create = one(0xa2, 0xc001, &create, &[&[0][..], &wide("\\lsarpc")].concat());
        let write = |bytes: &[u8]| {
            let parameters = words(&[0xff, 0, 0x4000, 0, 0, 0, 0, 8, 0, 0, bytes.len() as u16, 32 + 1 + 28 + 2, 0, 0]);
            one(0x2f, 0xc001, &parameters, bytes)
        };
        // 32 + 1 + 32 + 2 is the place of the name, at an even place; what goes through the pipe is behind it.
        let transact = |bytes: &[u8]| {
            let name = [&[0][..], &wide("\\PIPE\\")].concat();
            let place = (67 + name.len()) as u16;
            let mut parameters = vec![0; 16];
            (parameters[11], parameters[12], parameters[13]) = (bytes.len() as u16, place, 2);
            (parameters[14], parameters[15]) = (0x26, 0x4000);
            one(0x25, 0xc001, &words(&parameters), &[&name, bytes].concat())
        };
        let said = [create, write(&bind()), transact(&call(3, b"0123456789"))].concat();
        let messages = talk("smb", &[(Side::Client, &said)]);
        let wanted = [
            ("create", "\\lsarpc"),
            ("bind", "000001a0-0000-0000-c000-000000000046 v0.0"),
            ("trans", "\\PIPE\\"),
            ("request", "opnum 4"),
        ];
        assert_eq!(verbs(&by(Side::Client, &messages)), wanted);
    }

    #[test]
    fn doublepulsar_is_recognised() {
        let mut parameters = words(&[12, 0, 1, 0, 0, 0, 0xee16, 0x00a6, 0, 12, 66, 0, 78, 1, 0x0e]);
        parameters.truncate(30);
        let ping = one(0x32, 0xc007, &parameters, &[0; 13]);
        let answered = reply(0x32, 0xc000_0002, &[], &[]);
        let messages = talk("smb", &[(Side::Client, &ping), (Side::Server, &answered)]);
        assert_eq!(verbs(&[&messages[0].1]), [("trans2", "SESSION_SETUP")]);
        assert_eq!(detail(&messages[0].1, "timeout"), Some("00a6ee16"));
        assert_eq!(detail(&messages[1].1, "multiplex"), Some("81"));
    }

    /// The header of SMB 2 and a body.
    fn two(command: u16, flags: u8, status: u32, body: &[u8]) -> Vec<u8> {
        let mut header = b"\xfeSMB\x40\0\0\0".to_vec();
        header.extend(status.to_le_bytes());
        header.extend(words(&[command, 1]));
        header.push(flags);
        header.resize(64, 0);
        framed(&[&header, body].concat())
    }

    #[test]
    fn smb_2_says_the_same_things() {
        let negotiate = [&words(&[36, 2, 1, 0])[..], &[0; 28], &words(&[0x0202, 0x0311])].concat();
        let token = token("HOME", "bob", "PC-1");
        let login = [&[25, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &words(&[88, token.len() as u16]), &[0; 8], &token].concat();
        let path: Vec<u8> = "\\\\h\\IPC$".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let tree = [&words(&[9, 0, 72, path.len() as u16])[..], &path].concat();
        let create = [&[57, 0][..], &[0; 42], &words(&[64 + 56, 12]), &[0; 8], &wide("srvsvc")[..12]].concat();
        let write = [&words(&[49, 64 + 48, bind().len() as u16, 0])[..], &[0; 8], &[7; 16], &[0; 16], &bind()].concat();
        let said = [
            two(0, 0, 0, &negotiate),
            two(1, 0, 0, &login),
            two(3, 0, 0, &tree),
            two(5, 0, 0, &create),
            two(9, 0, 0, &write),
        ];
        let answers = [
            two(0, 1, 0, &words(&[65, 1, 0x0311, 0])),
            two(1, 1, 0xc000_006d, &[9, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let messages = talk("smb", &[(Side::Client, &said.concat()), (Side::Server, &answers.concat())]);
        let ours = by(Side::Client, &messages);
        let wanted = [
            ("negotiate", "2.0.2,3.1.1"),
            ("session_setup", "-"),
            ("tree_connect", "\\\\h\\IPC$"),
            ("create", "srvsvc"),
            ("bind", "000001a0-0000-0000-c000-000000000046 v0.0"),
        ];
        assert_eq!(verbs(&ours), wanted);
        assert_eq!((ours[1].user.as_deref(), detail(ours[1], "workstation")), (Some("bob"), Some("PC-1")));
        let theirs = by(Side::Server, &messages);
        assert_eq!(detail(theirs[0], "dialect"), Some("3.1.1"));
        assert_eq!(theirs[1].status, Some(0xc000_006du32 as i32));
    }

    #[test]
    fn a_frame_that_is_too_long_is_cut_and_passed_over() {
        let mut long = one(0x25, 0, &words(&[0; 16]), &[&b"\\PIPE\\x\0"[..], &[b'A'; 40_000]].concat());
        long.extend(one(0x06, 0, &words(&[0]), b"\x04\\file.txt\0"));
        let mut dialogue = crate::Dialogue::new(None, [1028, 445]);
        let mut heard = Vec::new();
        dialogue.hear(crate::End::Peer, &long, &mut heard);
        let messages: Vec<&Message> = heard.iter().map(|h| &h.message).collect();
        assert_eq!(verbs(&messages), [("trans", "\\PIPE\\x"), ("delete", "\\file.txt")]);
        assert_eq!((messages[0].cut, messages[1].cut), (true, false));
    }
}
