//! `tollgate rerate --cdrs`: a file of CDRs priced with documents or rate sheets; memory does not grow with the file.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::bail;
use tollgate_schemas::{cdr::Cdr, id::Id, tiers};
use tollgate_store::cdr_file::{CdrReader, DiffRow};

use super::{
    Args, Diff, Outcome,
    prices::{Answer, Asked, Priced, Prices},
    tell,
};
use crate::cli::{Done, finance::bar, out::target};

/// What a row's new price hangs on, and what it is compared with.
const NEEDED: [&str; 19] = [
    "call_uuid", "record_type", "attempt_no", "cdr_version", "account", "carrier", "b_number_e164", "b_dest_group", "invite_ts", "answer_ts", "duration_ms",
    "disposition", "end_reason", "rating_status", "sell_amount", "sell_currency", "cost_amount", "cost_currency", "ring_ms",
];
const WANTED: [&str; 5] = ["lrn", "sell_deck_version", "cost_deck_version", "emergency_flag", "test_call"];
/// The same where prices hang on who calls.
const NEEDED_OF_CALLERS: [&str; 4] = ["a_number_e164", "a_validity", "sell_deck", "cost_deck"];
const WANTED_OF_CALLERS: [&str; 6] = ["lrn_source", "cnam_source", "b_ocn", "b_lata", "b_rate_center", "b_state"];
/// Problems and names told one by one, at most; all are counted.
const TOLD: u64 = 1_000;
const NAMED: usize = 10;

pub fn run(args: &Args, cdrs: &Path) -> anyhow::Result<Done> {
    let began = Instant::now();
    let mut sink = args.out.as_deref().map(|out| Diff::create(&target(out, &inputs(args, cdrs))?)).transpose()?;
    let done = walk(args, cdrs, &mut sink)?;
    if let Some(sink) = sink {
        sink.finish()?;
    }
    tell(args, &done, None, 0)?;
    eprintln!("{} calls in {} ms", done.calls, began.elapsed().as_millis());
    Ok(Done::when(done.problems == 0))
}

/// What is read, and must not be what is written.
fn inputs<'a>(args: &'a Args, cdrs: &'a Path) -> Vec<&'a Path> {
    let sheets = args.decks.iter().chain(&args.carrier_decks).map(|text| Path::new(text.split_once('=').map_or(text.as_str(), |(_, file)| file)));
    sheets.chain(args.files.iter().chain(&args.number_tables).map(PathBuf::as_path)).chain([cdrs]).collect()
}

