//! Where the maximum charge of a tariff ends a call that is up (R-17, `at_max: disconnect`): the customer's, that of an account
//! above, or the carrier's, whichever comes first. Emergency calls are ended by none.

use tollgate_schemas::time::Now;

use super::{NEVER, ms};
use crate::sip::call::Call;

/// So much before the maximum would be passed, since a timer that comes late would cost an increment more.
const AHEAD_MS: u64 = 100;

/// When a call ends by its charge, on the monotonic clock; [`NEVER`] when nothing ends it. `n`: the attempt that was answered.
/// Asked once the terms of the answer are known.
pub(super) fn charge_limit_ms(call: &Call, n: usize, now: Now) -> u64 {
    let Some(answered) = call.answered.filter(|_| !call.facts.emergency) else { return NEVER };
    let cost = call.attempts.get(n).and_then(|a| a.route.cost.as_ref());
    let above = call.tiers.iter().filter_map(|t| t.terms.as_ref());
    let legs = call.sell.as_ref().into_iter().chain(above).chain(cost);
    let Some(end_ms) = legs.filter_map(|terms| terms.end_at_ms(answered.utc_us)).min() else { return NEVER };
    ms(now).saturating_add(end_ms.saturating_sub(AHEAD_MS).saturating_sub(call.answered_for_ms(now)))
}
