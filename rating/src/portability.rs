//! Sources of portability and callers' names as far as they need no one else: a file, a bounded memory of answers and of failures, when a
//! source that fails is left alone (`circuit`), and ENUM's datagrams (`enum_dns`).

mod circuit;
pub mod enum_dns;
mod failed;

use std::collections::{HashMap, VecDeque};

use csv::ReaderBuilder;
use foldhash::fast::FixedState;
use tollgate_schemas::{
    number::E164,
    parties::Place,
    portability::{Asker, Dip, DipAnswer, DipError, Named, NumberSource, Ported, shown_name},
};

pub use circuit::{Circuit, CircuitRules, CircuitState, Next};
pub use failed::Failed;

/// Answers are not kept longer.
pub const MAX_AGE_US: i64 = 24 * 3_600 * 1_000_000;

/// Answers by number, the oldest given up first. An answer is never used longer than 24 h after it was had.
#[derive(Debug)]
pub struct Answers<V = Ported> {
    known: HashMap<E164, (i64, V), FixedState>,
    order: VecDeque<(i64, E164)>,
    max: usize,
    max_age_us: i64,
}

impl<V> Answers<V> {
    /// At most `max` answers, each for at most `max_age_us` or 24 h, whichever is shorter.
    pub fn new(max: usize, max_age_us: i64) -> Answers<V> {
        Answers { known: HashMap::default(), order: VecDeque::new(), max: max.max(1), max_age_us: max_age_us.clamp(0, MAX_AGE_US) }
    }

    pub fn get(&self, number: &E164, now_us: i64) -> Option<&V> {
        let (had_us, found) = self.known.get(number)?;
        // A clock set back makes no answer older or younger than it can be.
        (0..self.max_age_us).contains(&now_us.saturating_sub(*had_us)).then_some(found)
    }

