//! `slipway projects deploy-key`. Secrets are read from files and not from arguments, which other
//! users of the machine can see.

use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context as _, Result};
use slipway_client::{DeployKey, NewDeployKey};

use crate::args::{DeployKeyArgs, DeployKeyCommand};
use crate::commands::Session;
use crate::output::table;

/// The maximum number of bytes to read from a file.
const MAX_INPUT: u64 = 64 * 1024;

/// Runs `slipway projects deploy-key …`.
pub(crate) async fn run(session: &Session, command: DeployKeyCommand) -> Result<()> {
    let client = &session.client;
    match command {
        DeployKeyCommand::Set { project, new } => {
            let new = read_credentials(&new)?;
            let set = client.set_deploy_key(&project.namespace, &project.name, &new);
            session.output.value(&set.await?, key_text)
        }
        DeployKeyCommand::Show { project } => {
            let found = client.deploy_key(&project.namespace, &project.name);
            session.output.value(&found.await?, key_text)
        }
        DeployKeyCommand::Remove { project } => {
            let deleted = client.delete_deploy_key(&project.namespace, &project.name);
            deleted.await?;
            Ok(session.output.note("Deleted the deploy key.")?)
        }
    }
}

fn read_credentials(new: &DeployKeyArgs) -> Result<NewDeployKey> {
    let known_hosts = new.known_hosts.as_deref().map(read_file).transpose()?;
    let private_key = new.key_file.as_deref().map(read_file).transpose()?;
    let password = new.password_file.as_deref().map(read_file).transpose()?;
    Ok(NewDeployKey {
        private_key,
        generate: new.generate,
        known_hosts,
        username: new.username.clone(),
        // The newline at the end of the file is not part of the password.
        password: password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
    })
}

/// The content of a file, or of standard input for `-`.
fn read_file(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        stdin().lock().take(MAX_INPUT).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_string(&mut text))
    };
    read.with_context(|| format!("could not read {}", path.display()))?;
    Ok(text)
}

fn key_text(key: &DeployKey) -> String {
    let fields = [
        ("public key", &key.public_key),
        ("fingerprint", &key.fingerprint),
        ("user name", &key.username),
        ("known hosts", &key.known_hosts),
    ];
    let rows = fields.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?.trim().to_owned();
        Some([name.to_owned(), value])
    });
    let set = ["set".to_owned(), key.created_at.to_rfc3339()];
    table(["server", &key.server], rows.chain([set]).collect())
}
