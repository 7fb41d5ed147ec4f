//! Records that packets do not show, on their way to a packet: what was said inside an encrypted connection is bound, as a comment, to the
//! packet that completed it, or to the next one of its connection. So whoever has the capture has all of it, once.

use std::net::IpAddr;

use trapline_archive::segment::COMMENT;
use trapline_decoy::record::Record;
use trapline_wire::{Frame, LinkType, Reading, Time, Transport, decode};

/// Records that wait for a packet of their connection, at most. One that is pushed out, or too long, is in the segment's records still.
const WAITING: usize = 256;
/// Bytes of a comment: what pcapng's length field counts, with room for how it begins.
const LONGEST: usize = 65_000;

/// How long one waits.
const PATIENCE: Time = 60_000_000_000;

/// A connection, from the peer's side.
type Flow = (IpAddr, u16, IpAddr, u16);

/// Records that wait.
#[derive(Debug, Default)]
pub struct Hidden {
    waiting: Vec<(Time, Flow, String)>,
}

impl Hidden {
    /// Adds a record and its line.
    pub fn add(&mut self, record: &Record, line: String) {
        if line.len() > LONGEST {
            return;
        }
        if self.waiting.len() == WAITING {
            self.waiting.remove(0);
        }
        self.waiting.push((record.time_ns, (record.peer, record.peer_port, record.host, record.port), line));
    }

    /// The comment for a frame: what waits for one of its connection; empty where nothing does.
    pub fn on(&mut self, now: Time, frame: &[u8]) -> String {
        if self.waiting.is_empty() {
            return String::new();
        }
        // Another connection may have the same numbers later.
        self.waiting.retain(|(since, ..)| (now - since).abs() <= PATIENCE);
        let Some((from, from_port, to, to_port)) = flow(frame) else { return String::new() };
        let mut comment = String::new();
        self.waiting.retain(|(_, (peer, peer_port, host, port), line)| {
            let inbound = (*peer, *peer_port, *host, *port) == (from, from_port, to, to_port);
            let outbound = (*peer, *peer_port, *host, *port) == (to, to_port, from, from_port);
            if !(inbound || outbound) || comment.len() + line.len() > LONGEST {
                return true;
            }
            comment.push_str(if comment.is_empty() { COMMENT } else { "\n" });
            comment.push_str(line);
            false
        });
        comment
    }
}

/// Who speaks to whom.
fn flow(frame: &[u8]) -> Option<Flow> {
    let frame = Frame { time: 0, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
    let Reading::Ip(packet) = decode(&frame) else { return None };
    let Transport::Tcp(tcp) = packet.transport else { return None };
    Some((packet.src, tcp.src_port(), packet.dst, tcp.dst_port()))
}
