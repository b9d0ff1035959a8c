//! What a case needs out of frozen segments: the lines with its targets, and what the tokens in them stand
//! for. Encrypted to the escrow recipients; then the segments are frozen no more.

use super::{Hold, Holds, failed};
use crate::archive::{self, Found, Segment};
use crate::detect::canonical;
use crate::jobs::purge::Site;
use crate::keyring::{Escrow, Identities};
use crate::ledger::event::{self, Event};
use crate::model::{Kind, Kinds, SegmentName};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::hex;
use crate::primitives::secret::Secret;
use crate::pseudonym::epoch::{Epoch, EpochKeys};
use crate::pseudonym::token;
use crate::vault::{Original, Vault};
use memchr::memmem;
use serde_json::json;
use std::io;
use zeroize::{Zeroize as _, Zeroizing};

/// Whose lines are extracted.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Tokens, as they stand in the lines.
    pub tokens: Vec<String>,
    /// Identifiers in clear: IP addresses, networks or e-mail addresses.
    pub identifiers: Vec<String>,
}

/// What opens vaults, together with the shred key of their day.
#[derive(Debug)]
pub enum Opener {
    /// Escrow identities, which unwrap the secrets of epochs.
    Identities(Identities),
    /// The secret of a key file.
    KeyFile(Secret),
}

impl Opener {
    /// The epoch secret of a vault.
    fn secret(&self, wrap: Option<&[u8]>) -> Result<Secret, Diagnostic> {
        match (self, wrap) {
            (Self::KeyFile(secret), None) => Ok(secret.clone()),
            (Self::Identities(identities), Some(wrap)) => {
                identities.unwrap(wrap).map_err(|_| closed("the identity does not open its epoch"))
            }
            (Self::KeyFile(_), Some(_)) => Err(closed(
                "its epoch secret is wrapped to the escrow recipients: `--identity FILE` opens it",
            )),
            (Self::Identities(_), None) => {
                Err(closed("its epoch secret is that of a key file: `--key-file FILE` opens it"))
            }
        }
    }
}

/// What was extracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Lines.
    pub lines: u64,
    /// Pairs of token and original.
    pub pairs: u64,
}

/// What is collected, before it is encrypted. It holds originals in clear, so it is wiped.
#[derive(Default)]
struct Collected {
    lines: Zeroizing<Vec<u8>>,
    pairs: Zeroizing<Vec<u8>>,
    counted: Extracted,
}

impl Collected {
    fn pair(&mut self, token: &str, original: &Original) {
        let canonical = Zeroizing::new(hex::encode(&original.canonical));
        let pair = json!({ "token": token, "kind": original.kind, "canonical": &*canonical });
        let mut pair = pair.to_string();
        self.pairs.extend_from_slice(pair.as_bytes());
        self.pairs.push(b'\n');
        self.counted.pairs += 1;
        pair.zeroize();
    }
}

/// What the vault of a segment holds, and the keys to look for more.
struct Opened {
    keys: EpochKeys,
    /// That of the segment.
    kid: [u8; token::KID_BYTES],
    kinds: Kinds,
    originals: Vec<Original>,
}

impl Holds {
    /// Extracts the lines with `targets` from the segments that a case froze, encrypted to `escrow`. With an
    /// `opener` also what the tokens in them stand for.
    ///
    /// Identifiers in clear can only be looked for with an `opener`: the node has no secret of a past epoch.
    ///
    /// # Errors
    /// No such hold; no recipients; an opener that does not open a vault.
    pub fn extract(
        &self,
        site: &mut Site,
        case: &str,
        targets: &Targets,
        opener: Option<&Opener>,
        escrow: &Escrow,
    ) -> Result<Extracted, Diagnostic> {
        let hold = self.found(case)?;
        if escrow.is_missing() {
            return Err(closed("there are no escrow recipients to whom it could be encrypted"));
        }
        if opener.is_none() && !targets.identifiers.is_empty() {
            return Err(closed(
                "an identifier in clear is looked for with `--identity` or `--key-file`, or by its tokens",
            ));
        }
        let mut collected = Collected::default();
        for tree in [&site.tree, &site.second_tree()] {
            for found in archive::list(&*site.storage, tree)? {
                if !found.part && hold.segments.contains(&found.name.to_string()) {
                    collect(site, &found, targets, opener, &mut collected)?;
                }
            }
        }
        let Extracted { lines, pairs } = collected.counted;
        let count = (targets.tokens.len() + targets.identifiers.len()) as u64;
        let entry = event::Extract { case: case.to_owned(), targets: count, lines, pairs };
        site.ledger.append(Event::HoldExtracted(entry))?;
        self.keep_extract(site, hold, &collected, escrow)?;
        Ok(collected.counted)
    }

