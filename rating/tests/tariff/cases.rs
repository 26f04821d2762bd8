//! Each table in `cases/` is a rule; each of its rows a call, what is billed and what it costs.

use tollgate_schemas::{
    money::{format_scaled, parse_scaled},
    terms::LegContext,
    time::parse_rfc3339,
};

use super::language::{table, tariff};

/// `tariff, answer, duration, billed, amount, lines, why`; `lines` is empty where the usage is all.
fn check(name: &str, text: &'static str, at_least: usize) {
    let rows = table(text);
    assert!(rows.len() >= at_least, "{name} has {} rows", rows.len());
    let mut wrong = Vec::new();
    for (line, cells) in rows {
        let [terms, answer, call, billed, amount, want_lines, why] = cells[..] else { panic!("{name}:{line}: {} cells", cells.len()) };
        let terms = tariff(terms);
        let answer_us = if answer == "-" { 0 } else { parse_rfc3339(answer).expect(answer) };
        let (ms, context) = leg(call);
        let lines = terms.lines(answer_us, ms, &context);
        let charge = terms.charge_leg(answer_us, ms, &context);
        let got_lines = if want_lines.is_empty() {
            String::new()
        } else {
            let one = |l: &tollgate_schemas::terms::Line| format!("{} {}", l.name, format_scaled(l.amount_e8, 8, terms.places));
            lines.lines.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let got = (charge.billed_s.to_string(), format_scaled(charge.amount_e8, 8, terms.places), got_lines);
        if got != (billed.to_owned(), amount.to_owned(), want_lines.to_owned()) {
            wrong.push(format!("{name}:{line}: {why}: want {billed} s, {amount} ({want_lines}); got {got:?}"));
        }
        assert_eq!((charge.billed_s, charge.amount_e8), (lines.billed_s, lines.amount_e8()), "{name}:{line}: the lines are the charge");
        if context == LegContext::default() {
            assert_eq!(terms.charge(answer_us, ms), charge, "{name}:{line}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `10.5 s`, `10.5 s, rang 3 s`, `no answer`, `no answer, rang 3 s`, `no answer, 2 attempts`.
fn leg(text: &str) -> (u64, LegContext) {
    let ms = |t: &str| u64::try_from(parse_scaled(t.strip_suffix(" s").expect(text), 3).expect(text)).expect(text);
    let mut parts = text.split(", ");
    let mut context = LegContext::default();
    let first = parts.next().expect(text);
    let duration = if first == "no answer" { None } else { Some(ms(first)) };
    context.answered = duration.is_some();
    for part in parts {
        match part.split_once(' ').expect(text) {
            ("rang", t) => context.ringing_ms = ms(t),
            (n, "attempts") => context.attempts = n.parse().expect(text),
            _ => panic!("{text}"),
        }
    }
    (duration.unwrap_or(0), context)
}

#[test]
fn r_06_a_duration_becomes_seconds_as_the_tariff_says() {
    check("r_06.tsv", include_str!("cases/r_06.tsv"), 20);
}

#[test]
fn r_07_the_initial_increment_then_whole_increments() {
    check("r_07.tsv", include_str!("cases/r_07.tsv"), 12);
}

#[test]
fn r_08_a_line_is_rounded_once_by_places_and_mode() {
    check("r_08.tsv", include_str!("cases/r_08.tsv"), 12);
}

#[test]
fn r_09_each_modifier_alone_and_all_in_their_order() {
    check("r_09.tsv", include_str!("cases/r_09.tsv"), 30);
}

#[test]
fn r_10_the_vectors_are_exact() {
    check("r_10.tsv", include_str!("cases/r_10.tsv"), 16);
}

#[test]
fn r_12_a_price_list_that_changes_at_midnight_of_its_zone() {
    check("r_12.tsv", include_str!("cases/r_12.tsv"), 10);
}

#[test]
fn r_17_prices_change_inside_a_call() {
    check("r_17.tsv", include_str!("cases/r_17.tsv"), 12);
}

#[test]
fn r_18_prices_go_by_the_clock_on_the_wall() {
    check("r_18.tsv", include_str!("cases/r_18.tsv"), 30);
}

/// The peer's cases, at the price its tariffs have in exact decimals.
#[test]
fn the_peers_cases_are_exact() {
    check("peer.tsv", include_str!("peer.tsv"), 59 + 3);
}
