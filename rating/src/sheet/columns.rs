//! Which column is which, by the names carriers give them.

use serde::{Deserialize, Serialize};

use super::{mapping::EndDay, units::PRICES};

/// What a column of a carrier's sheet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Whole prefixes, or lists and ranges of them.
    Prefix,
    CountryCode,
    /// What follows the country code.
    AreaCode,
    /// North America's area code, without the country's 1.
    Npa,
    /// The exchange after it.
    Nxx,
    Destination,
    /// Its name, before the destination's.
    Country,
    /// Per minute.
    Rate,
    Interrate,
    Intrarate,
    Ijrate,
    ConnectFee,
    Initial,
    Increment,
    /// `60/60` in one cell, or one number for both.
    Increments,
    EffectiveFrom,
    EffectiveTo,
    Currency,
    /// New, increased, decreased, unchanged, closed, blocked.
    Change,
    Blocked,
    PreviousRate,
    OriginGroup,
    RouteClass,
    /// Rates of other times: refused where they differ from the rate.
    OffPeak,
    Weekend,
    /// Known, and of no use here.
    Ignored,
}

impl Column {
    pub(super) const COUNT: usize = Column::Ignored as usize + 1;

    pub fn name(self) -> &'static str {
        match self {
            Column::Prefix => "prefix",
            Column::CountryCode => "country_code",
            Column::AreaCode => "area_code",
            Column::Npa => "npa",
            Column::Nxx => "nxx",
            Column::Destination => "destination",
            Column::Country => "country",
            Column::Rate => "rate",
            Column::Interrate => "interrate",
            Column::Intrarate => "intrarate",
            Column::Ijrate => "ijrate",
            Column::ConnectFee => "connect_fee",
            Column::Initial => "initial",
            Column::Increment => "increment",
            Column::Increments => "increments",
            Column::EffectiveFrom => "effective_from",
            Column::EffectiveTo => "effective_to",
            Column::Currency => "currency",
            Column::Change => "change",
            Column::Blocked => "blocked",
            Column::PreviousRate => "previous_rate",
            Column::OriginGroup => "origin_group",
            Column::RouteClass => "route_class",
            Column::OffPeak => "off_peak",
            Column::Weekend => "weekend",
            Column::Ignored => "ignored",
        }
    }
}

