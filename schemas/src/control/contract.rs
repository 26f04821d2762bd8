//! What an account agreed beside its prices, and where it is taxed.

use serde::{Deserialize, Serialize};

/// Terms over a period of an account's own calls, dated. An account has at most one contract at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    pub account: String,
    /// ISO 4217 of its invoices; calls in another are converted at the rate of their answer's day.
    pub currency: String,
    /// First day, in the invoice's zone; none = since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// First day without it; none = until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What its amounts are for, and its invoices cover: `month`, `half_month` (to the 15th, from the 16th), `week` (from Monday), or
    /// `invoice`, whatever period an invoice has.
    #[serde(default = "month")]
    pub cycle: String,
    /// In a cycle that its first or last day cuts: `prorate` commitment, prices and minutes of bundles by days, or `full`.
    #[serde(default = "prorate")]
    pub partial: String,
    /// Least that calls come to, after bundles and tiers; none = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Bundle>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Fee for too many short calls; none = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_calls: Option<ShortCallPolicy>,
}

/// Minutes of a cycle that are paid for by a price of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub name: String,
    pub minutes: u64,
    /// Of a cycle.
    #[serde(default = "zero")]
    pub price: String,
    /// Destination groups as the deck names them; with `prefixes` both empty = everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// The highest is drawn first; of equals the first in the list.
    #[serde(default)]
    pub weight: i32,
}

/// Volume tiers over a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    pub name: String,
    /// `incremental`: a step prices the volume inside it; `whole_volume`: the step reached prices everything. Never assumed.
    pub mode: String,
    /// What steps count: `minutes`, or `amount` in units of the currency.
    pub basis: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    pub steps: Vec<VolumeStep>,
}

/// A step: `rate` or `discount_pct`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeStep {
    /// Minutes or units of the currency; the first step is from 0.
    pub from: u64,
    /// Instead of what the deck charged, per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Off what the deck charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_pct: Option<String>,
}

/// counted over connected calls by their answers, in the UTC days of the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShortCallPolicy {
    /// A call up to so long is short.
    pub max_s: u32,
    /// Share of short calls that is allowed.
    pub allowance_pct: String,
    /// Per call charged.
    pub fee: String,
    /// `all` short calls of a breach, or the `excess` over the allowance.
    pub charge: String,
    /// Fewer connected calls are not judged.
    pub min_calls: u64,
}

impl Default for ShortCallPolicy {
    fn default() -> ShortCallPolicy {
        ShortCallPolicy { max_s: 6, allowance_pct: "15".to_owned(), fee: "0.01".to_owned(), charge: "all".to_owned(), min_calls: 0 }
    }
}

/// Where an account is taxed and as what. The tables are documents of kind `tax`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxProfile {
    /// ISO 3166 of who sells.
    pub seller_country: String,
    /// Their shares are 100 percent together.
    pub places: Vec<TaxPlace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat_id: Option<String>,
    /// Day the VAT id was checked and found valid; none = it was not, and VAT is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat_id_checked: Option<String>,
    /// Number of a reseller's certificate; stands before the day `certificate_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<String>,
    /// Interstate and international part of the revenue by traffic study; none = the safe harbour of the tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interstate_pct: Option<String>,
}

/// A place a part of the revenue is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxPlace {
    /// ISO 3166.
    pub country: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of the invoice's revenue.
    #[serde(default = "hundred")]
    pub share_pct: String,
    /// Lines there, for charges per line.
    #[serde(default)]
    pub lines: u32,
}

fn month() -> String {
    "month".to_owned()
}
fn prorate() -> String {
    "prorate".to_owned()
}
fn zero() -> String {
    "0".to_owned()
}
fn hundred() -> String {
    "100".to_owned()
}
