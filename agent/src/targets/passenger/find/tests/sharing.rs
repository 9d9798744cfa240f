//! Subordinate uids use the share of the user who owns them.

use super::*;

const SUBORDINATE: u32 = 200_000;

/// Gives [`USER`] the uids from [`SUBORDINATE`] on.
fn give_subordinate_uids(tree: &RegistryTree) {
    let etc = tree.folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("subuid"), format!("{USER}:{SUBORDINATE}:65536\n")).unwrap();
}

#[tokio::test]
async fn subordinate_uids_use_the_share_of_their_owner() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    give_subordinate_uids(&tree);
    let uids = SUBORDINATE..SUBORDINATE + 20;
    let _made: Vec<Made> = uids
        .map(|uid| tree.instance(&format!("a{uid}"), uid))
        .collect();
    let _other = tree.instance("zz", OTHER);
    let findings = tree.find().await;
    let found = findings.instances.iter().map(|one| one.identity.uid);
    let shown = SUBORDINATE..SUBORDINATE + u32::try_from(MOST_OF_EACH).unwrap();
    assert!(
        found.eq(std::iter::once(OTHER).chain(shown)),
        "each with its own uid"
    );
    assert_eq!(findings.left_out.values().sum::<u64>(), 4);
}

#[tokio::test]
async fn readers_held_up_by_subordinate_uids_count_for_their_owner() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    give_subordinate_uids(&tree);
    let _made = [
        tree.instance("sub", SUBORDINATE + 9),
        tree.instance("other", OTHER),
    ];
    let finder = tree.finder(0);
    let end = Instant::now() + Duration::from_secs(60);
    let hung = [1, 2].map(|number| {
        let (reader, writer) = io::pipe().unwrap();
        let hangs = move || drop(io::Read::read(&mut &reader, &mut [0]));
        let job: BlockingJob<()> = Box::new(hangs);
        (writer, vec![(Sought::Registry(number), job)])
    });
    let mut writers = Vec::new();
    for (writer, jobs) in hung {
        finder.readers.run_all(USER, end, jobs).await;
        writers.push(writer);
    }
    let findings = find(&finder, &[]).await;
    assert_eq!(names(&findings), ["other"]);
    let failures = findings.failures.iter().map(|one| one.failure);
    assert!(failures.eq([Failure::Busy]));
}
