//! Which calls a rule watches. What a number *is* (risk, premium, satellite, country) is decided in one place, the
//! proxy's admission, and stamped on the call's facts; here the stamps are read, and the policy's own list of high-risk
//! prefixes is put over them. A call's classes are pinned when it is let in.

use tollgate_schemas::v1::{CallFacts, Personal};

use crate::policy::Policy;

/// `facts.b_risk_flag` of a high-risk destination.
const HIGH_RISK: &str = "high";

/// Which calls count for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Watch {
    All = 0,
    International = 1,
    HighRisk = 2,
}

impl Watch {
    pub const ALL: [Watch; 3] = [Watch::All, Watch::International, Watch::HighRisk];

    pub fn name(self) -> &'static str {
        match self {
            Watch::All => "all",
            Watch::International => "international",
            Watch::HighRisk => "high_risk",
        }
    }

    pub fn from_name(name: &str) -> Option<Watch> {
        Watch::ALL.into_iter().find(|w| w.name() == name)
    }

    /// Its place among a key's lanes.
    pub fn lane(self) -> usize {
        self as usize
    }
}

/// The set of watches a call counts for; always holds [`Watch::All`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes(pub u8);

impl Classes {
    pub const NONE: Classes = Classes(0);

    pub fn with(self, watch: Watch) -> Classes {
        Classes(self.0 | 1 << watch as u8)
    }

    pub fn has(self, watch: Watch) -> bool {
        self.0 & 1 << watch as u8 != 0
    }

    pub fn meets(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }

    /// The watches in the set.
    pub fn each(self) -> impl Iterator<Item = Watch> {
        Watch::ALL.into_iter().filter(move |w| self.has(*w))
    }
}

/// What a call counts for under its account's policy.
pub fn classify(facts: &CallFacts, personal: Option<&Personal>, policy: &Policy) -> Classes {
    let mut classes = Classes::NONE.with(Watch::All);
    if facts.international {
        classes = classes.with(Watch::International);
    }
    if facts.b_risk_flag == HIGH_RISK || listed(personal, policy) {
        classes = classes.with(Watch::HighRisk);
    }
    classes
}

/// A sealed number (a key id other than 0) cannot be looked at: the proxy's stamp stands alone then.
fn listed(personal: Option<&Personal>, policy: &Policy) -> bool {
    if policy.high_risk_prefixes.is_empty() {
        return false;
    }
    personal.filter(|p| p.key_id == 0).is_some_and(|p| {
        let digits = p.b_e164.trim_start_matches('+');
        policy.high_risk_prefixes.iter().any(|prefix| digits.starts_with(&**prefix))
    })
}
