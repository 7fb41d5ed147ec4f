//! Command lines: a login shell behind telnet, and the bare one at the port where worms of 2003 left it (W32.Blaster, TCP 4444).
//! Nothing is run: a few commands have an answer, every line is recorded.

use crate::limits::SECOND;
use crate::service::{Event, Fetch, Lines, Service, Turn};

/// Whose shell it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// `cmd.exe` of Windows 2000.
    Windows2000,
    /// `cmd.exe` of Windows XP.
    WindowsXp,
    /// bash of Red Hat Linux 7.3.
    RedHat,
    /// bash of Debian 12.
    Debian,
    /// ash of BusyBox, as routers and cameras have it.
    BusyBox,
}

impl Shell {
    /// What stands above the first prompt.
    pub fn opening(self) -> &'static str {
        match self {
            Shell::Windows2000 => {
                "Microsoft Windows 2000 [Version 5.00.2195]\r\n(C) Copyright 1985-2000 Microsoft Corp.\r\n\r\n"
            }
            Shell::WindowsXp => {
                "Microsoft Windows XP [Version 5.1.2600]\r\n(C) Copyright 1985-2001 Microsoft Corp.\r\n\r\n"
            }
            Shell::RedHat => "",
            Shell::Debian => {
                "\r\nThe programs included with the Debian GNU/Linux system are free software;\r\nthe exact distribution terms for each program are described in the\r\nindividual files in /usr/share/doc/*/copyright.\r\n\r\nDebian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\r\npermitted by applicable law.\r\n"
            }
            Shell::BusyBox => {
                "\r\n\r\nBusyBox v1.19.4 (2013-11-15 11:20:41 CST) built-in shell (ash)\r\nEnter 'help' for a list of built-in commands.\r\n\r\n"
            }
        }
    }

    /// The prompt.
    pub fn prompt(self, user: &str, turn: &Turn<'_>) -> String {
        match self {
            Shell::Windows2000 => "C:\\WINNT\\system32>".into(),
            Shell::WindowsXp => "C:\\WINDOWS\\system32>".into(),
            Shell::RedHat => {
                format!("[{user}@{} {user}]{} ", turn.site.machine(), if user == "root" { '#' } else { '$' })
            }
            Shell::Debian => {
                let end = if user == "root" { '#' } else { '$' };
                format!("{user}@{}:~{end} ", turn.site.machine())
            }
            Shell::BusyBox => "# ".into(),
        }
    }

    fn windows(self) -> bool {
        matches!(self, Shell::Windows2000 | Shell::WindowsXp)
    }

    /// Runs nothing: what the line's first command would say, and whether the shell ends.
    pub fn answer(self, line: &[u8], user: &str, turn: &mut Turn<'_>) -> (String, bool) {
        let mut out = String::new();
        let line = String::from_utf8_lossy(line).into_owned();
        for command in line.split([';', '&', '|']).map(str::trim).filter(|c| !c.is_empty()).take(64) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let Some(name) =
                words.first().map(|w| w.rsplit(['/', '\\']).next().unwrap_or(w).to_ascii_lowercase())
            else {
                continue;
            };
            let name = name.strip_suffix(".exe").unwrap_or(&name).to_owned();
            match name.as_str() {
                "exit" | "logout" | "quit" => return (out, true),
                "tftp" => out += &self.tftp(&words, turn),
                "echo" => {
                    // Botnets ask for bytes in hexadecimal to see whether they met a shell.
                    let text = command.split_once(char::is_whitespace).map_or("", |(_, text)| text).trim();
                    let text =
                        text.strip_prefix("-ne").or_else(|| text.strip_prefix("-e")).unwrap_or(text).trim();
                    out += &unescaped(text.trim_matches(['"', '\'']));
                    out += "\r\n";
                }
                _ if self.windows() => out += &self.windows_answer(&name, command, turn),
                _ => out += &self.unix(&name, &words, user, turn),
            }
        }
        (out, false)
    }

    /// `tftp -i ADDRESS GET FILE` of Windows, `tftp -g -r FILE ADDRESS` of BusyBox.
    fn tftp(self, words: &[&str], turn: &mut Turn<'_>) -> String {
        let server = words.iter().find_map(|word| word.parse().ok());
        let after = |option: &str| {
            words.iter().position(|w| w.eq_ignore_ascii_case(option)).and_then(|at| words.get(at + 1))
        };
        let file = after("get").or_else(|| after("-r"));
        let (Some(server), Some(file)) = (server, file) else {
            return "\r\nTransfers files to and from a remote computer running the TFTP service.\r\n\r\nTFTP [-i] host [GET | PUT] source [destination]\r\n".into();
        };
        turn.fetch(Fetch { server, file: file.as_bytes().to_vec() });
        if self.windows() {
            "Transfer successful: 6176 bytes in 1 second, 6176 bytes/s\r\n".into()
        } else {
            String::new()
        }
    }

    fn windows_answer(self, name: &str, command: &str, turn: &Turn<'_>) -> String {
        match name {
            "cd" | "cls" | "set" | "start" | "del" | "copy" | "move" | "md" | "rd" | "attrib" | "net" => {
                String::new()
            }
            "ver" => format!("\r\n{}\r\n", self.opening().lines().next().unwrap_or_default()),
            "hostname" => format!("{}\r\n", turn.site.machine().to_uppercase()),
            "whoami" => "NT AUTHORITY\\SYSTEM\r\n".into(),
            "ipconfig" => format!(
                "\r\n{} IP Configuration\r\n\r\nEthernet adapter Local Area Connection:\r\n\r\n\tConnection-specific DNS Suffix  . : \r\n\tIP Address. . . . . . . . . . . . : {}\r\n\tSubnet Mask . . . . . . . . . . . : 255.255.255.0\r\n",
                if self == Shell::WindowsXp { "Windows" } else { "Windows 2000" },
                turn.local
            ),
            "dir" => {
                let serial: [u8; 4] = turn.site.bytes("volume serial");
                let [a, b, c, d] = serial;
                format!(
                    " Volume in drive C has no label.\r\n Volume Serial Number is {a:02X}{b:02X}-{c:02X}{d:02X}\r\n\r\n Directory of {}\r\n\r\nFile Not Found\r\n",
                    if self == Shell::WindowsXp { "C:\\WINDOWS\\system32" } else { "C:\\WINNT\\system32" }
                )
            }
            // A program that was just fetched is started by its name: it runs, and says nothing.
            _ if command.to_ascii_lowercase().ends_with(".exe") => String::new(),
            _ => format!(
                "'{}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
                shown(name)
            ),
        }
    }

    fn unix(self, name: &str, words: &[&str], user: &str, turn: &Turn<'_>) -> String {
        let host = turn.site.machine();
        let busy = self == Shell::BusyBox;
        match name {
            "id" => format!("uid=0({user}) gid=0({user})\r\n").replace("uid=0(", if user == "root" { "uid=0(" } else { "uid=500(" }),
            "whoami" => format!("{user}\r\n"),
            "hostname" => format!("{host}\r\n"),
            "pwd" => if user == "root" { "/root\r\n".into() } else { format!("/home/{user}\r\n") },
            "uname" if words.contains(&"-a") && busy => format!("Linux {host} 2.6.36 #1 Wed Jul 3 15:37:16 CST 2013 mips GNU/Linux\r\n"),
            "uname" if words.contains(&"-a") && self == Shell::Debian => format!(
                "Linux {host} 6.1.0-21-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.90-1 (2024-05-03) x86_64 GNU/Linux\r\n"
            ),
            "uname" if words.contains(&"-a") => format!("Linux {host} 2.4.18-3 #1 Thu Apr 18 07:37:53 EDT 2002 i686 unknown\r\n"),
            "uname" => "Linux\r\n".into(),
            "w" | "who" => format!("{user}     pts/0    {}\r\n", turn.peer),
            "ls" | "cd" | "export" | "unset" | "ulimit" | "chmod" | "rm" | "mkdir" | "kill" | "sleep" | "true" | "cp" | "mv" | "touch" | "history" => String::new(),
            "cat" => match words.get(1).copied() {
                Some("/proc/cpuinfo") if busy => "system type\t\t: Ralink SoC\r\nprocessor\t\t: 0\r\ncpu model\t\t: MIPS 24Kc V4.12\r\nBogoMIPS\t\t: 239.61\r\n".into(),
                Some("/proc/cpuinfo") => "processor\t: 0\r\nvendor_id\t: GenuineIntel\r\ncpu family\t: 6\r\nmodel\t\t: 8\r\nmodel name\t: Pentium III (Coppermine)\r\n".into(),
                Some("/etc/passwd") => "root:x:0:0:root:/root:/bin/bash\r\nbin:x:1:1:bin:/bin:/sbin/nologin\r\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\r\nnobody:x:99:99:Nobody:/:/sbin/nologin\r\n".into(),
                Some(file) => format!("cat: {}: No such file or directory\r\n", shown(file)),
                None => String::new(),
            },
            "busybox" if busy => match words.get(1) {
                Some(applet) => format!("{}: applet not found\r\n", shown(applet)),
                None => "BusyBox v1.19.4 (2013-11-15 11:20:41 CST) multi-call binary.\r\n".into(),
            },
            "sh" | "bash" | "shell" | "enable" | "system" | "linuxshell" if busy => String::new(),
            "wget" | "curl" | "ftpget" => {
                let target = words.iter().skip(1).find(|w| !w.starts_with('-')).copied().unwrap_or("");
                let server = target.trim_start_matches("http://").split('/').next().unwrap_or("");
                format!("{name}: unable to connect to remote host ({}): Connection timed out\r\n", shown(server))
            }
            _ if busy => format!("-sh: {}: not found\r\n", shown(name)),
            _ => format!("-bash: {}: command not found\r\n", shown(name)),
        }
    }
}

