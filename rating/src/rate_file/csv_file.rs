//! Calls CSV in, rated CSV out, a block of rows at a time.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read, Write},
    sync::mpsc::sync_channel,
    thread,
};

use csv::{ByteRecord, ReaderBuilder, Writer};
use memchr::memchr_iter;
use thiserror::Error;

use super::{
    Decks, RATED_COLUMNS, RatedOut, Rater, Reason,
    columns::{COLUMNS, Columns},
    cut::Cutter,
    rows::{Block, Rows},
};
use crate::lines::Lines;

/// Accounts without a deck that are named in [`Counts`].
const MAX_NAMED_ACCOUNTS: usize = 100;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateOptions {
    /// Add a column `explain` that says how each amount came about.
    pub explain: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the input without its header.
    pub read: u64,
    pub malformed: u64,
    pub rated: u64,
    pub unanswered: u64,
    pub no_prefix: u64,
    pub not_effective: u64,
    pub blocked: u64,
    /// Of `no_prefix`: calls of accounts that have no deck.
    pub without_deck: u64,
    /// Those accounts, at most a hundred.
    pub accounts_without_deck: BTreeSet<String>,
}

impl Counts {
    /// Rows written.
    pub fn written(&self) -> u64 {
        self.read - self.malformed
    }

    /// Adds those of other rows.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.malformed += other.malformed;
        self.rated += other.rated;
        self.unanswered += other.unanswered;
        self.no_prefix += other.no_prefix;
        self.not_effective += other.not_effective;
        self.blocked += other.blocked;
        self.without_deck += other.without_deck;
        for account in &other.accounts_without_deck {
            if self.accounts_without_deck.len() < MAX_NAMED_ACCOUNTS {
                self.accounts_without_deck.insert(account.clone());
            }
        }
    }

    /// Counts a call that was priced; not that it was read.
    pub fn count(&mut self, out: &RatedOut<'_>, account: &str) {
        *match out.reason {
            Reason::Rated => &mut self.rated,
            Reason::Unanswered => &mut self.unanswered,
            Reason::NoPrefix => &mut self.no_prefix,
            Reason::NotEffective => &mut self.not_effective,
            Reason::Blocked => &mut self.blocked,
        } += 1;
        if out.deck.is_none() {
            self.without_deck += 1;
            if self.accounts_without_deck.len() < MAX_NAMED_ACCOUNTS && !self.accounts_without_deck.contains(account) {
                self.accounts_without_deck.insert(account.to_owned());
            }
        }
    }
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// Line of the file the row starts on, from 1 (the header).
    pub line: u64,
    /// `""` when it is about the whole row.
    pub column: &'static str,
    pub problem: String,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            "" => write!(f, "line {}: {}", self.line, self.problem),
            column => write!(f, "line {}, column {column}: {}", self.line, self.problem),
        }
    }
}

