//! When the caller need not find anything.

use super::*;

#[tokio::test]
async fn registry_without_instances_is_still_until_one_appears() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let finder = tree.finder(uid);
    fs::write(tree.registry().join("passenger.log"), "").unwrap();
    fs::create_dir(tree.registry().join("other")).unwrap();
    let stillness = still(&finder).await;
    assert!(stillness.lasts());
    let made = tree.instance("one", uid);
    assert!(!stillness.lasts());
    let findings = find(&finder, &[]).await;
    assert_eq!(names(&findings), ["one"]);
    assert!(findings.stillness.is_none());

    // A dead instance may be locked again.
    made.lock.unlock().unwrap();
    let findings = find(&finder, &[]).await;
    assert!(findings.is_empty() && findings.stillness.is_none());
    fs::remove_dir_all(&made.path).unwrap();
    assert!(still(&finder).await.lasts(), "empty again");
}

/// Finds nothing. The first time after an instance, the registries are not watched.
async fn still(finder: &InstanceFinder) -> Arc<Stillness> {
    let _ = find(finder, &[]).await;
    let findings = find(finder, &[]).await;
    assert!(findings.is_empty(), "{findings:?}");
    findings.stillness.unwrap()
}

#[tokio::test]
async fn registry_that_appears_ends_the_stillness() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let finder = tree.finder(uid);
    fs::remove_dir(tree.registry()).unwrap();
    let stillness = still(&finder).await;
    assert!(stillness.lasts());
    let elsewhere = tempfile::tempdir_in(tree.folder.path()).unwrap();
    let _made = make(elsewhere.path(), "one", uid);
    let stillness = still(&finder).await;
    assert!(stillness.lasts());
    fs::rename(elsewhere.path(), tree.registry()).unwrap();
    assert!(!stillness.lasts());
    assert_eq!(names(&find(&finder, &[]).await), ["one"]);
}

#[tokio::test]
async fn registry_that_cannot_be_listed_is_never_still() {
    let tree = RegistryTree::new();
    let finder = tree.finder(0);
    fs::remove_dir(tree.registry()).unwrap();
    fs::write(tree.registry(), "").unwrap();
    let findings = find(&finder, &[]).await;
    assert_eq!(findings.failures.len(), 1);
    assert!(findings.stillness.is_none());
}
