//! Writes the instances that fit into a number of bytes.
//!
//! An instance is left out as a whole, so that its families agree. If not all fit, each user's instances share what
//! [`shares`] gives that user, in the order in which the instances come in.

use std::collections::BTreeMap;

use super::metric::{INSTANCE, ShownInstance};
use super::{application, instance, original};
use crate::exposition::{Descriptor, Writer};
use crate::targets::passenger::share::shares;

/// Bytes in the head of a family beside its help and twice its name: `# HELP`, `# TYPE`, the type, spaces and line feeds.
const HEAD: usize = 32;

/// The descriptors of all families that have samples for each instance.
pub(super) fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
    let of_instances = instance::METRICS.iter().map(|metric| &metric.descriptor);
    let of_applications = original::METRICS.iter().chain(application::METRICS);
    of_instances.chain(of_applications.map(|metric| &metric.descriptor))
}

/// Writes what fits into `most` bytes, heads of families included; says of each instance whether it does.
pub(super) fn write(shown: &[ShownInstance<'_>], most: usize, out: &mut Writer) -> Vec<bool> {
    let heads = descriptors().map(|one| HEAD + 2 * one.name.len() + one.help.len());
    let room = most.saturating_sub(heads.sum());
    let start = out.mark();
    let mut used = 0;
    // The bytes of each instance's samples. One that does not fit beside those before it is taken back at once, so the text never
    // grows to more than twice the room.
    let sizes: Vec<usize> = shown
        .iter()
        .map(|one| {
            let mark = out.mark();
            write_instance(one, most, out);
            let size = out.written(mark).sample_bytes;
            used += size;
            if used > room {
                out.roll_back(mark);
            }
            size
        })
        .collect();
    if used <= room {
        return vec![true; shown.len()];
    }
    out.roll_back(start);
    let kept = kept(shown, &sizes, room);
    for (one, _) in shown.iter().zip(&kept).filter(|(_, kept)| **kept) {
        write_instance(one, most, out);
    }
    kept
}

/// Which of the instances of these sizes stay.
fn kept(shown: &[ShownInstance<'_>], sizes: &[usize], room: usize) -> Vec<bool> {
    let uid = |one: &ShownInstance<'_>| one.answered.identity.uid;
    let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
    for (one, size) in shown.iter().zip(sizes).filter(|(_, size)| **size <= room) {
        *wanted.entry(uid(one)).or_default() += size;
    }
    let mut left = shares(&wanted, room);
    let fits = |(one, size): (&ShownInstance<'_>, &usize)| {
        let Some(left) = left.get_mut(&uid(one)) else {
            return false;
        };
        let rest = left.checked_sub(*size);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    };
    shown.iter().zip(sizes).map(fits).collect()
}

/// Writes all families of one instance; stops once they take more than `most` bytes.
fn write_instance(shown: &ShownInstance<'_>, most: usize, out: &mut Writer) {
    let most = out.bytes().saturating_add(most);
    for metric in instance::METRICS {
        (metric.write)(shown, &mut out.family(&metric.descriptor));
    }
    for metric in original::METRICS.iter().chain(application::METRICS) {
        let tells_instances_apart = metric.descriptor.labels.contains(&INSTANCE);
        let mut family = out.family(&metric.descriptor);
        for one in &shown.applications {
            if family.bytes() > most {
                return;
            }
            let is_missing = one.is_second && !tells_instances_apart;
            family.with_labels(if is_missing { &shown.own_label } else { &[] });
            (metric.write)(&shown.answered, one, &mut family);
        }
    }
}
