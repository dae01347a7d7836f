//! `rehost`: the operator, and what its administrator asks of it by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rehost::access::AccessKeys;
use rehost::settings::Settings;

/// Runs notebooks on machines and in pods, and moves them with their content.
#[derive(Parser)]
#[command(name = "rehost", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Option<Settings>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the token that opens a notebook.
    Token(TokenArguments),
}

#[derive(Args)]
struct TokenArguments {
    /// The file with the operator's keys.
    #[arg(long, env = "REHOST_ACCESS_KEYS_FILE", value_name = "PATH")]
    access_keys_file: PathBuf,
    /// The notebook's uid: `kubectl get nb NAME -o jsonpath={.metadata.uid}`.
    #[arg(long)]
    uid: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments { command: Some(Command::Token(arguments)), settings: _ } => token(&arguments),
        Arguments { command: None, settings: Some(settings) } => {
            Box::pin(rehost::process::run(settings)).await.map_err(|error| error.to_string())
        }
        Arguments { command: None, settings: None } => Err("say --cluster NAME, or see --help".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn token(arguments: &TokenArguments) -> Result<(), String> {
    let path = &arguments.access_keys_file;
    let keys = AccessKeys::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match keys.token(&arguments.uid) {
        Some(token) => println!("{token}"),
        None => return Err(format!("{} has no key", path.display())),
    }
    Ok(())
}