/// Names by column, as [`plain`] leaves them. What carriers, switches and billing systems write.
const NAMES: &[(Column, &[&str])] = &[
    (
        Column::Prefix,
        &[
            "code", "codes", "prefix", "prefixes", "dial code", "dial codes", "dialcode", "dialcodes", "dialling code", "dialing code",
            "dialling codes", "dialing codes", "dial prefix", "dialprefix", "destination code", "destination codes", "dest code", "dst prefix",
            "destination prefix", "breakout", "breakouts", "breakout code", "full code", "full codes", "npanxx", "npa nxx", "npanxxx", "npanxxs", "npa nxx x", "e164",
            "e 164", "e164 code", "e 164 code", "digits", "dialed digits", "dialled digits", "number prefix", "route code", "dnis", "vorwahl", "rufnummer",
            "prefijo", "codigo", "prefixe", "indicatif", "prefisso", "prefixo", "kod",
        ],
    ),
    (
        Column::CountryCode,
        &["country code", "country codes", "cc", "ctry code", "country dial code", "country prefix", "international code", "landesvorwahl", "codigo pais", "indicatif pays"],
    ),
    (
        Column::AreaCode,
        &["area code", "area codes", "city code", "city codes", "area", "ac", "ndc", "national code", "national codes", "region code", "local code", "ortsvorwahl", "codigo area"],
    ),
    (Column::Npa, &["npa", "npas", "npa code"]),
    (Column::Nxx, &["nxx", "nxxs", "nxx code", "co code", "central office code", "exchange code"]),
    (
        Column::Destination,
        &[
            "destination", "destinations", "destination name", "dest", "dest name", "destination group", "destination description", "description", "zone", "zone name",
            "region", "breakout name", "location", "area name", "code name", "route", "route name", "network", "name", "ziel", "zielname", "destino", "destinazione",
        ],
    ),
    (Column::Country, &["country", "country name", "land", "pais", "pays", "paese"]),
    (
        Column::Rate,
        &[
            "rate", "rates", "price", "prices", "new rate", "new price", "cost", "buy rate", "sell rate", "tariff", "peak", "peak rate", "day rate", "unit price",
            "charge", "standard rate", "std rate", "voice rate", "termination rate", "final rate", "rpm", "ppm", "preis", "tarif", "tarifa", "precio", "prix", "tariffa", "prezzo", "preco",
        ],
    ),
    (Column::Interrate, &["interstate", "inter", "inter rate", "interstate rate", "interrate", "rate interstate", "rate inter", "inter state", "inter state rate", "new interstate rate"]),
    (Column::Intrarate, &["intrastate", "intra", "intra rate", "intrastate rate", "intrarate", "rate intrastate", "rate intra", "intra state", "intra state rate", "new intrastate rate"]),
    (
        Column::Ijrate,
        &["indeterminate", "indeterminate rate", "indeterm", "indeterm rate", "ij", "ij rate", "ijrate", "rate indeterminate", "rate ij", "undetermined", "undetermined rate", "unknown jurisdiction rate", "indeterminate jurisdiction"],
    ),
    (
        Column::ConnectFee,
        &[
            "connect fee", "connection fee", "connect charge", "connection charge", "connect cost", "setup fee", "set up fee", "setup", "setup charge", "setup rate", "call setup fee", "flag fall", "flagfall", "call fee",
            "call setup", "call setup charge", "call setup price", "price per call", "rate per call", "charge per call", "cost per call", "fee per call", "per call",
        ],
    ),
    (
        Column::Initial,
        &[
            "initial", "initial increment", "initial interval", "initial period", "initial duration", "initial billing time", "initial seconds", "first interval", "first increment", "first period", "1st interval",
            "1st increment", "interval 1", "min", "minimum", "min duration", "minimum duration", "min time", "minimum time", "min charge duration", "mindur", "duration", "init", "minimum seconds", "min seconds",
        ],
    ),
    (
        Column::Increment,
        &[
            "increment", "next increment", "next interval", "next period", "next", "subsequent", "subsequent increment", "subsequent interval", "sub increment", "additional increment",
            "incremental", "interval n", "2nd interval", "2nd increment", "step", "increment seconds", "additional period",
        ],
    ),
    (
        Column::Increments,
        &[
            "increments", "billing increment", "billing increments", "billing", "billing terms", "billing unit", "billing units", "billing interval", "billing cycle", "billing step", "charging", "charging interval",
            "charging unit", "interval", "intervals", "pulse", "rounding", "increment rule", "unit", "takt", "taktung", "abrechnungstakt", "initial increment subsequent increment", "min inc", "min increment", "minimum increment",
        ],
    ),
    (
        Column::EffectiveFrom,
        &[
            "effective", "effective date", "effective from", "eff date", "effdate", "eff", "date effective", "effective on", "effective start date", "rate effective date", "effective datetime", "valid from", "valid since",
            "start", "start date", "start time", "from", "from date", "activation date", "begin date", "date", "in effect", "new effective date", "gultig ab", "valido desde", "desde", "date d effet", "a partir du", "data inizio",
        ],
    ),
    (
        Column::EffectiveTo,
        &[
            "end", "end date", "end time", "valid to", "valid until", "valid till", "effective to", "effective until", "effective end date", "expiry", "expiry date", "expires", "expiration", "expiration date", "until", "till", "to", "to date", "gultig bis", "hasta",
            "effective till", "effective through", "effective to date", "effective until date", "effective till date", "valid through", "valid thru", "valid to date", "valid until date", "valid till date", "through", "thru",
            "rate end date", "last day", "last date", "valido hasta",
            // Of which nobody can say without asking whether the day itself is meant ([`ends_by`]).
            "discontinue date", "discontinued", "discontinued date", "discontinued on", "discontinuation date", "termination date", "withdrawal date", "close date", "closing date", "closed date", "stop date", "deactivation date",
            "disconnect date",
        ],
    ),
    (Column::Currency, &["currency", "currency code", "curr", "ccy", "cur", "wahrung", "moneda", "devise", "valuta"]),
    (
        Column::Change,
        &["change", "changes", "change status", "change type", "type of change", "change indicator", "status", "code status", "rate status", "rate change", "price change", "action", "indicator", "inc dec", "increase decrease", "tendency", "trend", "anderung"],
    ),
    (Column::Blocked, &["blocked", "block", "is blocked", "barred", "forbidden"]),
    (Column::PreviousRate, &["previous rate", "previous price", "previous", "prev rate", "old rate", "old price", "last rate", "current rate", "current price", "previous interstate rate"]),
    (Column::OriginGroup, &["origin", "origins", "origin group", "origin code", "origin zone", "origin name", "origin region", "source code", "source", "originating country", "origination", "ani group", "a number origin", "a number group", "caller origin"]),
    (Column::RouteClass, &["route class", "class", "quality", "route type", "product", "service", "grade", "route quality", "level"]),
    (Column::OffPeak, &["off peak", "off peak rate", "offpeak", "offpeak rate", "evening", "evening rate", "night", "night rate"]),
    (Column::Weekend, &["weekend", "weekend rate", "week end", "holiday", "holiday rate"]),
    (
        Column::Ignored,
        &[
            "note", "notes", "comment", "comments", "remark", "remarks", "lata", "ocn", "iso", "iso code", "mcc", "mnc", "mccmnc", "mcc mnc", "state", "lerg", "id", "no", "row", "min length", "max length", "min digits", "max digits",
            "minimum length", "maximum length", "dst number min length", "dst number max length", "length", "difference", "diff", "delta", "percent", "acd", "asr", "capacity", "cli", "type", "priority", "rate difference", "rate diff", "price difference", "price diff", "change percent", "percent change", "rate change percent", "price change percent", "rate id", "tariff id", "price list", "rate sheet", "tariff name", "rate name", "rate plan", "rate plan name", "rate table", "price plan", "tariff plan",
        ],
    ),
];

