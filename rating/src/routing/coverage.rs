//! Where calls can go and over whom (S1-85), and where all of them hang on one network (S1-27).

use std::collections::BTreeSet;

use super::{Reason, RouteQuery, RouteTable};

/// A prefix that is sold and who takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub prefix: String,
    pub destination: String,
    /// Carriers that would be tried, with their classes, by name.
    pub carriers: Vec<(String, String)>,
    /// Different networks behind them.
    pub upstreams: usize,
}

/// What to warn of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nobody takes it: calls are refused with `no_route`.
    NoCarrier,
    /// One network only, however many carriers: `diversity=1`.
    OneUpstream,
}

impl Cover {
    pub fn gap(&self) -> Option<Gap> {
        match self.upstreams {
            0 => Some(Gap::NoCarrier),
            1 => Some(Gap::OneUpstream),
            _ => None,
        }
    }
}

impl Gap {
    pub fn name(self) -> &'static str {
        match self {
            Gap::NoCarrier => "no_route",
            Gap::OneUpstream => "diversity=1",
        }
    }
}

/// Who takes each of these sold prefixes (digits, destination) at an instant, as a call to the prefix itself would be routed by
/// `query`, whose number does not count. One prefix after the other: what is longer than a prefix is asked for on its own.
pub fn cover<'s>(table: &'s RouteTable, sold: impl Iterator<Item = (&'s str, &'s str)> + 's, query: RouteQuery<'s>) -> impl Iterator<Item = Cover> + 's {
    sold.map(move |(prefix, destination)| {
        let decision = table.candidates(&RouteQuery { number: prefix, max_attempts: 0, ..query });
        let mut carriers: Vec<(String, String)> = decision
            .order
            .iter()
            .map(|c| (decision.name(c).to_owned(), decision.terms(c).route_class))
            .collect();
        carriers.sort();
        let upstreams: BTreeSet<&str> = decision.order.iter().map(|c| decision.carrier(c.carrier).upstream.as_str()).collect();
        debug_assert!(decision.left_out.iter().all(|l| l.reason != Reason::BeyondMaxAttempts));
        Cover { prefix: prefix.to_owned(), destination: destination.to_owned(), upstreams: upstreams.len(), carriers }
    })
}
