//! Another version of the chart, with another definition.

use std::path::Path;

use serde_json::{Value, json};
use stockwatch_tests::{Alone, Broker, Copied, Namespace, Release, Until};

use crate::listed::only;

/// The chart as an older version may have been: its definition has no `spec.suspend`, and shows no brokers. Its values are
/// those of the first version.
fn older_chart() -> Copied {
    Copied::with("files/stockwatch.yaml", |definition| {
        let version = &mut definition["spec"]["versions"][0];
        version["additionalPrinterColumns"]
            .as_array_mut()
            .unwrap()
            .retain(|column| column["name"] != "Brokers");
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        spec.as_object_mut().unwrap().remove("suspend").unwrap();
    })
    .replacing("values.yaml", Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/chart/upgrade/oldest.yaml")))
}

#[test]
fn an_upgrade_brings_the_new_definition_a_rollback_the_older_one_and_both_leave_stockwatches_and_workers() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    let (system, home) = (Namespace::create(cluster, "system"), Namespace::create(cluster, "home"));
    let older = older_chart();
    let release = Release::install_chart(older.path(), cluster, system.name(), "stockwatch", &[&only(&home)]);
    home.simulate("live", |_| {});
    home.wait(120, "stockwatch/live", &Until::ready());
    // The last that is said of it, soon after Ready.
    home.wait(60, "stockwatch/live", &Until::because("QuotesFlow", "Flowing"));
    let (pods, before) = (home.pods("stockwatch.dev/name=live"), home.get("stockwatch/live"));
    assert!(!home.kubectl(&["get", "sw", "-o", "wide"]).contains("BROKERS"));
    let suspend = json!({"spec": {"suspend": true}});
    assert_eq!(home.patch("stockwatch/live", &suspend)["spec"]["suspend"], Value::Null, "not known yet");

    // Another operator comes with it: the API server shows objects by the old definition to watches that began under it.
    release.upgrade(&[&only(&home), "podAnnotations.upgraded=yes"]);
    let table = home.kubectl(&["get", "sw", "-o", "wide"]);
    assert!(table.contains("BROKERS") && table.contains(Broker::shared_for_pods().bootstrap()), "{table}");
    let after = home.get("stockwatch/live");
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);

    release.rollback();
    assert!(!home.kubectl(&["get", "sw", "-o", "wide"]).contains("BROKERS"), "the older definition");
    home.wait(60, "stockwatch/live", &home.retune("live", "0.2%"));
    home.wait(60, "stockwatch/live", &Until::ready());
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);

    release.upgrade_reusing(&["podAnnotations.upgraded=again"]);
    assert_eq!(home.pods("stockwatch.dev/name=live"), pods);
    home.patch("stockwatch/live", &suspend);
    home.wait(60, "stockwatch/live", &Until::because("Ready", "Suspended"));
}
