//! The paths that callers may name.

use crate::instance::Instance;
use crate::{PATH, Site, merged, total, up};

#[test]
fn caller_names_only_the_allowed_paths_of_an_application() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let agent = site
        .launch("  allowed_paths: {myorg/dev/app: [/actuator/prometheus, /x]}\n")
        .start();
    for path in [
        "/v1/apps/myorg/dev/app/metrics?metric_path=/metrics",
        "/v1/apps/metrics?route_url=app.example.com&metric_path=/env",
        "/v1/apps/myorg/dev/app/only-app-metrics?metric_path=/x/../env",
    ] {
        let answer = agent.ask(path);
        assert_eq!(answer.code, 403, "{answer:?}");
        assert!(answer.body.contains("allowed_paths"), "{answer:?}");
    }
    assert_eq!(instance.heads(), [""; 0]);
    let refused = [("outcome", "path_not_allowed")];
    assert_eq!(
        total(&agent, "headcount_fan_in_answers_total", &refused),
        3.0
    );
    for path in [PATH, &format!("{PATH}?metric_path=x")] {
        assert_eq!(up(&merged(&agent, path), instance.address), Some(1.0));
    }
    let heads = instance.heads();
    let paths: Vec<_> = heads
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(paths, ["/actuator/prometheus", "/x"]);
}
