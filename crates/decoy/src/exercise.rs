//! A service without a network: for tests and fuzzing.

use std::net::IpAddr;

use trapline_wire::Time;

use crate::accept::Accept;
use crate::limits::SECOND;
use crate::record::Said;
use crate::service::{Budget, Event, Orders, Turn};
use crate::services::{Kind, datagram};
use crate::site::Site;

/// What a service did in a talk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// What it said.
    pub said: Vec<u8>,
    /// What it said on data connections.
    pub said_data: Vec<u8>,
    /// What it recorded.
    pub records: Vec<Said>,
    /// Files that were left: name, length, what was kept.
    pub uploads: Vec<(Vec<u8>, u64, Vec<u8>)>,
    /// Whether it closed or reset the connection.
    pub closed: bool,
}

/// Talks with a service: it hears the pieces one after the other, and waits end at once. A data connection that it asks for brings
/// `data` and ends.
pub fn talk<'a>(kind: Kind, seed: u64, pieces: impl IntoIterator<Item = &'a [u8]>, data: &[u8]) -> Talk {
    let site = Site::new(seed, "exercise");
    let (mut accept, mut exchanges) = (Accept::default(), Budget::default());
    let mut service = kind.start();
    let mut talk = Talk::default();
    let mut now = 1_000_000_000 * SECOND;
    let mut turn = |event: Event<'_>, talk: &mut Talk| {
        // One event may bring others: a wait that ends, a data connection.
        let mut events = vec![event];
        let mut left = 1_000;
        while let Some(event) = events.pop()
            && left > 0
        {
            left -= 1;
            now += SECOND / 100;
            let mut orders = Orders::default();
            service.on(event, &mut any_turn(now, &site, (&mut accept, &mut exchanges), &mut orders));
            talk.said.extend(orders.say);
            talk.said_data.extend(orders.data.say);
            talk.records.extend(orders.records);
            talk.uploads.extend(orders.uploads.into_iter().map(|(name, bytes, kept)| (name.0, bytes, kept)));
            talk.closed |= orders.close || orders.reset;
            if orders.wake_after.is_some() {
                events.push(Event::Woken);
            }
            if orders.data.close {
                events.push(Event::DataSaid);
            }
            if orders.data.connect.is_some() {
                events.extend([Event::DataEnded, Event::DataHeard(data), Event::DataOpened]);
            } else if orders.data.expect {
                events.push(Event::DataOpened);
            }
        }
    };
    turn(Event::Opened, &mut talk);
    for piece in pieces {
        turn(Event::Heard(piece), &mut talk);
    }
    turn(Event::Ended, &mut talk);
    turn(Event::Gone, &mut talk);
    talk
}

/// A turn with some peer.
fn any_turn<'a>(
    now: Time,
    site: &'a Site,
    (accept, exchanges): (&'a mut Accept, &'a mut Budget),
    orders: &'a mut Orders,
) -> Turn<'a> {
    let (peer, local, mac) =
        (IpAddr::from([203, 0, 113, 9]), IpAddr::from([192, 0, 2, 11]), [2, 0, 0, 0, 0, 1]);
    Turn {
        now,
        peer,
        peer_port: 1025,
        local,
        port: 1,
        mac,
        site,
        accept,
        exchanges,
        data_port: 2_000,
        orders,
    }
}

