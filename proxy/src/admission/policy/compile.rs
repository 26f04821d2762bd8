//! Documents → policy, with every mistake found before any is reported.

use std::{collections::BTreeSet, net::SocketAddr};

use foldhash::HashMap;
use tollgate_schemas::{
    control::{self, Kind},
    money::{AMOUNT_PLACES, RATE_PLACES, parse_scaled},
    name,
};

use super::{AccountIx, AccountView, CarrierIx, CarrierView, CreditView, Dial, Documents, Party, Policy, Problem, TrunkIx, TrunkView};
use crate::admission::{
    classify::Tables,
    number_lists::NumberLists,
    prefixes::PrefixMap,
    source::{Source, Sources},
};

/// Most resources of one kind: what a policy's indices, and the counters made for its names, may grow to.
const MAX_NAMES: usize = 100_000;

/// Collects mistakes of one document.
struct Check<'a> {
    problems: &'a mut Vec<Problem>,
    kind: Kind,
    name: &'a str,
}

impl Check<'_> {
    fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { kind: self.kind, name: self.name.to_owned(), field: field.into(), message: message.into() });
    }

    fn name(&mut self, field: &str, value: &str) {
        if let Err(e) = name::check(value) {
            self.wrong(field, e.to_string());
        }
    }

    /// A decimal that is not negative.
    fn decimal(&mut self, field: &str, value: Option<&String>, places: u32) -> Option<i64> {
        match parse_scaled(value?, places) {
            Ok(n) if n >= 0 => Some(n),
            Ok(_) => {
                self.wrong(field, "is negative: a limit is 0 or more");
                None
            }
            Err(e) => {
                self.wrong(field, e.to_string());
                None
            }
        }
    }

    fn at_least_one(&mut self, field: &str, value: impl Into<u64>, instead: &str) {
        if value.into() == 0 {
            self.wrong(field, format!("is 0: {instead}"));
        }
    }

    fn digits(&mut self, field: impl Into<String>, value: &str) -> bool {
        let ok = !value.is_empty() && value.len() <= 15 && value.bytes().all(|b| b.is_ascii_digit());
        if !ok {
            self.wrong(field, format!("'{value}' is not a prefix: want 1 to 15 digits"));
        }
        ok
    }

    fn prefixes(&mut self, field: &str, values: &[String]) -> PrefixMap<()> {
        let mut map = PrefixMap::default();
        for (i, value) in values.iter().enumerate() {
            let plain = value.strip_prefix('+').unwrap_or(value);
            if self.digits(format!("{field}[{i}]"), plain) {
                map.put(plain, ());
            }
        }
        map
    }

    fn sources(&mut self, field: &str, values: &[String]) -> Vec<(String, Source)> {
        let mut out = Vec::new();
        for (i, value) in values.iter().enumerate() {
            let field = format!("{field}[{i}]");
            match Source::parse(value) {
                Ok(source) => out.push((field, source)),
                Err(e) => self.wrong(field, e),
            }
        }
        out
    }

    /// Puts a party's sources into the table; the mistake names the other holder.
    fn hold(&mut self, parties: &mut Sources<Party>, party: Party, sources: Vec<(String, Source)>, named: impl Fn(Party) -> String) {
        for (field, source) in sources {
            if let Some(other) = parties.put(source, party) {
                self.wrong(field, format!("{source} already is {}: one source has one party", named(other)));
            }
        }
    }

    fn statuses(&mut self, field: &str, values: &[u16]) -> Vec<u16> {
        for (i, code) in values.iter().enumerate() {
            if !(300..700).contains(code) {
                self.wrong(format!("{field}[{i}]"), format!("{code} is not a final failure: want 300 to 699"));
            }
        }
        let set: BTreeSet<u16> = values.iter().copied().collect();
        set.into_iter().collect()
    }
}

