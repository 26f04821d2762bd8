//! `tollgate rerate --cdrs`: a file of CDRs priced with documents or rate sheets; memory does not grow with the file.

use std::{collections::BTreeSet, path::Path, time::Instant};

use tollgate_schemas::{cdr::Cdr, id::Id};
use tollgate_store::cdr_file::{CdrReader, DiffRow};

use super::{
    Args, Diff, Outcome,
    prices::{Answer, Priced, Prices},
    tell,
};
use crate::cli::{Done, finance::bar};

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
    let mut sink = args.out.as_deref().map(Diff::create).transpose()?;
    let done = walk(args, cdrs, &mut sink)?;
    if let Some(sink) = sink {
        sink.finish()?;
    }
    tell(args, &done, None, 0)?;
    eprintln!("{} calls in {} ms", done.calls, began.elapsed().as_millis());
    Ok(Done::when(done.problems == 0))
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
    let reader = open(cdrs, prices.asks_who_calls())?;
    let bar = bar(reader.rows());
    let mut done = Outcome::default();
    let mut strangers: BTreeSet<String> = BTreeSet::new();
    for batch in reader {
        let batch = batch?;
        bar.inc(batch.len() as u64);
        for row in &batch {
            if within.is_some_and(|(from, until)| row.invite_ts < from || row.invite_ts >= until) || args.account.as_ref().is_some_and(|a| *a != row.account) {
                continue;
            }
            let last = row.is_final();
            done.calls += u64::from(last);
            let wanted = args.side == "both" || args.side == if last { "sell" } else { "cost" };
            if !wanted || args.carrier.as_ref().is_some_and(|c| last || *c != row.carrier) {
                continue;
            }
            if row.emergency_flag || row.test_call || row.disposition == "blocked" || row.rating_status == "error" {
                continue;
            }
            if prices.by_documents() && if last { row.sell_deck.is_empty() } else { row.cost_deck.is_empty() } {
                continue;
            }
            let (party, old_e8, currency) = match last {
                true => (&row.account, row.sell_amount, &row.sell_currency),
                false => (&row.carrier, row.cost_amount, &row.cost_currency),
            };
            match prices.of(row) {
                Answer::Nobody if prices.by_documents() => {
                    done.left_out += 1;
                    if strangers.len() <= NAMED && !strangers.contains(party) {
                        strangers.insert(party.clone());
                    }
                }
                Answer::Nobody => {}
                Answer::NoPrice(name) => {
                    done.problems += 1;
                    if done.problems <= TOLD {
                        bar.suspend(|| eprintln!("call {}: there is no price for {} in {name}", Id::of(&row.call_uuid), row.b_number_e164));
                    }
                }
                Answer::Price(new) => {
                    done.by_ani += u64::from(new.by_ani);
                    if new.charge.amount_e8 == old_e8 && new.currency == *currency {
                        continue;
                    }
                    done.changed += 1;
                    done.summary.add(last, party, &row.b_dest_group, &new.currency, old_e8, new.charge.amount_e8);
                    if let Some(sink) = sink {
                        sink.write(diff(row, last, &new, old_e8))?;
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    if done.left_out > 0 {
        let more = if strangers.len() > NAMED { " and more" } else { "" };
        let named: Vec<&str> = strangers.iter().take(NAMED).map(String::as_str).collect();
        eprintln!("{} rows are of accounts and carriers that the documents do not have, and were left out: {}{more}", done.left_out, named.join(", "));
    }
    Ok(done)
}

/// A file of before the column table grew is read too; what its rows then lack is said.
fn open(cdrs: &Path, of_callers: bool) -> anyhow::Result<CdrReader> {
    if !of_callers {
        return Ok(CdrReader::open(cdrs, &NEEDED, &WANTED)?);
    }
    let reader = CdrReader::open(cdrs, &[&NEEDED[..], &NEEDED_OF_CALLERS].concat(), &[&WANTED[..], &WANTED_OF_CALLERS].concat())?;
    if reader.missing().contains(&"lrn") || reader.missing().contains(&"lrn_source") {
        eprintln!(
            "{} has no columns {}: calls are priced as if their numbers were not ported and nobody had looked them up",
            cdrs.display(),
            reader.missing().join(", ")
        );
    }
    Ok(reader)
}

fn diff(row: &Cdr, last: bool, new: &Priced<'_>, old_e8: i64) -> DiffRow {
    let mut call_uuid = [0; 16];
    if row.call_uuid.len() == 16 {
        call_uuid.copy_from_slice(&row.call_uuid);
    }
    DiffRow {
        call_uuid,
        record_type: if last { "final" } else { "attempt" },
        attempt_no: row.attempt_no,
        cdr_version: row.cdr_version,
        account: row.account.as_str().into(),
        carrier: if last { "" } else { row.carrier.as_str() }.into(),
        destination: row.b_dest_group.as_str().into(),
        currency: (&*new.currency).into(),
        old_deck_version: if last { row.sell_deck_version.as_str() } else { row.cost_deck_version.as_str() }.into(),
        new_deck_version: (&*new.version).into(),
        old_e8,
        new_e8: new.charge.amount_e8,
    }
}

#[cfg(test)]
mod tests;
