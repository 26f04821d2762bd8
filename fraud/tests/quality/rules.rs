//! What the second fold says: for each rule a trace that fires, one that nearly does, one that must not, and an evasion.

use super::calls::*;

/// `(rule, severity, dest_group)` of some alerts.
fn said(alerts: &[tollgate_schemas::v1::AlertRaised]) -> Vec<(&str, &str, &str)> {
    alerts.iter().map(|a| (a.rule.as_str(), a.severity.as_str(), a.dest_group.as_str())).collect()
}

/// Calls of accounts, each account in the partition `account % 3`; `gap_ms` apart.
fn spread(accounts: usize, calls: usize, gap_ms: i64, of: Party<'_>, answered: bool) -> Vec<Vec<tollgate_schemas::v1::Event>> {
    let mut nodes = [Node::new(1), Node::new(2), Node::new(3)];
    for i in 0..calls {
        let (account, number) = (format!("a{}", i % accounts), format!("{}{:04}", &of.number[..6], i));
        let party = Party { account: &account, number: &number, ..of };
        nodes[i % accounts % 3].whole(i as i64 * gap_ms, party, "north", answered.then_some(30_000));
    }
    let until_ms = calls as i64 * gap_ms + 180_000;
    nodes.into_iter().map(|n| n.log(until_ms)).collect()
}

#[test]
fn f_01_a_range_that_several_accounts_call_is_told_though_each_keeps_below_its_thresholds() {
    // Five accounts in three partitions, four calls each within 100 s, to twenty numbers of one range.
    let alerts = judged(&spread(5, 20, 5_000, CUBA, true));
    assert_eq!(said(&alerts), [("range_accounts", "warning", "535555"), ("range_accounts", "critical", "535555")]);
    let critical = &alerts[1];
    assert_eq!(critical.features.iter().map(|f| (f.name.as_str(), f.value, f.threshold)).collect::<Vec<_>>(), [("accounts", 5, 5), ("calls", 20, 20), ("high_risk", 20, 0)]);
    assert!(critical.explanation.contains("5 accounts made 20 calls") && critical.block_id.is_empty());
    assert_eq!(critical.first_us, T0);
}

#[test]
fn f_01_one_account_or_one_call_less_is_no_verdict() {
    assert_eq!(said(&judged(&spread(2, 20, 5_000, CUBA, true))), [], "two accounts: each is judged for itself");
    assert_eq!(said(&judged(&spread(3, 4, 5_000, CUBA, true))), [], "four calls");
    assert_eq!(said(&judged(&spread(5, 19, 5_000, CUBA, true))), [("range_accounts", "warning", "535555")], "nineteen are not critical");
}

#[test]
fn f_01_a_busy_range_of_ordinary_risk_is_no_verdict() {
    let bank = Party { number: "4420718387", risky: false, group: "UK", ..CUBA };
    assert_eq!(said(&judged(&spread(12, 59, 1_000, bank, true))), []);
}

/// An evasion and its cost: with each account's calls more than ten minutes apart the accounts do not meet in a window.
#[test]
fn f_01_a_slow_ramp_over_accounts_is_a_known_miss() {
    assert_eq!(said(&judged(&spread(5, 10, 320_000, CUBA, true))), [], "two calls in ten minutes of $1 each");
}

#[test]
fn f_03_very_many_accounts_at_one_range_within_a_minute_are_told_whatever_its_risk() {
    let bait = Party { number: "2247755000", risky: false, group: "Gambia", ..CUBA };
    assert_eq!(said(&judged(&spread(20, 60, 900, bait, true))), [("range_rush", "warning", "224775")]);
    assert_eq!(said(&judged(&spread(19, 60, 900, bait, true))), []);
    assert_eq!(said(&judged(&spread(20, 59, 900, bait, true))), []);
    assert_eq!(said(&judged(&spread(20, 60, 2_500, bait, true))), [], "over two and a half minutes");
}

