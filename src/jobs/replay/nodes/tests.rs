//! Tests over lines of two nodes that a worker stored, in memory, and the vaults of these nodes.

use super::*;
use crate::archive::{Lines as Block, Origin, Packer, SegmentWriter, filter};
use crate::jobs::hold::{Extracted, Holds, Scope as HoldScope, Targets};
use crate::jobs::purge::Site;
use crate::jobs::replay::{Credentials, Obstacle, Obstacles, Reveal, Tenancy, Unsealed, spelling};
use crate::jobs::scene::{self, DAY, NEXT, WRITTEN, folder};
use crate::jobs::subject::erase;
use crate::keyring::{Escrow, Identities, StateDir};
use crate::model::{Expires, Kind, Kinds, NodeName, SegmentId, SegmentName, Tree};
use crate::primitives::hex;
use crate::primitives::secret::Secret;
use crate::primitives::storage::{Disk, Memory, Sequential};
use crate::pseudonym::epoch::{Epoch, EpochKeys, kid};
use crate::pseudonym::{Pseudonymised, Tokens};
use crate::shred::ShredStore;
use crate::vault::{self, VaultWriter};
use jiff::civil::date;
use std::io::Read as _;
use std::path::Path;
use tempfile::TempDir;

const EPOCH: Epoch = Epoch::From(date(2026, 11, 23));
const JEAN: &str = "203.0.113.7";
const ANNE: &str = "198.51.100.1";
const PAUL: &str = "192.0.2.1";

/// A node with its own secrets.
struct Node {
    name: &'static str,
    secret: Secret,
}

impl Node {
    const fn new(name: &'static str, secret: Secret) -> Self {
        Self { name, secret }
    }

    fn token(&self, address: &str) -> String {
        let keys = EpochKeys::derive(&self.secret, EPOCH, "default", &Kinds::default());
        let mut text = Vec::new();
        token::write("ip", &keys.kid(), &keys.tag(Kind::IP, &canonical(address)), &mut text);
        String::from_utf8(text).unwrap()
    }

    fn vaults(&self) -> PathBuf {
        PathBuf::from(format!("/vaults/{}", self.name))
    }

    fn shred_keys(&self) -> PathBuf {
        PathBuf::from(format!("/{}/shred", self.name))
    }
}

fn canonical(address: &str) -> Vec<u8> {
    crate::detect::canonical::address_bytes(address.parse().unwrap())
}

/// What a custodian has, and what the nodes and a worker wrote.
struct Fleet {
    site: Site,
    identity: PathBuf,
    other_identity: PathBuf,
    escrow: Escrow,
    state: TempDir,
    web1: Node,
    web2: Node,
}

impl Fleet {
    /// Creates a fleet: the lines of both nodes are in one segment, and their originals in a vault of each
    /// node.
    fn new() -> Self {
        Self::of(Secret::new([1; 32]), Secret::new([2; 32]))
    }

    fn of(first: Secret, second: Secret) -> Self {
        let state = tempfile::tempdir().unwrap();
        let own = StateDir::open(state.path()).unwrap();
        let identity = Escrow::make_identities(&own, 1).unwrap().remove(0);
        let other = StateDir::open(&state.path().join("other")).unwrap();
        let other_identity = Escrow::make_identities(&other, 1).unwrap().remove(0);
        let escrow = Escrow::load(&own).unwrap();
        let site = scene::site(&Memory::new(), WRITTEN).unwrap();
        let (web1, web2) = (Node::new("web1", first), Node::new("web2", second));
        let mut fleet = Self { site, identity, other_identity, escrow, state, web1, web2 };
        fleet.store(&[
            &format!("{} and {}", fleet.web1.token(JEAN), fleet.web1.token(PAUL)),
            &fleet.web2.token(ANNE),
        ]);
        fleet.keep(&fleet.web1, &folder(DAY, "connection"), &[JEAN, PAUL]);
        fleet.keep(&fleet.web2, &folder(DAY, "connection"), &[ANNE]);
        fleet
    }

