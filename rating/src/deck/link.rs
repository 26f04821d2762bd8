//! Decks whose tariffs name each other.

use std::{collections::BTreeMap, sync::Arc};

use super::{BadTariff, Deck};

/// Links every deck's tariff to the decks it names, or says all that does not fit, by deck: a name that is not there, a deck of
/// another currency, decks that lead back to themselves. Decks that name none stay the same `Arc`.
pub fn link(decks: &BTreeMap<String, Arc<Deck>>) -> Result<BTreeMap<String, Arc<Deck>>, Vec<(String, BadTariff)>> {
    let mut problems = Vec::new();
    for (name, deck) in decks {
        for (path, other) in names_of(deck) {
            let problem = match decks.get(other) {
                None => format!("there is no deck '{other}'"),
                Some(found) if found.currency() != deck.currency() => {
                    format!("deck '{other}' is in {}, this one in {}", found.currency(), deck.currency())
                }
                Some(_) if leads_to(decks, other, name) => format!("deck '{other}' leads back to this one"),
                Some(_) => continue,
            };
            problems.push((name.clone(), BadTariff { path: path.to_owned(), problem }));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let linked = |deck: &Arc<Deck>| match names_of(deck).next() {
        None => deck.clone(),
        Some(_) => Arc::new(deck.linked(|other| decks.get(other).cloned())),
    };
    Ok(decks.iter().map(|(name, deck)| (name.clone(), linked(deck))).collect())
}

fn names_of(deck: &Deck) -> impl Iterator<Item = (&str, &str)> {
    deck.tariff().into_iter().flat_map(|t| t.names())
}

/// Whether `from` names `to`, itself or through others.
fn leads_to(decks: &BTreeMap<String, Arc<Deck>>, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], vec![]);
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        open.extend(decks.get(name).into_iter().flat_map(|deck| names_of(deck)).map(|(_, other)| other));
    }
    false
}
