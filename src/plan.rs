//! Provisioning documents in force, and what they compile to: the plan that the proxy decides by. Here rating's decks
//! and routes meet the proxy's policy.

pub mod again;
mod contracts;
pub mod currencies;
mod geography;

#[cfg(test)]
mod tests;

use std::{collections::{BTreeMap, BTreeSet, HashMap}, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tollgate_proxy::{
    admission::{CarrierFull, CarrierIx, Documents, Policy, Prices, Sale, Sell, Shut},
    routing::{Plan, Route, RouteQuery, Routes, Routing},
};
use tollgate_rating::{
    deck::{BadOption, Deck, DeckOptions},
    fx::Fx,
    geography::{Known, Leg, NumberTable, Places, TableProblem},
    quality::Quality,
    routing::{CarrierRoutes, Reason, RoutePolicy, RouteTable},
};
use tollgate_schemas::{
    control::{self, Kind},
    money::{AMOUNT_PLACES, parse_scaled},
    parties::Parties,
    strict,
    v1::{self, Terms, Tier},
};

/// One mistake in a document: which, where in its spec, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanProblem {
    pub kind: Kind,
    pub name: String,
    pub path: String,
    pub message: String,
}

impl std::fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} '{}'", self.kind.name(), self.name)?;
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Documents in force by kind and name, with decks compiled once each.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    pub documents: BTreeMap<(Kind, String), Value>,
    pub decks: BTreeMap<String, Arc<Deck>>,
    pub number_tables: BTreeMap<String, Arc<NumberTable>>,
    /// What is known of carriers' quality, shared by every plan that is compiled from here.
    pub quality: Quality,
}

/// Reads a spec into its type; the message says which field.
pub fn read<T: DeserializeOwned>(kind: Kind, name: &str, spec: &Value) -> Result<T, PlanProblem> {
    strict::read(spec).map_err(|bad| PlanProblem { kind, name: name.to_owned(), path: bad.path, message: bad.message })
}

/// Compiles a rate sheet as its document wants it, or says everything that is wrong with it.
pub fn compile_deck(name: &str, spec: &control::Deck, bytes: &[u8]) -> Result<Arc<Deck>, Vec<PlanProblem>> {
    let problem = |path: String, message: String| PlanProblem { kind: Kind::Deck, name: name.to_owned(), path, message };
    let options = DeckOptions::from_spec(spec).map_err(|e| match e {
        BadOption::Tariff(bad) => bad.into_iter().map(|b| problem(b.path, b.problem)).collect(),
        e => vec![problem(String::new(), e.to_string())],
    })?;
    match Deck::compile_on(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), name, bytes, &options) {
        Ok(deck) => Ok(Arc::new(deck)),
        Err(problems) => {
            let mut all: Vec<_> = problems.problems.iter().map(|p| problem(format!("csv, line {}, column {}", p.line, p.column), p.problem.clone())).collect();
            let more = problems.total().saturating_sub(all.len() as u64);
            if more > 0 {
                all.push(problem(String::new(), format!("and {more} more problems")));
            }
            Err(all)
        }
    }
}

/// Compiles a number table's file, or says everything that is wrong with it.
pub fn compile_number_table(name: &str, bytes: &[u8]) -> Result<Arc<NumberTable>, Vec<PlanProblem>> {
    let problem = |p: TableProblem| PlanProblem { kind: Kind::NumberTable, name: name.to_owned(), path: "csv".to_owned(), message: p.to_string() };
    NumberTable::compile(bytes).map(Arc::new).map_err(|bad| bad.into_iter().map(problem).collect())
}

