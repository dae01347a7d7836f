//! Writes the extract of the Compute Engine discovery document that the schema test uses.

use clap::Parser;
use rehost_tests::world::schema;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes tests/src/world/discovery-extract.json from `compute.v1.json`, which is in the Python wheel
/// google-api-python-client under `googleapiclient/discovery_cache/documents`.
#[derive(Parser)]
struct Arguments {
    /// The whole discovery document.
    document: PathBuf,
    /// Where the extract goes.
    #[arg(long, default_value = "tests/src/world/discovery-extract.json")]
    output: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { document, output } = Arguments::parse();
    let written = std::fs::read_to_string(&document)
        .map_err(|error| format!("{}: {error}", document.display()))
        .and_then(|text| schema::extract(&text).map_err(|error| error.to_string()))
        .and_then(|extract| serde_json::to_string_pretty(&extract).map_err(|error| error.to_string()))
        .and_then(|json| {
            std::fs::write(&output, json + "\n").map_err(|error| format!("{}: {error}", output.display()))
        });
    match written {
        Ok(()) => {
            println!("wrote {}", output.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("discovery-extract: {error}");
            ExitCode::FAILURE
        }
    }
}
