//! Resolves `[users.<id>]`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use toml::Spanned;

use super::Resolver;
use super::secret::Role;
use crate::auth::TokenDigest;
use crate::config::diagnostic::Diagnostic;
use crate::config::file::{ModelFile, RateLimitFile, UserFile};
use crate::config::provider::Provider;
use crate::config::reader::Field;
use crate::config::suggest;
use crate::config::table::{Entry, Named};
use crate::config::user::{AllowedModels, RateLimit, User};
use crate::name::{ModelName, UserName};
use crate::secret::Secret;

/// A token shorter than this, in characters, could be found by trying.
const SHORTEST_GOOD_TOKEN: usize = 16;

/// A token of fewer different characters is a pattern.
const FEWEST_GOOD_CHARACTERS: usize = 6;

/// Returns why a token could be found by trying, if it could, as in "the token is shorter than …".
pub fn weakness(token: &str) -> Option<String> {
    let characters: BTreeSet<u8> = token.bytes().collect();
    if token.len() < SHORTEST_GOOD_TOKEN {
        Some(format!("is shorter than {SHORTEST_GOOD_TOKEN} characters"))
    } else if characters.len() < FEWEST_GOOD_CHARACTERS {
        Some(format!("is made of {} characters only", characters.len()))
    } else if is_counting(token) {
        Some("is a sequence that anybody would try".to_owned())
    } else {
        None
    }
}

