//! Selects the processes whose requests count, handles bookings of requests, and selects the processes that are shown one by one.

use super::Group;
use super::account::{Decision, GroupIndex};
use super::grouper::Grouper;
use crate::process::{
    AccountId, ProcessId, RequestCounters, RequestTally, STATUS_ABORTED, STATUSES,
};

/// At most this many processes are shown one by one, of all groups together: those that began first.
const SERVERS: usize = 1024;

/// The requests that one live process has served since it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerProcess {
    /// Its process id.
    pub pid: u32,
    /// Requests that ended, by class of status, as in [`RequestCounters::ended`].
    pub ended: [u64; STATUSES],
    /// Requests that have no response yet.
    pub in_flight: u64,
    /// Number and sum of the durations of those with a response.
    pub durations: u64,
    /// As `durations`, nanoseconds.
    pub duration_ns: u64,
    /// Time in which at least one request was in flight, nanoseconds.
    pub busy_ns: u64,
}

impl ServerProcess {
    fn new(pid: u32, tally: &RequestTally) -> Self {
        let counters = tally.counters();
        let mut ended = [0_u64; STATUSES];
        for of_method in &counters.ended {
            for (sum, count) in ended.iter_mut().zip(of_method) {
                *sum = sum.saturating_add(*count);
            }
        }
        Self {
            pid,
            ended,
            in_flight: tally.in_flight(),
            durations: ended[..STATUS_ABORTED]
                .iter()
                .fold(0, |sum, count| sum.saturating_add(*count)),
            duration_ns: counters.duration_ns,
            busy_ns: counters.busy_ns,
        }
    }
}

impl Group {
    /// The requests that its members have served; `None` if their requests are not counted.
    pub fn served(&self) -> Option<RequestTally> {
        let served = self.requests.as_deref().copied();
        served.or_else(|| self.counts_requests.then(RequestTally::default))
    }
}

