//! Services at their connections: whose turn it is, what they want done, and what is written down of it.

use sha2::{Digest, Sha256};

use super::{Decoys, Expected, NOBODY, Owner};
use crate::frames::Frames;
use crate::host::{Port, Wire};
use crate::limits;
use crate::record::{Record, Said, Text, Upload, hex};
use crate::service::{Event, Orders, Turn};
use crate::services::Kind;
use crate::tcp::connection::Connection;
use crate::tcp::{Agreed, Flow, Key};

impl Decoys {
    /// Tells the service that a connection belongs to what happened, and does what it wants.
    pub(super) fn tell(&mut self, id: u32, event: Event<'_>, out: &mut Frames) {
        let owner = match self.slots[id as usize].owner {
            Owner::Itself => return self.turn(id, event, out),
            Owner::Nobody => return,
            Owner::Another(owner) => owner,
        };
        let event = match event {
            Event::Opened => Event::DataOpened,
            Event::Heard(bytes) => Event::DataHeard(bytes),
            Event::Ended => Event::DataEnded,
            other => other,
        };
        self.turn(owner, event, out);
    }

    pub(super) fn turn(&mut self, id: u32, event: Event<'_>, out: &mut Frames) {
        let Some((key, name, data_port, orders)) = self.take_turn(id, event) else { return };
        self.obey(id, key, name, data_port, orders, out);
    }

    /// Lets the service of a connection take its turn: the connection, the service's name, the port that a data connection would be
    /// expected at, and what is wanted.
    pub(super) fn take_turn(
        &mut self,
        id: u32,
        event: Event<'_>,
    ) -> Option<(Key, &'static str, u16, Orders)> {
        let key = self.slots[id as usize].connection.as_ref()?.flow.key;
        if self.accept.len() >= limits::ACCEPTING_HOSTS && !self.accept.contains_key(&key.host) {
            let any = self.accept.keys().next().copied();
            any.and_then(|host| self.accept.remove(&host));
        }
        let talk = self.slots[id as usize].talk.as_mut()?;
        let host = &self.hosts[key.host as usize];
        let taken = |port: &u16| {
            let named = host.wiring().ports.tcp.get(port).is_some_and(|does| *does != Port::Closed);
            named || self.expected.contains_key(&(key.host, *port))
        };
        let data_port = host.ephemeral_ports().find(|port| !taken(port))?;
        let mut orders = Orders::default();
        let mut turn = Turn {
            now: self.now,
            peer: key.peer,
            peer_port: key.peer_port,
            local: key.local,
            port: key.port,
            mac: host.wiring().mac,
            site: &talk.site,
            accept: self.accept.entry(key.host).or_default(),
            exchanges: &mut self.exchanges,
            data_port,
            orders: &mut orders,
        };
        talk.service.on(event, &mut turn);
        Some((key, talk.kind.name(), data_port, orders))
    }

    pub(super) fn obey(
        &mut self,
        id: u32,
        key: Key,
        name: &'static str,
        data_port: u16,
        orders: Orders,
        out: &mut Frames,
    ) {
        let now = self.now;
        self.write_down(&key, name, orders.records, orders.uploads);
        let mac = self.slots[id as usize].connection.as_ref().map(|c| c.flow.mac);
        if let Some((fetch, mac)) = orders.fetch.zip(mac) {
            self.fetch(&key, mac, name, fetch, out);
        }
        let slot = &mut self.slots[id as usize];
        if let Some(idle_for) = orders.idle_for {
            slot.idle_for = idle_for;
        }
        if let Some(after) = orders.wake_after {
            slot.wake = Some(now + after);
        }
        if let Some(connection) = &mut slot.connection {
            let unsaid = connection.say(&orders.say);
            slot.said += (orders.say.len() - unsaid) as u64;
            self.counts.unsaid += unsaid as u64;
            let host = &mut self.hosts[key.host as usize];
            if orders.reset {
                connection.reset(&mut Wire { host, out, now });
            } else if orders.close {
                connection.close();
                slot.ended = true;
            }
        }
        if orders.data.expect || orders.data.connect.is_some() || orders.data.drop {
            self.expected.retain(|_, expected| expected.owner != id);
            let data = std::mem::replace(&mut self.slots[id as usize].data, NOBODY);
            if data != NOBODY {
                let slot = &mut self.slots[data as usize];
                slot.owner = Owner::Nobody;
                slot.ended = true;
                slot.connection.iter_mut().for_each(Connection::close);
                self.settle(data, out);
            }
        }
        if orders.data.expect && self.expected.len() < limits::EXPECTED {
            let until = now + limits::EXPECTED_FOR;
            self.hosts[key.host as usize].use_ephemeral_port(data_port);
            self.expected.insert((key.host, data_port), Expected { owner: id, peer: key.peer, until });
        }
        if let Some((from, to)) = orders.data.connect {
            self.connect(id, Key { port: from, peer_port: to, ..key }, out);
        }
        let data = self.slots[id as usize].data;
        if data != NOBODY {
            let slot = &mut self.slots[data as usize];
            if let Some(connection) = &mut slot.connection {
                self.counts.unsaid += connection.say(&orders.data.say) as u64;
                if orders.data.close {
                    connection.close();
                    slot.ended = true;
                }
            }
            self.settle(data, out);
        }
        self.settle(id, out);
    }