    pub fn put(&mut self, number: E164, found: V, now_us: i64) {
        self.known.insert(number, (now_us, found));
        self.order.push_back((now_us, number));
        while self.known.len() > self.max || self.order.len() > 2 * self.max {
            let Some((had_us, oldest)) = self.order.pop_front() else { break };
            // A number answered again since has a later entry.
            if self.known.get(&oldest).is_some_and(|(us, _)| *us == had_us) {
                self.known.remove(&oldest);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// A file of callers' names: `number,name`, found by header. A number that is not in it has none.
#[derive(Debug, Default)]
pub struct NamesFile {
    names: HashMap<E164, Named, FixedState>,
}

impl NamesFile {
    /// Reads the file, or says every mistake with its line, the first 1,000.
    pub fn read(bytes: &[u8]) -> Result<NamesFile, Vec<String>> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let header = reader.headers().map_err(|e| vec![e.to_string()])?.clone();
        let place = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name)).ok_or(format!("line 1: column {name} is missing"));
        let (number, name) = match (place("number"), place("name")) {
            (Ok(number), Ok(name)) => (number, name),
            (number, name) => return Err([number.err(), name.err()].into_iter().flatten().collect()),
        };
        let (mut out, mut problems) = (NamesFile::default(), Vec::new());
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(e) => {
                    problems.push(e.to_string());
                    break;
                }
            };
            let line = record.position().map_or(0, csv::Position::line);
            match E164::parse(record.get(number).unwrap_or_default().trim()) {
                Ok(number) => {
                    if out.names.insert(number, shown_name(record.get(name).unwrap_or_default())).is_some() {
                        problems.push(format!("line {line}, column number: {number} is there already"));
                    }
                }
                Err(e) => problems.push(format!("line {line}, column number: {e}")),
            }
            if problems.len() >= MAX_PROBLEMS {
                problems.push("and perhaps more: reading stopped here".to_owned());
                break;
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl NumberSource<Named> for NamesFile {
    fn lookup(&self, number: &E164, _asker: Option<Asker>, _now_us: i64) -> DipAnswer<Named> {
        Ok(Dip { found: self.names.get(number).cloned().unwrap_or_default(), cached: false, took_ms: 0 })
    }
}

/// A file of numbers: `number,lrn[,ocn,lata,rate_center,state]`, found by header; an empty `lrn` is a number that is not
/// ported. A number that is not in it is not ported either.
#[derive(Debug, Default)]
pub struct PortedFile {
    numbers: HashMap<E164, Ported, FixedState>,
}

const COLUMNS: [&str; 6] = ["number", "lrn", "ocn", "lata", "rate_center", "state"];
const MAX_PROBLEMS: usize = 1_000;

impl PortedFile {
    /// Reads the file, or says every mistake with its line, the first 1,000.
    pub fn read(bytes: &[u8]) -> Result<PortedFile, Vec<String>> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let header = reader.headers().map_err(|e| vec![e.to_string()])?.clone();
        let place = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name));
        let places = COLUMNS.map(place);
        let mut problems: Vec<String> = header
            .iter()
            .filter(|h| !COLUMNS.contains(&h.trim().to_ascii_lowercase().as_str()))
            .map(|h| format!("line 1: '{h}' is no column; the columns are {}", COLUMNS.join(", ")))
            .collect();
        problems.extend(places[..2].iter().zip(COLUMNS).filter(|(p, _)| p.is_none()).map(|(_, c)| format!("line 1: column {c} is missing")));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut out = PortedFile::default();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(e) => {
                    problems.push(e.to_string());
                    break;
                }
            };
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: usize| places[at].and_then(|p| record.get(p)).unwrap_or_default().trim();
            let number = E164::parse(cell(0)).map_err(|e| format!("line {line}, column number: {e}"));
            let lrn = if cell(1).is_empty() { Ok(None) } else { E164::parse(cell(1)).map(Some).map_err(|e| format!("line {line}, column lrn: {e}")) };
            match (number, lrn) {
                (Ok(number), Ok(lrn)) => {
                    let [ocn, lata, rate_center, state] = [2, 3, 4, 5].map(|at| cell(at).to_owned());
                    if out.numbers.insert(number, Ported { lrn, place: Place { ocn, lata, rate_center, state } }).is_some() {
                        problems.push(format!("line {line}, column number: {number} is there already"));
                    }
                }
                (number, lrn) => problems.extend([number.err(), lrn.err()].into_iter().flatten()),
            }
            if problems.len() >= MAX_PROBLEMS {
                problems.push("and perhaps more: reading stopped here".to_owned());
                break;
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    pub fn get(&self, number: &E164) -> Option<&Ported> {
        self.numbers.get(number)
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

impl NumberSource for PortedFile {
    fn lookup(&self, number: &E164, _asker: Option<Asker>, _now_us: i64) -> Result<Dip, DipError> {
        Ok(Dip { found: self.numbers.get(number).cloned().unwrap_or_default(), cached: false, took_ms: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> E164 {
        E164::parse(text).expect("a number of the test")
    }

    #[test]
    fn r_04_an_answer_is_kept_no_longer_than_a_day_and_the_oldest_goes_first() {
        let (a, b, c) = (number("12125550100"), number("12125550101"), number("12125550102"));
        let ported = Ported { lrn: Some(number("12015550000")), ..Ported::default() };
        let mut answers = Answers::new(2, i64::MAX);
        answers.put(a, ported.clone(), 0);
        assert_eq!(answers.get(&a, MAX_AGE_US - 1), Some(&ported));
        assert_eq!(answers.get(&a, MAX_AGE_US), None);
        assert_eq!(answers.get(&a, -1), None, "an answer from the future is none");
        answers.put(b, ported.clone(), 1);
        answers.put(a, Ported::default(), 2);
        answers.put(c, ported.clone(), 3);
        assert_eq!((answers.get(&a, 4).is_some(), answers.get(&b, 4), answers.get(&c, 4).is_some(), answers.len()), (true, None, true, 2));
        for at in 0..1_000 {
            answers.put(a, ported.clone(), at);
        }
        assert!(answers.order.len() <= 4 && answers.len() <= 2);
    }

    #[test]
    fn r_04_a_file_of_ported_numbers_answers_at_once_and_its_mistakes_are_told() {
        let file = PortedFile::read(b"number,lrn,state\n+12125550100,12015550000,NJ\n12125550101,,NY\n").expect("right");
        let of = |n: &str| file.lookup(&number(n), None, 0).map(|d| (d.found.lrn, d.found.place.state)).expect("an answer");
        assert_eq!(of("12125550100"), (Some(number("12015550000")), "NJ".to_owned()));
        assert_eq!(of("12125550101"), (None, "NY".to_owned()));
        assert_eq!(of("12125550109"), (None, String::new()));
        let names = NamesFile::read(b"name,number\n\"ACME \"\"Ltd\"\"\",+12125550199\n,12125550198\n").expect("right");
        let of = |n: &str| names.lookup(&number(n), None, 0).map(|d| d.found.0).expect("an answer");
        assert_eq!(["12125550199", "12125550198", "12125550197"].map(of), ["ACME Ltd", "", ""]);
        assert_eq!(NamesFile::read(b"number,name\nx,A\n1,A\n1,B\n").err().unwrap_or_default().len(), 2);
        assert_eq!(NamesFile::read(b"no\n").err().unwrap_or_default().len(), 2);
        let bad = PortedFile::read(b"number,lrn\n012,1\n1,x\n1,\n1,\n").err().unwrap_or_default();
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(PortedFile::read(b"no,lrn\n").is_err());
    }
}
