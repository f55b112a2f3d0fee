//! What somebody may have meant who mistyped a word.

/// Longer words are not compared: the effort grows with the square, and no key is that long.
const MAX_LENGTH: usize = 64;

/// The candidate that differs least from `word`, if it differs little enough to be what was meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let tolerance = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, candidate)?, candidate)))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's: how many letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> Option<usize> {
    let b: Vec<char> = b.chars().collect();
    if a.chars().count() > MAX_LENGTH || b.len() > MAX_LENGTH {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let replaced = diagonal + usize::from(x != *y);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied()
}

/// `a`, `b` and `c`.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            text.push_str(if i + 1 == items.len() { " and " } else { ", " });
        }
        text.push_str(item.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), Some(expected), "{a} {b}");
        }
        assert_eq!(distance(&"a".repeat(65), "a"), None);
    }

    #[test]
    fn only_small_mistakes_have_a_nearest() {
        let words = ["listen", "chunk_size", "enable"];
        assert_eq!(nearest("chunksize", words), Some("chunk_size"));
        assert_eq!(nearest("Enabled", words), Some("enable"));
        assert_eq!(nearest("gop_num", words), None);
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
