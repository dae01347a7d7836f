//! Writes the custom resource definitions to `crds/yaml`, or to the folder that is given.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/yaml")), PathBuf::from);
    fs::create_dir_all(&folder)?;
    for (name, yaml) in rehost_api::definitions::files()? {
        fs::write(folder.join(&name), yaml)?;
        println!("{}", folder.join(&name).display());
    }
    Ok(())
}
