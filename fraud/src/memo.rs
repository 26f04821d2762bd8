//! What was already said about a key: the cool-down and the block of each rule's verdicts.

use tollgate_schemas::id::Id;

use crate::{destinations::Watch, features::Feature, policy::Rule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A rule by what it judges, so that it is known again after its policy changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleKey {
    pub feature: Feature,
    pub watch: Watch,
    pub window_us: i64,
}

impl RuleKey {
    pub fn of(rule: &Rule) -> RuleKey {
        RuleKey { feature: rule.feature, watch: rule.watch, window_us: rule.window_us }
    }
}

/// The last verdicts of one rule on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memo {
    pub rule: RuleKey,
    pub warned_us: Option<i64>,
    pub critical_us: Option<i64>,
    /// The last block this rule placed for this key; nil when none.
    pub block: Id,
    pub block_until_us: i64,
    pub lifted: bool,
}

impl Memo {
    pub fn new(rule: RuleKey) -> Memo {
        Memo { rule, warned_us: None, critical_us: None, block: Id::NIL, block_until_us: 0, lifted: false }
    }

    fn block_stands(&self, now_us: i64) -> bool {
        self.block != Id::NIL && !self.lifted && now_us < self.block_until_us
    }

    /// Until when this verdict is not raised again; `None` when it may be raised now.
    ///
    /// A critical verdict waits for its block to go, and then not for the cool-down: a threshold hit again after the
    /// block expired or was lifted is a new block. Nothing is warned of while the block stands.
    pub fn quiet_until(&self, severity: Severity, now_us: i64, cool_down_us: i64) -> Option<i64> {
        if self.block_stands(now_us) {
            return Some(self.block_until_us);
        }
        let last = match severity {
            Severity::Warning => self.warned_us,
            Severity::Critical if self.block != Id::NIL => None,
            Severity::Critical => self.critical_us,
        };
        last.map(|at| at + cool_down_us).filter(|until| now_us < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_31_a_verdict_is_quiet_while_its_block_stands_and_no_longer() {
        let rule = RuleKey { feature: Feature::Spend, watch: Watch::All, window_us: 1 };
        let mut memo = Memo { warned_us: Some(5), critical_us: Some(10), block: Id(7), block_until_us: 100, ..Memo::new(rule) };
        assert_eq!(memo.quiet_until(Severity::Critical, 99, 1_000), Some(100));
        assert_eq!(memo.quiet_until(Severity::Warning, 99, 1_000), Some(100));
        assert_eq!(memo.quiet_until(Severity::Critical, 100, 1_000), None, "expired");
        assert_eq!(memo.quiet_until(Severity::Warning, 100, 1_000), Some(1_005), "the cool-down of warnings goes on");
        memo.lifted = true;
        assert_eq!(memo.quiet_until(Severity::Critical, 50, 1_000), None, "lifted");
    }
}
