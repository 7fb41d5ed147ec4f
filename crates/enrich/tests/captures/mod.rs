//! Reads the captures of the shared folder, whole, for tests.

use std::path::{Path, PathBuf};

use trapline_wire::{Frame, Framing, Step};

/// Calls `each` with every frame of a capture.
pub fn frames(path: &Path, mut each: impl FnMut(&Frame<'_>)) {
    let bytes = std::fs::read(path).unwrap();
    let mut framing = Framing::detect(bytes[..4].try_into().unwrap()).expect("a capture");
    let mut at = 0;
    while at < bytes.len() {
        match framing.step(&bytes[at..]) {
            Step::Frame { consumed, frame } => {
                each(&frame);
                at += consumed;
            }
            Step::Skip { consumed, .. } => at += consumed,
            Step::Need(_) => return,
            Step::Damaged(damage) => panic!("{}: {damage}", path.display()),
        }
    }
}

/// All captures below the shared folder, in order.
pub fn captures(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(place.join("data/captures")).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.is_dir() {
            found.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.retain(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    found.sort();
    found
}
