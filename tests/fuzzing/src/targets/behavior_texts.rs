//! `-Z`.

use moxi::config::behavior::setting::Kind;
use moxi::config::behavior::{Behavior, KEYS};

use crate::choices::Choices;

/// Every complaint is one line. What is in force, as statistics show it, leads to itself without a complaint (but for the
/// protocol, which they show as a number), and a text that is
/// applied twice changes nothing the second time.
pub fn target(data: &[u8]) {
    let text = Choices::new(data).text();
    let (behavior, log) = Behavior::default().with_text(&text);
    for line in &log {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let (twice, log_again) = behavior.with_text(&text);
    assert_eq!((&twice, &log_again), (&behavior, &log));
    for key in KEYS.iter().filter(|key| !matches!(key.kind, Kind::Secret | Kind::Protocol)) {
        let value = key.value(&behavior);
        if value.contains([',', '#']) || value.contains(char::is_control) {
            continue; // has no place in a text
        }
        let (again, log) = Behavior::default().with_text(&format!("{}={value}", key.name));
        assert_eq!(key.value(&again), value, "{}", key.name);
        assert_eq!(log, [""; 0], "{}={value}", key.name);
    }
}