/// Words that say only what every rate is.
const FILLERS: [&str; 14] = ["per", "min", "mins", "minute", "minutes", "in", "the", "of", "sec", "secs", "seconds", "s", "a", "new"];

/// Words of what a price is in ([`super::units`]).
const UNITS: [&str; 27] = [
    "cent", "cents", "ct", "cts", "eurocent", "eurocents", "uscent", "uscents", "usc", "pence", "penny", "pennies", "c", "p", "mils", "mills", "second", "sek", "sekunde", "segundo", "seconde", "60sec", "60s", "1sec", "1s", "hour", "pro",
];

/// Currencies met in headers and cells; others are taken from a currency column only.
pub(super) const CURRENCIES: [&str; 32] = [
    "USD", "EUR", "GBP", "CHF", "CAD", "AUD", "JPY", "INR", "SEK", "NOK", "DKK", "PLN", "ZAR", "BRL", "MXN", "AED", "SGD", "HKD", "CNY", "TRY", "CZK", "HUF", "RON", "ILS", "NZD", "THB", "MYR", "IDR", "PHP", "KES", "NGN",
    "RUB",
];

/// A header cell's words: lower case, no accents, no punctuation.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        let c = match c {
            'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ó' | 'ò' | 'ô' | 'ö' | 'õ' => 'o',
            'ú' | 'ù' | 'û' | 'ü' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            // A decomposed accent, as after NFD.
            '\u{300}'..='\u{36f}' => continue,
            c if c.is_alphanumeric() => c,
            '$' => ' ',
            _ => ' ',
        };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

/// The currency a header or a cell names, by code, sign or what a hundredth of it is called.
pub(crate) fn currency_in(text: &str) -> Option<&'static str> {
    let upper = text.to_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let code = words.iter().find_map(|w| CURRENCIES.iter().find(|c| *c == w).copied());
    let coin = || {
        words.iter().enumerate().find_map(|(at, w)| match (*w, at.checked_sub(1).map(|b| words[b])) {
            ("PENCE" | "PENNY", _) => Some("GBP"),
            ("EUROCENT" | "EUROCENTS" | "EURO" | "EUROS", _) => Some("EUR"),
            ("USCENT" | "USCENTS" | "USC", _) | ("CENT" | "CENTS" | "CTS" | "DOLLAR" | "DOLLARS", Some("US")) => Some("USD"),
            _ => None,
        })
    };
    code.or_else(coin).or_else(|| {
        let at = text.find(['$', '€', '£'])?;
        match text[at..].chars().next() {
            Some('€') => Some("EUR"),
            Some('£') => Some("GBP"),
            // Dollars of which country; of none that is named, the United States'.
            _ => {
                let before: String = upper.split('$').next().unwrap_or("").chars().rev().take_while(|c| c.is_alphabetic()).collect();
                match before.chars().rev().collect::<String>().as_str() {
                    "" | "US" => Some("USD"),
                    "C" | "CA" | "CAN" => Some("CAD"),
                    "A" | "AU" => Some("AUD"),
                    "NZ" => Some("NZD"),
                    "S" | "SG" => Some("SGD"),
                    "HK" => Some("HKD"),
                    "MX" => Some("MXN"),
                    "R" => Some("BRL"),
                    _ => None,
                }
            }
        }
    })
}

