//! Which column is which, by the names carriers give them.

use serde::{Deserialize, Serialize};

/// What a column of a carrier's sheet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Whole prefixes, or lists and ranges of them.
    Prefix,
    CountryCode,
    /// What follows the country code.
    AreaCode,
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
            "destination prefix", "breakout", "breakouts", "breakout code", "full code", "full codes", "npanxx", "npa nxx", "npanxxx", "e164",
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
        &["connect fee", "connection fee", "connect charge", "connection charge", "connect cost", "setup fee", "set up fee", "setup", "setup charge", "setup rate", "call setup fee", "flag fall", "flagfall", "call fee"],
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
        &["end", "end date", "end time", "valid to", "valid until", "valid till", "effective to", "effective until", "effective end date", "expiry", "expiry date", "expires", "expiration", "expiration date", "until", "till", "to", "to date", "gultig bis", "hasta"],
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
            "minimum length", "maximum length", "dst number min length", "dst number max length", "length", "difference", "diff", "delta", "percent", "acd", "asr", "capacity", "cli", "type", "priority", "enabled",
        ],
    ),
];

/// Words that say only what every rate is.
const FILLERS: [&str; 14] = ["per", "min", "mins", "minute", "minutes", "in", "the", "of", "sec", "secs", "seconds", "s", "a", "new"];

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

/// The currency a header or a cell names, by code or sign.
pub(crate) fn currency_in(text: &str) -> Option<&'static str> {
    let upper = text.to_uppercase();
    let words = upper.split(|c: char| !c.is_alphanumeric()).find_map(|w| CURRENCIES.iter().find(|c| **c == w));
    words.copied().or_else(|| {
        [('$', "USD"), ('€', "EUR"), ('£', "GBP")].into_iter().find(|(sign, _)| text.contains(*sign)).map(|(_, code)| code)
    })
}

/// The column a header cell names.
pub(super) fn recognise(text: &str) -> Option<Column> {
    let name = plain(text);
    let find = |name: &str| NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(column, _)| *column);
    if name.is_empty() || name.len() > 60 {
        return None;
    }
    find(&name).or_else(|| {
        let is_currency = |w: &str| CURRENCIES.iter().any(|c| c.eq_ignore_ascii_case(w)) || matches!(w, "us" | "dollar" | "dollars" | "euro" | "euros" | "cents");
        let money: Vec<&str> = name.split(' ').filter(|w| !is_currency(w)).collect();
        let bare: Vec<&str> = money.iter().copied().filter(|w| !FILLERS.contains(w)).collect();
        find(&money.join(" ")).or_else(|| find(&bare.join(" ")))
    })
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
        ] {
            let bare = header.trim_end_matches("(s)");
            assert_eq!(recognise(bare), Some(column), "{header}");
        }
        assert_eq!((recognise("Foo"), recognise("")), (None, None));
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
