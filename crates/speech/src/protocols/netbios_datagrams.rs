//! NetBIOS datagrams on UDP (RFC 1002, 4.4): announcements and mail to all machines of a workgroup.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | datagram | unique, group, broadcast | name it goes to, with its suffix | detail source; mailslot: name of the transaction inside; body |
//! | error | error | | status |
//!
//! All are requests: nobody answers them.

use super::netbios_session::name;
use super::smb::transaction_name;
use crate::binary::Fields;
use crate::hash::Hash;
use crate::message::{Kind, Message, Side};

/// Where it is.
pub const UDP_PORTS: &[u16] = &[138];

/// Reads one.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let sort = fields.byte()?;
    let verb = match sort {
        0x10 => "unique",
        0x11 => "group",
        0x12 => "broadcast",
        0x13 => "error",
        _ => return None,
    };
    // The upper half of the flags is zero.
    (fields.byte()? & 0xf0 == 0).then_some(())?;
    let (_id, _address, _port) = (fields.be16()?, fields.be32()?, fields.be16()?);
    let mut message = Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Request) };
    if sort == 0x13 {
        let code = fields.byte()?;
        ((0x82..=0x84).contains(&code) && fields.0.is_empty()).then_some(())?;
        message.status = Some(i32::from(code));
        return Some(message);
    }
    let (length, _offset) = (usize::from(fields.be16()?), fields.be16()?);
    (length == fields.0.len()).then_some(())?;
    let source = name(&mut fields)?;
    message.object = Some(name(&mut fields)?);
    message.detail("source", source.as_bytes());
    if let Some(mailslot) = transaction_name(fields.0) {
        message.detail("mailslot", mailslot.as_bytes());
    }
    message.body = (!fields.0.is_empty()).then(|| Hash::of(fields.0));
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exercise::exercise;
    use crate::protocols::netbios_session::tests::letters;

    #[test]
    fn an_announcement_in_a_mailslot() {
        let mut transaction = [b"\xffSMB\x25", &[0; 27][..], &[17], &[0; 34]].concat();
        let name = b"\\MAILSLOT\\BROWSE\0";
        transaction.extend([&[name.len() as u8, 0][..], name].concat());
        let content = [&letters("PC-1", 0x20)[..], &letters("WORKGROUP", 0x1d), &transaction].concat();
        let head = [0x11, 0x0a, 0x80, 1, 192, 0, 2, 7, 0, 138, 0, content.len() as u8, 0, 0];
        let bytes = [&head[..], &content].concat();
        let message = crate::datagram(Side::Client, 138, &bytes).unwrap().1;
        assert_eq!(
            (message.verb.as_deref(), message.object.as_deref()),
            (Some("group"), Some("WORKGROUP<1d>"))
        );
        assert_eq!(
            message.details,
            [("source", "PC-1<20>".into()), ("mailslot", "\\MAILSLOT\\BROWSE".into())]
        );
        assert_eq!(message.body, Some(Hash::of(&transaction)));
        for length in 0..bytes.len() {
            exercise("netbios_datagrams", &bytes[..length]);
            assert_eq!(datagram(Side::Client, &bytes[..length]), None, "{length}");
        }
    }
}
