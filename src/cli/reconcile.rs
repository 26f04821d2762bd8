//! `tollgate reconcile`: a carrier's CDR file, and its invoice, against ours (R-47, R-48, FN-10).

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tollgate_rating::{
    corrections::{
        dispute::{self, Terms},
        reconcile::{
            self, Bill, Billed, Clock, CodeRow, Currency, Mapping, NoCalls, Options, Ours, Picker, Piece, Problems as FileProblems, Report, Sum, currencies, read_bill, read_calls, read_cells, read_ours,
        },
    },
    fx::Fx,
    sheet::SheetReader,
};
use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr},
    control::{self, Kind},
    csv_text::{cell, header_line},
    id::Id,
    money::{format_amount, format_rate, parse_scaled},
    time::format_rfc3339,
};
use tollgate_store::cdr_file::CdrReader;

use super::{
    Done, Problems,
    api::{ApiArgs, Client},
    deck::xlsx,
    finance::{Hashed, PeriodArgs, bar, cdrs, counter},
    out,
};
use crate::config::documents::read_documents;

/// Compares a carrier's CDR file with our CDRs
///
/// Its clock and zone are estimated, calls are paired one to one, and each difference is split into its causes: rate,
/// increment, rounding, duration, time zone, missing, duplicate, billed though unanswered. What is worth it is drafted as a
/// dispute. Exit code 1 when the sides differ, or a row cannot be read.
#[derive(clap::Args)]
pub struct Args {
    /// Our CDRs: a file of `tollgate export cdrs --record-type attempt` (CSV or Parquet), or "api" for a running node's attempts
    #[arg(long, value_name = "FILE|api")]
    ours: String,
    /// The carrier's file: CSV or an .xlsx workbook
    #[arg(long, value_name = "FILE")]
    theirs: PathBuf,
    /// What the carrier's file does not say: columns, zone, units (YAML)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The carrier's invoice by code (CSV), for a three-way match
    #[arg(long, value_name = "FILE")]
    invoice: Option<PathBuf>,
    /// Where the results go: summary.json, differences.csv, codes.csv, dispute.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose file it is: of ours only calls with it count [default: the one all ours are with]
    #[arg(long)]
    carrier: Option<String>,
    /// What the other side charges us, or what we charge it
    #[arg(long, default_value = "cost", value_parser = ["cost", "sell"])]
    side: String,
    /// Starts of one call may be so far apart once the clocks agree
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    tolerance_s: u64,
    /// The other clock's seconds ahead of ours, instead of the estimate
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    offset_s: Option<i64>,
    /// Date of the bill the file is about [default: today]
    #[arg(long, value_name = "yyyy-mm-dd")]
    bill_date: Option<String>,
    /// Days within which a bill may be disputed
    #[arg(long, default_value_t = 30)]
    dispute_days: u32,
    /// Dispute what is overbilled above this percentage of what we expect …
    #[arg(long, default_value = "1")]
    dispute_percent: String,
    /// … and above this amount
    #[arg(long, default_value = "100")]
    dispute_least: String,
    /// What to compare in [default: the bill's, where it says one]
    #[arg(long)]
    currency: Option<String>,
    /// Documents of kind fx_rate, may be repeated: calls of another currency are converted at the rate of their day
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    rates: Vec<PathBuf>,
    /// Take a drafted dispute into the node's books
    #[arg(long)]
    submit: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// The period, where our CDRs come from a node
    #[arg(long, requires = "until", value_name = "TIME")]
    from: Option<String>,
    #[arg(long, requires = "from", value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let began = Instant::now();
    let percent_e2 = parse_scaled(&args.dispute_percent, 2).context("--dispute-percent")?;
    let terms = Terms { percent_e2, least_e8: parse_scaled(&args.dispute_least, 8).context("--dispute-least")?, days: args.dispute_days };
    let mapping: Mapping = match &args.mapping {
        Some(file) => serde_yaml_ng::from_str(&fs::read_to_string(file).with_context(|| file.display().to_string())?).with_context(|| file.display().to_string())?,
        None => Mapping::default(),
    };
    let asked = match &args.currency {
        Some(text) => Some(Currency::of(text).with_context(|| format!("--currency '{text}': want three letters, as USD"))?),
        None => None,
    };
    let rates = rates(&args.rates)?;
    let (Ours { calls: mut ours, party, party_told }, mut unread) = ours(args)?;
    if !party_told && let Some(party) = &party {
        eprintln!("{}: its rows name no {}: all of them are taken for those of {party}", args.ours, if args.side == "sell" { "account" } else { "carrier" });
    }
    let (mut theirs, problems) = file(&args.theirs, &mapping)?;
    unread += tell(&args.theirs, &problems);
    let said = Said { ours: listed(&ours), theirs: listed(&theirs) };
    let (currency, converted) = reconcile::in_one(&mut ours, &mut theirs, asked, &rates)?;
    let bill: Option<Bill> = match &args.invoice {
        Some(path) => match read_bill(&fs::read(path).with_context(|| path.display().to_string())?, currency) {
            Ok(bill) => Some(bill),
            Err(problems) => {
                tell(path, &problems);
                bail!("{} cannot be read", path.display());
            }
        },
        None => None,
    };
    let options = Options { tolerance_ms: args.tolerance_s * 1000, offset_us: args.offset_s.map(|s| s * 1_000_000) };
    let report = reconcile::reconcile(&ours, &mut theirs, &options);
    let paired = report.paired();

    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let sha256 = differences(&args.out.join("differences.csv"), &ours, &theirs, &report)?;
    let codes = bill.as_ref().map(|bill| reconcile::three_way(&ours, &theirs, &report, bill));
    if let Some(rows) = &codes {
        three_way(&args.out.join("codes.csv"), rows)?;
    }
    let carrier = party.unwrap_or_default();
    let bill_date = args.bill_date.clone().unwrap_or_else(|| format_rfc3339(super::now_us())[..10].to_owned());
    // Files that have nothing in common are of two carriers, or of two months. What a customer's records say is no bill.
    let drafted = if paired == 0 || args.side == "sell" { None } else { dispute::draft(&report, &carrier, currency.code(), &bill_date, &sha256, &terms)? };
    let path = args.out.join("dispute.json");
    match &drafted {
        Some(dispute) => write(&path, &serde_json::to_value(dispute)?)?,
        // That of an earlier run would be taken for this one's.
        None => drop(fs::remove_file(&path)),
    }
    let mut summary = summary(&report, unread, &sha256, drafted.as_ref().map(|d| d.id.as_str()), codes.as_ref());
    (summary["carrier"], summary["currency"]) = (carrier.as_str().into(), currency.code().into());
    summary["currencies"] = json!({ "ours": said.ours, "theirs": said.theirs, "converted_calls": converted });
    write(&args.out.join("summary.json"), &summary)?;
    if let (Some(dispute), true) = (&drafted, args.submit) {
        Client::new(&args.api)?.send("POST", "/v1/disputes", &[], Some(&serde_json::to_value(dispute)?))?.ok()?;
    }
    if args.json {
        out::json(&summary)?;
    } else {
        out::text(&told(&report, (currency, &said, converted), drafted.as_ref(), codes.as_ref(), &args.out))?;
        eprintln!("{} against {} calls in {} ms", ours.len(), theirs.len(), began.elapsed().as_millis());
    }
    if paired == 0 {
        bail!("no call is in both files ({} of ours, {} of theirs): is it this carrier, and the same period? Nothing is disputed; details in {}", ours.len(), theirs.len(), args.out.display());
    }
    let agree = report.by_cause.is_empty() && codes.is_none_or(|rows| rows.values().all(|r| r.delta_e8() == 0));
    Ok(Done::when(agree && unread == 0))
}

