//! Heads in the manner of mail: a start line, then `Name: value` lines, then an empty one; and what the lines say about who
//! logs in. HTTP, RTSP, SIP and SSDP have them.

use crate::base64;
use crate::limits::ELEMENTS;
use crate::lines::{bare, end_of_line, word};
use crate::message::Message;

/// A head, or what there is of one.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The start line, without its end.
    pub line: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// The head that stands at the front of `bytes`.
    pub fn of(bytes: &'a [u8]) -> Head<'a> {
        let (line, rest) = first_line(bytes);
        Head { line: bare(line), rest }
    }

    /// Names and values in their order, at most [`ELEMENTS`] of them; a folded value is one, with the fold in it.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let mut end = first_line(rest).0.len();
            if bare(&rest[..end]).is_empty() {
                return None;
            }
            while let Some([b'\n', b' ' | b'\t', ..]) = rest.get(end..) {
                end += 1 + first_line(&rest[end + 1..]).0.len();
            }
            let field = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            Some(match field.iter().position(|b| *b == b':') {
                Some(at) => (field[..at].trim_ascii(), bare(&field[at + 1..]).trim_ascii()),
                None => (bare(field), &[][..]),
            })
        })
        .take(ELEMENTS)
    }

    /// The first value of that name, whatever its case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Adds the values of those names (in lower case) to a message's details, in the order in which they stand.
    pub fn details(&self, names: &[&'static str], message: &mut Message) {
        for (name, value) in self.fields() {
            if let Some(name) = names.iter().find(|n| name.eq_ignore_ascii_case(n.as_bytes())) {
                message.detail(name, value);
            }
        }
    }

    /// `Content-Length`: a number too large for us counts as without end, one that is no number as absent.
    pub fn content_length(&self) -> Option<u64> {
        let value = self.get("content-length")?;
        // `5, 5` is what a proxy makes of two of them (RFC 9110, 8.6).
        let digits = value.split(|b| *b == b',').next()?.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
    }

    /// Names of the fields in their order, with commas between: clients are told apart by it.
    pub fn order(&self) -> Vec<u8> {
        self.fields().map(|(name, _)| name).collect::<Vec<_>>().join(&b',')
    }
}

/// Bytes to the first LF, and those behind it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match end_of_line(bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// How long the head at the front of `bytes` is, its empty line included; `None` where it does not end.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = |at: &usize| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]);
    let at = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').find(ends)?;
    Some(at + if bytes[at + 1] == b'\n' { 2 } else { 3 })
}

/// Status and reason of a line such as `HTTP/1.1 200 OK`.
pub fn status(line: &[u8], message: &mut Message) {
    let (version, rest) = word(line);
    let (code, reason) = word(rest.trim_ascii_start());
    message.status = std::str::from_utf8(code).ok().and_then(|c| c.parse().ok());
    message.object = Some(message.keep(reason));
    message.detail("version", version);
}

/// Who logs in by `Authorization: value` (RFC 7617, RFC 7616): the scheme becomes a detail of that name. A Digest tells the user and
/// proves the password without telling it.
pub fn credentials(name: &'static str, value: &[u8], message: &mut Message) {
    let (scheme, rest) = word(value);
    message.detail(name, scheme);
    if scheme.eq_ignore_ascii_case(b"basic") {
        let plain = base64::decode(rest).unwrap_or_default();
        let at = plain.iter().position(|b| *b == b':');
        let (user, password) = plain.split_at(at.unwrap_or(plain.len()));
        message.user = (!plain.is_empty()).then(|| message.keep(user));
        message.password = at.map(|_| message.keep(&password[1..]));
    } else if scheme.eq_ignore_ascii_case(b"digest") {
        message.user = parameter(rest, "username").map(|user| message.keep(user));
        for name in ["realm", "response"] {
            message.detail(name, parameter(rest, name).unwrap_or_default());
        }
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        message.detail("token", rest);
    }
}

/// A parameter in `name="value", name=value`.
pub fn parameter<'a>(mut list: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    loop {
        let equals = list.iter().position(|b| *b == b'=')?;
        let name = list[..equals].trim_ascii();
        let name = name.strip_prefix(b",").unwrap_or(name).trim_ascii();
        let after = list[equals + 1..].trim_ascii_start();
        let (value, rest) = match after.strip_prefix(b"\"") {
            Some(quoted) => quoted.split_at(quoted.iter().position(|b| *b == b'"').unwrap_or(quoted.len())),
            None => after.split_at(after.iter().position(|b| *b == b',').unwrap_or(after.len())),
        };
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        list = rest.get(1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_folded_or_bare() {
        let head = Head::of(b"GET / HTTP/1.0\r\nA: 1\nSubject : I know\r\n you\r\nbare\r\n\r\nno: head");
        let fields: Vec<_> = head.fields().collect();
        let wanted: [(&[u8], &[u8]); 3] = [(b"A", b"1"), (b"Subject", b"I know\r\n you"), (b"bare", b"")];
        assert_eq!((head.line, fields.as_slice()), (&b"GET / HTTP/1.0"[..], &wanted[..]));
        assert_eq!(head.order(), b"A,Subject,bare");
    }

    #[test]
    fn a_head_ends_at_an_empty_line() {
        assert_eq!(end_of_head(b"a\r\nb\r\n\r\nc"), Some(8));
        assert_eq!(end_of_head(b"a\nb\n\nc"), Some(5));
        assert_eq!(end_of_head(b"a\r\nb\r\n\r"), None);
    }

    #[test]
    fn lengths_are_numbers() {
        let length = |v: &str| Head::of(format!("x\nContent-Length: {v}\n").as_bytes()).content_length();
        assert_eq!(["5, 5", "-1", "+1", ""].map(length), [Some(5), None, None, None]);
        assert_eq!(length("99999999999999999999999"), Some(u64::MAX));
    }

    #[test]
    fn users_of_basic_and_digest() {
        // RFC 7617, 2, and RFC 7616, 3.9.1.
        let mut message = Message::default();
        credentials("authorization", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", &mut message);
        assert_eq!(
            (message.user.as_deref(), message.password.as_deref()),
            (Some("Aladdin"), Some("open sesame"))
        );
        let mut message = Message::default();
        credentials(
            "authorization",
            br#"Digest username="Mufasa", realm="http-auth@example.org", qop=auth"#,
            &mut message,
        );
        assert_eq!((message.user.as_deref(), message.password), (Some("Mufasa"), None));
        assert_eq!(message.details[1], ("realm", "http-auth@example.org".into()));
    }
}
