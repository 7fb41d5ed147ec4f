//! What hosts offer: one file for each service.

mod echo;
mod record;

use crate::host::{Host, Port};
use crate::service::Service;

/// A service with the face that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Accepts, records what is said, and says nothing.
    Record,
    /// Says back what it hears (RFC 862).
    Echo,
}

impl Kind {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Record => "record",
            Kind::Echo => "echo",
        }
    }

    /// The kind at a port of a host.
    pub(crate) fn of(host: &Host, port: u16) -> Kind {
        match host.wiring().ports.tcp(port) {
            Port::Service(kind) => kind,
            _ => Kind::Record,
        }
    }

    /// The service at the beginning of a connection.
    pub fn start(self) -> Box<dyn Service> {
        match self {
            Kind::Record => Box::new(record::Record::default()),
            Kind::Echo => Box::new(echo::Echo),
        }
    }
}

/// Services over UDP.
pub(crate) mod datagram {
    use super::Kind;
    use crate::record::Said;
    use crate::service::Turn;

    /// Answers a datagram; what is longer than the question is not sent.
    pub fn answer(kind: Kind, question: &[u8], turn: &mut Turn<'_>) {
        match kind {
            Kind::Echo => turn.say(question),
            _ => turn.record(Said::Bytes { data: question.into(), bytes: question.len() as u64 }),
        }
    }
}