    /// Returns a fleet whose nodes have different secrets with the same kid: in a large one, two nodes have
    /// that every day, because a kid has ten bits of a secret.
    fn of_twins() -> Self {
        let first = Secret::new([1; 32]);
        let twin = (0..=u16::MAX).map(|number| {
            let [high, low] = number.to_be_bytes();
            Secret::new(std::array::from_fn(|at| if at % 2 == 0 { high } else { low ^ 0x55 }))
        });
        let is_twin =
            |twin: &Secret| twin.expose() != first.expose() && kid(twin, EPOCH) == kid(&first, EPOCH);
        let twin = twin.into_iter().find(is_twin).unwrap();
        Self::of(first, twin)
    }

    /// Stores lines as a worker does: under [`SegmentName::MANY_EPOCHS`], without a vault.
    fn store(&mut self, lines: &[&str]) {
        self.store_as("logs.p0", SegmentName::MANY_EPOCHS, lines);
    }

    /// Stores lines in a segment of this node and kid.
    fn store_as(&mut self, node: &str, kid: [u8; KID_BYTES], lines: &[&str]) {
        let tag = "expires=2027-11-24 class=connection";
        let lines: Vec<_> = lines.iter().map(|line| format!("{line} {tag}")).collect();
        let mut keys: Vec<u64> = lines
            .iter()
            .flat_map(|line| token::all(line.as_bytes()).map(|tag| filter::key(&tag)).collect::<Vec<_>>())
            .collect();
        let origin = Origin {
            id: SegmentId([5; 16]),
            node: NodeName::new(node).unwrap(),
            folder: folder(DAY, "connection"),
            zone: "Europe/Paris".to_owned(),
            kid,
            policy: [3; 32],
            source_zone: None,
            networks_unknown: true,
        };
        let site = &mut self.site;
        let mut segment = SegmentWriter::begin(&site.storage, &site.tree, origin, &|_| Ok(true)).unwrap();
        let lines: Vec<_> = lines.iter().map(|line| (line.as_str(), 10)).collect();
        let block = Pseudonymised::of_lines(Expires::On(DAY), &lines);
        let mut packed = Block::default();
        packed.push(&block, 0..lines.len());
        segment.append(Packer::new(1).unwrap().pack(&packed, filter::build(&mut keys)).unwrap()).unwrap();
        segment.sync().unwrap();
        segment.seal(None, &mut site.ledger, WRITTEN.parse().unwrap()).unwrap();
    }

    /// Writes a vault of a node, under the node's own H, with S wrapped for the custodian.
    fn keep(&self, node: &Node, folder: &Folder, addresses: &[&str]) -> PathBuf {
        let storage = &self.site.storage;
        let shred = ShredStore::open(storage, &node.shred_keys()).unwrap();
        let shred_key = shred.key_for(folder.expires).unwrap().key;
        let (tree, kid) = (Tree::at(&node.vaults()), kid(&node.secret, EPOCH));
        let node_name = NodeName::new(node.name).unwrap();
        let mut name = SegmentName { folder: folder.clone(), node: node_name, kid, number: 1 };
        while storage.exists(&tree.vault(&name)).unwrap() {
            name.number += 1;
        }
        let kinds = ["ip"].map(str::to_owned);
        let wrap = self.escrow.wrapped(&node.secret).unwrap();
        let parameters = vault::VaultParameters {
            secret: &node.secret,
            wrap: &wrap,
            shred_key: &shred_key,
            begun: 0,
            tenant: "default",
            kinds: &kinds,
        };
        let id = SegmentId([node.name.as_bytes()[3] + name.number as u8; 16]);
        let mut vault = VaultWriter::begin(storage, &tree, &name, id, &parameters).unwrap();
        // One record per original, so that a search may end before the last.
        for address in addresses {
            let mut tokens = Tokens::default();
            let keys = EpochKeys::derive(&node.secret, EPOCH, "default", &Kinds::default());
            tokens.push(Kind::IP, keys.tag(Kind::IP, &canonical(address)), &canonical(address));
            vault.add(&[&tokens]).unwrap();
        }
        vault.sync().unwrap();
        tree.vault(&name)
    }

    /// Returns the name of the first segment of a node.
    fn segment_of(&self, node: &Node) -> SegmentName {
        let (folder, node_name) = (folder(DAY, "connection"), NodeName::new(node.name).unwrap());
        SegmentName { folder, node: node_name, kid: kid(&node.secret, EPOCH), number: 1 }
    }

    fn everywhere(&self) -> NodePlaces {
        NodePlaces {
            vaults: vec![PathBuf::from("/vaults")],
            shred_keys: vec![self.web1.shred_keys(), self.web2.shred_keys()],
        }
    }

