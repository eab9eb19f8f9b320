//! What a model's name tells of how it is to be asked.

/// The generations that differ in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// Up to 2.5: thinking has a budget in tokens; signatures of thoughts are not demanded.
    Budgets {
        /// The least budget.
        least: u32,
    },
    /// From 3 on: thinking has levels; a function call without a signature is refused.
    Levels {
        /// The least level.
        least: &'static str,
    },
}

/// What the names begin with of models that have the level `MINIMAL`; all others refuse it, the
/// latest of the Flash line among them.
const MINIMAL: &[&str] = &["gemini-3-flash", "gemini-3.1-flash", "gemini-3.5-flash"];

impl Generation {
    /// Reads a model's name. One that says no number (`gemini-flash-latest`) is of today's.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let number = name.strip_prefix("gemini-").unwrap_or_default();
        if number.starts_with(['1', '2']) {
            // This one cannot be kept from thinking.
            let least = if number.starts_with("2.5-pro") {
                128
            } else {
                0
            };
            return Self::Budgets { least };
        }
        let has_minimal = MINIMAL.iter().any(|begin| name.starts_with(begin));
        let least = if has_minimal { "MINIMAL" } else { "LOW" };
        Self::Levels { least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_read_from_the_name() {
        let budgets = |least| Generation::Budgets { least };
        let levels = |least| Generation::Levels { least };
        for (model, expected) in [
            ("gemini-1.5-pro", budgets(0)),
            ("models/gemini-2.5-flash", budgets(0)),
            ("gemini-2.5-pro", budgets(128)),
            ("gemini-2.0-flash-lite", budgets(0)),
            ("gemini-3-pro-preview", levels("LOW")),
            ("gemini-3-flash-preview", levels("MINIMAL")),
            ("gemini-3.1-flash-lite", levels("MINIMAL")),
            ("gemini-3.1-pro-preview", levels("LOW")),
            ("google/gemini-3.5-flash-lite", levels("MINIMAL")),
            ("gemini-3.8-flash", levels("LOW")),
            ("gemini-flash-latest", levels("LOW")),
        ] {
            assert_eq!(Generation::of(model), expected, "{model}");
        }
    }
}
