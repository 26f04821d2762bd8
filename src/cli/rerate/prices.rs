//! What `tollgate rerate --cdrs` prices by: provisioning documents as a node's plan has them, and rate sheets for parties that no
//! document names. Who called whom is told by the row (`plan::again`), what it costs by the functions a plan asks.

use std::{borrow::Cow, collections::HashMap, fs, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use tollgate_proxy::routing::Plan;
use tollgate_rating::{
    corrections::rerate::{cost_charge, sell_charge},
    deck::{Deck, DeckOptions, Lookup},
    geography::Places,
};
use tollgate_schemas::{
    cdr::Cdr,
    name,
    terms::Charge,
    tiers::Tier,
    v1::Terms,
};

use super::Args;
use crate::{
    cli::{Problems, deck},
    config::documents::{placed, read_documents, registry},
    plan::{
        again::{self, By},
        compile_number_table,
    },
};

/// Sheets of one side by party.
#[derive(Default)]
struct Sheets {
    own: HashMap<String, Arc<Deck>>,
    /// Of every party that has no deck otherwise.
    rest: Option<Arc<Deck>>,
}

/// A row's price now, and the deck it is from.
pub struct Priced<'p> {
    pub charge: Charge,
    pub currency: Cow<'p, str>,
    pub version: Cow<'p, str>,
    /// It goes by the caller's own number where the deck would go by the switch's.
    pub by_ani: bool,
}

/// A price that a row tells of: whose it is, and what it came to.
pub struct Asked<'p> {
    pub party: &'p str,
    /// What it was priced by.
    pub deck: &'p str,
    pub old_e8: i64,
    pub currency: &'p str,
    /// Not told of a tier.
    pub version: &'p str,
    /// The account is above the caller's.
    pub above: bool,
}

impl<'p> Asked<'p> {
    /// Of a final its account's, of an attempt its carrier's.
    pub fn of(row: &'p Cdr) -> Asked<'p> {
        match row.is_final() {
            true => Asked { party: &row.account, deck: &row.sell_deck, old_e8: row.sell_amount, currency: &row.sell_currency, version: &row.sell_deck_version, above: false },
            false => Asked { party: &row.carrier, deck: &row.cost_deck, old_e8: row.cost_amount, currency: &row.cost_currency, version: &row.cost_deck_version, above: false },
        }
    }

    pub fn of_tier(tier: &'p Tier) -> Asked<'p> {
        Asked { party: &tier.account, deck: &tier.deck, old_e8: tier.amount_e8, currency: &tier.currency, version: "", above: true }
    }
}

/// What is known of a row's price.
pub enum Answer<'p> {
    /// Its account or carrier is neither in a document nor has it a sheet.
    Nobody,
    /// It is to be charged, and why it cannot be.
    NoPrice(String),
    Price(Priced<'p>),
}

pub struct Prices {
    plan: Option<Plan>,
    by: By,
    sells: Sheets,
    costs: Sheets,
    /// For sheets; empty where nothing asks who calls.
    places: Places,
}

impl Prices {
    /// Reads everything, or says what is wrong with it.
    pub fn read(args: &Args) -> anyhow::Result<Prices> {
        let (mut sells, mut costs) = (Sheets::default(), Sheets::default());
        let options = args.options.options()?;
        for text in &args.decks {
            let (account, file) = match text.split_once('=') {
                Some((account, file)) if name::check(account).is_ok() => (Some(account), file),
                _ => (None, text.as_str()),
            };
            sells.add(account, load(file, &options)?)?;
        }
        for text in &args.carrier_decks {
            let (carrier, file) = text.split_once('=').with_context(|| format!("--carrier-deck {text}: want CARRIER=FILE"))?;
            costs.add(Some(carrier), load(file, &options)?)?;
        }
        if args.files.is_empty() && args.decks.is_empty() && args.carrier_decks.is_empty() {
            bail!("say the new prices: -f DOCUMENTS, or --deck [ACCOUNT=]FILE for customers and --carrier-deck CARRIER=FILE for carriers");
        }
        let documents = if args.files.is_empty() { Vec::new() } else { read_documents(&args.files).map_err(Problems)? };
        let mut registry = registry(&documents);
        for file in &args.number_tables {
            let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let told = |bad: Vec<crate::plan::PlanProblem>| {
                let all: Vec<String> = bad.iter().map(|p| format!("{}: {}", file.display(), p.message)).collect();
                anyhow!("{}", all.join("\nerror: "))
            };
            registry.number_tables.insert(file.display().to_string(), compile_number_table("", &bytes).map_err(told)?);
        }
        let plan = match documents.is_empty() {
            true => None,
            false => Some(registry.compile(0).map_err(|bad| Problems(placed(&documents, &bad)))?),
        };
        if let Some(plan) = &plan {
            let has = |which: &str, name: &str| anyhow!("{which} '{name}' has a deck in the documents: change it there, or leave the sheet out");
            if let Some(name) = sells.own.keys().find(|n| plan.policy.account_named(n).is_some()) {
                return Err(has("account", name));
            }
            if let Some(name) = costs.own.keys().find(|n| plan.policy.carrier_named(n).is_some()) {
                return Err(has("carrier", name));
            }
        }
        // What documents' surcharges say of decks was judged above, with the documents' own.
        let decks: Vec<Arc<Deck>> = registry.decks.values().chain(sells.iter()).chain(costs.iter()).cloned().collect();
        let places = registry.places(&decks).map_err(|bad| Problems(placed(&documents, &bad)))?;
        Ok(Prices { plan, by: if args.reassign { By::Assigned } else { By::ItsDeck }, sells, costs, places })
    }

    /// Whether prices hang on more of a row than its numbers, times and party.
    pub fn asks_who_calls(&self) -> bool {
        self.plan.is_some() || !self.places.is_empty()
    }

    /// Whether accounts above the callers' have prices here.
    pub fn asks_tiers(&self) -> bool {
        self.plan.is_some() || !self.sells.own.is_empty()
    }

    /// Whom sheets are for: accounts (true) and carriers.
    pub fn sheets(&self) -> impl Iterator<Item = (bool, &str)> {
        self.sells.own.keys().map(|a| (true, a.as_str())).chain(self.costs.own.keys().map(|c| (false, c.as_str())))
    }

    /// Whether documents are what calls are priced by; then rows that no deck priced are left as they are, as a node does.
    pub fn by_documents(&self) -> bool {
        self.plan.is_some()
    }

    /// What it is now. A sheet for everybody is not for accounts above the callers'.
    pub fn of<'p>(&'p self, row: &'p Cdr, asked: &Asked<'p>) -> Answer<'p> {
        let last = row.is_final();
        if let Some(plan) = &self.plan {
            let known = if last { plan.policy.account_named(asked.party).is_some() } else { plan.policy.carrier_named(asked.party).is_some() };
            if known {
                let terms = if last { again::sell(plan, self.by, asked.party, asked.deck, row) } else { again::cost(plan, self.by, row) };
                return match terms {
                    Ok(terms) => by_terms(row, &terms, again::by_switch(plan, &terms)),
                    Err(why) => without(row, asked, why),
                };
            }
        }
        let sheet = match asked.above {
            true => self.sells.own.get(asked.party).map(Arc::as_ref),
            false => if last { &self.sells } else { &self.costs }.of(asked.party),
        };
        let Some(deck) = sheet else { return Answer::Nobody };
        if !self.asks_who_calls() {
            return plain(row, asked, deck);
        }
        let (told, at_us) = (again::Told::of(row), again::priced_at(row));
        let parties = told.parties(row);
        let known = self.places.known(&parties, at_us);
        let terms = if last { self.places.sell(deck, &known, &parties, at_us).ok() } else { self.places.cost(deck, &known, &parties, at_us) };
        match terms {
            Some(terms) => by_terms(row, &terms, false),
            None => without(row, asked, none_in(row, deck)),
        }
    }
}

