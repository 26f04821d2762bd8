//! A block of calls CSV, rated into a block of rated CSV.

use csv::{ByteRecord, ReaderBuilder, Writer};
use memchr::memchr_iter;
use tollgate_schemas::money::{AMOUNT_PLACES, RATE_PLACES};

use super::{CallIn, CallerIn, Counts, Decks, RateOptions, RatedOut, Rater, RowProblem, Wrong, columns::Columns, text::{push_cell, push_number, push_scaled}};
use crate::{
    cells::{Cells, Line, is_plain, plain_lines},
    lines::Lines,
};

/// Rows whose look-ups are made together.
const TOGETHER: usize = 256;

/// What every block of a file has alike.
pub(super) struct Rows<'c> {
    pub decks: &'c Decks,
    pub columns: &'c Columns,
    pub options: RateOptions,
}

/// What became of a block.
pub(super) struct Block {
    pub out: Vec<u8>,
    pub counts: Counts,
    /// In order, lines counted from the block's first as 1.
    pub problems: Vec<RowProblem>,
    /// Line feeds and bytes of the input.
    pub lines: u64,
    pub bytes: u64,
}

impl Rows<'_> {
    pub(super) fn rate(&self, rater: &mut Rater<'_>, text: &[u8]) -> csv::Result<Block> {
        let lines = memchr_iter(b'\n', text).count() as u64;
        let out = Vec::with_capacity(text.len() + text.len() / 2);
        let mut block = Block { out, counts: Counts::default(), problems: Vec::new(), lines, bytes: text.len() as u64 };
        if is_plain(text) {
            self.plain(rater, text, &mut block);
        } else {
            self.quoted(rater, text, &mut block)?;
        }
        block.problems.sort_by_key(|p| p.line);
        block.counts.malformed = block.problems.len() as u64;
        Ok(block)
    }

    /// A row as a call, and who calls where the decks ask for it.
    fn call<'r>(&self, record: impl Cells<'r>) -> Result<(CallIn<'r>, Option<CallerIn<'r>>), Wrong> {
        let call = self.columns.call(record)?;
        let caller = self.decks.callers().map(|_| self.columns.caller(record)).transpose()?;
        Ok((call, caller))
    }

    /// Rows go out as the bytes they came in.
    fn plain(&self, rater: &mut Rater<'_>, text: &[u8], block: &mut Block) {
        let mut rows: Vec<(u64, &[u8])> = Vec::with_capacity(TOGETHER);
        let mut calls: Vec<CallIn<'_>> = Vec::with_capacity(TOGETHER);
        let mut callers: Vec<CallerIn<'_>> = Vec::new();
        let mut lines = plain_lines(text);
        loop {
            let next = lines.next();
            if let Some((number, line)) = next {
                block.counts.read += 1;
                match self.call(&Line::split(line)) {
                    Ok((call, caller)) => {
                        calls.push(call);
                        callers.extend(caller);
                        rows.push((number, line));
                    }
                    Err(wrong) => block.problems.push(problem(number, wrong)),
                }
            }
            if calls.len() == TOGETHER || next.is_none() {
                let mut of = rows.iter().zip(0..);
                rater.rate(&calls, &callers, |call, out| {
                    let Some(((number, line), at)) = of.next() else { return };
                    match out {
                        Some(out) => {
                            block.counts.count(&out, call.account);
                            block.out.extend_from_slice(line);
                            self.push_added(&mut block.out, call, callers.get(at), &out);
                            block.out.push(b'\n');
                        }
                        None => block.problems.push(problem(*number, beyond())),
                    }
                });
                calls.clear();
                callers.clear();
                rows.clear();
            }
            if next.is_none() {
                return;
            }
        }
    }

    fn quoted(&self, rater: &mut Rater<'_>, text: &[u8], block: &mut Block) -> csv::Result<()> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(text));
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        let mut record = ByteRecord::new();
        loop {
            let start = reader.position().byte();
            if !reader.read_byte_record(&mut record)? {
                break;
            }
            let line = reader.get_mut().of_record(start);
            block.counts.read += 1;
            let (call, caller) = match self.call(&record) {
                Ok(call) => call,
                Err(wrong) => {
                    block.problems.push(problem(line, wrong));
                    continue;
                }
            };
            let mut rated = None;
            rater.rate(std::slice::from_ref(&call), caller.as_slice(), |_, out| rated = out);
            match rated {
                Some(out) => {
                    block.counts.count(&out, call.account);
                    self.write(&mut writer, &record, &call, caller.as_ref(), &out)?;
                }
                None => block.problems.push(problem(line, beyond())),
            }
        }
        block.out = writer.into_inner().map_err(|e| csv::Error::from(e.into_error()))?;
        Ok(())
    }

    fn write(
        &self,
        writer: &mut Writer<Vec<u8>>,
        record: &ByteRecord,
        call: &CallIn<'_>,
        caller: Option<&CallerIn<'_>>,
        out: &RatedOut<'_>,
    ) -> csv::Result<()> {
        for cell in record {
            writer.write_field(cell)?;
        }
        writer.write_field(out.row.map(|row| row.prefix()).unwrap_or_default())?;
        writer.write_field(out.row.map_or("", |row| row.destination()))?;
        writer.write_field(out.billed_s.map(|s| s.to_string()).unwrap_or_default())?;
        writer.write_field(out.row.map(|row| row.rate_text()).unwrap_or_default())?;
        writer.write_field(out.amount_text())?;
        writer.write_field(out.deck.map_or("", |deck| deck.currency()))?;
        writer.write_field(out.deck.map_or("", |deck| deck.version()))?;
        writer.write_field(out.reason.name())?;
        if self.options.explain {
            writer.write_field(self.decks.explain(call, caller, out))?;
        }
        writer.write_record(None::<&[u8]>)
    }

    /// The added cells, each with the comma before it.
    fn push_added(&self, to: &mut Vec<u8>, call: &CallIn<'_>, caller: Option<&CallerIn<'_>>, out: &RatedOut<'_>) {
        to.push(b',');
        if let Some(row) = out.row {
            // Prefixes do not begin with 0.
            push_number(to, row.prefix_number());
        }
        push_cell(to, out.row.map_or("", |row| row.destination()));
        to.push(b',');
        if let Some(billed) = out.billed_s {
            push_number(to, billed);
        }
        to.push(b',');
        if let Some(row) = out.row {
            push_scaled(to, row.rate_e12(), RATE_PLACES, row.rate_places());
        }
        to.push(b',');
        if let (Some(amount), Some(deck)) = (out.amount_e8, out.deck) {
            push_scaled(to, amount, AMOUNT_PLACES, deck.places());
        }
        push_cell(to, out.deck.map_or("", |deck| deck.currency()));
        push_cell(to, out.deck.map_or("", |deck| deck.version()));
        push_cell(to, out.reason.name());
        if self.options.explain {
            push_cell(to, &self.decks.explain(call, caller, out));
        }
    }
}

fn beyond() -> Wrong {
    Wrong::new("duration_ms", "the amount is beyond what money can hold")
}

fn problem(line: u64, wrong: Wrong) -> RowProblem {
    RowProblem { line, column: wrong.column, problem: wrong.problem }
}
