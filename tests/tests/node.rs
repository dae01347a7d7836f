//! Ring 4: a real node. A notebook in a pod, run by Kubernetes' own programs: its disk follows it, its kernel lives
//! through a change of its size, and its buckets are there.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttachment};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rehost::clock::SystemClock;
use rehost_tests::control_plane::{ADMIN, ControlPlane};
use rehost_tests::hosts::{Boot, Disk, GATEWAY, Image, Machine, Metadata, Network, relay};
use rehost_tests::kernel::{Jupyter, Kernel};
use rehost_tests::kubelet::{Disks, Kubelet};
use rehost_tests::node::{Cluster, LoopDisks, NOTEBOOK_IMAGE, Node, NodeSettings, control_plane, missing};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The nodes: name, last part of the address, addresses of pods.
const NODES: [(&str, u8, &str); 2] = [("node-a", 2, "10.4.0.0/24"), ("node-b", 3, "10.4.1.0/24")];
const NAMESPACE: &str = "default";
const TOKEN: &str = "a-token-of-the-tests";
const WITHIN: Duration = Duration::from_mins(2);
const HANDLE: &str = "projects/demo-project/zones/us-central1-a/disks/home";

/// A cluster of the first nodes.
struct Rig {
    // In this order: fields are dropped from the first to the last.
    attacher: JoinHandle<()>,
    nodes: Vec<Node>,
    _cluster: Cluster,
    client: Client,
    plane: ControlPlane,
    disks: LoopDisks,
    network: Arc<Network>,
    folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.attacher.abort();
    }
}