    fn keep_extract(
        &self,
        site: &Site,
        mut hold: Hold,
        collected: &Collected,
        escrow: &Escrow,
    ) -> Result<(), Diagnostic> {
        hold.extracts += 1;
        let stem = format!("{}-{}", super::stem(&hold.case), hold.extracts);
        for (what, bytes) in [("lines", &collected.lines), ("pairs", &collected.pairs)] {
            let name = format!("{stem}.{what}.age");
            let encrypted = escrow.encrypted(bytes).map_err(io::Error::other);
            let written = encrypted.and_then(|encrypted| self.folder.write(&name, &encrypted));
            written.map_err(failed("write", &self.folder.path(&name)))?;
        }
        // From today on its segments go on their day.
        hold.frozen_until = hold.frozen_until.min(site.today());
        self.keep(&hold)
    }
}

fn collect(
    site: &Site,
    found: &Found,
    targets: &Targets,
    opener: Option<&Opener>,
    collected: &mut Collected,
) -> Result<(), Diagnostic> {
    let opened = opener.map(|opener| opened(site, &found.name, opener)).transpose()?.flatten();
    let in_clear = |identifier: &String| {
        opened.as_ref().map_or_else(Vec::new, |opened| opened.tokens_of_text(identifier))
    };
    let mut tokens: Vec<String> = targets.identifiers.iter().flat_map(in_clear).collect();
    tokens.extend(targets.tokens.iter().cloned());
    let segment = Segment::open(&*site.storage, &found.path)?;
    let mut kept = Zeroizing::new(Vec::new());
    for frame in 0..segment.footer().frames.len() {
        let lines = segment.lines(frame)?;
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if tokens.iter().any(|token| memmem::find(line, token.as_bytes()).is_some()) {
                kept.extend_from_slice(line);
                collected.counted.lines += 1;
            }
        }
    }
    if let Some(opened) = &opened {
        for original in &opened.originals {
            let mut tokens = opened.tokens_of_original(original).into_iter();
            if let Some(token) = tokens.find(|token| memmem::find(&kept, token.as_bytes()).is_some()) {
                collected.pair(&token, original);
            }
        }
    }
    collected.lines.extend_from_slice(&kept);
    Ok(())
}

/// The vault of a segment, opened; `None` if it has none.
fn opened(site: &Site, name: &SegmentName, opener: &Opener) -> Result<Option<Opened>, Diagnostic> {
    let path = site.tree.vault(name);
    if !site.storage.exists(&path).map_err(failed("look for", &path))? {
        return Ok(None);
    }
    let vault = Vault::open(&*site.storage, &path)?;
    let shred_key = site.shred.existing(name.folder.expires)?;
    let shred_key = shred_key.ok_or_else(|| closed("the shred key of its day was erased"))?;
    let wrap = vault.wrap(&shred_key)?;
    let secret = opener.secret(wrap.as_deref().map(Vec::as_slice))?;
    let mut kinds = Kinds::default();
    for kind in &vault.header().kinds {
        kinds.intern(kind);
    }
    // A tag does not depend on the day of its epoch, and the kid, which does, is that of the segment.
    let keys = EpochKeys::derive(&secret, Epoch::Fixed, &vault.header().tenant, &kinds);
    let originals = vault.originals(&secret, &shred_key)?;
    Ok(Some(Opened { keys, kid: name.kid, kinds, originals }))
}

impl Opened {
    /// The token of something, in each shape that a line of that segment may have it in.
    fn tokens_of(&self, kind: Kind, canonical: &[u8]) -> Vec<String> {
        let tag = self.keys.tag(kind, canonical);
        let (mut native, mut address) = (Vec::new(), Vec::new());
        token::write(self.kinds.name(kind), &self.kid, &tag, &mut native);
        match kind {
            Kind::IP => token::write_address(&tag, b"", false, &mut address),
            Kind::EM => token::write_mailbox(&tag, b"", &mut address),
            _ => {}
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        [native, address].into_iter().filter(|bytes| !bytes.is_empty()).map(text).collect()
    }

    fn tokens_of_original(&self, original: &Original) -> Vec<String> {
        let kind = self.kinds.find(&original.kind);
        kind.map_or_else(Vec::new, |kind| self.tokens_of(kind, &original.canonical))
    }

    fn tokens_of_text(&self, identifier: &str) -> Vec<String> {
        let typed = canonical::typed(identifier);
        typed.map_or_else(Vec::new, |typed| self.tokens_of(typed.kind, &typed.canonical))
    }
}

fn closed(why: &str) -> Diagnostic {
    Diagnostic::new(&CLOSED, "nothing can be extracted")
        .because(why)
        .hint("`oubliette explain H05` says what an extract needs")
}

/// A vault does not open, or nobody could open the extract.
pub(super) static CLOSED: Code = Code {
    id: "H05",
    title: "nothing can be extracted",
    text: "\
What it means
  An extract is encrypted to the escrow recipients, and what tokens stand for is found with an escrow
  identity and the shred key of the day. One of these is missing.

Why it matters
  The node alone cannot tell whose a token is, not even for a case: that takes two parties.

Example
  oubliette hold extract --case 2027/0815 --ip 203.0.113.7      without --identity

What to do
  Let the custodian run the command with `--identity FILE`, or with the `--key-file FILE` that the lines were
  filtered with, or ask for the tokens, which `oubliette token`
  gives for a day, and pass them with --token. Without recipients run `oubliette init` first.

References
  README.md, \"Holds\" and \"Keys and escrow\"",
};