pub(super) fn compile(documents: &Documents, control_position: u64) -> Result<Policy, Vec<Problem>> {
    let mut problems = Vec::new();
    let account_names: HashMap<String, AccountIx> = indices(documents.accounts.keys(), AccountIx);
    let trunk_names: HashMap<String, TrunkIx> = indices(documents.trunks.keys(), TrunkIx);
    let carrier_names: HashMap<String, CarrierIx> = indices(documents.carriers.keys(), CarrierIx);
    for (kind, count) in [(Kind::Account, account_names.len()), (Kind::Trunk, trunk_names.len()), (Kind::Carrier, carrier_names.len())] {
        if count > MAX_NAMES {
            let message = format!("{count} of them: one installation holds at most {MAX_NAMES}");
            problems.push(Problem { kind, name: String::new(), field: String::new(), message });
        }
    }

    let mut tables = Tables::builtin();
    for (name, policy) in &documents.fraud_policies {
        let mut check = Check { problems: &mut problems, kind: Kind::FraudPolicy, name };
        for (i, prefix) in policy.high_risk_prefixes.iter().enumerate() {
            let plain = prefix.strip_prefix('+').unwrap_or(prefix);
            if check.digits(format!("high_risk_prefixes[{i}]"), plain) {
                tables.add_risk(plain);
            }
        }
    }

    let number_lists = match NumberLists::compile(&documents.number_lists) {
        Ok(lists) => lists,
        Err(bad) => {
            problems.extend(bad.into_iter().map(|b| Problem { kind: Kind::NumberList, name: b.list, field: b.field, message: b.message }));
            NumberLists::default()
        }
    };

    let mut parties = Sources::default();
    let trunk_list: Vec<&String> = documents.trunks.keys().collect();
    let carrier_list: Vec<&String> = documents.carriers.keys().collect();
    let named = |party| match party {
        Party::Trunk(ix) => format!("trunk '{}'", trunk_list[ix.0 as usize]),
        Party::Carrier(ix) => format!("carrier '{}'", carrier_list[ix.0 as usize]),
    };

    let trunk_parties: BTreeSet<&str> = documents.trunks.values().filter_map(|t| t.party.as_deref()).collect();
    let mut carriers = Vec::with_capacity(documents.carriers.len());
    for (i, (name, spec)) in documents.carriers.iter().enumerate() {
        let mut check = Check { problems: &mut problems, kind: Kind::Carrier, name };
        let mut sources = Vec::new();
        let view = carrier(&mut check, name, spec, &trunk_parties, &mut sources);
        check.hold(&mut parties, Party::Carrier(CarrierIx(i as u32)), sources, named);
        carriers.push(view);
    }

    let mut accounts = Vec::with_capacity(documents.accounts.len());
    for (name, spec) in &documents.accounts {
        let mut check = Check { problems: &mut problems, kind: Kind::Account, name };
        accounts.push(account(&mut check, name, spec, documents, &account_names, &carrier_names));
    }

    for at in 0..accounts.len() {
        let mut above = Some(AccountIx(at as u32));
        // No hierarchy has more accounts than there are; one that comes back to itself was refused above.
        for _ in 0..accounts.len() {
            let Some(view) = above.map(|ix| &accounts[ix.0 as usize]) else { break };
            if view.credit.is_some() {
                accounts[at].has_credit = true;
                break;
            }
            above = view.parent;
        }
    }

    let mut trunks = Vec::with_capacity(documents.trunks.len());
    for (i, (name, spec)) in documents.trunks.iter().enumerate() {
        let mut check = Check { problems: &mut problems, kind: Kind::Trunk, name };
        if spec.sources.is_empty() {
            check.wrong("sources", "is empty: nobody could call on this trunk");
        }
        let sources = check.sources("sources", &spec.sources);
        check.hold(&mut parties, Party::Trunk(TrunkIx(i as u32)), sources, named);
        let asks_names = documents.accounts.get(&spec.account).is_some_and(|a| a.cnam);
        trunks.push(trunk(&mut check, name, spec, asks_names, &account_names, &tables));
    }

    if !problems.is_empty() {
        return Err(problems);
    }
    let mut emergency_carriers: Vec<CarrierIx> =
        carriers.iter().enumerate().filter(|(_, c)| c.emergency).map(|(i, _)| CarrierIx(i as u32)).collect();
    emergency_carriers.sort_by_key(|ix| carriers[ix.0 as usize].suspended);
    let stamp = stamp(documents);
    Ok(Policy { control_position, stamp, accounts, trunks, carriers, account_names, trunk_names, carrier_names, parties, emergency_carriers, tables, number_lists })
}

fn indices<'a, I>(names: impl Iterator<Item = &'a String>, index: fn(u32) -> I) -> HashMap<String, I> {
    names.enumerate().map(|(i, name)| (name.clone(), index(i as u32))).collect()
}

