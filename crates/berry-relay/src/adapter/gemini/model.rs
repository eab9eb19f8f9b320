//! What a model's name tells of how it is to be asked.

/// The generations that differ in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// Up to 2.5: thinking has a budget in tokens; signatures of thoughts are not demanded.
    Budgets,
    /// From 3 on: thinking has levels; a function call without a signature is refused.
    Levels,
}

impl Generation {
    /// Reads a model's name. One that says no number (`gemini-flash-latest`) is of today's.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let number = name.strip_prefix("gemini-").unwrap_or_default();
        if number.starts_with(['1', '2']) {
            Self::Budgets
        } else {
            Self::Levels
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_read_from_the_name() {
        for (model, expected) in [
            ("gemini-1.5-pro", Generation::Budgets),
            ("models/gemini-2.5-flash", Generation::Budgets),
            ("gemini-2.0-flash-lite", Generation::Budgets),
            ("gemini-3-pro-preview", Generation::Levels),
            ("gemini-3.1-flash", Generation::Levels),
            ("gemini-flash-latest", Generation::Levels),
        ] {
            assert_eq!(Generation::of(model), expected, "{model}");
        }
    }
}
