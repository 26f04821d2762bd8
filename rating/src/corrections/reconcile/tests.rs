//! R-47 and FN-10 on synthetic files: errors are injected, then looked for.

use std::collections::BTreeMap;

use tollgate_schemas::terms::billed_seconds;

use super::*;

/// SplitMix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

const T0: i64 = 1_772_323_200_000_000; // 2026-03-01T00:00:00Z
const RATES: [(&str, u64, i64, u32, u32); 4] =
    [("1", 12_000_000_000, 6_000_000_000, 6, 6), ("44", 442_000_000_000, 12_500_000_000, 1, 1), ("49", 491_700_000_000, 31_000_000_000, 30, 6), ("52", 525_500_000_000, 9_000_000_000, 60, 60)];

fn amount(rate_e12: i64, billed_s: u64, places: u32) -> i64 {
    let unit = 60 * 10i128.pow(12 - places);
    let rounded = (i128::from(rate_e12) * i128::from(billed_s) * 2 + unit) / (2 * unit);
    rounded as i64 * 10i64.pow(8 - places)
}

/// Our month: callers that call the same numbers again and again, redials among them.
fn month(calls: usize, seed: u64) -> Vec<Billed> {
    let mut draws = Draws(seed);
    let mut at = T0;
    let mut ours: Vec<Billed> = Vec::with_capacity(calls);
    for n in 0..calls {
        at += draws.below(50_000_000) as i64;
        let (code, base, rate_e12, initial_s, increment_s) = RATES[draws.below(4) as usize];
        let (mut a, mut b) = (12_125_550_000 + draws.below(3_000), base + draws.below(5_000));
        let mut start_us = at;
        let redial = n > 0 && draws.below(12) == 0;
        if let (true, Some(last)) = (redial, ours.last()) {
            // A redial soon after the call before it ended.
            (a, b) = (last.a, last.b);
            let ended_us = last.end_us.max(last.answer_us.unwrap_or(0) + last.duration_ms as i64 * 1000);
            start_us = ended_us + 2_000_000 + draws.below(6_000_000) as i64;
        }
        let (code, rate_e12, initial_s, increment_s) = match RATES.iter().find(|r| b / r.1 == 1 && b - r.1 < 5_000) {
            Some(r) => (r.0, r.2, r.3, r.4),
            None => (code, rate_e12, initial_s, increment_s),
        };
        let answered = draws.below(5) != 0;
        let ring_us = 1_000_000 + draws.below(15_000_000) as i64;
        let duration_ms = if answered { 1 + draws.below(1 + draws.0 % 900_000) } else { 0 };
        let billed = if answered { billed_seconds(duration_ms.div_ceil(1000), initial_s, increment_s) } else { 0 };
        ours.push(Billed {
            line: n as u64 + 2,
            id: format!("c{n}").into(),
            a,
            b,
            start_us,
            answer_us: answered.then_some(start_us + ring_us),
            end_us: if answered { 0 } else { start_us + ring_us + 20_000_000 },
            duration_ms,
            billed_s: Some(billed),
            rate_e12: Some(rate_e12),
            connect_e12: 0,
            initial_s,
            increment_s,
            amount_e8: amount(rate_e12, billed, 6),
            code: code.into(),
        });
        at = at.max(start_us);
    }
    ours
}

/// What a carrier that agrees would write for a call: whole seconds, its clock a little off.
fn agreed(our: &Billed, draws: &mut Draws, offset_us: i64) -> Billed {
    let seconds = our.duration_ms.div_ceil(1000);
    Billed {
        start_us: our.answer_us.unwrap_or(our.start_us) + offset_us + draws.below(1_600_000) as i64 - 800_000,
        answer_us: Some(0),
        end_us: 0,
        duration_ms: seconds * 1000,
        ..our.clone()
    }
}

