//! What other programs take a host on a bench for.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::DEVICE;

/// What nmap says of a host.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    /// Names of systems with their accuracy in percent, the best first.
    pub systems: Vec<(String, u32)>,
    /// The fingerprint that it saw.
    pub observed: String,
    /// Ports with what it takes the service for.
    pub services: Vec<(u16, String)>,
}

/// Runs nmap with these arguments over `addresses`, and says what it believed of each that it saw.
///
/// # Errors
/// Says why it did not run.
pub fn nmap(arguments: &[&str], addresses: &[Ipv4Addr]) -> Result<HashMap<Ipv4Addr, Believed>, String> {
    let output = Command::new("nmap")
        .args(arguments)
        .args(["-n", "-Pn", "-oX", "-"])
        .args(addresses.iter().map(Ipv4Addr::to_string))
        .output()
        .map_err(|e| format!("nmap: {e}"))?;
    if !output.status.success() {
        return Err(format!("nmap: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(read_xml(&String::from_utf8_lossy(&output.stdout)))
}

fn read_xml(xml: &str) -> HashMap<Ipv4Addr, Believed> {
    let mut all = HashMap::new();
    for host in xml.split("<host ").skip(1) {
        let address = host.split("<address ").nth(1).and_then(|tag| attribute(tag, "addr"));
        let Some(address) = address.and_then(|text| text.parse().ok()) else { continue };
        let mut believed = Believed::default();
        for tag in host.split("<osmatch ").skip(1) {
            let accuracy = attribute(tag, "accuracy").and_then(|a| a.parse().ok()).unwrap_or(0);
            believed.systems.extend(attribute(tag, "name").map(|name| (name, accuracy)));
        }
        for tag in host.split("<port ").skip(1) {
            let port = attribute(tag, "portid").and_then(|port| port.parse().ok());
            let tag = tag.split("</port>").next().unwrap_or(tag);
            let (Some(port), true) = (port, tag.contains("state=\"open\"")) else { continue };
            let service = tag.split("<service ").nth(1).unwrap_or("");
            let words = ["name", "product", "version", "extrainfo", "ostype"];
            let words: Vec<String> = words.iter().filter_map(|name| attribute(service, name)).collect();
            believed.services.push((port, words.join(" ")));
        }
        believed.observed = attribute(host, "fingerprint").unwrap_or_default();
        all.insert(address, believed);
    }
    all
}

/// The value of the first attribute of that name.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let rest = match tag.strip_prefix(&start) {
        Some(rest) => rest,
        None => tag.split_once(&format!(" {start}"))?.1,
    };
    let value = rest.split_once('"')?.0;
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#xa;", "\n"), ("&amp;", "&")];
    Some(pairs.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// What p0f says of the answer to an ordinary connection to a host's port: the system, and what it saw.
///
/// # Errors
/// Says why it did not run.
pub fn p0f(address: Ipv4Addr, port: u16) -> Result<(String, String), String> {
    let mut child = Command::new("p0f")
        .args(["-i", DEVICE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("p0f: {e}"))?;
    // It says nothing when it has begun to listen.
    std::thread::sleep(Duration::from_millis(1_500));
    let connected = std::net::TcpStream::connect_timeout(&(address, port).into(), Duration::from_secs(3));
    std::thread::sleep(Duration::from_millis(500));
    let _ = child.kill();
    let output = child.wait_with_output().map_err(|e| format!("p0f: {e}"))?;
    connected.map_err(|e| format!("{address}:{port}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = text.split(".-[").find(|part| part.contains("(syn+ack)")).unwrap_or("");
    let field = |name: &str| {
        let line = answer.lines().find(|line| line.contains(&format!("| {name} ")))?;
        Some(line.split_once('=')?.1.trim().to_owned())
    };
    match (field("os"), field("raw_sig")) {
        (Some(system), Some(seen)) => Ok((system, seen)),
        _ => Err("p0f: it said nothing of the connection".into()),
    }
}

/// What arp-fingerprint says of a host: the pattern of answers, and the systems that have it.
///
/// # Errors
/// Says why it did not run.
pub fn arp_fingerprint(address: Ipv4Addr) -> Result<(String, String), String> {
    let output = Command::new("arp-fingerprint")
        .args(["-o", &format!("--interface={DEVICE}"), &address.to_string()])
        .output()
        .map_err(|e| format!("arp-fingerprint: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with(&address.to_string())).unwrap_or("");
    let mut words = line.split('\t').skip(1).map(|word| word.trim().to_owned());
    match (words.next(), words.next()) {
        (Some(pattern), Some(systems)) => Ok((pattern, systems)),
        _ => Err(format!("arp-fingerprint: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nmaps_xml_is_read() {
        let xml = r#"<host starttime="1"><status state="up"/><address addr="10.9.1.1" addrtype="ipv4"/>
            <ports><port protocol="tcp" portid="21"><state state="open" reason="syn-ack"/><service name="ftp" product="vsftpd" version="3.0.3" ostype="Unix"/></port>
            <port protocol="tcp" portid="22"><state state="closed"/></port></ports>
            <os><osmatch name="Linux &lt; 3 &amp; more" accuracy="98" line="7"></osmatch>
            <osfingerprint fingerprint="OS:SCAN&#xa;OS:X"/></os></host>"#;
        let believed = &read_xml(xml)[&Ipv4Addr::new(10, 9, 1, 1)];
        assert_eq!(believed.systems, [("Linux < 3 & more".into(), 98)]);
        assert_eq!(believed.services, [(21, "ftp vsftpd 3.0.3 Unix".into())]);
        assert_eq!(believed.observed, "OS:SCAN\nOS:X");
    }
}
