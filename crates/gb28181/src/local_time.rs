//! Times as devices write them: local, in the form of ISO 8601 without a zone
//! (`2025-12-31T23:59:59`).

use std::time::Duration;

/// A time as devices set their clocks by: local, in the form of ISO 8601 without a zone.
pub(crate) fn to_text(since_1970: Duration, offset: i32) -> String {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX / 2) + i64::from(offset);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years begin in March here, so that the odd day is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let millis = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// Reads a time, in seconds since 1970. Some devices have a blank in the place of the `T`, or leave
/// zeros in front away; what is behind the seconds is passed over.
pub(crate) fn parse(text: &str, offset: i32) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut numbers = date.splitn(3, '-').chain(time.splitn(3, ':')).map(|digits| {
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse::<i64>().ok().filter(|number| *number <= 9999)
    });
    let mut next = |range: std::ops::RangeInclusive<i64>| {
        numbers.next().flatten().filter(|number| range.contains(number))
    };
    let (year, month, day) = (next(1970..=9999)?, next(1..=12)?, next(1..=31)?);
    let (hour, minute, second) = (next(0..=24)?, next(0..=59)?, next(0..=60)?);
    // Years begin in March here, so that the odd day is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    let days = days + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - i64::from(offset);
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| to_text(Duration::from_secs(seconds), 0);
        assert_eq!(at(0), "1970-01-01T00:00:00.000");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59.000");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000");
        let new_year = Duration::from_millis(1_767_196_799_250);
        assert_eq!(to_text(new_year, 8 * 3600), "2025-12-31T23:59:59.250");
    }

    #[test]
    fn times_are_read_as_devices_write_them() {
        let at = |text| parse(text, 8 * 3600);
        let new_year = Some(1_767_196_799);
        for text in [
            "2025-12-31T23:59:59",
            " 2025-12-31 23:59:59 ",
            "2025-12-31T23:59:59.250",
            "2025-12-31T23:59:59Z",
        ] {
            assert_eq!(at(text), new_year, "{text}");
        }
        assert_eq!(at("2025-1-1T0:0:0"), at("2025-01-01T00:00:00"));
        for text in ["", "2025-12-31", "2025-13-01T00:00:00", "T", "2025-12-31T", "a-b-cTd:e:f"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0u64..253_000_000_000, offset in -43_200..43_200_i32) {
            let seconds = seconds + 86_400;
            let text = to_text(Duration::from_secs(seconds), offset);
            prop_assert_eq!(parse(&text, offset), Some(seconds));
        }

        #[test]
        fn anything_is_survived(text in ".{0,40}", offset: i32) {
            let _ = parse(&text, offset);
        }
    }
}
