//! Resolves `[providers.<id>]`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use toml::Spanned;

use super::secret::Role;
use super::{Resolver, unavailable};
use crate::config::diagnostic::Diagnostic;
use crate::config::file::ProviderFile;
use crate::config::provider::{HttpVersion, Provider, ResponseTimeout};
use crate::config::reader::Field;
use crate::config::sealed::{self, MasterKey, SealError};
use crate::config::settings::Settings;
use crate::config::table::{Entry, Named};
use crate::config::vocabulary;
use crate::name::ProviderName;
use crate::secret::Secret;

/// The protocol of a provider that does not say which.
const DEFAULT_PROTOCOL: &str = "openai";

/// The protocol that [`DEFAULT_PROTOCOL`] means at a host with [`AZURE_HOST`] at its end.
const AZURE_PROTOCOL: &str = "azure";

/// The end of the names of Azure's hosts.
const AZURE_HOST: &str = ".openai.azure.com";

/// No provider on the internet gives out keys that are shorter than this.
const SHORTEST_REAL_KEY: usize = 12;

/// Headers that are the connection's own, and would break it if they were configured.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Every provider that the file names; those with errors in them are known by name only.
pub(super) struct Providers<'a> {
    /// What the ids of the file stand for.
    by_id: BTreeMap<&'a str, Option<Arc<Provider>>>,
    /// Whether there are others, in what was not understood.
    is_refused: bool,
    /// In file order.
    resolved: Vec<Arc<Provider>>,
}

/// What an id stands for.
pub(super) enum Found<'a> {
    /// A provider.
    Valid(&'a Arc<Provider>),
    /// A provider with errors, which were reported.
    Faulty,
    /// No provider of the file.
    Nothing,
}

impl<'a> Providers<'a> {
    /// Returns what an id stands for.
    pub(super) fn find(&self, id: &str) -> Found<'_> {
        match self.by_id.get(id) {
            Some(Some(provider)) => Found::Valid(provider),
            Some(None) => Found::Faulty,
            None if self.is_refused => Found::Faulty,
            None => Found::Nothing,
        }
    }

    /// Returns the ids of the file.
    pub(super) fn ids(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.by_id.keys().copied()
    }

    /// Returns the providers without errors, in file order.
    pub(super) fn into_resolved(self) -> Vec<Arc<Provider>> {
        self.resolved
    }
}

