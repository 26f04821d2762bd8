//! Whether the details of an invoice can be.

use tollgate_schemas::money::parse_scaled;

use super::{Details, TaxBasis};

/// What is wrong with the details, each with its path.
pub fn check(details: &Details) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (name, items) in [("recurring", &details.recurring), ("contract", &details.contract), ("credits", &details.credits), ("payments", &details.payments)] {
        for (i, item) in items.iter().enumerate() {
            if let Err(e) = parse_scaled(&item.amount, 8) {
                wrong.push((format!("{name}[{i}].amount"), e.to_string()));
            }
        }
    }
    for (i, credit) in details.credits.iter().enumerate() {
        if parse_scaled(&credit.amount, 8).is_ok_and(|a| a < 0) {
            wrong.push((format!("credits[{i}].amount"), "a credit is given positive".to_owned()));
        }
    }
    for (i, tax) in details.taxes.iter().enumerate() {
        if parse_scaled(&tax.percent, 6).map_or(true, |p| p < 0) {
            wrong.push((format!("taxes[{i}].percent"), format!("'{}' is no percentage", tax.percent)));
        }
    }
    let mut placed = |path: &str, found: Vec<(String, String)>| wrong.extend(found.into_iter().map(|(at, what)| (format!("{path}.{at}"), what)));
    placed("tax", details.tax.iter().flat_map(TaxBasis::check).collect());
    // In this one form, as days are compared as text.
    let is_day = |text: &String| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok_and(|d| d.to_string() == *text);
    if details.supply_date.as_ref().is_some_and(|d| !is_day(d)) {
        wrong.push(("supply_date".to_owned(), "want yyyy-mm-dd".to_owned()));
    }
    if let Some(Err(e)) = details.balance_forward.as_ref().map(|b| parse_scaled(b, 8)) {
        wrong.push(("balance_forward".to_owned(), e.to_string()));
    }
    if details.places.is_some_and(|p| p > 8) {
        wrong.push(("places".to_owned(), "an amount has 0 to 8 places".to_owned()));
    }
    wrong
}
