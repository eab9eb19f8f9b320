//! The configuration file exactly as it may be written: every table, key, type and range.
//!
//! The comment of a key is what its user has to know. Defaults are not filled in here, because
//! some depend on other keys and some findings on whether a key was written at all; they are in
//! the types that the file is resolved into.

use std::net::SocketAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::model::{Affinity, BillingMode};
use super::provider::HttpVersion;
use super::scalar::{
    ApiKey, Count, CountOrOff, Digest, Number, PathOrOff, Positive, Price, Seconds, SecondsOrOff,
    Something, Token, Weight,
};
use super::table::{Named, Table, table};
use super::url::{BaseUrl, ProxyUrl, UrlOrOff};
use crate::name::{ModelName, Tag};
use crate::secret::Secret;

/// The longest time that a key in seconds can say: a day.
const DAY: u32 = 86_400;

/// The largest request body that can be allowed: 1 GiB.
const GIBIBYTE: u32 = 1 << 30;

table! {
    /// The whole file.
    ConfigFile {
        /// How the gateway behaves as a whole.
        settings: SettingsFile,
        /// How clients are served.
        server: ServerFile,
        /// What is told to the outside about the process.
        telemetry: TelemetryFile,
        /// The ledger of what was used.
        usage: UsageFile,
        /// Where requests can go, by id.
        providers: Named<ProviderFile>,
        /// What clients can ask for, by key.
        models: Named<ModelFile>,
        /// Who may ask, by id.
        users: Named<UserFile>,
    }
}

table! {
    /// `[settings]`
    SettingsFile {
        /// Seconds between active checks of each provider that has a `per_token` backend in use; 0 = off.
        health_check_interval_seconds: SecondsOrOff<DAY>,
        /// Seconds that one probe may take.
        health_check_timeout_seconds: Seconds<1, 300>,
        /// Seconds between two trials of an unhealthy endpoint.
        recovery_check_interval_seconds: Seconds<1, DAY>,
        /// Seconds until an upstream's response headers; `timeout_seconds` of a provider overrides it.
        request_timeout_seconds: Seconds<1, 3600>,
        /// The same for requests without `stream: true`, whose headers come only when generation is
        /// done. A `request_timeout_seconds` or `timeout_seconds` in the file wins over it.
        json_timeout_seconds: Seconds<1, 3600>,
        /// Retries of one request after its first attempt, on whatever endpoint.
        max_retries: Count<0, 10>,
        /// How many other endpoints a request may move to after the first.
        max_internal_retries: Count<0, 10>,
        /// Consecutive failures that open an endpoint's circuit breaker.
        circuit_breaker_failure_threshold: Count<1, 1000>,
        /// Seconds that a breaker stays open before a trial; doubles with every re-opening, up to ten
        /// times itself.
        circuit_breaker_timeout_seconds: Seconds<1, DAY>,
        /// Whether request bodies are logged at debug level, cut at 4 KiB.
        log_request_body: bool,
        /// Whether answers' bodies are logged at debug level, cut at 4 KiB.
        log_response_body: bool,
        /// Whether provider keys appear as `sk-…last4` in debug logs and admin output.
        mask_api_keys: bool,
        /// Seconds for TCP and TLS to an upstream together.
        connect_timeout_seconds: Seconds<1, 300>,
        /// Seconds from a stream's headers to its first content; 0 = as long as a whole answer may take.
        first_token_timeout_seconds: SecondsOrOff<DAY>,
        /// Seconds without an event after content began, or of silence in a JSON body; 0 = off.
        stream_idle_timeout_seconds: SecondsOrOff<DAY>,
        /// Seconds of silence after which a streaming client gets a `: keep-alive` comment; 0 = off.
        stream_keepalive_seconds: SecondsOrOff<DAY>,
        /// The share of a model's recent requests that may be retried, beside a burst of 100.
        retry_budget_ratio: Number<0, 1>,
        /// Seconds for everything until the first content, retries and waits included; 0 = off.
        request_deadline_seconds: SecondsOrOff<DAY>,
        /// Seconds that an unused upstream connection is kept; without it 4 for http, 60 for https.
        upstream_idle_timeout_seconds: Seconds<1, DAY>,
        /// The largest request body in bytes; a larger one is answered with 413.
        max_body_bytes: Count<1, GIBIBYTE>,
        /// Seconds that requests in flight may go on after SIGTERM or SIGINT.
        shutdown_grace_seconds: Seconds<0, DAY>,
        /// The file that the audit log is written to, as JSON lines; empty = off.
        audit_log: PathOrOff,
        /// Proxies in front of the gateway, as addresses or networks: their `X-Forwarded-For` says where
        /// a client is.
        trusted_proxies: Vec<IpNet>,
        /// Requests in flight over which further ones are shed with 503; 0 = off.
        max_inflight_requests: CountOrOff<1_000_000>,
        /// The MiB that the process may take: over nine tenths of it new requests are shed with 503;
        /// 0 = what its container has, or the machine.
        max_memory_mib: Count<0, 16_777_216>,
        /// Whether anonymous `/health`, `/metrics` and `/smart-ai/*` list providers and models.
        public_details: bool,
        /// The constants of the `smart_ai` strategy.
        smart_ai: SmartAiFile,
    }
}

