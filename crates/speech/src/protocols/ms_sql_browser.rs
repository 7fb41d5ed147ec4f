//! Microsoft's SQL Server Resolution Protocol (MC-SQLR): which instances are there, and on which port.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | question | CLNT_BCAST_EX, CLNT_UCAST_EX, CLNT_UCAST_INST, CLNT_UCAST_DAC | instance | |
//! | answer | SVR_RESP | server and instance | software: the version; details: tcp (port), pipe |
//!
//! An instance's name has at most 32 bytes (2.2.3). The 376 bytes of Slammer begin as a question for a longer one and overflow
//! the server's buffer: they are no question, and are left to be kept as an unknown payload, by whose hash the worm is known.
//!
//! Two of the questions are a single byte: they are only believed on the usual port.

use crate::binary::Fields;
use crate::message::{Kind, Message, Side};

/// Where it is.
pub const UDP_PORTS: &[u16] = &[1434];

/// Bytes of an instance's name.
const NAME: usize = 32;

/// A datagram.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    match bytes {
        [2] => Some(Message::request(b"CLNT_BCAST_EX", b"")),
        [3] => Some(Message::request(b"CLNT_UCAST_EX", b"")),
        [4, name @ ..] => instance(b"CLNT_UCAST_INST", name),
        [15, 1, name @ ..] => instance(b"CLNT_UCAST_DAC", name),
        [5, rest @ ..] => answer(Fields(rest)),
        _ => None,
    }
}

fn instance(verb: &[u8], name: &[u8]) -> Option<Message> {
    // Some clients leave the NUL out.
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    let fits = (1..=NAME).contains(&name.len()) && name.iter().all(|b| matches!(b, b'!'..=b'~'));
    fits.then(|| Message::request(verb, name))
}

/// `ServerName;…;InstanceName;…;IsClustered;…;Version;…;tcp;…;;`, for each instance; the first is told.
fn answer(mut fields: Fields) -> Option<Message> {
    let length = usize::from(fields.le16()?);
    let text = fields.take(length).filter(|text| text.starts_with(b"ServerName;"))?;
    let mut words = text.split(|b| *b == b';');
    let mut message = Message::of(Kind::Reply);
    message.verb = Some("SVR_RESP".into());
    let (mut server, mut instance) = (&b""[..], &b""[..]);
    while let (Some(name @ [_, ..]), Some(value)) = (words.next(), words.next()) {
        match name {
            b"ServerName" => server = value,
            b"InstanceName" => instance = value,
            b"Version" => message.software = Some(message.keep(value)),
            b"tcp" => message.detail("tcp", value),
            b"np" => message.detail("pipe", value),
            _ => {}
        }
    }
    message.object = Some(message.keep(&[server, instance].join(&b'\\')));
    fields.0.is_empty().then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_an_answer() {
        assert_eq!(datagram(Side::Client, &[2]).unwrap().verb.as_deref(), Some("CLNT_BCAST_EX"));
        assert_eq!(datagram(Side::Client, b"\x04YUKONSTD\0").unwrap().object.as_deref(), Some("YUKONSTD"));
        // MC-SQLR, 4.2, first instance.
        let text =
            b"ServerName;ILSUNG1;InstanceName;YUKONSTD;IsClustered;No;Version;9.00.1399.06;tcp;57137;;";
        let answer = [&[5, text.len() as u8, 0], &text[..]].concat();
        let message = datagram(Side::Server, &answer).unwrap();
        assert_eq!(
            (message.object.as_deref(), message.software.as_deref()),
            (Some("ILSUNG1\\YUKONSTD"), Some("9.00.1399.06"))
        );
        assert_eq!(message.details, [("tcp", "57137".to_owned())]);
        assert!(datagram(Side::Server, &answer[..answer.len() - 1]).is_none());
    }

    #[test]
    fn an_overflow_is_no_question() {
        let slammer = [&[4][..], &[1; 96]].concat();
        assert!(datagram(Side::Client, &slammer).is_none());
        assert!(datagram(Side::Client, &[&[4][..], &[b'A'; 33]].concat()).is_none());
        // Elsewhere a single byte says nothing.
        assert_eq!(crate::datagram(Side::Client, 1434, &[2]).map(|(name, _)| name), Some("ms_sql_browser"));
        assert_eq!(crate::datagram(Side::Client, 1433, &[2]), None);
    }
}
