//! Asking memory for what will be read soon, so that the wait for it goes by while other things are computed. A load whose
//! value nobody uses would do the same and yet hold up everything behind it once the processor has too many of them open.

/// A hint that `slice[at]` is read soon. Nothing is read; where the machine has no such hint nothing happens at all.
#[inline(always)]
pub(super) fn fetch<T>(slice: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(place) = slice.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint about the address of a live reference; the instruction neither reads nor faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, at);
}
