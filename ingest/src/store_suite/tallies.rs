//! Tallies: what reports of calling numbers and short calls are made of.

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrFilter, TallyBy, TallyQuery, TallyRow},
};

use super::{
    Bed, Model, only,
    rows::{HOUR, Rng, T0, cdr, random_filter, small_row},
};

fn random_tally(rng: &mut Rng) -> TallyQuery {
    let at = |rng: &mut Rng| T0 + rng.below(72 * HOUR as u64) as i64;
    TallyQuery {
        filter: random_filter(rng),
        by: *rng.pick(&[TallyBy::Account, TallyBy::Carrier]),
        answered_us: (rng.below(2) == 0).then(|| (at(rng), at(rng))),
        short_ms: *rng.pick(&[0, 6_000, 50_000, u64::MAX]),
    }
}

pub(super) fn counts(bed: &mut Bed) {
    let mut rng = Rng(26_28);
    let mut model = Model::default();
    for round in 0..6u64 {
        let rows: Vec<Cdr> = (0..120).map(|_| small_row(&mut rng)).collect();
        rows.iter().for_each(|r| model.write(r));
        bed.write(0, &rows, round + 1);
        if round % 3 == 1 {
            bed.flush();
        }
        for _ in 0..12 {
            let query = random_tally(&mut rng);
            assert_eq!(bed.tally(&query), model.tally(&query), "round {round}: {query:?}");
        }
    }
}

fn row(party: &str, validity: &str, [calls, delivered, connected, short]: [u64; 4]) -> TallyRow {
    TallyRow { party: party.into(), root_account: "acme".into(), a_validity: validity.into(), calls, delivered, connected, short }
}

pub(super) fn short_calls(bed: &mut Bed) {
    let day = 24 * HOUR;
    // (answered after the day began, milliseconds): as the domain's clause reads, day by day in UTC.
    let calls = [
        (Some(0), 6_000),       // the day's first instant: in; 6.000 s is short
        (Some(day - 1), 6_001), // in, and not short
        (Some(day), 1_000),     // the next day's
        (Some(-1), 1_000),      // the day's before, though both were asked for in one filter
        (None, 0),              // not connected: in neither figure
    ];
    let mut rows: Vec<Cdr> = (1u128..)
        .zip(calls)
        .map(|(call, (answer, duration_ms))| Cdr {
            answer_ts: answer.map(|us| T0 + us),
            invite_ts: T0 + answer.unwrap_or(0) - 1,
            duration_ms,
            disposition: if answer.is_some() { "answered" } else { "busy" }.into(),
            a_validity: "valid".into(),
            ..cdr(call, FINAL, 1, 1)
        })
        .collect();
    // A test call is no customer's.
    rows.push(Cdr { test_call: true, answer_ts: Some(T0), a_validity: "valid".into(), ..cdr(9, FINAL, 1, 1) });
    bed.write(0, &rows, 10);
    for step in ["written", "flushed"] {
        let query = TallyQuery { filter: only(FINAL), answered_us: Some((T0, T0 + day)), short_ms: 6_000, by: TallyBy::Account };
        assert_eq!(bed.tally(&query), [row("acme", "valid", [5, 5, 2, 1])], "{step}");
        assert_eq!(bed.tally(&TallyQuery { answered_us: None, ..query.clone() }), [row("acme", "valid", [5, 5, 4, 3])], "{step}");
        assert_eq!(bed.tally(&TallyQuery { filter: only(ATTEMPT), ..query }), [], "{step}");
        bed.flush();
    }
}

pub(super) fn calling_numbers(bed: &mut Bed) {
    let mut rows: Vec<Cdr> = (1..=4).map(|call| Cdr { a_validity: "valid".into(), ..cdr(call, FINAL, 1, 1) }).collect();
    rows.push(Cdr { a_validity: "missing".into(), ..cdr(5, FINAL, 1, 1) });
    // Refused before a carrier was tried, once for many.
    rows.push(Cdr { a_validity: "missing".into(), disposition: "blocked".into(), count: 250, attempts_total: 0, ..cdr(6, FINAL, 0, 1) });
    rows.push(Cdr { a_validity: "short".into(), account: "sub".into(), ..cdr(7, FINAL, 1, 1) });
    bed.write(0, &rows, 8);
    for step in ["written", "flushed"] {
        let query = TallyQuery { filter: CdrFilter { tenant: Some("acme".into()), ..only(FINAL) }, ..TallyQuery::default() };
        let want = [row("acme", "missing", [251, 1, 0, 0]), row("acme", "valid", [4, 4, 0, 0]), row("sub", "short", [1, 1, 0, 0])];
        assert_eq!(bed.tally(&query), want, "{step}");
        bed.flush();
    }
}