/// Injects eight kinds of errors, one call in a hundred each; gives the file and the truth by id.
fn carrier_file(ours: &[Billed], seed: u64, offset_us: i64) -> (Vec<Billed>, BTreeMap<String, Cause>) {
    let mut draws = Draws(seed);
    let (mut theirs, mut truth) = (Vec::new(), BTreeMap::new());
    for our in ours {
        let mut line = agreed(our, &mut draws, offset_us);
        let mut note = |cause| {
            truth.insert(our.id.to_string(), cause);
        };
        if our.answer_us.is_none() {
            // False answers: a call that only rang is billed.
            if draws.below(50) == 0 {
                line.start_us = our.start_us + 2_000_000 + offset_us;
                line.duration_ms = (5 + draws.below(40)) * 1000;
                line.billed_s = Some(line.duration_ms / 1000);
                line.amount_e8 = amount(our.rate_e12.unwrap_or(0), line.duration_ms / 1000, 6);
                note(Cause::Fas);
                theirs.push(line);
            }
            continue;
        }
        let (rate, seconds) = (our.rate_e12.unwrap_or(0), line.duration_ms / 1000);
        match draws.below(100) {
            0 => {
                line.rate_e12 = Some(rate + rate / 10);
                line.amount_e8 = amount(rate + rate / 10, our.billed_s.unwrap_or(0), 6);
                note(Cause::Rate);
            }
            1 if our.increment_s < 60 && seconds % 60 != 0 => {
                let billed = billed_seconds(seconds, 60, 60);
                if Some(billed) == our.billed_s {
                    theirs.push(line);
                    continue;
                }
                line.billed_s = Some(billed);
                line.amount_e8 = amount(rate, billed, 6);
                note(Cause::Increment);
            }
            2 => {
                let two = amount(rate, our.billed_s.unwrap_or(0), 2);
                let up = if two <= our.amount_e8 { two + 1_000_000 } else { two };
                line.amount_e8 = up;
                note(Cause::Rounding);
            }
            3 => {
                let longer = seconds + 61 + draws.below(60);
                line.duration_ms = longer * 1000;
                line.billed_s = Some(billed_seconds(longer, our.initial_s, our.increment_s));
                line.amount_e8 = amount(rate, billed_seconds(longer, our.initial_s, our.increment_s), 6);
                note(Cause::Duration);
            }
            4 => {
                line.start_us += 3_600_000_000;
                note(Cause::Timezone);
            }
            5 => {
                note(Cause::Missing);
                continue;
            }
            6 => {
                note(Cause::Duplicate);
                let mut again = line.clone();
                again.start_us += 300_000;
                theirs.push(again);
            }
            7 => {
                // A call we never had: the same people an odd number of hours and minutes away.
                let mut extra = line.clone();
                extra.id = format!("x{}", our.id).into();
                extra.start_us += 5 * 3_600_000_000 + 437_000_000;
                truth.insert(extra.id.to_string(), Cause::Missing);
                theirs.push(extra);
            }
            _ => {}
        }
        theirs.push(line);
    }
    theirs.sort_by_key(|c| c.start_us);
    (theirs, truth)
}

/// Precision and recall by cause, in 1e-4, of what was found against what was injected.
fn judge(ours: &[Billed], theirs: &[Billed], report: &Report, truth: &BTreeMap<String, Cause>) -> BTreeMap<Cause, (u64, u64)> {
    let mut found: BTreeMap<Cause, (u64, u64)> = BTreeMap::new();
    let mut said: BTreeMap<String, Cause> = BTreeMap::new();
    for finding in &report.findings {
        let Some(cause) = finding.cause else { continue };
        let id = match (finding.ours, finding.theirs) {
            (Some(o), _) => &ours[o as usize].id,
            (_, Some(t)) => &theirs[t as usize].id,
            _ => continue,
        };
        // Of a duplicate both lines are of one call: the second says it.
        let old = said.insert(id.to_string(), cause);
        if old == Some(Cause::Duplicate) {
            said.insert(id.to_string(), Cause::Duplicate);
        }
    }
    for cause in Cause::ALL {
        let said_it = said.values().filter(|c| **c == cause).count() as u64;
        let right = said.iter().filter(|(id, c)| **c == cause && truth.get(*id) == Some(&cause)).count() as u64;
        let injected = truth.values().filter(|c| **c == cause).count() as u64;
        assert!(injected >= 50, "{cause:?}: only {injected} injected");
        found.insert(cause, (right * 10_000 / said_it.max(1), right * 10_000 / injected));
    }
    found
}

#[test]
fn r_47_errors_of_eight_kinds_in_a_hundred_thousand_calls_are_found_whatever_the_clock_says() {
    let ours = month(100_000, 7);
    // As it is; three hours of skew; a zone label that is wrong by five hours and a half, and a slow clock.
    for offset_us in [0, 3 * 3_600_000_000, -(5 * 3_600_000_000 + 1_800_000_000) + 4_300_000] {
        let (mut theirs, truth) = carrier_file(&ours, 11, offset_us);
        let began = std::time::Instant::now();
        let report = reconcile(&ours, &mut theirs, &Options::default());
        println!("{} against {} calls: {:?}, {} greedy, clock {:?}", ours.len(), theirs.len(), began.elapsed(), report.greedy, report.clock);
        assert!((report.clock.offset_us - offset_us).abs() < 500_000, "{} for {offset_us}", report.clock.offset_us);
        for (cause, (precision, recall)) in judge(&ours, &theirs, &report, &truth) {
            println!("{cause:?}: precision {precision}e-4, recall {recall}e-4");
            assert!(precision >= 9_900 && recall >= 9_900, "{cause:?} at offset {offset_us}: precision {precision}e-4, recall {recall}e-4");
        }
    }
}

