//! Messages that carry several audio frames, one after the other.

/// Adds up the samples of the frames in `data`; `next` tells samples and length of the frame that
/// what is left begins with. `None` if `data` does not begin with a frame.
pub(crate) fn sum_samples(
    mut data: &[u8],
    next: impl Fn(&[u8]) -> Option<(u32, usize)>,
) -> Option<u32> {
    let mut sum: Option<u32> = None;
    while let Some((samples, length)) = next(data) {
        sum = Some(sum.unwrap_or(0).saturating_add(samples));
        data = data.get(length.max(1)..).unwrap_or_default();
    }
    sum
}
