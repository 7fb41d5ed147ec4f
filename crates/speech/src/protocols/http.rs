//! HTTP/1 (RFC 9110, RFC 9112), HTTP/0.9, and what attackers take for it: requests, responses, their bodies.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | request | method as sent | target as sent | software: User-Agent; user, password: Basic credentials; body |
//! | reply | | reason | status; software: Server; body |
//! | transfer | CONNECT, PRI, Upgrade | | what went through a tunnel, each direction as one body |
//!
//! Details: `version`, the headers named below, `authorization` and `proxy-authorization` as the scheme alone, `headers` (their
//! names in order), and `malformed` with what a strict reader (httparse) finds wrong. The request line itself is
//! always read leniently: method to the first space, target to the last one that a version follows. Bodies are
//! hashed as they came: without their chunks, never decompressed.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::headed::{Framing, Headed, Manner};
use crate::headers::{Head, credentials, end_of_head, status};
use crate::limits::ELEMENTS;
use crate::lines::{bare, end_of_line, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[80, 8080, 8000, 81, 8888, 3128, 8081, 7547, 5985];

/// Methods that begin a request also without a version: HTTP's own (RFC 9110, 5789), those of WebDAV (RFC 4918, 3253, 5323) and
/// the one of SSTP.
const METHODS: [&[u8]; 34] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"TRACK",
    b"CONNECT",
    b"PATCH",
    b"DEBUG",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"REPORT",
    b"CHECKOUT",
    b"CHECKIN",
    b"UNCHECKOUT",
    b"MKACTIVITY",
    b"MKWORKSPACE",
    b"VERSION-CONTROL",
    b"MERGE",
    b"ACL",
    b"BASELINE-CONTROL",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"PURGE",
    b"SSTP_DUPLEX_POST",
];

/// Of requests; what exploits, proxies and tools are told by.
const OF_REQUESTS: [&str; 22] = [
    "host", "referer", "content-type", "cookie", "x-forwarded-for", "x-real-ip", "forwarded", "via", "origin", "accept",
    "accept-language", "accept-encoding", "connection", "upgrade", "expect", "range", "transfer-encoding", "soapaction",
    "destination", "translate", "if", "x-requested-with",
];

/// Of responses.
const OF_RESPONSES: [&str; 8] = [
    "content-type", "location", "www-authenticate", "set-cookie", "content-encoding", "transfer-encoding", "x-powered-by",
    "via",
];

/// A client begins with a request line.
pub fn client(bytes: &[u8]) -> Match {
    let bytes = bytes.trim_ascii_start();
    if bytes.is_empty() {
        return Match::No;
    }
    let (line, whole) = match end_of_line(bytes) {
        Some(at) => (bare(&bytes[..at]), true),
        None => (bytes, false),
    };
    let (method, rest) = word(line);
    let separated = method.len() < line.len();
    let known = METHODS.iter().any(|m| match separated || whole {
        true => m.eq_ignore_ascii_case(method),
        false => m.len() >= method.len() && m[..method.len()].eq_ignore_ascii_case(method),
    });
    let capital = !method.is_empty()
        && method.len() <= 32
        && method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-'));
    // OPTIONS begins RTSP and SIP as well, so that its version must tell.
    if known && separated && is_target(rest) && !method.eq_ignore_ascii_case(b"OPTIONS") {
        return Match::Yes;
    }
    if !(known || capital) {
        return Match::No;
    }
    let other = [&b" RTSP/"[..], b" SIP/"].iter().any(|v| line.windows(v.len()).any(|w| w == *v));
    match () {
        () if other => Match::No,
        () if !separated => if whole { Match::No } else { Match::Maybe },
        () if known && whole && is_target(rest) => Match::Yes,
        () if !target_and_version(rest).1.is_empty() => Match::Yes,
        // `GET key` may be what somebody else asks for.
        () if known && capital || !whole => Match::Maybe,
        () => Match::No,
    }
}

/// A server begins with a status line.
pub fn server(bytes: &[u8]) -> Match {
    Match::prefix(bytes, b"HTTP/")
}

/// Whether nothing but a target of HTTP begins so.
fn is_target(target: &[u8]) -> bool {
    target.starts_with(b"/") || target.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http"))
}

