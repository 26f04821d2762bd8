//! What holds over all rows: one currency, and no code twice.

use std::{collections::{HashMap, hash_map::Entry}, sync::Arc};

use foldhash::fast::FixedState;
use tollgate_schemas::number::E164;

use super::Reading;
use crate::{
    import::{ImportRow, Start},
    sheet::{Column, Remark, columns, numbers::Price, reader::Raw},
};

impl Reading<'_> {
    /// One deck, one currency: the column's, each price's own, the header's, the mapping's. They may not contradict each other.
    pub(super) fn currency(&mut self, raw: &Raw, prices: &[&Price]) {
        let said = self.value(raw, Column::Currency).to_string();
        let sheet = &self.sheets[usize::from(raw.sheet)];
        let (of_sheet, of_header) = (sheet.currency, sheet.header.as_ref().and_then(|h| h.currency));
        let in_price = prices.iter().find_map(|p| p.currency);
        let unclear = prices.iter().find_map(|p| p.sign.clone());
        let (code, column) = if said.is_empty() {
            match in_price.or(of_sheet).map(str::to_owned).or_else(|| self.default_currency.clone()) {
                Some(code) => (code, Column::Rate),
                None => match unclear {
                    Some(sign) => return self.problem(raw, Some(Column::Rate), format!("the cell's format shows '{sign}', which currency is not clear: say it in the mapping file, as currency: EUR")),
                    None => return,
                },
            }
        } else {
            let upper = said.trim().to_uppercase();
            let code = columns::currency_in(&upper).map(str::to_owned).unwrap_or(upper);
            if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
                return self.problem(raw, Some(Column::Currency), format!("'{said}' is not a currency: want three letters, as USD"));
            }
            (code, Column::Currency)
        };
        // A title may speak of another currency in passing; a header, a price or its format may not.
        let titled = of_sheet.filter(|_| said.is_empty());
        let claims = prices.iter().filter_map(|p| p.currency).chain(of_header).chain(titled);
        if let Some(other) = claims.into_iter().find(|c| **c != *code) {
            return self.problem(raw, Some(column), format!("a price is in {other}, and another cell, the header or a title says {code}: a deck has one currency"));
        }
        // A sign that several countries have, or of none that is known here: somebody has to have named the currency.
        if let Some(sign) = unclear.filter(|s| self.default_currency.is_none() && said.is_empty() && (of_sheet.is_none() || &**s != "¤")) {
            return self.problem(raw, Some(Column::Rate), format!("the cell's format shows '{sign}', which currency is not clear: say it in the mapping file, as currency: {code}"));
        }
        if let Some(wanted) = self.default_currency.clone().filter(|w| *w != code) {
            return self.problem(raw, Some(column), format!("the price is in {code}, wanted is {wanted}"));
        }
        match &self.currency {
            None => {
                let place = self.remark(raw, None, "").place();
                self.currency = Some((code, place));
            }
            Some((first, place)) if *first != code => {
                let text = format!("the price is in {code}, in row {place} it is {first}: a deck has one currency; import them as two decks");
                self.problem(raw, Some(column), text);
            }
            Some(_) => {}
        }
    }

    /// Equal rows count once; two prices of one code from one date cannot both be.
    pub(super) fn duplicates(&mut self, rows: &mut Vec<ImportRow>) {
        let mut seen: HashMap<(E164, Arc<str>, Start), usize, FixedState> = HashMap::default();
        let mut repeated: Vec<bool> = vec![false; rows.len()];
        let mut clashes = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            match seen.entry((row.prefix, row.origin_group.clone(), row.from)) {
                Entry::Vacant(v) => {
                    v.insert(at);
                }
                Entry::Occupied(first) => {
                    let first = &rows[*first.get()];
                    let same = ImportRow { source: first.source.clone(), destination: first.destination.clone(), claimed: first.claimed, ..row.clone() } == *first;
                    if same {
                        repeated[at] = true;
                    } else {
                        clashes.push((at, first.source.clone()));
                    }
                }
            }
        }
        for (at, first) in clashes {
            let row = &rows[at];
            let (sheet, number) = split(&row.source);
            let text = format!("code {} from the same date stands in row {first} with other terms: leave one of them out", row.prefix.digits());
            self.problems.add(Remark::new(sheet, number, None, text));
        }
        if let Some(first) = repeated.iter().position(|r| *r) {
            let (sheet, number) = split(&rows[first].source);
            let count = repeated.iter().filter(|r| **r).count();
            let text = "a code that is there already with the same terms: counted once".to_owned();
            self.notes.insert(text, (count as u64, Remark::new(sheet, number, None, "")));
        }
        let mut repeated = repeated.into_iter();
        rows.retain(|_| !repeated.next().unwrap_or(false));
    }
}

/// A row's source as its sheet and number.
fn split(source: &str) -> (&str, u64) {
    let (sheet, row) = source.rsplit_once('!').unwrap_or(("", source));
    (sheet, row.parse().unwrap_or(0))
}