/// Currencies a file names, with calls; empty = none.
fn listed(calls: &[Billed]) -> Vec<String> {
    currencies(calls).keys().map(|c| c.code().to_owned()).collect()
}

/// What the files say of currencies.
struct Said {
    ours: Vec<String>,
    theirs: Vec<String>,
}

/// Exchange rates of documents.
fn rates(files: &[PathBuf]) -> anyhow::Result<Fx> {
    let mut rates = std::collections::BTreeMap::new();
    for document in read_documents(files).map_err(Problems)? {
        if document.kind != Kind::FxRate {
            bail!("{}:{}: {} '{}' is no document of exchange rates (kind fx_rate)", document.file.display(), document.line, document.kind.name(), document.name);
        }
        let spec: control::FxRate = serde_json::from_value(document.spec.clone()).with_context(|| format!("{}:{}", document.file.display(), document.line))?;
        rates.insert(document.name.clone(), spec);
    }
    Fx::compile(&rates).map_err(|bad| anyhow::anyhow!(bad.iter().map(|(name, e)| format!("fx_rate '{name}': {e}")).collect::<Vec<_>>().join("; ")))
}

/// Our calls, and how many rows could not be read.
fn ours(args: &Args) -> anyhow::Result<(Ours, u64)> {
    let sale = args.side == "sell";
    let mut picker = Picker::new(sale, args.carrier.as_deref());
    let pick = |picker: &mut Picker<'_>, cdr: &Cdr, attempts: Option<u32>| {
        if picker.wants(&cdr.record_type, Some(if sale { &cdr.account } else { &cdr.carrier }), attempts) {
            picker.take(billed(cdr, sale));
        }
    };
    if args.ours == "api" {
        let (Some(from), Some(until)) = (&args.from, &args.until) else { bail!("our CDRs of a node need a period: --from and --until") };
        let (since, until) = PeriodArgs { from: from.clone(), until: until.clone(), timezone: chrono_tz::Tz::UTC }.utc()?;
        let client = Client::new(&args.api)?;
        let mut query = vec![("since", since.as_str()), ("until", until.as_str()), ("record_type", if sale { "final" } else { ATTEMPT })];
        query.extend(args.carrier.as_deref().map(|c| (if sale { "account" } else { "carrier" }, c)));
        let bar = counter("rows");
        cdrs(&client, &query, |cdr| {
            bar.inc(1);
            pick(&mut picker, &cdr, Some(cdr.attempts_total));
            Ok(())
        })?;
        bar.finish_and_clear();
        return Ok((picker.finish().with_context(|| format!("our calls from {since} until {until}"))?, 0));
    }
    let path = Path::new(&args.ours);
    let head = head(path)?;
    if head.starts_with(b"PAR1") {
        let needed = ["call_uuid", "record_type", "b_number_e164", "a_number_e164", "invite_ts", "answer_ts", "end_ts", "duration_ms", "carrier", "account"];
        let wanted = [
            "attempts_total", "cost_amount", "cost_rate", "cost_connect", "cost_increment", "billed_sec_cost", "cost_prefix", "cost_currency",
            "sell_amount", "sell_rate", "sell_connect", "sell_increment", "billed_sec_sell", "sell_prefix", "sell_currency",
        ];
        let reader = CdrReader::open(path, &needed, &wanted)?;
        let says_attempts = !reader.missing().contains(&"attempts_total");
        let bar = bar(reader.rows());
        for batch in reader {
            let batch = batch?;
            bar.inc(batch.len() as u64);
            batch.iter().for_each(|cdr| pick(&mut picker, cdr, Some(cdr.attempts_total).filter(|_| says_attempts)));
        }
        bar.finish_and_clear();
        return Ok((picker.finish().with_context(|| path.display().to_string())?, 0));
    }
    if is_workbook(&head) {
        bail!("{} is a workbook: our CDRs are CSV or Parquet of `tollgate export cdrs`", path.display());
    }
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let bar = bar(bytes.len() as u64);
    let read = read_ours(&bytes, picker, &mut |at| bar.set_position(at));
    bar.finish_and_clear();
    match read {
        Ok((ours, problems)) => Ok((ours, tell(path, &problems))),
        Err(refused) => {
            if let NoCalls::Unreadable(problems) = &refused {
                tell(path, problems);
            }
            Err(refused).with_context(|| path.display().to_string())
        }
    }
}

