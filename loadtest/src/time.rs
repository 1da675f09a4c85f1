//! Times and shares as people write them.

use std::time::Duration;

/// Reads `30s`, `500ms`, `250us`, `2m`, `1h`.
///
/// # Errors
/// Says what is wrong, as a sentence.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{text:?} has no unit; write it like 30s, 500ms or 2m")),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("{text:?} is no time"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("{text:?} is no time"))
}

/// Reads `25%` as 0.25: above 0, at most 100 %.
///
/// # Errors
/// Says what is wrong, as a sentence.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err(format!("{text:?} is no share; write it like 25%, above 0 and at most 100%")),
    }
}

/// The same time in microseconds.
pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time in few words: `40 ms`, `2.5 s`, `3 min`.
pub(crate) fn words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 => (s, "s"),
        s => (s * 1_000.0, "ms"),
    };
    let rounded = (number * 10.0).round() / 10.0;
    format!("{rounded} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), duration("1.5m"));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        for bad in ["5", "s", "-1s", "5 parsecs", "1e300h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(words(Duration::from_millis(2_500)), "2.5 s");
        assert_eq!(words(Duration::from_millis(40)), "40 ms");
    }

    #[test]
    fn shares_are_percent() {
        assert_eq!(share("25%"), Ok(0.25));
        for bad in ["25", "0%", "101%", "x%"] {
            assert!(share(bad).unwrap_err().contains("25%"), "{bad}");
        }
    }
}