    fn secrets(&self, places: NodePlaces, identity: Option<&Path>) -> Secrets {
        Secrets::new(&self.site, self.credentials(places, identity))
    }

    fn credentials(&self, places: NodePlaces, identity: Option<&Path>) -> Credentials {
        Credentials {
            identities: identity.map(|path| Identities::read(path).unwrap()),
            running: None,
            owns_key_file: false,
            state_dir: "/nowhere".into(),
            tenancy: Tenancy::everybody(),
            places,
        }
    }

    /// Returns the lines with originals put back, the segments of nodes that were opened for that, and what
    /// is not revealed.
    fn reveal(
        &self,
        tokens: &[String],
        scope: Scope,
        places: NodePlaces,
        identity: Option<&Path>,
    ) -> Result<(Vec<String>, Vec<String>, Obstacles), Diagnostic> {
        let mut selection = Selection::default();
        selection.add_tokens("--token", tokens).unwrap();
        let mut secrets = self.secrets(places, identity);
        let plan = Plan::new(&self.site, &selection, Unsealed::Read, &mut secrets)?;
        let reading = Reading::default();
        let mut reveal = Reveal::prepare(&plan, &selection, scope, &mut secrets, &reading)?;
        let mut lines = Lines::new(&*self.site.storage, &plan, &selection, &reading)?;
        let mut texts = Vec::new();
        while let Some(line) = lines.next()? {
            let mut text = Vec::new();
            reveal.put_back(&line, &mut text)?;
            let text = String::from_utf8(text).unwrap();
            texts.push(text.split(" expires=").next().unwrap().to_owned());
        }
        let in_clear: usize = texts.iter().map(|text| text.matches('.').count() / 3).sum();
        assert_eq!(reveal.revealed(), in_clear as u64);
        let withheld = reveal.withheld().clone();
        drop(reveal);
        Ok((texts, secrets.opened(), withheld))
    }

    /// Returns the code and the text of a refusal, which must name no token and no person.
    fn refused(&self, tokens: &[String], places: NodePlaces, identity: Option<&Path>) -> (String, String) {
        let refusal = self.reveal(tokens, Scope::Asked, places, identity).unwrap_err();
        let text = refusal.to_string();
        assert!(!text.contains("ip_") && !text.contains(JEAN) && !text.contains(ANNE), "{text}");
        (refusal.code.id.to_owned(), text)
    }
}

fn name(node: &Node, number: u64) -> String {
    let kid = String::from_utf8(kid(&node.secret, EPOCH).to_vec()).unwrap();
    format!("expires=2027-11-24/class=connection/{}-{kid}-{number}.log.zst", node.name)
}

#[test]
fn who_is_asked_for_comes_back_and_bystanders_stay_tokens() {
    let fleet = Fleet::new();
    let tokens = [fleet.web1.token(JEAN), fleet.web2.token(ANNE)];
    let (lines, opened, withheld) =
        fleet.reveal(&tokens, Scope::Asked, fleet.everywhere(), Some(&fleet.identity)).unwrap();
    assert!(withheld.is_empty());
    assert_eq!(lines, [format!("{JEAN} and {}", fleet.web1.token(PAUL)), ANNE.to_owned()]);
    assert_eq!(opened, [name(&fleet.web1, 1), name(&fleet.web2, 1)]);
}

#[test]
fn everybody_comes_back_if_everybody_is_asked_for() {
    let mut fleet = Fleet::new();
    // Two that are not tokens of nodes: a quarantined line, and an address that an operator keeps in clear.
    fleet.store(&["qr_2epqf00000000000000000000000000 fd00::1"]);
    let everybody = fleet.reveal(&[], Scope::Everybody, fleet.everywhere(), Some(&fleet.identity)).unwrap().0;
    let kept = "qr_2epqf00000000000000000000000000 fd00::1".to_owned();
    assert_eq!(everybody, [format!("{JEAN} and {PAUL}"), ANNE.to_owned(), kept]);
    let nobody = fleet.reveal(&[], Scope::Nobody, NodePlaces::default(), None).unwrap();
    assert_eq!((nobody.0.len(), nobody.1.len()), (3, 0));
}

