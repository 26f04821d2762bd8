//! Leaving alone a source that does not answer, so that calls do not each wait for nothing.
//!
//! So many failures in a row, each of another number, are a doubt: perhaps the source is away, perhaps it is silent on these numbers
//! only, and who dials chooses them. Where a number is known that it answered before, that one is asked: an answer ends the doubt,
//! silence leaves the source alone. Without such a number the failures themselves do. After a while one look-up tries whether it is
//! back, and everything follows that one.

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
    /// It is asked, perhaps in doubt.
    Closed,
    Open,
    /// One look-up is out to see whether the source is back.
    Probing,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// Ask for the number that was answered before, and tell [`Circuit::succeeded`] or [`Circuit::unchecked`].
    Check,
    /// It is left alone from now on.
    LeftAlone,
}

#[derive(Debug)]
enum At {
    Closed { failures: u32 },
    /// A number that was answered before is asked for.
    Doubted,
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
            At::Closed { .. } | At::Doubted => CircuitState::Closed,
            At::Open { .. } => CircuitState::Open,
            At::Probing => CircuitState::Probing,
        }
    }

    /// Whether the source may be asked now. What comes of it must be told.
    pub fn allows(&mut self, now_ns: u64) -> bool {
        match self.at {
            At::Closed { .. } | At::Doubted => true,
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

    /// It did not answer. `known`: there is another number to ask for, which it answered before.
    pub fn failed(&mut self, known: bool, now_ns: u64) -> Next {
        match &mut self.at {
            At::Closed { failures } => {
                *failures += 1;
                if *failures < self.rules.failures {
                    return Next::Nothing;
                }
                if known {
                    self.at = At::Doubted;
                    return Next::Check;
                }
                self.leave_alone(now_ns);
                Next::LeftAlone
            }
            // What was asked before fails now: nothing new.
            At::Doubted | At::Open { .. } => Next::Nothing,
            At::Probing => {
                self.leave_alone(now_ns);
                Next::Nothing
            }
        }
    }

    /// The number that was answered before was not answered this time; true when the source is left alone from now on.
    pub fn unchecked(&mut self, now_ns: u64) -> bool {
        let doubted = matches!(self.at, At::Doubted);
        // An answer to another number came first: there is no doubt any more.
        if doubted || matches!(self.at, At::Probing) {
            self.leave_alone(now_ns);
        }
        doubted
    }

    fn leave_alone(&mut self, now_ns: u64) {
        self.at = At::Open { until_ns: now_ns.saturating_add(self.rules.open_ns) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u64 = 10_000_000_000;

    fn circuit() -> Circuit {
        Circuit::new(CircuitRules { failures: 5, open_ns: OPEN })
    }

    #[test]
    fn r_04_a_source_that_fails_five_times_in_a_row_is_left_alone_and_then_tried_by_one_call() {
        let mut circuit = circuit();
        for _ in 0..4 {
            assert!(circuit.allows(0) && circuit.failed(false, 0) == Next::Nothing);
        }
        // One answer between: counted from the beginning.
        assert!(!circuit.succeeded());
        for _ in 0..4 {
            assert_eq!(circuit.failed(false, 1), Next::Nothing);
        }
        assert!(circuit.failed(false, 1) == Next::LeftAlone && circuit.state() == CircuitState::Open);
        assert_eq!(circuit.failed(false, 2), Next::Nothing, "what was out already changes nothing");
        assert!(!circuit.allows(OPEN));
        assert!(circuit.allows(OPEN + 1), "one goes to see");
        assert!(!circuit.allows(OPEN + 1) && circuit.state() == CircuitState::Probing, "and only one");
        assert_eq!(circuit.failed(false, OPEN + 5), Next::Nothing);
        assert!(!circuit.allows(2 * OPEN) && circuit.allows(2 * OPEN + 5));
        assert!(circuit.succeeded() && circuit.state() == CircuitState::Closed && circuit.allows(0));
    }

    #[test]
    fn r_04_silence_on_some_numbers_is_no_silence_of_the_source() {
        let mut circuit = circuit();
        let doubt = |circuit: &mut Circuit| {
            for _ in 0..4 {
                assert_eq!(circuit.failed(true, 0), Next::Nothing);
            }
            assert_eq!(circuit.failed(true, 0), Next::Check);
            assert!(circuit.allows(0) && circuit.state() == CircuitState::Closed, "meanwhile it is asked");
            assert_eq!(circuit.failed(true, 0), Next::Nothing, "once");
        };
        for _ in 0..3 {
            doubt(&mut circuit);
            assert!(!circuit.succeeded(), "the number that was answered before is answered again");
        }
        doubt(&mut circuit);
        assert!(circuit.unchecked(0) && circuit.state() == CircuitState::Open, "it is not answered any more");
        // An answer to another number is as good as the one that was asked for.
        assert!(circuit.succeeded());
        doubt(&mut circuit);
        circuit.succeeded();
        assert!(!circuit.unchecked(0) && circuit.state() == CircuitState::Closed);
    }
}
