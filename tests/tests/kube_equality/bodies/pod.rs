//! Pods.

use serde_json::{Value, json};

use super::Dice;

pub(super) fn pod(dice: &mut Dice<'_>) -> Value {
    let mut main = json!({"name": "main"});
    dice.some(
        &mut main,
        97,
        "image",
        &[json!("jupyter:1"), json!("jupyter:1"), json!("jupyter"), json!("r.io/x/jupyter:2")],
    );
    let amount = |cpu: &str| json!({"cpu": cpu, "memory": "1Gi"});
    dice.some(
        &mut main,
        60,
        "resources",
        &[
            json!({"limits": amount("1"), "requests": amount("1000m")}),
            json!({"limits": amount("2")}),
            json!({"requests": {"cpu": "100m"}}),
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        ],
    );
    dice.some(
        &mut main,
        30,
        "env",
        &[
            json!([{"name": "A", "value": "1"}]),
            json!([{"name": "B", "value": ""}, {"name": "A", "value": "2"}]),
            json!([{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        ],
    );
    dice.some(
        &mut main,
        30,
        "ports",
        &[json!([{"containerPort": 8888}]), json!([{"containerPort": 8888, "name": "http"}])],
    );
    dice.some(
        &mut main,
        20,
        "readinessProbe",
        &[json!({"httpGet": {"port": 8888}}), json!({"tcpSocket": {"port": "http"}, "periodSeconds": 3})],
    );
    dice.some(
        &mut main,
        20,
        "securityContext",
        &[json!({"runAsUser": 1000, "runAsNonRoot": true}), json!({"privileged": false})],
    );
    dice.some(&mut main, 15, "command", &[json!(["jupyter", "lab"]), json!([])]);
    dice.some(&mut main, 10, "lifecycle", &[json!({"preStop": {"exec": {"command": ["sh"]}}})]);
    let mut spec = json!({"containers": [main]});
    if dice.chance(40) {
        spec["volumes"] = dice.pick(&[
            json!([{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]),
            json!([{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}, {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}]),
            json!([{"name": "key", "secret": {"secretName": "k"}}, {"name": "home"}]),
        ]);
        if dice.chance(60) {
            spec["containers"][0]["volumeMounts"] =
                json!([{"name": "home", "mountPath": "/home/jupyter", "subPath": "home"}]);
        }
    }
    if dice.chance(15) {
        spec["containers"].as_array_mut().expect("a list").push(json!({"name": "side", "image": "side:1"}));
    }
    dice.some(&mut spec, 20, "nodeSelector", &[json!({"zone": "a"}), json!({})]);
    dice.some(
        &mut spec,
        20,
        "securityContext",
        &[json!({"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch"}), json!({})],
    );
    dice.some(&mut spec, 20, "terminationGracePeriodSeconds", &[json!(0), json!(60)]);
    dice.some(&mut spec, 20, "tolerations", &[json!([{"key": "nvidia.com/gpu", "operator": "Exists"}])]);
    dice.some(&mut spec, 15, "affinity", &[json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}})]);
    dice.some(&mut spec, 20, "nodeName", &[json!("somewhere")]);
    dice.some(&mut spec, 20, "restartPolicy", &[json!("Never")]);
    dice.some(&mut spec, 15, "automountServiceAccountToken", &[json!(false)]);
    dice.some(&mut spec, 15, "serviceAccountName", &[json!("me")]);
    let mut out = json!({"spec": spec});
    if dice.chance(50) {
        out["status"] = pod_status(dice);
    }
    out
}

fn pod_status(dice: &mut Dice<'_>) -> Value {
    let mut status = json!({"phase": dice.pick(&[json!("Running"), json!("Pending"), json!("Failed")])});
    let condition =
        |kind: &str, value: &str| json!({"type": kind, "status": value, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    dice.some(
        &mut status,
        60,
        "conditions",
        &[json!([condition("Ready", "True")]), json!([condition("PodScheduled", "True"), condition("Ready", "False")])],
    );
    dice.some(&mut status, 30, "podIP", &[json!("10.1.2.3")]);
    let container = json!({"name": "main", "image": "jupyter:1", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
    dice.some(&mut status, 30, "containerStatuses", &[json!([container])]);
    status
}
