//! `vaults`: copies vaults, encrypted as they are, to a bucket of their own.
//!
//! A vault is copied when its segment has been sealed, because it does not change after that; the footer of
//! the segment has its digest. If a copy with that digest exists, the vault is neither read nor stored again.
//! If an erasure rewrote the vault, the new one replaces the old copy; if the erasure left no line, the old
//! copy is removed. The shred keys stay on the node, so nobody can open a copy once its day is over.

use super::purge::{Site, identify};
use crate::archive::{self, Found, Segment, VaultMark};
use crate::ledger::event::{Erasure, Event};
use crate::model::{Expires, SegmentName, Tree};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::storage::{Sequential, Storage, if_there};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A vault that has a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The path of the copy.
    pub vault: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether the copy existed already.
    pub skipped: bool,
}

/// Copies the vaults of all sealed segments whose day has not come to `to`, a tree like that of the archive.
/// Removes the copies of vaults of which an erasure left nothing, and returns their number.
///
/// # Errors
/// If a vault does not match its segment, or something cannot be read or written. Finished copies stay.
pub fn copy(
    site: &Site,
    to: &Path,
    tell: &mut dyn FnMut(Copied) -> Result<(), Diagnostic>,
) -> Result<u64, Diagnostic> {
    let to = Tree::at(to);
    let mut erased = erased_whole(site)?;
    for tree in [site.tree.clone(), site.second_tree()] {
        for found in archive::list(&*site.storage, &tree)? {
            let is_over = found.name.folder.expires <= Expires::On(site.today());
            if found.part || is_over {
                continue;
            }
            // After the erasure, a filter may have begun another segment of that name.
            erased.remove(&found.name.to_string());
            if let Some(mark) = Segment::open(&*site.storage, &found.path)?.footer().vault {
                tell(copy_one(site, &found, mark, &to)?)?;
            }
        }
    }
    let mut removed = 0;
    for name in erased.iter().filter_map(|name| SegmentName::parse_path(name)) {
        let copy = to.vault(&name);
        removed += u64::from(remove(&*site.storage, &copy).map_err(failed(&copy))?);
    }
    Ok(removed)
}

/// Returns the names of segments of which an erasure left no line.
fn erased_whole(site: &Site) -> Result<BTreeSet<String>, Diagnostic> {
    let mut erased = BTreeSet::new();
    site.ledger.read(&mut |entry, _| {
        if let Some(Event::EraseDone(Erasure { name, digest: None, .. })) = entry.event() {
            erased.insert(name);
        }
    })?;
    Ok(erased)
}

/// Removes all versions of a copy. Returns whether there was one.
fn remove(storage: &dyn Storage, copy: &Path) -> io::Result<bool> {
    if if_there(storage.unlink(copy))?.is_none() {
        return Ok(false);
    }
    copy.parent().map_or(Ok(()), |directory| storage.sync_directory(directory))?;
    Ok(true)
}

fn copy_one(site: &Site, found: &Found, mark: VaultMark, to: &Tree) -> Result<Copied, Diagnostic> {
    let place = to.vault(&found.name);
    let there = recorded(&*site.storage, &place).map_err(failed(&place))?;
    let skipped = there.as_ref() == Some(&crate::primitives::hex::encode(&mark.digest));
    if !skipped {
        let vault = site.tree.vault(&found.name);
        let bytes = read(&*site.storage, &vault, mark).map_err(failed(&vault))?;
        let staged = to.staged_vault(&found.name);
        store(&*site.storage, &bytes, &staged, &place, there.is_some()).map_err(failed(&place))?;
    }
    Ok(Copied { vault: place.display().to_string(), bytes: mark.bytes, skipped })
}

/// Returns the SHA-256 of the existing copy.
fn recorded(storage: &dyn Storage, place: &Path) -> io::Result<Option<String>> {
    let Some(copy) = if_there(storage.open(place))? else { return Ok(None) };
    identify(&*copy, &|_| {}).map(|(_, sha256)| Some(sha256))
}

/// Reads the vault, and checks that its segment has its digest.
fn read(storage: &dyn Storage, vault: &Path, mark: VaultMark) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Sequential::open(storage, vault)?.read_to_end(&mut bytes)?;
    if Sha256::digest(&bytes)[..] != mark.digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not the one that its segment knows"));
    }
    Ok(bytes)
}

