//! Microsoft SQL Server (MS-TDS): prelogin, login, batches. Every batch is recorded and none is run.

use super::dcerpc::{le16, le32, netbios_name};
use crate::record::Said;
use crate::service::{Event, Service, Turn};

const HEADER: usize = 8;
/// The longest message that is kept.
const MESSAGE: usize = 65_536;

const BATCH: u8 = 1;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;
const TABULAR: u8 = 4;

#[derive(Debug)]
pub(super) struct Tds {
    begun: Vec<u8>,
    message: Vec<u8>,
    inside: bool,
    /// Whether the client counts rows in eight bytes, as from version 7.2 on.
    wide: bool,
}

impl Tds {
    pub fn new() -> Self {
        Tds { begun: Vec::new(), message: Vec::new(), inside: false, wide: false }
    }

    fn message(&mut self, kind: u8, message: &[u8], turn: &mut Turn<'_>) {
        match kind {
            PRELOGIN => {
                // Version, no encryption, no instance, no thread: options with offsets, then their values (2.2.6.5).
                let mut body = vec![0, 0, 21, 0, 6, 1, 0, 27, 0, 1, 2, 0, 28, 0, 1, 3, 0, 29, 0, 0, 0xff];
                // SQL Server 2000 with service pack 3: 8.00.760.
                body.extend([8, 0, 0x02, 0xf8, 0, 0]);
                body.extend([2, 0]);
                turn.say(packet(&body));
            }
            LOGIN => self.login(message, turn),
            BATCH if self.inside => {
                // From the version 7.2 on headers stand before the text (2.2.5.3); their length is the first word.
                let headers =
                    le32(message, 0).filter(|n| (22..256).contains(n) && (*n as usize) < message.len());
                let text = utf16(&message[headers.unwrap_or(0) as usize..]);
                turn.command(text.as_bytes());
                turn.say(packet(&done(0, self.wide)));
            }
            _ => {
                turn.bytes(message);
                turn.close();
            }
        }
    }

    fn login(&mut self, message: &[u8], turn: &mut Turn<'_>) {
        let part = |at: usize| -> &[u8] {
            let start = usize::from(le16(message, at).unwrap_or(0));
            let length = usize::from(le16(message, at + 2).unwrap_or(0)) * 2;
            let rest = message.get(start..).unwrap_or_default();
            &rest[..rest.len().min(length)]
        };
        // Offsets and lengths of 2.2.6.4: host, user, password, program.
        let (user, program) = (utf16(part(40)), utf16(part(48)));
        // A password is hidden by swapping halves and turning bits over.
        let password: Vec<u8> = part(44).iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect();
        let password = utf16(&password);
        turn.record(Said::Client { name: format!("{program} on {}", utf16(part(36))).as_str().into() });
        self.wide = le32(message, 4).is_some_and(|version| version >= 0x7209_0002);
        self.inside = turn.login(user.as_bytes(), password.as_bytes());
        let server = netbios_name(turn.site);
        let mut out = Vec::new();
        if self.inside {
            token(&mut out, 0xad, |body| {
                body.push(1);
                body.extend(message.get(4..8).unwrap_or(&[1, 0, 0, 0x71]).iter().rev());
                counted(body, "Microsoft SQL Server");
                body.extend([8, 0, 0x02, 0xf8]);
            });
            token(&mut out, 0xe3, |body| {
                body.push(1);
                counted(body, "master");
                counted(body, "master");
            });
            out.extend(done(0, self.wide));
        } else {
            token(&mut out, 0xaa, |body| {
                body.extend(18_456u32.to_le_bytes());
                body.extend([1, 14]);
                let text = format!("Login failed for user '{user}'.");
                body.extend((text.encode_utf16().count() as u16).to_le_bytes());
                body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
                counted(body, &server);
                counted(body, "");
                body.extend([0, 0]);
            });
            const ERROR: u16 = 2;
            out.extend(done(ERROR, self.wide));
        }
        turn.say(packet(&out));
        if !self.inside {
            turn.close();
        }
    }
}

/// A token with its length.
fn token(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    out.push(kind);
    out.extend((body.len() as u16).to_le_bytes());
    out.extend(body);
}

/// UTF-16 with its count of characters.
fn counted(out: &mut Vec<u8>, text: &str) {
    out.push(text.encode_utf16().count().min(255) as u8);
    out.extend(text.encode_utf16().take(255).flat_map(u16::to_le_bytes));
}

fn done(status: u16, wide: bool) -> Vec<u8> {
    [&[0xfd][..], &status.to_le_bytes(), &[0; 10][..if wide { 10 } else { 6 }]].concat()
}

fn packet(body: &[u8]) -> Vec<u8> {
    const LAST: u8 = 1;
    let length = ((HEADER + body.len()) as u16).to_be_bytes();
    [&[TABULAR, LAST, length[0], length[1], 0, 51, 1, 0], body].concat()
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16_lossy(&units)
}

impl Service for Tds {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                self.begun.extend_from_slice(bytes);
                while let Some([kind, status, high, low, ..]) = self.begun.first_chunk::<HEADER>().copied() {
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < HEADER || !matches!(kind, 1..=18) {
                        turn.bytes(&std::mem::take(&mut self.begun));
                        return turn.close();
                    }
                    if self.begun.len() < length {
                        break;
                    }
                    let packet: Vec<u8> = self.begun.drain(..length).collect();
                    let room = MESSAGE.saturating_sub(self.message.len()).min(packet.len() - HEADER);
                    self.message.extend_from_slice(&packet[HEADER..HEADER + room]);
                    const LAST: u8 = 1;
                    if status & LAST != 0 {
                        let message = std::mem::take(&mut self.message);
                        self.message(kind, &message, turn);
                    }
                }
            }
            Event::Ended => turn.close(),
            Event::Gone if !self.begun.is_empty() => {
                turn.bytes(&self.begun);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.begun.len() + self.message.len()
    }
}
