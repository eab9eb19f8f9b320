//! What a user may use.
//!
//! Two questions that are asked of every request: may this user use this model, and which of its
//! backends. Being an admin or tagged `unlimited` widens the second, never the first.

use crate::config::{AllowedModels, Model, User};
use crate::name::Tag;

/// The tag, and the id, that make a user an admin.
const ADMIN: &str = "admin";

/// The tag that opens every backend to a user.
const UNLIMITED: &str = "unlimited";

impl User {
    /// Whether the admin interface is open to this user: one tagged `admin`, or called so.
    pub fn is_admin(&self) -> bool {
        self.id.as_str() == ADMIN || self.has_tag(ADMIN)
    }

    /// Whether this user is tagged `tag`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.as_str() == tag)
    }

    /// Whether this user may use some models only, and is therefore not told which others exist.
    pub fn is_restricted(&self) -> bool {
        self.allowed_models != AllowedModels::All
    }

    /// Whether this user may use `model`, by whichever of its names it was asked for.
    pub fn may_use(&self, model: &Model) -> bool {
        match &self.allowed_models {
            AllowedModels::All => true,
            AllowedModels::Only(keys) => keys.contains(&model.key),
        }
    }

    /// Whether this user may use a backend with these tags.
    ///
    /// A backend without tags is for everybody. Another one is for users without tags, for admins,
    /// for those tagged `unlimited`, and for those who share a tag with it.
    pub fn may_use_backend(&self, tags: &[Tag]) -> bool {
        tags.is_empty()
            || self.tags.is_empty()
            || self.is_admin()
            || self.has_tag(UNLIMITED)
            || tags.iter().any(|tag| self.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenDigest;
    use crate::config::{Affinity, RateLimit};
    use crate::name::{ModelName, UserName};

    fn user(id: &str, tags: &[&str]) -> User {
        User {
            id: UserName::parse(id).unwrap(),
            name: id.into(),
            token: TokenDigest::of("token"),
            enabled: true,
            tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
            allowed_models: AllowedModels::All,
            allowed_ips: Vec::new(),
            expires_at: None,
            rate_limit: RateLimit::default(),
        }
    }

    fn model(key: &str, name: &str) -> Model {
        Model {
            key: ModelName::parse(key).unwrap(),
            name: ModelName::parse(name).unwrap(),
            enabled: true,
            strategy: "failover",
            affinity: Affinity::None,
            backends: Vec::new(),
        }
    }

    #[test]
    fn an_admin_is_tagged_or_called_admin() {
        assert!(user("admin", &[]).is_admin());
        assert!(user("alice", &["admin"]).is_admin());
        assert!(!user("alice", &["administrator"]).is_admin());
    }

    #[test]
    fn an_unrestricted_user_may_use_every_model() {
        assert!(user("alice", &[]).may_use(&model("gpt", "gpt-4o")));
    }

    #[test]
    fn a_restricted_user_may_use_the_allowed_models_only_even_as_an_admin() {
        let allowed = ModelName::parse("gpt").unwrap();
        let alice = User {
            allowed_models: AllowedModels::Only(vec![allowed]),
            ..user("alice", &["admin", "unlimited"])
        };

        assert!(alice.is_restricted());
        assert!(alice.may_use(&model("gpt", "gpt-4o")));
        assert!(!alice.may_use(&model("claude", "gpt")));
    }

    #[test]
    fn a_user_whose_list_matches_no_model_may_use_none() {
        let alice = User {
            allowed_models: AllowedModels::Only(Vec::new()),
            ..user("alice", &[])
        };

        assert!(!alice.may_use(&model("gpt", "gpt-4o")));
    }

    #[test]
    fn tags_narrow_the_backends_of_those_who_have_other_tags() {
        let cases: [(&[&str], &[&str], bool); 7] = [
            (&[], &[], true),
            (&[], &["premium"], true),
            (&["basic"], &[], true),
            (&["basic"], &["premium"], false),
            (&["basic", "premium"], &["premium", "eu"], true),
            (&["admin"], &["premium"], true),
            (&["unlimited"], &["premium"], true),
        ];
        for (own, backend, expected) in cases {
            let tags: Vec<_> = backend.iter().map(|tag| Tag::parse(tag).unwrap()).collect();

            let allowed = user("alice", own).may_use_backend(&tags);

            assert_eq!(allowed, expected, "user {own:?}, backend {backend:?}");
        }
    }
}