#[test]
fn f_14_an_address_that_fails_for_several_accounts_is_told() {
    let scan = Party { risky: false, ..CUBA };
    assert_eq!(said(&judged(&spread(3, 20, 1_000, scan, false))), [("source_failing", "warning", "")]);
    assert_eq!(said(&judged(&spread(10, 20, 1_000, scan, false))), [("source_failing", "critical", "")]);
    assert_eq!(said(&judged(&spread(3, 19, 1_000, scan, false))), [], "one call less");
    assert_eq!(said(&judged(&spread(2, 40, 1_000, scan, false))), [], "two accounts behind one address");
}

#[test]
fn f_14_an_address_with_one_answer_is_no_scanner() {
    let mut logs = spread(10, 40, 1_000, Party { risky: false, ..CUBA }, false);
    let mut node = Node::new(9);
    node.whole(10_000, Party { risky: false, account: "good", ..CUBA }, "north", Some(5_000));
    logs[0].extend(node.events);
    logs[0].sort_by_key(|e| e.occurred_us);
    assert_eq!(said(&judged(&logs)), []);
}

#[test]
fn f_14_refusals_at_the_door_count_as_failures() {
    let mut node = Node::new(1);
    for i in 0..4 {
        node.refused(i * 1_000, Party { account: &format!("a{i}"), ..CUBA }, 5);
    }
    let alerts = judged(&[node.log(120_000)]);
    assert!(said(&alerts).contains(&("source_failing", "warning", "")), "{:?}", said(&alerts));
    assert!(alerts.iter().any(|a| a.explanation.contains("20 calls of 4 accounts failed")));
}

/// A carrier's half hour: one call every `every_ms`, of which every `of`-th is answered, and after `from` every `then`-th.
fn carrier(of: usize, then: usize, from: i64, every_ms: i64) -> Vec<Vec<tollgate_schemas::v1::Event>> {
    let mut nodes = [Node::new(1), Node::new(2)];
    for (i, at) in (0..28 * 60_000).step_by(every_ms as usize).enumerate() {
        let ratio = if at < from { of } else { then };
        let party = Party { account: "a1", number: "4420718387", risky: false, group: "UK", ip: "192.0.2.9:5060" };
        nodes[i % 2].whole(at, party, "north", (i / 2 % ratio == 0).then_some(3_000));
    }
    nodes.into_iter().map(|n| n.log(30 * 60_000)).collect()
}

#[test]
fn r_37_a_carrier_whose_answers_collapse_is_told() {
    let alerts = judged(&carrier(2, 60, 20 * 60_000, 1_000));
    assert_eq!(said(&alerts), [("answer_ratio", "warning", "UK"), ("answer_ratio", "critical", "UK")]);
    assert!(alerts[0].explanation.starts_with("carrier north to UK: "), "{}", alerts[0].explanation);
    let late_s = (alerts[0].features[0].value, alerts[0].features[1].value);
    assert!(late_s.0 * 2 <= late_s.1, "{late_s:?}");
}

#[test]
fn r_37_a_ratio_that_holds_or_falls_by_less_than_half_is_no_verdict() {
    assert_eq!(said(&judged(&carrier(2, 2, 20 * 60_000, 1_000))), []);
    assert_eq!(said(&judged(&carrier(2, 3, 20 * 60_000, 1_000))), []);
}

#[test]
fn r_37_a_few_samples_are_neutral() {
    assert_eq!(said(&judged(&carrier(2, 60, 20 * 60_000, 11_000))), [], "27 or 28 attempts in five minutes");
}

#[test]
fn r_37_a_destination_that_was_always_poor_has_nothing_to_lose() {
    assert_eq!(said(&judged(&carrier(6, 200, 20 * 60_000, 1_000))), []);
}

#[test]
fn verdicts_are_quiet_until_the_cool_down_has_passed() {
    // The same attack for 40 minutes.
    let alerts = judged(&spread(5, 480, 5_000, CUBA, true));
    let criticals = alerts.iter().filter(|a| a.severity == "critical").count();
    assert_eq!((criticals, alerts.len()), (3, 4), "{:?}", said(&alerts));
}
