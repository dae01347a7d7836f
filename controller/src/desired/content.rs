//! What a host offers beside the home, and when it is idle: words of the spec that are no part of its shape, and are followed
//! while it runs.

use rehost_api::Notebook;
use rehost_api::conditions::Reason;
use rehost_api::guest::{GuestBucket, GuestSource};
use rehost_api::notebook::{IdleAction, IdlePolicy};
use rehost_api::shape::{HostShape, PodShape};
use rehost_api::status::HostKind;

use super::words::ClassWord;
use super::{Refusal, WishedContent, WishedIdle, resolve};

/// The buckets and the repository.
pub(super) fn wished(notebook: &Notebook) -> WishedContent {
    let buckets = notebook.spec.buckets.iter().map(|bucket| GuestBucket {
        path: bucket.path.clone(),
        name: bucket.name.clone(),
        prefix: bucket.prefix.clone(),
        read_only: bucket.read_only,
    });
    let source = notebook.spec.source.as_ref().map(|source| GuestSource {
        repository: source.repository.clone(),
        path: source.path.clone().unwrap_or_else(|| repository_name(&source.repository)),
        reference: source.reference.clone(),
        // A Secret of the cluster is a part of a pod; a VM cannot read it, which `not_acted_on_yet` says.
        secret: source.credentials.as_ref().and_then(|credentials| credentials.secret_manager.clone()),
    });
    WishedContent { buckets: buckets.collect(), source }
}

/// The hosts with what is a part of a pod, though the spec says it beside the host: a change of it is another pod. It is no part of
/// what is pinned.
pub(super) fn in_pods(notebook: &Notebook, shapes: Vec<HostShape>) -> Result<Vec<HostShape>, Refusal> {
    let WishedContent { buckets, .. } = wished(notebook);
    let credentials = notebook.spec.source.as_ref().and_then(|source| source.credentials.as_ref());
    let secret = credentials.and_then(|credentials| credentials.secret.clone()).unwrap_or_default();
    let with = |shape| match shape {
        HostShape::Vm(vm) => HostShape::Vm(vm),
        HostShape::Pod(pod) => {
            HostShape::Pod(PodShape { buckets: buckets.clone(), source_secret: secret.clone(), ..pod })
        }
    };
    let shapes: Vec<HostShape> = shapes.into_iter().map(with).collect();
    // The options of a pod's volume are one list with commas between them.
    let divided = buckets.iter().position(|bucket| bucket.prefix.as_ref().is_some_and(|prefix| prefix.contains(',')));
    match divided.filter(|_| shapes.iter().any(|shape| shape.kind() == HostKind::Pod)) {
        Some(index) => {
            let prefix = buckets[index].prefix.as_deref().unwrap_or_default();
            let message =
                format!("'{prefix}' has a comma, with which no pod can mount it: choose a prefix without, or a VM");
            Err(Refusal::new(Reason::Refused, format!("spec.buckets[{index}].prefix"), message))
        }
        None => Ok(shapes),
    }
}

/// The last word of a repository's address, as `git clone` takes it.
fn repository_name(repository: &str) -> String {
    let name = repository.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    name.strip_suffix(".git").unwrap_or(name).to_owned()
}

/// After how long without use the notebook is stopped or suspended: its own words, else the class's.
pub(super) fn idle(notebook: &Notebook, class: &ClassWord<'_>) -> Result<Option<WishedIdle>, Refusal> {
    let given = class.spec.defaults.as_ref().and_then(|given| given.idle.as_ref()).and_then(after);
    let own = notebook.spec.idle.as_ref().and_then(after);
    let after_s = match (own, given) {
        (Some(own), _) => resolve::seconds("spec.idle.after", own)?,
        (None, Some(given)) => resolve::of_class(class, "defaults.idle.after", given)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(WishedIdle { after_s, then: then(notebook, class) }))
}

fn then(notebook: &Notebook, class: &ClassWord<'_>) -> IdleAction {
    let given = class.spec.defaults.as_ref().and_then(|given| given.idle.as_ref()?.then);
    let own = notebook.spec.idle.as_ref().and_then(|idle| idle.then);
    own.or(given).unwrap_or_default()
}

fn after(policy: &IdlePolicy) -> Option<&rehost_api::duration::DurationText> {
    policy.after.as_ref()
}

#[cfg(test)]
mod tests {
    use super::repository_name;

    #[test]
    fn a_repository_is_called_as_git_would_call_its_folder() {
        for (repository, name) in [
            ("https://github.com/org/course.git", "course"),
            ("https://github.com/org/course/", "course"),
            ("git@github.com:org/course.git", "course"),
            ("git@host:course", "course"),
            ("ssh://git@host:2222/a/b", "b"),
        ] {
            assert_eq!(repository_name(repository), name, "{repository}");
        }
    }
}
