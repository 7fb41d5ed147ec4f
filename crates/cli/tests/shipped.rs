//! A vault's server that is killed again and again while a sensor ships: every answer is as without any of it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trapline_archive::ship::{Shipper, Told};
use trapline_archive::{Disk, Folder, spool};
use trapline_line::https::HttpsVault;
use trapline_line::protocol::Token;
use trapline_line::{Address, Credentials, Remote};

const TRAPLINE: &str = env!("CARGO_BIN_EXE_trapline");
const SENSOR: &str = "eurecom";
/// Questions between two kills.
const BETWEEN: usize = 9;

fn trapline(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(TRAPLINE).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn serve(folder: &Path, port: u16) -> Child {
    let mut command = Command::new(TRAPLINE);
    command.args(["vault", "serve", "--vault", "far", "--listen", &format!("127.0.0.1:{port}")]);
    let child = command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// All files of a sensor, by name.
fn files(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let disk = Folder::at(archive).unwrap();
    let names = disk.list_in(SENSOR).unwrap();
    names.into_iter().map(|(name, length)| (name.clone(), disk.read(&name, length).unwrap())).collect()
}

#[test]
fn a_vault_that_is_killed_again_and_again_gives_the_same_answers() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    // What a demonstration shipped without any fault is the spool here, and its answers are the right ones.
    trapline(folder, &["demo", "--days", "12", "--scale", "0.06"]);
    let near = folder.join("trapline-demo/vault");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut server = serve(folder, port);
    let url = format!("https://localhost:{port}");
    let token = trapline(folder, &["vault", "enroll", SENSOR, "--vault", "far", "--url", &url]);
    let disk = Folder::at(&near).unwrap();
    let key = spool::manifest(&disk, SENSOR, 1).unwrap().key;
    let identity = folder.join("identity");
    trapline_line::enroll::enroll(&Token::read(&token).unwrap(), &key, &identity).unwrap();
    let credentials = Credentials::read(&identity).unwrap().unwrap();
    let Ok(Address::Server(url)) = Address::read(&url) else { panic!("{url}") };
    let mut line = HttpsVault::at(url, &credentials).unwrap();

    let (mut shipper, mut now, mut questions, mut failures, mut kills) =
        (Shipper::sending(2_000), 0, 0, 0, 0);
    loop {
        let Some(ask) = shipper.next(&disk, SENSOR, now).unwrap() else {
            match shipper.wait_until() {
                Some(until) => now = until,
                None => break,
            }
            continue;
        };
        questions += 1;
        let killing = questions % BETWEEN == 0;
        if killing {
            // While the question is on its way.
            let number = server.id();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(u64::from(number % 7) * 700));
                Command::new("kill").args(["-9", &number.to_string()]).status().unwrap();
            });
        }
        let told = line.ask(SENSOR, &ask);
        failures += usize::from(matches!(told, Told::Failed(_)));
        shipper.told(&ask, told, now);
        if killing {
            server.wait().unwrap();
            server = serve(folder, port);
            kills += 1;
        }
        assert!(questions < 20_000, "{:?}", shipper.trouble);
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(kills > 5 && failures > 2, "{kills} kills, {failures} failures of {questions} questions");

    assert!(files(&folder.join("far")) == files(&near), "the same files, byte for byte");
    assert!(trapline(folder, &["verify", "far"]).ends_with("whole\n"));
    let places = "trapline-demo/places.mmdb";
    trapline(
        folder,
        &["ingest", "far", "--platform", "trapline-demo/platform.toml", "--geo", places, "--data", "data"],
    );
    for question in ["overview", "sequences", "kinds", "victims", "logins", "countries"] {
        let ask = |data: &str| trapline(folder, &["ask", question, "--format", "csv", "--data", data]);
        assert_eq!(ask("data"), ask("trapline-demo/data"), "{question}");
    }
    fs::remove_dir_all(folder.join("far")).unwrap();
}
