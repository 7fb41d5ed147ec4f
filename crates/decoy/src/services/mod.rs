//! What hosts offer: one file for each service, and the services that are text (`rules`).

mod dcerpc;
mod echo;
mod ftp;
mod http;
mod netbios;
mod record;
pub mod rules;
mod shell;
mod smb;
mod socks;
mod ssh;
mod tds;
mod telnet;

use crate::host::{Host, Port};
use crate::service::Service;

/// A service with the face that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Accepts, records what is said, and says nothing.
    Record,
    /// Says back what it hears (RFC 862).
    Echo,
    /// FTP.
    Ftp(ftp::Face),
    /// HTTP.
    Http(http::Face),
    /// Telnet.
    Telnet(telnet::Face),
    /// A shell without a login.
    Shell(shell::Shell),
    /// SOCKS.
    Socks,
    /// The DCE/RPC endpoint mapper.
    EndpointMapper,
    /// The NetBIOS name service, over UDP.
    NetbiosNames,
    /// SMB1.
    Smb(smb::Face),
    /// Microsoft SQL Server.
    Tds,
    /// SSH.
    Ssh(ssh::Face),
    /// A service that is text: its place among those built in.
    Rules(u8),
}

/// Names and kinds of the services that are no text.
const KINDS: [(&str, Kind); 28] = [
    ("record", Kind::Record),
    ("echo", Kind::Echo),
    ("ftp/iis-4", Kind::Ftp(ftp::Face::Iis4)),
    ("ftp/iis-5", Kind::Ftp(ftp::Face::Iis5)),
    ("ftp/wu-ftpd-2.6.2", Kind::Ftp(ftp::Face::WuFtpd)),
    ("ftp/vsftpd", Kind::Ftp(ftp::Face::Vsftpd)),
    ("http/iis-4", Kind::Http(http::Face::Iis4)),
    ("http/iis-5", Kind::Http(http::Face::Iis5)),
    ("http/iis-10", Kind::Http(http::Face::Iis10)),
    ("http/apache-1.3", Kind::Http(http::Face::Apache13)),
    ("http/nginx", Kind::Http(http::Face::Nginx)),
    ("http/goahead", Kind::Http(http::Face::GoAhead)),
    ("telnet/red-hat-7.3", Kind::Telnet(telnet::Face::RedHat)),
    ("telnet/busybox", Kind::Telnet(telnet::Face::BusyBox)),
    ("telnet/camera", Kind::Telnet(telnet::Face::Camera)),
    ("telnet/windows-2000", Kind::Telnet(telnet::Face::Windows2000)),
    ("shell/windows-2000", Kind::Shell(shell::Shell::Windows2000)),
    ("shell/windows-xp", Kind::Shell(shell::Shell::WindowsXp)),
    ("socks", Kind::Socks),
    ("endpoint-mapper", Kind::EndpointMapper),
    ("netbios-names", Kind::NetbiosNames),
    ("smb/windows-98", Kind::Smb(smb::Face::Windows98)),
    ("smb/windows-nt4", Kind::Smb(smb::Face::WindowsNt4)),
    ("smb/windows-2000", Kind::Smb(smb::Face::Windows2000)),
    ("smb/windows-xp", Kind::Smb(smb::Face::WindowsXp)),
    ("mssql", Kind::Tds),
    ("ssh/openssh-3.1p1", Kind::Ssh(ssh::Face::OpenSsh31)),
    ("ssh/openssh-9.2p1", Kind::Ssh(ssh::Face::OpenSsh92)),
];

impl Kind {
    /// The service of that name, such as `ftp/iis-4`.
    pub fn named(name: &str) -> Option<Kind> {
        let listed = KINDS.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind);
        listed.or_else(|| rules::find(name).map(Kind::Rules))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|(_, kind)| *kind).chain(rules::all().map(|(place, _)| Kind::Rules(place)))
    }

    /// All names, in order.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        names.extend(rules::all().map(|(_, rules)| rules.name.as_str()));
        names.sort_unstable();
        names
    }

    /// The service's name in records, without its face.
    pub fn name(self) -> &'static str {
        if let Kind::Rules(place) = self {
            return rules::at(place).map_or("", |rules| &rules.service);
        }
        let name = KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name);
        name.split('/').next().unwrap_or(name)
    }

    /// The kind at a port of a host.
    pub(crate) fn of(host: &Host, port: u16) -> Kind {
        match host.wiring().ports.tcp(port) {
            Port::Service(kind) => kind,
            _ => Kind::Record,
        }
    }

    /// The service at the beginning of a connection.
    pub fn start(self) -> Box<dyn Service> {
        match self {
            Kind::Record | Kind::NetbiosNames => Box::new(record::Record::default()),
            Kind::EndpointMapper => Box::new(dcerpc::Mapper::new()),
            Kind::Smb(face) => Box::new(smb::Smb::new(face)),
            Kind::Ssh(face) => Box::new(ssh::Ssh::new(face)),
            Kind::Tds => Box::new(tds::Tds::new()),
            Kind::Echo => Box::new(echo::Echo),
            Kind::Ftp(face) => Box::new(ftp::Ftp::new(face)),
            Kind::Http(face) => Box::new(http::Http::new(face)),
            Kind::Telnet(face) => Box::new(telnet::Telnet::new(face)),
            Kind::Shell(shell) => Box::new(shell::Bare::new(shell)),
            Kind::Socks => Box::new(socks::Socks::new()),
            Kind::Rules(place) => match rules::at(place) {
                Some(rules) => Box::new(rules::Talking::new(rules)),
                None => Box::new(record::Record::default()),
            },
        }
    }
}

/// Services over UDP.
pub(crate) mod datagram {
    use super::Kind;
    use crate::record::Said;
    use crate::service::Turn;

    /// Answers a datagram; what is longer than the question is not sent.
    pub fn answer(kind: Kind, question: &[u8], turn: &mut Turn<'_>) {
        match kind {
            Kind::Echo => turn.say(question),
            Kind::NetbiosNames => super::netbios::answer(question, turn),
            _ => turn.record(Said::Bytes { data: question.into(), bytes: question.len() as u64 }),
        }
    }
}
