//! API keys: kept as SHA-256, compared in constant time, with scopes and a tenant.

use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What a key may do. `admin` is all of them but `costs` for a tenant's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Admin,
    /// Read everything the key's tenant may see.
    Read,
    /// Carriers, costs and margins, for a tenant's key; an operator's key always sees them.
    Costs,
    /// End live calls.
    Calls,
    /// Place and lift blocks.
    Blocks,
    /// Change provisioning; an operator's key only.
    Control,
}

impl Scope {
    pub const ALL: [Scope; 6] = [Scope::Admin, Scope::Read, Scope::Costs, Scope::Calls, Scope::Blocks, Scope::Control];

    pub fn name(self) -> &'static str {
        match self {
            Scope::Admin => "admin",
            Scope::Read => "read",
            Scope::Costs => "costs",
            Scope::Calls => "calls",
            Scope::Blocks => "blocks",
            Scope::Control => "control",
        }
    }
}

/// A key as it stands in the configuration: `[[api.keys]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Named in events and logs as the actor.
    pub id: String,
    /// SHA-256 of the key, 64 hex digits.
    pub sha256: String,
    /// Root account the key is confined to; none = an operator's key.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Names of [`Scope`]s; empty = `read`.
    #[serde(default)]
    pub scopes: Vec<String>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadKey {
    #[error("the admin key has {0} characters: want 16 or more")]
    TooShort(usize),
    #[error("api key '{0}': sha256 must be 64 hex digits")]
    Hash(String),
    #[error("api key '{id}': no scope '{scope}' (there are admin, read, costs, calls, blocks, control)")]
    Scope { id: String, scope: String },
    #[error("api key '{0}': the id is used twice, or is empty, or is 'admin'")]
    Id(String),
    #[error("api key '{0}': a tenant's key cannot have scope control")]
    TenantControl(String),
    #[error("api key '{id}': tenant: {problem}")]
    Tenant { id: String, problem: String },
}

/// One key's identity and rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub tenant: Option<String>,
    pub scopes: Vec<Scope>,
}

impl Key {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || (scope != Scope::Costs && self.scopes.contains(&Scope::Admin))
    }

    /// Carriers, costs and margins.
    pub fn sees_costs(&self) -> bool {
        self.tenant.is_none() || self.scopes.contains(&Scope::Costs)
    }
}

/// The key behind a request, for handlers.
pub type Caller = Arc<Key>;

pub struct Keys(Vec<([u8; 32], Caller)>);

impl Keys {
    /// `admin_key`: 16 characters or more; its id is `admin`.
    pub fn new(admin_key: &str, extra: Vec<KeyConfig>) -> Result<Keys, BadKey> {
        let length = admin_key.chars().count();
        if length < 16 {
            return Err(BadKey::TooShort(length));
        }
        let admin = Key { id: "admin".to_owned(), tenant: None, scopes: vec![Scope::Admin] };
        let mut keys = vec![(digest(admin_key), Arc::new(admin))];
        for config in extra {
            if config.id.is_empty() || keys.iter().any(|(_, k)| k.id == config.id) {
                return Err(BadKey::Id(config.id));
            }
            keys.push(resolve(config)?);
        }
        Ok(Keys(keys))
    }

    /// Whose key this is. Every key is looked at, whichever fits, so the time says nothing.
    pub fn find(&self, presented: &str) -> Option<Caller> {
        let presented = digest(presented);
        let mut found = None;
        for (hash, key) in &self.0 {
            let difference = hash.iter().zip(&presented).fold(0u8, |d, (a, b)| d | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                found = Some(key.clone());
            }
        }
        found
    }
}

fn resolve(config: KeyConfig) -> Result<([u8; 32], Caller), BadKey> {
    let hash = decode_hash(&config.sha256).ok_or_else(|| BadKey::Hash(config.id.clone()))?;
    if let Some(tenant) = &config.tenant {
        tollgate_schemas::name::check(tenant).map_err(|e| BadKey::Tenant { id: config.id.clone(), problem: e.to_string() })?;
    }
    let mut scopes = Vec::new();
    for name in &config.scopes {
        let scope = Scope::ALL.into_iter().find(|s| s.name() == name);
        scopes.push(scope.ok_or_else(|| BadKey::Scope { id: config.id.clone(), scope: name.clone() })?);
    }
    if scopes.is_empty() {
        scopes.push(Scope::Read);
    }
    if config.tenant.is_some() && scopes.contains(&Scope::Control) {
        return Err(BadKey::TenantControl(config.id));
    }
    Ok((hash, Arc::new(Key { id: config.id, tenant: config.tenant, scopes })))
}

fn decode_hash(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |d: u8| (d as char).to_digit(16).unwrap_or(0) as u8;
        *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
    }
    Some(out)
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: &str, scopes: &[&str]) -> KeyConfig {
        let sha256 = digest(&format!("{id}-secret")).iter().map(|b| format!("{b:02x}")).collect();
        KeyConfig { id: id.to_owned(), sha256, tenant: Some("acme".to_owned()), scopes: scopes.iter().map(|s| (*s).to_owned()).collect() }
    }

    #[test]
    fn x_08_keys_are_found_by_their_hash_with_their_scopes() {
        let keys = Keys::new("0123456789abcdef", vec![config("acme", &["read", "blocks"])]).expect("keys");
        assert_eq!(keys.find("0123456789abcdef").map(|k| k.id.clone()).as_deref(), Some("admin"));
        let acme = keys.find("acme-secret").expect("acme");
        assert!(acme.may(Scope::Blocks) && !acme.may(Scope::Calls) && !acme.sees_costs());
        assert!(keys.find("0123456789abcdeF").is_none() && keys.find("").is_none());
    }

    #[test]
    fn r_21_a_tenants_admin_scope_does_not_bring_costs() {
        let keys = Keys::new("0123456789abcdef", vec![config("a", &["admin"]), config("b", &["read", "costs"])]).expect("keys");
        let (a, b) = (keys.find("a-secret").expect("a"), keys.find("b-secret").expect("b"));
        assert!(a.may(Scope::Calls) && !a.sees_costs() && b.sees_costs());
    }

    #[test]
    fn bad_keys_say_which_and_why() {
        let bad = |c| Keys::new("0123456789abcdef", vec![c]).err();
        assert_eq!(Keys::new("short", vec![]).err(), Some(BadKey::TooShort(5)));
        assert_eq!(bad(KeyConfig { sha256: "12".to_owned(), ..config("x", &[]) }), Some(BadKey::Hash("x".to_owned())));
        assert!(matches!(bad(config("x", &["root"])), Some(BadKey::Scope { .. })));
        assert!(matches!(bad(config("admin", &[])), Some(BadKey::Id(_))));
        assert!(matches!(bad(config("x", &["control"])), Some(BadKey::TenantControl(_))));
        assert!(matches!(bad(KeyConfig { tenant: Some("No".to_owned()), ..config("x", &[]) }), Some(BadKey::Tenant { .. })));
    }
}
