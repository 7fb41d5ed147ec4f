//! `trapline demo --attack`: the decoys in a network namespace of their own, and a shell beside them.
//!
//! Two processes: this one, outside, asks questions at the end; the other one, inside a user and network namespace that `unshare`
//! makes, lays a wire, starts a sensor on one end of it, and gives the shell the other.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::commands::up::PLATFORM;
use crate::error::CommandError;
use crate::ui::Ui;

const HELLO: &str = "
You are on a wire with three decoys, in a network of their own; your address is 192.0.2.1.

  mach0  192.0.2.10  Windows 98
  mach1  192.0.2.11  Windows NT 4.0 Server
  mach2  192.0.2.12  Red Hat Linux 7.3

Try what attackers try, with what is installed here:

  nmap -O 192.0.2.10-12              curl ftp://192.0.2.12/
  curl http://192.0.2.11/            smbclient -N -L 192.0.2.11 --option='client min protocol=NT1'
  telnet 192.0.2.12                  ssh -o HostKeyAlgorithms=+ssh-rsa -o KexAlgorithms=+diffie-hellman-group1-sha1 -c aes128-cbc root@192.0.2.12

Leave with exit, and see what was kept of it.
";

/// The folder that says to the process inside where it works; set by the one outside.
pub const INSIDE: &str = "TRAPLINE_DEMO_INSIDE";

fn failed(what: &str) -> impl Fn(std::io::Error) -> CommandError {
    let what = what.to_owned();
    move |e| CommandError::new(format!("{what}: {e}"))
}

/// Makes the namespaces, and waits until whoever is inside leaves.
pub fn outside(folder: &Path) -> Result<(), CommandError> {
    let platform = PLATFORM.replace("#fetch", "fetch");
    fs::write(folder.join("platform.toml"), platform).map_err(failed("platform.toml"))?;
    let program = std::env::current_exe().map_err(failed("this program"))?;
    let mut command = Command::new("unshare");
    if !trapline_sensor::privileges::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").arg("--").arg(program).args(["demo", "--attack"]).env(INSIDE, folder);
    let status = command.status().map_err(failed("unshare (of util-linux)"))?;
    match status.code() {
        Some(0) => Ok(()),
        // What went wrong inside was told there.
        Some(2) => Err(CommandError::new("the decoys could not be started")),
        _ => Err(CommandError::new("no network namespace can be made here").hint(
            "user namespaces may be switched off for ordinary users (sysctl kernel.unprivileged_userns_clone, or \
             kernel.apparmor_restrict_unprivileged_userns); as root it works without them: sudo trapline demo --attack",
        )),
    }
}

/// Lays the wire, starts the sensor, and gives a shell until it ends.
pub fn inside(ui: &Ui, folder: &Path) -> Result<(), CommandError> {
    for words in [
        "link set lo up",
        "link add up0 type veth peer name wire0",
        "addr add 192.0.2.1/24 dev wire0",
        "link set wire0 up",
    ] {
        let done = Command::new("ip").args(words.split(' ')).status().map_err(failed("ip (of iproute2)"))?;
        if !done.success() {
            return Err(CommandError::new(format!("ip {words} failed")));
        }
    }
    let mut sensor = start(folder)?;
    ui.print(HELLO)?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let left = Command::new(shell).env_remove(INSIDE).env("TRAPLINE_DEMO", folder).status();
    let _ = Command::new("kill").args(["-TERM", &sensor.id().to_string()]).status();
    sensor.wait().map_err(failed("the sensor"))?;
    // What the shell's last command said of itself is its own business.
    left.map(|_| ()).map_err(failed("the shell"))
}

fn start(folder: &Path) -> Result<Child, CommandError> {
    let program = std::env::current_exe().map_err(failed("this program"))?;
    let mut command = Command::new(program);
    command.args(["sensor", "run", "--interface", "up0", "--platform"]).arg(folder.join("platform.toml"));
    command.arg("--spool").arg(folder.join("spool")).arg("--identity").arg(folder.join("identity"));
    // Ctrl-C at the shell is not meant for it.
    let mut child = command.process_group(0).stderr(Stdio::piped()).spawn().map_err(failed("the sensor"))?;
    let Some(stderr) = child.stderr.take() else { return Err(CommandError::new("the sensor says nothing")) };
    let mut told = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.ends_with("ready") {
            // The rest is read, so that its pipe never fills.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(child);
        }
        told.push_str(&line);
        told.push('\n');
    }
    let _ = child.wait();
    Err(CommandError::new(format!("the sensor did not start: {}", told.trim_end())))
}