table! {
    /// `[settings.smart_ai]`
    SmartAiFile {
        /// What an endpoint is trusted before anything is known of it.
        initial_confidence: Number<0, 1>,
        /// The least confidence that failures leave; at most `initial_confidence`.
        min_confidence: Number<0, 1>,
        /// The share of requests that look beyond the best endpoint.
        exploration_ratio: Number<0, 1>,
        /// Whether confidence drifts back to its start while nothing is learned.
        enable_time_decay: bool,
        /// Seconds between two costly explorations, and until a silent endpoint is probed.
        lightweight_check_interval_seconds: Seconds<1, DAY>,
        /// The factor on the score of a well-trusted endpoint that is not tagged `premium`.
        non_premium_stability_bonus: Number<1, 10>,
        /// What one outcome changes in the confidence.
        confidence_adjustments: ConfidenceAdjustmentsFile,
    }
}

table! {
    /// `[settings.smart_ai.confidence_adjustments]`
    ConfidenceAdjustmentsFile {
        /// Added by a success.
        success_boost: Number<0, 1>,
        /// Subtracted when the endpoint cannot be reached or does not speak its protocol.
        network_error_penalty: Number<0, 1>,
        /// Subtracted when it refuses the key.
        auth_error_penalty: Number<0, 1>,
        /// Subtracted when it limits the rate.
        rate_limit_penalty: Number<0, 1>,
        /// Subtracted when it fails by its own account.
        server_error_penalty: Number<0, 1>,
        /// Subtracted when it does not know the model.
        model_error_penalty: Number<0, 1>,
        /// Subtracted when it takes too long.
        timeout_penalty: Number<0, 1>,
    }
}

table! {
    /// `[server]`
    ServerFile {
        /// The address and port to listen on; `BIND_ADDRESS` wins over it.
        bind_address: SocketAddr,
        /// The PEM file of the certificate chain to serve TLS with.
        tls_cert: PathOrOff,
        /// The PEM file of its private key.
        tls_key: PathOrOff,
        /// Seconds until a request's head is complete.
        header_timeout_seconds: Seconds<1, 3600>,
        /// Seconds of silence in the midst of a request's body.
        body_idle_timeout_seconds: Seconds<1, 3600>,
        /// Seconds that an unused client connection is kept.
        client_idle_timeout_seconds: Seconds<1, DAY>,
        /// Seconds that a client may take no bytes of an answer that waits for it.
        client_write_timeout_seconds: Seconds<1, 3600>,
        /// The threads that serve; without it, one for each core.
        worker_threads: Count<1, 1024>,
    }
}

table! {
    /// `[telemetry]`
    TelemetryFile {
        /// The collector that traces are sent to, by OTLP over HTTP; `/v1/traces` is added to its
        /// address where that is not there. Empty = off.
        otlp_endpoint: UrlOrOff,
        /// The share of requests that are traced, of those that do not say by `traceparent` whether they
        /// are.
        sample_ratio: Number<0, 1>,
        /// What the process calls itself in traces.
        service_name: String,
        /// The file that JSON log lines are written to beside stdout; empty = off. `LOG_FILE` wins.
        log_file: PathOrOff,
    }
}

table! {
    /// `[usage]`
    UsageFile {
        /// The database file of the ledger, in the format of `sqlite3`; empty = off. Without it the file
        /// that `USAGE_DATABASE` names, if it names one.
        database: PathOrOff,
        /// Days that a row of the ledger is kept.
        retention_days: Count<1, 36_500>,
    }
}