/// The target, with the spaces in it, and the version behind it, which may be missing.
fn target_and_version(rest: &[u8]) -> (&[u8], &[u8]) {
    let begins = |at: &usize| rest[*at] == b' ' && rest[at + 1..].get(..5).is_some_and(|v| v.eq_ignore_ascii_case(b"HTTP/"));
    match (0..rest.len()).rev().find(begins) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[]),
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Http {
    headed: Headed,
    manner: Http1,
    /// What went through a tunnel.
    through: Option<Box<[Hash; 2]>>,
}

impl Parser for Http {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let taken = self.headed.read(&mut self.manner, side, input, out);
        if self.manner.tunnel.is_none() {
            return taken;
        }
        self.through.get_or_insert_default()[side.index()].add(&input[taken..]);
        input.len()
    }

    fn gap(&mut self, side: Side) {
        self.headed.gap(side);
        // Nobody knows what was asked or answered meanwhile.
        self.manner = Http1 { tunnel: self.manner.tunnel.take(), ..Http1::default() };
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        self.headed.end(&mut self.manner, side, rest, out);
        let through = self.through.as_mut().map(|hash| std::mem::take(&mut hash[side.index()]));
        if let Some(through) = through.filter(|hash| hash.bytes() > 0) {
            let verb = self.manner.tunnel.clone();
            out.push(Message { verb, body: Some(through.body()), ..Message::of(Kind::Transfer) });
        }
    }

    fn held(&self) -> usize {
        self.headed.held()
    }
}

/// What was asked, as far as the answer's length depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Asked {
    Head,
    Connect,
    Other,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Http1 {
    /// Requests that are not answered yet, at most [`ELEMENTS`].
    asked: VecDeque<Asked>,
    /// The client waits for 100 before it sends a body.
    expecting: bool,
    /// It got another answer instead.
    refused: bool,
    /// What made the connection a tunnel.
    tunnel: Option<String>,
}

impl Manner for Http1 {
    fn begins(side: Side, bytes: &[u8]) -> Match {
        if side == Side::Client { client(bytes) } else { server(bytes) }
    }

    /// A request without a version has no headers, so that another one may follow at once; but many who forget the
    /// version send headers all the same.
    fn split(side: Side, bytes: &[u8]) -> Option<usize> {
        let first = end_of_line(bytes)? + 1;
        let end = end_of_head(bytes);
        if side == Side::Server || !target_and_version(bare(&bytes[..first - 1])).1.is_empty() {
            return end;
        }
        let mut at = first;
        while let Some(length) = end_of_line(&bytes[at..]).map(|n| n + 1) {
            if client(&bytes[at..at + length]) != Match::No {
                return Some(at);
            }
            at += length;
            if Some(at) == end {
                break;
            }
        }
        end
    }

    fn message(side: Side, head: &[u8]) -> Message {
        let lines = Head::of(head);
        let mut message = match side {
            Side::Client => request(&lines),
            Side::Server => response(&lines),
        };
        let mut space = [httparse::EMPTY_HEADER; ELEMENTS];
        let verdict = match side {
            Side::Client => httparse::Request::new(&mut space).parse(head).err(),
            Side::Server => httparse::Response::new(&mut space).parse(head).err(),
        };
        if let Some(error) = verdict {
            message.detail("malformed", error.to_string().as_bytes());
        }
        message
    }

    fn framing(&mut self, side: Side, head: &[u8]) -> Framing {
        let head = Head::of(head);
        let chunked = |v: &[u8]| v.to_ascii_lowercase().windows(7).any(|w| w == b"chunked");
        let length = || match (head.get("transfer-encoding").is_some_and(chunked), head.content_length()) {
            (true, _) => Some(Framing::Chunks),
            (false, length) => length.map(Framing::Length),
        };
        if side == Side::Client {
            let (method, _) = word(head.line);
            (self.expecting, self.refused) = (head.get("expect").is_some(), false);
            let asked = match method.to_ascii_uppercase().as_slice() {
                b"HEAD" => Asked::Head,
                b"CONNECT" => Asked::Connect,
                _ => Asked::Other,
            };
            if self.asked.len() < ELEMENTS {
                self.asked.push_back(asked);
            }
            // The preface of HTTP/2 (RFC 9113, 3.4): frames follow.
            if method == b"PRI" {
                self.tunnel = Some("PRI".into());
            }
            return length().unwrap_or(Framing::Nothing);
        }
        let mut answer = Message::default();
        status(head.line, &mut answer);
        let status = answer.status.unwrap_or_default();
        if (100..200).contains(&status) && status != 101 {
            return Framing::Nothing;
        }
        self.refused = self.expecting;
        match (self.asked.pop_front().unwrap_or(Asked::Other), status) {
            (Asked::Connect, 200..300) => self.tunnel = Some("CONNECT".into()),
            (_, 101) => self.tunnel = Some("Upgrade".into()),
            (Asked::Head, _) | (_, 204 | 304) => {}
            _ => return length().unwrap_or(Framing::ToEnd),
        }
        Framing::Nothing
    }

