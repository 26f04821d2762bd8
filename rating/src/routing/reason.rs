//! Why a carrier was left out, in the order the filters are asked.

/// A filter that took a carrier out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Suspended,
    NotAllowedForAccount,
    /// The call came from this carrier or its party.
    Loop,
    NotEmergencyCapable,
    NoPrefix,
    /// Prefixes match, none has a row in force.
    NotEffective,
    /// The carrier's row says it does not take this prefix.
    Blocked,
    /// Not of a class the account buys.
    RouteClass,
    /// Margin guard: cost and price are in different currencies.
    CurrencyMismatch,
    /// Margin guard: there is no price to compare with.
    NoSellPrice,
    ///
    NegativeMargin,
    /// Dearer than as many others as may be tried.
    BeyondMaxAttempts,
}

impl Reason {
    pub const ALL: [Reason; 12] = [
        Reason::Suspended, Reason::NotAllowedForAccount, Reason::Loop, Reason::NotEmergencyCapable, Reason::NoPrefix,
        Reason::NotEffective, Reason::Blocked, Reason::RouteClass, Reason::CurrencyMismatch, Reason::NoSellPrice,
        Reason::NegativeMargin, Reason::BeyondMaxAttempts,
    ];

    /// The word in events and explanations.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Suspended => "suspended",
            Reason::NotAllowedForAccount => "not_allowed_for_account",
            Reason::Loop => "loop",
            Reason::NotEmergencyCapable => "not_emergency_capable",
            Reason::NoPrefix => "no_prefix",
            Reason::NotEffective => "not_effective",
            Reason::Blocked => "blocked",
            Reason::RouteClass => "route_class",
            Reason::CurrencyMismatch => "currency_mismatch",
            Reason::NoSellPrice => "no_sell_price",
            Reason::NegativeMargin => "negative_margin",
            Reason::BeyondMaxAttempts => "beyond_max_attempts",
        }
    }
}
