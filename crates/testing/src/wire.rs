//! Two network namespaces with a wire between them: where a sensor stands, and where its visitors are. They go when it does.

use std::path::PathBuf;
use std::process::Command;

/// Two namespaces, a wire between them, and a folder that every user may go through.
///
/// The sensor's end is `up0` and has no address; the peer's end is `wire0` with 10.9.0.1/16 and fd09::1/64.
#[derive(Debug)]
pub struct Wire {
    /// The namespace of the sensor.
    pub sensor: String,
    /// The namespace of its visitors.
    pub peer: String,
    folder: tempfile::TempDir,
}

/// Runs a line of shell; what it printed, or why not.
///
/// # Errors
/// Where it fails: the line and what it said.
pub fn sh(line: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", line]).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Wire {
    /// Lays a wire; `name` is short, and tells those of one program apart.
    ///
    /// # Errors
    /// Where this machine, or this user, cannot.
    pub fn new(name: &str) -> Result<Wire, String> {
        let unique = format!("{name}{}", std::process::id());
        let wire = Wire {
            sensor: format!("tls{unique}"),
            peer: format!("tlp{unique}"),
            folder: tempfile::tempdir().map_err(|e| e.to_string())?,
        };
        let Wire { sensor, peer, .. } = &wire;
        for line in [
            format!("ip netns add {sensor}"),
            format!("ip netns add {peer}"),
            format!("ip -n {sensor} link set lo up"),
            format!("ip -n {peer} link set lo up"),
        ] {
            sh(&line)?;
        }
        wire.lay("up0", "wire0", 9)?;
        // The user that the sensor becomes goes through here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(wire.folder.path(), open).map_err(|e| e.to_string())?;
        Ok(wire)
    }

    /// Lays another wire between the two, with the peer's addresses 10.`net`.0.1/16 and fd`net`::1/64.
    ///
    /// # Errors
    /// As [`Wire::new`].
    pub fn lay(&self, sensor_end: &str, peer_end: &str, net: u8) -> Result<(), String> {
        let Wire { sensor, peer, .. } = self;
        for line in [
            format!("ip link add {sensor_end} netns {sensor} type veth peer name {peer_end} netns {peer}"),
            format!("ip -n {peer} addr add 10.{net}.0.1/16 dev {peer_end}"),
            format!("ip -n {peer} -6 addr add fd{net:02}::1/64 dev {peer_end} nodad"),
            format!("ip -n {peer} link set {peer_end} up"),
        ] {
            sh(&line)?;
        }
        Ok(())
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program on the sensor's side.
    pub fn on_sensor(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.sensor, program]).current_dir(self.folder.path());
        command
    }

    /// Runs a line of shell on the peer's side; what it printed, and what went wrong.
    ///
    /// # Panics
    /// Where no program can be started.
    pub fn peer(&self, line: &str) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.peer, "sh", "-c", line])
            .current_dir(self.folder.path())
            .output()
            .expect("ip was there before");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = sh(&format!("ip netns del {}; ip netns del {}", self.sensor, self.peer));
    }
}
