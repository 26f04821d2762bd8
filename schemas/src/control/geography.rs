//! Documents about numbers and money that are not of one party: number tables, origin groups, surcharges, exchange rates,
//! taxes. Dates are days of UTC, `YYYY-MM-DD`; money and rates are decimal strings.

use serde::{Deserialize, Serialize};

/// Which state, LATA, company and rate centre an exchange is of. Tables of all documents count together; no
/// exchange may be in two. `file` is read where `apply` runs; its bytes travel as a deck's do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The table itself, as CSV text, instead of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<String>,
    /// Set when the document is accepted: the chunks' hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Callers that prices tell apart. Either members, or everybody with a valid number but another group's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginGroup {
    pub members: Vec<OriginMember>,
    /// A group with members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginMember {
    /// Digits the calling number starts with.
    pub prefix: String,
    /// First day of membership; none = since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// First day without; none = until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A table of surcharges by origin. Of one table at most one row applies, the narrowest; tables add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surcharge {
    pub currency: String,
    /// Decks whose prices it adds to; empty = every deck in the currency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decks: Vec<String>,
    pub rows: Vec<SurchargeRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurchargeRow {
    /// `eea`, `non-eea`, `invalid` or one of ours; none = every caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_group: Option<String>,
    /// Group the called number is of. With prefixes or destinations: any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest_group: Option<String>,
    /// Digits the called number starts with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Destination groups as the deck names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    #[serde(default = "zero")]
    pub per_minute: String,
    #[serde(default = "zero")]
    pub per_call: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `sell`, `cost`; empty = both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<String>,
}

fn zero() -> String {
    "0".to_owned()
}

/// Exchange rates by day. A pair has one rate a day, whatever the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FxRate {
    /// Who published them: `ecb`.
    pub source: String,
    pub rates: Vec<FxDay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FxDay {
    /// One unit of `base` …
    pub base: String,
    /// … is `rate` units of `quote`.
    pub quote: String,
    pub rate: String,
    pub date: String,
}

/// Taxes and regulatory charges by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// `US`, `DE` …: where the customer is.
    pub country: String,
    /// State or region; none = the whole country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub rows: Vec<TaxRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxRow {
    /// `usf`, `vat` …
    pub code: String,
    /// `percent`, `per_line` (an amount a line and month) or `share` (the assessable part of retail revenue, R-31's safe
    /// harbour; no line of its own).
    #[serde(default = "percent")]
    pub kind: String,
    /// Percent for `percent` and `share`, else an amount.
    pub rate: String,
    /// What a percentage is of: `all`, or `interstate` for the assessable part.
    #[serde(default = "all")]
    pub base: String,
    /// Not charged to a business of another member state with a valid VAT id.
    #[serde(default)]
    pub reverse_charge: bool,
    /// Not charged to a reseller with a valid certificate.
    #[serde(default)]
    pub resale_exempt: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

fn percent() -> String {
    "percent".to_owned()
}
fn all() -> String {
    "all".to_owned()
}
