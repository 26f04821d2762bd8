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
    month_of(calls, seed, 50_000_000)
}

/// Calls up to `gap_us` apart.
fn month_of(calls: usize, seed: u64, gap_us: u64) -> Vec<Billed> {
    let mut draws = Draws(seed);
    let mut at = T0;
    let mut ours: Vec<Billed> = Vec::with_capacity(calls);
    for n in 0..calls {
        at += draws.below(gap_us) as i64;
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
            currency: Currency::default(),
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
    carrier_file_by(ours, seed, &|_, _| offset_us)
}

/// `clock`: what their clock is ahead at an instant of ours.
fn carrier_file_by(ours: &[Billed], seed: u64, clock: &dyn Fn(i64, &mut Draws) -> i64) -> (Vec<Billed>, BTreeMap<String, Cause>) {
    let mut draws = Draws(seed);
    let (mut theirs, mut truth) = (Vec::new(), BTreeMap::new());
    for our in ours {
        let offset_us = clock(our.answer_us.unwrap_or(our.start_us), &mut draws);
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

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Precision and recall of every cause are 0.99 or more.
#[track_caller]
fn finds_them(ours: &[Billed], seed: u64, what: &str, clock: &dyn Fn(i64, &mut Draws) -> i64) -> Report {
    let (mut theirs, truth) = carrier_file_by(ours, seed, clock);
    let report = reconcile(ours, &mut theirs, &Options::default());
    for (cause, (precision, recall)) in judge(ours, &theirs, &report, &truth) {
        assert!(precision >= 9_900 && recall >= 9_900, "{cause:?} {what}: precision {precision}e-4, recall {recall}e-4; {:?}", report.clock.pieces.iter().map(|p| (p.from_us, p.knots.len())).collect::<Vec<_>>());
    }
    report
}

fn jitter(draws: &mut Draws, us: u64) -> i64 {
    if us == 0 { 0 } else { draws.below(2 * us) as i64 - us as i64 }
}

#[test]
fn r_47_summer_time_in_the_middle_of_a_file_is_seen_to_the_call() {
    // New York on 8 March, and what it is like in autumn: an hour that comes twice.
    let ours = month_of(20_000, 21, 240_000_000);
    let change = T0 + 7 * DAY_US + 7 * HOUR_US;
    for (before, after) in [(-5, -4), (-4, -5)] {
        let hours = |at: i64| if at < change { before * HOUR_US } else { after * HOUR_US };
        let report = finds_them(&ours, 2, "with summer time", &|at, _| hours(at));
        assert_eq!(report.clock.pieces.iter().map(|p| p.from_us).collect::<Vec<_>>(), [i64::MIN, change]);
        // Nobody near the change is off.
        let near = |f: &&Finding| f.ours.is_some_and(|o| (ours[o as usize].start_us - change).abs() < 3 * HOUR_US);
        let shifted = report.findings.iter().filter(near).filter(|f| f.cause == Some(Cause::Timezone)).count();
        assert!(shifted < 6, "{shifted} calls around the change are told to be shifted");
    }
    // Ten calls a day are enough to see it.
    let few = month_of(300, 5, 16_000_000_000);
    let mut draws = Draws(4);
    let mut theirs: Vec<Billed> = few.iter().filter(|c| c.answer_us.is_some()).map(|c| agreed(c, &mut draws, if c.start_us < T0 + 12 * DAY_US { 0 } else { HOUR_US })).collect();
    let report = reconcile(&few, &mut theirs, &Options::default());
    let shifted = report.by_cause.get(&Cause::Timezone).map_or(0, |s| s.calls);
    assert!(shifted <= 1 && report.clock.pieces.len() == 2, "{shifted} shifted; {:?}", report.clock);
}

#[test]
fn r_47_starts_that_jitter_and_clocks_that_drift_hide_no_error() {
    let ours = month_of(20_000, 8, 240_000_000);
    for jitter_us in [1_200_000, 2_200_000] {
        finds_them(&ours, 3, "with jitter", &|_, draws| jitter(draws, jitter_us));
    }
    for per_day_us in [500_000, 1_000_000, -2_000_000, 8_000_000] {
        let report = finds_them(&ours, 6, "with drift", &|at, _| (at - T0) / 1_000 * per_day_us / (DAY_US / 1_000));
        assert!(report.clock.pieces.len() == 1 && report.clock.pieces[0].spread_us() > 10_000_000, "{:?}", report.clock);
    }
    // Ringing that spreads INVITEs over 22 s is no clock, however much starts jitter.
    let mut draws = Draws(41);
    let ringing: Vec<Billed> = ours.iter().map(|c| Billed { start_us: c.start_us - if c.answer_us.is_some() { draws.below(6_000_000) as i64 } else { 0 }, ..c.clone() }).collect();
    assert!(finds_them(&ringing, 3, "with jitter and ringing", &|_, draws| jitter(draws, 2_700_000)).clock.by_answer);
    // Set right every third day.
    finds_them(&ours, 7, "with drift that is set right", &|at, _| (at - T0) % (3 * DAY_US) / 1_000 * 4_000 / 86_400);
}

#[test]
fn r_47_clocks_drawn_at_random_hide_no_error() {
    let ours = month_of(20_000, 13, 240_000_000);
    let mut draws = Draws(77);
    for n in 0..8 {
        let zone_us = (draws.below(105) as i64 - 48) * HOUR_US / 4;
        let (jump_us, at_us) = ((draws.below(3) as i64 - 1) * HOUR_US, T0 + draws.below(27 * 24) as i64 * HOUR_US);
        let per_day_us = draws.below(6_000_000) as i64 - 3_000_000;
        let jitter_us = draws.below(2_200_000);
        let what = format!("by clock {n}: zone {zone_us}, jump {jump_us} at {at_us}, {per_day_us} a day, jitter {jitter_us}");
        finds_them(&ours, n, &what, &|at, draws| {
            let jumped = if at < at_us { 0 } else { jump_us };
            zone_us + jumped + (at - T0) / 1_000 * per_day_us / (DAY_US / 1_000) + jitter(draws, jitter_us)
        });
    }
}

#[test]
fn r_47_over_and_underbilled_are_told_apart_and_not_set_off() {
    let ours = month(5_000, 9);
    let mut draws = Draws(1);
    let mut theirs: Vec<Billed> = ours.iter().filter(|c| c.answer_us.is_some()).map(|c| agreed(c, &mut draws, 0)).collect();
    theirs[100].amount_e8 += 7_000;
    let forgotten = theirs.remove(200).amount_e8 + theirs.remove(300).amount_e8;
    let report = reconcile(&ours, &mut theirs, &Options::default());
    assert_eq!((report.overbilled.calls, report.overbilled.amount_e8), (1, 7_000));
    assert_eq!((report.underbilled.calls, report.underbilled.amount_e8), (2, forgotten));
    assert_eq!(report.delta_e8(), 7_000 - forgotten);
    assert_eq!(report.over_by_cause.values().map(|s| s.amount_e8).sum::<i64>(), 7_000);
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
    let bill = read_bill(text.as_bytes(), Currency::of("USD").expect("a currency")).expect("an invoice");
    let rows = three_way(&ours, &theirs, &report, &bill);
    for (code, row) in &rows {
        assert_eq!(row.ours_e8, row.theirs_e8, "{code}: the CDRs agree");
        assert_eq!(row.delta_e8(), if &**code == "49" { sums["49"] / 50 } else { 0 }, "{code}");
    }
    assert_eq!(rows.len(), 4);
}

/// Amounts, or what is wrong.
fn amounts(cells: &[&str]) -> Result<Vec<i64>, String> {
    let rows: String = cells.iter().map(|c| format!("44207946;2026-03-01 10:00:00;61;{c}\n")).collect();
    let read = read_calls(format!("called;start;duration;amount\n{rows}").as_bytes(), &Mapping::default(), &mut |_| {});
    match read.problems.listed.first() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(read.calls.iter().map(|c| c.amount_e8 / 1_000_000).collect()),
    }
}

#[test]
fn r_47_the_decimal_sign_is_told_by_the_column_and_not_by_the_cell() {
    assert_eq!(amounts(&["1,000", "1,234.56"]), Ok(vec![100_000, 123_456]));
    assert_eq!(amounts(&["1.000", "1.234,56"]), Ok(vec![100_000, 123_456]));
    assert_eq!(amounts(&["1,000", "0,05"]), Ok(vec![100, 5]));
    for (cells, part) in [(["1,000", "2,000"], "thousand or a decimal"), (["1.000", "2.000"], "thousand or a decimal"), (["0,5", "0.5"], "a column has one of them"), (["free", "0.5"], "is no number")] {
        assert!(amounts(&cells).is_err_and(|e| e.contains(part)), "{cells:?}: {:?}", amounts(&cells));
    }
    // Durations too, by what the amounts say where they say nothing.
    let read = |text: &str| read_calls(text.as_bytes(), &Mapping::default(), &mut |_| {});
    let of = |duration: &str, amount: &str| read(&format!("called,start,duration,amount\n44207946,2026-03-01 10:00:00,{duration},{amount}\n")).calls.first().map(|c| c.duration_ms);
    assert_eq!((of("\"1,200\"", "0.05"), of("\"1,200 s\"", "\"0,05\""), of("\"1,200\"", "5")), (Some(1_200_000), Some(1_200), None));
    let told = Mapping { decimal_comma: Some(true), ..Mapping::default() };
    let read = read_calls(b"called;start;duration;amount\n44207946;2026-03-01 10:00:00;61;1,000\n", &told, &mut |_| {});
    assert_eq!(read.calls[0].amount_e8, 100_000_000);
}

#[test]
fn r_30_a_file_says_its_currency_by_column_sign_header_or_mapping() {
    let read = |header: &str, row: &str, mapping: &Mapping| read_calls(format!("called,start,duration,{header}\n44207946,2026-03-01 10:00:00,61,{row}\n").as_bytes(), mapping, &mut |_| {});
    let mapping = Mapping { currency: Some("SEK".to_owned()), ..Mapping::default() };
    let dollars = Mapping { currency: Some("AUD".to_owned()), ..Mapping::default() };
    for (header, row, mapping, code) in [
        ("amount,currency", "0.01,EUR", &Mapping::default(), "EUR"), ("amount", "€ 0.01", &Mapping::default(), "EUR"), ("Amount (GBP)", "0.01", &Mapping::default(), "GBP"),
        ("amount,currency", "$0.01,CAD", &Mapping::default(), "CAD"), ("amount", "0.01", &Mapping::default(), ""), ("amount", "0.01", &mapping, "SEK"), ("amount", "$0.01", &dollars, "AUD"),
    ] {
        let read = read(header, row, mapping);
        assert_eq!(read.calls.first().map(|c| (c.currency.code(), c.amount_e8)), Some((code, 1_000_000)), "{header} {row}: {:?}", read.problems);
    }
    for (header, row) in [("amount,currency", "€0.01,USD"), ("amount,currency", "0.01,crowns?"), ("Amount USD,Amount EUR", "0.01,0.02")] {
        let read = read(header, row, &Mapping::default());
        assert!(read.calls.is_empty() && read.problems.total == 1, "{header} {row}: {:?} {:?}", read.calls, read.problems);
    }
}

#[test]
fn r_47_a_file_in_utf_16_and_a_workbook_read_as_the_same_calls() {
    use crate::sheet::Cell;
    let text = "called,start,duration,amount\n442079460000,2026-03-01 10:00:00,61,1.234\n442079460000,2026-03-01 11:00:00,5,0.5\n";
    let plain = read_calls(text.as_bytes(), &Mapping::default(), &mut |_| {}).calls;
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(read_calls(&utf16, &Mapping::default(), &mut |_| {}).calls, plain);
    let at = |h| chrono::NaiveDate::from_ymd_opt(2026, 3, 1).and_then(|d| d.and_hms_opt(h, 0, 0)).expect("a time");
    let short = |s: u32| chrono::NaiveDate::from_ymd_opt(1899, 12, 31).and_then(|d| d.and_hms_opt(0, s / 60, s % 60)).expect("a time");
    let row = |h, seconds, amount| vec![Cell::Number(442_079_460_000.0), Cell::Date(at(h)), Cell::Date(short(seconds)), Cell::Number(amount)];
    let head = ["called", "start", "duration", "amount"].map(|t| Cell::Text(t.to_owned())).to_vec();
    let book = read_cells(&[(1, head), (2, row(10, 61, 1.234)), (3, row(11, 5, 0.5))], &Mapping::default());
    assert!(book.problems.is_empty(), "{:?}", book.problems);
    assert_eq!(book.calls, plain);
}

#[test]
fn r_47_our_own_csv_is_filtered_as_our_parquet_is() {
    let head = "record_type,carrier,attempts_total,b_number_e164,invite_ts,answer_ts,duration_ms,cost_amount,cost_currency\n";
    let row = |kind: &str, carrier: &str, n: u32| format!("{kind},{carrier},{n},442079460000,2026-03-01T10:00:00Z,2026-03-01T10:00:01Z,61000,0.01,USD\n");
    let read = |rows: &[String], party| read_ours(format!("{head}{}", rows.concat()).as_bytes(), Picker::new(false, party), &mut |_| {}).map(|(ours, problems)| (ours.calls.len(), problems.total));
    let both = [row("attempt", "alpha", 1), row("attempt", "beta", 2), row("final", "beta", 2)];
    assert_eq!(read(&both, Some("alpha")), Ok((1, 0)));
    assert_eq!(read(&both[2..], Some("beta")), Err(NoCalls::SeveralAttempts { several: 1, finals: 1 }));
    assert!(matches!(read(&both, Some("gamma")), Err(NoCalls::NoneOf { .. })));
    assert!(matches!(read(&both, None), Err(NoCalls::SeveralParties { .. })));
    // What is not asked for is not complained about; a row without a number and anything to pay is no problem.
    let mut rows = both.to_vec();
    rows.push("attempt,beta,1,,2026-03-01T10:00:00Z,,61000,0.01,USD\n".to_owned());
    rows.push("attempt,alpha,1,,2026-03-01T10:00:00Z,,0,0.000000,USD\n".to_owned());
    assert_eq!(read(&rows, Some("alpha")), Ok((1, 0)));
}
