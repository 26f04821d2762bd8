//! Rating from Parquet to Parquet.

use std::path::Path;

use tollgate_rating::rate_file::{CallFields, CallIn, Counts, Decks, RatedOut, Reason, Wrong, rate_call};
use tollgate_store::calls_file::{CallRow, CallsReader, RatedRow, RatedWriter};

use super::{Malformed, bar};

pub fn rate(decks: &Decks, calls: &Path, out: &Path) -> anyhow::Result<Counts> {
    let reader = CallsReader::open(calls)?;
    let bar = bar(reader.rows(), "{bar:40} {percent}% {per_sec} {eta}");
    let mut malformed = Malformed { file: calls, bar: &bar };
    let mut writer = RatedWriter::create(out, reader.optional_columns())?;
    let mut counts = Counts::default();
    for batch in reader {
        let batch = batch?;
        bar.inc(batch.len() as u64);
        for row in batch {
            counts.read += 1;
            let place = counts.read;
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    counts.malformed += 1;
                    malformed.tell(bad.row, bad.column, &bad.problem);
                    continue;
                }
            };
            match rated(decks, &row) {
                Ok((reason, without_deck, rated)) => {
                    count(&mut counts, reason, without_deck.then_some(row.account.as_str()));
                    writer.write(RatedRow { call: row, ..rated })?;
                }
                Err(wrong) => {
                    counts.malformed += 1;
                    malformed.tell(place, wrong.column, &wrong.problem);
                }
            }
        }
    }
    writer.finish()?;
    bar.finish_and_clear();
    Ok(counts)
}

/// The added columns of a row, and whether its account has a deck.
fn rated(decks: &Decks, row: &CallRow) -> Result<(Reason, bool, RatedRow), Wrong> {
    let ns = |us: i64, column| {
        us.checked_mul(1000).ok_or_else(|| Wrong { column, problem: "is beyond the year 2262".to_owned() })
    };
    let fields = CallFields {
        call_id: &row.call_id,
        account: &row.account,
        to: &row.to,
        lrn: &row.lrn,
        setup_ns: ns(row.setup_us, "setup")?,
        answer_ns: row.answer_us.map(|us| ns(us, "answer")).transpose()?,
        end_ns: Some(ns(row.end_us, "end")?),
        duration_ms: row.duration_ms,
    };
    let call: CallIn<'_> = fields.check()?;
    let out: RatedOut<'_> = rate_call(decks, &call)
        .ok_or_else(|| Wrong { column: "duration_ms", problem: "the amount is beyond what money can hold".to_owned() })?;
    let rated = RatedRow {
        call: CallRow::default(),
        prefix: out.row.map(|r| r.prefix()).unwrap_or_default(),
        destination: out.row.map(|r| r.destination().to_owned()).unwrap_or_default(),
        billed_seconds: out.billed_s,
        rate_e12: out.row.map(|r| r.rate_e12()),
        amount_e8: out.amount_e8,
        currency: out.deck.map_or("", |d| d.currency()).to_owned(),
        deck_version: out.deck.map_or("", |d| d.version()).to_owned(),
        reason: out.reason.name().to_owned(),
    };
    Ok((out.reason, out.deck.is_none(), rated))
}

fn count(counts: &mut Counts, reason: Reason, without_deck: Option<&str>) {
    *match reason {
        Reason::Rated => &mut counts.rated,
        Reason::Unanswered => &mut counts.unanswered,
        Reason::NoPrefix => &mut counts.no_prefix,
        Reason::NotEffective => &mut counts.not_effective,
        Reason::Blocked => &mut counts.blocked,
    } += 1;
    if let Some(account) = without_deck {
        counts.without_deck += 1;
        if counts.accounts_without_deck.len() < 100 {
            counts.accounts_without_deck.insert(account.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_rating::deck::{Deck, DeckOptions};

    use super::*;

    #[test]
    fn parquet_calls_are_rated_and_what_is_no_call_is_left_out() {
        let folder = std::env::temp_dir().join(format!("tollgate-rate-parquet-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let (calls, out) = (folder.join("calls.parquet"), folder.join("rated.parquet"));
        let call = |id: &str, to: &str, answer_us| CallRow {
            call_id: id.to_owned(),
            account: "acme".to_owned(),
            to: to.to_owned(),
            setup_us: 1_000_000,
            answer_us,
            end_us: 49_000_000,
            ..CallRow::default()
        };
        // A rated file has every column of calls, and more that are not read.
        let mut writer = RatedWriter::create(&calls, &[]).expect("writer");
        for call in [call("a", "12025550100", Some(2_000_000)), call("b", "12025550100", None), call("c", "bogus", None), call("d", "4420", None)] {
            writer.write(RatedRow { call, ..RatedRow::default() }).expect("row");
        }
        writer.finish().expect("file");

        let sheet = b"prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,US,0.0100,0,6,6,\n";
        let deck = Deck::compile("d", sheet, &DeckOptions::default()).expect("deck");
        let counts = rate(&Decks::all(Arc::new(deck)), &calls, &out).expect("rated");
        assert_eq!((counts.read, counts.rated, counts.unanswered, counts.no_prefix, counts.malformed), (4, 1, 1, 1, 1));
        let rows: Vec<CallRow> = CallsReader::open(&out).expect("rated").flat_map(|b| b.expect("batch")).map(|r| r.expect("row")).collect();
        assert_eq!(rows.iter().map(|r| r.call_id.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
