//! Further keys of promfetcher's configuration, of all its generations, that have no section here, and the advice for each.

/// Keys that have their effect elsewhere, or none.
pub(super) const FURTHER: [(&str, &str); 16] = [
    (
        "ca_certs",
        "write fan_in: {ca_file: FILE}, with the authorities of instances in that file",
    ),
    (
        "skip_ssl_validation",
        "remove it: certificates are always verified; name their authorities with fan_in: {ca_file: FILE}",
    ),
    (
        "backends",
        "remove it: the agent shows instances no certificate of its own",
    ),
    (
        "health_check_port",
        "remove it: the agent answers /health and /ready on the port of --web.listen-address",
    ),
    ("disable_keep_alives", CONNECTIONS),
    ("max_idle_conns", CONNECTIONS),
    ("max_idle_conns_per_host", CONNECTIONS),
    ("idle_conn_timeout", CONNECTIONS),
    ("enable_http2", CONNECTIONS),
    ("base_url", "remove it: there is no page that shows it"),
    (
        "index",
        "remove it: the agent has no number; Prometheus' label instance says which one answered",
    ),
    ("sql_cnx_max_idle", DATABASE),
    ("sql_cnx_max_open", DATABASE),
    ("sql_cnx_max_life", DATABASE),
    ("not_exit_when_conn_failed", DATABASE),
    (
        "start_response_delay_interval",
        "remove it: a request for an application that no source has shown yet gets 404",
    ),
];

const CONNECTIONS: &str =
    "remove it: each instance is asked over HTTP/1.1, on a connection of its own";
const DATABASE: &str = "remove it: the agent has no database";
