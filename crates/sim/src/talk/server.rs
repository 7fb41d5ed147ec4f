//! What decoy hosts reply: an FTP server that lets guests in and write nothing, and a worm's shell.

use std::net::Ipv4Addr;

use crate::scenario::Host;

/// The FTP server of a host: wu-ftpd of Red Hat 7.3, or that of Windows NT 4 where the persona says Windows.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    name: String,
    address: Ipv4Addr,
    windows: bool,
    user: String,
    folder: String,
}

impl Server {
    pub fn of(host: &Host) -> Self {
        Server {
            name: host.name.clone(),
            address: host.addresses[0],
            windows: host.persona.starts_with("windows"),
            user: String::new(),
            folder: "/".into(),
        }
    }

    pub fn greeting(&self) -> String {
        match self.windows {
            true => format!("220 {} Microsoft FTP Service (Version 4.0).\r\n", self.name),
            false => format!("220 {} FTP server (Version wu-2.6.2-5) ready.\r\n", self.name),
        }
    }

    /// The reply to one command.
    pub fn reply(&mut self, line: &str) -> String {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let text = match command.to_uppercase().as_str() {
            "USER" => self.user(argument),
            "PASS" => self.password(),
            "SYST" if self.windows => "215 Windows_NT version 4.0".into(),
            "SYST" => "215 UNIX Type: L8".into(),
            "PWD" => format!("257 \"{}\" is current directory.", self.folder),
            "CWD" => self.enter(argument),
            "TYPE" => format!("200 Type set to {argument}."),
            "PORT" => "200 PORT command successful.".into(),
            "PASV" => {
                let [a, b, c, d] = self.address.octets();
                format!("227 Entering Passive Mode ({a},{b},{c},{d},4,20)")
            }
            "MKD" | "RMD" | "DELE" | "STOR" | "APPE" => self.refuse(command, argument),
            "QUIT" => "221 Goodbye.".into(),
            _ => format!("500 '{command}': command not understood."),
        };
        text + "\r\n"
    }

    fn is_guest(&self) -> bool {
        ["anonymous", "ftp"].contains(&self.user.as_str())
    }

    fn user(&mut self, name: &str) -> String {
        name.clone_into(&mut self.user);
        match (self.is_guest(), self.windows) {
            (false, _) => format!("331 Password required for {name}."),
            (true, true) => "331 Anonymous access allowed, send identity (e-mail name) as password.".into(),
            (true, false) => "331 Guest login ok, send your complete e-mail address as password.".into(),
        }
    }

    fn password(&self) -> String {
        match (self.is_guest(), self.windows) {
            (true, true) => "230 Anonymous user logged in.".into(),
            (true, false) => "230 Guest login ok, access restrictions apply.".into(),
            (false, true) => format!("530 User {} cannot log in.", self.user),
            (false, false) => "530 Login incorrect.".into(),
        }
    }

    /// There is a folder for guests, and nothing else.
    fn enter(&mut self, folder: &str) -> String {
        let folder = folder.trim_end_matches('/');
        match folder.trim_start_matches('/') {
            "" => self.folder = "/".into(),
            "pub" => self.folder = "/pub".into(),
            _ if self.windows => return format!("550 {folder}: The system cannot find the file specified."),
            _ => return format!("550 {folder}: No such file or directory."),
        }
        "250 CWD command successful.".into()
    }

    fn refuse(&self, command: &str, name: &str) -> String {
        match (self.windows, command) {
            (true, _) => format!("550 {name}: Access is denied."),
            (false, "STOR" | "APPE") => format!("553 {name}: Permission denied on server. (Upload)"),
            (false, _) => format!("550 {name}: Permission denied on server."),
        }
    }
}

/// Where a shell of Windows waits for commands.
const PROMPT: &str = "C:\\WINNT\\system32>";

/// What a shell of Windows says when it opens.
pub(super) fn shell_greeting(persona: &str) -> String {
    let version = match persona {
        "windows-nt4-server" => "Microsoft(R) Windows NT(TM)\r\n(C) Copyright 1985-1996 Microsoft Corp.",
        _ => "Microsoft Windows 2000 [Version 5.00.2195]\r\n(C) Copyright 1985-2000 Microsoft Corp.",
    };
    format!("{version}\r\n\r\n{PROMPT}")
}

/// The command as the shell repeats it, and its next prompt: nothing is fetched, nothing runs, nothing is said of it.
pub(super) fn shell_reply(line: &str) -> String {
    format!("{line}\r\n\r\n{PROMPT}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn check(host: usize, said: &[(&str, &str)]) {
        let mut server = Server::of(&Scenario::load("paper2003").unwrap().host[host]);
        for (command, expected) in said {
            assert_eq!(server.reply(command), format!("{expected}\r\n"));
        }
    }

    #[test]
    fn guests_come_in_and_write_nothing() {
        check(
            2,
            &[
                ("USER anonymous", "331 Guest login ok, send your complete e-mail address as password."),
                ("PASS Agpuser@home.com", "230 Guest login ok, access restrictions apply."),
                ("CWD /pub/", "250 CWD command successful."),
                ("PWD", "257 \"/pub\" is current directory."),
                ("MKD 030811132243p", "550 030811132243p: Permission denied on server."),
                ("CWD /incoming", "550 /incoming: No such file or directory."),
                ("PASV", "227 Entering Passive Mode (192,0,2,12,4,20)"),
                ("STOR 1mbtest.ptf", "553 1mbtest.ptf: Permission denied on server. (Upload)"),
            ],
        );
    }

    #[test]
    fn others_stay_outside() {
        check(
            1,
            &[
                ("USER administrator", "331 Password required for administrator."),
                ("PASS nt4", "530 User administrator cannot log in."),
                ("syst", "215 Windows_NT version 4.0"),
                ("XYZ", "500 'XYZ': command not understood."),
            ],
        );
    }
}