#[test]
fn r_47_money_of_the_causes_sums_to_the_difference() {
    let ours = month(20_000, 3);
    let (mut theirs, _) = carrier_file(&ours, 5, 0);
    let report = reconcile(&ours, &mut theirs, &Options::default());
    let sum: i64 = report.by_cause.values().map(|s| s.amount_e8).sum();
    assert_eq!(sum, report.delta_e8());
    assert_ne!(sum, 0);
    let by_code: i64 = report.by_code.values().map(|s| s.amount_e8).sum();
    assert_eq!(by_code, sum);
}

#[test]
fn r_47_a_file_that_agrees_has_no_difference_and_one_change_is_one_finding() {
    let ours = month(5_000, 9);
    let mut draws = Draws(1);
    let mut theirs: Vec<Billed> = ours.iter().filter(|c| c.answer_us.is_some()).map(|c| agreed(c, &mut draws, 0)).collect();
    let clean = reconcile(&ours, &mut theirs, &Options::default());
    assert!(clean.by_cause.is_empty(), "{:?}", clean.by_cause);
    assert_eq!(clean.delta_e8(), 0);
    theirs[100].amount_e8 += 1_000;
    let changed = reconcile(&ours, &mut theirs, &Options::default());
    assert_eq!(changed.by_cause.iter().map(|(c, s)| (*c, s.calls, s.amount_e8)).collect::<Vec<_>>(), [(Cause::Rounding, 1, 1_000)]);
}

#[test]
fn r_47_two_redials_are_paired_by_the_least_sum_not_the_nearest_first() {
    let call = |start_s: i64, seconds: u64| Billed {
        a: 12_125_550_001, b: 442_000_000_001, start_us: start_s * 1_000_000, answer_us: Some(start_s * 1_000_000), duration_ms: seconds * 1000,
        billed_s: Some(seconds), rate_e12: Some(60_000_000_000), initial_s: 1, increment_s: 1, amount_e8: seconds as i64 * 100_000, ..Billed::default()
    };
    // Their clock jitters: the first of theirs is nearest to the second of ours, whose own partner is farther.
    let ours = [call(100, 5), call(106, 5)];
    let mut theirs = [call(104, 5), call(112, 5)];
    let options = Options { offset_us: Some(0), ..Options::default() };
    let report = reconcile(&ours, &mut theirs, &options);
    let pairs: Vec<_> = report.findings.iter().map(|f| (f.ours, f.theirs)).collect();
    assert_eq!(pairs, [(Some(0), Some(0)), (Some(1), Some(1))]);
}

#[test]
fn r_47_summer_time_in_the_middle_of_a_file_is_seen() {
    let ours = month(40_000, 21);
    let mut draws = Draws(2);
    let change = T0 + 6 * 86_400_000_000;
    let mut theirs: Vec<Billed> = ours
        .iter()
        .filter(|c| c.answer_us.is_some())
        .map(|c| agreed(c, &mut draws, if c.start_us < change { 3_600_000_000 } else { 7_200_000_000 }))
        .collect();
    let report = reconcile(&ours, &mut theirs, &Options::default());
    let off = report.by_class.get(&Class::MissingHere).copied().unwrap_or_default().calls;
    // The hours around the change are in one day of the file.
    assert!(off < 250, "{off} not found; {:?}", report.clock);
    assert!(!report.clock.days.is_empty());
}

const VI: &str = "CallType;StartTime;StopTime;CallDuration;BillDuration;CallMinimum;CallIncrement;BasePrice;CallPrice;CallerID;DialedNumber\n\
    O;2026-03-01 10:00:00;2026-03-01 10:01:01;61;66;6;6;0,0100;0,0110;+1 (212) 555-0001;0044 2079460000\n";
const WEST: &str = "session id,start time,minutes west of gmt,source number,destination number,duration,rate,cost,matched digits\n\
    s1,01/03/2026 05:00:00,300,12125550001,9991#442079460000,00:01:01,0.01,0.011,4420\n\
    s2,13/03/2026 05:00:00,300,12125550001,9991#442079460000,00:00:30,0.01,0.005,4420\n";
const SPLIT: &str = "Date|Time|From|To|Seconds|Amount\n2026-03-01|10:00:00.250|sip:12125550001@host|442079460000|61|1,234.50\n";

