//! FN-01, FN-17, FN-19, R-46 on calls made here.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, Mint},
    time::Now,
    v1::{InvoiceIssued, NoteIssued},
};

use super::*;
use crate::corrections::books::{Books, Fate};

mod terms;

fn row(n: u8, destination: &str, rate_e12: i64, billed_s: u64, amount_e8: i64) -> Cdr {
    Cdr {
        call_uuid: Id(n.into()).to_vec(),
        cdr_version: 1,
        record_type: "final".into(),
        account: "acme".into(),
        b_dest_group: destination.into(),
        disposition: "answered".into(),
        invite_ts: 1_772_323_200_000_000 + i64::from(n) * 1_000_000,
        sell_rate: Some(rate_e12),
        billed_sec_sell: billed_s,
        sell_amount: amount_e8,
        sell_currency: "EUR".into(),
        ..Cdr::default()
    }
}

fn usage(rows: &[Cdr]) -> Usage {
    let mut usage = Usage::of("acme");
    rows.iter().for_each(|r| usage.add(r));
    usage
}

fn details() -> Details {
    Details {
        supplier: Party { name: "Tollgate Carrier BV".into(), ..Party::default() },
        customer: Party { name: "Acme Ltd".into(), tax_id: "GB123".into(), ..Party::default() },
        due_days: 30,
        recurring: vec![Item { description: "trunk".into(), amount: "50".into() }],
        credits: vec![Item { description: "outage of 3 March".into(), amount: "5.00".into() }],
        taxes: vec![Tax { code: "VAT".into(), description: "VAT".into(), percent: "21".into(), on: vec![] }],
        ..Details::default()
    }
}

fn issue(usage: &Usage, late: &Late, details: &Details, sequence: u64) -> Invoice {
    issue_with(&Bill { late, ..Bill::plain(usage) }, details, sequence, None)
}

fn issue_with(bill: &Bill<'_>, details: &Details, sequence: u64, taxes: Option<&TaxBasis>) -> Invoice {
    invoice(bill, Order {
        series: "2026",
        sequence,
        account: "acme",
        root_account: "acme",
        currency: "EUR",
        from_us: instant("2026-03-01", Tz::Europe__Amsterdam).expect("date"),
        until_us: instant("2026-04-01", Tz::Europe__Amsterdam).expect("date"),
        timezone: Tz::Europe__Amsterdam,
        issued_us: instant("2026-04-03", Tz::Europe__Amsterdam).expect("date"),
        details,
        supplied: "2026-03-31",
        taxes,
        contract: None,
        exchange: Vec::new(),
        as_of: "10.20",
        annex: Annex::default(),
        actor: "finance",
    })
    .expect("taxes are known")
}

fn e8(text: &str) -> i64 {
    parse_scaled(text, 8).expect("decimal")
}

const CALLS: [(&str, i64, u64, i64); 4] = [
    // 0.0125 a minute: 61 s are 0.012708 (rounded per call to six places).
    ("UK", 12_500_000_000, 61, 1_270_800), ("UK", 12_500_000_000, 120, 2_500_000), ("UK", 20_000_000_000, 60, 2_000_000), ("Japan", 40_000_000_000, 90, 6_000_000),
];

fn rows() -> Vec<Cdr> {
    (1..).zip(CALLS).map(|(n, (d, r, s, a))| row(n, d, r, s, a)).collect()
}