/// What a visitor said, as it may be said back.
fn shown(text: &str) -> String {
    text.chars().take(128).filter(|c| !c.is_control()).collect()
}

/// `\xNN` of an `echo -e` as the character; what is no ASCII stays written.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        out += before;
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => out.push(char::from(byte)),
            None => out += "\\x",
        }
        rest = after.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or("");
    }
    out + rest
}

/// The shell without a login.
#[derive(Debug)]
pub(super) struct Bare {
    shell: Shell,
    lines: Lines,
}

impl Bare {
    pub fn new(shell: Shell) -> Self {
        Bare { shell, lines: Lines::default() }
    }
}

impl Service for Bare {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Opened => {
                turn.idle_for(600 * SECOND);
                turn.say(self.shell.opening());
                turn.say(self.shell.prompt("SYSTEM", turn));
            }
            Event::Heard(bytes) => {
                self.lines.take(bytes);
                while let Some(line) = self.lines.line() {
                    // cmd.exe behind a socket shows what it reads.
                    turn.say(&line);
                    turn.say("\r\n");
                    turn.command(&line);
                    let (answer, over) = self.shell.answer(&line, "SYSTEM", turn);
                    turn.say(answer);
                    if over {
                        return turn.close();
                    }
                    turn.say("\r\n");
                    turn.say(self.shell.prompt("SYSTEM", turn));
                }
            }
            Event::Ended => turn.close(),
            Event::Gone => {
                turn.unfinished(&mut self.lines);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.lines.held()
    }
}
