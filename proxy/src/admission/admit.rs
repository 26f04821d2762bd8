//! The decision and its order (design §3 point 2): normalise → emergency → node → calls per second → blocks, caller's number,
//! dial policy → sell price → day's spend → channels → group → hot spot → credit. Every limit is asked before anything
//! is taken, so a refusal has nothing to give back; the one thing spent by asking is the CPS token.

use tollgate_schemas::{
    control::{Listed, ListedAction},
    id::Id,
    money::{format_amount, format_rate},
    number::E164,
    parties::Parties,
    portability::Told,
    refusal::Refusal,
    v1::{CallFacts, Terms, Tier},
};

use super::{
    AccountView, Admission, Admitted, Attempt, Awaits, CallView, Called, Halt, NodeState, Policy, Prices, Refused, Sell, TrunkView,
    classify::{CallerValidity, Class, NumberType},
    counters::{MAX_CALLS, calls::Call},
    credit::CallHold,
    normalise::{Dialled, NormError, caller, resolve},
    portability::{self, Known, Lookup},
};

/// How long into a call a trunk's limit on prices looks, where the price changes by the clock or by the time into the call.
const DEAREST_WITHIN_S: u64 = 3_600;

/// What is known of a call so far; whatever the verdict, its event says all of it.
struct Case {
    facts: CallFacts,
    validity: CallerValidity,
    a_e164: Option<E164>,
    called: Option<E164>,
    sell: Option<Terms>,
    tiers: Vec<Tier>,
    a_routing: Option<E164>,
    known: Known,
    a_name: String,
}

/// A verdict against a call, or none yet.
enum No {
    Refused { refusal: Refusal, detail: String, block: Option<(Id, Option<u16>)> },
    Waits { awaits: Awaits, within_ms: u32 },
}

fn no<T>(refusal: Refusal, detail: impl Into<String>) -> Result<T, No> {
    Err(No::Refused { refusal, detail: detail.into(), block: None })
}

/// Where a call that passes takes its place.
struct Place {
    group: u32,
    hold_e8: i64,
    holds: Vec<CallHold>,
}

impl Admission {
    /// Admits a call and reserves its place, or refuses it and reserves nothing. Emergency calls are admitted whatever
    /// the limits, blocks, money and the node say (P-50, fact 13).
    #[expect(clippy::result_large_err, reason = "as it was decided")]
    pub fn admit(&mut self, policy: &Policy, prices: &dyn Prices, attempt: &Attempt<'_>) -> Result<Admitted, Refused> {
        match self.decide(policy, prices, attempt, Lookup::AtOnce) {
            Ok(admitted) => Ok(admitted),
            Err(Halt::Refused(refused)) => Err(*refused),
            Err(Halt::Waits { .. }) => unreachable!("a decision at once does not wait"),
        }
    }

    /// As [`Admission::admit`], for a call that may wait for what is known of its number. Of a decision that waits only the
    /// CPS token is spent; it is not asked for again with the answer.
    pub fn decide(&mut self, policy: &Policy, prices: &dyn Prices, attempt: &Attempt<'_>, lookup: Lookup<'_>) -> Result<Admitted, Halt> {
        self.adopt(policy);
        let trunk = policy.trunk(attempt.trunk);
        let account = policy.account(trunk.account);
        let dialled = Dialled::read(attempt.dialled);
        let (validity, a_e164) = caller(policy.tables(), &trunk.numbers, attempt.a_user);
        let mut case = Case { facts: facts(trunk, account, validity), validity, a_e164, called: None, sell: None, tiers: Vec::new(), a_routing: None, known: Known::default(), a_name: String::new() };

        if let Some(string) = emergency(trunk, dialled.as_ref().ok(), attempt) {
            return Ok(self.admit_emergency(policy, attempt, case, string));
        }
        match self.judge(policy, prices, attempt, lookup, dialled, &mut case) {
            Ok((number, place)) => Ok(self.admit_ordinary(policy, attempt, case, number, place)),
            Err(No::Waits { awaits, within_ms }) => Err(Halt::Waits { awaits, within_ms }),
            Err(No::Refused { refusal, detail, block }) => Err(Halt::Refused(Box::new(Refused {
                refusal,
                sip_code: block.and_then(|(_, code)| code).unwrap_or(refusal.sip_code()),
                detail,
                facts: case.facts,
                called: case.called,
                a_e164: case.a_e164,
                block: block.map(|(id, _)| id),
                sell: case.sell,
            }))),
        }
    }

