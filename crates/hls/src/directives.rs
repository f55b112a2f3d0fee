//! Delivery directives: what a player adds to the address of a playlist (HLS §6.2.5).

use crate::Window;

/// What a player asks of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// `_HLS_msn`: answer when this segment is there …
    pub segment: Option<u64>,
    /// `_HLS_part`: … or this part of it.
    pub part: Option<u64>,
    /// `_HLS_skip`: older segments need not be listed.
    pub skip: bool,
}

/// What is wrong with directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectiveError {
    /// §6.2.5.2: a part belongs to a segment.
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutSegment,
    /// A number was expected.
    #[error("_HLS_msn and _HLS_part are numbers")]
    NotANumber,
    /// There is no other value.
    #[error("_HLS_skip is YES or v2")]
    UnknownSkip,
}

/// When directives can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The playlist has what was asked for.
    Now,
    /// It will.
    Later,
    /// Nothing that is about to come: the player is wrong (§6.2.5.2).
    TooFar,
}

impl Directives {
    /// Reads them from the query of an address; other parameters are not looked at.
    ///
    /// # Errors
    /// [`DirectiveError`] for a directive that means nothing.
    pub fn parse(query: &str) -> Result<Self, DirectiveError> {
        let mut found = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || value.parse().map_err(|_| DirectiveError::NotANumber);
            match key {
                "_HLS_msn" => found.segment = Some(number()?),
                "_HLS_part" => found.part = Some(number()?),
                "_HLS_skip" => match value {
                    "YES" | "v2" => found.skip = true,
                    _ => return Err(DirectiveError::UnknownSkip),
                },
                _ => {}
            }
        }
        if found.part.is_some() && found.segment.is_none() {
            return Err(DirectiveError::PartWithoutSegment);
        }
        Ok(found)
    }

    /// When `window` can answer them.
    #[must_use]
    pub fn answer(&self, window: &Window) -> Answer {
        let Some(wanted) = self.segment else { return Answer::Now };
        let (next, parts) = window.position();
        if window.has_ended() || wanted < next {
            return Answer::Now;
        }
        // The last segment of the playlist is the one before `next`.
        if wanted > next.saturating_add(1) {
            return Answer::TooFar;
        }
        match self.part {
            Some(part) if wanted == next && part < parts => Answer::Now,
            _ => Answer::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_among_other_parameters() {
        let read = |query| Directives::parse(query);
        let expected = Directives { segment: Some(5), part: Some(2), skip: true };
        assert_eq!(read("session_id=x&_HLS_msn=5&_HLS_part=2&_HLS_skip=YES"), Ok(expected));
        assert_eq!(read(""), Ok(Directives::default()));
        assert_eq!(read("_HLS_part=1"), Err(DirectiveError::PartWithoutSegment));
        assert_eq!(read("_HLS_msn=-1"), Err(DirectiveError::NotANumber));
        assert_eq!(read("_HLS_msn=99999999999999999999"), Err(DirectiveError::NotANumber));
        assert_eq!(read("_HLS_skip=maybe"), Err(DirectiveError::UnknownSkip));
    }
}
