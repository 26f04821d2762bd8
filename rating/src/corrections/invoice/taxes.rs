//! An invoice's taxes by the tables: as whom the customer is taxed, where, on which day, and the rows that were in force
//! then. The invoice keeps all of it, so that a note charges what the invoice did whatever the tables say by then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_schemas::{
    control,
    money::{format_amount, format_scaled, parse_scaled, round_ratio},
    time::parse_rfc3339,
    v1::Rounding,
};

use super::{Line, Section, TaxOf};
use crate::tax::{TaxEngine, TaxError, TaxLine, TaxQuery, TaxTables};

/// 100 percent, in millionths.
const WHOLE_E6: i64 = 1_000_000;

/// What an invoice's taxes rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxBasis {
    pub profile: control::TaxProfile,
    /// `yyyy-mm-dd`.
    pub supplied: String,
    /// By name, their rows of that day only.
    pub tables: BTreeMap<String, control::Tax>,
}

fn midnight_us(day: &str) -> Option<i64> {
    parse_rfc3339(&format!("{day}T00:00:00Z")).ok()
}

fn holds(row: &control::TaxRow, day: &str) -> bool {
    // Days of one form compare as text.
    row.from.as_deref().is_none_or(|from| from <= day) && row.until.as_deref().is_none_or(|until| day < until)
}

fn percent_e6(text: &str) -> Option<i64> {
    parse_scaled(text, 4).ok().filter(|p| (0..=WHOLE_E6).contains(p))
}

impl TaxBasis {
    /// What is wrong with a profile, each with its path.
    pub fn check(profile: &control::TaxProfile) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut country = |path: String, text: &str| {
            if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
                wrong.push((path, format!("'{text}' is not a country: want two letters, as DE")));
            }
        };
        country("seller_country".to_owned(), &profile.seller_country);
        profile.places.iter().enumerate().for_each(|(i, p)| country(format!("places[{i}].country"), &p.country));
        let shares: Vec<Option<i64>> = profile.places.iter().map(|p| percent_e6(&p.share_pct)).collect();
        for (i, _) in shares.iter().enumerate().filter(|(_, s)| s.is_none()) {
            wrong.push((format!("places[{i}].share_pct"), format!("'{}' is no share: want 0 to 100 percent", profile.places[i].share_pct)));
        }
        let sum: i64 = shares.iter().flatten().sum();
        if !shares.contains(&None) && sum != WHOLE_E6 {
            wrong.push(("places".to_owned(), format!("their shares are {} percent together: want 100", format_scaled(sum, 4, 0))));
        }
        for (path, day) in [("vat_id_checked", &profile.vat_id_checked), ("certificate_until", &profile.certificate_until)] {
            if let Some(text) = day.as_ref().filter(|d| midnight_us(d).is_none()) {
                wrong.push((path.to_owned(), format!("'{text}' is no day: want YYYY-MM-DD")));
            }
        }
        if profile.certificate.is_some() && profile.certificate_until.is_none() {
            wrong.push(("certificate_until".to_owned(), "a certificate stands until some day: say which".to_owned()));
        }
        if profile.certificate.is_none() && profile.certificate_until.is_some() {
            wrong.push(("certificate".to_owned(), "say the number of the certificate".to_owned()));
        }
        if profile.vat_id_checked.is_some() && profile.vat_id.as_deref().is_none_or(str::is_empty) {
            wrong.push(("vat_id".to_owned(), "say which VAT id was checked".to_owned()));
        }
        if let Some(text) = profile.interstate_pct.as_ref().filter(|p| percent_e6(p).is_none()) {
            wrong.push(("interstate_pct".to_owned(), format!("'{text}' is no share: want 0 to 100 percent")));
        }
        wrong
    }

    /// The tables of the profile's places, cut to the rows of one day. Tables and profile were checked.
    pub fn new(profile: control::TaxProfile, supplied: &str, tables: &BTreeMap<String, control::Tax>) -> TaxBasis {
        let mentioned = |t: &control::Tax| profile.places.iter().any(|p| p.country == t.country && (t.region.is_none() || t.region == p.region));
        let cut = |t: &control::Tax| control::Tax { rows: t.rows.iter().filter(|r| holds(r, supplied)).cloned().collect(), ..t.clone() };
        let tables = tables.iter().filter(|(_, t)| mentioned(t)).map(|(name, t)| (name.clone(), cut(t))).collect();
        TaxBasis { profile, supplied: supplied.to_owned(), tables }
    }

    /// What would be charged otherwise on another day: for a period in which a rate changes.
    pub fn differs_on(&self, day: &str, tables: &BTreeMap<String, control::Tax>) -> bool {
        TaxBasis::new(self.profile.clone(), day, tables).tables != self.tables
    }

    /// The lines on what an invoice comes to before taxes, 1e-8: of each place its part, the last takes what rounding leaves.
    pub fn lines(&self, net_e8: i64, currency: &str, places: u32) -> Result<Vec<(Line, i128)>, TaxError> {
        // They compiled when they were provisioned; a document that was changed by hand has no rows then.
        let engine = TaxTables::compile(&self.tables).unwrap_or_default();
        let profile = &self.profile;
        let (mut lines, mut left_e8) = (Vec::new(), net_e8);
        for (n, place) in profile.places.iter().enumerate() {
            let part = i128::from(net_e8) * i128::from(percent_e6(&place.share_pct).unwrap_or(0));
            let part_e8 = i64::try_from(round_ratio(part, i128::from(WHOLE_E6), Rounding::HalfUp)).unwrap_or(left_e8);
            let amount_e8 = if n + 1 == profile.places.len() { left_e8 } else { part_e8 };
            left_e8 = left_e8.saturating_sub(amount_e8);
            let region = place.region.as_deref().unwrap_or("");
            let query = TaxQuery {
                country: &place.country,
                region,
                seller_country: &profile.seller_country,
                at_us: midnight_us(&self.supplied).unwrap_or(0),
                amount_e8,
                currency,
                places,
                lines: place.lines,
                valid_vat_id: profile.vat_id_checked.as_deref().is_some_and(|day| day <= self.supplied.as_str()),
                certificate_until_us: profile.certificate_until.as_deref().and_then(midnight_us),
                interstate_e6: profile.interstate_pct.as_deref().and_then(percent_e6).and_then(|e6| u32::try_from(e6).ok()),
            };
            let named = if region.is_empty() { place.country.clone() } else { format!("{}-{region}", place.country) };
            lines.extend(engine.lines(&query)?.into_iter().map(|found| line(found, &named, place.lines)));
        }
        Ok(lines)
    }
}

fn line(found: TaxLine, place: &str, count: u32) -> (Line, i128) {
    let rate = format_scaled(found.rate_e6, 4, 0);
    let base = format_amount(found.base_e8);
    let mut description = match found.per_line_e8 {
        Some(each_e8) => format!("{} ({place}) {} a line on {count} lines", found.code, format_amount(each_e8)),
        None => format!("{} ({place}) {rate} % on {base}", found.code),
    };
    if !found.reason.is_empty() {
        description.push_str(&format!(": {}", found.reason));
    }
    let tax = TaxOf { code: found.code, place: place.to_owned(), base, rate, reason: found.reason.to_owned(), note: found.note.to_owned() };
    (Line { section: Some(Section::Taxes), description, tax: Some(tax), ..Line::default() }, i128::from(found.amount_e8))
}
