//! `rehost`: the operator.

use std::process::ExitCode;

use clap::Parser;
use rehost::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(rehost::process::run(Settings::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehost: {error}");
            ExitCode::FAILURE
        }
    }
}
