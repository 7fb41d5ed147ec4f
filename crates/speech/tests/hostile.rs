//! What an attacker can send to hurt the reader: lines and heads without end, a million pieces, bodies that unpack to
//! gigabytes, text that means something to terminals, pages and spreadsheets. Nothing of it may grow beyond its bound, be
//! lost where it is a message, or keep the next connection from being read.

use std::io::Write;

use trapline_speech::limits::{DETAILS, ELEMENTS, HELD, PAYLOAD, TEXT};
use trapline_speech::message::{Body, Kind, Message};
use trapline_speech::{Dialogue, End, Heard};

/// What a dialogue may keep: what both ends said and nobody took, and as much for a head whose body still comes.
const BOUND: usize = 4 * HELD;

/// A long attack, in pieces.
const LONG: usize = 64 << 20;

/// Plays `pieces` of a client to port `port`, checking at every piece what is held, and then that the next connection is
/// read as if nothing had been.
fn attack<'a>(port: u16, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Heard> {
    let mut dialogue = Dialogue::new(Some(End::Peer), [1028, port]);
    let mut heard = Vec::new();
    for piece in pieces {
        dialogue.hear(End::Peer, piece, &mut heard);
        assert!(dialogue.held() <= BOUND, "{} bytes held", dialogue.held());
    }
    dialogue.decide(&mut heard);
    dialogue.end(End::Peer, &mut heard);
    heard.iter().for_each(|h| check(&h.message));
    let mut next = Dialogue::new(Some(End::Peer), [1028, port]);
    let mut after = Vec::new();
    next.hear(End::Peer, b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n", &mut after);
    assert_eq!((after.len(), after[0].message.object.as_deref()), (1, Some("/after")));
    heard
}

/// Everything in a message has a bound.
fn check(message: &Message) {
    let texts = [&message.verb, &message.object, &message.user, &message.password, &message.software];
    assert!(texts.into_iter().flatten().all(|t| t.chars().count() <= TEXT));
    assert!(
        message.details.len() <= DETAILS && message.details.iter().all(|(_, v)| v.chars().count() <= TEXT)
    );
    assert!(message.body.iter().all(|b| b.begin.len() <= PAYLOAD));
}

/// `start`, and then `fill` again and again.
fn endless<'a>(start: &'a [u8], fill: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    std::iter::once(start).chain(std::iter::repeat_n(fill, LONG / fill.len()))
}

#[test]
fn lines_without_an_end() {
    let fill = [b'A'; 1460];
    for (service, start) in [
        ("http", &b"GET /"[..]),
        ("http", b"POST / HTTP/1.1\r\nX: "),
        ("http", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("ftp", b"SITE "),
        ("smtp", b"EHLO "),
        ("smtp", b"EHLO x\r\nDATA\r\n"),
        ("pop3", b"APOP "),
        ("imap", b"1 LOGIN "),
        ("imap", b"1 LOGIN {67108864}\r\n"),
        ("irc", b"NICK "),
        ("redis", b"CONFIG "),
        ("redis", b"*1000000000\r\n$4\r\nECHO\r\n$67108864\r\n"),
        ("redis", b"*3\r\n$1\r\nx\r\n"),
        ("sip", b"INVITE sip:"),
        ("rtsp", b"DESCRIBE rtsp://"),
        ("shell", b"cd /\necho "),
        ("telnet", b"\xff\xfb\x01"),
        ("telnet", b"\xff\xfb\x01\xff\xfa\x18"),
    ] {
        let heard = attack(60_666, endless(start, &fill));
        let services: Vec<_> = heard.iter().map(|h| h.service).collect();
        assert!(services.iter().all(|s| *s == service), "{services:?} is not {service}");
        assert!(!heard.is_empty() || start.starts_with(b"*3"), "nothing was heard of {start:?}");
    }
}

#[test]
fn lines_without_end_of_a_server() {
    let fill = [b'A'; 1460];
    for (service, asked, start) in [
        ("http", &b"GET / HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 200 "[..]),
        ("http", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("redis", b"CONFIG x\r\n", b"$99999999999\r\n"),
        ("telnet", b"\xff\xfb\x01", b"\xff\xfb\x01login"),
    ] {
        let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 60_666]);
        let mut heard = Vec::new();
        dialogue.hear(End::Peer, asked, &mut heard);
        for piece in endless(start, &fill) {
            dialogue.hear(End::Host, piece, &mut heard);
            assert!(dialogue.held() <= BOUND);
        }
        [End::Peer, End::Host].into_iter().for_each(|by| dialogue.end(by, &mut heard));
        heard.iter().for_each(|h| check(&h.message));
        assert!(heard.iter().any(|h| h.by == End::Host && h.service == service), "{service}");
    }
}

