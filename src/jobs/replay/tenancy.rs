//! Decides which lines are searched in an archive with lines of several tenants.
//!
//! A vault names the tenant whose tokens it holds, and a segment has one vault, so its lines belong to that
//! tenant. A segment without a vault names no tenant. Then only a token made with the tenant's own keys
//! proves that a line is the tenant's, and only searches for identifiers in clear look for such tokens.

/// The tenant of a search, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The name of the tenant. Its keys are used to search for identifiers in clear where no vault names
    /// another tenant.
    pub tenant: String,
    /// Who named the tenant.
    pub named: Named,
}

/// Who named a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nobody: everybody's lines are searched.
    Nowhere,
    /// The configuration. Lines of other tenants are left out; segments that name no tenant were written by
    /// this node, so they belong to this tenant.
    InConfiguration,
    /// Whoever asks. Lines that are not proven to be the tenant's are left out.
    InQuestion,
}

/// By what lines are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// By identifiers in clear alone: any line found has a token of the tenant.
    ByIdentifiers,
    /// By tokens, which may be anybody's, or by conditions that do not name a person.
    Otherwise,
}

/// Whether a segment is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is searched.
    Searched,
    /// It belongs to another tenant.
    OfAnother,
    /// Its tenant is unknown.
    Unknown,
}

impl Tenancy {
    /// Returns the tenancy that covers everybody's lines.
    #[cfg(test)]
    pub(in crate::jobs) fn everybody() -> Self {
        Self { tenant: DEFAULT_TENANT.to_owned(), named: Named::Nowhere }
    }

    /// Returns the only tenant whose lines are searched, if one was named.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        (self.named != Named::Nowhere).then_some(&*self.tenant)
    }

    /// Returns whether a segment is searched; `owner` is the tenant that its vault names, if it has a vault.
    #[must_use]
    pub fn share(&self, owner: Option<&str>, sought: Sought) -> Share {
        match (self.named, owner) {
            (Named::Nowhere, _) | (Named::InConfiguration, None) => Share::Searched,
            (_, Some(owner)) if owner == self.tenant => Share::Searched,
            (_, Some(_)) => Share::OfAnother,
            (Named::InQuestion, None) if sought == Sought::ByIdentifiers => Share::Searched,
            (Named::InQuestion, None) => Share::Unknown,
        }
    }
}

/// The tenant of all tokens if none is named.
pub const DEFAULT_TENANT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_named_a_tenant_decides_what_becomes_of_others() {
        use Share::{OfAnother, Searched, Unknown};
        for (named, owner, sought, share) in [
            (Named::Nowhere, Some("other"), Sought::Otherwise, Searched),
            (Named::Nowhere, None, Sought::Otherwise, Searched),
            (Named::InConfiguration, Some("acme"), Sought::Otherwise, Searched),
            (Named::InConfiguration, Some("other"), Sought::Otherwise, OfAnother),
            (Named::InConfiguration, None, Sought::Otherwise, Searched),
            (Named::InQuestion, Some("acme"), Sought::Otherwise, Searched),
            (Named::InQuestion, Some("other"), Sought::ByIdentifiers, OfAnother),
            (Named::InQuestion, None, Sought::ByIdentifiers, Searched),
            (Named::InQuestion, None, Sought::Otherwise, Unknown),
        ] {
            let tenancy = Tenancy { tenant: "acme".to_owned(), named };
            assert_eq!(tenancy.share(owner, sought), share, "{named:?} {owner:?} {sought:?}");
        }
    }
}
