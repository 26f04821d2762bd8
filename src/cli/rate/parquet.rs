//! Rating from Parquet to Parquet: a row group at a time on each thread, written in the file's order.

mod coder;

use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anyhow::anyhow;
use tollgate_rating::rate_file::{CallFields, CallIn, CallerIn, Counts, Decks, Rater, Wrong};
use tollgate_store::calls_file::{Added, BadRow, CallBatch, CallCells, CallsFile, Encoder, PART_ROWS, Part, RatedFile, Unit};

use super::{Malformed, bar};
use coder::Coder;

/// A row group that is done, and what was found on the way.
struct Done {
    part: Part,
    counts: Counts,
    malformed: Vec<BadRow>,
    rows: u64,
}

/// `None` ends a row group of the calls.
type Message = anyhow::Result<Option<Done>>;

pub fn rate(decks: &Decks, calls: &Path, out: &Path, threads: usize) -> anyhow::Result<Counts> {
    let file = CallsFile::open(calls)?;
    let file = if decks.callers().is_some() { file.with_callers() } else { file };
    let mut rated = RatedFile::create(out, &file)?;
    match rate_units(decks, &file, calls, &mut rated, threads.clamp(1, file.units().max(1))) {
        Ok(counts) => {
            rated.finish()?;
            Ok(counts)
        }
        Err(e) => {
            rated.abandon();
            Err(e)
        }
    }
}

fn rate_units(decks: &Decks, file: &CallsFile, calls: &Path, rated: &mut RatedFile<'_>, threads: usize) -> anyhow::Result<Counts> {
    let bar = bar(file.rows(), "{bar:40} {percent}% {per_sec} {eta}");
    let mut malformed = Malformed { file: calls, bar: &bar };
    let encoder = &rated.encoder()?;
    let mut counts = Counts::default();
    thread::scope(|scope| {
        // Each thread takes every so many-th row group and may be one ahead, so the order is known and memory has a bound.
        let from: Vec<Receiver<Message>> = (0..threads)
            .map(|first| {
                let (to, from) = sync_channel(1);
                scope.spawn(move || work(decks, file, encoder, (first..file.units()).step_by(threads), &to));
                from
            })
            .collect();
        for unit in 0..file.units() {
            while let Some(done) = from[unit % threads].recv().map_err(|_| anyhow!("a thread of rating stopped"))?? {
                for bad in &done.malformed {
                    malformed.tell(bad.row, bad.column, &bad.problem);
                }
                counts.add(&done.counts);
                bar.inc(done.rows);
                rated.write(done.part)?;
            }
        }
        Ok::<(), anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    Ok(counts)
}

fn work(decks: &Decks, file: &CallsFile, encoder: &Encoder<'_>, units: impl Iterator<Item = usize>, to: &SyncSender<Message>) {
    let mut worker = Worker { decks, rater: Rater::new(decks), coder: Coder::default() };
    for unit in units {
        let done = file.unit(unit).map_err(Into::into).and_then(|unit| worker.unit(unit, encoder, to));
        // Where nobody listens any more, something else has failed and is told.
        if to.send(done.map(|()| None)).is_err() {
            return;
        }
    }
}

struct Worker<'d> {
    decks: &'d Decks,
    rater: Rater<'d>,
    coder: Coder<'d>,
}

impl Worker<'_> {
    fn unit(&mut self, mut unit: Unit<'_>, encoder: &Encoder<'_>, to: &SyncSender<Message>) -> anyhow::Result<()> {
        loop {
            let (mut added, mut counts, mut malformed) = (Added::default(), Counts::default(), Vec::new());
            self.coder.clear();
            let mut ended = true;
            while let Some(batch) = unit.next() {
                self.batch(&batch?, &mut added, &mut counts, &mut malformed);
                if added.rows() >= PART_ROWS {
                    ended = false;
                    break;
                }
            }
            let rows = added.rows() as u64;
            if rows > 0 {
                let part = encoder.part(&mut unit, &added)?;
                if to.send(Ok(Some(Done { part, counts, malformed, rows }))).is_err() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn batch(&mut self, batch: &CallBatch, added: &mut Added, counts: &mut Counts, malformed: &mut Vec<BadRow>) {
        let told = malformed.len();
        let mut calls: Vec<CallIn<'_>> = Vec::with_capacity(batch.len());
        let mut callers: Vec<CallerIn<'_>> = Vec::new();
        for at in 0..batch.len() {
            let call = batch.cells(at).and_then(|cells| {
                let bad = |wrong: Wrong| BadRow { row: batch.row(at), column: wrong.column, problem: wrong.problem };
                check(&cells, self.decks.callers().is_some()).map_err(bad)
            });
            match call {
                Ok((call, caller)) => {
                    calls.push(call);
                    callers.extend(caller);
                }
                Err(bad) => malformed.push(bad),
            }
        }
        counts.read += batch.len() as u64;
        // Rows that are no calls stand between those that are.
        let no_call: Vec<u64> = malformed[told..].iter().map(|bad| bad.row).collect();
        let mut no_call = no_call.into_iter().peekable();
        let mut row = batch.row(0);
        let leave_out = |added: &mut Added, row: &mut u64, no_call: &mut std::iter::Peekable<std::vec::IntoIter<u64>>| {
            while no_call.next_if_eq(row).is_some() {
                added.leave_out();
                *row += 1;
            }
        };
        self.rater.rate(&calls, &callers, |call, out| {
            leave_out(added, &mut row, &mut no_call);
            match out {
                Some(out) => {
                    let line = self.coder.line(&out, added);
                    added.push(line, out.billed_s.zip(out.amount_e8));
                    counts.count(&out, call.account);
                }
                None => {
                    added.leave_out();
                    let problem = "the amount is beyond what money can hold".to_owned();
                    malformed.push(BadRow { row, column: "duration_ms", problem });
                }
            }
            row += 1;
        });
        leave_out(added, &mut row, &mut no_call);
        malformed[told..].sort_by_key(|bad| bad.row);
        counts.malformed += (malformed.len() - told) as u64;
    }
}

/// A row as a call, and who calls where the decks ask for it.
fn check<'b>(cells: &CallCells<'b>, caller: bool) -> Result<(CallIn<'b>, Option<CallerIn<'b>>), Wrong> {
    let ns = |us: i64, column| us.checked_mul(1000).ok_or_else(|| Wrong { column, problem: "is beyond the year 2262".to_owned() });
    let setup_us = cells.setup_us.ok_or_else(|| Wrong { column: "setup", problem: "empty".to_owned() })?;
    let fields = CallFields {
        call_id: cells.call_id.unwrap_or("not empty"),
        account: cells.account,
        to: cells.to,
        lrn: cells.lrn,
        from: cells.from,
        jip: cells.jip,
        lrn_source: cells.lrn_source,
        cnam_source: cells.cnam_source,
        setup_ns: ns(setup_us, "setup")?,
        answer_ns: cells.answer_us.map(|us| ns(us, "answer")).transpose()?,
        end_ns: cells.end_us.map(|us| ns(us, "end")).transpose()?,
        duration_ms: cells.duration_ms,
    };
    let call = fields.check()?;
    Ok((call, caller.then(|| fields.caller()).transpose()?))
}

#[cfg(test)]
mod tests;