/// Whether a name of [`Column::EffectiveTo`] says the last day, or none: then the mapping says it.
pub(super) fn ends_by(header: &str) -> Option<EndDay> {
    // Our own form, whose ends are the first instant without.
    if header.trim() == "effective_to" {
        return Some(EndDay::Excluded);
    }
    let name = plain(header);
    let asked = ["discontinu", "terminat", "withdraw", "clos", "stop", "deactivat", "disconnect"].iter().any(|w| name.starts_with(w));
    (!asked).then_some(EndDay::Included)
}

/// Words of a header that make a column matter to what a call costs or until when, in which of ours none says it.
const WEIGHTY: [&str; 50] = [
    "rate", "rates", "price", "prices", "cost", "costs", "fee", "fees", "charge", "charges", "surcharge", "surcharges", "tariff", "tax", "vat", "discount", "deposit", "penalty", "minimum", "min", "maximum", "max", "end", "ends", "ending",
    "till", "until", "through", "expiry", "expires", "expiration", "valid", "validity", "discontinue", "discontinued", "termination", "withdrawn", "locked", "lock", "enabled", "disabled", "active", "inactive", "effective", "increment", "increments",
    "interval", "commitment", "volume", "setup",
];

/// Whether a header that names no column may not be passed over in silence.
pub(super) fn is_weighty(header: &str) -> bool {
    plain(header).split(' ').any(|w| WEIGHTY.contains(&w))
}

/// What such a column says that changes nothing. `header`: of `Enabled` and its like yes changes nothing, of others no.
pub(super) fn is_neutral(header: &str, text: &str) -> bool {
    let (name, text) = (plain(header), text.trim().to_lowercase());
    let zero = !text.is_empty() && text.chars().all(|c| matches!(c, '0' | '.' | ',' | '-' | '$' | '€' | '£' | '%' | ' ')) && text.contains('0');
    match text.as_str() {
        "" | "-" | "–" | "n/a" | "none" => true,
        _ if name.split(' ').any(|w| matches!(w, "enabled" | "active")) => matches!(text.as_str(), "yes" | "y" | "true" | "1" | "enabled" | "active"),
        _ => zero || matches!(text.as_str(), "no" | "n" | "false"),
    }
}

