use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ID: &str = "11111111-aaaa-1111-1111-111111111101";

fn instance(port: u16, name: &str) -> FanInInstance {
    FanInInstance {
        address: std::net::SocketAddr::from(([127, 0, 0, 1], port)).into(),
        is_tls: false,
        server_name: None,
        host: None,
        metric_path: None,
        labels: Vec::new(),
        application: Arc::new(FanInApplication {
            id: ID.to_owned(),
            organization_name: "Org".to_owned(),
            space_name: "dev".to_owned(),
            name: name.to_owned(),
            ..FanInApplication::default()
        }),
        is_web: true,
        expires: None,
        listener: None,
        exporter: None,
    }
}

fn routed(route: &str, instance: FanInInstance) -> RoutedInstance {
    RoutedInstance {
        route: route.to_owned(),
        instance: Arc::new(instance),
    }
}

fn ports(table: &InstanceTable, what: &str) -> Vec<u16> {
    let found = table.look_up(&WantedInstances::in_path(what).unwrap(), Instant::now());
    found.iter().map(|one| one.address.port()).collect()
}

#[test]
fn requested_text_is_names_an_id_or_a_route() {
    let names = |organization: &str, space: &str, application: &str| {
        Some(WantedInstances::Names {
            organization: organization.to_owned(),
            space: space.to_owned(),
            application: application.to_owned(),
        })
    };
    let route = |text: &str| Some(WantedInstances::Route(text.to_owned()));
    let cases = [
        ("Org/dev/App", names("Org", "dev", "App")),
        ("my%20org%2Fdev%2fapp", names("my org", "dev", "app")),
        ("a/b/c%3Fd", names("a", "b", "c?d")),
        ("//", names("", "", "")),
        (
            "11111111-AAAA-1111-1111-111111111101",
            Some(WantedInstances::Id(ID.to_owned())),
        ),
        (
            "11111111-aaaa-1111-1111-11111111110",
            route("11111111-aaaa-1111-1111-11111111110"),
        ),
        ("App.Example.com", route("app.example.com")),
        ("app.example.com/path", route("app.example.com/path")),
        ("app.example.com/a/b/c", route("app.example.com/a/b/c")),
        ("app.example.com%3fx=1", route("app.example.com")),
        ("%2525", route("%25")),
        ("", None),
        ("?x", None),
        ("a%", None),
        ("a%2", None),
        ("a%zz", None),
        ("a%+1", None),
        ("%ff", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(WantedInstances::in_path(text), wanted, "{text}");
    }
    assert_eq!(WantedInstances::route("h/a/B?q"), route("h/a/b"));
}

#[test]
fn name_and_id_find_web_processes_of_all_routes() {
    let worker = FanInInstance {
        is_web: false,
        ..instance(3, "app")
    };
    let table = InstanceTable::of([
        routed("b.example.com", instance(2, "app")),
        routed("a.example.com", instance(2, "app")),
        routed("a.example.com", instance(1, "app")),
        routed("w.example.com", worker),
    ]);
    for what in ["Org/dev/app", ID, &ID.to_uppercase()] {
        assert_eq!(ports(&table, what), [1, 2], "{what}");
    }
    assert_eq!(ports(&table, "org/dev/app"), [0; 0], "names have a case");
    assert_eq!(ports(&table, "w.example.com"), [3]);
    assert_eq!(ports(&table, "B.example.com"), [2]);
    assert_eq!(ports(&table, "c.example.com"), [0; 0]);
}

#[test]
fn component_without_tags_is_found_by_its_route_only() {
    let component = FanInInstance {
        application: Arc::default(),
        ..instance(1, "")
    };
    let table = InstanceTable::of([routed("Sys.example.com", component)]);
    assert_eq!(ports(&table, "//"), [0; 0]);
    assert_eq!(ports(&table, "sys.example.com"), [1]);
}

#[test]
fn expired_instance_gives_way_to_the_same_address_of_another_source() {
    let now = Instant::now();
    let first = FanInInstance {
        expires: Some(now + Duration::from_secs(120)),
        host: Some("first".to_owned()),
        ..instance(1, "app")
    };
    let table = InstanceTable::of([routed("r", first), routed("r", instance(1, "app"))]);
    let wanted = WantedInstances::route("r").unwrap();
    let hosts = |seconds| {
        let found = table.look_up(&wanted, now + Duration::from_secs(seconds));
        let hosts = found.iter().map(|one| one.host.clone());
        hosts.collect::<Vec<_>>()
    };
    assert_eq!(hosts(119), [Some("first".to_owned())]);
    assert_eq!(hosts(120), [None]);
}

#[test]
fn application_is_called_by_its_id_or_without_one_by_its_name() {
    let mut application = (*instance(1, "app").application).clone();
    assert!(application.is_called(&ID.to_uppercase()));
    assert!(!application.is_called("app"));
    application.id.clear();
    assert!(application.is_called("app") && !application.is_called(""));
    assert!(!FanInApplication::default().is_called(""));
}

proptest! {
    #[test]
    fn each_place_of_a_route_is_found_once_and_in_order(
        places in prop::collection::vec((0_u16..9, 0_u16..3, 0_u8..3), 0..40),
    ) {
        let with_path = |port, path: u8| FanInInstance {
            metric_path: (path > 0).then(|| format!("/{path}")),
            ..instance(port, "app")
        };
        let routed = places.iter().map(|(port, route, path)| routed(&format!("r{route}"), with_path(*port, *path)));
        let table = InstanceTable::of(routed);
        let found = |wanted: &WantedInstances| {
            let found = table.look_up(wanted, Instant::now());
            found.iter().map(|one| (one.address.port(), one.metric_path.clone())).collect::<Vec<_>>()
        };
        let expected = |is_wanted: &dyn Fn(u16) -> bool| {
            let wanted = places.iter().filter(|(_, route, _)| is_wanted(*route));
            let places = wanted.map(|(port, _, path)| (*port, with_path(*port, *path).metric_path));
            Vec::from_iter(std::collections::BTreeSet::from_iter(places))
        };
        prop_assert_eq!(found(&WantedInstances::Id(ID.to_owned())), expected(&|_| true));
        for route in 0..3 {
            prop_assert_eq!(found(&WantedInstances::Route(format!("r{route}"))), expected(&|one| one == route));
        }
    }
}
