//! The HTML of the page: complete and readable without its script.

use super::applications::PageApplications;
use super::gunicorn;
use super::text::{bytes, escaped, html};
use crate::state::handle::{GroupRow, Overview, Status};

/// The page with the tables of applications and groups.
pub(super) fn table(
    overview: &Overview,
    applications: &PageApplications,
    telemetry_path: &str,
) -> String {
    let seconds = (overview.time - overview.since).max(1e-3);
    let rows: String = overview
        .groups
        .iter()
        .map(|group| row(group, seconds))
        .collect();
    format!(
        include_str!("page.html"),
        metrics = link(telemetry_path),
        summary = summary(overview),
        reasons = reasons(overview),
        hidden = applications.hidden(),
        applications = applications.rows(),
        note = applications.note(),
        gunicorn_hidden = gunicorn::hidden(&overview.gunicorn),
        gunicorn = overview
            .gunicorn
            .iter()
            .map(gunicorn::row)
            .collect::<String>(),
        omitted = omitted(overview.groups_omitted),
        plain = plain(overview),
        rows = rows,
    )
}

/// The page when the state thread does not answer.
pub(super) fn unavailable(reason: &str, telemetry_path: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<title>Headcount</title>\n<link rel=\"icon\" href=\"./icon.svg\">\n\
         <h1>Headcount</h1>\n<p>The groups cannot be shown: {}. Reload the page to try again.</p>\n\
         <ul>\n<li><a href=\"./{}\">Metrics</a></li>\n<li><a href=\"./health\">Health</a></li>\n</ul>\n</html>\n",
        escaped(reason),
        link(telemetry_path)
    )
}

/// The path without its leading slash: a link that also works behind a path prefix.
fn link(telemetry_path: &str) -> String {
    escaped(telemetry_path.trim_start_matches('/'))
}

fn summary(overview: &Overview) -> String {
    let accounting = match overview.exit_hook {
        Some(hook) => format!("{} tier, final totals at {hook}", overview.tier),
        None => format!("{} tier", overview.tier),
    };
    let (status, word) = match overview.health.status {
        Status::Starting => ("starting", "starting"),
        Status::Ok => ("ok", "ok"),
        Status::Degraded => ("degraded", "degraded"),
    };
    let sum = |of: fn(&GroupRow) -> f64| overview.groups.iter().map(of).sum::<f64>();
    let grouped = sum(|group| group.processes as f64);
    let memory = sum(|group| group.resident_bytes as f64);
    let groups = overview.groups.len() as u64 + overview.groups_omitted;
    format!(
        "<div><dt>Groups</dt><dd id=\"count\">{groups}</dd></div>\n\
         <div><dt>Processes</dt><dd id=\"processes\">{grouped:.0} of {} grouped</dd></div>\n\
         <div><dt>CPU</dt><dd id=\"cpu\">–</dd></div>\n\
         <div><dt>Memory</dt><dd id=\"memory\">{}</dd></div>\n\
         <div><dt>Accounting</dt><dd id=\"accounting\">{accounting}</dd></div>\n\
         <div><dt>Health</dt><dd id=\"health\" data-status=\"{status}\">{word}</dd></div>",
        overview.processes,
        bytes(memory),
    )
}

fn reasons(overview: &Overview) -> String {
    let lines = overview.health.reasons.iter();
    lines
        .map(|reason| format!("<li>{}</li>\n", escaped(reason)))
        .collect()
}

/// The class of a table without the columns of requests.
fn plain(overview: &Overview) -> &'static str {
    let counts_requests = |group: &GroupRow| group.requests.is_some();
    match overview.groups.iter().any(counts_requests) {
        true => "",
        false => " class=\"plain\"",
    }
}

fn omitted(count: u64) -> String {
    match count {
        0 => String::new(),
        _ => format!("Further groups, which used less CPU time, are left out here: {count}."),
    }
}

