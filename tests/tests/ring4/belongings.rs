//! All that a person has in a notebook, wherever it is kept.

use std::collections::BTreeMap;

use rehost_tests::stand::BUCKET;
use serde_json::Value;

use super::stage::{Stage, Watched};

/// What must be the same after every move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belongings {
    /// On the home disk: path and SHA-256.
    files: BTreeMap<String, String>,
    /// The disk's id and the content's.
    home: (Option<String>, String),
    /// In the bucket: object and its content's hash.
    objects: BTreeMap<String, String>,
    /// What the cells of the course's notebook have printed.
    printed: Vec<String>,
}

impl Stage {
    /// Looks at all of it, from where it is kept.
    pub async fn belongings(&self, watched: &Watched) -> Belongings {
        let notebook = watched.person().open("course/fares.ipynb").await.expect("the notebook opens");
        let cells = notebook["cells"].as_array().expect("cells").clone();
        let printed = cells.iter().filter_map(|cell| cell["outputs"][0]["text"].as_str().map(str::to_owned)).collect();
        let reported = self.until("reports its repository", &watched.name, |notebook| {
            notebook.status.as_ref().and_then(|status| status.source.as_ref()).is_some()
        });
        let home = reported.await.status.and_then(|status| status.home).expect("a home");
        Belongings {
            files: self.files(&watched.name),
            home: (home.id, home.content_id),
            objects: self.objects(&format!("{}/", watched.name)).await,
            printed,
        }
    }

    /// The objects of the bucket under a prefix, with the hashes that the storage itself has of them.
    pub async fn objects(&self, prefix: &str) -> BTreeMap<String, String> {
        let list = format!("http://{}/storage/v1/b/{BUCKET}/o?prefix={prefix}", self.real().storage);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let list: Value = client.get(list).send().await.expect("an answer").json().await.expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| (text(&item["name"]), text(&item["md5Hash"]))).collect()
    }
}

impl Belongings {
    /// Whether the results of the course are in all three places.
    pub fn are_whole(&self, name: &str) {
        for file in ["course/fares.ipynb", "course/means.json", "results/means.json"] {
            assert!(self.files.contains_key(file), "{file} is missing: {:?}", self.files.keys());
        }
        assert!(self.objects.contains_key(&format!("{name}/means.csv")), "{:?}", self.objects);
        assert!(self.printed[0].contains("\"harbour\":"), "{:?}", self.printed);
        assert_eq!(self.printed.last().map(String::as_str), Some("Add the mean fares\n\n"));
    }
}
