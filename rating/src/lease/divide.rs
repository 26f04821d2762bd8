//! How a limit is divided among those who ask.

/// What one of them uses and wants, of channels or calls per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub used: u32,
    pub wanted: u32,
}

/// First what is used, then what is wanted: where it does not suffice, evenly from below, so that small needs are met in
/// full. What is left over goes to all in equal parts. The parts add up to the limit, unless nobody asks.
pub fn divide(limit: u32, needs: &[Need]) -> Vec<u32> {
    let mut parts = vec![0; needs.len()];
    let mut left = limit;
    for need in [|need: &Need| need.used, |need: &Need| need.wanted, |_: &Need| u32::MAX] {
        let mut open: Vec<(u32, usize)> = needs.iter().zip(&parts).map(|(n, part)| need(n).saturating_sub(*part)).zip(0..).collect();
        open.sort_unstable();
        let mut others = open.len() as u32;
        for (more, at) in open {
            let given = more.min(left / others);
            parts[at] += given;
            left -= given;
            others -= 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs(all: &[(u32, u32)]) -> Vec<Need> {
        all.iter().map(|(used, wanted)| Need { used: *used, wanted: *wanted }).collect()
    }

    #[test]
    fn what_is_used_goes_before_what_is_wanted_and_the_spare_is_even() {
        for (limit, asked, parts) in [
            (100, vec![(10, 20), (10, 20)], vec![50, 50]),
            (100, vec![(90, 100), (2, 8)], vec![94, 6]),
            (100, vec![(60, 80), (0, 7)], vec![86, 14]),
            (10, vec![(9, 9), (9, 9), (1, 1)], vec![4, 5, 1]),
            (100, vec![(0, 0)], vec![100]),
            (2, vec![(1, 4), (1, 4), (1, 4)], vec![0, 1, 1]),
            (7, vec![], vec![]),
        ] {
            assert_eq!(divide(limit, &needs(&asked)), parts, "{limit} to {asked:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_and_more_need_is_never_given_less(limit in 0u32..2_000, asked in prop::collection::vec((0u32..500, 0u32..500), 1..20)) {
            let needs = needs(&asked);
            let parts = divide(limit, &needs);
            prop_assert_eq!(parts.iter().sum::<u32>(), limit);
            let used: u32 = needs.iter().map(|n| n.used).sum();
            for (part, need) in parts.iter().zip(&needs) {
                prop_assert!(used > limit || *part >= need.used, "what is used is left to its user");
                prop_assert!(*part >= need.used.min(limit / needs.len() as u32), "nobody is left below an even part for another's greed");
            }
        }
    }
}
