//! What must hold of the tables, whatever comes in and in whichever order: the rows of one reading of everything.
//!
//! Over random traffic; a failure prints the seed, and `trapline_testing::random::lines(seed, …)` is the traffic.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use trapline_intake::{DAY_NS, Input, Platform};
use trapline_store::ingest::Hosts;
use trapline_store::{
    Data, Engine, Enrichers, IngestReport, IngestRequest, Snapshot, Span, StoreError, ingest,
};
use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, Random, lines};
use trapline_wire::Time;

type Packets = Vec<(Time, Vec<u8>)>;

const SEEDS: u64 = 4;
/// About as many days of traffic as a dozen.
const PACKETS: usize = 100;
/// Every table with the order that makes its text one.
const TABLES: [(&str, &str); 8] = [
    ("probes", "ip, host, protocol, number"),
    ("responses", "ip, host, port, response, solicited, victim"),
    ("replies", "ip, host, protocol"),
    ("sessions", "ip, host"),
    ("sources", "ip"),
    ("hosts", "host, address"),
    ("openings", "host, port"),
    ("captures", "hash"),
];

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> Data {
        Data::at(&self.folder.path().join("tables").display().to_string()).unwrap()
    }

    fn file(&self, name: &str, packets: &Packets) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, pcap(packets)).unwrap();
        path
    }

    async fn take_in(&self, files: &[&Path], threads: usize) -> IngestReport {
        self.try_take_in(files, threads, PLATFORM).await.unwrap()
    }

    async fn try_take_in(
        &self,
        files: &[&Path],
        threads: usize,
        platform: &str,
    ) -> Result<IngestReport, StoreError> {
        let request = IngestRequest {
            data: self.data(),
            inputs: files.iter().map(|f| Input::file(f)).collect(),
            hosts: Hosts::Given(Platform::parse(platform).unwrap()),
            threads,
            arguments: Vec::new(),
            dry_run: false,
            enrichers: Arc::new(Enrichers::built_in()),
        };
        ingest(request, Arc::new(|_, _, _| true)).await
    }

    /// All tables as text, without the columns named in `but`.
    async fn tables(&self, but: &[&str]) -> String {
        let snapshot = Snapshot::latest(&self.data()).await.unwrap().unwrap();
        let engine = Engine::open(&snapshot, &Span::default(), "", 2).unwrap();
        let mut text = String::new();
        for (table, order) in TABLES {
            let by_day = !matches!(table, "hosts" | "openings" | "captures");
            let order = format!("platform{}, {order}", if by_day { ", day" } else { "" });
            let rows = engine.collect(&format!("select * from {table} order by {order}")).await.unwrap();
            let kept: Vec<usize> = (0..rows.num_columns())
                .filter(|i| !but.contains(&rows.schema().field(*i).name().as_str()))
                .collect();
            let rows = rows.project(&kept).unwrap();
            text.push_str(&format!("{table}\n{}\n", pretty_format_batches(&[rows]).unwrap()));
        }
        text
    }
}

fn traffic(seed: u64) -> Packets {
    parse(&lines(seed, PACKETS), &names(PLATFORM))
}

/// The packets of each day.
fn by_day(packets: &Packets) -> Vec<Packets> {
    packets.chunk_by(|a, b| a.0 / DAY_NS == b.0 / DAY_NS).map(<[_]>::to_vec).collect()
}

fn assert_same(ours: &str, theirs: &str, what: &str) {
    if ours != theirs {
        let lines = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
        panic!("{what}: {lines:#?}");
    }
}

const NAME: [&str; 1] = ["name"];
/// Columns that name captures; a cut capture has other names.
const PLACES: [&str; 3] = ["name", "first_capture", "first_frame"];