/// Every row of the file once, in its order.
pub(super) fn walk(args: &Args, cdrs: &Path, sink: &mut Option<Diff>) -> anyhow::Result<Outcome> {
    let prices = Prices::read(args)?;
    let within = match (&args.from, &args.until) {
        (Some(from), Some(until)) => {
            let at = |text: &str| tollgate_rating::corrections::invoice::instant(text, args.zone).map_err(|e| anyhow::anyhow!(e));
            Some((at(from)?, at(until)?))
        }
        _ => None,
    };
    let reader = open(cdrs, &prices)?;
    let mut unseen: BTreeSet<(bool, String)> = prices.sheets().map(|(sells, party)| (sells, party.to_owned())).collect();
    let mut has_account = args.account.is_none();
    let bar = bar(reader.rows());
    let mut done = Outcome::default();
    let mut strangers: BTreeSet<String> = BTreeSet::new();
    for batch in reader {
        let batch = batch?;
        bar.inc(batch.len() as u64);
        for row in &batch {
            if within.is_some_and(|(from, until)| row.invite_ts < from || row.invite_ts >= until) {
                continue;
            }
            let last = row.is_final();
            let above = tiers::read(&row.tier_amounts);
            let pays = |account: &String| *account == row.account || above.iter().any(|t| t.account == *account);
            if args.account.as_ref().is_some_and(|a| !pays(a)) {
                continue;
            }
            has_account = true;
            done.calls += u64::from(last);
            done.attempts += u64::from(!last);
            let wanted = args.side == "both" || args.side == if last { "sell" } else { "cost" };
            if !wanted || args.carrier.as_ref().is_some_and(|c| last || *c != row.carrier) {
                continue;
            }
            if row.emergency_flag || row.test_call || row.disposition == "blocked" || row.rating_status == "error" {
                continue;
            }
            let deck = if last { &row.sell_deck } else { &row.cost_deck };
            let own = Some(Asked::of(row)).filter(|_| !prices.by_documents() || !deck.is_empty());
            let resold = above.iter().filter(|t| last && !t.deck.is_empty()).map(Asked::of_tier);
            for asked in own.into_iter().chain(resold).filter(|p| !last || args.account.as_ref().is_none_or(|a| a == p.party)) {
                if !unseen.is_empty() {
                    unseen.remove(&(last, asked.party.to_owned()));
                }
                match prices.of(row, &asked) {
                    Answer::Nobody if prices.by_documents() => {
                        done.left_out += 1;
                        if strangers.len() <= NAMED && !strangers.contains(asked.party) {
                            strangers.insert(asked.party.to_owned());
                        }
                    }
                    Answer::Nobody => {}
                    Answer::NoPrice(why) => {
                        done.problems += 1;
                        if done.problems <= TOLD {
                            bar.suspend(|| eprintln!("call {}: {why}", Id::of(&row.call_uuid)));
                        }
                    }
                    Answer::Price(new) => {
                        done.by_ani += u64::from(new.by_ani);
                        if new.charge.amount_e8 == asked.old_e8 && new.currency == asked.currency {
                            continue;
                        }
                        done.changed += 1;
                        let (was, is) = (asked.old_e8, new.charge.amount_e8);
                        // Amounts in two currencies have no difference: the one goes, the other comes.
                        let told = match asked.currency {
                            currency if currency == new.currency || currency.is_empty() => [Some((&*new.currency, was, is)), None],
                            currency => [Some((currency, was, 0)), Some((&*new.currency, 0, is))],
                        };
                        for (currency, was, is) in told.into_iter().flatten() {
                            done.summary.add(last, asked.party, &row.b_dest_group, currency, was, is);
                            if let Some(sink) = sink {
                                sink.write(diff(row, &asked, &new, currency, was, is))?;
                            }
                        }
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    if let Some(account) = args.account.as_ref().filter(|_| !has_account) {
        bail!("no row of {} is of account '{account}'", cdrs.display());
    }
    // Not an answer of no change to a question that nothing was asked of.
    let told = |(sells, party): &(bool, String)| match sells {
        true if done.calls == 0 => format!("there are no calls' finals in {} for the sheet of {party}: export them with --record-type final", cdrs.display()),
        true => format!("no row of {} is of account '{party}', which a sheet is for", cdrs.display()),
        false if done.attempts == 0 => format!("there are no attempts in {} for the sheet of {party}: export them with --record-type attempt", cdrs.display()),
        false => format!("no row of {} is of carrier '{party}', which a sheet is for", cdrs.display()),
    };
    let within_side = |sells: bool| args.side == "both" || args.side == if sells { "sell" } else { "cost" };
    let missing: Vec<String> = unseen.iter().filter(|(sells, _)| within_side(*sells)).map(told).collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\nerror: "));
    }
    if done.left_out > 0 {
        let more = if strangers.len() > NAMED { " and more" } else { "" };
        let named: Vec<&str> = strangers.iter().take(NAMED).map(String::as_str).collect();
        eprintln!("{} prices are of accounts and carriers that the documents do not have, and were left out: {}{more}", done.left_out, named.join(", "));
    }
    Ok(done)
}

/// A file of before the column table grew is read too; what its rows then lack is said.
fn open(cdrs: &Path, prices: &Prices) -> anyhow::Result<CdrReader> {
    let of_callers = prices.asks_who_calls();
    let needed = if of_callers { [&NEEDED[..], &NEEDED_OF_CALLERS].concat() } else { NEEDED.to_vec() };
    let mut wanted = if of_callers { [&WANTED[..], &WANTED_OF_CALLERS].concat() } else { WANTED.to_vec() };
    if prices.asks_tiers() {
        wanted.push("tier_amounts");
    }
    let reader = CdrReader::open(cdrs, &needed, &wanted)?;
    if of_callers && (reader.missing().contains(&"lrn") || reader.missing().contains(&"lrn_source")) {
        eprintln!(
            "{} has no columns {}: calls are priced as if their numbers were not ported and nobody had looked them up",
            cdrs.display(),
            reader.missing().join(", ")
        );
    }
    Ok(reader)
}

fn diff(row: &Cdr, asked: &Asked<'_>, new: &Priced<'_>, currency: &str, old_e8: i64, new_e8: i64) -> DiffRow {
    let mut call_uuid = [0; 16];
    if row.call_uuid.len() == 16 {
        call_uuid.copy_from_slice(&row.call_uuid);
    }
    let last = row.is_final();
    DiffRow {
        call_uuid,
        record_type: if last { "final" } else { "attempt" },
        attempt_no: row.attempt_no,
        cdr_version: row.cdr_version,
        account: if last { asked.party } else { row.account.as_str() }.into(),
        carrier: if last { "" } else { row.carrier.as_str() }.into(),
        destination: row.b_dest_group.as_str().into(),
        currency: currency.into(),
        old_deck_version: asked.version.into(),
        new_deck_version: (&*new.version).into(),
        old_e8,
        new_e8,
    }
}

#[cfg(test)]
mod tests;
