//! What the data folder keeps to itself: the key of branches and route tokens, and the hash of the admin key.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context as _;
use sha2::{Digest, Sha256};
use tollgate_api::{KeyConfig, Keys};
use tollgate_proxy::sip::token::Keyring;

pub struct Secrets {
    pub keyring: Keyring,
    /// The admin key, if this start knows it.
    pub shown: Option<String>,
    /// SHA-256 of a key made by an earlier start.
    stored: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(())
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    Ok(bytes)
}

/// The files a backup with secrets holds, those that are there.
pub const FILES: [&str; 2] = ["token.key", "admin-key.sha256"];

/// Reads them; nothing without a folder.
pub fn files(dir: Option<&Path>) -> Result<Vec<(String, Vec<u8>)>, tollgate_ingest::backup::BackupError> {
    let mut files = Vec::new();
    for (dir, name) in dir.iter().flat_map(|dir| FILES.map(|name| (dir, name))) {
        match fs::read(dir.join(name)) {
            Ok(bytes) => files.push((name.to_owned(), bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(tollgate_ingest::backup::BackupError::Input(e)),
        }
    }
    Ok(files)
}

/// Puts one of them into a folder; false for a name that is none of them.
pub fn put_file(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<bool> {
    if !FILES.contains(&name) {
        return Ok(false);
    }
    write_private(&dir.join(name), bytes).with_context(|| dir.join(name).display().to_string())?;
    Ok(true)
}

/// Reads the folder's secrets, making them at the first start; an admin key only where one is asked for.
pub fn open(dir: &Path, admin_key: Option<String>, serves: bool) -> anyhow::Result<Secrets> {
    let token_path = dir.join("token.key");
    let secret: [u8; 32] = match fs::read(&token_path) {
        Ok(bytes) => bytes.try_into().map_err(|_| anyhow::anyhow!("{} is not 32 bytes: restore it, or remove it while no call is up", token_path.display()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let secret = random()?;
            write_private(&token_path, &secret).with_context(|| token_path.display().to_string())?;
            secret
        }
        Err(e) => return Err(e).with_context(|| token_path.display().to_string()),
    };
    let keyring = Keyring::new(secret, 1);
    if admin_key.is_some() {
        return Ok(Secrets { keyring, shown: admin_key, stored: None });
    }
    if !serves {
        return Ok(Secrets { keyring, shown: None, stored: None });
    }
    let path = dir.join("admin-key.sha256");
    if let Ok(stored) = fs::read_to_string(&path) {
        return Ok(Secrets { keyring, shown: None, stored: Some(stored.trim().to_owned()) });
    }
    let key = format!("tg_{}", hex(&random::<20>()?));
    write_private(&path, hex(&Sha256::digest(key.as_bytes())).as_bytes()).with_context(|| path.display().to_string())?;
    Ok(Secrets { keyring, shown: Some(key), stored: None })
}

impl Secrets {
    /// The API's keys: the admin's and the configured ones.
    pub fn keys(&self, mut configured: Vec<KeyConfig>) -> anyhow::Result<Keys> {
        // The made key is known by its hash only; nobody knows this one.
        let admin = match (&self.shown, &self.stored) {
            (Some(key), _) => key.clone(),
            (None, stored) => {
                if let Some(sha256) = stored {
                    configured.push(KeyConfig { id: "first-admin".to_owned(), sha256: sha256.clone(), tenant: None, scopes: vec!["admin".to_owned()] });
                }
                hex(&random::<32>()?)
            }
        };
        Keys::new(&admin, configured).context("TOLLGATE_ADMIN_KEY, or [[api.keys]]")
    }
}
