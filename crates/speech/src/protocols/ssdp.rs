//! SSDP (UPnP Device Architecture 2.0, 1.2 and 1.3): searches, announcements and answers; datagrams in the manner of HTTP.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | request | M-SEARCH, NOTIFY | what is searched for (ST) or told of (NT) | software: User-Agent, Server |
//! | reply | | what was searched for (ST) | status; software: Server |
//!
//! Details: the headers below.

use crate::headers::{Head, status};
use crate::lines::word;
use crate::message::{Kind, Message, Side};

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[1900];

const FIELDS: [&str; 7] = ["host", "man", "mx", "nts", "usn", "location", "cache-control"];

/// A search or an announcement has a version of HTTP at the end of its line; an answer has an ST.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let head = Head::of(bytes);
    let (verb, rest) = word(head.line);
    let target = head.get("st").or(head.get("nt"));
    let mut message = match verb {
        b"M-SEARCH" | b"NOTIFY" if rest.trim_ascii().ends_with(b"HTTP/1.1") => {
            Message::request(verb, target.unwrap_or_default())
        }
        b"HTTP/1.1" if head.get("st").is_some() => {
            let mut message = Message::of(Kind::Reply);
            status(head.line, &mut message);
            message.object = target.map(|t| message.keep(t));
            message
        }
        _ => return None,
    };
    let software = head.get("user-agent").or(head.get("server"));
    message.software = software.map(|s| message.keep(s));
    head.details(&FIELDS, &mut message);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_and_its_answer() {
        let search = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";
        let message = datagram(Side::Client, search).unwrap();
        assert_eq!(
            (message.verb.as_deref(), message.object.as_deref()),
            (Some("M-SEARCH"), Some("ssdp:all"))
        );
        assert_eq!(message.details[1], ("man", "\"ssdp:discover\"".into()));
        let answer = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nSERVER: Linux/2.6 UPnP/1.0 IGD\r\n\r\n";
        let message = datagram(Side::Server, answer).unwrap();
        assert_eq!((message.status, message.object.as_deref()), (Some(200), Some("upnp:rootdevice")));
        assert_eq!(datagram(Side::Client, b"GET / HTTP/1.1\r\n\r\n"), None);
        crate::exercise::exercise("ssdp", search);
        (0..answer.len()).for_each(|i| crate::exercise::exercise("ssdp", &answer[..i]));
    }
}
