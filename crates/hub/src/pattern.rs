//! Which streams a rule is about.

/// Whether `name` has the form of `pattern`: `*` stands for any characters, slashes included, `?`
/// for one. Takes time in proportion to the product of both lengths at worst.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.chars(), name.chars());
    // Where to go on when the guess of how much the last `*` stands for was wrong.
    let mut retry = None;
    loop {
        let before = rest.clone();
        match (pattern.next(), rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((pattern.clone(), before.clone()));
                rest = before;
            }
            (Some('?'), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => {
                let Some((after_star, mut skipped)) = retry.take() else { return false };
                if skipped.next().is_none() {
                    return false;
                }
                (pattern, rest) = (after_star.clone(), skipped.clone());
                retry = Some((after_star, skipped));
            }
        }
    }
}