table! {
    /// `[providers.<id>]`
    ProviderFile {
        /// The name for people; without it the id.
        name: String,
        /// Where it is: http or https, with or without a version segment in its path.
        #[required("an address")]
        base_url: BaseUrl,
        /// The key it knows the gateway by: the key itself, `${NAME}` for an environment variable, or
        /// what `berry-cli encrypt-key` makes of it. Empty = no credential is sent.
        api_key: ApiKey,
        /// The upstream models it offers; empty = not checked.
        models: Vec<String>,
        /// Headers sent with every request and probe, each value as it is or as `${NAME}`; they may
        /// override `Authorization`.
        headers: Named<Secret>,
        /// Whether it gets requests and probes.
        enabled: bool,
        /// Seconds until response headers; without it `settings.request_timeout_seconds`.
        timeout_seconds: Seconds<1, 3600>,
        /// Retries of one request on this provider after its first attempt there; without it
        /// `settings.max_retries`.
        max_retries: Count<0, 10>,
        /// The most requests in flight there: a further one waits a moment, then goes to another
        /// provider or is answered with 503; 0 = off.
        max_concurrent_requests: CountOrOff<1_000_000>,
        /// `auto`, `http1`, or `h2c` for HTTP/2 without TLS.
        http_version: HttpVersion,
        /// A PEM file of certificates to trust beside the usual roots; it must be there.
        ca_file: PathOrOff,
        /// The proxy to reach it through, an `http://` URL; `none` ignores the environment's.
        proxy_url: ProxyUrl,
        /// Its protocol.
        backend_type: String,
    }
}

table! {
    /// `[models.<key>]`
    ModelFile {
        /// The public name.
        #[required("a name")]
        name: ModelName,
        /// How a backend is chosen.
        strategy: String,
        /// Whether it is served.
        enabled: bool,
        /// Which repeated requests prefer one endpoint: `none`, `user` or `prompt_cache_key`.
        affinity: Affinity,
        /// Who serves it.
        backends: Vec<Spanned<BackendFile>>,
    }
}

table! {
    /// `[[models.<key>.backends]]`
    BackendFile {
        /// The id of a provider.
        #[required("a provider")]
        provider: String,
        /// The model's name there.
        #[required("a model")]
        model: Something,
        /// Its share of the requests.
        weight: Weight,
        /// Its rank for `failover`; the lowest goes first.
        priority: Count<0, 255>,
        /// Whether it gets requests.
        enabled: bool,
        /// Whom it is for; without tags for everybody.
        tags: Vec<Tag>,
        /// `per_token`, or `per_request` for one that is never probed at cost.
        billing_mode: BillingMode,
        /// US dollars per million input tokens.
        input_price: Price,
        /// US dollars per million output tokens.
        output_price: Price,
        /// US dollars per million input tokens that the provider had cached.
        cached_input_price: Price,
        /// US dollars per million input tokens that the provider put into its cache; without it they cost
        /// what all input does. Anthropic asks 1.25 times its `input_price`; for what it keeps for an hour 2
        /// times, which is counted as 1.6 times this.
        cache_write_price: Price,
        /// US dollars per request.
        request_price: Price,
    }
}

table! {
    /// `[users.<id>]`
    UserFile {
        /// The name for people; without it the id.
        name: String,
        /// The token, at least 16 characters, or `${NAME}` for an environment variable.
        #[required("a token")]
        token: Token,
        /// The SHA-256 digest of the token as 64 hexadecimal digits, in place of `token`.
        #[required("a token")]
        token_sha256: Digest,
        /// The models the user may use, by public name or key; empty = all.
        allowed_models: Vec<Spanned<String>>,
        /// Whether the token is accepted.
        enabled: bool,
        /// Labels; `admin` opens the admin interface, `unlimited` every backend.
        tags: Vec<Tag>,
        /// From where the token is accepted, as addresses or networks; empty = everywhere.
        allowed_ips: Vec<IpNet>,
        /// From when on the token is refused.
        expires_at: jiff::Timestamp,
        /// How much the user may send.
        rate_limit: RateLimitFile,
    }
}

table! {
    /// `rate_limit` of a user; what is absent is not limited.
    RateLimitFile {
        /// Requests in any minute.
        requests_per_minute: Positive,
        /// Requests in any hour.
        requests_per_hour: Positive,
        /// Requests in any day.
        requests_per_day: Positive,
        /// Tokens, of prompts and answers together, in any minute.
        tokens_per_minute: Positive,
        /// Requests at the same time, each from its head until its answer has ended.
        max_concurrent_requests: Positive,
    }
}