#[test]
fn no_vault_is_opened_that_cannot_have_it() {
    let fleet = Fleet::new();
    let other_epoch = Node::new("web1", Secret::new([7; 32]));
    for decoy in [
        fleet.keep(&other_epoch, &folder(DAY, "connection"), &[JEAN]),
        fleet.keep(&fleet.web1, &folder(DAY, "mail"), &[JEAN]),
        fleet.keep(&fleet.web1, &folder(NEXT, "connection"), &[JEAN]),
    ] {
        // If the vault is opened anyway, it is reported as damaged.
        fleet.site.storage.edit(&decoy).unwrap().truncate(20).unwrap();
    }
    let asked = [fleet.web1.token(JEAN)];
    let opened = fleet.reveal(&asked, Scope::Asked, fleet.everywhere(), Some(&fleet.identity)).unwrap().1;
    assert_eq!(opened, [name(&fleet.web1, 1)]);
}

#[test]
fn no_more_is_opened_when_all_is_found() {
    // One seed for the whole fleet: the same address has the same token on every node.
    let fleet = Fleet::of(Secret::new([1; 32]), Secret::new([1; 32]));
    fleet.keep(&fleet.web2, &folder(DAY, "connection"), &[JEAN]);
    let asked = [fleet.web1.token(JEAN)];
    let opened = fleet.reveal(&asked, Scope::Asked, fleet.everywhere(), Some(&fleet.identity)).unwrap().1;
    assert_eq!(opened, [name(&fleet.web1, 1)]);
    // The H of one node that recorded her is enough.
    let of_web2 = NodePlaces { shred_keys: vec![fleet.web2.shred_keys()], ..fleet.everywhere() };
    let opened = fleet.reveal(&asked, Scope::Asked, of_web2, Some(&fleet.identity)).unwrap().1;
    assert_eq!(opened, [name(&fleet.web2, 1), name(&fleet.web2, 2)]);
}

#[test]
fn secrets_that_have_one_kid_are_told_apart() {
    let fleet = Fleet::of_twins();
    let tokens = [fleet.web1.token(JEAN), fleet.web2.token(ANNE)];
    let lines = fleet.reveal(&tokens, Scope::Asked, fleet.everywhere(), Some(&fleet.identity)).unwrap().0;
    assert_eq!(lines, [format!("{JEAN} and {}", fleet.web1.token(PAUL)), ANNE.to_owned()]);
}

#[test]
fn a_search_tells_secrets_apart_that_have_one_kid() {
    let mut fleet = Fleet::of_twins();
    let kid = kid(&fleet.web1.secret, EPOCH);
    let (jean, anne) = (fleet.web1.token(JEAN), fleet.web2.token(ANNE));
    fleet.store_as("web1", kid, &[&jean]);
    fleet.store_as("web2", kid, &[&anne]);
    // The state directory has the wrap of one of them.
    let state = StateDir::open(fleet.state.path()).unwrap();
    fleet.escrow.wrap(&state, EPOCH, &fleet.web1.secret).unwrap();
    let vaults = [&fleet.web1, &fleet.web2].map(|node| node.vaults().join("vault")).to_vec();
    let places = NodePlaces { vaults, ..fleet.everywhere() };
    for state_dir in [PathBuf::from("/nowhere"), fleet.state.path().to_owned()] {
        let credentials = fleet.credentials(places.clone(), Some(&fleet.identity));
        let mut secrets =
            Secrets::new(&fleet.site, Credentials { state_dir: state_dir.clone(), ..credentials });
        for node in [&fleet.web1, &fleet.web2, &fleet.web1] {
            let keys = secrets.keys_of(&fleet.segment_of(node)).unwrap();
            let tag = keys.tag(Kind::IP, &canonical(JEAN));
            assert_eq!(Some(TagKey::of(&tag)), spelling::only(&node.token(JEAN)), "{}", node.name);
        }
        assert_eq!(secrets.epochs(), 1);
    }
    let mut selection = Selection::default();
    selection.add_identifiers(Kind::IP, "--ip", &[JEAN.to_owned(), ANNE.to_owned()]).unwrap();
    let credentials = fleet.credentials(places.clone(), Some(&fleet.identity));
    let mut secrets =
        Secrets::new(&fleet.site, Credentials { state_dir: fleet.state.path().to_owned(), ..credentials });
    let plan = Plan::new(&fleet.site, &selection, Unsealed::Read, &mut secrets).unwrap();
    for (node, token) in [("web1", &jean), ("web2", &anne)] {
        let planned = plan.segments.iter().find(|segment| segment.name.node.as_str() == node).unwrap();
        assert!(planned.wanted.as_ref().unwrap().is_in(token.as_bytes()), "{node}");
    }
    // Without the shred key of a node nobody can tell.
    let credentials =
        fleet.credentials(NodePlaces { shred_keys: Vec::new(), ..places }, Some(&fleet.identity));
    let mut secrets =
        Secrets::new(&fleet.site, Credentials { state_dir: fleet.state.path().to_owned(), ..credentials });
    let keys = secrets.keys_of(&fleet.segment_of(&fleet.web2)).unwrap();
    assert_ne!(
        Some(TagKey::of(&keys.tag(Kind::IP, &canonical(ANNE)))),
        spelling::only(&anne),
        "docs/replay.md says so"
    );
}

