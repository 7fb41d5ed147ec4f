//! LDAP (RFC 4511) on connections and datagrams: logins, searches, and the entries that exploits of log4j are answered with.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | login | bind | | user: the name; password where it is sent as it is and there is a name; details: version, mechanism |
//! | search | search | base | details: scope, filter, attributes |
//! | entry | entry | name | reply; details: class, and what Java loads (javaClassName, javaCodeBase, javaFactory) |
//! | other requests | add, modify, delete, rename, compare, unbind, extended | name, or object identifier | |
//! | answer | of what | text | status: result code; details: referral |

use serde::{Deserialize, Serialize};

use crate::ber::{element, expect, header, integer};
use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::hash::Hash;
use crate::limits::ELEMENTS;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is; 1389 is where call-backs of log4j's exploits end.
pub const PORTS: &[u16] = &[389, 1389, 3268];

/// Where it usually is without a connection (MS-ADTS, 6.3.3).
pub const UDP_PORTS: &[u16] = &[389];

/// Filters within filters are shown so deep.
const DEPTH: u32 = 8;

/// Tags of operations that ask.
const ASKS: [u8; 9] = [0x60, 0x42, 0x63, 0x66, 0x68, 0x4a, 0x6c, 0x6e, 0x77];

/// Tags of those that answer.
const ANSWERS: [u8; 10] = [0x61, 0x64, 0x65, 0x67, 0x69, 0x6b, 0x6d, 0x6f, 0x73, 0x78];

/// A client begins with a message that asks.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes, &ASKS)
}

/// A server begins with one that answers.
pub fn server(bytes: &[u8]) -> Match {
    begins(bytes, &ANSWERS)
}

/// Whether a message whose operation has one of these tags begins: sequence, number of one to four bytes, operation.
fn begins(bytes: &[u8], tags: &[u8]) -> Match {
    let Some(0x30) = bytes.first() else { return Match::No };
    let (head, whole) = match header(bytes) {
        Some(Some((_, head, length))) => (head, head + length),
        None if bytes.len() < 6 => return Match::Maybe,
        _ => return Match::No,
    };
    match bytes[head..] {
        [] | [2] => Match::Maybe,
        [2, count @ 1..=4, ..] => match bytes.get(head + 2 + usize::from(count)..) {
            None | Some([]) => Match::Maybe,
            Some([tag, ..]) if !tags.contains(tag) => Match::No,
            Some(operation) => match header(operation) {
                Some(Some((_, own, length))) => {
                    let end = head + 2 + usize::from(count) + own + length;
                    // Controls may follow, nothing else.
                    let controls = end + 2 <= whole && bytes.get(end).is_none_or(|tag| *tag == 0xa0);
                    if end == whole || controls { Match::Yes } else { Match::No }
                }
                Some(None) => Match::No,
                None => Match::Maybe,
            },
        },
        _ => Match::No,
    }
}

