//! Slices and how long money lasts, through admission, with the lender that runs in rating (FN-06, FN-07).

use tollgate_proxy::admission::{Admission, Attempt, MARGIN_MS, NodeState, Policy, Prices, Sale, Sell, Slice, Slot};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Mint,
    money::parse_scaled,
    parties::Parties,
    refusal::Refusal,
    time::Now,
    v1::{CreditHold, LedgerEntry, Terms, Tier},
};

use crate::{
    fixture::{LONDON, Sheet, at, attempt, call, documents, lend, policy, terms, wide},
    rating::credit::Credit,
};

const CENT: i64 = 1_000_000;

/// One price for everything, for the account and what those above pay.
struct One {
    terms: Terms,
    tiers: Vec<Tier>,
}

impl Prices for One {
    fn sell<'p>(&'p self, _account: &str, _parties: &Parties<'p>, _at_us: i64) -> Sale<'p> {
        Sale { tiers: self.tiers.clone(), ..Sale::from(Sell::Terms(self.terms.clone())) }
    }
}

/// A proxy and the writer of its accounts' money, with a perfect line between them.
struct Bank {
    admission: Admission,
    credit: Credit,
    policy: Policy,
    prices: One,
    mint: Mint,
}

impl Bank {
    fn new(account: &str, terms: Terms) -> Bank {
        let mut bank = Bank {
            admission: Admission::new(),
            credit: Credit::default(),
            policy: policy(account, &wide("", "")),
            prices: One { terms, tiers: Vec::new() },
            mint: Mint::new(1, 1),
        };
        bank.admission.credit_mode(&bank.mint.node_name(), tollgate_proxy::admission::CreditRules { partitions: 1, ..tollgate_proxy::admission::CreditRules::default() });
        bank
    }

    fn pay(&mut self, account: &str, e8: i64) {
        self.credit.posted(&[LedgerEntry { account: format!("account:acme-root/{account}"), amount_e8: -e8, currency: "USD".to_owned() }]);
    }

    fn ask(&mut self, now: Now) {
        for (partition, asked) in self.admission.credit_demands(&self.policy, now) {
            let origin = Origin { mint: &self.mint, boot_id: 1, now, control_position: 1 };
            let event = Event::born(origin, "", Body::LeaseAsked(asked.clone()));
            for granted in self.credit.asked(&event, &asked) {
                self.admission.apply_credit(partition, &granted, now);
            }
        }
    }

    fn call(&mut self, now: Now) -> Result<Slot, Refusal> {
        let asked = Attempt { node: NodeState::Open, ..attempt(&self.policy, LONDON, now) };
        let mut admitted = self.admission.admit(&self.policy, &self.prices, &asked).map_err(|r| r.refusal)?;
        self.admission.answered(&mut admitted.slot, now, admitted.sell.as_ref());
        self.admission.credit_answered(&admitted.slot, admitted.sell.as_ref(), &admitted.tiers);
        Ok(admitted.slot)
    }

    /// Lets a call go on as the proxy's timers do, for at most `most_ms`; gives how long it lasted and what it came to.
    fn talk(&mut self, slot: Slot, from_ms: i64, most_ms: u64) -> (u64, i64) {
        let answer_us = at(from_ms).utc_us;
        let (mut elapsed_ms, mut look_ms) = (0, 0);
        loop {
            let now = at(from_ms + elapsed_ms as i64);
            self.ask(now);
            if elapsed_ms >= look_ms {
                match self.admission.next_slice(&slot, answer_us, elapsed_ms, now) {
                    Slice::Until { ms, .. } => look_ms = ms,
                    Slice::Ended => break,
                }
            }
            if elapsed_ms >= most_ms {
                break;
            }
            // What waits is told on the way: twice a second.
            elapsed_ms = (elapsed_ms + 500).min(look_ms.max(elapsed_ms + 1)).min(most_ms);
        }
        let charge = self.end(slot, from_ms, elapsed_ms);
        (elapsed_ms, charge)
    }

