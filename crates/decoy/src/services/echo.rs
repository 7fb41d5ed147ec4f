//! Echo (RFC 862): says back what it hears.

use crate::service::{Event, Service, Turn};

#[derive(Debug)]
pub(super) struct Echo;

impl Service for Echo {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => turn.say(bytes),
            Event::Ended => turn.close(),
            _ => {}
        }
    }

    fn held(&self) -> usize {
        0
    }
}