fn length(bytes: &[u8]) -> Length {
    match header(bytes) {
        Some(Some((0x30, head, length))) => Length::Of(head + length),
        None if bytes[0] == 0x30 => Length::Short,
        _ => Length::Wrong,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ldap {
    frames: Frames,
    /// The client asked for TLS.
    asked: bool,
    /// It was granted.
    veiled: bool,
}

impl Parser for Ldap {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while !self.veiled {
            let Some(frame) = self.frames.next(side, input, &mut at, length) else { return at };
            let Some(mut message) = message(frame.bytes) else { continue };
            message.cut |= frame.cut;
            self.asked |= message.object.as_deref() == Some(START_TLS);
            let answers = message.kind == Kind::Reply && message.verb.as_deref() == Some("extended");
            self.veiled |= self.asked && answers && message.status == Some(0);
            out.push(message);
        }
        input.len()
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// A message without a connection: one, or an entry and what says that there are no more, that fill the datagram.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut rest = Fields(bytes);
    while !rest.0.is_empty() {
        let begin = rest.0;
        expect(&mut rest, 0x30)?;
        if client(begin) != Match::Yes && server(begin) != Match::Yes {
            return None;
        }
    }
    message(bytes)
}

/// Reads one message, as far as it is there.
fn message(bytes: &[u8]) -> Option<Message> {
    let (_, head, _) = header(bytes)??;
    let mut fields = Fields(bytes.get(head..)?);
    integer(&mut fields, 2)?;
    let (tag, head, length) = header(fields.0)??;
    let inside = fields.0.get(head..)?;
    let fields = Fields(&inside[..inside.len().min(length)]);
    let mut message = Message::of(if ASKS.contains(&tag) { Kind::Request } else { Kind::Reply });
    let (verb, read): (_, fn(Fields, &mut Message) -> Option<()>) = match tag {
        0x60 => ("bind", bind),
        0x42 => ("unbind", |_, _| None),
        0x63 => ("search", search),
        0x64 => ("entry", entry),
        0x66 => ("modify", name),
        0x68 => ("add", name),
        0x6c => ("rename", name),
        0x6e => ("compare", name),
        0x4a => ("delete", bare_name),
        0x77 => ("extended", extended),
        0x73 => ("reference", reference),
        0x61 => ("bind", result),
        0x65 => ("search", result),
        0x67 => ("modify", result),
        0x69 => ("add", result),
        0x6b => ("delete", result),
        0x6d => ("rename", result),
        0x6f => ("compare", result),
        0x78 => ("extended", result),
        _ => return None,
    };
    message.verb = Some(verb.into());
    let _ = read(fields, &mut message);
    Some(message)
}

fn bind(mut fields: Fields, message: &mut Message) -> Option<()> {
    message.detail("version", integer(&mut fields, 2)?.to_string().as_bytes());
    let name = expect(&mut fields, 4)?.0;
    message.user = (!name.is_empty()).then(|| message.keep(name));
    let credentials = element(&mut fields)?;
    match credentials.tag {
        0x80 if !name.is_empty() || !credentials.content.0.is_empty() => {
            message.password = Some(message.keep(credentials.content.0));
        }
        0xa3 => message.detail("mechanism", expect(&mut { credentials.content }, 4)?.0),
        _ => {}
    }
    Some(())
}

fn search(mut fields: Fields, message: &mut Message) -> Option<()> {
    let base = expect(&mut fields, 4)?.0;
    message.object = Some(message.keep(base));
    let scope: &[u8] = match integer(&mut fields, 10)? {
        0 => b"base",
        1 => b"one",
        2 => b"sub",
        _ => b"",
    };
    message.detail("scope", scope);
    integer(&mut fields, 10)?;
    integer(&mut fields, 2)?;
    integer(&mut fields, 2)?;
    expect(&mut fields, 1)?;
    let mut text = Vec::new();
    filter(&mut fields, DEPTH, &mut text);
    message.detail("filter", &text);
    let mut wanted = expect(&mut fields, 0x30)?;
    let names = std::iter::from_fn(|| expect(&mut wanted, 4)).take(ELEMENTS).map(|f| f.0);
    message.detail("attributes", &names.collect::<Vec<_>>().join(&b' '));
    Some(())
}

/// A filter as text (RFC 4515), without its escapes.
fn filter(fields: &mut Fields, depth: u32, text: &mut Vec<u8>) -> Option<()> {
    let found = element(fields)?;
    let mut inside = found.content;
    if depth == 0 || text.len() > crate::limits::TEXT {
        text.extend_from_slice(b"(...)");
        return Some(());
    }
    text.push(b'(');
    match found.tag {
        0xa0..=0xa2 => {
            text.push([b'&', b'|', b'!'][usize::from(found.tag - 0xa0)]);
            while filter(&mut inside, depth - 1, text).is_some() && text.len() <= crate::limits::TEXT {}
        }
        0xa3 | 0xa5 | 0xa6 | 0xa8 => {
            let sign: &[u8] = match found.tag {
                0xa5 => b">=",
                0xa6 => b"<=",
                0xa8 => b"~=",
                _ => b"=",
            };
            let (name, value) = (expect(&mut inside, 4), expect(&mut inside, 4));
            text.extend([name.map_or(&b""[..], |f| f.0), sign, value.map_or(&b""[..], |f| f.0)].concat());
        }
        0xa4 => {
            text.extend(expect(&mut inside, 4).map_or(&b""[..], |f| f.0));
            text.push(b'=');
            let mut parts = expect(&mut inside, 0x30).unwrap_or(Fields(b""));
            while let Some(part) = element(&mut parts) {
                // Beginning, middles, end.
                if part.tag != 0x80 && text.last() != Some(&b'*') {
                    text.push(b'*');
                }
                text.extend(part.content.0);
                if part.tag != 0x82 {
                    text.push(b'*');
                }
            }
        }
        0x87 => {
            text.extend(inside.0);
            text.extend(b"=*");
        }
        _ => text.extend(b"..."),
    }
    text.push(b')');
    Some(())
}

fn entry(mut fields: Fields, message: &mut Message) -> Option<()> {
    name(fields, message);
    expect(&mut fields, 4)?;
    // As far as it is there: an entry may be longer than what is held.
    let (_, head, _) = header(fields.0)??;
    let mut attributes = Fields(fields.0.get(head..)?);
    for _ in 0..ELEMENTS {
        let mut attribute = expect(&mut attributes, 0x30)?;
        let kind = expect(&mut attribute, 4)?.0;
        let mut values = expect(&mut attribute, 0x31)?;
        let value = expect(&mut values, 4).map_or(&b""[..], |f| f.0);
        match kind.to_ascii_lowercase().as_slice() {
            b"objectclass" => message.detail("class", value),
            b"javaclassname" => message.detail("javaClassName", value),
            b"javacodebase" => message.detail("javaCodeBase", value),
            b"javafactory" => message.detail("javaFactory", value),
            b"javaserializeddata" => message.body = Some(Hash::of(value)),
            _ => {}
        }
    }
    Some(())
}

fn name(mut fields: Fields, message: &mut Message) -> Option<()> {
    let name = expect(&mut fields, 4)?.0;
    message.object = Some(message.keep(name));
    Some(())
}

fn bare_name(fields: Fields, message: &mut Message) -> Option<()> {
    message.object = Some(message.keep(fields.0));
    Some(())
}

fn reference(mut fields: Fields, message: &mut Message) -> Option<()> {
    message.detail("referral", expect(&mut fields, 4)?.0);
    Some(())
}

fn extended(mut fields: Fields, message: &mut Message) -> Option<()> {
    let name = expect(&mut fields, 0x80)?.0;
    message.object = Some(message.keep(name));
    Some(())
}

fn result(mut fields: Fields, message: &mut Message) -> Option<()> {
    message.status = Some(i32::try_from(integer(&mut fields, 10)?).unwrap_or(-1));
    expect(&mut fields, 4)?;
    let text = expect(&mut fields, 4)?.0;
    message.object = Some(message.keep(text));
    let mut referral = expect(&mut fields, 0xa3)?;
    message.detail("referral", expect(&mut referral, 4)?.0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn tlv(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = content.len();
        let head = if length < 128 { vec![tag, length as u8] } else { vec![tag, 0x82, (length >> 8) as u8, length as u8] };
        [head, content].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        tlv(4, &[text.as_bytes()])
    }

    fn message(operation: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&[2, 1, 7], operation])
    }

    fn search(base: &str, filter: &[u8]) -> Vec<u8> {
        let bounds = [10, 1, 0, 10, 1, 3, 2, 1, 0, 2, 1, 0, 1, 1, 0];
        message(&tlv(0x63, &[&text(base), &bounds, filter, &tlv(0x30, &[&text("netlogon")])]))
    }

    #[test]
    fn a_login_and_its_refusal() {
        // RFC 4513's simple bind; result 49 is invalidCredentials.
        let bind = message(&tlv(0x60, &[&[2, 1, 3], &text("cn=admin,dc=example"), &tlv(0x80, &[b"secret"])]));
        let refusal = message(&tlv(0x61, &[&[10, 1, 49], &text(""), &text("80090308: LdapErr")]));
        // With a control, as Java sends it.
        let unbind = message(&[&[0x42, 0][..], &tlv(0xa0, &[&tlv(0x30, &[&text("2.16.840.1.113730.3.4.2")])])].concat());
        let messages = talk("ldap", &[(Side::Client, &bind), (Side::Server, &refusal), (Side::Client, &unbind)]);
        let login = &messages[0].1;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("cn=admin,dc=example"), Some("secret")));
        assert_eq!((messages[1].1.status, messages[1].1.object.as_deref()), (Some(49), Some("80090308: LdapErr")));
        assert_eq!((messages[2].1.kind, messages[2].1.verb.as_deref()), (Kind::Request, Some("unbind")));
    }

    #[test]
    fn a_call_back_of_log4j() {
        let bind = message(&tlv(0x60, &[&[2, 1, 3], &text(""), &[0x80, 0]]));
        let attribute = |name: &str, value: &str| tlv(0x30, &[&text(name), &tlv(0x31, &[&text(value)])]);
        let attributes = tlv(
            0x30,
            &[
                &attribute("javaClassName", "foo"),
                &attribute("javaCodeBase", "http://192.0.2.7:8000/"),
                &attribute("objectClass", "javaNamingReference"),
                &attribute("javaFactory", "Exploit"),
                &attribute("padding", &"x".repeat(200)),
            ],
        );
        let messages = talk(
            "ldap",
            &[
                (Side::Client, &bind),
                (Side::Server, &message(&tlv(0x61, &[&[10, 1, 0], &text(""), &text("")]))),
                (Side::Client, &search("a", &tlv(0x87, &[b"objectClass"]))),
                (Side::Server, &message(&tlv(0x64, &[&text("a"), &attributes]))),
            ],
        );
        assert_eq!((messages[0].1.user.as_deref(), messages[0].1.password.as_deref()), (None, None));
        let asked = by(Side::Client, &messages)[1];
        assert_eq!((asked.verb.as_deref(), asked.object.as_deref()), (Some("search"), Some("a")));
        assert_eq!(asked.details[1], ("filter", "(objectClass=*)".to_owned()));
        let entry = by(Side::Server, &messages)[1];
        assert_eq!(entry.details[1], ("javaCodeBase", "http://192.0.2.7:8000/".to_owned()));
        assert_eq!(entry.details[3], ("javaFactory", "Exploit".to_owned()));
    }

    #[test]
    fn filters_are_shown_and_end() {
        let equal = tlv(0xa3, &[&text("cn"), &text("a")]);
        let parts = tlv(0xa4, &[&text("cn"), &tlv(0x30, &[&tlv(0x80, &[b"a"]), &tlv(0x81, &[b"b"]), &tlv(0x82, &[b"c"])])]);
        let mut shown = Vec::new();
        filter(&mut Fields(&tlv(0xa0, &[&equal, &tlv(0xa2, &[&parts])])), DEPTH, &mut shown);
        assert_eq!(shown, b"(&(cn=a)(!(cn=a*b*c)))");
        let deep = (0..5000).fold(equal, |inside, _| tlv(0xa2, &[&inside]));
        shown.clear();
        filter(&mut Fields(&deep), DEPTH, &mut shown);
        assert_eq!(shown, b"(!(!(!(!(!(!(!(!(...)))))))))");
    }

    #[test]
    fn a_datagram_is_whole() {
        let asked = search("", &tlv(0x87, &[b"objectclass"]));
        let message = datagram(Side::Client, &asked).unwrap();
        assert_eq!((message.verb.as_deref(), message.object.as_deref()), (Some("search"), Some("")));
        assert_eq!(message.details[2], ("attributes", "netlogon".to_owned()));
        assert!(datagram(Side::Client, &asked[..asked.len() - 1]).is_none());
        assert!(datagram(Side::Client, &[&asked[..], &[0]].concat()).is_none());
        // SNMP begins alike.
        assert_eq!(client(&[0x30, 0x26, 2, 1, 1, 4, 6]), Match::No);
    }
}
