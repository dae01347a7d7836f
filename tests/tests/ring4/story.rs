//! The story of one notebook, on real machines from the beginning to the end.

use rehost_api::Notebook;
use rehost_api::status::Phase;
use rehost_tests::kernel::Kernel;
use rehost_tests::quickstart::board;
use serde_json::json;

use super::bigquery;
use super::stage::{Stage, Watched};

/// As a person does it whose code runs on Google's machines: there is no key anywhere.
const ASK_BIGQUERY: &str = "
import subprocess, sys
subprocess.run(['uv', 'pip', 'install', '-q', '--python', sys.executable, 'google-auth', 'requests'], check=True)
import google.auth
from google.auth.transport.requests import AuthorizedSession
credentials, project = google.auth.default()
session = AuthorizedSession(credentials)
answer = session.post(endpoint + '/bigquery/v2/projects/' + project + '/queries', json={'query': 'SELECT 6 * 7'})
answer.raise_for_status()
print(project, answer.json()['rows'][0]['f'][0]['v'])
";

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_moves_with_all_that_it_has() {
    let Some(stage) = Stage::start().await else { return };
    let taxi = stage.make("taxi", json!({"vm": {"machineType": "n1-standard-1"}})).await;
    assert_eq!(taxi.answers_nobody("/api/status").await, Some(403));
    assert_eq!(taxi.answers("/api/status").await, Some(200));
    stage.kernels_are_made(&taxi).await;
    let mut kernel = taxi.person().run_all("course/fares.ipynb").await.expect("every cell runs");
    asks_bigquery(&stage, &mut kernel).await;
    let first = stage.belongings(&taxi).await;
    first.are_whole("taxi");

    let handover_s =
        stage.reshape(&taxi, json!({"host": {"vm": {"machineType": "n1-standard-2"}}}), "n1-standard-2").await;
    assert_eq!(stage.belongings(&taxi).await, first, "after the handover");
    let in_place = json!({"host": {"vm": {"machineType": "n1-standard-1"}}, "resize": {"how": "InPlace"}});
    let in_place_s = stage.reshape(&taxi, in_place, "n1-standard-1").await;
    assert_eq!(stage.belongings(&taxi).await, first, "after the change in place");
    let mut kernel = taxi.person().start_kernel_in("course").await.expect("a kernel");
    let read = kernel.execute("import json; print(json.load(open('means.json'))['harbour'] > 0)").await;
    assert_eq!(read.expect("it runs"), "True\n", "what an earlier host has written");
    assert!(handover_s < in_place_s, "a handover is for a shorter interruption: {handover_s} s, {in_place_s} s");

    let pod = json!({"host": {"vm": null, "pod": {"resources": {"cpu": "500m", "memory": "1Gi"}}}});
    stage.reshape(&taxi, pod, "500m cpu, 1Gi").await;
    assert_eq!(stage.belongings(&taxi).await, first, "after the move into a pod");
    lives_through_a_resize(&stage, &taxi).await;
    assert_eq!(stage.belongings(&taxi).await, first, "after the live resize");
    let vm = json!({"host": {"pod": null, "vm": {"machineType": "n1-standard-2"}}, "resize": null});
    stage.reshape(&taxi, vm, "n1-standard-2").await;
    assert_eq!(stage.belongings(&taxi).await, first, "after the move back");

    sleeps_and_wakes(&stage, &taxi).await;
    assert_eq!(stage.belongings(&taxi).await, first, "after its sleep");
    stage.secrets_are_nowhere(&taxi).await;
}

/// Nobody uses it, so it is suspended; woken, the same kernel has what it had.
async fn sleeps_and_wakes(stage: &Stage, taxi: &Watched) {
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    kernel.execute("import os; kept = [os.getpid()]").await.expect("it runs");
    let id = kernel.id().to_owned();
    drop(kernel);
    stage.edit(taxi, json!({"spec": {"idle": {"after": "2m", "then": "Suspend"}}})).await;
    let sleeps = |notebook: &Notebook| board::status(notebook).phase == Some(Phase::Suspended);
    let asleep = stage.until("sleeps", &taxi.name, sleeps).await;
    assert_eq!(
        (board::says(&asleep, "Ready"), board::reason(&asleep, "Ready")),
        ("True".to_owned(), "Idle".to_owned())
    );
    let wake = json!({"metadata": {"annotations": {"rehost.dev/wake": "please"}}, "spec": {"idle": null}});
    stage.edit(taxi, wake).await;
    let serves = |notebook: &Notebook| board::is_ready(notebook) && board::says(notebook, "Serving") == "True";
    stage.until("is awake", &taxi.name, serves).await;
    stage.until_it_answers(taxi).await;
    let mut kernel = taxi.person().kernel(&id).await.expect("the same kernel");
    assert_eq!(kernel.execute("print(kept == [os.getpid()])").await.expect("it answers"), "True\n");
}

/// A pod is given more while a kernel runs: the kernel keeps what it has in memory, and nobody waits.
async fn lives_through_a_resize(stage: &Stage, taxi: &Watched) {
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    kernel.execute("import os; kept = [os.getpid()]").await.expect("it runs");
    let resources = json!({"host": {"pod": {"resources": {"cpu": "1", "memory": "2Gi"}}}});
    stage.reshape(taxi, resources, "1 cpu, 2Gi").await;
    let kept = kernel.execute("print(kept == [os.getpid()])").await.expect("the same kernel answers");
    assert_eq!(kept, "True\n");
}

async fn asks_bigquery(stage: &Stage, kernel: &mut Kernel) {
    let (endpoint, serving) = bigquery::serve(&stage.real().network);
    let said = kernel.execute(&format!("endpoint = '{endpoint}'\n{ASK_BIGQUERY}")).await.expect("it is answered");
    assert_eq!(said, "demo-project 42\n");
    serving.abort();
}