/// Lets every face of a service hear `data`, cut into pieces by its first byte; for fuzzing.
///
/// # Panics
/// When a service says or records more than what it heard can account for.
pub fn exercise(service: &str, data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    for kind in Kind::all().filter(|kind| kind.name() == service) {
        let pieces = data.chunks(usize::from(*cut).max(1));
        let talk = talk(kind, 1, pieces, &data[..data.len().min(64)]);
        // The longest answers are listings and pages, one for each request of a few bytes.
        assert!(talk.said.len() <= 65_536 + data.len() * 2_048, "{} bytes said", talk.said.len());
        assert!(talk.records.len() <= 8 + 2 * data.len());

        let site = Site::new(1, "exercise");
        let mut orders = Orders::default();
        let mut accept = Accept::default();
        datagram::answer(
            kind,
            data,
            &mut any_turn(SECOND, &site, (&mut accept, &mut Budget::default()), &mut orders),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Random;

    /// Something that visitors of each service say.
    fn visit(service: &str) -> &'static [u8] {
        match service {
            "ftp" => b"USER anonymous\r\nPASS a@b\r\nSYST\r\nPWD\r\nCWD pub\r\nPASV\r\nLIST\r\nTYPE I\r\nPASV\r\nRETR README\r\nPORT 203,0,113,9,8,1\r\nSTOR /incoming/x\r\nSIZE README\r\nNONSENSE\r\nQUIT\r\n",
            "http" => b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyHEAD /none HTTP/1.0\r\n\r\n",
            "telnet" => b"\xff\xfd\x01root\r\nsecret\r\nroot\r\0other\r\0id\r\n",
            "smtp" => b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\ntext\r\n.\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n",
            "pop3" => b"CAPA\r\nUSER a\r\nPASS b\r\nSTAT\r\nQUIT\r\n",
            "imap" => b"a CAPABILITY\r\nb LOGIN user \"pass word\"\r\nc SELECT INBOX\r\nd LOGOUT\r\n",
            "rtsp" => b"OPTIONS rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n\r\nDESCRIBE rtsp://a/ RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Basic YTpi\r\n\r\n",
            "http-proxy" => b"CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n",
            "shell" => b"tftp -i 203.0.113.9 GET a.exe\na.exe\ndir\nver\nexit\n",
            "socks" => b"\x05\x02\x00\x02\x01\x01a\x01b\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50GET",
            "ssh" => b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x02aaaaaaaaaa",
            "mssql" => b"\x12\x01\x00\x0e\x00\x00\x00\x00\xff\x00\x00\x00\x00\x00nonsense",
            _ => b"\x05\x00\x0b\x03\x10\x00\x00\x00",
        }
    }

    /// TCP has no messages: how a visit is cut must not matter.
    #[test]
    fn what_is_said_and_recorded_does_not_depend_on_the_pieces() {
        for kind in Kind::all() {
            let visit = visit(kind.name());
            let strip = |mut talk: Talk| {
                // Dates and numbers that are drawn by time differ, whether a data connection was there in time, and whether
                // what is typed ahead is shown.
                if matches!(
                    kind.name(),
                    "ftp" | "telnet" | "ssh" | "smtp" | "http" | "rtsp" | "imap" | "http-proxy"
                ) {
                    talk.said.clear();
                }
                talk
            };
            let whole = strip(talk(kind, 7, [visit], b"data"));
            assert!(!whole.records.is_empty() || kind.name() == "echo", "{kind:?}");
            for size in [1, 2, 7] {
                assert_eq!(
                    strip(talk(kind, 7, visit.chunks(size), b"data")),
                    whole,
                    "{kind:?} in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        let mut random = Random::new(11);
        for kind in Kind::all() {
            for round in 0..60 {
                // Half of them begin like a visit, so that more than the first check is met.
                let mut bytes: Vec<u8> =
                    if round % 2 == 0 { Vec::new() } else { visit(kind.name()).to_vec() };
                bytes.truncate(random.below(1 + bytes.len() as u32) as usize);
                bytes.extend((0..random.below(3_000)).map(|_| random.bits() as u8));
                exercise(kind.name(), &bytes);
            }
        }
    }

    #[test]
    fn two_seeds_show_nothing_in_common_that_names_them() {
        let told = |kind: Kind, seed| talk(kind, seed, [&b"GET / HTTP/1.0\r\n\r\n"[..]], b"").said;
        for name in [
            "http/iis-4",
            "http/apache-1.3",
            "http/nginx",
            "ftp/wu-ftpd-2.6.2",
            "smtp/sendmail-8.11.6",
            "telnet/red-hat-7.3",
        ] {
            let kind = Kind::named(name).unwrap();
            assert_ne!(told(kind, 1), told(kind, 2), "{name}");
        }
    }
}
