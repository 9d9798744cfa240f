//! Tests of several modules at once. Those of one module stand beside these and belong to it.

mod extension;
mod lineage;
mod network;
mod network_histories;
mod reload;
mod reload_histories;
mod room;
