//! The story of one notebook, on real machines from the beginning to the end.

use serde_json::json;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_moves_with_all_that_it_has() {
    let Some(stage) = Stage::start().await else { return };
    let watched = stage.make("taxi", json!({"vm": {"machineType": "n1-standard-1"}})).await;
    assert_eq!(watched.ask_as_nobody("/api/status").await, 403);
    assert_eq!(watched.ask("/api/status").await.0, 200);
    while stage.files("taxi").contains_key(".venv.unfinished") {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let files = stage.files("taxi");
    eprintln!("{files:?}");
    let handover_s =
        stage.reshape(&watched, json!({"host": {"vm": {"machineType": "n1-standard-2"}}}), "n1-standard-2").await;
    stage.debug();
    assert_eq!(stage.files("taxi"), files);
    let in_place = json!({"host": {"vm": {"machineType": "n1-standard-1"}}, "resize": {"how": "InPlace"}});
    let in_place_s = stage.reshape(&watched, in_place, "n1-standard-1").await;
    assert_eq!(stage.files("taxi"), files);
    eprintln!("{handover_s} {in_place_s}");
}
