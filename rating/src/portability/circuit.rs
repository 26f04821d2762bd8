//! Leaving alone a source that does not answer: after so many failures in a row nothing is asked for a while, so that
//! calls do not each wait for nothing; then one look-up tries whether it is back, and everything follows it.

/// When it is left alone, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct CircuitRules {
    /// Failures in a row; at least 1.
    pub failures: u32,
    pub open_ns: u64,
}

/// Where it stands, as metrics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    Closed,
    Open,
    /// One look-up is out to see whether the source is back.
    Probing,
}

#[derive(Debug)]
enum At {
    Closed { failures: u32 },
    Open { until_ns: u64 },
    Probing,
}

/// The state of one source. Times are monotonic nanoseconds.
#[derive(Debug)]
pub struct Circuit {
    rules: CircuitRules,
    at: At,
}

impl Circuit {
    pub fn new(rules: CircuitRules) -> Circuit {
        Circuit { rules: CircuitRules { failures: rules.failures.max(1), ..rules }, at: At::Closed { failures: 0 } }
    }

    pub fn state(&self) -> CircuitState {
        match self.at {
            At::Closed { .. } => CircuitState::Closed,
            At::Open { .. } => CircuitState::Open,
            At::Probing => CircuitState::Probing,
        }
    }

    /// Whether the source may be asked now. What comes of it must be told.
    pub fn allows(&mut self, now_ns: u64) -> bool {
        match self.at {
            At::Closed { .. } => true,
            At::Open { until_ns } if now_ns >= until_ns => {
                self.at = At::Probing;
                true
            }
            At::Open { .. } | At::Probing => false,
        }
    }

    /// It answered; true when it was left alone before.
    pub fn succeeded(&mut self) -> bool {
        let was_closed = self.state() == CircuitState::Closed;
        self.at = At::Closed { failures: 0 };
        !was_closed
    }

    /// It did not answer; true when it is left alone from now on.
    pub fn failed(&mut self, now_ns: u64) -> bool {
        let open = At::Open { until_ns: now_ns.saturating_add(self.rules.open_ns) };
        match &mut self.at {
            At::Closed { failures } => {
                *failures += 1;
                if *failures < self.rules.failures {
                    return false;
                }
                self.at = open;
                true
            }
            // What was asked before fails now: nothing new.
            At::Open { .. } => false,
            At::Probing => {
                self.at = open;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u64 = 10_000_000_000;

    #[test]
    fn r_04_a_source_that_fails_five_times_in_a_row_is_left_alone_and_then_tried_by_one_call() {
        let mut circuit = Circuit::new(CircuitRules { failures: 5, open_ns: OPEN });
        for _ in 0..4 {
            assert!(circuit.allows(0) && !circuit.failed(0));
        }
        // One answer between: counted from the beginning.
        assert!(!circuit.succeeded());
        for _ in 0..4 {
            assert!(!circuit.failed(1));
        }
        assert!(circuit.failed(1) && circuit.state() == CircuitState::Open);
        assert!(!circuit.failed(2), "what was out already changes nothing");
        assert!(!circuit.allows(OPEN));
        assert!(circuit.allows(OPEN + 1), "one goes to see");
        assert!(!circuit.allows(OPEN + 1) && circuit.state() == CircuitState::Probing, "and only one");
        assert!(!circuit.failed(OPEN + 5));
        assert!(!circuit.allows(2 * OPEN) && circuit.allows(2 * OPEN + 5));
        assert!(circuit.succeeded() && circuit.state() == CircuitState::Closed && circuit.allows(0));
    }
}
