//! The tools that read captures, each on the benchmark's capture or on as much of it as it can take.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::bench::Capture;
use crate::measure::{self, Taken, is_there, median};

/// Packets that `tshark -Y http` reads in about 20 seconds.
const HTTP_PACKETS: u64 = 4_000_000;

/// Packets for tcpflow: it writes a file for each flow, so it takes from 7 to 20 seconds as the disk does.
const FLOW_PACKETS: u64 = 1_000_000;

/// Measures all that are installed and says which are not.
pub fn run(capture: &Capture, folder: &Path, runs: usize, show: impl Fn(&str, Taken, u64)) -> Outcome {
    let (file, packets) = (&capture.file, capture.packets);
    let (http_packets, flow_packets) = (packets.min(HTTP_PACKETS), packets.min(FLOW_PACKETS));
    let http_file = cut(file, &folder.join("http.pcap"), http_packets)?;
    let flow_file = cut(file, &folder.join("flow.pcap"), flow_packets)?;
    let (flows, streams) = (folder.join("flows"), folder.join("streams"));
    for made in [&flows, &streams] {
        std::fs::create_dir_all(made).map_err(|e| e.to_string())?;
    }
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.arg("-r").arg(file).args(["-w", "/dev/null"]);
    let mut nfpcapd = Command::new("nfpcapd");
    nfpcapd.arg("-r").arg(file).arg("-l").arg(&flows).arg("-w").arg(&flows);
    let mut argus = Command::new("argus");
    argus.arg("-r").arg(file).arg("-w").arg(folder.join("argus.out"));
    let mut fields = Command::new("tshark");
    fields.args(["-n", "-r"]).arg(file).args(["-T", "fields", "-e", "frame.time_epoch"]);
    fields.args(["-e", "ip.src", "-e", "ip.dst", "-e", "tcp.dstport"]);
    let mut http = Command::new("tshark");
    http.args(["-n", "-r"]).arg(http_file).args(["-Y", "http"]);
    let mut p0f = Command::new("p0f");
    p0f.arg("-r").arg(file).arg("-o").arg(folder.join("p0f.log"));
    let mut tcpflow = Command::new("tcpflow");
    tcpflow.arg("-r").arg(flow_file).arg("-o").arg(&streams);
    // The slower ones once: they take long, and their ratio is no close call.
    for (name, runs, packets, mut command) in [
        ("tcpdump -r FILE -w /dev/null", runs, packets, tcpdump),
        ("nfpcapd", 1, packets, nfpcapd),
        ("argus", 1, packets, argus),
        ("tshark -T fields, four of them", 1, packets, fields),
        ("tshark -Y http", 1, http_packets, http),
        ("p0f -r FILE -o LOG", 1, packets, p0f),
        ("tcpflow -r FILE -o DIR", 1, flow_packets, tcpflow),
    ] {
        let program = command.get_program().to_string_lossy().into_owned();
        if !is_there(&program) {
            println!("{name}: skipped, not installed");
            continue;
        }
        let name = if packets < capture.packets { format!("{name}, of {packets}") } else { name.to_owned() };
        match median(runs, || measure::run(&mut command)) {
            Ok(taken) => show(&name, taken, packets),
            Err(why) => println!("{name}: {why}"),
        }
    }
    Ok(())
}

/// The first packets of a capture as our simulator writes it: pcap, little-endian, a header of 24 bytes and for each packet one
/// of 16 whose third number is the length that was kept (draft-ietf-opsawg-pcap, sections 4 and 5).
fn cut(file: &Path, to: &Path, packets: u64) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", to.display());
    let mut from = BufReader::new(File::open(file).map_err(failed)?);
    let mut into = BufWriter::new(File::create(to).map_err(failed)?);
    std::io::copy(&mut from.by_ref().take(24), &mut into).map_err(failed)?;
    for _ in 0..packets {
        let mut header = [0; 16];
        from.read_exact(&mut header).map_err(failed)?;
        into.write_all(&header).map_err(failed)?;
        let kept = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        std::io::copy(&mut from.by_ref().take(kept.into()), &mut into).map_err(failed)?;
    }
    into.flush().map_err(failed)?;
    Ok(to.to_owned())
}
