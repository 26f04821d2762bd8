//! What is owed between two parties over time: ageing (FN-03), set-off of both directions (FN-03), the statement of account
//! with disputed amounts apart (FN-04), the accrual of what is rated and not invoiced (FN-09). Amounts in 1e-8 of one currency;
//! dates are days since 1970.

/// An invoice with what is still open of it after notes and payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub due_day: i64,
    pub amount_e8: i64,
    /// Part of it that is disputed: shown apart, and not dunned.
    pub disputed_e8: i64,
}

/// What is open by how long it is overdue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ageing {
    pub not_due_e8: i64,
    /// 1–30, 31–60, 61–90 and more days.
    pub overdue_e8: [i64; 4],
    pub disputed_e8: i64,
}

impl Ageing {
    /// Everything owed, disputed or not.
    pub fn total_e8(&self) -> i64 {
        self.overdue_e8.iter().fold(self.not_due_e8.saturating_add(self.disputed_e8), |sum, n| sum.saturating_add(*n))
    }

    /// What a reminder may ask for.
    pub fn dunned_e8(&self) -> i64 {
        self.overdue_e8.iter().fold(0, |sum: i64, n| sum.saturating_add(*n))
    }
}

/// FN-03: what is open, by age. An invoice is not overdue on its due day.
pub fn ageing(open: &[Open], today: i64) -> Ageing {
    let mut out = Ageing::default();
    for invoice in open {
        let disputed = invoice.disputed_e8.clamp(0, invoice.amount_e8.max(0));
        out.disputed_e8 = out.disputed_e8.saturating_add(disputed);
        let undisputed = invoice.amount_e8.saturating_sub(disputed);
        let bucket = match today.saturating_sub(invoice.due_day) {
            ..=0 => &mut out.not_due_e8,
            1..=30 => &mut out.overdue_e8[0],
            31..=60 => &mut out.overdue_e8[1],
            61..=90 => &mut out.overdue_e8[2],
            _ => &mut out.overdue_e8[3],
        };
        *bucket = bucket.saturating_add(undisputed);
    }
    out
}

/// Set-off between a party that buys from us and sells to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Netting {
    /// Taken off both sides.
    pub set_off_e8: i64,
    /// What is left of either; one of them is 0.
    pub they_pay_e8: i64,
    pub we_pay_e8: i64,
}

/// FN-03: both directions netted. Amounts of 0 or more, undisputed, in one currency.
pub fn net(they_owe_e8: i64, we_owe_e8: i64) -> Netting {
    let (they, we) = (they_owe_e8.max(0), we_owe_e8.max(0));
    let set_off_e8 = they.min(we);
    Netting { set_off_e8, they_pay_e8: they - set_off_e8, we_pay_e8: we - set_off_e8 }
}

/// A line of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Invoice(i64),
    DebitNote(i64),
    CreditNote(i64),
    Payment(i64),
}

/// FN-04: opening and closing balance with what moved between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statement {
    pub opening_e8: i64,
    pub invoiced_e8: i64,
    pub credited_e8: i64,
    pub paid_e8: i64,
    pub closing_e8: i64,
    /// Of the closing balance; shown separately and left out of dunning.
    pub disputed_e8: i64,
}

pub fn statement(opening_e8: i64, entries: &[Entry], disputed_e8: i64) -> Statement {
    let mut out = Statement { opening_e8, disputed_e8, ..Statement::default() };
    for entry in entries {
        let (sum, amount) = match entry {
            Entry::Invoice(e8) | Entry::DebitNote(e8) => (&mut out.invoiced_e8, *e8),
            Entry::CreditNote(e8) => (&mut out.credited_e8, *e8),
            Entry::Payment(e8) => (&mut out.paid_e8, *e8),
        };
        *sum = sum.saturating_add(amount);
    }
    out.closing_e8 = opening_e8.saturating_add(out.invoiced_e8).saturating_sub(out.credited_e8).saturating_sub(out.paid_e8);
    out
}

/// FN-09: what was rated until a date and is on no invoice: Σ rated − Σ invoiced, exact.
pub fn accrual(rated_e8: i128, invoiced_usage_e8: i128) -> i128 {
    rated_e8 - invoiced_usage_e8
}

#[cfg(test)]
mod tests {
    use super::*;

    const E8: i64 = 100_000_000;

    #[test]
    fn fn_03_what_is_open_falls_into_the_bucket_of_its_age() {
        let day = |n: i64, amount: i64| Open { due_day: 20_000 - n, amount_e8: amount * E8, disputed_e8: 0 };
        // Due tomorrow, today, and 1, 30, 31, 60, 61, 90, 91 days ago.
        let open: Vec<Open> = [(-1, 1), (0, 2), (1, 4), (30, 8), (31, 16), (60, 32), (61, 64), (90, 128), (91, 256)].map(|(n, a)| day(n, a)).to_vec();
        let aged = ageing(&open, 20_000);
        assert_eq!((aged.not_due_e8, aged.overdue_e8), (3 * E8, [12 * E8, 48 * E8, 192 * E8, 256 * E8]));
        assert_eq!(aged.total_e8(), 511 * E8);
    }

    #[test]
    fn fn_04_disputed_amounts_are_apart_and_not_dunned() {
        let aged = ageing(&[Open { due_day: 0, amount_e8: 100 * E8, disputed_e8: 30 * E8 }], 10);
        assert_eq!((aged.overdue_e8[0], aged.disputed_e8, aged.dunned_e8(), aged.total_e8()), (70 * E8, 30 * E8, 70 * E8, 100 * E8));
        let s = statement(50 * E8, &[Entry::Invoice(100 * E8), Entry::CreditNote(5 * E8), Entry::Payment(60 * E8), Entry::DebitNote(2 * E8)], 30 * E8);
        assert_eq!((s.invoiced_e8, s.credited_e8, s.paid_e8, s.closing_e8, s.disputed_e8), (102 * E8, 5 * E8, 60 * E8, 87 * E8, 30 * E8));
    }

    #[test]
    fn fn_03_both_directions_are_set_off_to_the_cent() {
        // We billed 12,345.67, they billed 10,000.01.
        assert_eq!(net(1_234_567_000_000, 1_000_001_000_000), Netting { set_off_e8: 1_000_001_000_000, they_pay_e8: 234_566_000_000, we_pay_e8: 0 });
        assert_eq!(net(5, 9), Netting { set_off_e8: 5, they_pay_e8: 0, we_pay_e8: 4 });
    }
}