impl Sheets {
    fn add(&mut self, party: Option<&str>, deck: Arc<Deck>) -> anyhow::Result<()> {
        let before = match party {
            Some(party) => self.own.insert(party.to_owned(), deck),
            None => self.rest.replace(deck),
        };
        match before {
            Some(_) => bail!("two sheets are given for {}", party.unwrap_or("everybody")),
            None => Ok(()),
        }
    }

    fn of(&self, party: &str) -> Option<&Deck> {
        self.own.get(party).or(self.rest.as_ref()).map(Arc::as_ref)
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Deck>> {
        self.own.values().chain(&self.rest)
    }
}

fn load(file: &str, options: &DeckOptions) -> anyhow::Result<Arc<Deck>> {
    let deck = deck::load(Path::new(file), options)?;
    deck::warn(Path::new(file), &deck);
    Ok(Arc::new(deck))
}

/// By the called number alone, without a word of text: what files that ask for nothing else are priced by.
fn plain<'p>(row: &'p Cdr, asked: &Asked<'p>, deck: &'p Deck) -> Answer<'p> {
    let number = if row.lrn.is_empty() { &row.b_number_e164 } else { &row.lrn };
    match deck.lookup(number, again::priced_at(row)) {
        Lookup::Row(found) => {
            let charge = charge(row, &found.price());
            Answer::Price(Priced { charge, currency: deck.currency().into(), version: deck.version().into(), by_ani: false })
        }
        _ => without(row, asked, none_in(row, deck)),
    }
}

fn by_terms<'p>(row: &Cdr, terms: &Terms, by_ani: bool) -> Answer<'p> {
    let (currency, version) = (terms.currency.clone().into(), terms.deck_version.clone().into());
    Answer::Price(Priced { charge: charge(row, terms), currency, version, by_ani })
}

fn charge(row: &Cdr, terms: &Terms) -> Charge {
    if row.is_final() { sell_charge(row, terms) } else { cost_charge(row, terms) }
}

fn none_in(row: &Cdr, deck: &Deck) -> String {
    format!("there is no price for {} in {}", row.b_number_e164, deck.name())
}

/// What nobody is charged for needs no price.
fn without<'p>(row: &Cdr, asked: &Asked<'p>, why: String) -> Answer<'p> {
    if row.disposition == "answered" || asked.old_e8 != 0 {
        return Answer::NoPrice(why);
    }
    Answer::Price(Priced { charge: Charge::default(), currency: asked.currency.into(), version: asked.version.into(), by_ani: false })
}