#[test]
fn a_node_whose_wrap_is_lost_has_the_secret_of_its_fleet() {
    let fleet = Fleet::of(Secret::new([1; 32]), Secret::new([1; 32]));
    let vaults = [&fleet.web1, &fleet.web2].map(|node| node.vaults().join("vault")).to_vec();
    let places = NodePlaces { vaults, shred_keys: vec![fleet.web1.shred_keys()] };
    let mut secrets = fleet.secrets(places, Some(&fleet.identity));
    let [web1, web2] = [&fleet.web1, &fleet.web2].map(|node| fleet.segment_of(node));
    let lost = secrets.keys_of(&web2).unwrap_err();
    assert!(secrets.are_lost(&lost), "{lost}");
    for name in [&web1, &web2] {
        let tag = secrets.keys_of(name).unwrap().tag(Kind::IP, &canonical(JEAN));
        assert_eq!(Some(TagKey::of(&tag)), spelling::only(&fleet.web1.token(JEAN)));
    }
}

/// Digits behind a token in the shape of an address look like more of it.
#[test]
fn a_token_that_may_be_longer_comes_back_and_no_more_is_opened() {
    let fleet = Fleet::new();
    let keys = EpochKeys::derive(&fleet.web1.secret, EPOCH, "default", &Kinds::default());
    let spelt = |address: &str| {
        let mut text = Vec::new();
        token::write_address(&keys.tag(Kind::IP, &canonical(address)), b"", false, &mut text);
        String::from_utf8(text).unwrap()
    };
    let mut addresses = (0..=u8::MAX).map(|last| format!("203.0.113.{last}"));
    let address =
        addresses.find(|address| spelt(address).rsplit(':').next().is_some_and(|group| group.len() < 4));
    let address = address.unwrap();
    fleet.keep(&fleet.web1, &folder(NEXT, "connection"), &[JEAN]);
    let place = fleet.keep(&fleet.web1, &folder(DAY, "connection"), &[&address]);
    let line = format!("{}at once", spelt(&address));
    let mut tokens = NodeTokens::default();
    tokens.add(line.as_bytes(), Scope::Everybody, None, &mut Guess::new(None)).unwrap();
    let mut secrets = fleet.secrets(fleet.everywhere(), Some(&fleet.identity));
    let found = originals(tokens, Scope::Everybody, &mut secrets);
    assert!(found.missing.is_empty());
    let of = |found: &Found| found.originals.values().map(|one| one.canonical.to_vec()).collect::<Vec<_>>();
    assert_eq!(of(&found), [canonical(&address)]);
    // What is in the vaults of the other node has not been read.
    let opened = secrets.opened();
    assert!(opened.iter().all(|name| name.contains("/web1-")), "{opened:?} {place:?}");
}

/// Returns what is not revealed of two tokens that are asked for when one is; the message must name neither.
fn withheld(fleet: &Fleet, tokens: &[String], places: NodePlaces) -> Obstacle {
    let (lines, _, withheld) = fleet.reveal(tokens, Scope::Asked, places, Some(&fleet.identity)).unwrap();
    let in_clear = [JEAN, ANNE].map(|address| lines.iter().any(|line| line.contains(address)));
    assert_eq!((in_clear, withheld.count()), ([true, false], 1), "{lines:?}");
    let obstacle = withheld.first().unwrap().clone();
    assert!(!obstacle.why.contains("ip_") && !obstacle.why.contains(ANNE), "{obstacle:?}");
    assert!(obstacle.place.starts_with("expires=2027-11-24/class=connection, epoch "), "{obstacle:?}");
    obstacle
}

