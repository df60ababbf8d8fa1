//! The examples for Prometheus and Grafana name metrics that there are (06 §14).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::launch::{Running, free_port};
use moxi_test_support::{Memcached, scrape};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DASHBOARD: &str = include_str!("../../examples/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../examples/prometheus-alerts.yaml");

/// The metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| ["moxi_", "memcached_", "process_"].iter().any(|start| word.starts_with(start))).collect()
}

#[test]
fn every_metric_of_the_examples_is_there() {
    let (port, memcached, metrics) = (free_port(), free_port(), free_port());
    let server = Memcached::start(&[]);
    let (z, behavior) = (format!("{port}=127.0.0.1:{}", server.port()), format!("metrics={metrics},time_stats=1"));
    let words = ["-z", &z, "-Z", &behavior, "-p", &memcached.to_string(), "-U", "0"];
    let _moxi = Running::listening(port, &words);
    let page = scrape::metrics(metrics);
    for (text, least) in [(DASHBOARD, 20), (ALERTS, 8)] {
        let named = named(text);
        assert!(named.len() >= least, "{named:?}");
        let missing: Vec<_> = named.difference(&page.names()).copied().collect();
        assert_eq!(missing, [""; 0]);
    }
}

/// The JSON of a YAML file, by the tool of the repository.
fn documents(name: &str) -> serde_json::Value {
    let output = Command::new(format!("{ROOT}/t/yaml2json")).arg(format!("{ROOT}/examples/{name}")).output();
    let output = output.expect("python3 with yaml (t/need python3-yaml)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn they_are_well_formed() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert!(panels.len() > 8 && ids.len() == panels.len(), "{ids:?}");
    for panel in panels {
        assert!(
            panel["targets"].as_array().expect("targets").iter().all(|target| target["expr"].is_string()),
            "{panel}"
        );
    }
    let alerts = documents("prometheus-alerts.yaml");
    for rule in alerts[0]["groups"][0]["rules"].as_array().expect("rules") {
        for part in ["alert", "expr"] {
            assert!(rule[part].is_string(), "{rule}");
        }
        assert!(rule["labels"]["severity"].is_string() && rule["annotations"]["summary"].is_string(), "{rule}");
    }
    let scraping = documents("prometheus.yml");
    assert_eq!(scraping[0]["rule_files"], serde_json::json!(["prometheus-alerts.yaml"]));
    assert_eq!(scraping[0]["scrape_configs"][0]["job_name"], "moxi");
}

/// What Prometheus itself says, if its tool is there.
#[test]
fn promtool_takes_them() {
    for words in [["check", "rules", "prometheus-alerts.yaml"], ["check", "config", "prometheus.yml"]] {
        let output = Command::new("promtool").args(words).current_dir(Path::new(ROOT).join("examples")).output();
        let Ok(output) = output else {
            eprintln!("skipped: no promtool here (Debian: prometheus; t/need promtool)");
            return;
        };
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