impl Rig {
    #[allow(clippy::disallowed_methods, reason = "how long a node takes is for people to see")]
    async fn start(nodes: usize, gcsfuse_flags: &str) -> Option<Self> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("REHOST_HOSTS").is_none(), "real nodes were asked for: {why}");
            eprintln!("left out: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::new(folder.path()).expect("the network"));
        let begun = std::time::Instant::now();
        let names = NODES.map(|(name, ..)| name);
        let plane = ControlPlane::start(control_plane(&names)).await.expect("the control plane");
        let client = plane.client(ADMIN).await.expect("a client");
        let cluster = Cluster::start(&plane, &network).await.expect("the cluster");
        eprintln!("control plane after {:?}", begun.elapsed());
        let settings = NODES.iter().take(nodes).map(|(name, last, pods)| NodeSettings {
            name: (*name).to_owned(),
            machine_type: "n1-standard-2".to_owned(),
            address: Ipv4Addr::new(10, 128, 0, *last),
            pod_subnet: (*pods).to_owned(),
            // The node removes it, also when this run is killed.
            folder: tempfile::tempdir().expect("a folder").keep(),
            image_names: Vec::new(),
            gcsfuse_flags: gcsfuse_flags.to_owned(),
        });
        let starting = settings.map(|settings| Node::start(&cluster, &plane, settings));
        let nodes = futures::future::try_join_all(starting).await.expect("the nodes");
        eprintln!("{} nodes ready after {:?}", nodes.len(), begun.elapsed());
        let disks = LoopDisks::default();
        for node in &nodes {
            disks.serve(node);
        }
        let attacher = Kubelet::attacher(client.clone(), Arc::new(disks.clone()), Arc::new(SystemClock::new()));
        let attacher = tokio::spawn(attacher.run());
        let rig = Self { attacher, nodes, _cluster: cluster, client, plane, disks, network, folder };
        let accounts: Api<ServiceAccount> = Api::namespaced(rig.client.clone(), NAMESPACE);
        rig.until("the default service account", async || accounts.get_opt("default").await.expect("an answer")).await;
        Some(rig)
    }

    /// Waits until something is there.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..WITHIN.as_millis() / 100 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let pods = self.plane.kubectl().output(&["describe", "pods"]).await;
        let logs: Vec<String> = self.nodes.iter().map(|node| node.logs(40)).collect();
        panic!("never: {what}\n{pods:?}\n{}", logs.join("\n"));
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        <K as kube::Resource>::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn create<K>(&self, api: &Api<K>, object: Value)
    where
        K: Clone + Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let object = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("it is taken");
    }

    /// A disk of one GiB as a volume, with a claim of the same name.
    async fn make_home(&self, name: &str) {
        let disk = Disk::open(&self.folder.path().join(format!("{name}.raw")), 1 << 30).expect("a disk");
        self.disks.add(name, disk);
        let class = json!({"metadata": {"name": "homes"}, "provisioner": "pd.csi.storage.gke.io",
            "allowVolumeExpansion": true, "volumeBindingMode": "WaitForFirstConsumer"});
        self.create(&Api::<StorageClass>::all(self.client.clone()), class).await;
        let volume = json!({
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOncePod"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "homes",
                "claimRef": {"namespace": NAMESPACE, "name": name},
                "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": HANDLE, "fsType": "ext4"},
            },
        });
        self.create(&Api::<PersistentVolume>::all(self.client.clone()), volume).await;
        let claim = json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOncePod"],
                "storageClassName": "homes",
                "volumeName": name,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        self.create(&self.api::<PersistentVolumeClaim>(), claim).await;
    }

    /// A notebook on a node, with one volume at `/home/jupyter{path}`.
    async fn make_notebook(&self, name: &str, node: &str, path: &str, mut volume: Value) {
        volume["name"] = "volume".into();
        let arguments =
            ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--ServerApp.root_dir=/home/jupyter"];
        let token = format!("--IdentityProvider.token={TOKEN}");
        let pod = json!({
            "metadata": {"name": name, "labels": {"notebook": name}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 5,
                "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                "containers": [{
                    "name": "jupyter",
                    "image": NOTEBOOK_IMAGE,
                    "imagePullPolicy": "Never",
                    "command": arguments.into_iter().chain([token.as_str()]).collect::<Vec<_>>(),
                    "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "volume", "mountPath": format!("/home/jupyter{path}")}],
                }],
                "volumes": [volume],
            },
        });
        self.create(&self.api::<Pod>(), pod).await;
    }

    async fn pod(&self, name: &str) -> Value {
        let pod = self.api::<Pod>().get_opt(name).await.expect("an answer");
        serde_json::to_value(pod).expect("JSON")
    }

    /// Jupyter in a pod, once that is ready.
    async fn jupyter(&self, name: &str) -> Jupyter {
        let address = self.until("a ready pod", async || address_of_ready(&self.pod(name).await)).await;
        let at = relay(&self.network, SocketAddr::new(address, 8888)).expect("a relay");
        Jupyter::new(&at.to_string(), Some(TOKEN)).expect("a person")
    }

    /// What is asked of a notebook by somebody who knows its Service only.
    async fn version_through_service(&self, name: &str) -> String {
        let service = json!({"metadata": {"name": name}, "spec": {"selector": {"notebook": name}, "ports": [{"port": 80, "targetPort": 8888}]}});
        self.create(&self.api::<Service>(), service).await;
        let services: Api<Service> = self.api();
        let service = services.get(name).await.expect("it was made");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("an address").parse().expect("an address");
        self.until("an answer of the Service", async || {
            // Until a node knows the way, a connection is refused.
            let at = relay(&self.network, SocketAddr::new(address, 80)).expect("a relay");
            Jupyter::new(&at.to_string(), None).expect("a person").version().await.ok()
        })
        .await
    }

    /// What Jupyter in a pod answers to a machine beside the nodes.
    async fn machine_asks(&self, name: &str) -> String {
        let pod = address_of_ready(&self.pod(name).await).expect("a ready pod");
        let metadata = Metadata::new(tokio::runtime::Handle::current(), "p", "machine", &BTreeMap::new(), None);
        let boot = Boot {
            name: "machine".to_owned(),
            cpus: 1,
            memory_bytes: 1 << 30,
            address: Ipv4Addr::new(10, 128, 0, 11),
            folder: self.folder.path().join("machine"),
        };
        tokio::task::block_in_place(|| {
            let image = Image::find_or_build().expect("the image");
            let machine = Machine::start(&image, &self.network, boot, &[], &metadata).expect("a machine");
            let output =
                machine.run(&["curl", "-sSf", "-m", "10", &format!("http://{pod}:8888/api")]).expect("it runs");
            String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).into_owned()
        })
    }

    async fn delete_pod(&self, name: &str) {
        self.api::<Pod>().delete(name, &DeleteParams::default()).await.expect("it is to go");
        self.until("no pod", async || self.pod(name).await.is_null().then_some(())).await;
    }
}

