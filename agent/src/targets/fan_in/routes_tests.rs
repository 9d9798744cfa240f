use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::targets::fan_in::table::{InstanceTable, WantedInstances};

fn read(age_s: u64) -> ReadTime {
    ReadTime {
        now: Instant::now(),
        age: Duration::from_secs(age_s),
    }
}

fn parsed(text: &str) -> FoundInstances {
    parse(text.as_bytes(), read(0)).unwrap()
}

#[test]
fn synthetic_table_of_the_contract_is_found_by_names_id_and_route() {
    let found = parse(include_bytes!("recorded/gorouter-routes.json"), read(0)).unwrap();
    assert_eq!((found.instances.len(), found.unusable), (21, 0));
    let table = InstanceTable::of(found.instances);
    let places = |what: &str| {
        let wanted = WantedInstances::named(what).unwrap();
        let found = table.look_up(&wanted, Instant::now());
        let places = found
            .iter()
            .map(|one| (one.address.port(), one.host.clone().unwrap()));
        places.collect::<Vec<_>>()
    };
    let hosts = |places: &[(u16, &str)]| -> Vec<(u16, String)> {
        let places = places
            .iter()
            .map(|(port, host)| (*port, (*host).to_owned()));
        places.collect()
    };
    let both = hosts(&[(9101, "app.example.com"), (9102, "app.example.com")]);
    assert_eq!(places("myorg/dev/app"), both);
    assert_eq!(places("11111111-1111-1111-1111-111111111101"), both);
    assert_eq!(places("APP.example.com"), both);
    assert_eq!(places("app.example.com/path"), both[..1]);
    assert_eq!(
        places("worker.example.com"),
        hosts(&[(9103, "worker.example.com")])
    );
    assert_eq!(places("app.example.com/"), []);

    let labels = |what: &str| {
        let found = table.look_up(&WantedInstances::named(what).unwrap(), Instant::now());
        let labels = found[0]
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"));
        labels.collect::<Vec<_>>().join(",")
    };
    assert_eq!(
        labels("myorg/dev/app"),
        r#"organization_id="org-guid",space_id="space-guid",app_id="11111111-1111-1111-1111-111111111101",organization_name="myorg",space_name="dev",app_name="app",index="0",instance_id="0",instance="127.0.0.1:9101""#
    );
    assert_eq!(
        labels("sys.example.com"),
        r#"organization_id="",space_id="",app_id="",organization_name="",space_name="",app_name="",instance="127.0.0.1:9101""#
    );
}

#[test]
fn endpoint_that_cannot_be_asked_is_counted_and_the_others_are_taken() {
    let found = parsed(
        r#"{"r": [{"address": "app.internal"}, {"address": "10.0.0.1"}, {"address": "0.0.0.0:80"}, {"address": "10.0.0.1:0"},
            {"address": "224.0.0.1:80"}, {"address": "[::1]:80"}], "": [{"address": "10.0.0.1:80"}], "none": null}"#,
    );
    assert_eq!((found.instances.len(), found.unusable), (1, 6));
    assert_eq!(
        found.example.as_deref(),
        Some(r#""app.internal": expected host:port, with an address or a name in ASCII as host"#)
    );
}

#[test]
fn entry_expires_its_ttl_after_the_file_was_written() {
    let text = |ttl: &str| format!(r#"{{"r": [{{"address": "10.0.0.1:80"{ttl}}}]}}"#);
    let left = |ttl: &str, age_s| {
        let read = read(age_s);
        let found = parse(text(ttl).as_bytes(), read).unwrap();
        let expires = found.instances[0].instance.expires;
        expires.map(|expires| (expires - read.now).as_secs())
    };
    assert_eq!(left(r#", "ttl": 120"#, 0), Some(120));
    assert_eq!(left(r#", "ttl": 120"#, 20), Some(100));
    assert_eq!(left(r#", "ttl": 120"#, 500), Some(0));
    for never in [
        "",
        r#", "ttl": 0"#,
        r#", "ttl": -1"#,
        r#", "ttl": null"#,
        r#", "ttl": 9223372036854775807"#,
    ] {
        assert_eq!(left(never, 500), None, "{never}");
    }
}

#[test]
fn certificate_name_and_host_come_from_the_entry_and_its_route() {
    let found = parsed(
        r#"{"a.example.com/p": [{"address": "10.0.0.1:80", "tls": true, "server_cert_domain_san": "x-1"}],
            "*.example.com": [{"address": "10.0.0.1:80", "server_cert_domain_san": ""}], "a b": [{"address": "10.0.0.1:80"}]}"#,
    );
    let seen = found.instances.iter().map(|routed| {
        let one = &routed.instance;
        (one.is_tls, one.server_name.as_deref(), one.host.as_deref())
    });
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            (true, Some("x-1"), Some("a.example.com")),
            (false, None, None),
            (false, None, None)
        ]
    );
}

#[test]
fn route_longer_than_2048_bytes_is_no_route() {
    let table = |length: usize| {
        let endpoint = r#"{"address": "10.0.0.1:80"}"#;
        let route = "r".repeat(length);
        let found = parsed(&format!("{{\"{route}\": [{endpoint}, {endpoint}]}}"));
        (found.instances.len(), found.unusable)
    };
    assert_eq!(table(2_048), (2, 0));
    assert_eq!(table(2_049), (0, 2));
}

#[test]
fn table_of_another_shape_is_refused_with_the_line() {
    for (text, line) in [
        ("", 1),
        ("[]", 1),
        ("{}\n\n x", 3),
        ("{\n\"r\": [{\"address\": 7}]}", 2),
        ("{\n\"r\": [{\"tls\": true}]}", 2),
        ("{\"r\": [\n{\"address\": \"10.0.0.1:80\"}", 2),
        ("{\"r\": {}}", 1),
    ] {
        let error = parse(text.as_bytes(), read(0)).unwrap_err();
        assert_eq!(error.line().max(1), line, "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn every_endpoint_is_taken_or_counted(
        endpoints in prop::collection::vec((any::<std::net::IpAddr>(), any::<u16>(), "[a-z*]{0,3}", any::<Option<bool>>()), 0..20),
    ) {
        let mut routes = serde_json::Map::new();
        for (ip, port, route, is_web) in &endpoints {
            let tags = is_web.map(|is_web| serde_json::json!({"process_type": if is_web { "web" } else { "worker" }}));
            let address = std::net::SocketAddr::new(*ip, *port).to_string();
            let list = routes.entry(route.clone()).or_insert_with(|| serde_json::json!([]));
            let list = list.as_array_mut().unwrap();
            list.push(serde_json::json!({"address": address, "tags": tags}));
        }
        let found = parsed(&serde_json::Value::Object(routes).to_string());
        prop_assert_eq!(found.instances.len() as u64 + found.unusable, endpoints.len() as u64);
        let web = found.instances.iter().filter(|one| one.instance.is_web).count();
        prop_assert!(web <= endpoints.iter().filter(|(.., is_web)| *is_web == Some(true)).count());
    }
}