#[test]
fn r_47_layouts_of_carriers_are_read() {
    let utc = tollgate_schemas::time::parse_rfc3339("2026-03-01T10:00:00Z").expect("time");
    let read = |text: &str, mapping: &Mapping| {
        let read = read_calls(text.as_bytes(), mapping, &mut |_| {});
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        read.calls
    };
    let vi = read(VI, &Mapping::default());
    assert_eq!((vi[0].a, vi[0].b, vi[0].start_us, vi[0].duration_ms, vi[0].billed_s), (12_125_550_001, 442_079_460_000, utc, 61_000, Some(66)));
    assert_eq!((vi[0].rate_e12, vi[0].amount_e8, vi[0].initial_s, vi[0].increment_s), (Some(10_000_000_000), 1_100_000, 6, 6));
    let west = read(WEST, &Mapping::default());
    assert_eq!((west[0].start_us, west[0].b, west[0].duration_ms, &*west[0].code), (utc, 442_079_460_000, 61_000, "4420"));
    let split = read(SPLIT, &Mapping::default());
    assert_eq!((split[0].start_us, split[0].a, split[0].amount_e8), (utc + 250_000, 12_125_550_001, 123_450_000_000));
    // A zone is the mapping's: noon in Amsterdam's winter is eleven.
    let zoned = Mapping { timezone: Some("Europe/Amsterdam".to_owned()), ..Mapping::default() };
    assert_eq!(read(SPLIT, &zoned)[0].start_us, utc + 250_000 - 3_600_000_000);
}

#[test]
fn r_47_what_cannot_be_read_is_told_by_line_and_column_all_at_once() {
    let text = "called,start,duration,amount\n44207946,2026-03-01T10:00:00Z,61,0.01\n,2026-03-01T10:00:00Z,61,0.01\n44,yesterday,61,0.01\n44,2026-03-01T10:00:00Z,long,0.01\n44,2026-03-01T10:00:00Z,5,\n";
    let read = read_calls(text.as_bytes(), &Mapping::default(), &mut |_| {});
    assert_eq!(read.calls.len(), 1);
    let said: Vec<(u64, &str)> = read.problems.listed.iter().map(|p| (p.line, p.column.as_str())).collect();
    assert_eq!(said, [(3, "called"), (4, "start"), (5, "duration"), (6, "amount")]);
    let ambiguous = read_calls(b"called,start,duration,amount\n44,01/02/2026 10:00:00,1,1\n", &Mapping::default(), &mut |_| {});
    assert!(ambiguous.problems.listed[0].problem.contains("date_format"), "{:?}", ambiguous.problems);
    let nothing = read_calls(b"foo,bar\n1,2\n", &Mapping::default(), &mut |_| {});
    assert_eq!(nothing.problems.total, 4, "called, start, duration and amount: {:?}", nothing.problems);
}

#[test]
fn r_47_called_numbers_with_prefixes_are_brought_together() {
    let ours = month(2_000, 4);
    let mut draws = Draws(8);
    let mut theirs: Vec<Billed> = ours.iter().filter(|c| c.answer_us.is_some()).map(|c| agreed(c, &mut draws, 0)).collect();
    for call in &mut theirs {
        let digits = call.b.to_string();
        // A technical prefix before foreign numbers, national form for its own country's.
        call.b = digits.strip_prefix("44").map_or_else(|| format!("7788{digits}"), str::to_owned).parse().expect("number");
    }
    let report = reconcile(&ours, &mut theirs, &Options::default());
    assert!(report.by_cause.is_empty(), "{:?} {:?}", report.by_cause, report.rewrites);
    let rules: Vec<(&str, &str)> = report.rewrites.iter().map(|(off, on, _)| (off.as_str(), on.as_str())).collect();
    assert!(rules.contains(&("7788", "")) && rules.contains(&("", "44")), "{rules:?}");
}

#[test]
fn fn_10_an_invoice_two_percent_high_on_one_code_is_found_on_that_code() {
    let ours = month(20_000, 6);
    let mut draws = Draws(3);
    let mut theirs: Vec<Billed> = ours.iter().filter(|c| c.answer_us.is_some()).map(|c| agreed(c, &mut draws, 0)).collect();
    let report = reconcile(&ours, &mut theirs, &Options::default());
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for call in &ours {
        *sums.entry(&call.code).or_default() += call.amount_e8;
    }
    let mut text = "Code,Minutes,Amount\n".to_owned();
    for (code, sum) in &sums {
        let billed = if *code == "49" { sum + sum / 50 } else { *sum };
        text.push_str(&format!("{code},0,{}\n", tollgate_schemas::money::format_amount(billed)));
    }
    let bill = read_bill(text.as_bytes()).expect("an invoice");
    let rows = three_way(&ours, &theirs, &report, &bill);
    for (code, row) in &rows {
        assert_eq!(row.ours_e8, row.theirs_e8, "{code}: the CDRs agree");
        assert_eq!(row.delta_e8(), if &**code == "49" { sums["49"] / 50 } else { 0 }, "{code}");
    }
    assert_eq!(rows.len(), 4);
}
