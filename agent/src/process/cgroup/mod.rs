//! Finds the container, the systemd unit and the slice of a process in its cgroup paths.
//!
//! In come paths as `/proc/<pid>/cgroup` shows them; `source` reads them.

mod container_path;
mod systemd;

pub use container_path::{
    ContainerPath, Parent, container_path, container_path_within, is_container_id,
};
pub use systemd::{systemd_slice, systemd_unit};
