use super::*;
use crate::{Folder, Identity};

#[test]
fn a_quiet_network_is_no_gap_and_a_sensor_that_was_off_is_one() {
    const HOUR: Time = 3_600 * 1_000_000_000;
    let temporary = tempfile::tempdir().unwrap();
    let folder = || Folder::at(temporary.path()).unwrap();
    let identity = Identity { sensor: "paris".into(), key: ed25519_dalek::SigningKey::from_bytes(&[3; 32]) };
    let seal = |sequence, now| crate::seal::seal(&mut folder(), &identity, sequence, now).unwrap();
    let gaps = || {
        let verdict =
            crate::verify::verify(&folder(), &crate::verify::Expected::default(), |_, _| ()).unwrap();
        verdict.findings.iter().map(|finding| finding.what.to_string()).collect::<Vec<_>>()
    };
    let mut spool = Spool::open(folder(), "paris", Limits::default(), HOUR, "{}").unwrap();
    for hour in 1..=3 {
        spool.frame("uplink", hour * HOUR, 3, b"abc");
        assert!(!spool.is_due(hour * HOUR + 1), "it grows old from its first packet on");
        spool.close(hour * HOUR + 2).unwrap();
        seal(hour as u64, hour * HOUR + 3);
    }
    assert_eq!(gaps(), Vec::<String>::new());
    drop(spool);
    let mut spool = Spool::open(folder(), "paris", Limits::default(), 5 * HOUR, "{}").unwrap();
    spool.frame("uplink", 5 * HOUR, 3, b"abc");
    spool.close(5 * HOUR + 2).unwrap();
    seal(4, 5 * HOUR + 3);
    assert_eq!(gaps(), ["for 7199 s before it nothing was kept"]);
}

#[test]
fn what_was_begun_under_another_name_is_not_taken() {
    let temporary = tempfile::tempdir().unwrap();
    let open =
        |name: &str| Spool::open(Folder::at(temporary.path()).unwrap(), name, Limits::default(), 0, "{}");
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let identity = Identity { sensor: "paris".into(), key };
    let mut spool = open("paris").unwrap();
    spool.frame("uplink", 1, 3, b"abc");
    spool.close(2).unwrap();
    crate::seal::seal(&mut Folder::at(temporary.path()).unwrap(), &identity, 1, 3).unwrap();
    spool.frame("uplink", 4, 3, b"abc");
    spool.flush();
    drop(spool);
    let told = open("lima").unwrap_err().to_string();
    assert!(told.contains("segment 2 was begun here by a sensor of another name than lima"), "{told}");
    assert!(open("paris").is_ok());
}
