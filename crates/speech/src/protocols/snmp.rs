//! SNMP 1, 2c and 3 (RFC 1157, 3416, 3412, 3414): what is asked, and with which community or user name.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | any | GetRequest, GetBulkRequest … | first object identifier | details: version, community, variables (how many), repetitions (of a bulk request), value (first one of an answer or a set) |
//! | answer | GetResponse | the same | status: error; software: where the system's description is asked for |
//! | version 3 | the same, or encrypted | | user; details: engine (hexadecimal) |

use crate::ber::{Element, element, expect, identifier, integer};
use crate::binary::{Fields, hex};
use crate::lines::is_text;
use crate::message::{Kind, Message, Side};

/// Where it usually is; 162 is for traps.
pub const UDP_PORTS: &[u16] = &[161, 162];

/// Description of the system (RFC 3418).
const DESCRIPTION: &str = "1.3.6.1.2.1.1.1.0";

/// A datagram.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut whole = Fields(bytes);
    let mut fields = expect(&mut whole, 0x30)?;
    let version = integer(&mut fields, 2)?;
    let mut message = Message::default();
    let found = match version {
        0 | 1 => with_community(version, &mut fields, &mut message),
        3 => with_user(&mut fields, &mut message),
        _ => None,
    };
    found.filter(|()| whole.0.is_empty() && fields.0.is_empty()).map(|()| message)
}

fn with_community(version: i64, fields: &mut Fields, message: &mut Message) -> Option<()> {
    let community = expect(fields, 4)?.0;
    message.detail("version", if version == 0 { b"1" } else { b"2c" });
    message.detail("community", community);
    pdu(element(fields)?, message)
}

fn with_user(fields: &mut Fields, message: &mut Message) -> Option<()> {
    let mut header = expect(fields, 0x30)?;
    integer(&mut header, 2)?;
    integer(&mut header, 2)?;
    let encrypted = expect(&mut header, 4)?.0.first()? & 2 != 0;
    // The only model that there is has number 3.
    if integer(&mut header, 2)? != 3 {
        return None;
    }
    let mut inside = expect(fields, 4)?;
    let mut security = expect(&mut inside, 0x30)?;
    let engine = expect(&mut security, 4)?.0;
    integer(&mut security, 2)?;
    integer(&mut security, 2)?;
    let user = expect(&mut security, 4)?.0;
    message.detail("version", b"3");
    message.detail("engine", hex(&engine[..engine.len().min(64)]).as_bytes());
    message.user = Some(message.keep(user));
    if encrypted {
        message.verb = Some("encrypted".into());
        return expect(fields, 4).map(drop);
    }
    let mut scoped = expect(fields, 0x30)?;
    expect(&mut scoped, 4)?;
    expect(&mut scoped, 4)?;
    pdu(element(&mut scoped)?, message)
}

fn pdu(pdu: Element, message: &mut Message) -> Option<()> {
    let (kind, verb) = match pdu.tag {
        0xa0 => (Kind::Request, "GetRequest"),
        0xa1 => (Kind::Request, "GetNextRequest"),
        0xa2 => (Kind::Reply, "GetResponse"),
        0xa3 => (Kind::Request, "SetRequest"),
        0xa4 => (Kind::Request, "Trap"),
        0xa5 => (Kind::Request, "GetBulkRequest"),
        0xa6 => (Kind::Request, "InformRequest"),
        0xa7 => (Kind::Request, "SNMPv2-Trap"),
        0xa8 => (Kind::Reply, "Report"),
        _ => return None,
    };
    (message.kind, message.verb) = (kind, Some(verb.into()));
    let mut fields = pdu.content;
    if pdu.tag == 0xa4 {
        // A trap of version 1: enterprise, address, two numbers, time.
        message.object = identifier(expect(&mut fields, 6)?.0);
        expect(&mut fields, 0x40)?;
        integer(&mut fields, 2)?;
        integer(&mut fields, 2)?;
        expect(&mut fields, 0x43)?;
        return expect(&mut fields, 0x30).map(drop);
    }
    integer(&mut fields, 2)?;
    let (status, index) = (integer(&mut fields, 2)?, integer(&mut fields, 2)?);
    if kind == Kind::Reply {
        message.status = Some(i32::try_from(status).unwrap_or(-1));
    }
    let mut list = expect(&mut fields, 0x30)?;
    let mut variables = 0u32;
    while !list.0.is_empty() {
        let mut variable = expect(&mut list, 0x30)?;
        let name = expect(&mut variable, 6)?.0;
        let value = element(&mut variable)?;
        if variables == 0 {
            message.object = identifier(name);
            first_value(value, kind, message);
        }
        variables += 1;
    }
    message.detail("variables", variables.to_string().as_bytes());
    if pdu.tag == 0xa5 {
        message.detail("repetitions", index.to_string().as_bytes());
    }
    Some(())
}

