//! A carrier's CDR file into calls. Layouts differ by column names, delimiter, date form and zone; what a name means is
//! found in a list of the trade's names, and a mapping says it where the list does not. Every row that cannot be read is
//! a problem with its line and column; none is left out in silence.

use std::{collections::BTreeMap, fmt};

use chrono_tz::Tz;
use serde::Deserialize;
use tollgate_schemas::money::parse_scaled;

pub use super::time_text::DateOrder;
use super::{
    Billed,
    numbers::digits,
    time_text::{self, duration_ms},
};

/// Problems kept; the rest are counted.
const LISTED: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// From 1, the header's line too.
    pub line: u64,
    /// As the file names it; empty = the whole row.
    pub column: String,
    pub problem: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.column.is_empty() {
            write!(f, ", column '{}'", self.column)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Everything wrong with a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub listed: Vec<FileProblem>,
    /// With those not listed.
    pub total: u64,
}

impl Problems {
    pub(super) fn one(line: u64, column: &str, problem: String) -> Problems {
        Problems { listed: vec![FileProblem { line, column: column.to_owned(), problem }], total: 1 }
    }

    pub(super) fn push(&mut self, problem: FileProblem) {
        self.total += 1;
        if self.listed.len() < LISTED {
            self.listed.push(problem);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// What a file does not say by itself. Everything may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Our name (`called`, `caller`, `start`, `answer`, `date`, `time`, `duration`, `billed`, `rate`, `amount`, `code`,
    /// `id`, `connect_fee`, `initial`, `increment`, `increments`, `status`, `minutes_west`, `end`) to the file's.
    pub columns: BTreeMap<String, String>,
    /// Of a file without a header line: our names in its order, `-` for what is not wanted.
    pub header: Vec<String>,
    pub delimiter: Option<char>,
    pub date_format: Option<DateOrder>,
    /// IANA zone of times that name none; UTC by default.
    pub timezone: Option<String>,
    /// What `duration` and `billed` count: `seconds` (default), `minutes` or `milliseconds`.
    pub duration_unit: Option<String>,
    /// Decimals have a comma.
    pub decimal_comma: Option<bool>,
    /// Digits put before called numbers that are to be taken off.
    pub strip_prefix: String,
    /// Lines before the header.
    pub skip_lines: usize,
}

/// Calls of a file, in its order.
#[derive(Debug, Default)]
pub struct Read {
    pub calls: Vec<Billed>,
    pub problems: Problems,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Field {
    Id, Caller, Called, Start, Answer, End, Date, Time, Duration, Billed, Rate, Amount, Code, Connect, Initial, Increment, Increments, Status, MinutesWest,
}

/// Our name, and the trade's in the order they are preferred: plain letters and digits.
const NAMES: &[(Field, &str, &[&str])] = &[
    (Field::Id, "id", &["calluuid", "callid", "id", "sessionid", "uuid", "recordid"]),
    (Field::Caller, "caller", &["anumbere164", "caller", "callerid", "callingnumber", "callingparty", "cli", "ani", "src", "source", "sourcenumber", "from", "fromdid", "fromnumber", "anumber", "orignumber", "originatingnumber", "clid", "a"]),
    (Field::Called, "called", &["bnumbere164", "called", "callednumber", "calledparty", "dialednumber", "dst", "destinationnumber", "to", "todid", "tonumber", "bnumber", "dnis", "termnumber", "terminatingnumber", "number", "dialed", "b", "destination"]),
    (Field::Answer, "answer", &["answerts", "answer", "answertime", "callansweredtime", "connecttime", "timeconnect", "connect"]),
    (Field::Start, "start", &["invitets", "start", "starttime", "startdate", "startdatetime", "callstarttime", "calldate", "datetime", "timestart", "timestartutc", "timestamp", "setup", "setuptime", "calltime", "begintime", "begin", "datetimeutc"]),
    (Field::End, "end", &["endts", "end", "endtime", "stoptime", "callendtime", "releasetime", "timeend", "disconnecttime"]),
    (Field::Date, "date", &["date", "day", "calldateutc"]),
    (Field::Time, "time", &["time", "timeofday", "starttimeofday"]),
    (Field::Duration, "duration", &["durationms", "duration", "callduration", "durationreal", "durations", "durationsec", "durationseconds", "seconds", "lengths", "length", "secs", "rawduration"]),
    (Field::Billed, "billed", &["billedseccost", "billed", "billedduration", "billduration", "billedseconds", "billedsec", "chargedduration", "billsec", "billeddurations", "chargeableduration"]),
    (Field::Rate, "rate", &["costrate", "rate", "rateperminute", "baseprice", "priceperminute", "unitprice", "perminute"]),
    (Field::Amount, "amount", &["costamount", "amount", "callprice", "charged", "charge", "cost", "total", "price", "callcost", "callcharge", "netamount"]),
    (Field::Code, "code", &["costprefix", "code", "prefix", "dialcode", "areacode", "destinationcode", "matcheddigits", "destinationname", "country", "network"]),
    (Field::Connect, "connect_fee", &["costconnect", "connectfee", "setupfee", "connectcharge"]),
    (Field::Initial, "initial", &["initial", "callminimum", "initialincrement", "minimum", "mininterval"]),
    (Field::Increment, "increment", &["increment", "callincrement", "nextincrement", "interval"]),
    (Field::Increments, "increments", &["costincrement", "increments", "billingincrement"]),
    (Field::Status, "status", &["disposition", "status", "sipcode", "result"]),
    (Field::MinutesWest, "minutes_west", &["minuteswest", "minuteswestofgmt", "gmtoffset"]),
];

/// Lower-case letters and digits of a header.
pub(super) fn plain(header: &str) -> String {
    header.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The delimiter of a text's first line: the one it has most of.
pub(super) fn delimiter(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    b",;\t|".iter().copied().max_by_key(|d| (first.bytes().filter(|b| b == d).count(), *d == b',')).unwrap_or(b',')
}

/// A decimal as people write it, for [`parse_scaled`]: without currency signs and thousands separators.
pub(super) fn decimal_text(text: &str, comma: bool) -> String {
    let text: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+')).collect();
    // A comma after the last point is the decimal sign; in a semicolon file a lone comma is.
    match (text.rfind(','), text.rfind('.')) {
        (Some(c), Some(p)) if c > p => text.replace('.', "").replace(',', "."),
        (Some(_), Some(_)) => text.replace(',', ""),
        (Some(_), None) if comma || text.matches(',').count() == 1 => text.replace(',', "."),
        (Some(_), None) => text.replace(',', ""),
        _ => text,
    }
}

/// Which side a file is: prices of ours have names of their own.
impl Mapping {
    /// Our CDRs as a customer sees them: what it is charged.
    pub fn of_sale() -> Mapping {
        let names = [("rate", "sell_rate"), ("amount", "sell_amount"), ("billed", "billed_sec_sell"), ("code", "sell_prefix"), ("connect_fee", "sell_connect"), ("increments", "sell_increment")];
        Mapping { columns: names.map(|(ours, file)| (ours.to_owned(), file.to_owned())).into(), ..Mapping::default() }
    }
}

struct Columns {
    at: BTreeMap<Field, usize>,
    names: Vec<String>,
    zone: Tz,
    order: DateOrder,
    duration_ms: bool,
    minutes: bool,
    comma: bool,
    strip: String,
}

/// Reads a file of calls: CSV of any of the usual delimiters, UTF-8 or Latin-1. `seen` is told the bytes read so far.
pub fn read_calls(bytes: &[u8], mapping: &Mapping, seen: &mut dyn FnMut(u64)) -> Read {
    let mut out = Read::default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => std::borrow::Cow::Borrowed(text),
        // Latin-1: every byte is a character.
        Err(_) => std::borrow::Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut start = 0;
    for _ in 0..mapping.skip_lines {
        start += text[start..].find('\n').map_or(text.len() - start, |n| n + 1);
    }
    let text = &text[start..];
    let delimiter = mapping.delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or_else(|| delimiter(text));
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut records = reader.records();
    let header: Vec<String> = if mapping.header.is_empty() {
        match records.next() {
            Some(Ok(first)) => first.iter().map(str::to_owned).collect(),
            Some(Err(e)) => {
                out.problems = Problems::one(1, "", e.to_string());
                return out;
            }
            None => {
                out.problems = Problems::one(1, "", "the file is empty".to_owned());
                return out;
            }
        }
    } else {
        mapping.header.clone()
    };
    let rows: Vec<csv::StringRecord> = records
        .filter_map(|r| match r {
            Ok(record) => Some(record),
            Err(e) => {
                out.problems.push(FileProblem { line: e.position().map_or(0, csv::Position::line), column: String::new(), problem: e.to_string() });
                None
            }
        })
        .filter(|r| r.iter().any(|c| !c.is_empty()))
        .collect();
    let columns = match Columns::find(header, mapping, delimiter, &rows) {
        Ok(columns) => columns,
        Err(problems) => {
            out.problems = problems;
            return out;
        }
    };
    out.calls.reserve_exact(rows.len());
    for (n, record) in rows.iter().enumerate() {
        let line = record.position().map_or(0, csv::Position::line) + mapping.skip_lines as u64;
        match columns.call(record, line) {
            Ok(call) => out.calls.push(call),
            Err((field, problem)) => {
                let column = columns.at.get(&field).map_or_else(String::new, |at| columns.names[*at].clone());
                out.problems.push(FileProblem { line, column, problem });
            }
        }
        if n.is_multiple_of(4096) {
            seen(record.position().map_or(0, csv::Position::byte));
        }
    }
    out
}

impl Columns {
    fn find(header: Vec<String>, mapping: &Mapping, delimiter: u8, rows: &[csv::StringRecord]) -> Result<Columns, Problems> {
        let mut problems = Problems::default();
        let mut wrong = |problem: String| problems.push(FileProblem { line: 1, column: String::new(), problem });
        let plain_header: Vec<String> = header.iter().map(|h| plain(h)).collect();
        let mut at = BTreeMap::new();
        for (field, name, synonyms) in NAMES {
            if let Some(file) = mapping.columns.get(*name) {
                match plain_header.iter().position(|h| *h == plain(file)) {
                    Some(column) => drop(at.insert(*field, column)),
                    None => wrong(format!("the mapping says '{name}' is the column '{file}', and there is none; there are {}", header.join(", "))),
                }
                continue;
            }
            let own = if mapping.header.is_empty() { None } else { plain_header.iter().position(|h| *h == plain(name)) };
            let found = own.or_else(|| synonyms.iter().find_map(|s| plain_header.iter().position(|h| h == s)));
            if let Some(column) = found.filter(|c| !at.values().any(|taken| taken == c)) {
                at.insert(*field, column);
            }
        }
        let known: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
        for name in mapping.columns.keys().filter(|n| !known.contains(&n.as_str())) {
            wrong(format!("the mapping names '{name}', which is none of {}", known.join(", ")));
        }
        let has = |f: Field| at.contains_key(&f);
        if !has(Field::Called) {
            wrong("there is no column with the called number; name it in a mapping (columns: {called: …})".to_owned());
        }
        if !has(Field::Start) && !has(Field::Answer) && !has(Field::Date) {
            wrong("there is no column with a start time; name it in a mapping (columns: {start: …}, or date and time)".to_owned());
        }
        if !has(Field::Duration) && !has(Field::Billed) {
            wrong("there is no column with a duration; name it in a mapping (columns: {duration: …})".to_owned());
        }
        if !has(Field::Amount) {
            wrong("there is no column with an amount; name it in a mapping (columns: {amount: …})".to_owned());
        }
        let zone = mapping.timezone.as_deref().unwrap_or("UTC").parse().unwrap_or_else(|_| {
            wrong(format!("'{}' is not a time zone: want a name of the IANA list", mapping.timezone.as_deref().unwrap_or_default()));
            Tz::UTC
        });
        let order = mapping.date_format.or_else(|| {
            let column = [Field::Date, Field::Start, Field::Answer].iter().find_map(|f| at.get(f))?;
            let cells = || rows.iter().filter_map(|r| r.get(*column)).filter(|c| !c.is_empty());
            if cells().next().is_none() {
                return Some(DateOrder::Ymd);
            }
            cells().find_map(time_text::order_of).or_else(|| {
                let sample = cells().next().unwrap_or_default();
                wrong(format!("of dates like '{sample}' day and month cannot be told apart: say date_format: dmy or mdy in a mapping"));
                None
            })
        });
        let unit = mapping.duration_unit.as_deref().unwrap_or("");
        if !["", "seconds", "minutes", "milliseconds"].contains(&unit) {
            wrong(format!("duration_unit '{unit}': want seconds, minutes or milliseconds"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_ms = unit == "milliseconds" || unit.is_empty() && at.get(&Field::Duration).is_some_and(|c| plain_header[*c] == "durationms");
        let comma = mapping.decimal_comma.unwrap_or(delimiter == b';');
        Ok(Columns { at, names: header, zone, order: order.unwrap_or(DateOrder::Ymd), duration_ms: is_ms, minutes: unit == "minutes", comma, strip: mapping.strip_prefix.clone() })
    }

    fn cell<'r>(&self, record: &'r csv::StringRecord, field: Field) -> &'r str {
        self.at.get(&field).and_then(|at| record.get(*at)).unwrap_or_default()
    }

    fn moment(&self, record: &csv::StringRecord, field: Field, west: Option<i64>) -> Result<Option<i64>, (Field, String)> {
        let text = match field {
            Field::Start if !self.at.contains_key(&Field::Start) => format!("{} {}", self.cell(record, Field::Date), self.cell(record, Field::Time)),
            _ => self.cell(record, field).to_owned(),
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let moment = time_text::read(&text, self.order).map_err(|e| (field, e))?;
        Ok(Some(time_text::utc(moment, self.zone, west)))
    }

    fn length(&self, record: &csv::StringRecord, field: Field) -> Result<Option<u64>, (Field, String)> {
        let text = self.cell(record, field);
        if text.is_empty() {
            return Ok(None);
        }
        let ms = if self.duration_ms && field == Field::Duration {
            text.parse().ok()
        } else if self.minutes && !text.contains(':') {
            parse_scaled(&decimal_text(text, self.comma), 6).ok().and_then(|m| u64::try_from((i128::from(m) * 60 + 500) / 1000).ok())
        } else {
            duration_ms(&if text.contains(':') { text.to_owned() } else { decimal_text(text, self.comma) })
        };
        ms.map(Some).ok_or_else(|| (field, format!("'{text}' is no duration")))
    }

    fn money(&self, record: &csv::StringRecord, field: Field, places: u32) -> Result<Option<i64>, (Field, String)> {
        let text = self.cell(record, field);
        if text.is_empty() {
            return Ok(None);
        }
        parse_scaled(&decimal_text(text, self.comma), places).map(Some).map_err(|e| (field, e.to_string()))
    }

    fn call(&self, record: &csv::StringRecord, line: u64) -> Result<Billed, (Field, String)> {
        let west = match self.cell(record, Field::MinutesWest) {
            "" => None,
            text => Some(text.parse::<i64>().map_err(|_| (Field::MinutesWest, format!("'{text}' is no number of minutes")))?),
        };
        let (start, answer, end) = (self.moment(record, Field::Start, west)?, self.moment(record, Field::Answer, west)?, self.moment(record, Field::End, west)?);
        let Some(start_us) = start.or(answer) else { return Err((Field::Start, "the call has no start".to_owned())) };
        let called = self.cell(record, Field::Called);
        let called = called.strip_prefix(self.strip.as_str()).unwrap_or(called);
        let b = digits(called);
        if b == 0 {
            return Err((Field::Called, format!("'{called}' has no number in it")));
        }
        let (raw, billed) = (self.length(record, Field::Duration)?, self.length(record, Field::Billed)?);
        let duration_ms = raw.or(billed).ok_or_else(|| (Field::Duration, "the call has no duration".to_owned()))?;
        let whole = |field: Field| {
            let text = self.cell(record, field);
            if text.is_empty() { Ok(None) } else { text.parse::<u32>().map(Some).map_err(|_| (field, format!("'{text}' is no whole number of seconds"))) }
        };
        let (initial_s, increment_s) = match self.cell(record, Field::Increments).split_once('/') {
            Some((a, b)) => (a.trim().parse().ok(), b.trim().parse().ok()),
            None => (whole(Field::Initial)?, whole(Field::Increment)?),
        };
        let unanswered = duration_ms == 0 || self.at.contains_key(&Field::Answer) && answer.is_none();
        Ok(Billed {
            line,
            id: self.cell(record, Field::Id).into(),
            a: digits(self.cell(record, Field::Caller)),
            b,
            start_us,
            answer_us: if unanswered { None } else { Some(answer.unwrap_or(start_us)) },
            end_us: end.unwrap_or(0),
            duration_ms,
            billed_s: billed.map(|ms| ms.div_ceil(1000)),
            rate_e12: self.money(record, Field::Rate, 12)?,
            connect_e12: self.money(record, Field::Connect, 12)?.unwrap_or(0),
            initial_s: initial_s.unwrap_or(1),
            increment_s: increment_s.unwrap_or(1),
            amount_e8: self.money(record, Field::Amount, 8)?.ok_or_else(|| (Field::Amount, "the call has no amount".to_owned()))?,
            code: self.cell(record, Field::Code).into(),
        })
    }
}
