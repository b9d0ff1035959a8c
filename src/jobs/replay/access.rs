//! Who asks for originals, for what, and why. All of it must be stated before originals are revealed, and is
//! recorded in the ledger before anything is opened, whether the access is then granted or refused.

use super::codes::{BAD_QUESTION, NO_GRANT};
use super::reveal::Scope;
use super::selection::Selection;
use crate::detect::{Detector, Options, Scratch};
use crate::jobs::purge::Site;
use crate::ledger::LedgerError;
use crate::ledger::event::{self, AccessDone, Event};
use crate::model::{ClassName, Findings, Record, RetentionClass};
use crate::primitives::diag::{Code, Diagnostic};
use jiff::{Timestamp, ToSpan as _};
use std::fmt;

/// The legal basis of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    kind: Kind,
    /// The case of article 60-1-2 that a requisition states: 1 to 4.
    traffic_case: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A requisition under the Code de procedure penale: 60-1 (flagrance), 77-1-1 (preliminary inquiry), 99-3
    /// (examining magistrate).
    Requisition(&'static str),
    /// A European order, a data subject's request, or the operator's own purpose.
    Other(&'static str),
    /// A right of a data subject other than access, or a duty to her. The command for it implies this basis;
    /// no other command accepts it.
    Subject(&'static str),
}

impl Basis {
    /// A person obtains a copy of her data (GDPR, article 15).
    pub const ACCESS: Self = Self { kind: Kind::Other("GDPR-15"), traffic_case: None };
    /// The operator's own purpose.
    pub const INTERNAL: Self = Self { kind: Kind::Other("internal"), traffic_case: None };
    /// A person has her data erased (GDPR, article 17).
    pub const ERASURE: Self = Self { kind: Kind::Subject("GDPR-17"), traffic_case: None };
    /// A person has her data restricted (GDPR, article 18).
    pub const RESTRICTION: Self = Self { kind: Kind::Subject("GDPR-18"), traffic_case: None };
    /// The people affected by a breach are counted, for the authority and for themselves (GDPR, article 33).
    pub const BREACH: Self = Self { kind: Kind::Subject("GDPR-33"), traffic_case: None };

    /// The legal bases that can be typed.
    const FORMS: &str = "60-1, 77-1-1 or 99-3, each with /1 to /4 for data of article 60-1-2; EPOC, EPOC-PR, GDPR-15, internal";

    /// Parses `60-1`, `60-1/3`, `EPOC`, ...
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, traffic_case) = match text.split_once('/') {
            Some((name, number)) => {
                let number: u8 = number.parse().ok()?;
                (name, Some(number).filter(|number| (1..=4).contains(number)))
            }
            None => (text, None),
        };
        if text.contains('/') && traffic_case.is_none() {
            return None;
        }
        let requisition = ["60-1", "77-1-1", "99-3"].into_iter().find(|known| *known == name);
        let other = ["EPOC", "EPOC-PR", "GDPR-15", "internal"].into_iter().find(|known| *known == name);
        let kind = match (requisition, other) {
            (Some(name), _) => Kind::Requisition(name),
            (None, Some(name)) if traffic_case.is_none() => Kind::Other(name),
            _ => return None,
        };
        Some(Self { kind, traffic_case })
    }

    /// Parses the basis that an operator typed.
    ///
    /// # Errors
    /// [`NO_GRANT`] if there is no such basis.
    pub fn typed(text: &str) -> Result<Self, Diagnostic> {
        Self::parse(text).ok_or_else(|| {
            Diagnostic::new(&NO_GRANT, "there is no such legal basis")
                .because(format!("it is one of: {}", Self::FORMS))
                .hint("`oubliette explain P11` says what they are")
        })
    }

    /// Parses the basis typed for a command that implies a basis of its `own`, which may also be typed.
    ///
    /// # Errors
    /// [`NO_GRANT`] if there is no such basis.
    pub fn typed_for(text: &str, own: Self) -> Result<Self, Diagnostic> {
        if text == own.to_string() {
            return Ok(own);
        }
        Self::typed(text).map_err(|refusal| {
            refusal.because(format!("it is one of: {own}, which is the default; {}", Self::FORMS))
        })
    }

    /// Returns whether this is a requisition without a case of article 60-1-2, which it must state if it asks
    /// for traffic data.
    fn lacks_traffic_case(self) -> bool {
        matches!(self.kind, Kind::Requisition(_)) && self.traffic_case.is_none()
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Kind::Requisition(name) | Kind::Other(name) | Kind::Subject(name)) = self.kind;
        match self.traffic_case {
            Some(number) => write!(f, "{name}/{number}"),
            None => f.write_str(name),
        }
    }
}

