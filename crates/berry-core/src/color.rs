//! Whether what is printed has colours in it, by the conventions of <https://no-color.org> and
//! <https://bixense.com/clicolors>.

/// Returns whether to write colours to a stream, which is a terminal or not. A wish in the environment
/// wins: `NO_COLOR` against all, `CLICOLOR_FORCE` also for pipes, `CLICOLOR=0` against.
pub fn is_wanted(is_terminal: bool, environment: &dyn Fn(&str) -> Option<String>) -> bool {
    let said = |name: &str| environment(name).filter(|value| !value.is_empty());
    if said("NO_COLOR").is_some() {
        return false;
    }
    if said("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let is_plain =
        said("CLICOLOR").as_deref() == Some("0") || said("TERM").as_deref() == Some("dumb");
    is_terminal && !is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_in_the_environment_wins() {
        for (variables, on_terminal, in_pipe) in [
            (&[][..], true, false),
            (&[("NO_COLOR", "1")], false, false),
            (&[("NO_COLOR", "")], true, false),
            (&[("CLICOLOR", "0")], false, false),
            (&[("CLICOLOR", "1")], true, false),
            (&[("CLICOLOR_FORCE", "1")], true, true),
            (&[("CLICOLOR_FORCE", "0")], true, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
            (&[("TERM", "dumb")], false, false),
        ] {
            let environment = |name: &str| {
                let mut variables = variables.iter();
                let found = variables.find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = [true, false].map(|terminal| is_wanted(terminal, &environment));
            assert_eq!(found, [on_terminal, in_pipe], "{variables:?}");
        }
    }
}