impl Resolver<'_> {
    /// Resolves every provider.
    pub(super) fn providers<'f>(
        &mut self,
        table: &'f Field<Named<ProviderFile>>,
        settings: &Settings,
    ) -> Providers<'f> {
        let mut providers = Providers {
            by_id: BTreeMap::new(),
            is_refused: table.is_refused(),
            resolved: Vec::new(),
        };
        for Entry { key, value } in table.value().map_or(&[][..], |table| &table.0) {
            let provider = value
                .as_ref()
                .and_then(|file| self.provider(key, file.get_ref(), settings))
                .map(Arc::new);
            providers.resolved.extend(provider.clone());
            providers.by_id.insert(key.get_ref(), provider);
        }
        providers
    }

    /// Resolves one provider.
    fn provider(
        &mut self,
        key: &Spanned<String>,
        file: &ProviderFile,
        settings: &Settings,
    ) -> Option<Provider> {
        let enabled = file.enabled.or(true);
        let id = self.name("a provider's id", key, ProviderName::parse);
        let headers = self.headers(key.get_ref(), &file.headers, enabled);
        let api_key = self.api_key(key.get_ref(), file, enabled);
        let protocol = self.protocol(file);
        self.check_http_version(key.get_ref(), file);
        if enabled {
            self.check_ca_file(key.get_ref(), file);
        }
        if file.base_url.is_absent() {
            let finding =
                Diagnostic::error(format!("provider `{}` has no `base_url`", key.get_ref()))
                    .at(key.span())
                    .help("write where it is, such as `base_url = \"https://api.openai.com/v1\"`");
            self.findings.push(finding);
        }
        let address = file.base_url.given()?;
        let base_url = address.get_ref().clone();
        let protocol = protocol.map(|protocol| self.refined(protocol, address, enabled));
        let lacks_key = api_key.as_ref().is_some_and(Secret::is_empty);
        if enabled && lacks_key && !has_credential(&headers) {
            self.warn_without_key(key, file, &base_url);
        }
        let timeout = file.timeout_seconds.value();
        Some(Provider {
            id: id?,
            name: file.name.value().unwrap_or(key.get_ref()).as_str().into(),
            enabled,
            protocol: protocol?,
            base_url,
            api_key: api_key?,
            models: file
                .models
                .value()
                .into_iter()
                .flatten()
                .map(|name| name.as_str().into())
                .collect(),
            headers,
            response_timeout: timeout.map_or(settings.response_timeout, |&time| {
                ResponseTimeout::of_both(time, "providers.*.timeout_seconds")
            }),
            max_retries: file.max_retries.or(settings.max_retries),
            max_concurrent_requests: file.max_concurrent_requests.or(None),
            http_version: file.http_version.or(HttpVersion::default()),
            ca_file: file.ca_file.or(None),
            proxy: file.proxy_url.value().cloned().unwrap_or_default(),
        })
    }

    /// Resolves the name of the protocol; `None` when it was reported.
    fn protocol(&mut self, file: &ProviderFile) -> Option<&'static str> {
        match &file.backend_type {
            Field::Absent => Some(DEFAULT_PROTOCOL),
            Field::Refused => None,
            Field::Given(name) => self.term("protocol", self.vocabulary.protocols, name),
        }
    }

    /// Returns the protocol that is spoken at this address when the file says `protocol`: Azure's
    /// hosts need another address and header, and a file may call them `openai` all the same.
    /// Reports an enabled provider there while Azure's protocol is not available.
    fn refined(
        &mut self,
        protocol: &'static str,
        address: &Spanned<http::Uri>,
        enabled: bool,
    ) -> &'static str {
        let is_azure = protocol == DEFAULT_PROTOCOL && is_at_azure(address.get_ref());
        let azure = vocabulary::find(self.vocabulary.protocols, AZURE_PROTOCOL);
        let Some(azure) = azure.filter(|_| is_azure) else {
            return protocol;
        };
        if enabled && !azure.available {
            let help = format!("it is what hosts ending in `{AZURE_HOST}` speak");
            let finding = unavailable("protocol", azure).at(address.span());
            self.findings.push(finding.help(help));
        }
        azure.name
    }

    /// Refuses HTTP/2 without TLS where there is TLS.
    fn check_http_version(&mut self, id: &str, file: &ProviderFile) {
        let is_https = file.base_url.value().is_some_and(is_https);
        if let Field::Given(version) = &file.http_version
            && *version.get_ref() == HttpVersion::H2c
            && is_https
        {
            let message =
                format!("provider `{id}` is called over https, where `h2c` is not spoken");
            let help = "with `auto`, HTTP/2 is used wherever TLS negotiates it";
            self.findings
                .push(Diagnostic::error(message).at(version.span()).help(help));
        }
    }

    /// Refuses a file of certificates that is not there to be read.
    fn check_ca_file(&mut self, id: &str, file: &ProviderFile) {
        let Some(written) = file.ca_file.given() else {
            return;
        };
        if let Some(path) = written.get_ref()
            && let Some(obstacle) = obstacle(path)
        {
            let message = format!("the `ca_file` of provider `{id}` cannot be read: {obstacle}");
            let help = path
                .is_relative()
                .then(|| "a relative path begins at the working directory".to_owned());
            self.findings
                .push(Diagnostic::error(message).at(written.span()).help_if(help));
        }
    }

    /// Warns that requests go out without a credential, where that is probably a mistake.
    fn warn_without_key(&mut self, key: &Spanned<String>, file: &ProviderFile, url: &http::Uri) {
        if !is_https(url) {
            return;
        }
        let span = file.api_key.span().unwrap_or(key.span());
        let id = key.get_ref();
        self.warning(
            span,
            format!("provider `{id}` has no `api_key`: it is called without one"),
        );
    }

    /// Resolves the key; `None` when it was reported. The key of a disabled provider is not checked.
    fn api_key(&mut self, id: &str, file: &ProviderFile, enabled: bool) -> Option<Secret> {
        let written = match &file.api_key {
            Field::Absent => return Some(Secret::default()),
            Field::Refused => return None,
            Field::Given(written) => written,
        };
        let role = Role {
            noun: "key",
            owner: &format!("provider `{id}`"),
            is_needed: enabled,
        };
        let key = self.secret(role, written);
        if !enabled {
            return Some(key.unwrap_or_default());
        }
        let key = self.opened(id, written, key?)?;
        if !self.is_sendable(role, written, &key) {
            return None;
        }
        let is_asked_afar = file.base_url.value().is_some_and(is_https);
        if !self.warn_if_unreal(role, written, &key) && is_asked_afar {
            self.warn_if_short(role, written, &key);
        }
        Some(key)
    }

    /// Decrypts a key that is encrypted; `None` when it was reported.
    fn opened(&mut self, id: &str, written: &Spanned<Secret>, key: Secret) -> Option<Secret> {
        if !sealed::is_sealed(key.expose()) {
            if !sealed::is_marked(key.expose()) {
                return Some(key);
            }
            let message = format!("the key of provider `{id}` is encrypted in an unknown format");
            let help = "the one format is `enc:v1:…`, as `berry-cli encrypt-key` prints it";
            self.findings
                .push(Diagnostic::error(message).at(written.span()).help(help));
            return None;
        }
        let master = MasterKey::find(self.environment);
        let exposure = master.as_ref().ok().and_then(MasterKey::exposure);
        if let Some(exposure) = exposure
            && !self.findings.iter().any(|known| *known == exposure)
        {
            self.findings.push(exposure);
        }
        let opened = master.and_then(|master| master.open(id, key.expose()));
        opened
            .map_err(|why| {
                let message = format!("the key of provider `{id}` cannot be decrypted: {why}");
                let finding = Diagnostic::error(message).at(written.span());
                self.findings.push(match why {
                    SealError::OtherKey { .. } => finding.help(
                        "give the gateway that master key; or encrypt the file with the new one: \
                         `berry-cli encrypt-key --in-place --old-master-key-file <FILE>`",
                    ),
                    SealError::Damaged => {
                        finding.help("encrypt it anew with `berry-cli encrypt-key`")
                    }
                    _ => finding,
                });
            })
            .ok()
    }

    /// Warns about a key that is hardly one: `test` is enough for a server of one's own, and for no other.
    fn warn_if_short(&mut self, role: Role<'_>, written: &Spanned<Secret>, key: &Secret) {
        let length = key.expose().len();
        if (1..SHORTEST_REAL_KEY).contains(&length) {
            let message = format!("{role} is shorter than keys are");
            let help = "write the key that the provider has given you, or `${NAME}` for a variable's value";
            self.findings
                .push(Diagnostic::warning(message).at(written.span()).help(help));
        }
    }

    /// Resolves the headers; every value is marked as sensitive, since any may be a credential.
    fn headers(&mut self, id: &str, table: &Field<Named<Secret>>, enabled: bool) -> HeaderMap {
        let owner = format!("provider `{id}`");
        let mut headers = HeaderMap::new();
        for Entry { key, value } in table.value().map_or(&[][..], |table| &table.0) {
            let Ok(name) = HeaderName::from_bytes(key.get_ref().as_bytes()) else {
                let message = format!("`{}` cannot be the name of a header", key.get_ref());
                self.error(key.span(), message);
                continue;
            };
            if FRAMING.contains(&name) {
                let message = format!("the header `{name}` belongs to the connection");
                let help = "remove it; it is set for every request as it has to be";
                self.findings
                    .push(Diagnostic::error(message).at(key.span()).help(help));
                continue;
            }
            let Some(written) = value else { continue };
            let role = Role {
                noun: &format!("header `{name}`"),
                owner: &owner,
                is_needed: enabled,
            };
            let Some(value) = self.secret(role, written) else {
                continue;
            };
            let help = "take it from an environment variable: `${NAME}`";
            if !self.is_open(role, written, &value, help) {
                continue;
            }
            self.warn_if_literal(role, written, &value);
            let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                let message = format!("the value of `{name}` has characters a header cannot have");
                self.error(written.span(), message);
                continue;
            };
            value.set_sensitive(true);
            if headers.insert(&name, value).is_some() {
                let message = format!("provider `{id}` sets the header `{name}` twice");
                self.error(key.span(), message);
            }
        }
        headers
    }
}

/// Whether the configured headers say who is calling.
fn has_credential(headers: &HeaderMap) -> bool {
    ["authorization", "x-api-key", "api-key", "x-goog-api-key"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// Whether an address is called over TLS.
fn is_https(url: &http::Uri) -> bool {
    url.scheme() == Some(&http::uri::Scheme::HTTPS)
}

/// Whether an address is one of Azure's hosts.
fn is_at_azure(url: &http::Uri) -> bool {
    url.host()
        .is_some_and(|host| host.to_ascii_lowercase().ends_with(AZURE_HOST))
}

/// Says what keeps a file from being read; `None` when nothing does.
fn obstacle(path: &Path) -> Option<String> {
    let opened = fs::metadata(path).and_then(|metadata| {
        // Opening a pipe would wait for its other end.
        let is_file = metadata.is_file();
        if is_file {
            File::open(path)?;
        }
        Ok(is_file)
    });
    match opened {
        Ok(true) => None,
        Ok(false) => Some("it is not a file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some("there is no such file".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}
