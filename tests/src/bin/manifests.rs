//! Writes the generated manifests into the tree: the chart's copy of the resource definitions and the kustomize base.

use std::path::Path;
use std::process::ExitCode;

use rehost_tests::control_plane::helm::Helm;
use rehost_tests::manifests::{FOLDERS, generate, root};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match write().await {
        Ok(count) => {
            println!("{count} files written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn write() -> Result<usize, Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let files = generate(&Helm::find(scratch.path())?).await?;
    for folder in FOLDERS {
        std::fs::create_dir_all(root().join(folder))?;
        for entry in std::fs::read_dir(root().join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() && !files.contains_key(&Path::new(folder).join(entry.file_name())) {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    for (path, text) in &files {
        std::fs::write(root().join(path), text)?;
    }
    Ok(files.len())
}