/// A file's first bytes.
fn head(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(path).and_then(|file| file.take(8).read_to_end(&mut head)).with_context(|| path.display().to_string())?;
    Ok(head)
}

fn is_workbook(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(&[0xd0, 0xcf, 0x11, 0xe0])
}

/// A carrier's calls; a file without any is refused.
fn file(path: &Path, mapping: &Mapping) -> anyhow::Result<(Vec<Billed>, FileProblems)> {
    let head = head(path)?;
    let read = if head.starts_with(b"PK\x03\x04") {
        let mut reader = SheetReader::plain(mapping.sheet.iter().cloned().collect());
        xlsx::feed(path, &mut reader)?;
        let sheets = reader.finish_plain().with_context(|| path.display().to_string())?;
        let [(_, rows)] = &sheets[..] else {
            let names: Vec<&str> = sheets.iter().map(|(name, _)| name.as_str()).collect();
            bail!("{} has {} sheets with rows ({}): say which has the calls in a mapping (sheet: NAME)", path.display(), sheets.len(), names.join(", "));
        };
        read_cells(rows, mapping)
    } else if head.starts_with(b"PAR1") || is_workbook(&head) {
        bail!("{} is neither CSV nor an .xlsx workbook: save it as one of them (old .xls files, workbooks with a password and Parquet are not read)", path.display());
    } else {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let bar = bar(bytes.len() as u64);
        let read = read_calls(&bytes, mapping, &mut |at| bar.set_position(at));
        bar.finish_and_clear();
        read
    };
    if read.calls.is_empty() {
        tell(path, &read.problems);
        bail!("{} has no call that can be read", path.display());
    }
    Ok((read.calls, read.problems))
}

