//! Currencies and how finely they are paid: ISO 4217 list one (current currencies and funds) as its maintenance agency, SIX, publishes
//! it, read in November 2026. Without the codes for metals, bond units, tests and "no currency", which nothing is priced in. XDR (special
//! drawing rights) has no minor unit in the list; settlements in it are to two places.

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("'{0}' is no currency of ISO 4217: want a code of its list, as USD")]
pub struct NoCurrency(pub String);

/// Codes by the decimal places of their minor unit, sorted.
const UNITS: [(u32, &[&str]); 4] = [
    (0, &["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"]),
    (2, &[
        "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD",
        "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL",
        "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR",
        "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD",
        "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC",
        "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD", "XCD", "XCG", "XDR", "YER",
        "ZAR", "ZMW", "ZWG",
    ]),
    (3, &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]),
    (4, &["CLF", "UYW"]),
];

/// Decimal places of a currency's minor unit.
pub fn minor_units(code: &str) -> Result<u32, NoCurrency> {
    let found = UNITS.iter().find(|(_, codes)| codes.binary_search(&code).is_ok());
    found.map(|(places, _)| *places).ok_or_else(|| NoCurrency(code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_08_a_currency_has_the_minor_unit_of_iso_4217() {
        let known = ["JPY", "VND", "USD", "EUR", "KWD", "BHD", "CLF", "XDR"].map(|code| minor_units(code).expect(code));
        assert_eq!(known, [0, 0, 2, 2, 3, 3, 4, 2]);
        for bad in ["QQQ", "usd", "", "XXX", "XTS", "XAU", "EURO"] {
            assert_eq!(minor_units(bad), Err(NoCurrency(bad.to_owned())));
        }
    }

    #[test]
    fn r_08_each_code_is_in_the_list_once() {
        for (_, codes) in UNITS {
            assert!(codes.is_sorted_by(|a, b| a < b) && codes.iter().all(|c| c.len() == 3 && c.bytes().all(|b| b.is_ascii_uppercase())), "{codes:?}");
        }
        let all: usize = UNITS.iter().map(|(_, codes)| codes.len()).sum();
        let distinct: std::collections::BTreeSet<&&str> = UNITS.iter().flat_map(|(_, codes)| codes.iter()).collect();
        assert_eq!(distinct.len(), all);
    }
}
