//! `tollgate rerate --cdrs`: a file of CDRs priced with rate sheets; memory does not grow with the file.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, bail};
use tollgate_rating::{
    corrections::rerate::{cost_charge, sell_charge},
    deck::{Deck, Lookup},
};
use tollgate_schemas::{cdr::Cdr, name, terms::Charge};
use tollgate_store::cdr_file::{CdrReader, DiffRow};

use super::{Args, Diff, Outcome, tell};
use crate::cli::{Done, deck, finance::bar};

/// What a row's new price hangs on, and what it is compared with.
const NEEDED: [&str; 19] = [
    "call_uuid", "record_type", "attempt_no", "cdr_version", "account", "carrier", "b_number_e164", "b_dest_group", "invite_ts", "answer_ts", "duration_ms",
    "disposition", "end_reason", "rating_status", "sell_amount", "sell_currency", "cost_amount", "cost_currency", "ring_ms",
];
const WANTED: [&str; 5] = ["lrn", "sell_deck_version", "cost_deck_version", "emergency_flag", "test_call"];

#[derive(Default)]
struct Decks {
    own: HashMap<String, Arc<Deck>>,
    all: Option<Arc<Deck>>,
}

impl Decks {
    fn of(&self, who: &str) -> Option<&Arc<Deck>> {
        self.own.get(who).or(self.all.as_ref())
    }
}

pub fn run(args: &Args, cdrs: &Path) -> anyhow::Result<Done> {
    let began = Instant::now();
    let options = args.options.options()?;
    let (mut sells, mut costs) = (Decks::default(), Decks::default());
    let load = |file: &str| -> anyhow::Result<Arc<Deck>> {
        let deck = deck::load(Path::new(file), &options)?;
        deck::warn(Path::new(file), &deck);
        Ok(Arc::new(deck))
    };
    for text in &args.decks {
        match text.split_once('=') {
            Some((account, file)) if name::check(account).is_ok() => drop(sells.own.insert(account.to_owned(), load(file)?)),
            _ => sells.all = Some(load(text)?),
        }
    }
    for text in &args.carrier_decks {
        let (carrier, file) = text.split_once('=').with_context(|| format!("--carrier-deck {text}: want CARRIER=FILE"))?;
        costs.own.insert(carrier.to_owned(), load(file)?);
    }
    if args.decks.is_empty() && args.carrier_decks.is_empty() {
        bail!("say the new prices: --deck [ACCOUNT=]FILE for customers, --carrier-deck CARRIER=FILE for carriers");
    }
    let within = match (&args.from, &args.until) {
        (Some(from), Some(until)) => {
            let at = |text: &str| tollgate_rating::corrections::invoice::instant(text, args.zone).map_err(|e| anyhow::anyhow!(e));
            Some((at(from)?, at(until)?))
        }
        _ => None,
    };
    let reader = CdrReader::open(cdrs, &NEEDED, &WANTED)?;
    let bar = bar(reader.rows());
    let mut sink = args.out.as_deref().map(Diff::create).transpose()?;
    let mut done = Outcome::default();
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
            let Some(deck) = (if last { sells.of(&row.account) } else { costs.of(&row.carrier) }) else { continue };
            if row.emergency_flag || row.test_call || matches!(row.disposition.as_str(), "blocked") || row.rating_status == "error" {
                continue;
            }
            match priced(row, last, deck) {
                Some(charge) => {
                    let (old_e8, currency) = if last { (row.sell_amount, &row.sell_currency) } else { (row.cost_amount, &row.cost_currency) };
                    if charge.amount_e8 == old_e8 && deck.currency() == currency {
                        continue;
                    }
                    done.changed += 1;
                    done.summary.add(last, if last { &row.account } else { &row.carrier }, &row.b_dest_group, deck.currency(), old_e8, charge.amount_e8);
                    if let Some(sink) = &mut sink {
                        sink.write(diff(row, last, deck, old_e8, charge.amount_e8))?;
                    }
                }
                None => {
                    done.problems += 1;
                    if done.problems <= 1_000 {
                        bar.suspend(|| eprintln!("call {}: there is no price for {} in {}", tollgate_schemas::id::Id::of(&row.call_uuid), row.b_number_e164, deck.name()));
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    if let Some(sink) = sink {
        sink.finish()?;
    }
    tell(args, &done, None, 0)?;
    eprintln!("{} calls in {} ms", done.calls, began.elapsed().as_millis());
    Ok(Done::when(done.problems == 0))
}

/// The row's new charge; None where it is to be charged and no row prices it.
fn priced(row: &Cdr, last: bool, deck: &Deck) -> Option<Charge> {
    let number = if row.lrn.is_empty() { &row.b_number_e164 } else { &row.lrn };
    match deck.lookup(number, row.answer_ts.unwrap_or(row.invite_ts)) {
        Lookup::Row(found) => {
            let terms = found.price();
            Some(if last { sell_charge(row, &terms) } else { cost_charge(row, &terms) })
        }
        // What nobody is charged for needs no price.
        _ if row.disposition != "answered" && row.sell_amount == 0 && row.cost_amount == 0 => Some(Charge::default()),
        _ => None,
    }
}

fn diff(row: &Cdr, last: bool, deck: &Deck, old_e8: i64, new_e8: i64) -> DiffRow {
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
        currency: deck.currency().into(),
        old_deck_version: if last { row.sell_deck_version.as_str() } else { row.cost_deck_version.as_str() }.into(),
        new_deck_version: deck.version().into(),
        old_e8,
        new_e8,
    }
}
