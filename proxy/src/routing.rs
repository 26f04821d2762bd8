//! What the proxy asks of routing and pricing. The rating crate answers; the root binary joins them.

use std::{ops::DerefMut, sync::Arc};

use tollgate_schemas::{
    codec::CodecClass,
    parties::Parties,
    time::Now,
    v1::{Fx, RouteChoice, Terms, Tier},
};

use crate::{
    admission::{CallView, CarrierIx, Policy, Prices, Shut, TrunkIx},
    sip::core::Gate,
};

/// One carrier to try, in the order of the decision.
#[derive(Debug, Clone)]
pub struct Route {
    pub carrier: CarrierIx,
    /// What the carrier charges; none on emergency routes without a price.
    pub cost: Option<Terms>,
    pub rank: u32,
}

pub struct RouteQuery<'a> {
    pub account: &'a str,
    pub trunk: TrunkIx,
    pub parties: &'a Parties<'a>,
    /// The account's name of the destination; empty for an emergency call.
    pub dest_group: &'a str,
    pub at_us: i64,
    pub emergency: bool,
    /// Of the call's offer: whose figures its carriers are judged by.
    pub codec_class: CodecClass,
    /// What the house is paid: the row of the account at the top of the hierarchy.
    pub revenue: Option<&'a Terms>,
    /// From 0 to 999,999: decides splits and exploration, so that a decision can be made again.
    pub draw_e6: u32,
    /// Carriers that get no call now. They are left out last, for this reason, before the most attempts are counted.
    pub shut: &'a [(CarrierIx, Shut)],
}

pub struct Routes {
    pub routes: Vec<Route>,
    /// Every carrier with its place or the reason it was left out.
    pub choices: Vec<RouteChoice>,
    /// By what they were ordered: the route policy's name, `lcr` without one, or `emergency`.
    pub policy: String,
    /// Name of the quality snapshot the order was made from; empty where quality had no say.
    pub quality_snapshot: String,
}

pub trait Routing: Prices + Send + Sync {
    fn routes(&self, query: &RouteQuery<'_>) -> Routes;

    /// True when no price changes between two instants: what was found at the first holds at the second.
    fn unchanged(&self, from_us: i64, to_us: i64) -> bool;

    /// A carrier's row in force at an instant.
    fn cost(&self, carrier: CarrierIx, parties: &Parties<'_>, at_us: i64) -> Option<Terms>;

    /// What a deck charges at an instant, whoever buys from it now: for calls that are rated again. `sells`: with what is added to a
    /// customer's leg, else to a carrier's. `None`: there is no row in force, or no such deck.
    fn by_deck(&self, deck: &str, sells: bool, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let _ = (deck, sells, parties, at_us);
        None
    }

    fn has_deck(&self, deck: &str) -> bool {
        let _ = deck;
        false
    }

    /// Whether a deck's prices by jurisdiction go by the number of the caller's switch, which no CDR keeps.
    fn by_switch(&self, deck: &str) -> bool {
        let _ = deck;
        false
    }

    /// The rate of an instant's day; none = the two do not meet.
    fn fx(&self, from: &str, to: &str, at_us: i64) -> Option<Fx> {
        let _ = (from, to, at_us);
        None
    }

    /// The account's row in force at an instant, and the rows of the accounts above.
    fn sell_at(&self, account: &str, parties: &Parties<'_>, at_us: i64) -> Option<(Terms, Vec<Tier>)>;
}

/// Everything a call is decided by, compiled from control up to one position and swapped whole.
pub struct Plan {
    pub policy: Policy,
    pub routing: Box<dyn Routing>,
    pub control_position: u64,
}

impl Plan {
    /// The carriers of a call now: without those that a block keeps it from, and without those that are full, as far as their
    /// turn would be now. Whether the others are full is seen when their turn comes. Gives what was left out of the documents'
    /// choice, too.
    pub fn open_routes<G: DerefMut<Target = Gate>>(&self, query: &RouteQuery<'_>, call: &CallView<'_>, now: Now, gate: impl Fn() -> G) -> (Routes, Vec<(CarrierIx, Shut)>) {
        let mut shut = gate().admission.carriers_blocked(&self.policy, call, now);
        loop {
            let routes = self.routing.routes(&RouteQuery { shut: &shut, ..*query });
            let before = shut.len();
            let mut gate = gate();
            for route in &routes.routes {
                let Some(full) = gate.admission.carrier_full(&self.policy, route.carrier, query.emergency, now) else { break };
                shut.push((route.carrier, Shut::Full(full)));
            }
            // Each time round leaves out carriers that were in the order before.
            if shut.len() == before || shut.len() > self.policy.carriers().len() {
                return (routes, shut);
            }
        }
    }
}

/// A plan shared by the shards.
pub type SharedPlan = Arc<Plan>;
