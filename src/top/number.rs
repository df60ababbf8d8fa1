//! Numbers to a few characters. What is not known is `-`.

/// What stands for a thousand, a million, and so on.
const SCALES: [char; 5] = ['k', 'M', 'G', 'T', 'P'];

/// Something per second, with three digits: `0.0`, `9.5`, `123`, `12.3k`, `1.23M`.
pub fn rate(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    if value < 9.95 {
        return format!("{value:.1}");
    }
    if value < 999.5 {
        return format!("{value:.0}");
    }
    let (mut value, mut scale) = (value, ' ');
    for next in SCALES {
        if value < 999.5 {
            break;
        }
        (value, scale) = (value / 1000.0, next);
    }
    match value {
        _ if value < 9.995 => format!("{value:.2}{scale}"),
        _ if value < 99.95 => format!("{value:.1}{scale}"),
        _ => format!("{value:.0}{scale}"),
    }
}

/// How many there are: to the last one while that fits.
pub fn count(value: Option<u64>) -> String {
    match value {
        Some(value) if value < 1_000_000 => value.to_string(),
        value => rate(value.map(|value| value as f64)),
    }
}

/// A part of a whole.
pub fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1}%", value * 100.0))
}

/// A time in microseconds.
pub fn micros(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 999.5 => format!("{value:.0}us"),
        Some(value) if value < 9995.0 => format!("{:.2}ms", value / 1e3),
        Some(value) if value < 99_950.0 => format!("{:.1}ms", value / 1e3),
        Some(value) if value < 999_500.0 => format!("{:.0}ms", value / 1e3),
        Some(value) => format!("{:.1}s", value / 1e6),
    }
}

/// A time in seconds, with days.
pub fn uptime(seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3600 % 24, seconds / 86400);
    let time = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if days == 0 { time } else { format!("{days}d {time}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        let shown = [0.0, 0.04, 9.94, 9.96, 999.4, 999.6, 1234.0, 9996.0, 12_345.0, 99_960.0, 123_456.0, 999_600.0];
        let want = ["0.0", "0.0", "9.9", "10", "999", "1.00k", "1.23k", "10.0k", "12.3k", "100k", "123k", "1.00M"];
        assert_eq!(shown.map(|value| rate(Some(value))), want);
        assert_eq!([1e9, 1e12, 1e15, 1.8e19].map(|value| rate(Some(value))), ["1.00G", "1.00T", "1.00P", "18000P"]);
        assert_eq!(rate(None), "-");
    }

    #[test]
    fn counts_shares_and_times() {
        assert_eq!([0, 999_999, 1_000_000].map(|value| count(Some(value))), ["0", "999999", "1.00M"]);
        assert_eq!(
            (count(None), share(None), micros(None), uptime(None)),
            ("-".into(), "-".into(), "-".into(), "-".into())
        );
        assert_eq!([0.0, 0.9756, 1.0].map(|value| share(Some(value))), ["0.0%", "97.6%", "100.0%"]);
        assert_eq!(
            [0.4, 210.0, 999.6, 9_996.0, 99_960.0, 999_600.0].map(|value| micros(Some(value))),
            ["0us", "210us", "1.00ms", "10.0ms", "100ms", "1.0s"]
        );
        assert_eq!([59, 3661, 86400 * 3 + 5].map(|value| uptime(Some(value))), ["00:00:59", "01:01:01", "3d 00:00:05"]);
    }
}