/// The column a header cell names.
pub(super) fn recognise(text: &str) -> Option<Column> {
    let name = plain(text);
    let find = |name: &str| NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(column, _)| *column);
    if name.is_empty() || name.len() > 60 {
        return None;
    }
    // `Pence per minute`, `EUR/min`: money by time, and no other word.
    let by_time = || {
        let words: Vec<&str> = name.split(' ').collect();
        let money = |w: &&str| CURRENCIES.iter().any(|c| c.eq_ignore_ascii_case(w)) || (UNITS[..12].contains(w));
        let time = |w: &&str| matches!(*w, "min" | "minute" | "mins" | "minutes" | "sec" | "second");
        let all = words.iter().all(|w| money(w) || time(w) || matches!(*w, "per" | "us" | "euro"));
        (all && words.iter().any(money) && words.iter().any(time)).then_some(Column::Rate)
    };
    let found = find(&name).or_else(by_time).or_else(|| {
        let is_currency = |w: &str| CURRENCIES.iter().any(|c| c.eq_ignore_ascii_case(w)) || matches!(w, "us" | "dollar" | "dollars" | "euro" | "euros");
        let money: Vec<&str> = name.split(' ').filter(|w| !is_currency(w)).collect();
        let bare: Vec<&str> = money.iter().copied().filter(|w| !FILLERS.contains(w)).collect();
        let words: Vec<&str> = bare.iter().copied().filter(|w| !UNITS.contains(w) && !w.bytes().all(|b| b.is_ascii_digit())).collect();
        let priced = |found: Column| PRICES.contains(&found).then_some(found);
        find(&money.join(" ")).or_else(|| find(&bare.join(" "))).or_else(|| find(&words.join(" ")).and_then(priced))
    });
    // `Min charge`, `Max rate`: limits of what a call costs, and no price of a minute.
    let limit = name.starts_with("min ") || name.starts_with("max ");
    found.filter(|column| !limit || !PRICES.contains(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_columns_are_known_by_the_names_carriers_give_them() {
        for (header, column) in [
            ("Dial Code", Column::Prefix), ("NPA-NXX", Column::Prefix), ("E.164", Column::Prefix), ("Country Code", Column::CountryCode),
            ("Area Code(s)", Column::AreaCode), ("Rate (USD/min)", Column::Rate), ("Price per Minute in EUR", Column::Rate), ("New Rate", Column::Rate),
            ("RATE", Column::Rate), ("US$ Rate", Column::Rate), ("Préfixe", Column::Prefix), ("Gültig ab", Column::EffectiveFrom), ("Inter-State Rate", Column::Interrate),
            ("interrate", Column::Interrate), ("ij rate", Column::Ijrate), ("Setup Fee (EUR)", Column::ConnectFee), ("initial billing time", Column::Initial),
            ("Billing Increment", Column::Increments), ("Next Interval (sec)", Column::Increment), ("Min.", Column::Initial), ("Effective Date", Column::EffectiveFrom),
            ("Previous Rate", Column::PreviousRate), ("Change status", Column::Change), ("Origin", Column::OriginGroup), ("Off-Peak", Column::OffPeak), ("Min length", Column::Ignored),
            ("Rate (cents/min)", Column::Rate), ("Rate in US cents", Column::Rate), ("Rate per second", Column::Rate), ("Price/s", Column::Rate), ("Rate per 60 sec", Column::Rate), ("Pence per minute", Column::Rate), ("EUR/min", Column::Rate), ("Call Setup", Column::ConnectFee),
            ("Price per call", Column::ConnectFee), ("Effective Till", Column::EffectiveTo), ("Discontinue Date", Column::EffectiveTo), ("NPA", Column::Npa), ("NXX", Column::Nxx),
        ] {
            let bare = header.trim_end_matches("(s)");
            assert_eq!(recognise(bare), Some(column), "{header}");
        }
        assert_eq!((recognise("Foo"), recognise("")), (None, None));
        // Money, terms and ends that have no column here are asked about; notes are not.
        for header in ["Minimum Charge", "Min charge", "Surcharge", "Next rate", "Access Fee", "Locked", "Enabled", "Max price"] {
            assert!(recognise(header).is_none() && is_weighty(header), "{header}");
        }
        assert!(!is_weighty("Comment") && !is_weighty("Foo") && !is_weighty("Last updated"));
        for (header, text, neutral) in [("Surcharge", "0.00", true), ("Surcharge", "0.01", false), ("Locked", "No", true), ("Locked", "yes", false), ("Enabled", "yes", true), ("Enabled", "no", false), ("Next rate", "-", true), ("Next rate", "", true)] {
            assert_eq!(is_neutral(header, text), neutral, "{header} {text}");
        }
        for (header, by) in [("effective_to", Some(EndDay::Excluded)), ("Valid until", Some(EndDay::Included)), ("End date", Some(EndDay::Included)), ("Effective To", Some(EndDay::Included)), ("Discontinue Date", None)] {
            assert_eq!(ends_by(header), by, "{header}");
        }
        assert_eq!((currency_in("Rate (A$)"), currency_in("HK$ 1"), currency_in("X$1"), currency_in("Rate (US cents)"), currency_in("pence"), currency_in("US$0.01")), (Some("AUD"), Some("HKD"), None, Some("USD"), Some("GBP"), Some("USD")));
        assert_eq!((currency_in("Rate (EUR)"), currency_in("$0.01"), currency_in("usd/min"), currency_in("Eurasia")), (Some("EUR"), Some("USD"), Some("USD"), None));
    }

    #[test]
    fn no_name_stands_for_two_columns() {
        let all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for (at, name) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(name), "{name}");
            assert_eq!(plain(name), *name);
        }
    }
}