#[test]
fn what_opens_is_given_back_and_the_rest_is_named() {
    let fleet = Fleet::new();
    let (web1, web2) = (&fleet.web1, &fleet.web2);
    let tokens = [web1.token(JEAN), web2.token(ANNE)];
    let only_web1 = NodePlaces { shred_keys: vec![web1.shred_keys()], ..fleet.everywhere() };
    let Obstacle { code, why, .. } = withheld(&fleet, &tokens, only_web1);
    assert_eq!(code.id, "P14");
    assert!(why.contains("/vaults/web2/vault/") && !why.contains("/vaults/web1/"), "{why}");
    let no_vault = NodePlaces { vaults: vec![web1.vaults()], ..fleet.everywhere() };
    let Obstacle { code, why, .. } = withheld(&fleet, &tokens, no_vault);
    assert_eq!(code.id, "P15");
    assert!(why.starts_with("1 of expires=") && why.contains("no vault of that lies"), "{why}");
    // A vault that is damaged after its header.
    let vault = Tree::at(&web2.vaults()).vault(&fleet.segment_of(web2));
    fleet.site.storage.edit(&vault).unwrap().truncate(20).unwrap();
    let Obstacle { code, why, .. } = withheld(&fleet, &tokens, fleet.everywhere());
    assert!(code.id == "V02" && why.contains(&*vault.to_string_lossy()), "{why}");
}

#[test]
fn what_is_missing_is_named_before_anything_goes_out() {
    let fleet = Fleet::new();
    let tokens = [fleet.web1.token(JEAN), fleet.web2.token(ANNE)];
    let identity = Some(&*fleet.identity);
    let (code, text) =
        fleet.refused(&tokens, NodePlaces { shred_keys: vec![], ..fleet.everywhere() }, identity);
    assert!(code == "P14" && text.contains("--shred-keys"), "{text}");
    let (code, text) = fleet.refused(&tokens, fleet.everywhere(), None);
    assert!(code == "P12" && text.contains("--identity"), "{text}");
    let (code, _) = fleet.refused(&tokens, fleet.everywhere(), Some(&fleet.other_identity));
    assert_eq!(code, "P13");
    let no_vault = NodePlaces { vaults: vec!["/nowhere".into()], ..fleet.everywhere() };
    let (code, text) = fleet.refused(&tokens, no_vault, identity);
    assert!(code == "P15" && text.contains("1 of expires=2027-11-24/class=connection, epoch "), "{text}");
}

#[test]
fn a_token_that_no_vault_has_is_refused() {
    let mut fleet = Fleet::new();
    let stranger = fleet.web1.token("192.0.2.99");
    fleet.store(&[&stranger]);
    let (code, text) = fleet.refused(&[stranger], fleet.everywhere(), Some(&fleet.identity));
    assert!(code == "P15" && text.contains("in none of 1 vaults"), "{text}");
}

#[test]
fn a_damaged_vault_is_named_where_it_is_needed() {
    let mut fleet = Fleet::new();
    let (anne, paul) = (fleet.web2.token(ANNE), fleet.web2.token(PAUL));
    fleet.store(&[&paul]);
    let vault = fleet.keep(&fleet.web2, &folder(DAY, "connection"), &[PAUL]);
    let mut file = fleet.site.storage.edit(&vault).unwrap();
    file.truncate(file.length().unwrap() - 1).unwrap();
    assert!(fleet.reveal(&[anne], Scope::Asked, fleet.everywhere(), Some(&fleet.identity)).is_ok());
    let (code, text) = fleet.refused(&[paul], fleet.everywhere(), Some(&fleet.identity));
    assert!(code == "V02" && text.contains(&*vault.to_string_lossy()), "{text}");
}

#[test]
fn trees_are_found_up_to_two_levels_below_a_place() {
    let fleet = Fleet::new();
    let storage = &fleet.site.storage;
    let sought = OriginalPlace { folder: None, kid: None };
    for (place, found) in
        [("/vaults", 2), ("/vaults/web1", 1), ("/vaults/web1/vault", 1), ("/", 0), ("/no", 0)]
    {
        let mut listing = Listing::new(&**storage, vec![place.into()]);
        assert_eq!(listing.of(&sought).0.len(), found, "{place}");
    }
}

