//! What the columns of a file of calls are, and a row read by them.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use rust_decimal::{Decimal, RoundingStrategy};
use tollgate_schemas::money::parse_scaled;

use super::{
    Billed,
    decimals::signs,
    layout::{FileProblem, Mapping, Problems, plain},
    money::Currency,
    numbers::digits,
    time_text::{self, DateOrder, duration_ms},
};
use crate::sheet::{DecimalSign, currency_in};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Field {
    Id, Caller, Called, Start, Answer, End, Date, Time, Duration, Billed, Rate, Amount, Code, Connect, Initial, Increment, Increments, Status, MinutesWest,
    Currency,
    /// Of our own files.
    RecordType, Party, Attempts,
}

/// What only our own files are asked for.
const OWN: [Field; 3] = [Field::RecordType, Field::Party, Field::Attempts];
/// Numbers that may have a decimal sign.
const NUMBERS: [Field; 5] = [Field::Duration, Field::Billed, Field::Rate, Field::Amount, Field::Connect];

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
    (Field::Currency, "currency", &["costcurrency", "currency", "currencycode", "billingcurrency", "chargecurrency", "cur", "ccy", "curr"]),
    (Field::RecordType, "record_type", &["recordtype"]),
    (Field::Party, "party", &["carrier", "vendor", "supplier"]),
    (Field::Attempts, "attempts_total", &["attemptstotal"]),
];

pub(super) struct Columns {
    at: BTreeMap<Field, usize>,
    pub names: Vec<String>,
    zone: Tz,
    order: DateOrder,
    duration_ms: bool,
    minutes: bool,
    signs: BTreeMap<Field, DecimalSign>,
    strip: String,
    /// Of rows that name none.
    currency: Currency,
}

/// Words of a header without a currency, and that currency: `Amount (EUR)`.
fn without_currency(header: &str) -> (String, Option<&'static str>) {
    let currency = currency_in(header);
    let words = header.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| currency.is_none_or(|code| !w.eq_ignore_ascii_case(code)));
    (plain(&words.collect::<String>()), currency)
}