impl Registry {
    pub fn of<T: DeserializeOwned>(&self, kind: Kind, problems: &mut Vec<PlanProblem>) -> BTreeMap<String, T> {
        let mut all = BTreeMap::new();
        for ((k, name), spec) in &self.documents {
            if *k == kind {
                match read(kind, name, spec) {
                    Ok(document) => drop(all.insert(name.clone(), document)),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        all
    }

    /// The route policies, and whether whoever they and the accounts name is there.
    fn route_policies(&self, documents: &Documents, problems: &mut Vec<PlanProblem>) -> BTreeMap<String, Arc<RoutePolicy>> {
        let specs: BTreeMap<String, control::RoutePolicy> = self.of(Kind::RoutePolicy, problems);
        let mut policies = BTreeMap::new();
        for (name, spec) in &specs {
            let mut wrong = |path: String, message: String| problems.push(PlanProblem { kind: Kind::RoutePolicy, name: name.clone(), path, message });
            for (i, split) in spec.splits.iter().enumerate().filter(|(_, s)| !documents.carriers.contains_key(&s.carrier)) {
                wrong(format!("splits[{i}].carrier"), format!("there is no carrier '{}'", split.carrier));
            }
            match RoutePolicy::compile(name, spec) {
                Ok(policy) => drop(policies.insert(name.clone(), Arc::new(policy))),
                Err(mistakes) => mistakes.into_iter().for_each(|(path, message)| wrong(path, message)),
            }
        }
        for (name, account) in &documents.accounts {
            let mut wrong = |path: &str, message: String| problems.push(PlanProblem { kind: Kind::Account, name: name.clone(), path: path.to_owned(), message });
            if let Some(policy) = account.route_policy.as_ref().filter(|p| !specs.contains_key(*p)) {
                wrong("route_policy", format!("there is no route policy '{policy}'"));
            }
            if let Some(Err(e)) = account.min_margin.as_ref().map(|m| parse_scaled(m, AMOUNT_PLACES)) {
                wrong("min_margin", e.to_string());
            }
        }
        policies
    }

    /// What is known of numbers, for calls priced by these decks alone, or every mistake of it.
    pub fn places(&self, decks: &[Arc<Deck>]) -> Result<Places, Vec<PlanProblem>> {
        let mut problems = Vec::new();
        let places = geography::compile(self, decks, &mut problems);
        if problems.is_empty() { Ok(places) } else { Err(problems) }
    }

    /// Everything together, or every mistake at once. `control_position`: how many control events lie behind it.
    pub fn compile(&self, control_position: u64) -> Result<Plan, Vec<PlanProblem>> {
        let mut problems = Vec::new();
        let documents = Documents {
            accounts: self.of(Kind::Account, &mut problems),
            trunks: self.of(Kind::Trunk, &mut problems),
            carriers: self.of(Kind::Carrier, &mut problems),
            fraud_policies: self.of(Kind::FraudPolicy, &mut problems),
            number_lists: self.of(Kind::NumberList, &mut problems),
            currencies: self.decks.iter().map(|(name, deck)| (name.clone(), deck.currency().to_owned())).collect(),
        };
        let decks = tollgate_rating::deck::link(&self.decks).unwrap_or_else(|bad| {
            problems.extend(bad.into_iter().map(|(name, b)| PlanProblem { kind: Kind::Deck, name, path: b.path, message: b.problem }));
            self.decks.clone()
        });
        let all: Vec<Arc<Deck>> = decks.values().cloned().collect();
        let places = geography::compile(self, &all, &mut problems);
        let mut need = |kind: Kind, name: &str, path: &str, deck: &str| {
            let found = decks.get(deck).cloned();
            if found.is_none() {
                problems.push(PlanProblem { kind, name: name.to_owned(), path: path.to_owned(), message: format!("there is no deck '{deck}'") });
            }
            found
        };
        let mut sellers = HashMap::new();
        for (name, account) in &documents.accounts {
            if let Some(deck) = need(Kind::Account, name, "sell_deck", &account.sell_deck) {
                sellers.insert(name.clone(), deck);
            }
        }
        let mut carriers = Vec::new();
        for (name, carrier) in &documents.carriers {
            if let Some(deck) = need(Kind::Carrier, name, "deck", &carrier.deck) {
                carriers.push(carrier_routes(name, carrier, deck));
            }
        }
        let policies = self.route_policies(&documents, &mut problems);
        contracts::check(self, &documents, &mut problems);
        let rates = self.of(Kind::FxRate, &mut problems);
        let fx = Fx::compile(&rates).unwrap_or_else(|mistakes| {
            problems.extend(mistakes.into_iter().map(|(name, e)| PlanProblem { kind: Kind::FxRate, name, path: String::new(), message: e.to_string() }));
            Fx::default()
        });
        for (name, policy) in &documents.fraud_policies {
            if let Err(e) = tollgate_fraud::policy::Policy::compile(policy) {
                problems.extend(e.0.iter().map(|p| PlanProblem { kind: Kind::FraudPolicy, name: name.clone(), path: String::new(), message: p.to_string() }));
            }
        }
        let policy = Policy::compile(&documents, control_position);
        let policy = match policy {
            Ok(policy) if problems.is_empty() => policy,
            Ok(_) => return Err(problems),
            Err(more) => {
                problems.extend(more.into_iter().map(|p| PlanProblem { kind: p.kind, name: p.name, path: p.field, message: p.message }));
                return Err(problems);
            }
        };
        let table = RouteTable::new(carriers)
            .map_err(|e| vec![PlanProblem { kind: Kind::Carrier, name: String::new(), path: String::new(), message: e.to_string() }])?;
        let mut boundaries: Vec<i64> = self.decks.values().flat_map(|d| d.boundaries().collect::<Vec<_>>()).chain(places.boundaries()).collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let by_position = table.carriers().iter().filter_map(|c| policy.carrier_named(&c.name)).collect();
        let trunk_parties = documents.trunks.into_values().map(|t| t.party).collect();
        let account = |a: control::Account| AccountRoutes {
            parent: a.parent,
            carriers: a.carriers,
            classes: a.route_classes,
            max_attempts: a.max_attempts.into(),
            margin_guard: a.margin_guard,
            min_margin_e8: a.min_margin.and_then(|m| parse_scaled(&m, AMOUNT_PLACES).ok()).unwrap_or(0),
            policy: a.route_policy.and_then(|name| policies.get(&name).cloned()),
        };
        let accounts = documents.accounts.into_iter().map(|(name, a)| (name, account(a))).collect();
        let quality = self.quality.clone();
        let by_switch = all.iter().filter(|d| d.by_switch()).map(|d| d.name().to_owned()).collect();
        let routing = DeckRouting { table, by_position, sellers, accounts, boundaries, quality, fx, trunk_parties, places, by_switch, decks };
        Ok(Plan { policy, routing: Box::new(routing), control_position })
    }
}

fn carrier_routes(name: &str, carrier: &control::Carrier, deck: Arc<Deck>) -> CarrierRoutes {
    CarrierRoutes {
        route_class: carrier.route_class.clone(),
        emergency: carrier.emergency,
        suspended: carrier.suspended,
        party: carrier.party.clone().unwrap_or_else(|| name.to_owned()),
        upstream: carrier.upstream.clone().unwrap_or_else(|| name.to_owned()),
        cli_guaranteed: carrier.cli_guaranteed,
        priority: carrier.priority,
        weight: carrier.weight,
        ..CarrierRoutes::new(name, deck)
    }
}

struct AccountRoutes {
    parent: Option<String>,
    carriers: Vec<String>,
    classes: Vec<String>,
    max_attempts: usize,
    margin_guard: bool,
    min_margin_e8: i64,
    policy: Option<Arc<RoutePolicy>>,
}

/// Rating's decks and routes behind the proxy's port.
struct DeckRouting {
    table: RouteTable,
    /// The proxy's index of each carrier of the table.
    by_position: Vec<CarrierIx>,
    sellers: HashMap<String, Arc<Deck>>,
    accounts: HashMap<String, AccountRoutes>,
    /// When rows of any deck come into force or go out of it, sorted.
    boundaries: Vec<i64>,
    quality: Quality,
    fx: Fx,
    /// Whom each trunk belongs to, by its index.
    trunk_parties: Vec<Option<String>>,
    places: Places,
    /// Decks whose prices by jurisdiction go by the number of the caller's switch.
    by_switch: BTreeSet<String>,
    /// With the decks their tariffs name.
    decks: BTreeMap<String, Arc<Deck>>,
}

impl DeckRouting {
    /// What one account pays, by its own deck.
    fn sell_of(&self, account: &str, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Sell {
        match self.sellers.get(account).map(|deck| self.places.sell(deck, known, parties, at_us)) {
            Some(Ok(terms)) => Sell::Terms(terms),
            Some(Err(Some(row))) => Sell::Blocked(row.terms()),
            Some(Err(None)) | None => Sell::None,
        }
    }
}

impl DeckRouting {
    /// Carriers that get no call now, as the table knows them.
    fn shut(&self, shut: &[(CarrierIx, Shut)]) -> Vec<(u16, Reason)> {
        let reason = |shut: &Shut| match shut {
            Shut::Blocked(_) => Reason::CarrierBlocked,
            Shut::Full(CarrierFull::Channels) => Reason::CarrierChannels,
            Shut::Full(CarrierFull::Cps) => Reason::CarrierCps,
        };
        let mut found: Vec<_> = shut.iter().filter_map(|(ix, shut)| Some((self.by_position.iter().position(|c| c == ix)? as u16, reason(shut)))).collect();
        found.sort_unstable_by_key(|(position, _)| *position);
        found
    }
}

impl Prices for DeckRouting {
    /// each account of the hierarchy pays the next by its own deck. One without a price, or whose row is blocked,
    /// takes the sale with it: nobody sells what they cannot buy.
    fn sell<'p>(&'p self, account: &str, parties: &Parties<'p>, at_us: i64) -> Sale<'p> {
        let known = self.places.known(parties, at_us);
        let mut sale = Sale::from(self.sell_of(account, &known, parties, at_us));
        let mut below = account;
        while let Some(above) = self.accounts.get(below).and_then(|a| a.parent.as_deref())
            && matches!(sale.sell, Sell::Terms(_))
        {
            match self.sell_of(above, &known, parties, at_us) {
                Sell::Terms(terms) => sale.tiers.push(Tier { account: above.to_owned(), terms: Some(terms) }),
                other => sale = other.into(),
            }
            below = above;
        }
        if let Some(deck) = self.sellers.get(account) {
            sale.geography = known.geography(deck);
        }
        sale
    }
}

impl Routing for DeckRouting {
    fn routes(&self, query: &RouteQuery<'_>) -> Routes {
        let account = self.accounts.get(query.account);
        let known = self.places.known(query.parties, query.at_us);
        let policy = account.and_then(|a| a.policy.as_deref()).filter(|_| !query.emergency);
        // Without a policy only the guard asks: how long calls there last.
        let guarded = account.is_some_and(|a| a.margin_guard);
        let quality = if policy.is_some() || guarded && !query.emergency { self.quality.of(query.dest_group) } else { None };
        let shut = self.shut(query.shut);
        let ask = tollgate_rating::routing::RouteQuery {
            classes: account.map_or(&[], |a| a.classes.as_slice()),
            min_margin_e8: account.map_or(0, |a| a.min_margin_e8),
            ingress_party: self.trunk_parties.get(query.trunk.0 as usize).and_then(|p| p.as_deref()),
            policy,
            fx: (!self.fx.is_empty()).then_some(&self.fx),
            quality: quality.as_deref(),
            codec_class: query.codec_class,
            draw_e6: query.draw_e6,
            allowed: account.map_or(&[], |a| a.carriers.as_slice()),
            sell: query.revenue,
            max_attempts: account.map_or(4, |a| a.max_attempts),
            margin_guard: guarded,
            shut: &shut,
            emergency: query.emergency,
            from: known.origination(),
            surcharged: self.places.surcharged(&known, query.parties, query.at_us),
            ..tollgate_rating::routing::RouteQuery::new(query.parties.rated(), query.at_us)
        };
        let decision = self.table.candidates(&ask);
        let routes = decision
            .order
            .iter()
            .filter_map(|c| {
                let mut cost = decision.terms(c, &known.origination());
                if !query.emergency {
                    self.places.add_surcharges(Leg::Cost, &mut cost, &known, query.parties, query.at_us);
                }
                Some(Route { carrier: *self.by_position.get(usize::from(c.carrier))?, cost: Some(cost), rank: c.rank })
            })
            .collect();
        let by = match policy {
            _ if query.emergency => "emergency",
            Some(policy) => &policy.name,
            None => "lcr",
        };
        let quality_snapshot = quality.map_or(String::new(), |q| q.verdict.name.clone());
        Routes { routes, choices: decision.choices(), policy: by.to_owned(), quality_snapshot }
    }

    fn unchanged(&self, from_us: i64, to_us: i64) -> bool {
        let first_after = self.boundaries.partition_point(|b| *b <= from_us);
        self.boundaries.get(first_after).is_none_or(|b| *b > to_us)
    }

    fn cost(&self, carrier: CarrierIx, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let position = self.by_position.iter().position(|ix| *ix == carrier)?;
        geography::cost(&self.places, &self.table.carriers()[position], &self.places.known(parties, at_us), parties, at_us)
    }

    fn by_deck(&self, deck: &str, sells: bool, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let (deck, known) = (self.decks.get(deck)?, self.places.known(parties, at_us));
        if sells { self.places.sell(deck, &known, parties, at_us).ok() } else { self.places.cost(deck, &known, parties, at_us) }
    }

    fn has_deck(&self, deck: &str) -> bool {
        self.decks.contains_key(deck)
    }

    fn by_switch(&self, deck: &str) -> bool {
        self.by_switch.contains(deck)
    }

    fn fx(&self, from: &str, to: &str, at_us: i64) -> Option<v1::Fx> {
        let used = self.fx.rate(from, to, at_us)?;
        Some(v1::Fx { from: from.to_owned(), to: to.to_owned(), rate_e12: used.rate_e12, source: used.source, date: used.date })
    }

    fn sell_at(&self, account: &str, parties: &Parties<'_>, at_us: i64) -> Option<(Terms, Vec<Tier>)> {
        let sale = self.sell(account, parties, at_us);
        match sale.sell {
            Sell::Terms(terms) => Some((terms, sale.tiers)),
            Sell::Blocked(_) | Sell::None => None,
        }
    }
}
