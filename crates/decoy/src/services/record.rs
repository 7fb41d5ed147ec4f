//! A port that listens: it records what is said, as far as it is kept, and says nothing.

use crate::limits::RECORDED;
use crate::record::{Said, Text};
use crate::service::{Event, Service, Turn};

#[derive(Debug, Default)]
pub(super) struct Record {
    kept: Vec<u8>,
    bytes: u64,
}

impl Service for Record {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                let room = RECORDED - self.kept.len();
                self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.bytes += bytes.len() as u64;
            }
            Event::Ended => turn.close(),
            Event::Gone if self.bytes > 0 => {
                let data = Text(std::mem::take(&mut self.kept));
                turn.record(Said::Bytes { data, bytes: self.bytes });
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.kept.len()
    }
}
