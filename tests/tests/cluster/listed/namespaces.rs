//! Namespaces that the operator is to look after, and that go.

use stockwatch_tests::{Container, Listed, Namespace, Release, Until, soon, wait_for};

#[test]
fn a_listed_namespace_that_is_gone_holds_up_nobody_else_over_a_restart_of_all_operators() {
    let listed = Listed::new();
    let cluster = listed.cluster();
    let system = Namespace::create(cluster, "system");
    let (home, gone) = (Namespace::create(cluster, "home"), Namespace::create(cluster, "gone"));
    let both = format!("namespaces={{{},{}}}", home.name(), gone.name());
    let release = Release::install(cluster, system.name(), "stockwatch", &[&both]);
    for namespace in [&home, &gone] {
        namespace.simulate("live", |_| {});
        namespace.wait(120, "stockwatch/live", &Until::ready());
    }
    cluster.kubectl(&["delete", "namespace", gone.name(), "--timeout=90s"]);
    wait_for(90, "each operator says that it is left out", || {
        let left_out = release.metric("namespaces_left_out", "");
        soon(left_out == 2.0, left_out)
    });
    let told = release.log(1000);
    assert!(told.contains(&format!("of {}", gone.name())), "{told}");
    release.await_operators();

    release.containers().iter().for_each(Container::kill);
    let applied = home.retune("live", "0.2%");
    home.wait(15, "stockwatch/live", &applied);
    home.wait(15, "stockwatch/live", &Until::ready());
    release.await_operators();
}
