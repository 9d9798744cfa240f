use std::sync::Arc;

use super::super::table::{FanInApplication, RoutedInstance};
use super::*;

const ID: &str = "11111111-AAAA-1111-1111-111111111101";

fn rules(rules: &[(&str, &[&str])]) -> AllowedPaths {
    let rules = rules.iter().map(|(application, paths)| PathRule {
        application: (*application).to_owned(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    });
    AllowedPaths::new(&rules.collect::<Vec<_>>())
}

fn instance(port: u16) -> FanInInstance {
    FanInInstance {
        address: std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
        is_tls: false,
        server_name: None,
        host: None,
        metric_path: None,
        labels: Vec::new(),
        application: Arc::default(),
        is_web: false,
        expires: None,
        listener: None,
        exporter: None,
    }
}

/// An instance of an application with an id and names.
fn of_application(port: u16) -> FanInInstance {
    FanInInstance {
        application: Arc::new(FanInApplication {
            id: ID.to_ascii_lowercase(),
            organization_name: "Org".to_owned(),
            space_name: "dev".to_owned(),
            name: "App".to_owned(),
            ..FanInApplication::default()
        }),
        ..instance(port)
    }
}

fn path(allowed: &AllowedPaths, wanted: &str, instance: &FanInInstance) -> Option<String> {
    let routed = |route: &str, port: u16| RoutedInstance {
        route: route.to_owned(),
        instance: Arc::new(self::instance(port)),
    };
    let another_entry = RoutedInstance {
        route: "c.example.com".to_owned(),
        instance: Arc::new(FanInInstance {
            is_web: true,
            ..of_application(4)
        }),
    };
    let table = InstanceTable::of([
        routed("A.example.com", 1),
        routed("b.example.com", 1),
        routed("b.example.com", 2),
        another_entry,
    ]);
    let wanted: Option<PathAndQuery> = (!wanted.is_empty()).then(|| wanted.parse().unwrap());
    let paths = allowed.of_question(&table, wanted.as_ref());
    paths.of(instance, None).map(|path| path.to_string())
}

#[test]
fn caller_may_name_any_path_without_a_rule() {
    for allowed in [AllowedPaths::default(), rules(&[("other", &["/x"])])] {
        assert_eq!(
            path(&allowed, "", &instance(1)).as_deref(),
            Some("/metrics")
        );
        assert_eq!(path(&allowed, "/y", &instance(1)).as_deref(), Some("/y"));
    }
}

#[test]
fn rule_holds_for_an_application_by_id_name_names_or_route() {
    for application in [ID, "app", "org/dev/app", "a.example.com", "B.example.com"] {
        let allowed = rules(&[(application, &["/x", "/y"])]);
        let found = of_application(1);
        assert_eq!(
            path(&allowed, "/y", &found).as_deref(),
            Some("/y"),
            "{application}"
        );
        assert_eq!(
            path(&allowed, "", &found).as_deref(),
            Some("/x"),
            "{application}"
        );
        for other in ["/metrics", "/y/", "/Y", "/x/../z", "/%78", "//x"] {
            assert_eq!(
                path(&allowed, other, &found),
                None,
                "{application}: {other}"
            );
        }
        assert_eq!(
            path(&allowed, "/z", &instance(3)).as_deref(),
            Some("/z"),
            "{application}"
        );
    }
}

#[test]
fn rule_holds_for_an_address_that_another_entry_names_as_the_application() {
    let anonymous = instance(4);
    for application in [ID, "Org/dev/App", "c.example.com"] {
        let allowed = rules(&[(application, &["/x"])]);
        assert_eq!(path(&allowed, "/y", &anonymous), None, "{application}");
    }
}

#[test]
fn default_path_is_metrics_if_that_is_allowed() {
    let allowed = rules(&[("app", &["/x", "/metrics"])]);
    assert_eq!(
        path(&allowed, "", &of_application(1)).as_deref(),
        Some("/metrics")
    );
}

#[test]
fn first_matching_rule_counts() {
    let allowed = rules(&[
        ("b.example.com", &["/b"]),
        ("a.example.com", &["/a"]),
        ("app", &["/c"]),
    ]);
    assert_eq!(
        path(&allowed, "", &of_application(1)).as_deref(),
        Some("/b")
    );
    assert_eq!(path(&allowed, "/c", &of_application(1)), None);
    assert_eq!(
        path(&allowed, "", &of_application(3)).as_deref(),
        Some("/c")
    );
}

#[test]
fn path_of_a_source_is_not_restricted() {
    let of_source = FanInInstance {
        metric_path: Some("/own".to_owned()),
        ..of_application(1)
    };
    let allowed = rules(&[("app", &["/x"])]);
    assert!(path(&allowed, "/z", &of_source).is_some());
}
