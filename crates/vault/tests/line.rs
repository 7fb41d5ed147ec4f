//! A sensor's shipper and a vault's server over real connections on loopback: enrolment, shipping through cuts and restarts, and what a
//! stolen certificate can do, which is nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trapline_archive::Folder;
use trapline_archive::disk::Disk;
use trapline_archive::manifest::{Identity, Manifest, manifest_name};
use trapline_archive::ship::{Ask, Shipper, Told};
use trapline_archive::spool::{self, Limits, Spool};
use trapline_archive::vault::{Kind, PartId, Quota};
use trapline_archive::verify::{Expected, verify};
use trapline_line::protocol::Token;
use trapline_line::{Credentials, LineError, Remote, enroll::enroll, https::HttpsVault};
use trapline_vault::{Register, Serving, serve};
use url::Url;

const SECOND: i64 = 1_000_000_000;
const LARGE: Quota = Quota { bytes: 1 << 30, part_bytes: 1 << 30 };

fn identity(sensor: &str, key: u8) -> Identity {
    Identity { sensor: sensor.into(), key: SigningKey::from_bytes(&[key; 32]) }
}

/// A spool with that many sealed segments of `bytes` bytes of packets that do not compress.
fn filled(folder: &Path, identity: &Identity, segments: u64, bytes: usize) -> Folder {
    let disk = Folder::at(folder).unwrap();
    let mut spool = Spool::open(disk, &identity.sensor, Limits::default(), 0, "{}").unwrap();
    let mut state = u64::from(identity.key.to_bytes()[0]) | 1;
    for segment in 1..=segments as i64 {
        for frame in 0..bytes.div_ceil(1_000) {
            let noise = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            };
            let data: Vec<u8> = (0..1_000).map(noise).collect();
            spool.frame("uplink", segment * SECOND + frame as i64, 1_000, &data);
        }
        spool.record(segment * SECOND, "{}");
        spool.close(segment * SECOND + SECOND / 2).unwrap();
    }
    drop(spool);
    let mut disk = Folder::at(folder).unwrap();
    for sequence in spool::to_seal(&disk).unwrap() {
        spool::seal(&mut disk, identity, sequence, sequence as i64 * SECOND + SECOND / 2).unwrap();
    }
    disk
}

/// A vault in a folder of its own, served.
struct Site {
    runtime: Runtime,
    folder: TempDir,
    serving: Option<Serving>,
}

impl Site {
    fn new() -> Site {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut site = Site { runtime, folder: tempfile::tempdir().unwrap(), serving: None };
        site.start(0);
        site
    }

    fn start(&mut self, port: u16) -> u16 {
        let (vault, register) = (self.vault(), self.folder.path().join("register"));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let listen = format!("127.0.0.1:{port}");
        let serving = self.runtime.block_on(serve(&vault, &register, &listen, &names)).unwrap();
        let port = serving.address.port();
        self.serving = Some(serving);
        port
    }

    fn stop(&mut self) -> u16 {
        let serving = self.serving.take().unwrap();
        let port = serving.address.port();
        self.runtime.block_on(serving.stop());
        port
    }

    fn vault(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    fn register(&self) -> Register {
        Register::open(&self.folder.path().join("register")).unwrap()
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.serving.as_ref().unwrap().address.port())
    }

    fn token(&self, sensor: &str) -> Token {
        self.register().invite(sensor, &self.url(), 3_600, LARGE, None).unwrap()
    }

    fn enrolled(&self, identity: &Identity) -> (TempDir, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        let told = enroll(&self.token(&identity.sensor), &identity.public(), folder.path()).unwrap();
        assert_eq!(told, (identity.sensor.clone(), self.url()));
        let credentials = Credentials::read(folder.path()).unwrap().unwrap();
        (folder, credentials)
    }

    fn line(&self, credentials: &Credentials) -> HttpsVault {
        HttpsVault::at(Url::parse(&self.url()).unwrap(), credentials).unwrap()
    }

    /// Everything that is in the vault, by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_of(&Folder::at(self.vault()).unwrap())
    }
}

fn files_of(disk: &Folder) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().unwrap().into_iter().filter(|(name, _)| !name.starts_with('.'));
    names.map(|(name, length)| (name.clone(), disk.read(&name, length).unwrap())).collect()
}