/// A hash of all names in order, so counters know when indices mean others.
fn stamp(documents: &Documents) -> u128 {
    let mut hasher = blake3::Hasher::new();
    let groups = [documents.accounts.keys().collect::<Vec<_>>(), documents.trunks.keys().collect(), documents.carriers.keys().collect()];
    for names in groups {
        hasher.update(&(names.len() as u64).to_be_bytes());
        for name in names {
            hasher.update(&(name.len() as u64).to_be_bytes());
            hasher.update(name.as_bytes());
        }
    }
    // Parents are part of what counters keep of an account.
    for account in documents.accounts.values() {
        hasher.update(account.parent.as_deref().unwrap_or_default().as_bytes());
        hasher.update(&[0]);
    }
    let mut first = [0u8; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(first)
}

fn carrier(check: &mut Check<'_>, name: &str, spec: &control::Carrier, trunk_parties: &BTreeSet<&str>, sources: &mut Vec<(String, Source)>) -> CarrierView {
    check.name("", name);
    check.name("deck", &spec.deck);
    if spec.addresses.is_empty() {
        check.wrong("addresses", "is empty: calls have nowhere to go");
    }
    let mut addresses = Vec::new();
    for (i, text) in spec.addresses.iter().enumerate() {
        let field = format!("addresses[{i}]");
        match text.parse::<SocketAddr>() {
            Ok(addr) if addr.port() > 0 => {
                sources.push((field, Source::host(addr.ip(), Some(addr.port()))));
                addresses.push(addr);
            }
            _ => check.wrong(field, format!("'{text}' is not an address to send to: want IP:PORT, as 192.0.2.7:5060")),
        }
    }
    sources.extend(check.sources("sources", &spec.sources));
    if !spec.prefix.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#')) {
        check.wrong("prefix", format!("'{}' cannot stand before a number: want digits, '+', '*' or '#'", spec.prefix));
    }
    if let Some(channels) = spec.channels {
        check.at_least_one("channels", channels, "to stop a carrier set suspended: true");
    }
    if let Some(cps) = spec.cps {
        check.at_least_one("cps", cps, "to stop a carrier set suspended: true");
    }
    let timers = [("first_response_ms", spec.timers.first_response_ms), ("pdd_ms", spec.timers.pdd_ms), ("no_answer_ms", spec.timers.no_answer_ms)];
    for (field, value) in timers {
        if let Some(ms) = value {
            check.at_least_one(&format!("timers.{field}"), ms, "leave it out to use the node's");
        }
    }
    let (advance_on, stop_on) = (check.statuses("advance_on", &spec.advance_on), check.statuses("stop_on", &spec.stop_on));
    for code in advance_on.iter().filter(|c| stop_on.contains(c)) {
        check.wrong("stop_on", format!("{code} is in advance_on too: a response either moves on or stops"));
    }
    CarrierView {
        name: name.to_owned(),
        addresses,
        deck: spec.deck.clone(),
        prefix: spec.prefix.clone(),
        channels: spec.channels,
        cps: spec.cps,
        route_class: spec.route_class.clone(),
        emergency: spec.emergency,
        suspended: spec.suspended,
        party: Some(spec.party.clone().unwrap_or_else(|| name.to_owned())).filter(|p| trunk_parties.contains(p.as_str())),
        timers: spec.timers.clone(),
        advance_on,
        stop_on,
    }
}

fn account(
    check: &mut Check<'_>,
    name: &str,
    spec: &control::Account,
    documents: &Documents,
    accounts: &HashMap<String, AccountIx>,
    carriers: &HashMap<String, CarrierIx>,
) -> AccountView {
    check.name("", name);
    check.name("sell_deck", &spec.sell_deck);
    check.at_least_one("max_attempts", spec.max_attempts, "a call needs one carrier at least");
    let limit_e8 = check.decimal("credit_limit", spec.credit_limit.as_ref(), AMOUNT_PLACES);
    let prepaid = spec.billing == control::Billing::Prepaid;
    if !(1..=3_600).contains(&spec.slice_s) {
        check.wrong("slice_s", format!("{} is no slice: want 1 to 3600 seconds", spec.slice_s));
    }
    for (i, pct) in spec.warn_pct.iter().enumerate() {
        if !(1..100).contains(pct) || i > 0 && spec.warn_pct[i - 1] >= *pct {
            check.wrong(format!("warn_pct[{i}]"), format!("{pct} is no mark here: want 1 to 99, rising"));
        }
    }
    let credit = (prepaid || limit_e8.is_some()).then(|| CreditView {
        limit_e8: limit_e8.unwrap_or(0),
        currency: documents.currencies.get(&spec.sell_deck).cloned().unwrap_or_else(|| "USD".to_owned()),
        prepaid,
        warn_pct: spec.warn_pct.iter().copied().map(u32::from).collect(),
    });
    if let Some(policy) = spec.fraud_policy.as_deref()
        && policy != "default"
        && !documents.fraud_policies.contains_key(policy)
    {
        check.wrong("fraud_policy", format!("there is no fraud policy '{policy}'"));
    }
    let mut own = Vec::new();
    for (i, carrier) in spec.carriers.iter().enumerate() {
        match carriers.get(carrier) {
            Some(ix) => own.push(*ix),
            None => check.wrong(format!("carriers[{i}]"), format!("there is no carrier '{carrier}'")),
        }
    }
    let parent = spec.parent.as_ref().and_then(|parent| accounts.get(parent).copied());
    if let Some(wanted) = &spec.parent
        && parent.is_none()
    {
        check.wrong("parent", format!("there is no account '{wanted}'"));
    }
    AccountView {
        name: name.to_owned(),
        parent,
        root: root(check, name, documents),
        sell_deck: spec.sell_deck.clone(),
        credit,
        has_credit: false,
        slice_s: spec.slice_s,
        fraud_policy: spec.fraud_policy.clone(),
        carriers: own,
        max_attempts: spec.max_attempts,
        margin_guard: spec.margin_guard,
        test: spec.test,
    }
}