/// Says every problem; gives how many there are.
fn tell(path: &Path, problems: &FileProblems) -> u64 {
    for p in &problems.listed {
        let column = if p.column.is_empty() { String::new() } else { format!(":{}", p.column) };
        eprintln!("{}:{}{column}: {}", path.display(), p.line, p.problem);
    }
    let more = problems.total - problems.listed.len() as u64;
    if more > 0 {
        eprintln!("{}: and {more} more problems", path.display());
    }
    problems.total
}

/// One of our rows as a billed call.
fn billed(cdr: &Cdr, sale: bool) -> Billed {
    let increments = if sale { &cdr.sell_increment } else { &cdr.cost_increment };
    let (initial, increment) = increments.split_once('/').unwrap_or(("1", "1"));
    let number = |text: &str| text.parse().unwrap_or(0);
    let answered = cdr.answer_ts.is_some() && cdr.duration_ms > 0;
    Billed {
        line: 0,
        id: Id::of(&cdr.call_uuid).to_string().into(),
        a: number(&cdr.a_number_e164),
        b: number(&cdr.b_number_e164),
        start_us: cdr.invite_ts,
        answer_us: cdr.answer_ts.filter(|_| answered),
        end_us: if answered { 0 } else { cdr.end_ts },
        duration_ms: cdr.duration_ms,
        billed_s: Some(if sale { cdr.billed_sec_sell } else { cdr.billed_sec_cost }),
        rate_e12: if sale { cdr.sell_rate } else { cdr.cost_rate },
        connect_e12: if sale { cdr.sell_connect } else { cdr.cost_connect }.unwrap_or(0),
        initial_s: initial.parse().unwrap_or(1),
        increment_s: increment.parse().unwrap_or(1),
        amount_e8: if sale { cdr.sell_amount } else { cdr.cost_amount },
        currency: Currency::of(if sale { &cdr.sell_currency } else { &cdr.cost_currency }).unwrap_or_default(),
        code: if sale { cdr.sell_prefix.as_str() } else { cdr.cost_prefix.as_str() }.into(),
    }
}

/// Every call with a difference; gives the file's hash.
fn differences(path: &Path, ours: &[Billed], theirs: &[Billed], report: &Report) -> anyhow::Result<String> {
    let mut file = Hashed::create(path)?;
    let mut text = String::new();
    header_line(
        [
            "class", "cause", "our_id", "their_id", "their_line", "a_number", "b_number", "our_start", "their_start", "our_seconds", "their_seconds",
            "our_billed", "their_billed", "our_rate", "their_rate", "our_amount", "their_amount", "delta_amount", "causes",
        ]
        .into_iter(),
        &mut text,
    );
    for finding in report.findings.iter().filter(|f| f.cause.is_some()) {
        let (o, t) = (finding.ours.map(|o| &ours[o as usize]), finding.theirs.map(|t| &theirs[t as usize]));
        let of = |call: Option<&Billed>, show: &dyn Fn(&Billed) -> String| call.map_or_else(String::new, show);
        let seconds = |c: &Billed| c.duration_ms.div_ceil(1000).to_string();
        let any = o.or(t);
        let cells = [
            (finding.class.name().to_owned(), false),
            (finding.cause.map_or("", |c| c.name()).to_owned(), false),
            (of(o, &|c| c.id.to_string()), true),
            (of(t, &|c| c.id.to_string()), true),
            (of(t, &|c| c.line.to_string()), false),
            (of(any, &|c| c.a.to_string()), false),
            (of(any, &|c| c.b.to_string()), false),
            (of(o, &|c| format_rfc3339(c.answer_us.unwrap_or(c.start_us))), false),
            (of(t, &|c| format_rfc3339(c.start_us)), false),
            (of(o, &seconds), false),
            (of(t, &seconds), false),
            (of(o, &|c| c.billed_s.map_or_else(String::new, |s| s.to_string())), false),
            (of(t, &|c| c.billed_s.map_or_else(String::new, |s| s.to_string())), false),
            (of(o, &|c| c.rate_e12.map_or_else(String::new, format_rate)), false),
            (of(t, &|c| c.rate_e12.map_or_else(String::new, format_rate)), false),
            (of(o, &|c| format_amount(c.amount_e8)), false),
            (of(t, &|c| format_amount(c.amount_e8)), false),
            (format_amount(finding.delta_e8), false),
            (finding.causes.iter().map(|s| format!("{} {}", s.cause.name(), format_amount(s.amount_e8))).collect::<Vec<_>>().join("; "), false),
        ];
        for (i, (shown, free)) in cells.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            cell(shown, *free, &mut text);
        }
        text.push_str("\r\n");
        if text.len() > 1 << 16 {
            file.write(text.as_bytes())?;
            text.clear();
        }
    }
    file.write(text.as_bytes())?;
    file.finish()
}