    fn is_doubtful(&self, side: Side) -> bool {
        side == Side::Client && self.refused
    }

    fn is_over(&self) -> bool {
        self.tunnel.is_some()
    }
}

fn request(head: &Head<'_>) -> Message {
    let (method, rest) = word(head.line);
    let (target, version) = target_and_version(rest);
    let mut message = Message::request(method, target);
    message.software = head.get("user-agent").map(|agent| message.keep(agent));
    message.detail("version", version);
    if let Some(value) = head.get("proxy-authorization") {
        credentials("proxy-authorization", value, &mut message);
    }
    if let Some(value) = head.get("authorization") {
        credentials("authorization", value, &mut message);
    }
    message.detail("headers", &head.order());
    head.details(&OF_REQUESTS, &mut message);
    message
}

fn response(head: &Head<'_>) -> Message {
    let mut message = Message::of(Kind::Reply);
    status(head.line, &mut message);
    message.software = head.get("server").map(|server| message.keep(server));
    head.details(&OF_RESPONSES, &mut message);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn requests(bytes: &[u8]) -> Vec<Message> {
        talk("http", &[(Side::Client, bytes)]).into_iter().map(|(_, m)| m).collect()
    }

    fn lines(messages: &[Message]) -> Vec<(&str, &str)> {
        messages.iter().map(|m| (m.verb.as_deref().unwrap(), m.object.as_deref().unwrap())).collect()
    }

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn a_request_and_its_answer() {
        let messages = talk(
            "http",
            &[
                (
                    Side::Client,
                    b"GET /manager/html?a=1 HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: zgrab/0.x\r\n\
                      Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\nCookie: a=b\r\n\r\n",
                ),
                (Side::Server, b"HTTP/1.1 401 Not Authorized\r\nServer: Apache\r\nContent-Length: 3\r\n\r\nabc"),
            ],
        );
        let asked = by(Side::Client, &messages)[0];
        assert_eq!((asked.verb.as_deref(), asked.object.as_deref()), (Some("GET"), Some("/manager/html?a=1")));
        assert_eq!((asked.user.as_deref(), asked.password.as_deref()), (Some("Aladdin"), Some("open sesame")));
        assert_eq!(asked.software.as_deref(), Some("zgrab/0.x"));
        let of = |name| detail(asked, name);
        assert_eq!([of("host"), of("cookie"), of("authorization")], [Some("192.0.2.1"), Some("a=b"), Some("Basic")]);
        assert_eq!((of("headers"), of("malformed")), (Some("Host,User-Agent,Authorization,Cookie"), None));
        let answer = by(Side::Server, &messages)[0];
        assert_eq!((answer.status, answer.software.as_deref()), (Some(401), Some("Apache")));
        assert_eq!(answer.body, Some(Hash::of(b"abc")));
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_with_the_connection() {
        let messages = talk(
            "http",
            &[
                (
                    Side::Client,
                    b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyPOST /b HTTP/1.1\r\nTransfer-Encoding: \
                      chunked\r\n\r\n4\r\nWiki\r\n6;x=y\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nA: b\r\n\r\nHEAD /c \
                      HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n",
                ),
                (
                    Side::Server,
                    b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 304 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
                      HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 all that\r\n\r\ncomes",
                ),
            ],
        );
        let bodies: Vec<_> = by(Side::Client, &messages).into_iter().map(|m| m.body.clone()).collect();
        // The chunks are Wikipedia's example.
        let wiki = Hash::of(b"Wikipedia in \r\n\r\nchunks.");
        assert_eq!(bodies, [Some(Hash::of(b"body")), Some(wiki), None, None]);
        let bodies: Vec<_> = by(Side::Server, &messages).into_iter().map(|m| m.body.clone()).collect();
        assert_eq!(bodies, [None, None, None, Some(Hash::of(b"HTTP/1.1 all that\r\n\r\ncomes"))]);
    }

    #[test]
    fn a_body_that_is_waited_for_may_never_come() {
        let wait: &[u8] = b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
        let messages = talk(
            "http",
            &[
                (Side::Client, wait),
                (Side::Server, b"HTTP/1.1 100 Continue\r\n\r\n"),
                (Side::Client, b"GET it???"),
                (Side::Server, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
                (Side::Client, wait),
                (Side::Server, b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
                (Side::Client, b"GET / HTTP/1.1\r\n\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!(asked[0].body, Some(Hash::of(b"GET it???")));
        assert_eq!((asked[1].body.as_ref(), asked[2].verb.as_deref()), (None, Some("GET")));
        let statuses: Vec<_> = by(Side::Server, &messages).iter().map(|m| m.status).collect();
        assert_eq!(statuses, [Some(100), Some(201), Some(417)]);
    }

    #[test]
    fn what_no_server_would_take_is_a_message() {
        let messages = requests(b"GET /x\r\nget /y HTTP/1.0\r\n\r\nGET http://a/b c\xff HTTP/1.1\nA b\n\nFOO_BAR * HTTP/1.1\r\n\r\n");
        let wanted = [("GET", "/x"), ("get", "/y"), ("GET", "http://a/b c\u{ff}"), ("FOO_BAR", "*")];
        assert_eq!(lines(&messages), wanted);
        assert!(detail(&messages[2], "malformed").is_some());
        assert_eq!(lines(&requests(b"GET /a b\r\nHost: c\r\n\r\nGET /c\r\n")), [("GET", "/a b"), ("GET", "/c")]);
        let sstp = requests(
            b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n\
              Content-Length: 18446744073709551615\r\n\r\nabc",
        );
        assert_eq!(sstp[0].body, Some(Hash::of(b"abc")));
        assert_eq!(lines(&requests(b"SEARCH /\x90\x02\xb1\x02")), [("SEARCH", "/\u{90}\u{2}\u{b1}\u{2}")]);
    }

    #[test]
    fn others_are_not_http() {
        for line in [&b"OPTIONS * RTSP/1.0\r\n"[..], b"OPTIONS sip:a@b SIP/2.0\r\n", b"USER bro\r\n", b"get key\r\n", b"\x16\x03"] {
            assert_eq!(client(line), Match::No, "{line:?}");
        }
        assert_eq!([client(b"GET /"), client(b"OPTIONS /"), client(b"BREW"), client(b"GET key\n")], [
            Match::Yes,
            Match::Maybe,
            Match::Maybe,
            Match::Maybe
        ]);
    }

    #[test]
    fn a_tunnel_is_one_body_each_way() {
        let messages = talk(
            "http",
            &[
                (Side::Client, b"CONNECT mx.example:25 HTTP/1.0\r\n\r\n"),
                (Side::Server, b"HTTP/1.0 200 Connection established\r\n\r\n220 mx\r\n"),
                (Side::Client, b"GET / HTTP/1.0\r\n\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!((asked.len(), asked[0].object.as_deref()), (2, Some("mx.example:25")));
        assert_eq!((asked[1].kind, asked[1].body.clone()), (Kind::Transfer, Some(Hash::of(b"GET / HTTP/1.0\r\n\r\n"))));
        assert_eq!(by(Side::Server, &messages)[1].body, Some(Hash::of(b"220 mx\r\n")));
    }

    #[test]
    fn after_a_gap_the_next_request_counts() {
        let (mut http, mut out) = (Http::default(), Vec::new());
        http.read(Side::Client, b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc", &mut out);
        http.gap(Side::Client);
        http.read(Side::Client, b"rest of it\r\nHost: b\r\n\r\nGET /c HTTP/1.1\r\n\r\n", &mut out);
        assert_eq!(lines(&out), [("POST", "/a"), ("GET", "/c")]);
        assert_eq!((out[0].cut, out[0].body.as_ref().map(|b| b.bytes)), (true, Some(3)));
    }

    #[test]
    fn a_head_of_any_length_is_one_message() {
        let mut long = b"GET /a HTTP/1.1\r\nX: ".to_vec();
        long.resize(100_000, b'a');
        long.extend(b"\r\nContent-Length: 50\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        let messages = requests(&long);
        assert_eq!((lines(&messages), messages[0].cut), (vec![("GET", "/a"), ("GET", "/b")], true));
    }
}