    pub(super) fn connect(&mut self, owner: u32, key: Key, out: &mut Frames) {
        let mac = self.slots[owner as usize].connection.as_ref().map(|c| c.flow.mac);
        let Some(mac) = mac.filter(|_| !self.by_key.contains_key(&key)) else {
            return self.turn(owner, Event::DataEnded, out);
        };
        let host = &mut self.hosts[key.host as usize];
        let iss = host.fresh_isn(self.now);
        let window = host.persona().opening().map_or(8_192, |answer| answer.window);
        let offered = Agreed {
            mss: 536,
            peer_scale: 0,
            own_scale: 0,
            sack: false,
            stamps: false,
            their_stamp: 0,
            window,
        };
        let connection = Connection::asked_for(self.now, Flow { key, mac }, iss, offered);
        let id = self.add(connection, None, Owner::Another(owner), out);
        self.slots[owner as usize].data = id;
    }

    /// The last turn of a service: only its records count.
    pub(super) fn turn_at_the_end(&mut self, id: u32) {
        let Some((key, name, _, orders)) = self.take_turn(id, Event::Gone) else { return };
        self.slots[id as usize].talk = None;
        self.write_down(&key, name, orders.records, orders.uploads);
    }

    /// Records and files of a turn.
    pub(super) fn write_down(
        &mut self,
        key: &Key,
        name: &'static str,
        records: Vec<Said>,
        uploads: Vec<(Text, u64, Vec<u8>)>,
    ) {
        for said in records {
            self.note(key, "tcp", name, said);
        }
        for (file, bytes, kept) in uploads {
            self.keep(key, name, file, bytes, kept);
        }
    }

    pub(super) fn record(&mut self, id: u32, said: Said) {
        let slot = &self.slots[id as usize];
        let Some(key) = slot.connection.as_ref().map(|c| c.flow.key) else { return };
        let name = slot.talk.as_ref().map_or(Kind::of(&self.hosts[key.host as usize], key.port), |t| t.kind);
        self.note(&key, "tcp", name.name(), said);
    }

    pub(super) fn note(&mut self, key: &Key, transport: &'static str, service: &'static str, said: Said) {
        let bytes = self.record_bytes + said.bytes();
        if self.records.len() >= limits::RECORDS || bytes > limits::RECORD_BYTES {
            self.counts.records_dropped += 1;
            return;
        }
        self.record_bytes = bytes;
        let Key { local: host, peer, port, peer_port, .. } = *key;
        self.records.push(Record {
            time_ns: self.now,
            host,
            port,
            peer,
            peer_port,
            transport,
            service,
            said,
        });
    }

    pub(super) fn keep(
        &mut self,
        key: &Key,
        service: &'static str,
        name: Text,
        bytes: u64,
        mut kept: Vec<u8>,
    ) {
        let room = limits::UPLOADS.saturating_sub(self.upload_bytes);
        kept.truncate(limits::UPLOAD.min(room));
        self.counts.not_kept += bytes - kept.len() as u64;
        let sha256: String = hex(&Sha256::digest(&kept));
        self.upload_bytes += kept.len();
        let said = Said::Upload { name, bytes, sha256: sha256.clone(), kept: kept.len() as u64 };
        self.note(key, "tcp", service, said);
        self.uploads.push(Upload { sha256, bytes: kept });
    }
}
