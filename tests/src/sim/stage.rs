//! What is there before a story begins: definitions, namespace, class, images; and the counting of panics.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Once};

use serde_json::{Value, json};

use super::shared::{Shared, lock};
use super::{NAMESPACE, PROJECT};
use crate::kube::Kinds;

/// The built-in kinds, and ours as the tree defines them: read once for all runs.
static KINDS: LazyLock<Arc<Kinds>> = LazyLock::new(|| {
    let definitions = [
        include_str!("../../../crds/yaml/notebooks.rehost.dev.yaml"),
        include_str!("../../../crds/yaml/notebookclasses.rehost.dev.yaml"),
    ];
    Arc::new(Kinds::new(&definitions.map(read)))
});

/// The class of every story: the sample in the tree.
static CLASS: LazyLock<Value> = LazyLock::new(|| {
    let mut class = read(include_str!("../../../config/samples/class.yaml"));
    class["spec"]["project"] = json!(PROJECT);
    class
});

/// The chart's StorageClass, which lets claims grow.
static STORAGE_CLASS: LazyLock<Value> = LazyLock::new(|| read(include_str!("../../../config/base/storageclass.yaml")));

#[allow(clippy::expect_used, reason = "what is in the tree can be read")]
fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("a file of the tree is YAML")
}

/// The kinds of every run's API server.
pub fn kinds() -> Arc<Kinds> {
    KINDS.clone()
}

/// Sets the stage of every story.
#[allow(clippy::expect_used, reason = "what is built in is taken by every server")]
pub fn set(shared: &Arc<Shared>) {
    {
        let mut world = lock(&shared.world);
        for (name, family, architecture) in [
            ("notebook-cpu-v1", "notebook-cpu", "X86_64"),
            ("notebook-gpu-v1", "notebook-gpu", "X86_64"),
            ("notebook-arm-v1", "notebook-arm", "ARM64"),
        ] {
            world.image_add(name, family, architecture, 20);
        }
    }
    let administrator = shared.server.hand("administrator");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"rehost.dev/notebooks": "allowed"}}});
    administrator.create(&namespace).expect("a namespace");
    administrator.create(&CLASS).expect("a class");
    administrator.create(&STORAGE_CLASS).expect("a StorageClass");
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics are remembered by the thread in which they happened: a task's panic would otherwise pass unseen.
pub fn panics_are_counted() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|all| all.push(panic.to_string()));
            before(panic);
        }));
    });
}

/// The panics of this thread so far.
pub fn panics() -> Vec<String> {
    PANICS.with_borrow(Clone::clone)
}
