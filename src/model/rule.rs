//! Which rule made a finding.

/// Index of a rule in the table of rule names that `detect` keeps: built-in detectors first, then
/// the rules of the rule files in load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);