/// Ships until there is nothing to ask, without waiting between attempts; returns how many questions failed.
fn ship(disk: &Folder, sensor: &str, remote: &mut dyn Remote) -> usize {
    let (mut shipper, mut now, mut failed) = (Shipper::sending(100_000), 0, 0);
    for _ in 0..20_000 {
        let Some(ask) = shipper.next(disk, sensor, now).unwrap() else {
            match shipper.wait_until() {
                Some(until) => now = until,
                None => return failed,
            }
            continue;
        };
        let told = remote.ask(sensor, &ask);
        failed += usize::from(matches!(told, Told::Failed(_)));
        shipper.told(&ask, told, now);
    }
    panic!("shipping does not end: {:?}", shipper.trouble);
}

fn failed(told: Told) -> String {
    match told {
        Told::Failed(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn refused(result: Result<impl std::fmt::Debug, LineError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn an_enrolled_sensor_ships_and_the_vault_goes_away_and_comes_back() {
    let mut site = Site::new();
    let (paris, oslo) = (identity("paris", 3), identity("oslo", 4));
    let (_kept, credentials) = site.enrolled(&paris);
    let (_kept, others) = site.enrolled(&oslo);
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(&spools.path().join("paris"), &paris, 3, 250_000);
    let other = filled(&spools.path().join("oslo"), &oslo, 1, 1_000);
    let mut line = site.line(&credentials);
    assert_eq!(ship(&disk, "paris", &mut line), 0);
    assert_eq!(ship(&other, "oslo", &mut site.line(&others)), 0);

    // A restart, and a segment more.
    let port = site.stop();
    assert!(failed(line.ask("paris", &Ask::Progress)).contains("onnect"));
    drop(disk);
    let mut spool =
        Spool::open(Folder::at(spools.path().join("paris")).unwrap(), "paris", Limits::default(), 0, "{}")
            .unwrap();
    spool.frame("uplink", 9 * SECOND, 3, b"abc");
    spool.close(10 * SECOND).unwrap();
    let mut disk = Folder::at(spools.path().join("paris")).unwrap();
    spool::seal(&mut disk, &paris, 4, 10 * SECOND).unwrap();
    site.start(port);
    assert_eq!(ship(&disk, "paris", &mut line), 0, "the same line goes on");

    let mut expected = files_of(&disk);
    expected.extend(files_of(&other));
    assert!(site.files() == expected, "{:?} for {:?}", site.files().keys(), expected.keys());
    let keys = [("paris".to_owned(), paris.public()), ("oslo".to_owned(), oslo.public())].into();
    let verdict =
        verify(&Folder::at(site.vault()).unwrap(), &Expected { keys, may_begin_later: false }, |_, _| ())
            .unwrap();
    assert!(verdict.is_whole(), "{:?}", verdict.findings);
    let stats = site.serving.as_ref().unwrap().stats();
    assert_eq!((stats.sensors["paris"].sequence, stats.refused), (4, 0));
}

#[test]
fn a_token_is_valid_once_and_nobody_plays_the_vault() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let folder = tempfile::tempdir().unwrap();
    let token = site.token("paris");
    let newer = site.token("paris");
    assert!(
        refused(enroll(&token, &paris.public(), folder.path())).contains("not valid"),
        "a newer one was made"
    );
    enroll(&newer, &paris.public(), folder.path()).unwrap();
    assert!(refused(enroll(&newer, &paris.public(), folder.path())).contains("not valid"), "it was used");
    let late = site.register().invite("rome", &site.url(), 0, LARGE, None).unwrap();
    assert!(refused(enroll(&late, &paris.public(), folder.path())).contains("too old"));
    let again = site.register().invite("paris", &site.url(), 60, LARGE, None).unwrap_err().to_string();
    assert!(again.contains("enrolled already"), "{again}");
    assert!(site.register().invite("../etc", &site.url(), 60, LARGE, None).is_err());

    // Segments of that name are there, of a sensor that never needed to enrol.
    let own = identity("lima", 5).public();
    let token = site.register().invite("lima", &site.url(), 60, LARGE, Some(own)).unwrap();
    let told = refused(enroll(&token, &paris.public(), tempfile::tempdir().unwrap().path()));
    assert!(told.contains("signed with another key"), "{told}");

    // Somebody in between has an authority of his own.
    let other = Site::new();
    let lured = Token { url: other.url(), ..site.token("oslo") };
    let elsewhere = tempfile::tempdir().unwrap();
    let told = refused(enroll(&lured, &paris.public(), elsewhere.path()));
    assert!(told.contains("certificate"), "{told}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is left of it");
    let credentials = Credentials::read(folder.path()).unwrap().unwrap();
    let told = failed(other.line(&credentials).ask("paris", &Ask::Progress));
    assert!(told.contains("certificate"), "{told}");
}

#[test]
fn a_stolen_certificate_reads_and_overwrites_nothing_and_is_revoked() {
    let site = Site::new();
    let (paris, oslo) = (identity("paris", 3), identity("oslo", 4));
    let (stolen, credentials) = site.enrolled(&paris);
    let (_kept, others) = site.enrolled(&oslo);
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(&spools.path().join("paris"), &paris, 2, 5_000);
    let other = filled(&spools.path().join("oslo"), &oslo, 1, 5_000);
    ship(&disk, "paris", &mut site.line(&credentials));
    ship(&other, "oslo", &mut site.line(&others));
    let before = site.files();

    // Whatever is asked for by any method, nothing of what is there comes back.
    let pem = |name: &str| std::fs::read(stolen.path().join(name)).unwrap();
    let mut own = pem("vault-certificate.pem");
    own.extend(pem("vault-key.pem"));
    let client = reqwest::Client::builder()
        .use_rustls_tls()
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(&pem("vault-authority.pem")).unwrap())
        .identity(reqwest::Identity::from_pem(&own).unwrap())
        .build()
        .unwrap();
    let of_oslo = spool::manifest(&other, "oslo", 1).unwrap().names();
    let of_paris = spool::manifest(&disk, "paris", 1).unwrap().names();
    let paths = [
        "/",
        "/v1/segments",
        "/../paris/0000000001.json",
        "/v1/parts/1/capture/..%2f..%2fregister.json",
        "/v1/enroll",
    ];
    let paths = paths
        .map(str::to_owned)
        .into_iter()
        .chain(of_oslo.iter().chain(&of_paris).map(|name| format!("/{name}")));
    for path in paths {
        for method in ["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS"] {
            let request = client.request(method.parse().unwrap(), format!("{}{path}", site.url())).body("x");
            let answer = site.runtime.block_on(async {
                let answer = request.send().await.unwrap();
                (answer.status(), answer.bytes().await.unwrap())
            });
            assert!(answer.0.is_client_error(), "{method} {path}: {answer:?}");
            assert!(answer.1.len() < 300, "{method} {path}: {answer:?}");
        }
    }
    let huge = client.post(format!("{}/v1/segments", site.url())).body(vec![b' '; 5 << 20]);
    let status = site.runtime.block_on(async { huge.send().await.map(|answer| answer.status().as_u16()) });
    assert!(status.is_err() || status.is_ok_and(|status| status == 413), "a large body is not taken");

    // The thief has no signing key: other contents, another sensor's segment, gaps, what was cut or changed.
    let mut line = site.line(&credentials);
    let manifest =
        |disk: &Folder, sensor: &str, sequence| disk.read(&manifest_name(sensor, sequence), 65_536).unwrap();
    let accept = |text: Vec<u8>| Ask::Accept { text };
    let forger = Identity { key: SigningKey::from_bytes(&[9; 32]), ..paris.clone() };
    let forged = filled(&spools.path().join("forged"), &forger, 3, 100);
    let told = failed(line.ask("paris", &accept(manifest(&forged, "paris", 3))));
    assert!(told.contains("segment 3 of paris is refused: it is signed by another key"), "{told}");
    let told = failed(line.ask("paris", &accept(manifest(&other, "oslo", 1))));
    assert!(told.contains("it is of the sensor \"oslo\""), "{told}");
    let mut tampered = String::from_utf8(manifest(&disk, "paris", 2)).unwrap();
    tampered = tampered.replace("\"records\": 1,", "\"records\": 2,");
    let told = failed(line.ask("paris", &accept(tampered.into_bytes())));
    assert!(told.contains("its signature is not right"), "{told}");
    // Even with the key, what was sealed is not sealed again otherwise, and not out of order.
    let second = filled(&spools.path().join("second"), &paris, 5, 700);
    let told = failed(line.ask("paris", &accept(manifest(&second, "paris", 2))));
    assert!(
        told.contains("segment 2 of paris is refused: a different segment of that number is here already"),
        "{told}"
    );
    let told = failed(line.ask("paris", &accept(manifest(&second, "paris", 5))));
    assert!(told.contains("segment 3 is missing before it"), "{told}");
    let told = failed(line.ask("paris", &accept(manifest(&second, "paris", 3))));
    assert!(told.contains("not chained"), "{told}");
    // A replay changes nothing.
    assert!(
        matches!(line.ask("paris", &accept(manifest(&disk, "paris", 1))), Told::Progress(p) if p.sequence == 2)
    );
    assert!(site.files() == before, "{:?}", site.files().keys());

    // One command ends it, also on connections that are open, and says why.
    site.register().revoke("paris").unwrap();
    assert_eq!(failed(line.ask("paris", &Ask::Progress)), "paris was revoked");
    assert!(site.register().revoke("paris").unwrap_err().to_string().contains("already"));
    assert!(site.register().revoke("rome").unwrap_err().to_string().contains("no sensor"));
    assert!(matches!(site.line(&others).ask("oslo", &Ask::Progress), Told::Progress(p) if p.sequence == 1));
    // The sensor comes back with its own key and a new certificate; a stranger does not get its name.
    let told = refused(enroll(&site.token("paris"), &oslo.public(), tempfile::tempdir().unwrap().path()));
    assert!(told.contains("signed with another key"), "{told}");
    let (_kept, anew) = site.enrolled(&paris);
    assert!(matches!(site.line(&anew).ask("paris", &Ask::Progress), Told::Progress(p) if p.sequence == 2));
    assert_eq!(
        failed(line.ask("paris", &Ask::Progress)),
        "paris was revoked",
        "the old certificate stays what it is"
    );
}

#[test]
fn what_was_cut_or_altered_on_the_way_is_refused_and_named() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let (_kept, credentials) = site.enrolled(&paris);
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(spools.path(), &paris, 1, 5_000);
    let mut line = site.line(&credentials);
    let text = disk.read(&manifest_name("paris", 1), 65_536).unwrap();
    let manifest = Manifest::read(&text).unwrap();
    let [capture, ..] = manifest.names();
    let whole = disk.read(&capture, 1 << 20).unwrap();
    let part = PartId { sequence: 1, kind: Kind::Capture, blake3: manifest.capture.blake3.clone() };
    let mut altered = whole.clone();
    altered[100] ^= 1;
    for bytes in [whole[..whole.len() - 1].to_vec(), altered] {
        let length = bytes.len() as u64;
        let add = Ask::Add { part: part.clone(), offset: 0, bytes };
        assert!(matches!(line.ask("paris", &add), Told::Held(held) if held == length));
        let told = failed(line.ask("paris", &Ask::Accept { text: text.clone() }));
        assert!(
            told.contains("segment 1 of paris is refused: Capture is not here as the manifest has it"),
            "{told}"
        );
        assert!(matches!(line.ask("paris", &Ask::Held(part.clone())), Told::Held(0)), "it begins anew");
    }
    assert_eq!(ship(&disk, "paris", &mut line), 0);
    assert_eq!(site.files(), files_of(&disk));
}

#[test]
fn a_sensor_that_used_up_its_room_is_told_so_and_goes_on_when_there_is_more() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let folder = tempfile::tempdir().unwrap();
    let small = Quota { bytes: 12_000, ..LARGE };
    enroll(
        &site.register().invite("paris", &site.url(), 60, small, None).unwrap(),
        &paris.public(),
        folder.path(),
    )
    .unwrap();
    let credentials = Credentials::read(folder.path()).unwrap().unwrap();
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(spools.path(), &paris, 3, 5_000);
    let mut line = site.line(&credentials);
    let (mut shipper, mut told) = (Shipper::default(), None);
    while let Some(ask) = shipper.next(&disk, "paris", 0).unwrap() {
        let answer = line.ask("paris", &ask);
        shipper.told(&ask, answer, 0);
        told.clone_from(&shipper.trouble);
    }
    assert!(told.as_ref().is_some_and(|why| why.contains("of 12000 are used")), "{told:?}");
    let there = site.files();
    assert!(there.contains_key("paris/0000000001.json") && !there.contains_key("paris/0000000003.json"));
    // Revoked and enrolled with more room: nothing has to be sent again.
    site.register().revoke("paris").unwrap();
    let (_kept, credentials) = site.enrolled(&paris);
    assert_eq!(ship(&disk, "paris", &mut site.line(&credentials)), 0);
    assert_eq!(site.files(), files_of(&disk));
}

