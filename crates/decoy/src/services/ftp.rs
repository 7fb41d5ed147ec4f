//! FTP (RFC 959, 2428): an anonymous area and logins by policy, files both ways over active and passive data connections. A data
//! connection goes to the visitor's own address, whatever it asks for.

use crate::dates::Date;
use crate::files::{Files, Node, parent, resolved};
use crate::limits::{SECOND, UPLOAD};
use crate::record::Said;
use crate::service::{Event, Lines, Service, Turn};

/// Whose server it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Microsoft's of Internet Information Server 4.0.
    Iis4,
    /// Microsoft's of Internet Information Services 5.0.
    Iis5,
    /// Washington University's 2.6.2, as Red Hat Linux 7.3 installs it.
    WuFtpd,
    /// vsftpd 3.0.3.
    Vsftpd,
}

impl Face {
    fn microsoft(self) -> bool {
        matches!(self, Face::Iis4 | Face::Iis5)
    }
}

#[derive(Debug)]
enum Transfer {
    Send(Vec<u8>),
    Take { path: Vec<u8>, bytes: u64, kept: Vec<u8> },
}

#[derive(Debug)]
pub(super) struct Ftp {
    face: Face,
    lines: Lines,
    files: Option<Files>,
    user: Vec<u8>,
    inside: bool,
    anonymous: bool,
    directory: Vec<u8>,
    /// Where a PORT command leads; a passive port needs no word.
    active: Option<u16>,
    passive: bool,
    data_open: bool,
    transfer: Option<Transfer>,
    renamed: Option<Vec<u8>>,
    restart: usize,
    refusals: u32,
    /// What is said when a refusal has taken its time.
    later: Option<String>,
}

impl Ftp {
    pub fn new(face: Face) -> Self {
        Ftp {
            face,
            lines: Lines::default(),
            files: None,
            user: Vec::new(),
            inside: false,
            anonymous: false,
            directory: b"/".to_vec(),
            active: None,
            passive: false,
            data_open: false,
            transfer: None,
            renamed: None,
            restart: 0,
            refusals: 0,
            later: None,
        }
    }

    fn files(&mut self, turn: &Turn<'_>) -> &mut Files {
        self.files.get_or_insert_with(|| Files::new(turn.site, turn.now / SECOND))
    }

    fn greeting(&self, turn: &Turn<'_>) -> String {
        let host = turn.site.host_name();
        match self.face {
            Face::Iis4 => format!("220 {} Microsoft FTP Service (Version 4.0).\r\n", turn.site.machine()),
            Face::Iis5 => format!("220 {} Microsoft FTP Service (Version 5.0).\r\n", turn.site.machine()),
            Face::WuFtpd => format!("220 {host} FTP server (Version wu-2.6.2-5) ready.\r\n"),
            Face::Vsftpd => "220 (vsFTPd 3.0.3)\r\n".into(),
        }
    }

    fn lines(&mut self, turn: &mut Turn<'_>) {
        // A server reads no further while it transfers or waits, but for who wants to break that off.
        let aborts = self.lines.begun().windows(4).any(|word| word.eq_ignore_ascii_case(b"ABOR"));
        while self.later.is_none()
            && (self.transfer.is_none() || aborts)
            && let Some(line) = self.lines.line()
        {
            // A telnet synch before ABOR is no part of the command (RFC 959 4.1.3).
            let start = line.iter().position(|byte| *byte < 0xf0).unwrap_or(line.len());
            self.command(&line[start..], turn);
        }
    }

