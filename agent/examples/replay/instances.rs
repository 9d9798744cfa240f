//! Made-up expositions of the instances of one application: counters, gauges and histograms, as web applications have them.

use std::fmt::Write as _;

/// Upper bounds of the buckets.
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf",
];

/// The exposition of instance `n`, in the text format 0.0.4, with `least` series and as many more as complete a family.
pub fn exposition(n: usize, least: usize) -> Vec<u8> {
    let mut body = String::new();
    let mut series = 0;
    for family in 0.. {
        if series >= least {
            break;
        }
        let name = format!("application_part{family}");
        match family % 3 {
            0 => {
                let _ = writeln!(body, "# HELP {name}_requests_total Requests of the part.");
                let _ = writeln!(body, "# TYPE {name}_requests_total counter");
            }
            1 => {
                let _ = writeln!(
                    body,
                    "# HELP {name}_queue_bytes Bytes that wait in the part."
                );
                let _ = writeln!(body, "# TYPE {name}_queue_bytes gauge");
            }
            _ => {
                let _ = writeln!(body, "# HELP {name}_duration_seconds Time of a request.");
                let _ = writeln!(body, "# TYPE {name}_duration_seconds histogram");
            }
        }
        for (status, method) in [
            ("200", "GET"),
            ("404", "GET"),
            ("200", "POST"),
            ("503", "PUT"),
        ] {
            let labels =
                format!("method=\"{method}\",path=\"/v1/things/{{id}}\",status=\"{status}\"");
            let value = (n + 7) * (family + 1) * 1009;
            match family % 3 {
                0 => drop(writeln!(body, "{name}_requests_total{{{labels}}} {value}")),
                1 => drop(writeln!(
                    body,
                    "{name}_queue_bytes{{{labels}}} {value}.5e+06"
                )),
                _ => {
                    for (count, bound) in BOUNDS.iter().enumerate() {
                        let _ = writeln!(
                            body,
                            "{name}_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {}",
                            value * count
                        );
                    }
                    let _ = writeln!(body, "{name}_duration_seconds_sum{{{labels}}} {value}.25");
                    let _ = writeln!(body, "{name}_duration_seconds_count{{{labels}}} {value}");
                    series += BOUNDS.len() + 1;
                }
            }
            series += 1;
        }
    }
    body.into_bytes()
}

/// The nine labels of an instance of Cloud Foundry.
pub fn labels(n: usize) -> Vec<(String, String)> {
    let id = "3f2b8c1e-5d4a-4b7e-9c3d-1a2b3c4d5e6f";
    [
        ("organization_id", id.to_owned()),
        ("space_id", id.to_owned()),
        ("app_id", id.to_owned()),
        ("organization_name", "organization".to_owned()),
        ("space_name", "production".to_owned()),
        ("app_name", "application".to_owned()),
        ("index", n.to_string()),
        ("instance_id", n.to_string()),
        ("instance", format!("10.0.12.{n}:61002")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