/// Carries connections to a port, and cuts each one after so many bytes from the client, a few more each time.
fn cutting_proxy(to: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, cuts) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&cuts);
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, to)))
            else {
                return;
            };
            let (mut back, mut from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Both);
            });
            let counter = Arc::clone(&counter);
            // The first ones end within the handshake, later ones anywhere in requests.
            let mut left = number * 397 % 90_001;
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                loop {
                    let most = buffer.len().min(left);
                    match client.read(&mut buffer[..most]) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => {
                            left -= read;
                            if server.write_all(&buffer[..read]).is_err() {
                                break;
                            }
                        }
                    }
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (port, cuts)
}

#[test]
fn a_connection_that_is_cut_at_any_byte_loses_and_doubles_nothing() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let (_kept, credentials) = site.enrolled(&paris);
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(spools.path(), &paris, 6, 150_000);
    let (port, cuts) = cutting_proxy(site.serving.as_ref().unwrap().address.port());
    let base = Url::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let mut line = HttpsVault::at(base, &credentials).unwrap();
    let failures = ship(&disk, "paris", &mut line);
    let cuts = cuts.load(Ordering::Relaxed);
    assert!(failures > 20 && cuts > 20, "{failures} failures, {cuts} cuts");
    assert_eq!(site.files().keys().collect::<Vec<_>>(), files_of(&disk).keys().collect::<Vec<_>>());
    assert!(site.files() == files_of(&disk));
    let verdict = verify(&Folder::at(site.vault()).unwrap(), &Expected::default(), |_, _| ()).unwrap();
    assert!(verdict.is_whole(), "{:?}", verdict.findings);
}