/// The top of an account's hierarchy; a hierarchy that comes back to the account has none.
fn root(check: &mut Check<'_>, name: &str, documents: &Documents) -> String {
    let mut seen = BTreeSet::from([name]);
    let mut at = name;
    while let Some(parent) = documents.accounts.get(at).and_then(|a| a.parent.as_deref()) {
        if parent == name {
            check.wrong("parent", format!("'{name}' comes back to itself over its parents"));
        }
        if !documents.accounts.contains_key(parent) || !seen.insert(parent) {
            break;
        }
        at = parent;
    }
    at.to_owned()
}

/// `asks_names`: its account does.
fn trunk(check: &mut Check<'_>, name: &str, spec: &control::Trunk, asks_names: bool, accounts: &HashMap<String, AccountIx>, tables: &Tables) -> TrunkView {
    check.name("", name);
    let account = accounts.get(&spec.account).copied();
    if account.is_none() {
        check.wrong("account", format!("there is no account '{}'", spec.account));
    }
    check.at_least_one("channels", spec.channels, "remove the trunk to close it");
    check.at_least_one("cps", spec.cps, "remove the trunk to close it");
    number_plan(check, &spec.numbers, tables);
    let mut emergency = Vec::new();
    for (i, text) in spec.emergency.iter().enumerate() {
        let plain: String = text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
        if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#')) {
            check.wrong(format!("emergency[{i}]"), format!("'{text}' cannot be dialled: want digits, '*' or '#'"));
        }
        emergency.push(plain);
    }
    let dial = &spec.dial;
    if let Some(limit) = dial.group_channels {
        check.at_least_one("dial.group_channels", limit, "deny prefixes instead");
    }
    TrunkView {
        name: name.to_owned(),
        account: account.unwrap_or(AccountIx(0)),
        channels: spec.channels,
        cps: spec.cps,
        burst: spec.burst,
        numbers: spec.numbers.clone(),
        require_cli: spec.require_cli,
        party: spec.party.clone(),
        relay_503: spec.relay_503,
        trust_npdi: spec.trust_npdi,
        cnam: spec.cnam || asks_names,
        emergency,
        dial: Dial {
            international: dial.international,
            premium: dial.premium,
            high_risk: dial.high_risk,
            unknown: dial.unknown,
            test_numbers: dial.test_numbers,
            hot_numbers: dial.hot_numbers,
            max_rate_e12: check.decimal("dial.max_rate", dial.max_rate.as_ref(), RATE_PLACES),
            daily_spend_e8: check.decimal("dial.daily_spend", dial.daily_spend.as_ref(), AMOUNT_PLACES),
            allow: check.prefixes("dial.allow", &dial.allow),
            deny: check.prefixes("dial.deny", &dial.deny),
            group_channels: dial.group_channels.unwrap_or(spec.channels),
            hot_spot_channels: dial.hot_spot_channels,
            hot_spot_calls_12h: dial.hot_spot_calls_12h,
        },
    }
}

fn number_plan(check: &mut Check<'_>, plan: &control::NumberPlan, tables: &Tables) {
    if plan.country_code.is_empty() {
        if !plan.national_prefix.is_empty() {
            check.wrong("numbers.national_prefix", "needs numbers.country_code: a national number has a country");
        }
    } else if tables.country_digits(&plan.country_code) != Some(plan.country_code.len()) {
        check.wrong("numbers.country_code", format!("'{}' is not an assigned country code: want its digits, as 44", plan.country_code));
    }
    for (i, prefix) in plan.international_prefixes.iter().enumerate() {
        check.digits(format!("numbers.international_prefixes[{i}]"), prefix);
    }
    if !plan.national_prefix.is_empty() {
        check.digits("numbers.national_prefix", &plan.national_prefix);
    }
    if plan.national_min > plan.national_max || plan.national_max > 15 {
        check.wrong("numbers.national_max", format!("lengths {} to {} make no sense: want national_min <= national_max <= 15", plan.national_min, plan.national_max));
    }
}