    /// Asks every limit in order. Changes counters of time only (the CPS token, what has accrued).
    fn judge(
        &mut self,
        policy: &Policy,
        prices: &dyn Prices,
        attempt: &Attempt<'_>,
        lookup: Lookup<'_>,
        dialled: Result<Dialled, NormError>,
        case: &mut Case,
    ) -> Result<(E164, Place), No> {
        let trunk = policy.trunk(attempt.trunk);
        let account = policy.account(trunk.account);
        let (trunk_at, account_at) = (self.trunk_state(attempt.trunk), self.account_state(trunk.account));
        let now = attempt.now;

        match attempt.node {
            NodeState::Open if self.is_full() => return no(Refusal::Overload, format!("{MAX_CALLS} calls are up")),
            NodeState::Open => {}
            NodeState::Draining => return no(Refusal::Draining, "the node is stopping"),
            NodeState::LogSlow => return no(Refusal::LogUnavailable, "commits are slow"),
            NodeState::LogFailing => return no(Refusal::LogUnavailable, "commits fail"),
            NodeState::Overloaded => return no(Refusal::Overload, "the node is overloaded"),
        }

        let normalised = match dialled.and_then(|d| resolve(policy.tables(), &trunk.numbers, &d)) {
            Ok(normalised) => normalised,
            Err(e) => return no(Refusal::InvalidNumber, e.rule),
        };
        let number = normalised.number;
        let class = policy.tables().class(&number);
        case.called = Some(number);
        let listed = policy.number_lists().find(&number, now.utc_us);
        let class = Class { high_risk: class.high_risk || listed.is_some(), ..class };
        describe(&mut case.facts, trunk, &number, &class);
        case.facts.b_listed = listed.map(|(list, name)| format!("{}:{name}", list.name())).unwrap_or_default();
        case.facts.b_valid = normalised.valid;
        case.facts.norm_rules = normalised.rules.join(",");
        if !normalised.valid && trunk.numbers.refuse_invalid {
            return no(Refusal::InvalidNumber, "norm.not_in_plan");
        }

        if !lookup.is_again()
            && let Some(detail) = self.over_cps(trunk_at, trunk, now)
        {
            return no(Refusal::CpsLimit, detail);
        }

        // Looked up before it is judged: blocks speak of destination groups, and a refusal's event says the price.
        // Both are asked before either is waited for.
        let caller = (case.validity, case.a_e164.as_ref());
        let known = portability::find(&self.portability, lookup, trunk, attempt.dialled, &number, now.utc_us, &mut case.facts);
        let named = portability::name(&self.caller_names, lookup, trunk, attempt.shown, caller, now.utc_us, &mut case.facts);
        (case.known, case.a_name) = match (known, named) {
            (Ok(known), Ok(name)) => (known, name),
            (known, named) => {
                let within_ms = known.as_ref().err().max(named.as_ref().err()).copied().unwrap_or(0);
                let awaits = Awaits { number: known.is_err().then_some(number), name: case.a_e164.filter(|_| named.is_err()) };
                return Err(No::Waits { awaits, within_ms });
            }
        };
        case.a_routing = attempt.a_user.filter(|_| trunk.trust_npdi).and_then(|user| Told::of(user).rn);
        let parties = Parties {
            a: case.a_e164,
            a_validity: case.validity,
            a_routing: case.a_routing,
            called: number.digits(),
            lrn: case.known.lrn.as_ref(),
            place: case.known.place.as_deref(),
            dipped: case.facts.lrn_source == "dip",
            named: case.facts.cnam_source == "dip",
        };
        let sale = prices.sell(&account.name, &parties, now.utc_us);
        sale.geography.describe(&mut case.facts);
        let row_blocked = matches!(sale.sell, Sell::Blocked(_));
        if let Sell::Terms(terms) | Sell::Blocked(terms) = sale.sell {
            case.facts.b_dest_group.clone_from(&terms.destination);
            case.sell = Some(terms);
        }
        case.tiers = sale.tiers;

        self.judge_blocks(attempt, case)?;
        if trunk.require_cli && case.validity != CallerValidity::Valid {
            return no(Refusal::InvalidCli, format!("the caller's number is {}", case.validity.name()));
        }
        judge_dialling(trunk, &number, &class, listed, case.facts.international)?;

        let Some(sell) = &case.sell else {
            return no(Refusal::NoSellPrice, format!("deck {} has no price", account.sell_deck));
        };
        if row_blocked {
            return no(Refusal::RateBlocked, format!("row {} of deck {}", sell.prefix, sell.deck));
        }
        if let Some(max) = trunk.dial.max_rate_e12 {
            let dearest = sell.dearest_e12(now.utc_us, DEAREST_WITHIN_S);
            if dearest > max {
                return no(Refusal::RateTooHigh, format!("{} a minute, at most {}", format_rate(dearest), format_rate(max)));
            }
        }

        let hold_e8 = sell.charge(now.utc_us, u64::from(account.slice_s) * 1_000).amount_e8.max(0);
        if let Some(cap) = trunk.dial.daily_spend_e8 {
            let spent = self.spent_today(trunk_at, now);
            if spent.saturating_add(hold_e8) > cap {
                return no(Refusal::SpendCap, format!("{} spent today, at most {}", format_amount(spent), format_amount(cap)));
            }
        }

        let channels = self.trunks[trunk_at as usize].channels;
        let share = self.trunk_channels(trunk_at, trunk.channels, now);
        if channels >= share && share < trunk.channels {
            return no(Refusal::ChannelLimit, format!("{channels} calls are up, this node's share is {share} of {}", trunk.channels));
        }
        if channels >= share {
            return no(Refusal::ChannelLimit, format!("{channels} calls are up, at most {}", trunk.channels));
        }

        let state = &mut self.accounts[account_at as usize];
        let Some(group) = state.group(&sell.destination, now.utc_us) else {
            return no(Refusal::GroupLimit, "calls to too many destination groups are up");
        };
        let calls = state.group_state(group);
        if calls.calls >= trunk.dial.group_channels {
            return no(Refusal::GroupLimit, format!("{} calls to {} are up, at most {}", calls.calls, sell.destination, trunk.dial.group_channels));
        }
        if class.high_risk {
            if calls.hot_calls >= trunk.dial.hot_spot_channels {
                return no(Refusal::HotSpotLimit, format!("{} calls to {} are up, at most {}", calls.hot_calls, sell.destination, trunk.dial.hot_spot_channels));
            }
            let lately = calls.hot.as_mut().map_or(0, |hot| hot.calls(now.utc_us));
            if lately >= u64::from(trunk.dial.hot_spot_calls_12h) {
                return no(Refusal::HotSpotLimit, format!("{lately} calls to {} in 12 h, at most {}", sell.destination, trunk.dial.hot_spot_calls_12h));
            }
        }

        let own = account.name.as_str();
        let pays = |name: &str| if name == own { case.sell.as_ref() } else { case.tiers.iter().find(|t| t.account == name)?.terms.as_ref() };
        match self.judge_credit(policy, trunk.account, pays, now) {
            Ok(holds) => Ok((number, Place { group, hold_e8, holds })),
            Err((refusal, detail)) => no(refusal, detail),
        }
    }

