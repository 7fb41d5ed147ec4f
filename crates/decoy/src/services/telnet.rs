//! Telnet (RFC 854): options, a login by policy, a shell that runs nothing.

use super::shell::Shell;
use crate::limits::SECOND;
use crate::record::Said;
use crate::service::{Event, Lines, Service, Turn};

/// Whose login it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Red Hat Linux 7.3.
    RedHat,
    /// A router with BusyBox.
    BusyBox,
    /// A camera with BusyBox.
    Camera,
    /// Microsoft's Telnet Service of Windows 2000.
    Windows2000,
}

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const ECHO: u8 = 1;
const GO_AHEAD: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    User,
    Password,
    Refusing,
    Inside,
}

#[derive(Debug)]
pub(super) struct Telnet {
    face: Face,
    at: At,
    lines: Lines,
    /// A telnet command that has begun.
    command: Vec<u8>,
    user: Vec<u8>,
    refusals: u32,
    last: u8,
}

impl Telnet {
    pub fn new(face: Face) -> Self {
        Telnet {
            face,
            at: At::User,
            lines: Lines::default(),
            command: Vec::new(),
            user: Vec::new(),
            refusals: 0,
            last: 0,
        }
    }

    fn shell(&self) -> Shell {
        match self.face {
            Face::RedHat => Shell::RedHat,
            Face::BusyBox | Face::Camera => Shell::BusyBox,
            Face::Windows2000 => Shell::Windows2000,
        }
    }

    fn login(&self, turn: &Turn<'_>) -> String {
        match self.face {
            Face::RedHat => format!("{} login: ", turn.site.machine()),
            _ => "login: ".into(),
        }
    }

    fn greeting(&self, turn: &Turn<'_>) -> String {
        let above = match self.face {
            Face::RedHat => "Red Hat Linux release 7.3 (Valhalla)\r\nKernel 2.4.18-3 on an i686\r\n".into(),
            Face::BusyBox => format!("\r\n{} ", turn.site.choose("device", &["TL-WR841N", "DSL-2750U", "ADSL"])),
            Face::Camera => format!("\r\n{} ", turn.site.choose("device", &["IPCAM", "(none)", "IPCamera"])),
            Face::Windows2000 => "Microsoft (R) Windows (TM) Version 5.00 (Build 2195)\r\nWelcome to Microsoft Telnet Service \r\nTelnet Server Build 5.00.99206.1\r\n\r\n".into(),
        };
        above + &self.login(turn)
    }

    /// Takes a byte of a telnet command; true while there is more of it to come.
    fn negotiate(&mut self, byte: u8, turn: &mut Turn<'_>) -> bool {
        match (self.command.as_slice(), byte) {
            ([], IAC) | ([IAC], WILL | WONT | DO | DONT | SB) => {
                self.command.push(byte);
                true
            }
            ([], _) => false,
            ([IAC], IAC) => {
                self.command.clear();
                self.take(IAC, turn);
                true
            }
            ([IAC, WILL], option) => {
                turn.say([IAC, DONT, option]);
                self.command.clear();
                true
            }
            ([IAC, DO], option) => {
                // What was offered is not offered again: an answer to an answer would never end.
                if !matches!(option, ECHO | GO_AHEAD) {
                    turn.say([IAC, WONT, option]);
                }
                self.command.clear();
                true
            }
            ([IAC, SB, ..], SE) if self.command.last() == Some(&IAC) => {
                self.command.clear();
                true
            }
            ([IAC, SB, ..], byte) => {
                // Of a subnegotiation only its end matters.
                self.command.truncate(2);
                self.command.push(byte);
                true
            }
            _ => {
                self.command.clear();
                true
            }
        }
    }

    /// Takes a byte of what is typed, and shows it where it is not secret.
    fn take(&mut self, byte: u8, turn: &mut Turn<'_>) {
        // The end of a line is CR LF, CR NUL or LF (RFC 854, and what is really sent).
        let ends = byte == b'\r' || byte == b'\n' && self.last != b'\r';
        let second = matches!(byte, b'\n' | 0) && self.last == b'\r';
        self.last = byte;
        if second {
            return;
        }
        if ends {
            self.lines.take(b"\n");
            if self.at != At::Refusing {
                turn.say("\r\n");
            }
            return self.lines(turn);
        }
        if matches!(self.at, At::User | At::Inside) {
            turn.say([byte]);
        }
        self.lines.take(&[byte]);
    }

    fn lines(&mut self, turn: &mut Turn<'_>) {
        while self.at != At::Refusing
            && let Some(line) = self.lines.line()
        {
            self.line(&edited(&line), turn);
        }
    }

    fn line(&mut self, line: &[u8], turn: &mut Turn<'_>) {
        match self.at {
            At::User if line.is_empty() => turn.say(self.login(turn)),
            At::User => {
                self.user = line.to_vec();
                self.at = At::Password;
                turn.say(if self.face == Face::Windows2000 { "password: " } else { "Password: " });
            }
            At::Password => {
                if turn.login(&self.user, line) {
                    self.at = At::Inside;
                    turn.idle_for(900 * SECOND);
                    if self.face == Face::Windows2000 {
                        turn.say("\r\n*===============================================================\r\nWelcome to Microsoft Telnet Server.\r\n*===============================================================\r\n");
                    } else {
                        turn.say(self.shell().opening());
                    }
                    turn.say(self.shell().prompt(&self.name(), turn));
                } else {
                    self.at = At::Refusing;
                    self.refusals += 1;
                    turn.wake_after(2 * SECOND);
                }
            }
            At::Inside => {
                turn.command(line);
                let name = self.name();
                let (answer, over) = self.shell().answer(line, &name, turn);
                turn.say(answer);
                if over {
                    return turn.close();
                }
                turn.say(self.shell().prompt(&name, turn));
            }
            At::Refusing => {}
        }
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.user).chars().filter(|c| c.is_ascii_graphic()).take(32).collect()
    }
}

impl Service for Telnet {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Opened => {
                turn.idle_for(60 * SECOND);
                turn.say([IAC, WILL, ECHO, IAC, WILL, GO_AHEAD]);
                turn.say(self.greeting(turn));
            }
            Event::Heard(bytes) => {
                for byte in bytes {
                    if !self.negotiate(*byte, turn) {
                        self.take(*byte, turn);
                    }
                }
            }
            Event::Woken if self.at == At::Refusing => {
                self.at = At::User;
                turn.say(if self.face == Face::Windows2000 {
                    "The handle is invalid.\r\n\r\nLogin Failed\r\n\r\n"
                } else {
                    "Login incorrect\r\n\r\n"
                });
                if self.refusals >= 3 {
                    return turn.close();
                }
                turn.say(self.login(turn));
                self.lines(turn);
            }
            Event::Ended => turn.close(),
            Event::Gone => {
                if self.at == At::Password {
                    turn.record(Said::Login {
                        user: self.user.as_slice().into(),
                        password: None,
                        accepted: false,
                    });
                }
                turn.unfinished(&mut self.lines);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.lines.held()
    }
}

/// A line after its backspaces.
fn edited(line: &[u8]) -> Vec<u8> {
    line.iter().fold(Vec::new(), |mut out, byte| {
        match byte {
            8 | 127 => drop(out.pop()),
            byte => out.push(*byte),
        }
        out
    })
}
