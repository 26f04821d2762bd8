//! Ratios with their confidence, in whole numbers: what a few samples can and cannot say.

/// Lower end of Wilson's 95 % interval of `hits` out of `of`, in 1e-6; 0 of nothing. R-37: 15/30 → 0.332, 50/100 → 0.404.
pub fn wilson_lower_e6(hits: u64, of: u64) -> u32 {
    if of == 0 {
        return 0;
    }
    let (k, n) = (u128::from(hits.min(of)), u128::from(of));
    // z = 1.96: z² = 3.8416, z²/2 = 1.9208, z²/4 = 0.9604.
    let root_e6 = (k * (n - k) * 1_000_000_000_000 / n + 960_400_000_000).isqrt();
    let above_e6 = (k * 1_000_000 + 1_920_800).saturating_sub(root_e6 * 196 / 100);
    (above_e6 * 1_000_000 / (n * 1_000_000 + 3_841_600)) as u32
}

/// A plain ratio in 1e-6; 0 of nothing.
pub fn ratio_e6(part: u64, of: u64) -> u32 {
    if of == 0 {
        return 0;
    }
    (u128::from(part) * 1_000_000 / u128::from(of)).min(1_000_000) as u32
}

/// How many standard deviations `hits` out of `of` lie above what is usual (1e-6 of a ratio), in 1e-2. What is usual is taken
/// for 1 to 99 %: nothing is certain.
pub fn z_e2(hits: u64, of: u64, usual_e6: u32) -> i32 {
    if of == 0 {
        return 0;
    }
    let usual = i128::from(usual_e6.clamp(10_000, 990_000));
    let spread_e6 = ((usual * (1_000_000 - usual)) as u128 / u128::from(of)).isqrt().max(1) as i128;
    let z = (i128::from(ratio_e6(hits, of)) - usual) * 100 / spread_e6;
    z.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// The middle one; of an even count the lower of the two in the middle.
pub fn median<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}
