//! Claims, volumes and their attachments.

use serde_json::{Value, json};

use super::Dice;

pub(super) fn claim(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({"resources": {"requests": {"storage": dice.pick(&[json!("1Gi"), json!("1024Mi"), json!("2Gi"), json!("1")])}}});
    dice.some(&mut spec, 95, "accessModes", &[json!(["ReadWriteOncePod"])]);
    dice.some(&mut spec, 60, "storageClassName", &[json!("rehost-home"), json!("")]);
    dice.some(&mut spec, 40, "volumeName", &[json!("pv-a"), json!("pv-b")]);
    let mut out = json!({"spec": spec});
    dice.some(
        &mut out,
        50,
        "status",
        &[
            json!({"phase": "Bound", "accessModes": ["ReadWriteOncePod"], "capacity": {"storage": "1Gi"}}),
            json!({"phase": "Pending"}),
        ],
    );
    out
}

pub(super) fn volume(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({
        "capacity": {"storage": dice.pick(&[json!("10Gi"), json!("20Gi"), json!("10240Mi")])},
        "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": dice.pick(&[json!("d1"), json!("d1"), json!("d2")]), "fsType": "ext4"},
    });
    dice.some(&mut spec, 95, "accessModes", &[json!(["ReadWriteOncePod"])]);
    dice.some(&mut spec, 60, "persistentVolumeReclaimPolicy", &[json!("Retain")]);
    dice.some(&mut spec, 60, "storageClassName", &[json!("rehost-home")]);
    dice.some(
        &mut spec,
        40,
        "claimRef",
        &[
            json!({"namespace": "n", "name": "c", "kind": "PersistentVolumeClaim", "apiVersion": "v1"}),
            json!({"namespace": "n", "name": "d", "uid": "u"}),
        ],
    );
    dice.some(&mut spec, 60, "nodeAffinity", &[json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.gke.io/zone", "operator": "In", "values": ["a"]}]}]}})]);
    let mut out = json!({"spec": spec});
    dice.some(&mut out, 40, "status", &[json!({"phase": "Available"}), json!({"phase": "Bound"})]);
    out
}

pub(super) fn attachment(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({"spec": {
        "attacher": "pd.csi.storage.gke.io",
        "nodeName": dice.pick(&[json!("n1"), json!("n1"), json!("n2")]),
        "source": {"persistentVolumeName": "pv"},
    }});
    dice.some(
        &mut out,
        60,
        "status",
        &[
            json!({"attached": true}),
            json!({"attached": false, "attachError": {"message": "busy", "time": "2026-01-01T00:00:00Z"}}),
            json!({"attached": true, "attachmentMetadata": {"a": "b"}}),
        ],
    );
    out
}
