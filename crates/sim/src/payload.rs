//! What datagrams and pings carry: the shapes of 2003, without anything that could still hurt.

/// A SYN's data in busy captures.
pub(crate) const PROBE: [u8; 40] = *b"GET / HTTP/1.0\r\nUser-Agent: probe/1\r\n\r\n\0";
/// `A? update.example` as a question.
pub(crate) const DNS_QUERY: [u8; 32] =
    *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06update\x07example\0\0\x01\0\x01";
/// The same, answered; its last bytes are the address 192.0.2.80.
pub(crate) const DNS_REPLY: [u8; 48] =
    *b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x06update\x07example\0\0\x01\0\x01\
\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x50";
/// The name-service status answer of a machine with one name.
pub(crate) const DATAGRAM_REPLY: [u8; 121] = {
    let head = *b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01\0\0\0\0\0\x41\x01OFFICE         \0\x04\0";
    let mut bytes = [0; 121];
    let mut n = 0;
    while n < head.len() {
        bytes[n] = head[n];
        n += 1;
    }
    bytes
};

/// NBSTAT `*`: what Windows scanners ask.
const NAME_STATUS: [u8; 50] =
    *b"\0\0\0\x10\0\x01\0\0\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01";
/// Slammer's first byte and length; the body is filler, not the worm.
const SLAMMER: [u8; 376] = {
    let mut bytes = [1; 376];
    bytes[0] = 4;
    bytes
};
/// Messenger spam.
const SPAM: &[u8] =
    b"\x04\0\x28\0\x10\0\0\0\0\0\0\0ALERT: your registry is damaged. Visit www.example to repair it.";
/// Anything else.
const HELLO: &[u8] = b"\r\n\r\n";

const WINDOWS_PING: [u8; 32] = *b"abcdefghijklmnopqrstuvwabcdefghi";
/// Nachi fills its pings with 64 bytes of 0xAA.
const NACHI_PING: [u8; 64] = [0xaa; 64];

/// What a datagram to a port carries.
pub(crate) fn datagram(port: u16) -> &'static [u8] {
    match port {
        137 => &NAME_STATUS,
        1434 => &SLAMMER,
        1026 | 1027 => SPAM,
        _ => HELLO,
    }
}

/// What a ping carries.
pub(crate) fn ping(noise: u64) -> &'static [u8] {
    if noise.is_multiple_of(3) { &NACHI_PING } else { &WINDOWS_PING }
}