impl Grouper {
    /// Books the requests that a process has served. It is kept only for groups that count requests, and while the group is not
    /// known.
    pub(super) fn book_requests(&mut self, id: AccountId, more: &RequestCounters) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        match account.present() {
            Decision::Open | Decision::Unmatched => {
                account.waiting.get_or_insert_default().add_requests(more);
            }
            Decision::Member(group) => self.add_requests(group, more),
            Decision::Nowhere => {}
        }
    }

    pub(super) fn add_requests(&mut self, group: GroupIndex, more: &RequestCounters) {
        let group = &mut self.groups.all[group.0];
        if group.counts_requests {
            group.requests.get_or_insert_default().add(more);
        }
    }

    /// Sets the requests in flight of each group that counts them. Not by what was booked: a process that changes its group takes
    /// along what it has in flight.
    pub fn measure_in_flight<'a>(
        &mut self,
        serving: impl Iterator<Item = (AccountId, &'a RequestTally)>,
    ) {
        for group in &mut self.groups.all {
            group.requests_in_flight = 0;
        }
        for (account, tally) in serving {
            let group = self.accounts.group_of(account);
            let group = group.map(|group| &mut self.groups.all[group.0]);
            if let Some(group) = group.filter(|group| group.counts_requests) {
                let sum = group.requests_in_flight.saturating_add(tally.in_flight());
                group.requests_in_flight = sum;
            }
        }
    }

    /// Takes the live processes that have served requests, of groups that show them one by one.
    pub fn list_servers<'a>(
        &mut self,
        serving: impl Iterator<Item = (ProcessId, AccountId, &'a RequestTally)>,
    ) {
        for group in &mut self.groups.all {
            group.servers.clear();
        }
        let mut shown: Vec<_> = serving
            .filter_map(|(id, account, tally)| {
                let group = self.accounts.group_of(account)?;
                let is_shown = self.groups.all[group.0].shows_servers;
                is_shown.then_some((id.start_ns, id.tgid, group, tally))
            })
            .collect();
        shown.sort_unstable_by_key(|(start_ns, pid, ..)| (*start_ns, *pid));
        self.statistics.servers_omitted = shown.len().saturating_sub(SERVERS) as u64;
        for (_, pid, group, tally) in shown.into_iter().take(SERVERS) {
            let servers = &mut self.groups.all[group.0].servers;
            servers.push(ServerProcess::new(pid, tally));
        }
    }

    /// Whether a group counts the requests of this account; `None` while that is not decided.
    pub fn counts_requests(&self, id: AccountId) -> Option<bool> {
        match self.accounts.get(id)?.present() {
            Decision::Member(group) => Some(self.groups.all[group.0].counts_requests),
            Decision::Nowhere => Some(false),
            Decision::Open | Decision::Unmatched => None,
        }
    }

    /// Whether it is decided that no group counts the requests of this account.
    pub fn is_unwatched(&self, id: AccountId) -> bool {
        self.counts_requests(id) == Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Placement, Policy, Verdict};
    use crate::process::{Facts, Ledger as _, METHOD_GET, METHOD_OTHER};

    /// A grouper that shows the processes of the group `a` one by one.
    fn grouper() -> Grouper {
        let placer = |facts: &Facts| {
            let name = String::from_utf8_lossy(&facts.comm).into_owned();
            Verdict::Member(Placement {
                counts_requests: true,
                shows_servers: name == "a",
                ..Placement::plain(0, name)
            })
        };
        let policy = Policy {
            max_groups: 10,
            children: true,
            remove_empty: false,
        };
        Grouper::new(Box::new(placer), policy)
    }

    fn account(grouper: &mut Grouper, comm: &str) -> AccountId {
        let account = grouper.open(None);
        let facts = Facts {
            comm: comm.as_bytes().into(),
            ..Facts::default()
        };
        grouper.identify(account, &facts);
        account
    }

    fn id(pid: u32) -> ProcessId {
        ProcessId {
            tgid: pid,
            start_ns: 10_000 - u64::from(pid),
        }
    }

    fn tally(words: &[(usize, usize, u64)]) -> RequestTally {
        let mut counters = RequestCounters::default();
        for (method, status, count) in words {
            counters.ended[*method][*status] = *count;
            counters.begun[*method] += count + 1;
        }
        let mut tally = RequestTally::default();
        tally.add(&counters);
        tally
    }

    #[test]
    fn processes_of_groups_that_show_them_are_listed_until_they_end() {
        let mut grouper = grouper();
        let [a, b] = ["a", "b"].map(|comm| account(&mut grouper, comm));
        let some = tally(&[
            (METHOD_GET, 1, 3),
            (METHOD_OTHER, 1, 4),
            (METHOD_OTHER, STATUS_ABORTED, 1),
        ]);
        let none = RequestTally::default();
        let serving = [(id(1), a, &some), (id(2), a, &none), (id(3), b, &some)];
        grouper.list_servers(serving.into_iter());
        let [shown, hidden] = &grouper.groups.all[..] else {
            panic!("two groups");
        };
        assert_eq!(hidden.servers, []);
        let pids: Vec<u32> = shown.servers.iter().map(|server| server.pid).collect();
        // The second one began first.
        assert_eq!(pids, [2, 1]);
        assert_eq!(shown.servers[1].ended, [0, 7, 0, 0, 0, 1]);
        assert_eq!(shown.servers[1].in_flight, 3);
        grouper.list_servers(serving.into_iter().take(1));
        assert_eq!(grouper.groups.all[0].servers.len(), 1);
    }

    #[test]
    fn requests_in_flight_follow_their_process_into_another_group() {
        let mut grouper = grouper();
        let [a, b, c] = ["a", "b", "c"].map(|comm| account(&mut grouper, comm));
        grouper.groups.all[2].counts_requests = false;
        let tally = tally(&[(METHOD_GET, 1, 3), (METHOD_OTHER, 1, 4)]);
        let mut in_flight = |accounts: &[AccountId]| {
            let serving = accounts.iter().map(|account| (*account, &tally));
            grouper.measure_in_flight(serving);
            let groups = grouper.groups.all.iter();
            groups
                .map(|group| group.requests_in_flight)
                .collect::<Vec<_>>()
        };
        assert_eq!(in_flight(&[a, a]), [4, 0, 0]);
        assert_eq!(in_flight(&[b, a]), [2, 2, 0]);
        assert_eq!(in_flight(&[b, c]), [0, 2, 0]);
    }

    #[test]
    fn youngest_processes_are_omitted_and_counted() {
        let mut grouper = grouper();
        let account = account(&mut grouper, "a");
        let tally = RequestTally::default();
        let count = u32::try_from(SERVERS).unwrap() + 3;
        let serving = (0..count).map(|pid| (id(pid), account, &tally));
        grouper.list_servers(serving);
        assert_eq!(grouper.statistics().servers_omitted, 3);
        let shown = &grouper.groups.all[0].servers;
        assert_eq!(shown.len(), SERVERS);
        assert!(shown.iter().all(|server| server.pid >= 3));
    }
}
