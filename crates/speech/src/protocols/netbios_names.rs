//! NetBIOS names on UDP (RFC 1002, 4.2): who is there, and what a machine calls itself.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | question or announcement | query, nbstat, registration, release, refresh, wack | name with its suffix: `WORKGROUP<1e>` | detail address, of an announcement |
//! | answer | the same | the same | status: 0, or an error; details address; of nbstat: name (each of the machine's) and mac |
//!
//! `*<00>` asked by nbstat is how machines, and worms, look for others.

use super::netbios_session::{name, with_suffix};
use crate::binary::{Fields, hex};
use crate::message::{Kind, Message, Side};

/// Where it is.
pub const UDP_PORTS: &[u16] = &[137];

const NAME: u16 = 0x20;
const STATUS: u16 = 0x21;
/// What the answer that a name does not exist bears.
const NOTHING: u16 = 0x0a;

/// Records that are looked at; real ones hold at most two.
const RECORDS: u16 = 4;

/// Reads one. Which side sent it does not matter: a flag tells questions from answers.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let (_id, flags) = (fields.be16()?, fields.be16()?);
    let (questions, answers) = (fields.be16()?, fields.be16()?);
    let (authorities, additional) = (fields.be16()?, fields.be16()?);
    let records = answers.checked_add(authorities)?.checked_add(additional)?;
    let reply = flags & 0x8000 != 0;
    if questions > 1 || records > RECORDS || (questions == 0) != reply {
        return None;
    }
    let mut message = Message::of(if reply { Kind::Reply } else { Kind::Request });
    let mut sort = NAME;
    if questions == 1 {
        message.object = Some(name(&mut fields)?);
        sort = fields.be16()?;
        (fields.be16()? == 1).then_some(())?;
    }
    for _ in 0..records {
        sort = record(&mut fields, &mut message)?;
    }
    message.object.as_ref()?;
    message.status = reply.then_some(i32::from(flags & 0x0f));
    message.verb = Some(verb(flags >> 11 & 0x0f, sort)?.to_owned());
    Some(message)
}

fn verb(operation: u16, sort: u16) -> Option<&'static str> {
    Some(match (operation, sort) {
        (0, NAME | NOTHING) => "query",
        (0, STATUS) => "nbstat",
        (5, NAME) => "registration",
        (6, NAME) => "release",
        (7, NAME | NOTHING) => "wack",
        (8 | 9, NAME) => "refresh",
        _ => return None,
    })
}

/// A record; its type.
fn record(fields: &mut Fields, message: &mut Message) -> Option<u16> {
    if fields.0.first()? & 0xc0 == 0xc0 {
        // The name of the question again.
        fields.take(2)?;
    } else {
        message.object = Some(name(fields)?);
    }
    let (sort, class, _time) = (fields.be16()?, fields.be16()?, fields.be32()?);
    let mut content = fields.vec16()?;
    match (sort, class) {
        (NAME, 1) => {
            while let Some([_, _, a, b, c, d]) = content.take(6) {
                message.detail("address", format!("{a}.{b}.{c}.{d}").as_bytes());
            }
        }
        (STATUS, 1) => status(content, message),
        (NOTHING, 1) => {}
        _ => return None,
    }
    Some(sort)
}

/// All names of a machine, and the address of its network card.
fn status(mut content: Fields, message: &mut Message) {
    for _ in 0..content.byte().unwrap_or_default() {
        let Some(entry) = content.take(18) else { return };
        message.detail("name", with_suffix(&entry[..16]).as_bytes());
    }
    if let Some(card) = content.take(6) {
        message.detail("mac", hex(card).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exercise::exercise;
    use crate::protocols::netbios_session::tests::letters;

    fn head(flags: u16, questions: u8, answers: u8, additional: u8) -> Vec<u8> {
        let flags = flags.to_be_bytes();
        [&[0x80, 1], &flags[..], &[0, questions, 0, answers, 0, 0, 0, additional]].concat()
    }

    fn check(bytes: &[u8], verb: &str, object: &str, details: &[(&'static str, &str)]) {
        exercise("netbios_names", bytes);
        let (service, message) = crate::datagram(Side::Client, 137, bytes).unwrap();
        assert_eq!((service, message.verb.as_deref()), ("netbios_names", Some(verb)));
        assert_eq!(message.object.as_deref(), Some(object));
        let got: Vec<_> = message.details.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(got, details);
        for length in 0..bytes.len() {
            exercise("netbios_names", &bytes[..length]);
        }
    }

    #[test]
    fn questions_and_announcements() {
        let question =
            [&head(0, 1, 0, 0)[..], b"\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0", &[0, 0x21, 0, 1]].concat();
        check(&question, "nbstat", "*<00>", &[]);
        let record = [0xc0, 0x0c, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6, 0xe0, 0, 192, 0, 2, 7];
        let here =
            [&head(0x2910, 1, 0, 1)[..], &letters("WORKGROUP", 0x1e), &[0, 0x20, 0, 1], &record].concat();
        check(&here, "registration", "WORKGROUP<1e>", &[("address", "192.0.2.7")]);
    }

    #[test]
    fn a_machine_gives_its_names() {
        let names =
            [b"DECOY          \0\x04\0".as_slice(), b"WORKGROUP      \0\x84\0", b"DECOY          \x20\x04\0"]
                .concat();
        let status = [&[3][..], &names, &[0, 0x0c, 0x29, 1, 2, 3], &[0; 40]].concat();
        let answer = [
            &head(0x8400, 0, 1, 0)[..],
            &letters("DECOY", 0),
            &[0, 0x21, 0, 1, 0, 0, 0, 0, 0, status.len() as u8],
            &status,
        ]
        .concat();
        let wanted = [
            ("name", "DECOY<00>"),
            ("name", "WORKGROUP<00>"),
            ("name", "DECOY<20>"),
            ("mac", "000c29010203"),
        ];
        check(&answer, "nbstat", "DECOY<00>", &wanted);
    }

    #[test]
    fn dns_is_not_netbios() {
        let dns = [&head(0x0100, 1, 0, 0)[..], b"\x07example\x03org\0", &[0, 1, 0, 1]].concat();
        assert_eq!(datagram(Side::Client, &dns), None);
    }
}
