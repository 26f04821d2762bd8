//! Why a call is refused: a closed enum in the order of precedence of admission (design §3). Each has one SIP status
//! and one Q.850 cause by default; profile and jurisdiction may change the status only.

/// A refusal is a value with one meaning, not a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// From an address nobody announced: dropped in silence, the status is only for the record (S1-16c).
    UnknownSource,
    /// The request cannot be served as SIP: P-01's checks.
    BadRequest,
    UriScheme,
    BadExtension,
    LoopDetected,
    TooManyHops,
    Merged,
    /// The node: stopping, not ready, or its log cannot take new calls. Never for emergency calls.
    Draining,
    LogUnavailable,
    Overload,
    /// Normalisation could not make an E.164 number (S1-05).
    InvalidNumber,
    /// Calls per second of the trunk (P-45, S1-17): no Retry-After.
    CpsLimit,
    /// A block placed by the fraud stage or by a person (F-30).
    Blocked,
    /// The caller's number is missing or invalid where the trunk requires one.
    InvalidCli,
    /// Dial policy of the trunk (S1-54, §5.4).
    InternationalOff,
    PremiumOff,
    HighRiskOff,
    /// No country's code begins the number.
    UnknownDestination,
    /// On a list of test numbers, or of numbers known for abuse.
    ListedNumber,
    DestinationDenied,
    /// Nobody sells this destination to the account.
    NoSellPrice,
    /// The sell row is marked blocked.
    RateBlocked,
    /// Dearer per minute than the trunk may dial (F-17).
    RateTooHigh,
    /// The day's spend of the trunk is used up (F-17).
    SpendCap,
    /// Concurrent calls of the trunk (S1-17).
    ChannelLimit,
    /// Concurrent calls of account and destination group (F-16): the guard a burst cannot outrun.
    GroupLimit,
    /// Calls to a high-risk destination beyond one channel and one call in 12 h (§5.4).
    HotSpotLimit,
    /// The account's credit does not cover the hold (FN-06).
    Credit,
    /// No carrier covers the destination, or every one was left out.
    NoRoute,
    /// Carriers take the destination, and each of them is blocked or full now.
    CarrierUnavailable,
}

impl Refusal {
    pub const ALL: [Refusal; 30] = [
        Refusal::UnknownSource, Refusal::BadRequest, Refusal::UriScheme, Refusal::BadExtension, Refusal::LoopDetected, Refusal::TooManyHops,
        Refusal::Merged, Refusal::Draining, Refusal::LogUnavailable, Refusal::Overload, Refusal::InvalidNumber,
        Refusal::CpsLimit, Refusal::Blocked, Refusal::InvalidCli, Refusal::InternationalOff, Refusal::PremiumOff,
        Refusal::HighRiskOff, Refusal::UnknownDestination, Refusal::ListedNumber, Refusal::DestinationDenied, Refusal::NoSellPrice, Refusal::RateBlocked,
        Refusal::RateTooHigh, Refusal::SpendCap, Refusal::ChannelLimit, Refusal::GroupLimit, Refusal::HotSpotLimit,
        Refusal::Credit, Refusal::NoRoute, Refusal::CarrierUnavailable,
    ];

    /// The machine's word for it, in events, CDRs (`block_reason`) and metrics.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Default SIP status.
    pub fn sip_code(self) -> u16 {
        self.row().1
    }

    /// Default Q.850 cause.
    pub fn q850(self) -> u8 {
        self.row().2
    }

    /// Reason phrase: says what the customer may know, never which rule (P-61).
    pub fn phrase(self) -> &'static str {
        self.row().3
    }

    /// Retry-After belongs to the whole node's overload only (fact 9, P-44).
    pub fn retry_after(self) -> bool {
        matches!(self, Refusal::Draining | Refusal::LogUnavailable | Refusal::Overload)
    }

    fn row(self) -> (&'static str, u16, u8, &'static str) {
        match self {
            Refusal::UnknownSource => ("unknown_source", 403, 21, "Forbidden"),
            Refusal::BadRequest => ("bad_request", 400, 127, "Bad Request"),
            Refusal::UriScheme => ("uri_scheme", 416, 127, "Unsupported URI Scheme"),
            Refusal::BadExtension => ("bad_extension", 420, 127, "Bad Extension"),
            Refusal::LoopDetected => ("loop_detected", 482, 25, "Loop Detected"),
            Refusal::TooManyHops => ("too_many_hops", 483, 25, "Too Many Hops"),
            Refusal::Merged => ("merged", 482, 25, "Merged Request"),
            Refusal::Draining => ("draining", 503, 41, "Service Unavailable"),
            Refusal::LogUnavailable => ("log_unavailable", 503, 41, "Service Unavailable"),
            Refusal::Overload => ("overload", 503, 42, "Service Unavailable"),
            Refusal::InvalidNumber => ("invalid_number", 484, 28, "Address Incomplete"),
            Refusal::CpsLimit => ("cps_limit", 503, 42, "Call Rate Limit Reached"),
            Refusal::Blocked => ("blocked", 403, 21, "Forbidden"),
            Refusal::InvalidCli => ("invalid_cli", 403, 21, "Caller Number Not Accepted"),
            Refusal::InternationalOff => ("international_off", 403, 21, "Destination Not Allowed"),
            Refusal::PremiumOff => ("premium_off", 403, 21, "Destination Not Allowed"),
            Refusal::HighRiskOff => ("high_risk_off", 403, 21, "Destination Not Allowed"),
            Refusal::UnknownDestination => ("unknown_destination", 404, 3, "Unknown Destination"),
            Refusal::ListedNumber => ("listed_number", 403, 21, "Destination Not Allowed"),
            Refusal::DestinationDenied => ("destination_denied", 403, 21, "Destination Not Allowed"),
            Refusal::NoSellPrice => ("no_sell_price", 404, 3, "Unknown Destination"),
            Refusal::RateBlocked => ("rate_blocked", 403, 21, "Destination Not Allowed"),
            Refusal::RateTooHigh => ("rate_too_high", 403, 21, "Destination Not Allowed"),
            Refusal::SpendCap => ("spend_cap", 403, 21, "Spend Limit Reached"),
            Refusal::ChannelLimit => ("channel_limit", 503, 34, "Channel Limit Reached"),
            Refusal::GroupLimit => ("group_limit", 403, 21, "Destination Limit Reached"),
            Refusal::HotSpotLimit => ("hot_spot_limit", 403, 21, "Destination Limit Reached"),
            Refusal::Credit => ("credit", 402, 21, "Payment Required"),
            Refusal::NoRoute => ("no_route", 404, 3, "No Route To Destination"),
            Refusal::CarrierUnavailable => ("carrier_unavailable", 503, 34, "No Circuit Available"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_its_own_name_and_a_final_status() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        assert!(Refusal::ALL.windows(2).all(|w| w[0] < w[1]), "ALL is in order of precedence and complete");
        assert!(Refusal::ALL.iter().all(|r| (400..700).contains(&r.sip_code()) && r.q850() > 0));
    }

    #[test]
    fn p_45_trunk_limits_never_ask_to_avoid_the_whole_node() {
        assert!(!Refusal::CpsLimit.retry_after() && !Refusal::ChannelLimit.retry_after());
    }
}