    fn end(&mut self, slot: Slot, from_ms: i64, elapsed_ms: u64) -> i64 {
        let settled = self.admission.credit_charges(&slot, at(from_ms).utc_us, Some(elapsed_ms));
        self.admission.release(slot, at(from_ms + elapsed_ms as i64), Some(elapsed_ms));
        self.credit.settled(self.mint.mint(), "acme-root", &settled);
        for CreditHold { account, amount_e8, currency } in &settled {
            self.credit.posted(&[LedgerEntry { account: format!("account:acme-root/{account}"), amount_e8: *amount_e8, currency: currency.clone() }]);
        }
        settled.first().map_or(0, |h| h.amount_e8)
    }

    fn left(&self, account: &str) -> i64 {
        -self.credit.standing("acme-root", account, "USD").map_or(0, |s| s.owed_e8)
    }
}

fn price(rate: &str, connect: &str, plan: &str) -> Terms {
    let (initial, increment) = plan.split_once('/').expect("initial/increment");
    Terms {
        connect_fee_e12: parse_scaled(connect, 12).expect("a fee"),
        initial_s: initial.parse().expect("seconds"),
        increment_s: increment.parse().expect("seconds"),
        ..terms("UK", "44", rate)
    }
}

const PREPAID: &str = r#""billing": "prepaid""#;

#[test]
fn fn_07_the_longest_call_for_some_money() {
    for (balance, rate, connect, plan, seconds) in [
        ("5.00", "0.25", "0", "60/60", 1_200),
        ("5.00", "0.0125", "0.01", "1/1", 23_952),
        // Each increment is paid before it begins: 4.99 does not buy the last minute.
        ("4.99", "0.25", "0", "60/60", 1_140),
        ("0.01", "0.60", "0", "1/1", 1),
        ("0.30", "0.60", "0", "30/6", 30),
    ] {
        let mut bank = Bank::new(PREPAID, price(rate, connect, plan));
        let funds = parse_scaled(balance, 8).expect("money");
        bank.pay("acme", funds);
        bank.ask(at(0));
        let slot = bank.call(at(1_000)).unwrap_or_else(|no| panic!("{balance} at {rate}: {no:?}"));
        let (lasted_ms, charge) = bank.talk(slot, 1_000, u64::MAX);
        assert_eq!(lasted_ms, seconds * 1_000 - MARGIN_MS, "{balance} at {rate} {plan}: the timer's margin before its money ends");
        assert!(charge <= funds && bank.left("acme") == funds - charge, "{balance}: {charge}");
    }
}