fn address_of_ready(pod: &Value) -> Option<std::net::IpAddr> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    if ready { pod["status"]["podIP"].as_str()?.parse().ok() } else { None }
}

/// The limit that the kernel's own control group has, in bytes.
async fn memory_limit(kernel: &mut Kernel) -> u64 {
    let code = "import os\n\
        paths = ['/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max']\n\
        print(open(next(path for path in paths if os.path.exists(path))).read())";
    kernel.execute(code).await.expect("it runs").trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_lives_through_a_resize_and_a_file_through_its_pod() {
    let Some(rig) = Rig::start(2, "").await else { return };
    rig.make_home("home").await;

    // Another machine has the disk: the pod waits, and starts when that one lets go.
    rig.disks.attach("elsewhere".to_owned(), HANDLE.to_owned()).await.expect("it is free");
    rig.make_notebook("first", "node-a", "", json!({"persistentVolumeClaim": {"claimName": "home"}})).await;
    let attachments: Api<VolumeAttachment> = Api::all(rig.client.clone());
    let refusal = rig
        .until("a refused attachment", async || {
            let all = attachments.list(&ListParams::default()).await.expect("a list");
            all.items.into_iter().find_map(|it| it.status?.attach_error?.message)
        })
        .await;
    assert_eq!(refusal, "The disk resource 'disks/home' is already being used by 'instances/elsewhere'");
    let events: Api<Event> = rig.api();
    rig.until("an event", async || {
        let all = events.list(&ListParams::default()).await.expect("a list");
        all.items.into_iter().find(|event| event.reason.as_deref() == Some("FailedAttachVolume"))
    })
    .await;
    rig.disks.detach("elsewhere".to_owned(), HANDLE.to_owned()).await.expect("it is let go");

    let jupyter = rig.jupyter("first").await;
    assert_eq!(rig.disks.attached_to("home").as_deref(), Some("node-a"));
    let version = jupyter.version().await.expect("an answer");
    assert_eq!(rig.version_through_service("first").await, version);
    let mut kernel = jupyter.start_kernel().await.expect("a kernel");
    let id = kernel.execute("import os\nanswer = 42\nos.getpid()").await.expect("it runs");
    assert_eq!(memory_limit(&mut kernel).await, 512 << 20);
    let write = "open('/home/jupyter/work.txt', 'w').write(str(answer))\nos.getuid()";
    assert_eq!(kernel.execute(write).await.expect("it runs"), "1000");

    let larger = json!({"spec": {"containers": [{"name": "jupyter", "resources": {
        "requests": {"cpu": "300m", "memory": "512Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}}]}});
    let pods: Api<Pod> = rig.api();
    pods.patch_subresource("resize", "first", &PatchParams::default(), &Patch::Strategic(&larger))
        .await
        .expect("it is granted");
    rig.until("the new size", async || {
        let pod = rig.pod("first").await;
        (pod["status"]["containerStatuses"][0]["resources"]["limits"]["memory"] == "1Gi").then_some(())
    })
    .await;
    assert_eq!(memory_limit(&mut kernel).await, 1 << 30);
    assert_eq!(kernel.execute("(answer, os.getpid())").await.expect("it runs"), format!("(42, {id})"));
    assert_eq!(rig.pod("first").await["status"]["containerStatuses"][0]["restartCount"], 0);

    let claims: Api<PersistentVolumeClaim> = rig.api();
    let larger = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}));
    claims.patch("home", &PatchParams::default(), &larger).await.expect("it is granted");
    rig.until("a larger home", async || {
        let claim = serde_json::to_value(claims.get("home").await.expect("an answer")).expect("JSON");
        (claim["status"]["capacity"]["storage"] == "2Gi").then_some(())
    })
    .await;

    rig.delete_pod("first").await;
    rig.make_notebook("second", "node-b", "", json!({"persistentVolumeClaim": {"claimName": "home"}})).await;
    let mut kernel = rig.jupyter("second").await.start_kernel().await.expect("a kernel");
    assert_eq!(rig.disks.attached_to("home").as_deref(), Some("node-b"));
    assert_eq!(kernel.execute("open('/home/jupyter/work.txt').read()").await.expect("it runs"), "'42'");
    let size = kernel.execute("import os\ns = os.statvfs('/home/jupyter')\ns.f_blocks * s.f_frsize").await;
    let size: u64 = size.expect("it runs").parse().expect("a number");
    assert!(size > 3 << 29, "the file system has grown with its disk, but is {size}");

    rig.delete_pod("second").await;
    rig.until("a free disk", async || rig.disks.attached_to("home").is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_read_and_written_from_a_pod() {
    let storage = format!("http://{GATEWAY}:14443");
    let flags = format!("--anonymous-access --custom-endpoint={storage}/storage/v1/ --enable-hns=false");
    let Some(rig) = Rig::start(1, &flags).await else { return };
    let program = Image::program("fake-gcs-server").expect("fake-gcs-server");
    // gcsfuse reads objects by the public host's own face.
    let public = format!("{GATEWAY}:14443");
    let host = GATEWAY.to_string();
    let mut arguments = vec!["-scheme", "http", "-host", &host, "-port", "14443", "-backend", "memory"];
    arguments.extend(["-external-url", &storage, "-public-host", &public]);
    let log = rig.folder.path().join("storage.log");
    let _server = rig.network.start("fake-gcs-server", &program, &arguments, log).expect("a server");
    let at = relay(&rig.network, SocketAddr::from((GATEWAY, 14443))).expect("a relay");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    // The server names its own host in what it answers, and serves no other.
    let ask = |request: reqwest::RequestBuilder| request.header("Host", &public);
    let made = rig
        .until("a bucket", async || {
            let request =
                client.post(format!("http://{at}/storage/v1/b?project=p")).json(&json!({"name": "team-data"}));
            ask(request).send().await.ok()
        })
        .await;
    assert!(made.status().is_success(), "{made:?}");
    let upload = format!("http://{at}/upload/storage/v1/b/team-data/o?uploadType=media&name=taxi/fares.csv");
    let answer = ask(client.post(upload).body("fare\n12\n")).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{answer:?}");

    let attributes =
        json!({"bucketName": "team-data", "mountOptions": "implicit-dirs,only-dir=taxi/,uid=1000,gid=1000"});
    let volume = json!({"csi": {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": attributes}});
    rig.make_notebook("reader", "node-a", "/data", volume).await;
    let jupyter = rig.jupyter("reader").await;
    assert!(rig.machine_asks("reader").await.contains("version"), "machines reach pods");
    let mut kernel = jupyter.start_kernel().await.expect("a kernel");
    let read = kernel.execute("open('/home/jupyter/data/fares.csv').read()").await.expect("it runs");
    assert_eq!(read, r"'fare\n12\n'");
    kernel.execute("open('/home/jupyter/data/out.csv', 'w').write('13')").await.expect("it runs");
    let object = format!("http://{at}/storage/v1/b/team-data/o/taxi%2Fout.csv?alt=media");
    let written = rig
        .until("the object", async || {
            let answer = ask(client.get(&object)).send().await.expect("an answer");
            if answer.status().is_success() { answer.text().await.ok() } else { None }
        })
        .await;
    assert_eq!(written, "13");
    rig.delete_pod("reader").await;
}
