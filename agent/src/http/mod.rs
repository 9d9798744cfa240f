//! HTTP: routes and limits.
