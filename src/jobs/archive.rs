//! Opens the archive of a filter before the first line is read, and refuses then whatever must be refused.

use super::filter::Ready;
use crate::archive::Recovered;
use crate::keyring::{Escrow as Recipients, KeyError};
use crate::model::{ClassName, NodeName, Sealer, ShredKeys, Tree};
use crate::pipeline::archiver::{ArchiveParts, Archiver, Escrow, OpenSegments, Options, Wrap};
use crate::pipeline::{Descriptor, Output};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Patient, Storage};
use std::path::PathBuf;
use std::sync::Arc;

/// What an archive needs besides the plan of its filter.
pub struct Plan {
    /// The storage of all files, which does not wait for room by itself.
    pub storage: Arc<dyn Storage>,
    /// The archive and its vaults.
    pub tree: Tree,
    /// The name of this node.
    pub node: NodeName,
    /// How the archive is written.
    pub options: Options,
    /// Whether originals are dropped, which nobody can undo.
    pub anonymised: bool,
    /// Seals segments.
    pub sealer: Box<dyn Sealer>,
    /// Keeps shred keys.
    pub shred_keys: Box<dyn ShredKeys>,
    /// An output that also gets the lines.
    pub tee: Option<Output<Descriptor>>,
}

/// Opens the archive for the lines of a filter, and seals what a crash left. Returns what was sealed.
///
/// # Errors
/// If nobody could open what is archived, or something that a crash left cannot be sealed.
pub fn open(ready: &Ready, plan: Plan) -> Result<(Archiver, Vec<Recovered>), Diagnostic> {
    let filter = ready.plan();
    let shared = &filter.recognition.shared;
    let policy = filter.recognition.stamper.policy();
    let patience = &filter.patience;
    let mut parts = ArchiveParts {
        storage: Arc::new(Patient::new(Arc::clone(&plan.storage), Arc::clone(patience))),
        tree: plan.tree,
        node: plan.node,
        zone: filter.recognition.zone.clone(),
        source_zone: filter.recognition.dates.source_zone().clone(),
        policy: filter.recognition.policy_digest,
        tenant: filter.tenant.clone(),
        kinds: Arc::clone(&shared.kinds),
        escrow: escrow(ready, plan.anonymised)?,
        foreign_tokens: shared.trust_upstream,
        sealer: plan.sealer,
        shred_keys: plan.shred_keys,
        certain: filter.recognition.stamper.certain(),
    };
    let mut classes: Vec<_> = policy.classes().iter().map(|class| class.name.clone()).collect();
    classes.extend(ClassName::new(ClassName::UPSTREAM));
    // Repeated as a whole, so that a purge, which makes room, finds no part locked meanwhile.
    let directory = parts.tree.archive.clone();
    let recovered =
        patience.attempt_if_full(&directory, || parts.recover(&plan.storage, filter.clock.now()))?;
    let segments = OpenSegments::of_recovered(parts);
    let archiver = Archiver::new(segments, classes, plan.options, filter.clock, plan.tee)?;
    Ok((archiver, recovered))
}

/// Decides what becomes of originals, before anything is written.
fn escrow(ready: &Ready, anonymised: bool) -> Result<Escrow, Diagnostic> {
    let recipients = ready.recipients()?;
    refuse_escrow(recipients.as_ref().map(|recipients| !recipients.is_missing()), anonymised)?;
    Ok(match recipients {
        _ if anonymised => Escrow::None,
        None => Escrow::KeyFile,
        Some(recipients) => Escrow::Wrap(Box::new(recipients)),
    })
}

/// Refuses an archive that nobody could open, or that its owner takes for anonymised although it is not.
/// `wrapped` says whether secrets are wrapped to anybody; `None` with a key file.
///
/// # Errors
/// A03, A04.
pub fn refuse_escrow(wrapped: Option<bool>, anonymised: bool) -> Result<(), Diagnostic> {
    match (wrapped, anonymised) {
        (Some(true), true) => {
            Err(Diagnostic::new(&ANONYMISED, "escrow is switched off, and there are escrow recipients")
                .because(
                    "recipients can open the epoch secrets, and so find the originals that the archive drops",
                )
                .hint("remove `escrow = \"none\"`, or the recipients from escrow/recipients.txt"))
        }
        (Some(false), false) => {
            Err(Diagnostic::new(&NOBODY_OPENS, "nobody could find the originals of the archived tokens")
                .because("there are no escrow recipients, and the epoch secret is erased when its epoch ends")
                .hint("`oubliette init` makes two; or say that you want anonymisation: `--escrow none`"))
        }
        _ => Ok(()),
    }
}

impl Wrap for Recipients {
    fn wrap(&self, secret: &Secret) -> Result<Vec<u8>, Diagnostic> {
        self.wrapped(secret)
            .map_err(|reason| KeyError::Age { action: "wrap", path: PathBuf::from("vault"), reason }.into())
    }
}

/// A03: no escrow.
pub static NOBODY_OPENS: Code = Code {
    id: "A03",
    title: "nobody could open what is archived",
    text: "\
What it means
  You asked for an archive, but there is no escrow recipient to wrap the epoch secret to.

Why it matters
  oubliette erases the secret when the epoch ends. Without a wrap, nobody could answer a lawful
  request for the lines of that day, not even a judge's.

Example
  oubliette filter --archive /srv/log       on a node where `oubliette init` was never run

What to do
  1. Run `oubliette init`. If you have recipients already, name them:
     `oubliette init --recipient age1...`
  2. Move the two identities that it made off the machine.

  If nobody is ever to open the archive, say so with `--escrow none`, or `escrow = \"none\"` in the
  configuration. Then oubliette keeps no originals. That is anonymisation, and nobody can undo it.

References
  GDPR 4(5), recital 26; LCEN art. 6 V.",
};

/// A04: escrow is switched off although there are recipients.
pub static ANONYMISED: Code = Code {
    id: "A04",
    title: "escrow is switched off, and there are recipients",
    text: "\
What it means
  `escrow = \"none\"` says that oubliette keeps no originals. But escrow/recipients.txt names
  recipients, to whom it wraps every epoch secret.

Why it matters
  Anybody who has an epoch secret can try all addresses. You would call the data anonymised, while
  it is only pseudonymised.

Example
  oubliette filter --archive /srv/log --escrow none       after `oubliette init`

What to do
  - To anonymise: remove the recipients, and the wraps of the epochs that nobody is to open.
  - To pseudonymise: leave `--escrow none` out.

References
  GDPR recital 26; Article 29 Working Party, Opinion 05/2014 on anonymisation techniques.",
};
