//! Obtains epoch secrets for those who may have them, and the originals that the secrets open.
//!
//! ```text
//! S of the running epoch    the node itself, or the owner of a key file
//! S of a past epoch         an escrow identity, and a wrap: from the state directory, or, under H, from a vault
//! originals of a segment    S and the shred key H of its expiry day: two parties
//! ```
//! Each secret is unwrapped once, however many segments belong to its epoch. Whatever is missing is named;
//! nothing is skipped silently, because an answer that lacks lines would look like a complete one.

use super::codes;
use super::nodes::NodePlaces;
use super::obstacle::Obstacles;
use super::tenancy::{Share, Sought, Tenancy};
use crate::archive::VaultMark;
use crate::jobs::purge::Site;
use crate::keyring::{Current, Identities, wrapped_kids, wraps_of};
use crate::model::{Kinds, NodeName, SegmentName, Tree};
use crate::primitives::diag::Diagnostic;
use crate::primitives::secret::Secret;
use crate::primitives::storage::Storage;
use crate::pseudonym::epoch::{Epoch, EpochKeys, kid};
use crate::pseudonym::token::KID_BYTES;
use crate::shred::ShredStore;
use crate::vault::{self, Header, Original, Vault, VaultError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Who opens the originals, and with what.
#[derive(Debug)]
pub struct Credentials {
    /// Escrow identities, if any were given.
    pub identities: Option<Identities>,
    /// The secret of the running epoch, or of a key file.
    pub running: Option<Current>,
    /// Whether `running` is from a key file: its owner is the custodian then.
    pub owns_key_file: bool,
    /// The state directory with the wraps, or a copy of it.
    pub state_dir: PathBuf,
    /// The tenant whose lines are sought, and whose tokens are in segments without a vault.
    pub tenancy: Tenancy,
    /// Places of vaults and shred keys other than the archive and the state directory.
    pub places: NodePlaces,
}

/// Whether a segment is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The segment and its vault are sealed.
    Sealed,
    /// The segment may still be written to, so the last record of its vault may be incomplete.
    Unsealed,
}

/// Secrets of epochs, unwrapped when they are first needed.
#[derive(Debug)]
pub struct Secrets {
    credentials: Credentials,
    storage: Arc<dyn Storage>,
    /// Trees whose vaults are tried, in this order.
    trees: Vec<Tree>,
    /// Shred keys of this node, then those of other nodes that can be reached.
    shred: Vec<ShredStore>,
    /// By kid and node: two nodes may have the same kid.
    unwrapped: HashMap<[u8; KID_BYTES], BTreeMap<NodeName, Secret>>,
    /// Epochs for which an identity has proved to be a custodian's.
    proven: BTreeSet<[u8; KID_BYTES]>,
    /// Segments whose originals were opened.
    opened: BTreeSet<SegmentName>,
    /// Segments whose vault could not be read completely.
    unopened: Obstacles,
}

/// The originals of a segment, and the keys of their tokens.
pub struct Opened {
    /// Keys of the segment's epoch and tenant, for the kinds of its vault.
    pub keys: EpochKeys,
    /// The kinds of the vault.
    pub kinds: Kinds,
    /// All originals.
    pub originals: Vec<Original>,
}

/// A vault, with what opens it.
pub(super) struct Unlocked {
    vault: Vault,
    secret: Secret,
    shred_key: Secret,
    /// Keys of the segment's epoch and tenant, for the kinds of its vault.
    pub(super) keys: EpochKeys,
    pub(super) kinds: Kinds,
}

impl Unlocked {
    /// Passes the originals of every readable record to `take`, one record at a time, until `take` breaks.
    pub(super) fn each_record(
        &self,
        take: &mut dyn FnMut(Vec<Original>) -> ControlFlow<()>,
    ) -> Result<(), VaultError> {
        self.vault.each_record(&self.secret, &self.shred_key, take)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened([{} originals redacted])", self.originals.len())
    }
}

impl Secrets {
    /// Creates the secrets for the segments of a site.
    #[must_use]
    pub fn new(site: &Site, credentials: Credentials) -> Self {
        let storage = Arc::clone(&site.storage);
        let NodePlaces { vaults, shred_keys } = &credentials.places;
        let mut trees: Vec<_> =
            vaults.iter().map(|vault| Tree { vault: vault.clone(), ..site.tree.clone() }).collect();
        if trees.is_empty() {
            trees.push(site.tree.clone());
        }
        let others = shred_keys.iter().map(|directory| ShredStore::at(&storage, directory));
        let shred = std::iter::once(site.shred.clone()).chain(others).collect();
        Self {
            credentials,
            storage,
            trees,
            shred,
            unwrapped: HashMap::new(),
            proven: BTreeSet::new(),
            opened: BTreeSet::new(),
            unopened: Obstacles::default(),
        }
    }

