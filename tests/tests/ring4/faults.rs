//! What goes wrong in and around a notebook is said, and costs nothing that was saved.

use std::time::Duration;

use rehost_api::Notebook;
use rehost_api::guest::{REPORT_KEY, REPORT_NAMESPACE};
use rehost_tests::hosts::GATEWAY;
use rehost_tests::kernel::KernelError;
use rehost_tests::quickstart::board;
use rehost_tests::stand::{BUCKET, ZONE};
use serde_json::json;

use super::stage::{Stage, Watched};

const SMALL: &str = "n1-standard-1";

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_and_costs_nothing_that_was_saved() {
    let Some(mut stage) = Stage::start().await else { return };
    let taxi = stage.make("faults", json!({"vm": {"machineType": SMALL}})).await;
    stage.kernels_are_made(&taxi).await;
    a_bucket_that_is_not_there(&stage, &taxi).await;
    a_repository_that_does_not_answer(&stage, &taxi).await;
    work_that_is_not_committed(&stage, &taxi).await;
    jupyter_is_killed(&stage, &taxi).await;
    the_machine_is_lost_during_a_write(&stage, &taxi).await;
    words_that_are_not_the_guests(&stage, &taxi).await;
    the_home_is_full(&stage, &taxi).await;
    another_disk_in_its_place(&stage, &taxi).await;
    everything_is_deleted(&stage, &taxi).await;
    new_keys(&mut stage, taxi).await;
}

async fn a_bucket_that_is_not_there(stage: &Stage, taxi: &Watched) {
    let both = json!([
        {"path": "data", "name": BUCKET, "prefix": "faults/"},
        {"path": "none", "name": "team-a-none"},
    ]);
    stage.edit(taxi, json!({"spec": {"buckets": both}})).await;
    let said = |notebook: &Notebook| board::says(notebook, "Buckets") == "False";
    let notebook = stage.until("says which bucket is missing", &taxi.name, said).await;
    let words = board::message(&notebook, "Buckets");
    assert!(words.contains("team-a-none at ~/none: BucketNotFound"), "{words}");
    assert_eq!(board::says(&notebook, "Serving"), "True");
    let first = json!([{"path": "data", "name": BUCKET, "prefix": "faults/"}]);
    stage.edit(taxi, json!({"spec": {"buckets": first}})).await;
    stage.until("has its buckets", &taxi.name, board::is_ready).await;
}

async fn a_repository_that_does_not_answer(stage: &Stage, taxi: &Watched) {
    let nowhere = json!({"repository": format!("https://{GATEWAY}:9/gone.git"), "path": "gone"});
    stage.edit(taxi, json!({"spec": {"source": nowhere}})).await;
    let said = |notebook: &Notebook| {
        board::says(notebook, "Source") == "False" && board::message(notebook, "Source").contains("Unreachable")
    };
    let notebook = stage.until("says that the repository cannot be reached", &taxi.name, said).await;
    assert_eq!(board::says(&notebook, "Serving"), "True");
    let course = json!({"repository": stage.real().repository.url, "ref": "main", "path": "course"});
    stage.edit(taxi, json!({"spec": {"source": course}})).await;
    stage.until("has its repository", &taxi.name, board::is_ready).await;
}

/// A teacher pushes while the student has changed a file: the student's work stays, and status says why nothing came.
async fn work_that_is_not_committed(stage: &Stage, taxi: &Watched) {
    let mut kernel = taxi.person().start_kernel_in("course").await.expect("a kernel");
    let change = "from pathlib import Path; Path('README.md').write_text('my own words')";
    kernel.execute(change).await.expect("it is written");
    let pushed = stage.real().repository.commit("week2.md", "# The second week\n").expect("it is pushed");
    stage.edit(taxi, json!({"spec": {"source": {"ref": pushed}}})).await;
    let said = |notebook: &Notebook| board::reason(notebook, "Source") == "DirtyTree";
    stage.until("says that there is work in the tree", &taxi.name, said).await;
    let mine = kernel.execute("print(Path('README.md').read_text(), Path('week2.md').exists())").await;
    assert_eq!(mine.expect("it is read"), "my own words False\n");
    kernel
        .execute("import subprocess; subprocess.run(['git', 'checkout', 'README.md'], check=True)")
        .await
        .expect("git");
    stage.edit(taxi, json!({"spec": {"source": {"ref": "main"}}})).await;
    let clean = |notebook: &Notebook| board::says(notebook, "Source") == "True";
    stage.until("has the second week", &taxi.name, clean).await;
    assert_eq!(kernel.execute("print(Path('week2.md').exists())").await.expect("it is read"), "True\n");
}

async fn jupyter_is_killed(stage: &Stage, taxi: &Watched) {
    let machine = stage.machine(taxi);
    let killed = machine.run(&["systemctl", "kill", "--signal=KILL", "rehost-jupyter"]).expect("it runs");
    assert!(killed.status.success());
    stage.until_it_answers(taxi).await;
}