fn first_value(value: Element, kind: Kind, message: &mut Message) {
    let content = value.content.0;
    let text = match value.tag {
        4 if is_text(content) => message.keep(content),
        4 => hex(&content[..content.len().min(64)]),
        6 => identifier(content).unwrap_or_default(),
        2 | 0x41..=0x43 => {
            let number = element_integer(content);
            number.map(|n| n.to_string()).unwrap_or_default()
        }
        _ => return,
    };
    if kind == Kind::Reply && message.object.as_deref() == Some(DESCRIPTION) {
        message.software = Some(text);
    } else {
        message.detail("value", text.as_bytes());
    }
}

fn element_integer(content: &[u8]) -> Option<i64> {
    let whole = [&[2, u8::try_from(content.len()).ok().filter(|n| *n < 128)?], content].concat();
    integer(&mut Fields(&whole), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GetBulkRequest` of 1.3.6.1.2.1 with community `public`, as amplifiers are asked.
    const BULK: &[u8] = b"\x30\x25\x02\x01\x01\x04\x06public\xa5\x18\x02\x02\x5a\x01\x02\x01\0\x02\x02\x08\xca\x30\x0b\x30\x09\x06\x05\x2b\x06\x01\x02\x01\x05\0";

    /// `GetRequest` and `GetResponse` of the system's description.
    const GET: &[u8] = b"\x30\x26\x02\x01\0\x04\x06public\xa0\x19\x02\x01\x26\x02\x01\0\x02\x01\0\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0";
    const RESPONSE: &[u8] = b"\x30\x2b\x02\x01\0\x04\x06public\xa2\x1e\x02\x01\x26\x02\x01\0\x02\x01\0\x30\x13\x30\x11\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x04\x05Linux";

    #[test]
    fn communities_and_what_they_ask() {
        let bulk = datagram(Side::Client, BULK).unwrap();
        assert_eq!(
            (bulk.verb.as_deref(), bulk.object.as_deref()),
            (Some("GetBulkRequest"), Some("1.3.6.1.2.1"))
        );
        let details =
            [("version", "2c"), ("community", "public"), ("variables", "1"), ("repetitions", "2250")];
        assert_eq!(bulk.details, details.map(|(n, v)| (n, v.to_owned())));
        assert_eq!(datagram(Side::Client, GET).unwrap().object.as_deref(), Some(DESCRIPTION));
        let answer = datagram(Side::Server, RESPONSE).unwrap();
        assert_eq!(
            (answer.kind, answer.status, answer.software.as_deref()),
            (Kind::Reply, Some(0), Some("Linux"))
        );
    }

    #[test]
    fn version_3_names_its_user() {
        let header = b"\x30\x0e\x02\x01\x07\x02\x03\0\xff\xe3\x04\x01\x04\x02\x01\x03";
        let security = b"\x04\x12\x30\x10\x04\0\x02\x01\0\x02\x01\0\x04\x02me\x04\0\x04\0";
        let scoped = b"\x30\x12\x04\0\x04\0\xa0\x0c\x02\x02\x37\xf0\x02\x01\0\x02\x01\0\x30\0";
        let content = [b"\x02\x01\x03", header.as_slice(), security, scoped].concat();
        let bytes = [&[0x30, content.len() as u8], content.as_slice()].concat();
        let message = datagram(Side::Client, &bytes).unwrap();
        assert_eq!((message.verb.as_deref(), message.user.as_deref()), (Some("GetRequest"), Some("me")));
    }

    #[test]
    fn a_datagram_is_whole() {
        for cut in 0..GET.len() {
            assert!(datagram(Side::Client, &GET[..cut]).is_none(), "{cut}");
        }
        assert!(datagram(Side::Client, &[GET, &[0]].concat()).is_none());
    }
}
