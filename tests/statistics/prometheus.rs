//! Prometheus itself asks moxi, as the examples say, and has an answer to every question of the dashboard and the alerts.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use moxi_test_support::process::Process;
use moxi_test_support::scrape::{Response, get};
use moxi_test_support::{Memcached, Wire, moxi, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::launch::{free_port, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SCRAPING: &str = include_str!("../../examples/prometheus.yml");
const DASHBOARD: &str = include_str!("../../examples/grafana-dashboard.json");

/// A Prometheus that runs.
struct Prometheus {
    port: u16,
    _process: Process,
}

impl Prometheus {
    /// Starts it with the configuration of the examples, for the metrics at `target`. `None`: it is not installed.
    fn start(directory: &Path, target: u16) -> Option<Prometheus> {
        let has_it = Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        has_it.ok()?;
        let port = free_port();
        let scraping = SCRAPING.replace("127.0.0.1:9150", &format!("127.0.0.1:{target}"));
        let scraping = scraping.replace("scrape_interval: 15s", "scrape_interval: 200ms");
        assert!(scraping.contains("200ms") && scraping.contains(&target.to_string()), "{scraping}");
        fs::write(directory.join("prometheus.yml"), scraping).expect("written");
        let rules = Path::new(ROOT).join("examples/prometheus-alerts.yaml");
        fs::copy(rules, directory.join("prometheus-alerts.yaml")).expect("copied");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", text(&directory.join("prometheus.yml"))));
        command.arg(format!("--storage.tsdb.path={}", text(&directory.join("data"))));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start("prometheus", &mut command).end_with(Signal::SIGTERM);
        wait_for("Prometheus", || {
            Wire::try_connect("prometheus", port).is_ok_and(|mut wire| {
                wire.send(get("/-/ready"));
                Response::read(&mut wire, true).status == 200
            })
        });
        Some(Prometheus { port, _process: process })
    }

    /// What it answers to a question.
    fn ask(&self, path: &str) -> Value {
        let mut wire = Wire::connect("prometheus", self.port);
        // So that the answer is not in chunks.
        wire.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let response = String::from_utf8(wire.rest()).expect("text");
        let (_, body) = response.split_once("\r\n\r\n").expect("a head");
        let answer: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The series that an expression has.
    fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().expect("series").clone()
    }
}

#[test]
fn prometheus_has_an_answer_to_every_question_of_the_examples() {
    let (server, metrics, directory) = (Memcached::start(&[]), free_port(), tempfile::tempdir().expect("a directory"));
    let moxi = moxi!().servers([server.port()]).ascii().set(format!("metrics={metrics}")).set("time_stats=1").start();
    let Some(prometheus) = Prometheus::start(directory.path(), metrics) else {
        eprintln!("skipped: no prometheus here (Debian: prometheus; t/need prometheus)");
        return;
    };
    wait_for("a scrape", || prometheus.query("up{job=\"moxi\"}").iter().any(|it| it["value"][1] == "1"));
    let target = &prometheus.ask("/api/v1/targets")["activeTargets"][0];
    assert_eq!((target["health"].as_str(), target["lastError"].as_str()), (Some("up"), Some("")), "{target}");

    // What has been counted is there, and rates need two scrapes.
    let mut client = moxi.client();
    client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let mut work = || {
        client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        client.ask("get b\r\n", "END\r\n");
    };
    wait_for("a rate", || {
        work();
        let rate = prometheus.query("sum(rate(moxi_commands_total{command=\"get\"}[10s]))");
        rate.iter().any(|series| series["value"][1].as_str().is_some_and(|rate| rate != "0"))
    });
    let count = moxi.counter("tot_multiget_keys");
    wait_for("the same number as in stats proxy", || {
        let found = prometheus.query("moxi_get_keys_total");
        found.iter().any(|series| series["value"][1].as_str().and_then(|it| it.parse().ok()) == Some(count))
    });

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions = expressions.map(|target| target["expr"].as_str().expect("an expression"));
    let mut silent = Vec::new();
    for expression in expressions {
        let mut question = expression.replace("$__rate_interval", "10s");
        for variable in ["$job", "$instance", "$bucket"] {
            question = question.replace(variable, ".*");
        }
        // What is shown only if it is more than nothing, which it is not here.
        let question = question.strip_suffix(" > 0").unwrap_or(&question).to_owned();
        if prometheus.query(&question).is_empty() {
            silent.push(question);
        }
    }
    // The built-in server does not run here.
    assert!(silent.iter().all(|question| question.contains("memcached_current_bytes")), "{silent:#?}");
    // The alerts are known, and none is due.
    let rules = prometheus.ask("/api/v1/rules");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() >= 5 && rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
}
