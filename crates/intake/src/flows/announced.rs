//! Connections that others announce: an ftp client says on which port the data will come.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_speech::protocols::Speaker;
use trapline_speech::protocols::ftp::FtpData;
use trapline_speech::{Channel, Dialogue, End, Side};
use trapline_wire::Time;

use crate::address::Address;
use crate::limits::{ANNOUNCED_NS, MAX_ANNOUNCED};
use crate::said::FlowKey;

/// Where a connection is expected that another one has announced: peer, host, who listens, its port.
pub(crate) type AnnouncedKey = (Address, u16, End, u16);

/// A connection that another one has announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Announced {
    until: Time,
    verb: String,
    object: String,
    /// The connection, once it is there.
    flow: Option<FlowKey>,
}

impl Announced {
    /// Its host has another index now.
    pub fn rename(&mut self, host: u16) {
        if let Some(flow) = &mut self.flow {
            flow.host = host;
        }
    }
}

/// What became of an announcement.
pub(super) enum Announcing {
    /// The connection is expected.
    Expected,
    /// It was expected without a name, and has one now; it may be there already.
    Named {
        /// The connection.
        flow: Option<FlowKey>,
        /// What it is for.
        verb: String,
        /// Of which file.
        object: String,
    },
    /// Too many are expected.
    NoRoom,
}

/// Those that are expected.
#[derive(Default)]
pub(super) struct Announcements(HashMap<AnnouncedKey, Announced>);

impl Announcements {
    /// The dialogue of a connection that has been announced.
    pub fn dialogue(&mut self, key: &FlowKey, now: Time) -> Option<Dialogue> {
        if self.0.is_empty() {
            return None;
        }
        for (listener, port) in [(End::Peer, key.peer_port), (End::Host, key.port)] {
            let place = (key.peer, key.host, listener, port);
            if let Some(announced) = self.0.get_mut(&place).filter(|a| a.until >= now && a.flow.is_none()) {
                announced.flow = Some(*key);
                let data = FtpData::new(&announced.verb, &announced.object);
                return Some(Dialogue::announced(Speaker::FtpData(data), listener.other()));
            }
        }
        None
    }

    /// A connection is announced by the one of `key`, or an announced one gets its name.
    pub fn announce(
        &mut self,
        key: &FlowKey,
        client: Option<End>,
        channel: Channel,
        now: Time,
    ) -> Announcing {
        let client = client.unwrap_or(End::Peer);
        let listener = if channel.listener == Side::Client { client } else { client.other() };
        let place = (key.peer, key.host, listener, channel.port);
        let Channel { verb, object, .. } = channel;
        if let Some(known) = self.0.get_mut(&place).filter(|a| a.until >= now && a.verb.is_empty()) {
            (known.verb, known.object) = (verb.clone(), object.clone());
            return Announcing::Named { flow: known.flow, verb, object };
        }
        if self.0.len() >= MAX_ANNOUNCED {
            self.forget(now);
        }
        if self.0.len() >= MAX_ANNOUNCED {
            return Announcing::NoRoom;
        }
        let until = now.saturating_add(ANNOUNCED_NS);
        self.0.insert(place, Announced { until, verb, object, flow: None });
        Announcing::Expected
    }

    /// Forgets those that have not come by `now`.
    pub fn forget(&mut self, now: Time) {
        self.0.retain(|_, a| a.until >= now);
    }

    /// Those that are expected at `now`.
    pub fn at(&self, now: Time) -> impl Iterator<Item = (&AnnouncedKey, &Announced)> {
        self.0.iter().filter(move |(_, a)| a.until >= now)
    }

    /// Takes in one of an earlier run.
    pub fn insert(&mut self, key: AnnouncedKey, announced: Announced) {
        self.0.insert(key, announced);
    }
}
