//! What must hold for every capture: the same rows from any number of threads, from files in any order, from
//! a capture cut in two, from a pass stopped and resumed.
//!
//! Over random traffic; a failure prints the seed, and `trapline_testing::random::lines(seed, …)` is the traffic.

use trapline_intake::ordered::Ordered;
use trapline_intake::pass::Output;
use trapline_intake::rows::{Probe, Reply, Response, fold};
use trapline_intake::said::join_requests;
use trapline_intake::sightings::fold_sightings;
use trapline_intake::state::State;
use trapline_intake::survey::{Survey, survey};
use trapline_intake::track::LateAnswer;
use trapline_intake::{DayTables, Input, Pass, Platform};
use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, Random, lines};
use trapline_wire::Time;

type Packets = Vec<(Time, Vec<u8>)>;

const SEEDS: u64 = 60;
const PACKETS: usize = 400;

fn traffic(seed: u64) -> Packets {
    parse(&lines(seed, PACKETS), &names(PLATFORM))
}

/// What a pass gave: the days, what is remembered, and the packets' counts.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    days: Vec<String>,
    state: Option<Vec<u8>>,
    counts: String,
}

/// Reads the files in one pass with so many threads.
fn read(
    files: &[Packets],
    threads: usize,
    state: Option<Vec<u8>>,
) -> (Vec<DayTables>, Option<Vec<u8>>, String) {
    let platform = Platform::parse(PLATFORM).unwrap();
    let hosts: Vec<String> = platform.hosts.iter().map(|h| h.name.clone()).collect();
    let folder = tempfile::tempdir().unwrap();
    let surveys: Vec<Survey> = files
        .iter()
        .enumerate()
        .map(|(i, packets)| {
            let path = folder.path().join(format!("{i}.pcap"));
            std::fs::write(&path, pcap(packets)).unwrap();
            survey(&Input::file(&path), None, &mut |_, _| true).unwrap()
        })
        .collect();
    let state = state.map(|bytes| State::from_bytes(&bytes, &hosts).expect("our own bytes"));
    let mut pass = Pass::new(&platform, surveys.len(), threads, state);
    let mut frames = Ordered::new(&surveys, Time::MIN);
    let mut outputs = Vec::new();
    while frames.advance().unwrap() {
        let placed = frames.frame().unwrap();
        pass.add(placed.capture, surveys[placed.capture].id(), placed.index, &placed.frame);
        outputs.extend(std::iter::from_fn(|| pass.next_output()));
    }
    let finished = pass.finish();
    outputs.extend(finished.outputs);
    let days = outputs.into_iter().filter_map(|o| match o {
        Output::Day(day) => Some(day),
        Output::Boundary { .. } => None,
    });
    // Which capture counted a packet is the files' business; the sum is the traffic's.
    let counts =
        finished.counts.iter().fold([0; 3], |[i, o, e], c| [i + c.inbound, o + c.outbound, e + c.elsewhere]);
    (days.collect(), finished.head.map(|(_, state)| state), format!("{counts:?} {}", finished.over_limit))
}

fn outcome(files: &[Packets], threads: usize) -> Outcome {
    let (days, state, counts) = read(files, threads, None);
    Outcome { days: days.iter().map(|d| format!("{d:#?}")).collect(), state, counts }
}

/// The same without the captures' names, which change when a capture is cut.
fn without_places(days: Vec<DayTables>) -> Vec<String> {
    let nowhere = |mut day: DayTables| {
        day.told_open.clear();
        for sighting in &mut day.sightings {
            (sighting.first.capture, sighting.first.frame) = (0, 0);
        }
        for request in &mut day.requests {
            (request.key.at.capture, request.key.at.frame) = (0, 0);
        }
        for probe in &mut day.probes {
            (probe.first.capture, probe.first.frame) = (0, 0);
            if let Some((place, _)) = &mut probe.first_payload {
                (place.capture, place.frame) = (0, 0);
            }
        }
        format!("{day:#?}")
    };
    days.into_iter().map(nowhere).collect()
}

/// What is remembered, without the captures' names.
fn placeless(state: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let platform = Platform::parse(PLATFORM).unwrap();
    let hosts: Vec<String> = platform.hosts.iter().map(|h| h.name.clone()).collect();
    state.map(|bytes| {
        let mut state = State::from_bytes(&bytes, &hosts).expect("our own bytes");
        state.forget_captures();
        state.to_bytes(&hosts)
    })
}