fn three_way(path: &Path, rows: &std::collections::BTreeMap<Box<str>, CodeRow>) -> anyhow::Result<()> {
    let mut file = Hashed::create(path)?;
    let mut text = String::new();
    header_line(
        ["code", "our_calls", "our_seconds", "our_amount", "their_calls", "their_seconds", "their_amount", "invoiced_amount", "our_rate", "invoiced_rate", "invoice_minus_ours", "percent"].into_iter(),
        &mut text,
    );
    for (code, r) in rows {
        cell(code, true, &mut text);
        let rate = |r: Option<i64>| r.map_or_else(String::new, format_rate);
        text.push_str(&format!(
            ",{},{},{},{},{},{},{},{},{},{},{}\r\n",
            r.ours_calls, r.ours_s, format_amount(r.ours_e8), r.theirs_calls, r.theirs_s, format_amount(r.theirs_e8), format_amount(r.billed_e8),
            rate(r.ours_rate_e12), rate(r.billed_rate_e12), format_amount(r.delta_e8()), percent(r.delta_e8(), r.ours_e8)
        ));
    }
    file.write(text.as_bytes())?;
    file.finish().map(drop)
}

/// A part of a whole in percent, to the hundredth.
fn percent(part: i64, whole: i64) -> String {
    if whole == 0 {
        return String::new();
    }
    let hundredths = i128::from(part) * 20_000 / i128::from(whole);
    let rounded = (hundredths + hundredths.signum()) / 2;
    i64::try_from(rounded).map_or_else(|_| String::new(), |h| tollgate_schemas::money::format_scaled(h, 2, 2))
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    let mut file = Hashed::create(path)?;
    file.write(format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())?;
    file.finish().map(drop)
}

fn sum(s: &Sum) -> Value {
    json!({ "calls": s.calls, "minutes": minutes(s.seconds), "amount": format_amount(s.amount_e8) })
}

fn minutes(seconds: i64) -> String {
    let hundredths = (i128::from(seconds) * 200 + 60 * i128::from(seconds.signum())) / 120;
    i64::try_from(hundredths).map_or_else(|_| String::new(), |h| tollgate_schemas::money::format_scaled(h, 2, 2))
}

fn seconds(us: i64) -> String {
    tollgate_schemas::money::format_scaled(us, 6, 3)
}

fn clock(clock: &Clock) -> Value {
    let changes: Vec<Value> = clock.pieces.iter().skip(1).map(|p| json!({ "at": format_rfc3339(p.from_us), "seconds_ahead": seconds(clock.theirs(p.from_us) - p.from_us) })).collect();
    let drift = clock.pieces.iter().map(Piece::spread_us).max().unwrap_or(0);
    json!({
        "seconds_ahead": seconds(clock.offset_us), "changes": changes, "drifts_by_seconds": seconds(drift),
        "calls": clock.votes, "their_start_is": if clock.by_answer { "answer" } else { "invite" },
    })
}

