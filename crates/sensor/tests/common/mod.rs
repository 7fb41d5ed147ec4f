//! A sensor on a wire between two network namespaces, for tests of the real program.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trapline_archive::manifest::{Manifest, manifest_name};
use trapline_archive::verify::{Expected, Verdict, verify};
use trapline_archive::{Disk, Folder, segment, spool};
use trapline_testing::skipped;
use trapline_testing::wire::sh;
use trapline_wire::Framing;
use trapline_wire::capture::Step;

/// A wire, with a platform on it whose sensor is called eurecom.
pub struct Wire(pub trapline_testing::wire::Wire);

impl std::ops::Deref for Wire {
    type Target = trapline_testing::wire::Wire;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Wire {
    fn new(name: &str, platform: &str) -> Result<Wire, String> {
        let wire = Wire(trapline_testing::wire::Wire::new(name)?);
        fs::write(wire.file("platform.toml"), platform).map_err(|e| e.to_string())?;
        Ok(wire)
    }

    pub fn spool(&self) -> PathBuf {
        self.file("spool")
    }

    /// Starts the sensor and waits until it is ready; says how long that took.
    pub fn start(&self, more: &[&str]) -> Result<(Running, Duration), String> {
        let begun = Instant::now();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.file("log"))
            .map_err(|e| e.to_string())?;
        let before = fs::read_to_string(self.file("log")).unwrap_or_default().len();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.sensor, env!("CARGO_BIN_EXE_trapline-sensor"), "run"]);
        command.args(["--interface", "up0", "--platform"]).arg(self.file("platform.toml"));
        command.arg("--spool").arg(self.spool()).args(more).stderr(log);
        let child = command.spawn().map_err(|e| e.to_string())?;
        let mut running = Running(child);
        while !self.log()[before..].contains("ready") {
            if let Ok(Some(status)) = running.0.try_wait() {
                return Err(format!("the sensor ended with {status}: {}", self.log()));
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("the sensor is not ready: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok((running, begun.elapsed()))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Begins to write down what is on the wire at the peer's side.
    pub fn watch(&self) -> Running {
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.peer,
            "tcpdump",
            "-i",
            "wire0",
            "-s",
            "0",
            "-U",
            "--immediate-mode",
            "-w",
        ]);
        command.arg(self.file("seen.pcap")).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says so when it listens.
        let mut said = Vec::new();
        let mut stderr = child.stderr.take().unwrap();
        let mut byte = [0];
        while !said.ends_with(b"listening") && stderr.read(&mut byte).is_ok_and(|n| n == 1) {
            said.push(byte[0]);
        }
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Running(child)
    }

    /// Frames that were on the wire while it was watched, and came neither from the peer nor from a host of these Ethernet addresses.
    pub fn strangers(&self, hosts: &[[u8; 6]]) -> Vec<Vec<u8>> {
        let own = sh(&format!("ip netns exec {} cat /sys/class/net/wire0/address", self.peer)).unwrap();
        let own: Vec<u8> = own.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let seen = read(&fs::read(self.file("seen.pcap")).unwrap());
        assert!(!seen.is_empty(), "nothing was seen");
        let known = |mac: &[u8]| mac == own || hosts.iter().any(|host| host == mac);
        seen.into_iter().filter(|frame| !known(&frame[6..12])).collect()
    }

    pub fn verify(&self) -> Verdict {
        let folder = Folder::at(self.spool()).unwrap();
        verify(&folder, &Expected::default(), |_, _| ()).unwrap()
    }

    /// All frames of the archive, in order, with whether the uplink brought them.
    pub fn archived(&self) -> Vec<Vec<u8>> {
        let folder = Folder::at(self.spool()).unwrap();
        let mut frames = Vec::new();
        for sequence in spool::sealed(&folder, "eurecom").unwrap() {
            let text = folder.read(&manifest_name("eurecom", sequence), 1 << 16).unwrap();
            let [capture, ..] = Manifest::read(&text).unwrap().names();
            let mut bytes = Vec::new();
            segment::plain(&folder, &capture).unwrap().read_to_end(&mut bytes).unwrap();
            frames.extend(read(&bytes));
        }
        frames
    }

    /// Lines of the archive's records.
    pub fn records(&self) -> Vec<String> {
        let folder = Folder::at(self.spool()).unwrap();
        let mut lines = Vec::new();
        for sequence in spool::sealed(&folder, "eurecom").unwrap() {
            let text = folder.read(&manifest_name("eurecom", sequence), 1 << 16).unwrap();
            let [_, records, _] = Manifest::read(&text).unwrap().names();
            let mut text = String::new();
            segment::plain(&folder, &records).unwrap().read_to_string(&mut text).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

/// A program that is ended with the test.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, signal: &str) {
        let _ = sh(&format!("kill -{signal} {}", self.0.id()));
    }

    pub fn end(mut self) -> bool {
        self.signal("TERM");
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The frames of a capture of either form.
pub fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut framing = Framing::detect(bytes[..4].try_into().unwrap()).unwrap();
    let (mut at, mut frames) = (0, Vec::new());
    loop {
        match framing.step(&bytes[at..]) {
            Step::Frame { consumed, frame } => {
                frames.push(frame.data.to_vec());
                at += consumed;
            }
            Step::Skip { consumed, .. } => at += consumed,
            _ => return frames,
        }
    }
}

/// Runs a test on a wire, or notes why there can be none here.
pub fn on_a_wire(name: &str, platform: &str, test: impl FnOnce(&Wire) -> Result<(), String>) {
    match Wire::new(name, platform) {
        Ok(wire) => test(&wire).unwrap_or_else(|why| panic!("{why}\n{}", wire.log())),
        Err(why) => skipped("the sensor on a wire", &format!("needs root and the program ip: {why}")),
    }
}