/// Who asks, and why.
#[derive(Clone, Debug, Default)]
pub struct Purpose {
    /// The person who runs the command.
    pub operator: Option<String>,
    /// The reference of the authority's case or of the request.
    pub case: Option<String>,
    /// The legal basis.
    pub basis: Option<Basis>,
    /// The start of the period, as stated.
    pub from: Option<Timestamp>,
    /// The end of the period, as stated.
    pub to: Option<Timestamp>,
    /// The tenant that the access is limited to, if one was named.
    pub tenant: Option<String>,
}

impl Purpose {
    /// Checks that the period does not end before it begins.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] if it does.
    pub fn demand_a_period(&self) -> Result<(), Diagnostic> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if to < from => {
                Err(Diagnostic::new(&BAD_QUESTION, "the period ends before it begins")
                    .because(format!("it is from {from} to {to}"))
                    .hint("state `--from` and `--to` the other way round"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the period of a question without an answer has begun: a mistyped year finds nothing, and
    /// somebody might believe that result. One day is allowed for clocks that are fast and zones that are
    /// ahead. An archive with lines of the future, which a wrong clock leaves, still answers.
    ///
    /// # Errors
    /// [`BAD_QUESTION`] if the period has not begun.
    pub fn demand_a_past(&self, now: Timestamp) -> Result<(), Diagnostic> {
        match self.from {
            Some(from) if from > now.saturating_add(24.hours()).unwrap_or(Timestamp::MAX) => {
                Err(Diagnostic::new(&BAD_QUESTION, "the period is in the future")
                    .because(format!("it is from {from} on, it is {now}, and the archive has nothing of it"))
                    .hint("correct the day of `--from`; if it is right, the clock of this machine"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that everything is stated that must be before originals are revealed or lines handed over.
    ///
    /// # Errors
    /// [`NO_GRANT`], naming what is missing.
    pub fn demand(
        &self,
        grant: Grant,
        selection: &Selection,
        scope: Scope,
        classes: &[RetentionClass],
    ) -> Result<(), Diagnostic> {
        let refusal = |why: &str, hint: &str| refusal(grant.refused(), why, hint);
        if scope == Scope::Asked && !selection.names_somebody() {
            return Err(refusal(
                "you asked for nobody, so there is nothing to reveal",
                "name somebody with `--ip`, `--email` or `--token`, or ask for everybody's: `--reveal-all`",
            ));
        }
        let missing = [
            ("a case", "--case REF", self.case.as_deref().is_none_or(|case| case.trim().is_empty())),
            ("a legal basis", "--basis TEXT", self.basis.is_none()),
            ("the beginning of the period", "--from", self.from.is_none()),
            ("the end of the period", "--to", self.to.is_none()),
        ];
        if let Some((what, option, _)) = missing.into_iter().find(|(.., missing)| *missing) {
            return Err(refusal(&format!("{what} is missing"), &format!("state it with `{option}`")));
        }
        let traffic =
            |class: &&RetentionClass| selection.takes_class(&class.name) && holds_traffic_data(class);
        if let Some(class) = classes.iter().find(traffic)
            && self.basis.is_some_and(Basis::lacks_traffic_case)
        {
            let what = format!("class {} holds data of article 60-1-2, and its case is missing", class.name);
            return Err(refusal(
                &what,
                "state the case that the requisition names, for example `--basis 60-1/3`",
            ));
        }
        Ok(())
    }

    /// Checks that what the ledger will record of this purpose names nobody.
    ///
    /// # Errors
    /// [`NO_GRANT`] if the case or the operator contains an address.
    pub fn demand_nobody_named(&self) -> Result<(), Diagnostic> {
        let why = "it has an identifier in it";
        if self.case.as_deref().is_some_and(names_somebody) {
            let hint = "the ledger keeps the case for ever: use a reference";
            return Err(refusal("the case is no reference", why, hint));
        }
        if self.operator.as_deref().is_some_and(names_somebody) {
            let hint =
                "the ledger keeps `--operator` for ever: give a name or a number of staff, and no address";
            return Err(refusal("the ledger must not hold such a name of the operator", why, hint));
        }
        Ok(())
    }
}

/// Returns whether `text` contains an address.
fn names_somebody(text: &str) -> bool {
    let detector = Detector::new(Options { keep: Vec::new(), ..Options::default() });
    let mut findings = Findings::default();
    let record = Record::raw(text.as_bytes());
    detector.find_alone(text.as_bytes(), &record, &mut Scratch::default(), &mut findings);
    !findings.items.is_empty()
}

/// Returns whether a class holds the data that article 60-1-2 is about.
///
/// These are technical and traffic data of L. 34-1 CPCE, which LCEN art. 6 V and decree 2021-1362 oblige a
/// provider to keep. The legal basis of a class in the policy says so.
fn holds_traffic_data(class: &RetentionClass) -> bool {
    ["2021-1362", "34-1"].iter().any(|text| class.basis.contains(text))
}

/// What is granted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Originals in place of their tokens.
    Originals,
    /// A bundle for an authority, with or without originals.
    Bundle,
}

impl Grant {
    const fn refused(self) -> &'static str {
        match self {
            Self::Originals => "originals are not given back",
            Self::Bundle => "no bundle is made",
        }
    }
}

fn refusal(what: &str, why: &str, hint: &str) -> Diagnostic {
    Diagnostic::new(&NO_GRANT, what).because(why).hint(hint)
}

/// An access to be recorded in the ledger.
#[derive(Clone, Debug)]
pub struct Access {
    about: event::Access,
    /// The number of the ledger entry that announces the access.
    entry: Option<u64>,
    /// Whether the access is recorded whatever it asks for.
    always: bool,
}

impl Access {
    /// Creates an access by `command` that asks for this number of identifiers in clear and of tokens.
    #[must_use]
    pub fn new(command: &str, purpose: &Purpose, scope: Scope, identifiers: usize, tokens: usize) -> Self {
        let nameless = |text: &Option<String>| text.clone().filter(|text| !names_somebody(text));
        let about = event::Access {
            command: command.to_owned(),
            operator: nameless(&purpose.operator),
            case: nameless(&purpose.case),
            basis: purpose.basis.map(|basis| basis.to_string()),
            from: purpose.from,
            to: purpose.to,
            classes: Vec::new(),
            tenant: nameless(&purpose.tenant),
            identifiers: identifiers as u64,
            tokens: tokens as u64,
            reveal: scope.name().to_owned(),
        };
        Self { about, entry: None, always: false }
    }

    /// Records that the access is limited to these classes. They must be known classes: any other text might
    /// be somebody's name.
    pub(super) fn of_classes(&mut self, classes: &[ClassName]) {
        self.about.classes = classes.iter().map(ToString::to_string).collect();
    }

    /// Makes the ledger record this access even if it names nobody in clear and reveals nothing. This is for
    /// answers to an authority or a person, and for telling whom a breach affects.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { always: true, ..self }
    }

    /// Returns whether the ledger records the access: it asks for somebody in clear or for originals, or it
    /// is always recorded.
    #[must_use]
    fn is_kept(&self) -> bool {
        self.always || self.about.identifiers > 0 || self.about.reveal != Scope::Nobody.name()
    }

    /// Announces the access in the ledger, durably. To be called before anything is opened.
    ///
    /// # Errors
    /// If the ledger cannot be written: then nothing may be opened.
    pub fn begin(&mut self, site: &mut Site) -> Result<(), Diagnostic> {
        if self.is_kept() {
            self.entry = Some(site.ledger.append(Event::Access(self.about.clone()))?);
        }
        Ok(())
    }

    /// Records that the access was refused. Nothing went out.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn refuse(&self, site: &mut Site, refusal: &Diagnostic) -> Result<(), Diagnostic> {
        if self.is_kept() {
            let (access, code) = (self.about.clone(), refusal.code.id.to_owned());
            match site.ledger.append(Event::AccessRefused { access, code }) {
                // The ledger had failed before, and the refusal says so.
                Ok(_) | Err(LedgerError::Poisoned { .. }) => {}
                Err(unkept) => return Err(unkept.into()),
            }
        }
        Ok(())
    }

    /// Records that the access ended early with the error `code`: it was announced, and then something
    /// failed, or the answer did not reach whoever asked.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn broke_off(&self, site: &mut Site, code: &Code) -> Result<(), Diagnostic> {
        self.done(site, AccessDone { code: Some(code.id.to_owned()), ..AccessDone::default() })
    }

    /// Records the outcome of the access.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn done(&self, site: &mut Site, done: AccessDone) -> Result<(), Diagnostic> {
        if let Some(entry) = self.entry {
            site.ledger.append(Event::AccessDone(AccessDone { entry, ..done }))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases() {
        for text in ["60-1", "77-1-1/1", "99-3/4", "EPOC", "EPOC-PR", "GDPR-15", "internal"] {
            assert_eq!(Basis::parse(text).unwrap().to_string(), text);
        }
        for basis in [Basis::ERASURE, Basis::RESTRICTION, Basis::BREACH] {
            assert_eq!(Basis::parse(&basis.to_string()), None, "only its command takes it");
            assert_eq!(Basis::typed_for(&basis.to_string(), basis).unwrap(), basis);
        }
        assert_eq!(Basis::typed_for("EPOC", Basis::ERASURE).unwrap().to_string(), "EPOC");
        let refused = Basis::typed_for("GDPR-18", Basis::ERASURE).unwrap_err().to_string();
        assert!(refused.contains("GDPR-17, which is the default; 60-1"), "{refused}");
        assert_eq!(Basis::parse("GDPR-15"), Some(Basis::ACCESS));
        for text in ["", "60-1/0", "60-1/5", "60-1/", "60-1/x", "EPOC/1", "epoc", "60-1-2", "because"] {
            assert_eq!(Basis::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_case_and_an_operator_name_nobody() {
        let of = |case: &str| Purpose { case: Some(case.to_owned()), ..Purpose::default() };
        assert!(of("PV 2026/0815-3").demand_nobody_named().is_ok());
        for case in ["Durand 203.0.113.7", "jean@example.org"] {
            let refused = of(case).demand_nobody_named().unwrap_err();
            assert!(!refused.to_string().contains(case));
            assert_eq!(Access::new("replay", &of(case), Scope::Asked, 1, 0).about.case, None);
        }
        let by = |operator: &str| Purpose { operator: Some(operator.to_owned()), ..Purpose::default() };
        assert!(by("M. Martin").demand_nobody_named().is_ok());
        for operator in ["M. Martin for 203.0.113.7", "jean@example.org"] {
            let refused = by(operator).demand_nobody_named().unwrap_err();
            assert!(refused.to_string().contains("operator") && !refused.to_string().contains(operator));
            assert_eq!(Access::new("replay", &by(operator), Scope::Asked, 1, 0).about.operator, None);
        }
    }
}