    fn judge_blocks(&self, attempt: &Attempt<'_>, case: &Case) -> Result<(), No> {
        if self.blocks.is_empty() {
            return Ok(());
        }
        let (a, b) = (case.a_e164.as_ref().map_or("", E164::digits), case.called.as_ref().map_or("", E164::digits));
        let view = CallView::of(&case.facts, a, b, Some(attempt.source.ip()));
        match self.blocked(&view, attempt.now) {
            Some(block) => Err(No::Refused {
                refusal: Refusal::Blocked,
                detail: if block.rule.is_empty() { block.reason.clone() } else { format!("{}: {}", block.rule, block.reason) },
                block: Some((block.id, block.sip_code)),
            }),
            None => Ok(()),
        }
    }

    fn admit_ordinary(&mut self, policy: &Policy, attempt: &Attempt<'_>, case: Case, number: E164, place: Place) -> Admitted {
        let trunk = policy.trunk(attempt.trunk);
        let (trunk_at, account_at) = (self.trunk_state(attempt.trunk), self.account_state(trunk.account));
        let mut call = Call::new(trunk_at, account_at, Some(place.group), place.hold_e8);
        if case.facts.b_risk_flag == HIGH {
            call.hot = true;
            call.hot_since_us = Some(attempt.now.utc_us);
            let group = self.accounts[account_at as usize].group_state(place.group);
            group.hot.get_or_insert_default().add(attempt.now.utc_us, 1);
        }
        self.take_holds(&place.holds, attempt.now);
        call.holds = place.holds;
        let slot = self.put(call);
        let holds = self.credit_holds(&slot);
        Admitted { facts: case.facts, called: Called::Number(number), a_e164: case.a_e164, a_validity: case.validity, a_routing: case.a_routing, lrn: case.known.lrn, place: case.known.place, a_name: case.a_name, sell: case.sell, tiers: case.tiers, hold_e8: place.hold_e8, holds, slot }
    }

