//! Whatever a text is, `load` answers.

use proptest::prelude::*;
use serde_json::{Value, json};
use stockwatch_crds::{Bound, Tolerance, load};

use crate::largest::largest;
use crate::with_spec;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_load_panic(text in ".*") {
        let _ = load(&text);
    }

    #[test]
    fn no_piece_of_yaml_makes_load_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "a", "0", "-1", "1e9", "~", "''", "\"\\ud800\"", ": ", "- ", "? ", "\n", "\n  ", "[", "]", "{", "}", ",",
                "&a ", "*a", "<<", "!!str ", "!t ", "|\n", ">\n", "#", "%", "---\n", "...\n", "spec", "tickers", "symbol",
            ]),
            0..40,
        ),
    ) {
        let text = pieces.concat();
        let _ = load(&text);
        let _ = load(&with_spec(&text));
    }

    #[test]
    fn no_value_in_any_place_makes_load_panic(place in 0_usize..200, value in any_value()) {
        let mut object = largest_shape();
        replace(&mut object, &mut { place }, &value);
        let _ = load(&object.to_string());
    }

    #[test]
    fn a_tolerance_is_parsed_exactly(whole in 0_u64..1_000_000_000, nanos in 0_u64..1_000_000_000, places in 0_usize..=9, relative: bool) {
        let fraction = &format!("{nanos:09}")[..places];
        let sign = if relative { "%" } else { "" };
        let text = if places == 0 { format!("{whole}{sign}") } else { format!("{whole}.{fraction}{sign}") };
        let value = whole * 1_000_000_000 + format!("{fraction:0<9}").parse::<u64>().unwrap();
        let bound = if relative { Bound::Relative(value) } else { Bound::Absolute(value) };
        prop_assert_eq!(Tolerance::parse(&text), Ok(Tolerance { text, bound }));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        prop::collection::vec(any::<i32>(), 0..4).prop_map(Value::from),
        Just(json!({"name": 1, "x": {"y": []}})),
    ]
}

/// A StockWatch that has every kind of field, but few of each.
fn largest_shape() -> Value {
    let mut object = largest();
    object["spec"]["tickers"].as_array_mut().unwrap().truncate(2);
    object["spec"]["windows"].as_array_mut().unwrap().truncate(2);
    object["spec"]["worker"] =
        json!({"replicas": 1, "labels": {"a": "b"}, "resources": {"limits": {"cpu": 1}}});
    for topic in object["spec"]["kafka"]["topics"].as_object_mut().unwrap().values_mut() {
        topic["config"] = json!({"retention.ms": "1"});
    }
    object
}

/// Puts `value` in the place that `steps` counts down to, depth first.
fn replace(at: &mut Value, steps: &mut usize, value: &Value) {
    if *steps == 0 {
        *at = value.clone();
    }
    *steps = steps.wrapping_sub(1);
    match at {
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, steps, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, steps, value)),
        _ => {}
    }
}
