//! The fuzz targets of the kinds of targets.

pub(crate) use super::client::nats::fuzzing::nats_server;
pub(crate) use super::fan_in::fuzzing::{fan_in_file_sd, fan_in_routes};
pub(crate) use super::fan_in::nats::fuzzing::fan_in_nats;
pub(crate) use super::fan_in::node::fuzzing::fan_in_network;
pub(crate) use super::gunicorn::fuzzing::gunicorn_control;
pub(crate) use super::passenger::fuzzing::{passenger_json, passenger_pool};
