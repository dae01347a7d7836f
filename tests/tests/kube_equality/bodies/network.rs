//! Services and the slices behind them.

use serde_json::{Value, json};

use super::Dice;

pub(super) fn service(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({"ports": dice.pick(&[
        json!([{"port": 80, "targetPort": 8888, "name": "http"}]),
        json!([{"port": 80}]),
        json!([{"port": 80, "name": "http"}, {"port": 443, "name": "https", "targetPort": "tls"}]),
    ])});
    dice.some(&mut spec, 30, "clusterIP", &[json!("None")]);
    dice.some(&mut spec, 20, "selector", &[json!({"app": "x"})]);
    dice.some(&mut spec, 10, "sessionAffinity", &[json!("ClientIP")]);
    json!({"spec": spec})
}

pub(super) fn slice(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({
        "addressType": dice.pick(&[json!("IPv4"), json!("IPv4"), json!("IPv4"), json!("FQDN")]),
        "endpoints": dice.pick(&[
            json!([]),
            json!([{"addresses": ["10.1.1.1"]}]),
            json!([{"addresses": ["10.1.1.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "p", "namespace": "n"}}]),
            json!([{"addresses": ["10.1.1.2"], "conditions": {"ready": false, "serving": false}, "nodeName": "n", "zone": "z"}]),
        ]),
    });
    dice.some(
        &mut out,
        80,
        "ports",
        &[
            json!([{"port": 8888, "name": "http"}]),
            json!([{"port": 80}]),
            json!([{"port": 80, "name": "", "protocol": "TCP", "appProtocol": "http"}]),
        ],
    );
    out
}
