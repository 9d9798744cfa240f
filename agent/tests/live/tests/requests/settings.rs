//! Which groups count requests: by their item, by the flag, after a reload.

use super::exchanges::{GET, OK};
use super::{Pair, Path, configuration, families, is_counted, shown, start};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::has_call_tracepoints;
use crate::kernel_objects::Objects;
use crate::runner::table;
use crate::tier::{ITERATOR, PROCFS};

table![
    nothing_is_loaded_if_no_group_counts,
    the_flag_counts_for_all_groups,
    a_reload_cannot_begin_to_count,
    a_reload_ends_and_goes_on,
    a_request_in_flight_moves_to_the_new_group_of_its_process,
    each_process_is_shown_on_demand_until_it_ends,
    without_kernel_programs_requests_are_absent,
];

fn plain(flags: &[&str]) -> Agent {
    Agent::start_with(&ITERATOR, flags, Some(&configuration(false)))
}

fn nothing_is_loaded_if_no_group_counts() {
    if !ITERATOR.can_work() {
        return;
    }
    let on = start(&ITERATOR, &[]);
    let is_counted = is_counted(&on);
    let off = plain(&["--no-collector.http"]);
    assert_eq!(families(&off.scrape()), Vec::<String>::new());
    assert!(!off.log().contains("http: "), "{}", off.log());
    let [more, less] = [&on, &off].map(|agent| Objects::of_process(agent.pid()));
    let added = match (is_counted, has_call_tracepoints()) {
        (false, _) => 0,
        (true, true) => 8,
        (true, false) => 12,
    };
    assert_eq!(more.programs.len(), less.programs.len() + added);
}

fn the_flag_counts_for_all_groups() {
    if !ITERATOR.can_work() {
        return;
    }
    let agent = plain(&["--collector.http"]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("httpf", Path::Tcp);
    pair.connect();
    pair.exchange("GET", 200);
    pair.expect("GET 2xx");
    pair.check(&agent);
    pair.finish();
}

fn a_reload_cannot_begin_to_count() {
    if !ITERATOR.can_work() {
        return;
    }
    let agent = plain(&[]);
    agent.hang_up(&configuration(true));
    agent.await_that(|_| {
        let log = agent.log();
        match log.contains("kernel programs are loaded only then; restart the agent") {
            true => Ok(()),
            false => Err(log),
        }
    });
    assert_eq!(families(&agent.scrape()), Vec::<String>::new());
}

fn a_reload_ends_and_goes_on() {
    if !ITERATOR.can_work() {
        return;
    }
    let agent = start(&ITERATOR, &["--web.enable-lifecycle"]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("httpr", Path::Tcp);
    pair.connect();
    pair.exchange("GET", 200);
    pair.expect("GET 2xx");
    pair.check(&agent);
    agent.reload(&configuration(false));
    pair.check(&agent);
    pair.exchange("GET", 500);
    pair.check(&agent);
    agent.reload(&configuration(true));
    pair.check(&agent);
    pair.exchange("GET", 404);
    pair.expect("GET 4xx");
    pair.check(&agent);
    pair.finish();
}

fn a_request_in_flight_moves_to_the_new_group_of_its_process() {
    if !ITERATOR.can_work() {
        return;
    }
    let agent = start(&ITERATOR, &["--web.enable-lifecycle"]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("httpm", Path::Tcp);
    let old = pair.program.name.clone();
    let check = |groups: [(&str, &[(&str, f64)]); 2]| {
        let samples = agent.scrape();
        for (group, expected) in groups {
            let expected = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), *value));
            assert_eq!(shown(&samples, group), expected.collect(), "{group}");
        }
    };
    pair.connect();
    pair.ask("recv", 8192, GET);
    let in_flight = [("requests_in_flight", 1.0)];
    pair.expected.insert("requests_in_flight".to_owned(), 1.0);
    pair.check(&agent);
    agent.reload(&configuration(true).replace("{{.Comm}}", "new-{{.Comm}}"));
    let new = format!("new-{old}");
    check([(&old, &[]), (&new, &in_flight)]);
    pair.answer("send", &[OK]);
    check([(&old, &[]), (&new, &[("GET 2xx", 1.0)])]);
    pair.ask("recv", 8192, GET);
    check([(&old, &[]), (&new, &[("GET 2xx", 1.0), in_flight[0]])]);
    pair.finish();
}

fn each_process_is_shown_on_demand_until_it_ends() {
    if !ITERATOR.can_work() {
        return;
    }
    let agent = start(&ITERATOR, &["--web.enable-lifecycle"]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("httpp", Path::Tcp);
    pair.connect();
    pair.exchange("GET", 200);
    pair.exchange("POST", 200);
    pair.exchange("GET", 500);
    pair.ask("recv", 8192, b"GET / HTTP/1.1\r\n\r\n");
    let name = pair.program.name.clone();
    let pid = pair.server.pid().to_string();
    let series = |samples: &Samples, family: &str, more: &[(&str, &str)]| {
        let family = format!("namedprocess_namegroup_http_process_{family}");
        let own = [("groupname", name.as_str()), ("server_pid", pid.as_str())];
        samples.value(&family, &[&own, more].concat())
    };
    let nothing = |samples: &Samples| series(samples, "requests_in_flight", &[]).is_none();
    assert!(nothing(&agent.scrape()));
    agent.reload(&configuration(true).replace("http: true", "http: {per_process: true}"));
    let samples = agent.scrape();
    for (status, count) in [("2xx", Some(2.0)), ("5xx", Some(1.0)), ("3xx", None)] {
        let shown = series(&samples, "requests_total", &[("status", status)]);
        assert_eq!(shown, count, "{status}");
    }
    let durations = series(&samples, "request_duration_seconds_count", &[]);
    assert_eq!(durations, Some(3.0));
    assert_eq!(series(&samples, "requests_in_flight", &[]), Some(1.0));
    assert!(series(&samples, "busy_seconds_total", &[]) > Some(0.0));
    pair.finish();
    agent.await_that(|samples| match nothing(samples) {
        true => Ok(()),
        false => Err("the process is still shown".to_owned()),
    });
}

fn without_kernel_programs_requests_are_absent() {
    let agent = Agent::start_with(&PROCFS, &[], Some(&configuration(true)));
    let samples = agent.scrape();
    let labels = [("fact", "http"), ("source", "absent")];
    assert_eq!(samples.the("headcount_source_info", &labels), 1.0);
    assert_eq!(families(&samples), Vec::<String>::new());
}