    /// Returns the directories where vaults are looked for.
    pub(super) fn vault_places(&self) -> Vec<PathBuf> {
        self.trees.iter().map(|tree| tree.vault.clone()).collect()
    }

    /// Returns the storage of vaults and segments.
    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }

    /// Returns whether a custodian takes part: the owner of an identity or of a key file.
    ///
    /// No vault is opened without one. The node alone reveals nothing, not even of the running day, although
    /// it has the secret of that day.
    #[must_use]
    pub fn has_custodian(&self) -> bool {
        self.credentials.identities.is_some() || self.credentials.owns_key_file
    }

    /// Returns the number of epochs that were opened.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.unwrapped.len()
    }

    /// Returns the names of the segments whose originals were opened, for whatever purpose.
    #[must_use]
    pub fn opened(&self) -> Vec<String> {
        self.opened.iter().map(ToString::to_string).collect()
    }

    /// Returns the segments whose vault could not be read completely.
    #[must_use]
    pub fn unopened(&self) -> Obstacles {
        self.unopened.clone()
    }

    /// Returns the tenant whose tokens are in a segment. If its vault is missing or damaged, that is assumed
    /// to be the tenant of the search.
    ///
    /// # Errors
    /// If its vault cannot be read.
    pub fn tenant_of(&mut self, name: &SegmentName) -> Result<String, Diagnostic> {
        Ok(self.stated_tenant(name)?.unwrap_or_else(|| self.credentials.tenancy.tenant.clone()))
    }

    /// Returns the tenant that the vault of a segment names; `None` if there is no vault, or it is damaged.
    fn stated_tenant(&mut self, name: &SegmentName) -> Result<Option<String>, Diagnostic> {
        match self.header(name) {
            Ok(header) => Ok(header.map(|header| header.tenant)),
            Err(error) => self.unopened.note(name, error).map(|()| None),
        }
    }

    /// Returns the kinds that the tokens of a segment may have: those that are built in, and those that its
    /// vault names, if it has one that can be read.
    #[must_use]
    pub fn kinds_of(&self, name: &SegmentName) -> Kinds {
        self.header(name).ok().flatten().map_or_else(Kinds::default, |header| kinds_in(&header))
    }

    /// Returns whether a segment is searched: it may belong to another tenant than the one named.
    ///
    /// # Errors
    /// If a tenant was named and the vault of the segment cannot be read.
    pub fn share_of(&mut self, name: &SegmentName, sought: Sought) -> Result<Share, Diagnostic> {
        if self.credentials.tenancy.only().is_none() {
            return Ok(Share::Searched);
        }
        let stated = self.stated_tenant(name)?;
        Ok(self.credentials.tenancy.share(stated.as_deref(), sought))
    }

    /// Returns the keys of every epoch whose secret is available, for the segment `name` with tokens of any
    /// epoch.
    ///
    /// # Errors
    /// As [`Secrets::of`]; also if no secret is available at all.
    pub fn of_all(&mut self, name: &SegmentName) -> Result<Vec<EpochKeys>, Diagnostic> {
        let mut kids = wrapped_kids(&self.credentials.state_dir)?;
        kids.extend(
            self.credentials.running.as_ref().map(|Current { epoch, secret, .. }| kid(secret, *epoch)),
        );
        if kids.is_empty() {
            return Err(codes::no_wrap(name));
        }
        let keys = |kid| {
            let secret = self.of(&SegmentName { kid, ..name.clone() })?;
            Ok(EpochKeys::derive(&secret, Epoch::Fixed, &self.credentials.tenancy.tenant, &Kinds::default()))
        };
        kids.into_iter().map(keys).collect()
    }

    /// Returns S of the epoch of a segment.
    ///
    /// # Errors
    /// Names what is missing: an identity, the right identity, a wrap, or H.
    pub fn of(&mut self, name: &SegmentName) -> Result<Secret, Diagnostic> {
        if let Some(secret) = self.unwrapped.get(&name.kid).and_then(|nodes| nodes.get(&name.node)) {
            return Ok(secret.clone());
        }
        let vault = self.vault_of(name)?;
        self.of_epoch(name, vault.as_deref())
    }

    /// Returns S of the epoch of a segment; `vault` is its vault, if it has one.
    ///
    /// A kid has only ten bits of S, so two nodes may have the same. The vault decides whose S it is, if a
    /// custodian takes part and H of the node is at hand; otherwise nobody can tell.
    fn of_epoch(&mut self, name: &SegmentName, vault: Option<&Path>) -> Result<Secret, Diagnostic> {
        let of_kid = self.unwrapped.get(&name.kid);
        if let Some(secret) = of_kid.and_then(|nodes| nodes.get(&name.node)) {
            return Ok(secret.clone());
        }
        let proof = vault.filter(|_| self.has_custodian()).and_then(|path| self.proof(name, path));
        let opens =
            |secret: &&Secret| proof.as_ref().is_none_or(|(vault, key)| vault.opens_with(secret, key));
        // The nodes of a fleet may have one secret. It is then unwrapped once, and also that of a node whose
        // wrap is lost.
        let known = of_kid.filter(|_| proof.is_some()).and_then(|nodes| nodes.values().find(opens));
        let secret = match known.cloned().or_else(|| self.of_node(&name.kid)) {
            Some(secret) => secret,
            None => match (self.of_wrap(name, vault), of_kid.and_then(|nodes| nodes.values().next())) {
                (Err(refusal), Some(other)) if proof.is_none() && self.are_lost(&refusal) => other.clone(),
                (unwrapped, _) => unwrapped?,
            },
        };
        let secret = match (&proof, vault) {
            (Some((opened, _)), Some(path)) if !opens(&&secret) => {
                self.of_vault(opened.header(), name, path)?
            }
            _ => secret,
        };
        self.unwrapped.entry(name.kid).or_default().insert(name.node.clone(), secret.clone());
        Ok(secret)
    }

    /// Returns the beginning of a segment's vault and its H, which together show whether a secret is S of the
    /// segment; `None` if H is not at hand, or the vault does not say so.
    fn proof(&self, name: &SegmentName, path: &Path) -> Option<(Vault, Secret)> {
        let shred_keys = self.shred_keys(name).ok()?;
        // A search goes on without a vault, and so it does with one that is damaged.
        let vault = Vault::open_beginning(&*self.storage, path).ok().filter(Vault::has_a_record)?;
        let header = vault.header();
        let is_of_vault = |key: &Secret| !header.sealed_wrap.is_empty() && header.may_open_with(key);
        let shred_key = shred_keys.into_iter().find(is_of_vault)?;
        Some((vault, shred_key))
    }

    /// Returns whether `refusal` says that nobody here has the secret of an epoch, although an identity was
    /// given: neither its wrap nor the shred key that another one lies under, or it is that of a key file.
    ///
    /// A wrong identity is no such refusal, because whoever asks can bring the right one.
    pub(super) fn are_lost(&self, refusal: &Diagnostic) -> bool {
        self.credentials.identities.is_some() && codes::of_lost_secrets().contains(&refusal.code.id)
    }

    /// Returns the keys of the tokens of a segment, for the kinds that every policy knows.
    ///
    /// # Errors
    /// As [`Secrets::of`].
    pub fn keys_of(&mut self, name: &SegmentName) -> Result<EpochKeys, Diagnostic> {
        let (secret, tenant) = (self.of(name)?, self.tenant_of(name)?);
        // A tag does not depend on the day of its epoch, and a search for tags needs no kid.
        Ok(EpochKeys::derive(&secret, Epoch::Fixed, &tenant, &Kinds::default()))
    }

    /// Returns the keys of every epoch that lines of a segment may belong to; usually there is one.
    ///
    /// # Errors
    /// As [`Secrets::of`].
    pub fn keys_of_each(&mut self, name: &SegmentName) -> Result<Vec<EpochKeys>, Diagnostic> {
        if name.kid == SegmentName::MANY_EPOCHS {
            return self.of_all(name);
        }
        Ok(vec![self.keys_of(name)?])
    }

    /// Opens the originals as [`Secrets::open_readable`] does; `None` also if the segment has no vault, or no
    /// custodian takes part.
    ///
    /// # Errors
    /// As [`Secrets::open_readable`].
    pub fn open_if_any(
        &mut self,
        name: &SegmentName,
        state: State,
        mark: Option<VaultMark>,
    ) -> Result<Option<Opened>, Diagnostic> {
        let opens = self.has_custodian() && self.vault_of(name)?.is_some();
        if opens { self.open_readable(name, state, mark) } else { Ok(None) }
    }

    /// Opens the originals of a segment with S and H, as far as its vault can be read; `None` if nothing of
    /// it can.
    ///
    /// [`Self::unopened`] notes what cannot be read. It also notes records missing at the end, if the segment
    /// states in `mark` how long the vault was.
    ///
    /// # Errors
    /// As [`Secrets::open`], except for damage.
    pub fn open_readable(
        &mut self,
        name: &SegmentName,
        state: State,
        mark: Option<VaultMark>,
    ) -> Result<Option<Opened>, Diagnostic> {
        let unlocked = match self.unlock_beside(name, state) {
            Ok(unlocked) => unlocked,
            Err(error) => return self.unopened.note(name, error).map(|()| None),
        };
        let mut originals = Vec::new();
        let read = unlocked.each_record(&mut |record| {
            originals.extend(record);
            ControlFlow::Continue(())
        });
        let whole = read.and_then(|()| unlocked.vault.demand_bytes(mark.map_or(0, |mark| mark.bytes)));
        if let Err(error) = whole {
            self.unopened.note(name, error.into())?;
        }
        Ok(Some(Opened { keys: unlocked.keys, kinds: unlocked.kinds, originals }))
    }

    /// Opens all originals of a segment with S and H.
    ///
    /// # Errors
    /// As [`Secrets::of`]; also if there is no vault or it is damaged, or if H is missing or belongs to
    /// another node.
    pub fn open(&mut self, name: &SegmentName, state: State) -> Result<Opened, Diagnostic> {
        let Unlocked { vault, secret, shred_key, keys, kinds } = self.unlock_beside(name, state)?;
        let originals = vault.originals(&secret, &shred_key)?;
        Ok(Opened { keys, kinds, originals })
    }

    /// Unlocks the vault of a segment.
    fn unlock_beside(&mut self, name: &SegmentName, state: State) -> Result<Unlocked, Diagnostic> {
        match self.vault_of(name)? {
            Some(path) => self.unlock(name, &path, state),
            None if name.kid == SegmentName::MANY_EPOCHS => Err(codes::originals_of_nodes(name)),
            None => Err(codes::no_originals(&self.trees[0].vault(name))),
        }
    }

    /// Unlocks the vault in the file `path`, which may belong to another node. If no H of that node is
    /// available, only the header of the vault is read.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub(super) fn unlock_of_node(&mut self, name: &SegmentName, path: &Path) -> Result<Unlocked, Diagnostic> {
        let shred_keys = self.shred_keys(name)?;
        let header = vault::header(&*self.storage, path)?;
        if !shred_keys.iter().any(|key| header.may_open_with(key)) {
            return Err(codes::foreign_shred_key(path));
        }
        self.unlock(name, path, State::Sealed)
    }

    fn unlock(&mut self, name: &SegmentName, path: &Path, state: State) -> Result<Unlocked, Diagnostic> {
        // Get H first: without it, there is no point in asking for the secret.
        let shred_keys = self.shred_keys(name)?;
        self.demand_custodian(name, path)?;
        let mut secret = self.of_epoch(name, Some(path))?;
        let mut vault = Vault::open(&*self.storage, path)?;
        if state == State::Unsealed {
            vault.forget_half_a_record();
        }
        let fitting = |secret: &Secret| shred_keys.iter().find(|key| vault.opens_with(secret, key));
        let shred_key = match fitting(&secret) {
            Some(shred_key) => shred_key.clone(),
            None => {
                // Another secret has the same kid. The wrap in the vault is certainly the right one.
                secret = self.of_vault(vault.header(), name, path)?;
                let wrong = || VaultError::WrongKey { path: path.to_owned() };
                fitting(&secret).ok_or_else(wrong)?.clone()
            }
        };
        self.opened.insert(name.clone());
        let kinds = kinds_in(vault.header());
        let keys = EpochKeys::derive(&secret, Epoch::Fixed, &vault.header().tenant, &kinds);
        Ok(Unlocked { vault, secret, shred_key, keys, kinds })
    }

    /// Demands proof that the given identity, if any, is a custodian's.
    ///
    /// The node has S of the running epoch itself and needs no identity to open it. But a person who brings
    /// one must be among those for whom S was wrapped, on that day as on any other.
    fn demand_custodian(&mut self, name: &SegmentName, vault: &Path) -> Result<(), Diagnostic> {
        let is_known = self.credentials.owns_key_file || self.proven.contains(&name.kid);
        if self.credentials.identities.is_some() && !is_known && self.of_node(&name.kid).is_some() {
            self.of_wrap(name, Some(vault))?;
            self.proven.insert(name.kid);
        }
        Ok(())
    }

    /// Returns S if it needs no identity: it is the secret of the running epoch, or of a key file.
    fn of_node(&self, wanted: &[u8; KID_BYTES]) -> Option<Secret> {
        let Current { epoch, secret, .. } = self.credentials.running.as_ref()?;
        (kid(secret, *epoch) == *wanted).then(|| secret.clone())
    }

    /// Unwraps S from a wrap in the state directory, or else from the vault.
    fn of_wrap(&self, name: &SegmentName, vault: Option<&Path>) -> Result<Secret, Diagnostic> {
        let wraps = wraps_of(&self.credentials.state_dir, &name.kid)?;
        let Some(identities) = &self.credentials.identities else {
            return Err(self.no_identity(name, vault, wraps.is_empty())?);
        };
        for wrap in &wraps {
            if let Some(secret) = identities.unwrap(wrap).ok().filter(|secret| fits(secret, &name.kid)) {
                return Ok(secret);
            }
        }
        match vault {
            Some(path) => self.of_vault(&vault::header(&*self.storage, path)?, name, path),
            None if wraps.is_empty() => Err(codes::no_wrap(name)),
            None => Err(codes::wrong_identity(name)),
        }
    }

    /// Names who could open the epoch of a segment: the owner of its key file if nothing is wrapped,
    /// otherwise a custodian.
    fn no_identity(
        &self,
        name: &SegmentName,
        vault: Option<&Path>,
        no_wraps: bool,
    ) -> Result<Diagnostic, Diagnostic> {
        let header = vault.map(|path| vault::header(&*self.storage, path)).transpose()?;
        let is_wrapped = match header {
            Some(header) => !header.sealed_wrap.is_empty(),
            // A fixed epoch never ends: the node or a key file has its secret.
            None => !no_wraps || !name.kid.starts_with(FIXED),
        };
        Ok(if is_wrapped { codes::no_identity(name) } else { self.no_key_file(name) })
    }

    fn no_key_file(&self, name: &SegmentName) -> Diagnostic {
        codes::key_file(name, self.credentials.owns_key_file)
    }

    /// Unwraps S from the wrap in a vault, which takes H.
    fn of_vault(&self, header: &Header, name: &SegmentName, path: &Path) -> Result<Secret, Diagnostic> {
        if header.sealed_wrap.is_empty() {
            return Err(self.no_key_file(name));
        }
        let identities = self.credentials.identities.as_ref().ok_or_else(|| codes::no_identity(name))?;
        let wrap = self.wrap_in(path, name)?;
        identities.unwrap(&wrap).map_err(|_| codes::wrong_identity(name))
    }

    /// Reads the wrap from the vault in the file `path`, with whichever H opens it.
    fn wrap_in(&self, path: &Path, name: &SegmentName) -> Result<Zeroizing<Vec<u8>>, Diagnostic> {
        let vault = Vault::open(&*self.storage, path)?;
        let mut refusal = codes::no_shred_key(name);
        for shred_key in self.shred_keys(name)? {
            match vault.wrap(&shred_key) {
                Ok(wrap) => return wrap.ok_or_else(|| self.no_key_file(name)),
                Err(_) => refusal = codes::foreign_shred_key(path),
            }
        }
        Err(refusal)
    }

    /// Returns all H of the segment's expiry day: of this node and of others.
    fn shred_keys(&self, name: &SegmentName) -> Result<Vec<Secret>, Diagnostic> {
        let mut keys = Vec::new();
        for store in &self.shred {
            keys.extend(store.existing(name.folder.expires)?);
        }
        if keys.is_empty() { Err(codes::no_shred_key(name)) } else { Ok(keys) }
    }

    fn header(&self, name: &SegmentName) -> Result<Option<Header>, Diagnostic> {
        let path = self.vault_of(name)?;
        Ok(path.map(|path| vault::header(&*self.storage, &path)).transpose()?)
    }

    /// Returns the path of a segment's vault, if it exists.
    fn vault_of(&self, name: &SegmentName) -> Result<Option<PathBuf>, Diagnostic> {
        for tree in &self.trees {
            let path = tree.vault(name);
            if self.exists(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn exists(&self, path: &Path) -> Result<bool, Diagnostic> {
        self.storage.exists(path).map_err(|error| codes::cannot_look(path, &error))
    }
}

/// Returns the kinds that are built in, and those that a vault names.
fn kinds_in(header: &Header) -> Kinds {
    let mut kinds = Kinds::default();
    for kind in &header.kinds {
        kinds.intern(kind);
    }
    kinds
}

/// The prefix of the kid of a fixed epoch.
const FIXED: &[u8] = b"000";

/// Returns whether the last two characters of the kid, its fingerprint, are those of the secret.
fn fits(secret: &Secret, wanted: &[u8; KID_BYTES]) -> bool {
    kid(secret, Epoch::Fixed)[3..] == wanted[3..]
}
