//! What rating adds to calls, as it is gathered: every different line once, and a number for each row.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parquet::{errors::ParquetError, schema::types::ColumnDescPtr};

use super::chunk::{Chunk, ChunkWriter, Codec, NULL};

/// What many rows have alike: the row of a deck, or that there is none. `rate_e12` is per minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line<'a> {
    pub prefix: &'a str,
    pub destination: &'a str,
    pub rate_e12: Option<i64>,
    pub currency: &'a str,
    pub deck_version: &'a str,
    pub reason: &'a str,
}

/// Largest billed seconds that are kept in a dictionary: a table of them is looked up by value.
const MAX_NUMBERED: i64 = 1 << 16;

/// Texts or rates, each once, in the bytes that a dictionary page has.
#[derive(Default)]
struct Values {
    page: Vec<u8>,
    count: u32,
}

#[derive(Default)]
struct Texts {
    values: Values,
    numbers: HashMap<Box<str>, u32, RandomState>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.values.count;
        self.numbers.insert(text.into(), number);
        self.values.count += 1;
        self.values.page.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.values.page.extend_from_slice(text.as_bytes());
        number
    }
}

#[derive(Default)]
struct Rates {
    values: Values,
    numbers: HashMap<i64, u32, RandomState>,
}

impl Rates {
    fn number(&mut self, rate_e12: i64) -> u32 {
        *self.numbers.entry(rate_e12).or_insert_with(|| {
            self.values.count += 1;
            // Decimal(20,12): nine bytes, the highest first.
            self.values.page.extend_from_slice(&i128::from(rate_e12).to_be_bytes()[7..]);
            self.values.count - 1
        })
    }
}

/// The added columns of up to a row group.
#[derive(Default)]
pub struct Added {
    prefix: Texts,
    destination: Texts,
    rate: Rates,
    currency: Texts,
    deck_version: Texts,
    reason: Texts,
    /// Numbers of a line in each of the above, in their order.
    lines: Vec<[u32; 6]>,
    /// By row that is kept.
    line: Vec<u32>,
    billed: Vec<i64>,
    amount_e8: Vec<i64>,
    priced: Vec<bool>,
    /// By row of the input.
    pub(super) kept: Vec<bool>,
}

impl Added {
    /// Rows of the input so far.
    pub fn rows(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn left_out(&self) -> usize {
        self.kept.len() - self.line.len()
    }

    pub(super) fn kept_rows(&self) -> usize {
        self.line.len()
    }

    /// A number for a line, to be given with each row that has it. The caller asks once for each different line.
    pub fn line(&mut self, line: &Line<'_>) -> u32 {
        self.lines.push([
            self.prefix.number(line.prefix),
            self.destination.number(line.destination),
            line.rate_e12.map_or(NULL, |rate| self.rate.number(rate)),
            self.currency.number(line.currency),
            self.deck_version.number(line.deck_version),
            self.reason.number(line.reason),
        ]);
        self.lines.len() as u32 - 1
    }

    /// The next row: its line, and billed seconds and amount where it has a price.
    pub fn push(&mut self, line: u32, price: Option<(u64, i64)>) {
        let (billed, amount_e8) = price.unwrap_or_default();
        self.line.push(line);
        self.billed.push(i64::try_from(billed).unwrap_or(i64::MAX));
        self.amount_e8.push(amount_e8);
        self.priced.push(price.is_some());
        self.kept.push(true);
    }

    /// The next row is no call.
    pub fn leave_out(&mut self) {
        self.kept.push(false);
    }

    /// The columns of the rows that are kept, in the form's order.
    pub(super) fn encode(&self, columns: &[ColumnDescPtr], codec: Codec) -> Result<Vec<Chunk>, ParquetError> {
        let writer = |at: usize| ChunkWriter::new(columns[at].clone(), codec);
        let numbered = |at: usize, values: &Values, of: usize| {
            let cells: Vec<u32> = self.line.iter().map(|line| self.lines[*line as usize][of]).collect();
            writer(at).numbered(&values.page, values.count as usize, &cells)
        };
        Ok(vec![
            numbered(0, &self.prefix.values, 0)?,
            numbered(1, &self.destination.values, 1)?,
            self.billed(writer(2))?,
            numbered(3, &self.rate.values, 2)?,
            writer(4).integers(&self.amount_e8, &self.priced)?,
            numbered(5, &self.currency.values, 3)?,
            numbered(6, &self.deck_version.values, 4)?,
            numbered(7, &self.reason.values, 5)?,
        ])
    }

    /// Billed seconds are few different numbers, unless calls last for days.
    fn billed(&self, writer: ChunkWriter) -> Result<Chunk, ParquetError> {
        let largest = self.billed.iter().copied().max().unwrap_or(0);
        if largest >= MAX_NUMBERED {
            return writer.integers(&self.billed, &self.priced);
        }
        let mut numbers = vec![NULL; largest as usize + 1];
        let mut values = Values::default();
        let cells: Vec<u32> = self
            .billed
            .iter()
            .zip(&self.priced)
            .map(|(billed, priced)| {
                if !priced {
                    return NULL;
                }
                let number = &mut numbers[*billed as usize];
                if *number == NULL {
                    *number = values.count;
                    values.count += 1;
                    values.page.extend_from_slice(&billed.to_le_bytes());
                }
                *number
            })
            .collect();
        writer.numbered(&values.page, values.count as usize, &cells)
    }
}