impl Columns {
    /// `own`: of our own CDRs, whose record type, party and attempts count.
    pub fn find(header: Vec<String>, mapping: &Mapping, delimiter: u8, rows: &[csv::StringRecord], own: bool) -> Result<Columns, Problems> {
        let mut problems = Problems::default();
        let mut wrong = |problem: String| problems.push(FileProblem { line: 1, column: String::new(), problem });
        let plain_header: Vec<String> = header.iter().map(|h| plain(h)).collect();
        let bare_header: Vec<(String, Option<&'static str>)> = header.iter().map(|h| without_currency(h)).collect();
        let mut at = BTreeMap::new();
        for (field, name, synonyms) in NAMES.iter().filter(|(f, ..)| own || !OWN.contains(f)) {
            if let Some(file) = mapping.columns.get(*name) {
                match plain_header.iter().position(|h| *h == plain(file)) {
                    Some(column) => drop(at.insert(*field, column)),
                    None => wrong(format!("the mapping says '{name}' is the column '{file}', and there is none; there are {}", header.join(", "))),
                }
                continue;
            }
            let named = if mapping.header.is_empty() { None } else { plain_header.iter().position(|h| *h == plain(name)) };
            let found = named.or_else(|| synonyms.iter().find_map(|s| plain_header.iter().position(|h| h == s)));
            let with_currency = || synonyms.iter().find_map(|s| bare_header.iter().position(|h| h.0 == *s && h.1.is_some()));
            let found = found.or_else(|| with_currency().filter(|_| NUMBERS.contains(field)));
            if let Some(first) = found.filter(|_| *field == Field::Amount) {
                let other = bare_header.iter().enumerate().find(|(i, h)| *i != first && h.1.is_some() && h.0 == bare_header[first].0);
                if let Some((i, _)) = other {
                    wrong(format!("the columns '{}' and '{}' are both amounts: say in a mapping which is meant (columns: {{amount: …}})", header[first], header[i]));
                }
            }
            if let Some(column) = found.filter(|c| !at.values().any(|taken| taken == c)) {
                at.insert(*field, column);
            }
        }
        let known: Vec<&str> = NAMES.iter().filter(|(f, ..)| own || !OWN.contains(f)).map(|(_, name, _)| *name).collect();
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
        let of_header = at.get(&Field::Amount).and_then(|c: &usize| bare_header[*c].1).and_then(Currency::of);
        let of_mapping = mapping.currency.as_deref().map(|c| Currency::of(c).unwrap_or_else(|| {
            wrong(format!("currency '{c}' of the mapping: want three letters, as USD"));
            Currency::default()
        }));
        let numbers: Vec<(Field, usize)> = NUMBERS.iter().filter_map(|f| Some((*f, *at.get(f)?))).collect();
        let signs = signs(&header, rows, &numbers.iter().map(|(_, at)| *at).collect::<Vec<_>>(), mapping.decimal_comma, delimiter == b';', mapping.skip_lines as u64);
        let signs = signs.map_err(|all| all.into_iter().for_each(|p| problems.push(p))).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_ms = unit == "milliseconds" || unit.is_empty() && at.get(&Field::Duration).is_some_and(|c| plain_header[*c] == "durationms");
        let signs = numbers.into_iter().map(|(field, _)| field).zip(signs).collect();
        let currency = of_header.or(of_mapping).unwrap_or_default();
        Ok(Columns { at, names: header, zone, order: order.unwrap_or(DateOrder::Ymd), duration_ms: is_ms, minutes: unit == "minutes", signs, strip: mapping.strip_prefix.clone(), currency })
    }

    pub fn name(&self, field: Field) -> String {
        self.at.get(&field).map_or_else(String::new, |at| self.names[*at].clone())
    }

    pub fn has(&self, field: Field) -> bool {
        self.at.contains_key(&field)
    }

    pub fn cell<'r>(&self, record: &'r csv::StringRecord, field: Field) -> &'r str {
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
        let wrong = || (field, format!("'{text}' is no duration"));
        if text.contains(':') {
            return duration_ms(text).map(Some).ok_or_else(wrong);
        }
        let lower = text.to_ascii_lowercase();
        let bare = ["seconds", "secs", "sec", "s"].iter().find_map(|unit| lower.strip_suffix(unit)).map_or(text, |bare| &text[..bare.len()]);
        let (number, currency) = self.decimal(bare, field);
        let micros = number.filter(|_| currency.is_none()).and_then(|n| parse_scaled(&n, 6).ok()).map(i128::from).ok_or_else(wrong)?;
        let ms = match (self.duration_ms && field == Field::Duration, self.minutes) {
            (true, _) => micros / 1_000_000,
            (_, true) => (micros * 60 + 500) / 1000,
            _ => micros / 1000,
        };
        u64::try_from(ms).map(Some).map_err(|_| wrong())
    }

    fn decimal(&self, text: &str, field: Field) -> (Option<String>, Option<&'static str>) {
        crate::sheet::decimal(text, self.signs.get(&field).copied().unwrap_or(DecimalSign::Point))
    }

    /// An amount, and the currency its cell names.
    fn money(&self, record: &csv::StringRecord, field: Field, places: u32) -> Result<Option<(i64, Option<&'static str>)>, (Field, String)> {
        let text = self.cell(record, field);
        if text.is_empty() {
            return Ok(None);
        }
        let sign = if self.signs.get(&field) == Some(&DecimalSign::Comma) { ',' } else { '.' };
        let (number, currency) = self.decimal(text, field);
        let number = number.ok_or_else(|| (field, format!("'{text}' is no number with '{sign}' as decimal sign (decimal_comma of a mapping says otherwise)")))?;
        // What is left of a calculation beyond the last place that is counted.
        let cut = number.split_once('.').filter(|(_, f)| f.len() > places as usize).and_then(|_| number.parse::<Decimal>().ok());
        let number = cut.map_or(number, |n| n.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero).to_string());
        parse_scaled(&number, places).map(|n| Some((n, currency))).map_err(|e| (field, e.to_string()))
    }

    /// The row's: its column's, its amount's own, the header's or mapping's.
    fn currency(&self, record: &csv::StringRecord, in_amount: Option<&'static str>, amount: &str) -> Result<Currency, (Field, String)> {
        let said = self.cell(record, Field::Currency);
        // A dollar sign is of many dollars.
        let of_dollar = |code: Currency| amount.contains('$') && !amount.contains(char::is_alphabetic) && code.code().ends_with('D');
        if said.is_empty() && of_dollar(self.currency) {
            return Ok(self.currency);
        }
        if said.is_empty() {
            return Ok(in_amount.and_then(Currency::of).unwrap_or(self.currency));
        }
        let upper = said.to_uppercase();
        let code = Currency::of(&upper).or_else(|| currency_in(said).and_then(Currency::of));
        let code = code.ok_or_else(|| (Field::Currency, format!("'{said}' is not a currency: want three letters, as USD")))?;
        match in_amount.and_then(Currency::of).filter(|c| *c != code && !of_dollar(code)) {
            Some(other) => Err((Field::Currency, format!("the row is in {said}, and its amount '{amount}' in {}", other.code()))),
            None => Ok(code),
        }
    }

    /// None: a row that is of no call, with nothing to pay and no number.
    pub fn call(&self, record: &csv::StringRecord, line: u64) -> Result<Option<Billed>, (Field, String)> {
        let west = match self.cell(record, Field::MinutesWest) {
            "" => None,
            text => Some(text.parse::<i64>().map_err(|_| (Field::MinutesWest, format!("'{text}' is no number of minutes")))?),
        };
        let (start, answer, end) = (self.moment(record, Field::Start, west)?, self.moment(record, Field::Answer, west)?, self.moment(record, Field::End, west)?);
        let Some(start_us) = start.or(answer) else { return Err((Field::Start, "the call has no start".to_owned())) };
        let called = self.cell(record, Field::Called);
        let called = called.strip_prefix(self.strip.as_str()).unwrap_or(called);
        let b = digits(called);
        let nothing = |field: Field| matches!(self.cell(record, field).trim_matches(['0', '.', ',']), "");
        if b == 0 && [Field::Duration, Field::Billed, Field::Amount].into_iter().all(nothing) {
            return Ok(None);
        }
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
        let (amount_e8, in_amount) = self.money(record, Field::Amount, 8)?.ok_or_else(|| (Field::Amount, "the call has no amount".to_owned()))?;
        let currency = self.currency(record, in_amount, self.cell(record, Field::Amount))?;
        let unanswered = duration_ms == 0 || self.at.contains_key(&Field::Answer) && answer.is_none();
        Ok(Some(Billed {
            line,
            id: self.cell(record, Field::Id).into(),
            a: digits(self.cell(record, Field::Caller)),
            b,
            start_us,
            answer_us: if unanswered { None } else { Some(answer.unwrap_or(start_us)) },
            end_us: end.unwrap_or(0),
            duration_ms,
            billed_s: billed.map(|ms| ms.div_ceil(1000)),
            rate_e12: self.money(record, Field::Rate, 12)?.map(|m| m.0),
            connect_e12: self.money(record, Field::Connect, 12)?.map_or(0, |m| m.0),
            initial_s: initial_s.unwrap_or(1),
            increment_s: increment_s.unwrap_or(1),
            amount_e8,
            currency,
            code: self.cell(record, Field::Code).into(),
        }))
    }
}
