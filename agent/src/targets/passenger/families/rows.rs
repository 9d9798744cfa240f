//! The applications for the page: those with most requests that wait or are in progress.
//!
//! The page has a bounded number of rows. They are shared by uid ([`shares`]), so that no user's applications push out another's.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::metric::{ShownApplication, ShownInstance};
use crate::targets::handle::{ApplicationRow, Applications, MOST_APPLICATIONS};
use crate::targets::passenger::share::shares;

/// An application and its instance.
type OfInstance<'s, 'a> = (&'s ShownInstance<'a>, &'s ShownApplication<'a>);

/// The applications of the instances that answered; `running` is the number of all instances.
pub(super) fn applications(shown: &[ShownInstance<'_>], running: u64) -> Applications {
    let mut all: Vec<OfInstance<'_, '_>> = Vec::new();
    let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
    for instance in shown {
        *wanted.entry(uid(instance)).or_default() += instance.applications.len();
        all.extend(instance.applications.iter().map(|one| (instance, one)));
    }
    let count = all.len();
    all.sort_by_cached_key(|(_, shown)| Reverse((shown.application.waiting, busy(shown))));
    let mut left = shares(&wanted, MOST_APPLICATIONS);
    all.retain(|(instance, _)| {
        let left = left.entry(uid(instance)).or_default();
        let has_room = *left > 0;
        *left = left.saturating_sub(1);
        has_room
    });
    Applications {
        time: 0.0,
        instances: running,
        omitted: (count - all.len()) as u64,
        rows: all.into_iter().map(row).collect(),
    }
}

fn uid(instance: &ShownInstance<'_>) -> u32 {
    instance.answered.identity.uid
}

/// Requests in progress.
pub(super) fn busy(shown: &ShownApplication<'_>) -> u64 {
    let sessions = shown.application.workers.iter().map(|one| one.sessions);
    sessions.fold(0, u64::saturating_add)
}

fn row((instance, shown): OfInstance<'_, '_>) -> ApplicationRow {
    ApplicationRow {
        instance: instance.answered.label.to_owned(),
        user: instance.answered.user.to_owned(),
        name: shown.name.to_owned(),
        waiting: shown.application.waiting,
        busy: busy(shown),
        processes: shown.application.workers.len() as u64,
        requests: shown.totals.map(|totals| totals.requests),
    }
}

#[cfg(test)]
mod tests {
    use super::super::PassengerFamilies;
    use super::super::tests::{AskedOnce, asked, families, scrape, scrape_within};
    use super::*;
    use crate::targets::passenger::examples::{application, identity, pool, worker};

    /// An instance of `uid`, with as many applications, in each of which `waiting` requests wait.
    fn instance(uid: u32, applications: usize, waiting: u64) -> AskedOnce {
        let one = |n| {
            let mut one = application(&format!("/srv/{uid}-{n:04}"), vec![]);
            one.waiting = waiting;
            one
        };
        let applications = (0..applications).map(one).collect();
        asked(identity(uid, 1 + u64::from(uid)), pool(applications))
    }

    fn page(instances: &[AskedOnce]) -> Applications {
        // Processes count whether they have series or not.
        let mut families = PassengerFamilies::new(128, false);
        scrape_within(&mut families, instances, 16 << 20);
        let mut page = Applications::default();
        families.show(&mut page);
        page
    }

    #[test]
    fn busiest_come_first_with_their_known_facts() {
        let mut busy = worker(7, 30);
        busy.sessions = 2;
        let mut blog = application("/srv/blog", vec![busy, worker(8, 4)]);
        blog.waiting = 1;
        let idle = application("/srv/api", vec![]);
        let mut silent = asked(identity(0, 2), pool(vec![]));
        silent.pool = None;
        let mut chat = application("/srv/chat", vec![worker(9, 0)]);
        chat.workers[0].sessions = 1;
        let applications = vec![idle, blog, chat];
        let page = page(&[asked(identity(0, 1), pool(applications)), silent]);
        assert_eq!((page.instances, page.omitted), (2, 0));
        let blog = ApplicationRow {
            instance: "name0001".to_owned(),
            user: "root".to_owned(),
            name: "blog".to_owned(),
            waiting: 1,
            busy: 2,
            processes: 2,
            requests: Some(34),
        };
        assert_eq!(page.rows.first(), Some(&blog));
        let names: Vec<&str> = page.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["blog", "chat", "api"]);
    }

    #[test]
    fn rows_are_bounded_and_no_user_takes_those_of_another() {
        let page = page(&[instance(0, 200, 0), instance(7, 1000, 99)]);
        assert_eq!(page.rows.len(), MOST_APPLICATIONS);
        assert_eq!(page.omitted, 1200 - MOST_APPLICATIONS as u64);
        let of_root = page.rows.iter().filter(|row| row.user == "root");
        assert_eq!(of_root.count(), MOST_APPLICATIONS * 3 / 4);
    }

    #[test]
    fn instance_that_has_ended_is_not_shown_any_more() {
        let mut families = families();
        scrape(&mut families, &[instance(0, 1, 0)]);
        scrape(&mut families, &[]);
        let mut page = Applications::default();
        families.show(&mut page);
        assert_eq!(page, Applications::default());
    }
}
