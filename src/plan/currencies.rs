//! Whether what a document is priced in is a currency (ISO 4217). Asked of what is provisioned now; what a log has from before stays in force.

use serde_json::Value;
use tollgate_rating::deck::Deck;
use tollgate_schemas::{control::Kind, currency};

/// Fields that name a currency the list does not have, each with why. `deck`: its sheet may name another than its document.
pub fn check(kind: Kind, spec: &Value, deck: Option<&Deck>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut ask = |path: String, code: Option<&str>| {
        if let Some(Err(e)) = code.map(currency::minor_units) {
            wrong.push((path, e.to_string()));
        }
    };
    match kind {
        Kind::Deck => ask("currency".to_owned(), deck.map(Deck::currency)),
        Kind::Contract | Kind::Surcharge => ask("currency".to_owned(), spec["currency"].as_str()),
        Kind::FxRate => {
            for (i, row) in spec["rates"].as_array().into_iter().flatten().enumerate() {
                ["base", "quote"].into_iter().for_each(|side| ask(format!("rates[{i}].{side}"), row[side].as_str()));
            }
        }
        _ => {}
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn r_30_what_is_provisioned_is_in_currencies_of_the_list() {
        let paths = |kind, spec: Value| check(kind, &spec, None).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(paths(Kind::Contract, json!({ "currency": "QQQ" })), ["currency"]);
        assert_eq!(paths(Kind::Surcharge, json!({ "currency": "EUR" })), [""; 0]);
        assert_eq!(paths(Kind::FxRate, json!({ "rates": [{ "base": "USD", "quote": "JPY" }, { "base": "EUR", "quote": "XXQ" }] })), ["rates[1].quote"]);
    }
}