#[test]
fn fn_01_lines_sum_to_the_total_and_usage_is_by_destination_and_rate() {
    let made = issue(&usage(&rows()), &BTreeMap::new(), &details(), 7);
    let told: Vec<(Section, &str, &str, &str, &str)> = made
        .lines
        .iter()
        .map(|l| (l.section.expect("section"), l.destination.as_str(), l.rate.as_str(), l.minutes.as_str(), l.amount.as_str()))
        .collect();
    // Calls 0.117708, trunk 50, credit −5: net 45.117708; VAT 21 % = 9.47 to the cent; 54.587708 is 54.59 with 0.002292 of rounding.
    assert_eq!(told, [
        (Section::Recurring, "", "", "", "50.000000"),
        (Section::Usage, "Japan", "0.0400", "1.50", "0.060000"),
        (Section::Usage, "UK", "0.0125", "3.02", "0.037708"),
        (Section::Usage, "UK", "0.0200", "1.00", "0.020000"),
        (Section::Credits, "", "", "", "-5.000000"),
        (Section::Taxes, "", "", "", "9.470000"),
        (Section::Rounding, "", "", "", "0.002292"),
    ]);
    assert_eq!((made.subtotal.as_str(), made.taxes.as_str(), made.total.as_str()), ("45.117708", "9.470000", "54.59"));
    assert_eq!(made.lines.iter().map(|l| e8(&l.amount)).sum::<i64>(), e8(&made.total));
    assert_eq!((made.number.as_str(), made.issued.as_str(), made.due.as_str()), ("2026-7", "2026-04-03", "2026-05-03"));
    // March in Amsterdam ends an hour less after UTC's midnight than it began.
    assert_eq!((made.period.from.as_str(), made.period.until.as_str()), ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"));
    let calls: Vec<_> = made.lines.iter().filter_map(|l| l.calls).collect();
    assert_eq!(calls, [1, 2, 1]);
}

#[test]
fn fn_01_fees_of_calls_are_lines_of_their_own() {
    let fee = Cdr { sell_lines: r#"[{"name":"usage","amount":"0.020000"},{"name":"dip","amount":"0.000300"}]"#.into(), ..row(1, "US", 20_000_000_000, 60, 2_030_000) };
    let unanswered = Cdr { disposition: "busy".into(), sell_lines: r#"[{"name":"dip","amount":"0.000300"}]"#.into(), ..row(2, "US", 20_000_000_000, 0, 30_000) };
    let made = issue(&usage(&[fee, unanswered]), &BTreeMap::new(), &Details::default(), 1);
    let told: Vec<(Section, &str, Option<u64>, &str)> = made.lines.iter().map(|l| (l.section.expect("section"), l.description.as_str(), l.calls, l.amount.as_str())).collect();
    assert_eq!(told, [
        (Section::Usage, "calls", Some(1), "0.020000"), (Section::Fees, "dip", Some(2), "0.000600"), (Section::Rounding, "rounding", None, "-0.000600"),
    ]);
    assert_eq!(made.total, "0.02");
}

#[test]
fn fn_17_calls_known_after_the_freeze_are_late_usage_of_the_next_invoice_with_their_own_date() {
    let (first, late) = (rows(), row(40, "UK", 12_500_000_000, 60, 1_250_000));
    let now: Vec<Arc<Cdr>> = {
        let mut all: Vec<Cdr> = first.iter().cloned().chain([late.clone()]).collect();
        all.sort_by_key(|r| std::cmp::Reverse(r.invite_ts));
        all.into_iter().map(Arc::new).collect()
    };
    let mut then: Vec<Arc<Cdr>> = first.into_iter().map(Arc::new).collect();
    then.sort_by_key(|r| std::cmp::Reverse(r.invite_ts));
    let mut by_day: BTreeMap<String, Usage> = BTreeMap::new();
    differences(then, now, |d| {
        if let Difference::Late(r) = d {
            by_day.entry(day(r.invite_ts, Tz::Europe__Amsterdam)).or_insert_with(|| Usage::of("acme")).add_named(&r, None);
        }
    });
    let made = issue(&Usage::of("acme"), &by_day, &Details::default(), 2);
    assert_eq!((made.lines[0].section, made.lines[0].original_date.as_str(), made.lines[0].amount.as_str()), (Some(Section::LateUsage), "2026-03-01", "0.012500"));
    assert_eq!(made.late_calls, [Id::of(&late.call_uuid).to_string()]);
}

fn doubled(of: &[Cdr]) -> Vec<Cdr> {
    of.iter().map(|r| if r.b_dest_group == "Japan" { Cdr { cdr_version: 2, sell_rate: Some(20_000_000_000), sell_amount: r.sell_amount / 2, ..r.clone() } } else { r.clone() }).collect()
}

fn note_order<'a>(remainder_e8: i64) -> NoteOrder<'a> {
    NoteOrder { series: "2026", sequence: 8, reason: "Japan at the price agreed", batches: vec!["b1".into()], issued_us: 1_775_200_000_000_000, as_of: "11.20", actor: "finance", remainder_e8 }
}

#[test]
fn r_46_a_notes_total_is_the_invoices_delta_and_the_invoice_stays() {
    let (old, new) = (rows(), doubled(&rows()));
    // Enough calls that the difference shows in cents.
    let many = |of: &[Cdr]| { let mut u = Usage::of("acme"); (0..1_000).for_each(|_| of.iter().for_each(|r| u.add(r))); u };
    let (then, now) = (many(&old), many(&new));
    let made = issue(&then, &BTreeMap::new(), &details(), 7);
    let json = serde_json::to_string(&made).expect("json");
    let credit = note(&made, Ground::Rerated { then: &Bill::plain(&then), now: &Bill::plain(&now) }, note_order(e8(&made.total))).expect("a note");
    let again = issue(&now, &BTreeMap::new(), &details(), 7);
    assert_eq!(-e8(&credit.total), e8(&again.total) - e8(&made.total));
    assert_eq!((credit.kind.as_str(), credit.invoice.as_str()), ("credit_note", "2026-7"));
    let lines: Vec<(&str, &str, Option<u32>, &str)> = credit.lines.iter().map(|l| (l.destination.as_str(), l.rate.as_str(), l.invoice_line, l.amount.as_str())).collect();
    assert_eq!(lines, [
        ("Japan", "0.0200", None, "30.000000"), ("Japan", "0.0400", Some(2), "-60.000000"), ("", "", Some(6), "-6.300000"),
    ]);
    assert_eq!(credit.lines.iter().map(|l| e8(&l.amount)).sum::<i64>(), -e8(&credit.total));
    assert_eq!(serde_json::to_string(&made).expect("json"), json, "the invoice is what it was");
    assert_eq!(note(&made, Ground::Rerated { then: &Bill::plain(&now), now: &Bill::plain(&now) }, note_order(e8(&made.total))), Err(Refused::NothingChanged("2026-7".into())));
}

/// A call of an account two below is on the bill with what `acme` pays for it, under that account's name; so is its note's line.
#[test]
fn fn_20_r_20_calls_of_accounts_below_are_lines_of_their_own_at_the_payers_price() {
    let below = |n: u8, account: &str, amount: &str| {
        let tiers = format!(r#"[{{"account":"mid","deck":"m","amount":"9","currency":"EUR"}},{{"account":"acme","deck":"w","amount":"{amount}","currency":"EUR","rate":"0.5000","billed_sec":60}}]"#);
        Arc::new(Cdr { account: account.into(), tier_amounts: tiers, ..row(n, "UK", 900_000_000_000, 90, 9_000_000_000) })
    };
    let billed = |price: &str| {
        let mut usage = usage(&rows());
        for row in [below(11, "shop", price), below(12, "shop", price), below(13, "kiosk", "0.5")] {
            usage.add(&tollgate_schemas::tiers::paid_by(&row, "acme").expect("it pays"));
        }
        usage
    };
    let (then, now) = (billed("0.5"), billed("0.4"));
    let made = issue(&then, &BTreeMap::new(), &Details::default(), 7);
    let told: Vec<(&str, &str, &str, &str, &str)> = made.lines.iter().filter(|l| l.section == Some(Section::Usage)).map(|l| (l.sub_account.as_str(), l.destination.as_str(), l.rate.as_str(), l.minutes.as_str(), l.amount.as_str())).collect();
    assert_eq!(told, [
        ("", "Japan", "0.0400", "1.50", "0.060000"), ("", "UK", "0.0125", "3.02", "0.037708"), ("", "UK", "0.0200", "1.00", "0.020000"),
        ("kiosk", "UK", "0.5000", "1.00", "0.500000"), ("shop", "UK", "0.5000", "2.00", "1.000000"),
    ]);
    assert_eq!(made.total, "1.62");
    let credit = note(&made, Ground::Rerated { then: &Bill::plain(&then), now: &Bill::plain(&now) }, note_order(e8(&made.total))).expect("a note");
    let lines: Vec<(&str, Option<u32>, &str)> = credit.lines.iter().map(|l| (l.sub_account.as_str(), l.invoice_line, l.amount.as_str())).collect();
    assert_eq!((lines, credit.total.as_str()), (vec![("shop", Some(5), "-0.200000")], "0.20"));
}

/// FN-17: what was billed late is rated again like the period's own, and on the note of the invoice that billed it.
#[test]
fn r_46_fn_17_a_late_call_that_is_rated_again_is_on_the_note_of_the_invoice_it_is_on() {
    let late = |amount: i64| {
        let mut of_day = Usage::of("acme");
        let fee = r#"[{"name":"usage","amount":"0.100000"},{"name":"dip","amount":"0.010000"}]"#;
        of_day.add_named(&Cdr { sell_lines: fee.replace("0.100000", &format_amount(amount - 1_000_000)), ..row(40, "UK", 12_500_000_000, 60, amount) }, None);
        Late::from([("2026-02-27".to_owned(), of_day)])
    };
    let (usage, then, now) = (usage(&rows()), late(11_000_000), late(6_000_000));
    let made = issue(&usage, &then, &details(), 7);
    let bill = |late| Bill { late, ..Bill::plain(&usage) };
    let credit = note(&made, Ground::Rerated { then: &bill(&then), now: &bill(&now) }, note_order(e8(&made.total))).expect("a note");
    let again = issue(&usage, &now, &details(), 7);
    assert_eq!((credit.kind.as_str(), -e8(&credit.total)), ("credit_note", e8(&again.total) - e8(&made.total)));
    let lines: Vec<(Section, &str, &str)> = credit.lines.iter().map(|l| (l.section, l.description.as_str(), l.amount.as_str())).collect();
    assert_eq!(lines[0], (Section::LateUsage, "calls of 2026-02-27, known after its invoice", "-0.050000"));
    let of_invoice = made.lines.iter().find(|l| l.section == Some(Section::LateUsage)).expect("late usage");
    assert_eq!(credit.lines[0].invoice_line, Some(of_invoice.no));
    assert!(lines[1..].iter().all(|l| matches!(l.0, Section::Taxes | Section::Rounding)), "the fee is what it was: {lines:?}");
    let same = note(&made, Ground::Rerated { then: &bill(&then), now: &bill(&then) }, note_order(e8(&made.total)));
    assert_eq!(same, Err(Refused::NothingChanged("2026-7".into())));
}

#[test]
fn fn_19_a_credit_of_more_than_is_left_is_refused() {
    let made = issue(&usage(&rows()), &BTreeMap::new(), &details(), 7);
    let agreed = |amount: &str, left: &str| note(&made, Ground::Agreed { amount_e8: e8(amount) }, note_order(e8(left)));
    assert!(agreed("54.59", "54.59").is_ok(), "all of it");
    assert_eq!(agreed("54.60", "54.59"), Err(Refused::MoreThanIsLeft { invoice: "2026-7".into(), credit: "54.60".into(), remainder: "54.59".into() }));
}

#[test]
fn r_08_a_total_is_in_minor_units_of_its_currency_and_an_agreed_credit_too() {
    let usage = usage(&rows());
    let total = |currency: &str, places: Option<u32>| -> i128 {
        let details = Details { places, ..details() };
        super::lines(&Bill::plain(&usage), &details, None, currency).expect("lines").0.iter().map(|(_, a)| a).sum()
    };
    // 45.117708 and 21 % of it.
    assert_eq!(["JPY", "EUR", "KWD", "CLF"].map(|c| total(c, None)), [5_400_000_000, 5_459_000_000, 5_459_300_000, 5_459_240_000]);
    assert_eq!((total("JPY", Some(2)), total("QQQ", None)), (5_459_000_000, 5_459_000_000), "the details say otherwise; what no list has is in cents");
    let made = issue(&usage, &BTreeMap::new(), &details(), 7);
    let agreed = |amount: &str| note(&made, Ground::Agreed { amount_e8: e8(amount) }, note_order(e8("54.59")));
    let refused = agreed("0.001").expect_err("finer than a cent");
    assert_eq!(refused.to_string(), "a credit of 0.001: invoice 2026-7 is in EUR with 2 decimal places, and so are its notes");
    assert!(agreed("0.01").is_ok() && agreed("0.010").is_ok());
}

fn event(n: u32, body: Body) -> Event {
    let mint = Mint::new(7, n);
    Event::born(Origin { mint: &mint, boot_id: 1, now: Now::default(), control_position: 0 }, "acme", body)
}

fn issued(number: u64, account: &str, from_us: i64, until_us: i64) -> Body {
    Body::InvoiceIssued(InvoiceIssued { series: "s".into(), number, account: account.into(), currency: "EUR".into(), from_us, until_us, total_e8: 100, document: format!("{{\"as_of\":\"{number}.0\"}}"), ..InvoiceIssued::default() })
}

#[test]
fn fn_01_a_series_has_no_gap_and_no_double_whoever_issues() {
    let mut books = Books::default();
    let story = [
        (issued(1, "a", 0, 10), Fate::Stands), (issued(1, "b", 0, 10), Fate::Void), (issued(3, "b", 0, 10), Fate::Void), (issued(2, "b", 0, 10), Fate::Stands),
        (issued(3, "a", 5, 15), Fate::Void), (issued(3, "a", 10, 20), Fate::Stands), (Body::Tick(Default::default()), Fate::Other),
    ];
    for (n, (body, fate)) in story.into_iter().enumerate() {
        assert_eq!(books.apply(&event(n as u32 + 1, body)), fate, "{n}");
    }
    assert_eq!(books.next("s"), 4);
    assert_eq!(books.documents().map(|d| (d.number, d.account.as_str())).collect::<Vec<_>>(), [(1, "a"), (2, "b"), (3, "a")]);
    let credit = |number, total_e8| {
        Body::NoteIssued(NoteIssued { series: "s".into(), number, account: "a".into(), invoice_series: "s".into(), invoice_number: 1, kind: "credit".into(), total_e8, document: "{\"as_of\":\"9.9\"}".into(), ..NoteIssued::default() })
    };
    assert_eq!(books.apply(&event(20, credit(4, 60))), Fate::Stands);
    assert_eq!(books.apply(&event(21, credit(5, 41))), Fate::Void, "FN-19, also against who did not know");
    assert_eq!(books.apply(&event(22, credit(5, 40))), Fate::Stands);
    let first = books.document("s", 1).expect("the first").clone();
    assert_eq!((books.remainder(&first), books.read_at(&first).as_str(), books.next("s")), (0, "9.9", 6));
}

/// Late calls are looked for by the invoices there are, changes by how far the last note has read: who did not know of one is void.
#[test]
fn fn_17_r_46_documents_made_side_by_side_bill_nothing_twice() {
    let mut books = Books::default();
    let after = |body, earlier| match body {
        Body::InvoiceIssued(i) => Body::InvoiceIssued(InvoiceIssued { earlier: Some(earlier), ..i }),
        other => other,
    };
    let note = |number, follows: &str, as_of: &str| {
        let document = format!("{{\"as_of\":\"{as_of}\"}}");
        Body::NoteIssued(NoteIssued { series: "s".into(), number, account: "a".into(), invoice_series: "s".into(), invoice_number: 1, kind: "credit".into(), total_e8: 10, document, follows: follows.into(), ..NoteIssued::default() })
    };
    let story = [
        (after(issued(1, "a", 0, 10), 0), Fate::Stands), (after(issued(2, "a", 10, 20), 0), Fate::Void), (after(issued(2, "b", 10, 20), 0), Fate::Stands),
        (after(issued(3, "a", 10, 20), 1), Fate::Stands), (note(4, "1.0", "9.0"), Fate::Stands), (note(5, "1.0", "9.0"), Fate::Void), (note(5, "9.0", "12.0"), Fate::Stands),
    ];
    for (n, (body, fate)) in story.into_iter().enumerate() {
        assert_eq!(books.apply(&event(n as u32 + 1, body)), fate, "{n}");
    }
}

#[test]
fn fn_01_a_day_begins_at_its_first_instant_in_the_zone() {
    for (date, zone, utc) in [
        ("2026-03-01", Tz::UTC, "2026-03-01T00:00:00.000000Z"), ("2026-03-29", Tz::Europe__Amsterdam, "2026-03-28T23:00:00.000000Z"),
        ("2026-10-26", Tz::Europe__Amsterdam, "2026-10-25T23:00:00.000000Z"),
        // Midnight is left out in Beirut that day.
        ("2026-03-29", Tz::Asia__Beirut, "2026-03-28T22:00:00.000000Z"),
        ("2026-03-01T06:00:00+01:00", Tz::UTC, "2026-03-01T05:00:00.000000Z"),
    ] {
        assert_eq!(instant(date, zone).map(tollgate_schemas::time::format_rfc3339).as_deref(), Ok(utc), "{date} {zone}");
    }
    assert!(instant("1 March", Tz::UTC).is_err());
}

proptest! {
    #[test]
    fn fn_01_lines_always_sum_to_the_total(calls in prop::collection::vec((0..5u8, 0..50_000_000_000i64, 0..5_000u64, -100_000..9_000_000_000i64), 0..40), percent in 0..30_000_000i64, places in 0..9u32, credit in 0..10_000_000_000i64) {
        let rows: Vec<Cdr> = calls.iter().enumerate().map(|(n, (d, r, s, a))| row(n as u8, &format!("d{d}"), *r, *s, *a)).collect();
        let details = Details {
            places: Some(places),
            credits: vec![Item { description: "c".into(), amount: format_amount(credit) }],
            taxes: vec![Tax { code: "T".into(), description: "t".into(), percent: tollgate_schemas::money::format_scaled(percent, 6, 0), on: vec![Section::Usage] }],
            ..Details::default()
        };
        let made = issue(&usage(&rows), &BTreeMap::new(), &details, 1);
        prop_assert_eq!(made.lines.iter().map(|l| e8(&l.amount)).sum::<i64>(), e8(&made.total));
        let unit = 10i64.pow(8 - places);
        prop_assert_eq!(e8(&made.total) % unit, 0);
    }
}
