//! When registries are listed again, and when the caller need not find anything.

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

/// Finds nothing.
async fn still(finder: &InstanceFinder) -> Arc<Stillness> {
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

#[tokio::test]
async fn registries_are_listed_again_when_they_have_changed_and_not_before() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let finder = tree.finder(uid);
    let known = || finder.known().map(|known| Arc::as_ptr(&known));
    let first = tree.instance("one", uid);
    assert_eq!(names(&find(&finder, &[]).await), ["one"]);
    let before = known();
    assert!(before.is_some());
    assert_eq!(names(&find(&finder, &[]).await), ["one"]);
    assert_eq!(known(), before);
    // What is in the directory of an instance is looked at each time.
    first.lock.unlock().unwrap();
    assert_eq!(names(&find(&finder, &[]).await), [""; 0]);
    first.lock.try_lock().unwrap();
    assert_eq!(names(&find(&finder, &[]).await), ["one"]);
    assert_eq!(known(), before);
    let _second = tree.instance("two", uid);
    assert!(known().is_none());
    assert_eq!(names(&find(&finder, &[]).await), ["one", "two"]);
    assert!(known().is_some());
}

#[tokio::test]
async fn many_names_are_not_kept() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let finder = tree.finder(0);
    for n in 0..=MOST_KNOWN {
        fs::create_dir(tree.registry().join(format!("passenger.a{n}"))).unwrap();
    }
    let findings = find(&finder, &[]).await;
    assert!(finder.known().is_none() && findings.stillness.is_none());
}