/// Lines are written and flushed one by one, until the machine is gone in the middle of it. Those of which the person was
/// told are there after the restart.
async fn the_machine_is_lost_during_a_write(stage: &Stage, taxi: &Watched) {
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    let write = "
import os
file = open('lines.txt', 'a')
def write(first, count):
    for number in range(first, first + count):
        file.write(f'{number}\\n')
        file.flush()
        os.fsync(file.fileno())
    return first + count
";
    kernel.execute(write).await.expect("it is defined");
    let told = kernel.execute("print(write(0, 200))").await.expect("it is written");
    let instance = stage.host(taxi);
    let endless = tokio::spawn(async move { kernel.execute("write(200, 10**9)").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.stand.cloud.world.with(|world, _| world.host_error(ZONE, &instance));
    let broken = endless.await.expect("the task ends");
    assert!(matches!(broken, Err(KernelError::Socket(_) | KernelError::Gone(_))), "{broken:?}");
    stage.until_it_answers(taxi).await;
    stage.until("is ready", &taxi.name, board::is_ready).await;
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    let check = "lines = open('lines.txt').read().split('\\n')[:-1]; print(lines == [str(n) for n in range(len(lines))], len(lines) >= 200)";
    assert_eq!((told.as_str(), kernel.execute(check).await.expect("it is read").as_str()), ("200\n", "True True\n"));
}

/// Nothing fits any more: status says so, what was saved is there, also on the next boot; and with a larger disk work goes on.
async fn the_home_is_full(stage: &Stage, taxi: &Watched) {
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    let fill = "
import os
def write(name, text):
    with open(name, 'w') as file:
        file.write(text)
        os.fsync(file.fileno())
write('before.txt', 'was saved')
filling = open('filling', 'wb')
size, step = 0, 1 << 30
while step:
    try:
        os.posix_fallocate(filling.fileno(), size, step)
        size += step
    except OSError:
        step //= 2
try:
    write('more.txt', 'x' * (4 << 20))
except OSError as why:
    print(why.strerror)
";
    assert_eq!(kernel.execute(fill).await.expect("it runs"), "No space left on device\n");
    let heard = async || stage.machine(taxi).journal().contains("the home is full");
    stage.eventually("the guest has noticed", heard).await;
    ask_again(stage, taxi, "full").await;
    let said = |notebook: &Notebook| board::reason(notebook, "Home") == "HomeFull";
    let notebook = stage.until("says that the home is full", &taxi.name, said).await;
    assert_eq!(board::says(&notebook, "Ready"), "False");
    assert_eq!(board::says(&notebook, "Serving"), "True");
    restart(stage, taxi, "full").await;
    stage.edit(taxi, json!({"spec": {"storage": {"size": "11Gi"}}})).await;
    let grown = |notebook: &Notebook| board::status(notebook).home.is_some_and(|home| home.size_gb == 11);
    stage.until("has a larger disk", &taxi.name, grown).await;
    // Not every kernel lets a file system grow in use.
    restart(stage, taxi, "grown").await;
    stage.until("has room again", &taxi.name, |notebook| board::reason(notebook, "Home") == "AsDeclared").await;
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    let check = "
from pathlib import Path
Path('more.txt').write_text('x' * (4 << 20))
print(Path('before.txt').read_text())
Path('filling').unlink()
";
    assert_eq!(kernel.execute(check).await.expect("it runs"), "was saved\n");
    stage.until("is ready", &taxi.name, board::is_ready).await;
}

/// Asks for a restart, and waits until it serves again.
async fn restart(stage: &Stage, taxi: &Watched, why: &str) {
    stage.edit(taxi, json!({"metadata": {"annotations": {"rehost.dev/restart": why}}})).await;
    let restarted = |notebook: &Notebook| {
        let handled = board::status(notebook).handled.and_then(|handled| handled.restart);
        handled.as_deref() == Some(why) && board::says(notebook, "Serving") == "True"
    };
    stage.until("serves again", &taxi.name, restarted).await;
    stage.until_it_answers(taxi).await;
}

/// Who wakes a notebook that runs has its host asked anew.
async fn ask_again(stage: &Stage, taxi: &Watched, why: &str) {
    stage.edit(taxi, json!({"metadata": {"annotations": {"rehost.dev/wake": why}}})).await;
}

/// Any process of a machine can write its guest attributes: what is not the guest's word of now changes nothing.
async fn words_that_are_not_the_guests(stage: &Stage, taxi: &Watched) {
    let machine = stage.machine(taxi);
    let address =
        format!("http://169.254.169.254/computeMetadata/v1/instance/guest-attributes/{REPORT_NAMESPACE}/{REPORT_KEY}");
    let put = |body: &str| {
        let argv = ["curl", "-sSf", "-X", "PUT", "-H", "Metadata-Flavor: Google", "--data-binary", body, &address];
        assert!(machine.run(&argv).expect("it runs").status.success());
    };
    let before = stage.files(&taxi.name);
    for forged in [
        r#"{"this is": "no report""#,
        r#"{"bootId":"of-an-earlier-boot","nonce":"of-an-earlier-time","state":"Released"}"#,
        r#"{"bootId":"b","nonce":"n","state":"Failed","failure":"ContentMismatch","message":"format it"}"#,
    ] {
        put(forged);
        stage.edit(taxi, json!({"metadata": {"annotations": {"rehost.dev/wake": forged.len().to_string()}}})).await;
        let handled = |notebook: &Notebook| {
            let handled = board::status(notebook).handled.and_then(|handled| handled.wake);
            handled == Some(forged.len().to_string()) && board::says(notebook, "Serving") == "True"
        };
        stage.until("was looked at", &taxi.name, handled).await;
    }
    assert_eq!(stage.files(&taxi.name), before);
}

/// While it is stopped, somebody puts another file system on its disk: it is not served, and not touched.
async fn another_disk_in_its_place(stage: &Stage, taxi: &Watched) {
    stage.edit(taxi, json!({"spec": {"state": "Stopped"}})).await;
    let stopped = |notebook: &Notebook| board::is_ready(notebook) && board::says(notebook, "Serving") == "False";
    stage.until("is stopped", &taxi.name, stopped).await;
    let disk = stage.disk(&taxi.name);
    let (file, kept) = (disk.file().to_string_lossy().into_owned(), format!("{}.kept", disk.file().display()));
    disk.tamper(&["cp", "--sparse=always", &file, &kept]).expect("a copy");
    disk.tamper(&["mke2fs", "-q", "-F", "-t", "ext4", &file]).expect("another file system");
    let foreign = format!("{file}.foreign");
    disk.tamper(&["cp", "--sparse=always", &file, &foreign]).expect("a copy");
    stage.edit(taxi, json!({"spec": {"state": "Running"}})).await;
    let refused = |notebook: &Notebook| board::reason(notebook, "Stalled") == "ContentMismatch";
    stage.until("says that the disk is another", &taxi.name, refused).await;
    disk.tamper(&["cmp", &file, &foreign]).expect("it was not touched");
    stage.edit(taxi, json!({"spec": {"state": "Stopped"}})).await;
    stage.until("is stopped", &taxi.name, stopped).await;
    disk.tamper(&["cp", "--sparse=always", &kept, &file]).expect("it is put back");
    for copy in [kept, foreign] {
        std::fs::remove_file(copy).expect("it is there");
    }
    stage.edit(taxi, json!({"spec": {"state": "Running"}})).await;
    stage.until("serves its own disk again", &taxi.name, board::is_ready).await;
    stage.until_it_answers(taxi).await;
}

/// A person deletes all that there is in the home, hidden files too: what the notebook itself needs is not in there.
async fn everything_is_deleted(stage: &Stage, taxi: &Watched) {
    let content_id = stage.disk(&taxi.name).content_id().expect("it is read");
    let mut kernel = taxi.person().start_kernel().await.expect("a kernel");
    let delete = "import subprocess; subprocess.run('find ~ -xdev -mindepth 1 -not -path ~/data -delete', shell=True)";
    kernel.execute(delete).await.expect("it is deleted");
    stage.edit(taxi, json!({"metadata": {"annotations": {"rehost.dev/restart": "now"}}})).await;
    let restarted = |notebook: &Notebook| {
        let handled = board::status(notebook).handled.and_then(|handled| handled.restart);
        handled.is_some() && board::is_ready(notebook) && board::says(notebook, "Source") == "True"
    };
    stage.until("is there again", &taxi.name, restarted).await;
    stage.until_it_answers(taxi).await;
    stage.kernels_are_made(taxi).await;
    assert!(stage.files(&taxi.name).contains_key("course/README.md"), "the course is cloned again");
    assert_eq!(stage.disk(&taxi.name).content_id().expect("it is read"), content_id);
}

/// An administrator changes the key: the old token opens while both keys hold, and not after.
async fn new_keys(stage: &mut Stage, taxi: Watched) {
    let old = taxi.token.clone();
    let (first, second) =
        (stage.stand.access_keys().expect("a file"), "a-second-key-a-second-key-a-second-key-a-second-key");
    stage.stand.change_access_keys(&format!("{second}\n{first}")).await.expect("the controller comes back");
    let new = stage.token(&taxi.name);
    assert_ne!(old, new);
    let opens = async |token: &str| taxi.answers_to("/api/status", token).await;
    stage.eventually("the new token opens", async || opens(&new).await == Some(200)).await;
    assert_eq!(opens(&old).await, Some(200), "people have it yet");
    stage.stand.change_access_keys(second).await.expect("the controller comes back");
    stage.eventually("the old token opens no more", async || opens(&old).await == Some(403)).await;
    assert_eq!(opens(&new).await, Some(200));
}
