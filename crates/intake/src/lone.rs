//! Payloads that stand alone: which of them are told already, and by which rows.

use hashbrown::HashMap;
use trapline_speech::{Body, End, Hash};

use crate::address::Address;
use crate::limits::{LONE_COMPARED, LONE_PAYLOADS};

/// Speaker and port of a lone payload: peer, host, protocol, the host's port, who speaks.
pub(crate) type LoneKey = (Address, u16, u8, u16, End);

/// Rows of a shard's day: the first, and how many.
pub(crate) type Rows = (u32, u32);

/// What is known of a payload.
pub(crate) enum Known {
    /// These rows tell it, or tell those beyond the limit, which it is one of.
    Told(Rows),
    /// It is new.
    New(Body),
    /// It is new, and its speaker has said too many others; no row tells those yet.
    TooMany,
}

/// The lone payloads of one day that have rows.
#[derive(Debug, Default)]
pub(crate) struct LonePayloads {
    speakers: HashMap<LoneKey, Speaker>,
    /// By the beginning of the payload's hash.
    rows: HashMap<(LoneKey, u128), Rows>,
}

#[derive(Debug, Default)]
struct Speaker {
    /// Its last payload, where that is short: most say the same thing again and again, and need not be hashed.
    last: Vec<u8>,
    last_rows: Rows,
    distinct: usize,
    /// The row that counts those beyond the limit.
    rest: Option<Rows>,
}

impl LonePayloads {
    /// What is known of a payload.
    pub fn look(&mut self, key: LoneKey, payload: &[u8]) -> Known {
        let Some(speaker) = self.speakers.get_mut(&key) else { return Known::New(Hash::of(payload)) };
        if !speaker.last.is_empty() && speaker.last == payload {
            return Known::Told(speaker.last_rows);
        }
        let body = Hash::of(payload);
        if let Some(rows) = self.rows.get(&(key, name(&body))) {
            speaker.remember(payload, *rows);
            return Known::Told(*rows);
        }
        match speaker.rest {
            _ if speaker.distinct < LONE_PAYLOADS => Known::New(body),
            Some(rest) => Known::Told(rest),
            None => Known::TooMany,
        }
    }

    /// A payload has rows now.
    pub fn insert(&mut self, key: LoneKey, payload: &[u8], body: &Body, rows: Rows) {
        self.rows.insert((key, name(body)), rows);
        let speaker = self.speakers.entry(key).or_default();
        speaker.distinct += 1;
        speaker.remember(payload, rows);
    }

    /// Those of a speaker that are beyond the limit have a row now.
    pub fn rest(&mut self, key: LoneKey, rows: Rows) {
        self.speakers.entry(key).or_default().rest = Some(rows);
    }

    /// A new day begins.
    pub fn clear(&mut self) {
        self.speakers.clear();
        self.rows.clear();
    }
}

impl Speaker {
    fn remember(&mut self, payload: &[u8], rows: Rows) {
        self.last.clear();
        if payload.len() <= LONE_COMPARED {
            self.last.extend_from_slice(payload);
        }
        self.last_rows = rows;
    }
}

fn name(body: &Body) -> u128 {
    u128::from_be_bytes(body.sha256[..16].try_into().expect("16 of 32 bytes"))
}