    fn command(&mut self, line: &[u8], turn: &mut Turn<'_>) {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let verb = String::from_utf8_lossy(&line[..end]).to_ascii_uppercase();
        let argument = line.get(end + 1..).unwrap_or_default().to_vec();
        if verb != "PASS" {
            turn.command(line);
        }
        match verb.as_str() {
            "USER" => self.name(argument, turn),
            "PASS" => self.password(&argument, turn),
            "QUIT" => {
                turn.say(match self.face {
                    Face::WuFtpd => "221-You have transferred 0 bytes in 0 files.\r\n221-Thank you for using the FTP service.\r\n221 Goodbye.\r\n",
                    Face::Vsftpd => "221 Goodbye.\r\n",
                    _ => "221  \r\n",
                });
                turn.close();
            }
            "FEAT" if self.face == Face::Vsftpd => {
                turn.say("211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n");
            }
            "AUTH" if self.face == Face::Vsftpd => turn.say("530 Please login with USER and PASS.\r\n"),
            "SYST" if self.inside || self.face == Face::WuFtpd => turn.say(if self.face.microsoft() {
                format!("215 Windows_NT version {}.0\r\n", if self.face == Face::Iis4 { 4 } else { 5 })
            } else {
                "215 UNIX Type: L8\r\n".into()
            }),
            "NOOP" if self.inside => turn.say(if self.face == Face::Vsftpd { "200 NOOP ok.\r\n" } else { "200 NOOP command successful.\r\n" }),
            "HELP" => turn.say("214-The following commands are recognized.\r\n USER PASS QUIT PORT PASV TYPE MODE STRU RETR STOR APPE LIST NLST\r\n CWD CDUP PWD MKD RMD DELE RNFR RNTO SIZE MDTM SYST NOOP HELP\r\n214 Help OK.\r\n"),
            _ if !self.inside => turn.say("530 Please login with USER and PASS.\r\n"),
            _ => self.inside(&verb, argument, turn),
        }
    }

    fn name(&mut self, name: Vec<u8>, turn: &mut Turn<'_>) {
        self.anonymous = name.eq_ignore_ascii_case(b"anonymous") || name.eq_ignore_ascii_case(b"ftp");
        self.inside = false;
        turn.say(match (self.face, self.anonymous) {
            (Face::Vsftpd, _) => "331 Please specify the password.\r\n".into(),
            (Face::WuFtpd, true) => {
                "331 Guest login ok, send your complete e-mail address as password.\r\n".into()
            }
            (_, true) => "331 Anonymous access allowed, send identity (e-mail name) as password.\r\n".into(),
            (_, false) => format!("331 Password required for {}.\r\n", printable(&name)),
        });
        self.user = name;
    }

    fn password(&mut self, password: &[u8], turn: &mut Turn<'_>) {
        if self.user.is_empty() {
            return turn.say("503 Login with USER first.\r\n");
        }
        self.inside = if self.anonymous {
            let (user, password) = (self.user.as_slice().into(), Some(password.into()));
            turn.record(Said::Login { user, password, accepted: true });
            true
        } else {
            turn.login(&self.user, password)
        };
        let name = printable(&self.user);
        if self.inside {
            self.directory = b"/".to_vec();
            return turn.say(match (self.face, self.anonymous) {
                (Face::Vsftpd, _) => "230 Login successful.\r\n".into(),
                (Face::WuFtpd, true) => "230 Guest login ok, access restrictions apply.\r\n".into(),
                (_, true) => "230 Anonymous user logged in.\r\n".into(),
                (_, false) => format!("230 User {name} logged in.\r\n"),
            });
        }
        self.refusals += 1;
        self.later = Some(match self.face {
            Face::Vsftpd | Face::WuFtpd => "530 Login incorrect.\r\n".into(),
            _ => format!("530 User {name} cannot log in.\r\n"),
        });
        // The servers of Unix wait before they refuse, against guessing; Microsoft's did not.
        turn.wake_after(if self.face.microsoft() { SECOND / 20 } else { SECOND });
    }