#[test]
fn fn_07_cgrates_balance_and_duration_cases() {
    let table = include_str!("cases/balance.tsv");
    let mut cases = 0;
    for line in table.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let f: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [case, balance, rate, connect, plan, max, strategy, evening, start, asked_s, lasts_s, cost] = f[..] else { panic!("{line}") };
        let e8 = |text: &str| parse_scaled(text, 8).expect("money");
        let mut terms = price(rate, connect, plan);
        terms.places = 4;
        terms.max_charge_e12 = parse_scaled(max, 12).expect("money");
        terms.end_at_max = strategy == "disconnect";
        if evening != "-" {
            let step = tollgate_schemas::v1::RateStep { rate_e12: parse_scaled(evening, 12).expect("a rate"), initial_s: 1, increment_s: 1, ..Default::default() };
            terms.bands = vec![tollgate_schemas::v1::TimeBand { name: "evening".to_owned(), from_s: 18 * 3600, steps: vec![step], ..Default::default() }];
        }
        let (hour, minute) = start.split_once(':').expect("a clock");
        let start_ms = (hour.parse::<i64>().expect("h") - 12).rem_euclid(24) * 3_600_000 + minute.parse::<i64>().expect("m") * 60_000;
        let mut bank = Bank::new(PREPAID, terms.clone());
        bank.pay("acme", e8(balance));
        bank.ask(at(start_ms));
        let (lasts, asked): (u64, u64) = (lasts_s.parse().expect("s"), asked_s.parse().expect("s"));
        match bank.call(at(start_ms)) {
            Err(refusal) => assert_eq!((refusal, lasts), (Refusal::Credit, 0), "{case}"),
            Ok(slot) => {
                // What ends a call at a maximum is the proxy's own timer.
                let most_ms = terms.end_at_ms(at(start_ms).utc_us).unwrap_or(u64::MAX).min(asked * 1_000);
                let (ms, charge) = bank.talk(slot, start_ms, most_ms);
                assert_eq!(ms.div_ceil(1_000), lasts, "{case}: {ms} ms");
                assert_eq!(charge, e8(cost), "{case}");
                assert_eq!(bank.left("acme"), e8(balance) - charge, "{case}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 10, "every row is a case");
}

#[test]
fn fn_06_credit_covers_what_is_owed_held_and_accrued() {
    // 0.06 a minute; limit 0.20.
    let mut bank = Bank::new(r#""credit_limit": "0.20""#, price("0.06", "0", "1/1"));
    bank.ask(at(0));
    let mut slots = Vec::new();
    for ms in 0..10 {
        slots.extend(bank.call(at(ms)));
        bank.ask(at(ms + 1));
    }
    assert_eq!(slots.len(), 3, "three holds of 0.06");
    assert_eq!(bank.call(at(20)).err(), Some(Refusal::Credit));
    for (ms, slot) in (30..).zip(slots.drain(1..)) {
        bank.end(slot, 0, ms);
    }
    // 0.001 each for a second; then 0.06 is held and 0.138 left.
    bank.ask(at(1_000));
    assert!(bank.call(at(1_000)).is_ok_and(|slot| bank.end(slot, 1_000, 1) == CENT / 10));
    let one = slots.remove(0);
    assert!(matches!(bank.admission.next_slice(&one, at(0).utc_us, 150_000, at(150_000)), Slice::Until { changed: true, .. }));
    assert_eq!(bank.call(at(150_000)).err(), Some(Refusal::Credit), "0.21 held: it goes on, but nobody else");
    bank.end(one, 0, 150_000);
    bank.ask(at(151_000));
    assert_eq!(bank.call(at(151_000)).err(), Some(Refusal::Credit), "0.153 owed");
    bank.pay("acme", 10 * CENT);
    bank.ask(at(152_000));
    assert!(bank.call(at(152_000)).is_ok(), "0.10 paid");
}

#[test]
fn fn_06_postpaid_calls_outlast_their_limit_and_prepaid_ones_do_not() {
    for (account, lasts_ms) in [(r#""credit_limit": "0.06""#, 600_000), (r#""credit_limit": "0.06", "billing": "prepaid""#, 60_000 - MARGIN_MS)] {
        let mut bank = Bank::new(account, price("0.06", "0", "1/1"));
        bank.ask(at(0));
        let slot = bank.call(at(1)).expect("the limit covers a slice");
        assert_eq!(bank.talk(slot, 1, 600_000).0, lasts_ms, "{account}");
        assert_eq!(bank.call(at(700_000)).err(), Some(Refusal::Credit), "{account}: the limit is used");
    }
}

#[test]
fn fn_07_a_payment_while_the_last_slice_runs_lets_the_call_go_on() {
    let mut bank = Bank::new(PREPAID, price("0.60", "0", "1/1"));
    bank.pay("acme", 60 * CENT);
    bank.ask(at(0));
    let slot = bank.call(at(0)).expect("a minute");
    let answer_us = at(0).utc_us;
    assert_eq!(bank.admission.next_slice(&slot, answer_us, 55_000, at(55_000)), Slice::Until { ms: 55_500, changed: false }, "it asks again and again");
    bank.pay("acme", 30 * CENT);
    bank.ask(at(55_100));
    assert!(bank.admission.credit_gauges(at(55_100))[0].available_e8 > 0);
    let (lasted_ms, charge) = bank.talk(slot, 0, u64::MAX);
    assert_eq!((lasted_ms, charge), (90_000 - MARGIN_MS, 90 * CENT));
}

#[test]
fn fn_07_slices_are_as_long_as_the_account_says_and_hold_the_connect_fee() {
    let policy = policy(r#""billing": "prepaid", "slice_s": 6"#, &wide("", ""));
    let mut admission = Admission::new();
    lend(&mut admission, &policy, at(0), |_| 100 * CENT);
    let prices = One { terms: price("0.60", "0.05", "1/1"), tiers: Vec::new() };
    let admitted = admission.admit(&policy, &prices, &attempt(&policy, LONDON, at(0))).expect("admitted");
    assert_eq!((admitted.holds.len(), admitted.holds[0].amount_e8), (1, 5 * CENT + 6 * CENT));
    assert_eq!(admission.next_slice(&admitted.slot, at(0).utc_us, 0, at(0)), Slice::Until { ms: 3_000, changed: false });
    assert_eq!(admission.next_slice(&admitted.slot, at(0).utc_us, 3_000, at(3_000)), Slice::Until { ms: 9_000, changed: true });
    assert_eq!(admission.credit_holds(&admitted.slot)[0].amount_e8, 17 * CENT);
}

#[test]
fn r_21_each_account_above_holds_what_it_pays_all_or_none() {
    let mut documents = documents(PREPAID, &wide("", ""));
    documents.accounts.get_mut("acme-root").expect("root").credit_limit = Some("0.10".to_owned());
    let policy = Policy::compile(&documents, 1).expect("right");
    // The reseller pays 0.04 where its customer pays 0.06.
    let prices = One { terms: price("0.06", "0", "1/1"), tiers: vec![Tier { account: "acme-root".to_owned(), terms: Some(price("0.04", "0", "1/1")) }] };
    let mut admission = Admission::new();
    lend(&mut admission, &policy, at(0), |d| if d.name == "acme" { 100 * CENT } else { 10 * CENT });
    let admit = |admission: &mut Admission| admission.admit(&policy, &prices, &attempt(&policy, LONDON, at(0))).map_err(Box::new);
    let (one, two) = (admit(&mut admission).expect("0.04"), admit(&mut admission).expect("0.08"));
    let holds: Vec<_> = one.holds.iter().map(|h| (h.account.as_str(), h.amount_e8)).collect();
    assert_eq!(holds, [("acme", 6 * CENT), ("acme-root", 4 * CENT)]);
    let before = admission.credit_gauges(at(0));
    let refused = admit(&mut admission).expect_err("the reseller has 0.02 left");
    assert_eq!((refused.refusal, refused.sip_code), (Refusal::Credit, 402));
    assert!(refused.detail.starts_with("acme-root:"), "it names whose credit it is: {}", refused.detail);
    assert_eq!(admission.credit_gauges(at(0)), before, "all or none");
    admission.release(one.slot, at(0), None);
    admission.release(two.slot, at(0), None);
    assert!(admission.credit_gauges(at(0)).iter().all(|g| g.held_e8 == 0));
}

#[test]
fn fn_07_without_the_log_the_last_lease_is_spent_and_then_nothing_more() {
    let mut bank = Bank::new(PREPAID, price("0.06", "0", "1/1"));
    bank.pay("acme", 100 * CENT);
    bank.ask(at(0));
    // From here on nobody answers.
    let slot = bank.call(at(59_000)).expect("the lease lasts a minute from when it was asked for");
    assert_eq!(bank.call(at(60_000)).err(), Some(Refusal::Credit));
    let answer_us = at(59_000).utc_us;
    let mut elapsed = 0;
    let ended = loop {
        match bank.admission.next_slice(&slot, answer_us, elapsed, at(59_000 + elapsed as i64)) {
            Slice::Until { ms, changed } => {
                assert!(!changed, "no slice without a lease");
                elapsed = ms;
            }
            Slice::Ended => break elapsed,
        }
    };
    assert_eq!(ended, 60_000 - MARGIN_MS, "by its own timer, when what it holds is used up");
}

/// The process is killed, is away for so long, and the next one takes the call up as the log has it.
fn after_a_crash(bank: &mut Bank, slot: Slot, from_ms: i64, back_ms: i64) -> Slot {
    let holds = bank.admission.credit_holds(&slot);
    bank.mint = Mint::new(1, 2);
    bank.admission = Admission::new();
    bank.admission.credit_mode(&bank.mint.node_name(), tollgate_proxy::admission::CreditRules { partitions: 1, ..tollgate_proxy::admission::CreditRules::default() });
    let facts = tollgate_schemas::v1::CallFacts { account: "acme".to_owned(), root_account: "acme-root".to_owned(), trunk: "t1".to_owned(), ..Default::default() };
    let terms = bank.prices.terms.clone();
    let resumed = tollgate_proxy::admission::Resumed { facts: &facts, hold_e8: 0, answered: Some(((back_ms - from_ms) as u64, &terms)) };
    let slot = bank.admission.resume(&bank.policy, resumed, at(back_ms));
    bank.admission.credit_resumed(&slot, &bank.policy, &holds, Some(&terms), &[], at(back_ms));
    slot
}

#[test]
fn fn_07_a_slice_that_lapsed_while_the_process_was_away_is_renewed_as_soon_as_there_is_a_lease() {
    // A cent a second, a slice of ten; back two seconds after the slice was used up.
    for (funds, goes_on) in [(100 * CENT, true), (11 * CENT, false)] {
        let mut bank = Bank::new(r#""billing": "prepaid", "slice_s": 10"#, price("0.60", "0", "1/1"));
        bank.pay("acme", funds);
        bank.ask(at(0));
        let slot = bank.call(at(1_000)).expect("money for a slice");
        let slot = after_a_crash(&mut bank, slot, 1_000, 13_000);
        let answer_us = at(1_000).utc_us;
        // Before the first lease nothing is known: it is no reason to end it.
        assert!(matches!(bank.admission.next_slice(&slot, answer_us, 12_000, at(13_000)), Slice::Until { changed: false, .. }));
        bank.ask(at(13_100));
        let slice = bank.admission.next_slice(&slot, answer_us, 12_500, at(13_500));
        if goes_on {
            assert_eq!(slice, Slice::Until { ms: 18_000, changed: true }, "ten seconds from now, whole ones, and five before the end the next");
            assert_eq!(bank.admission.credit_holds(&slot)[0].amount_e8, 23 * CENT, "all that it came to, and a slice");
        } else {
            assert_eq!(slice, Slice::Ended, "13 seconds for the money of 11");
        }
        let charge = bank.end(slot, 1_000, 12_500);
        assert_eq!(charge, 13 * CENT, "the bound: the time away, and until the lease");
        assert_eq!(bank.left("acme"), funds - charge);
    }
}

#[test]
fn fn_07_without_a_first_lease_a_call_whose_slice_is_over_ends_after_30_s() {
    let mut bank = Bank::new(r#""billing": "prepaid", "slice_s": 10"#, price("0.60", "0", "1/1"));
    bank.pay("acme", 100 * CENT);
    bank.ask(at(0));
    let slot = bank.call(at(0)).expect("money");
    let slot = after_a_crash(&mut bank, slot, 0, 12_000);
    let mut elapsed = 12_000;
    let ended = loop {
        match bank.admission.next_slice(&slot, at(0).utc_us, elapsed, at(elapsed as i64)) {
            Slice::Until { ms, changed } => {
                assert!(!changed, "nothing to hold");
                elapsed = ms;
            }
            Slice::Ended => break elapsed,
        }
    };
    assert_eq!(ended, 12_000 + tollgate_proxy::admission::FIRST_LEASE_MS);
}

#[test]
fn fn_07_a_call_that_is_up_when_its_account_becomes_prepaid_holds_from_then_on() {
    for (funds, goes_on) in [(100 * CENT, true), (3 * CENT, false)] {
        let mut bank = Bank::new("", price("0.60", "0", "1/1"));
        bank.pay("acme", funds);
        let slot = bank.call(at(0)).expect("it owes what it likes");
        assert!(bank.admission.credit_holds(&slot).is_empty());
        assert_eq!(bank.admission.next_slice(&slot, at(0).utc_us, 5_000, at(5_000)), Slice::Until { ms: u64::MAX, changed: false });
        bank.policy = policy(r#""billing": "prepaid", "slice_s": 10"#, &wide("", ""));
        let sell = bank.prices.terms.clone();
        assert!(bank.admission.credit_began(&slot, &bank.policy, "acme", Some(&sell), &[], at(5_000)));
        assert!(!bank.admission.credit_began(&slot, &bank.policy, "acme", Some(&sell), &[], at(5_000)), "once");
        bank.ask(at(5_000));
        let slice = bank.admission.next_slice(&slot, at(0).utc_us, 5_000, at(5_000));
        if goes_on {
            assert_eq!(slice, Slice::Until { ms: 10_000, changed: true });
            assert_eq!(bank.admission.credit_holds(&slot)[0].amount_e8, 15 * CENT, "five seconds that were, ten to come");
        } else {
            assert_eq!(slice, Slice::Ended, "what it came to is not there");
        }
        assert_eq!(bank.end(slot, 0, 5_000), 5 * CENT);
    }
}

#[test]
fn fn_07_a_lease_that_ran_out_is_not_the_same_lease() {
    let mut bank = Bank::new(PREPAID, price("0.06", "0", "1/1"));
    bank.pay("acme", 100 * CENT);
    bank.ask(at(0));
    // Written off by the lender, lent to another, and then this node is heard again.
    bank.credit.lose(&[1]);
    let other = Mint::new(2, 1);
    let mut demands = Admission::new();
    demands.credit_mode(&other.node_name(), tollgate_proxy::admission::CreditRules { partitions: 1, ..tollgate_proxy::admission::CreditRules::default() });
    for (_, asked) in demands.credit_demands(&bank.policy, at(120_000)) {
        let origin = Origin { mint: &other, boot_id: 1, now: at(120_000), control_position: 1 };
        bank.credit.asked(&Event::born(origin, "", Body::LeaseAsked(asked.clone())), &asked);
    }
    bank.ask(at(130_000));
    bank.ask(at(131_000));
    let lent = bank.credit.standing("acme-root", "acme", "USD").expect("known").lent_e8;
    assert!(lent <= 100 * CENT, "{lent} lent of 100");
    let here = bank.admission.credit_gauges(at(131_000)).first().map_or(0, |g| g.available_e8);
    assert!(here + lent <= 100 * CENT, "{here} here");
}

#[test]
fn fn_07_a_grant_to_another_process_or_node_lends_nothing() {
    let policy = policy(PREPAID, &wide("", ""));
    let mut admission = Admission::new();
    let mut first = None;
    for (partition, asked) in admission.credit_demands(&policy, at(0)) {
        let share = tollgate_schemas::v1::LeaseShare { scope: "account".to_owned(), name: "acme".to_owned(), ceiling_e8: 100 * CENT, ..Default::default() };
        first = Some((partition, tollgate_schemas::v1::LeaseGranted { node: asked.node, shares: vec![share], hold_ms: 60_000, revision: 1, credit: true, asked_ns: asked.asked_ns, ..Default::default() }));
    }
    let (partition, granted) = first.expect("asked");
    let available = |admission: &Admission| admission.credit_gauges(at(1)).first().map_or(0, |g| g.available_e8);
    for wrong in [
        tollgate_schemas::v1::LeaseGranted { node: "00000000000b".to_owned(), ..granted.clone() },
        tollgate_schemas::v1::LeaseGranted { asked_ns: granted.asked_ns + 1, ..granted.clone() },
        tollgate_schemas::v1::LeaseGranted { asked_ns: 0, ..granted.clone() },
        tollgate_schemas::v1::LeaseGranted { credit: false, ..granted.clone() },
    ] {
        admission.apply_credit(partition, &wrong, at(1));
        assert_eq!(available(&admission), 0);
    }
    admission.apply_credit(partition, &granted, at(1));
    assert_eq!(available(&admission), 100 * CENT);
    assert!(call(&mut admission, &policy, LONDON, at(1)).is_ok());
    admission.apply_credit(partition, &granted, at(2));
    assert_eq!(available(&admission), 94 * CENT, "the same again lends nothing");
    let _ = Sheet;
}
