//! The largest StockWatch that the limits allow, and one beyond them.

use serde_json::{Value, json};
use stockwatch_crds::{LoadError, load};

/// So many tickers with three tolerances each fit beside 1000 of the longest symbols and names.
const OVERRIDDEN: usize = 266;

/// As many and as long as the limits allow.
pub(crate) fn largest() -> Value {
    let tolerance = "999999999.999999999%";
    let tickers: Vec<Value> = (0..1000)
        .map(|i| {
            let mut ticker = json!({"symbol": format!("S{i:031}"), "name": format!("N{i:063}")});
            if i < OVERRIDDEN {
                ticker["tolerances"] = (1438..=1440)
                    .map(|m| json!({"window": format!("{m}m"), "tolerance": tolerance}))
                    .collect();
            }
            ticker
        })
        .collect();
    let windows: Vec<Value> =
        (1431..=1440).map(|m| json!({"duration": format!("{m}m"), "tolerance": tolerance})).collect();
    let config: Value = (0..32).map(|i| (format!("k{i:063}"), json!("v".repeat(256)))).collect();
    let members = [
        "rawInput",
        "afterDedupStream",
        "afterDedupStorageTable",
        "averagesOutput",
        "deviationAlarm",
        "deadLetter",
        "ledger",
    ];
    let topics: Value = members
        .iter()
        .map(|member| {
            let topic = json!({"name": format!("{member:t<249}"), "partitions": 10_000, "replicationFactor": 100, "config": config});
            ((*member).to_owned(), topic)
        })
        .collect();
    let table_config: Value = (0..31)
        .map(|i| (format!("k{i:063}"), json!("v".repeat(256))))
        .chain([("cleanup.policy".to_owned(), json!("compact"))])
        .collect();
    let mut object = json!({
        "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
        "metadata": {"name": "n".repeat(40), "namespace": "s".repeat(63)},
        "spec": {
            "tickers": tickers, "windows": windows, "alarms": {"quiet": "2880m", "gaps": "Alarm", "minCount": 1_000_000},
            "trade": {
                "window": "1440m", "enter": "Down", "budget": "999999999.999999999", "feeBps": "9999.999999999",
                "feeMinimum": "999999999.999999999", "slippageBps": "9999.999999999", "maxWait": "1440m",
                "stopLoss": "99.999999999%",
            },
            "source": {"yahoo": {
                "interval": "86400000ms", "baseUrl": format!("https://{}", "h".repeat(1016)), "userAgent": "u".repeat(256),
                "proxy": {
                    "urlSecret": {"name": "p".repeat(253), "key": "k".repeat(253)},
                    "caSecret": {"name": "c".repeat(253), "key": "k".repeat(253)},
                },
            }},
            "kafka": {
                "bootstrapServers": format!("{}:9092", "b".repeat(1019)),
                "tls": {"caSecret": {"name": "c".repeat(253), "key": "k".repeat(253)}, "clientSecret": {"name": "c".repeat(253)}},
                "sasl": {
                    "mechanism": "OAUTHBEARER", "secret": {"name": "s".repeat(253)},
                    "oauth": {
                        "tokenUrl": format!("https://{}", "o".repeat(1016)), "scope": "s".repeat(512),
                        "extensions": format!("e={}", "v".repeat(1022)),
                        "caSecret": {"name": "c".repeat(253), "key": "k".repeat(253)},
                    },
                },
                "groupId": "g".repeat(249), "topics": topics, "deletionPolicy": "Retain",
            },
        },
    });
    object["spec"]["kafka"]["topics"]["afterDedupStorageTable"]["config"] = table_config;
    object
}

#[test]
fn the_largest_legal_stockwatch_loads_and_fits_into_the_annotation_of_kubectl_apply() {
    let text = largest().to_string();
    let loaded = load(&text).unwrap();
    assert_eq!((loaded.spec.tickers.len(), loaded.spec.windows.len()), (1000, 10));
    assert_eq!(loaded.spec.tickers[OVERRIDDEN - 1].overrides.len(), 3);
    assert!(text.len() < 256 << 10, "{} bytes", text.len());
}

#[test]
fn more_text_of_tickers_than_kubectl_apply_can_copy_is_refused() {
    let mut overridden = largest();
    let tolerances = overridden["spec"]["tickers"][0]["tolerances"].clone();
    overridden["spec"]["tickers"][OVERRIDDEN]["tolerances"] = tolerances;
    let mut named = largest();
    named["spec"]["tickers"][999]["name"] = json!("🚀".repeat(64));
    for too_large in [overridden, named] {
        let LoadError::Invalid(invalid) = load(&too_large.to_string()).unwrap_err() else { panic!() };
        let [problem] = &invalid.problems[..] else { panic!("{invalid}") };
        assert_eq!(problem.path, "spec.tickers");
        assert!(problem.message.contains("at most 180000"), "{invalid}");
    }
}