/// Why a file cannot be rated at all.
#[derive(Debug, Error)]
pub enum RateFileError {
    #[error("the calls file is empty: want a header line and rows")]
    Empty,
    #[error("the calls file has no column '{0}'")]
    NoColumn(&'static str),
    #[error("the calls file has a column '{0}'; the columns are {columns}", columns = COLUMNS.join(", "))]
    UnknownColumn(String),
    #[error("the calls file has two columns '{0}'")]
    ColumnTwice(&'static str),
    #[error("cannot read the calls")]
    Read(#[source] csv::Error),
    #[error("cannot write the rated calls")]
    Write(#[source] csv::Error),
}

/// Rates `input` into `output`. Malformed rows go to `problems`, the rest goes on. `progress` is told now and then how
/// many bytes of the input are done.
pub fn rate_csv(
    decks: &Decks,
    input: impl Read + Send,
    output: impl Write,
    options: RateOptions,
    problems: &mut dyn FnMut(RowProblem),
    progress: &mut dyn FnMut(u64),
) -> Result<Counts, RateFileError> {
    rate_csv_on(1, decks, input, output, options, problems, progress)
}

/// As [`rate_csv`], on `threads` threads and one that reads; output, problems and counts are the same with any number.
/// At most three blocks of [`cut::BLOCK`](super::cut) bytes for each thread are in memory, with what they became.
pub fn rate_csv_on(
    threads: usize,
    decks: &Decks,
    input: impl Read + Send,
    mut output: impl Write,
    options: RateOptions,
    problems: &mut dyn FnMut(RowProblem),
    progress: &mut dyn FnMut(u64),
) -> Result<Counts, RateFileError> {
    let mut cutter = Cutter::new(input);
    let Some(first) = cutter.next().transpose().map_err(read)? else { return Err(RateFileError::Empty) };
    let mut lines = Lines::new(&first[..]);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&mut lines);
    let mut header = ByteRecord::new();
    if !reader.read_byte_record(&mut header).map_err(RateFileError::Read)? {
        return Err(RateFileError::Empty);
    }
    let header_bytes = reader.position().byte() as usize;
    let columns = Columns::of(&header)?;
    let mut head = csv::Writer::from_writer(Vec::new());
    write_header(&mut head, &header, options).map_err(RateFileError::Write)?;
    let head = head.into_inner().map_err(|e| RateFileError::Write(e.into_error().into()))?;
    output.write_all(&head).map_err(write)?;
    // Lines and bytes before the block that is written next.
    let mut line = memchr_iter(b'\n', &first[..header_bytes]).count() as u64;
    let mut done = header_bytes as u64;
    let mut counts = Counts::default();
    let mut finish = |block: Block| -> Result<(), RateFileError> {
        output.write_all(&block.out).map_err(write)?;
        for problem in block.problems {
            problems(RowProblem { line: line + problem.line, ..problem });
        }
        counts.add(&block.counts);
        line += block.lines;
        done += block.bytes;
        progress(done);
        Ok(())
    };
    let rows = Rows { decks, columns: &columns, options };
    let rest = first[header_bytes..].to_vec();
    let blocks = std::iter::once(Ok(rest)).chain(cutter);
    if threads < 2 {
        let mut rater = Rater::new(decks);
        for block in blocks {
            finish(rows.rate(&mut rater, &block.map_err(read)?).map_err(RateFileError::Write)?)?;
        }
    } else {
        on_threads(threads, decks, &rows, blocks, &mut finish)?;
    }
    output.flush().map_err(write)?;
    Ok(counts)
}

/// Block n goes to thread n modulo the threads and comes back from there, so the order is known; every channel holds one.
fn on_threads(
    threads: usize,
    decks: &Decks,
    rows: &Rows<'_>,
    blocks: impl Iterator<Item = io::Result<Vec<u8>>> + Send,
    finish: &mut dyn FnMut(Block) -> Result<(), RateFileError>,
) -> Result<(), RateFileError> {
    thread::scope(|scope| {
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (give, take) = sync_channel::<Vec<u8>>(1);
            let (put, get) = sync_channel(1);
            scope.spawn(move || {
                let mut rater = Rater::new(decks);
                // Where nobody listens any more, something else has failed and is told.
                while let Ok(block) = take.recv()
                    && put.send(rows.rate(&mut rater, &block)).is_ok()
                {}
            });
            to.push(give);
            from.push(get);
        }
        let reader = scope.spawn(move || {
            for (at, block) in blocks.enumerate() {
                if to[at % threads].send(block?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let mut done = Ok(());
        for at in 0.. {
            let Ok(block) = from[at % threads].recv() else { break };
            done = block.map_err(RateFileError::Write).and_then(&mut *finish);
            if done.is_err() {
                break;
            }
        }
        drop(from);
        done?;
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(read)
    })
}

fn read(error: io::Error) -> RateFileError {
    RateFileError::Read(error.into())
}

fn write(error: io::Error) -> RateFileError {
    RateFileError::Write(error.into())
}

fn write_header(writer: &mut Writer<impl Write>, header: &ByteRecord, options: RateOptions) -> csv::Result<()> {
    for cell in header {
        writer.write_field(cell)?;
    }
    for column in RATED_COLUMNS {
        writer.write_field(column)?;
    }
    if options.explain {
        writer.write_field("explain")?;
    }
    writer.write_record(None::<&[u8]>)
}