#[test]
fn an_older_vault_that_was_put_back_gets_what_it_lacks() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let (_kept, credentials) = site.enrolled(&paris);
    let spools = tempfile::tempdir().unwrap();
    let disk = filled(spools.path(), &paris, 4, 3_000);
    let mut line = site.line(&credentials);
    ship(&disk, "paris", &mut line);
    // As it was after the second one, while the server runs.
    for name in site.files().keys().filter(|name| name.as_str() > "paris/0000000003") {
        std::fs::remove_file(site.vault().join(name)).unwrap();
    }
    assert!(matches!(line.ask("paris", &Ask::Progress), Told::Progress(p) if p.sequence == 2));
    assert_eq!(ship(&disk, "paris", &mut line), 0);
    assert_eq!(site.files(), files_of(&disk));
}

#[test]
fn strangers_shut_nobody_out() {
    let site = Site::new();
    let paris = identity("paris", 3);
    let (kept, credentials) = site.enrolled(&paris);
    let authority = std::fs::read(kept.path().join("vault-authority.pem")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    // Each keeps its connection.
    let stranger = |_| {
        let client = reqwest::Client::builder().use_rustls_tls().tls_built_in_root_certs(false);
        client.add_root_certificate(authority.clone()).build().unwrap()
    };
    let strangers: Vec<reqwest::Client> = (0..60).map(stranger).collect();
    let url = format!("{}/v1/progress", site.url());
    let told = site.runtime.block_on(async {
        let mut told = [0, 0];
        for client in &strangers {
            match client.get(&url).send().await {
                Ok(answer) => told[usize::from(answer.status() != 403)] += 1,
                Err(_) => told[1] += 1,
            }
        }
        told
    });
    assert!(told[0] >= 20 && told[1] >= 20, "{told:?}: some are answered, the rest find no place");
    let _silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(site.serving.as_ref().unwrap().address).unwrap()).collect();
    assert!(
        matches!(site.line(&credentials).ask("paris", &Ask::Progress), Told::Progress(p) if p.sequence == 0)
    );
}

#[test]
fn one_vault_has_one_server() {
    let site = Site::new();
    let again = site.runtime.block_on(serve(
        &site.vault(),
        &site.folder.path().join("register"),
        "127.0.0.1:0",
        &["localhost".into()],
    ));
    assert!(again.unwrap_err().to_string().contains("another server serves this vault"));
}
