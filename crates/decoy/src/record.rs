//! What decoys noticed: records, each one line of JSON, and the files that were left with them.

use std::fmt::Write;
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use trapline_wire::Time;

/// One thing that a peer did to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When, in nanoseconds since 1970.
    pub time_ns: Time,
    /// Whose address it was done to.
    pub host: IpAddr,
    /// At which port.
    pub port: u16,
    /// By whom.
    pub peer: IpAddr,
    /// From which port.
    pub peer_port: u16,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// The service, such as `ftp`.
    pub service: &'static str,
    /// What was done.
    #[serde(flatten)]
    pub said: Said,
}

/// What a peer did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Said {
    /// It opened a connection.
    Opened,
    /// It gave a name and a password.
    Login {
        /// The name.
        user: Text,
        /// The password; nothing where the protocol does not show it.
        password: Option<Text>,
        /// Whether it was let in.
        accepted: bool,
    },
    /// It gave a command: a line of a protocol or of a shell.
    Command {
        /// The line.
        line: Text,
    },
    /// It asked for something.
    Request {
        /// How: a method or an operation.
        method: Text,
        /// For what.
        target: Text,
        /// The whole of it, as far as it is kept.
        whole: Text,
    },
    /// It said which software it is.
    Client {
        /// As it says.
        name: Text,
    },
    /// It left a file.
    Upload {
        /// The name it gave.
        name: Text,
        /// How long the file is, in bytes.
        bytes: u64,
        /// SHA-256 of what was kept, in hexadecimal digits.
        sha256: String,
        /// How much was kept, in bytes.
        kept: u64,
    },
    /// What it sent to a port that only listens, or what no service understood.
    Bytes {
        /// As far as they are kept.
        data: Text,
        /// How many there were.
        bytes: u64,
    },
    /// The connection ended.
    Ended {
        /// How: `closed`, `reset`, `reset-by-peer`, `given-up` or `pushed-out`.
        how: &'static str,
        /// Bytes that the peer sent, in order.
        heard: u64,
        /// Bytes that the host sent.
        said: u64,
    },
}

impl Said {
    /// Bytes of what the peer chose in it.
    pub fn bytes(&self) -> usize {
        match self {
            Said::Opened | Said::Ended { .. } => 0,
            Said::Login { user, password, .. } => {
                user.0.len() + password.as_ref().map_or(0, |text| text.0.len())
            }
            Said::Command { line } => line.0.len(),
            Said::Request { method, target, whole } => method.0.len() + target.0.len() + whole.0.len(),
            Said::Client { name } | Said::Upload { name, .. } => name.0.len(),
            Said::Bytes { data, .. } => data.0.len(),
        }
    }
}

/// Bytes that a peer chose. They are written escaped: what is not printable ASCII as `\xNN`, a backslash doubled, so that nothing of
/// them reaches a terminal and nothing is lost.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Text(bytes.to_vec())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.as_bytes().to_vec())
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in &self.0 {
            match byte {
                b'\\' => out.write_str("\\\\")?,
                b' '..=b'~' => out.write_char(char::from(*byte))?,
                _ => write!(out, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "\"{self}\"")
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Record {
    /// Whether packets do not show what was done: it was said inside an encrypted connection. What they show is read from them.
    pub fn is_hidden(&self) -> bool {
        let encrypted = match &self.said {
            Said::Login { .. } | Said::Command { .. } | Said::Upload { .. } => true,
            Said::Request { method, .. } => method.0 != b"key exchange",
            _ => false,
        };
        encrypted && self.service == "ssh"
    }

    /// As one line of JSON, without its end.
    pub fn to_json(&self) -> String {
        // Numbers, addresses and escaped text: nothing here can fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that a peer left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// SHA-256 of `bytes`, in hexadecimal digits.
    pub sha256: String,
    /// What was kept of it.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_the_peer_chose() {
        let record = Record {
            time_ns: 5,
            host: IpAddr::from([192, 0, 2, 1]),
            port: 21,
            peer: IpAddr::from([203, 0, 113, 9]),
            peer_port: 1025,
            transport: "tcp",
            service: "ftp",
            said: Said::Login { user: Text(b"a\\\n\x1b[2J\"\xff".to_vec()), password: None, accepted: false },
        };
        assert_eq!(
            record.to_json(),
            r#"{"time_ns":5,"host":"192.0.2.1","port":21,"peer":"203.0.113.9","peer_port":1025,"transport":"tcp","service":"ftp","what":"login","user":"a\\\\\\x0a\\x1b[2J\"\\xff","password":null,"accepted":false}"#
        );
    }
}
