//! Defaults of built-in kinds that the `OpenAPI` document does not tell, and those that the default admission adds.

use serde_json::{Map, Value, json};

/// Sets a field that is not there.
fn fill(object: &mut Value, name: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        let missing = map.get(name).is_none_or(|old| old.is_null() || old == "");
        if missing {
            map.insert(name.to_owned(), value);
        }
    }
}

fn each<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

/// What decoding fills in (`SetDefaults_...`).
pub fn on_decode(resource: &str, object: &mut Value) {
    match resource {
        "pods" => pod(object),
        "services" => service(&mut object["spec"]),
        "secrets" => fill(object, "type", json!("Opaque")),
        "persistentvolumes" => {
            fill(&mut object["spec"], "persistentVolumeReclaimPolicy", json!("Retain"));
            fill(&mut object["spec"], "volumeMode", json!("Filesystem"));
            fill(&mut object["status"], "phase", json!("Pending"));
        }
        "persistentvolumeclaims" => {
            fill(&mut object["spec"], "volumeMode", json!("Filesystem"));
            fill(&mut object["status"], "phase", json!("Pending"));
        }
        "namespaces" => {
            fill(&mut object["status"], "phase", json!("Active"));
            if let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) {
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
            }
        }
        "nodes" => {
            let capacity = object["status"].get("capacity").cloned();
            if let Some(capacity) = capacity {
                fill(&mut object["status"], "allocatable", capacity);
            }
        }
        "storageclasses" => {
            fill(object, "reclaimPolicy", json!("Delete"));
            fill(object, "volumeBindingMode", json!("Immediate"));
        }
        "endpointslices" => {
            for port in each(object, "ports") {
                if port.get("name").is_none() {
                    port["name"] = json!("");
                }
                fill(port, "protocol", json!("TCP"));
            }
        }
        "priorityclasses" => fill(object, "preemptionPolicy", json!("PreemptLowerPriority")),
        _ => {}
    }
}

fn pod(object: &mut Value) {
    let spec = &mut object["spec"];
    fill(spec, "dnsPolicy", json!("ClusterFirst"));
    fill(spec, "restartPolicy", json!("Always"));
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", json!(30));
    fill(spec, "schedulerName", json!("default-scheduler"));
    fill(spec, "enableServiceLinks", json!(true));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        fill(spec, "serviceAccount", account);
    }
    for list in ["containers", "initContainers"] {
        each(spec, list).for_each(container);
    }
    each(spec, "volumes").for_each(volume);
    let address = object["status"]["podIP"].as_str().unwrap_or("").to_owned();
    let first = object["status"].pointer("/podIPs/0/ip").cloned();
    match first {
        Some(first) if address.is_empty() => object["status"]["podIP"] = first,
        Some(first) if first == address => {}
        _ if !address.is_empty() => object["status"]["podIPs"] = json!([{"ip": address}]),
        _ => {}
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or("");
    let tag = image.rsplit('/').next().unwrap_or("").split_once(':').map_or("latest", |(_, tag)| tag);
    let always = tag == "latest" && !image.contains('@');
    fill(container, "imagePullPolicy", json!(if always { "Always" } else { "IfNotPresent" }));
    fill(container, "terminationMessagePath", json!("/dev/termination-log"));
    fill(container, "terminationMessagePolicy", json!("File"));
    let limits = container["resources"]["limits"].as_object().cloned();
    if let (Some(limits), Some(resources)) = (limits, container["resources"].as_object_mut()) {
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        for (name, amount) in limits {
            fill(requests, &name, amount);
        }
    }
    if let Some(resources) = container["resources"].as_object_mut() {
        resources.retain(|_, value| !value.is_null());
    }
    for port in each(container, "ports") {
        fill(port, "protocol", json!("TCP"));
    }
    for variable in each(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            fill(field, "apiVersion", json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|probe| probe.is_object()) {
            fill(probe, "timeoutSeconds", json!(1));
            fill(probe, "periodSeconds", json!(10));
            fill(probe, "successThreshold", json!(1));
            fill(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet") {
                fill(get, "path", json!("/"));
                fill(get, "scheme", json!("HTTP"));
            }
        }
    }
    if let Some(get) = container.pointer_mut("/lifecycle/preStop/httpGet") {
        fill(get, "path", json!("/"));
        fill(get, "scheme", json!("HTTP"));
    }
}

fn volume(volume: &mut Value) {
    let sources = volume.as_object().map_or(0, Map::len);
    if sources == 1 {
        volume["emptyDir"] = json!({});
    }
    for name in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(name).filter(|source| source.is_object()) {
            fill(source, "defaultMode", json!(420));
        }
    }
    if let Some(source) = volume.get_mut("hostPath").filter(|source| source.is_object()) {
        fill(source, "type", json!(""));
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in each(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                fill(token, "expirationSeconds", json!(3600));
            }
        }
    }
}

fn service(spec: &mut Value) {
    fill(spec, "sessionAffinity", json!("None"));
    fill(spec, "type", json!("ClusterIP"));
    for port in each(spec, "ports") {
        fill(port, "protocol", json!("TCP"));
        if port.get("targetPort").is_none_or(|target| *target == 0 || *target == "") {
            port["targetPort"] = port["port"].clone();
        }
    }
    if spec["sessionAffinity"] == "ClientIP" {
        fill(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    } else if let Some(map) = spec.as_object_mut() {
        map.remove("sessionAffinityConfig");
    }
    let external = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if external {
        fill(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["type"] == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    if spec["type"] != "ExternalName" {
        fill(spec, "internalTrafficPolicy", json!("Cluster"));
    }
}

/// Pods get a priority, and tolerate a lost node for five minutes.
pub fn admit_pod(spec: &mut Value, class: Option<&Value>) {
    let (value, preemption) = class.map_or((json!(0), json!("PreemptLowerPriority")), |class| {
        (class["value"].clone(), class["preemptionPolicy"].clone())
    });
    fill(spec, "priority", value);
    fill(spec, "preemptionPolicy", preemption);
    admit_tolerations(spec);
}

/// Every write makes sure of the two tolerations.
pub fn admit_tolerations(spec: &mut Value) {
    let list = spec.as_object_mut().map(|spec| spec.entry("tolerations").or_insert_with(|| json!([])));
    let Some(Value::Array(tolerations)) = list else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|toleration| {
            let of_key = toleration["key"] == key || toleration.get("key").is_none();
            of_key && (toleration["effect"] == "NoExecute" || toleration.get("effect").is_none())
        });
        if !tolerated {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// Quality of service: all requests equal limits, some requests, or none.
pub fn qos_class(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .map(|container| &container["resources"])
        .collect();
    let amount = |resources: &Value, list: &str, name: &str| {
        resources[list].get(name).and_then(Value::as_str).filter(|text| *text != "0").map(str::to_owned)
    };
    let guaranteed = containers.iter().all(|resources| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(resources, "limits", name);
            limit.is_some() && limit == amount(resources, "requests", name)
        })
    });
    let none = containers.iter().all(|resources| {
        ["limits", "requests"]
            .iter()
            .all(|list| ["cpu", "memory"].iter().all(|name| amount(resources, list, name).is_none()))
    });
    if none {
        "BestEffort"
    } else if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// `stringData` is written into `data` and never kept.
pub fn fold_string_data(object: &mut Value) {
    use base64::Engine as _;
    let Some(Value::Object(plain)) = object.as_object_mut().and_then(|secret| secret.remove("stringData")) else {
        return;
    };
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or(""));
        object["data"][key] = json!(encoded);
    }
}
