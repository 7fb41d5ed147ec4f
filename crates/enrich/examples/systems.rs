//! What `p0f -r CAPTURE -f DATABASE -o LOG` does, with our matcher: a line for every SYN and SYN/ACK, with its raw signature, what the
//! database calls its sender, and the sender's link. For comparing both; `trapline ingest --fingerprints` is the way to use it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};

use trapline_enrich::os::Database;
use trapline_intake::reader::CaptureReader;
use trapline_wire::tcp::flags::{ACK, SYN};
use trapline_wire::{Observation, Reading, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [capture, database, log] = arguments.as_slice() else {
        return Err("usage: systems CAPTURE DATABASE LOG".into());
    };
    let text = std::fs::read_to_string(database)?;
    let database = Database::parse(database, &text).map_err(|lines| format!("{database}: {}", lines[0]))?;
    let mut reader = CaptureReader::new(File::open(capture)?);
    let mut out = BufWriter::new(File::create(log)?);
    // The same observation comes again and again, and its text with it.
    let mut known: HashMap<Observation, String> = HashMap::new();
    while reader.advance() {
        let Some(frame) = reader.frame() else { continue };
        let Reading::Ip(packet) = decode(&frame) else { continue };
        let Some(seen) = Observation::of(&packet).filter(|seen| seen.flags & SYN != 0) else { continue };
        let said = known.entry(seen).or_insert_with(|| {
            let matched = database.matches(&seen);
            let label = matched.label.as_ref().map_or("???", |label| label.text.as_str());
            let step = if seen.flags & ACK == 0 { "syn" } else { "syn+ack" };
            let mut said = format!(
                "mod={step}|os={label}|dist={}|raw_sig={}",
                matched.distance.unwrap_or(0),
                matched.raw
            );
            if let Some((mtu, link)) = database.link(&seen) {
                let _ = write!(said, "|link={}|raw_mtu={mtu}", link.unwrap_or("???"));
            }
            said
        });
        writeln!(out, "{}|cli={}|srv={}|subj=cli|{said}", frame.time, packet.src, packet.dst)?;
    }
    out.flush()?;
    Ok(())
}
