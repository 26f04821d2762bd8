//! What of a leg, beside answer and duration, fees depend on.

/// What happened to a leg before it was answered or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegContext {
    pub answered: bool,
    /// Attempts of this leg, answered or not: one for a customer's call, one for each INVITE a carrier got. 0: one more answer
    /// of a leg that is counted elsewhere, which owes no fee but that of the answer.
    pub attempts: u32,
    /// From the first 18x to the answer, or to the end of a leg that was not answered.
    pub ringing_ms: u64,
}

impl Default for LegContext {
    /// Answered at the first attempt, at once.
    fn default() -> LegContext {
        LegContext { answered: true, attempts: 1, ringing_ms: 0 }
    }
}

impl LegContext {
    /// One more answer of a leg whose first is charged by itself.
    pub fn further_answer() -> LegContext {
        LegContext { answered: true, attempts: 0, ringing_ms: 0 }
    }

    /// One attempt that was not answered.
    pub fn unanswered(ringing_ms: u64) -> LegContext {
        LegContext { answered: false, attempts: 1, ringing_ms }
    }
}