/// The table row of one group; rates are averages over `seconds`. The page's script writes the same cells.
fn row(group: &GroupRow, seconds: f64) -> String {
    let per_second = |count: Option<u64>| count.map(|count| count as f64 / seconds);
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    let size = |value: Option<f64>| value.map_or("–".to_owned(), bytes);
    let whole = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    let cells = [
        number(Some(100.0 * group.cpu_seconds / seconds)),
        bytes(group.resident_bytes as f64),
        group.processes.to_string(),
        group.threads.to_string(),
        size(per_second(group.read_bytes)),
        size(per_second(group.write_bytes)),
        number(per_second(group.forks)),
        number(per_second(group.execs)),
        size(per_second(group.sent_bytes)),
        size(per_second(group.received_bytes)),
        whole(group.tcp_connections),
        number(per_second(group.requests)),
        number(per_second(group.failed_requests)),
    ];
    let cells: String = cells
        .iter()
        .map(|cell| format!("<td>{cell}</td>"))
        .collect();
    let labels = html(&group.labels);
    let labels = match labels.as_str() {
        "" => labels,
        _ => format!(" <bdi class=\"labels\">{labels}</bdi>"),
    };
    let name = html(&group.name);
    format!("<tr><th scope=\"row\"><bdi class=\"name\">{name}</bdi>{labels}</th>{cells}</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::handle::{Health, Shown};

    fn overview(name: &str) -> Overview {
        let group = GroupRow {
            id: 1,
            name: Shown::of(name),
            labels: Shown::of("unit=\"<b>\""),
            processes: 2,
            threads: 3,
            cpu_seconds: 50.0,
            resident_bytes: 2048,
            read_bytes: Some(1000),
            write_bytes: Some(0),
            forks: None,
            execs: Some(100),
            sent_bytes: Some(204_800),
            received_bytes: None,
            tcp_connections: Some(6),
            requests: Some(250),
            failed_requests: Some(0),
        };
        Overview {
            time: 200.0,
            since: 100.0,
            boot_time: 0.0,
            tier: "iterator",
            exit_hook: Some("release"),
            health: Health {
                status: Status::Degraded,
                reasons: vec!["a <reason>".to_owned()],
            },
            processes: 9,
            shows_cmdline: false,
            groups: vec![group],
            groups_omitted: 4,
            gunicorn: Vec::new(),
        }
    }

    #[test]
    fn page_without_script_is_complete() {
        let page = table(&overview("nginx"), &PageApplications::default(), "/m/x");
        let row = "<tr><th scope=\"row\"><bdi class=\"name\">nginx</bdi> <bdi class=\"labels\">unit=&quot;&lt;b>&quot;</bdi></th>\
            <td>50.0</td><td>2.0 KiB</td><td>2</td><td>3</td><td>10 B</td><td>0 B</td><td>–</td><td>1.0</td>\
            <td>2.0 KiB</td><td>–</td><td>6</td><td>2.5</td><td>0.0</td></tr>";
        for expected in [
            row,
            "2 of 9 grouped",
            "iterator tier, final totals at release",
            ">degraded<",
            "<li>a &lt;reason></li>",
            "left out here: 4.",
            "href=\"./m/x\"",
            "href=\"./health\"",
            "<table id=\"groups\">",
            "<section id=\"applications\" aria-label=\"Applications\" hidden>",
            "<section id=\"gunicorn\" aria-label=\"Gunicorn\" hidden>",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
    }

    #[test]
    fn hostile_names_are_escaped() {
        let hostile = "</th><script>alert(1)</script>\u{202e}{rows}&\" onload=x";
        let page = table(&overview(hostile), &PageApplications::default(), "/metrics");
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(page.contains(
            "&lt;/th>&lt;script>alert(1)&lt;/script>\\u{202e}{rows}&amp;&quot; onload=x</bdi>"
        ));
        assert!(!page.contains('\u{202e}') && !page.contains(" style="));
    }

    #[test]
    fn page_links_are_relative() {
        let page = table(&overview("a"), &PageApplications::default(), "/metrics");
        let mut links = page.split(['"', '\'']).filter(|word| word.contains('/'));
        assert!(
            links.all(|link| link.starts_with("./") || !link.contains("//")),
            "{page}"
        );
        assert!(!page.contains("href=\"/") && !page.contains("src=\"/"));
    }
}
