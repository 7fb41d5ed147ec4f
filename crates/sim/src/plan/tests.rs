//! The plan against the numbers that the paper prints, at scale 1, and its attackers' habits.

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
    let mut by_ip: std::collections::BTreeMap<Ipv4Addr, Vec<(i64, i64)>> = Default::default();
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
