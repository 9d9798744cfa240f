//! The rules of `deploy/prometheus`: `promtool` takes them and their tests.

use std::fs;
use std::process::Command;

use super::server::{deployed, program};

/// Runs `promtool` in the folder of the rules.
fn promtool(arguments: &[&str]) {
    let output = Command::new(program("promtool"))
        .current_dir(deployed("prometheus"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn promtool_takes_the_rules_and_their_tests() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "rules.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
}

#[test]
fn every_alert_has_a_test_and_a_runbook() {
    let rules = fs::read_to_string(deployed("prometheus/rules.yml")).unwrap();
    let tests = fs::read_to_string(deployed("prometheus/rules_test.yml")).unwrap();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        // Once with the alerts that fire; where none may fire, the list of samples is empty.
        let fires = format!(r#"labels: 'ALERTS{{alertname="{name}",alertstate="firing""#);
        assert!(tests.contains(&fires), "{name} has no test");
        assert!(alert.contains(" runbook: "), "{name} has no runbook");
    }
}