/// Stores a copy whole or not at all.
fn store(storage: &dyn Storage, bytes: &[u8], staged: &Path, place: &Path, is_there: bool) -> io::Result<()> {
    let directory = place.parent().map(PathBuf::from).unwrap_or_default();
    storage.create_directory(&directory, DIRECTORY_MODE)?;
    // What an interrupted copy left.
    if_there(storage.unlink(staged))?;
    let mut file = storage.create(staged, FILE_MODE)?;
    file.append(bytes)?;
    if is_there {
        file.sync()?;
        storage.rename(staged, place)?;
    } else {
        storage.publish(staged, place)?;
    }
    storage.sync_directory(&directory)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Diagnostic {
    let place = path.display().to_string();
    move |error| {
        Diagnostic::new(&VAULT, "a vault cannot be copied")
            .at_path(place, error)
            .hint("mend that and run it again: vaults that are copied already are skipped")
    }
}

/// For the owner alone, as vaults are.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// All error codes of this module.
pub const CODES: &[&Code] = &[&VAULT];

static VAULT: Code = Code {
    id: "F07",
    title: "a vault cannot be copied",
    text: "\
What it means
  oubliette could not read the vault of a sealed segment, the vault does not have the digest that
  the footer of the segment states, or the place of copies refused it.

Why it matters
  Only the node has the originals of that segment. If the node is lost, you can search the lines,
  but nobody can reveal the originals of their tokens.

Example
  a bucket whose key has expired

What to do
  1. Repair the access.
  2. Run `oubliette vaults` again.
  3. If the vault was changed, run `oubliette verify`: it says where.

References
  docs/fleet/README.md; docs/fleet/aws.md",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::scene::{DAY, MIDNIGHT, WRITTEN, archive, of_day, segment, site};
    use crate::primitives::storage::{Memory, Survives};

    fn copied(memory: &Memory, now: &str) -> Result<Vec<(u64, bool)>, &'static str> {
        let mut told = Vec::new();
        copy(&site(memory, now).unwrap(), Path::new("/copies"), &mut |copied| {
            told.push((copied.bytes, copied.skipped));
            Ok(())
        })
        .map(|_| told)
        .map_err(|diagnostic| diagnostic.code.id)
    }

    fn vault(root: &str, class: &str) -> PathBuf {
        Tree::at(Path::new(root)).vault(&segment(DAY, class))
    }

    #[test]
    fn every_closed_vault_is_copied_once_and_again_when_it_has_changed() {
        let memory = archive();
        let first = copied(&memory, WRITTEN).unwrap();
        assert_eq!(first.iter().map(|(_, skipped)| *skipped).collect::<Vec<_>>(), [false; 3]);
        let files = memory.files();
        assert_eq!(files[&vault("/copies", "mail")], files[&vault("/log", "mail")]);
        assert_eq!(copied(&memory, WRITTEN).unwrap().iter().filter(|(_, skipped)| *skipped).count(), 3);
        // As if an erasure had rewritten it after it was copied.
        memory.damage(&vault("/copies", "mail"), |bytes| bytes.truncate(40));
        assert_eq!(copied(&memory, WRITTEN).unwrap().iter().filter(|(_, skipped)| *skipped).count(), 2);
        assert_eq!(memory.files(), files);
        assert_eq!(
            memory.after_crash(Survives::Synced).files()[&vault("/copies", "mail")].len(),
            files[&vault("/log", "mail")].len()
        );
    }

    #[test]
    fn a_copy_goes_when_an_erasure_left_nothing_of_its_segment() {
        let memory = archive();
        copied(&memory, WRITTEN).unwrap();
        let [gone, there] = ["mail", "connection"].map(|class| segment(DAY, class));
        let mut written = site(&memory, WRITTEN).unwrap();
        for (name, digest) in [(&gone, None), (&there, Some("00".to_owned()))] {
            let (case, before) = ("DSR-1".to_owned(), "00".to_owned());
            let (name, sealed) = (name.to_string(), written.today());
            let erasure = Erasure { case, name, before, digest, sealed, lines_before: 2, lines: 0 };
            written.ledger.append(Event::EraseDone(erasure)).unwrap();
        }
        for path in [written.tree.segment(&gone), written.tree.vault(&gone)] {
            written.storage.unlink(&path).unwrap();
        }
        for removed in [1, 0] {
            assert_eq!(copy(&written, Path::new("/copies"), &mut |_| Ok(())).unwrap(), removed);
            let left = |class| memory.files().contains_key(&vault("/copies", class));
            assert_eq!((left("mail"), left("connection")), (false, true));
        }
        // A filter has sealed another segment of that name since.
        crate::jobs::scene::write(&mut written, &gone.folder, false);
        assert_eq!(copy(&written, Path::new("/copies"), &mut |_| Ok(())).unwrap(), 0);
        assert!(memory.files().contains_key(&vault("/copies", "mail")));
    }

    #[test]
    fn what_has_expired_or_was_changed_is_not_copied() {
        let memory = archive();
        assert_eq!(copied(&memory, MIDNIGHT).unwrap().len(), 1);
        assert_eq!(of_day(&memory, DAY).iter().filter(|path| path.starts_with("/copies")).count(), 0);
        memory.damage(&vault("/log", "mail"), |bytes| bytes[40] ^= 1);
        assert_eq!(copied(&memory, WRITTEN), Err("F07"));
    }
}
