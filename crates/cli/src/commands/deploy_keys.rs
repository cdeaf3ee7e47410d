//! What opens a project's repository. Secrets are read from files, never from arguments: others on
//! a machine see those.

use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context as _, Result};
use slipway_client::{DeployKey, NewDeployKey};

use crate::args::{DeployKeyCommand, NewKey};
use crate::commands::Session;
use crate::output::table;

/// The most that is read, in bytes.
const MAX_INPUT: u64 = 64 * 1024;

/// Runs `slipway projects deploy-key …`.
pub(crate) async fn run(session: &Session, command: DeployKeyCommand) -> Result<()> {
    let client = &session.client;
    match command {
        DeployKeyCommand::Set { project, new } => {
            let new = read(&new)?;
            let set = client.set_deploy_key(&project.namespace, &project.name, &new);
            session.output.value(&set.await?, described)
        }
        DeployKeyCommand::Show { project } => {
            let found = client.deploy_key(&project.namespace, &project.name);
            session.output.value(&found.await?, described)
        }
        DeployKeyCommand::Remove { project } => {
            let removed = client.remove_deploy_key(&project.namespace, &project.name);
            removed.await?;
            Ok(session.output.note("The deploy key is removed.")?)
        }
    }
}

fn read(new: &NewKey) -> Result<NewDeployKey> {
    let known_hosts = new.known_hosts.as_deref().map(content).transpose()?;
    let private_key = new.key_file.as_deref().map(content).transpose()?;
    let password = new.password_file.as_deref().map(content).transpose()?;
    Ok(NewDeployKey {
        private_key,
        generate: new.generate,
        known_hosts,
        username: new.username.clone(),
        password: password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
    })
}

/// What is in a file, or in standard input for `-`.
fn content(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => stdin().lock().take(MAX_INPUT).read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_INPUT).read_to_string(&mut text)),
    };
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text)
}

fn described(key: &DeployKey) -> String {
    let rows = [
        ("public key", &key.public_key),
        ("fingerprint", &key.fingerprint),
        ("user name", &key.username),
        ("known hosts", &key.known_hosts),
    ];
    let told = rows.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?.trim().to_owned();
        Some([name.to_owned(), value])
    });
    let set = ["set".to_owned(), key.created_at.to_rfc3339()];
    table(["server", &key.server], told.chain([set]).collect())
}