    fn admit_emergency(&mut self, policy: &Policy, attempt: &Attempt<'_>, case: Case, string: String) -> Admitted {
        let trunk = policy.trunk(attempt.trunk);
        let mut facts = case.facts;
        facts.emergency = true;
        "emergency".clone_into(&mut facts.service_type);
        "emergency".clone_into(&mut facts.b_dest_group);
        "short".clone_into(&mut facts.b_number_type);
        "none".clone_into(&mut facts.b_risk_flag);
        "emergency".clone_into(&mut facts.norm_rules);
        facts.b_country.clone_from(&trunk.numbers.country_code);
        facts.b_valid = true;
        let slot = self.put(Call::emergency(self.trunk_state(attempt.trunk), self.account_state(trunk.account)));
        Admitted { facts, called: Called::Emergency(string), a_e164: case.a_e164, a_validity: case.validity, a_routing: None, lrn: None, place: None, a_name: String::new(), sell: None, tiers: Vec::new(), hold_e8: 0, holds: Vec::new(), slot }
    }
}

const HIGH: &str = "high";

/// The emergency string, when the whole of what was dialled is one of the trunk's, or the URN was; never a prefix.
fn emergency(trunk: &TrunkView, dialled: Option<&Dialled>, attempt: &Attempt<'_>) -> Option<String> {
    if attempt.urn_sos {
        return Some("sos".to_owned());
    }
    let text = dialled?.text();
    trunk.emergency.iter().find(|string| *string == text).cloned()
}

/// What the trunk and the caller say of a call.
fn facts(trunk: &TrunkView, account: &AccountView, validity: CallerValidity) -> CallFacts {
    CallFacts {
        account: account.name.clone(),
        root_account: account.root.clone(),
        trunk: trunk.name.clone(),
        auth_method: "ip".to_owned(),
        transport: "udp".to_owned(),
        direction: "outbound".to_owned(),
        billing: account.billing().to_owned(),
        service_type: if account.test { "test" } else { "voice" }.to_owned(),
        a_validity: validity.name().to_owned(),
        b_number_type: NumberType::Unknown.name().to_owned(),
        b_risk_flag: "none".to_owned(),
        ..CallFacts::default()
    }
}

/// What the called number says.
fn describe(facts: &mut CallFacts, trunk: &TrunkView, number: &E164, class: &Class) {
    class.country(number).clone_into(&mut facts.b_country);
    class.kind.name().clone_into(&mut facts.b_number_type);
    if class.high_risk {
        HIGH.clone_into(&mut facts.b_risk_flag);
    }
    if class.kind == NumberType::TollFree && facts.service_type == "voice" {
        "tollfree".clone_into(&mut facts.service_type);
    }
    // A plan without a country has no domestic numbers: the safe reading, since the switch is off by default.
    facts.international = trunk.numbers.country_code.is_empty() || class.country(number) != trunk.numbers.country_code;
}

/// The trunk's switches; its allow list passes them, its deny list nothing passes (F-32).
fn judge_dialling(trunk: &TrunkView, number: &E164, class: &Class, listed: Option<(Listed, &str)>, international: bool) -> Result<(), No> {
    let dial = &trunk.dial;
    let digits = number.digits();
    if dial.allow.longest(digits).is_none() {
        if international && !dial.international {
            return no(Refusal::InternationalOff, format!("country {}", class.country(number)));
        }
        if class.kind == NumberType::Premium && !dial.premium {
            return no(Refusal::PremiumOff, "a premium number");
        }
        if class.high_risk && !dial.high_risk {
            return no(Refusal::HighRiskOff, "on the high-risk list");
        }
        if class.country_digits == 0 && !dial.unknown {
            return no(Refusal::UnknownDestination, "no country's code begins it");
        }
        let reject = |(list, _): &(Listed, &str)| *if *list == Listed::Test { &dial.test_numbers } else { &dial.hot_numbers } == ListedAction::Reject;
        if let Some((list, name)) = listed.filter(reject) {
            return no(Refusal::ListedNumber, format!("{} number of list {name}", list.name()));
        }
    }
    match dial.deny.longest(digits) {
        Some((len, ())) => no(Refusal::DestinationDenied, format!("prefix {}", &digits[..len])),
        None => Ok(()),
    }
}
