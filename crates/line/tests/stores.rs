//! An object store as a vault, against a server that speaks S3: moto's, from the Python package index.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use trapline_archive::Folder;
use trapline_archive::disk::Disk;
use trapline_archive::manifest::{Identity, manifest_name};
use trapline_archive::ship::{Ask, Shipper, Told};
use trapline_archive::spool::{self, Limits, Spool};
use trapline_archive::verify::{Expected, verify};
use trapline_line::Remote;
use trapline_line::store::{StoreDisk, StoreVault, settings};
use url::Url;

const SECOND: i64 = 1_000_000_000;

/// A server that speaks S3, with an empty bucket.
struct Moto {
    server: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Moto> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut moto = Moto { server, port };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begun.elapsed() > Duration::from_secs(60) || !matches!(moto.server.try_wait(), Ok(None)) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(moto.put("/bucket", "").starts_with("HTTP/1.1 200"));
        Some(moto)
    }

    /// Puts something without any condition, as somebody else might.
    fn put(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let length = body.len();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn settings(&self, url: &Url) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let own = [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", "k"),
            ("aws_secret_access_key", "s"),
            ("aws_region", "us-east-1"),
        ];
        settings(url)
            .into_iter()
            .chain(own.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect()
    }

    fn vault(&self, url: &Url) -> StoreVault {
        StoreVault::with(url, &self.settings(url)).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn identity() -> Identity {
    Identity { sensor: "paris".into(), key: SigningKey::from_bytes(&[3; 32]) }
}

/// Seals segments from number `from` on.
fn filled(folder: &Path, from: i64, to: i64) -> Folder {
    let mut spool = Spool::open(Folder::at(folder).unwrap(), "paris", Limits::default(), 0, "{}").unwrap();
    for segment in from..=to {
        spool.frame("uplink", segment * SECOND, 3, b"abc");
        spool.close(segment * SECOND + SECOND / 2).unwrap();
    }
    let mut disk = Folder::at(folder).unwrap();
    for sequence in spool::to_seal(&disk).unwrap() {
        spool::seal(&mut disk, &identity(), sequence, sequence as i64 * SECOND + SECOND / 2).unwrap();
    }
    disk
}

/// Ships all there is; some answers are lost. Returns the troubles.
fn ship(disk: &Folder, remote: &mut dyn Remote) -> Vec<String> {
    let (mut shipper, mut now, mut troubles) = (Shipper::sending(remote.chunk()), 0, Vec::new());
    for question in 0..200 {
        let Some(ask) = shipper.next(disk, "paris", now).unwrap() else {
            match shipper.wait_until() {
                Some(until) => now = until,
                None => return troubles,
            }
            continue;
        };
        let told = match remote.ask("paris", &ask) {
            Told::Failed(why) => {
                troubles.push(why.clone());
                Told::Failed(why)
            }
            _ if question % 7 == 5 => Told::Failed("lost".into()),
            told => told,
        };
        shipper.told(&ask, told, now);
    }
    troubles.push("shipping does not end".into());
    troubles
}

#[test]
fn segments_are_put_once_and_nothing_is_overwritten() {
    let Some(moto) = Moto::start() else {
        return trapline_testing::skipped(
            "an object store as a vault",
            "moto's server is not installed: pip install 'moto[server]'",
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = filled(folder.path(), 1, 3);
    let url = Url::parse("s3://bucket/line/of/traps").unwrap();
    assert_eq!(ship(&disk, &mut moto.vault(&url)), Vec::<String>::new());
    let store = StoreDisk::with(&url, &moto.settings(&url)).unwrap();
    let same = |disk: &Folder| {
        let local: Vec<_> =
            disk.list().unwrap().into_iter().filter(|(name, _)| !name.starts_with('.')).collect();
        assert_eq!(store.list().unwrap(), local);
        for (name, length) in local {
            assert_eq!(store.read(&name, length).unwrap(), disk.read(&name, length).unwrap(), "{name}");
        }
    };
    same(&disk);
    let keys = [("paris".to_owned(), identity().public())].into();
    let verdict = verify(&store, &Expected { keys, may_begin_later: false }, |_, _| ()).unwrap();
    assert!(verdict.is_whole() && verdict.segments == 3, "{:?}", verdict.findings);
    assert_eq!(store.read_at("paris/0000000001.json", 2, 8).unwrap(), b"  \"forma");
    assert_eq!(store.read_at("paris/0000000001.json", 1 << 40, 8).unwrap(), b"");
    assert_eq!(store.read("paris/none", 8).unwrap_err().kind(), std::io::ErrorKind::NotFound);

    // Another time: nothing is sent again, and it goes on.
    let disk = filled(folder.path(), 4, 5);
    assert_eq!(ship(&disk, &mut moto.vault(&url)), Vec::<String>::new());
    same(&disk);

    // Somebody's object lies where a part, or a manifest, belongs: it is named, and stays.
    let disk = filled(folder.path(), 6, 6);
    let manifest = spool::manifest(&disk, "paris", 6).unwrap();
    let [capture, ..] = manifest.names();
    moto.put(&format!("/bucket/line/of/traps/{capture}"), "x");
    let told = ship(&disk, &mut moto.vault(&url)).concat();
    assert!(told.contains(&format!("{capture} is there and is not what it should be")), "{told}");
    assert_eq!(store.read(&capture, 9).unwrap(), b"x");
    let mut vault = moto.vault(&url);
    assert!(matches!(vault.ask("paris", &Ask::Progress), Told::Progress(progress) if progress.sequence == 5));
    moto.put("/bucket/line/of/traps/paris/0000000006.json", "{}");
    let text = disk.read(&manifest_name("paris", 6), 65_536).unwrap();
    let told = vault.ask("paris", &Ask::Accept { text });
    assert!(
        matches!(&told, Told::Failed(why) if why.contains("a different segment of that number")),
        "{told:?}"
    );
}

#[test]
fn a_store_that_does_not_answer_is_told() {
    // Nobody listens there.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let url = Url::parse("s3://bucket/line").unwrap();
    let own = [
        ("aws_endpoint", format!("http://127.0.0.1:{port}")),
        ("aws_allow_http", "true".into()),
        ("aws_access_key_id", "k".into()),
        ("aws_secret_access_key", "s".into()),
        ("aws_region", "r".into()),
    ];
    let own: Vec<_> =
        settings(&url).into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect();
    let told = StoreVault::with(&url, &own).unwrap().ask("paris", &Ask::Progress);
    assert!(matches!(&told, Told::Failed(why) if why.contains("onnect")), "{told:?}");
}