fn summary(report: &Report, unread: u64, sha256: &str, dispute: Option<&str>, codes: Option<&std::collections::BTreeMap<Box<str>, CodeRow>>) -> Value {
    let classes: serde_json::Map<String, Value> = report.by_class.iter().map(|(c, s)| (c.name().to_owned(), sum(s))).collect();
    let causes: serde_json::Map<String, Value> = report.by_cause.iter().map(|(c, s)| (c.name().to_owned(), sum(s))).collect();
    let by_code: Vec<Value> = report.by_code.iter().map(|((code, cause), s)| json!({ "code": code, "cause": cause.name(), "calls": s.calls, "minutes": minutes(s.seconds), "amount": format_amount(s.amount_e8) })).collect();
    let rewrites: Vec<Value> = report.rewrites.iter().map(|(off, on, calls)| json!({ "off": off, "on": on, "calls": calls })).collect();
    let mut out = json!({
        "clock": clock(&report.clock), "called_numbers_rewritten": rewrites,
        "ours": sum(&report.ours), "theirs": sum(&report.theirs), "difference": format_amount(report.delta_e8()),
        "overbilled": sum(&report.overbilled), "underbilled": sum(&report.underbilled),
        "classes": classes, "causes": causes, "by_code": by_code, "not_assigned_exactly": report.greedy, "rows_not_read": unread,
        "differences_sha256": sha256, "dispute": dispute,
    });
    if let Some(rows) = codes {
        let wrong: Vec<Value> = rows.iter().filter(|(_, r)| r.delta_e8() != 0).map(|(code, r)| json!({
            "code": code, "ours": format_amount(r.ours_e8), "theirs": format_amount(r.theirs_e8), "invoiced": format_amount(r.billed_e8),
            "difference": format_amount(r.delta_e8()), "percent": percent(r.delta_e8(), r.ours_e8),
        })).collect();
        out["invoice_differs_on"] = wrong.into();
    }
    out
}

fn told(report: &Report, (currency, said, converted): (Currency, &Said, u64), dispute: Option<&dispute::Dispute>, codes: Option<&std::collections::BTreeMap<Box<str>, CodeRow>>, dir: &Path) -> String {
    let mut text = format!("clock: theirs is {} s ahead of ours (by {} calls)", seconds(report.clock.offset_us), report.clock.votes);
    for piece in report.clock.pieces.iter().skip(1) {
        text.push_str(&format!(", {} s from {}", seconds(report.clock.theirs(piece.from_us) - piece.from_us), &format_rfc3339(piece.from_us)[..19]));
    }
    let drift_us = report.clock.pieces.iter().map(Piece::spread_us).max().unwrap_or(0);
    if drift_us > 5_000_000 {
        text.push_str(&format!(", and drifts by {} s", seconds(drift_us)));
    }
    let unsaid = |what: &str, said: &[String]| if said.is_empty() { format!("; {what} file names none") } else { String::new() };
    let changed = if converted > 0 { format!("; {converted} calls converted at the rate of their day") } else { String::new() };
    text.push_str(&format!("\nin {}{}{}{changed}\n", currency.code(), unsaid("our", &said.ours), unsaid("their", &said.theirs)));
    let side = |name: &str, s: &Sum| format!("{name} {} calls, {} min, {}\n", s.calls, minutes(s.seconds), format_amount(s.amount_e8));
    text.push_str(&side("ours  ", &report.ours));
    text.push_str(&side("theirs", &report.theirs));
    text.push_str(&format!(
        "difference {}: overbilled {} on {} calls, underbilled {} on {} calls\n\n",
        format_amount(report.delta_e8()), format_amount(report.overbilled.amount_e8), report.overbilled.calls, format_amount(report.underbilled.amount_e8), report.underbilled.calls,
    ));
    let row = |name: &str, s: &Sum| vec![name.to_owned(), s.calls.to_string(), minutes(s.seconds), format_amount(s.amount_e8)];
    let classes: Vec<Vec<String>> = report.by_class.iter().map(|(c, s)| row(c.name(), s)).collect();
    text.push_str(&out::table(&["CLASS", "CALLS", "MINUTES", "AMOUNT"], &classes));
    if !report.by_cause.is_empty() {
        let causes: Vec<Vec<String>> = report.by_cause.iter().map(|(c, s)| row(c.name(), s)).collect();
        text.push('\n');
        text.push_str(&out::table(&["CAUSE", "CALLS", "MINUTES", "AMOUNT"], &causes));
    }
    for (code, r) in codes.into_iter().flatten().filter(|(_, r)| r.delta_e8() != 0) {
        text.push_str(&format!("invoice on code {code}: {} above what our records give ({} %)\n", format_amount(r.delta_e8()), percent(r.delta_e8(), r.ours_e8)));
    }
    if let Some(d) = dispute {
        text.push_str(&format!("\ndispute drafted: {} {} of {}, until {}\n", d.amount_disputed, d.currency, d.amount_billed, d.deadline));
    }
    text.push_str(&format!("\ndetails in {}\n", dir.display()));
    text
}

#[cfg(test)]
mod tests;