impl Resolver<'_> {
    /// Resolves every user.
    pub(super) fn users(
        &mut self,
        table: &Field<Named<UserFile>>,
        models: &Field<Named<ModelFile>>,
        providers: &[Arc<Provider>],
    ) -> Vec<Arc<User>> {
        let entries = table.value().map_or(&[][..], |table| &table.0);
        if entries.is_empty() && !table.is_refused() {
            self.findings.push(
                Diagnostic::warning("no users are configured: every request is refused")
                    .help("add a table `[users.<id>]` with a `token`"),
            );
        }
        let models = Called::of(models.value().map_or(&[][..], |table| &table.0));
        let with_keys = providers.iter().filter(|each| !each.api_key.is_empty());
        let keys: HashMap<TokenDigest, &Provider> = with_keys
            .map(|provider| (TokenDigest::of(provider.api_key.expose()), &**provider))
            .collect();
        let mut owners: HashMap<TokenDigest, &str> = HashMap::new();
        let mut users = Vec::new();
        for Entry { key, value } in entries {
            let Some(file) = value.as_ref().map(Spanned::get_ref) else {
                continue;
            };
            let Some(user) = self.user(key, file, &models) else {
                continue;
            };
            let span = file.token.span().or(file.token_sha256.span());
            let span = span.unwrap_or(key.span());
            if let Some(provider) = keys.get(&user.token) {
                let message = format!(
                    "the token of user `{}` is the key of provider `{}`",
                    key.get_ref(),
                    provider.id
                );
                let help = "give the user another, such as `berry-cli generate-token` prints: with the \
                            key a client can do without the gateway and its limits";
                self.findings
                    .push(Diagnostic::warning(message).at(span.clone()).help(help));
            }
            if let Some(owner) = owners.insert(user.token, key.get_ref()) {
                let message = format!(
                    "users `{owner}` and `{}` have the same token",
                    key.get_ref()
                );
                self.error(span, message);
            }
            users.push(Arc::new(user));
        }
        users
    }

    /// Resolves one user.
    fn user(
        &mut self,
        key: &Spanned<String>,
        file: &UserFile,
        models: &Called<'_>,
    ) -> Option<User> {
        let id = self.name("a user's id", key, UserName::parse);
        let token = self.token(key, file);
        let allowed_models = self.allowed_models(key.get_ref(), file, models);
        let rate_limit = self.rate_limit(&file.rate_limit);
        Some(User {
            id: id?,
            name: file.name.value().unwrap_or(key.get_ref()).as_str().into(),
            token: token?,
            enabled: file.enabled.or(true),
            tags: file.tags.or(Vec::new()),
            allowed_models,
            allowed_ips: file.allowed_ips.or(Vec::new()),
            expires_at: file.expires_at.value().copied(),
            rate_limit,
        })
    }

    /// Resolves the token, of which only the digest is kept.
    fn token(&mut self, key: &Spanned<String>, file: &UserFile) -> Option<TokenDigest> {
        let id = key.get_ref();
        let role = Role {
            noun: "token",
            owner: &format!("user `{id}`"),
            is_needed: file.enabled.or(true),
        };
        match (&file.token, &file.token_sha256) {
            (Field::Absent, Field::Absent) => {
                let finding = Diagnostic::error(format!("user `{id}` has no `token`"))
                    .at(key.span())
                    .help("write a `token`, or its digest as `token_sha256`");
                self.findings.push(finding);
                None
            }
            (Field::Given(_), Field::Given(digest)) => {
                let message = format!("user `{id}` has both `token` and `token_sha256`");
                self.error(digest.span(), message);
                None
            }
            (Field::Given(token), Field::Absent) => {
                let Some(value) = self.secret(role, token) else {
                    // Nobody is let in by the token of a disabled user, whatever it is.
                    return (!role.is_needed).then(|| TokenDigest::of(token.get_ref().expose()));
                };
                self.check_token(role, token, &value)
                    .then(|| TokenDigest::of(value.expose()))
            }
            (Field::Absent, Field::Given(hex)) => {
                let digest = TokenDigest::from_hex(hex.get_ref().expose());
                if digest.is_none() {
                    let finding = Diagnostic::error(format!(
                        "`token_sha256` of user `{id}` is not 64 hexadecimal digits"
                    ));
                    let help = "print it with `printf %s TOKEN | sha256sum`";
                    self.findings.push(finding.at(hex.span()).help(help));
                }
                digest
            }
            (Field::Refused, _) | (_, Field::Refused) => None,
        }
    }

    /// Refuses a token that no request could carry, and warns about one that could be guessed.
    fn check_token(&mut self, role: Role<'_>, written: &Spanned<Secret>, token: &Secret) -> bool {
        let text = token.expose();
        if text.is_empty() {
            self.error(written.span(), format!("{role} is empty"));
            return false;
        }
        if !self.is_sendable(role, written, token) {
            return false;
        }
        let help = "write its digest as `token_sha256`, as `berry-cli hash-token` prints it";
        if !self.is_open(role, written, token, help) {
            return false;
        }
        if !self.warn_if_unreal(role, written, token) {
            self.warn_if_weak(role, written, text);
        }
        true
    }

    /// Warns about a token that could be found by trying.
    fn warn_if_weak(&mut self, role: Role<'_>, written: &Spanned<Secret>, text: &str) {
        if let Some(weakness) = weakness(text) {
            let message = format!("{role} {weakness}");
            let help = "use a long random one, such as `berry-cli generate-token` prints";
            self.findings
                .push(Diagnostic::warning(message).at(written.span()).help(help));
        }
    }

    /// Resolves the names of models to their keys.
    fn allowed_models(&mut self, id: &str, file: &UserFile, models: &Called<'_>) -> AllowedModels {
        let Some(names) = file
            .allowed_models
            .value()
            .filter(|names| !names.is_empty())
        else {
            return AllowedModels::All;
        };
        let mut keys = Vec::new();
        for name in names {
            let text = name.get_ref();
            let called = models.0.get(text.as_str());
            if called.is_none() {
                let message = format!("user `{id}` is allowed `{text}`, which is not a model");
                let help = if ["*", "all"].contains(&text.as_str()) {
                    Some("without `allowed_models` the user may use all".to_owned())
                } else {
                    suggest::help(text, models.0.keys().copied())
                };
                self.findings
                    .push(Diagnostic::warning(message).at(name.span()).help_if(help));
            }
            let called = called.into_iter().flatten();
            keys.extend(called.filter_map(|key| ModelName::parse(key).ok()));
        }
        AllowedModels::Only(keys)
    }

    /// Resolves the limits, of which a longer time's must not be the smaller.
    fn rate_limit(&mut self, table: &Field<RateLimitFile>) -> RateLimit {
        let Some(file) = table.value() else {
            return RateLimit::default();
        };
        let windows = [
            ("requests_per_minute", &file.requests_per_minute),
            ("requests_per_hour", &file.requests_per_hour),
            ("requests_per_day", &file.requests_per_day),
        ];
        let mut shorter: Option<(&str, NonZeroU32)> = None;
        for (name, field) in windows {
            let Field::Given(limit) = field else { continue };
            let value = *limit.get_ref();
            if let Some((before, least)) = shorter
                && value < least
            {
                let message = format!("`{name}` {value} is less than `{before}` {least}");
                self.error(limit.span(), message);
            }
            shorter = Some((name, value));
        }
        RateLimit {
            requests_per_minute: file.requests_per_minute.value().copied(),
            requests_per_hour: file.requests_per_hour.value().copied(),
            requests_per_day: file.requests_per_day.value().copied(),
            tokens_per_minute: file.tokens_per_minute.value().copied(),
            max_concurrent_requests: file.max_concurrent_requests.value().copied(),
        }
    }
}

/// Whether each character is the one that follows the character before it, 0 following 9.
fn is_counting(text: &str) -> bool {
    let follows = |pair: &[u8]| matches!(pair, [a, b] if *b == a + 1 || (*a, *b) == (b'9', b'0'));
    text.as_bytes().windows(2).all(follows)
}

/// The keys of the models that are called so, by key or public name.
struct Called<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Called<'a> {
    fn of(models: &'a [Entry<ModelFile>]) -> Self {
        let mut called: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for model in models {
            let key = model.key.get_ref().as_str();
            for name in names_of(model) {
                let keys = called.entry(name).or_default();
                if keys.last() != Some(&key) {
                    keys.push(key);
                }
            }
        }
        Self(called)
    }
}

/// Returns the key and the public name of a model.
fn names_of(model: &Entry<ModelFile>) -> impl Iterator<Item = &str> + Clone {
    let public = model
        .value
        .as_ref()
        .and_then(|file| file.get_ref().name.value());
    std::iter::once(model.key.get_ref().as_str()).chain(public.map(ModelName::as_str))
}
