//! What is there before a story begins: definitions, namespace, class, images; and the counting of panics.

use std::cell::RefCell;
use std::sync::{Arc, Once};

use serde_json::{Value, json};

use super::shared::{Shared, lock};
use super::{NAMESPACE, PROJECT};

/// Our custom resource definitions, as they are in the tree.
#[allow(clippy::expect_used, reason = "the definitions are built in")]
pub fn definitions() -> Vec<Value> {
    [
        include_str!("../../../crds/yaml/notebooks.rehost.dev.yaml"),
        include_str!("../../../crds/yaml/notebookclasses.rehost.dev.yaml"),
    ]
    .map(|text| serde_saphyr::from_str(text).expect("a definition is YAML"))
    .into()
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
    let mut class: Value =
        serde_saphyr::from_str(include_str!("../../../config/samples/class.yaml")).expect("the sample is YAML");
    class["spec"]["project"] = json!(PROJECT);
    administrator.create(&class).expect("a class");
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
