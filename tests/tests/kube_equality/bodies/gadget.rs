//! The custom kind, which has every sort of list and map that a schema can declare.

use serde_json::{Value, json};

use super::Dice;

pub(super) fn gadget(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({});
    dice.some(&mut spec, 92, "size", &[json!(1), json!(2), json!(3), json!(3), json!(0), json!("3"), json!(99)]);
    dice.some(&mut spec, 30, "class", &[json!("fast"), json!("slow"), json!("much-too-long-a-name"), json!("UPPER")]);
    dice.some(&mut spec, 20, "mode", &[json!("Fast"), json!("Slow"), json!("Odd"), Value::Null]);
    dice.some(&mut spec, 20, "enabled", &[json!(true), json!(false)]);
    dice.some(&mut spec, 30, "zones", &[json!(["a"]), json!(["a", "b"]), json!([]), json!(["a", "a"])]);
    dice.some(&mut spec, 40, "tags", &[json!(["x"]), json!(["y", "x"]), json!(["z"]), json!([]), json!(["x", "x"])]);
    let bucket = |path: &str, name: &str| json!({"path": path, "name": name});
    dice.some(
        &mut spec,
        40,
        "buckets",
        &[
            json!([bucket("p", "one")]),
            json!([bucket("q", "two"), bucket("p", "one")]),
            json!([bucket("p", "other"), {"path": "r", "readOnly": true}]),
            json!([bucket("p", "one"), bucket("p", "two")]),
            json!([{"name": "keyless"}]),
            json!([]),
        ],
    );
    dice.some(
        &mut spec,
        40,
        "host",
        &[
            json!({"vm": {"machineType": "small"}}),
            json!({"vm": {"machineType": "large", "gpus": 1}}),
            json!({"pod": {"image": "i"}}),
            json!({}),
            json!({"vm": {}}),
        ],
    );
    dice.some(&mut spec, 20, "labels", &[json!({"a": "1"}), json!({"a": "2", "b": "1"}), json!({})]);
    dice.some(&mut spec, 20, "frozen", &[json!({"a": "1"}), json!({"a": "1", "b": "2"}), json!({"b": "2"})]);
    dice.some(
        &mut spec,
        20,
        "extra",
        &[json!({"any": {"deep": 1}}), json!({"list": [1, {"a": 2}]}), json!({"any": 5})],
    );
    dice.some(&mut spec, 10, "port", &[json!(80), json!("http"), json!(true)]);
    dice.some(&mut spec, 10, "maybe", &[json!("yes"), Value::Null]);
    dice.some(&mut spec, 4, "unknown", &[json!(1)]);
    let mut out = json!({"spec": spec});
    if dice.chance(50) {
        out["status"] = gadget_status(dice);
    }
    out
}

fn gadget_status(dice: &mut Dice<'_>) -> Value {
    let mut status = json!({});
    dice.some(&mut status, 60, "phase", &[json!("Running"), json!("Stopped")]);
    dice.some(&mut status, 40, "observedGeneration", &[json!(1), json!(2)]);
    let condition = |kind: &str, value: &str| json!({"type": kind, "status": value, "reason": "Because"});
    dice.some(
        &mut status,
        60,
        "conditions",
        &[
            json!([condition("Ready", "True")]),
            json!([condition("Ready", "False"), condition("Stalled", "True")]),
            json!([condition("Stalled", "False")]),
            json!([{"type": "Ready"}]),
        ],
    );
    status
}