    fn inside(&mut self, verb: &str, argument: Vec<u8>, turn: &mut Turn<'_>) {
        let path = resolved(&self.directory, &argument);
        let shown = printable(&argument);
        match verb {
            "TYPE" => match argument.first().map(u8::to_ascii_uppercase) {
                Some(kind @ (b'A' | b'I' | b'L')) => turn.say(if self.face == Face::Vsftpd {
                    format!("200 Switching to {} mode.\r\n", if kind == b'A' { "ASCII" } else { "Binary" })
                } else {
                    format!("200 Type set to {}.\r\n", char::from(kind))
                }),
                _ => turn.say("501 Syntax error in parameters or arguments.\r\n"),
            },
            "MODE" => turn.say("200 MODE S ok.\r\n"),
            "STRU" => turn.say("200 STRU F ok.\r\n"),
            "ALLO" | "ACCT" => turn.say("202 Command not necessary.\r\n"),
            "OPTS" => turn.say("501 Option not understood.\r\n"),
            "SITE" => turn.say("500 'SITE': command not understood\r\n"),
            "PWD" | "XPWD" => {
                let end = if self.face == Face::Vsftpd {
                    "is the current directory"
                } else {
                    "is current directory."
                };
                turn.say(format!("257 \"{}\" {end}\r\n", printable(&self.directory)));
            }
            "CWD" | "XCWD" => self.enter(&path, &shown, turn),
            "CDUP" | "XCUP" => self.enter(parent(&self.directory.clone()), "..", turn),
            "PORT" => self.port(&argument, turn),
            "EPRT" => self.eprt(&argument, turn),
            "PASV" => {
                let port = turn.expect_data();
                self.expect();
                let [a, b, c, d] = turn.local_v4().octets();
                let words = if self.face == Face::Vsftpd {
                    "Entering Passive Mode"
                } else {
                    "Entering Passive Mode "
                };
                let end = if self.face == Face::Vsftpd { "." } else { "" };
                turn.say(format!(
                    "227 {} ({a},{b},{c},{d},{},{}){end}\r\n",
                    words.trim_end(),
                    port >> 8,
                    port & 0xff
                ));
            }
            "EPSV" if !self.face.microsoft() => {
                let port = turn.expect_data();
                self.expect();
                turn.say(format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"));
            }
            "REST" => {
                self.restart = String::from_utf8_lossy(&argument).trim().parse().unwrap_or(0);
                turn.say(format!("350 Restarting at {}.\r\n", self.restart));
            }
            "LIST" | "NLST" => {
                let wanted = argument
                    .split(|byte| *byte == b' ')
                    .find(|word| !word.starts_with(b"-") && !word.is_empty());
                let path = wanted.map_or(self.directory.clone(), |name| resolved(&self.directory, name));
                let listing = self.listing(&path, verb == "NLST", turn);
                self.transfer(Transfer::Send(listing), "file list", turn);
            }
            "RETR" => {
                let restart = std::mem::take(&mut self.restart);
                let found = self.files(turn).get(&path).filter(|node| !node.directory).cloned();
                match found {
                    Some(node) => {
                        let content = node.content.get(restart..).unwrap_or_default().to_vec();
                        self.transfer(
                            Transfer::Send(content),
                            &format!("{shown} ({} bytes)", node.bytes),
                            turn,
                        );
                    }
                    None => turn.say(self.missing(&shown)),
                }
            }
            "STOR" | "APPE" | "STOU" => {
                let name = if argument.is_empty() { b"upload".to_vec() } else { argument };
                let path = resolved(&self.directory, &name);
                let there = self.files(turn).get(parent(&path)).is_some_and(|node| node.directory);
                // Visitors may leave files where visitors may, those with a name of their own anywhere.
                if there && (!self.anonymous || path.starts_with(b"/incoming/")) {
                    self.transfer(Transfer::Take { path, bytes: 0, kept: Vec::new() }, &shown, turn);
                } else {
                    turn.say(self.denied(&shown));
                }
            }
            "SIZE" => match self.files(turn).get(&path).filter(|node| !node.directory).map(|node| node.bytes)
            {
                Some(bytes) => turn.say(format!("213 {bytes}\r\n")),
                None => turn.say(self.missing(&shown)),
            },
            "MDTM" => match self.files(turn).get(&path).map(|node| Date::of(node.written_s)) {
                Some(d) => turn.say(format!(
                    "213 {:04}{:02}{:02}{:02}{:02}{:02}\r\n",
                    d.year, d.month, d.day, d.hour, d.minute, d.second
                )),
                None => turn.say(self.missing(&shown)),
            },
            "MKD" | "XMKD" => {
                let node =
                    Node { directory: true, content: Vec::new(), bytes: 0, written_s: turn.now / SECOND };
                let allowed = !self.anonymous || path.starts_with(b"/incoming/");
                if allowed && self.files(turn).get(&path).is_none() && self.files(turn).put(&path, node) {
                    turn.say(format!("257 \"{}\" directory created.\r\n", printable(&path)));
                } else {
                    turn.say(self.denied(&shown));
                }
            }
            "DELE" | "RMD" | "XRMD" => {
                let allowed = path != b"/" && (!self.anonymous || path.starts_with(b"/incoming/"));
                if allowed && self.files(turn).remove(&path).is_some() {
                    turn.say(format!("250 {verb} command successful.\r\n"));
                } else {
                    turn.say(self.denied(&shown));
                }
            }
            "RNFR" => {
                if self.files(turn).get(&path).is_some() {
                    self.renamed = Some(path);
                    turn.say("350 File exists, ready for destination name\r\n");
                } else {
                    turn.say(self.missing(&shown));
                }
            }
            "RNTO" => {
                let from = self.renamed.take();
                let node = from.and_then(|from| self.files(turn).remove(&from));
                if node.is_some_and(|node| self.files(turn).put(&path, node)) {
                    turn.say("250 RNTO command successful.\r\n");
                } else {
                    turn.say("503 Bad sequence of commands.\r\n");
                }
            }
            "STAT" => turn.say(format!(
                "211-{} FTP server status:\r\n     Connected to {}\r\n211 End of status\r\n",
                turn.site.host_name(),
                turn.peer
            )),
            "ABOR" => {
                if self.transfer.take().is_some() {
                    turn.drop_data();
                    turn.say("426 Transfer aborted. Data connection closed.\r\n");
                }
                turn.say("226 Abort successful\r\n");
            }
            _ => turn.say(if self.face == Face::Vsftpd {
                "500 Unknown command.\r\n".into()
            } else {
                format!("500 '{} {shown}': command not understood\r\n", printable(verb.as_bytes()))
            }),
        }
    }

    fn expect(&mut self) {
        (self.active, self.passive, self.data_open) = (None, true, false);
    }

    fn missing(&self, shown: &str) -> String {
        match self.face {
            Face::Vsftpd => "550 Failed to open file.\r\n".into(),
            Face::WuFtpd => format!("550 {shown}: No such file or directory.\r\n"),
            _ => format!("550 {shown}: The system cannot find the file specified. \r\n"),
        }
    }

    fn denied(&self, shown: &str) -> String {
        match self.face {
            Face::Vsftpd => "553 Could not create file.\r\n".into(),
            Face::WuFtpd => format!("553 {shown}: Permission denied on server. (Upload)\r\n"),
            _ => format!("550 {shown}: Access is denied. \r\n"),
        }
    }

    fn enter(&mut self, path: &[u8], shown: &str, turn: &mut Turn<'_>) {
        if self.files(turn).get(path).is_some_and(|node| node.directory) {
            self.directory = path.to_vec();
            turn.say(if self.face == Face::Vsftpd {
                "250 Directory successfully changed.\r\n"
            } else {
                "250 CWD command successful.\r\n"
            });
        } else {
            turn.say(match self.face {
                Face::Vsftpd => "550 Failed to change directory.\r\n".into(),
                Face::WuFtpd => format!("550 {shown}: No such file or directory.\r\n"),
                _ => format!("550 {shown}: The system cannot find the path specified. \r\n"),
            });
        }
    }

    fn port(&mut self, argument: &[u8], turn: &mut Turn<'_>) {
        let text = String::from_utf8_lossy(argument);
        let numbers: Vec<u8> = text.trim().split(',').filter_map(|n| n.trim().parse().ok()).collect();
        let [a, b, c, d, high, low] = numbers[..] else {
            return turn.say("501 Syntax error in parameters or arguments.\r\n");
        };
        self.active_at(std::net::IpAddr::from([a, b, c, d]), u16::from_be_bytes([high, low]), turn, "PORT");
    }

    fn eprt(&mut self, argument: &[u8], turn: &mut Turn<'_>) {
        let text = String::from_utf8_lossy(argument).into_owned();
        let parts: Vec<&str> = text.split('|').collect();
        match (parts.get(2).and_then(|a| a.parse().ok()), parts.get(3).and_then(|p| p.parse().ok())) {
            (Some(address), Some(port)) if !self.face.microsoft() => {
                self.active_at(address, port, turn, "EPRT")
            }
            _ => turn.say("501 Syntax error in parameters or arguments.\r\n"),
        }
    }

    fn active_at(&mut self, address: std::net::IpAddr, port: u16, turn: &mut Turn<'_>, verb: &str) {
        // Never to anybody else, and to no port that a server of the visitor's may listen at (RFC 2577 3).
        if address != turn.peer || port < 1_024 {
            return turn.say(if self.face == Face::Vsftpd {
                "500 Illegal PORT command.\r\n"
            } else {
                "500 Invalid PORT Command.\r\n"
            });
        }
        (self.active, self.passive, self.data_open) = (Some(port), false, false);
        turn.drop_data();
        turn.say(if self.face == Face::Vsftpd {
            format!("200 {verb} command successful. Consider using PASV.\r\n")
        } else {
            format!("200 {verb} command successful.\r\n")
        });
    }

    /// Begins a transfer: at once where the data connection is there.
    fn transfer(&mut self, transfer: Transfer, what: &str, turn: &mut Turn<'_>) {
        if !self.passive && self.active.is_none() {
            return turn.say(if self.face == Face::Vsftpd {
                "425 Use PORT or PASV first.\r\n"
            } else {
                "425 Can't open data connection.\r\n"
            });
        }
        let listing = what == "file list";
        turn.say(match self.face {
            Face::Vsftpd if listing => "150 Here comes the directory listing.\r\n".into(),
            Face::Vsftpd if matches!(transfer, Transfer::Take { .. }) => "150 Ok to send data.\r\n".into(),
            Face::Vsftpd => format!("150 Opening BINARY mode data connection for {what}.\r\n"),
            _ if self.data_open && self.face.microsoft() => {
                "125 Data connection already open; Transfer starting.\r\n".into()
            }
            _ if listing => "150 Opening ASCII mode data connection for /bin/ls.\r\n".into(),
            _ => format!("150 Opening BINARY mode data connection for {what}.\r\n"),
        });
        self.transfer = Some(transfer);
        if let Some(port) = self.active.take() {
            turn.connect_data(20, port);
        } else if self.data_open {
            self.send(turn);
        }
    }

    fn send(&mut self, turn: &mut Turn<'_>) {
        if let Some(Transfer::Send(content)) = &mut self.transfer {
            turn.say_data(std::mem::take(content));
            turn.close_data();
        }
    }

    fn transferred(&mut self, turn: &mut Turn<'_>) {
        (self.passive, self.data_open, self.active) = (false, false, None);
        turn.drop_data();
        match self.transfer.take() {
            Some(Transfer::Take { path, bytes, kept }) => {
                let node =
                    Node { directory: false, content: kept.clone(), bytes, written_s: turn.now / SECOND };
                self.files(turn).put(&path, node);
                turn.keep(&path, bytes, kept);
            }
            Some(Transfer::Send(_)) => {}
            None => return,
        }
        turn.say("226 Transfer complete.\r\n");
        self.lines(turn);
    }

    /// A directory as `ls -l` or as `dir` shows it.
    fn listing(&mut self, path: &[u8], names_only: bool, turn: &Turn<'_>) -> Vec<u8> {
        let microsoft = self.face.microsoft();
        let now_s = turn.now / SECOND;
        let files = self.files(turn);
        let mut out = Vec::new();
        let single: Vec<(Vec<u8>, Node)> = match files.get(path) {
            Some(node) if !node.directory => {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
                vec![(name, node.clone())]
            }
            _ => files.list(path).map(|(name, node)| (name.to_vec(), node.clone())).collect(),
        };
        for (name, node) in single {
            let d = Date::of(node.written_s);
            if !names_only && microsoft {
                let (hour, half) =
                    (if d.hour % 12 == 0 { 12 } else { d.hour % 12 }, if d.hour < 12 { "AM" } else { "PM" });
                let size = if node.directory {
                    "      <DIR>         ".into()
                } else {
                    format!("{:>20}", node.bytes)
                };
                out.extend(
                    format!(
                        "{:02}-{:02}-{:02}  {hour:02}:{:02}{half} {size} ",
                        d.month,
                        d.day,
                        d.year % 100,
                        d.minute
                    )
                    .bytes(),
                );
            } else if !names_only {
                let mode = if node.directory { "drwxr-xr-x    2" } else { "-rw-r--r--    1" };
                let recent = now_s - node.written_s < 182 * 86_400;
                let when =
                    if recent { format!("{:02}:{:02}", d.hour, d.minute) } else { format!(" {}", d.year) };
                let size = if node.directory { 4_096 } else { node.bytes };
                out.extend(
                    format!("{mode} 0        0        {size:>8} {} {:02} {when} ", d.month_name(), d.day)
                        .bytes(),
                );
            }
            out.extend_from_slice(&name);
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

impl Service for Ftp {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Opened => turn.say(self.greeting(turn)),
            Event::Heard(bytes) => {
                self.lines.take(bytes);
                self.lines(turn);
            }
            Event::Woken => {
                if let Some(refusal) = self.later.take() {
                    turn.say(refusal);
                    if self.refusals >= 3 && self.face != Face::Iis4 {
                        return turn.close();
                    }
                }
                self.lines(turn);
            }
            Event::DataOpened => {
                self.data_open = true;
                self.send(turn);
            }
            Event::DataHeard(data) => {
                if let Some(Transfer::Take { bytes, kept, .. }) = &mut self.transfer {
                    *bytes += data.len() as u64;
                    let room = UPLOAD.saturating_sub(kept.len()).min(data.len());
                    kept.extend_from_slice(&data[..room]);
                }
            }
            Event::DataSaid if matches!(self.transfer, Some(Transfer::Send(_))) => self.transferred(turn),
            Event::DataEnded if self.data_open => self.transferred(turn),
            Event::DataEnded if self.transfer.take().is_some() => {
                self.active = None;
                turn.say("425 Can't open data connection.\r\n");
                self.lines(turn);
            }
            Event::Ended => turn.close(),
            Event::Gone => {
                if let Some(Transfer::Take { path, bytes, kept }) = self.transfer.take() {
                    turn.keep(&path, bytes, kept);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        let taken = match &self.transfer {
            Some(Transfer::Take { kept: bytes, .. } | Transfer::Send(bytes)) => bytes.len(),
            None => 0,
        };
        self.lines.held() + taken + self.files.as_ref().map_or(0, Files::held)
    }
}

/// What a visitor said, as it may be said back.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(256).map(|b| if (b' '..=b'~').contains(b) { char::from(*b) } else { '?' }).collect()
}
