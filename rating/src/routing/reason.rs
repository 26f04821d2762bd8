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
    /// Its class lies below the policy's floor (S1-08).
    ClassFloor,
    /// It does not guarantee the calling number, and the policy wants that.
    CliNotGuaranteed,
    /// Its answer-seizure or network-effectiveness ratio lies below the policy's floor (S1-08).
    QualityFloor,
    /// False answer supervision is suspected (F-05).
    FalseAnswer,
    /// Margin guard: cost and price are in different currencies.
    CurrencyMismatch,
    /// Margin guard: there is no price to compare with.
    NoSellPrice,
    ///
    NegativeMargin,
    /// A block keeps the call from it: the node's, not the documents'.
    CarrierBlocked,
    /// It is full now: its concurrent calls, or its calls a second.
    CarrierChannels,
    CarrierCps,
    /// Dearer than as many others as may be tried.
    BeyondMaxAttempts,
}

impl Reason {
    pub const ALL: [Reason; 19] = [
        Reason::Suspended, Reason::NotAllowedForAccount, Reason::Loop, Reason::NotEmergencyCapable, Reason::NoPrefix,
        Reason::NotEffective, Reason::Blocked, Reason::RouteClass, Reason::ClassFloor,
        Reason::CliNotGuaranteed, Reason::QualityFloor, Reason::FalseAnswer, Reason::CurrencyMismatch, Reason::NoSellPrice,
        Reason::NegativeMargin, Reason::CarrierBlocked, Reason::CarrierChannels, Reason::CarrierCps, Reason::BeyondMaxAttempts,
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
            Reason::ClassFloor => "class_floor",
            Reason::CliNotGuaranteed => "cli_not_guaranteed",
            Reason::QualityFloor => "quality_floor",
            Reason::FalseAnswer => "false_answer",
            Reason::CurrencyMismatch => "currency_mismatch",
            Reason::NoSellPrice => "no_sell_price",
            Reason::NegativeMargin => "negative_margin",
            Reason::CarrierBlocked => "carrier_blocked",
            Reason::CarrierChannels => "carrier_channels",
            Reason::CarrierCps => "carrier_cps",
            Reason::BeyondMaxAttempts => "beyond_max_attempts",
        }
    }
}