fn assert_same(ours: &[String], theirs: &[String], seed: u64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "seed {seed}, {what}: number of days");
    for (a, b) in ours.iter().zip(theirs) {
        if a != b {
            let line = a.lines().zip(b.lines()).position(|(a, b)| a != b).unwrap_or_default();
            let near = |text: &str| {
                text.lines().skip(line.saturating_sub(12)).take(24).collect::<Vec<_>>().join("\n")
            };
            panic!("seed {seed}, {what}:\n{}\n--- is not ---\n{}", near(a), near(b));
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_rows() {
    for seed in 0..SEEDS {
        let files = [traffic(seed)];
        let one = outcome(&files, 1);
        assert!(!one.days.is_empty());
        for threads in 2..=8 {
            let many = outcome(&files, threads);
            assert_same(&many.days, &one.days, seed, &format!("{threads} threads"));
            assert!(many.state == one.state, "seed {seed}, {threads} threads: another state");
            assert_eq!(many.counts, one.counts, "seed {seed}, {threads} threads");
        }
    }
}

#[test]
fn files_in_any_order_give_the_same_rows() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        // Every packet goes to one of four files, so that the files overlap everywhere.
        let mut files = vec![Packets::new(); 4];
        for packet in traffic(seed) {
            files[random.below(4) as usize].push(packet);
        }
        let given = outcome(&files, 1);
        let other = outcome(&random.shuffled(files), 2);
        assert_same(&other.days, &given.days, seed, "another order of files");
        assert!(other.state == given.state, "seed {seed}");
    }
}

#[test]
fn a_capture_cut_between_packets_of_different_time_gives_the_same_rows() {
    for seed in 0..SEEDS {
        let packets = traffic(seed);
        let mut random = Random::new(seed);
        let cuts: Vec<usize> = (1..packets.len()).filter(|i| packets[*i].0 != packets[i - 1].0).collect();
        let cut = random.pick(&cuts);
        let (whole, state, _) = read(std::slice::from_ref(&packets), 1, None);
        let (early, late) = packets.split_at(cut);
        let (halves, halves_state, _) = read(&[late.to_vec(), early.to_vec()], 3, None);
        assert_same(
            &without_places(halves),
            &without_places(whole),
            seed,
            &format!("cut before packet {cut}"),
        );
        assert!(placeless(halves_state) == placeless(state), "seed {seed}");
    }
}

/// Rows of two passes of which the second goes on where the first stopped.
fn joined(first: Vec<DayTables>, second: Vec<DayTables>) -> Vec<DayTables> {
    let mut days: Vec<DayTables> = first;
    for late in second {
        let index = days.iter().position(|d| d.day == late.day);
        let day = match index {
            Some(i) => &mut days[i],
            None => {
                days.push(DayTables { day: late.day, ..DayTables::default() });
                days.last_mut().unwrap()
            }
        };
        let both = |a: &mut Vec<Probe>, b| {
            a.extend::<Vec<Probe>>(b);
            *a = fold(std::mem::take(a));
        };
        both(&mut day.probes, late.probes);
        day.sightings.extend(late.sightings);
        day.sightings = fold_sightings(std::mem::take(&mut day.sightings));
        let requests = std::mem::take(&mut day.requests);
        day.requests = join_requests(requests, late.requests, &late.told_open);
        day.responses.extend::<Vec<Response>>(late.responses);
        day.responses = fold(std::mem::take(&mut day.responses));
        day.replies.extend::<Vec<Reply>>(late.replies);
        day.replies = fold(std::mem::take(&mut day.replies));
        for LateAnswer { key, time, .. } in late.late_answers {
            let i = day.probes.binary_search_by_key(&key, |p| p.key).expect("an answer has its probe");
            let first = day.probes[i].first_answer.get_or_insert(time);
            *first = time.min(*first);
        }
    }
    days
}

#[test]
fn a_pass_stopped_and_resumed_gives_the_same_rows() {
    for seed in 0..SEEDS {
        let packets = traffic(seed);
        let cuts: Vec<usize> = (1..packets.len()).filter(|i| packets[*i].0 != packets[i - 1].0).collect();
        let cut = Random::new(seed + 1000).pick(&cuts);
        let (whole, state, _) = read(std::slice::from_ref(&packets), 1, None);
        let (early, late) = packets.split_at(cut);
        let (first, stopped, _) = read(&[early.to_vec()], 2, None);
        let (second, resumed, _) = read(&[late.to_vec()], 3, stopped);
        let what = format!("stopped before packet {cut}");
        assert_same(&without_places(joined(first, second)), &without_places(whole), seed, &what);
        assert!(placeless(resumed) == placeless(state), "seed {seed}, {what}");
    }
}

#[test]
fn a_capture_that_runs_backwards_is_put_in_order() {
    for seed in 0..20 {
        let packets = traffic(seed);
        let (in_order, state, _) = read(std::slice::from_ref(&packets), 1, None);
        // By place in the file the packets are anywhere; by time nothing changed. Packets of one time keep their order.
        let mut random = Random::new(seed);
        let mut groups: Vec<Packets> = packets.chunk_by(|a, b| a.0 == b.0).map(<[_]>::to_vec).collect();
        groups = random.shuffled(groups);
        let (sorted, sorted_state, _) = read(&[groups.concat()], 2, None);
        assert_same(&without_places(sorted), &without_places(in_order), seed, "backwards");
        assert!(placeless(sorted_state) == placeless(state), "seed {seed}");
    }
}
