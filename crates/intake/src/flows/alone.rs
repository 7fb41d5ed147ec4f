//! Payloads that stand alone: datagrams, pings, what a SYN carries. The same one from the same speaker on one day is one row.

use std::borrow::Cow;

use trapline_speech::{End, Heard, Kind, Message, Side, datagram};

use super::{Flows, place, sender};
use crate::classify::Event;
use crate::lone::Known;
use crate::said::{Request, RequestKey, Starter};

impl Flows {
    /// A UDP datagram with a payload. `before`: who had started its conversation.
    pub fn udp(&mut self, event: &Event, payload: &[u8], before: Starter) {
        if payload.is_empty() {
            return;
        }
        let by = sender(event);
        let client = before.end().unwrap_or(by);
        let side = if client == by { Side::Client } else { Side::Server };
        let port = if client == End::Peer { event.port } else { event.peer_port };
        let starter = if before == Starter::Nobody { by.into() } else { before };
        self.alone(event, payload, starter, |out| {
            let (service, message) =
                datagram(side, port, payload).unwrap_or_else(|| ("", Message::of(Kind::Data)));
            out.push(Heard { by, service, message });
        });
    }

    /// What an ICMP request carries: some worms fill their pings with what nobody else does.
    pub fn ping(&mut self, event: &Event, payload: &[u8]) {
        if !payload.is_empty() {
            // Its identifier and sequence number are no ports, and change from ping to ping.
            let event = Event { port: 0, peer_port: 0, ..*event };
            self.alone(&event, payload, Starter::Peer, |out| {
                out.push(Heard { by: End::Peer, service: "", message: Message::of(Kind::Data) });
            });
        }
    }

    /// A payload that stands alone: the same one from the same speaker on one day is one row. `read` says what it means.
    pub(super) fn alone(
        &mut self,
        event: &Event,
        payload: &[u8],
        starter: Starter,
        read: impl FnOnce(&mut Vec<Heard>),
    ) {
        let by = sender(event);
        let key = (event.peer, event.host, event.protocol, event.port, by);
        let first = self.rows.len() as u32;
        match self.lone.look(key, payload) {
            Known::Told((first, rows)) => {
                for row in &mut self.rows[first as usize..(first + rows) as usize] {
                    row.times += 1;
                    row.last = event.time;
                }
            }
            Known::TooMany => {
                let rest = Heard { by, service: "", message: Message::default() };
                if self.push(lone_row(event, starter, 0, rest).as_rest()) {
                    self.lone.rest(key, (first, 1));
                }
            }
            Known::New(body) => {
                let mut heard = Vec::new();
                read(&mut heard);
                for (i, mut one) in heard.into_iter().enumerate() {
                    // The payload is what makes the row; a parser's own idea of a body would only be a part of it.
                    one.message.body = Some(body.clone());
                    one.message.channel = None;
                    self.push(lone_row(event, starter, i.min(0x7fff) as u16, one));
                }
                let rows = self.rows.len() as u32 - first;
                // What found no room is counted each time that it comes.
                if rows > 0 {
                    self.lone.insert(key, payload, &body, (first, rows));
                }
            }
        }
    }
}

fn lone_row(event: &Event, starter: Starter, index: u16, heard: Heard) -> Request {
    let key = RequestKey {
        peer: event.peer,
        host: event.host,
        protocol: event.protocol,
        port: event.port,
        at: place(event),
        index,
        peer_port: event.peer_port,
        by: heard.by,
    };
    Request {
        key,
        started_by: starter,
        open: false,
        lone: true,
        times: 1,
        last: event.time,
        service: Cow::Borrowed(heard.service),
        message: heard.message,
    }
}

#[cfg(test)]
mod tests {
    use trapline_wire::{Time, protocol};

    use super::*;
    use crate::address::Address;
    use crate::classify::Direction;
    use crate::limits::LONE_PAYLOADS;

    fn datagram_of(peer: u8, frame: u64) -> Event {
        Event {
            time: frame as Time,
            peer: Address::from(std::net::IpAddr::from([192, 0, 2, peer])),
            capture: 1,
            frame,
            ip_len: 32,
            payload_len: 4,
            payload: (0, 4),
            ip_id: 0,
            quoted: 0,
            host: 0,
            port: 9,
            peer_port: 1_000,
            protocol: protocol::UDP,
            direction: Direction::In,
            kind: crate::classify::Kind::Udp,
            first_fragment: false,
            piece: None,
            header: 8,
            seq: 0,
            ack: 0,
            marks: 0,
            unicorn: 0,
            observation: 0,
            told: 0,
        }
    }

    #[test]
    fn a_full_shard_counts_what_it_cannot_tell() {
        // Room for as many rows as one speaker may have distinct payloads, and none for the rest's.
        let mut flows = Flows { max_rows: LONE_PAYLOADS, ..Flows::new(1) };
        let sent = LONE_PAYLOADS as u64 + 3;
        for n in 0..sent {
            flows.udp(&datagram_of(1, n), &n.to_be_bytes(), Starter::Nobody);
        }
        flows.udp(&datagram_of(2, sent), b"abcd", Starter::Nobody);
        flows.udp(&datagram_of(2, sent), b"abcd", Starter::Nobody);
        // One that is told already still counts.
        flows.udp(&datagram_of(1, sent), &0u64.to_be_bytes(), Starter::Nobody);
        assert_eq!(flows.untold, 5);
        let rows = flows.take_rows(0).requests;
        assert_eq!(rows.len(), LONE_PAYLOADS);
        assert_eq!(rows.iter().map(|row| row.times).sum::<u64>(), LONE_PAYLOADS as u64 + 1);
    }
}
