//! Broken manifests get an error that names field and value, and nothing that runs is touched.

use rehost_api::Notebook;
use rehost_tests::quickstart::board;
use serde_json::{Value, json};

use super::cases::{self, Case, Expect, merged};
use super::person::Person;
use super::{Ring, host};

/// Beside whom the broken ones are applied.
const STEADY: &str = "steady";

pub async fn at_admission(ring: &Ring) {
    // Without its class a notebook gets no host, and the rules of the definitions hold all the same.
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": rehost_tests::quickstart::NAMESPACE}});
    ring.kubectl.apply(&namespace.to_string()).await.expect("a namespace");
    let wrong = what_admission_lets_pass(&ring.person).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(ring.ledger.count(), rehost_tests::stand::NODES.len(), "nothing was asked of the cloud but the nodes");
}

/// The broken manifests that the API server takes, or refuses in other words than it should.
pub async fn what_admission_lets_pass(person: &Person) -> Vec<String> {
    let (base, cases) = cases::all();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| case.expect == Expect::Admission) {
        let first = merged(&base, &case.patch);
        let broken = match &case.then {
            None => first,
            Some(then) => {
                person
                    .apply(&first)
                    .await
                    .unwrap_or_else(|error| panic!("{}: the first is refused: {error}", case.name));
                merged(&first, then)
            }
        };
        match person.apply(&broken).await {
            Ok(_) => wrong.push(format!("{}: it is taken", case.name)),
            Err(message) => {
                let faults = case.faults(&message);
                if !faults.is_empty() {
                    wrong.push(format!("{}: {} in: {message}", case.name, faults.join(", ")));
                }
            }
        }
        if case.then.is_some() {
            person.delete(broken["metadata"]["name"].as_str().unwrap_or_default()).await;
        }
    }
    wrong
}

pub async fn by_the_controller(ring: &Ring) {
    // The chart's policy refuses earlier what the class does not allow; here it is the controller's turn.
    ring.kubectl
        .output(&["delete", "validatingadmissionpolicybinding", "rehost-class"])
        .await
        .expect("the chart made it");
    let (base, cases) = cases::all();
    let mut steady = base.clone();
    steady["metadata"]["name"] = STEADY.into();
    steady["spec"]["storage"]["deletionPolicy"] = "Delete".into();
    ring.person.apply(&steady).await.expect("it is right");
    let before = ring.ready(STEADY).await;
    policy_is_gone(ring).await;

    let mut wrong = Vec::new();
    let mut applied = Vec::new();
    for (index, case) in cases.iter().filter(|case| case.expect == Expect::Stalled).enumerate() {
        let name = format!("broken-{index}");
        wrong.extend(refused_afresh(ring, case, &base, &name).await);
        if case.then.is_none() {
            wrong.extend(refused_as_edit(ring, case, &steady, &before).await);
        }
        applied.push(name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let after = ring.ready(STEADY).await;
    assert_eq!(host(&after), host(&before), "the notebook beside them was moved");
    assert_eq!(board::status(&after).home, board::status(&before).home);
    applied.push(STEADY.to_owned());
    ring.delete(&applied).await;
}

/// The API server learns from a watch of its own that the policy is bound no more.
async fn policy_is_gone(ring: &Ring) {
    let forbidden = json!({"spec": {"host": {"vm": {"machineType": "m1-ultramem-40"}}}}).to_string();
    let arguments = [
        "-n",
        rehost_tests::quickstart::NAMESPACE,
        "patch",
        "nb",
        STEADY,
        "--type=merge",
        "--dry-run=server",
        "-p",
        &forbidden,
    ];
    for _ in 0..200 {
        if ring.kubectl.run(&arguments).await.expect("kubectl runs").status.success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the policy still holds");
}

/// A new notebook with the fault: it is stalled, says why, and nothing is made for it.
async fn refused_afresh(ring: &Ring, case: &Case, base: &Value, name: &str) -> Vec<String> {
    let mut first = merged(base, &case.patch);
    first["metadata"]["name"] = name.into();
    if let Err(error) = ring.person.apply(&first).await {
        return vec![format!("{}: the API server refuses it: {error}", case.name)];
    }
    let hosts = match &case.then {
        None => Vec::new(),
        Some(then) => {
            let running = ring.ready(name).await;
            if let Err(error) = ring.person.apply(&merged(&first, then)).await {
                return vec![format!("{}: the API server refuses the edit: {error}", case.name)];
            }
            vec![host(&running)]
        }
    };
    let stalled = ring.until("is stalled", name, is_stalled).await.expect("it is there");
    let message = board::message(&stalled, "Stalled");
    let mut wrong: Vec<String> = case.faults(&message);
    if case.then.is_none() && !ring.in_the_cloud(name).is_empty() {
        wrong.push(format!("the cloud has {:?}", ring.in_the_cloud(name)));
    }
    let kept: Vec<_> = board::status(&stalled).host.map(|host| (host.name, host.shape)).into_iter().collect();
    if kept != hosts {
        wrong.push(format!("its host was {hosts:?} and is {kept:?}"));
    }
    wrong.into_iter().map(|fault| format!("{}: {fault} in: {message}", case.name)).collect()
}

/// The same fault as an edit of a notebook that runs: it is stalled, runs on as it is, and is Ready when the edit is undone.
async fn refused_as_edit(ring: &Ring, case: &Case, steady: &Value, before: &Notebook) -> Vec<String> {
    let calls = ring.ledger.count();
    let mut edited = merged(steady, &case.patch);
    edited["metadata"]["name"] = STEADY.into();
    if let Err(error) = ring.person.apply(&edited).await {
        // A rule about changes was quicker, which is as good.
        let named = case.says.get(1).is_none_or(|value| error.contains(value.as_str()));
        return if named { Vec::new() } else { vec![format!("{} as an edit: {error}", case.name)] };
    }
    let stalled = ring.until("is stalled", STEADY, is_stalled).await.expect("it is there");
    let message = board::message(&stalled, "Stalled");
    let mut wrong = Vec::new();
    if case.says.get(1).is_some_and(|value| !message.contains(value.as_str())) {
        wrong.push(format!("{} as an edit lacks {:?} in: {message}", case.name, case.says[1]));
    }
    if host(&stalled) != host(before) || board::says(&stalled, "Serving") != "True" {
        wrong.push(format!("{} as an edit: the host is {:?}", case.name, host(&stalled)));
    }
    ring.person.apply(steady).await.expect("what was right is right");
    ring.ready(STEADY).await;
    if ring.ledger.count() != calls {
        wrong.push(format!(
            "{} as an edit: the cloud was asked for {} changes",
            case.name,
            ring.ledger.count() - calls
        ));
    }
    wrong
}

fn is_stalled(notebook: Option<&Notebook>) -> bool {
    notebook.is_some_and(|notebook| {
        let current = board::condition(notebook, "Stalled").and_then(|condition| condition.observed_generation);
        current == notebook.metadata.generation && board::says(notebook, "Stalled") == "True"
    })
}
