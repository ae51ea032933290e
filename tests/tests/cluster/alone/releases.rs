//! Two releases of the chart in one cluster.

use stockwatch_tests::{Alone, Audit, CHART, IMAGES, Namespace, Release, Until, soon, wait_for};

#[test]
fn of_two_releases_one_looks_after_the_cluster_and_the_other_stays_away_and_says_so() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let (first, second) = (Namespace::create(cluster, "first"), Namespace::create(cluster, "second"));
    let home = Namespace::create(cluster, "home");
    let one = Release::install(cluster, first.name(), "stockwatch", &[]);
    home.simulate("live", |_| {});
    home.wait(120, "stockwatch/live", &Until::ready());
    let pods = home.pods("stockwatch.dev/name=live");

    let values = format!("--set=crds.enabled=false,{}", IMAGES.join(","));
    let install = ["-n", second.name(), "install", "another", CHART, &values];
    let refused = cluster.command("helm").args(install).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("stockwatch-claim"), "{said}");

    // Taken over on purpose: the claim names the second one, and the first one keeps its hands off.
    let _other = Release::install(cluster, second.name(), "another", &[]);
    wait_for(60, "the first one says so", || {
        let left_out = one.metric("namespaces_left_out", "");
        soon(left_out >= 1.0, left_out)
    });
    let told = one.log(1000);
    assert!(told.contains(&format!("looked after by release {}/another", second.name())), "{told}");
    let mut audit = Audit::begin(cluster);
    let applied = home.retune("live", "0.2%");
    home.wait(60, "stockwatch/live", &applied);
    home.wait(60, "stockwatch/live", &Until::ready());
    let written = audit.of(&one.user());
    let here: Vec<_> = written.iter().filter(|request| request.namespace == home.name()).collect();
    assert!(here.is_empty(), "{here:#?}");
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods, "no worker was rolled");
}

#[test]
fn a_release_of_the_cluster_and_those_of_a_namespace_leave_each_other_what_they_found() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let [before, wide, after] =
        ["before", "wide", "after"].map(|purpose| Namespace::create(cluster, purpose));
    let [early, late] = ["early", "late"].map(|purpose| Namespace::create(cluster, purpose));
    let listed = |home: &Namespace| format!("namespaces={{{}}}", home.name());
    let install = |at: &Namespace, name, values: &[&str]| Release::install(cluster, at.name(), name, values);
    let says = |release: &Release, home: &Namespace, of: &Namespace, name: &str| {
        let said = format!("namespace {} is looked after by release {}/{name}", home.name(), of.name());
        wait_for(60, "it says who looks after the namespace", || {
            let told = release.log(1000);
            soon(told.contains(&said), told)
        });
    };
    // Whoever looks after it takes an edit, and the other one writes nothing there.
    let leaves = |stranger: &Release, home: &Namespace| {
        let mut audit = Audit::begin(cluster);
        let applied = home.retune("live", "0.2%");
        home.wait(60, "stockwatch/live", &applied);
        home.wait(60, "stockwatch/live", &Until::ready());
        let written = audit.of(&stranger.user());
        let here: Vec<_> = written.iter().filter(|request| request.namespace == home.name()).collect();
        assert!(here.is_empty(), "{here:#?}");
    };

    let first = install(&before, "stockwatch-before", &[&listed(&early)]);
    early.simulate("live", |_| {});
    early.wait(120, "stockwatch/live", &Until::ready());
    let of_cluster = install(&wide, "stockwatch-wide", &[]);
    late.simulate("live", |_| {});
    late.wait(120, "stockwatch/live", &Until::ready());
    says(&of_cluster, &early, &before, "stockwatch-before");
    leaves(&of_cluster, &early);

    let last = install(&after, "stockwatch-after", &[&listed(&late)]);
    says(&last, &late, &wide, "stockwatch-wide");
    leaves(&last, &late);

    of_cluster.uninstall();
    let taken_over = late.retune("live", "0.3%");
    late.wait(60, "stockwatch/live", &taken_over);
    late.wait(60, "stockwatch/live", &Until::ready());
    leaves(&last, &early);
    drop(first);
}