#[test]
fn a_place_that_cannot_be_listed_hides_no_other_one() {
    let directory = tempfile::tempdir().unwrap();
    let (no_directory, tree) = (directory.path().join("web1"), directory.path().join("web2"));
    let name = SegmentName {
        folder: folder(DAY, "connection"),
        node: NodeName::new("web2").unwrap(),
        kid: *b"2epqf",
        number: 1,
    };
    let vault = Tree::at(&tree).vault(&name);
    std::fs::create_dir_all(vault.parent().unwrap()).unwrap();
    std::fs::write(&vault, "").unwrap();
    std::fs::write(&no_directory, "").unwrap();
    let mut listing = Listing::new(&Disk, vec![no_directory.clone(), tree]);
    for _ in 0..2 {
        let (vaults, obstacles) = listing.of(&OriginalPlace { folder: None, kid: None });
        assert_eq!(vaults.iter().map(|vault| &vault.name).collect::<Vec<_>>(), [&name]);
        let [obstacle] = &obstacles[..] else { panic!("{obstacles:?}") };
        assert_eq!((obstacle.code.id, obstacle.place.as_deref()), ("P15", no_directory.to_str()));
    }
}

/// Puts a hold over what the worker stored, and returns the outcome of an extract of these tokens, with the
/// pairs in the order of their tokens.
fn extracted(
    fleet: &mut Fleet,
    tokens: &[String],
    places: NodePlaces,
) -> Result<(Extracted, Vec<String>), Diagnostic> {
    let holds = Holds::open(&fleet.site.storage, Path::new("/state/holds")).unwrap();
    let tokens = tokens.iter().map(|token| spelling::only(token).unwrap()).collect();
    let (until, targets) = (date(2028, 1, 31), Targets { tokens, identifiers: Vec::new() });
    holds.add(&mut fleet.site, "a", until, &HoldScope::default()).unwrap();
    let mut secrets = fleet.secrets(places, Some(&fleet.identity));
    let extracted = holds.extract(&mut fleet.site, "a", &targets, &mut secrets, &fleet.escrow)?;
    let hold = holds.list().unwrap().remove(0);
    let opened = |path: &Path, with: &str| {
        let identity: age::x25519::Identity = with.lines().last().unwrap().parse().unwrap();
        let mut bytes = Vec::new();
        Sequential::open(&*fleet.site.storage, path).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8(age::decrypt(&identity, &bytes).unwrap()).unwrap()
    };
    let custodian = std::fs::read_to_string(&fleet.identity).unwrap();
    let key = opened(&holds.key(&hold).unwrap(), &custodian);
    let files = holds.extracts(&hold.case).unwrap();
    let pairs = files.iter().find(|path| path.to_string_lossy().contains(".pairs.")).unwrap();
    let mut pairs: Vec<String> = opened(pairs, &key).lines().map(ToOwned::to_owned).collect();
    pairs.sort();
    Ok((extracted, pairs))
}

