//! `deploy/SCALE.md`: its relabelling leaves the number of series that it states.

use std::collections::BTreeSet;
use std::fs;

use super::server::{Prometheus, deployed};
use super::support::agent::{Agent, Launch, until};

#[test]
fn relabelling_keeps_the_stated_series() {
    let page = fs::read_to_string(deployed("SCALE.md")).unwrap();
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    let [lean, groups, for_rules] = ["0", "1", "2"];
    assert_eq!(blocks.len(), 3);
    let agent = Launch::new().start();
    let prometheus = Prometheus::start(&with_jobs(&blocks, &agent));
    for (job, _) in blocks.iter().enumerate() {
        await_scrape(&prometheus, &job.to_string());
        let share = share_kept(&prometheus, job);
        println!("block {} of SCALE.md keeps {:.0} %", job + 1, share * 100.0);
        assert!(share < 0.9, "{share}");
    }
    let left = families(&prometheus, lean);
    let dropped = ["namedprocess_namegroup_thread", "process_"];
    let is_dropped = |name: &&String| dropped.iter().any(|start| name.starts_with(start));
    let wrong: Vec<_> = left.iter().filter(is_dropped).collect();
    assert!(wrong.is_empty() && left.len() > 15, "{wrong:?}");
    let groups = prometheus.label_values("groupname", &format!(r#"{{job="{groups}"}}"#));
    let is_kept = |group: &String| {
        matches!(group.as_str(), "headcount" | "postgres") || group.starts_with("java:")
    };
    assert!(
        !groups.is_empty() && groups.iter().all(is_kept),
        "{groups:?}"
    );
    let rules = expressions(&fs::read_to_string(deployed("prometheus/rules.yml")).unwrap());
    let dashboard = fs::read_to_string(deployed("grafana/fleet.json")).unwrap();
    let reads = |family: &str| is_named(&rules, family) || is_named(&dashboard, family);
    let all = families(&prometheus, "all");
    let kept = families(&prometheus, for_rules);
    let lacking: Vec<_> = all
        .iter()
        .filter(|family| reads(family) && !kept.contains(*family))
        .collect();
    assert!(
        lacking.is_empty(),
        "rules and fleet dashboard read {lacking:?}"
    );
    assert!(kept.len() > 15 && kept.len() < all.len() / 2);
}

/// A job without relabelling and one for each block, all of one agent.
fn with_jobs(blocks: &[&str], agent: &Agent) -> String {
    let job = |name: &str, relabelling: &str| {
        let lines: String = relabelling
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        format!(
            "  - job_name: {name}\n    static_configs: [{{targets: ['{}']}}]\n{lines}",
            agent.address
        )
    };
    let jobs: String = blocks
        .iter()
        .enumerate()
        .map(|(number, block)| job(&format!("'{number}'"), block))
        .collect();
    format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{jobs}",
        job("all", "")
    )
}

fn await_scrape(prometheus: &Prometheus, job: &str) {
    until("a scrape", || {
        let of_both = format!(r#"up{{job=~"all|{job}"}} == 1"#);
        prometheus.query(&of_both).len() == 2
    });
}

/// Of the samples scraped, the share that is left.
fn share_kept(prometheus: &Prometheus, job: usize) -> f64 {
    let query = format!(
        r#"scrape_samples_post_metric_relabeling{{job="{job}"}} / scrape_samples_scraped{{job="{job}"}}"#
    );
    prometheus.query(&query)[0].value
}

/// Names of a job's families; those of Prometheus itself about the scrape are not among them.
fn families(prometheus: &Prometheus, job: &str) -> BTreeSet<String> {
    let names = prometheus.label_values("__name__", &format!(r#"{{job="{job}"}}"#));
    let is_ours = |name: &String| name.contains("process") || name.starts_with("headcount_");
    names.into_iter().filter(is_ours).collect()
}

/// The rules without annotations.
fn expressions(rules: &str) -> String {
    let is_for_people = |line: &&str| line.contains("summary: ") || line.contains("runbook: ");
    let lines = rules.lines().filter(|line| !is_for_people(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Whether `text` has the word.
fn is_named(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c| !is_part(c)).any(|found| found == word)
}