#[tokio::test(flavor = "multi_thread")]
async fn days_that_come_late_or_backwards_give_the_same_tables() {
    for seed in 0..SEEDS {
        let days = by_day(&traffic(seed));
        let mut random = Random::new(seed);
        let whole = Place::new();
        let files: Vec<PathBuf> =
            days.iter().enumerate().map(|(i, p)| whole.file(&format!("{i}.pcap"), p)).collect();
        whole.take_in(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>(), 1).await;
        let expected = whole.tables(&NAME).await;
        let piecemeal = Place::new();
        let order = random.shuffled((0..files.len()).collect());
        for (n, i) in order.iter().enumerate() {
            let report = piecemeal.take_in(&[&files[*i]], 1 + n % 3).await;
            assert_eq!(report.findings, Vec::<String>::new(), "seed {seed}");
        }
        assert_same(
            &piecemeal.tables(&NAME).await,
            &expected,
            &format!("seed {seed}, days in the order {order:?}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_of_the_same_days_that_come_one_by_one_give_the_same_tables() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut parts = vec![Packets::new(); 3];
        for packet in traffic(seed) {
            parts[random.below(3) as usize].push(packet);
        }
        let whole = Place::new();
        let files: Vec<PathBuf> =
            parts.iter().enumerate().map(|(i, p)| whole.file(&format!("{i}.pcap"), p)).collect();
        whole.take_in(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>(), 2).await;
        let one_by_one = Place::new();
        for file in &files {
            one_by_one.take_in(&[file], 1).await;
        }
        // Counts of packets by kind belong to the capture, wherever it was counted.
        assert_same(&one_by_one.tables(&NAME).await, &whole.tables(&NAME).await, &format!("seed {seed}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_and_resumed_gives_the_same_tables() {
    for seed in 0..SEEDS {
        let packets = traffic(seed);
        let cuts: Vec<usize> = (1..packets.len()).filter(|i| packets[*i].0 != packets[i - 1].0).collect();
        let cut = Random::new(seed).pick(&cuts);
        let whole = Place::new();
        whole.take_in(&[&whole.file("whole.pcap", &packets)], 1).await;
        let halves = Place::new();
        let (early, late) = packets.split_at(cut);
        halves.take_in(&[&halves.file("early.pcap", &early.to_vec())], 2).await;
        halves.take_in(&[&halves.file("late.pcap", &late.to_vec())], 3).await;
        let of_rows = |text: String| text.split("captures\n").next().unwrap().to_owned();
        let (ours, theirs) = (of_rows(halves.tables(&PLACES).await), of_rows(whole.tables(&PLACES).await));
        assert_same(&ours, &theirs, &format!("seed {seed}, cut before packet {cut}"));
    }
}

/// Statements of every shape that questions have: one table grouped by day and more, joins by day and by source, windows.
const STATEMENTS: [&str; 6] = [
    "select day, ip, count(*) as n, ports_sequence(protocol, number, cast(first_seen as bigint)) as s from probes group by day, ip order by day, ip",
    "select day, count(distinct ip) as n, sum(packets) as p from probes group by day order by day",
    "select s.day, s.ip, count(p.port) as n from sources s join probes p on p.day = s.day and p.ip = s.ip group by s.day, s.ip order by s.day, s.ip",
    "select s.day, sum(s.packets) as a, sum(r.packets) as b from sources s join replies r on s.day = r.day group by s.day order by s.day",
    "select platform, ip, day, lag(day) over (partition by platform, ip order by day) as before from sources order by ip, day",
    "select count(*) as n from probes",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_memory_and_tables_from_files_answer_alike() {
    let place = Place::new();
    place.take_in(&[&place.file("a.pcap", &parse(&lines(12, 600), &names(PLATFORM)))], 2).await;
    let snapshot = Snapshot::latest(&place.data()).await.unwrap().unwrap();
    for span in
        [Span::default(), Span { from: Some(12_480), to: Some(12_495), platform: Some("random".into()) }]
    {
        for statement in STATEMENTS {
            let mut answers = Vec::new();
            for (threads, keep_bytes) in [(1, i64::MAX), (3, i64::MAX), (1, 0), (2, 0), (5, 0)] {
                let engine = Engine::open_keeping(&snapshot, &span, "", threads, keep_bytes).unwrap();
                let rows = engine.collect(statement).await.unwrap();
                assert!(rows.num_rows() > 0, "{statement}");
                answers.push(pretty_format_batches(&[rows]).unwrap().to_string());
            }
            answers.iter().for_each(|a| assert_same(a, &answers[0], statement));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_capture_counts_once_whatever_its_name() {
    let place = Place::new();
    let first = place.file("first.pcap", &traffic(1));
    place.take_in(&[&first], 1).await;
    let before = place.tables(&[]).await;
    let copy = place.file("copy.pcap", &traffic(1));
    let report = place.take_in(&[&copy, &first], 1).await;
    assert_eq!((report.new, report.known.len(), report.commit), (0, 2, None));
    assert_same(&place.tables(&[]).await, &before, "twice");
    // Twice in one run, and compressed: the content is the same.
    let packed = place.folder.path().join("packed.pcap.zst");
    std::fs::write(&packed, zstd::encode_all(&std::fs::read(&first).unwrap()[..], 1).unwrap()).unwrap();
    let other = Place::new();
    let report = other.take_in(&[&packed, &first], 1).await;
    assert_eq!((report.new, report.known.len()), (1, 1));
    assert_same(&other.tables(&NAME).await, &place.tables(&NAME).await, "compressed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_platform_is_counted_anew_from_the_captures() {
    let renamed = PLATFORM.replace("mach1", "other").replace("\"53/udp\"", "\"445/tcp\"");
    let place = Place::new();
    let file = place.file("a.pcap", &traffic(3));
    place.take_in(&[&file], 1).await;
    place.try_take_in(&[&file], 2, &renamed).await.unwrap();
    let fresh = Place::new();
    fresh.try_take_in(&[&file], 1, &renamed).await.unwrap();
    assert_same(&place.tables(&NAME).await, &fresh.tables(&NAME).await, "a renamed host and other openings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_capture_is_kept_even_if_an_earlier_one_is_gone_and_that_is_told() {
    let days = by_day(&traffic(4));
    assert!(days.len() > 3);
    let place = Place::new();
    let later = place.file("later.pcap", &days[2..].concat());
    place.take_in(&[&later], 1).await;
    std::fs::remove_file(&later).unwrap();
    let early = place.file("early.pcap", &days[0]);
    let report = place.take_in(&[&early], 1).await;
    assert_eq!(report.new, 1);
    assert!(
        report.findings.iter().any(|f| f.contains("later.pcap") && f.contains("cannot be read again")),
        "{:?}",
        report.findings
    );
    let tables = place.tables(&[]).await;
    assert!(tables.contains("early.pcap") && tables.contains("later.pcap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ingests_at_the_same_time_all_succeed_and_lose_nothing() {
    let days = by_day(&traffic(5));
    let place = Place::new();
    let files: Vec<PathBuf> =
        days.iter().enumerate().map(|(i, p)| place.file(&format!("{i}.pcap"), p)).collect();
    let whole = Place::new();
    whole.take_in(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>(), 1).await;
    let place = Arc::new(place);
    let at_once = files.iter().take(4).cloned().map(|file| {
        let place = Arc::clone(&place);
        tokio::spawn(async move { place.take_in(&[&file], 1).await })
    });
    let reports = futures::future::join_all(at_once.collect::<Vec<_>>()).await;
    let mut commits: Vec<i64> =
        reports.into_iter().map(|r| r.unwrap().commit.expect("every capture is new")).collect();
    commits.sort_unstable();
    assert_eq!(commits, [1, 2, 3, 4]);
    for file in files.iter().skip(4) {
        place.take_in(&[file], 1).await;
    }
    assert_same(&place.tables(&NAME).await, &whole.tables(&NAME).await, "four ingests at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_ingest_leaves_the_tables_as_they_were() {
    let place = Place::new();
    place.take_in(&[&place.file("a.pcap", &traffic(1))], 1).await;
    let before = place.tables(&[]).await;
    let request = IngestRequest {
        data: place.data(),
        // The watch is asked every few thousand packets, so it takes some to be stopped.
        inputs: vec![Input::file(&place.file("b.pcap", &parse(&lines(2, 20_000), &names(PLATFORM))))],
        hosts: Hosts::Given(Platform::parse(PLATFORM).unwrap()),
        threads: 1,
        arguments: Vec::new(),
        dry_run: false,
        enrichers: Arc::new(Enrichers::built_in()),
    };
    let stopped = ingest(request, Arc::new(|_, _, _| false)).await;
    assert!(matches!(stopped, Err(StoreError::Stopped)), "{stopped:?}");
    assert_same(&place.tables(&[]).await, &before, "stopped");
}
