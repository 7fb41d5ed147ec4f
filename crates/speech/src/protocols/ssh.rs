//! SSH (RFC 4253): the lines and the offers before the encryption.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | line before the identification | line | its text | |
//! | identification | identification | comment | software; details version |
//! | offer of algorithms | kexinit | | hassh (HASSH server of a server's); details of its lists |
//! | farewell in the clear | disconnect | text | status: its reason |
//!
//! After a side's NEWKEYS nothing of it is read, and of protocol 1 nothing but its identification.
//! HASSH: salesforce/hassh README.

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::fingerprint::md5_hex;
use crate::lines::{Lines, bare, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[22, 2222];

/// Lines before the identification that are told; a server's legal notice is shorter.
const LINES: u8 = 64;

/// A packet's length, as RFC 4253 (6.1) wants it handled at least. More is no SSH.
const PACKET: u32 = 35_000;

const IDENTIFICATION: &[u8] = b"SSH-";
const DISCONNECT: u8 = 1;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// A client begins with its identification.
pub fn client(bytes: &[u8]) -> Match {
    Match::prefix(bytes, IDENTIFICATION)
}

/// A server may say other lines before, which tell nothing until the identification comes.
pub fn server(bytes: &[u8]) -> Match {
    match bytes.windows(5).take(4096).any(|w| w == b"\nSSH-") {
        true => Match::Yes,
        false => Match::prefix(bytes, IDENTIFICATION),
    }
}

/// What one side is about to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Lines,
    Packets,
    /// Encrypted, or nothing that can be read.
    Closed,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ssh {
    lines: Lines,
    stages: [Stage; 2],
    /// Bytes to pass over.
    over: [u32; 2],
    told: [u8; 2],
}

impl Parser for Ssh {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let taken = match self.stages[side.index()] {
                Stage::Lines => self.line(side, &input[at..], out),
                Stage::Packets => self.packet(side, &input[at..], out),
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

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        if self.stages[side.index()] == Stage::Lines && rest.starts_with(IDENTIFICATION) {
            out.push(identification(bare(rest)));
        }
    }
}

impl Ssh {
    fn line(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        let Some(line) = self.lines.next(side, input, &mut at) else { return at };
        let told = &mut self.told[side.index()];
        if line.text.starts_with(IDENTIFICATION) {
            out.push(Message { cut: line.cut, ..identification(line.text) });
            let old = line.text.starts_with(b"SSH-1.") && !line.text.starts_with(b"SSH-1.99");
            match old {
                // One that speaks only protocol 1 decides for both.
                true => self.stages = [Stage::Closed; 2],
                false if self.stages[side.index()] == Stage::Lines => self.stages[side.index()] = Stage::Packets,
                false => {}
            }
        } else if *told < LINES {
            *told += 1;
            let message = Message::request(b"line", line.text);
            out.push(Message { kind: Kind::Hello, cut: line.cut || message.cut, ..message });
        }
        at
    }

    fn packet(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let over = &mut self.over[side.index()];
        if *over > 0 {
            let taken = input.len().min(*over as usize);
            *over -= taken as u32;
            return taken;
        }
        let mut fields = Fields(input);
        let Some(length) = fields.be32() else { return 0 };
        if !(2..=PACKET).contains(&length) {
            self.stages[side.index()] = Stage::Closed;
            return input.len();
        }
        let (Some(padding), Some(sort)) = (fields.byte(), fields.byte()) else { return 0 };
        if !matches!(sort, DISCONNECT | KEXINIT) {
            *over = length - 2;
            if sort == NEWKEYS {
                self.stages[side.index()] = Stage::Closed;
            }
            return 6;
        }
        let Some(content) = fields.take(length as usize - 2) else { return 0 };
        let payload = Fields(&content[..content.len().saturating_sub(usize::from(padding))]);
        out.extend(if sort == KEXINIT { kexinit(side, payload) } else { disconnect(payload) });
        input.len() - fields.0.len()
    }
}

/// `SSH-protoversion-softwareversion SP comments`.
fn identification(line: &[u8]) -> Message {
    let mut parts = line.splitn(3, |b| *b == b'-').skip(1);
    let (version, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (software, comment) = word(rest);
    let mut message = Message::of(Kind::Hello);
    message.verb = Some("identification".to_owned());
    message.software = Some(message.keep(software));
    message.object = (!comment.is_empty()).then(|| message.keep(comment));
    message.detail("version", version);
    message
}

/// Names of the ten lists of an offer, in their order (RFC 4253, 7.1).
const LISTS: [&str; 10] = [
    "kex", "host_key", "cipher_to_server", "cipher_to_client", "mac_to_server", "mac_to_client", "compression_to_server",
    "compression_to_client", "language_to_server", "language_to_client",
];

fn kexinit(side: Side, mut payload: Fields) -> Option<Message> {
    payload.take(16)?;
    let mut lists = [&[][..]; 10];
    for list in &mut lists {
        let length = payload.be32()? as usize;
        *list = payload.take(length)?;
    }
    let follows = payload.byte()?;
    let mut message = Message::of(Kind::Hello);
    message.verb = Some("kexinit".to_owned());
    // A side is known by what it offers for what it sends itself.
    let own = side.index();
    let offer = [lists[0], lists[2 + own], lists[4 + own], lists[6 + own]];
    message.hassh = Some(md5_hex(&offer.join(&b';')));
    for (name, list) in LISTS.into_iter().zip(lists) {
        message.detail(name, list);
    }
    message.detail("first_kex_follows", if follows != 0 { b"yes" } else { b"" });
    Some(message)
}

fn disconnect(mut payload: Fields) -> Option<Message> {
    let reason = payload.be32()?;
    let length = payload.be32()? as usize;
    let text = payload.take(length)?;
    let mut message = Message { status: i32::try_from(reason).ok(), ..Message::of(Kind::Reply) };
    message.verb = Some("disconnect".to_owned());
    message.object = Some(message.keep(text));
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn string(text: &[u8]) -> Vec<u8> {
        [&(text.len() as u32).to_be_bytes(), text].concat()
    }

    fn packet(payload: &[u8]) -> Vec<u8> {
        let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
        let length = (1 + payload.len() + padding) as u32;
        [&length.to_be_bytes()[..], &[padding as u8], payload, &vec![0; padding]].concat()
    }

    fn offer(lists: [&str; 10]) -> Vec<u8> {
        let lists: Vec<u8> = lists.iter().flat_map(|list| string(list.as_bytes())).collect();
        packet(&[&[KEXINIT], &[7; 16][..], &lists, &[0; 5]].concat())
    }

    /// The lists of Cyberduck 6.7.1 in hassh's README.
    const KEX: &str = "curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp521,\
        ecdh-sha2-nistp384,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1,\
        diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,diffie-hellman-group15-sha512,\
        diffie-hellman-group16-sha512,diffie-hellman-group17-sha512,diffie-hellman-group18-sha512,\
        diffie-hellman-group14-sha256@ssh.com,diffie-hellman-group15-sha256,diffie-hellman-group15-sha256@ssh.com,\
        diffie-hellman-group15-sha384@ssh.com,diffie-hellman-group16-sha256,diffie-hellman-group16-sha384@ssh.com,\
        diffie-hellman-group16-sha512@ssh.com,diffie-hellman-group18-sha512@ssh.com";
    const CIPHERS: &str = "aes128-cbc,aes128-ctr,aes192-cbc,aes192-ctr,aes256-cbc,aes256-ctr,blowfish-cbc,\
        blowfish-ctr,cast128-cbc,cast128-ctr,idea-cbc,idea-ctr,serpent128-cbc,serpent128-ctr,serpent192-cbc,\
        serpent192-ctr,serpent256-cbc,serpent256-ctr,3des-cbc,3des-ctr,twofish128-cbc,twofish128-ctr,twofish192-cbc,\
        twofish192-ctr,twofish256-cbc,twofish256-ctr,twofish-cbc,arcfour,arcfour128,arcfour256";
    const MACS: &str = "hmac-sha1,hmac-sha1-96,hmac-md5,hmac-md5-96,hmac-sha2-256,hmac-sha2-512";

    #[test]
    fn hassh_is_that_of_its_authors() {
        let said = [
            b"SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)\r\n".to_vec(),
            offer([KEX, "ssh-rsa", CIPHERS, "aes128-cbc", MACS, "hmac-md5", "zlib@openssh.com,zlib,none", "none", "", ""]),
            packet(&[30, 0, 0, 0, 1, 9]),
            packet(&[NEWKEYS]),
            vec![0x5a; 120],
        ];
        let messages = talk("ssh", &[(Side::Client, &said.concat())]);
        let [hello, offer] = by(Side::Client, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!(hello.software.as_deref(), Some("Cyberduck/6.7.1.28683"));
        assert_eq!(hello.object.as_deref(), Some("(Mac OS X/10.13.6) (x86_64)"));
        assert_eq!(hello.details, [("version", "2.0".to_owned())]);
        assert_eq!(offer.hassh.as_deref(), Some("8a8ae540028bf433cd68356c1b9e8d5b"));
        assert!(offer.details.contains(&("mac_to_server", MACS.to_owned())));
    }

    /// The lists of OpenSSH 5.3 in hassh's README, which does not print their MD5; this one is python's hashlib's.
    #[test]
    fn a_server_is_known_by_what_it_sends_itself() {
        let kex = "diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,\
            diffie-hellman-group1-sha1";
        let ciphers = "aes128-ctr,aes192-ctr,aes256-ctr,arcfour256,arcfour128,aes128-cbc,3des-cbc,blowfish-cbc,\
            cast128-cbc,aes192-cbc,aes256-cbc,arcfour,rijndael-cbc@lysator.liu.se";
        let macs = "hmac-md5,hmac-sha1,umac-64@openssh.com,hmac-ripemd160,hmac-ripemd160@openssh.com,hmac-sha1-96,\
            hmac-md5-96";
        let offer =
            offer([kex, "ssh-rsa,ssh-dss", "x", ciphers, "x", macs, "x", "none,zlib@openssh.com", "", ""]);
        let banner = b"Keep out.\r\nSSH-2.0-OpenSSH_5.3\r\n";
        let farewell = packet(&[&[DISCONNECT, 0, 0, 0, 2], &string(b"bye")[..], &string(b"")].concat());
        let messages = talk("ssh", &[(Side::Server, &[banner, &offer[..], &farewell].concat())]);
        let [line, hello, offer, farewell] = by(Side::Server, &messages)[..] else { panic!("{messages:?}") };
        assert_eq!((line.kind, line.object.as_deref()), (Kind::Hello, Some("Keep out.")));
        assert_eq!((hello.software.as_deref(), hello.object.as_deref()), (Some("OpenSSH_5.3"), None));
        assert_eq!(offer.hassh.as_deref(), Some("b1c6c0d56317555b85c7005a3de29325"));
        assert_eq!((farewell.status, farewell.object.as_deref()), (Some(2), Some("bye")));
    }

    #[test]
    fn protocol_1_and_rubbish_are_passed_over() {
        let old = [&b"SSH-1.5-1.2.27\n"[..], &packet(&[KEXINIT; 40])].concat();
        assert_eq!(talk("ssh", &[(Side::Client, &old)]).len(), 1);
        let rubbish = b"SSH-2.0-scanner\r\nGET / HTTP/1.0\r\n\r\n";
        assert_eq!(talk("ssh", &[(Side::Client, rubbish)]).len(), 1);
    }
}