fn pair(node: &Node, address: &str) -> String {
    let canonical = hex::encode(&canonical(address));
    format!(r#"{{"canonical":"{canonical}","kind":"ip","token":"{}"}}"#, node.token(address))
}

#[test]
fn a_pair_has_the_token_without_the_text_before_it() {
    let mut fleet = Fleet::new();
    let other = "192.0.2.77";
    let token = fleet.web1.token(other);
    fleet.keep(&fleet.web1, &folder(DAY, "connection"), &[other]);
    fleet.store(&[&format!("from node{token}")]);
    let (places, asked) = (fleet.everywhere(), [token]);
    let (_, pairs) = extracted(&mut fleet, &asked, places).unwrap();
    assert_eq!(pairs, [pair(&fleet.web1, other)]);
}

#[test]
fn an_extract_has_the_pairs_of_the_nodes_and_ends_the_freeze() {
    let mut fleet = Fleet::new();
    let (tokens, places) = ([fleet.web1.token(JEAN), fleet.web2.token(ANNE)], fleet.everywhere());
    let (extracted, pairs) = extracted(&mut fleet, &tokens, places).unwrap();
    assert_eq!((extracted.lines, extracted.pairs, extracted.lacks().len()), (2, 3, 0));
    let (web1, web2) = (&fleet.web1, &fleet.web2);
    let mut expected = vec![pair(web1, JEAN), pair(web1, PAUL), pair(web2, ANNE)];
    expected.sort();
    assert_eq!(pairs, expected);
}

#[test]
fn an_extract_without_the_pairs_of_a_node_says_so_and_its_segments_stay_frozen() {
    let mut fleet = Fleet::new();
    let (tokens, places) = ([fleet.web1.token(JEAN), fleet.web2.token(ANNE)], fleet.everywhere());
    let only_web1 = NodePlaces { shred_keys: vec![fleet.web1.shred_keys()], ..places };
    let (extracted, pairs) = extracted(&mut fleet, &tokens, only_web1).unwrap();
    assert_eq!((extracted.lines, pairs.len()), (2, 2));
    let [lack] = &extracted.lacks()[..] else { panic!("{extracted:?}") };
    let told = lack.to_string();
    assert!(told.contains("--shred-keys") && told.contains("/vaults/web2/vault/"), "{told}");
    assert!(!told.contains("ip_") && !told.contains(ANNE), "{told}");
    let holds = Holds::open(&fleet.site.storage, Path::new("/state/holds")).unwrap();
    assert!(holds.list().unwrap()[0].freezes(date(2026, 11, 24)));
}

/// Returns what an erasure of these tokens reports about the vaults of nodes.
fn erased(fleet: &mut Fleet, tokens: &[String], places: NodePlaces, identity: bool) -> (u64, Holders) {
    let mut selection = Selection::default();
    selection.add_tokens("--token", tokens).unwrap();
    fleet.site.classes = vec![scene::class("connection", false)];
    let identity = identity.then(|| fleet.identity.clone());
    let mut secrets = fleet.secrets(places, identity.as_deref());
    let plan = erase::plan(&mut fleet.site, &selection, &mut secrets).unwrap();
    let erased = erase::erase(&mut fleet.site, "DSR-1", &plan, &mut secrets, &|_| {}).unwrap();
    (erased.lines(), erased.elsewhere)
}

#[test]
fn an_erasure_names_the_vaults_of_nodes_that_it_does_not_reach() {
    let vault = |fleet: &Fleet, node: &Node| Tree::at(&node.vaults()).vault(&fleet.segment_of(node));
    let both = |fleet: &Fleet| [fleet.web1.token(JEAN), fleet.web2.token(ANNE)];
    let mut fleet = Fleet::new();
    let (tokens, places) = (both(&fleet), fleet.everywhere());
    let (lines, elsewhere) = erased(&mut fleet, &tokens, places, true);
    let vaults = BTreeSet::from([vault(&fleet, &fleet.web1), vault(&fleet, &fleet.web2)]);
    let nodes = ["web1", "web2"].map(|name| NodeName::new(name).unwrap()).into();
    assert_eq!((lines, elsewhere), (2, Holders { vaults, nodes, unseen: BTreeMap::new() }));
    // The nodes have erased her already: one has other people in that vault, the other had nobody else.
    let mut fleet = Fleet::new();
    for node in [&fleet.web1, &fleet.web2] {
        fleet.site.storage.unlink(&vault(&fleet, node)).unwrap();
        fleet.keep(node, &folder(DAY, "connection"), &[PAUL]);
    }
    let (tokens, places) = (both(&fleet), fleet.everywhere());
    let (lines, elsewhere) = erased(&mut fleet, &tokens, places, true);
    assert!(lines == 2 && elsewhere.is_empty() && elsewhere.nodes.len() == 2, "{elsewhere:?}");
    // Places that nobody could search are reported with the reason and without a token.
    for (without, why) in
        [("identity", "identity"), ("keys", "this is not the node"), ("vaults", "no vault of that lies")]
    {
        let mut fleet = Fleet::new();
        let (tokens, mut places) = (both(&fleet), fleet.everywhere());
        match without {
            "keys" => places.shred_keys.clear(),
            "vaults" => places.vaults.clear(),
            _ => {}
        }
        let (lines, elsewhere) = erased(&mut fleet, &tokens, places, without != "identity");
        assert_eq!((lines, elsewhere.vaults.len(), elsewhere.unseen.len()), (2, 0, 2), "{without}");
        for (place, told) in &elsewhere.unseen {
            assert!(place.starts_with("expires=2027-11-24/class=connection, epoch "), "{place}");
            assert!(told.contains(why) && !told.contains("ip_"), "{told}");
        }
    }
}