#[test]
fn a_million_pieces() {
    // Each byte alone, and every line as long as is just held.
    let mut line = vec![b'a'; 8_000];
    line.push(b'\n');
    for (start, service) in [
        (&b"GET /a HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n"[..], "http"),
        (b"GET /a HTTP/1.1\n", "http"),
        (b"GET /a\n", "http"),
        (b"NICK a\r\n", "irc"),
        (b"\xff\xfb\x01", "telnet"),
        (b"*2\r\n$3\r\nGET\r\n", "redis"),
        (b"EHLO x\r\nDATA\r\n", "smtp"),
    ] {
        let pieces = start.chunks(1).chain(line.chunks(1).cycle().take(1_000_000));
        let heard = attack(60_666, pieces);
        assert!(!heard.is_empty() && heard.iter().all(|h| h.service == service), "{service}");
    }
}

#[test]
fn a_body_is_never_unpacked() {
    // 129 MB of zeros in 813 KB.
    let mut bomb = b"POST /upload HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: ".to_vec();
    let zipped = zipped();
    write!(bomb, "{}\r\n\r\n", zipped.len()).unwrap();
    bomb.extend(&zipped);
    let heard = attack(60_666, bomb.chunks(1460));
    assert_eq!(heard.len(), 1);
    let body = heard[0].message.body.as_ref().unwrap();
    assert_eq!(body, &trapline_speech::Hash::of(&zipped));
    assert_eq!((body.bytes, &body.begin[..]), (zipped.len() as u64, &zipped[..PAYLOAD]));
}

/// A gzip member (RFC 1952) of one block (RFC 1951, 3.2.6) with the fixed codes: a zero, then as often as fits the code for
/// "258 bytes from one byte back", 11000101 and 00000, of which eight take thirteen bytes.
fn zipped() -> Vec<u8> {
    let mut zipped = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut bits: Vec<u8> = vec![1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
    let run = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    bits.extend(run.iter().cycle().take(13 * 500_000));
    bits.extend([0; 7]);
    zipped.extend(bits.chunks(8).map(|bits| bits.iter().rev().fold(0u8, |byte, bit| byte << 1 | bit)));
    zipped
}

#[test]
fn text_is_kept_as_it_was_said() {
    let nasty = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>=cmd|' /C calc'!A0";
    let request = format!("GET /{nasty} HTTP/1.1\r\nHost: {nasty}\r\nUser-Agent: {nasty}\r\n\r\n");
    let heard = attack(60_666, std::iter::once(request.as_bytes()));
    let message = &heard[0].message;
    assert_eq!(message.object.as_deref(), Some(format!("/{nasty}").as_str()));
    assert_eq!(message.software.as_deref(), Some(nasty));
    assert!(message.details.contains(&("host", nasty.to_owned())));
    let login = format!("NICK x\r\nOPER {} {nasty}\r\n", "=cmd|x");
    let heard = attack(60_666, std::iter::once(login.as_bytes()));
    assert_eq!(
        (heard[1].message.user.as_deref(), heard[1].message.password.as_deref()),
        (Some("=cmd|x"), Some(nasty))
    );
}

#[test]
fn heads_deep_and_long() {
    for (service, start) in [
        ("sip", "OPTIONS sip:a@b SIP/2.0\r\n"),
        ("http", "GET / HTTP/1.1\r\n"),
        ("rtsp", "PLAY rtsp://a RTSP/1.0\r\n"),
    ] {
        let quotes = "Authorization: Digest ".to_owned() + &"username=\"".repeat(900) + "\r\n";
        let brackets = "Via: ".to_owned() + &"<(\"".repeat(2000) + "\r\n";
        let folds = "From: a\r\n".to_owned() + &" ;tag=b\r\n".repeat(900);
        let many = "A: b\r\n".repeat(ELEMENTS * 3);
        let told = "Via: b\r\n".repeat(DETAILS * 3);
        for headers in [quotes, brackets, folds, many, told] {
            let head = [start, &headers, "\r\n"].concat();
            let heard = attack(60_666, head.as_bytes().chunks(100));
            assert_eq!((heard.len(), heard[0].service), (1, service), "{}", &headers[..20]);
        }
        // Longer than is held: told as far as that, and the next one is read.
        let head = [start, &"A: b\r\n".repeat(1_000_000), "\r\n", start, "\r\n"].concat();
        let heard = attack(60_666, head.as_bytes().chunks(1460));
        assert_eq!(heard.iter().map(|h| h.message.cut).collect::<Vec<_>>(), [true, false], "{service}");
    }
}

#[test]
fn bytes_of_nobody_are_kept_once() {
    let fill = [0xf7; 1460];
    let heard = attack(60_666, endless(b"\x00\x01", &fill));
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].message.kind, heard[0].service), (Kind::Data, ""));
    let wanted = Body { bytes: 2, begin: vec![0, 1], ..heard[0].message.body.clone().unwrap() };
    assert_eq!(heard[0].message.body, Some(wanted));
}
